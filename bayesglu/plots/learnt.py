"""What was learnt of the parameters, and what could not be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bayesglu.plots.style import (
    GREY,
    PALE,
    colour_of_person,
    log_axis,
    panels,
    picture,
    scaled,
    sentence,
    styled,
    symbol,
    title,
    told,
)
from bayesglu.summaries import LITTLE, population, subjects

MOST_LABELS = 40
"""So many people are named on an axis."""


@styled
def parameters(fit: xr.DataTree, names: Sequence[str] | None = None, probability: float = 0.9) -> Figure:
    """Each person's parameters beside the prior and the typical value, a panel a parameter.

    Dots are medians and lines intervals of this probability; the pale bar behind is the prior of the same person,
    the grey stripe the typical value. Parameters that people share have a single row. Axes are logarithmic where
    the scale of the parameter is.

    names : which parameters; by default all that differ between people, or all shared ones when none does.

    Raises ValueError for an unknown name.
    """
    shared = population(fit, probability)
    own = subjects(fit, probability) if _people(fit) else None
    individual = [] if own is None else list(own["parameter"].values)
    known = [*individual, *(n for n in shared["parameter"].values if n not in individual)]
    if names is None:
        names = individual or [n for n in known if shared["role"].sel(parameter=n) == "population"]
    names = [names] if isinstance(names, str) else list(names)
    if missing := [name for name in names if name not in known]:
        raise ValueError(f"There is no parameter {', '.join(missing)} in the fit. Known: {', '.join(known)}.")
    count = max(own.sizes["subject"] if name in individual else 1 for name in names)
    height = np.clip(0.16 * count, 0.5, 6.0) + 0.75
    figure, axes = panels(len(names), 4, 2.6, height)
    for i, (axis, name) in enumerate(zip(axes, names, strict=True)):
        typical = shared.sel(parameter=name)
        rows = own.sel(parameter=name) if name in individual else typical.expand_dims(subject=["everyone"])
        draws = fit["posterior"][name if name in fit["posterior"] else f"{name}_typical"]
        factor = _forest(axis, rows, typical if name in individual else None, draws, log=_is_log(draws))
        axis.tick_params(axis="y", labelleft=i % 4 == 0 or name not in individual)
        axis.set_title(sentence(told(name)))
        axis.set_xlabel(factor)
    title(figure, f"Parameters: median and {probability:.0%} interval; pale: the prior; stripe: typical value")
    return figure


def _forest(
    axis: Axes, rows: xr.Dataset, typical: xr.Dataset | None, draws: xr.DataArray, log: bool
) -> str:
    """A row a person; the label of the axis comes back."""
    people = [str(label) for label in rows["subject"].values]
    place = np.arange(len(people))
    per, unit = scaled(rows["median"].values, draws.attrs.get("units", ""))
    value = {name: rows[name].values / per for name in ("median", "lower", "upper", "prior_lower", "prior_upper")}
    thin = len(people) > MOST_LABELS
    colours = [GREY if label == "everyone" else colour_of_person(label) for label in people]
    axis.barh(place, value["prior_upper"] - value["prior_lower"], 0.9, value["prior_lower"], color=PALE)
    if typical is not None:
        axis.axvspan(float(typical["lower"]) / per, float(typical["upper"]) / per, color=GREY, alpha=0.3, linewidth=0)
        axis.axvline(float(typical["median"]) / per, color=GREY, linewidth=0.9)
    axis.hlines(place, value["lower"], value["upper"], color=colours, linewidth=0.9 if thin else 1.6)
    axis.scatter(value["median"], place, 4 if thin else 14, color=colours, zorder=3)
    ends = np.concatenate([value["prior_lower"], value["prior_upper"], value["lower"], value["upper"]])
    low, high = np.nanmin(ends), np.nanmax(ends)
    if log:
        log_axis(axis, low * (low / high) ** 0.05, high * (high / low) ** 0.05)
    axis.set_yticks([] if thin else place, [] if thin else people)
    axis.set_ylim(len(people) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    if thin:
        axis.set_ylabel(f"{len(people)} people")
    mark = symbol(draws.attrs.get("symbol", ""))
    return f"{mark} ({unit.removeprefix('1')})" if unit not in ("", "1") else mark


@styled
def learning(fit: xr.DataTree) -> Figure:
    """What the data could teach and what they could not: the shrinkage of each parameter.

    A dot for each person, a bar to their median, and a diamond for the typical value or what people share. At 0 the
    posterior is as wide as the prior; below 0.1, the shaded part, the number is the prior's and not the data's.
    """
    shared = population(fit)
    shared = shared.sel(parameter=np.isin(shared["role"], ["typical", "population"]))
    own = subjects(fit) if _people(fit) else None
    individual = [] if own is None else list(own["parameter"].values)
    middle = {
        name: float(own["shrinkage"].sel(parameter=name).median() if name in individual else row)
        for name, row in zip(shared["parameter"].values, shared["shrinkage"].values, strict=True)
    }
    names = sorted(middle, key=lambda name: (name in individual, middle[name]))
    figure = picture(6.5, 0.24 * len(names) + 1.2)
    axis = figure.subplots()
    least = min(0.0, float(shared["shrinkage"].min()), *(([float(own["shrinkage"].min())]) if individual else []))
    axis.axvspan(least - 0.04, LITTLE, color=PALE, alpha=0.7, linewidth=0)
    axis.axvline(0, color=GREY, linewidth=0.8)
    for place, name in enumerate(names):
        if name in individual:
            each = own["shrinkage"].sel(parameter=name)
            axis.barh(place, middle[name], 0.55, color=GREY, alpha=0.25)
            spread = 0.4 * (np.arange(each.size) / max(each.size - 1, 1) - 0.5)
            colours = [colour_of_person(label) for label in each["subject"].values]
            size = 14 if each.size <= MOST_LABELS else 4
            axis.scatter(each.values, place + spread, size, color=colours, alpha=0.8, linewidth=0, zorder=3)
        axis.plot(shared["shrinkage"].sel(parameter=name), place, "D", color="#222222", markersize=3.6, zorder=4)
    axis.set_yticks(range(len(names)), [told(name) for name in names])
    axis.set_ylim(-0.7, len(names) - 0.3)
    axis.set_xlim(least - 0.04, 1.0)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("shrinkage: 1 - posterior SD / prior SD")
    shaded = "shaded: the data say almost nothing"
    marks = "dots: people; diamonds: typical or shared value" if individual else "diamonds: shared value"
    title(figure, "What the data taught", f"{marks}; {shaded}")
    return figure


def _people(fit: xr.DataTree) -> bool:
    """Whether any parameter differs between people."""
    found = fit["posterior"].data_vars.values()
    return any(draws.attrs.get("role") == "individual" and "subject" in draws.dims for draws in found)


def _is_log(draws: xr.DataArray) -> bool:
    return draws.attrs.get("scale", "log") == "log"
