"""What was measured, before any model: samples of everyone, what is missing or censored, what was given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.plots.style import (
    BLACK,
    GREY,
    MOST_PEOPLE,
    below,
    colour_of,
    colours_of_people,
    from_zero,
    panels,
    pretty_unit,
    sentence,
    styled,
    time_axis,
    title,
)
from bayesglu.study.study import Study, load_study
from bayesglu.text.problems import hint
from bayesglu.text.wording import some
from bayesglu.units import canonical_unit, system_of, unit_in

MOST_LEVELS = 5
"""A number with so many values or fewer is a category; one with more is split at its median."""
MOST_DOSES = 8
"""Doses at so many times are named; where there are more, they are marked only."""
LINES = 3
"""On so many lines these words stand, one below the other."""
ROUTES = {"oral": "oral", "intravenous": "iv", "subcutaneous": "sc", "intramuscular": "im"}
MARKS = {"left": "v", "right": "^"}


@styled
def study(
    study: Study | str,
    by: str | None = None,
    analytes: Sequence[str] | None = None,
    units: str | None = None,
) -> Figure:
    """Samples of everyone over time, a panel for each analyte, and in rows by a covariate where one is named.

    A line joins the samples of one person on one occasion, in the colour of the person where there are no
    more people than colours; of more than twelve people, a thick line is their median and pale bands hold 50
    and 90 % of them. Triangles are censored samples, at the limit and pointing to where the value lies; open
    circles are samples left out of a fit; crosses at the foot of a panel stand where values are missing.
    Dotted lines and pale stretches are doses, of which the uppermost panels say what they were.

    Parameters
    ----------
    study : Study or str
        As `load_study` returns it, or what it reads.
    by : str, optional
        A covariate: a row of panels for each level, with the same axes. A number of many values is split at
        its median.
    analytes : sequence of str, optional
        What to show; by default all.
    units : str, optional
        ``"canonical"``, ``"SI"`` or ``"conventional"``; by default that of `set_units`.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each analyte; times in min, or h where they are long.

    Raises
    ------
    InputError
        If there is no such covariate.
    StudyError
        If there is no such study or analyte.
    UnitError
        If there is no such system of units.

    Examples
    --------
    >>> import bayesglu as bg
    >>> figure = bg.plots.study("synthetic_ogtt", analytes=["glucose", "insulin"])
    >>> [axis.get_title(loc="left") for axis in figure.axes]
    ['Glucose', 'Insulin']
    """
    shown = load_study(study)
    shown = shown.select(analytes=analytes) if analytes is not None else shown
    names, system = shown.analytes, system_of(units)
    unit, factor = zip(*(unit_in(system, canonical_unit(name), name) for name in names), strict=True)
    unit, factor = dict(zip(names, unit, strict=True)), dict(zip(names, factor, strict=True))
    rows = shown.observations.to_dataframe()
    rows["value"] *= rows["analyte"].map(factor)
    groups = _groups(shown, by)
    columns = len(names) if len(groups) > 1 or len(names) <= 3 else -(-len(names) // 2)
    figure, axes = panels(len(groups) * len(names), columns, max(2.9, 6.4 / columns), 2.1)
    end = max([rows["time"].max(), *(e.stop for p in shown.protocols.values() for e in p.events)])
    per = time_axis(axes, min(0.0, rows["time"].min()), min(end, rows["time"].max()))
    labels, colours = 0, colours_of_people(shown.subjects)
    cells = [(label, people, name) for label, people in groups.items() for name in names]
    for place, (axis, (label, people, name)) in enumerate(zip(axes, cells, strict=True)):
        mine = rows[rows["subject"].isin(people) & (rows["analyte"] == name)]
        _samples(axis, mine, per, name, colours)
        labels = max(labels, _doses(axis, shown, people, per, system, named=place == 0))
        axis.set_ylabel(pretty_unit(unit[name]) or "fraction")
        count = f" ({len(people)})" if by is not None else ""
        axis.set_title(sentence(words(name)) + (f", {by} {label}{count}" if by is not None else ""))
    for name in names:  # the same axis in every row, so that groups can be compared
        same = [axis for axis, (_, _, other) in zip(axes, cells, strict=True) if other == name]
        low, high = zip(*(axis.get_ylim() for axis in same), strict=True)
        for axis in same:
            room = 0.1 * labels * (max(high) - min(low)) if name == names[0] else 0.0
            axis.set_ylim(min(low), max(high) + room)  # so that no sample lies behind the words of doses
            from_zero(axis, name)
    title(figure, _heading(shown), _note(rows))
    _legend(figure, rows, max(map(len, groups.values())), colours)
    return figure


def _groups(shown: Study, by: str | None) -> dict[str, list[str]]:
    """The people of each row of panels, by its name."""
    if by is None:
        return {"": list(shown.subjects)}
    if by not in shown.covariates:
        known = list(map(str, shown.covariates.data_vars))
        raise InputError(
            f"{shown.name} has no covariate {by!r}.{hint(by, known)} Known: {some(known) or 'none'}."
        )
    values = shown.covariates[by]
    labels = pd.Series(values.values, index=list(shown.subjects))
    if values.dtype.kind == "f" and labels.nunique() > MOST_LEVELS:
        middle = labels.median()
        stated = values.attrs.get("units", "1")
        limit = f"{middle:.3g}" + ("" if stated == "1" else f" {stated}")
        named = labels.map(lambda value: f"above {limit}" if value > middle else f"up to {limit}")
        labels = named.where(labels.notna(), "unknown")
    elif values.dtype.kind == "f":
        labels = labels.map(lambda value: "unknown" if value != value else f"{value:g}")
    else:
        labels = labels.map(lambda value: value or "unknown")
    levels = sorted(labels.unique(), key=lambda level: (level == "unknown", "above" in level, level.lower()))
    return {level: [str(who) for who, own in labels.items() if own == level] for level in map(str, levels)}


def _samples(axis: Axes, rows: pd.DataFrame, per: float, name: str, colours: dict[str, str]) -> None:
    people = rows["subject"].unique()
    few = len(people) <= MOST_PEOPLE
    for (who, _), own in rows.groupby(["subject", "occasion"], sort=False):
        colour = colours.get(str(who), colour_of(name))
        there = own[own["value"].notna()].sort_values("time")
        if few:
            width = 1.1 if colours else 0.8
            axis.plot(there["time"] / per, there["value"], color=colour, linewidth=width, alpha=0.8)
        exact = there[(there["censoring"] == "none") & there["use"]]
        axis.plot(exact["time"] / per, exact["value"], "o", color=colour, markersize=2.6 if few else 1.6,
                  alpha=1.0 if few else 0.45, markeredgewidth=0)  # fmt: skip
        left_out = there[~there["use"]]
        open_ = {"markerfacecolor": "white", "markeredgecolor": colour, "markersize": 3.6}
        axis.plot(left_out["time"] / per, left_out["value"], "o", markeredgewidth=0.8, zorder=3, **open_)
    for censoring, marker in MARKS.items():
        limits = rows[(rows["censoring"] == censoring) & rows["value"].notna()]
        axis.plot(limits["time"] / per, limits["value"], marker, color=GREY, markersize=5,
                  markeredgecolor="white", markeredgewidth=0.4, zorder=4)  # fmt: skip
    missing = rows.loc[rows["value"].isna(), "time"].unique()
    foot = axis.get_xaxis_transform()
    style = {"color": GREY, "markersize": 4, "markeredgewidth": 0.9, "zorder": 5}
    (crosses,) = axis.plot(missing / per, np.full(missing.shape, 0.03), "x", transform=foot, **style)
    crosses.set_in_layout(False)
    if not few:
        known = rows[rows["value"].notna()].groupby("time")["value"]
        common = known.count().ge(len(people) / 2)
        at = {q: known.quantile(q)[common] for q in (0.05, 0.25, 0.5, 0.75, 0.95)}
        time = at[0.5].index.to_numpy() / per
        for low, high in ((0.05, 0.95), (0.25, 0.75)):
            axis.fill_between(time, at[low], at[high], color=colour_of(name), alpha=0.18, linewidth=0)
        axis.plot(time, at[0.5], color=BLACK, linewidth=1.9, zorder=6)


def _doses(axis: Axes, shown: Study, people: Sequence[str], per: float, system: str, named: bool) -> int:
    """Mark what was given to these people, in words where these are wanted; on how many lines words stand."""
    start, end = axis.get_xlim()
    unit, factor = unit_in(system, "mg/dL", "glucose")
    given: dict[float, dict[str, set[str]]] = {}
    spans = set()
    for (who, _), protocol in shown.protocols.items():
        for event in protocol.events if who in people else ():
            if not start <= event.time / per <= end:
                continue
            clamp = event.kind == "clamp"
            what = "clamp" if clamp else f"{event.substance} {ROUTES[event.route]}"
            amount = f"{event.amount:.4g} {event.unit}"
            if clamp and event.target is not None:
                amount = f"{event.target * factor:.3g} {unit}"
            given.setdefault(event.time, {}).setdefault(what, set()).add(amount)
            if event.duration:
                spans.add((event.time / per, min(event.stop / per, end)))
    for time in given:
        axis.axvline(time / per, color=GREY, linestyle=":", linewidth=0.9, zorder=0)
    for span in spans:
        axis.axvspan(*span, color=GREY, alpha=0.06, linewidth=0, zorder=0)
    if not named or len(given) > MOST_DOSES:
        return 0
    for number, (time, doses) in enumerate(sorted(given.items())):
        across = time / per > (start + end) / 2
        label = axis.annotate(
            ", ".join(f"{_span(amounts)} {what}" for what, amounts in doses.items()),
            (time / per, 1.0),
            xycoords=axis.get_xaxis_transform(),
            xytext=(-3 if across else 3, -8 - 9 * (number % LINES)),
            textcoords="offset points",
            ha="right" if across else "left",
            fontsize=7.8,
            color="#333333",
        )
        label.set_in_layout(False)
    return min(len(given), LINES)


def _size(amount: str) -> float:
    return float(amount.split(" ")[0])


def _span(amounts: set[str]) -> str:
    low, high = min(amounts, key=_size), max(amounts, key=_size)
    return high if low == high else f"{low.split(' ')[0]} to {high}"


def _heading(shown: Study) -> str:
    people = len(shown.subjects)
    several = len(shown.occasions) > people
    text = f"{shown.name}: {people} subject{'s' if people > 1 else ''}"
    return text + (f", {len(shown.occasions)} occasions" if several else "")


def _note(rows: pd.DataFrame) -> str:
    counts = {
        "missing": int(rows["value"].isna().sum()),
        "censored": int(((rows["censoring"] != "none") & rows["value"].notna()).sum()),
        "left out": int((~rows["use"]).sum()),
    }
    return ", ".join(
        [f"{len(rows)} samples", *(f"{count} {what}" for what, count in counts.items() if count)]
    )


def _legend(figure: Figure, rows: pd.DataFrame, people: int, colours: dict[str, str]) -> None:
    """Say below the panels what the marks are, of those that are there."""
    there = rows[rows["value"].notna()]
    styles: dict[str, Any] = {"color": GREY, "linestyle": "none", "markersize": 4}
    marks: list[tuple[bool, str, dict[str, Any]]] = [
        (bool((there["censoring"] == "left").any()), "below the limit, at it", {**styles, "marker": "v"}),
        (bool((there["censoring"] == "right").any()), "above the limit, at it", {**styles, "marker": "^"}),
        (bool(rows["value"].isna().any()), "missing", {**styles, "marker": "x"}),
        (bool((~there["use"]).any()), "left out", {**styles, "marker": "o", "markerfacecolor": "white"}),
    ]
    handles: list[Artist] = [Line2D([], [], label=text, **style) for shown, text, style in marks if shown]
    if people > MOST_PEOPLE:
        handles.append(Line2D([], [], color=BLACK, linewidth=1.9, label="median of people"))
        handles.append(Patch(color=GREY, alpha=0.33, linewidth=0, label="50 % of people"))
        handles.append(Patch(color=GREY, alpha=0.18, linewidth=0, label="90 % of people"))
    if len(colours) > 1:
        handles = [*(Line2D([], [], color=c, label=who) for who, c in colours.items()), *handles]
    below(figure, handles)
