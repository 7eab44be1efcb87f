"""Exports of LibreView: a row per record, of a type by number, with the unit of glucose in the header."""

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

LIMITS = {"mg/dL": ("40", "500"), "mmol/L": ("2.2", "27.8"), "": ("40", "500")}
RAPID = ("Rapid-Acting Insulin (units)", "Meal Insulin", "Correction Insulin", "User Change Insulin")


def find(grid: Grid, reading: Reading) -> Layout | None:
    """The grid as an export of LibreView."""
    return header_row(grid, "Device Timestamp", "Record Type", "Historic Glucose")


def read(layouts: Sequence[Layout], reading: Reading) -> None:
    """Historic readings, meals in grams, rapid insulin; scans, strips, long-acting insulin are not used."""
    for layout in layouts:
        columns, grid = Columns(layout), layout.grid
        unit = reading.unit("glucose", columns.unit("Historic Glucose"))
        entries, scans, strips, long_acting, words, servings = [], 0, 0, 0, 0, 0
        for place, row in layout.rows(reading):
            when = columns.cell(row, "Device Timestamp")
            if value := columns.cell(row, "Historic Glucose"):
                device = columns.cell(row, "Serial Number")
                entries.append(Entry(place, when, "glucose", limit(value, *LIMITS[unit]), device))
            if positive(grams := columns.cell(row, "Carbohydrates (grams)")):
                entries.append(Entry(place, when, "carbohydrate", grams))
            elif columns.cell(row, "Carbohydrates (servings)"):
                servings += 1
            for name in RAPID:
                if positive(units := columns.cell(row, name)):
                    entries.append(Entry(place, when, "insulin", units))
            scans += bool(columns.cell(row, "Scan Glucose"))
            strips += bool(columns.cell(row, "Strip Glucose"))
            long_acting += bool(columns.cell(row, "Long-Acting Insulin"))
            words += any(
                columns.cell(row, name)
                for name in ("Non-numeric Rapid", "Non-numeric Food", "Non-numeric Long", "Notes")
            )
        left_out(scans, "scans of the sensor, beside its own readings", grid, reading)
        left_out(strips, "readings of strips", grid, reading)
        left_out(long_acting, "doses of long-acting insulin", grid, reading)
        left_out(servings, "meals in servings and not in grams", grid, reading)
        left_out(words, "meals, doses or notes without an amount", grid, reading)
        add_person(person(grid, reading), entries, unit, reading, grid.file)
