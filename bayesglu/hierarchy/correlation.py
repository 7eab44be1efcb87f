"""Correlation matrices from numbers without bounds, for correlated random effects.

A correlation matrix of m parameters is m (m - 1) / 2 partial correlations z, of each parameter i with each
earlier one j given those before j; they may be anything between -1 and 1, and ``y = artanh z`` anything at
all. Under the LKJ prior they are independent, ``(1 + z) / 2 ~ Beta(a, a)`` with ``a = eta + (m - 2 - j) / 2``
(Lewandowski, Kurowicka and Joe 2009, J Multivariate Anal 100:1989).

The partial correlations of the first parameter are its correlations: what is known of these can be a prior
of its own, ``(1 + z) / 2 ~ Beta(a, b)``, and the others are, given them, as under the LKJ prior. In any case
y has the log density ``a log(1 + tanh y) + b log(1 - tanh y)``, with its mode where ``tanh y`` is the mean of
z, ``(a - b) / (a + b)``.
"""

import numpy as np


def beta_shapes(m: int, eta: float) -> np.ndarray:
    """The a of each partial correlation, in the order (1, 0), (2, 0), (2, 1), (3, 0), ..."""
    return np.array([eta + (m - 2 - j) / 2 for i in range(m) for j in range(i)])


def with_first(i: int) -> int:
    """Which partial correlation is that of the i-th parameter with the first."""
    return i * (i - 1) // 2


def mode_and_scale(shapes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the density of y is highest, and the SD of the Normal distribution there, both ``(pair,)``, of
    shapes a and b ``(2, pair)``."""
    a, b = shapes
    return 0.5 * np.log(a / b), 0.5 * np.sqrt(1 / a + 1 / b)


def size_of(pairs: int) -> int:
    """How many parameters make so many pairs; none make none."""
    return (1 + round(np.sqrt(1 + 8 * pairs))) // 2 if pairs else 0


def factor_of(partial: np.ndarray) -> np.ndarray:
    """Cholesky factors ``(..., m, m)`` of correlation matrices from partial correlations ``(..., pair)``."""
    m, at = size_of(partial.shape[-1]), 0
    factor = np.zeros((*partial.shape[:-1], m, m))
    for i in range(m):
        left = np.ones(partial.shape[:-1])
        for j in range(i):
            factor[..., i, j] = partial[..., at] * left
            left = left * np.sqrt(1 - partial[..., at] ** 2)
            at += 1
        factor[..., i, i] = left
    return factor


def partial_of(factor: np.ndarray) -> np.ndarray:
    """Inverse of `factor_of`."""
    m = factor.shape[-1]
    found = []
    for i in range(m):
        left = np.ones(factor.shape[:-2])
        for j in range(i):
            found.append(factor[..., i, j] / left)
            left = left * np.sqrt(1 - found[-1] ** 2)
    return np.stack(found, axis=-1) if found else np.zeros((*factor.shape[:-2], 0))


def pairs(names) -> list[str]:
    """What each element below the diagonal is about, in the order of `beta_shapes`."""
    return [f"{names[j]} and {names[i]}" for i in range(len(names)) for j in range(i)]


def below_diagonal(matrices: np.ndarray) -> np.ndarray:
    """The elements ``(..., pair)`` below the diagonals of matrices ``(..., m, m)``."""
    i, j = np.tril_indices(matrices.shape[-1], -1)
    return matrices[..., i, j]


def matrices_of(below: np.ndarray) -> np.ndarray:
    """Correlation matrices ``(..., m, m)`` with the elements ``(..., pair)`` below their diagonals."""
    m = size_of(below.shape[-1])
    i, j = np.tril_indices(m, -1)
    whole = np.zeros((*below.shape[:-1], m, m)) + np.eye(m)
    whole[..., i, j] = whole[..., j, i] = below
    return whole
