"""The forms that a table may have, and which one it has."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bayesglu.analytes import analytes
from bayesglu.errors import InputError
from bayesglu.study.readers import carelink, clarity, libreview, nightscout, nonmem, tall, wide
from bayesglu.study.readers.answers import Answers
from bayesglu.study.readers.clock import is_clock
from bayesglu.study.readers.grid import Grid, read_grids
from bayesglu.study.readers.headers import squeezed
from bayesglu.study.readers.layout import Layout, measured_at
from bayesglu.study.readers.numbers import plain_numbers
from bayesglu.study.readers.reading import Questions, Reading
from bayesglu.study.tables import StudyError
from bayesglu.text.problems import hint
from bayesglu.text.wording import some


@dataclass(frozen=True)
class Form:
    """A form of tables: what it is in words, where a grid has it, and how it is read."""

    words: str
    find: Callable[[Grid, Reading], Layout | None]
    read: Callable[[Sequence[Layout], Reading], None]


FORMS = {
    "clarity": Form("an export of Dexcom Clarity", clarity.find, clarity.read),
    "libreview": Form("an export of LibreView", libreview.find, libreview.read),
    "carelink": Form("an export of Medtronic CareLink", carelink.find, carelink.read),
    "nightscout": Form("entries and treatments of Nightscout", nightscout.find, nightscout.read),
    "nonmem": Form("an event table, as of NONMEM and rxode2", nonmem.find, nonmem.read),
    "long": Form("one row per sample", tall.find_long, tall.read_long),
    "half-wide": Form("one row per time, one column per analyte", tall.find_half_wide, tall.read_half_wide),
    "wide": Form("one row per person, one column per time", wide.find_wide, wide.read_wide),
}
"""The forms by name, in the order in which they are tried."""

TABLES = ("long", "half-wide", "wide")
"""Forms that hold no doses."""

FOREIGN = (
    *("zeitstempel", "gerätezeitstempel", "horodat", "marcatemporal", "marcadetiempo", "timestampdisp"),
    *("tijdstempel", "timbroorario"),
)
"""How headers of exports begin that are in other languages."""

OTHER_NAMES = {"rxode2": "nonmem", "monolix": "nonmem", "dexcom": "clarity", "libre": "libreview"}


def read_forms(
    sources: Sequence[Path | pd.DataFrame], form: str | None, answers: Answers, protocol_given: bool
) -> Reading:
    """What the reader of a form makes of files or data frames; the form is looked for where none is given.

    Raises StudyError where no form is recognised, and with every question and fault that the reader has.
    """
    named = OTHER_NAMES.get(form or "", form)
    if named is not None and named not in FORMS:
        raise InputError(f"There is no format {form!r}.{hint(form, FORMS)} Known: {', '.join(FORMS)}.")
    grids = [grid for source in sources for grid in read_grids(source)]
    problems = Questions(", ".join(dict.fromkeys(_title(source) for source in sources)))
    said = [sentence for grid in grids for sentence in grid.said]
    plain = []
    for grid in grids:
        changed, sentences = plain_numbers(grid, answers, problems)
        plain.append(changed)
        said += sentences
    for name in [named] if named else FORMS:
        reading = Reading(name, answers, problems, protocol_given)
        found = [(g, FORMS[name].find(g, reading) if len(g.rows) > 1 else None) for g in plain]
        layouts = [layout for _, layout in found if layout is not None]
        if layouts:
            reading.said = [FORMS[name].words, *dict.fromkeys(said)]
            if name in (*TABLES, "nonmem"):
                for layout in layouts:
                    _check_twice(layout, reading)
            FORMS[name].read(layouts, reading)
            _others([grid for grid, layout in found if layout is None], reading)
            reading.ask_units()
            _check_answers(layouts, reading)
            if problems and name in TABLES and not protocol_given:
                problems.add("has no protocol and no dosing events. Name a protocol, such as 'ogtt(75)'.")
            problems.raise_any(StudyError)
            return reading
    problems.add(_unrecognised(plain, named))
    error = StudyError("\n".join(problems.found))
    error.problems = tuple(problems.found)
    raise error


def is_plain(path: Path) -> bool:
    """Say whether a file is a table of observations as a study's folder has it: nothing has to be asked."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        rows = [row for row in csv.reader(text.splitlines()) if any(cell.strip() for cell in row)]
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    if not rows or "\0" in text:
        return not rows
    header = [cell.strip().lower() for cell in rows[0]]
    columns = {
        name.partition("_")[0] if name.startswith("time") else name: n for n, name in enumerate(header)
    }
    if len({"subject", "time", "analyte", "value"} & set(columns)) < 3:
        return False
    cells = {name: [row[n] for row in rows[1:] if len(row) > n] for name, n in columns.items()}
    odd = any("," in cell for cell in cells.get("value", ())) or any(map(is_clock, cells.get("time", ())))
    return not odd


