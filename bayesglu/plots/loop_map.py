"""The loop as a map: organs, the glucose that flows between them at one moment, and what steers it."""

from __future__ import annotations

from collections.abc import Mapping

import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrow, FancyBboxPatch, Patch, Rectangle

from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.plots.style import (
    BLACK,
    GREY,
    PALE,
    below,
    colour_of,
    panels,
    pretty_unit,
    sentence,
    styled,
    title,
)
from bayesglu.plots.time_courses import means_told, runs_of

LIVER, GUT, BLOOD = (0.1, 3.2, 2.5, 3.2), (0.1, 0.6, 2.5, 1.5), (4.3, 0.6, 1.6, 5.8)
BOXES = {
    "pancreas": (3.1, 7.6, 4.0, 1.1),
    "liver": LIVER,
    "gut": GUT,
    "": BLOOD,
    "muscle, fat": (7.6, 4.9, 2.5, 1.5),
    "brain": (7.6, 2.75, 2.5, 1.5),
    "kidney": (7.6, 0.6, 2.5, 1.5),
}
"""Left, bottom, width and height of each organ; the one without a name is the blood."""

# What flows (outputs added up, those after a minus taken away), its colour, and where it begins and ends.
FLOWS = (
    ("glycogenolysis", "glycogenolysis", (2.6, 5.85), (4.3, 5.85)),
    ("gluconeogenesis - indirect_storage", "gluconeogenesis", (2.6, 4.85), (4.3, 4.85)),
    ("hepatic_glucose_uptake", "hepatic_glucose_uptake", (4.3, 3.75), (2.6, 3.75)),
    ("glucose_appearance", "glucose_appearance", (2.6, 1.35), (4.3, 1.35)),
    ("insulin_independent_uptake + insulin_dependent_uptake", "tissue_uptake", (5.9, 5.65), (7.6, 5.65)),
    ("brain_glucose_uptake", "tissue_uptake", (5.9, 3.5), (7.6, 3.5)),
    ("renal_glucose_excretion", "tissue_uptake", (5.9, 1.35), (7.6, 1.35)),
)
HORMONES = (
    ("glucagon", (3.5, 7.6), (0.9, 6.5), 0.15),
    ("insulin", (4.4, 7.6), (2.1, 6.5), 0.0),
    ("insulin", (6.4, 7.6), (8.8, 6.5), -0.15),
)
WIDTH = 0.1
"""Width of an arrow, in the map's own lengths, for 1 mg/kg/min."""
KEY = {
    "out of glycogen": "glycogenolysis",
    "newly made": "gluconeogenesis",
    "into the liver": "hepatic_glucose_uptake",
    "from the gut": "glucose_appearance",
    "taken up or lost": "tissue_uptake",
}
"""What stands in the legend for flows of glucose, and whose colour it has."""
NOTE = (
    "Arrows: glucose in mg/kg/min, as wide as it flows. Lines: hormones, as thick as their concentration "
    "against the first map"
)
SEEN = 0.05
"""mg/kg/min from which a flow has an arrow."""


@styled
def organs(moments: xr.Dataset | Mapping[str, xr.Dataset]) -> Figure:
    """The organs at one moment or several, or in several scenarios: arrows as wide as the glucose that flows.

    In the liver stand its glycogen, as a level, and apart from each other the glucose that it makes of it
    (upper arrow) and makes anew (lower arrow). The lines of the hormones are as thick as their concentration
    against that of the first map. Where there are draws or people, numbers are their means, which add up as
    medians do not.

    Parameters
    ----------
    moments : xarray.Dataset or mapping
        Name to all outputs of a simulation at one time, ``simulate(...).sel(time=45)``; or what `what_if`
        returned at one time, with dim ``scenario`` and perhaps ``chain, draw, subject``.

    Returns
    -------
    matplotlib.figure.Figure
        A map for each moment or scenario, flows in mg/kg/min.

    Raises
    ------
    InputError
        If there is no moment, or outputs are missing or not of one moment.

    Examples
    --------
    >>> import bayesglu as bg
    >>> test = bg.simulate("feedback", bg.ogtt(75))
    >>> figure = bg.plots.organs({"before": test.sel(time=0), "after 45 min": test.sel(time=45)})
    >>> len(figure.axes)
    2
    """
    given = runs_of(moments)
    averaged = means_told(next(iter(given.values()))) if given else ""
    moments = {name: _one_moment(name, moment) for name, moment in given.items()}
    if not moments:
        raise InputError("There is no moment to draw.")
    first = next(iter(moments.values()))
    most = max(float(moment["liver_glycogen"]) for moment in moments.values())
    columns = len(moments) if len(moments) < 4 else 2
    figure, axes = panels(len(moments), columns, 3.5, 3.15)
    for axis, (name, moment) in zip(axes, moments.items(), strict=True):
        axis.set_title(sentence(name))
        axis.set(xlim=(0, 10.2), ylim=(0.4, 8.9), aspect="equal")
        axis.set_axis_off()
        _draw_organs(axis, moment, most)
        _draw_flows(axis, moment)
        _draw_hormones(axis, moment, first)
    below(figure, [Patch(color=colour_of(flow), linewidth=0, label=text) for text, flow in KEY.items()])
    title(figure, f"{NOTE}{averaged}.")
    return figure


