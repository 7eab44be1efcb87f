"""A model and a study put together: which number of the model speaks about which sample.

Everything that the log density needs and that does not change while sampling is worked out here, once, as
arrays. S subjects take T tests in all. Each subject has a block of D deviations: those of its subject-level
parameters, then those of its occasion-level parameters for each test in turn. K parameters are estimated; E
covariate effects act on them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import xarray as xr

from bayesglu.analysis.simulation import check_protocol
from bayesglu.errors import warn_caller
from bayesglu.hierarchy.correlation import beta_shapes
from bayesglu.protocols.schedule import Schedule, build_schedule
from bayesglu.solver.solver import Solver, solver
from bayesglu.spec.model import ModelSpec, SpecError
from bayesglu.spec.priors import Effect
from bayesglu.study.study import Study, StudyError, StudyWarning
from bayesglu.study.treatments import some

TOLERANCES = {"relative": 2e-6, "absolute": 2e-6}
"""Far below any assay's error, and small enough that the log density is smooth to the sampler."""

LONG, TOLERANCES_WHEN_LONG = 12 * 60.0, {"relative": 1e-7, "absolute": 1e-7}
"""For tests of more than so many minutes: in long quiet hours steps grow until the explicit method is at the
end of its stability. Values do not suffer, but the derivative of what was computed does: of 60 gradients of a
fast of 68 h one in ten was wrong by more than 0.02 (the worst by 1.4) at 2e-6, and none by 1e-5 at 1e-7."""

TINY = 1e-12
"""Predictions are kept above this before their logarithm is taken."""


@dataclass(frozen=True)
class Rows:
    """What is compared with the model: samples first, then soft observations of the basal state.

    The prediction of a row is ``by_output * outputs[sample, output] + by_parameter * theta[test,
    parameter] + offset``: a concentration, perhaps with an assay's floor, or a basal concentration itself.
    `offset` is that of the analyte's error; `log_value` is the logarithm of sample + offset. `analyte`
    is -1 where the error is known (`known_error`), as for soft observations. `tails` are the degrees of
    freedom of Student's t, 0 for Normal residuals. `censoring` is -1 (below the value), 0, or 1 (above it).
    """

    sample: np.ndarray
    output: np.ndarray
    by_output: np.ndarray
    test: np.ndarray
    parameter: np.ndarray
    by_parameter: np.ndarray
    offset: np.ndarray
    log_value: np.ndarray
    analyte: np.ndarray
    known_error: np.ndarray
    censoring: np.ndarray
    tails: np.ndarray

    def predict(self, outputs: np.ndarray, theta: np.ndarray) -> np.ndarray:
        """Predictions ``(..., row)`` from outputs ``(..., sample, output)`` and theta ``(..., test,
        parameter)``."""
        return (
            self.by_output * outputs[..., self.sample, self.output]
            + self.by_parameter * theta[..., self.test, self.parameter]
            + self.offset
        )


@dataclass(frozen=True)
class Readings:
    """The R readings that drive the model, test by test; none in a model with insulin of its own.

    What drives it are true concentrations, a straight line from each to the next. A reading was taken with
    its assay's error, so that

        log(true + offset) = log_value + error * reading_error

    with one of L standard Normal reading errors, number `slot`, for each. All true values are equally likely
    before the reading (on the logarithm), so that by itself it tells nothing of the size of the error. The
    errors are Normal also where those of the assay's residuals are Student's: heavy tails are for a reading
    that is at odds with a prediction, and nothing predicts these. They would only allow a single reading to
    be wrong by any factor, and one such spike of insulin explains any fall of glucose.

    A reading at rest (at or before time zero, or from `basal_from` on) is a row of `Rows` instead, compared
    with the basal concentration. There the true concentration is the basal one, column `basal` of theta, and
    `slot` is -1: the reading counts once. A censored reading drives the model as if its limit had been read.

    At a stop of the schedule the curve is ``(1 - weight) * true[before] + weight * true[after]`` (M each).
    """

    obs: np.ndarray
    test: np.ndarray
    log_value: np.ndarray
    slot: np.ndarray
    before: np.ndarray
    after: np.ndarray
    weight: np.ndarray
    analyte: int = -1
    basal: int = 0
    offset: float = 0.0

    @property
    def n_errors(self) -> int:
        """How many readings have an error of their own, L."""
        return int((self.slot >= 0).sum())

    def at_stops(self, true: np.ndarray) -> np.ndarray:
        """The curve at the stops (..., M) through true concentrations (..., R)."""
        return (1 - self.weight) * true[..., self.before] + self.weight * true[..., self.after]


