"""The posterior contraction that a study design can be expected to bring."""

import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from bayesglu.analysis.identifiability import A_LITTLE, PARTLY, WELL, grade, untouched
from bayesglu.analytes import words
from bayesglu.plots.style import BLUE, PALE, SKY, below, picture, styled, title
from bayesglu.results import require_table

COLOUR_OF_GRADE = {"well": BLUE, "partly": SKY, "a little": "#ABABAB", "hardly": "#D6D6D6"}
INK, LINK = "#222222", "#999999"
DIAMOND = {"marker": "D", "markersize": 4.8, "markeredgewidth": 0.8}

MOST_PAIRS = 4
"""So many pairs are named in the heading."""


@styled
def expected_contraction(result: xr.Dataset) -> Figure:
    """The expected contraction of `identify`: a bar for one subject, a diamond for the typical value.

    Both are coloured by grade, the greatest contraction at the top. Below 0.1, where it is shaded, the
    posterior would be prior-dominated. The heading names pairs that are practically non-identifiable, and
    counts the parameters without a row, whose contraction would be nil.

    Parameters
    ----------
    result : xarray.Dataset
        As `identify` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        One panel, a row per parameter.

    Raises
    ------
    InputError
        If it is not what `identify` returned.

    Examples
    --------
    >>> import bayesglu as bg
    >>> expected = bg.identify("oral", "ogtt(75)", subjects=5, draws=4, random_seed=1)
    >>> figure = bg.plots.expected_contraction(expected)
    >>> len(figure.axes)
    1
    """
    result = require_table(result, "identify", "individual", "typical", "other")
    nothing = untouched(result)
    shown = result.sortby("individual").drop_vars("other")
    if len(nothing) < shown.sizes["parameter"]:
        shown = shown.sel(parameter=[n for n in shown["parameter"].values if n not in nothing])
    names = [str(name) for name in shown["parameter"].values]
    figure = picture(6.5, 0.215 * len(names) + 1.6)
    axis = figure.subplots()
    axis.axvspan(0, A_LITTLE, color=PALE, alpha=0.45, linewidth=0)
    rows = zip(shown["individual"].values, shown["typical"].values, strict=True)
    for place, (individual, typical) in enumerate(rows):
        _row(axis, place, float(individual), float(typical))
    axis.set_yticks(range(len(names)), [words(name) for name in names])
    best = shown[["individual", "typical"]].to_array().max("variable").values
    for label, share in zip(axis.get_yticklabels(), best, strict=True):
        label.set_alpha(0.55 if grade(share) == "hardly" else 1.0)
    axis.set_xlim(0, 1)
    axis.set_ylim(-0.7, len(names) - 0.3)
    axis.set_xticks([0, A_LITTLE, PARTLY, WELL, 0.75, 1.0])
    axis.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    axis.grid(axis="y", visible=False)
    axis.set_xlabel("expected posterior contraction: 1 - posterior SD / prior SD")
    there = {grade(float(share)) for name in ("individual", "typical") for share in shown[name].values}
    marks: list[Artist] = [Patch(color=c, label=word) for word, c in COLOUR_OF_GRADE.items() if word in there]
    white = {"markerfacecolor": "white", "markeredgecolor": INK, "color": LINK, "linewidth": 0.8}
    marks.append(Line2D([], [], label="typical value", **DIAMOND, **white))
    marks.append(Patch(color=PALE, alpha=0.45, label=f"below {100 * A_LITTLE:g} %: prior-dominated"))
    below(figure, marks)
    about = f"{result.attrs['protocol']}, model {result.attrs['model']}"
    title(figure, f"Expected posterior contraction: {about}", _note(result, len(nothing)))
    return figure


def _row(axis: Axes, place: int, individual: float, typical: float) -> None:
    inside = typical < individual
    axis.barh(place, individual, 0.64, color=COLOUR_OF_GRADE[grade(individual)])
    if not inside:
        axis.plot([individual, typical], [place, place], color=LINK, linewidth=0.8, zorder=2)
    colours = {
        "markerfacecolor": COLOUR_OF_GRADE[grade(typical)],
        "markeredgecolor": "white" if inside else INK,
    }
    axis.plot(typical, place, zorder=3, clip_on=False, **DIAMOND, **colours)


def _note(result: xr.Dataset, nothing: int) -> str:
    people = result.attrs["subjects"]
    parts = [f"bars: one subject alone; diamonds: typical value, from {people} subjects"]
    names = ("first", "second", "pair_individual", "pair_typical")
    each = zip(*(result[name].values for name in names), strict=True)
    pairs = [f"{words(a)} and {words(b)} ({max(r, s, key=abs):.2f})" for a, b, r, s in each]
    if pairs:
        more = [f"{len(pairs) - MOST_PAIRS} more pairs"] if len(pairs) > MOST_PAIRS else []
        parts.append(f"practically non-identifiable: {', '.join([*pairs[:MOST_PAIRS], *more])}")
    if nothing:
        parts.append(f"no contraction of {nothing} more")
    return "; ".join(parts)
