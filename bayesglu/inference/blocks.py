"""Everyone's own vector of parameters from standard Normal numbers; compiled.

A block is one person's vector. Before data it is ``centre + S y``, where y are standard Normal and S is the
diagonal of the SDs times C, the Cholesky factor of the correlations. What a person's samples tell is of low
rank: with lean matrix V (component, direction) their information is ``V V'`` and their linear term ``V k``.
Then, with ``A = S' V`` and ``I + A' A = L L'``,

    y = A (L L')^-1 (k - V' centre) + F z,    F = I - A L'^-1 (I + L)^-1 A'

has the mean and the covariance ``F F' = (I + A A')^-1`` that a linear model gives for standard Normal z. So
no matrix of all components by all components is ever factored.
"""

from collections import namedtuple

import numpy as np
from numba.core import types

from bayesglu.solver.arrays import empty, zeros
from bayesglu.solver.compiled import compiled
from bayesglu.solver.lanes import LANES, by_lane, empty_lanes, spread, square_root

Blocks = namedtuple("Blocks", "individual standardized log_volume")
"""Everyone's parameters, their y, both (subject, component), and the log volume of them all per volume of
z."""

Told = namedtuple("Told", "lean target centre z lever lower known drawn step")
"""Of the people in the lanes: V, k, the centre and z, and A, L, ``L^-1 (k - V' centre)``, ``(I + L)^-1 A' z``
and what A is multiplied by."""


def kinds_of_adjoint(lean: types.Type, together: types.Type) -> tuple[types.Type, ...]:
    """Of which kinds the arguments of `blocks_adjoint` are, for those of what it does not derive by."""
    number, line, table = types.float64, types.float64[::1], types.float64[:, ::1]
    return lean, table, line, table, together, *[table] * 5, number


@compiled(inner=True)
def forward_solve(lower, x):
    """Solve ``lower x = x`` in place."""
    _forward(lower, 0.0, x)


@compiled(inner=True)
def _forward(lower, more, x):
    """Solve ``(lower + more I) x = x`` in place."""
    for i in range(len(x)):
        for k in range(i):
            x[i] -= lower[i, k] * x[k]
        x[i] /= lower[i, i] + more


@compiled(inner=True)
def _backward(lower, more, x):
    """Solve ``(lower' + more I) x = x`` in place."""
    for i in range(len(x) - 1, -1, -1):
        for k in range(i + 1, len(x)):
            x[i] -= lower[k, i] * x[k]
        x[i] /= lower[i, i] + more


@compiled(inner=True)
def _inverse(lower, inverse):
    """The inverse of a lower triangular matrix; above its diagonal nothing is filled in."""
    for i in range(len(lower)):
        for j in range(i):
            inverse[i, j] = spread(0.0)
        for k in range(i):
            for j in range(k + 1):
                inverse[i, j] -= lower[i, k] * inverse[k, j]
        for j in range(i):
            inverse[i, j] /= lower[i, i]
        inverse[i, i] = 1.0 / lower[i, i]


@compiled(inner=True)
def _correlate(factor, together, x):
    """Multiply the components `together` of x by the factor, in place."""
    for i in range(len(together) - 1, -1, -1):
        total = spread(0.0)
        for j in range(i + 1):
            total += factor[i, j] * x[together[j]]
        x[together[i]] = total


@compiled(inner=True)
def _room(n, r):
    """For a `Told` of n components and r directions."""
    lean, lever, lower = empty_lanes((n, r)), empty_lanes((n, r)), empty_lanes((r, r))
    target, known, drawn, step = empty_lanes(r), empty_lanes(r), empty_lanes(r), empty_lanes(r)
    return Told(lean, target, empty_lanes(n), empty_lanes(n), lever, lower, known, drawn, step)


@compiled(inner=True)
def _take(table, first, into):
    """Rows of a table from the `first` on, a lane each; zeros where there are no more."""
    numbers = by_lane(into)
    for lane in range(LANES):
        for i in range(len(into)):
            numbers[i, lane] = table[first + lane, i] if first + lane < len(table) else 0.0


@compiled(inner=True)
def _put(rows, first, table):
    """The other way round."""
    numbers = by_lane(rows)
    for lane in range(min(LANES, len(table) - first)):
        for i in range(len(rows)):
            table[first + lane, i] = numbers[i, lane]


