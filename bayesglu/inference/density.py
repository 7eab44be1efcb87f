"""The log density of a design and its gradient, compiled, in coordinates in which NUTS runs freely.

The target is that of `hierarchy.log_density`, which a test compares with this one, in the coordinates of
`coordinates`. Compiled once by numba for every model and study: it holds no physics, so nothing is compiled
when a model or a study changes.
"""

from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np

from bayesglu.hierarchy.correlation import below_diagonal
from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.rows import TINY
from bayesglu.hierarchy.values import Values
from bayesglu.inference.blocks import blocks_adjoint, correlated_adjoint
from bayesglu.inference.coordinates import (
    Coordinates,
    Priors,
    correlated_spreads,
    non_centred,
    point_at,
    points_at,
    priors_of,
    whitened,
)
from bayesglu.inference.correlation import factor_adjoint
from bayesglu.inference.linearise import Expansion
from bayesglu.inference.residuals import log_residual
from bayesglu.solver.adjoint import solve_adjoint
from bayesglu.solver.arrays import empty, flags, zeros
from bayesglu.solver.compiled import compiled
from bayesglu.solver.integrate import FINE, solve
from bayesglu.solver.plan import driven
from bayesglu.solver.separate import elsewhere

solve_at, solve_adjoint_at = solve.call, solve_adjoint.call


@compiled(inner=True)
def parameters_at(shared, individual, layout):
    """Parameters on their natural scale (occasion, parameter), and the derivative of the estimated ones
    (occasion, K)."""
    n_k, n_e = len(layout.columns), len(layout.effect_parameter)
    occasions = len(layout.subject)
    theta, slope = empty((occasions, len(layout.fixed))), empty((occasions, n_k))
    phi = empty(n_k)
    for t in range(occasions):
        for i in range(len(layout.fixed)):
            theta[t, i] = layout.fixed[i]
        for k in range(n_k):
            phi[k] = shared[k]
        for e in range(n_e):
            phi[layout.effect_parameter[e]] += layout.scores[t, e] * shared[n_k + e]
        for v in range(len(layout.varying)):
            phi[layout.varying[v]] = individual[layout.subject[t], layout.component[t, v]]
        for k in range(n_k):
            if layout.is_logit[k]:
                value = 1.0 / (1.0 + np.exp(-phi[k]))
                slope[t, k] = value * (1.0 - value)
            else:
                value = np.exp(phi[k])
                slope[t, k] = value
            theta[t, layout.columns[k]] = value
    return theta, slope


@compiled(inner=True)
def parameters_adjoint(slope, bar_theta, layout, bar_shared, bar_individual):
    """From the cotangents of theta to those of shared values and of individual parameters, which are added
    to."""
    n_k, n_e = len(layout.columns), len(layout.effect_parameter)
    is_varying = flags(n_k)
    for v in range(len(layout.varying)):
        is_varying[layout.varying[v]] = True
    for t in range(len(layout.subject)):
        for k in range(n_k):
            slope[t, k] *= bar_theta[t, layout.columns[k]]
        for v in range(len(layout.varying)):
            bar_individual[layout.subject[t], layout.component[t, v]] += slope[t, layout.varying[v]]
        for k in range(n_k):
            if not is_varying[k]:
                bar_shared[k] += slope[t, k]
        for e in range(n_e):
            if not is_varying[layout.effect_parameter[e]]:
                bar_shared[n_k + e] += layout.scores[t, e] * slope[t, layout.effect_parameter[e]]


@compiled(inner=True)
def true_curve(theta, sigma, reading_error, driving):
    """True concentrations at the readings (reading,), and at the stops (stop,)."""
    d = driving
    true, at_stop = empty(len(d.error)), empty(len(d.before))
    for j in range(len(true)):
        if d.error[j] < 0:
            true[j] = theta[d.occasion[j], d.basal]
        else:
            true[j] = np.exp(d.log_value[j] + sigma[d.analyte] * reading_error[d.error[j]]) - d.offset
    for s in range(len(at_stop)):
        at_stop[s] = (1.0 - d.weight[s]) * true[d.before[s]] + d.weight[s] * true[d.after[s]]
    return true, at_stop


