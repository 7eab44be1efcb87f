"""The compiled form of `hierarchy.correlation`, in ``y = artanh z`` of the partial correlations z."""

import numpy as np

from bayesglu.solver.arrays import empty, zeros
from bayesglu.solver.compiled import compiled


@compiled(inner=True)
def factor_of(y, m):
    """Cholesky factor (m, m) of the correlation matrix."""
    factor, at = zeros((m, m)), 0
    for i in range(m):
        left = 1.0
        for j in range(i):
            z = np.tanh(y[at])
            factor[i, j] = z * left
            left *= np.sqrt(1.0 - z * z)
            at += 1
        factor[i, i] = left
    return factor


@compiled(inner=True)
def factor_adjoint(y, bar_factor):
    """Cotangents of y from those of the factor."""
    m, bar_y, at = len(bar_factor), empty(len(y)), 0
    for i in range(m):
        left = 1.0
        for j in range(i):
            z = np.tanh(y[at + j])
            left *= np.sqrt(1.0 - z * z)
        bar_left = bar_factor[i, i]
        for j in range(i - 1, -1, -1):
            z = np.tanh(y[at + j])
            rest = np.sqrt(1.0 - z * z)
            left /= rest
            bar_z = left * (bar_factor[i, j] - bar_left * z / rest)
            bar_y[at + j] = bar_z * rest * rest
            bar_left = bar_factor[i, j] * z + bar_left * rest
        at += i
    return bar_y
