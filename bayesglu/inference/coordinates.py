"""The coordinates in which NUTS runs freely, and the values that they stand for; compiled.

A Gaussian likelihood with information H and linear term c would make a person's block of parameters with
prior precision P and prior mean m exactly Normal, with precision ``Q = H + P = L L'`` and mean
``Q^-1 (c + P m)``. So the blocks are written as

    block = Q^-1 (c + P m) + L'^-1 (offset + scale z)

with H and c from the linear model at the modes or about draws (`linearise`), where `offset` and `scale` are
what the linear model misses, the population's typical values as an affine map of standard Normals, and the
logarithms of omega and sigma in units of their own uncertainty; the correlations of deviations, if any, by
their partial correlations. The change of variables is exact whatever the likelihood is. With H = 0 these are
non-centered coordinates. The errors of a forcing function are coordinates as they are.
"""

from collections import namedtuple
from typing import NamedTuple

import numpy as np

from bayesglu.frozen import frozen
from bayesglu.hierarchy.design import Design
from bayesglu.inference.blocks import (
    blocks,
    blocks_adjoint,
    correlated_adjoint,
    forward_solve,
    inverse_of,
    numbers_of,
)
from bayesglu.inference.correlation import factor_adjoint, factor_of
from bayesglu.inference.linearise import Expansion
from bayesglu.solver.arrays import empty, flags, zeros
from bayesglu.solver.compiled import compiled


class Priors(NamedTuple):
    """Priors of the population as compiled code reads them; `shared` stacks typical values and effects."""

    shared_mean: np.ndarray
    shared_sd: np.ndarray
    omega_mean: np.ndarray
    omega_sd: np.ndarray
    sigma_mean: np.ndarray
    sigma_sd: np.ndarray
    partial_shapes: np.ndarray


class Coordinates(NamedTuple):
    """The origin of the coordinates, and their scales: see `linearise.Expansion`. Logarithms of omega and
    sigma are ``log_omega + omega_scale x``."""

    shared: np.ndarray
    shared_factor: np.ndarray
    log_omega: np.ndarray
    omega_scale: np.ndarray
    log_sigma: np.ndarray
    sigma_scale: np.ndarray
    partial_scale: np.ndarray
    information: np.ndarray
    linear: np.ndarray
    cross: np.ndarray
    offset: np.ndarray
    scale: np.ndarray


Point = namedtuple(
    "Point",
    "shared omega sigma partial factor individual forcing_error centre precision r log_volume",
)
"""What coordinates stand for: `factor` is that of the correlations, `partial` the inverse hyperbolic tangents
of the partial ones; `centre`, `precision` and `r` are what the blocks were made with, and `log_volume` is
that of the blocks per volume of their coordinates."""

Bars = namedtuple("Bars", "shared omega sigma partial factor individual forcing_error centre precision")
"""Cotangents of a `Point`."""


def priors_of(d: Design) -> Priors:
    """The priors of a design."""
    i = d.individuals
    (typical, typical_sd), (effect, effect_sd) = i.typical_prior, i.effect_prior
    shared = np.concatenate([typical, effect]), np.concatenate([typical_sd, effect_sd])
    return frozen(Priors(*shared, *i.omega_prior, *d.sigma_prior, i.partial_shapes))


def noncentered(d: Design) -> Coordinates:
    """Standard Normal numbers for everything: the coordinates of the priors."""
    p = priors_of(d)
    people, n = d.individuals.shape
    at_prior = Coordinates(
        shared=p.shared_mean,
        shared_factor=np.diag(p.shared_sd),
        log_omega=p.omega_mean,
        omega_scale=p.omega_sd,
        log_sigma=p.sigma_mean,
        sigma_scale=p.sigma_sd,
        partial_scale=1 / np.sqrt(2 * p.partial_shapes),
        information=np.zeros((people, n, n)),
        linear=np.zeros((people, n)),
        cross=np.zeros((people, n, len(p.shared_mean))),
        offset=np.zeros((people, n)),
        scale=np.tile(np.eye(n), (people, 1, 1)),
    )
    return frozen(at_prior)


def whitened(d: Design, e: Expansion) -> Coordinates:
    """Coordinates in which the posterior is nearly standard Normal."""
    p = priors_of(d)
    people, _ = d.individuals.shape
    # What is known of the logarithm of an SD from m values has a precision of about 2 m.
    analyte = d.rows.analyte
    counts = np.bincount(analyte[analyte >= 0], minlength=len(e.sigma))
    about_expansion = Coordinates(
        shared=e.shared,
        shared_factor=e.shared_factor,
        log_omega=np.log(e.omega),
        omega_scale=1 / np.sqrt(1 / p.omega_sd**2 + people),
        log_sigma=np.log(e.sigma),
        sigma_scale=1 / np.sqrt(1 / p.sigma_sd**2 + 2 * counts),
        # From m people the artanh of a correlation is known to about 1 / sqrt(m); their modes tell less.
        partial_scale=1 / np.sqrt(2 * p.partial_shapes + people / 2),
        information=e.information,
        linear=e.linear,
        cross=e.cross,
        offset=e.offset,
        scale=e.scale,
    )
    return frozen(about_expansion)


