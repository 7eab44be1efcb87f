"""Posteriors beside their priors, and posterior contraction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bayesglu.analysis.summaries import LITTLE, summarize_individuals, summarize_population
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.hierarchy.names import typical as typical_of
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
)

MOST_LABELS = 40
"""So many people are named on an axis."""


@styled
def parameters(fit: xr.DataTree, names: Sequence[str] | None = None, probability: float = 0.9) -> Figure:
    """Each person's parameters beside the prior and the typical value, a panel per parameter.

    Dots are medians and lines intervals. Behind them are the prior, pale, and the typical value, the grey
    stripe. Parameters that people share have a single row. Axes are logarithmic where the scale of the
    parameter is.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    names : sequence of str, optional
        Which parameters; by default all that differ between people, or all shared ones when none does.
    probability : float
        Probability of the equal-tailed intervals.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each parameter, in its unit.

    Raises
    ------
    InputError
        If a name is unknown, `fit` has no posterior, or the probability is not between 0 and 1.
    SpecError
        If the model has a part that is not registered.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> figure = bg.plots.parameters(fit, ["insulin_sensitivity"])
    >>> len(figure.axes)
    1
    """
    shared, posterior = summarize_population(fit, probability), fit.children["posterior"].dataset
    own = summarize_individuals(fit, probability) if _people(fit) else shared.isel(parameter=slice(0))
    individual = list(own["parameter"].values)
    known = [*individual, *(n for n in shared["parameter"].values if n not in individual)]
    if names is None:
        names = individual or [n for n in known if shared["role"].sel(parameter=n) == "shared"]
    names = [names] if isinstance(names, str) else list(names)
    if missing := [name for name in names if name not in known]:
        raise InputError(f"There is no parameter {', '.join(missing)}. Known: {', '.join(known)}.")
    count = max(own.sizes["subject"] if name in individual else 1 for name in names)
    height = np.clip(0.16 * count, 0.5, 6.0) + 0.75
    figure, axes = panels(len(names), 4, 2.6, height)
    for i, (axis, name) in enumerate(zip(axes, names, strict=True)):
        typical = shared.sel(parameter=name)
        rows = own.sel(parameter=name) if name in individual else typical.expand_dims(subject=["everyone"])
        draws = posterior[name if name in posterior else typical_of(name)]
        _forest(axis, rows, typical if name in individual else None, draws)
        axis.tick_params(axis="y", labelleft=i % 4 == 0 or name not in individual)
        axis.set_title(sentence(words(name)))
    note = f"dots and lines: median and {100 * probability:g} % interval; pale: prior; stripe: typical value"
    title(figure, "Parameters", note)
    return figure


def _forest(axis: Axes, rows: xr.Dataset, typical: xr.Dataset | None, draws: xr.DataArray) -> None:
    """A row per person, over the prior and the typical value."""
    people = [str(label) for label in rows["subject"].values]
    place = np.arange(len(people))
    per, unit = scaled(rows["median"].values, draws.attrs.get("units", ""))
    value = {
        name: values.values / per
        for name, values in rows.data_vars.items()
        if values.dtype.kind == "f" and name != "contraction"
    }
    thin = len(people) > MOST_LABELS
    colours = [GREY if label == "everyone" else colour_of_person(label) for label in people]
    _draw_prior(axis, place, value["prior_lower"], value["prior_upper"])
    if typical is not None:
        ends = float(typical["lower"]) / per, float(typical["upper"]) / per
        axis.axvspan(*ends, color=GREY, alpha=0.3, linewidth=0)
        axis.axvline(float(typical["median"]) / per, color=GREY, linewidth=0.9)
    axis.hlines(place, value["lower"], value["upper"], color=colours, linewidth=0.9 if thin else 1.6)
    axis.scatter(value["median"], place, 4 if thin else 14, color=colours, zorder=3)
    ends = np.concatenate([value["prior_lower"], value["prior_upper"], value["lower"], value["upper"]])
    low, high = np.nanmin(ends), np.nanmax(ends)
    if draws.attrs.get("scale") != "logit":
        log_axis(axis.xaxis, low * (low / high) ** 0.05, high * (high / low) ** 0.05)
    axis.set_yticks([] if thin else place, [] if thin else people)
    axis.set_ylim(len(people) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    if thin:
        axis.set_ylabel(f"{len(people)} people")
    mark = symbol(draws.attrs.get("symbol", ""))
    axis.set_xlabel(f"{mark} ({unit})" if unit else mark)


def _draw_prior(axis: Axes, place: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """The prior of each person: one for all, if its ends differ by no more than the luck of its draws."""
    if np.ptp(low) + np.ptp(high) < 0.4 * np.median(high - low):
        axis.axvspan(np.median(low), np.median(high), color=PALE, linewidth=0)
    else:
        axis.barh(place, high - low, 0.9, low, color=PALE)


@styled
def contraction(fit: xr.DataTree) -> Figure:
    """Posterior contraction of each parameter: what the data inform and what they do not.

    A dot for each person, a bar to their median, and a diamond for the typical value or what people share. At
    0 the posterior is as wide as the prior; below 0.1, where it is shaded, the number is the prior's, not the
    data's.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it, with its prior.

    Returns
    -------
    matplotlib.figure.Figure
        One panel, a row per parameter.

    Raises
    ------
    InputError
        If the fit has no prior or no posterior.
    SpecError
        If the model has a part that is not registered.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> figure = bg.plots.contraction(fit)
    >>> len(figure.axes[0].get_yticklabels())
    6
    """
    if "prior" not in fit.children:
        raise InputError("The fit has no group 'prior', without which there is no posterior contraction.")
    shared = summarize_population(fit)
    shared = shared.sel(parameter=np.isin(shared["role"], ["typical", "shared"]))
    own = summarize_individuals(fit) if _people(fit) else shared.isel(parameter=slice(0))
    individual = list(own["parameter"].values)
    middle = {
        name: float(own["contraction"].sel(parameter=name).median() if name in individual else row)
        for name, row in zip(shared["parameter"].values, shared["contraction"].values, strict=True)
    }
    names = sorted(middle, key=lambda name: (name in individual, middle[name]))
    figure = picture(6.5, 0.24 * len(names) + 1.2)
    axis = figure.subplots()
    every = [shared["contraction"].values, own["contraction"].values.ravel()]
    least = min(0.0, float(np.nanmin(np.concatenate(every))))
    axis.axvspan(least - 0.04, LITTLE, color=PALE, alpha=0.7, linewidth=0)
    axis.axvline(0, color=GREY, linewidth=0.8)
    for place, name in enumerate(names):
        if name in individual:
            each = own["contraction"].sel(parameter=name)
            axis.barh(place, middle[name], 0.55, color=GREY, alpha=0.25)
            spread = np.linspace(-0.2, 0.2, each.size) if each.size > 1 else 0.0
            colours = [colour_of_person(label) for label in each["subject"].values]
            size = 14 if each.size <= MOST_LABELS else 4
            axis.scatter(each.values, place + spread, size, color=colours, alpha=0.8, linewidth=0, zorder=3)
        common = float(shared["contraction"].sel(parameter=name))
        axis.plot(common, place, "D", color="#222222", markersize=3.6, zorder=4)
    axis.set_yticks(range(len(names)), [words(name) for name in names])
    axis.set_ylim(-0.7, len(names) - 0.3)
    axis.set_xlim(least - 0.04, 1.0)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("contraction: 1 - posterior SD / prior SD")
    shaded = "shaded: posterior is prior-dominated"
    marks = "dots: people; diamonds: typical or shared value" if individual else "diamonds: shared value"
    title(figure, "Posterior contraction by parameter", f"{marks}; {shaded}")
    return figure


def _people(fit: xr.DataTree) -> bool:
    """Whether any parameter differs between people."""
    found = fit["posterior"].data_vars.values()
    return any(draws.attrs.get("role") == "individual" and "subject" in draws.dims for draws in found)
