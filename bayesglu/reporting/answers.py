"""The parts of a report on what was given beside the fit: a comparison of models, and what-ifs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.model_comparison import Comparison
from bayesglu.analysis.quantities import in_units
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.plots.comparison import comparison as draw_comparison
from bayesglu.plots.effects import forest
from bayesglu.plots.scenarios import contrast
from bayesglu.plots.style import sentence
from bayesglu.reporting import tables
from bayesglu.reporting.blocks import Folded, Heading, Part, Picture, Sentences, Table, Text
from bayesglu.reporting.subject import Reported

ALLOWED = "what what_if(...) returned, or a table of predictions, comparisons or slopes"


def check_given(comparison: Any, what_ifs: Any) -> None:
    """Raise InputError with all that is given beside the fit and cannot be shown."""
    faults, table = [], "it must be what compare(...) returned, or a table as of arviz.compare"
    if comparison is not None and not isinstance(_table_of(comparison), pd.DataFrame):
        faults.append(f"comparison is of type {type(comparison).__name__}; {table}.")
    if not isinstance(what_ifs, Mapping):
        faults.append(f"what_ifs is of type {type(what_ifs).__name__}; it must be a mapping by name.")
    else:
        faults += [
            f"what_ifs: {name!r} is of type {type(found).__name__}; it must be {ALLOWED}."
            for name, found in what_ifs.items()
            if not _is_table(found) and not _has_scenarios(found)
        ]
    if faults:
        error = InputError("\n".join(faults))
        error.problems = tuple(faults)
        raise error


def _table_of(comparison: Any) -> Any:
    return comparison.table if isinstance(comparison, Comparison) else comparison


def _is_table(found: Any) -> bool:
    return isinstance(found, pd.DataFrame) and "quantity" in found


def _has_scenarios(found: Any) -> bool:
    return isinstance(found, xr.Dataset) and {"scenario", "subject"} <= set(found.dims)


def comparison(of: Reported) -> Part:
    """The comparison of models that was given: its verdict, a picture, and a table."""
    title = "Comparison of models"
    if of.comparison is None:
        return Part("comparison", title, (Text("No comparison was given."),))
    table = _table_of(of.comparison)
    if not isinstance(table.index, pd.RangeIndex):
        table = table.rename_axis("model").reset_index()
    blocks: list = [Table.of(table)]
    if isinstance(of.comparison, Comparison):
        reasons = of.comparison.sentences if not of.private else ()
        drawn = [_drawn(of.comparison)] if not of.private else []
        verdict = [Text(of.comparison.headline), Sentences([(each, True) for each in reasons])]
        blocks = [*verdict, *drawn, *blocks]
    return Part("comparison", title, tuple(blocks))


def _drawn(found: Comparison) -> Picture:
    best, second = found.table.index[:2]
    caption = f"Differences of elpd with two standard errors, and by person between {best} and {second}."
    return Picture.of(draw_comparison(found), caption)


def what_ifs(of: Reported) -> Part:
    """Each what-if that was given, under its name."""
    title = "What-ifs"
    if not of.what_ifs:
        return Part("what-ifs", title, (Text("No what-if was given."),))
    blocks: list = []
    for name, found in of.what_ifs.items():
        blocks.append(Heading(str(name)))
        blocks += _table(of, found) if _is_table(found) else _scenarios(of, found)
    return Part("what-ifs", title, tuple(blocks))


def _table(of: Reported, found: pd.DataFrame) -> list:
    if of.private and "subject" in found:
        return [Text("A table of single people is left out.")]
    shown = tables.answers(found)
    blocks: list = [Table.of(shown), Text(_told(found.attrs), quiet=True)]
    try:
        figure = forest(found)
    except InputError:  # of a covariate's values, or of another kind
        return blocks
    return [Picture.of(figure, "Medians and intervals of the table."), *blocks]


def _scenarios(of: Reported, found: xr.Dataset) -> list:
    found = in_units(found, of.units)
    curves = [str(name) for name, values in found.data_vars.items() if "time" in values.dims]
    people = [str(label) for label in found["subject"].values]
    single = of.private and not all(p == "typical" or p.startswith("new ") for p in people)
    blocks: list = []
    for name in [name for name in curves if _differs(found[name])][:MOST] if not single else ():
        caption = f"{sentence(words(name))} in each scenario, and how it differs from the first."
        blocks.append(Picture.of(contrast(found, name, probability=of.probability), caption))
    if numbers := [str(name) for name in found.data_vars if str(name) not in curves]:
        blocks.append(Table.of(_numbers(found[numbers], of.probability), "The mean of these people."))
    if curves:
        table = Table.of(tables.effect(found[curves], of.probability), "The mean of these people.")
        blocks.append(Folded("In numbers, at a few times", (table,)))
    return [*blocks, Text(_told(found.attrs), quiet=True)]


def _differs(values: xr.DataArray) -> bool:
    """Whether scenarios do anything to an output."""
    first, others = values.isel(scenario=0), values.isel(scenario=slice(1, None))
    return bool((abs(others - first) > 1e-9 * abs(first)).any())


MOST = 4
"""So many outputs of a what-if are drawn; all are in its table."""


def _numbers(found: xr.Dataset, probability: float) -> pd.DataFrame:
    """Medians and intervals of quantities by scenario, of the mean of people."""
    tail, rows = (1 - probability) / 2, []
    for name, values in found.data_vars.items():
        mean = values.mean("subject")
        for scenario in values["scenario"].values:
            draws = mean.sel(scenario=scenario).values
            low, middle, high = np.nanquantile(draws, [tail, 0.5, 1 - tail])
            unit = values.attrs.get("units", "")
            rows.append((str(name).replace("_", " "), str(scenario), unit, middle, low, high))
    return pd.DataFrame(rows, columns=["quantity", "scenario", "unit", "median", "lower", "upper"])


def _told(attrs: Mapping[Any, Any]) -> str:
    """Of whom and of which day an answer speaks, and its seed."""
    parts = [str(attrs[name]) for name in ("subjects", "protocol", "change") if attrs.get(name)]
    parts += [f"{attrs['occasion']} occasion"] if attrs.get("occasion") else []
    parts += [f"seed {attrs['random_seed']}"] if "random_seed" in attrs else []
    return "; ".join(parts)