@compiled(inner=True)
def true_curve_adjoint(sigma, reading_error, true, bar_stop, driving, bar_theta, bar_sigma):
    """Cotangents of the reading errors from those of the concentrations at the stops; those of theta and of
    sigma are added to."""
    d = driving
    bar_true, bar_reading = zeros(len(true)), zeros(len(reading_error))
    for s in range(len(bar_stop)):
        bar_true[d.before[s]] += (1.0 - d.weight[s]) * bar_stop[s]
        bar_true[d.after[s]] += d.weight[s] * bar_stop[s]
    for j in range(len(true)):
        if d.error[j] < 0:
            bar_theta[d.occasion[j], d.basal] += bar_true[j]
        else:
            bar_log = bar_true[j] * (true[j] + d.offset)
            bar_sigma[d.analyte] += bar_log * reading_error[d.error[j]]
            bar_reading[d.error[j]] += bar_log * sigma[d.analyte]
    return bar_reading


@compiled(inner=True)
def log_likelihood(rows, out, theta, sigma, bar_out, bar_theta, bar_sigma):
    """Log density of the rows, up to a constant; the cotangents of outputs, theta and sigma are added to."""
    total = 0.0
    for i in range(len(rows.sample)):
        value = rows.by_output[i] * out[rows.sample[i], rows.output[i]]
        value += rows.by_parameter[i] * theta[rows.occasion[i], rows.parameter[i]] + rows.offset[i]
        a = rows.analyte[i]
        sd = sigma[a] if a >= 0 else rows.known_sigma[i]
        slope_of_log = 1.0 / value if value > TINY else 0.0
        z = (rows.log_value[i] - np.log(max(value, TINY))) / sd
        log_p, slope = log_residual(rows.residual[i], rows.nu[i], rows.censoring[i], z)
        total += log_p
        volume = 0.0
        if rows.censoring[i] == 0:  # a density, not a probability
            total -= np.log(sd)
            volume = 1.0
        bar_value = -slope / sd * slope_of_log
        if a >= 0:
            bar_sigma[a] += (-slope * z - volume) / sd
        bar_out[rows.sample[i], rows.output[i]] += rows.by_output[i] * bar_value
        bar_theta[rows.occasion[i], rows.parameter[i]] += rows.by_parameter[i] * bar_value
    return total


@compiled(inner=True)
def log_individuals(point, bar_individual, bar_centre, bar_precision):
    """Log density of everyone's own parameters given the population, but for its volume; the cotangents of
    individual parameters, centres and of the prior's precision are added to."""
    people, n = point.individual.shape
    total, away = 0.0, empty(n)
    for s in range(people):
        for d in range(n):
            away[d] = point.individual[s, d] - point.centre[s, d]
        for d in range(n):
            pressure = 0.0
            for e in range(n):
                pressure += point.precision[d, e] * away[e]
                bar_precision[d, e] -= 0.5 * away[d] * away[e]
            total -= 0.5 * pressure * away[d]
            bar_individual[s, d] -= pressure
            bar_centre[s, d] += pressure
    return total


@compiled(inner=True)
def centres_adjoint(point, bar_r, bar_centre, bar_precision, layout, coordinates, bar_shared):
    """From the cotangents of r and of the centres to those of shared values and of the prior's precision,
    which are added to."""
    people, n = bar_r.shape
    n_e, n_shared = len(layout.effect_parameter), len(bar_shared)
    n_k = n_shared - n_e
    for s in range(people):
        for d in range(n):
            for e in range(n):
                bar_precision[d, e] += bar_r[s, d] * point.centre[s, e]
                bar_centre[s, d] += point.precision[d, e] * bar_r[s, e]
            for j in range(n_shared):
                bar_shared[j] -= bar_r[s, d] * coordinates.cross[s, d, j]
            bar_shared[layout.component_parameter[d]] += bar_centre[s, d]
            for e in range(n_e):
                bar_shared[n_k + e] += bar_centre[s, d] * layout.component_scores[s, d, e]


