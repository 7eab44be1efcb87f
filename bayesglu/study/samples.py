"""What the tables of samples and of true parameters must look like; clean, canonical values come back.

Faults are noted in the table and reading goes on, so that one attempt tells all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analytes import Limits, analytes
from bayesglu.protocols.events import SAME_MOMENT
from bayesglu.protocols.protocol import Protocol
from bayesglu.study.cells import is_missing, natural
from bayesglu.study.columns import check_unread, meant
from bayesglu.study.datasheet import Datasheet
from bayesglu.study.tables import Faults, Table, cells, records
from bayesglu.text.problems import hint
from bayesglu.units import UnitError, allowed_units, canonical_unit, convert

CENSORING = ("none", "left", "right")

# Of covariates, in canonical units; those of analytes are in `bayesglu.analytes`.
PLAUSIBLE: Mapping[str, Limits] = {
    "weight": (2, 400),
    "body_weight": (2, 400),
    "height": (40, 250),
    "age": (0, 120),
    "bmi": (8, 100),
}
USUAL: Mapping[str, Limits] = {
    "weight": (30, 200),
    "body_weight": (30, 200),
    "height": (120, 210),
    "age": (1, 100),
}

OBSERVATION_COLUMNS = ("subject", "time", "analyte", "value")
OTHER_OBSERVATION_COLUMNS = ("unit", "occasion", "censoring", "use")


def read_observations(table: Table, sheet: Datasheet, noted: list[str]) -> pd.DataFrame:
    """Samples in canonical units, as columns of text and numbers; NaN where a value is empty. What can be
    right and probably is not goes to `noted`, a sentence each."""
    faults = table.faults
    table.rename(sheet.columns, all_there=True)
    wide = [name for name in table.names if name in analytes()]
    if wide and "analyte" not in table.rows:
        columns = ", ".join(OBSERVATION_COLUMNS)
        faults.add(
            f"has columns {', '.join(wide)}. Write one row per sample, with the columns {columns}, unit, as "
            "`bayesglu import FILE --out FOLDER` does."
        )
    unit = table.minutes("time", sheet.units.get("time", "min"))
    if not table.require(OBSERVATION_COLUMNS, OTHER_OBSERVATION_COLUMNS):
        return pd.DataFrame(
            columns=["subject", "occasion", "analyte", "time", "value", "censoring", "use", "line"]
        )
    noted += check_unread(table, "observations", (*OBSERVATION_COLUMNS, *OTHER_OBSERVATION_COLUMNS))
    samples = pd.DataFrame(
        {
            "subject": table.labels("subject"),
            "occasion": table.labels("occasion", "1"),
            "analyte": [_analyte(cell, line, faults) for line, cell in cells(table.rows["analyte"])],
            "time": table.rows["time"].astype(float),
        }
    )
    measured = [
        _measured(value, unit, censoring, analyte, sheet, table, line)
        for line, analyte, value, unit, censoring in zip(
            samples.index,
            samples["analyte"],
            table.rows["value"],
            table.column("unit"),
            table.column("censoring"),
            strict=True,
        )
    ]  # fmt: skip
    samples["value"] = [value for value, _ in measured]
    samples["censoring"] = [censoring for _, censoring in measured]
    samples["use"] = [_flag(cell, line, faults) for line, cell in cells(table.column("use", "true"))]
    samples["line"] = samples.index
    samples.attrs["unit of time"] = unit
    called = [name for name in table.unread(OBSERVATION_COLUMNS) if meant(name, ["occasion"])]
    _check_order(samples, faults, f" Is it the column {called[0]!r}?" if called else "")
    return samples


def suspicious_units(samples: pd.DataFrame, protocols: Mapping[tuple[str, str], Protocol]) -> list[str]:
    """Sentences about analytes whose fasting median is no person's, but would be in another unit."""
    columns = (samples[name] for name in ("subject", "occasion", "time", "censoring"))
    at_rest = [
        censoring == "none" and (s, o) in protocols and time <= protocols[s, o].rest_until
        for s, o, time, censoring in zip(*columns, strict=True)
    ]
    fasting = samples[np.array(at_rest, bool)]
    sentences = []
    for analyte, kind in analytes().items():
        if kind.usual_fasting is None:
            continue
        low, high = kind.usual_fasting
        median = fasting.loc[fasting["analyte"] == analyte, "value"].median()
        if math.isnan(median) or low <= median <= high:
            continue
        for unit in allowed_units(analyte)[1:]:
            factor = convert(1.0, unit, analyte)
            if low <= median * factor <= high or low <= median / factor <= high:
                ours = canonical_unit(analyte)
                sentences.append(
                    f"The median fasting {analyte} is {median:.3g} {ours}; expected are {low} to {high}. "
                    f"Were {ours} and {unit} confused?"
                )
                break
    return sentences


