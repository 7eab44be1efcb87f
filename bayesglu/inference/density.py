"""The log density of a design and its gradient, compiled, in coordinates in which NUTS runs freely.

A Gaussian likelihood with information H and linear term c would make a person's block of deviations with
prior precision P and prior mean m exactly Normal, with precision ``Q = H + P = L L'`` and mean
``Q^-1 (c + P m)``. So the blocks are written as

    block = Q^-1 (c + P m) + L'^-1 (drift + stretch z)

with H and c from the linear model at the modes or about draws (`expansion`), where `drift` and
`stretch` mend what the linear model misses, the population's typical values as an affine map of standard
Normals, and the logarithms of the spreads in units of their own uncertainty; the correlations of deviations,
if any, by their partial correlations (`correlation`). The change of variables is exact whatever the
likelihood is: the target is that of `build`, which a test compares with this one. With H = 0 these are
non-centred coordinates. The errors of readings that drive the model are coordinates as they are.

Compiled once by numba for every model and study: it holds no physics, so nothing is compiled when a model or
a study changes.
"""

from collections import namedtuple
from dataclasses import dataclass
from functools import cached_property
from math import erfc

import numba
import numpy as np

from bayesglu.hierarchy.correlation import below_diagonal, factor_adjoint, factor_of
from bayesglu.hierarchy.design import TINY, Design
from bayesglu.inference.linearise import Expansion
from bayesglu.solver.arrays import empty, flags, zeros
from bayesglu.solver.compiled import compiled
from bayesglu.solver.integrate import FINE, Plan, driven, solve, solve_adjoint
from bayesglu.solver.separate import elsewhere

Population = namedtuple(
    "Population",
    "shared_mean shared_sd between_mean between_sd error_mean error_sd fixed columns is_logit varying"
    " block_parameter block_varying block_scores scores effect_parameter subject_of_test place correlated"
    " partial_shapes",
)
"""Priors on their own scales, and who reads which number: see `design.Design`."""

Coordinates = namedtuple(
    "Coordinates",
    "shared shared_factor between between_scale error error_scale partial_scale information pull cross"
    " drift stretch",
)
"""The origin of the coordinates, and their scales: see `expansion.Expansion`."""

Compared = namedtuple(
    "Compared",
    "sample output by_output test parameter by_parameter offset log_value analyte known_error censoring"
    " tails",
)
"""What is compared with the model: `design.Rows` as compiled code reads them."""

Driving = namedtuple("Driving", "test log_value slot before after weight analyte basal offset n_errors")
"""What drives the model: `design.Readings` as compiled code reads them."""


@compiled(inner=True)
def _factor(information, precision, lower):
    """Cholesky factor of ``information + precision``, into `lower`."""
    n = len(precision)
    for i in range(n):
        for j in range(i + 1):
            total = information[i, j] + precision[i, j]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            lower[i, j] = np.sqrt(total) if i == j else total / lower[j, j]


@compiled(inner=True)
def _forward_solve(lower, x):
    for i in range(len(x)):
        for k in range(i):
            x[i] -= lower[i, k] * x[k]
        x[i] /= lower[i, i]


@compiled(inner=True)
def _backward_solve(lower, x):
    for i in range(len(x) - 1, -1, -1):
        for k in range(i + 1, len(x)):
            x[i] -= lower[k, i] * x[k]
        x[i] /= lower[i, i]


@compiled(inner=True)
def _blocks(information, precision, r, z):
    """Blocks (subject, slot) and the log volume of their change of variables."""
    people, n = z.shape
    block, lower, log_volume = empty((people, n)), zeros((n, n)), 0.0
    for s in range(people):
        _factor(information[s], precision, lower)
        for i in range(n):
            block[s, i] = r[s, i]
            log_volume -= np.log(lower[i, i])
        _forward_solve(lower, block[s])
        for i in range(n):
            block[s, i] += z[s, i]
        _backward_solve(lower, block[s])
    return block, log_volume


