"""A question put to a fit: draws of people, several scenarios, curves and quantities, in parts that fit into
memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import xarray as xr

from bayesglu.analysis.cohort import Cohort, cohort_of, covariates_of_fit, followed_by, labels_of
from bayesglu.analysis.measurements import measure, measured_outputs
from bayesglu.analysis.new_people import NewPeople
from bayesglu.analysis.people import thinned
from bayesglu.analysis.quantities import Quantity, evaluate, in_units, quantities_of
from bayesglu.analysis.scenarios import Scenario
from bayesglu.analysis.simulation import available_outputs, check_names, default_times, simulate
from bayesglu.analysis.worlds import World, body_weights, make_world, protocols_of
from bayesglu.analytes import analytes
from bayesglu.errors import InputError
from bayesglu.hierarchy.compatibility import check_forcing
from bayesglu.inference.progress import tracked
from bayesglu.parallel import as_made
from bayesglu.physiology.loop import assemble
from bayesglu.protocols.checked import Forcing
from bayesglu.protocols.protocol import Protocol
from bayesglu.results import require_fit
from bayesglu.seeds import seed_of
from bayesglu.spec.model import ModelSpec, model_of
from bayesglu.text.problems import is_number, show
from bayesglu.units import system_of

FLUXES = (
    "glucose_appearance",
    "endogenous_glucose_production",
    "glycogenolysis",
    "gluconeogenesis",
    "hepatic_glucose_uptake",
    "tissue_uptake",
    "insulin_secretion",
    "renal_glucose_excretion",
    "glucose_infusion",
)

AT_ONCE = 6_000_000
"""So many values are simulated before they are reduced to what is asked of them."""

SCENARIOS = 4
"""Of so many scenarios at once, as far as memory goes."""

MOMENT = 1e-3
"""How long after a dose (min) one looks for what it does at once."""


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked of a fit besides its scenarios: the arguments of `what_if`."""

    subjects: str | Sequence[str] | NewPeople = "same"
    times: Sequence[float] | np.ndarray | None = None
    outputs: tuple[str, ...] | None = None
    draws: int = 400
    body_weight: float | Mapping[str, float] | None = None
    random_seed: int | np.random.Generator | None = None
    hold: tuple[str, ...] = ()
    forcing: Forcing | None = None
    occasion: str | None = None
    protocol: Protocol | str | Mapping[str, Protocol | str] | None = None
    of: Any = None
    measured: bool = False
    units: str | None = None
    progressbar: bool = True
    rtol: float = 1e-6
    atol: float = 1e-6


def question_of(asked: Mapping[str, Any], **own: Any) -> Question:
    """A question from the arguments of `what_if` that a caller passes on, and some of its own.

    Raises InputError where there is no such argument.
    """
    known = [each.name for each in fields(Question) if each.name not in own]
    check_names("argument", asked, known)
    return Question(**own, **asked)


def ask(fit: xr.DataTree, scenarios: Mapping[str, Scenario], q: Question) -> tuple[xr.Dataset, Cohort]:
    """What `what_if` returns, and the people of whom it speaks."""
    if not is_number(q.draws) or q.draws < 1:
        raise InputError(f"draws is {show(q.draws)}; it must be 1 or more.")
    system = system_of(q.units)
    spec = model_of(require_fit(fit).attrs)
    check_forcing(spec, q.forcing)
    labels = labels_of(fit, q.subjects)
    done = protocols_of(fit, scenarios, q.protocol, labels)
    followed = followed_by(fit)
    own = {label: {each for (subject, _), each in followed.items() if subject == label} for label in labels}
    as_fitted = all(own[label] == {each[label]} for each in done.values() for label in labels)
    seed = seed_of(q.random_seed)
    posterior = thinned(fit.posterior.to_dataset(), q.draws)
    cohort = cohort_of(fit, spec, posterior, q.subjects, q.occasion, as_fitted, seed)
    cohort = replace(cohort, body_weight=body_weights(cohort, q.body_weight))
    worlds = {
        name: make_world(cohort, scenario, done[name], covariates_of_fit(fit))
        for name, scenario in scenarios.items()
    }
    asked = Asked.of(spec, q, system, worlds)
    result = asked.answer(cohort, worlds)
    return result.assign_attrs(_told(scenarios, done, cohort, seed)), cohort


