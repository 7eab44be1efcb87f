"""Each person's samples and curves, page by page."""

from __future__ import annotations

from collections.abc import Sequence

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
    GREY,
    below,
    colour_of,
    from_zero,
    page_of,
    panels,
    pretty_unit,
    sentence,
    styled,
    time_axis,
    title,
)
from bayesglu.results import require_table
from bayesglu.units import canonical_unit, system_of, unit_in

PAGE = 12
"""Panels on a page."""
STATES = {
    "used": ("o", "white", "sample"),
    "left": ("v", GREY, "sample below the limit, at it"),
    "right": ("^", GREY, "sample above the limit, at it"),
    "left out": ("x", GREY, "sample left out of the fit"),
    "forcing": (".", GREY, "sample of the forcing function"),
}
WITHIN, NEW = 0.4, 0.15
"""How dark the band of what is expected is, and that of new samples."""


@styled
def individual_fits(
    found: xr.Dataset, analyte: str | None = None, page: int = 1, subjects: Sequence[str] | None = None
) -> Figure:
    """Samples of twelve people in what the fit says of them, between the samples too.

    The line is the median, the darker band its 50 % interval, the paler one where 90 % of new samples would
    lie. Open circles are samples; triangles lie at a limit of quantification and point to where the value
    is; crosses were left out of the fit. All panels of a page have the same axes.

    Parameters
    ----------
    found : xarray.Dataset
        As `individual_fits` returns it.
    analyte : str, optional
        What to show; by default the first that was measured.
    page : int
        Which twelve panels, from 1.
    subjects : sequence of str, optional
        Whom to show; by default everyone.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each occasion of a person, twelve at most.

    Raises
    ------
    InputError
        If it is not what `individual_fits` returned, or there is no such analyte, page or subject.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> len(bg.plots.individual_fits(bg.individual_fits(fit, points=20, random_seed=1)).axes)
    1
    """
    require_table(found, "individual_fits", "median", "sample_lower", "value", "piece")
    known = list(dict.fromkeys(map(str, found.analyte.values)))
    analyte = known[0] if analyte is None else analyte
    if analyte not in known:
        raise InputError(f"There is no analyte {analyte!r} in these fits. Known: {', '.join(known)}.")
    every = occasions_of(found, analyte, subjects)
    shown, of_pages = page_of(every, page, PAGE)
    figure, axes = panels(len(shown), 4, max(2.1, 4.2 / len(shown)), 1.75, sharey=True)
    of = found.isel(moment=found.analyte.values == analyte, obs=found.sample_analyte.values == analyte)
    per = time_axis(axes, float(of.time.min()), float(of.time.max()))
    several = len({subject for subject, _ in every}) < len(every)
    states: set[str] = set()
    for axis, (subject, occasion) in zip(axes, shown, strict=True):
        states |= draw_person(axis, of, subject, occasion, per, colour_of(analyte))
        axis.set_title(f"{subject}, {occasion}" if several else subject)
    for axis in axes[::4]:
        axis.set_ylabel(pretty_unit(canonical_unit(analyte)) or "fraction")
    low, high = _range(of, shown)
    axes[0].set_ylim(low, high)
    from_zero(axes[0], analyte)
    legend(figure, states, colour_of(analyte))
    title(figure, sentence(f"{words(analyte)} of each person as fitted{of_pages}"))
    return figure


@styled
def of_one_person(found: xr.Dataset, subject: str, units: str | None = None) -> Figure:
    """Samples of one person in what the fit says of them: a panel for each occasion and analyte."""
    cells = [(a, o) for a in dict.fromkeys(map(str, found.analyte.values)) for o in _seen(found, a, subject)]
    several = len({occasion for _, occasion in cells}) > 1
    figure, axes = panels(len(cells), 3 if len(cells) > 2 else 2, 2.9, 1.9)
    own = found.isel(moment=found.subject.values == subject)
    per = time_axis(axes, float(own.time.min()), float(own.time.max()))
    states: set[str] = set()
    for axis, (analyte, occasion) in zip(axes, cells, strict=True):
        unit, factor = unit_in(system_of(units), canonical_unit(analyte), analyte)
        of = found.isel(moment=found.analyte.values == analyte, obs=found.sample_analyte.values == analyte)
        states |= draw_person(axis, told_in(of, factor), subject, occasion, per, colour_of(analyte))
        axis.set_title(sentence(words(analyte)) + (f", {occasion}" if several else ""))
        axis.set_ylabel(pretty_unit(unit) or "fraction")
        from_zero(axis, analyte)
    legend(figure, states)
    return figure


