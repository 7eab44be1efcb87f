"""Tables of a study as text with line numbers, and what is wrong with them said once for all lines alike."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bayesglu.errors import BayesgluError
from bayesglu.text.problems import hint, nearest
from bayesglu.units import UnitError, allowed_units, convert

MISSING = frozenset({"", "na", "nan", "n/a", "null", "none", "<na>", "nat"})


class StudyError(BayesgluError, ValueError):
    """A study that cannot be used. The message, and `problems`, list every fault that it has.

    Examples
    --------
    >>> import bayesglu as bg
    >>> try:
    ...     bg.load_study("bergman1986").select(subjects=["2"])
    ... except bg.StudyError as error:
    ...     print(error)
    There is no subject '2'. Known: 1.
    """


class Faults:
    """What is wrong with one table; faults that differ only in line and in what was found share one sentence.

    >>> faults = Faults("observations.csv")
    >>> for line, word in [(2, "5.O"), (3, "n.d."), (9, "5.1.")]:
    ...     faults.add("value {found} is not a number.", line, repr(word))
    >>> print(*faults.sentences())
    observations.csv, lines 2-3, 9: value '5.O', 'n.d.', '5.1.' is not a number.
    """

    def __init__(self, file: str, word: str = "line"):
        self.file, self.word = file, word
        self._found: dict[str, list[tuple[int | None, str]]] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, message: str, line: int | None = None, found: object = "") -> None:
        """Note `message` at `line`; its ``{found}`` will be what was found on all lines with this message."""
        self._found.setdefault(message, []).append((line, str(found)))

    def sentences(self) -> list[str]:
        """Every fault with its place, by first line."""
        by_line = sorted(self._found.items(), key=lambda item: item[1][0][0] or 0)
        return [self._sentence(message, places) for message, places in by_line]

    def _sentence(self, message: str, places: list[tuple[int | None, str]]) -> str:
        lines = {line for line, _ in places if line is not None}
        word = f"{self.word}s" if len(lines) > 1 else self.word
        where = f"{self.file}, {word} {ranges(lines)}" if lines else self.file
        different = list(dict.fromkeys(found for _, found in places))
        more = f" and {len(different) - 3} more" if len(different) > 3 else ""
        return f"{where}: {message.replace('{found}', ', '.join(different[:3]) + more)}"


def ranges(numbers: Iterable[int]) -> str:
    """Write whole numbers shortly: ``[2, 3, 4, 9]`` -> ``"2-4, 9"``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in runs)


