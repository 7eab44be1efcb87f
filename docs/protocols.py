"""Draw the pictures of protocols.md: python docs/protocols.py [name ...]

Each section of that page runs its own example, whose simulations are drawn beside what its protocol gives.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

import bayesglu as bg
from bayesglu.analytes import words
from bayesglu.plots.style import (
    GREY,
    PALE,
    SCENARIOS,
    below,
    colour_of,
    from_zero,
    panels,
    pretty_unit,
    sentence,
    styled,
    time_axis,
)
from bayesglu.protocols.events import Event
from bayesglu.protocols.faults import number
from bayesglu.protocols.parse import parse_protocol
from bayesglu.validation.readings import needs, read

HERE = Path(__file__).parent
PAGE = HERE / "protocols.md"

PRODUCTION = ("glycogenolysis", "gluconeogenesis")
FLUXES = ("endogenous_glucose_production", "hepatic_glucose_uptake", "tissue_uptake")
SHOWN: Mapping[str, Sequence[str | Sequence[str]]] = {
    "ogtt": ("glucose", "insulin", ("glucose_appearance", *FLUXES[:2])),
    "meal": ("glucose_appearance", "glucose", "insulin"),
    "meal_day": ("glucose", "insulin", "liver_glycogen"),
    "isoglycaemic": ("glucose", "insulin", "glucose_appearance + glucose_infusion"),
    "ivgtt": ("glucose", "insulin", FLUXES),
    "ivgtt_insulin": ("glucose", "insulin", "tissue_uptake"),
    "fast": (PRODUCTION, "liver_glycogen", "glucose"),
    "hyperglycaemic_clamp": ("glucose", "glucose_infusion", "insulin"),
    "euglycaemic_clamp": ("insulin", "glucose_infusion", (FLUXES[0], FLUXES[2])),
    "stepped_clamp": ("insulin_secretion", "glucagon", "endogenous_glucose_production"),
    "pancreatic_clamp": ("glucagon", "endogenous_glucose_production", "glucose"),
    "infusion": ("glucagon", PRODUCTION, "glucose"),
    "injection": ("glucagon", "glycogenolysis", "glucose"),
    "pump_stop": ("insulin", (FLUXES[0], FLUXES[2]), "glucose"),
}
"""What each picture shows: outputs, or readings of them, a panel each; several in one share it."""

CALLED = {
    "glucose_appearance": "from the gut",
    "endogenous_glucose_production": "from the liver",
    "hepatic_glucose_uptake": "into the liver",
    "tissue_uptake": "into tissues",
    "glucose_appearance + glucose_infusion": "glucose entering the blood",
}


@dataclass(frozen=True)
class Section:
    """One protocol of the page: its heading, the name of its picture, its example and its papers."""

    title: str
    picture: str
    code: str
    papers: tuple[str, ...]


def sections() -> list[Section]:
    """The sections of the page, in order."""
    found = []
    for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        (name,) = re.findall(r"!\[[^]]+\]\(figures/protocol_(\w+)\.png\)", part)
        (code,) = re.findall(r"^```python\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
        (follows,) = re.findall(r"^Follows: (.+)$", part, re.MULTILINE)
        found.append(Section(part.partition("\n")[0], name, code, tuple(re.findall(r"`(\w+)`", follows))))
    return found


def run(section: Section) -> dict[str, xr.Dataset]:
    """The simulations of a section's example, by the names that it gives them."""
    names: dict = {"bg": bg}
    exec(compile(section.code, PAGE.name, "exec"), names)
    return {name.replace("_", " "): value for name, value in names.items() if isinstance(value, xr.Dataset)}


@styled
def draw(runs: Mapping[str, xr.Dataset], shown: Sequence[str | Sequence[str]]) -> Figure:
    """What is given, and a panel for each of `shown`; several runs are laid over each other by colour."""
    figure, (given, *axes) = panels(1 + len(shown), 2, 2.65, 1.85)
    span = next(iter(runs.values()))["time"].values[[0, -1]]
    per = time_axis([given, *axes], *span)
    colours = dict(zip(runs, SCENARIOS, strict=False)) if len(runs) > 1 else dict.fromkeys(runs, "")
    _draw_given(given, runs, colours, per, span)
    for axis, each in zip(axes, shown, strict=True):
        _draw_panel(axis, runs, colours, (each,) if isinstance(each, str) else each, per)
    if len(runs) > 1:
        below(figure, [Line2D([], [], color=colour, label=name) for name, colour in colours.items()])
    return figure


def _draw_panel(
    axis: Axes, runs: Mapping, colours: Mapping[str, str], shown: Sequence[str], per: float
) -> None:
    for text in shown:
        for place, (name, result) in enumerate(runs.items()):
            values = read(text, result)
            colour = colours[name] or colour_of(text)
            width = 2.4 if place < len(runs) - 1 else 1.4  # so that one line does not hide another
            axis.plot(
                values["time"] / per, values, color=colour, lw=width, label=CALLED.get(text, words(text))
            )
    unit = next(iter(runs.values()))[needs(shown[0])[0]].attrs["units"]
    alone = CALLED.get(shown[0]) if " " in shown[0] else None
    axis.set_title(sentence(alone or words(shown[0])) if len(shown) == 1 else "Glucose fluxes")
    axis.set_ylabel(pretty_unit(unit))
    axis.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    from_zero(axis, shown[0])
    if len(shown) > 1:
        low, high = axis.get_ylim()
        axis.set_ylim(top=low + 1.3 * (high - low))
        axis.legend(loc="upper right", handlelength=1.2, ncols=1, labelspacing=0.2)


