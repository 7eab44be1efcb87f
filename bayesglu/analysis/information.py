"""What the samples of a planned test would tell of parameters: sensitivities, information, covariances.

At people drawn from the prior, or from a posterior, the model is linearised. There the posterior is Normal,
with precision

    prior precision + J' W J

where J are the sensitivities of the log predictions and W the precisions of the samples: Bayesian optimal
design (Chaloner and Verdinelli 1995, Statistical Science 10:273).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np
import xarray as xr

from bayesglu.analysis.sampling_times import usual_times
from bayesglu.analysis.simulation import check_names
from bayesglu.errors import InputError
from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.rows import TINY
from bayesglu.solver.integrate import FINE
from bayesglu.study.study import Study

STEP = 2e-3  # of the central differences, on the scale of log parameters
AT_ONCE = 8192  # solves, so that memory stays small


def individual_covariance(information: np.ndarray, typical: np.ndarray, between: np.ndarray) -> np.ndarray:
    """Covariance ``(..., K, K)`` of one person's K parameters, given what that person's samples tell.

    information : J' W J, ``(..., K, K)``. typical : a factor ``(K, K)`` of the prior covariance of the
    typical values. between : one of the covariance between people ``(K, K)``, 0 where people do not differ.
    """
    return _informed(information, np.linalg.cholesky(typical @ typical.T + between @ between.T))


def typical_covariance(
    information: np.ndarray, typical: np.ndarray, between: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Covariance ``(..., K, K)`` of the typical values, with everyone's deviations integrated out.

    information : ``(..., person, K, K)``; it and the others as in `individual_covariance`. weight : ``(...,
    person)``, how many people each one stands for. With B the factor of the covariance between people,
    the samples of one tell of the typical values ``H - H B (1 + B' H B)^-1 B' H``.
    """
    inner = np.linalg.inv(np.eye(len(between)) + between.T @ information @ between)
    tells = information - information @ between @ inner @ between.T @ information
    total = np.einsum("...p,...pij->...ij", weight, tells)
    return _informed(total, typical)


