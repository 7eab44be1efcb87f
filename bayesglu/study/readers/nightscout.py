"""Exports of Nightscout, JSON or CSV: entries with readings (sgv), treatments with carbs and insulin."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from bayesglu.study.readers.device import Columns, Entry, add_person, header_row, left_out, positive
from bayesglu.study.readers.grid import Grid
from bayesglu.study.readers.layout import Layout
from bayesglu.study.readers.reading import Reading
from bayesglu.study.tables import as_number

LOWEST = 12.0
"""Readings up to this are codes of errors."""
HIGHEST_MMOL = 35.0
"""All readings of nobody are below this in mg/dL."""
LOW, HIGH = 39.0, 401.0
"""What a sensor writes for a reading below 40 and above 400 mg/dL."""


def find(grid: Grid, reading: Reading) -> Layout | None:
    """The grid as entries or treatments of Nightscout."""
    return header_row(grid, "sgv", "date") or header_row(grid, "eventType", "created_at")


def read(layouts: Sequence[Layout], reading: Reading) -> None:
    """Readings, carbohydrate and boluses of one person, in real time; basal rates are not used."""
    entries: list[Entry] = []
    first = layouts[0].grid
    for layout in layouts:
        columns, grid = Columns(layout), layout.grid
        codes, basal, invalid, others, calibrations, drawn_out = 0, 0, 0, 0, 0, 0
        readings: list[float] = []
        for place, row in layout.rows(reading):
            if columns.cell(row, "isValid").lower() == "false":
                invalid += 1
                continue
            if sgv := columns.cell(row, "sgv"):
                value = as_number(sgv)
                readings.append(value)
                if value <= LOWEST:
                    codes += 1
                else:
                    written = "<40" if value == LOW else ">400" if value == HIGH else sgv
                    device = columns.cell(row, "device")
                    entries.append(Entry(place, _when(columns, row), "glucose", written, device))
                continue
            if columns.at("sgv") is not None and not columns.cell(row, "eventType"):
                calibrations += 1
                continue
            carbs, units = columns.cell(row, "carbs"), columns.cell(row, "insulin")
            when = columns.cell(row, "created_at") or _when(columns, row, "timestamp")
            if positive(carbs):
                entries.append(Entry(place, when, "carbohydrate", carbs))
            if positive(units):
                drawn_out += any(positive(columns.cell(row, name)) for name in ("duration", "splitExt"))
                entries.append(Entry(place, when, "insulin", units))
            if "basal" in columns.cell(row, "eventType").lower():
                basal += 1
            elif not positive(carbs) and not positive(units):
                others += 1
        if readings and max(readings) < HIGHEST_MMOL:
            reading.problems.add(
                f"has readings up to {max(readings):g}. Are they in mmol/L? sgv is in mg/dL.", grid.file
            )
        if drawn_out:
            reading.unused.append(f"{grid.file}: {drawn_out} boluses over some time are given at once.")
        left_out(codes, "codes of errors in place of readings", grid, reading)
        left_out(calibrations, "entries without a reading of the sensor", grid, reading)
        left_out(invalid, "entries marked as not valid", grid, reading)
        left_out(basal, "changes of the basal rate, whose insulin the model then lacks", grid, reading)
        left_out(others, "treatments without carbohydrate and insulin", grid, reading)
    reading.said.append(f"{first.file} is of one person, called {first.name!r}; sgv is in mg/dL")
    add_person(first.name, entries, "mg/dL", reading, first.file)


def _when(columns: Columns, row: Sequence[str], milliseconds_of: str = "date") -> str:
    """The moment of an entry, with its offset from UTC: so many milliseconds, or a text."""
    at = next((n for n, name in enumerate(columns.names) if name.lower() == milliseconds_of), None)
    milliseconds = as_number(row[at]) if at is not None else float("nan")
    if 0 < milliseconds < 1e14:
        then = datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC)
        return then.strftime("%Y-%m-%dT%H:%M:%SZ")
    return columns.cell(row, "dateString") or columns.cell(row, "sysTime") or columns.cell(row, "timestamp")
