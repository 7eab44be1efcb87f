"""Weights with a Pareto tail, and draws chosen by them (Vehtari et al. 2024, JMLR 25:72)."""

import numpy as np
from arviz_stats.base import array_stats
from scipy.special import logsumexp

LOWEST = -700.0
"""Of a logarithm of a weight against the largest."""

FEWEST, TAIL = 25, 0.8
"""Draws of which a tail can be fitted, and where it begins at the earliest."""
EQUAL = 0.05
"""How far the logarithms of the largest weights may lie apart for them to be equal: whatever the shape of so
short a tail, no draw counts for much more than another."""


def smoothed(log_ratio: np.ndarray) -> tuple[np.ndarray, float]:
    """Logarithms of weights (draw,) whose largest are those of a Pareto distribution, and its shape k: below
    0.7 the weights can be trusted. Their sum is that of the ratios. Of fewer than `FEWEST` draws k is not
    known; where the largest lie within `EQUAL` there is no tail, and it is minus infinity."""
    own = np.maximum(log_ratio, log_ratio.max() + LOWEST)
    if len(own) < FEWEST:
        return own, np.nan
    if own.max() - np.quantile(own, TAIL) < EQUAL:
        return own, -np.inf
    found, shape = array_stats.psislw(-own)
    return found - logsumexp(found) + logsumexp(own), float(shape)


def chosen(weight: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """So many places in their order, each as often as its weight (place,) says but for one."""
    ladder = (rng.random() + np.arange(draws)) / draws
    places = np.searchsorted(np.cumsum(weight) / weight.sum(), ladder)
    return np.minimum(places, len(weight) - 1)
