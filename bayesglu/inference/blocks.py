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
from bayesglu.solver.lanes import LANES, in_lanes, spread, square_root

Blocks = namedtuple("Blocks", "individual standardized log_volume")
"""Everyone's parameters, their y, both (subject, component), and the log volume of them all per volume of
z."""

Given = namedtuple("Given", "lean target centre z")
"""Of the people in the lanes: V, k, the centre and z, each with an axis of lanes at the end."""

Told = namedtuple("Told", "given lever lower known drawn step")
"""The same in lanes, with A, L, ``L^-1 (k - V' centre)``, ``(I + L)^-1 A' z`` and what A is multiplied by."""


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
def _row(n):
    """Room for n numbers of the people in the lanes."""
    return empty((n, LANES))


@compiled(inner=True)
def _room(n, r):
    """Room for what the people in the lanes are given."""
    return Given(empty((n, r, LANES)), _row(r), _row(n), _row(n))


@compiled(inner=True)
def _take(table, first, into):
    """Rows of a table from the `first` on, a lane each; zeros where there are no more."""
    for lane in range(LANES):
        for i in range(len(into)):
            into[i, lane] = table[first + lane, i] if first + lane < len(table) else 0.0


@compiled(inner=True)
def _put(numbers, first, table):
    """The other way round."""
    for lane in range(min(LANES, len(table) - first)):
        for i in range(len(numbers)):
            table[first + lane, i] = numbers[i, lane]


@compiled(inner=True)
def _gather(lean, target, centre, z, first, room):
    """What the people from the `first` on are given."""
    for lane in range(LANES):
        for d in range(lean.shape[1]):
            for j in range(lean.shape[2]):
                room.lean[d, j, lane] = lean[first + lane, d, j] if first + lane < len(lean) else 0.0
    _take(target, first, room.target)
    _take(centre, first, room.centre)
    _take(z, first, room.z)


@compiled(inner=True)
def _seen(room):
    """The same as numbers in lanes, and room for what follows from them."""
    n, r, _ = room.lean.shape
    given = Given(in_lanes(room.lean), in_lanes(room.target), in_lanes(room.centre), in_lanes(room.z))
    lever, lower = in_lanes(empty((n, r, LANES))), in_lanes(empty((r, r, LANES)))
    return Told(given, lever, lower, in_lanes(_row(r)), in_lanes(_row(r)), in_lanes(_row(r)))


@compiled(inner=True)
def _tell(sd, factor, together, told):
    """Fill in what the samples of the people in the lanes tell."""
    (lean, target, centre, z), lever, lower, known, drawn, step = told
    n, r = lean.shape
    for d in range(n):
        for j in range(r):
            lever[d, j] = sd[d] * lean[d, j]
    for i in range(len(together)):  # the components from i on have not been changed yet
        for j in range(r):
            total = spread(0.0)
            for k in range(i, len(together)):
                total += factor[k, i] * sd[together[k]] * lean[together[k], j]
            lever[together[i], j] = total
    for i in range(r):
        known[i], drawn[i] = target[i], spread(0.0)
        for j in range(i + 1):
            lower[i, j] = spread(1.0 if i == j else 0.0)
    for d in range(n):
        for i in range(r):
            known[i] -= lean[d, i] * centre[d]
            drawn[i] += lever[d, i] * z[d]
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
    room, row, diagonal = _room(n, r), _row(n), _row(r)
    told, y, roots = _seen(room), in_lanes(row), in_lanes(diagonal)
    for first in range(0, people, LANES):
        _gather(lean, target, centre, z, first, room)
        _tell(sd, factor, together, told)
        for d in range(n):
            y[d] = told.given.z[d]
            for j in range(r):
                y[d] += told.lever[d, j] * told.step[j]
        _put(row, first, standardized)
        _correlate(factor, together, y)
        for d in range(n):
            y[d] = told.given.centre[d] + sd[d] * y[d]
        _put(row, first, individual)
        for i in range(r):
            roots[i] = told.lower[i, i]
        for lane in range(min(LANES, people - first)):
            for i in range(r):
                log_volume -= np.log(diagonal[i, lane])
    for d in range(n):
        log_volume += people * np.log(sd[d])
    for i in range(len(factor)):
        log_volume += people * np.log(factor[i, i])
    return Blocks(individual, standardized, log_volume)


