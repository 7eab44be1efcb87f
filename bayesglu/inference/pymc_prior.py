"""All that is estimated as variables of a PyMC model: each with its own prior, or made of whitened
coordinates."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayesglu.hierarchy.design import Design
from bayesglu.inference.coordinates import Coordinates
from bayesglu.inference.operations import Everything, everything_at, log_prior_at, position_of

COORDINATES = "whitened_coordinates"

DIMS = {
    "transformed_typical": ("parameter",),
    "log_covariate_effect": ("effect",),
    "log_omega": ("varying",),
    "log_sigma": ("analyte",),
    "partial": ("pair",),
    "z_eta": ("subject", "random_effect"),
    "z_forcing": ("forcing_error",),
}
"""Dimensions of the random variables; of which only those with a length above 0 are there."""


def noncentered(d: Design) -> Everything:
    """A random variable with its prior for each, random effects in units of their SDs."""

    def named(distribution):
        def variable(name, *parameters):
            return distribution(name, *parameters, dims=DIMS[name])

        return variable

    return _drawn(d, named(pm.Normal), named(pm.Beta))


def whitened(d: Design, c: Coordinates) -> Everything:
    """One random vector, of which the others are made. Its distribution is what their priors make of it."""

    n = _size(d, c)
    pm.modelcontext(None).add_coord("whitened_coordinate", range(n))

    def dist(size):
        return position_of(d, c, _drawn(d, _unnamed(pm.Normal), _unnamed(pm.Beta)))

    x = pm.CustomDist(
        COORDINATES,
        dist=dist,
        logp=lambda value: log_prior_at(d, c, value),
        support_point=lambda rv, size: pt.zeros(n),
        signature="->(n)",
        dims="whitened_coordinate",
    )
    made = everything_at(d, c, x)
    n_k = len(d.individuals.estimated)
    parts = {
        "transformed_typical": made.shared[:n_k],
        "log_covariate_effect": made.shared[n_k:],
        "log_omega": pt.log(made.omega),
        "log_sigma": pt.log(made.sigma),
        "partial": 0.5 * (1 + pt.tanh(made.partial)),
        "z_forcing": made.forcing_error,
    }
    for name, part in parts.items():
        if part.type.shape != (0,):
            pm.Deterministic(name, part, dims=DIMS[name])
    return made


def _unnamed(distribution):
    def variable(name, *parameters):
        return distribution.dist(*parameters)

    return variable


def _size(d: Design, c: Coordinates) -> int:
    """How many coordinates there are."""
    population = len(c.shared) + len(c.log_omega) + len(c.log_sigma) + len(c.partial_scale)
    return population + c.offset.size + d.forcing.n_errors


def _drawn(d: Design, normal, beta) -> Everything:
    """All that is estimated, of random variables that `normal` and `beta` make of a name and the parameters
    of their distributions."""
    people, layout = d.individuals, d.individuals.layout

    def drawn(distribution, name, *parameters):
        return distribution(name, *parameters) if parameters[0].size else pt.constant(parameters[0])

    typical = drawn(normal, "transformed_typical", *people.typical_prior)
    effect = drawn(normal, "log_covariate_effect", *people.effect_prior)
    log_omega = drawn(normal, "log_omega", *people.omega_prior)
    log_sigma = drawn(normal, "log_sigma", *d.sigma_prior)
    share = drawn(beta, "partial", people.partial_shapes, people.partial_shapes)
    forcing_error = drawn(normal, "z_forcing", np.zeros(d.forcing.n_errors), 1.0)
    shared, omega, partial = pt.concatenate([typical, effect]), pt.exp(log_omega), 0.5 * pm.math.logit(share)
    individual = pt.zeros(people.shape)
    if people.varying:
        z, together = normal("z_eta", np.zeros(people.shape), 1.0), layout.correlated
        if len(together):
            z = z[:, together].set(z[:, together] @ factor_of(partial, len(together)).T)
        individual = centre(d, shared) + omega[layout.component_varying] * z
    return Everything(shared, omega, pt.exp(log_sigma), partial, individual, forcing_error)


def centre(d: Design, shared):
    """Where individual parameters are expected ``(subject, component)``: `Individuals.centre`."""
    layout, n_k = d.individuals.layout, len(d.individuals.estimated)
    shift = pt.tensordot(pt.constant(layout.component_covariates), shared[n_k:], axes=[[2], [0]])
    return layout.component_typical * shared[layout.component_parameter] + shift


def factor_of(partial, m: int):
    """Cholesky factor ``(m, m)`` of a correlation matrix: `hierarchy.correlation.factor_of` of ``tanh
    partial``."""
    factor, at = pt.zeros((m, m)), 0
    for i in range(m):
        left = pt.as_tensor(1.0)
        for j in range(i):
            z = pt.tanh(partial[at])
            factor = factor[i, j].set(z * left)
            left, at = left * pt.sqrt(1 - z**2), at + 1
        factor = factor[i, i].set(left)
    return factor
