"""Scenarios beside each other, and by how much they differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesglu.analysis.quantities import in_units
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.plots.style import (
    GREY,
    MOST_PEOPLE,
    band,
    below,
    looks,
    name_panel,
    picture,
    samples,
    sentence,
    shade,
    styled,
    time_axis,
    title,
)
from bayesglu.plots.time_courses import are_new, everyone, heading

MOST_LEVELS = 2
"""So many scenarios have people behind their mean level; of more, people are seen in the differences."""
MOST_TOGETHER = 4
"""So many scenarios lie over each other; of more, each has a row with the first."""


@styled
def contrast(
    what_if: xr.Dataset,
    output: str = "glucose",
    subjects: Sequence[str] | None = None,
    probability: float = 0.9,
    units: str | None = None,
) -> Figure:
    """Scenarios beside each other: an output in each of them, and the difference within each draw.

    Parameters
    ----------
    what_if : xarray.Dataset
        As `what_if` returns it, dims ``chain, draw, subject, scenario, time``; the others are compared with
        the first scenario.
    output : str
        Name of a concentration or flux in it.
    subjects : sequence of str, optional
        Labels of people, a row of panels each (twelve at most); by default one row, of more than four
        scenarios one for each, with the mean over people and its band, and behind it people's medians: a thin
        line each, of more than twelve people a pale band that holds as many of them as the intervals hold of
        probability; of new people the interval of one of them.
    probability : float
        Probability of the equal-tailed bands.
    units : str, optional
        ``"canonical"``, ``"SI"`` or ``"conventional"``; by default that of `set_units`.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels a row, in the output's unit.

    Raises
    ------
    InputError
        If the output or a subject is unknown, or there is only one scenario.
    UnitError
        If there is no such system of units.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> change = {"insulin_sensitivity": bg.scale(1.3)}
    >>> figure = bg.plots.contrast(bg.what_if(fit, change=change, draws=20, body_weight=70))
    >>> len(figure.axes)
    2
    """
    what_if = in_units(what_if, units)
    values, scenarios = _checked(what_if, output, subjects)
    people = list(map(str, values["subject"].values))
    who = f"mean of {len(people)} people" if len(people) > 1 else "true level"
    count, new = len(people), are_new(values)
    people = people[:MOST_PEOPLE] if subjects is not None else [""]
    styles = looks(len(scenarios))
    each = [(person, list(range(len(scenarios)))) for person in people]
    if len(scenarios) > MOST_TOGETHER and len(people) == 1:
        each = [(people[0], [0, i]) for i in range(1, len(scenarios))]
    beside = len(each[0][1])
    banded = beside <= MOST_LEVELS and beside * count > MOST_PEOPLE
    note = _note(count, probability, subjects is not None, new, banded)
    height = 2.2 if len(each) < 3 else 1.7
    figure = picture(5.3, height * len(each) + 0.9)
    rows = figure.subplots(len(each), 2, squeeze=False, sharex=True, sharey="col")
    per = time_axis(rows.ravel(), *values["time"].values[[0, -1]])
    unit = what_if[output].attrs.get("units", "")
    handles = {}
    for (level, difference), (person, some) in zip(rows, each, strict=True):
        own = [styles[place] for place in some]
        draw_contrast(level, difference, values.isel(scenario=some), per, person, probability, own)
        apart = len(some) < len(scenarios)
        other = f"{scenarios[some[-1]]!r}" if apart else ""
        name_panel(level, f"{other}, {who}" if apart else f"subject {person}" if person else who, unit)
        name_panel(difference, f"{other or 'difference'} from {scenarios[0]!r}", unit)
        handles |= dict(zip(*reversed(level.get_legend_handles_labels()), strict=True))
    below(figure, list(handles.values()))
    title(figure, sentence(f"{words(output)}, {heading({'': what_if})}".removesuffix(", ")), note)
    return figure


def _note(count: int, probability: float, each: bool, new: bool, banded: bool) -> str:
    """What bands and lines are; `banded`, whether people are a pale band beside each other scenario."""
    share = f"{100 * probability:g} %"
    if each:
        shown = f"{MOST_PEOPLE} of {count} people shown. " if count > MOST_PEOPLE else ""
        return f"{shown}Bands: {share} equal-tailed intervals of each person's true level."
    if count == 1:
        return f"Bands: {share} equal-tailed intervals of the true level."
    if new:
        behind = f"pale bands: {share} of new people"
    elif count > MOST_PEOPLE:
        behind = f"pale bands: {share} of people's medians"
    else:
        behind = "thin lines: people's medians" + (f"; pale bands: {share} of these" if banded else "")
    return f"Bands: {share} equal-tailed intervals of the mean of these {count} people; {behind}."


def draw_contrast(
    level: Axes,
    difference: Axes,
    values: xr.DataArray,
    per: float = 1.0,
    person: str = "",
    probability: float = 0.9,
    styles: Sequence[dict[str, str]] = (),
) -> None:
    """Scenarios on one pair of axes, for one person or, where none is named, the mean over people."""
    count = values.sizes["scenario"]
    styles = styles or looks(count)
    chosen = values.sel(subject=person) if person else values.mean("subject")
    time = values["time"].values / per
    first, *others = values["scenario"].values
    difference.axhline(0, color=GREY, linewidth=0.8)
    several = not person and values.sizes["subject"] > 1
    if several and count <= MOST_LEVELS:
        for scenario, style in zip((first, *others), styles, strict=True):
            _people(level, values.sel(scenario=scenario), time, style["color"], probability, count)
    for scenario, style in zip((first, *others), styles, strict=True):
        draws = samples(chosen.sel(scenario=scenario), "time")
        band(
            level, time, draws, style["color"], probability, label=str(scenario), linestyle=style["linestyle"]
        )
    for scenario, style in zip(others, styles[1:], strict=True):
        if several:
            paired = values.sel(scenario=scenario) - values.sel(scenario=first)
            _people(difference, paired, time, style["color"], probability, len(others))
    for scenario, style in zip(others, styles[1:], strict=True):
        paired = chosen.sel(scenario=scenario) - chosen.sel(scenario=first)
        draws = samples(paired, "time")
        band(difference, time, draws, style["color"], probability, linestyle=style["linestyle"])


def _people(
    axis: Axes, each: xr.DataArray, time: np.ndarray, colour: str, probability: float, together: int
) -> None:
    """How people differ: a thin line each, a pale band of many, of new people, or beside other scenarios."""
    curves = everyone(each)
    if len(curves) * together > MOST_PEOPLE:
        shade(axis, time, curves, colour, probability, alpha=0.12)
    else:
        axis.plot(time, curves.T, color=colour, linewidth=0.5, alpha=0.4)


def _checked(
    what_if: xr.Dataset, output: str, subjects: Sequence[str] | None
) -> tuple[xr.DataArray, list[str]]:
    """The output for the chosen people, with a dimension for them, and the names of the scenarios."""
    if output not in what_if:
        raise InputError(f"There is no output {output!r}. Known: {', '.join(map(str, what_if.data_vars))}.")
    values = what_if[output]
    if values.sizes.get("scenario", 0) < 2:
        raise InputError("A contrast needs two scenarios or more in a dimension 'scenario', as of what_if.")
    if "subject" not in values.dims:
        values = values.expand_dims(subject=[""])
    if subjects is not None:
        known = [str(label) for label in values["subject"].values]
        subjects = [subjects] if isinstance(subjects, str) else [str(label) for label in subjects]
        if missing := [label for label in subjects if label not in known]:
            raise InputError(f"There is no subject {', '.join(missing)}. Known: {', '.join(known)}.")
        values = values.isel(subject=[known.index(label) for label in subjects])
    return values, [str(name) for name in values["scenario"].values]
