"""Visual predictive check: quantiles of the samples beside those of simulated studies of new people.

Holford 2005, PAGE 14:738; prediction-corrected: Bergstrand, Hooker, Wallin & Karlsson 2011, AAPS J 13:143.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayesglu.analysis.compared import (
    analytes_of,
    compared,
    of_new_people,
    protocols_by_occasion,
    strata_of,
    time_bins,
)
from bayesglu.errors import InputError
from bayesglu.spec.model import model_of

INTERVAL = 0.9


def vpc(
    fit: xr.DataTree,
    by: str | None = None,
    prediction_corrected: bool | None = None,
    quantiles: Sequence[float] = (0.1, 0.5, 0.9),
) -> xr.Dataset:
    """The visual predictive check of the population.

    For each draw of the population there is a study of new people with the covariates, doses and times of
    the study's. Of each analyte at each time, quantiles of the samples are compared with the same quantiles
    of these studies, and the share of samples below the limit of quantification with theirs.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it, with the group ``population_predictive``.
    by : str, optional
        A covariate, ``"occasion"`` or ``"protocol"``, by whose levels samples are grouped. A covariate
        that is a number is cut at its median.
    prediction_corrected : bool, optional
        Whether samples, and simulated ones, are multiplied by the median expected value at their time over
        their own, so that people who were given different doses can be shown together. By default where
        protocols differ within a group.
    quantiles : sequence of float
        Which quantiles, each between 0 and 1.

    Returns
    -------
    xarray.Dataset
        Dim ``bin``: each analyte at each time, or stretch of times, and level: ``analyte``, ``level``,
        ``time`` (min, the median), ``samples``. By ``bin`` and ``quantile``: ``observed``, and ``median``,
        ``lower`` and ``upper`` of simulated studies (90 % interval), canonical unit; NaN where a quantile
        lies below the limit. By ``bin``: ``below`` and ``below_median``, ``below_lower``, ``below_upper``,
        shares below the limit, NaN where there is none. Dim ``obs``: the samples as they are compared,
        ``value``.

    Raises
    ------
    InputError
        If the fit has no samples, no new people were drawn of it, or an argument cannot be used.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.load_study("synthetic_ogtt").select(analytes=["glucose", "insulin"])
    >>> fit = bg.fit("oral", study, method="laplace", random_seed=1, progressbar=False)
    >>> found = bg.vpc(fit)
    >>> found.observed.dims
    ('bin', 'quantile')
    """
    wanted = np.asarray(quantiles, float)
    if wanted.ndim != 1 or not len(wanted) or not ((wanted > 0) & (wanted < 1)).all():
        raise InputError(
            f"quantiles are {quantiles!r}. Give numbers between 0 and 1, such as (0.1, 0.5, 0.9)."
        )
    samples = compared(fit)
    new, level = of_new_people(fit, samples), strata_of(fit, samples, by)
    if not len(new):
        raise InputError("The equations of some new person could be solved in no draw of the fit.")
    groups = _bins(samples, level)
    if prediction_corrected is None:
        prediction_corrected = _doses_differ(fit, samples, level)
    value, limit = samples["value"].values.copy(), _limits(fit, samples)
    low, high = samples.censoring.values == "left", samples.censoring.values == "right"
    below, below_new = low | (value < limit), new < limit
    if prediction_corrected:
        expected = np.median(new, axis=0)
        factor = np.ones(len(value))
        for members in groups.values():
            factor[members] = np.median(expected[members]) / expected[members]
        value, new = value * factor, new * factor
    shown = value.copy()
    value, new = np.where(below, -np.inf, np.where(high, np.inf, value)), np.where(below_new, -np.inf, new)
    rows = {"observed": [], "median": [], "lower": [], "upper": []}
    shares = {"below": [], "below_median": [], "below_lower": [], "below_upper": []}
    tail = (1 - INTERVAL) / 2
    for members in groups.values():
        rows["observed"].append(_quantiles(value[members], wanted))
        of_new = _quantiles(new[:, members], wanted)  # (quantile, draw)
        for name, q in (("median", 0.5), ("lower", tail), ("upper", 1 - tail)):
            rows[name].append(_quantiles(of_new, np.array([q]), axis=1)[0])
        measurable = np.isfinite(limit[members]).any()
        shares["below"].append(below[members].mean() if measurable else np.nan)
        of_each = below_new[:, members].mean(1)
        for name, q in (("below_median", 0.5), ("below_lower", tail), ("below_upper", 1 - tail)):
            shares[name].append(np.quantile(of_each, q) if measurable else np.nan)
    variables = {n: (("bin", "quantile"), _finite(np.array(v))) for n, v in rows.items()}
    variables |= {n: ("bin", np.array(v)) for n, v in shares.items()}
    checked = xr.Dataset(variables | {"value": ("obs", shown)}, samples.coords | {"quantile": wanted})
    time = samples.time.values
    checked = checked.assign_coords(
        bin=np.arange(len(groups)),
        bin_analyte=("bin", [analyte for analyte, _, _ in groups]),
        bin_level=("bin", [str(each) for _, each, _ in groups]),
        bin_time=("bin", [float(np.median(time[members])) for members in groups.values()], {"units": "min"}),
        samples=("bin", [len(members) for members in groups.values()]),
        level=("obs", level.astype(str)),
    )
    checked.attrs = {"prediction_corrected": int(prediction_corrected), "by": by or "", "interval": INTERVAL}
    checked.attrs |= {"new_people": len(new), "study": fit.attrs.get("study_name", "")}
    return checked


def _bins(samples: xr.Dataset, level: np.ndarray) -> dict[tuple[str, str, int], np.ndarray]:
    """The samples of each analyte at each time and level."""
    found, time = {}, samples.time.values
    for analyte in analytes_of(samples):
        own = np.flatnonzero(samples.analyte.values == analyte)
        bins = time_bins(time[own])
        for each in dict.fromkeys(level[own]):
            for one in np.unique(bins):
                here = own[(bins == one) & (level[own] == each)]
                if len(here):
                    found[analyte, str(each), int(one)] = here
    return found


def _doses_differ(fit: xr.DataTree, samples: xr.Dataset, level: np.ndarray) -> bool:
    """Whether people of one level had different protocols."""
    followed = protocols_by_occasion(fit)
    pairs = zip(samples.subject.values, samples.occasion.values, strict=True)
    done = np.array([followed[str(s), str(o)] for s, o in pairs])
    return any(len(set(done[level == each])) > 1 for each in set(level))


def _limits(fit: xr.DataTree, samples: xr.Dataset) -> np.ndarray:
    """The lower limit of quantification at each sample: the model's, or else the highest at which a sample of
    the analyte is censored; -inf where there is none."""
    spec, found = model_of(fit.attrs), np.full(samples.sizes["obs"], -np.inf)
    for analyte in analytes_of(samples):
        own = samples.analyte.values == analyte
        low = own & (samples.censoring.values == "left")
        known = spec.analytes[analyte].lloq
        if known is not None or low.any():
            found[own] = max(known or 0.0, samples["value"].values[low].max(initial=0.0))
    return found


def _quantiles(values: np.ndarray, wanted: np.ndarray, axis: int = -1) -> np.ndarray:
    """Quantiles that are values themselves, so that those beyond a limit stay beyond it."""
    return np.quantile(values, wanted, axis=axis, method="inverted_cdf")


def _finite(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values), values, np.nan)