@compiled(inner=True)
def _tell(lean, target, centre, sd, factor, together, z, first, told):
    """Fill in what the samples of the people from the `first` on tell. `target` : k."""
    n, r = told.lever.shape
    numbers = by_lane(told.lean)
    for lane in range(LANES):
        for d in range(n):
            for j in range(r):
                numbers[d, j, lane] = lean[first + lane, d, j] if first + lane < len(lean) else 0.0
    _take(target, first, told.target)
    _take(centre, first, told.centre)
    _take(z, first, told.z)
    own_lean, own_target, own_centre, own_z, lever, lower, known, drawn, step = told
    for d in range(n):
        for j in range(r):
            lever[d, j] = sd[d] * own_lean[d, j]
    for i in range(len(together)):  # the components from i on have not been changed yet
        for j in range(r):
            total = spread(0.0)
            for k in range(i, len(together)):
                total += factor[k, i] * sd[together[k]] * own_lean[together[k], j]
            lever[together[i], j] = total
    for i in range(r):
        known[i], drawn[i] = own_target[i], spread(0.0)
        for j in range(i + 1):
            lower[i, j] = spread(1.0 if i == j else 0.0)
    for d in range(n):
        for i in range(r):
            known[i] -= own_lean[d, i] * own_centre[d]
            drawn[i] += lever[d, i] * own_z[d]
            for j in range(i + 1):
                lower[i, j] += lever[d, i] * lever[d, j]
    for i in range(r):
        for j in range(i + 1):
            total = lower[i, j]
            for k in range(j):
                total -= lower[i, k] * lower[j, k]
            if i == j:
                lower[i, j] = square_root(total)
            else:
                lower[i, j] = total / lower[j, j]
    _forward(lower, 0.0, known)
    _forward(lower, 1.0, drawn)
    for i in range(r):
        step[i] = known[i] - drawn[i]
    _backward(lower, 0.0, step)


@compiled(inner=True)
def blocks(lean, target, centre, sd, factor, together, z):
    """`Blocks` of the numbers z (subject, component).

    `lean` (subject, component, direction), `target` (subject, direction): V and k. `sd` (component,); the
    components `together` are correlated by the Cholesky `factor`.
    """
    people, n, r = lean.shape
    individual, standardized, log_volume = empty((people, n)), empty((people, n)), 0.0
    told, y = _room(n, r), empty_lanes(n)
    roots = by_lane(told.lower)
    for first in range(0, people, LANES):
        _tell(lean, target, centre, sd, factor, together, z, first, told)
        for d in range(n):
            y[d] = told.z[d]
            for j in range(r):
                y[d] += told.lever[d, j] * told.step[j]
        _put(y, first, standardized)
        _correlate(factor, together, y)
        for d in range(n):
            y[d] = told.centre[d] + sd[d] * y[d]
        _put(y, first, individual)
        for lane in range(min(LANES, people - first)):
            for i in range(r):
                log_volume -= np.log(roots[i, i, lane])
    for d in range(n):
        log_volume += people * np.log(sd[d])
    for i in range(len(factor)):
        log_volume += people * np.log(factor[i, i])
    return Blocks(individual, standardized, log_volume)


@compiled(inner=True)
def numbers_of(lean, target, centre, sd, factor, together, individual):
    """The z (subject, component) of which `blocks` makes these individual parameters."""
    people, n, r = lean.shape
    z, told = empty((people, n)), _room(n, r)
    own, step = told.z, told.step
    for first in range(0, people, LANES):
        _tell(lean, target, centre, sd, factor, together, individual, first, told)
        for d in range(n):
            own[d] = (own[d] - told.centre[d]) / sd[d]
        for i in range(len(together)):
            for j in range(i):
                own[together[i]] -= factor[i, j] * own[together[j]]
            own[together[i]] /= factor[i, i]
        _backward(told.lower, 0.0, told.known)
        for d in range(n):
            for j in range(r):
                own[d] -= told.lever[d, j] * told.known[j]
        # F^-1 = I + A (I + L')^-1 A'
        for j in range(r):
            step[j] = spread(0.0)
        for d in range(n):
            for j in range(r):
                step[j] += told.lever[d, j] * own[d]
        _backward(told.lower, 1.0, step)
        for d in range(n):
            for j in range(r):
                own[d] += told.lever[d, j] * step[j]
        _put(own, first, z)
    return z


