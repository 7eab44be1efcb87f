"""Exports of Medtronic CareLink: sections of pump and sensor, each with a header that begins with Index."""

from __future__ import annotations

from collections.abc import Sequence

from bayesglu.study.readers.device import Columns, Entry, add_person, left_out, person, positive
from bayesglu.study.readers.grid import Grid
from bayesglu.study.readers.headers import squeezed
from bayesglu.study.readers.layout import Layout
from bayesglu.study.readers.reading import Reading

CARBS = "BWZ Carb Input"


def find(grid: Grid, reading: Reading) -> Layout | None:
    """The grid as an export of CareLink, at the first of its headers."""
    for skip, row in enumerate(grid.rows):
        names = {squeezed(cell.split("(")[0]) for cell in row}
        if _is_header(row) and {"sensorglucose"} & names:
            return Layout.at(grid, skip)
    return None


def read(layouts: Sequence[Layout], reading: Reading) -> None:
    """Readings of the sensor, meals of the bolus wizard and boluses; basal rate and strips are not used."""
    for layout in layouts:
        grid, entries = layout.grid, []
        columns, unit = Columns(layout), ""
        basal, strips, drawn_out, exchanges = 0, 0, 0, 0
        inside = False
        for line, row in zip(grid.lines, grid.rows, strict=True):
            place = grid.file, grid.word, line
            if _is_header(row):
                start = grid.rows.index(row)
                columns, inside = Columns(Layout.at(grid, start)), True
                unit = unit or columns.unit("Sensor Glucose")
                continue
            if row[0].startswith("---"):
                inside = False
            if not inside or not row[0]:
                continue
            row = (*row, *[""] * (len(columns.names) - len(row)))
            when = f"{columns.cell(row, 'Date')} {columns.cell(row, 'Time')}"
            if value := columns.cell(row, "Sensor Glucose"):
                entries.append(Entry(place, when, "glucose", value))
            if positive(carbs := columns.cell(row, CARBS)):
                exchanges += "exchange" in columns.names[columns.at(CARBS) or 0].lower()
                entries.append(Entry(place, when, "carbohydrate", carbs))
            if positive(units := columns.cell(row, "Bolus Volume Delivered")):
                drawn_out += columns.cell(row, "Bolus Type").lower().startswith(("square", "dual"))
                entries.append(Entry(place, when, "insulin", units))
            basal += positive(columns.cell(row, "Basal Rate"))
            strips += bool(columns.cell(row, "BG Reading"))
        if exchanges:
            reading.problems.add("gives meals in exchanges. Export them in grams.", grid.file)
        left_out(basal, "changes of the basal rate, whose insulin the model then lacks", grid, reading)
        left_out(strips, "readings of strips", grid, reading)
        if drawn_out:
            reading.unused.append(f"{grid.file}: {drawn_out} boluses over some time are given at once.")
        unit = reading.unit("glucose", unit)
        add_person(person(grid, reading), entries, unit, reading, grid.file)


def _is_header(row: Sequence[str]) -> bool:
    return [squeezed(cell) for cell in row[:3]] == ["index", "date", "time"]