def leave_out(
    samples: pd.DataFrame, sheet: Datasheet, protocols: Mapping[tuple[str, str], Protocol], noted: list[str]
) -> None:
    """Mark the samples outside the datasheet's windows, which count from the onset of each protocol. A window
    that leaves nothing, or names a time at which nothing was sampled, goes to `noted`."""
    used = samples["use"].copy()
    for row in records(samples):
        window, protocol = sheet.use.get(row.analyte), protocols.get((row.subject, row.occasion))
        if window is not None and protocol is not None and not window.holds(row.time - protocol.onset):
            samples.loc[row.Index, "use"] = False
    for analyte, window in sheet.use.items():
        own = samples[samples["analyte"] == analyte]
        after = [
            row.time - protocols[row.subject, row.occasion].onset
            for row in records(own)
            if (row.subject, row.occasion) in protocols
        ]
        if used[own.index].any() and not own["use"].any() and after:
            noted.append(
                f"[use.{analyte}] of the datasheet leaves out every sample of {analyte}: they lie "
                f"{min(after):g} to {max(after):g} min from the dose, from which the window counts."
            )
        lost = [t for t in window.also if not any(abs(t - time) <= SAME_MOMENT for time in after)]
        if lost and after:
            noted.append(f"[use.{analyte}] also names {lost[0]:g} min, at which nothing was sampled.")


def read_truth(table: Table, noted: list[str]) -> xr.Dataset:
    """True parameters by subject, on their natural scale, with the unit of each in ``attrs``."""
    if not table.require(("subject", "parameter", "value"), ("unit",)):
        return xr.Dataset(coords={"subject": np.array([], dtype=str)})
    noted += check_unread(table, "truth", ("subject", "parameter", "value", "unit"))
    rows = pd.DataFrame({"subject": table.labels("subject"), "parameter": table.labels("parameter")})
    rows["value"] = table.numbers("value", required=True)
    rows["unit"] = table.column("unit")
    for line, name in cells(rows.loc[rows.duplicated(["subject", "parameter"]), "parameter"]):
        table.faults.add("the parameter {found} of this subject is there already.", line, name)
    rows = rows.drop_duplicates(["subject", "parameter"])
    for line, name in cells(rows["parameter"]):
        if name == "subject" or "/" in name:
            table.faults.add("the parameter cannot be called {found}.", line, repr(name))
    rows = rows[~rows["parameter"].isin(["subject"])]
    wide = rows.pivot(index="subject", columns="parameter", values="value")
    wide = wide.loc[sorted(wide.index, key=natural), list(dict.fromkeys(rows["parameter"]))]
    units = dict(zip(rows["parameter"], rows["unit"], strict=True))
    return xr.Dataset(
        {name: ("subject", wide[name].to_numpy(float), {"units": units[name]}) for name in wide},
        coords={"subject": np.array(list(wide.index), dtype=str)},
    )


def _analyte(cell: str, line: int, faults: Faults) -> str:
    name = cell.lower().replace("-", "_").replace(" ", "_")
    known = analytes()
    name = next((own for own, kind in known.items() if name in kind.spellings), name)
    if is_missing(cell):
        faults.add("analyte is empty.", line)
    elif name not in known:
        faults.add(f"unknown analyte {cell!r}.{hint(name, known)} Known: {', '.join(known)}.", line)
    return name


