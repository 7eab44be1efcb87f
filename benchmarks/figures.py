"""Figures of the kept results, for the README and the documentation."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmarks.report import RESULTS, read

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
OURS, OTHERS, LIMIT = "#0072B2", "#999999", "#D55E00"


def main() -> None:
    """Draw what there are results for."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, draw in FIGURES.items():
        if (RESULTS / f"{name}.json").exists():
            path = FOLDER / f"benchmark_{name}.png"
            draw(read(name)).savefig(path, dpi=150, bbox_inches="tight")
            print(path.relative_to(FOLDER.parents[1]))


def gradient(result: dict) -> Figure:
    """Time of a value and its gradient, a panel for each model, with how exact each is."""
    models = list(dict.fromkeys(row["model"] for row in result["rows"]))
    rows = [[row for row in result["rows"] if row["model"] == model] for model in models]
    tallest = max(map(len, rows))
    everything = [row["processor_median"] for row in result["rows"]]
    figure = Figure(figsize=(5.2 * len(models), 0.9 + 0.42 * tallest), layout="constrained")
    for axis, model, own in zip(figure.subplots(1, len(models), squeeze=False)[0], models, rows, strict=True):
        own = sorted(own, key=lambda row: row["processor_median"])
        without = " (value only)"
        names = [row["name"] + ("" if "gradient_error" in row else without) for row in own]
        _bars(axis, names, [row["processor_median"] for row in own])
        axis.set_xlim(min(everything) / 3, max(everything) * 5)
        axis.set(title=model, xlabel="µs a person, one core (lower is better)")
    figure.suptitle(f"Value and gradient of {result['people']} oral tests, tolerance {result['tolerance']:g}")
    return figure


def scaling(result: dict) -> Figure:
    """Time of a gradient against the number of people, with a line of slope 1."""
    figure = Figure(figsize=(4.6, 3.4), layout="constrained")
    axis = figure.subplots()
    people = np.array([int(row["name"]) for row in result["rows"]])
    times = np.array([row["processor_median"] for row in result["rows"]])
    axis.loglog(people, times, "o-", color=OURS, label=f"bayesglu, {result['model']}")
    axis.loglog(people, times[-1] * people / people[-1], "--", color=OTHERS, label="proportional")
    axis.set(xlabel="people", ylabel="ms for one gradient", title="One gradient of a study")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    return figure


def sampling(result: dict) -> Figure:
    """Effective draws of the worst parameter in a second of one core."""
    figure = Figure(figsize=(5.6, 2.0), layout="constrained")
    axis = figure.subplots()
    rows = sorted(result["rows"], key=lambda row: -row["smallest_a_processor_second"])
    _bars(axis, [row["name"] for row in rows], [row["smallest_a_processor_second"] for row in rows])
    axis.set(xlabel="smallest ESS in a second of one core, warm-up included (higher is better)")
    axis.set_title(f"{result['people']} people, {result['model']}")
    return figure


FIGURES = {"gradient": gradient, "scaling": scaling, "sampling": sampling}


def _bars(axis, names: list[str], values: list[float]) -> None:
    """Horizontal bars on a logarithmic axis, with their values beside them; ours stand out."""
    colours = [
        LIMIT if name.startswith("limit") else OURS if name.startswith("bayesglu") else OTHERS
        for name in names
    ]
    places = np.arange(len(names))[::-1]
    axis.barh(places, values, color=colours, height=0.7)
    axis.set(xscale="log", xlim=(min(values) / 3, max(values) * 4), yticks=places, yticklabels=names)
    axis.xaxis.set_minor_formatter(NullFormatter())
    for place, value in zip(places, values, strict=True):
        digits = max(0, 1 - int(np.floor(np.log10(value))))
        told = f"{value:,.{digits}f}" if value < 1000 else f"{float(f'{value:.3g}'):,.0f}"
        axis.text(value * 1.1, place, told, va="center", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
