"""A model and a study put together: which number of the model speaks about which sample.

Everything that the log density needs and that does not change while sampling is worked out here, once: the
individual parameters of everyone (`individuals`), what is compared with the model (`rows`), its forcing
function (`forcing`), and the equations with what was given to whom (`solver`).
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from bayesglu.errors import warn_caller
from bayesglu.hierarchy.compatibility import check_study
from bayesglu.hierarchy.covariates import (
    check_gaps,
    warn_of_gaps,
    warn_of_unknown_levels,
    warn_of_unused,
)
from bayesglu.hierarchy.forcing import (
    Curve,
    ForcingSamples,
    curve_of,
    forcing_channel,
    forcing_of,
    is_compared,
    warn_of_ends,
)
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.rows import Rows, rows_of
from bayesglu.hierarchy.values import Values
from bayesglu.physiology.loop import assemble
from bayesglu.protocols.schedule import Schedule, build_schedule
from bayesglu.solver.solver import Solver, make_solver
from bayesglu.spec.model import ModelSpec
from bayesglu.study.study import Study, StudyError, StudyWarning
from bayesglu.text.wording import some

TOLERANCES = {"rtol": 2e-6, "atol": 2e-6}
"""Far below any assay's error, and small enough that the log density is smooth to the sampler."""

LONG, TOLERANCES_WHEN_LONG = 12 * 60.0, {"rtol": 1e-9, "atol": 1e-9}
"""For protocols of more than so many minutes: in long quiet hours steps grow until the explicit method is at
the end of its stability. Values do not suffer, but the derivative of what was computed does: at 1e-7 more
than half of 80 gradients of fasts of 48 and 68 h were wrong by more than 0.02, the worst without bounds, and
none by 2e-5 at 1e-9. Up to 12 h none was wrong by more than 0.01 at the usual ones."""


@dataclass(frozen=True, eq=False)
class Design:
    """See the module's first lines. `obs` are the labels of the samples that are compared: the first rows, in
    the order of ``study.used``. `analytes` are those that have an error."""

    spec: ModelSpec
    study: Study
    solver: Solver
    individuals: Individuals
    rows: Rows
    forcing: ForcingSamples
    obs: np.ndarray
    analytes: tuple[str, ...]

    @property
    def n_obs(self) -> int:
        """How many of the rows are samples."""
        return len(self.obs)

    @cached_property
    def sigma_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD of the logarithms of the SDs of log residuals (A)."""
        errors = [self.spec.analytes[a].sigma for a in self.analytes]
        return np.log([e.median for e in errors]), np.array([e.sd for e in errors])

    @cached_property
    def prior_medians(self) -> Values:
        """Everything at the medians of the priors, without deviations."""
        i = self.individuals
        typical, effect = i.typical_prior[0], i.effect_prior[0]
        return Values(
            typical=typical,
            effect=effect,
            omega=np.exp(i.omega_prior[0]),
            sigma=np.exp(self.sigma_prior[0]),
            correlation=i.expected_correlation,
            individual=i.centre(typical, effect),
            forcing_error=np.zeros(self.forcing.n_errors),
            missing=i.missing.centre,
        )

    def draw_prior(self, draws: int, rng: np.random.Generator) -> Values:
        """Draws ``(draw, ...)`` of everything before any data."""
        i = self.individuals
        typical, effect, omega, correlation = i.draw_population(draws, rng)
        sigma = np.exp(rng.normal(*self.sigma_prior, size=(draws, len(self.analytes))))
        missing = i.missing.draw(i.missing.unknown((draws,)), rng)
        individual = i.draw(typical, effect, omega, correlation, rng, missing)
        forcing_error = rng.normal(size=(draws, self.forcing.n_errors))
        return Values(typical, effect, omega, sigma, correlation, individual, forcing_error, missing)

    def theta(self, values: Values) -> np.ndarray:
        """Parameters ``(..., occasion, parameter)`` on their natural scale."""
        return self.individuals.theta(values.typical, values.effect, values.individual, values.missing)

    def true_forcing(self, values: Values) -> np.ndarray:
        """True concentrations at the samples of the forcing function ``(..., forcing_obs)``."""
        return self.forcing.true(self.theta(values), values.sigma, values.forcing_error)

    def predict(self, theta: np.ndarray, true: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Predictions of the rows ``(row,)`` and outcome codes for theta ``(occasion, parameter)``, forced by
        true concentrations ``(R,)``; without them, by what was read."""
        true = self.forcing.true(theta) if true is None else true
        physiology = theta[:, : len(self.solver.system.parameters)]
        outputs, outcome = self.solver.outputs(physiology, self.forcing.at_stops(true))
        return self.rows.predict(outputs, theta), outcome


