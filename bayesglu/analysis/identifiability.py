"""Practical identifiability of a study design, before any data: the expected posterior contraction.

The model is linearised at people drawn from the prior. There the posterior is Normal, with precision

    prior precision + J' W J

where J are the sensitivities of the log predictions and W the precisions of the samples: Bayesian optimal
design (Chaloner and Verdinelli 1995, Statistical Science 10:273). For the population the deviations of its
people are integrated out (Mentré, Mallet and Baccar 1997, Biometrika 84:429). What is expected for one person
is the shrinkage of that person's fit (Combes et al. 2013, Pharmaceutical Research 30:2355).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.analysis.sampling_times import usual_times
from bayesglu.analysis.simulation import check_names
from bayesglu.errors import InputError
from bayesglu.hierarchy.compatibility import check_forcing, check_protocol
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.rows import TINY
from bayesglu.protocols.events import Protocol
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.schedule import Forcing
from bayesglu.seeds import seed_of
from bayesglu.solver.integrate import FINE
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import ModelSpec, SpecError, load_model
from bayesglu.study.study import Study

WELL, PARTLY, A_LITTLE = 0.5, 0.25, 0.1
"""Contractions from which on a parameter has this grade. Below the last it is prior-dominated."""

INSEPARABLE = 0.9
"""Two parameters with a posterior correlation beyond this are practically non-identifiable."""

STEP = 1e-2  # of the central differences, on the scale of log parameters
MOST_PEOPLE = 20  # who are simulated in each draw; more people are taken to be like these
AT_ONCE = 8192  # solves, so that memory stays small


def identify(
    model: ModelSpec | str | Path,
    protocol: Protocol | str,
    times: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    analytes: Iterable[str] | None = None,
    noise: float | Mapping[str, float] | None = None,
    subjects: int = 20,
    draws: int = 24,
    body_weight: float | None = 70.0,
    random_seed: int | np.random.Generator | None = None,
    parameters: str | Iterable[str] = "free",
    prior_cv: float = 0.3,
    forcing: Forcing | None = None,
) -> xr.Dataset:
    """Practical identifiability: the share of prior uncertainty that samples under a protocol would remove.

    The model is linearised at people drawn from the prior. Assay errors and between-subject SDs are taken as
    known, and a sample beyond a limit of quantification as uninformative.

    Parameters
    ----------
    model : ModelSpec, str or Path
        A model, or the name or path of a model file.
    protocol : Protocol or str
        What would be done, such as ``"ogtt(75)"``.
    times : sequence of float or mapping, optional
        Minutes of the samples, for all analytes or by analyte; by default the usual ones of the protocol.
    analytes : iterable of str, optional
        What is measured; by default all that the model describes.
    noise : float or mapping, optional
        SD of the log residuals, for all analytes or by analyte; by default the medians of the model's priors.
    subjects : int
        People in the study from which typical values are estimated.
    draws : int
        Draws of the prior, of typical values and of `subjects` people about them, over which all is averaged.
    body_weight : float, optional
        Body weight, kg; needed where a dose is absolute.
    random_seed : int or numpy.random.Generator, optional
        Seed of those draws; drawn where it is not given, and kept in the attributes.
    parameters : str or iterable of str
        What is unknown: ``"free"`` for what the model estimates, ``"all"`` for every parameter, or names of
        fixed parameters that are to be unknown too. Those are taken as the same in all subjects, and known
        within `prior_cv`.
    prior_cv : float
        Coefficient of variation of the prior of a fixed parameter (of the odds, where the scale is logit).
    forcing : tuple, optional
        ``(times, values)`` of the forcing function (min, its unit): a measured curve that enters the
        equations as an input, such as insulin in `minimal`. Each value is known within its assay's error; at
        rest insulin is the person's basal one.

    Returns
    -------
    xarray.Dataset
        Along ``parameter``, with coordinates ``symbol``, ``unit``, ``level`` and ``scale``: ``individual``
        and ``typical``, 1 - posterior SD / prior SD on the log (logit) scale (0 nothing, 1 everything), of
        the parameters of one subject from that subject's samples alone, and of the typical values from all
        `subjects`; ``individual_prior_sd`` and ``typical_prior_sd``, the SDs before any sample,
        pseudo-observations included; ``individual_correlation`` and ``typical_correlation``, posterior
        correlations ``(parameter, other)``. Along ``pair``, with coordinates ``first`` and ``second``:
        ``pair_individual`` and ``pair_typical``, the correlations of the pairs that are practically
        non-identifiable (beyond 0.9 in absolute value in either), the worst first. The attribute
        ``failed_solves`` counts the people who had to be left out.

    Raises
    ------
    InputError
        If a name, a number or `forcing` cannot be used.
    ProtocolError
        If the text is not a protocol, or a dose is absolute and the body weight is missing.
    SpecError
        If there is no such model, or all its parameters are fixed.
    SolverError
        If the equations cannot be solved for half of the people.

    Notes
    -----
    Bayesian optimal design: Chaloner and Verdinelli 1995, Statistical Science 10:273. Random effects are
    integrated out after Mentré, Mallet and Baccar 1997, Biometrika 84:429. For one person it is the expected
    shrinkage of Combes et al. 2013, Pharmaceutical Research 30:2355.

    Examples
    --------
    >>> import bayesglu as bg
    >>> expected = bg.identify("oral", bg.ogtt(75), subjects=5, draws=4)
    >>> bool(expected.individual.sel(parameter="basal_insulin") > 0.5)
    True
    """
    spec, protocol = load_model(model), parse_protocol(protocol)
    _check_numbers(subjects=subjects, draws=draws, prior_cv=prior_cv)
    measured = tuple(spec.analytes) if analytes is None else tuple(dict.fromkeys(_names(analytes)))
    check_names("analyte", measured, spec.analytes)
    check_protocol(spec, protocol)
    check_forcing(spec, forcing)
    sampled = _sampled(spec, protocol, times, measured, forcing)
    study = _study(spec, protocol, sampled, forcing, body_weight)
    plan = make_design(_with_unknown(spec, parameters, prior_cv), study)
    seed = seed_of(random_seed)
    rng = np.random.default_rng(seed)
    people = min(subjects, MOST_PEOPLE)
    phi = _drawn(plan.individuals, rng, draws, people)
    soft, data, fine = _information(plan, phi.reshape(draws * people, -1), _noise(plan, noise))
    _require_enough(fine)

    shape = (draws, people, *soft.shape[1:])
    soft, data, fine = soft.reshape(shape), data.reshape(shape), fine.reshape(draws, people)
    typical, between = plan.individuals.typical_prior[1], _between(plan.individuals)
    one = tuple(individual_covariance(h[fine], typical, between) for h in (soft, soft + data))
    some = fine.any(axis=1)
    weight = np.where(fine, subjects / np.maximum(fine.sum(axis=1, keepdims=True), 1), 0.0)[some]
    all_ = tuple(typical_covariance(h[some], typical, between, weight) for h in (soft, soft + data))

    found = _dataset(spec, plan.individuals, one, all_)
    found.attrs = {
        "model": spec.name,
        "model_hash": spec.hash,
        "protocol": protocol.name,
        "samples": _told(sampled),
        "subjects": subjects,
        "draws": draws,
        "failed_solves": int((~fine).sum()),
        "random_seed": seed,
    }
    return found


def individual_covariance(information: np.ndarray, typical: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Covariance ``(..., K, K)`` of one person's K parameters, given what that person's samples tell.

    information : J' W J, ``(..., K, K)``. typical, between : prior SDs ``(K,)`` of the typical values and
    between people, 0 where people do not differ.
    """
    sd = np.hypot(typical, between)
    # In units of the prior SDs the matrix to be inverted is never near singular.
    return _scaled(np.linalg.inv(np.eye(len(sd)) + _scaled(information, sd)), sd)


