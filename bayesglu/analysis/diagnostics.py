"""Do chains agree, and how much do their draws tell? R-hat and effective sample size of many columns at once.

The rank-normalised statistics of Vehtari et al. 2021, Bayesian Analysis 16:667. ArviZ computes the same
numbers one column at a time; all columns together make a fit of a hundred people a matter of seconds.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import ndtri
from scipy.stats import rankdata


class Mixing(NamedTuple):
    """Diagnostics of each column: ``rhat``, ``ess_bulk``, ``ess_tail``; NaN where a column is constant."""

    rhat: np.ndarray
    ess_bulk: np.ndarray
    ess_tail: np.ndarray


def mixing(draws: np.ndarray) -> Mixing:
    """R-hat, bulk and tail effective sample size of ``draws`` ``(chain, draw, column)``.

    All are NaN for a column that is constant or not finite, and where chains have fewer than four draws;
    R-hat is NaN with a single chain. The tail is that of the 5 % and the 95 % quantile.
    """
    chains, length, columns = draws.shape
    nothing = np.full(columns, np.nan)
    if length < 4:
        return Mixing(nothing, nothing.copy(), nothing.copy())
    values = np.ascontiguousarray(np.moveaxis(draws, -1, 0), float)
    sound = np.isfinite(values).all((1, 2)) & (np.ptp(values, axis=(1, 2)) > 0)
    values = np.where(sound[:, None, None], values, np.arange(length))
    halves = _halves(values)
    scores = normal_scores(halves)
    rhat = nothing
    if chains > 1:
        folded = normal_scores(np.abs(halves - np.median(halves, axis=(1, 2), keepdims=True)))
        rhat = np.maximum(_scale_reduction(scores), _scale_reduction(folded))
    limits = np.quantile(values, [0.05, 0.95], axis=(1, 2), keepdims=True)
    tails = [_effective(_halves((values <= limit).astype(float))) for limit in limits]
    found = (rhat, _effective(scores), np.minimum(*tails))
    return Mixing(*(np.where(sound, each, np.nan) for each in found))


def energy_fraction(energy: np.ndarray) -> np.ndarray:
    """E-BFMI of each chain from energies ``(chain, draw)``: small where energies change but slowly.

    Betancourt 2016, arXiv:1604.00695.
    """
    return np.square(np.diff(energy, axis=1)).mean(axis=1) / energy.var(axis=1, ddof=1)


def normal_scores(values: np.ndarray) -> np.ndarray:
    """Normal quantiles of the ranks in each column of ``(column, chain, draw)``; ties share their mean."""
    ranks = rankdata(values.reshape(len(values), -1), axis=1)
    return ndtri((ranks - 0.375) / (ranks.shape[1] + 0.25)).reshape(values.shape)


def _halves(values: np.ndarray) -> np.ndarray:
    """Each chain cut in two, so that a drift within a chain shows as a difference between chains."""
    half = values.shape[2] // 2
    return np.concatenate([values[..., :half], values[..., -half:]], axis=1)


def _scale_reduction(values: np.ndarray) -> np.ndarray:
    """The classical R-hat of each column."""
    length = values.shape[2]
    between = length * values.mean(axis=2).var(axis=1, ddof=1)
    within = values.var(axis=2, ddof=1).mean(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt((between / within + length - 1) / length)


def _effective(values: np.ndarray) -> np.ndarray:
    """Effective sample size of the mean of each column, by Geyer's initial monotone sequence."""
    _, chains, length = values.shape
    covariance = _autocovariance(values)
    within = covariance[:, :1] * length / (length - 1)
    between = values.mean(axis=2).var(axis=1, ddof=1)[:, None] if chains > 1 else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = 1 - (within - covariance) / (covariance[:, :1] + between)
    correlation[:, 0] = 1.0
    # Sums of two neighbouring correlations are positive and fall; they count up to the first that is not.
    lags = max((length - 1) // 2, 1)
    even, odd = correlation[:, 0 : 2 * lags : 2], correlation[:, 1 : 2 * lags : 2]
    pairs = even + odd
    ends = pairs <= 0
    ends[:, -1] = True
    end = ends.argmax(axis=1)[:, None]
    summed = np.where(np.arange(lags) < end, np.minimum.accumulate(pairs, axis=1), 0).sum(axis=1)
    time = -1 + 2 * summed + np.maximum(np.take_along_axis(even, end, 1)[:, 0], 0)
    size = chains * length
    found = size / np.maximum(time, 1 / np.log10(size))
    return np.where(np.ptp(values, axis=(1, 2)) > 0, found, size)


def _autocovariance(values: np.ndarray) -> np.ndarray:
    """Autocovariance ``(column, lag)``, the mean over chains, by the fast Fourier transform."""
    length = values.shape[2]
    centred = values - values.mean(axis=2, keepdims=True)
    padded = 1 << (2 * length - 1).bit_length()
    power = np.square(np.abs(np.fft.rfft(centred, padded))).mean(axis=1)
    return np.fft.irfft(power, padded)[:, :length] / length
