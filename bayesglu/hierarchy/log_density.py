"""The posterior written down once, plainly: what every compiled or symbolic form of it is tested against."""

import numpy as np

from bayesglu.hierarchy.correlation import matrices_of, partial_of
from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.rows import TINY
from bayesglu.hierarchy.values import Values
from bayesglu.solver.integrate import FINE


def log_density(d: Design, values: Values) -> float:
    """Log density of everything that is estimated and of the samples; minus infinity where a solve failed.

    With respect to typical values, effects and individual parameters on their own scales, the logarithms of
    omega and sigma, the inverse hyperbolic tangents of partial correlations, errors of the forcing, and the
    vector of `missing`.
    """
    prior = sum(np.sum(part) for part in log_prior(d, values).values())
    return float(prior + log_individuals(d, values).sum() + log_likelihood(d, values).sum())


def log_prior(d: Design, values: Values) -> dict[str, np.ndarray]:
    """Log prior density of each number of the population, ``(..., one each)``, by field of `Values`: of a
    typical value given those before it."""
    i = d.individuals
    partial, (a, b) = partial_of(np.linalg.cholesky(matrices_of(values.correlation))), i.partial_shapes
    return {
        "typical": _log_normals(values.typical, i.typical_prior[0], i.typical_factor),
        "effect": _log_normal(values.effect, *i.effect_prior),
        "omega": _log_normal(np.log(values.omega), *i.omega_prior),
        "sigma": _log_normal(np.log(values.sigma), *d.sigma_prior),
        "correlation": a * np.log1p(partial) + b * np.log1p(-partial),
        "forcing_error": _log_normal(values.forcing_error, 0.0, 1.0),
        "missing": i.missing.log_prior(values.missing),
    }


def log_individuals(d: Design, values: Values) -> np.ndarray:
    """Log density of everyone's own parameters given the population, ``(..., S)``."""
    v = values
    return d.individuals.log_density(v.typical, v.effect, v.omega, v.correlation, v.individual, v.missing)


def log_likelihood(d: Design, values: Values) -> np.ndarray:
    """Log density of each row ``(row,)``, given one set of values."""
    predicted, outcome = d.predict(d.theta(values), d.true_forcing(values))
    if (outcome != FINE).any():
        return np.full(len(d.rows.sample), -np.inf)
    return d.rows.log_density(np.log(np.maximum(predicted, TINY)), values.sigma)


def _log_normal(value, mean, sd):
    return -0.5 * ((value - mean) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)


def _log_normals(value, mean, factor):
    """Of each number of a multivariate Normal ``(..., K)`` given those before it."""
    z = np.linalg.solve(factor, (value - mean)[..., None])[..., 0]
    return _log_normal(z, 0.0, 1.0) - np.log(np.diag(factor))
