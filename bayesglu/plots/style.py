"""How every figure looks: colours, type, axes with units, bands, time."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from io import BytesIO
from itertools import cycle, islice, product
from textwrap import wrap

import matplotlib.style
import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MultipleLocator, NullFormatter, NullLocator

from bayesglu.analytes import analytes, words
from bayesglu.errors import InputError

# Okabe and Ito 2008, "Color universal design"; yellow is left out because it vanishes on white.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, ORANGE, BLACK, GREY, PALE = "#56B4E9", "#E69F00", "#000000", "#5A5A5A", "#E3E3E3"
BROWN = "#7F4A21"

PALETTE = {"blue": BLUE, "vermillion": VERMILLION, "green": GREEN, "purple": PURPLE, "sky": SKY}
PALETTE |= {"orange": ORANGE, "black": BLACK}

COLOUR_OF_FLOW = {
    "glycogen": ORANGE,
    "hepatic_glucose_uptake": SKY,
    "glucose_appearance": BLUE,
    "glucose_infusion": BLUE,
    "insulin_secretion": VERMILLION,
    "tissue_uptake": PURPLE,
}
"""Colours of what is no analyte; analytes have theirs in `bayesglu.analytes`."""

PEOPLE = (BLUE, VERMILLION, GREEN, PURPLE, SKY, ORANGE, GREY)
SCENARIOS = (GREY, VERMILLION, BLUE, GREEN, PURPLE, ORANGE, SKY, BROWN)
STROKES = ("-", "--", ":", "-.")

GREEK = ("alpha", "beta", "gamma", "theta", "kappa", "tau", "phi", "Phi", "sigma", "omega")

MOST_PEOPLE = 12
"""So many people have a panel or a line of their own; more are shown as quantiles."""

LARGEST_DRAWING = 500_000
"""Bytes of a drawing from which a picture of it is smaller."""

WIDEST = 10.4
"""Inches of a figure, whose smallest type, of 7.8 points, is still 5 points high in print, 170 mm wide."""

HOURS_FROM = 600.0
"""Minutes from which a time axis is in hours."""

_SETTINGS = {
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
}
# Matplotlib makes ticks when it draws, with the settings of that moment: so each axis is told what to use.
_TICKS = {
    "color": "#999999",
    "labelcolor": "#333333",
    "labelsize": 8,
    "length": 3.0,
    "width": 0.7,
    "grid_color": "#EDEDED",
    "grid_linewidth": 0.7,
}


class Picture(Figure):
    """A figure that pyplot does not know: nothing has to be closed, and a notebook shows it once."""

    def _repr_png_(self) -> bytes:
        buffer = BytesIO()
        self.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Draw with the settings of this module, whatever the reader's own are."""

    @wraps(draw)
    def drawn(*args, **kwargs):
        with matplotlib.style.context(["default", _SETTINGS]):
            figure = draw(*args, **kwargs)
            for axis in figure.axes:
                axis.tick_params(which="both", **_TICKS)
            return figure

    return drawn


