"""How much values of a posterior follow their priors."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesglu.analysis.prior_sensitivity import BOTH, FINE, FOLLOWS, THRESHOLD
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.plots.style import BLUE, GREY, PALE, VERMILLION, below, picture, styled, title

COLOUR = {FINE: BLUE, FOLLOWS: GREY, BOTH: VERMILLION}
MOST = 40
"""So many rows are drawn."""


@styled
def prior_sensitivity(table: pd.DataFrame) -> Figure:
    """Sensitivity of each value to its own prior and to the data: a row per parameter, a dot per person.

    In the left panel how fast a value changes with its prior, in the right with the likelihood; within the
    grey it does not count, or is found by chance. Grey dots follow their priors, red ones change with both,
    blue ones are informed by the data. Parameters are in the order of their largest sensitivity to the prior.

    Parameters
    ----------
    table : pandas.DataFrame
        As `prior_sensitivity` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels, at most forty parameters.

    Raises
    ------
    InputError
        If it is not what `prior_sensitivity` returned.

    Examples
    --------
    >>> import bayesglu as bg
    >>> quick = dict(draws=200, tune=200, chains=2, random_seed=1, progressbar=False)
    >>> fit = bg.fit("ivgtt", "bergman1986", **quick)
    >>> len(bg.plots.prior_sensitivity(bg.prior_sensitivity(fit)).axes)
    2
    """
    if not isinstance(table, pd.DataFrame) or not {"parameter", "prior", "diagnosis"} <= set(table):
        raise InputError("plots.prior_sensitivity draws the table that prior_sensitivity returns.")
    largest = table.groupby("parameter")["prior"].max().sort_values(ascending=False)
    names = list(largest.index[:MOST])[::-1]
    figure = picture(7.2, 0.19 * len(names) + 1.2)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, group in zip(axes, ("prior", "likelihood"), strict=True):
        limit = max(table.attrs.get("threshold", THRESHOLD), table.attrs.get(f"chance_{group}", 0.0))
        axis.axvspan(0, limit, color=PALE, linewidth=0)
        for place, name in enumerate(names):
            own = table[table["parameter"] == name]
            spread = np.linspace(-0.25, 0.25, len(own)) if len(own) > 1 else np.zeros(1)
            colours = [COLOUR[each] for each in own["diagnosis"]]
            axis.scatter(own[group], place + spread, 9, color=colours, linewidth=0, alpha=0.8, zorder=3)
        axis.set_xlabel(f"sensitivity to the {'own prior' if group == 'prior' else 'likelihood'}")
        axis.set_xlim(0, max(2 * limit, 1.05 * float(table[group].max())))
        axis.grid(axis="y", visible=False)
    axes[0].set_yticks(range(len(names)), [words(name) for name in names], fontsize=6.5)
    axes[0].set_ylim(-0.7, len(names) - 0.3)
    marks: list[Artist] = [
        Line2D([], [], marker="o", linestyle="", markersize=4, color=c, label=t) for t, c in COLOUR.items()
    ]
    below(figure, [*marks, Patch(color=PALE, label="does not count, or is found by chance")])
    rest = f" (the {MOST} most sensitive of {len(largest)})" if len(largest) > MOST else ""
    title(figure, f"Power scaling of priors and likelihood{rest}")
    return figure
