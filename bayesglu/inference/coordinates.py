"""The coordinates in which NUTS runs freely, and the values that they stand for; compiled.

A linear model at the modes or about draws (`linearise`) makes everyone's own parameters Normal, given the
population. They are written as that Normal's mean and factor say, of ``offset + scale z``, where `offset` and
`scale` are what the linear model misses (`blocks`); the population's typical values as an affine map of
standard Normals, and the logarithms of omega and sigma in units of their own uncertainty; the correlations of
deviations, if any, by their partial correlations. The change of variables is exact whatever the likelihood
is. Where nothing is told of people these are non-centered coordinates. The errors of a forcing function are
coordinates as they are; last come those of missing covariates.
"""

from collections import namedtuple
from typing import NamedTuple

import numpy as np

from bayesglu.frozen import frozen
from bayesglu.hierarchy.correlation import mode_and_scale
from bayesglu.hierarchy.design import Design
from bayesglu.inference.blocks import blocks, blocks_adjoint, forward_solve, numbers_of
from bayesglu.inference.correlation import factor_adjoint, factor_of
from bayesglu.inference.linearise import Expansion
from bayesglu.inference.missing import (
    add_to_centre,
    add_to_centre_adjoint,
    missing_adjoint,
    missing_at,
    missing_position,
    missing_size,
)
from bayesglu.solver.arrays import empty, zeros
from bayesglu.solver.compiled import compiled


class Priors(NamedTuple):
    """Priors of the population as compiled code reads them; `shared` stacks typical values and effects, and
    `shared_whitening` (K + E, K + E) makes standard Normals of how far they are from their means."""

    shared_mean: np.ndarray
    shared_whitening: np.ndarray
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
    partial: np.ndarray
    partial_scale: np.ndarray
    lean: np.ndarray
    linear: np.ndarray
    cross: np.ndarray
    offset: np.ndarray
    scale: np.ndarray


Point = namedtuple(
    "Point", "shared omega sigma partial factor individual forcing_error missing standardized log_volume"
)
"""What coordinates stand for: `factor` is that of the correlations, `partial` the inverse hyperbolic tangents
of the partial ones; `standardized` (S, D) are everyone's deviations from where the population expects them,
as standard Normals before data, and `log_volume` is that of individual parameters and of missing covariates
per volume of their coordinates."""

Bars = namedtuple("Bars", "shared omega sigma partial factor individual forcing_error missing standardized")
"""Cotangents of a `Point`."""


def priors_of(d: Design) -> Priors:
    """The priors of a design."""
    i = d.individuals
    mean = np.concatenate([i.typical_prior[0], i.effect_prior[0]])
    whitening = np.linalg.inv(_shared_factor(d))
    return frozen(Priors(mean, whitening, *i.omega_prior, *d.sigma_prior, i.partial_shapes))


def _shared_factor(d: Design) -> np.ndarray:
    """Cholesky factor of the prior covariance of typical values and effects."""
    i, n_k = d.individuals, len(d.individuals.estimated)
    factor = np.diag(np.concatenate([i.typical_prior[1], i.effect_prior[1]]))
    factor[:n_k, :n_k] = i.typical_factor
    return factor


def noncentered(d: Design) -> Coordinates:
    """Standard Normal numbers for everything: the coordinates of the priors."""
    p = priors_of(d)
    people, n = d.individuals.shape
    partial, partial_scale = mode_and_scale(p.partial_shapes)
    at_prior = Coordinates(
        shared=p.shared_mean,
        shared_factor=_shared_factor(d),
        log_omega=p.omega_mean,
        omega_scale=p.omega_sd,
        log_sigma=p.sigma_mean,
        sigma_scale=p.sigma_sd,
        partial=partial,
        partial_scale=partial_scale,
        lean=np.zeros((people, n, 0)),
        linear=np.zeros((people, 0)),
        cross=np.zeros((people, 0, len(p.shared_mean))),
        offset=np.zeros((people, n)),
        scale=np.tile(np.eye(n), (people, 1, 1)),
    )
    return frozen(at_prior)


