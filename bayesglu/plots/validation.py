"""Published experiments: what was measured, over what a model does."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.plots.style import (
    BLACK,
    BLUE,
    HOURS_FROM,
    VERMILLION,
    colour_of,
    panels,
    pretty_unit,
    shade,
    styled,
    time_axis,
    title,
)
from bayesglu.units import system_of, unit_in

if TYPE_CHECKING:
    from bayesglu.validation.facts import Fact, Group
    from bayesglu.validation.validate import Validation


@styled
def facts(validation: Validation, units: str | None = None) -> Figure:
    """A panel per experiment: the typical person's curve, bands over people, and the published figures.

    Bands hold 50 and 90 % of people. Points are published figures with their spread where the source gives
    one; a thin bar is the range accepted for a group's mean. Red are those that the model misses. Experiments
    whose facts are no points of the curve show the curve alone: all facts are in the table.

    Parameters
    ----------
    validation : Validation
        As `validate` returns it.
    units : str, optional
        ``"canonical"``, ``"SI"`` or ``"conventional"``; by default that of `set_units`.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each experiment that the model can be put to.

    Raises
    ------
    InputError
        If there is none.
    UnitError
        If there is no such system of units.

    Examples
    --------
    >>> import bayesglu as bg
    >>> figure = bg.plots.facts(bg.validate(facts=bg.load_facts()[:1]))
    >>> len(figure.axes)
    1
    """
    shown = [group for group in validation.groups if group.experiment.name in validation.curves]
    if not shown:
        raise InputError(f"No experiment could be put to the model {validation.model!r}.")
    figure, axes = panels(len(shown), 4, 3.0, 2.25)
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
        axis.set_title("\n".join(wrap(group.title, 36)), fontsize=8)
        axis.set_ylabel("\n".join([*wrap(words(group.called), 24), pretty_unit(unit)]), fontsize=7.5)
        axis.margins(y=0.1)
    count = ", ".join(f"{n} {word}" for word, n in validation.counts.items())
    note = "Line: typical person. Bands: 50 and 90 % of people as the priors expect them. Points: published."
    title(figure, f"Published experiments, model {validation.model}: {count}", note)
    return figure


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
