"""Predictive checks: transforms of samples, quantiles of the population, prediction errors."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from scipy.special import ndtri

from bayesglu.analysis.pit import LARGEST_K
from bayesglu.analysis.uniformity import band as uniform_band
from bayesglu.analysis.uniformity import order_band
from bayesglu.analytes import words
from bayesglu.plots.style import (
    GREY,
    PALE,
    SCENARIOS,
    below,
    colour_of,
    from_zero,
    panels,
    pretty_unit,
    sentence,
    styled,
    time_axis,
    title,
)
from bayesglu.results import require_table
from bayesglu.units import canonical_unit

RED, INK = "#C00000", "#222222"
MOST_LEVELS = 6
"""Of a covariate that are drawn in one panel."""


@styled
def pit(found: xr.Dataset) -> Figure:
    """Whether the transforms of samples are uniform: a column of two panels for each analyte.

    Above, their distribution function less that of uniform numbers, over the grey band that holds all of it
    with 95 % where the model is right: a slope down in the middle says that bands are too narrow, an arch up
    that predictions are too high. Levels of a covariate have their own line, coloured and bold where it
    leaves its own band. Below, each sample over time, with the mean at each time; red where p is below 0.01.

    Parameters
    ----------
    found : xarray.Dataset
        As `pit` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels for each analyte.

    Raises
    ------
    InputError
        If it is not what `pit` returned.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> len(bg.plots.pit(bg.pit(fit, random_seed=1)).axes)
    4
    """
    require_table(found, "pit", "pit", "pareto_k")
    analytes = list(dict.fromkeys(map(str, found.analyte.values)))
    figure, axes = panels(2 * len(analytes), len(analytes), 3.1, 2.3)
    time = found.time.values
    per = time_axis(axes[len(analytes) :], time.min(), time.max())
    for axis, lower, analyte in zip(axes, axes[len(analytes) :], analytes, strict=False):
        own = found.analyte.values == analyte
        of = found.isel(group=found.group_analyte.values == analyte)
        _distribution(axis, found, own, of, analyte)
        lower.plot(time[own] / per, found.pit.values[own], ".", color=GREY, alpha=0.5, markersize=3)
        times = of.isel(group=of.level.values == "at")
        at = (times["from"].values + times["to"].values) / 2 / per
        wrong = times.p.values < 0.01
        lower.plot(at, times["mean"].values, "-", color=colour_of(analyte), linewidth=1)
        lower.plot(at[~wrong], times["mean"].values[~wrong], "o", color=colour_of(analyte), markersize=4)
        lower.plot(at[wrong], times["mean"].values[wrong], "D", color=RED, markersize=5)
        lower.axhline(0.5, color=GREY, linewidth=0.7)
        lower.set_ylim(0, 1)
        lower.set_ylabel("PIT" if analyte == analytes[0] else "")
    bad = int((found.pareto_k > LARGEST_K).sum())
    note = ""
    if bad:
        note = f"Pareto k > {LARGEST_K:g} at {bad} of {found.sizes['obs']}: left out by unreliable weights"
    dot: dict = {"linestyle": "", "color": GREY}
    marks: list[Artist] = [
        Patch(color=PALE, label="95 % simultaneous band"),
        Line2D([], [], marker=".", markersize=4, label="sample", **dot),
        Line2D([], [], color=GREY, marker="o", markersize=4, linewidth=1, label="mean at each time"),
        Line2D([], [], color=RED, linestyle="", marker="D", markersize=4, label="mean, p < 0.01"),
    ]
    if "obs_level" in found:
        marks.append(Line2D([], [], linestyle="", label="* p < 0.05"))
    below(figure, marks)
    title(figure, "Probability integral transforms of samples, each given the others", note)
    return figure


def _distribution(axis: Axes, found: xr.Dataset, own: np.ndarray, of: xr.Dataset, analyte: str) -> None:
    """The distribution function of an analyte's transforms, less that of uniform numbers."""
    points, low, high = uniform_band(int(own.sum()))
    axis.fill_between(points, low - points, high - points, color=PALE, linewidth=0, step="mid")
    share = (found.pit.values[own, None] <= points).mean(0)
    p = float(of.p.values[0])
    levels = of.isel(group=(of.level.values != "") & (of.level.values != "at"))
    colour = INK if levels.sizes["group"] else colour_of(analyte)
    axis.plot(points, share - points, color=colour, linewidth=1.6)
    if "obs_level" in found and levels.sizes["group"]:
        for each, colour in zip(levels.level.values[:MOST_LEVELS], SCENARIOS[1:], strict=False):
            here = own & (found.obs_level.values == each)
            wrong = float(levels.p.values[levels.level.values == each][0]) < 0.05
            line = (found.pit.values[here, None] <= points).mean(0) - points
            label = f"{each} ({int(here.sum())}){' *' if wrong else ''}"
            axis.plot(points, line, color=colour, linewidth=1.4 if wrong else 0.8, label=label)
        low_, high_ = axis.get_ylim()
        axis.set_ylim(low_, high_ + 0.1 * (high_ - low_) * levels.sizes["group"])
        axis.legend(fontsize=7.8, loc="upper left")
    axis.axhline(0, color=GREY, linewidth=0.7)
    p_value = f", p = {p:.2g}" if np.isfinite(p) else ""
    axis.set_title(sentence(f"{words(analyte)} ({int(own.sum())}){p_value}"))
    axis.set(xlim=(0, 1), xlabel="PIT", ylabel="distribution less uniform")


