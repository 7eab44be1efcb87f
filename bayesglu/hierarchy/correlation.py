"""Correlation matrices from numbers without bounds, for deviations of people that go together.

A correlation matrix of m parameters is m (m - 1) / 2 partial correlations z, of each parameter i with each
earlier one j given those before j; they may be anything between -1 and 1, and ``y = artanh z`` anything at
all. Under the LKJ prior they are independent, ``(1 + z) / 2 ~ Beta(a, a)`` with ``a = eta + (m - 2 - j) / 2``
(Lewandowski, Kurowicka and Joe 2009, J Multivariate Anal 100:1989), so that y has the log density
``a log(1 - tanh(y)^2)``.
"""

import numpy as np

from bayesglu.solver.arrays import empty, zeros
from bayesglu.solver.compiled import compiled


def beta_shapes(m: int, eta: float) -> np.ndarray:
    """The a of each partial correlation, in the order (1, 0), (2, 0), (2, 1), (3, 0), ..."""
    return np.array([eta + (m - 2 - j) / 2 for i in range(m) for j in range(i)])


@compiled()
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


def pairs(names) -> list[str]:
    """What each element below the diagonal is about, in the order of `beta_shapes`."""
    return [f"{names[j]} and {names[i]}" for i in range(len(names)) for j in range(i)]


def below_diagonal(matrices: np.ndarray) -> np.ndarray:
    """The elements ``(..., pair)`` below the diagonals of matrices ``(..., m, m)``."""
    i, j = np.tril_indices(matrices.shape[-1], -1)
    return matrices[..., i, j]


def matrices_of(below: np.ndarray) -> np.ndarray:
    """Correlation matrices ``(..., m, m)`` with the elements ``(..., pair)`` below their diagonals."""
    m = (1 + round(np.sqrt(1 + 8 * below.shape[-1]))) // 2
    i, j = np.tril_indices(m, -1)
    whole = np.zeros((*below.shape[:-1], m, m)) + np.eye(m)
    whole[..., i, j] = whole[..., j, i] = below
    return whole