def typical_covariance(
    information: np.ndarray, typical: np.ndarray, between: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Covariance ``(..., K, K)`` of the typical values, with everyone's deviations integrated out.

    information : ``(..., person, K, K)``, as in `individual_covariance`. weight : ``(..., person)``, how many
    people each one stands for. With B the diagonal matrix of the SDs between people, the samples of one tell
    of the typical values ``H - H B (1 + B H B)^-1 B H``.
    """
    inner = np.linalg.inv(np.eye(len(between)) + _scaled(information, between))
    tells = information - information @ _scaled(inner, between) @ information
    total = np.einsum("...p,...pij->...ij", weight, tells)
    return _scaled(np.linalg.inv(np.eye(len(typical)) + _scaled(total, typical)), typical)


def grade(share: float) -> str:
    """A share, as it is printed, in a word: well, partly, a little, hardly."""
    steps = {"well": WELL, "partly": PARTLY, "a little": A_LITTLE}
    return next((word for word, least in steps.items() if round(share, 2) >= least), "hardly")


def untouched(identified: xr.Dataset) -> tuple[str, ...]:
    """Names of the parameters whose expected contraction is below half a per cent: nil."""
    most = np.maximum(identified["individual"], identified["typical"])
    return tuple(map(str, identified["parameter"].values[most.values < 0.005]))


def _with_unknown(spec: ModelSpec, parameters: str | Iterable[str], prior_cv: float) -> ModelSpec:
    """The model in which fixed parameters that are asked for are unknown too, the same in all people."""
    fixed = set(spec.at("fixed"))
    if parameters == "all":
        # A fixed zero stays: it has no logarithm.
        asked = {n for n in fixed if np.isfinite(spec.parameters[n].location)}
    else:
        asked = set() if parameters == "free" else set(_names(parameters))
        check_names("parameter", sorted(asked), spec.parameters)
        if zero := sorted(n for n in asked if not np.isfinite(spec.parameters[n].location)):
            raise InputError(f"{', '.join(zero)}: fixed at a value that has no logarithm, so nothing varies.")
    if not {*spec.estimated, *asked}:
        raise SpecError(f"{spec.name}: every parameter is fixed. Ask for some: parameters='all'.")
    gsd = float(np.exp(np.sqrt(np.log1p(prior_cv**2))))
    free = {n: {"level": "shared", "typical": {"gsd": gsd}} for n in sorted(asked & fixed)}
    return spec.with_changes(parameters=free) if free else spec


def _between(people: Individuals) -> np.ndarray:
    """SDs between people of the K parameters, at the medians of their priors; 0 of what people share."""
    found = np.zeros(len(people.estimated))
    found[people.layout.varying] = np.exp(people.omega_prior[0])
    return found


def _drawn(people: Individuals, rng: np.random.Generator, draws: int, count: int) -> np.ndarray:
    """Parameters of people ``(draw, person, K)`` on their scales, those of a draw about typical values of
    their own. Random numbers go to the parameters in the order in which the model reads them."""
    location, typical = people.typical_prior
    place = np.argsort(np.argsort(people.layout.columns))
    of_population, of_people = (
        rng.standard_normal((draws, n, len(location)))[..., place] for n in (1, count)
    )
    return location + typical * of_population + _between(people) * of_people


def _theta(people: Individuals, phi: np.ndarray) -> np.ndarray:
    """What the model reads of a person, ``(..., parameter)``, from the K parameters on their scales."""
    no_effect = np.zeros((*phi.shape[:-1], len(people.effects)))
    own = phi[..., None, people.layout.component_parameter]
    return people.theta(phi, no_effect, own)[..., 0, :]


def _information(plan: Design, phi: np.ndarray, noise: np.ndarray):
    """What pseudo-observations and what samples tell, ``(person, K, K)`` each, and who could be solved."""
    count, k = phi.shape
    soft, data, fine = np.zeros((count, k, k)), np.zeros((count, k, k)), np.ones(count, bool)
    low, high = _limits(plan)
    weight = np.sqrt(plan.rows.expected_information(noise))
    at = np.pad(phi, ((0, 0), (0, plan.forcing.n_errors)))  # and the errors of the forcing
    nudges = STEP * np.stack([np.eye(at.shape[1]), -np.eye(at.shape[1])])
    together = max(1, AT_ONCE // (2 * at.shape[1]))
    for begin in range(0, count, together):
        part = slice(begin, begin + together)
        log, solved = _predict(plan, at[part, None, None, :] + nudges, noise)
        fine[part] = solved.all(axis=(1, 2)) & np.isfinite(log).all(axis=(1, 2, 3))
        log[~fine[part]] = 0.0
        slope = (log[:, 0] - log[:, 1]) / (2 * STEP)  # (person, K + L, row)
        middle = log.mean(axis=(1, 2))
        seen = (low < middle) & (middle < high)
        tells = slope * weight * seen[:, None, :]
        known, sampled = tells[:, :k, plan.n_obs :], tells[..., : plan.n_obs]
        soft[part] = known @ known.swapaxes(1, 2)
        data[part] = _of_the_first(k, sampled @ sampled.swapaxes(1, 2))
    return soft, data, fine


def _of_the_first(k: int, information: np.ndarray) -> np.ndarray:
    """What is told ``(..., K, K)`` of the first k numbers, when the others are standard Normal before."""
    cross, others = information[..., :k, k:], information[..., k:, k:]
    others = others + np.eye(others.shape[-1])
    return information[..., :k, :k] - cross @ np.linalg.solve(others, cross.swapaxes(-1, -2))


def _predict(plan: Design, at: np.ndarray, noise: np.ndarray):
    """Log predictions ``(..., row)`` of people with errors of the forcing ``(..., K + L)``, and who could be
    solved."""
    k = len(plan.individuals.estimated)
    theta = _theta(plan.individuals, at[..., :k])
    true = plan.forcing.true(theta[..., None, :], noise, at[..., k:])
    level = plan.forcing.at_stops(true).reshape(-1)
    people = int(np.prod(theta.shape[:-1]))
    solving = replace(plan.solver, schedule=plan.solver.schedule.repeat(people))
    out, outcome = solving.outputs(theta[..., : len(solving.system.parameters)].reshape(people, -1), level)
    out = out.reshape(*theta.shape[:-1], -1, out.shape[-1])
    value = plan.rows.predict(out, theta[..., None, :])  # each of them is one person, on one occasion
    return np.log(np.maximum(value, TINY)), (outcome == FINE).reshape(theta.shape[:-1])


def _noise(plan: Design, noise: float | Mapping[str, float] | None) -> np.ndarray:
    """SD of the log residuals of each analyte."""
    given = noise if isinstance(noise, Mapping) else {}
    check_names("noise of an analyte", given, plan.spec.analytes)
    usual = {a: plan.spec.analytes[a].sigma.median for a in plan.analytes}
    if noise is not None and given is not noise:
        usual = dict.fromkeys(plan.analytes, noise)
    usual |= {a: sd for a, sd in given.items() if a in usual}
    if wrong := [f"{a} {sd!r}" for a, sd in usual.items() if not 0 < sd < np.inf]:
        raise InputError(
            f"noise: {', '.join(wrong)}. Give the SD of log residuals, such as 0.05 for five per cent."
        )
    return np.array([usual[a] for a in plan.analytes])


def _limits(plan: Design) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of the limits of quantification of each row."""
    own = [plan.spec.analytes[plan.analytes[a]] if a >= 0 else None for a in plan.rows.analyte]
    low = [np.log(a.lloq + a.error_offset) if a and a.lloq else -np.inf for a in own]
    return np.array(low), np.array([np.log(a.uloq + a.error_offset) if a and a.uloq else np.inf for a in own])


def _sampled(spec, protocol, times, measured, forcing) -> dict[str, np.ndarray]:
    """Minutes at which each analyte is measured."""
    if isinstance(times, Mapping):
        check_names("times of an analyte", times, measured)
        sampled = {a: times.get(a, ()) for a in measured}
    else:
        sampled = dict.fromkeys(measured, usual_times(protocol) if times is None else times)
    forced = [a for a, analyte in spec.analytes.items() if analyte.forcing]
    sampled |= {a: forcing[0] for a in forced if forcing is not None}
    sampled = {a: np.unique(np.asarray(t, float)) for a, t in sampled.items()}
    if wrong := [a for a, t in sampled.items() if not (len(t) and np.isfinite(t).all())]:
        raise InputError(f"times of {', '.join(wrong)}: give one or more minutes.")
    return sampled


def _told(sampled: Mapping[str, np.ndarray]) -> str:
    """Which analytes are measured when, those with the same times together."""
    by_times: dict[str, list[str]] = {}
    for analyte, minutes in sampled.items():
        by_times.setdefault(", ".join(f"{t:g}" for t in minutes), []).append(analyte)
    return "; ".join(f"{', '.join(names)} at {minutes} min" for minutes, names in by_times.items())


def _study(spec, protocol, sampled, forcing, body_weight) -> Study:
    """One person, measured as planned; the values stand for nothing, but for a forcing function."""
    rows = [(a, t) for a, ts in sampled.items() for t in ts]
    values = np.ones(len(rows))
    if forcing is not None:
        forced = np.interp([t for _, t in rows], *forcing)
        values = np.where([spec.analytes[a].forcing for a, _ in rows], forced, values)
    columns = {
        "subject": ["1"] * len(rows),
        "occasion": ["1"] * len(rows),
        "analyte": [a for a, _ in rows],
        "time": [t for _, t in rows],
        "value": values,
        "censoring": ["none"] * len(rows),
        "use": [True] * len(rows),
        "line": np.zeros(len(rows), int),  # in no table
    }
    person = {"subject": ["1"]}
    return Study(
        name="planned",
        observations=xr.Dataset(
            {name: ("obs", np.asarray(column)) for name, column in columns.items()},
            coords={"obs": np.arange(len(rows))},
        ),
        covariates=xr.Dataset(coords=person),
        protocols={("1", "1"): protocol},
        body_weight=xr.DataArray([np.nan if body_weight is None else body_weight], coords=person),
    )


def _dataset(spec: ModelSpec, people: Individuals, one, all_) -> xr.Dataset:
    order = np.argsort(people.layout.columns)
    names = [people.names[k] for k in order]
    one, all_ = (tuple(c[..., order[:, None], order] for c in pair) for pair in (one, all_))
    found = [spec.parameters[n] for n in names]
    about = {what: [getattr(p, what) for p in found] for what in ("symbol", "unit", "level", "scale")}
    dataset = xr.Dataset(
        coords={"parameter": names, "other": names}
        | {what: ("parameter", values) for what, values in about.items()}
    )
    told = {"individual": ("one subject", one), "typical": ("the typical values", all_)}
    for who, (words, (prior, posterior)) in told.items():
        before, after = (np.sqrt(np.einsum("...ii->...i", c)) for c in (prior, posterior))
        correlation = posterior / (after[..., :, None] * after[..., None, :])
        dataset[who] = (
            "parameter",
            (1 - after / before).mean(axis=0),
            {"long_name": f"expected share of prior uncertainty removed, {words}", "units": "1"},
        )
        dataset[f"{who}_prior_sd"] = (
            "parameter",
            before.mean(axis=0),
            {"long_name": f"prior SD on the log (logit) scale, {words}", "units": "1"},
        )
        dataset[f"{who}_correlation"] = (
            ("parameter", "other"),
            correlation.mean(axis=0),
            {"long_name": f"posterior correlation, {words}", "units": "1"},
        )
    return dataset.merge(_pairs(dataset))


def _pairs(dataset: xr.Dataset) -> xr.Dataset:
    """The pairs that are practically non-identifiable, the worst first."""
    names = dataset["parameter"].values
    correlations = np.stack([dataset[f"{who}_correlation"].values for who in ("individual", "typical")])
    i, j = np.triu_indices(len(names), k=1)
    worst = np.abs(correlations[:, i, j]).max(axis=0)
    chosen = np.argsort(-worst, kind="stable")[: int((worst > INSEPARABLE).sum())]
    i, j = i[chosen], j[chosen]
    return xr.Dataset(
        {
            f"pair_{who}": ("pair", correlation[i, j], {"long_name": "posterior correlation", "units": "1"})
            for who, correlation in zip(("individual", "typical"), correlations, strict=True)
        },
        coords={"first": ("pair", names[i]), "second": ("pair", names[j])},
    )


def _scaled(matrix: np.ndarray, sd: np.ndarray) -> np.ndarray:
    return matrix * sd[:, None] * sd


def _require_enough(fine: np.ndarray) -> None:
    if 2 * fine.sum() < len(fine):
        raise SolverError(
            f"The equations could not be solved for {int((~fine).sum())} of {len(fine)} people drawn from "
            "the prior. Are its spreads meant to be so wide?"
        )


def _check_numbers(subjects: int, draws: int, prior_cv: float) -> None:
    problems = [
        f"{name} is {value!r}; give a whole number from 1 on."
        for name, value in {"subjects": subjects, "draws": draws}.items()
        if int(value) != value or value < 1
    ]
    if not 0 < prior_cv < np.inf:
        problems.append(f"prior_cv is {prior_cv!r}; give a coefficient of variation, such as 0.3.")
    if problems:
        raise InputError("\n".join(problems))


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
