"""Everyone's own vector of parameters from standard Normal numbers, by Cholesky factors; compiled.

A block is one person's vector. With information H and prior precision P its precision is ``Q = H + P =
L L'``.
"""

import numpy as np

from bayesglu.solver.arrays import empty, zeros
from bayesglu.solver.compiled import compiled


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
def forward_solve(lower, x):
    """Solve ``lower x = x`` in place."""
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
def blocks(information, precision, r, z):
    """Blocks ``L'^-1 (L^-1 r + z)`` (subject, component) and the log volume of their change of variables."""
    people, n = z.shape
    block, lower, log_volume = empty((people, n)), zeros((n, n)), 0.0
    for s in range(people):
        _factor(information[s], precision, lower)
        for i in range(n):
            block[s, i] = r[s, i]
            log_volume -= np.log(lower[i, i])
        forward_solve(lower, block[s])
        for i in range(n):
            block[s, i] += z[s, i]
        _backward_solve(lower, block[s])
    return block, log_volume


@compiled(inner=True)
def numbers_of(information, precision, r, block):
    """The z (subject, component) of which `blocks` makes these blocks."""
    people, n = block.shape
    z, lower, mean = empty((people, n)), zeros((n, n)), empty(n)
    for s in range(people):
        _factor(information[s], precision, lower)
        for i in range(n):
            mean[i] = r[s, i]
        forward_solve(lower, mean)
        for i in range(n):
            z[s, i] = -mean[i]
            for k in range(i, n):
                z[s, i] += lower[k, i] * block[s, k]
    return z


@compiled(inner=True)
def blocks_adjoint(information, precision, r, block, bar_block, bar_volume, whole):
    """Cotangents of precision (component, component), r and z (subject, component), from those of the blocks
    and of the log volume.

    With ``w = L^-1 r + z`` and ``block = L'^-1 w``: ``bar_w = L^-1 bar_block``, which is that of z. The
    factor receives ``-block bar_w'`` from the last solve, ``-(L'^-1 bar_w)(L^-1 r)'`` from the first, and
    ``-bar_volume / diag(L)`` from the volume. From the factor to its matrix: Murray (2016), arXiv:1602.07527;
    only the diagonal unless the `whole` is needed.
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
        forward_solve(lower, u)
        forward_solve(lower, bar_z[s])
        for i in range(n):
            bar_r[s, i] = bar_z[s, i]
        _backward_solve(lower, bar_r[s])
        for i in range(n):
            for j in range(i + 1):
                bar_lower[i, j] = -block[s, i] * bar_z[s, j] - bar_r[s, i] * u[j]
            bar_lower[i, i] -= bar_volume / lower[i, i]
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


@compiled(inner=True)
def inverse_of(factor, spread):
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
def correlated_adjoint(factor, spread, bar_precision):
    """Cotangents of the spreads and of the factor F, from those of the precision W'W, where W inverts
    diag(spread) F."""
    m = len(factor)
    inverse = inverse_of(factor, spread)
    bar_inverse = zeros((m, m))
    for i in range(m):
        for j in range(m):
            for k in range(m):
                bar_inverse[i, j] += inverse[i, k] * (bar_precision[k, j] + bar_precision[j, k])
    bar_spread, bar_factor = zeros(m), zeros((m, m))
    for i in range(m):
        for j in range(i + 1):
            bar = 0.0
            for k in range(i, m):
                for n in range(j + 1):
                    bar -= inverse[k, i] * bar_inverse[k, n] * inverse[j, n]
            bar_spread[i] += bar * factor[i, j]
            bar_factor[i, j] = bar * spread[i]
    return bar_spread, bar_factor
