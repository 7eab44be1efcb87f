"""Smooth building blocks, in arithmetic that floats, NumPy arrays and SymPy symbols share."""

import math
import sys

from bayesglu.physiology.quantities import Ratio


def _library(x):
    """Whoever made `x` knows its exponential: NumPy for its arrays, SymPy for its symbols, math for plain
    numbers."""
    home = sys.modules[type(x).__module__.partition(".")[0]]
    return home if hasattr(home, "exp") else math


def exp(x):
    """The exponential of `x`."""
    return _library(x).exp(x)


def log(x):
    """The natural logarithm of `x`."""
    return _library(x).log(x)


def softplus(x, width):
    """`x` where it is well above zero, nothing well below, and a smooth bend of the given `width` between.

    Equal to ``width * log(1 + exp(x / width))``, written so that no exponential overflows.
    """
    return (x + abs(x)) / 2 + width * log(1 + exp(-abs(x) / width))


def softplus_inverse(value, width):
    """The `x` at which ``softplus(x, width)`` is `value`."""
    scaled = value / width
    return width * (scaled + log(1 - exp(-scaled)))


def hill(x, half, power: int) -> Ratio:
    """Rises from 0 to 1, one half at ``x = half``; an integer `power` keeps the derivative finite at zero."""
    return x**power / (half**power + x**power)


def saturating_drive(drive: Ratio, production_ceiling: Ratio) -> Ratio:
    """1 at a drive of 1, 0 without drive, never above `production_ceiling`."""
    return production_ceiling * drive / (production_ceiling - 1 + drive)
