"""Published experiments: what was measured, over what a model does."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.plots.style import (
    BLACK,
    BLUE,
    GREY,
    HOURS_FROM,
    VERMILLION,
    below,
    colour_of,
    page_of,
    panels,
    pretty_unit,
    shade,
    styled,
    time_axis,
    title,
)
from bayesglu.units import system_of, unit_in

PAGE = 12
"""Experiments on a page."""

if TYPE_CHECKING:
    from bayesglu.validation.facts import Fact, Group
    from bayesglu.validation.validate import Validation


@styled
def facts(validation: Validation, units: str | None = None, page: int = 1) -> Figure:
    """A panel per experiment: the typical person's curve, bands over people, and the published figures.

    Bands hold 50 and 90 % of people. Points are published figures, a thick bar their spread where the source
    gives one, a thin bar the range accepted for a group's mean. Red are those that the model misses.
    Experiments whose facts are no points of the curve show the curve alone: all facts are in the table.

    Parameters
    ----------
    validation : Validation
        As `validate` returns it.
    units : str, optional
        ``"canonical"``, ``"SI"`` or ``"conventional"``; by default that of `set_units`.
    page : int
        Which twelve experiments, from 1.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each experiment that the model can be put to, twelve at most.

    Raises
    ------
    InputError
        If there is none, or no such page.
    UnitError
        If there is no such system of units.

    Examples
    --------
    >>> import bayesglu as bg
    >>> figure = bg.plots.facts(bg.validate(facts=bg.load_facts()[:1]))
    >>> len(figure.axes)
    1
    """
    every = _drawn(validation)
    if not every:
        raise InputError(f"No experiment could be put to the model {validation.model!r}.")
    shown, of_pages = page_of(every, page, PAGE)
    figure, axes = panels(len(shown), 3, 2.6, 2.1)
    system = system_of(units)
    verdicts = dict(zip(validation.table["fact"], validation.table["verdict"], strict=True))
    for axis, group in zip(axes, shown, strict=True):
        unit, factor = unit_in(system, group.unit, group.shown)
        curve = validation.curves[group.experiment.name] * factor
        _draw(axis, curve, group)
        per = time_axis([axis], *curve["time"].values[[0, -1]])
        for fact in group.facts:
            if fact.point:
                _mark(axis, fact, per, factor, "fails" in verdicts[fact.name].lower())
        axis.set_title("\n".join(wrap(group.title, 28)), fontsize=8.5)
        axis.set_ylabel("\n".join([*wrap(words(group.called), 24), pretty_unit(unit)]), fontsize=8)
        axis.margins(y=0.1)
        low, high = axis.get_xlim()
        axis.set_xlim(low - 0.02 * (high - low), high + 0.02 * (high - low))  # no point is cut
    below(figure, _marks(any("draw" in validation.curves[g.experiment.name].dims for g in shown)))
    count = ", ".join(f"{n} {word}" for word, n in validation.counts.items())
    title(figure, f"Published experiments, model {validation.model}: {count}{of_pages}")
    return figure


def pages_of(validation: Validation) -> int:
    """How many pages of experiments there are."""
    return -(-len(_drawn(validation)) // PAGE)


def _drawn(validation: Validation) -> list[Group]:
    return [group for group in validation.groups if group.experiment.name in validation.curves]


def _marks(bands: bool) -> list[Artist]:
    """What lines, bands and signs are."""
    dot: dict = {"marker": "o", "markersize": 3.5, "linestyle": ""}
    people = [
        Patch(color=GREY, alpha=0.35, linewidth=0, label="50 % of people, by the priors"),
        Patch(color=GREY, alpha=0.15, linewidth=0, label="90 % of people, by the priors"),
    ]
    return [
        Line2D([], [], color=GREY, label="typical person (of each dose, where there are several)"),
        *(people if bands else []),
        Line2D([], [], color=BLACK, label="published", **dot),
        Line2D([], [], color=VERMILLION, label="published, and missed by the model", **dot),
        Line2D([], [], color=BLACK, linewidth=2, label="spread, as published"),
        Line2D([], [], color=BLACK, linewidth=0.6, label="accepted range of a group's mean"),
    ]


def _draw(axis: Axes, curve: xr.DataArray, group: Group) -> None:
    """The typical person's curve (one a level), and bands over the others."""
    time = curve["time"].values
    time = time / (60.0 if time[-1] - time[0] >= HOURS_FROM else 1.0)
    colour = colour_of(group.shown, BLUE)
    colour = BLUE if colour == BLACK else colour
    everyone = curve if "draw" in curve.dims else curve.expand_dims("draw")
    for one in _levels(everyone):
        draws = one.transpose("draw", "time").values
        axis.plot(time, draws[0], color=colour)
        if len(draws) > 1 and "level" not in curve.dims:
            for band, alpha in ((0.9, 0.13), (0.5, 0.22)):
                shade(axis, time, draws[1:], colour, band, alpha)


def _levels(curve: xr.DataArray) -> list[xr.DataArray]:
    return [curve.isel(level=i) for i in range(curve.sizes["level"])] if "level" in curve.dims else [curve]


def _mark(axis: Axes, fact: Fact, per: float, factor: float, missed: bool) -> None:
    """A published figure where it stands in time; a window as a line from end to end."""
    colour = VERMILLION if missed else BLACK
    when = np.array(fact.point) / per
    middle = when.mean()
    value, accepted = fact.value * factor, np.array(fact.accepted) * factor
    axis.vlines(middle, *accepted, color=colour, linewidth=0.6, zorder=4)
    if len(when) > 1:
        axis.hlines(value, *when, color=colour, linewidth=1.2, zorder=4)
    spread = None if fact.spread is None else fact.spread * factor
    style = {"fmt": "o", "color": colour, "markersize": 3.5, "elinewidth": 2, "zorder": 5}
    axis.errorbar(middle, value, yerr=spread, **style)
