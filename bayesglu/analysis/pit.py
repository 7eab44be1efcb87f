"""Probability integral transforms: where each sample lies among what the other samples predict of it.

Gelfand, Dey & Chang 1992, Bayesian Statistics 4:147; weights of Vehtari, Gelman & Gabry 2017, Stat Comput
27:1413; censored samples at random as in Czado, Gneiting & Held 2009, Biometrics 65:1254.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr
from scipy.special import ndtr

from bayesglu.analysis.compared import analytes_of, compared, drawn, logarithm, strata_of, time_bins
from bayesglu.analysis.uniformity import p_values
from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.results import require_fit
from bayesglu.seeds import seed_of
from bayesglu.spec.model import ModelSpec, model_of

LARGEST_K, MOST_UNRELIABLE = 0.7, 0.1
"""Pareto k of weights that are reliable, and the share of others beside which a p-value is told."""

FEWEST_DRAWS = 50
FEWEST = 8
"""Samples, below which nothing is said of their distribution."""


def pit(
    fit: xr.DataTree, by: str | None = None, random_seed: int | np.random.Generator | None = None
) -> xr.Dataset:
    """The probability integral transform of each sample, and whether they are uniform, by analyte and time.

    It is the probability of a lower measurement, given all other samples: draws are weighted so that the
    sample itself tells nothing (PSIS-LOO), and each contributes the distribution function of its residual.
    Where the model is right these are uniform between 0 and 1. A censored sample is put at random between 0
    (or 1) and the probability of its limit. Draws of a Laplace approximation are weighted likewise.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it, with its samples.
    by : str, optional
        A covariate, ``"occasion"`` or ``"protocol"``, by whose levels samples are grouped too.
    random_seed : int or numpy.random.Generator, optional
        Seed of what is put at random; drawn where it is not given.

    Returns
    -------
    xarray.Dataset
        Dim ``obs`` with the coordinates ``analyte``, ``subject``, ``occasion``, ``time`` (min) and
        ``censoring``: ``pit``, and ``pareto_k`` of its weights, above 0.7 where they are unreliable. Dim
        ``group``, each analyte, each with the levels of `by`, and each at each time: ``analyte``, ``level``,
        ``from`` and ``to`` (min), ``samples``, the ``mean``, and ``p`` of their being uniform (simultaneous
        over the distribution function; NaN for fewer than 8 samples, or where more than a tenth of the
        weights are unreliable: then `npde`, which needs no weights, tells more).

    Raises
    ------
    InputError
        If the fit was saved without its samples or has fewer than 50 draws, or `by` is not known.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> found = bg.pit(fit, random_seed=1)
    >>> bool(((found.pit >= 0) & (found.pit <= 1)).all())
    True
    """
    from arviz_stats.base import array_stats  # which takes seconds to load

    fit, seed = require_fit(fit), seed_of(random_seed)
    samples, spec = compared(fit), model_of(fit.attrs)
    analytes = analytes_of(samples)
    below = _below(fit, samples, spec)
    likelihood, level = drawn(fit, "log_likelihood", analytes), strata_of(fit, samples, by)
    if len(likelihood) < FEWEST_DRAWS:
        raise InputError(
            f"The fit has {len(likelihood)} draws, and {FEWEST_DRAWS} are needed to leave samples out by "
            "weights: fit with more draws."
        )
    weights, k = array_stats.psislw(likelihood.T)  # of log likelihoods: it turns their sign itself
    value = np.clip((np.exp(weights) * below.T).sum(-1), 0.0, 1.0)
    u, side = np.random.default_rng(seed).uniform(size=len(value)), samples.censoring.values
    value = np.where(side == "left", u * value, np.where(side == "right", value + u * (1 - value), value))
    transforms = xr.Dataset({"pit": ("obs", value), "pareto_k": ("obs", k)}, samples.coords)
    rows = list(_groups(value, k, samples, level))
    for name in rows[0]:
        transforms[name] = ("group", np.array([row[name] for row in rows]))
    transforms = transforms.assign_coords(obs_level=("obs", level.astype(str)))
    transforms.attrs = {"random_seed": seed, "by": by or "", "study": fit.attrs.get("study_name", "")}
    return transforms


def _below(fit: xr.DataTree, samples: xr.Dataset, spec: ModelSpec) -> np.ndarray:
    """Probability ``(draw, obs)`` of a lower measurement in each draw."""
    analytes = analytes_of(samples)
    expected = logarithm(drawn(fit, "fitted", analytes), samples)
    z, found = logarithm(samples["value"].values, samples) - expected, np.empty(expected.shape)
    for analyte in analytes:
        own, name = samples.analyte.values == analyte, names.sigma(analyte)
        if name in fit["posterior"]:
            z[:, own] /= fit["posterior"][name].transpose("chain", "draw").values.reshape(-1, 1)
        else:  # a fit of new people, whose assay is not estimated
            z[:, own] /= spec.analytes[analyte].sigma.median
        found[:, own] = spec.analytes[analyte].distribution.cdf(z[:, own])
    censored = samples.censoring.values != "none"  # beyond a limit tails are Normal
    found[:, censored] = ndtr(z[:, censored])
    return found


def _groups(value: np.ndarray, k: np.ndarray, samples: xr.Dataset, level: np.ndarray) -> Iterator[dict]:
    """Each analyte, with each level, and at each time: how its samples are distributed."""
    time = samples.time.values
    for analyte in analytes_of(samples):
        own = samples.analyte.values == analyte
        yield _row(value[own], k[own], analyte, "", time[own])
        for each in dict.fromkeys(level[own]) if len(set(level)) > 1 else ():
            here = own & (level == each)
            yield _row(value[here], k[here], analyte, str(each), time[here])
        bins = time_bins(time[own])
        for one in np.unique(bins):
            here = np.flatnonzero(own)[bins == one]
            yield _row(value[here], k[here], analyte, "at", time[here])


def _row(value: np.ndarray, k: np.ndarray, analyte: str, level: str, time: np.ndarray) -> dict:
    reliable = len(value) >= FEWEST and (k > LARGEST_K).mean() <= MOST_UNRELIABLE
    p = float(p_values(value[:, None])[0]) if reliable else np.nan
    where = {"group_analyte": analyte, "level": level, "from": float(time.min()), "to": float(time.max())}
    return where | {"samples": len(value), "mean": float(value.mean()), "p": p}