@compiled(inner=True)
def _blocks_adjoint(information, precision, r, block, bar_block, whole):
    """Cotangents of precision (slot, slot), r and z (subject, slot); that of the log volume is 1.

    With ``w = L^-1 r + z`` and ``block = L'^-1 w``: ``bar_w = L^-1 bar_block``, which is that of z. The
    factor receives ``-block bar_w'`` from the last solve, ``-(L'^-1 bar_w)(L^-1 r)'`` from the first, and
    ``-1 / diag(L)`` from the volume. From the factor to its matrix: Murray (2016), arXiv:1602.07527; only the
    diagonal unless the `whole` is needed.
    """
    people, n = r.shape
    bar_precision, bar_r, bar_z = zeros((n, n)), empty((people, n)), empty((people, n))
    lower, bar_lower, phi = zeros((n, n)), zeros((n, n)), zeros((n, n))
    u, inverse, half = empty(n), zeros((n, n)), empty(n)
    for s in range(people):
        _factor(information[s], precision, lower)
        for i in range(n):
            u[i] = r[s, i]
            bar_z[s, i] = bar_block[s, i]
        _forward_solve(lower, u)
        _forward_solve(lower, bar_z[s])
        for i in range(n):
            bar_r[s, i] = bar_z[s, i]
        _backward_solve(lower, bar_r[s])
        for i in range(n):
            for j in range(i + 1):
                bar_lower[i, j] = -block[s, i] * bar_z[s, j] - bar_r[s, i] * u[j]
            bar_lower[i, i] -= 1.0 / lower[i, i]
        for i in range(n):
            for j in range(i + 1):
                total = 0.0
                for k in range(i, n):
                    total += lower[k, i] * bar_lower[k, j]
                phi[i, j] = 0.5 * total if i == j else total
        # L'^-1 phi L^-1, with the columns of L^-1 in the rows of `inverse`.
        for d in range(n):
            for i in range(d, n):
                total = 1.0 if i == d else 0.0
                for k in range(d, i):
                    total -= lower[i, k] * inverse[d, k]
                inverse[d, i] = total / lower[i, i]
        for d in range(n):
            first = 0 if whole else d
            for j in range(first, n):
                half[j] = 0.0
                for i in range(max(j, d), n):
                    half[j] += inverse[d, i] * phi[i, j]
            for e in range(first, n if whole else d + 1):
                for j in range(e, n):
                    bar_precision[d, e] += half[j] * inverse[e, j]
    return bar_precision, bar_r, bar_z


@compiled()
def _log_cdf(x):
    """Log of the standard Normal distribution function, and its derivative, also far in the lower tail."""
    if x > -30.0:
        p = 0.5 * erfc(-x * 0.7071067811865476)
        density = np.exp(-0.5 * x * x) * 0.3989422804014327
        return np.log(p), density / p
    # Far below, the asymptotic series of Mills' ratio.
    inverse = 1.0 / (x * x)
    series = 1.0 - inverse + 3.0 * inverse * inverse
    return -0.5 * x * x - np.log(-x) - 0.9189385332046727 + np.log(series), -x / series


@compiled(inner=True)
def _inverse(factor, spread):
    """Inverse of the lower triangular ``diag(spread) factor``."""
    m = len(factor)
    inverse = zeros((m, m))
    for j in range(m):
        for i in range(j, m):
            total = 1.0 / spread[i] if i == j else 0.0
            for k in range(j, i):
                total -= factor[i, k] * inverse[k, j]
            inverse[i, j] = total / factor[i, i]
    return inverse


@compiled(inner=True)
def _correlated_adjoint(factor, spread, bar_precision, people):
    """Cotangents of the spreads and of the factor F, from those of the precision W'W, where W inverts
    M = diag(spread) F, and from the density's -people log det M."""
    m = len(factor)
    inverse = _inverse(factor, spread)
    bar_inverse = zeros((m, m))
    for i in range(m):
        for j in range(m):
            for k in range(m):
                bar_inverse[i, j] += inverse[i, k] * (bar_precision[k, j] + bar_precision[j, k])
    bar_spread, bar_factor = zeros(m), zeros((m, m))
    for i in range(m):
        for j in range(i + 1):
            bar = -people / (spread[i] * factor[i, i]) if i == j else 0.0
            for k in range(i, m):
                for n in range(j + 1):
                    bar -= inverse[k, i] * bar_inverse[k, n] * inverse[j, n]
            bar_spread[i] += bar * factor[i, j]
            bar_factor[i, j] = bar * spread[i]
    return bar_spread, bar_factor