def told_in(of: xr.Dataset, factor: float) -> xr.Dataset:
    """Curves and samples of an analyte in another unit."""
    numbers = ("median", "lower", "upper", "sample_lower", "sample_upper", "value")
    return of.assign({name: of[name] * factor for name in numbers})


def _seen(found: xr.Dataset, analyte: str, subject: str) -> list[str]:
    """The occasions on which an analyte of a person was measured."""
    here = (found.analyte.values == analyte) & (found.subject.values == subject)
    return list(dict.fromkeys(map(str, found.occasion.values[here])))


def occasions_of(
    found: xr.Dataset, analyte: str, subjects: Sequence[str] | None = None
) -> list[tuple[str, str]]:
    """The occasions (subject, name) at which an analyte was measured, of some people.

    Raises InputError where someone is not among them.
    """
    own = found.analyte.values == analyte
    every = zip(found.subject.values[own], found.occasion.values[own], strict=True)
    pairs = list(dict.fromkeys((str(s), str(o)) for s, o in every))
    if subjects is None:
        return pairs
    wanted = [subjects] if isinstance(subjects, str) else [str(s) for s in subjects]
    if missing := [s for s in wanted if s not in {subject for subject, _ in pairs}]:
        raise InputError(f"There is no subject {', '.join(missing)} of whom {analyte} was measured.")
    return [pair for pair in pairs if pair[0] in wanted]


def pages_of(found: xr.Dataset, analyte: str) -> int:
    """How many pages there are of an analyte."""
    return -(-len(occasions_of(found, analyte)) // PAGE)


def draw_person(axis: Axes, of: xr.Dataset, subject: str, occasion: str, per: float, colour: str) -> set[str]:
    """One panel, of one analyte; which states of samples are in it."""
    own = of.isel(moment=(of.subject.values == subject) & (of.occasion.values == occasion)).sortby("time")
    for piece in np.unique(own["piece"].values):
        part = own.isel(moment=own["piece"].values == piece)
        time = part.time.values / per
        axis.fill_between(time, part.sample_lower, part.sample_upper, color=colour, alpha=NEW, linewidth=0)
        axis.fill_between(time, part["lower"], part["upper"], color=colour, alpha=WITHIN, linewidth=0)
        axis.plot(time, part["median"], color=colour, linewidth=1.1)
    mine = (of.sample_subject.values == subject) & (of.sample_occasion.values == occasion)
    states = of.state.values[mine]
    for state, (marker, face, _) in STATES.items():
        here = states == state
        style = {"markersize": 3.6, "markeredgecolor": "#222222", "markeredgewidth": 0.9, "zorder": 4}
        x, y = of.sample_time.values[mine][here] / per, of["value"].values[mine][here]
        axis.plot(x, y, marker, markerfacecolor=face, **style)
    return set(map(str, states))


def legend(figure: Figure, states: set[str], colour: str = GREY) -> None:
    """What the line, the bands and the signs are, of those that are there, below all panels."""
    below(figure, marks_of(states, colour))


def marks_of(states: set[str], colour: str) -> list[Artist]:
    """What stands in a legend for the line, the bands and the signs of samples."""
    marks: list[Artist] = [
        Line2D([], [], color=colour, linewidth=1.1, label="median of the expected sample"),
        Patch(color=colour, alpha=WITHIN, linewidth=0, label="its 50 % interval"),
        Patch(color=colour, alpha=NEW, linewidth=0, label="90 % of new samples"),
    ]
    for state, (marker, face, text) in STATES.items():
        if state in states:
            style = {"markerfacecolor": face, "markeredgecolor": "#222222", "markersize": 4}
            marks.append(Line2D([], [], marker=marker, linestyle="", label=text, **style))
    return marks


def _range(of: xr.Dataset, shown: list[tuple[str, str]]) -> tuple[float, float]:
    """Axes that hold the samples on a page and nearly all that is predicted."""
    people = [subject for subject, _ in shown]
    sampled = of["value"].values[np.isin(of.sample_subject.values, people)]
    curves = of.isel(moment=np.isin(of.subject.values, people))
    high = max(float(sampled.max()), float(np.nanquantile(curves.sample_upper.values, 0.99)))
    low = min(float(sampled.min()), float(np.nanquantile(curves.sample_lower.values, 0.01)))
    return low - 0.04 * (high - low), high + 0.06 * (high - low)
