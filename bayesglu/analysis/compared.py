"""The samples of a fit beside what it says of them, all analytes in one table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.hierarchy.rows import TINY
from bayesglu.inference.datatree import NEW_PEOPLE
from bayesglu.results import require_fit
from bayesglu.spec.model import model_of

LABELS = ("subject", "occasion", "time")
MOST_MOMENTS, BINS = 16, 10
"""Times are told apart where there are so many or fewer; else there are about ten bins."""


def compared(fit: xr.DataTree) -> xr.Dataset:
    """Dim ``obs``: ``analyte``, ``subject``, ``occasion``, ``time`` (min), ``censoring``, ``value``, and the
    ``offset`` of the analyte's error.

    Raises InputError where the fit was saved without its samples.
    """
    require_fit(fit)
    if missing := [n for n in ("observed_data", "constant_data") if n not in fit.children]:
        raise InputError(f"The fit has no group {', '.join(missing)}: it was saved without data.")
    spec, observed, parts = model_of(fit.attrs), fit["observed_data"].to_dataset(), []
    known = fit["constant_data"].to_dataset()
    for analyte, values in observed.data_vars.items():
        columns = {name: observed[f"{analyte}_{name}"].values for name in LABELS}
        columns["analyte"] = np.full(values.size, str(analyte))
        columns["censoring"] = known[f"{analyte}_censoring"].values.astype(str)
        columns["value"] = values.values
        columns["offset"] = np.full(values.size, spec.analytes[str(analyte)].error_offset)
        parts.append(xr.Dataset({name: ("obs", column) for name, column in columns.items()}))
    found = xr.concat(parts, "obs")
    for name in ("subject", "occasion", "analyte"):
        found[name] = found[name].astype(str)
    return found.set_coords(["analyte", "subject", "occasion", "time", "censoring"])


def drawn(fit: xr.DataTree, group: str, analytes: Sequence[str]) -> np.ndarray:
    """Draws ``(draw, obs)`` of a group, in the order of `compared`.

    Raises InputError where the fit has no such group.
    """
    if group not in fit.children:
        more = "" if group != NEW_PEOPLE else ": it is of an earlier version, or of fit_person"
        raise InputError(f"The fit has no group '{group}'{more or ': it was saved without data'}.")
    of_each = (fit[group][a].transpose("chain", "draw", names.observations(a)) for a in analytes)
    return np.concatenate([of.values.reshape(-1, of.shape[-1]) for of in of_each], axis=1)


def analytes_of(samples: xr.Dataset) -> list[str]:
    """What was measured, in the order of `compared`."""
    return list(dict.fromkeys(map(str, samples.analyte.values)))


def of_new_people(fit: xr.DataTree, samples: xr.Dataset) -> np.ndarray:
    """Measurements ``(draw, obs)`` of new people at these samples; draws that could not be solved for
    someone are left out."""
    found = drawn(fit, NEW_PEOPLE, analytes_of(samples))
    return found[np.isfinite(found).all(1)]


def logarithm(value: np.ndarray, samples: xr.Dataset) -> np.ndarray:
    """The scale ``(..., obs)`` on which errors of an assay are additive."""
    return np.log(np.maximum(value + samples["offset"].values, TINY))


def time_bins(time: np.ndarray) -> np.ndarray:
    """The bin of each time: moments that are told apart, or stretches with about as many samples in each."""
    moments = np.unique(np.round(time, 6))
    if len(moments) > MOST_MOMENTS:
        edges = np.unique(np.quantile(time, np.linspace(0, 1, BINS + 1)))
        return np.clip(np.searchsorted(edges, time, side="right") - 1, 0, len(edges) - 2)
    return np.searchsorted(moments, np.round(time, 6))


def strata_of(fit: xr.DataTree, samples: xr.Dataset, by: str | None) -> np.ndarray:
    """The level of each sample: of a covariate, ``"occasion"`` or ``"protocol"``; empty where `by` is None.

    A covariate that is a number is cut at its median.
    """
    if by is None:
        return np.full(samples.sizes["obs"], "", object)
    if by == "occasion":
        return samples.occasion.values.astype(object)
    if by == "protocol":
        followed = protocols_by_occasion(fit)
        pairs = zip(samples.subject.values, samples.occasion.values, strict=True)
        return np.array([followed[str(s), str(o)] for s, o in pairs], object)
    known = fit["constant_data"].to_dataset()
    if f"covariate_{by}" not in known:
        have = [str(c).removeprefix("covariate_") for c in known if str(c).startswith("covariate_")]
        raise InputError(f"by is {by!r}. Allowed: 'occasion', 'protocol'{''.join(f', {h!r}' for h in have)}.")
    column = known[f"covariate_{by}"]
    if column.dtype.kind == "f":
        middle = float(column.median())
        labels = np.where(column.values > middle, f"{by} above {middle:g}", f"{by} up to {middle:g}")
        labels = np.where(np.isnan(column.values), f"{by} missing", labels)
    else:
        labels = np.array([f"{by} {level}" if level else f"{by} missing" for level in column.values])
    level = dict(zip(map(str, column.subject.values), labels, strict=True))
    return np.array([level[str(s)] for s in samples.subject.values], object)


def protocols_by_occasion(fit: xr.DataTree) -> dict[tuple[str, str], str]:
    """What was done on each occasion (subject, name), as text."""
    from bayesglu.protocols.table import kept_protocols

    subjects = list(map(str, fit["constant_data"].subject.values))
    followed = kept_protocols(fit["protocols"].to_dataset())
    return {names.of_occasion(label, subjects): each.name for label, each in followed.items()}
