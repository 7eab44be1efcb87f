"""Tables of predictions, comparisons and effects as pictures: a forest, and curves over a covariate."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesglu.analysis.quantities import quantity_words
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.plots.style import (
    BLUE,
    GREY,
    SCENARIOS,
    SKY,
    below,
    log_axis,
    name_panel,
    page_of,
    panels,
    pretty_unit,
    sentence,
    styled,
    title,
)
from bayesglu.plots.time_courses import day_told
from bayesglu.units import canonical_unit, has_unit

NEW = "a new person"
MOST_ROWS = 40
"""So many rows of a forest stand on a page."""

ABOUT = ("variable", "contrast", "scenario", "subject")
NUMBERS = ("median", "lower", "upper")


@styled
def forest(table: pd.DataFrame, page: int = 1) -> Figure:
    """Medians and intervals of a table, a row each, and a panel for each quantity.

    Parameters
    ----------
    table : pandas.DataFrame
        As `predictions`, `comparisons`, `slopes` and `effects` return it.
    page : int
        Which forty rows, from 1.

    Returns
    -------
    matplotlib.figure.Figure
        Intervals of the mean dark, of a new person pale; a line where nothing differs. Ratios are on a
        logarithmic axis.

    Raises
    ------
    InputError
        If this is no such table, or there is no such page.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> doses = {"usual": "ivgtt(0.3)", "half": "ivgtt(0.15)"}
    >>> figure = bg.plots.forest(bg.predictions(fit, "glucose_at_30", doses, draws=20, body_weight=70))
    >>> figure.axes[0].get_xlabel()
    'mg/dL'
    """
    _check(table)
    factors = "words" in table
    about, labels = _heading(table), _labels(table)
    rows, of_pages = page_of(list(labels.unique()), page, MOST_ROWS)
    table = table.assign(label=labels)[labels.isin(rows)]
    groups = [("", table)] if factors else list(table.groupby("quantity", sort=False))
    figure, axes = panels(len(groups), 2, 6.4 if len(groups) == 1 else 4.4, 0.8 + 0.23 * len(rows))
    for axis, (quantity, own) in zip(axes, groups, strict=True):
        _draw_forest(axis, own, factors)
        name = "factor of the typical value" if factors else quantity_words(str(quantity))
        axis.set_title(sentence(name))
    handles, labels = axes[0].get_legend_handles_labels()
    below(figure, handles if len(labels) > 1 else [])
    title(figure, f"{about}{of_pages}")
    return figure


def _draw_forest(axis: Axes, table: pd.DataFrame, factors: bool) -> None:
    """The rows of one quantity."""
    labels = table["label"]
    places = {label: -i for i, label in enumerate(labels.unique())}
    y = labels.map(places).to_numpy(float)
    new = table["interval"].eq(NEW).to_numpy() if "interval" in table else np.zeros(len(table), bool)
    both = new.any() and not new.all()
    for own, colour, lower, label in ((~new, BLUE, 0.0, "of the mean"), (new, SKY, 0.28, "of a new person")):
        if own.any():
            at, rows = y[own] - (lower if both else 0.0), table[own]
            name = label if both else ""
            axis.hlines(at, rows["lower"], rows["upper"], color=colour, linewidth=2.2, label=name)
            axis.plot(rows["median"], at, "o", color=colour, markersize=4)
    ratio = "compare" in table and table["compare"].eq("ratio").all()
    if "above" in table:
        axis.axvline(float(table["above"].iloc[0]), color=GREY, linewidth=0.8, zorder=1)
    if ratio and (table["lower"] > 0).all():
        low, high = min(float(table["lower"].min()), 1.0), max(float(table["upper"].max()), 1.0)
        log_axis(axis.xaxis, low / 1.1, high * 1.1)
    axis.set_yticks(list(places.values()), list(places))
    axis.set_ylim(-len(places) + 0.4, 0.6)
    axis.grid(axis="y", visible=False)
    unit = pretty_unit(str(table["unit"].iloc[0]))
    axis.set_xlabel("factor" if factors else "ratio" if ratio else unit or "number")


@styled
def conditional(table: pd.DataFrame, over: str | None = None) -> Figure:
    """Predictions over a covariate or parameter: a curve with its band, a panel for each quantity.

    Parameters
    ----------
    table : pandas.DataFrame
        As `predictions` returns it for `variables` of which one takes numbers.
    over : str, optional
        Which one that is; by default the first that takes numbers.

    Returns
    -------
    matplotlib.figure.Figure
        A line and band for each level of what else varies; the band of the mean dark, that of a new person
        pale.

    Raises
    ------
    InputError
        If this is no such table, or nothing in it takes numbers.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> found = {"basal_insulin": [40, 60, 80]}
    >>> table = bg.predictions(fit, "glucose_at_60", variables=found, draws=20, body_weight=70)
    >>> bg.plots.conditional(table).axes[0].get_xlabel()
    'basal insulin'
    """
    _check(table)
    numeric = [c for c in _varying(table) if table[c].dtype.kind in "if"]
    if not numeric:
        raise InputError(
            "Nothing in this table takes two numbers or more, so that there is no curve to draw."
        )
    over = over or numeric[0]
    if over not in numeric:
        known = ", ".join(numeric)
        raise InputError(f"There is no column of numbers {over!r} to draw over. There are: {known}.")
    others = [c for c in _varying(table) if c != over]
    groups = list(table.groupby("quantity", sort=False))
    figure, axes = panels(len(groups), 3, max(3.2, 5.0 / len(groups)), 2.5)
    for axis, (quantity, own) in zip(axes, groups, strict=True):
        lines = list(own.groupby(others, sort=False)) if others else [((), own)]
        for (key, line), colour in zip(lines, cycle((BLUE, *SCENARIOS[1:2], *SCENARIOS[3:])), strict=False):
            name = ", ".join(map(str, key))
            kinds = line["interval"].eq(NEW)
            for rows, alpha, width in ((line[kinds], 0.10, 0.0), (line[~kinds], 0.26, 1.4)):
                x = rows[over].to_numpy(float)
                axis.fill_between(x, rows["lower"], rows["upper"], color=colour, alpha=alpha, linewidth=0)
                if width or kinds.all():
                    axis.plot(x, rows["median"], color=colour, label=name or None)
        name_panel(axis, quantity_words(str(quantity)), str(own["unit"].iloc[0]))
        unit = f" ({pretty_unit(canonical_unit(over))})" if has_unit(over) else ""
        axis.set_xlabel(f"{'BMI' if over == 'bmi' else words(over)}{unit}")
    handles, labels = axes[0].get_legend_handles_labels()
    below(figure, handles if len(labels) > 1 else [])
    new = table["interval"].eq(NEW)
    both = new.any() and not new.all()
    title(figure, _heading(table), "Dark: interval of the mean; pale: of a new person." if both else "")
    return figure


def _check(table: pd.DataFrame) -> None:
    if not isinstance(table, pd.DataFrame) or not {"quantity", "unit", *NUMBERS} <= set(table):
        raise InputError("A table of predictions, comparisons, slopes or effects is needed.")
    if table.empty:
        raise InputError("The table has no rows to draw.")


def _varying(table: pd.DataFrame) -> list[str]:
    """Columns that say what a row is of, as far as rows differ in them."""
    columns = list(table.columns[: list(table.columns).index("quantity")])
    columns += [c for c in table.columns[list(table.columns).index("unit") + 1 :] if c not in _said(table)]
    return [c for c in columns if table[c].nunique() > 1]


def _said(table: pd.DataFrame) -> Sequence[str]:
    """Columns that are no labels of rows: all from the interval on."""
    columns = list(table.columns)
    begin = columns.index("interval") if "interval" in columns else columns.index("median")
    return [*columns[begin:], "words"]


def _labels(table: pd.DataFrame) -> pd.Series:
    """A label for each row, of what tells it from the others."""
    if "words" in table:
        return table["words"].map(lambda text: text.rpartition(" x ")[0])
    columns = [c for c in _varying(table) if c != "variable"]
    if not columns:
        columns = [c for c in ABOUT if c in table][1:2] or ["interval"]
    labels = table[columns].astype(str).agg(", ".join, axis=1)
    return labels.map(lambda text: text.replace("_", " "))


def _heading(table: pd.DataFrame) -> str:
    """Of whom and of which day the table speaks, what is done, and which intervals there are."""
    share = f"{100 * float(table['probability'].iloc[0]):g} % equal-tailed intervals"
    kinds = list(dict.fromkeys(table["interval"])) if "interval" in table else []
    share += f": {' and '.join(kinds)}" if 0 < len(kinds) < 3 else ""
    parts = [table.attrs.get("subjects", ""), table.attrs.get("protocol", ""), day_told(table.attrs), share]
    return sentence(", ".join(part for part in parts if part))
