"""Which model predicts people better, and which people decide."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesglu.analysis.model_comparison import LARGE, SURE, Comparison
from bayesglu.errors import InputError
from bayesglu.plots.style import BLUE, GREY, PALE, VERMILLION, picture, styled, title

NAMED = 5
"""So many people are named."""


@styled
def comparison(found: Comparison) -> Figure:
    """How much better one model predicts people than others, and which people decide.

    At the left by how much the elpd of each model is below that of the best, with two standard errors; within
    the grey no difference counts, whatever its error. At the right people one after another, by how much the
    best model predicts each better (blue) or worse (red) than the next best, with two Monte Carlo errors
    where these are known. Without those to the left of the dashed line the next best would be the better one.
    The people with the largest differences are named.

    Parameters
    ----------
    found : Comparison
        As `compare` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels.

    Raises
    ------
    InputError
        If it is not what `compare` returned.

    Examples
    --------
    >>> import bayesglu as bg
    >>> test = dict(protocol="ivgtt(0.3)", times=[0, 4, 10, 30, 60], subjects=2)
    >>> study = bg.simulate_study("ivgtt", **test, random_seed=1)
    >>> quick = dict(by=2, method="laplace", draws=30, progressbar=False, random_seed=1)
    >>> loose = {"glucose": {"sigma": {"median": 0.5, "gsd": 1.1}}}
    >>> models = {"as it is": "ivgtt", "loose": bg.load_model("ivgtt").with_changes(analytes=loose)}
    >>> found = bg.compare({n: bg.cross_validate(m, study, **quick) for n, m in models.items()})
    >>> len(bg.plots.comparison(found).axes)
    2
    """
    if not isinstance(found, Comparison):
        raise InputError(f"plots.comparison draws what compare returns, not {type(found).__name__}.")
    table = found.table
    figure = picture(7.5, max(3.2, 0.3 * len(table) + 1.6))
    left, right = figure.subplots(1, 2, width_ratios=[2, 3])
    places = np.arange(len(table))[::-1]
    away, error = table["difference"].to_numpy(float), table["difference_se"].to_numpy(float)
    left.axvspan(-LARGE, LARGE, color=PALE, linewidth=0)
    left.errorbar(
        away, places, xerr=SURE * np.nan_to_num(error), fmt="o", color=BLUE, markersize=4, elinewidth=1.2
    )
    left.set_yticks(places, [str(name) for name in table.index])
    left.set(xlabel="elpd, less that of the best", ylim=(-0.6, len(table) - 0.4))
    left.grid(axis="y", visible=False)
    _draw_people(right, found)
    marks = [
        Line2D([], [], marker="o", linestyle="", color=BLUE, label="predicted better by the best"),
        Line2D([], [], marker="o", linestyle="", color=VERMILLION, label="predicted worse"),
        Line2D([], [], color=GREY, linestyle="--", label="those who decide"),
        Patch(color=PALE, label=f"differences below {LARGE:g}"),
    ]
    figure.legend(handles=marks, loc="outside lower center", ncols=4, fontsize=7)
    title(figure, found.headline)
    return figure


def _draw_people(axis, found: Comparison) -> None:
    best, second = found.table.index[:2]
    people = found.people.sel(model=[best, second])
    own = (people["elpd"].sel(model=best) - people["elpd"].sel(model=second)).to_series()
    own = own.sort_values(ascending=False)
    across = np.arange(1, len(own) + 1)
    colours = np.where(own > 0, BLUE, VERMILLION)
    if "error" in people:
        error = ((people["error"] ** 2).sum("model") ** 0.5).to_series()[own.index]
        axis.vlines(across, own - SURE * error, own + SURE * error, color=colours, linewidth=0.8, alpha=0.6)
    axis.vlines(across, 0, own, color=colours, linewidth=0.6, alpha=0.35)
    axis.scatter(across, own, 14, color=list(colours), linewidth=0, zorder=3)
    axis.axhline(0, color=GREY, linewidth=0.8)
    left = own.sum() - own.cumsum().to_numpy()
    if (left < 0).any():
        axis.axvline(np.argmax(left < 0) + 1.5, color=GREY, linewidth=0.9, linestyle="--")
    for who in own.abs().nlargest(NAMED).index:
        place = list(own.index).index(who)
        up = own.iloc[place] > 0
        axis.annotate(
            str(who),
            (across[place], own.iloc[place]),
            (2, 3) if up else (-2, -3),
            textcoords="offset points",
            fontsize=7,
            rotation=50,
            ha="left" if up else "right",
            va="bottom" if up else "top",
        )
    axis.margins(y=0.15)
    axis.set(xlabel="people, in the order of the difference", ylabel=f"elpd, {best} less {second}")
    axis.set_xlim(0, len(own) + 1)
