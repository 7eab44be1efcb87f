"""Posteriors beside their priors, and posterior contraction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from bayesglu.analysis.summaries import LITTLE, summarize_individuals, summarize_population
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.hierarchy.names import typical as typical_of
from bayesglu.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    PALE,
    below,
    log_axis,
    page_of,
    panels,
    picture,
    scaled,
    sentence,
    styled,
    symbol,
    title,
)

COLUMNS, HEIGHT = 3, 11.2
"""Panels beside each other, and inches of a page."""
MOST_LABELS = 40
"""So many people are named on an axis."""


@styled
def parameters(
    fit: xr.DataTree, names: Sequence[str] | None = None, probability: float = 0.9, page: int = 1
) -> Figure:
    """Each person's parameters beside the prior and the typical value, a panel per parameter.

    Dots are medians and lines intervals; of more than forty people, in the order of their medians, a curve
    and a band. Behind them are the prior, pale, and in orange the typical value, its median and interval: of
    the reference group, where covariates act. Parameters that people share have a single row. Axes are
    logarithmic where the scale of the parameter is.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    names : sequence of str, optional
        Which parameters; by default all that differ between people, or all shared ones when none does.
    probability : float
        Probability of the equal-tailed intervals.
    page : int
        Which page of panels, from 1.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each parameter, in its unit, as many as a page holds.

    Raises
    ------
    InputError
        If a name or the page is unknown, `fit` has no posterior, or the probability is not between 0 and 1.
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
    height = max(1.3, 0.85 + (0.16 * count if count <= MOST_LABELS else 1.9))
    names, of_pages = page_of(names, page, COLUMNS * max(1, int(HEIGHT / height)))
    columns = 2 if len(names) == 4 else COLUMNS
    figure, axes = panels(len(names), columns, 2.6, height)
    for i, (axis, name) in enumerate(zip(axes, names, strict=True)):
        typical = shared.sel(parameter=name)
        rows = own.sel(parameter=name) if name in individual else typical.expand_dims(subject=["everyone"])
        draws = posterior[name if name in posterior else typical_of(name)]
        _forest(axis, rows, typical if name in individual else None, draws)
        axis.tick_params(axis="y", labelleft=i % columns == 0 or name not in individual)
        if i % columns == 0 and rows.sizes["subject"] > MOST_LABELS:
            axis.set_ylabel(f"{rows.sizes['subject']} people by median")
        axis.set_title(sentence(words(name)))
    share, acting = f"{100 * probability:g} % interval", "effect" in posterior.dims
    whom = f"{own.sizes['subject']} people, each" if count > MOST_LABELS else "a person"
    typical = "typical value" + (" of the reference group" if acting else "")
    marks: list[Artist] = [
        Line2D([], [], color=BLUE, marker="o", markersize=4, label=f"{whom}: median and {share}"),
        Patch(color=PALE, label=f"prior of {'the median' if count > MOST_LABELS else 'a'} person, {share}"),
    ]
    if individual:
        stripe = Patch(facecolor=ORANGE, alpha=0.3, label=f"{typical}: median (line) and {share}")
        marks.append(stripe)
    below(figure, marks)
    title(figure, f"Parameters{of_pages}")
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
    order = np.argsort(value["median"]) if thin else place
    _draw_prior(axis, place, value["prior_lower"][order], value["prior_upper"][order])
    if typical is not None:
        ends = float(typical["lower"]) / per, float(typical["upper"]) / per
        axis.axvspan(*ends, color=ORANGE, alpha=0.3, linewidth=0)
        axis.axvline(float(typical["median"]) / per, color=ORANGE, linewidth=1.2)
    low, middle, high = (value[name][order] for name in ("lower", "median", "upper"))
    if thin:
        axis.fill_betweenx(place, low, high, color=BLUE, alpha=0.25, linewidth=0)
    else:
        axis.hlines(place, low, high, color=BLUE, linewidth=1.6)
    axis.scatter(middle, place, 3 if thin else 14, color=BLUE, zorder=3)
    ends = np.concatenate([value["prior_lower"], value["prior_upper"], value["lower"], value["upper"]])
    low, high = np.nanmin(ends), np.nanmax(ends)
    if draws.attrs.get("scale") != "logit":
        log_axis(axis.xaxis, low * (low / high) ** 0.05, high * (high / low) ** 0.05)
    axis.set_yticks([] if thin else place, [] if thin else people)
    axis.set_ylim(len(people) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)
    mark = symbol(draws.attrs.get("symbol", ""))
    axis.set_xlabel(f"{mark} ({unit})" if unit else mark)


def _draw_prior(axis: Axes, place: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    """The prior of each person: one for all, the median, of many people, or if its ends differ by no more
    than the luck of its draws."""
    if len(place) > MOST_LABELS or np.ptp(low) + np.ptp(high) < 0.4 * np.median(high - low):
        axis.axvspan(np.median(low), np.median(high), color=PALE, linewidth=0)
    else:
        axis.barh(place, high - low, 0.9, low, color=PALE)


@styled
def contraction(fit: xr.DataTree) -> Figure:
    """Posterior contraction of each parameter: what the data inform and what they do not.

    A dot for each person, a bar to their median, and a diamond for the typical value or what people share. At
    0 the posterior is as wide as the prior; below 10 %, where it is shaded, the number is the prior's, not
    the data's.

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
    axis.axvspan(least - 0.04, LITTLE, color=ORANGE, alpha=0.18, linewidth=0)
    axis.axvline(0, color=GREY, linewidth=0.8)
    for place, name in enumerate(names):
        if name in individual:
            each = own["contraction"].sel(parameter=name)
            axis.barh(place, middle[name], 0.55, color=PALE)
            spread = np.linspace(-0.2, 0.2, each.size) if each.size > 1 else 0.0
            size = 14 if each.size <= MOST_LABELS else 4
            axis.scatter(each.values, place + spread, size, color=BLUE, alpha=0.6, linewidth=0, zorder=3)
        common = float(shared["contraction"].sel(parameter=name))
        axis.plot(common, place, "D", color="#222222", markersize=3.6, zorder=4)
    axis.set_yticks(range(len(names)), [words(name) for name in names])
    axis.set_ylim(-0.7, len(names) - 0.3)
    axis.set_xlim(least - 0.04, 1.0)
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("contraction: 1 - posterior SD / prior SD")
    shared_mark = "typical value of people, or a value that they share" if individual else "shared value"
    dots: dict = {"linestyle": "", "marker": "o", "alpha": 0.6, "markeredgewidth": 0}
    marks: list[Artist] = []
    if individual:
        marks += [Line2D([], [], color=BLUE, label="a person", markersize=4, **dots)]
        marks += [Patch(color=PALE, label="median person")]
    marks += [Line2D([], [], color="#222222", marker="D", linestyle="", markersize=3.6, label=shared_mark)]
    marks += [Patch(color=ORANGE, alpha=0.18, label="posterior is prior-dominated")]
    below(figure, marks)
    title(figure, "Posterior contraction by parameter")
    return figure


def _people(fit: xr.DataTree) -> bool:
    """Whether any parameter differs between people."""
    found = fit["posterior"].data_vars.values()
    return any(draws.attrs.get("role") == "individual" and "subject" in draws.dims for draws in found)