@compiled(inner=True)
def correlated_spreads(omega, layout):
    """SDs of the correlated deviations."""
    found = empty(len(layout.correlated))
    for i in range(len(found)):
        found[i] = omega[layout.component_varying[layout.correlated[i]]]
    return found


@compiled(inner=True)
def point_at(x, layout, coordinates):
    """What the coordinates x stand for: a `Point`."""
    c = coordinates
    n_shared, n_omega, n_sigma = len(c.shared), len(c.log_omega), len(c.log_sigma)
    people, n = c.linear.shape
    shared = empty(n_shared)
    for i in range(n_shared):
        shared[i] = c.shared[i]
        for j in range(n_shared):
            shared[i] += c.shared_factor[i, j] * x[j]
    at = n_shared
    omega, sigma = empty(n_omega), empty(n_sigma)
    for i in range(n_omega):
        omega[i] = np.exp(c.log_omega[i] + c.omega_scale[i] * x[at + i])
    at += n_omega
    for i in range(n_sigma):
        sigma[i] = np.exp(c.log_sigma[i] + c.sigma_scale[i] * x[at + i])
    at += n_sigma
    partial = empty(len(c.partial_scale))
    for i in range(len(partial)):
        partial[i] = c.partial_scale[i] * x[at + i]
    factor = factor_of(partial, len(layout.correlated))
    at += len(partial)
    z = empty((people, n))
    for s in range(people):
        for d in range(n):
            z[s, d] = c.offset[s, d]
            for e in range(d + 1):
                z[s, d] += c.scale[s, d, e] * x[at + s * n + e]
    at += people * n
    forcing_error = empty(len(x) - at)
    for i in range(len(forcing_error)):
        forcing_error[i] = x[at + i]

    precision = _prior_precision(omega, factor, layout, n)
    centre, r = _expected(shared, precision, layout, c)
    individual, log_volume = blocks(c.information, precision, r, z)
    return Point(
        shared, omega, sigma, partial, factor, individual, forcing_error, centre, precision, r, log_volume
    )


@compiled(inner=True)
def no_bars(point):
    """Cotangents of a point that are zero, to be added to."""
    people, n = point.individual.shape
    m = len(point.factor)
    return Bars(
        shared=zeros(len(point.shared)),
        omega=zeros(len(point.omega)),
        sigma=zeros(len(point.sigma)),
        partial=zeros(len(point.partial)),
        factor=zeros((m, m)),
        individual=zeros((people, n)),
        forcing_error=zeros(len(point.forcing_error)),
        centre=zeros((people, n)),
        precision=zeros((n, n)),
    )


@compiled(inner=True)
def point_adjoint(point, bars, bar_volume, layout, coordinates):
    """Cotangents of the coordinates from those of the point, which change, and of its log volume."""
    c = coordinates
    people, n = c.linear.shape
    bar_precision, bar_r, bar_z = blocks_adjoint(
        c.information, point.precision, point.r, point.individual, bars.individual, bar_volume,
        len(layout.correlated) > 0,
    )  # fmt: skip
    for d in range(n):
        for e in range(n):
            bars.precision[d, e] += bar_precision[d, e]
    _expected_adjoint(point, bars, bar_r, layout, c)
    _prior_precision_adjoint(point, bars, layout)
    n_shared, n_omega, n_sigma = len(c.shared), len(c.log_omega), len(c.log_sigma)
    first = n_shared + n_omega + n_sigma + len(c.partial_scale)
    bar_x = zeros(first + people * n + len(point.forcing_error))
    for i in range(n_shared):
        for j in range(n_shared):
            bar_x[j] += c.shared_factor[i, j] * bars.shared[i]
    at = n_shared
    for i in range(n_omega):
        bar_x[at + i] = c.omega_scale[i] * point.omega[i] * bars.omega[i]
    at += n_omega
    for i in range(n_sigma):
        bar_x[at + i] = c.sigma_scale[i] * point.sigma[i] * bars.sigma[i]
    at += n_sigma
    bar_partial = factor_adjoint(point.partial, bars.factor)
    for i in range(len(bar_partial)):
        bar_x[at + i] = c.partial_scale[i] * (bars.partial[i] + bar_partial[i])
    for s in range(people):
        for d in range(n):
            for e in range(d + 1):
                bar_x[first + s * n + e] += c.scale[s, d, e] * bar_z[s, d]
    at = first + people * n
    for i in range(len(point.forcing_error)):
        bar_x[at + i] = bars.forcing_error[i]
    return bar_x


