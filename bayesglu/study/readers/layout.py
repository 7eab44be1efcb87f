"""Where things stand in a grid: on which rows its header is, and which column is what."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bayesglu.study.readers.answers import Answers, say
from bayesglu.study.readers.grid import Grid
from bayesglu.study.readers.headers import measured, only_time, role, squeezed, time_column
from bayesglu.study.readers.reading import SUMMARIES, Reading
from bayesglu.text.problems import hint
from bayesglu.text.wording import some

HOURS_BELOW = 10.0
"""Where no unit is stated and all times are below, they may be hours."""

MOST_TITLES, MOST_HEADERS = 8, 3
"""So many rows may stand above a header, and so many make one."""


@dataclass(frozen=True)
class Layout:
    """A grid with its header: one text a column, and the rows below it."""

    grid: Grid
    header: tuple[str, ...]
    below: int

    @classmethod
    def at(cls, grid: Grid, skip: int = 0, depth: int = 1) -> Layout:
        """The grid with a header of `depth` rows below `skip` rows of titles; cells of merged ones go on."""
        *upper, last = grid.rows[skip : skip + depth]
        width = max(len(row) for row in (*upper, last))
        parts = [[*map(str, row), *[""] * (width - len(row))] for row in (*upper, last)]
        for row in parts[:-1]:
            for column in range(1, width):
                row[column] = row[column] or row[column - 1]
        header = []
        for column in range(width):
            words = [row[column] for row in parts if row[column]]
            whole = " ".join(dict.fromkeys(words))
            alone = parts[-1][column] or whole
            header.append(whole if measured(whole) or not parts[-1][column] else alone)
        return cls(grid, tuple(header), skip + depth)

    def role(self, column: int, answers: Answers) -> str:
        """What a column is there for: an answer counts before its header."""
        for ours, theirs in answers.columns.items():
            if squeezed(theirs) == squeezed(self.header[column]):
                return ours
        return "time" if time_column(self.header[column]) else role(self.header[column])

    def columns(self, answers: Answers) -> dict[str, int]:
        """The first column of each role."""
        found: dict[str, int] = {}
        for column in range(len(self.header)):
            if name := self.role(column, answers):
                found.setdefault(name, column)
        return found

    def rows(self, reading: Reading) -> Iterator[tuple[tuple[str, str, int], Sequence[str]]]:
        """The place and the cells of each row that is as long as the header; others are faults."""
        width, grid = len(self.header), self.grid
        for line, row in zip(grid.lines[self.below :], grid.rows[self.below :], strict=True):
            if any(row[width:]) or len(row) < width:
                reading.problems.add(
                    f"{len(row)} cells where the header has {width}. Is a comma part of a number? Put it in "
                    "quotes, or separate cells by semicolons.",
                    f"{grid.file}, {grid.word} {line}:",
                )
            else:
                yield (grid.file, grid.word, line), row[:width]


def subject_column(layout: Layout, reading: Reading) -> int | None:
    """The column of people; a first one without a name is one, where no label comes back."""
    found = layout.columns(reading.answers)
    if "subject" in found:
        return found["subject"]
    cells = [row[0] for row in layout.grid.rows[layout.below :] if row]
    if not layout.header[0] and all(cells) and len(set(cells)) == len(cells):
        reading.said.append(
            f"{layout.grid.file}: the first column, which has no name, is that of the subjects"
        )
        return 0
    return None


def ask_subject(layout: Layout, reading: Reading) -> None:
    """Note that no column says who a row is of."""
    names = [name for name in layout.header if name]
    likely = hint("subject", names)
    reading.problems.add(
        f"has no column of subjects.{likely} {say('columns')} Found: {some(names)}.", layout.grid.file
    )


def check_columns(layout: Layout, reading: Reading) -> None:
    """Note columns for which a table without a row per sample has no place."""
    if found := [name for name in layout.header if squeezed(name) in ("use", "censoring")]:
        reading.refuse_marks(found, layout.grid.file)
    known = (measured_at(layout, column) for column in range(len(layout.header)))
    last = max((abs(what.minutes) for what in known if what and what.minutes is not None), default=math.inf)
    for name in layout.header if last >= HOURS_BELOW else ():  # of hours, 1.1 may be one
        first = re.sub(r"\.[1-9]$", "", name)
        if first != name and first in layout.header:
            reading.problems.add(
                f"column {name!r} is probably {first!r} a second time, as pandas calls it. Keep one.",
                layout.grid.file,
            )


def ask_hours(times: Iterable[float], reading: Reading, where: str) -> None:
    """Ask whether times without a unit are hours, where all of them are small."""
    found = {abs(time) for time in times if time == time}
    if len(found) > 1 and max(found) < HOURS_BELOW and "time" not in reading.answers.units:
        reading.problems.add(
            f"times go to {max(found):g} and have no unit: are they hours? "
            f"{say('units', repr({'time': 'h'}))} Or 'min'.",
            where,
        )


def is_summary(label: str) -> bool:
    """Say whether the label of a row is that of a summary below the people."""
    return label.strip().lower().rstrip(":.") in SUMMARIES


def measured_at(layout: Layout, column: int):
    """What a column holds if it is an analyte at a time; None otherwise."""
    header = layout.header[column]
    what = measured(header)
    if what is None and only_time(header) is not None:
        what = measured(f"{layout.grid.name} {header}")
    return what if what is not None and what.minutes is not None else None