def _informed(information: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Covariance that is left ``(..., K, K)`` of one with this factor."""
    # In units of what was known before the matrix to be inverted is never near singular.
    left = np.linalg.inv(np.eye(len(factor)) + factor.T @ information @ factor)
    return factor @ left @ factor.T


def between_of(people: Individuals) -> np.ndarray:
    """A factor ``(K, K)`` of the covariance between people, at the medians of the priors of SDs and where
    those of correlations expect them; 0 of what people share."""
    found, of = np.zeros((len(people.estimated),) * 2), people.layout.component_parameter
    found[np.ix_(of, of)] = people.root(np.exp(people.omega_prior[0]), people.expected_correlation)
    return found


def drawn(people: Individuals, rng: np.random.Generator, draws: int, count: int) -> np.ndarray:
    """Parameters of people ``(draw, person, K)`` on their scales, those of a draw about typical values of
    their own. Random numbers go to the parameters in the order in which the model reads them."""
    location = people.typical_prior[0]
    place = np.argsort(np.argsort(people.layout.columns))
    of_population, of_people = (
        rng.standard_normal((draws, n, len(location)))[..., place] for n in (1, count)
    )
    return location + of_population @ people.typical_factor.T + of_people @ between_of(people).T


def theta_of(people: Individuals, phi: np.ndarray) -> np.ndarray:
    """What the model reads of a person, ``(..., parameter)``, from the K parameters on their scales."""
    no_effect = np.zeros((*phi.shape[:-1], len(people.effects)))
    own = phi[..., None, people.layout.component_parameter]
    return people.theta(phi, no_effect, own)[..., 0, :]


def information_of(plan: Design, phi: np.ndarray, noise: np.ndarray):
    """What pseudo-observations and what samples tell, ``(person, K, K)`` each, and who could be solved."""
    count, k = phi.shape
    soft, data, fine = np.zeros((count, k, k)), np.zeros((count, k, k)), np.ones(count, bool)
    for part, tells, solved in tells_of(plan, phi, noise):
        fine[part] = solved
        known, sampled = tells[:, :k, plan.n_obs :], tells[..., : plan.n_obs]
        soft[part] = known @ known.swapaxes(1, 2)
        data[part] = _of_the_first(k, sampled @ sampled.swapaxes(1, 2))
    return soft, data, fine


def tells_of(
    plan: Design, phi: np.ndarray, noise: np.ndarray
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
    """Of some people at a time: which, the slopes of their log predictions ``(person, K + L, row)`` in SDs of
    the rows, nothing of a row beyond its limits; and who could be solved."""
    low, high = _limits(plan)
    weight = np.sqrt(plan.rows.expected_information(noise))
    at = np.pad(phi, ((0, 0), (0, plan.forcing.n_errors)))  # and the errors of the forcing
    nudges = STEP * np.stack([np.eye(at.shape[1]), -np.eye(at.shape[1])])
    together = max(1, AT_ONCE // (2 * at.shape[1]))
    for begin in range(0, len(phi), together):
        part = slice(begin, begin + together)
        log, solved = _predict(plan, at[part, None, None, :] + nudges, noise)
        fine = solved.all(axis=(1, 2)) & np.isfinite(log).all(axis=(1, 2, 3))
        log[~fine] = 0.0
        slope = (log[:, 0] - log[:, 1]) / (2 * STEP)  # (person, K + L, row)
        middle = log.mean(axis=(1, 2))
        seen = (low < middle) & (middle < high)
        yield part, slope * weight * seen[:, None, :], fine


def _of_the_first(k: int, information: np.ndarray) -> np.ndarray:
    """What is told ``(..., K, K)`` of the first k numbers, when the others are standard Normal before."""
    cross, others = information[..., :k, k:], information[..., k:, k:]
    others = others + np.eye(others.shape[-1])
    return information[..., :k, :k] - cross @ np.linalg.solve(others, cross.swapaxes(-1, -2))


def _predict(plan: Design, at: np.ndarray, noise: np.ndarray):
    """Log predictions ``(..., row)`` of people with errors of the forcing ``(..., K + L)``, and who could be
    solved."""
    k = len(plan.individuals.estimated)
    theta = theta_of(plan.individuals, at[..., :k])
    true = plan.forcing.true(theta[..., None, :], noise, at[..., k:])
    level = plan.forcing.at_stops(true).reshape(-1)
    people = int(np.prod(theta.shape[:-1]))
    solving = replace(plan.solver, schedule=plan.solver.schedule.repeat(people))
    out, outcome = solving.outputs(theta[..., : len(solving.system.parameters)].reshape(people, -1), level)
    out = out.reshape(*theta.shape[:-1], -1, out.shape[-1])
    value = plan.rows.predict(out, theta[..., None, :])  # each of them is one person, on one occasion
    return np.log(np.maximum(value, TINY)), (outcome == FINE).reshape(theta.shape[:-1])


def noise_of(plan: Design, noise: float | Mapping[str, float] | None) -> np.ndarray:
    """SD of the log residuals of each analyte."""
    given = noise if isinstance(noise, Mapping) else {}
    check_names("noise of an analyte", given, plan.spec.analytes)
    usual = {a: plan.spec.analytes[a].sigma.median for a in plan.analytes}
    if noise is not None and not isinstance(noise, Mapping):
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


def sampled_at(spec, protocol, times, measured, forcing) -> dict[str, np.ndarray]:
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


def samples_told(sampled: Mapping[str, np.ndarray]) -> str:
    """Which analytes are measured when, those with the same times together."""
    by_times: dict[str, list[str]] = {}
    for analyte, minutes in sampled.items():
        by_times.setdefault(", ".join(f"{t:g}" for t in minutes), []).append(analyte)
    return "; ".join(f"{', '.join(names)} at {minutes} min" for minutes, names in by_times.items())


def planned_study(spec, protocol, sampled, forcing, body_weight) -> Study:
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