@styled
def vpc(found: xr.Dataset) -> Figure:
    """Visual predictive check: quantiles of samples in the intervals of simulated studies of new people.

    Lines are quantiles of the samples, the dashed one the median; shaded is where 90 % of simulated studies
    have the same quantile. Grey dots are samples. A red dot is a quantile outside its interval; one in ten is
    by chance. Where there is a limit of quantification, a narrow panel shows the share of samples below it.

    Parameters
    ----------
    found : xarray.Dataset
        As `vpc` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each analyte and level, and one below it where there is a limit.

    Raises
    ------
    InputError
        If it is not what `vpc` returned.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.load_study("synthetic_ogtt").select(analytes=["glucose", "insulin"])
    >>> fit = bg.fit("oral", study, method="laplace", random_seed=1, progressbar=False)
    >>> len(bg.plots.vpc(bg.vpc(fit)).axes)
    2
    """
    require_table(found, "vpc", "observed", "below", "value")
    pairs = zip(found.bin_analyte.values, found.bin_level.values, strict=True)
    cells = list(dict.fromkeys((str(a), str(level)) for a, level in pairs))
    analytes = list(dict.fromkeys(a for a, _ in cells))
    levels = list(dict.fromkeys(level for _, level in cells))
    limited = bool(np.isfinite(found.below.values).any())
    columns = len(analytes)
    rows = 2 * len(levels) if limited else len(levels)
    figure, axes = panels(rows * columns, columns, 3.2, 1.9 if limited else 2.5)
    start, end = float(found.time.min()), float(found.time.max())
    per = time_axis(axes, start, end)
    for i, level in enumerate(levels):
        for j, analyte in enumerate(analytes):
            row = 2 * i if limited else i
            axis = axes[row * columns + j]
            here = (found.bin_analyte.values == analyte) & (found.bin_level.values == level)
            of = found.isel(bin=here).sortby("bin_time")
            own = (found.analyte.values == analyte) & (found.level.values == level)
            _quantiles(axis, found, of, own, analyte, per)
            axis.set_title(sentence(f"{words(analyte)}{f', {level}' if level else ''}"))
            if limited:
                _shares(axes[(row + 1) * columns + j], of, per, analyte)
    corrected = "prediction-corrected; " if found.attrs["prediction_corrected"] else ""
    percents = " and ".join(f"{100 * q:g}" for q in found["quantile"].values if q != 0.5)
    studies = f"90 % of {found.attrs['new_people']} simulated studies"
    dot: dict = {"linestyle": "", "marker": "."}
    marks: list[Artist] = [
        Line2D([], [], color=GREY, alpha=0.6, markersize=4, label="sample", **dot),
        Line2D([], [], color=INK, linewidth=1.2, label=f"{corrected}{percents} % quantiles of samples"),
        Line2D([], [], color=INK, linewidth=1.2, linestyle="--", label="their median"),
        Patch(color=GREY, alpha=0.4, linewidth=0, label=f"median in {studies}"),
        Patch(color=GREY, alpha=0.2, linewidth=0, label="the other quantiles in these"),
        Line2D(
            [], [], color=RED, linestyle="", marker="o", markersize=4, label="outside (one in ten by chance)"
        ),
    ]
    below(figure, marks)
    title(figure, "Visual predictive check: new people with the study's covariates, doses and times")
    return figure


def _quantiles(axis: Axes, found: xr.Dataset, of: xr.Dataset, own: np.ndarray, analyte: str, per: float):
    time, colour = of.bin_time.values / per, colour_of(analyte)
    axis.plot(
        found.time.values[own] / per, found["value"].values[own], ".", color=GREY, alpha=0.35, markersize=2.5
    )
    for q in of["quantile"].values:
        one, middle = of.sel(quantile=q), q == 0.5
        low, high, seen = one["lower"].values, one["upper"].values, one["observed"].values
        if len(time) == 1:
            axis.vlines(time, low, high, color=colour, alpha=0.4, linewidth=6)
        axis.fill_between(time, low, high, color=colour, alpha=0.4 if middle else 0.2, linewidth=0)
        axis.plot(time, seen, "--" if middle else "-", color=INK, linewidth=1.2)
        out = (seen < low) | (seen > high)
        axis.plot(time[out], seen[out], "o", color=RED, markersize=4, zorder=5)
    axis.set_ylabel(pretty_unit(canonical_unit(analyte)) or "fraction")
    from_zero(axis, analyte)


