"""Ranks of true values among draws, and how many of them intervals held."""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from bayesglu.analysis.calibration import PROBABILITIES, RANKED, Calibration
from bayesglu.analysis.uniformity import band
from bayesglu.errors import InputError
from bayesglu.plots.style import (
    BLUE,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILLION,
    below,
    picture,
    styled,
    title,
)

OUTSIDE = (VERMILLION, BLUE, PURPLE, ORANGE, SKY)
COLOUR_OF_SHARE = dict(zip(PROBABILITIES, (SKY, BLUE), strict=True))


@styled
def calibration(found: Calibration) -> Figure:
    """How ranks and intervals of a calibration lie against what they promise.

    At the left the distribution of each quantity's ranks, less that of equally likely ones: nine of ten lines
    and more should stay in the grey band, which holds a calibrated quantity's whole line with 95 %. Those
    that do not are coloured and named, the worst first. At the right how often intervals of 50 and 90 % held
    the true value: each dot a quantity, of individual parameters over all people.

    Parameters
    ----------
    found : Calibration
        As `calibrate` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels.

    Raises
    ------
    InputError
        If it is not what `calibrate` returned.

    Examples
    --------
    >>> import bayesglu as bg
    >>> quick = dict(simulations=10, draws=50, tune=50, random_seed=1, progressbar=False)
    >>> figure = bg.plots.calibration(bg.calibrate("minimal", "bergman1986", **quick))
    >>> len(figure.axes)
    2
    """
    if not isinstance(found, Calibration):
        raise InputError(f"plots.calibration draws what calibrate returns, not {type(found).__name__}.")
    figure = picture(7.5, 3.6)
    left, right = figure.subplots(1, 2, width_ratios=[3, 2])
    n, table = found.ranks.sizes["simulation"], found.table
    points, low, high = band(n)
    left.fill_between(points, low - points, high - points, color=PALE, linewidth=0, step="mid")
    shares = (found.ranks.values[..., None] / (RANKED + 1) < points).mean(0)
    worst = [str(name) for name in table.index[table["p"] < 0.05][np.argsort(table["p"][table["p"] < 0.05])]]
    colour = dict(zip(worst, OUTSIDE, strict=False))
    for name, share in zip(table.index, shares, strict=True):
        strong = name in colour
        look = {"color": colour.get(name, GREY), "linewidth": 1.3 if strong else 0.5}
        left.plot(points, share - points, alpha=1.0 if strong else 0.45, zorder=3 if strong else 2, **look)
    left.set(
        xlabel="rank of the true value", ylabel="share of ranks below, less the expected one", xlim=(0, 1)
    )
    left.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    marks: list[Artist] = [Line2D([], [], color=c, label=name) for name, c in colour.items()]
    marks.append(Patch(color=PALE, label="holds 95 % of calibrated quantities"))
    if len(worst) > len(OUTSIDE):
        marks.append(
            Line2D([], [], color=GREY, linewidth=0.5, label=f"{len(worst) - len(OUTSIDE)} more outside")
        )
    below(figure, marks)
    for place, probability in enumerate(PROBABILITIES):
        values = np.sort(table[f"held_{100 * probability:.0f}"].to_numpy())
        across = place + np.linspace(-0.3, 0.3, len(values))
        right.plot(across, values, ".", color=COLOUR_OF_SHARE[probability], markersize=4)
        right.plot([place - 0.38, place + 0.38], [probability] * 2, color=GREY, linewidth=0.8)
    right.set_xticks(range(len(PROBABILITIES)), [f"{100 * q:.0f} % intervals" for q in PROBABILITIES])
    right.set(ylim=(0, 1.02), xlim=(-0.5, len(PROBABILITIES) - 0.5), ylabel="held the true value")
    right.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))
    right.grid(axis="x", visible=False)
    title(figure, f"{found.about.get('model', '')}: {found.headline}".removeprefix(": "))
    return figure
