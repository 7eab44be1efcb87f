"""Exports of Dexcom Clarity: a row per event, with the unit of glucose in the header."""

from __future__ import annotations

from collections.abc import Sequence

from bayesglu.study.readers.device import (
    Columns,
    Entry,
    add_person,
    header_row,
    left_out,
    limit,
    person,
    positive,
)
from bayesglu.study.readers.grid import Grid
from bayesglu.study.readers.layout import Layout
from bayesglu.study.readers.reading import Reading

LIMITS = {"mg/dL": ("40", "400"), "mmol/L": ("2.2", "22.2"), "": ("40", "400")}


def find(grid: Grid, reading: Reading) -> Layout | None:
    """The grid as an export of Clarity."""
    return header_row(grid, "Timestamp", "Event Type", "Glucose Value")


def read(layouts: Sequence[Layout], reading: Reading) -> None:
    """Readings (EGV), meals, fast-acting insulin; long-acting insulin and calibrations are not used."""
    for layout in layouts:
        columns, grid = Columns(layout), layout.grid
        unit = reading.unit("glucose", columns.unit("Glucose Value"))
        entries, long_acting, calibrations, others = [], 0, 0, 0
        for place, row in layout.rows(reading):
            when, kind = columns.cell(row, "Timestamp"), columns.cell(row, "Event Type").lower()
            if not when:
                continue  # who the person is, and the settings of alerts
            if kind == "egv":
                value = limit(columns.cell(row, "Glucose Value"), *LIMITS[unit])
                device = columns.cell(row, "Source Device ID")
                entries.append(Entry(place, when, "glucose", value, device))
            elif kind.startswith("carb") and positive(columns.cell(row, "Carb Value")):
                entries.append(Entry(place, when, "carbohydrate", columns.cell(row, "Carb Value")))
            elif kind == "insulin" and "long" in columns.cell(row, "Event Subtype").lower():
                long_acting += 1
            elif kind == "insulin" and positive(columns.cell(row, "Insulin Value")):
                entries.append(Entry(place, when, "insulin", columns.cell(row, "Insulin Value")))
            elif kind.startswith("calib"):
                calibrations += 1
            else:
                others += 1
        left_out(long_acting, "doses of long-acting insulin", grid, reading)
        left_out(calibrations, "calibrations", grid, reading)
        left_out(others, "other events (exercise, health, alerts)", grid, reading)
        add_person(person(grid, reading), entries, unit, reading, grid.file)