def _draw_given(
    axis: Axes, runs: Mapping[str, xr.Dataset], colours: Mapping[str, str], per: float, span: np.ndarray
) -> None:
    """A lane for each thing that is given: bars, triangles, wedges, and the target of a clamp as a line."""
    lanes = [
        (colours[name] or colour_of(lane[0].substance), lane, name if len(runs) > 1 else "")
        for name, result in runs.items()
        for lane in _lanes(parse_protocol(result.attrs["protocol"]).events)
    ]
    axis.set_title("Given")
    axis.set_ylim(-max(len(lanes), 2), 0.0)
    axis.set_yticks([])
    axis.grid(False)
    axis.spines["left"].set_visible(False)
    left = axis.get_xlim()[0]
    if not lanes:
        axis.text(left, -1, "nothing", color=GREY, fontsize=8)
    for place, (colour, events, name) in enumerate(lanes):
        told_name = f"{name}: " if name else ""
        axis.text(left, -place - 0.32, told_name + _told(events), color=colour, fontsize=8)
        axis.hlines(-place - 0.93, *span / per, color=PALE, linewidth=0.8, zorder=1)
        _draw_lane(axis, events, -place - 0.93, colour, per, span)


def _draw_lane(
    axis: Axes, events: Sequence[Event], base: float, colour: str, per: float, span: np.ndarray
) -> None:
    height, (start, end) = 0.5, span
    rates = [_size(event) for event in events]
    most = max(rates) or 1.0
    for event, rate in zip(events, rates, strict=True):
        time = np.clip([event.time, event.stop], start, end) / per
        if event.kind == "bolus":
            axis.plot(time[0], base + 0.13, marker="v", color=colour, markersize=6, clip_on=False)
        elif event.kind == "release":
            later = np.linspace(event.time, min(event.time + 5 / event.absorption_rate, end))
            left = np.exp(-event.absorption_rate * (later - event.time))
            axis.fill_between(later / per, base, base + height * left, color=colour, alpha=0.45, linewidth=0)
        elif event.kind == "clamp":
            targets = np.array([event.target, event.final_target or event.target])
            axis.plot(time, base + height * targets / most, color=colour)
        elif rate:
            axis.fill_between(time, base, base + height * rate / most, color=colour, alpha=0.45, linewidth=0)


def _size(event: Event) -> float:
    """What the height of an event is in proportion to."""
    if event.kind == "clamp":
        return max(event.target, event.final_target or 0)
    if event.kind == "release":
        return event.amount * event.absorption_rate
    return event.amount / event.duration if event.duration else event.amount


def _lanes(events: Sequence[Event]) -> list[list[Event]]:
    """Events that belong together: a pump and its depot, the steps of a clamp, meals; those of nothing go."""
    lanes: dict[tuple, list[Event]] = {}
    for event in events:
        what = event.kind if event.kind == "clamp" or event.route == "oral" else ""
        if event.amount or what == "clamp":
            lanes.setdefault((event.substance, what), []).append(event)
    pumped = {"release", "infusion"}
    return [
        part
        for lane in lanes.values()
        for part in ([lane] if lane[0].kind == "clamp" or {e.kind for e in lane} == pumped else _alike(lane))
    ]


def _alike(events: Sequence[Event]) -> list[list[Event]]:
    """Events in groups of one kind."""
    return [[e for e in events if e.kind == kind] for kind in dict.fromkeys(e.kind for e in events)]


def _told(events: Sequence[Event]) -> str:
    """A lane in words: what is given, and how."""
    first = events[0]
    if first.kind == "clamp":
        if first.final_target is not None:
            return "glucose led along the curve"
        levels = [number(event.target) for event in events]
        return f"glucose held at {', '.join(levels)} mg/dL"
    if first.kind == "infusion":
        unit = first.unit.replace("ug", "µg")
        amount, time = first.amount / first.duration, "min"
        if unit in ("U", "g"):
            amount, time = 60 * amount, "h"
        pump = " under the skin until 0" if events[-1].kind == "release" else ""
        return f"{first.substance} {amount:.3g} {unit}/{time}{pump}"
    amounts = ", ".join(dict.fromkeys(number(event.amount) for event in events))
    if first.emptying != 1:
        return f"{amounts} {first.unit} of carbohydrate eaten"
    return f"{amounts} {first.unit} of {first.route} {first.substance}"


def main(wanted: Sequence[str]) -> None:
    for section in sections():
        if not wanted or section.picture in wanted:
            path = HERE / "figures" / f"protocol_{section.picture}.png"
            draw(run(section), SHOWN[section.picture]).savefig(path, dpi=130)
            print(f"Drew {path.name}, {path.stat().st_size / 1000:.0f} kB.")


if __name__ == "__main__":
    main(sys.argv[1:])
