"""What a reader found: samples, people, doses, and what it has to say; as the tables of a study."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from bayesglu.analytes import analytes
from bayesglu.study.columns import is_mark, meaning
from bayesglu.study.datasheet import Datasheet
from bayesglu.study.readers.answers import Answers, say
from bayesglu.study.readers.headers import covariate, is_dose, mentioned
from bayesglu.study.tables import Faults, Table, as_number, is_missing
from bayesglu.text.problems import Problems
from bayesglu.text.wording import some
from bayesglu.units import UnitError, allowed_units, convert, has_unit

SUMMARIES = {"mean", "sd", "se", "sem", "median", "average", "total", "n", "sum", "min", "max", "std"}
"""Labels of rows below a table that are no people."""


class Questions(Problems):
    """Questions and faults of a reader; a place names its file, and stands for the source."""

    def add(self, message: str, place: str = "") -> None:
        """Note `message`, once."""
        sentence = f"{place.rstrip(':') or self.where}: {message}"
        if sentence not in self.found:
            self.found.append(sentence)


@dataclass(frozen=True)
class Row:
    """One sample or dose: cells by the names of the columns of a study, and where it stands."""

    cells: Mapping[str, str]
    file: str
    word: str
    line: int


@dataclass
class Reading:
    """What one reader makes of some grids.

    ``said`` are sentences on what was taken for what; ``unused`` on what was found and left out, which become
    warnings; ``people`` are covariates by subject, ``visits`` those by (subject, occasion), where they differ
    between these; ``units`` those of covariates.
    """

    form: str
    answers: Answers
    problems: Problems
    protocol_given: bool = False
    samples: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    people: dict[str, dict[str, str]] = field(default_factory=dict)
    visits: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    _asked: dict[str, list[str]] = field(default_factory=dict)

    def add_sample(self, place: tuple[str, str, int], **cells: str) -> None:
        """Note a sample; ``place`` is file, word and line."""
        self.samples.append(Row(cells, *place))

    def add_event(self, place: tuple[str, str, int], **cells: str) -> None:
        """Note a dose."""
        self.events.append(Row(cells, *place))

    def unit(self, analyte: str, stated: str, values: Iterable[str] = ()) -> str:
        """The unit of an analyte as a header states it or an answer does; otherwise it is asked for."""
        answered = self.answers.units.get(analyte, "")
        if stated and answered and not _same(stated, answered, analyte):
            self.problems.add(
                f"{analyte} is in {stated!r} as the table says, and in {answered!r} as units does. Keep one."
            )
        if not stated and not answered:
            self._asked.setdefault(analyte, []).extend(values)
        return answered or stated

    def ask_units(self) -> None:
        """Note a question for each analyte that has no unit."""
        for analyte, cells in self._asked.items():
            usual, known = _usual(analyte, cells), allowed_units(analyte)
            likely = f" Usual values they would be in {' and in '.join(usual)}." if usual else ""
            self.problems.add(
                f"does not say in which unit {analyte} is ({_shown(cells)}). "
                f"{say('units', repr({analyte: (usual or known)[0]}))}{likely} Known: {', '.join(known)}."
            )

    def add_people(self, columns: Mapping[str, Sequence[tuple[str, str, str]]], where: str) -> None:
        """Take columns of (subject, occasion, cell) for covariates where each person has one value, or one on
        each occasion; name the others, and refuse those that mark values."""
        varying, taken, unnamed, doses, marks, no_samples = [], [], [], [], [], []
        for header, cells in columns.items():
            own: dict[str, set[str]] = {}
            visits: dict[tuple[str, str], set[str]] = {}
            for subject, occasion, cell in cells:
                found = () if is_missing(cell) else (cell,)
                own.setdefault(subject, set()).update(found)
                visits.setdefault((subject, occasion), set()).update(found)
            if not any(own.values()):
                continue
            name, unit = covariate(header)
            if not is_dose(header) and (found := meaning(header, "observations")):
                marks += [header] if any(is_mark(cell, found[0]) for *_, cell in cells) else []
                continue
            if mentioned(header) and not is_dose(header):
                no_samples.append(repr(header))
            if name in ("", "subject"):
                (doses if is_dose(header) else unnamed).append(repr(header))
            elif any(len(values) > 1 for values in visits.values()):
                varying.append(header)
            else:
                differs = any(len(values) > 1 for values in own.values())
                taken.append(name + (f" ({unit})" if unit else ""))
                people = *self.people.values(), *self.visits.values()
                if name in self.units or any(name in known for known in people):
                    self.problems.add(f"more than one column is the covariate {name!r}. Keep one.", where)
                if unit or name in self.answers.units:
                    self.units[name] = self.answers.units.get(name, unit)
                elif has_unit(name) and name not in analytes():
                    self.said.append(
                        f"{name} has no unit in its header and is taken in {allowed_units(name)[0]}"
                    )
                for subject, values in own.items() if not differs else ():
                    self.people.setdefault(subject, {})[name] = next(iter(values), "")
                for visit, values in visits.items() if differs else ():
                    self.visits.setdefault(visit, {})[name] = next(iter(values), "")
        if marks:
            self.refuse_marks(marks, where)
        if no_samples:
            self.unused.append(
                f"{where}: column {some(no_samples)}: not taken for samples, though an analyte is named. If "
                "they are, is the unit wrong? `analytes` says what a column is."
            )
        if taken:
            self.said.append(f"covariates: {', '.join(taken)}")
        if varying:
            self.unused.append(
                f"{where}: {_these(varying)} one person has several values on one occasion: not used."
            )
        if doses:
            self.unused.append(f"{where}: column {some(doses)}: not used. A protocol says what was given.")
        if unnamed:
            self.unused.append(f"{where}: column {some(unnamed)}: not used.")

    def refuse_marks(self, headers: Sequence[str], where: str) -> None:
        """Note columns that say which values count."""
        self.problems.add(
            f"column {some(list(map(repr, headers)))} says which values do not count as they stand. Write "
            "'<' before a limit, leave empty what does not count, and take the column away.",
            where,
        )

    def sheet(self, source: str) -> Datasheet:
        """What a datasheet says of the tables: the form and the source, what was taken for what, units."""
        about = {"source": source, "format": self.form, "note": "; ".join(dict.fromkeys(self.said))}
        return Datasheet(about=about, units=self.units)

    def tables(self) -> dict[str, Table]:
        """The tables of a study; their faults name the lines of the files that were read."""
        found = {"observations": _table(self.samples, "observations")}
        known = [{"subject": subject, **cells} for subject, cells in self.people.items()]
        if self.visits:
            sampled = {(row.cells["subject"], row.cells.get("occasion", "1")) for row in self.samples}
            seen = {visit: cells for visit, cells in self.visits.items() if visit in sampled}
            alone = [own for own in known if own["subject"] not in {subject for subject, _ in seen}]
            known = [
                {"subject": subject, "occasion": occasion, **self.people.get(subject, {}), **cells}
                for (subject, occasion), cells in seen.items()
            ] + alone
        if known:
            rows = [Row(cells, "covariates", "person", number) for number, cells in enumerate(known, start=1)]
            found["subjects"] = _table(rows, "subjects")
        if self.events:
            found["events"] = _table(self.events, "events")
        return found


class SourceFaults(Faults):
    """Faults of a table made of others: they name the lines where it was read."""

    def __init__(self, rows: Sequence[Row], otherwise: str):
        files = list(dict.fromkeys(row.file for row in rows)) or [otherwise]
        super().__init__(some(files), rows[0].word if rows else "line")
        self._lines = dict(zip(numbers(rows), (row.line for row in rows), strict=True))

    def add(self, message: str, line: int | None = None, found: object = "") -> None:
        """Note `message` at the line that was read; what was found may be a line, too."""
        found = self._lines.get(found, found) if isinstance(found, int) else found
        super().add(message, self._lines.get(line, line) if line is not None else None, found)


def numbers(rows: Sequence[Row]) -> list[int]:
    """The lines of rows where each has its own; otherwise rows are counted from 1."""
    lines = [row.line for row in rows]
    return lines if len(set(lines)) == len(lines) else list(range(1, len(rows) + 1))


def _table(rows: Sequence[Row], name: str) -> Table:
    columns = list(dict.fromkeys(column for row in rows for column in row.cells))
    cells: dict[str, Any] = {column: [row.cells.get(column, "") for row in rows] for column in columns}
    faults = SourceFaults(rows, name)
    if not rows:
        faults.add("holds no sample that could be read.")
    return Table(pd.DataFrame(cells, index=numbers(rows), dtype=object), faults)


def _same(one: str, other: str, analyte: str) -> bool:
    try:
        return abs(convert(1.0, one, analyte) / convert(1.0, other, analyte) - 1) < 1e-9
    except UnitError:
        return one == other


def _usual(analyte: str, cells: Sequence[str]) -> list[str]:
    """The units in which the lowest values would be usual ones of fasting people."""
    numbers = sorted(number for number in map(as_number, cells) if number == number)
    kind = analytes()[analyte]
    limits = kind.usual_fasting or kind.usual
    if not numbers or not limits:
        return []
    low = numbers[len(numbers) // 8]
    return [u for u in allowed_units(analyte) if limits[0] <= convert(low, u, analyte) <= limits[1]]


def _shown(cells: Sequence[str]) -> str:
    given = [cell for cell in cells if not is_missing(cell)][:4]
    return ", ".join([*given, "..."])


def _these(names: Sequence[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {some([repr(name) for name in names])}, in which"
