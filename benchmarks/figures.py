"""Figures of the kept results, for the README and the documentation."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from bayesglu.plots.style import BLUE, VERMILLION, below, picture, styled, title
from benchmarks.report import RESULTS, read

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
OTHERS = "#999999"


def main() -> None:
    """Draw what there are results for."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        if (RESULTS / f"{name}.json").exists():
            path = FOLDER / f"benchmark_{name}.png"
            draw(read(name)).savefig(path, dpi=150)
            print(path.relative_to(FOLDER.parents[1]))


@styled
def gradient(result: dict) -> Figure:
    """Time of a value and its gradient of the whole loop, a panel for each model and kind of tolerance, with
    bars equally thick."""
    panels: dict[str, list[dict]] = {}
    for row in result["rows"]:
        if row["model"].endswith("feedback"):
            panels.setdefault(_panel(row, result["tolerance"]), []).append(row)
    everything = [row["processor_median"] for own in panels.values() for row in own]
    counts = [len(own) for own in panels.values()]
    figure = picture(6.4, 0.22 * sum(counts) + 0.65 * len(panels) + 0.4)
    axes = figure.subplots(len(panels), 1, squeeze=False, height_ratios=counts, sharex=True).ravel()
    for axis, (name, own) in zip(axes, panels.items(), strict=True):
        own = sorted(own, key=lambda row: row["processor_median"])
        names = [row["name"] + ("" if "gradient_error" in row else " (value only)") for row in own]
        _bars(axis, names, [row["processor_median"] for row in own])
        axis.set_xlim(min(everything) / 3, max(everything) * 5)
        axis.set_title(name)
    axes[-1].set_xlabel("µs per person on one core (lower is better)")
    below(figure, _marks([row["name"] for row in result["rows"]]))
    title(figure, f"Value and gradient of {result['people']} oral tests")
    return figure


def _panel(row: dict, tolerance: float) -> str:
    if row["model"] == "feedback":
        return "feedback, as shipped"
    told = "the loosest tolerance of each" if row["loosest"] else f"tolerance {_power(tolerance)}"
    return f"{row['model']}, {told}"


def _power(number: float) -> str:
    return f"$10^{{{round(np.log10(number))}}}$"


@styled
def scaling(result: dict) -> Figure:
    """Time of a gradient against the number of people, with lines of slope 1."""
    figure = picture(4.6, 3.0)
    axis = figure.subplots()
    lines = []
    for kind, colour in (("adaptive", VERMILLION), ("frozen", BLUE)):
        own = [row for row in result["rows"] if row["steps"] == kind]
        people = np.array([row["people"] for row in own])
        times = np.array([row["processor_median"] for row in own])
        lines += axis.loglog(people, times, "o-", color=colour, markersize=4, label=f"{kind} steps")
        along = times[-1] * people / people[-1]
        (line,) = axis.loglog(people, along, "--", color=OTHERS, zorder=0, label="proportional to people")
    axis.set(xlabel="people", ylabel="ms of one core for one gradient")
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        each.set_minor_locator(NullLocator())
    below(figure, [*lines, line])
    title(figure, f"One gradient of a study, {result['model']}")
    return figure


@styled
def sampling(result: dict) -> Figure:
    """Effective draws of the worst parameter in a second of one core."""
    rows = sorted(result["rows"], key=lambda row: -row["smallest_a_processor_second"])
    figure = picture(6.4, 0.22 * len(rows) + 1.0)
    axis = figure.subplots()
    _bars(axis, [row["name"] for row in rows], [row["smallest_a_processor_second"] for row in rows])
    axis.set_xlabel("smallest ESS per second of one core, with warm-up (higher is better)")
    below(figure, _marks([row["name"] for row in rows]))
    title(figure, f"Sampling of {result['people']} people, model {result['model']}")
    return figure


FIGURES = {"gradient": gradient, "scaling": scaling, "sampling": sampling}


def _colour(name: str) -> str:
    return VERMILLION if name.startswith("limit") else BLUE if name.startswith("bayesglu") else OTHERS


def _marks(names: list[str]) -> list[Patch]:
    """What the colours of bars are, of those that are there."""
    there = {_colour(name) for name in names}
    told = {BLUE: "bayesglu", VERMILLION: "the same in C, as a limit", OTHERS: "others"}
    return [Patch(color=colour, label=text) for colour, text in told.items() if colour in there]


def _bars(axis: Axes, names: list[str], values: list[float]) -> None:
    """Horizontal bars on a logarithmic axis, with their values beside them."""
    places = np.arange(len(names))[::-1]
    axis.barh(places, values, color=[_colour(name) for name in names], height=0.7)
    axis.set(xscale="log", xlim=(min(values) / 3, max(values) * 4), yticks=places, yticklabels=names)
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.grid(axis="y", visible=False)
    for place, value in zip(places, values, strict=True):
        digits = max(0, 1 - int(np.floor(np.log10(value))))
        told = f"{value:,.{digits}f}" if value < 1000 else f"{float(f'{value:.3g}'):,.0f}"
        axis.text(value * 1.1, place, told, va="center", fontsize=8)
