"""Are numbers uniform between 0 and 1? Simultaneous bands of their empirical distribution function, after
Säilynoja, Bürkner & Vehtari 2022 (Stat Comput 32:32).

The statistic is the smallest two-sided probability, over all points of a grid, of as many numbers below that
point; how small it is by chance is simulated once for each count of numbers.
"""

from functools import cache

import numpy as np
from scipy.stats import beta, binom

POINTS = 100
"""Of the grid, 1/100, 2/100, ..., 1; the last tells nothing."""

SIMULATIONS = 50_000
"""Sets of uniform numbers that the statistic is compared with: p-values are known to within 1 of so many."""

GRID = np.arange(1, POINTS) / POINTS


def p_values(numbers: np.ndarray) -> np.ndarray:
    """How often uniform numbers ``(n, ...)`` leave the diagonal as far as these, for each column ``(...)``.

    >>> bool(p_values(np.full((50, 1), 0.5))[0] < 1e-3)
    True
    """
    n = len(numbers)
    below = (np.asarray(numbers)[..., None] <= GRID).sum(0)
    lowest = np.take_along_axis(_pointwise(n), below.reshape(-1, len(GRID)).T, axis=1).min(0)
    at_most = np.searchsorted(_by_chance(n), lowest, side="right")
    return ((1 + at_most) / (1 + SIMULATIONS)).reshape(below.shape[:-1])


def band(n: int, probability: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points, and between which shares of `n` uniform numbers lie below all of them at once with this
    probability."""
    level = float(np.quantile(_by_chance(n), 1 - probability))
    inside = _pointwise(n) >= level
    low, high = inside.argmax(1), n - inside[:, ::-1].argmax(1)
    return GRID, low / n, high / n


def order_band(n: int, probability: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Between which shares each of `n` uniform numbers lies, in order, all at once with this probability."""
    level, i = float(np.quantile(_by_chance(n), 1 - probability)), np.arange(1, n + 1)
    return beta.ppf(level / 2, i, n - i + 1), beta.ppf(1 - level / 2, i, n - i + 1)


@cache
def _pointwise(n: int) -> np.ndarray:
    """Two-sided probability ``(point, count)`` of so many of `n` below each point."""
    counts = np.arange(n + 1)
    lower = binom.cdf(counts, n, GRID[:, None])
    upper = binom.sf(counts - 1, n, GRID[:, None])
    return np.minimum(1.0, 2 * np.minimum(lower, upper))


@cache
def _by_chance(n: int) -> np.ndarray:
    """The statistic of sets of `n` uniform numbers, sorted. The same at every call."""
    rng = np.random.default_rng(n)
    below = rng.multinomial(n, np.full(POINTS, 1 / POINTS), size=SIMULATIONS).cumsum(1)[:, :-1]
    return np.sort(np.take_along_axis(_pointwise(n), below.T, axis=1).min(0))
