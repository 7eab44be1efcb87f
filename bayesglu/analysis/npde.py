"""Normalised prediction distribution errors: people against what is predicted of new people like them.

Comets, Brendel & Mentré 2008, Comput Methods Programs Biomed 90:154; censored samples as in Nguyen, Comets &
Mentré 2012, J Pharmacokinet Pharmacodyn 39:499.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import ndtri
from scipy.stats import chi2, shapiro, ttest_1samp, wilcoxon

from bayesglu.analysis.compared import analytes_of, compared, logarithm, of_new_people
from bayesglu.errors import InputError
from bayesglu.seeds import seed_of

FEWEST = 100
"""Draws of new people, below which ranks among them say little."""


class Decorrelated(NamedTuple):
    """One person's samples, and those of new people, as numbers that are independent of each other.

    `rows` are the samples in the order of their times, `mean` (n) and `factor` (n, n), lower, those of the
    logarithms of new people's; `inverse` is that of the factor. `own` (n) and `others` (draw, n) have mean 0
    and SD 1 where the person is one of them.
    """

    rows: np.ndarray
    mean: np.ndarray
    factor: np.ndarray
    inverse: np.ndarray
    own: np.ndarray
    others: np.ndarray

    @property
    def new(self) -> np.ndarray:
        """The logarithms ``(draw, n)`` of new people's samples."""
        return self.mean + self.others @ self.factor.T

    def distance(self, log_value: np.ndarray) -> np.ndarray:
        """Squared distance ``(...)`` of other values ``(..., n)`` of the same samples."""
        return (standardized(log_value, self.mean, self.inverse, len(self.others)) ** 2).sum(-1)

    def log_density(self, log_value: np.ndarray) -> np.ndarray:
        """Log density ``(...)`` of such values, up to a constant."""
        return -self.distance(log_value) / 2 - np.log(np.diag(self.factor)).sum()


def standardized(log_value: np.ndarray, mean: np.ndarray, inverse: np.ndarray, draws: int) -> np.ndarray:
    """Independent numbers with mean 0 and SD 1 where values have this mean and a covariance whose factor has
    this inverse, estimated from so many draws: what is known so is somewhat less far off than the estimate
    says."""
    plain = (log_value - mean) @ inverse.T
    j = np.arange(len(mean))
    known = (1 - j / (draws - 1)) / (1 + 1 / draws + j / (draws - j - 2))
    return plain * np.sqrt(known)


def decorrelate(log_value: np.ndarray, log_new: np.ndarray, rows: np.ndarray) -> Decorrelated:
    """One person's logarithms ``(n,)`` beside those of new people ``(draw, n)``."""
    mean = log_new.mean(0)
    covariance = np.atleast_2d(np.cov(log_new, rowvar=False))
    factor = np.linalg.cholesky(covariance + 1e-12 * np.trace(covariance) * np.eye(len(mean)))
    inverse = np.linalg.inv(factor)
    others = (log_new - mean) @ inverse.T
    own = standardized(log_value, mean, inverse, len(log_new))
    return Decorrelated(rows, mean, factor, inverse, own, others)


def by_person(samples: xr.Dataset, log_value: np.ndarray, log_new: np.ndarray) -> dict[str, Decorrelated]:
    """Each person's samples, decorrelated in the order of their times."""
    found, time = {}, samples.time.values
    most = len(log_new) // 3  # a covariance of more samples cannot be had of so many draws
    for subject in dict.fromkeys(map(str, samples.subject.values)):
        rows = np.flatnonzero(samples.subject.values == subject)
        rows = rows[np.lexsort((time[rows], samples.occasion.values[rows]))]
        rows = rows[np.sort(np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int))]
        found[subject] = decorrelate(log_value[rows], log_new[:, rows], rows)
    return found