def make_design(spec: ModelSpec, study: Study, nested: Collection[str] | None = None, **settings) -> Design:
    """Put a model and a study together.

    nested : the parameters whose deviations of occasions are separate from those of people; by default as
    the study lets them be. `settings` go to the solver (rtol, atol, max_steps).

    Raises SpecError or StudyError when they do not fit together, with every reason; warns of what has another
    effect than it seems to in a study that was read.
    """
    check_study(spec, study)
    study = within_limits(spec, study)
    used = _compared(spec, study)
    forcing_analytes = {a for a, analyte in spec.analytes.items() if analyte.forcing}
    curves = _curves(spec, study, forcing_analytes)
    schedule = _schedule(study, curves, forcing_channel(spec), assemble(spec.structure).reads("elapsed"))
    outputs = _outputs(spec, study, forcing_analytes)
    solver = _solver(spec, schedule, outputs, settings)

    analytes = tuple(a for a in spec.analytes if a in {*used.analyte.values, *forcing_analytes})
    physiology = solver.system.parameters
    columns = (*physiology, *(n for n in spec.parameters if n not in physiology))
    unused = {a.background for n, a in spec.analytes.items() if a.background and n not in analytes}
    estimated = tuple(n for n in spec.estimated if n not in unused)
    check_gaps(study, [spec.parameters[name] for name in estimated])
    if (study.observations.line > 0).any():  # or else it is planned, and was never read
        _warn(spec, study, used, estimated)
        labels = [_label(occasion, study.occasions) for occasion in study.occasions]
        warn_of_ends(spec, curves, schedule.end[: len(curves)], labels[: len(curves)])
    number = {occasion: i for i, occasion in enumerate(study.occasions)}
    whose = [number[pair] for pair in zip(used.subject.values, used.occasion.values, strict=True)]
    sample = schedule.sample_index(whose, used.time.values)
    first = np.searchsorted(schedule.sample_person, np.arange(len(study.occasions)))
    return Design(
        spec=spec,
        study=study,
        solver=solver,
        individuals=Individuals.of(
            spec, columns, estimated, study.occasions, study.covariates, study.occasion_covariates, nested
        ),
        rows=rows_of(spec, used, whose, sample, first, columns, outputs, analytes),
        forcing=forcing_of(spec, curves, schedule, columns, analytes),
        obs=used.obs.values,
        analytes=analytes,
    )


def within_limits(spec: ModelSpec, study: Study) -> Study:
    """The study with samples beyond the model's limits of quantification at the limit, and censored there."""
    obs = study.observations
    value, censoring = obs.value.values.copy(), obs.censoring.values.astype(object)
    for name, analyte in spec.analytes.items():
        whole = (obs.analyte.values == name) & (obs.censoring.values == "none")
        for side, limit in (("left", analyte.lloq), ("right", analyte.uloq)):
            if limit is not None:
                beyond = whole & (value < limit if side == "left" else value > limit)
                value[beyond], censoring[beyond] = limit, side
    if (censoring == obs.censoring.values).all():
        return study
    censored = {"value": ("obs", value, obs.value.attrs), "censoring": ("obs", censoring.astype(str))}
    return replace(study, observations=obs.assign(censored))


