"""Indices of people, with posterior uncertainty and beside it what raw samples give."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.analysis.index_table import CLAMP, INDICES, INTRAVENOUS, ORAL, Case
from bayesglu.analysis.kept_study import study_of
from bayesglu.analysis.people import covariates_of, fitted_people, thinned
from bayesglu.analysis.sampled_test import NotKnown, SampledTest
from bayesglu.analysis.simulation import available_outputs, check_names, simulate
from bayesglu.errors import InputError
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol
from bayesglu.results import require_fit
from bayesglu.spec.model import ModelSpec, model_of
from bayesglu.study.study import Study, load_study
from bayesglu.text.wording import some

SHOWN = ("glucose", "insulin", "glucagon", "insulin_secretion")
SHOWN += ("endogenous_glucose_production", "glucose_infusion")
SIMULATED = {ORAL: "ogtt(75)", INTRAVENOUS: "ivgtt(0.3)", CLAMP: "clamp(90, 120, insulin_rate=1)"}
MINUTES = {
    ORAL: np.arange(0.0, 181.0, 5.0),
    INTRAVENOUS: np.arange(0.0, 11.0, 1.0),
    CLAMP: np.arange(0.0, 121.0, 2.0),
}
MEANINGLESS = 0.05
"""Share of draws in which an index may mean nothing; where it does in more, it is NaN."""


def indices(
    fit: xr.DataTree | Study | str | Path,
    names: str | Iterable[str] | None = None,
    draws: int = 400,
    probability: float = 0.9,
    study: Study | str | Path | None = None,
    clamp: Protocol | str = SIMULATED[CLAMP],
) -> xr.Dataset:
    """Indices of insulin sensitivity, secretion and glucose production of each person.

    With a fit each index has a posterior: that of the person's true curves in an oral test of 75 g, in an
    intravenous one or in a clamp, simulated with the parameters of the day that was fitted (of several, the
    first). Beside it stands the plain index of raw samples, where these are enough for one. An index that
    means nothing, or cannot be computed, is NaN, and ``why`` says the reason.

    Parameters
    ----------
    fit : xarray.DataTree, Study, str or Path
        As `fit`, `fit_person` and `load` return it; or a study, or its name or path, for raw indices alone.
    names : str or iterable of str, optional
        Which indices; by default all, in the order of [the table](../indices.md).
    draws : int
        About how many draws to use, evenly spaced.
    probability : float
        Probability of the equal-tailed intervals.
    study : Study, str or Path, optional
        The samples of which the raw indices are; by default those that the fit keeps.
    clamp : Protocol or str
        The clamp that is simulated, of two hours.

    Returns
    -------
    xarray.Dataset
        Dims ``index, subject``: ``median``, ``lower`` and ``upper`` of the posterior, ``raw``, and ``why``
        and ``why_raw`` where there is no number; ``draws`` (index, subject, sample). Coordinates along
        ``index``: ``title``, ``unit``, ``formula``, ``source``, ``means_nothing`` and ``of``. Of a study
        alone there is only what is raw.

    Raises
    ------
    InputError
        If it is no fit, a name is unknown or a number cannot be used.
    StudyError
        If there is no such study.
    ProtocolError
        If the text is not a protocol.
    SpecError
        If the model has a part that is not registered.
    SolverError
        If the equations cannot be solved.

    Examples
    --------
    >>> import bayesglu as bg
    >>> found = bg.indices("synthetic_ogtt", ["homa_ir", "matsuda"])
    >>> bool((found.raw.sel(index="matsuda") > 0).all())
    True
    """
    chosen = list(INDICES) if names is None else [names] if isinstance(names, str) else list(names)
    check_names("index", chosen, INDICES)
    if not 0 < probability < 1 or draws < 1:
        reason = f"probability is {probability:g} and draws is {draws}"
        raise InputError(f"{reason}; allowed: between 0 and 1, and 1 or more.")
    if not isinstance(fit, xr.DataTree):
        samples = load_study(fit)
        return _table(chosen, list(samples.subjects)).assign(_raw(chosen, samples, samples.subjects))
    spec = model_of(require_fit(fit).attrs)
    cases = _cases(fit, spec, draws, parse_protocol(clamp))
    found = _table(chosen, list(cases)).assign(_posterior(chosen, cases, probability))
    found.attrs |= {"model": spec.name, "interval": "equal-tailed", "probability": probability}
    found.attrs["simulated"] = ", ".join({**SIMULATED, CLAMP: parse_protocol(clamp).name}.values())
    try:
        samples = study_of(fit) if study is None else load_study(study)
    except InputError:  # of study_of
        empty = np.full((len(chosen), len(cases)), np.nan)
        reason = np.full(empty.shape, "the fit does not keep the samples: give the study", object)
        return found.assign(raw=(("index", "subject"), empty), why_raw=(("index", "subject"), reason))
    return found.assign(_raw(chosen, samples, tuple(cases)))


def _table(chosen: list[str], subjects: list[str]) -> xr.Dataset:
    """Names of indices and people, and what each index is."""
    about = {name: name for name in ("title", "unit", "formula", "source", "of")}
    about["means_nothing"] = "nothing"
    labels = {key: ("index", [getattr(INDICES[n], field) for n in chosen]) for key, field in about.items()}
    return xr.Dataset(coords={"index": chosen, "subject": subjects, **labels})


# --- raw ---


def _raw(chosen: list[str], study: Study, subjects: Iterable[str]) -> dict:
    """The plain indices of samples, of the first test of each kind that a person had."""
    subjects = list(subjects)
    if absent := [subject for subject in subjects if subject not in study.subjects]:
        raise InputError(f"The study '{study.name}' has no subject {some(absent)}.")
    value = np.full((len(chosen), len(subjects)), np.nan)
    why = np.full(value.shape, "", object)
    for s, subject in enumerate(subjects):
        case = Case(_tests(study, subject))
        for i, name in enumerate(chosen):
            if not INDICES[name].raw:
                why[i, s] = "only of a model"
                continue
            value[i, s], why[i, s] = _one(name, case)
    dims = ("index", "subject")
    return {"raw": (dims, value), "why_raw": (dims, why)}


def _one(name: str, case: Case) -> tuple[float, str]:
    try:
        found = float(np.asarray(INDICES[name].value(case)))
    except NotKnown as error:
        return np.nan, str(error)
    return found, "" if np.isfinite(found) else INDICES[name].nothing


def _tests(study: Study, subject: str) -> dict[str, SampledTest | str]:
    """The tests that a person had, by kind: the first of each."""
    found: dict[str, SampledTest | str] = {}
    used = study.used
    for (who, occasion), protocol in study.protocols.items():
        kind = kind_of(protocol)
        if who != subject or kind is None or kind in found:
            continue
        own = used.isel(obs=((used.subject == who) & (used.occasion == occasion)).values)
        times, values = {}, {}
        for analyte in dict.fromkeys(own.analyte.values.tolist()):
            rows = own.isel(obs=(own.analyte == analyte).values).sortby("time")
            times[analyte] = rows.time.values - protocol.onset
            values[analyte] = rows.value.values
        found[kind] = SampledTest(times, values, _dose(protocol, study, who), *_body(study, who))
    return found


def kind_of(protocol: Protocol) -> str | None:
    """The kind of test that a protocol is: one dose of oral or of intravenous glucose; else none."""
    doses = [event for event in protocol.events if event.kind != "clamp"]
    if len(doses) != len(protocol.events) or not doses or doses[0].substance != "glucose":
        return None
    if len(doses) > 1 and not all(event.route == "intravenous" for event in doses):
        return None
    if doses[0].kind != "bolus" or "meal" in protocol.name:
        return None
    return ORAL if doses[0].route == "oral" else INTRAVENOUS


def _dose(protocol: Protocol, study: Study, subject: str) -> float:
    """Glucose of the first dose, g; NaN where it is by weight and the weight is unknown."""
    event, weight = protocol.events[0], float(study.body_weight.sel(subject=subject))
    if event.unit in ("g", "mg"):
        return event.amount * {"g": 1.0, "mg": 1e-3}[event.unit]
    return event.amount * {"g/kg": 1.0, "mg/kg": 1e-3}.get(event.unit, np.nan) * weight


def _body(study: Study, subject: str) -> tuple[float, float]:
    """Weight in kg and height in cm."""
    place = study.subjects.index(subject)
    return float(study.body_weight[place]), float(_heights(study.covariates, study.body_weight)[place])


def _heights(covariates: xr.Dataset, weight: xr.DataArray) -> np.ndarray:
    """Heights in cm, of body mass index and weight where they are not given; NaN where neither is known."""
    if "height" in covariates:
        return covariates["height"].values.astype(float)
    if "bmi" in covariates:
        return 100 * np.sqrt(weight.values / covariates["bmi"].values.astype(float))
    return np.full(weight.size, np.nan)


# --- of a fit ---


def _posterior(chosen: list[str], cases: dict[str, Case], probability: float) -> dict:
    """Draws of each index, and their summary; NaN where it means nothing in too many."""
    one = next(iter(cases.values()))
    size = next(iter(one.parameters.values())).size
    drawn = np.full((len(chosen), len(cases), size), np.nan)
    why = np.full(drawn.shape[:2], "", object)
    for s, case in enumerate(cases.values()):
        for i, name in enumerate(chosen):
            try:
                values = np.asarray(INDICES[name].value(case), float)
            except NotKnown as error:
                why[i, s] = str(error)
                continue
            drawn[i, s] = values
            lost = float((~np.isfinite(drawn[i, s])).mean())
            if lost > 0:
                why[i, s] = f"In {100 * lost:.0f} % of draws: {INDICES[name].nothing}"
            if lost > MEANINGLESS:
                drawn[i, s] = np.nan
    tail = (1 - probability) / 2
    with np.errstate(invalid="ignore"):
        known = np.isfinite(drawn).any(-1)
        filled = np.where(known[..., None], drawn, 0.0)
        low, middle, high = np.nanquantile(filled, [tail, 0.5, 1 - tail], axis=-1)
    dims = ("index", "subject")
    found = {
        name: (dims, np.where(known, values, np.nan))
        for name, values in zip(("median", "lower", "upper"), (middle, low, high), strict=True)
    }
    return {**found, "why": (dims, why), "draws": ((*dims, "sample"), drawn)}


def _cases(fit: xr.DataTree, spec: ModelSpec, draws: int, clamp: Protocol) -> dict[str, Case]:
    """Everyone's parameters and simulated tests, by label."""
    posterior, known = fit["posterior"].to_dataset(), fit["constant_data"].to_dataset()
    posterior = thinned(posterior, draws)
    parameters = fitted_people(spec, posterior, known, list(map(str, known.subject.values)))
    tests = {
        kind: _simulated(spec, protocol, MINUTES[kind], parameters, known.body_weight)
        for kind, protocol in {**{k: parse_protocol(p) for k, p in SIMULATED.items()}, CLAMP: clamp}.items()
    }
    estimated = {p for p in parameters if spec.parameters[p].level != "fixed"}
    cases = {}
    heights = _heights(covariates_of(known, posterior), known.body_weight)
    for s, subject in enumerate(map(str, known.subject.values)):
        own = {name: parameters[name].values[..., s].ravel() for name in sorted(estimated)}
        weight = float(known.body_weight[s])
        mine: dict[str, SampledTest | str] = {}
        for kind, found in tests.items():
            if isinstance(found, str):
                mine[kind] = found
                continue
            values = {
                str(n): v.sel(subject=subject).values.reshape(-1, len(MINUTES[kind]))
                for n, v in found.items()
            }
            times = dict.fromkeys(values, MINUTES[kind])
            dose = 75.0 if kind == ORAL else np.nan
            mine[kind] = SampledTest(times, values, dose, weight, heights[s])
        cases[subject] = Case(mine, own, spec.structure)
    return cases


def _simulated(spec: ModelSpec, protocol: Protocol, minutes, parameters, weight) -> xr.Dataset | str:
    """Curves of everyone in a test, or why there are none."""
    if spec.structure["insulin"] == "forced":
        return "the model is driven by measured insulin, and simulates no test by itself"
    shown = [name for name in SHOWN if name in available_outputs(spec)]
    absolute = any("kg" not in event.unit for event in protocol.events if event.kind != "clamp")
    if absolute and not np.isfinite(weight).all():
        return "the body weight of some is unknown, and the dose is absolute"
    try:
        return simulate(spec, protocol, parameters, minutes, shown, body_weight=weight)
    except InputError as error:
        return str(error)