@compiled(inner=True)
def blocks_adjoint(lean, target, sd, factor, together, z, standardized, centre, bar_individual,
                   bar_standardized, bar_volume):  # fmt: skip
    """Cotangents of target, centre, sd, factor and z, from those of what `blocks` makes of them, of which
    `standardized` is needed again.

    From a Cholesky factor to its matrix: Murray (2016), arXiv:1602.07527.
    """
    people, n, r = lean.shape
    m = len(together)
    bar_target, bar_centre, bar_z = empty((people, r)), empty((people, n)), empty((people, n))
    told, y, away = _room(n, r), empty_lanes(n), empty_lanes(n)
    own_target, own_centre, own_z = empty_lanes(r), empty_lanes(n), empty_lanes(n)
    bar_own, bar_y, bar_sd, bar_factor = empty_lanes(n), empty_lanes(n), empty_lanes(n), empty_lanes((m, m))
    bar_step, bar_drawn = empty_lanes(r), empty_lanes(r)
    bar_lever, bar_lower, phi = empty_lanes((n, r)), empty_lanes((r, r)), empty_lanes((r, r))
    inverse, half = empty_lanes((r, r)), empty_lanes((r, r))
    for d in range(n):
        bar_sd[d] = spread(0.0)
    for i in range(m):
        for j in range(m):
            bar_factor[i, j] = spread(0.0)
    for first in range(0, people, LANES):
        _tell(lean, target, centre, sd, factor, together, z, first, told)
        own_lean, _, _, numbers, lever, lower, known, drawn, step = told
        _take(standardized, first, y)
        _take(bar_individual, first, bar_own)
        _take(bar_standardized, first, bar_y)
        # individual = centre + sd (C y)
        for d in range(n):
            away[d] = y[d]
        _correlate(factor, together, away)
        for d in range(n):
            own_centre[d] = bar_own[d]
            bar_sd[d] += bar_own[d] * away[d]
            bar_own[d] *= sd[d]
        for i in range(m):
            total = spread(0.0)
            for k in range(i, m):
                total += factor[k, i] * bar_own[together[k]]
                bar_factor[k, i] += bar_own[together[k]] * y[together[i]]
            bar_own[together[i]] = total  # those from i + 1 on are not changed yet
        # y = z + A step
        for j in range(r):
            bar_step[j] = spread(0.0)
        for d in range(n):
            bar_y[d] += bar_own[d]
            own_z[d] = bar_y[d]
            for j in range(r):
                bar_step[j] += lever[d, j] * bar_y[d]
                bar_lever[d, j] = bar_y[d] * step[j]
        # L' step = known - drawn,  L known = k - V' centre,  (I + L) drawn = A' z
        _forward(lower, 0.0, bar_step)
        for j in range(r):
            own_target[j], bar_drawn[j] = bar_step[j], -bar_step[j]
        _backward(lower, 0.0, own_target)
        _backward(lower, 1.0, bar_drawn)
        for i in range(r):
            for j in range(i + 1):
                bar_lower[i, j] = -step[i] * bar_step[j] - own_target[i] * known[j] - bar_drawn[i] * drawn[j]
            bar_lower[i, i] -= bar_volume / lower[i, i]
        # L L' = I + A' A: phi becomes the symmetric cotangent of the matrix, doubled.
        _inverse(lower, inverse)
        for i in range(r):
            for j in range(r):
                half[i, j] = phi[i, j] = spread(0.0)
        for k in range(r):
            for i in range(k + 1):
                for j in range(i + 1):
                    half[i, j] += lower[k, i] * bar_lower[k, j]
        for i in range(r):
            for j in range(i):
                half[j, i] = half[i, j]
        for i in range(r):
            for j in range(r):
                bar_lower[i, j] = spread(0.0)
            for k in range(r):
                for j in range(k + 1):
                    bar_lower[i, j] += half[i, k] * inverse[k, j]
        for k in range(r):
            for i in range(k + 1):
                for j in range(r):
                    phi[i, j] += inverse[k, i] * bar_lower[k, j]
        for d in range(n):
            for j in range(r):
                own_z[d] += lever[d, j] * bar_drawn[j]
                bar_lever[d, j] += numbers[d] * bar_drawn[j]
                own_centre[d] -= own_lean[d, j] * own_target[j]
            for i in range(r):
                for j in range(r):
                    bar_lever[d, j] += lever[d, i] * phi[i, j]
        # A = C' (sd V)
        for i in range(m):
            for k in range(i, m):
                for j in range(r):
                    bar_factor[k, i] += sd[together[k]] * own_lean[together[k], j] * bar_lever[together[i], j]
        for i in range(m - 1, -1, -1):
            for j in range(r):
                total = spread(0.0)
                for k in range(i + 1):
                    total += factor[i, k] * bar_lever[together[k], j]
                bar_lever[together[i], j] = total
        for d in range(n):
            for j in range(r):
                bar_sd[d] += bar_lever[d, j] * own_lean[d, j]
        _put(own_target, first, bar_target)
        _put(own_centre, first, bar_centre)
        _put(own_z, first, bar_z)
    of_sd, of_factor = empty(n), zeros((m, m))
    by_sd, by_factor = by_lane(bar_sd), by_lane(bar_factor)
    for d in range(n):
        of_sd[d] = people * bar_volume / sd[d]
        for lane in range(LANES):
            of_sd[d] += by_sd[d, lane]
    for i in range(m):
        of_factor[i, i] = people * bar_volume / factor[i, i]
        for j in range(i + 1):
            for lane in range(LANES):
                of_factor[i, j] += by_factor[i, j, lane]
    return bar_target, bar_centre, of_sd, of_factor, bar_z