@compiled(inner=True)
def _spreads(between, population):
    """Those of the correlated deviations."""
    found = empty(len(population.correlated))
    for i in range(len(found)):
        found[i] = between[population.block_varying[population.correlated[i]]]
    return found


@compiled(inner=True)
def _partial(x, at, coordinates):
    """What the partial correlations are made of: see `correlation`."""
    found = empty(len(coordinates.partial_scale))
    for i in range(len(found)):
        found[i] = coordinates.partial_scale[i] * x[at + i]
    return found


@compiled(inner=True)
def unpack(x, population, coordinates):
    """The population and the blocks at coordinates x: shared values, between, error, the factor of the
    correlations, block, centre, precision, r, and the log volume."""
    p, c = population, coordinates
    n_shared, n_between, n_error = len(p.shared_mean), len(p.between_mean), len(p.error_mean)
    people, n = c.pull.shape
    shared = empty(n_shared)
    for i in range(n_shared):
        shared[i] = c.shared[i]
        for j in range(n_shared):
            shared[i] += c.shared_factor[i, j] * x[j]
    at = n_shared
    between, error = empty(n_between), empty(n_error)
    for i in range(n_between):
        between[i] = np.exp(c.between[i] + c.between_scale[i] * x[at + i])
    at += n_between
    for i in range(n_error):
        error[i] = np.exp(c.error[i] + c.error_scale[i] * x[at + i])
    at += n_error
    factor = factor_of(_partial(x, at, c), len(p.correlated))
    at += len(c.partial_scale)
    z = empty((people, n))
    for s in range(people):
        for d in range(n):
            z[s, d] = c.drift[s, d]
            for e in range(d + 1):
                z[s, d] += c.stretch[s, d, e] * x[at + s * n + e]
    n_k = n_shared - len(p.effect_parameter)
    centre, r, precision = empty((people, n)), empty((people, n)), zeros((n, n))
    for d in range(n):
        sd = between[p.block_varying[d]]
        precision[d, d] = 1.0 / (sd * sd)
    if len(p.correlated):
        inverse = _inverse(factor, _spreads(between, p))
        for i in range(len(p.correlated)):
            for j in range(len(p.correlated)):
                total = 0.0
                for k in range(max(i, j), len(p.correlated)):
                    total += inverse[k, i] * inverse[k, j]
                precision[p.correlated[i], p.correlated[j]] = total
    for s in range(people):
        for d in range(n):
            centre[s, d] = shared[p.block_parameter[d]]
            for e in range(len(p.effect_parameter)):
                centre[s, d] += p.block_scores[s, d, e] * shared[n_k + e]
        for d in range(n):
            r[s, d] = c.pull[s, d]
            for e in range(n):
                r[s, d] += precision[d, e] * centre[s, e]
            for j in range(n_shared):
                r[s, d] -= c.cross[s, d, j] * shared[j]
    block, log_volume = _blocks(c.information, precision, r, z)
    return shared, between, error, factor, block, centre, precision, r, log_volume


@compiled(inner=True)
def parameters_at(shared, block, population):
    """Parameters on their natural scale (test, parameter), and the derivative of the estimated ones (test,
    K)."""
    p = population
    n_k, n_e = len(p.columns), len(p.effect_parameter)
    tests = len(p.subject_of_test)
    theta, slope = empty((tests, len(p.fixed))), empty((tests, n_k))
    phi = empty(n_k)
    for t in range(tests):
        for i in range(len(p.fixed)):
            theta[t, i] = p.fixed[i]
        for k in range(n_k):
            phi[k] = shared[k]
        for e in range(n_e):
            phi[p.effect_parameter[e]] += p.scores[t, e] * shared[n_k + e]
        for v in range(len(p.varying)):
            phi[p.varying[v]] = block[p.subject_of_test[t], p.place[t, v]]
        for k in range(n_k):
            if p.is_logit[k]:
                value = 1.0 / (1.0 + np.exp(-phi[k]))
                slope[t, k] = value * (1.0 - value)
            else:
                value = np.exp(phi[k])
                slope[t, k] = value
            theta[t, p.columns[k]] = value
    return theta, slope


