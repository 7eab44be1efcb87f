"""Tables with one row per time: long ones, a row per sample, and half-wide ones, a column per analyte."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from bayesglu.analytes import analytes
from bayesglu.study.readers.answers import say
from bayesglu.study.readers.clock import Moment, date_order, elapsed, is_clock, moment, zero
from bayesglu.study.readers.grid import Grid
from bayesglu.study.readers.headers import Measured, bracketed, is_of_clock, measured, squeezed, time_unit
from bayesglu.study.readers.layout import (
    MOST_TITLES,
    Layout,
    ask_hours,
    ask_subject,
    check_columns,
    is_summary,
    subject_column,
)
from bayesglu.study.readers.reading import Reading
from bayesglu.study.tables import as_number, is_missing
from bayesglu.text.wording import some
from bayesglu.units import UnitError, allowed_units, convert

Place = tuple[str, str, int]
Cells = tuple[Place, Sequence[str]]
GAP = 8 * 60.0
"""Minutes without a sample that separate two tests, where zero is a time of day."""


def find_long(grid: Grid, reading: Reading) -> Layout | None:
    """The grid as a long table: columns of a time, an analyte and a value."""
    for skip in range(min(MOST_TITLES, len(grid.rows) - 1)):
        layout = Layout.at(grid, skip)
        if {"time", "analyte", "value"} <= set(layout.columns(reading.answers)):
            return layout
    return None


def find_half_wide(grid: Grid, reading: Reading) -> Layout | None:
    """The grid as a half-wide table: a column of times, and one for each analyte."""
    for skip in range(min(MOST_TITLES, len(grid.rows) - 1)):
        layout = Layout.at(grid, skip)
        if "time" in layout.columns(reading.answers) and _analyte_columns(layout, reading):
            return layout
    return None


def read_long(layouts: Sequence[Layout], reading: Reading) -> None:
    """One row per sample; what else is constant in a person is a covariate."""
    for layout in layouts:
        found = layout.columns(reading.answers)
        names = {"unit", "use", "censoring", "analyte", "value"}
        rows, labels = _rows(layout, reading)
        if not rows:
            continue
        series = [(label, row[found["analyte"]]) for (_, row), label in zip(rows, labels, strict=True)]
        minutes = _minutes(layout, rows, labels, series, reading)
        for (place, row), (subject, occasion), time in zip(rows, labels, minutes, strict=True):
            cells = {name: row[found[name]] for name in names if name in found}
            unit = cells.get("unit", "")
            name = _analyte(cells["analyte"], reading)
            if name in analytes() and is_missing(unit):
                cells["unit"] = reading.unit(name, "", [cells["value"]])
            sample = {"subject": subject, "occasion": occasion, "time": time, **cells, "analyte": name}
            reading.add_sample(place, **sample)
        _covariates(layout, rows, labels, {found[name] for name in names if name in found}, reading)


def read_half_wide(layouts: Sequence[Layout], reading: Reading) -> None:
    """One column per analyte; a time at which nobody has a value of an analyte is none of its samples."""
    for layout in layouts:
        columns = _analyte_columns(layout, reading)
        check_columns(layout, reading)
        rows, labels = _rows(layout, reading)
        if not rows:
            continue
        minutes = _minutes(layout, rows, labels, list(labels), reading)
        analytes_there = [what.analyte for what in columns.values()]
        if twice := {name for name in analytes_there if analytes_there.count(name) > 1}:
            headers = [layout.header[at] for at, what in columns.items() if what.analyte in twice]
            both = f"columns {', '.join(map(repr, headers))} are of one analyte"
            reading.problems.add(f"{both}. Keep one.", layout.grid.file)
            continue
        for column, what in columns.items():
            cells = [row[column] for _, row in rows]
            unit = reading.unit(what.analyte, what.unit, cells)
            taken = {time for time, cell in zip(minutes, cells, strict=True) if not is_missing(cell)}
            for (place, _), (subject, occasion), time, cell in zip(rows, labels, minutes, cells, strict=True):
                if time in taken:
                    sample = {"time": time, "analyte": what.analyte, "value": cell, "unit": unit}
                    reading.add_sample(place, subject=subject, occasion=occasion, **sample)
        _covariates(layout, rows, labels, set(columns), reading)


def _analyte_columns(layout: Layout, reading: Reading) -> dict[int, Measured]:
    answered = {squeezed(theirs): ours for theirs, ours in reading.answers.analytes.items()}
    columns = {}
    for column, header in enumerate(layout.header):
        if squeezed(header) in answered:
            columns[column] = Measured(answered[squeezed(header)])
        elif (what := measured(header)) and (what.minutes is None or not what.timed):
            columns[column] = what
    return {column: what for column, what in columns.items() if what.minutes is None}


def _analyte(cell: str, reading: Reading) -> str:
    """The analyte that a cell names, by an answer, its own name or as a header would."""
    if answered := reading.answers.analytes.get(cell):
        return answered
    name = cell.lower().replace("-", "_").replace(" ", "_")
    what = measured(cell)
    return name if name in analytes() else what.analyte if what and what.minutes is None else cell


def _rows(layout: Layout, reading: Reading) -> tuple[list[Cells], list[tuple[str, str]]]:
    """The rows of a table, and of which subject and occasion each is."""
    found, rows = layout.columns(reading.answers), list(layout.rows(reading))
    column = subject_column(layout, reading)
    if column is None and "subject" not in layout.header and _one_person(layout, rows):
        reading.said.append(f"{layout.grid.file} is of one person, called {layout.grid.name!r}")
    elif column is None:
        ask_subject(layout, reading)
        return [], []
    if column is not None:
        for place, row in rows:
            if is_summary(row[column]):
                reading.unused.append(f"{place[0]}, {place[1]} {place[2]}: {row[column]!r} is a summary.")
        rows = [(place, row) for place, row in rows if not is_summary(row[column])]
    at = found.get("occasion")
    labels = [
        (layout.grid.name if column is None else row[column], "1" if at is None else row[at])
        for _, row in rows
    ]
    return rows, labels


def _one_person(layout: Layout, rows: Sequence[Cells]) -> bool:
    """Whether a table without subjects can be of one person: no text in it says otherwise, no row repeats."""
    return not any(
        as_number(row[column]) != as_number(row[column]) and not is_clock(row[column])
        for _, row in rows
        for column, header in enumerate(layout.header)
        if not header and row[column]
    )


def _minutes(
    layout: Layout,
    rows: Sequence[Cells],
    labels: Sequence[tuple[str, str]],
    series: Sequence[object],
    reading: Reading,
) -> list[str]:
    """The time of each row in minutes, as text; what is no time stays as it is, and is a fault later."""
    found, answers, file = layout.columns(reading.answers), reading.answers, layout.grid.file
    column = found["time"]
    written = [row[column] for _, row in rows]
    if any(map(is_clock, written)):
        return _from_clock(layout, rows, labels, series, reading)
    if answers.start:
        reading.problems.add(
            f"start is {next(iter(answers.start.values()))!r}, and no time is one of day.", file
        )
    unit = time_unit(layout.header[column]) or answers.units.get("time", "min")
    try:
        factor = convert(1.0, unit, "time")
    except UnitError:
        reading.problems.add(f"times are in {unit!r}. Known: {', '.join(allowed_units('time'))}.", file)
        return list(written)
    stated = time_unit(layout.header[column])
    if not stated and is_of_clock(layout.header[column]):
        reading.problems.add(
            f"column {layout.header[column]!r} is of a clock, and {some(written[:3])} is no time of day. "
            "Write it as 08:30.",
            file,
        )
    elif not stated and bracketed(layout.header[column]) and "time" not in answers.units:
        reading.problems.add(
            f"column {layout.header[column]!r}: the unit is not known. {say('units', repr({'time': 'min'}))} "
            f"Known: {', '.join(allowed_units('time'))}.",
            file,
        )
    elif not stated:
        ask_hours(map(as_number, written), reading, file)
    reading.said.append(f"times are in {unit}" + ("" if stated else " (not stated)"))
    return [
        cell if as_number(cell) != as_number(cell) else format(as_number(cell) * factor, ".10g")
        for cell in written
    ]


def _from_clock(
    layout: Layout,
    rows: Sequence[Cells],
    labels: Sequence[tuple[str, str]],
    series: Sequence[object],
    reading: Reading,
) -> list[str]:
    """Times of day as minutes from the zero of each test."""
    found, answers, file, problems = (
        layout.columns(reading.answers),
        reading.answers,
        layout.grid.file,
        reading.problems,
    )
    date = found.get("date")
    texts = []
    for _, row in rows:
        text = row[found["time"]]
        alone = date is not None and row[date] and not any(sign in text for sign in "-/.")
        texts.append(
            f"{row[date].split(' ')[0].split('T')[0]} {text}" if alone and date is not None else text
        )
    order = date_order(texts, answers, problems, file)
    moments: list[Moment | None] = [moment(text, order) for text in texts]
    for (place, _), text, each in zip(rows, texts, moments, strict=True):
        if each is None:
            problems.add(f"time {text!r} is no time of day.", f"{place[0]}, {place[1]} {place[2]}:")
    if None in moments:
        return list(texts)
    known = [each for each in moments if each is not None]
    axis = [0.0] * len(rows)
    for one in dict.fromkeys(series):
        mine = [number for number, other in enumerate(series) if other == one]
        for number, value in zip(
            mine, elapsed([known[n] for n in mine], answers, problems, file), strict=True
        ):
            axis[number] = value
    zeros = _zeros(layout, rows, labels, list(zip(known, axis, strict=True)), order, reading)
    return [
        format(round(value - zeros.get(label, 0.0), 6), ".10g")
        for value, label in zip(axis, labels, strict=True)
    ]


def _zeros(
    layout: Layout,
    rows: Sequence[Cells],
    labels: Sequence[tuple[str, str]],
    samples: Sequence[tuple[Moment, float]],
    order: str,
    reading: Reading,
) -> Mapping[tuple[str, str], float]:
    stated_at = layout.columns(reading.answers).get("dose_time")
    zeros, said, unknown = {}, {}, []
    for label in dict.fromkeys(labels):
        mine = [number for number, other in enumerate(labels) if other == label]
        own = [samples[number] for number in mine]
        cells = [rows[n][1][stated_at] for n in mine] if stated_at is not None else []
        several = dict.fromkeys(filter(None, cells))
        if len(several) > 1 and label[0] not in reading.answers.start:
            reading.problems.add(
                f"subject {label[0]} has several times of the dose in one test: {some(list(several))}. Keep "
                "one, or tell the tests apart by a column 'occasion'.",
                layout.grid.file,
            )
        stated = next(iter(several), "")
        found = zero(label[0], own, (), stated, reading.answers, order, reading.problems, layout.grid.file)
        if found is None:
            unknown.append(label[0])
            continue
        start = reading.answers.start.get(label[0], reading.answers.start.get("", ""))
        times = sorted(value for _, value in own)
        apart = [b - a for a, b in pairwise(times)]
        if (
            start
            and ":" in start
            and not any(sign in start for sign in "-/.")
            and max(apart, default=0) > GAP
        ):
            reading.problems.add(
                f"subject {label[0]} has samples on several days. Tell the tests apart by a column "
                "'occasion', or give start with its date.",
                layout.grid.file,
            )
        zeros[label], said[label] = found
    if unknown:
        said = [reading.answers.start.get(who, reading.answers.start.get("", "")) for who in unknown]
        given = "start is no time of day" if all(said) else "times are of the clock"
        reading.problems.add(
            f"{given}: when was each test's dose ({some(list(dict.fromkeys(unknown)))})? {say('start')} Or "
            "start='first', which takes the first sample of each test for it, or a mapping by subject, or a "
            "column 'dose_time'.",
            layout.grid.file,
        )
    elif said:
        reading.said.append(f"zero of each test is {some(list(dict.fromkeys(said.values())))}")
    return zeros


def _covariates(
    layout: Layout,
    rows: Sequence[Cells],
    labels: Sequence[tuple[str, str]],
    used: set[int],
    reading: Reading,
) -> None:
    found = layout.columns(reading.answers)
    clock = any(is_clock(row[found["time"]]) for _, row in rows)
    read = {"subject", "occasion", "time", *(("date", "dose_time") if clock else ())}
    used = used | {found[name] for name in read & set(found)}
    if (column := subject_column(layout, reading)) is not None:
        used = used | {column}
    columns = {
        header: [(*label, row[column]) for (_, row), label in zip(rows, labels, strict=True)]
        for column, header in enumerate(layout.header)
        if column not in used
    }
    reading.add_people(columns, layout.grid.file)