def whitened(d: Design, e: Expansion) -> Coordinates:
    """Coordinates in which the posterior is nearly standard Normal."""
    p = priors_of(d)
    people, _ = d.individuals.shape
    # What is known of the logarithm of an SD from m values has a precision of about 2 m.
    partial, partial_scale = mode_and_scale(p.partial_shapes)
    analyte = d.rows.analyte
    counts = np.bincount(analyte[analyte >= 0], minlength=len(e.sigma))
    about_expansion = Coordinates(
        shared=e.shared,
        shared_factor=e.shared_factor,
        log_omega=np.log(e.omega),
        omega_scale=1 / np.sqrt(1 / p.omega_sd**2 + _counts(d)),
        log_sigma=np.log(e.sigma),
        sigma_scale=1 / np.sqrt(1 / p.sigma_sd**2 + 2 * counts),
        # From m people the artanh of a correlation is known to about 1 / sqrt(m); their modes tell less.
        partial=partial,
        partial_scale=1 / np.sqrt(1 / partial_scale**2 + people / 2),
        lean=e.lean,
        linear=e.linear,
        cross=e.cross,
        offset=e.offset,
        scale=e.scale,
    )
    return frozen(about_expansion)


def _counts(d: Design) -> np.ndarray:
    """How many values tell of the SD of each deviation: people, or what they were seen on beyond one
    occasion."""
    people, _ = d.individuals.shape
    return np.where(d.individuals.layout.nested, len(d.individuals.occasions) - people, people)


@compiled(inner=True)
def point_at(x, layout, coordinates):
    """What the coordinates x stand for: a `Point`."""
    c = coordinates
    n_shared, n_omega, n_sigma = len(c.shared), len(c.log_omega), len(c.log_sigma)
    people, n = c.offset.shape
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
        partial[i] = c.partial[i] + c.partial_scale[i] * x[at + i]
    factor = factor_of(partial, len(layout.correlated))
    at += len(partial)
    first, at = at, at + people * n
    forcing_error = empty(len(x) - at - missing_size(layout.missing))
    for i in range(len(forcing_error)):
        forcing_error[i] = x[at + i]
    missing, log_volume = missing_at(x, at + len(forcing_error), layout.missing)
    z = _standard_numbers(x, first, c)
    centre, target, sd = _expected(shared, omega, missing, layout, c)
    made = blocks(c.lean, target, centre, sd, factor, layout.correlated, z)
    return Point(
        shared, omega, sigma, partial, factor, made.individual, forcing_error, missing, made.standardized,
        made.log_volume + log_volume,
    )  # fmt: skip


@compiled(inner=True)
def _standard_numbers(x, first, coordinates):
    """What the blocks are made of, ``offset + scale x``, of the coordinates from the `first` on."""
    c = coordinates
    people, n = c.offset.shape
    z = empty((people, n))
    for s in range(people):
        for d in range(n):
            z[s, d] = c.offset[s, d]
            for e in range(d + 1):
                z[s, d] += c.scale[s, d, e] * x[first + s * n + e]
    return z


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
        missing=zeros(len(point.missing)),
        standardized=zeros((people, n)),
    )


@compiled(inner=True)
def point_adjoint(x, point, bars, bar_volume, layout, coordinates):
    """Cotangents of the coordinates x from those of the point, which change, and of its log volume."""
    c = coordinates
    people, n = c.offset.shape
    n_shared, n_omega, n_sigma = len(c.shared), len(c.log_omega), len(c.log_sigma)
    first = n_shared + n_omega + n_sigma + len(c.partial_scale)
    centre, target, sd = _expected(point.shared, point.omega, point.missing, layout, c)
    bar_target, bar_centre, bar_sd, bar_factor, bar_z = blocks_adjoint(
        c.lean, target, sd, point.factor, layout.correlated, _standard_numbers(x, first, c),
        point.standardized, centre, bars.individual, bars.standardized, bar_volume,
    )  # fmt: skip
    for d in range(n):
        bars.omega[layout.component_varying[d]] += bar_sd[d]
    for i in range(len(bar_factor)):
        for j in range(len(bar_factor)):
            bars.factor[i, j] += bar_factor[i, j]
    _expected_adjoint(point, bars, bar_target, bar_centre, layout, c)
    bar_x = zeros(len(x))
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
    at += len(point.forcing_error)
    missing_adjoint(x, at, point.missing, bars.missing, bar_volume, layout.missing, bar_x)
    return bar_x