def _compared(spec: ModelSpec, study: Study) -> xr.Dataset:
    """The samples that are compared with the model."""
    used = study.used
    columns = (used[name].values for name in ("analyte", "time", "subject", "occasion"))
    rows = zip(*columns, strict=True)
    keep = np.array([is_compared(spec, a, t, study.protocols[s, o]) for a, t, s, o in rows], bool)
    if not keep.any():
        raise StudyError(
            f"The study '{study.name}' has no sample that the model '{spec.name}' can be compared with: of "
            f"{study.observations.sizes['obs']} samples all are missing or left out."
        )
    return used.isel(obs=keep)


def _curves(spec: ModelSpec, study: Study, forcing_analytes) -> list[Curve]:
    """The forcing function of each occasion."""
    obs, curves = study.observations, []
    for subject, occasion in study.occasions if forcing_analytes else ():
        mine = obs.isel(obs=(obs.subject.values == subject) & (obs.occasion.values == occasion))
        forces = np.isin(mine.analyte.values, list(forcing_analytes)) & np.isfinite(mine.value.values)
        last = float(mine.time.max())
        curves.append(curve_of(spec, mine.isel(obs=forces), study.protocols[subject, occasion], last))
    return curves


def _schedule(study: Study, curves, channel: str, clock: bool) -> Schedule:
    samples = study.observations[["subject", "occasion", "time"]].to_dataframe()
    sampled = samples.groupby(["subject", "occasion"])["time"].unique()
    times = [np.sort(sampled[occasion]) for occasion in study.occasions]
    protocols = [study.protocols[occasion] for occasion in study.occasions]
    return build_schedule(
        protocols,
        times,
        start=[min(t[0], p.start) for t, p in zip(times, protocols, strict=True)],
        body_weight=study.body_weight.sel(subject=[s for s, _ in study.occasions]).values,
        forcing=[curve.knots for curve in curves] or None,
        labels=[_label(occasion, study.occasions) for occasion in study.occasions],
        forced=channel,
        clock=clock,
    )


def _label(occasion: tuple[str, str], occasions) -> str:
    subject, name = occasion
    several = sum(s == subject for s, _ in occasions) > 1
    return f"subject {subject}" + (f", occasion {name}" if several else "")


def _outputs(spec: ModelSpec, study: Study, forcing_analytes) -> tuple[str, ...]:
    """What the equations must show: what was measured, and what is known of the basal state."""
    measured = [a for a in spec.analytes if a in study.analytes and a not in forcing_analytes]
    shown = [spec.analytes[a].output for a in measured]
    return tuple(dict.fromkeys([*shown, *(s.output for s in spec.pseudo_observations.values())]))


def _solver(spec: ModelSpec, schedule: Schedule, outputs, settings: dict[str, Any]) -> Solver:
    usual = TOLERANCES_WHEN_LONG if (schedule.end - schedule.start).max() > LONG else TOLERANCES
    settings = {**usual, **settings}
    return make_solver(spec.structure, schedule, outputs, **settings)


def _warn(spec: ModelSpec, study: Study, used: xr.Dataset, estimated) -> None:
    """Say whose samples the priors have seen, of whom nothing was measured, and which covariates do not act
    as they look."""
    if taught := [name for name, taught in spec.learnt_from.items() if taught == study.hash]:
        warn_caller(
            f"The priors of '{spec.name}' were learnt from this study ({taught[0]}): its samples count "
            "twice, and intervals will be too narrow. Fit another study, or take priors learnt without it.",
            StudyWarning,
        )
    if blank := [s for s in study.subjects if not (used.subject.values == s).any()]:
        warn_caller(
            f"Nothing that '{spec.name}' compares was measured in subject {some(blank)}: their "
            "estimates come from the population distribution alone.",
            StudyWarning,
        )
    parameters = [spec.parameters[name] for name in estimated]
    warn_of_gaps(study, parameters)
    warn_of_unknown_levels(spec, study, parameters)
    warn_of_unused(spec, study, parameters)
