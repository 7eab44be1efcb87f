"""The scales on which priors are Normal: the logarithm, or the log odds of what stays between 0 and 1."""

import numpy as np


def to_scale(value, is_logit):
    """Values on their scales; minus infinity at 0.

    value : on the natural scale. is_logit : of which of them (or of all) the scale is the log odds.
    """
    value = np.asarray(value, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(np.where(is_logit, value / (1 - value), value))


def from_scale(number, is_logit):
    """Inverse of `to_scale`: infinite, not an error, where the logarithm is too large."""
    number = np.asarray(number, float)
    with np.errstate(over="ignore"):
        odds = np.exp(np.where(is_logit, 0.0, number))
        return np.where(is_logit, 1 / (1 + np.exp(-number)), odds)