@compiled(inner=True)
def omega_adjoint(point, bar_precision, layout, people, bar_omega):
    """What the log density has of the volume of everyone's deviations, and the cotangents of the partial
    correlations; those of omega, from those of the prior's precision and of that volume, are added to."""
    n, m, total = len(bar_precision), len(layout.correlated), 0.0
    together = flags(n)
    for i in range(m):
        together[layout.correlated[i]] = True
    for d in range(n):
        if not together[d]:
            v = layout.component_varying[d]
            total -= people * np.log(point.omega[v])
            from_precision = 2.0 * point.precision[d, d] / point.omega[v] * bar_precision[d, d]
            bar_omega[v] -= from_precision + people / point.omega[v]
    bar_partial = zeros(len(point.partial))
    if m:
        bar_whole = empty((m, m))
        for i in range(m):
            for j in range(m):
                bar_whole[i, j] = bar_precision[layout.correlated[i], layout.correlated[j]]
        spreads = correlated_spreads(point.omega, layout)
        bar_spread, bar_factor = correlated_adjoint(point.factor, spreads, bar_whole, people)
        bar_partial = factor_adjoint(point.partial, bar_factor)
        for i in range(m):
            v = layout.component_varying[layout.correlated[i]]
            bar_omega[v] += bar_spread[i]
            total -= people * (np.log(point.omega[v]) + np.log(point.factor[i, i]))
    return total, bar_partial


@compiled(inner=True)
def log_population(point, priors, coordinates, bars, gradient):
    """Log prior density of the population and of reading errors; the gradient by the coordinates is filled
    in, but for those of individual parameters.

    bars : cotangents of shared values, omega, sigma, partial correlations and reading errors.
    """
    p, c = priors, coordinates
    bar_shared, bar_omega, bar_sigma, bar_partial, bar_reading = bars
    total, at = 0.0, len(bar_shared)
    for j in range(at):
        away = (point.shared[j] - p.shared_mean[j]) / p.shared_sd[j]
        total -= 0.5 * away * away
        bar_shared[j] -= away / p.shared_sd[j]
    for i in range(at):
        for j in range(at):
            gradient[j] += c.shared_factor[i, j] * bar_shared[i]
    for i in range(len(bar_omega)):
        away = (np.log(point.omega[i]) - p.omega_mean[i]) / p.omega_sd[i]
        total -= 0.5 * away * away
        gradient[at + i] = c.omega_scale[i] * (point.omega[i] * bar_omega[i] - away / p.omega_sd[i])
    at += len(bar_omega)
    for i in range(len(bar_sigma)):
        away = (np.log(point.sigma[i]) - p.sigma_mean[i]) / p.sigma_sd[i]
        total -= 0.5 * away * away
        gradient[at + i] = c.sigma_scale[i] * (point.sigma[i] * bar_sigma[i] - away / p.sigma_sd[i])
    at += len(bar_sigma)
    for i in range(len(bar_partial)):
        z = np.tanh(point.partial[i])
        total += p.partial_shapes[i] * np.log(1.0 - z * z)
        gradient[at + i] = c.partial_scale[i] * (bar_partial[i] - 2.0 * p.partial_shapes[i] * z)
    at = len(gradient) - len(bar_reading)
    for i in range(len(bar_reading)):
        total -= 0.5 * point.reading_error[i] * point.reading_error[i]
        gradient[at + i] = bar_reading[i] - point.reading_error[i]
    return total


@compiled()
def log_density(
    x, priors, layout, coordinates, rows, driving, kernels, plan, tolerance, max_steps, n_outputs,
    n_physiology, where_solve, where_solve_adjoint,
):  # fmt: skip
    """Log density at the coordinates x, up to a constant, and its gradient; minus infinity where a solve
    failed. The solver is called where it is: see `Separate`."""
    gradient = zeros(len(x))
    point = point_at(x, layout, coordinates)
    theta, slope = parameters_at(point.shared, point.individual, layout)
    occasions = len(theta)
    physiology = empty((occasions, n_physiology))
    for t in range(occasions):
        for i in range(n_physiology):
            physiology[t, i] = theta[t, i]
    true, level = true_curve(theta, point.sigma, point.reading_error, driving)
    plan = driven(plan, level, kernels.level)
    solved = solve_at(where_solve, (kernels, physiology, plan, tolerance, max_steps, n_outputs, True))
    out, outcome, tape = solved
    for t in range(occasions):
        if outcome[t] != FINE:
            return -np.inf, gradient

    bar_out, bar_theta, bar_sigma = zeros(out.shape), zeros(theta.shape), zeros(len(point.sigma))
    total = point.log_volume + log_likelihood(rows, out, theta, point.sigma, bar_out, bar_theta, bar_sigma)
    if not np.isfinite(total):
        return -np.inf, gradient
    bar_physiology, bar_level = solve_adjoint_at(
        where_solve_adjoint, (kernels, physiology, plan, tape, outcome, bar_out)
    )
    bar_reading = zeros(len(point.reading_error))
    if len(level):
        bar_reading = true_curve_adjoint(
            point.sigma, point.reading_error, true, bar_level, driving, bar_theta, bar_sigma
        )
    for t in range(occasions):
        for i in range(n_physiology):
            bar_theta[t, i] += bar_physiology[t, i]

    people, n = point.individual.shape
    bar_shared, bar_individual, bar_centre = zeros(len(point.shared)), zeros((people, n)), zeros((people, n))
    bar_away, bar_omega = zeros((n, n)), zeros(len(point.omega))
    parameters_adjoint(slope, bar_theta, layout, bar_shared, bar_individual)
    total += log_individuals(point, bar_individual, bar_centre, bar_away)
    bar_precision, bar_r, bar_z = blocks_adjoint(
        coordinates.information, point.precision, point.r, point.individual, bar_individual,
        len(layout.correlated) > 0,
    )  # fmt: skip
    for d in range(n):
        for e in range(n):
            bar_precision[d, e] += bar_away[d, e]
    centres_adjoint(point, bar_r, bar_centre, bar_precision, layout, coordinates, bar_shared)
    volume, bar_partial = omega_adjoint(point, bar_precision, layout, people, bar_omega)
    bars = bar_shared, bar_omega, bar_sigma, bar_partial, bar_reading
    total += volume + log_population(point, priors, coordinates, bars, gradient)
    at = len(x) - len(bar_reading) - people * n
    for s in range(people):
        for d in range(n):
            for e in range(d + 1):
                gradient[at + s * n + e] += coordinates.scale[s, d, e] * bar_z[s, d]
    return total, gradient


