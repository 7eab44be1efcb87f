"""Tables with one row per person and one column per time, in one or several header rows and sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bayesglu.analytes import analytes
from bayesglu.study.readers.grid import Grid
from bayesglu.study.readers.headers import Measured
from bayesglu.study.readers.layout import (
    MOST_HEADERS,
    MOST_TITLES,
    Layout,
    ask_hours,
    ask_subject,
    check_columns,
    is_summary,
    measured_at,
    subject_column,
)
from bayesglu.study.readers.reading import Reading, Row
from bayesglu.study.tables import is_missing
from bayesglu.text.wording import some
from bayesglu.units import UnitError, convert


def find_wide(grid: Grid, reading: Reading) -> Layout | None:
    """The grid as a wide table, below the titles and with as many header rows as show most columns."""
    best, below, found = 0, MOST_TITLES, None
    for depth in range(1, MOST_HEADERS + 1):
        for skip in range(min(below, len(grid.rows) - depth)):
            layout = Layout.at(grid, skip, depth)
            columns = _columns(layout)
            if len(columns) < max(best, 1) or (depth > 1 and not _several_times(columns)):
                continue
            # A row of units below the header adds no column, but says what was not said.
            if len(columns) > best or (depth > 1 and _units(columns) and not _units(_columns(found))):
                best, found = len(columns), layout
        below = found.below - depth + 1 if found else MOST_TITLES
    return found


def _several_times(columns: Mapping[int, Measured]) -> bool:
    """Whether any analyte is there at several times: values below a header are no times of it."""
    return len(columns) > len({what.analyte for what in columns.values()})


def _units(columns: Mapping[int, Measured]) -> bool:
    return any(what.unit for what in columns.values())


def read_wide(layouts: Sequence[Layout], reading: Reading) -> None:
    """One sample a person and column; every other column is a covariate."""
    people = {id(layout): subject_column(layout, reading) for layout in layouts}
    minutes = _time_factor(layouts, reading)
    rows: list[Row] = []
    owners: dict[int, set[str]] = {}
    for number, layout in enumerate(layouts):
        column = people[id(layout)]
        if column is None:
            ask_subject(layout, reading)
            for at, what in _columns(layout).items():
                reading.unit(what.analyte, what.unit, [row[1][at] for row in layout.rows(reading)])
            continue
        check_columns(layout, reading)
        owners[number] = _read(layout, column, minutes, rows, reading)
    _groups([layouts[number] for number in owners], list(owners.values()), reading)
    taken = {_moment(row) for row in rows if not is_missing(row.cells["value"])}
    for analyte, time in dict.fromkeys(_moment(row) for row in rows if _moment(row) not in taken):
        reading.unused.append(f"{rows[0].file}: nobody has a value of {analyte} at {time} min.")
    rows = [row for row in rows if _moment(row) in taken]
    order = {name: number for number, name in enumerate(analytes())}
    tests = list(dict.fromkeys(_test(row) for row in rows))
    rank = {test: number for number, test in enumerate(tests)}
    rows.sort(key=lambda row: (rank[_test(row)], order[row.cells["analyte"]], float(row.cells["time"])))
    reading.samples += rows


def _moment(row: Row) -> tuple[str, str]:
    return row.cells["analyte"], row.cells["time"]


def _test(row: Row) -> tuple[str, str]:
    return row.cells["subject"], row.cells["occasion"]


def _read(layout: Layout, column: int, factor: float, samples: list[Row], reading: Reading) -> set[str]:
    """Note the samples and covariates of one grid; the subjects that it has."""
    found, columns = layout.columns(reading.answers), _columns(layout)
    at, rows, lines = found.get("occasion"), [], {}
    for place, row in layout.rows(reading):
        label = row[column]
        if is_summary(label):
            reading.unused.append(f"{place[0]}, {place[1]} {place[2]}: {label!r} is a summary and no person.")
            continue
        if all(is_missing(row[number]) for number in columns):
            reading.unused.append(f"{place[0]}, {place[1]} {place[2]}: {label!r} has no value at all.")
            continue
        own = label, "1" if at is None else row[at]
        if own in lines and not is_missing(label):
            reading.problems.add(
                f"subject {label!r} is there already, at {place[1]} {lines[own]}. Tell tests apart by a "
                "column 'occasion'.",
                f"{place[0]}, {place[1]} {place[2]}:",
            )
        lines.setdefault(own, place[2])
        rows.append((place, row, own))
    taken: dict[tuple[str, float | None], str] = {}
    for at_column, what in columns.items():
        header = layout.header[at_column]
        if other := taken.get((what.analyte, what.minutes)):
            both = f"columns {other!r} and {header!r} are both {what.analyte} at {what.minutes:g} min"
            reading.problems.add(f"{both}. Keep one.", layout.grid.file)
        taken[what.analyte, what.minutes] = header
        cells = [row[at_column] for _, row, _ in rows]
        unit = reading.unit(what.analyte, what.unit, cells)
        time = format((what.minutes or 0.0) * (1.0 if what.timed else factor), ".10g")
        for (place, _, (subject, occasion)), cell in zip(rows, cells, strict=True):
            sample = {"subject": subject, "occasion": occasion, "time": time, "analyte": what.analyte}
            samples.append(Row({**sample, "value": cell, "unit": unit}, *place))
    left = {
        header: [(*label, row[number]) for _, row, label in rows]
        for number, header in enumerate(layout.header)
        if number not in {column, at, *columns}
    }
    reading.add_people(left, layout.grid.file)
    return {subject for _, _, (subject, _) in rows}


def _columns(layout: Layout | None) -> dict[int, Measured]:
    """The columns that are an analyte at a time; behind a dash a time is negative where others have none."""
    found = {
        column: what
        for column in range(len(layout.header) if layout else 0)
        if layout and (what := measured_at(layout, column)) is not None
    }
    separator = all(what.dashed or not what.minutes for what in found.values()) and any(
        what.dashed and not what.minutes for what in found.values()
    )
    separator = separator or all(what.dashed for what in found.values())
    if separator:
        return found
    return {
        column: Measured(what.analyte, -what.minutes, what.timed, what.unit)
        if what.dashed and what.minutes
        else what
        for column, what in found.items()
    }


def _time_factor(layouts: Sequence[Layout], reading: Reading) -> float:
    """What times without a unit must be multiplied by to be minutes."""
    times = [
        what.minutes
        for layout in layouts
        for what in _columns(layout).values()
        if not what.timed and what.minutes is not None
    ]
    if unit := reading.answers.units.get("time", ""):
        try:
            return convert(1.0, unit, "time")
        except UnitError as error:
            reading.problems.add(str(error))
            return 1.0
    ask_hours(times, reading, some([layout.grid.file for layout in layouts]))
    if times:
        reading.said.append("times of columns are minutes (not stated)")
    return 1.0


def _groups(layouts: Sequence[Layout], subjects: Sequence[set[str]], reading: Reading) -> None:
    """Take the names of sheets for groups, where each holds other people."""
    apart = sum(map(len, subjects)) == len(set().union(*subjects)) if subjects else False
    named = any("group" in known for known in (*reading.people.values(), *reading.visits.values()))
    if len(layouts) > 1 and apart and not named:
        for layout, people in zip(layouts, subjects, strict=True):
            for subject in people:
                reading.people.setdefault(subject, {})["group"] = layout.grid.name
        names = some([repr(layout.grid.name) for layout in layouts])
        reading.said.append(f"covariate group, by the name of the sheet or file: {names}")