@dataclass(frozen=True, eq=False)
class Design:
    """See the module's first lines. `n_obs` of the rows are samples, in the order of ``study.used``."""

    spec: ModelSpec
    study: Study
    solver: Solver
    rows: Rows
    readings: Readings
    n_obs: int
    obs: np.ndarray
    analytes: tuple[str, ...]
    estimated: tuple[str, ...]
    columns: np.ndarray
    fixed: np.ndarray
    block_parameter: np.ndarray
    block_test: np.ndarray
    subject_of_test: np.ndarray
    place: np.ndarray
    effects: tuple[tuple[int, str], ...]
    scores: np.ndarray

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the columns of theta: those of the physiology, then those of the assays."""
        return (*self.solver.system.parameters, *self.assay_parameters)

    @property
    def assay_parameters(self) -> tuple[str, ...]:
        return tuple(n for n in self.spec.parameters if n not in self.solver.system.parameters)

    @property
    def varying(self) -> tuple[str, ...]:
        """Names of the parameters that differ between people or tests: those at subject level first."""
        return (
            *_varying(self.spec, "subject", self.estimated),
            *_varying(self.spec, "occasion", self.estimated),
        )

    @cached_property
    def varying_index(self) -> np.ndarray:
        """Which of the estimated parameters vary (V)."""
        return np.array([self.estimated.index(n) for n in self.varying], int)

    @cached_property
    def block_varying(self) -> np.ndarray:
        """Which of the varying parameters each slot of a block belongs to (D)."""
        where = {k: v for v, k in enumerate(self.varying_index)}
        return np.array([where[k] for k in self.block_parameter], int)

    @cached_property
    def location(self) -> np.ndarray:
        """Prior mean of the typical values on their own scale (K)."""
        return np.array([self.spec.parameters[n].location for n in self.estimated])

    @cached_property
    def spread(self) -> np.ndarray:
        """Prior SD of the typical values on their own scale (K)."""
        return np.array([self.spec.parameters[n].typical.sd for n in self.estimated])

    @cached_property
    def is_logit(self) -> np.ndarray:
        """Which of the estimated parameters have a logit scale (K)."""
        return np.array([self.spec.parameters[n].scale == "logit" for n in self.estimated], bool)

    @cached_property
    def between_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD of the log of the between-subject SDs (V)."""
        between = [self.spec.parameters[n].between for n in self.varying]
        return np.log([b.omega for b in between]), np.array([b.sd for b in between])

    @cached_property
    def effect_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD of the log factors of the covariate effects (E)."""
        found = [self.spec.parameters[self.estimated[k]].effects[key] for k, key in self.effects]
        return np.array([np.log(e.median) for e in found]), np.array([np.log(e.gsd) for e in found])

    @cached_property
    def error_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD of the log of the assay errors (analyte)."""
        errors = [self.spec.analytes[a].error for a in self.analytes]
        return np.log([e.median for e in errors]), np.array([e.sd for e in errors])

    @cached_property
    def correlated(self) -> np.ndarray:
        """Slots of a block whose deviations are correlated, in the order in which the model names them."""
        known = [self.estimated.index(n) for n in self.spec.correlations if n in self.varying]
        slots = [int(np.flatnonzero(self.block_parameter == k)[0]) for k in known]
        return np.array(slots if len(slots) > 1 else [], int)

    @cached_property
    def partial_shapes(self) -> np.ndarray:
        """Shapes of the Beta priors of the partial correlations: see `correlation`."""
        return beta_shapes(len(self.correlated), self.spec.eta or 1.0)

    @cached_property
    def block_scores(self) -> np.ndarray:
        """Scores of the effects in the slots of the blocks (S, D, E): zero where an effect acts on another
        parameter."""
        acts = np.array([[k == kb for k, _ in self.effects] for kb in self.block_parameter]).reshape(
            len(self.block_parameter), len(self.effects)
        )
        return self.scores[self.block_test] * acts

    def centre(self, typical, effect):
        """Where the people of each block are expected: ``(..., S, D)`` from ``(..., K)`` and ``(..., E)``."""
        shift = np.einsum("sde,...e->...sd", self.block_scores, effect)
        return typical[..., None, self.block_parameter] + shift

    def theta(self, typical, effect, block):
        """Parameters ``(..., test, parameter)`` on their natural scale."""
        shift = np.zeros((*typical.shape[:-1], len(self.subject_of_test), len(self.estimated)))
        for e, (k, _) in enumerate(self.effects):
            shift[..., k] += self.scores[:, e] * effect[..., None, e]
        phi = typical[..., None, :] + shift
        phi[..., self.varying_index] = block[..., self.subject_of_test[:, None], self.place]
        theta = np.broadcast_to(self.fixed, (*phi.shape[:-1], len(self.fixed))).copy()
        theta[..., self.columns] = self.natural(phi)
        return theta

    def natural(self, phi):
        """Estimated parameters ``(..., K)`` from their own scale to the natural one."""
        with np.errstate(over="ignore"):
            return np.where(self.is_logit, 1 / (1 + np.exp(-phi)), np.exp(np.where(self.is_logit, 0.0, phi)))

    def driving(self, theta, error=None, reading_error=None) -> np.ndarray:
        """True concentrations at the readings that drive the model (..., R), from theta (..., test,
        parameter), assay errors (..., analyte) and reading errors (..., L); without errors, what was read."""
        r = self.readings
        true = np.exp(r.log_value) - r.offset
        if reading_error is not None:
            own = r.slot >= 0
            log_true = r.log_value[own] + error[..., r.analyte, None] * reading_error
            true = np.broadcast_to(true, (*log_true.shape[:-1], len(true))).copy()
            with np.errstate(over="ignore"):
                true[..., own] = np.exp(log_true) - r.offset
        return np.where(r.slot < 0, theta[..., r.test, r.basal], true)

    def solve(self, theta: np.ndarray, driving: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Predictions of the rows ``(row,)`` and outcome codes for theta ``(test, parameter)``, driven by
        true concentrations ``(R,)``; without them, by what was read."""
        driving = self.driving(theta) if driving is None else driving
        physiology = theta[:, : len(self.solver.system.parameters)]
        outputs, outcome = self.solver.outputs(physiology, self.readings.at_stops(driving))
        return self.rows.predict(outputs, theta), outcome


def design(spec: ModelSpec, study: Study, **settings) -> Design:
    """Put a model and a study together.

    `settings` go to the solver (relative, absolute, max_steps). Raises SpecError or StudyError when they do
    not fit together, with every reason.
    """
    _check(spec, study)
    study = _within_limits(spec, study)
    for protocol in set(study.protocols.values()):
        check_protocol(spec, protocol)
    tests = study.tests
    subjects = {s: i for i, s in enumerate(study.subjects)}
    subject_of_test = np.array([subjects[s] for s, _ in tests])
    used = study.used
    forcing_analytes = {a for a, analyte in spec.analytes.items() if analyte.forcing}
    keep = np.array(
        [_is_compared(spec, a, t) for a, t in zip(used.analyte.values, used.time.values, strict=True)], bool
    )
    if not keep.any():
        raise StudyError(
            f"The study '{study.name}' has no sample that the model '{spec.name}' can be compared with: of "
            f"{study.observations.sizes['obs']} samples all are missing or left out."
        )
    used = used.isel(obs=keep)

    curves = _curves(study, tests, forcing_analytes)
    schedule = _schedule(study, tests, curves)
    shown = [
        spec.analytes[a].output for a in spec.analytes if a in study.analytes and a not in forcing_analytes
    ]
    outputs = tuple(dict.fromkeys([*shown, *(s.output for s in spec.soft.values())]))
    usual = TOLERANCES_WHEN_LONG if (schedule.end - schedule.start).max() > LONG else TOLERANCES
    solving = solver(spec.structure, schedule, outputs, **{**usual, **settings})
    parameters = (
        *solving.system.parameters,
        *(n for n in spec.parameters if n not in solving.system.parameters),
    )

    analytes = tuple(a for a in spec.analytes if a in {*used.analyte.values, *forcing_analytes})
    unused = {a.floor for n, a in spec.analytes.items() if a.floor and n not in analytes}
    estimated = tuple(n for n in spec.estimated if n not in unused)
    rows = _rows(spec, study, used, solving, schedule, tests, parameters, outputs, analytes)
    readings = _readings(spec, curves, schedule, parameters, analytes)

    place, block_parameter, block_test = _blocks(spec, estimated, subject_of_test, len(subjects))
    if blank := [test for test in tests if not (used.subject.values == test[0]).any()]:
        people = some(sorted({subject for subject, _ in blank}))
        warn_caller(
            f"Nothing that '{spec.name}' compares was measured in subject {people}: what is said of them is "
            "what the others tell of people in general.",
            StudyWarning,
        )
    _warn_of_gaps(spec, study, estimated)
    _warn_of_near_levels(spec, study, estimated)
    effects = tuple(
        (k, key)
        for k, n in enumerate(estimated)
        for key, effect in spec.parameters[n].effects.items()
        if _acts(effect, study)
    )
    acting = [spec.parameters[estimated[k]].effects[key] for k, key in effects]
    scores = np.array(
        [[e.score(v) for v in study.covariates[e.covariate].values[subject_of_test]] for e in acting], float
    )
    scores = scores.reshape(len(effects), len(tests)).T.copy()
    fixed = np.array([spec.parameters[n].typical.median for n in parameters])
    columns = np.array([parameters.index(n) for n in estimated], int)
    return Design(
        spec,
        study,
        solving,
        rows,
        readings,
        used.sizes["obs"],
        used.obs.values,
        analytes,
        estimated,
        columns,
        fixed,
        block_parameter,
        block_test,
        subject_of_test,
        place,
        effects,
        scores,
    )


def _check(spec: ModelSpec, study: Study) -> None:
    if several := [n for n in spec.correlations if n in spec.at("occasion")]:
        raise SpecError(
            f"{spec.name}: [correlations] are of what differs between people, but {', '.join(several)} "
            "differs from test to test; give it the level 'subject', or take it out of the section."
        )
    unknown = [a for a in study.analytes if a not in spec.analytes]
    if unknown:
        raise StudyError(
            f"The study '{study.name}' measured {', '.join(unknown)}, which the model '{spec.name}' does not "
            f"describe. It describes {', '.join(spec.analytes)}. Use study.select(analytes=[...]) to leave "
            "samples out, or another model (bayesglu models)."
        )
    forced = [a for a, analyte in spec.analytes.items() if analyte.forcing and a not in study.analytes]
    if forced:
        raise StudyError(
            f"The model '{spec.name}' is driven by measured {', '.join(forced)}, "
            f"which the study '{study.name}' lacks."
        )


def _within_limits(spec: ModelSpec, study: Study) -> Study:
    """The study with samples beyond the model's detection limits at the limit, and censored there."""
    obs = study.observations
    value, censoring = obs.value.values.copy(), obs.censoring.values.astype(object)
    for name, analyte in spec.analytes.items():
        whole = (obs.analyte.values == name) & (obs.censoring.values == "none")
        for side, limit in (("left", analyte.lower), ("right", analyte.upper)):
            if limit is not None:
                beyond = whole & (value < limit if side == "left" else value > limit)
                value[beyond], censoring[beyond] = limit, side
    if (censoring == obs.censoring.values).all():
        return study
    censored = {"value": ("obs", value, obs.value.attrs), "censoring": ("obs", censoring.astype(str))}
    return replace(study, observations=obs.assign(censored))


def _is_compared(spec: ModelSpec, analyte: str, time: float) -> bool:
    a = spec.analytes[analyte]
    if a.forcing:
        return time <= 0 or (a.basal_from is not None and time >= a.basal_from)
    return time <= 0 or time >= a.samples_from


def _of_test(study: Study, subject: str, occasion: str) -> xr.Dataset:
    obs = study.observations
    return obs.isel(obs=(obs.subject.values == subject) & (obs.occasion.values == occasion))


def _curves(study: Study, tests, forcing_analytes) -> list[xr.Dataset]:
    """The readings that drive each test, in the order of their times."""
    curves = []
    for test in tests if forcing_analytes else ():
        mine = _of_test(study, *test)
        drives = np.isin(mine.analyte.values, list(forcing_analytes)) & np.isfinite(mine.value.values)
        curves.append(mine.isel(obs=drives).sortby("time"))
    return curves


def _schedule(study: Study, tests, curves) -> Schedule:
    samples = study.observations[["subject", "occasion", "time"]].to_dataframe()
    sampled = samples.groupby(["subject", "occasion"])["time"].unique()
    times = [np.sort(sampled[test]) for test in tests]
    protocols = [study.protocols[test] for test in tests]
    return build_schedule(
        protocols,
        times,
        start=[min(0.0, t[0], *(e.time for e in p.events)) for t, p in zip(times, protocols, strict=True)],
        body_weight=study.body_weight.sel(subject=[s for s, _ in tests]).values,
        forcing=[(c.time.values, c.value.values) for c in curves] or None,
        labels=[_label(test, tests) for test in tests],
    )


def _readings(spec, curves, schedule: Schedule, parameters, analytes) -> Readings:
    none = np.zeros(0, int)
    if not curves:
        return Readings(none, none, np.zeros(0), none, none, none, np.zeros(0))
    together = xr.concat(curves, "obs")
    (name,) = set(together.analyte.values)
    analyte = spec.analytes[name]
    at_rest = np.array([_is_compared(spec, name, t) for t in together.time.values], bool)
    first = np.concatenate([[0], np.cumsum([c.sizes["obs"] for c in curves])])
    before, after, weight = [], [], []
    for n, curve in enumerate(curves):
        knots, stops = curve.time.values, schedule.time[schedule.offset[n] : schedule.offset[n + 1]]
        place = np.interp(stops, knots, np.arange(len(knots)))
        below = np.floor(place).astype(int)
        before.append(first[n] + below)
        after.append(first[n] + np.minimum(below + 1, len(knots) - 1))
        weight.append(place - below)
    return Readings(
        obs=together.obs.values,
        test=np.repeat(np.arange(len(curves)), np.diff(first)),
        log_value=np.log(together.value.values + analyte.offset),
        slot=np.where(at_rest, -1, np.cumsum(~at_rest) - 1),
        before=np.concatenate(before),
        after=np.concatenate(after),
        weight=np.concatenate(weight),
        analyte=analytes.index(name),
        basal=parameters.index(f"basal_{analyte.output}"),
        offset=analyte.offset,
    )


def _label(test: tuple[str, str], tests) -> str:
    subject, occasion = test
    several = sum(s == subject for s, _ in tests) > 1
    return f"subject {subject}" + (f", occasion {occasion}" if several else "")


def _rows(spec, study, used, solving, schedule, tests, parameters, outputs, analytes) -> Rows:
    number = {test: i for i, test in enumerate(tests)}
    test = np.array([number[t] for t in zip(used.subject.values, used.occasion.values, strict=True)], int)
    names = used.analyte.values
    sample = schedule.sample_index(test, used.time.values) if len(test) else np.zeros(0, int)
    entries: Mapping[str, tuple] = {}
    for a in analytes:
        analyte = spec.analytes[a]
        if analyte.forcing:  # the model is driven by it; at rest it shows the basal concentration
            entries[a] = (0, 0.0, parameters.index(f"basal_{analyte.output}"), 1.0)
        else:
            floor = parameters.index(analyte.floor) if analyte.floor else 0
            entries[a] = (outputs.index(analyte.output), 1.0, floor, float(analyte.floor is not None))
    picked = [entries[a] for a in names]
    first = np.array([np.flatnonzero(schedule.sample_person == i)[0] for i in range(len(tests))], int)
    soft = list(spec.soft.values())
    n_soft = len(soft) * len(tests)

    def with_soft(values, soft_values, dtype=float):
        return np.concatenate([np.asarray(values, dtype), np.asarray(soft_values, dtype)])

    soft_tests = np.tile(np.arange(len(tests)), len(soft))
    offset = np.array([spec.analytes[a].offset for a in names], float)
    repeat = np.repeat
    return Rows(
        sample=with_soft(sample, first[soft_tests], int),
        output=with_soft(
            [p[0] for p in picked], repeat([outputs.index(s.output) for s in soft], len(tests)), int
        ),
        by_output=with_soft([p[1] for p in picked], np.ones(n_soft)),
        test=with_soft(test, soft_tests, int),
        parameter=with_soft([p[2] for p in picked], np.zeros(n_soft), int),
        by_parameter=with_soft([p[3] for p in picked], np.zeros(n_soft)),
        offset=with_soft(offset, np.zeros(n_soft)),
        log_value=with_soft(
            np.log(used.value.values + offset), repeat([np.log(s.median) for s in soft], len(tests))
        ),
        analyte=with_soft([analytes.index(a) for a in names], -np.ones(n_soft), int),
        known_error=with_soft(
            np.ones(len(names)), repeat([np.sqrt(np.log1p(s.cv**2)) for s in soft], len(tests))
        ),
        censoring=with_soft(
            [{"left": -1, "none": 0, "right": 1}[c] for c in used.censoring.values], np.zeros(n_soft), int
        ),
        tails=with_soft([spec.analytes[a].tails for a in names], np.zeros(n_soft)),
    )


def _blocks(spec, estimated, subject_of_test, n_subjects):
    """Which slot of its subject's block each test reads for each varying parameter, and what each slot is
    about."""
    subject_level, occasion_level = (_varying(spec, level, estimated) for level in ("subject", "occasion"))
    turn = np.array([np.sum(subject_of_test[:t] == s) for t, s in enumerate(subject_of_test)])
    n_turns = turn.max() + 1 if occasion_level else 0
    n_s, n_o = len(subject_level), len(occasion_level)
    place = np.empty((len(turn), n_s + n_o), int)
    place[:, :n_s] = np.arange(n_s)
    place[:, n_s:] = n_s + turn[:, None] * n_o + np.arange(n_o)
    slots = [*subject_level, *(occasion_level * n_turns)]
    block_parameter = np.array([estimated.index(n) for n in slots], int)
    first = np.array([np.flatnonzero(subject_of_test == s)[0] for s in range(n_subjects)])
    block_test = np.repeat(first[:, None], len(slots), axis=1)
    for t, s in enumerate(subject_of_test):
        block_test[s, place[t]] = np.where(np.arange(n_s + n_o) < n_s, first[s], t)
    return place, block_parameter, block_test


def _varying(spec: ModelSpec, level, estimated) -> tuple[str, ...]:
    """Parameters of a level, but for the floors of assays that the study does not have."""
    return tuple(n for n in spec.at(level) if n in estimated)


def _acts(effect, study: Study) -> bool:
    """Whether the study knows everyone's covariate, and for a level whether anyone is at it."""
    if effect.covariate not in study.covariates or _unknown(study, effect.covariate):
        return False
    return effect.form != "level" or any(map(effect.score, study.covariates[effect.covariate].values))


def _unknown(study: Study, covariate: str) -> list[str]:
    """People whose covariate is missing."""
    missing = study.covariates[covariate].isnull() | (study.covariates[covariate] == "")
    return [s for s, absent in zip(study.subjects, missing.values, strict=True) if absent]


def _warn_of_gaps(spec: ModelSpec, study: Study, estimated) -> None:
    """Say which covariates are left out since some people lack them, and how to keep them."""
    acting: dict[str, list[str]] = {}
    for name in estimated:
        for covariate in dict.fromkeys(e.covariate for e in spec.parameters[name].effects.values()):
            acting.setdefault(covariate, []).append(name)
    for covariate, names in acting.items():
        if covariate in study.covariates and (without := _unknown(study, covariate)):
            people = f"subject{'s' * (len(without) > 1)} {some(without)}"
            warn_caller(
                f"The covariate '{covariate}' is missing for {people}, so that its effect on "
                f"{', '.join(names)} is left out for everyone. To keep it, fill the gap, or fit without "
                f"{'them' if len(without) > 1 else 'this person'}: study.select(subjects=[...]).",
                StudyWarning,
            )


def _warn_of_near_levels(spec: ModelSpec, study: Study, estimated) -> None:
    """Say which people are at a level that the model does not know but that looks like one it knows."""
    levels: dict[str, list[Effect]] = {}
    for effect in (e for name in estimated for e in spec.parameters[name].effects.values()):
        if effect.form == "level" and effect.covariate in study.covariates:
            levels.setdefault(effect.covariate, []).append(effect)
    for covariate, effects in levels.items():
        known = dict.fromkeys(str(e.reference) for e in effects)
        for found in dict.fromkeys(study.covariates[covariate].values):
            meant = [k for k in known if _alike(str(found), k)]
            if meant and not any(e.score(found) for e in effects):
                warn_caller(
                    f"The {covariate} '{found}' is none that the model '{spec.name}' knows "
                    f"({', '.join(known)}), so no effect acts on these people. If '{meant[0]}' is meant, "
                    "write it so in subjects.csv.",
                    StudyWarning,
                )


def _alike(found: str, known: str) -> bool:
    """Whether one begins as the other does, but for case and signs: ``t2d``, ``T2D-insulin``, ``T2``."""
    a, b = ("".join(filter(str.isalnum, name)).lower() for name in (found, known))
    return len(a) > 1 and (a.startswith(b) or b.startswith(a))
