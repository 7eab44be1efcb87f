"""Samples of which no more is known than that they lie beyond a limit of quantification.

Beyond a limit the tail is that of the Normal distribution, whatever the residuals of the analyte are: that
single samples may be far off says little about one of which only the side is known. z is the residual of the
limit, `side` -1 where the sample lies below it and 1 where it lies above.
"""

import numpy as np
from scipy.special import log_ndtr


def log_probability(z, side):
    """Logarithm of the probability that a sample lies beyond its limit."""
    return log_ndtr(-side * z)


def slope(z, side):
    """Derivative of `log_probability` by z."""
    return -side * _hazard(-side * z)


def working(z, side) -> tuple[np.ndarray, np.ndarray]:
    """Precision and residual of a Normal sample that would pull a prediction as one beyond its limit does."""
    x = -side * z
    with np.errstate(divide="ignore", invalid="ignore"):
        hazard = _hazard(x)
        excess = np.where(x < -100, -1 / x, hazard + x)  # far out the sum would cancel
        return hazard * excess, side / excess


def _hazard(x):
    """Derivative of the logarithm of the Normal distribution function."""
    return np.exp(-0.5 * x**2 - log_ndtr(x)) / np.sqrt(2 * np.pi)