@compiled(inner=True)
def numbers_of(lean, target, centre, sd, factor, together, individual):
    """The z (subject, component) of which `blocks` makes these individual parameters."""
    people, n, r = lean.shape
    z, room = empty((people, n)), _room(n, r)
    told = _seen(room)
    for first in range(0, people, LANES):
        _gather(lean, target, centre, individual, first, room)
        own = told.given.z
        for d in range(n):
            own[d] = (own[d] - told.given.centre[d]) / sd[d]
        for i in range(len(together)):
            for j in range(i):
                own[together[i]] -= factor[i, j] * own[together[j]]
            own[together[i]] /= factor[i, i]
        _tell(sd, factor, together, told)
        _backward(told.lower, 0.0, told.known)
        for d in range(n):
            for j in range(r):
                own[d] -= told.lever[d, j] * told.known[j]
        # F^-1 = I + A (I + L')^-1 A'
        for j in range(r):
            told.step[j] = spread(0.0)
        for d in range(n):
            for j in range(r):
                told.step[j] += told.lever[d, j] * own[d]
        _backward(told.lower, 1.0, told.step)
        for d in range(n):
            for j in range(r):
                own[d] += told.lever[d, j] * told.step[j]
        _put(room.z, first, z)
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
    sums_sd, sums_factor = zeros((n, LANES)), zeros((m, m, LANES))
    bar_sd, bar_factor = in_lanes(sums_sd), in_lanes(sums_factor)
    room, told_target, told_centre, told_z = _room(n, r), _row(r), _row(n), _row(n)
    told, own_target, own_centre, own_z = (
        _seen(room), in_lanes(told_target), in_lanes(told_centre), in_lanes(told_z),
    )  # fmt: skip
    begun, drawn_by, drawn_from = _row(n), _row(n), _row(n)
    y, bar_own, bar_from = in_lanes(begun), in_lanes(drawn_by), in_lanes(drawn_from)
    bar_lever, bar_lower = in_lanes(empty((n, r, LANES))), in_lanes(empty((r, r, LANES)))
    phi, inverse = in_lanes(empty((r, r, LANES))), in_lanes(empty((r, r, LANES)))
    half = in_lanes(empty((r, r, LANES)))
    bar_y, away = in_lanes(_row(n)), in_lanes(_row(n))
    bar_step, bar_drawn = in_lanes(_row(r)), in_lanes(_row(r))
    for first in range(0, people, LANES):
        _gather(lean, target, centre, z, first, room)
        _take(standardized, first, begun)
        _take(bar_individual, first, drawn_by)
        _take(bar_standardized, first, drawn_from)
        _tell(sd, factor, together, told)
        (own_lean, _, _, numbers), lever, lower, known, drawn, step = told
        # individual = centre + sd (C y)
        for d in range(n):
            away[d] = y[d]
            bar_y[d] = sd[d] * bar_own[d]
        _correlate(factor, together, away)
        for d in range(n):
            own_centre[d] = bar_own[d]
            bar_sd[d] += bar_own[d] * away[d]
        for i in range(m):
            total = spread(0.0)
            for k in range(i, m):
                scaled = sd[together[k]] * bar_own[together[k]]
                total += factor[k, i] * scaled
                bar_factor[k, i] += scaled * y[together[i]]
            bar_y[together[i]] = total
        # y = z + A step
        for j in range(r):
            bar_step[j] = spread(0.0)
        for d in range(n):
            bar_y[d] += bar_from[d]
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
        _put(told_target, first, bar_target)
        _put(told_centre, first, bar_centre)
        _put(told_z, first, bar_z)
    of_sd, of_factor = empty(n), zeros((m, m))
    for d in range(n):
        of_sd[d] = people * bar_volume / sd[d]
        for lane in range(LANES):
            of_sd[d] += sums_sd[d, lane]
    for i in range(m):
        of_factor[i, i] = people * bar_volume / factor[i, i]
        for j in range(i + 1):
            for lane in range(LANES):
                of_factor[i, j] += sums_factor[i, j, lane]
    return bar_target, bar_centre, of_sd, of_factor, bar_z