def _unrecognised(grids: Sequence[Grid], form: str | None = None) -> str:
    """A sentence on a table that has none of the forms, or not the one that was named."""
    head = grids[0].rows[0] if grids and grids[0].rows else ()
    first = some([cell for cell in head if cell]) or "nothing"
    forms = "; ".join(f"{name}: {each.words}" for name, each in FORMS.items())
    if form:
        return f"does not look like {FORMS[form].words}. Found: {first}."
    foreign = any(
        squeezed(cell).startswith(FOREIGN) for grid in grids for row in grid.rows[:8] for cell in row
    )
    advice = " Is it an export of a device? They are read in English: export it again." if foreign else ""
    return f"has no form that is known. Found: {first}.{advice}\n  Forms: {forms}."


def _check_answers(layouts: Sequence[Layout], reading: Reading) -> None:
    """Note answers about what the tables do not have."""
    answers, problems = reading.answers, reading.problems
    headers = [name for layout in layouts for name in layout.header if name]
    for ours, theirs in answers.columns.items():
        if squeezed(theirs) not in set(map(squeezed, headers)):
            problems.add(f"columns says that {ours} is {theirs!r}: no column.{hint(theirs, headers)}")
    people = {row.cells["subject"] for row in reading.samples}
    for label in set(answers.start) - {""} - people if people else ():
        problems.add(f"start is given for {label!r}, who has no samples.{hint(label, people)}")
    known = *reading.people.values(), *reading.visits.values()
    covariates = {name for own in known for name in own}
    for name in set(answers.units) - {"time", *analytes(), *covariates}:
        known = {"time", *analytes(), *covariates}
        problems.add(f"units is given for {name!r}, which is not in the table.{hint(name, known)}")


def _check_twice(layout: Layout, reading: Reading) -> None:
    """Note columns of one name, but those of an analyte at a time, whose readers tell of them."""
    names = [name for at, name in enumerate(layout.header) if name and measured_at(layout, at) is None]
    for name, times in Counter(names).items():
        if times > 1:
            reading.problems.add(f"column {name!r} is there {times} times. Keep one.", layout.grid.file)


def _others(grids: Sequence[Grid], reading: Reading) -> None:
    """Take covariates from grids of people, with one row each; name the others."""
    known = {row.cells["subject"] for row in reading.samples}
    for grid in grids:
        layout = Layout.at(grid)
        column = layout.columns(reading.answers).get("subject")
        rows = [row for row in grid.rows[1:] if column is not None and len(row) > column]
        if column is not None and rows and {row[column] for row in rows} <= known:
            cells = {
                header: [(row[column], "", row[at]) for row in rows if len(row) > at]
                for at, header in enumerate(layout.header)
                if at != column
            }
            reading.add_people(cells, grid.file)
        else:
            reading.unused.append(f"{grid.file}: no table of samples or people: not used.")


def _title(source: Path | pd.DataFrame) -> str:
    return "table" if isinstance(source, pd.DataFrame) else source.name