def _measured(
    cell: str, unit: str, censoring: str, analyte: str, sheet: Datasheet, table: Table, line: int
) -> tuple[float, str]:
    """One value in the canonical unit, and on which side of it the truth lies if it is only a limit."""
    faults = table.faults
    marked = {"<": "left", ">": "right"}.get(cell[:1])
    stated = "none" if is_missing(censoring) else censoring.lower()
    if stated not in CENSORING:
        faults.add(
            f"censoring {{found}} is not known. Allowed: {', '.join(CENSORING)}.", line, repr(censoring)
        )
    elif marked and stated not in ("none", marked):
        faults.add(
            f"the value {{found}} is censored on the {marked}, the column censoring says '{stated}'.",
            line,
            cell,
        )
    censoring = marked or stated
    unit = sheet.units.get(analyte, "") if is_missing(unit) else unit
    value = table.number(
        cell[1:].lstrip("=").strip() if marked else cell, "value", line, required=marked is not None
    )
    if analyte not in analytes():
        return math.nan, censoring
    if not unit:
        faults.add(f"{analyte} has no unit. Known: {', '.join(allowed_units(analyte))}.", line)
        return math.nan, censoring
    try:
        canonical = convert(value, unit, analyte)
    except UnitError as error:
        faults.add(f"{error}"[0].lower() + f"{error}"[1:], line)
        return math.nan, censoring
    check_plausible(value, analyte, unit, sheet, faults, line, censoring)
    return canonical, censoring


def check_plausible(
    value: float, name: str, unit: str, sheet: Datasheet, faults: Faults, line: int, censoring: str = "none"
) -> None:
    """Note a value that no person can have, with the unit in which one could."""
    canonical = convert(value, unit, name)
    kind = analytes().get(name)
    plausible, usual = (kind.plausible, kind.usual) if kind else (PLAUSIBLE.get(name), USUAL.get(name))
    low, high = sheet.plausible.get(name) or plausible or (-math.inf, math.inf)
    within = (censoring == "left" or canonical >= low) and (censoring == "right" or canonical <= high)
    if math.isnan(value) or (within and canonical >= 0 and not (canonical == 0 and low > 0)):
        return
    found = f"{value:g}"
    if canonical < 0:
        faults.add(f"{name} {{found}} is negative.", line, found)
    elif canonical == 0 and kind:
        faults.add(
            f"{name} is {{found}}. Write '<' and the lower limit of quantification (LLOQ), or leave the "
            "value empty.",
            line,
            found,
        )
    else:
        low_usual, high_usual = usual or (math.nan, math.nan)
        others = [
            other for other in allowed_units(name) if low_usual <= convert(value, other, name) <= high_usual
        ]
        question = f" Is the unit {' or '.join(map(repr, others))}?" if others else ""
        limits = f"{low:g} to {high:g} {canonical_unit(name)}"
        faults.add(f"{name} {{found}} in '{unit}' is outside the plausible {limits}.{question}", line, found)


def _check_order(samples: pd.DataFrame, faults: Faults, likely: str) -> None:
    """Note repeated samples, and samples that come before an earlier one of the same analyte and occasion."""
    apart = f"or tell occasions apart by a column 'occasion'.{likely}"
    first: dict[tuple, int] = {}
    latest: dict[tuple, float] = {}
    for row in records(samples):
        series = (row.subject, row.occasion, row.analyte)
        if math.isnan(row.time):
            continue
        if (line := first.setdefault((*series, row.time), row.line)) != row.line:
            message = (
                f"the same subject, occasion, analyte and time as {faults.word} {{found}}. Keep one, {apart}"
            )
            faults.add(message, row.line, line)
        elif row.time < latest.get(series, -math.inf):
            message = (
                f"time {{found}} min in one subject, occasion and analyte. Sort the rows by time, {apart}"
            )
            faults.add(message, row.line, f"{row.time:g} after {latest[series]:g}")
        latest[series] = max(row.time, latest.get(series, -math.inf))


def _flag(cell: str, line: int, faults: Faults) -> bool:
    flags = {"true": True, "1": True, "yes": True, "": True, "false": False, "0": False, "no": False}
    if cell.lower() not in flags:
        faults.add("use is {found}; it must be true or false.", line, repr(cell))
    return flags.get(cell.lower(), True)