@dataclass(frozen=True, eq=False)
class Density:
    """The posterior of a design in the coordinates of an expansion, or in non-centered ones."""

    design: Design
    expansion: Expansion | None = None

    @cached_property
    def priors(self) -> Priors:
        return priors_of(self.design)

    @cached_property
    def coordinates(self) -> Coordinates:
        return whitened(self.design, self.expansion) if self.expansion else non_centred(self.design)

    @cached_property
    def size(self) -> int:
        """How many coordinates there are."""
        return self.individuals.stop + self.design.driving.n_errors

    @property
    def spreads(self) -> slice:
        """Which coordinates are those of omega and sigma."""
        p = self.priors
        first = len(p.shared_mean)
        return slice(first, first + len(p.omega_mean) + len(p.sigma_mean))

    @property
    def individuals(self) -> slice:
        """Which coordinates are those of individual parameters."""
        first = self.spreads.stop + len(self.priors.partial_shapes)
        return slice(first, first + self.coordinates.linear.size)

    def position(self, individual: np.ndarray) -> np.ndarray:
        """Coordinates of individual parameters (S, D) in the population of the expansion."""
        x, e = np.zeros(self.size), self.expansion
        origin = self.unpack(x[None]).individual[0]
        precision = np.diag(e.omega[self.design.individuals.layout.component_varying] ** -2.0)
        factor = np.linalg.cholesky(e.information + precision)
        away = factor.swapaxes(1, 2) @ (individual - origin)[..., None]
        x[self.individuals] = np.linalg.solve(e.scale, away).ravel()
        return x

    @cached_property
    def arguments(self) -> tuple:
        """What `log_density` takes after x."""
        d, s = self.design, self.design.solver
        sizes = s.max_steps, len(s.system.outputs), len(s.system.parameters)
        with elsewhere(solve, solve_adjoint):
            model = self.priors, d.individuals.layout, self.coordinates, d.rows, d.driving
            held = *model, s.compiled.kernels, s.plan, s.tolerance
            log_density.compile(tuple(numba.typeof(a) for a in (np.zeros(0), *held, *sizes, 0, 0)))
        return *held, *sizes, solve.address, solve_adjoint.address

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density, up to a constant, and gradient."""
        return log_density(x, *self.arguments)

    def unpack(self, draws: np.ndarray) -> Values:
        """Values ``(draw, ...)`` at the coordinates of draws ``(draw, x)``."""
        layout = self.design.individuals.layout
        shared, omega, sigma, factor, individual = points_at(
            np.ascontiguousarray(draws), layout, self.coordinates
        )
        n_k = len(layout.columns)
        correlation = below_diagonal(factor @ factor.swapaxes(1, 2))
        reading_error = draws[:, self.individuals.stop :]
        return Values(shared[:, :n_k], shared[:, n_k:], omega, sigma, correlation, individual, reading_error)
