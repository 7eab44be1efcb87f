"""People in the order of an index, with intervals, and the raw index beside them."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bayesglu.analysis.index_table import INDICES
from bayesglu.analysis.ranking import ranking
from bayesglu.analysis.simulation import check_names
from bayesglu.plots.style import (
    BLUE,
    VERMILLION,
    below,
    log_axis,
    picture,
    pretty_unit,
    scaled,
    styled,
    title,
)
from bayesglu.results import require_table

MOST_LABELS = 60
"""So many people are named on an axis."""

SKEWED = 5.0
"""Ratio of the largest to the smallest number from which an axis is logarithmic."""


@styled
def index(indices: xr.Dataset, name: str) -> Figure:
    """People in the order of an index: median and interval of its posterior, and the raw index.

    Beside them stands the interval of each one's rank, 1 for the largest. Who has no number is left out, and
    counted.

    Parameters
    ----------
    indices : xarray.Dataset
        As `indices` returns it of a fit.
    name : str
        Which index.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels with a row per person: the index, and ranks.

    Raises
    ------
    InputError
        If it is not what `indices` made of a fit, there is no such index, or fewer than two people have it.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.load_study("synthetic_ogtt").select(["P01", "P02", "P03"], ["glucose", "insulin"])
    >>> fit = bg.fit("oral", study, method="laplace", draws=50, random_seed=1, progressbar=False)
    >>> figure = bg.plots.index(bg.indices(fit, "matsuda"), "matsuda")
    >>> len(figure.axes)
    2
    """
    table = require_table(indices, "indices", "median", "draws", "raw")
    check_names("index", [name], map(str, table["index"].values))
    probability = float(table.attrs["probability"])
    ranked = ranking(table, name, probability)
    own = table.sel(index=name).sel(subject=ranked["subject"].values)
    people = [str(label) for label in ranked["subject"].values]
    place = np.arange(len(people))
    thin = len(people) > MOST_LABELS
    figure = picture(7.2, (3.2 if thin else max(0.17 * len(people), 1.2)) + 1.2)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(2.4, 1.0))
    _values(left, own, place, INDICES[name].unit)
    _ranks(right, ranked, place)
    left.set_yticks([] if thin else place, [] if thin else people)
    left.set_ylim(len(people) - 0.4, -0.6)
    if thin:
        left.set_ylabel(f"{len(people)} people by median")
    percent = f"{100 * probability:g} %"
    marks = [
        Line2D(
            [], [], color=BLUE, marker="o", markersize=4, label=f"posterior: median and {percent} interval"
        ),
    ]
    if np.isfinite(own["raw"]).any():
        raw = Line2D(
            [], [], color=VERMILLION, marker="x", markersize=5, linestyle="none", label="raw samples"
        )
        marks.append(raw)
    below(figure, marks)
    missing = table.sizes["subject"] - len(people)
    unranked = f"; {missing} more without a number" if missing else ""
    title(figure, INDICES[name].title, f"equal-tailed intervals; {INDICES[name].source}{unranked}")
    return figure


def _values(axis: Axes, own: xr.Dataset, place: np.ndarray, unit: str) -> None:
    """Medians, intervals and raw values of everyone."""
    per, printed = scaled(own["median"].values, unit)
    low, middle, high, raw = (own[kind].values / per for kind in ("lower", "median", "upper", "raw"))
    _intervals(axis, place, low, middle, high, BLUE)
    _crosses(axis, raw, place)
    ends = np.concatenate([low, high, raw])
    least, most = np.nanmin(ends), np.nanmax(ends)
    if least > 0 and most / least > SKEWED:
        log_axis(axis.xaxis, least * (least / most) ** 0.04, most * (most / least) ** 0.04)
    axis.grid(axis="y", visible=False)
    axis.set_xlabel(printed or pretty_unit(unit) or "no unit")


def _ranks(axis: Axes, ranked: xr.Dataset, place: np.ndarray) -> None:
    """Intervals of everyone's rank, and the rank of the raw index."""
    low, middle, high = (ranked[kind].values for kind in ("lower", "rank", "upper"))
    _intervals(axis, place, low, middle, high, BLUE)
    _crosses(axis, ranked["raw_rank"].values, place)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.grid(axis="y", visible=False)
    axis.tick_params(axis="y", length=0)
    axis.set_xlabel("rank, 1 is the largest")


def _intervals(axis: Axes, place: np.ndarray, low, middle, high, colour: str) -> None:
    """A line and a dot each; of many people a band and dots."""
    thin = len(place) > MOST_LABELS
    if thin:
        axis.fill_betweenx(place, low, high, color=colour, alpha=0.25, linewidth=0)
    else:
        axis.hlines(place, low, high, color=colour, linewidth=1.4)
    axis.scatter(middle, place, 4 if thin else 16, color=colour, zorder=3)


def _crosses(axis: Axes, raw: np.ndarray, place: np.ndarray) -> None:
    size = 7 if len(place) > MOST_LABELS else 22
    axis.scatter(
        raw, place, size, color=VERMILLION, marker="x", linewidth=1.0 if size > 10 else 0.6, zorder=4
    )
