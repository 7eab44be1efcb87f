"""All that is estimated as variables of a PyMC model: each with its own prior, or made of whitened
coordinates."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.missing import Parts
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
    "covariate_precision": ("number_covariate",),
    "covariate_mean": ("number_covariate",),
    "missing_number": ("missing",),
    "level_fraction": ("fraction",),
}
"""Dimensions of the random variables; of which only those with a length above 0 are there."""


def noncentered(d: Design) -> Everything:
    """A random variable with its prior for each, random effects in units of their SDs."""

    def variable(distribution, name, *parameters, **how):
        return distribution(name, *parameters, **how, dims=DIMS[name])

    return _drawn(d, variable)


def whitened(d: Design, c: Coordinates) -> Everything:
    """One random vector, of which the others are made. Its distribution is what their priors make of it."""

    n = _size(d, c)
    pm.modelcontext(None).add_coord("whitened_coordinate", range(n))

    def dist(size):
        return position_of(d, c, _drawn(d, _unnamed))

    x = pm.CustomDist(
        COORDINATES,
        dist=dist,
        logp=lambda value: log_prior_at(d, c, value),
        support_point=lambda rv, size: pt.zeros(n),
        signature="->(n)",
        dims="whitened_coordinate",
    )
    made = everything_at(d, c, x)
    n_k, of_missing = len(d.individuals.estimated), _parts(d, made.missing)
    parts = {
        "transformed_typical": made.shared[:n_k],
        "log_covariate_effect": made.shared[n_k:],
        "log_omega": pt.log(made.omega),
        "log_sigma": pt.log(made.sigma),
        "partial": 0.5 * (1 + pt.tanh(made.partial)),
        "z_forcing": made.forcing_error,
        "covariate_precision": pt.exp(-2 * of_missing.log_sd),
        "covariate_mean": of_missing.mean,
        "missing_number": of_missing.value,
        "level_fraction": pt.sigmoid(of_missing.log_odds),
    }
    for name, part in parts.items():
        if part.type.shape != (0,):
            pm.Deterministic(name, part, dims=DIMS[name])
    return made


def _unnamed(distribution, name, *parameters, **how):
    return distribution.dist(*parameters, **how)


def _size(d: Design, c: Coordinates) -> int:
    """How many coordinates there are."""
    population = len(c.shared) + len(c.log_omega) + len(c.log_sigma) + len(c.partial_scale)
    return population + c.offset.size + d.forcing.n_errors + d.individuals.missing.size


def _drawn(d: Design, variable) -> Everything:
    """All that is estimated, of random variables that `variable` makes of a distribution, a name and the
    parameters of the distribution."""
    people, layout = d.individuals, d.individuals.layout

    def drawn(distribution, name, *parameters):
        there = parameters[0].size
        return variable(distribution, name, *parameters) if there else pt.constant(parameters[0])

    mean, sd = people.typical_prior
    if people.typical_correlations:
        typical = variable(pm.MvNormal, "transformed_typical", mean, chol=people.typical_factor)
    else:
        typical = drawn(pm.Normal, "transformed_typical", mean, sd)
    effect = drawn(pm.Normal, "log_covariate_effect", *people.effect_prior)
    log_omega = drawn(pm.Normal, "log_omega", *people.omega_prior)
    log_sigma = drawn(pm.Normal, "log_sigma", *d.sigma_prior)
    share = drawn(pm.Beta, "partial", *people.partial_shapes)
    forcing_error = drawn(pm.Normal, "z_forcing", np.zeros(d.forcing.n_errors), 1.0)
    missing = _missing(d, variable)
    shared, omega, partial = pt.concatenate([typical, effect]), pt.exp(log_omega), 0.5 * pm.math.logit(share)
    individual = pt.zeros(people.shape)
    if people.varying:
        factor = factor_of(partial, len(layout.correlated))
        z, together = _random_effects(d, variable, effect, omega, factor, missing), layout.correlated
        if len(together):
            z = z[:, together].set(z[:, together] @ factor.T)
        individual = centre(d, shared, missing) + omega[layout.component_varying] * z
    return Everything(shared, omega, pt.exp(log_sigma), partial, individual, forcing_error, missing)


# --- missing covariates ---


def _parts(d: Design, vector) -> Parts:
    """The parts of the vector of missing covariates."""
    m = d.individuals.missing.layout
    ends = np.cumsum([len(m.mean), len(m.mean), len(m.subject)])
    return Parts(vector[: ends[0]], vector[ends[0] : ends[1]], vector[ends[1] : ends[2]], vector[ends[2] :])


def _missing(d: Design, variable):
    """The vector of missing covariates."""
    m, log_sd, log_odds = d.individuals.missing.layout, pt.zeros(0), pt.zeros(0)
    mean = value = pt.zeros(0)
    if len(m.mean):
        log_sd = -0.5 * pt.log(variable(pm.Gamma, "covariate_precision", m.shape, m.rate))
        sd = pt.exp(log_sd)
        mean = variable(pm.Normal, "covariate_mean", m.mean, sd / np.sqrt(m.count))
        value = variable(pm.Normal, "missing_number", mean[m.number], sd[m.number])
    if len(m.shares):
        log_odds = pm.math.logit(variable(pm.Beta, "level_fraction", m.shares[:, 0], m.shares[:, 1]))
    return pt.concatenate([mean, log_sd, value, log_odds])


def _random_effects(d: Design, variable, effect, omega, factor, missing):
    """Random effects in units of their SDs: standard Normal, but of people who lack a level about what each
    level makes of where they are expected."""
    people, m = d.individuals, d.individuals.missing.layout
    if not len(m.mixed):
        return variable(pm.Normal, "z_eta", np.zeros(people.shape), 1.0)
    parameters = _away(d, effect, omega, factor), _log_combinations(d, missing)
    whose = [(s, slice(*m.first[j : j + 2])) for j, s in enumerate(m.mixed)]

    def dist(away, log_share, size):
        z = pm.Normal.dist(np.zeros(people.shape), 1.0)
        for s, own in whose:
            z = pt.inc_subtensor(z[s], away[own][pm.Categorical.dist(logit_p=log_share[own])])
        return z

    def logp(value, away, log_share):
        total = pm.logp(pm.Normal.dist(), value).sum()
        for s, own in whose:
            # of the combination's own Normal distribution against the standard one
            apart = (away[own] * (value[s] - 0.5 * away[own])).sum(-1)
            total += pt.logsumexp(log_share[own] + apart)
        return total

    def support_point(rv, size, *parameters):
        return pt.zeros(people.shape)

    how = {"dist": dist, "logp": logp, "support_point": support_point, "signature": "(n,d),(n)->(s,d)"}
    return variable(pm.CustomDist, "z_eta", *parameters, **how)


def _away(d: Design, effect, omega, factor):
    """How far each combination of levels puts its person from where they are expected, in independent random
    effects ``(combination, component)``."""
    layout, shift = d.individuals.layout, d.individuals.missing.layout.shift
    away = ((shift * effect) @ layout.acts.T.astype(float)) / omega[layout.component_varying]
    if len(together := layout.correlated):
        rows = pt.linalg.solve_triangular(factor, away[:, together].T, lower=True, b_ndim=2).T
        away = away[:, together].set(rows)
    return away


def log_shares(d: Design, missing):
    """Logarithms of the shares of all levels: `MissingCovariates.log_shares`."""
    m, log_odds, found = d.individuals.missing.layout, _parts(d, missing).log_odds, []
    for first, end in zip(m.first_share[:-1], m.first_share[1:], strict=True):
        left = pt.as_tensor(0.0)
        for i in range(first, end):
            found.append(left - pt.softplus(-log_odds[i]))
            left = left - pt.softplus(log_odds[i])
        found.append(left)
    return pt.stack(found)


def _log_combinations(d: Design, missing):
    """Log probability of each combination of levels."""
    share = d.individuals.missing.layout.share
    return pt.where(share >= 0, log_shares(d, missing)[share], 0.0).sum(-1)


def centre(d: Design, shared, missing):
    """Where individual parameters are expected ``(subject, component)``: `Individuals.centre`."""
    layout, n_k = d.individuals.layout, len(d.individuals.estimated)
    shift = pt.tensordot(pt.constant(layout.component_covariates), shared[n_k:], axes=[[2], [0]])
    m = d.individuals.missing.layout
    if len(m.subject):
        value = _parts(d, missing).value[:, None]
        number = pt.where(m.effect_is_power, pt.exp(pt.where(m.effect_is_power, value, 0.0)), value)
        own = m.number[:, None] == m.effect_number
        x = pt.where(own, (number - m.effect_origin) / m.effect_unit, 0.0)
        of_whom = (np.arange(len(d.individuals.subjects))[:, None] == m.subject).astype(float)
        shift = shift + of_whom @ ((x * shared[n_k:]) @ layout.acts.T.astype(float))
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
