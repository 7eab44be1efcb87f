"""Scenarios beside each other, and by how much they differ."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle, islice

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesglu.analysis.quantities import in_units
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.plots.style import (
    GREY,
    MOST_PEOPLE,
    SCENARIOS,
    band,
    name_panel,
    picture,
    samples,
    sentence,
    shade,
    styled,
    time_axis,
    title,
)
from bayesglu.plots.time_courses import heading

LETTERS = 80
"""So many letters of a legend stand in a row."""


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
        Labels of people, a row of panels each (twelve at most); by default one row, with the mean over people
        and its band, and behind it people's median differences: a thin line each, of more than twelve people
        a pale band that holds as many of them as the intervals hold of probability; of new people the
        interval of one of them.
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
    who = f"mean of {len(people)} people" if len(people) > 1 else "level"
    note = _note(len(people), probability, subjects is not None, _are_new(values))
    people = people[:MOST_PEOPLE] if subjects is not None else [""]
    figure = picture(7.0, 2.5 * len(people) + 0.6)
    rows = figure.subplots(len(people), 2, squeeze=False, sharex=True, sharey="col")
    per = time_axis(rows.ravel(), *values["time"].values[[0, -1]])
    for (level, difference), person in zip(rows, people, strict=True):
        draw_contrast(level, difference, values, per, person, probability)
    unit = what_if[output].attrs.get("units", "")
    for (level, difference), person in zip(rows, people, strict=True):
        name_panel(level, f"subject {person}" if person else who, unit)
        name_panel(difference, f"difference from {scenarios[0]!r}", unit)
    handles, labels = rows[0][0].get_legend_handles_labels()
    columns = max(1, min(len(labels), LETTERS // max(map(len, labels))))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=1.4)
    title(figure, sentence(f"{words(output)}, {heading({'': what_if})}".removesuffix(", ")), note)
    return figure


def _are_new(values: xr.DataArray) -> bool:
    """Whether people are new ones, drawn again with each draw: then no one of them has a median."""
    return all(str(label).startswith("new ") for label in values["subject"].values)


def _note(count: int, probability: float, each: bool, new: bool) -> str:
    """What bands and lines are."""
    share = f"{100 * probability:g} %"
    if each:
        shown = f"{MOST_PEOPLE} of {count} people shown. " if count > MOST_PEOPLE else ""
        return f"{shown}Bands: {share} equal-tailed intervals of each person's true level."
    if count == 1:
        return f"Bands: {share} equal-tailed intervals of the true level."
    many = count > MOST_PEOPLE
    behind = f"pale bands: {share} of people's medians" if many else "thin lines: people's medians"
    behind = "pale bands: of a new person" if new else behind
    return f"Bands: {share} equal-tailed intervals of the mean of these {count} people; {behind}."


def draw_contrast(
    level: Axes,
    difference: Axes,
    values: xr.DataArray,
    per: float = 1.0,
    person: str = "",
    probability: float = 0.9,
) -> None:
    """Scenarios on one pair of axes, for one person or, where none is named, the mean over people."""
    chosen = values.sel(subject=person) if person else values.mean("subject")
    time = values["time"].values / per
    first, *others = values["scenario"].values
    for scenario, colour in zip((first, *others), cycle(SCENARIOS), strict=False):
        draws = samples(chosen.sel(scenario=scenario), "time")
        band(level, time, draws, colour, probability, label=str(scenario))
    difference.axhline(0, color=GREY, linewidth=0.8)
    for scenario, colour in zip(others, islice(cycle(SCENARIOS), 1, None), strict=False):
        if not person and values.sizes["subject"] > 1:
            each = values.sel(scenario=scenario) - values.sel(scenario=first)
            sampled = [dim for dim in ("chain", "draw") if dim in each.dims]
            medians = each.median(sampled).transpose("subject", "time").values
            if _are_new(values):
                anyone = each.stack(anyone=(*sampled, "subject")).transpose("anyone", "time").values
                shade(difference, time, anyone, colour, probability, alpha=0.12)
            elif values.sizes["subject"] > MOST_PEOPLE:
                shade(difference, time, medians, colour, probability, alpha=0.12)
            else:
                difference.plot(time, medians.T, color=colour, linewidth=0.5, alpha=0.45)
        paired = chosen.sel(scenario=scenario) - chosen.sel(scenario=first)
        band(difference, time, samples(paired, "time"), colour, probability)


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