def npde(fit: xr.DataTree, random_seed: int | np.random.Generator | None = None) -> xr.Dataset:
    """Normalised prediction distribution errors, with the field's tests.

    Each person's samples are compared with those of new people with the same covariates, doses and times,
    drawn from the fitted population with its uncertainty. Samples of a person, of all analytes and in the
    order of their times, are made independent with the covariance of the new people's, on the logarithm;
    their ranks, as Normal scores, are then a standard Normal sample where the model is right. A censored
    sample is put at random where new people's lie beyond its limit.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it, with the group ``population_predictive``.
    random_seed : int or numpy.random.Generator, optional
        Seed of what is put at random; drawn where it is not given.

    Returns
    -------
    xarray.Dataset
        Dim ``obs`` with the coordinates ``analyte``, ``subject``, ``occasion``, ``time`` (min) and
        ``censoring``: ``npde``; ``pd``, the rank of the sample by itself, 0 to 1; and ``expected``, the
        median of new people's (canonical unit). Dim ``tested``, each analyte and ``all``: ``mean`` and
        ``variance`` of its npde; ``p_mean`` (Wilcoxon), ``p_variance`` (Fisher), ``p_normal``
        (Shapiro-Wilk), and ``p``, three times the smallest of them.

    Raises
    ------
    InputError
        If the fit has no samples, or no new people were drawn of it.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.load_study("synthetic_ogtt").select(analytes=["glucose", "insulin"])
    >>> fit = bg.fit("oral", study, method="laplace", random_seed=1, progressbar=False)
    >>> found = bg.npde(fit, random_seed=1)
    >>> found.tested.values.tolist()
    ['glucose', 'insulin', 'all']
    """
    samples, seed = compared(fit), seed_of(random_seed)
    new = of_new_people(fit, samples)
    if len(new) < FEWEST:
        raise InputError(
            f"The fit has {len(new)} draws of new people that could be solved, and {FEWEST} are needed: fit "
            "with more draws."
        )
    rng, log_new = np.random.default_rng(seed), logarithm(new, samples)
    log_value = imputed(samples, log_new, rng)
    score = np.full(samples.sizes["obs"], np.nan)
    for own in by_person(samples, log_value, log_new).values():
        below = (own.others < own.own).sum(0)
        score[own.rows] = ndtri((below + 0.5) / (len(new) + 1))
    alone = (log_new < log_value).mean(0)
    errors = xr.Dataset(
        {"npde": ("obs", score), "pd": ("obs", alone), "expected": ("obs", np.median(new, axis=0))},
        samples.coords,
    )
    groups = {a: samples.analyte.values == a for a in analytes_of(samples)}
    groups["all"] = np.ones(len(score), bool)
    table = pd.DataFrame({name: _tested(score[of]) for name, of in groups.items()}).T
    tested = {name: ("tested", table[name].to_numpy(float)) for name in table}
    errors = errors.assign(tested).assign_coords(tested=list(groups))
    errors.attrs = {"random_seed": seed, "new_people": len(new), "study": fit.attrs.get("study_name", "")}
    return errors


def imputed(samples: xr.Dataset, log_new: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Logarithms ``(obs,)`` of the samples; censored ones are drawn of new people's beyond the limit."""
    log_value = logarithm(samples["value"].values, samples)
    for side, beyond in (("left", np.less), ("right", np.greater)):
        for i in np.flatnonzero(samples.censoring.values == side):
            there = log_new[beyond(log_new[:, i], log_value[i]), i]
            log_value[i] = rng.choice(there) if len(there) else log_value[i]
    return log_value


def _tested(score: np.ndarray) -> dict[str, float]:
    score = score[np.isfinite(score)]
    n = len(score)
    found = dict.fromkeys(("mean", "variance", "p_mean", "p_variance", "p_normal", "p"), np.nan)
    if n < 4:
        return found
    mean, variance = score.mean(), score.var(ddof=1)
    at = chi2.cdf((n - 1) * variance, n - 1)
    p_mean = wilcoxon(score).pvalue if n >= 10 else ttest_1samp(score, 0).pvalue
    p_variance, p_normal = 2 * min(at, 1 - at), shapiro(score[:5000]).pvalue
    p = min(1.0, 3 * min(p_mean, p_variance, p_normal))
    kept = (mean, variance, p_mean, p_variance, p_normal, p)
    return dict(zip(found, map(float, kept), strict=True))