@compiled(inner=True)
def _true(theta, error, reading_error, driving):
    """True concentrations at the readings (reading,), and at the stops (stop,)."""
    d = driving
    true, at_stop = empty(len(d.slot)), empty(len(d.before))
    for j in range(len(true)):
        if d.slot[j] < 0:
            true[j] = theta[d.test[j], d.basal]
        else:
            true[j] = np.exp(d.log_value[j] + error[d.analyte] * reading_error[d.slot[j]]) - d.offset
    for s in range(len(at_stop)):
        at_stop[s] = (1.0 - d.weight[s]) * true[d.before[s]] + d.weight[s] * true[d.after[s]]
    return true, at_stop


@compiled(inner=True)
def _true_adjoint(error, reading_error, true, bar_stop, driving, bar_theta, bar_error):
    """Cotangents of the reading errors from those of the concentrations at the stops; those of theta and of
    the assay errors are added to."""
    d = driving
    bar_true, bar_reading = zeros(len(true)), zeros(len(reading_error))
    for s in range(len(bar_stop)):
        bar_true[d.before[s]] += (1.0 - d.weight[s]) * bar_stop[s]
        bar_true[d.after[s]] += d.weight[s] * bar_stop[s]
    for j in range(len(true)):
        if d.slot[j] < 0:
            bar_theta[d.test[j], d.basal] += bar_true[j]
        else:
            bar_log = bar_true[j] * (true[j] + d.offset)
            bar_error[d.analyte] += bar_log * reading_error[d.slot[j]]
            bar_reading[d.slot[j]] += bar_log * error[d.analyte]
    return bar_reading


solve_at, solve_adjoint_at = solve.call, solve_adjoint.call