class Table:
    """Rows of text: a data frame of strings whose index is the line number, and the faults found in it."""

    def __init__(self, rows: pd.DataFrame, faults: Faults):
        self.rows, self.faults = rows, faults

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read a CSV file. Blank lines are skipped; a ragged line is a fault."""
        # Python's own reader rather than pandas': it knows on which line each row ends and guesses no type.
        faults = Faults(path.name)
        lines: list[int] = []
        rows: list[list[str]] = []
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.reader(file)
                for row in reader:
                    if any(cell.strip() for cell in row):
                        lines.append(reader.line_num)
                        rows.append([cell.strip() for cell in row])
        except UnicodeDecodeError:
            faults.add("is not UTF-8 text. Save it again as 'CSV UTF-8'.")
        except OSError as error:
            faults.add(f"cannot be read: {error.strerror}.")
        if not rows:
            if not faults:
                faults.add("is empty.")
            return cls(pd.DataFrame(), faults)
        header = [name.lower() for name in rows[0]]
        if len(header) == 1 and re.search(r"[;\t]", header[0]):
            faults.add(
                "has one column. Are the values separated by ';' or tabs? Separate them by commas.", lines[0]
            )
            return cls(pd.DataFrame(), faults)
        for name in dict.fromkeys(name for name in header if header.count(name) > 1):
            faults.add(f"column {name!r} is there {header.count(name)} times.", lines[0])
        if len(rows) == 1:
            faults.add("has a header and no rows.", lines[0])
        whole = []
        for line, row in zip(lines[1:], rows[1:], strict=True):
            if len(row) == len(header):
                whole.append((line, row))
            else:
                faults.add(f"{{found}} cells where the header has {len(header)}.", line, len(row))
        frame = pd.DataFrame(
            [row for _, row in whole], columns=header, index=[line for line, _ in whole], dtype=object
        )
        return cls(frame.loc[:, ~frame.columns.duplicated()], faults)

    @classmethod
    def of(cls, frame: pd.DataFrame, name: str) -> Table:
        """Take a data frame; its rows are counted from 1."""
        faults = Faults(name, word="row")
        if frame.empty:
            faults.add("is empty.")
        text = {
            str(name).strip().lower(): [_text(cell) for cell in frame[name].tolist()]
            for name in frame.columns
        }
        return cls(pd.DataFrame(text, index=range(1, len(frame) + 1), dtype=object), faults)

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return self.rows.columns.tolist()

    def lines(self) -> Iterator[tuple[int, pd.Series]]:
        """The number of each line, and its cells by column."""
        return zip(self.rows.index.tolist(), (row for _, row in self.rows.iterrows()), strict=True)

    def rename(self, columns: Mapping[str, str], all_there: bool = False) -> None:
        """Give columns our names: `columns` maps our name to the one in the file."""
        for ours, theirs in columns.items():
            if (
                all_there
                and theirs.lower() not in self.rows
                and ours not in self.rows
                and not self.rows.empty
            ):
                self.faults.add(f"has no column {theirs!r}, which the datasheet calls {ours!r}.")
        self.rows = self.rows.rename(columns={theirs.lower(): ours for ours, theirs in columns.items()})

    def minutes(self, name: str, unit: str = "min", required: bool = True) -> None:
        """Turn a column of times, called ``name`` or ``name_h`` and the like, into one of minutes."""
        columns = [column for column in self.names if column == name or column.startswith(f"{name}_")]
        if len(columns) > 1:
            self.faults.add(f"has more than one column of {name}: {', '.join(columns)}. Keep one.")
        if not columns:
            return
        column = columns[0]
        unit = column.removeprefix(name).lstrip("_") or unit
        try:
            factor = convert(1.0, unit, "time")
        except UnitError:
            known = ", ".join(allowed_units("time"))
            self.faults.add(f"the times of column {column!r} have an unknown unit {unit!r}. Known: {known}.")
            return
        self.rows[name] = self.numbers(column, required) * factor
        if column != name:
            self.rows = self.rows.drop(columns=columns)

    def require(self, columns: Iterable[str], others: Iterable[str] = ()) -> bool:
        """Note the required columns that are missing; say whether all are there.

        A column that is none of the required ones or the others is one that nobody reads: a fault when its
        name is close to one that is not there, otherwise left for :meth:`unread`.
        """
        required, others = list(columns), list(others)
        if self.rows.columns.empty:
            return False
        missing = [name for name in required if name not in self.rows]
        if missing:
            plural = "s" if len(missing) > 1 else ""
            likely = "".join(hint(name, self.unread([*required, *others])) for name in missing)
            self.faults.add(
                f"lacks the column{plural} {', '.join(missing)}.{likely} Found: {', '.join(self.names)}."
            )
        absent = [name for name in others if name not in self.rows]
        for name in self.unread([*required, *others]):
            if not missing and (meant := nearest(name, absent)):
                self.faults.add(f"column {name!r} is not known. Did you mean {meant!r}?")
        return not missing

    def unread(self, known: Iterable[str]) -> list[str]:
        """Names of the columns that are not among those known."""
        return [name for name in self.names if name not in set(known)]

    def column(self, name: str, default: str = "") -> pd.Series:
        """A column of text, or `default` on every row."""
        return (
            self.rows[name] if name in self.rows else pd.Series(default, index=self.rows.index, dtype=object)
        )

    def labels(self, name: str, default: str | None = None) -> pd.Series:
        """A column of labels. An empty one is a fault, unless there is no such column and a default."""
        if name not in self.rows and default is not None:
            return self.column(name, default)
        for line, label in cells(self.rows[name]):
            if is_missing(label):
                self.faults.add(f"{name} is empty.", line)
        return self.rows[name]

    def numbers(self, name: str, required: bool = True) -> pd.Series:
        """A column of finite numbers; text in it is a fault, and so is an empty cell of a required one."""
        return pd.Series(
            [self.number(cell, name, line, required) for line, cell in cells(self.column(name))],
            index=self.rows.index,
            dtype=float,
        )

    def number(self, cell: str, name: str, line: int, required: bool = False) -> float:
        """One cell as a number, NaN when it is empty or no number."""
        if is_missing(cell):
            if required:
                self.faults.add(f"{name} is empty.", line)
            return math.nan
        value = as_number(cell)
        if math.isnan(value):
            fix = " Write a decimal point." if re.fullmatch(r"[<>]?\s*-?\d+,\d+", cell) else ""
            self.faults.add(f"{name} {{found}} is not a number.{fix}", line, repr(cell))
        return value


def cells(column: pd.Series) -> Iterator[tuple[int, Any]]:
    """The number of each line of a column, and what stands there."""
    return zip(column.index.tolist(), column.tolist(), strict=True)


def records(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows of a data frame, each with its cells by name and its number as ``Index``."""
    yield from frame.itertuples()


def as_number(cell: str) -> float:
    """A text as a finite number, or NaN."""
    try:
        value = float(cell)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


def is_missing(cell: str) -> bool:
    """Say whether a cell is empty or says so."""
    return cell.lower() in MISSING


def natural(label: str) -> list:
    """Key that sorts labels as people do: 2 before 10, ``P2`` before ``P10``."""
    parts = re.split(r"(\d+)", label)
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]


def _text(cell: object) -> str:
    if cell is None or cell is pd.NA or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    return str(cell).strip() if not isinstance(cell, np.generic) else str(cell.item())