@dataclass(frozen=True, eq=False)
class Asked:
    """What is wanted of each simulated curve."""

    spec: ModelSpec
    times: Sequence[float] | np.ndarray
    outputs: tuple[str, ...]
    quantities: tuple[Quantity, ...]
    simulated: tuple[str, ...]
    system: str
    question: Question

    @classmethod
    def of(cls, spec: ModelSpec, q: Question, system: str, worlds: Mapping[str, World]) -> Asked:
        """Outputs, quantities, and the times at which they want to see the curves."""
        loop, available = assemble(spec.structure), available_outputs(spec)
        kept = q.outputs if q.outputs is not None else () if q.of is not None else default_outputs(spec)
        check_names("output", kept, available)
        units = {name: loop.unit(name) for name in available}
        asked = tuple(quantities_of(q.of, units, system)) if q.of is not None else ()
        needs = [n for each in asked for n in each.needs or (() if kept else default_outputs(spec))]
        check_names("output", needs, available)
        if q.measured and not (seen := {*kept, *needs} & set(measured_outputs(spec))):
            known = ", ".join(measured_outputs(spec)) or "nothing"
            raise InputError(
                f"measured: none of the outputs is measured. The model measures {known}.{seen or ''}"
            )
        times = q.times
        if times is None:
            done = {protocol for world in worlds.values() for protocol in world.protocols.values()}
            times = max(map(default_times, done), key=lambda each: each[-1])
            extra = [minute for each in asked for minute in each.times]
            if any(each.jumps for each in asked):
                extra += [e.time + MOMENT for p in done for e in p.events if e.kind != "clamp"]
            within = [minute for minute in extra if times[0] <= minute <= times[-1]]
            times = np.union1d(times, within)
        return cls(spec, times, kept, asked, tuple(dict.fromkeys((*kept, *needs))), system, q)

    def answer(self, cohort: Cohort, worlds: Mapping[str, World]) -> xr.Dataset:
        """Curves and quantities in each scenario, of some draws after the others, so that curves beyond
        memory are never there at once."""
        posterior, times = cohort.posterior, 0 if self.times is None else len(self.times)
        a_draw = posterior.sizes["chain"] * len(cohort.labels) * times * len(self.simulated)
        step = max(1, AT_ONCE // max(1, min(len(worlds), SCENARIOS) * a_draw))
        parts = [slice(begin, begin + step) for begin in range(0, posterior.sizes["draw"], step)]
        runs = [(part, each) for part in parts for each in enumerate(worlds.values())]
        much = a_draw * posterior.sizes["draw"] * len(worlds) > 2 * AT_ONCE

        found = [self._run(cohort, runs[0])]  # alone, so that equations are compiled once
        rest = as_made(lambda run: self._run(cohort, run), runs[1:])
        found += tracked("what if", self.question.progressbar and much)(rest, len(runs) - 1)
        each = xr.Variable("scenario", list(worlds))
        starts = range(0, len(runs), len(worlds))
        together = [xr.concat(found[i : i + len(worlds)], each, combine_attrs="override") for i in starts]
        result = xr.concat(together, "draw", combine_attrs="override") if len(parts) > 1 else together[0]
        return result.transpose("chain", "draw", "subject", "scenario", "time", missing_dims="ignore")

    def _run(self, cohort: Cohort, run: tuple[slice, tuple[int, World]]) -> xr.Dataset:
        """Some draws in one scenario."""
        part, (number, world) = run
        posterior = cohort.posterior.isel(draw=part)
        chosen = {n: v.isel(draw=part, missing_dims="ignore") for n, v in world.parameters.items()}
        groups: dict[Protocol, list[str]] = {}
        for label in cohort.labels:
            groups.setdefault(world.protocols[label], []).append(label)
        found = [
            simulate(
                self.spec,
                protocol,
                {n: _of(v, labels) for n, v in chosen.items()},
                self.times,
                self.simulated,
                body_weight=_of(cohort.body_weight, labels),
                hold=self.question.hold,
                start={n: _of(v, labels) for n, v in world.start.items()},
                forcing=self.question.forcing,
                rtol=self.question.rtol,
                atol=self.question.atol,
            )
            for protocol, labels in groups.items()
        ]
        curves = found[0]
        if len(found) > 1:
            curves = xr.concat(found, "subject", combine_attrs="override").sel(subject=cohort.labels)
        if "chain" in posterior.dims and "chain" not in curves.dims:
            curves = curves.expand_dims({n: posterior[n] for n in ("chain", "draw")})
        curves = curves.transpose("chain", "draw", "subject", "time", missing_dims="ignore")
        if self.question.measured:
            rng = np.random.default_rng([cohort.seed, number, part.start])
            curves = measure(self.spec, posterior, curves, rng)
        kept = in_units(curves[list(self.outputs)], self.system)
        return kept.merge(evaluate(curves, self.quantities, self.system)) if self.quantities else kept


def _of(value: Any, labels: list[str]) -> Any:
    """The part of a value that is some people's."""
    of_people = isinstance(value, xr.DataArray) and "subject" in value.dims
    return value.sel(subject=labels) if of_people and value.sizes["subject"] != len(labels) else value


def _told(scenarios: Mapping[str, Scenario], done: Mapping, cohort: Cohort, seed: int) -> dict:
    """Attributes that say of whom an answer speaks, of which day, and what each scenario is."""
    protocols = dict.fromkeys(p.name for by_person in done.values() for p in by_person.values())
    words = {name: str(replace(scenario, protocol=None)) for name, scenario in scenarios.items()}
    each = {name: said for name, said in words.items() if said}
    changes = "; ".join(f"{name}: {said}" for name, said in each.items())
    return {
        "protocol": "; ".join(protocols),
        "change": (changes if len(words) > 2 else "; ".join(each.values())) or "none",
        "random_seed": seed,
        "occasion": cohort.occasion,
        "subjects": cohort.whom,
    }


def default_outputs(spec: ModelSpec) -> tuple[str, ...]:
    """What is looked at when nobody says what: what is usually measured of a model, and glucose fluxes."""
    measured, known = (name for name, of in analytes().items() if of.usually_shown), available_outputs(spec)
    return tuple(n for n in (*measured, *FLUXES) if n in known)