@compiled()
def log_density(
    x, population, coordinates, rows, driving, kernels, plan, tolerance, max_steps, n_outputs, n_physiology,
    where_solve, where_solve_adjoint,
):  # fmt: skip
    """Log density at the coordinates x, up to a constant, and its gradient; minus infinity where a solve
    failed. The solver is called where it is: see `Separate`."""
    p, c = population, coordinates
    shared, between, error, factor, block, centre, precision, r, log_volume = unpack(x, p, c)
    n_shared, n_between, n_error = len(shared), len(between), len(error)
    n_k, n_e = len(p.columns), len(p.effect_parameter)
    people, n = block.shape
    tests = len(p.subject_of_test)
    gradient = zeros(len(x))

    theta, slope = parameters_at(shared, block, p)
    physiology, reading_error = empty((tests, n_physiology)), empty(driving.n_errors)
    for t in range(tests):
        for i in range(n_physiology):
            physiology[t, i] = theta[t, i]
    for i in range(len(reading_error)):
        reading_error[i] = x[len(x) - len(reading_error) + i]
    true, level = _true(theta, error, reading_error, driving)
    curve = driven(plan.offset, plan.time, plan.rate, plan.slope, level, kernels.level)
    plan = Plan(
        plan.order, plan.offset, plan.time, plan.sample, plan.jump, curve[0], curve[1], plan.release_offset,
        plan.release_time, plan.release_channel, plan.release_amount, plan.release_rate, plan.doses,
        plan.sample_person,
    )  # fmt: skip
    solved = solve_at(where_solve, (kernels, physiology, plan, tolerance, max_steps, n_outputs, True))
    out, outcome, tape = solved
    for t in range(tests):
        if outcome[t] != FINE:
            return -np.inf, gradient

    # Likelihood.
    total = log_volume
    bar_out, bar_theta, bar_error = zeros(out.shape), zeros(theta.shape), zeros(n_error)
    for i in range(len(rows.sample)):
        value = rows.by_output[i] * out[rows.sample[i], rows.output[i]]
        value += rows.by_parameter[i] * theta[rows.test[i], rows.parameter[i]] + rows.offset[i]
        a = rows.analyte[i]
        sd = error[a] if a >= 0 else rows.known_error[i]
        slope_of_log = 1.0 / value if value > TINY else 0.0
        distance = (rows.log_value[i] - np.log(max(value, TINY))) / sd
        if rows.censoring[i] == 0:
            tails, weight = rows.tails[i], 1.0
            if tails > 0.0:
                total -= 0.5 * (tails + 1.0) * np.log1p(distance * distance / tails)
                weight = (tails + 1.0) / (tails + distance * distance)
            else:
                total -= 0.5 * distance * distance
            total -= np.log(sd)
            bar_value = weight * distance / sd * slope_of_log
            if a >= 0:
                bar_error[a] += (weight * distance * distance - 1.0) / sd
        else:
            sign = -1.0 * rows.censoring[i]
            log_p, hazard = _log_cdf(sign * distance)
            total += log_p
            bar_value = -sign * hazard / sd * slope_of_log
            if a >= 0:
                bar_error[a] -= sign * hazard * distance / sd
        bar_out[rows.sample[i], rows.output[i]] += rows.by_output[i] * bar_value
        bar_theta[rows.test[i], rows.parameter[i]] += rows.by_parameter[i] * bar_value
    if not np.isfinite(total):
        return -np.inf, gradient
    bar_physiology, bar_level = solve_adjoint_at(
        where_solve_adjoint, (kernels, physiology, plan, tape, outcome, bar_out)
    )
    bar_reading = zeros(len(reading_error))
    if len(level):
        bar_reading = _true_adjoint(error, reading_error, true, bar_level, driving, bar_theta, bar_error)
    for t in range(tests):
        for i in range(n_physiology):
            bar_theta[t, i] += bar_physiology[t, i]

    # Back to the population and the blocks.
    bar_shared, bar_block, bar_centre = zeros(n_shared), zeros((people, n)), zeros((people, n))
    is_varying = flags(n_k)
    for v in range(len(p.varying)):
        is_varying[p.varying[v]] = True
    for t in range(tests):
        for k in range(n_k):
            slope[t, k] *= bar_theta[t, p.columns[k]]
        for v in range(len(p.varying)):
            bar_block[p.subject_of_test[t], p.place[t, v]] += slope[t, p.varying[v]]
        for k in range(n_k):
            if not is_varying[k]:
                bar_shared[k] += slope[t, k]
        for e in range(n_e):
            if not is_varying[p.effect_parameter[e]]:
                bar_shared[n_k + e] += p.scores[t, e] * slope[t, p.effect_parameter[e]]

    # Priors: blocks about their centres, typical values, spreads.
    bar_between, bar_away, away = zeros(n_between), zeros((n, n)), empty(n)
    for s in range(people):
        for d in range(n):
            away[d] = block[s, d] - centre[s, d]
        for d in range(n):
            pressure = 0.0
            for e in range(n):
                pressure += precision[d, e] * away[e]
                bar_away[d, e] -= 0.5 * away[d] * away[e]
            total -= 0.5 * pressure * away[d]
            bar_block[s, d] -= pressure
            bar_centre[s, d] += pressure
    m = len(p.correlated)
    bar_precision, bar_r, bar_z = _blocks_adjoint(c.information, precision, r, block, bar_block, m > 0)
    for d in range(n):
        for e in range(n):
            bar_precision[d, e] += bar_away[d, e]
    for s in range(people):
        for d in range(n):
            for e in range(n):
                bar_precision[d, e] += bar_r[s, d] * centre[s, e]
                bar_centre[s, d] += precision[d, e] * bar_r[s, e]
            for j in range(n_shared):
                bar_shared[j] -= bar_r[s, d] * c.cross[s, d, j]
            bar_shared[p.block_parameter[d]] += bar_centre[s, d]
            for e in range(n_e):
                bar_shared[n_k + e] += bar_centre[s, d] * p.block_scores[s, d, e]
    together = flags(n)
    for i in range(m):
        together[p.correlated[i]] = True
    for d in range(n):
        if not together[d]:
            v = p.block_varying[d]
            total -= people * np.log(between[v])
            bar_between[v] -= 2.0 * precision[d, d] / between[v] * bar_precision[d, d] + people / between[v]
    partial = _partial(x, n_shared + n_between + n_error, c)
    bar_partial = zeros(len(partial))
    if m:
        bar_whole = empty((m, m))
        for i in range(m):
            for j in range(m):
                bar_whole[i, j] = bar_precision[p.correlated[i], p.correlated[j]]
        bar_spread, bar_factor = _correlated_adjoint(factor, _spreads(between, p), bar_whole, people)
        bar_partial = factor_adjoint(partial, bar_factor)
        for i in range(m):
            v = p.block_varying[p.correlated[i]]
            bar_between[v] += bar_spread[i]
            total -= people * (np.log(between[v]) + np.log(factor[i, i]))

    for j in range(n_shared):
        away = (shared[j] - p.shared_mean[j]) / p.shared_sd[j]
        total -= 0.5 * away * away
        bar_shared[j] -= away / p.shared_sd[j]
    for i in range(n_shared):
        for j in range(n_shared):
            gradient[j] += c.shared_factor[i, j] * bar_shared[i]
    at = n_shared
    for i in range(n_between):
        away = (np.log(between[i]) - p.between_mean[i]) / p.between_sd[i]
        total -= 0.5 * away * away
        gradient[at + i] = c.between_scale[i] * (between[i] * bar_between[i] - away / p.between_sd[i])
    at += n_between
    for i in range(n_error):
        away = (np.log(error[i]) - p.error_mean[i]) / p.error_sd[i]
        total -= 0.5 * away * away
        gradient[at + i] = c.error_scale[i] * (error[i] * bar_error[i] - away / p.error_sd[i])
    at += n_error
    for i in range(len(partial)):
        z = np.tanh(partial[i])
        total += p.partial_shapes[i] * np.log(1.0 - z * z)
        gradient[at + i] = c.partial_scale[i] * (bar_partial[i] - 2.0 * p.partial_shapes[i] * z)
    at += len(partial)
    for s in range(people):
        for d in range(n):
            for e in range(d + 1):
                gradient[at + s * n + e] += c.stretch[s, d, e] * bar_z[s, d]
    at += people * n
    for i in range(len(reading_error)):
        total -= 0.5 * reading_error[i] * reading_error[i]
        gradient[at + i] = bar_reading[i] - reading_error[i]
    return total, gradient