@compiled(inner=True)
def position_at(shared, omega, sigma, partial, individual, forcing_error, layout, coordinates):
    """The coordinates x that stand for these: the inverse of `point_at`."""
    c, at = coordinates, len(shared)
    people, n = individual.shape
    first = at + len(omega) + len(sigma) + len(partial)
    x = empty(first + people * n + len(forcing_error))
    for i in range(at):
        x[i] = shared[i] - c.shared[i]
    forward_solve(c.shared_factor, x[:at])
    for i in range(len(omega)):
        x[at + i] = (np.log(omega[i]) - c.log_omega[i]) / c.omega_scale[i]
    at += len(omega)
    for i in range(len(sigma)):
        x[at + i] = (np.log(sigma[i]) - c.log_sigma[i]) / c.sigma_scale[i]
    at += len(sigma)
    for i in range(len(partial)):
        x[at + i] = partial[i] / c.partial_scale[i]
    precision = _prior_precision(omega, factor_of(partial, len(layout.correlated)), layout, n)
    _, r = _expected(shared, precision, layout, c)
    z = numbers_of(c.information, precision, r, individual)
    for s in range(people):
        own = x[first + s * n : first + (s + 1) * n]
        for d in range(n):
            own[d] = z[s, d] - c.offset[s, d]
        forward_solve(c.scale[s], own)
    at = first + people * n
    for i in range(len(forcing_error)):
        x[at + i] = forcing_error[i]
    return x


@compiled(inner=True)
def _expected(shared, precision, layout, coordinates):
    """Where everyone's own parameters are expected, and the linear terms of their blocks, both (S, D)."""
    c = coordinates
    people, n = c.linear.shape
    centre, r = empty((people, n)), empty((people, n))
    n_k = len(shared) - len(layout.effect_parameter)
    for s in range(people):
        for d in range(n):
            centre[s, d] = shared[layout.component_parameter[d]]
            for e in range(len(layout.effect_parameter)):
                centre[s, d] += layout.component_covariates[s, d, e] * shared[n_k + e]
        for d in range(n):
            r[s, d] = c.linear[s, d]
            for e in range(n):
                r[s, d] += precision[d, e] * centre[s, e]
            for j in range(len(shared)):
                r[s, d] -= c.cross[s, d, j] * shared[j]
    return centre, r


@compiled(inner=True)
def _expected_adjoint(point, bars, bar_r, layout, coordinates):
    """From the cotangents of linear terms and centres to those of shared values and of the prior's
    precision."""
    people, n = bar_r.shape
    n_e, n_shared = len(layout.effect_parameter), len(bars.shared)
    n_k = n_shared - n_e
    for s in range(people):
        for d in range(n):
            for e in range(n):
                bars.precision[d, e] += bar_r[s, d] * point.centre[s, e]
                bars.centre[s, d] += point.precision[d, e] * bar_r[s, e]
            for j in range(n_shared):
                bars.shared[j] -= bar_r[s, d] * coordinates.cross[s, d, j]
            bars.shared[layout.component_parameter[d]] += bars.centre[s, d]
            for e in range(n_e):
                bars.shared[n_k + e] += bars.centre[s, d] * layout.component_covariates[s, d, e]


@compiled(inner=True)
def _prior_precision(omega, factor, layout, n):
    """Precision of one person's deviations (component, component)."""
    precision = zeros((n, n))
    for d in range(n):
        sd = omega[layout.component_varying[d]]
        precision[d, d] = 1.0 / (sd * sd)
    m = len(layout.correlated)
    if m:
        inverse = inverse_of(factor, correlated_spreads(omega, layout))
        for i in range(m):
            for j in range(m):
                total = 0.0
                for k in range(max(i, j), m):
                    total += inverse[k, i] * inverse[k, j]
                precision[layout.correlated[i], layout.correlated[j]] = total
    return precision


@compiled(inner=True)
def _prior_precision_adjoint(point, bars, layout):
    """From the cotangents of the prior's precision to those of omega and of the factor of the
    correlations."""
    n, m = len(bars.precision), len(layout.correlated)
    together = flags(n)
    for i in range(m):
        together[layout.correlated[i]] = True
    for d in range(n):
        if not together[d]:
            v = layout.component_varying[d]
            bars.omega[v] -= 2.0 * point.precision[d, d] / point.omega[v] * bars.precision[d, d]
    if m:
        bar_whole = empty((m, m))
        for i in range(m):
            for j in range(m):
                bar_whole[i, j] = bars.precision[layout.correlated[i], layout.correlated[j]]
        spreads = correlated_spreads(point.omega, layout)
        bar_spread, bar_factor = correlated_adjoint(point.factor, spreads, bar_whole)
        for i in range(m):
            bars.omega[layout.component_varying[layout.correlated[i]]] += bar_spread[i]
            for j in range(m):
                bars.factor[i, j] += bar_factor[i, j]


@compiled()
def points_at(draws, layout, coordinates):
    """For draws (draw, x): shared values, omega, sigma, factors of the correlations and individual parameters
    of each."""
    c = coordinates
    people, n = c.linear.shape
    shared = empty((len(draws), len(c.shared)))
    omega, sigma = empty((len(draws), len(c.log_omega))), empty((len(draws), len(c.log_sigma)))
    factor = empty((len(draws), len(layout.correlated), len(layout.correlated)))
    individual = empty((len(draws), people, n))
    for i in range(len(draws)):
        point = point_at(draws[i], layout, c)
        shared[i], omega[i], sigma[i] = point.shared, point.omega, point.sigma
        factor[i], individual[i] = point.factor, point.individual
    return shared, omega, sigma, factor, individual