def picture(width: float, height: float) -> Picture:
    """An empty figure, in inches."""
    figure = Picture(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def panels(count: int, columns: int, width: float, height: float, **shared) -> tuple[Picture, list[Axes]]:
    """A figure of ``count`` panels of this size, narrower where it would be too wide for print, in rows of at
    most ``columns``; and its axes row by row."""
    columns = max(1, min(columns, count))
    width = min(width, WIDEST / columns)
    rows = -(-count // columns)
    figure = picture(columns * width, rows * height + 0.25)
    axes = figure.subplots(rows, columns, squeeze=False, **shared).ravel()
    for unused in axes[count:]:
        unused.remove()
    return figure, list(axes[:count])


def page_of[T](every: Sequence[T], page: int, size: int) -> tuple[list[T], str]:
    """What stands on a page of so many, from 1, and what a heading says of pages where there are several."""
    pages = max(1, -(-len(every) // size))
    if isinstance(page, bool) or not isinstance(page, int) or not 1 <= page <= pages:
        raise InputError(f"page is {page!r}; there are pages 1 to {pages}.")
    return list(every[size * (page - 1) : size * page]), f", page {page} of {pages}" if pages > 1 else ""


def title(figure: Figure, text: str, note: str = "") -> None:
    """A heading at the left, and a note under it, in lines that the figure is wide enough for."""
    lines = [line for part in (text, note) for line in wrap(part, int(14 * figure.get_figwidth()))]
    if lines:
        figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=9.5, color="#222222")


def below(figure: Figure, marks: Sequence[Artist]) -> None:
    """A legend below all panels, in as many columns as the figure is wide enough for; it is made higher."""
    if not marks:
        return
    letters = [len(str(mark.get_label())) + 7 for mark in marks]

    def width(columns: int) -> int:
        rows = -(-len(marks) // columns)
        return sum(max(letters[i : i + rows]) for i in range(0, len(marks), rows))

    wide = 14.5 * figure.get_figwidth()
    columns = max([c for c in range(1, len(marks) + 1) if width(c) <= wide], default=1)
    rows = -(-len(marks) // columns)
    figure.set_figheight(figure.get_figheight() + 0.17 * rows)
    figure.legend(
        handles=list(marks), loc="outside lower left", ncols=-(-len(marks) // rows), handlelength=1.4
    )


def data_uri(figure: Figure) -> str:
    """A figure as text that a page holds, the same whenever made: a drawing whose letters are letters, or of
    very many marks a picture."""
    buffer, kind = BytesIO(), "svg+xml"
    with matplotlib.style.context({"svg.fonttype": "none", "svg.hashsalt": "bayesglu"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    if buffer.tell() > LARGEST_DRAWING:
        buffer, kind = BytesIO(), "png"
        figure.savefig(buffer, format="png", dpi=130)
    return f"data:image/{kind};base64,{b64encode(buffer.getvalue()).decode()}"


def colours_of_people(people: Sequence[str]) -> dict[str, str]:
    """A colour for each of a few people; none where there are more people than colours."""
    return dict(zip(people, PEOPLE, strict=False)) if len(people) <= len(PEOPLE) else {}


def looks(count: int) -> list[dict[str, str]]:
    """Colour and stroke of the lines of so many scenarios: no two are alike."""
    each = product(STROKES, SCENARIOS)
    return [{"color": colour, "linestyle": stroke} for stroke, colour in islice(cycle(each), count)]


def colour_of(name: str, otherwise: str = GREY) -> str:
    """Colour of an output where nothing else, such as people or scenarios, is told by colour."""
    analyte = analytes().get(name)
    colour = analyte.colour if analyte and analyte.colour else COLOUR_OF_FLOW.get(name, otherwise)
    return PALETTE.get(colour, colour)


def name_panel(axis: Axes, name: str, unit: str) -> None:
    """Write what a panel shows above it, and its unit beside the axis."""
    axis.set_title(sentence(words(name)))
    axis.set_ylabel(pretty_unit(unit) or "fraction")


def sentence(text: str) -> str:
    """The text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def symbol(text: str) -> str:
    """A symbol of a model file as mathematics: ``HE_b`` upright with its index, ``gamma`` as a letter."""
    head, _, index = text.partition("_")
    if head in GREEK:
        head = rf"\{head}"
    elif len(head) > 1:
        head = rf"\mathrm{{{head}}}"
    return rf"${head}_{{\mathrm{{{index}}}}}$" if index else f"${head}$" if head else ""


def samples(values: xr.DataArray, along: str) -> np.ndarray:
    """Draws as ``(draw, along)``: one row where there are none."""
    sampled = [dim for dim in ("chain", "draw") if dim in values.dims]
    other = set(values.dims) - {along, *sampled}
    if other:
        raise InputError(f"{values.name} has the dimension {', '.join(map(str, other))}, which is not drawn.")
    return values.transpose(*sampled, along).values.reshape(-1, values.sizes[along])


def band(
    axis: Axes,
    x: np.ndarray,
    draws: np.ndarray,
    colour: str,
    probability: float = 0.9,
    alpha: float = 0.22,
    **line,
) -> None:
    """Median of ``draws`` ``(draw, x)`` as a line in a band of this probability; for one draw, the line."""
    axis.plot(x, np.median(draws, axis=0), color=colour, **line)
    if len(draws) > 1:
        shade(axis, x, draws, colour, probability, alpha)


def shade(
    axis: Axes, x: np.ndarray, draws: np.ndarray, colour: str, probability: float, alpha: float
) -> None:
    """An equal-tailed band; an upright bar where there is a single time."""
    tail = (1 - probability) / 2
    low, high = np.quantile(draws, [tail, 1 - tail], axis=0)
    if len(x) == 1:
        axis.vlines(x, low, high, color=colour, alpha=alpha, linewidth=6)
    else:
        axis.fill_between(x, low, high, color=colour, alpha=alpha, linewidth=0)


def time_axis(axes: Iterable[Axes], start: float, end: float) -> float:
    """Set up axes of time, named on the lowest of each column; what minutes must be divided by for them."""
    long = end - start >= HOURS_FROM
    per, unit, steps = (60.0, "h", (2, 3, 6, 12, 24, 48)) if long else (1.0, "min", (10, 20, 30, 60, 120))
    step = next((s for s in steps if (end - start) / per / s <= 6), steps[-1])
    axes = list(axes)
    spans = [(axis.get_subplotspec(), axis) for axis in axes]
    lowest = {spec.colspan.start: axis for spec, axis in spans if spec is not None}.values()
    for axis in axes:
        axis.xaxis.set_major_locator(MultipleLocator(step))
        margin = 0.02 * (end - start) / per
        axis.set_xlim(start / per - margin, end / per + margin)
        if axis in lowest:
            axis.set_xlabel(f"time ({unit})")
    return per


def scaled(values: np.ndarray, unit: str) -> tuple[float, str]:
    """What to divide by so that very small or large numbers read well, and the unit to print for it."""
    size = np.nanmedian(np.abs(values))
    power = int(np.floor(np.log10(size))) if size > 0 else 0
    if -3 < power < 4:
        return 1.0, pretty_unit(unit)
    return 10.0**power, rf"$10^{{{power}}}$ {pretty_unit(unit)}".strip()


def log_axis(axis: XAxis | YAxis, low: float, high: float) -> None:
    """Make an x or y axis logarithmic from ``low`` to ``high``, with a few plain numbers on it."""
    if axis.axis_name == "x":
        axis.axes.set(xscale="log", xlim=(low, high))
    else:
        axis.axes.set(yscale="log", ylim=(low, high))
    decades = np.log10(high / low)
    if decades < 0.7:
        axis.set_major_locator(MultipleLocator(_round_step(high - low)))
    else:
        marked = {1.1: (1, 2, 3, 5), 1.6: (1, 2, 5), 2.5: (1, 3), np.inf: (1,)}
        axis.set_major_locator(LogLocator(subs=next(subs for most, subs in marked.items() if decades < most)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def from_zero(axis: Axes, name: str) -> None:
    """Let an axis of an output begin at zero: all but glucose and the like, which never come near it."""
    low, _ = axis.get_ylim()
    if name not in analytes() or analytes()[name].from_zero:
        axis.set_ylim(bottom=min(0.0, low))


def pretty_unit(unit: str) -> str:
    """A unit as it is printed: ``1/min`` as /min, a product with a dot, 1 as nothing."""
    return ("" if unit == "1" else unit.removeprefix("1")).replace("*", "·")


def _round_step(span: float) -> float:
    """A step of 1, 2 or 5 times a power of ten that divides a span into about four."""
    power = 10.0 ** np.floor(np.log10(span / 4))
    return float(min((1, 2, 5, 10), key=lambda s: abs(s * power - span / 4)) * power)
