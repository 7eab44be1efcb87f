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

Blocks = namedtuple("Blocks", "individual standardized log_volume")
"""Everyone's parameters, their y, both (subject, component), and the log volume of them all per volume of
z."""

Told = namedtuple("Told", "lever lower known drawn step")
"""Of one person: A, L, ``L^-1 (k - V' centre)``, ``(I + L)^-1 A' z`` and what A is multiplied by."""


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
            inverse[i, j] = 0.0
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
        total = 0.0
        for j in range(i + 1):
            total += factor[i, j] * x[together[j]]
        x[together[i]] = total


@compiled(inner=True)
def _room(n, r):
    return Told(empty((n, r)), empty((r, r)), empty(r), empty(r), empty(r))


@compiled(inner=True)
def _tell(lean, target, centre, sd, factor, together, z, room):
    """Fill in what one person's samples tell. `target` : k."""
    n, r = lean.shape
    lever, lower, known, drawn, step = room
    for d in range(n):
        for j in range(r):
            lever[d, j] = sd[d] * lean[d, j]
    for i in range(len(together)):  # the components from i on have not been changed yet
        for j in range(r):
            total = 0.0
            for k in range(i, len(together)):
                total += factor[k, i] * sd[together[k]] * lean[together[k], j]
            lever[together[i], j] = total
    for i in range(r):
        known[i], drawn[i] = target[i], 0.0
        for j in range(i + 1):
            lower[i, j] = 1.0 if i == j else 0.0
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
            lower[i, j] = np.sqrt(total) if i == j else total / lower[j, j]
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
    people, n = z.shape
    individual, standardized, log_volume = empty((people, n)), empty((people, n)), 0.0
    room, away = _room(n, lean.shape[2]), empty(n)
    for s in range(people):
        _tell(lean[s], target[s], centre[s], sd, factor, together, z[s], room)
        for d in range(n):
            y = z[s, d]
            for j in range(len(room.step)):
                y += room.lever[d, j] * room.step[j]
            standardized[s, d] = away[d] = y
        _correlate(factor, together, away)
        for d in range(n):
            individual[s, d] = centre[s, d] + sd[d] * away[d]
            log_volume += np.log(sd[d])
        for i in range(len(factor)):
            log_volume += np.log(factor[i, i])
        for i in range(len(room.step)):
            log_volume -= np.log(room.lower[i, i])
    return Blocks(individual, standardized, log_volume)


@compiled(inner=True)
def numbers_of(lean, target, centre, sd, factor, together, individual):
    """The z (subject, component) of which `blocks` makes these individual parameters."""
    people, n = individual.shape
    z, room = empty((people, n)), _room(n, lean.shape[2])
    r = len(room.step)
    for s in range(people):
        for d in range(n):
            z[s, d] = (individual[s, d] - centre[s, d]) / sd[d]
        for i in range(len(together)):
            for j in range(i):
                z[s, together[i]] -= factor[i, j] * z[s, together[j]]
            z[s, together[i]] /= factor[i, i]
        _tell(lean[s], target[s], centre[s], sd, factor, together, z[s], room)
        _backward(room.lower, 0.0, room.known)
        for d in range(n):
            for j in range(r):
                z[s, d] -= room.lever[d, j] * room.known[j]
        # F^-1 = I + A (I + L')^-1 A'
        for j in range(r):
            room.step[j] = 0.0
        for d in range(n):
            for j in range(r):
                room.step[j] += room.lever[d, j] * z[s, d]
        _backward(room.lower, 1.0, room.step)
        for d in range(n):
            for j in range(r):
                z[s, d] += room.lever[d, j] * room.step[j]
    return z