@compiled(inner=True)
def position_at(shared, omega, sigma, partial, individual, forcing_error, missing, layout, coordinates):
    """The coordinates x that stand for these: the inverse of `point_at`."""
    c, at = coordinates, len(shared)
    people, n = c.offset.shape
    first = at + len(omega) + len(sigma) + len(partial)
    x = empty(first + people * n + len(forcing_error) + len(missing))
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
        x[at + i] = (partial[i] - c.partial[i]) / c.partial_scale[i]
    factor = factor_of(partial, len(layout.correlated))
    centre, target, sd = _expected(shared, omega, missing, layout, c)
    z = numbers_of(c.lean, target, centre, sd, factor, layout.correlated, individual)
    for s in range(people):
        own = x[first + s * n : first + (s + 1) * n]
        for d in range(n):
            own[d] = z[s, d] - c.offset[s, d]
        forward_solve(c.scale[s], own)
    at = first + people * n
    for i in range(len(forcing_error)):
        x[at + i] = forcing_error[i]
    missing_position(missing, layout.missing, x[at + len(forcing_error) :])
    return x


@compiled(inner=True)
def _expected(shared, omega, missing, layout, coordinates):
    """Where everyone's own parameters are expected (S, D), what their samples tell (S, direction), and the
    SDs of deviations (D,)."""
    c = coordinates
    people, n, r = c.lean.shape
    centre, target, sd = empty((people, n)), empty((people, r)), empty(n)
    n_k = len(shared) - len(layout.effect_parameter)
    for d in range(n):
        sd[d] = omega[layout.component_varying[d]]
    for s in range(people):
        for d in range(n):
            centre[s, d] = layout.component_typical[d] * shared[layout.component_parameter[d]]
            for e in range(len(layout.effect_parameter)):
                centre[s, d] += layout.component_covariates[s, d, e] * shared[n_k + e]
        for i in range(r):
            target[s, i] = c.linear[s, i]
            for j in range(len(shared)):
                target[s, i] -= c.cross[s, i, j] * shared[j]
    add_to_centre(missing, shared, layout, layout.missing, centre)
    return centre, target, sd


@compiled(inner=True)
def _expected_adjoint(point, bars, bar_target, bar_centre, layout, coordinates):
    """From the cotangents of what samples tell and of centres to those of shared values and of missing
    covariates."""
    people, n = bar_centre.shape
    n_e, n_shared = len(layout.effect_parameter), len(bars.shared)
    n_k = n_shared - n_e
    for s in range(people):
        for i in range(bar_target.shape[1]):
            for j in range(n_shared):
                bars.shared[j] -= bar_target[s, i] * coordinates.cross[s, i, j]
        for d in range(n):
            bars.shared[layout.component_parameter[d]] += layout.component_typical[d] * bar_centre[s, d]
            for e in range(n_e):
                bars.shared[n_k + e] += bar_centre[s, d] * layout.component_covariates[s, d, e]
    add_to_centre_adjoint(
        point.missing, point.shared, layout, layout.missing, bar_centre, bars.shared, bars.missing
    )


@compiled()
def positions_at(shared, omega, sigma, partial, individual, forcing_error, missing, layout, coordinates):
    """The coordinates (draw, x) of draws of all that is estimated (draw, ...): `position_at` of each."""
    c = coordinates
    people, n = c.offset.shape
    own = len(c.shared) + len(c.log_omega) + len(c.log_sigma) + len(c.partial_scale) + people * n
    x = empty((len(shared), own + forcing_error.shape[1] + missing.shape[1]))
    for i in range(len(x)):
        x[i] = position_at(
            shared[i], omega[i], sigma[i], partial[i], individual[i], forcing_error[i], missing[i], layout, c
        )
    return x


@compiled()
def points_at(draws, layout, coordinates):
    """For draws (draw, x): shared values, omega, sigma, factors of the correlations, individual parameters
    and missing covariates of each."""
    c = coordinates
    people, n = c.offset.shape
    shared = empty((len(draws), len(c.shared)))
    omega, sigma = empty((len(draws), len(c.log_omega))), empty((len(draws), len(c.log_sigma)))
    factor = empty((len(draws), len(layout.correlated), len(layout.correlated)))
    individual = empty((len(draws), people, n))
    missing = empty((len(draws), missing_size(layout.missing)))
    for i in range(len(draws)):
        point = point_at(draws[i], layout, c)
        shared[i], omega[i], sigma[i] = point.shared, point.omega, point.sigma
        factor[i], individual[i], missing[i] = point.factor, point.individual, point.missing
    return shared, omega, sigma, factor, individual, missing