def _shares(axis: Axes, of: xr.Dataset, per: float, analyte: str) -> None:
    """The share of samples below the limit of quantification."""
    time = of.bin_time.values / per
    if not np.isfinite(of["below"].values).any():
        axis.text(0.5, 0.5, "no limit", ha="center", va="center", color=GREY, transform=axis.transAxes)
        axis.set_yticks([])
        return
    axis.fill_between(time, of.below_lower, of.below_upper, color=colour_of(analyte), alpha=0.3, linewidth=0)
    axis.plot(time, of.below_median, color=colour_of(analyte), linewidth=0.9)
    axis.plot(time, of["below"], "o-", color=INK, linewidth=1, markersize=3)
    axis.set_ylim(0, max(0.1, 1.15 * float(np.nanmax([of["below"].max(), of.below_upper.max()]))))
    axis.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
    axis.set_ylabel("below limit")


@styled
def npde(found: xr.Dataset) -> Figure:
    """Normalised prediction distribution errors: a row for each analyte.

    At the left their quantiles against those of a standard Normal distribution, with a 95 % simultaneous
    band; then over time and over what is expected, with their running mean and SD, which should be 0 and 1.

    Parameters
    ----------
    found : xarray.Dataset
        As `npde` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        Three panels for each analyte.

    Raises
    ------
    InputError
        If it is not what `npde` returned.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.load_study("synthetic_ogtt").select(analytes=["glucose", "insulin"])
    >>> fit = bg.fit("oral", study, method="laplace", random_seed=1, progressbar=False)
    >>> len(bg.plots.npde(bg.npde(fit, random_seed=1)).axes)
    6
    """
    require_table(found, "npde", "npde", "expected", "p")
    found = found.isel(obs=np.isfinite(found.npde.values))
    analytes = list(dict.fromkeys(map(str, found.analyte.values)))
    figure, axes = panels(3 * len(analytes), 3, 2.9, 2.2)
    for i, analyte in enumerate(analytes):
        own = found.isel(obs=found.analyte.values == analyte)
        score, colour = own.npde.values, colour_of(analyte)
        quantile, time, expected = axes[3 * i : 3 * i + 3]
        _normal_quantiles(quantile, score, colour)
        tested = own.sel(tested=analyte)
        quantile.set_title(sentence(f"{words(analyte)}: p = {float(tested.p):.2g}"))
        per = time_axis([time], float(found.time.min()), float(found.time.max()))
        running(time, own.time.values / per, score, colour)
        time.set_title(f"mean {float(tested['mean']):.2f}, variance {float(tested.variance):.2f}")
        running(expected, own.expected.values, score, colour)
        expected.set_xlabel(f"expected ({pretty_unit(canonical_unit(analyte))})")
        for axis in (time, expected):
            axis.set_ylim(-4, 4)
        time.set_ylabel("npde")
    band = Patch(color=PALE, label="95 % simultaneous band of Normal quantiles")
    below(figure, [*running_marks(), band])
    note = "each sample against new people, independent of the others"
    title(figure, "Normalised prediction distribution errors", note)
    return figure


def _normal_quantiles(axis: Axes, score: np.ndarray, colour: str) -> None:
    n = len(score)
    normal_band(axis, n)
    axis.plot(ndtri((np.arange(n) + 0.5) / n), np.sort(score), ".", color=colour, markersize=3)
    axis.plot([-3, 3], [-3, 3], color=GREY, linewidth=0.7)
    axis.set(xlim=(-3.2, 3.2), ylim=(-4, 4), xlabel="Normal quantile", ylabel="npde")


def normal_band(axis: Axes, n: int) -> None:
    """Where all quantiles of n standard Normal numbers lie with 95 %."""
    low, high = order_band(n)
    axis.fill_between(ndtri((np.arange(n) + 0.5) / n), ndtri(low), ndtri(high), color=PALE, linewidth=0)


def running_marks() -> list[Artist]:
    """What stands in a legend for the lines of `running`."""
    return [
        Line2D([], [], color=GREY, linestyle="", marker=".", markersize=4, label="sample"),
        Line2D([], [], color=INK, linewidth=1.3, label="running mean"),
        Line2D([], [], color=INK, linewidth=0.7, label="running mean ± SD"),
        Line2D([], [], color=GREY, linewidth=0.7, linestyle=":", label="90 % of Normal numbers"),
    ]


def running(axis: Axes, x: np.ndarray, score: np.ndarray, colour: str, bins: int = 8) -> None:
    """Numbers that should have mean 0 and SD 1, with both as they run along x."""
    axis.plot(x, score, ".", color=colour, alpha=0.4, markersize=3)
    for level, style in ((0, "-"), (-1.645, ":"), (1.645, ":")):
        axis.axhline(level, color=GREY, linewidth=0.7, linestyle=style)
    order = np.argsort(x, kind="stable")
    parts = [part for part in np.array_split(order, min(bins, max(1, len(x) // 5))) if len(part)]
    middle = np.array([x[part].mean() for part in parts])
    mean = np.array([score[part].mean() for part in parts])
    sd = np.array([score[part].std() for part in parts])
    axis.plot(middle, mean, color=INK, linewidth=1.3)
    axis.plot(middle, mean + sd, color=INK, linewidth=0.7)
    axis.plot(middle, mean - sd, color=INK, linewidth=0.7)