@compiled(inner=True)
def blocks_adjoint(lean, target, sd, factor, together, z, standardized, centre, bar_individual,
                   bar_standardized, bar_volume):  # fmt: skip
    """Cotangents of target, centre, sd, factor and z, from those of what `blocks` makes of them, of which
    `standardized` is needed again.

    From a Cholesky factor to its matrix: Murray (2016), arXiv:1602.07527.
    """
    people, n, r = lean.shape
    bar_target, bar_centre, bar_z = empty((people, r)), empty((people, n)), empty((people, n))
    bar_sd, bar_factor = zeros(n), zeros(factor.shape)
    room, bar_lever, bar_lower, phi = _room(n, r), empty((n, r)), empty((r, r)), empty((r, r))
    inverse, half = empty((r, r)), empty((r, r))
    bar_y, away, bar_step, bar_drawn = empty(n), empty(n), empty(r), empty(r)
    m = len(together)
    for s in range(people):
        _tell(lean[s], target[s], centre[s], sd, factor, together, z[s], room)
        lever, lower, known, drawn, step = room
        # individual = centre + sd (C y)
        for d in range(n):
            away[d] = standardized[s, d]
            bar_y[d] = sd[d] * bar_individual[s, d]
        _correlate(factor, together, away)
        for d in range(n):
            bar_centre[s, d] = bar_individual[s, d]
            bar_sd[d] += bar_individual[s, d] * away[d] + bar_volume / sd[d]
        for i in range(m):
            bar_factor[i, i] += bar_volume / factor[i, i]
            total = 0.0
            for k in range(i, m):
                total += factor[k, i] * sd[together[k]] * bar_individual[s, together[k]]
                bar_factor[k, i] += (
                    sd[together[k]] * bar_individual[s, together[k]] * standardized[s, together[i]]
                )
            bar_y[together[i]] = total
        # y = z + A step
        for j in range(r):
            bar_step[j] = 0.0
        for d in range(n):
            bar_y[d] += bar_standardized[s, d]
            bar_z[s, d] = bar_y[d]
            for j in range(r):
                bar_step[j] += lever[d, j] * bar_y[d]
                bar_lever[d, j] = bar_y[d] * step[j]
        # L' step = known - drawn,  L known = k - V' centre,  (I + L) drawn = A' z
        _forward(lower, 0.0, bar_step)
        for j in range(r):
            bar_target[s, j], bar_drawn[j] = bar_step[j], -bar_step[j]
        _backward(lower, 0.0, bar_target[s])
        _backward(lower, 1.0, bar_drawn)
        for i in range(r):
            for j in range(i + 1):
                bar_lower[i, j] = (
                    -step[i] * bar_step[j] - bar_target[s, i] * known[j] - bar_drawn[i] * drawn[j]
                )
            bar_lower[i, i] -= bar_volume / lower[i, i]
        # L L' = I + A' A: phi becomes the symmetric cotangent of the matrix, doubled.
        _inverse(lower, inverse)
        for i in range(r):
            for j in range(r):
                half[i, j] = phi[i, j] = 0.0
        for k in range(r):
            for i in range(k + 1):
                for j in range(i + 1):
                    half[i, j] += lower[k, i] * bar_lower[k, j]
        for i in range(r):
            for j in range(i):
                half[j, i] = half[i, j]
        for i in range(r):
            for j in range(r):
                bar_lower[i, j] = 0.0
            for k in range(r):
                for j in range(k + 1):
                    bar_lower[i, j] += half[i, k] * inverse[k, j]
        for k in range(r):
            for i in range(k + 1):
                for j in range(r):
                    phi[i, j] += inverse[k, i] * bar_lower[k, j]
        for d in range(n):
            for j in range(r):
                bar_z[s, d] += lever[d, j] * bar_drawn[j]
                bar_lever[d, j] += z[s, d] * bar_drawn[j]
                bar_centre[s, d] -= lean[s, d, j] * bar_target[s, j]
            for i in range(r):
                for j in range(r):
                    bar_lever[d, j] += lever[d, i] * phi[i, j]
        # A = C' (sd V)
        for i in range(m):
            for k in range(i, m):
                for j in range(r):
                    own = lean[s, together[k], j]
                    bar_factor[k, i] += sd[together[k]] * own * bar_lever[together[i], j]
        for i in range(m - 1, -1, -1):
            for j in range(r):
                total = 0.0
                for k in range(i + 1):
                    total += factor[i, k] * bar_lever[together[k], j]
                bar_lever[together[i], j] = total
        for d in range(n):
            for j in range(r):
                bar_sd[d] += bar_lever[d, j] * lean[s, d, j]
    return bar_target, bar_centre, bar_sd, bar_factor, bar_z