@compiled()
def unpack_draws(draws, population, coordinates):
    """For draws (draw, x): shared values, between, error, factors of the correlations and blocks of each."""
    p, c = population, coordinates
    people, n = c.pull.shape
    shared = empty((len(draws), len(p.shared_mean)))
    between, error = empty((len(draws), len(p.between_mean))), empty((len(draws), len(p.error_mean)))
    factor = empty((len(draws), len(p.correlated), len(p.correlated)))
    block = empty((len(draws), people, n))
    for i in range(len(draws)):
        shared[i], between[i], error[i], factor[i], block[i], _, _, _, _ = unpack(draws[i], p, c)
    return shared, between, error, factor, block


@dataclass(frozen=True, eq=False)
class Density:
    """The posterior of a design in the coordinates of an expansion, or in non-centred ones."""

    design: Design
    expansion: Expansion | None = None

    @cached_property
    def population(self) -> Population:
        d = self.design
        return Population(
            np.concatenate([d.location, d.effect_prior[0]]),
            np.concatenate([d.spread, d.effect_prior[1]]),
            *d.between_prior,
            *d.error_prior,
            d.fixed,
            d.columns,
            d.is_logit,
            d.varying_index,
            d.block_parameter,
            d.block_varying,
            np.ascontiguousarray(d.block_scores),
            d.scores,
            np.array([k for k, _ in d.effects], int),
            d.subject_of_test,
            d.place,
            d.correlated,
            d.partial_shapes,
        )

    @cached_property
    def coordinates(self) -> Coordinates:
        p, e = self.population, self.expansion
        people, n = len(self.design.study.subjects), len(p.block_parameter)
        # From m people the artanh of a correlation is known to about 1 / sqrt(m); their modes tell less.
        known = people / 2 if e is not None else 0
        partial_scale = 1 / np.sqrt(2 * p.partial_shapes + known)
        if e is None:
            return Coordinates(
                p.shared_mean,
                np.diag(p.shared_sd),
                p.between_mean,
                p.between_sd,
                p.error_mean,
                p.error_sd,
                partial_scale,
                np.zeros((people, n, n)),
                np.zeros((people, n)),
                np.zeros((people, n, len(p.shared_mean))),
                np.zeros((people, n)),
                np.tile(np.eye(n), (people, 1, 1)),
            )
        # What is known of the logarithm of an SD from m values has a precision of about 2 m.
        analyte = self.design.rows.analyte
        counts = np.bincount(analyte[analyte >= 0], minlength=len(e.error))
        return Coordinates(
            e.shared,
            e.shared_factor,
            np.log(e.between),
            1 / np.sqrt(1 / p.between_sd**2 + people),
            np.log(e.error),
            1 / np.sqrt(1 / p.error_sd**2 + 2 * counts),
            partial_scale,
            e.information,
            e.pull,
            e.cross,
            e.drift,
            e.stretch,
        )

    @cached_property
    def size(self) -> int:
        """How many coordinates there are."""
        return self.blocks.stop + self.design.readings.n_errors

    @property
    def spreads(self) -> slice:
        """Which coordinates are those of the spreads between people and of the assay errors."""
        p = self.population
        first = len(p.shared_mean)
        return slice(first, first + len(p.between_mean) + len(p.error_mean))

    @property
    def blocks(self) -> slice:
        """Which coordinates are those of the deviations."""
        first = self.spreads.stop + len(self.population.partial_shapes)
        return slice(first, first + self.coordinates.pull.size)

    def position(self, block: np.ndarray) -> np.ndarray:
        """Coordinates of blocks (S, D) in the population of the expansion."""
        x, e = np.zeros(self.size), self.expansion
        *_, (origin,), _ = self.unpack(x[None])
        precision = np.diag(e.between[self.design.block_varying] ** -2.0)
        factor = np.linalg.cholesky(e.information + precision)
        away = factor.swapaxes(1, 2) @ (block - origin)[..., None]
        x[self.blocks] = np.linalg.solve(e.stretch, away).ravel()
        return x

    @cached_property
    def arguments(self) -> tuple:
        """What `log_density` takes after x."""
        s = self.design.solver
        rows = Compared(*(getattr(self.design.rows, name) for name in Compared._fields))
        driving = Driving(*(getattr(self.design.readings, name) for name in Driving._fields))
        n_outputs, n_physiology = len(s.system.outputs), len(s.system.parameters)
        sizes = s.max_steps, n_outputs, n_physiology
        with elsewhere(solve, solve_adjoint):
            held = self.population, self.coordinates, rows, driving, s.compiled.kernels, s.plan, s.tolerance
            log_density.compile(tuple(numba.typeof(a) for a in (np.zeros(0), *held, *sizes, 0, 0)))
        return *held, *sizes, solve.address, solve_adjoint.address

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density, up to a constant, and gradient."""
        return log_density(x, *self.arguments)

    def unpack(self, draws: np.ndarray) -> tuple[np.ndarray, ...]:
        """Typical values (draw, K), effects (draw, E), between (draw, V), error (draw, analyte), correlations
        (draw, pair), blocks (draw, S, D), reading errors (draw, L)."""
        shared, between, error, factor, block = unpack_draws(
            np.ascontiguousarray(draws), self.population, self.coordinates
        )
        n_k = len(self.design.estimated)
        correlation = below_diagonal(factor @ factor.swapaxes(1, 2))
        reading_error = draws[:, self.size - self.design.readings.n_errors :]
        return shared[:, :n_k], shared[:, n_k:], between, error, correlation, block, reading_error
