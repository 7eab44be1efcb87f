"""An experiment of the literature, done to a model's typical person and to people drawn from its priors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from bayesglu.analysis.simulation import simulate
from bayesglu.analytes import state_of
from bayesglu.hierarchy.covariates import typical_of
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.physiology.loop import assemble
from bayesglu.protocols.protocol import Protocol
from bayesglu.spec.model import ModelSpec


@dataclass(frozen=True)
class Experiment:
    """What is done, to whom, and how long it is watched.

    `parameters` are set to these values for everyone (``beta_cell_mass`` 0). `covariates` act through the
    model's own effects (``{"group": "T2D", "bmi": 30}``). `start` and `hold` are those of `simulate`; a
    tuple of starting values makes stepped levels, one after another in the dim ``level``. `before` is
    another experiment, from whose end this one begins. Times in min, body weight in kg.
    """

    name: str
    protocol: Protocol
    until: float
    every: float = 1.0
    body_weight: float = 70.0
    parameters: Mapping[str, float] = field(default_factory=dict)
    covariates: Mapping[str, float | str] = field(default_factory=dict)
    start: Mapping[str, float | tuple[float, ...]] = field(default_factory=dict)
    hold: tuple[str, ...] = ()
    before: Experiment | None = None

    @property
    def times(self) -> np.ndarray:
        """When it is watched, from time 0."""
        return np.arange(0.0, self.until + 1e-9, self.every)

    def perform(self, spec: ModelSpec, people: Mapping[str, xr.DataArray]) -> xr.Dataset:
        """All outputs over time, with the dims of `people`, ``level`` where levels are stepped, and ``time``.

        people : parameters that differ from the model's medians, as `draw_people` gives them.
        """
        begun = {name: self._level(value) for name, value in self.start.items()}
        if self.before is not None:
            end = self.before.perform(spec, people).isel(time=-1, drop=True)
            own = {state_of(name) for name in begun}
            begun |= {name: end[name] for name in assemble(spec.structure).states if name not in own}
        return simulate(
            spec,
            self.protocol,
            self.parameters_of(spec, people),
            self.times,
            body_weight=self.body_weight,
            hold=self.hold,
            start=begun,
        )

    def parameters_of(self, spec: ModelSpec, people: Mapping[str, xr.DataArray]) -> dict[str, xr.DataArray]:
        """Every parameter of these people in this experiment."""
        found = {}
        for name in assemble(spec.structure).parameters:
            prior = spec.parameters[name]
            value = people.get(name, xr.DataArray(prior.typical.median))
            if any(effect.covariate in self.covariates for effect in prior.effects.values()):
                shifted = typical_of(prior, prior.to_scale(value.values), self.covariates)
                value = value.copy(data=prior.from_scale(shifted))
            found[name] = xr.DataArray(self.parameters[name]) if name in self.parameters else value
        return found

    def possible(self, spec: ModelSpec) -> bool:
        """Whether a model has what this experiment gives, changes and holds."""
        loop = assemble(spec.structure)
        taken = {state.channel for state in loop.states.values()}
        given = {event.channel for event in self.protocol.events if event.amount > 0}
        states = {*self.hold, *map(state_of, self.start)}
        known = given <= taken and states <= {*loop.states} and {*self.parameters} <= {*loop.parameters}
        return known and not loop.forced and (self.before is None or self.before.possible(spec))

    @staticmethod
    def _level(value: float | tuple[float, ...]) -> float | xr.DataArray:
        return xr.DataArray(list(value), dims="level") if isinstance(value, tuple) else value


def draw_people(
    spec: ModelSpec, draws: int, random_seed: int | np.random.Generator | None = None
) -> dict[str, xr.DataArray]:
    """The typical person and `draws` others: each parameter that is estimated, with the dim ``draw``.

    Person 0 has the medians. Each other has typical values and between-subject SDs drawn from their
    priors and a deviation of that SD, and is kept with the density of what is known of the basal state:
    people as the model expects them before any data.
    """
    rng = np.random.default_rng(random_seed)
    loop = assemble(spec.structure)
    estimated = [name for name in loop.parameters if spec.parameters[name].level != "fixed"]
    nobody = xr.Dataset(coords={"subject": ["1"]})  # without covariates
    person = Individuals.of(spec, loop.parameters, estimated, [("1", "1")], nobody)
    kept = [person.layout.fixed[None]]
    missing = draws
    while missing > 0:
        theta = _drawn(person, 4 * draws, rng)
        basal = loop.basal(dict(zip(loop.parameters, theta.T, strict=True)))
        known = spec.pseudo_observations.values()
        misfit = sum((np.log(basal[p.output] / p.median) / p.sd) ** 2 for p in known)
        chosen = np.flatnonzero(rng.uniform(size=4 * draws) < np.exp(-0.5 * misfit))[:missing]
        missing -= len(chosen)
        kept.append(theta[chosen])
    everyone = np.concatenate(kept)
    return {
        name: xr.DataArray(everyone[:, column], dims="draw")
        for name, column in zip(estimated, person.layout.columns, strict=True)
    }


def _drawn(person: Individuals, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Parameters ``(draw, parameter)`` of people, each of a population of its own drawn from the priors."""
    typical, effect, omega, correlation = person.draw_population(draws, rng)
    own = person.draw(typical, effect, omega, correlation, rng)
    return person.theta(typical, effect, own)[:, 0]