def _one_moment(name: str, moment: xr.Dataset) -> xr.Dataset:
    wanted = {word for text, *_ in FLOWS for word in text.replace("+", " ").replace("-", " ").split()}
    wanted |= {"glucose", "insulin", "glucagon", "liver_glycogen"}
    if missing := sorted(wanted - set(map(str, moment.data_vars))):
        raise InputError(f"{name}: the map needs the outputs {', '.join(missing)} as well.")
    if "time" in moment["glucose"].dims:
        raise InputError(f"{name} has time; choose one moment, such as .sel(time=45).")
    return moment[sorted(wanted)].mean(keep_attrs=True)


def _draw_organs(axis: Axes, moment: xr.Dataset, most: float) -> None:
    left, bottom, width, height = LIVER
    level = 0.75 * height * float(moment["liver_glycogen"]) / most
    axis.add_patch(
        Rectangle((left, bottom), width, level, color=colour_of("glycogen"), alpha=0.3, linewidth=0)
    )
    for name, (left, bottom, width, height) in BOXES.items():
        axis.add_patch(
            FancyBboxPatch(
                (left, bottom),
                width,
                height,
                boxstyle="round,pad=0,rounding_size=0.15",
                facecolor=PALE if not name else "none",
                edgecolor=GREY,
                linewidth=0.8,
            )
        )
        place = bottom + height - 0.4 if name == "liver" else bottom + height / 2
        axis.text(left + width / 2, place, name, ha="center", va="center", fontsize=8.5)
    glucose = moment["glucose"]
    told_glucose = f"blood\nglucose\n{float(glucose):.0f}\n{glucose.attrs['units']}"
    axis.text(5.1, 3.5, told_glucose, ha="center", va="center", fontsize=8, color=colour_of("glucose"))
    glycogen = moment["liver_glycogen"]
    told_glycogen = f"glycogen\n{float(glycogen):.0f} {glycogen.attrs['units']}"
    axis.text(1.35, 4.7, told_glycogen, ha="center", va="center", fontsize=8, color=BLACK)


def _draw_flows(axis: Axes, moment: xr.Dataset) -> None:
    for text, shown, (start, height), (end, _) in FLOWS:
        flow, sign = 0.0, 1.0
        for word in text.split():
            sign = {"+": 1.0, "-": -1.0}.get(word, sign)
            flow += sign * float(moment[word]) if word in moment else 0.0
        if flow < SEEN:
            continue
        width = WIDTH * flow
        head = {"head_width": width + 0.35, "head_length": 0.45}
        axis.add_patch(
            FancyArrow(
                start,
                height,
                end - start,
                0,
                width=width,
                length_includes_head=True,
                color=colour_of(shown),
                linewidth=0,
                **head,
            )
        )
        above = height + max(width / 2, head["head_width"] / 2 - 0.1) + 0.08
        axis.text((start + end) / 2, above, f"{flow:.1f}", ha="center", va="bottom", fontsize=8)


def _draw_hormones(axis: Axes, moment: xr.Dataset, first: xr.Dataset) -> None:
    for name, start, end, bend in HORMONES:
        share = float(moment[name]) / float(first[name])
        if share > 0.02:
            style = {"arrowstyle": "-|>", "color": colour_of(name), "connectionstyle": f"arc3,rad={bend}"}
            style |= {"linewidth": min(0.4 + 0.8 * share, 5.0), "linestyle": "-", "shrinkA": 0, "shrinkB": 0}
            axis.annotate("", end, start, arrowprops=style)
    for name, x, side in (("glucagon", 0.1, "left"), ("insulin", 10.1, "right")):
        level = moment[name]
        text = f"{words(name)}\n{float(level):.0f} {pretty_unit(level.attrs['units'])}"
        axis.text(x, 8.15, text, ha=side, va="center", fontsize=8, color=colour_of(name))
