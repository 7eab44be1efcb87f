"""The log density of everything before any data, and its derivatives; compiled."""

import numpy as np
from scipy.special import betaln

from bayesglu.hierarchy.missing import MissingLayout
from bayesglu.inference.coordinates import Coordinates, Priors
from bayesglu.inference.missing import log_constant_of_missing, log_levels, log_missing
from bayesglu.solver.compiled import compiled


@compiled(inner=True)
def log_prior(point, priors, layout, bars):
    """Log density of the population, of everyone's own parameters, of errors of the forcing and of missing
    covariates, up to a constant; the cotangents of the point are added to.

    With respect to shared values, the logarithms of omega and sigma, partial correlations on the scale of the
    point, individual parameters, errors of the forcing and the vector of missing covariates.
    """
    known = _log_population(point, priors, bars) + _log_individuals(point, layout, bars)
    m = layout.missing
    return known + (log_missing(point.missing, m, bars.missing) + log_levels(point, layout, m, bars))


@compiled(inner=True)
def _log_population(point, priors, bars):
    p, total = priors, 0.0
    for i in range(len(point.shared)):
        away = 0.0
        for j in range(i + 1):
            away += p.shared_whitening[i, j] * (point.shared[j] - p.shared_mean[j])
        total -= 0.5 * away * away
        for j in range(i + 1):
            bars.shared[j] -= away * p.shared_whitening[i, j]
    for i in range(len(point.omega)):
        away = (np.log(point.omega[i]) - p.omega_mean[i]) / p.omega_sd[i]
        total -= 0.5 * away * away
        bars.omega[i] -= away / (p.omega_sd[i] * point.omega[i])
    for i in range(len(point.sigma)):
        away = (np.log(point.sigma[i]) - p.sigma_mean[i]) / p.sigma_sd[i]
        total -= 0.5 * away * away
        bars.sigma[i] -= away / (p.sigma_sd[i] * point.sigma[i])
    for i in range(len(point.partial)):
        z = np.tanh(point.partial[i])
        a, b = p.partial_shapes[0, i], p.partial_shapes[1, i]
        total += a * np.log1p(z) + b * np.log1p(-z)
        bars.partial[i] += a * (1.0 - z) - b * (1.0 + z)
    for i in range(len(point.forcing_error)):
        total -= 0.5 * point.forcing_error[i] * point.forcing_error[i]
        bars.forcing_error[i] -= point.forcing_error[i]
    return total


@compiled(inner=True)
def _log_individuals(point, layout, bars):
    people, n = point.standardized.shape
    total = 0.0
    for s in range(people):
        for d in range(n):
            y = point.standardized[s, d]
            total -= 0.5 * y * y
            bars.standardized[s, d] -= y
    # Half the log determinant of the precision.
    for d in range(n):
        v = layout.component_varying[d]
        total -= people * np.log(point.omega[v])
        bars.omega[v] -= people / point.omega[v]
    for i in range(len(point.factor)):
        total -= people * np.log(point.factor[i, i])
        bars.factor[i, i] -= people / point.factor[i, i]
    return total


def log_constant(p: Priors, c: Coordinates, m: MissingLayout, forcing_errors: int) -> float:
    """What `log_prior` and the log volume of a point lack of the log density of its coordinates."""
    numbers = len(p.shared_mean) + len(p.omega_sd) + len(p.sigma_sd) + c.offset.size + forcing_errors
    of_people = np.einsum("sdd->sd", c.scale)
    scales = np.diag(c.shared_factor), c.omega_scale, c.sigma_scale, c.partial_scale, of_people
    volume = sum(np.log(s).sum() for s in scales)
    normal = (
        sum(np.log(sd).sum() for sd in (p.omega_sd, p.sigma_sd)) - np.log(np.diag(p.shared_whitening)).sum()
    )
    a, b = p.partial_shapes
    beta = (betaln(a, b) + (a + b - 1) * np.log(2)).sum()
    known = volume - normal - beta - 0.5 * numbers * np.log(2 * np.pi)
    return float(known + log_constant_of_missing(m))
