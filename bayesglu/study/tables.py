"""Tables of a study as text with line numbers, and what is wrong with them said once for all lines alike."""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bayesglu.errors import BayesgluError
from bayesglu.study.cells import as_number, bare, is_missing, likely_fix, short, written
from bayesglu.text.problems import hint, nearest
from bayesglu.units import UnitError, allowed_units, convert

OTHER_NAMES: Mapping[str, str] = {
    "subject": "id subj subjectid subjid patient patientid usubjid participant participantid pid person ptid",
    "time": "t minutes min hours tad ntime timepoint nominaltime sampletime clocktime",
    "value": "dv conc concentration result measurement y obs response level reading",
    "analyte": "dvid test paramcd variable measure marker assay",
    "unit": "units uom dvunit dvu",
    "occasion": "visit occ period day session testno arm phase cycle week visitnum treatment",
    "substance": "drug what compound treatment hormone",
    "amount": "dose amt",
    "route": "adm roa administration",
    "rate": "infusionrate infrate rateofinfusion",
    "duration": "dur tinf length infusiontime",
    "absorption_rate": "ka",
    "parameter": "param",
}
"""What our columns are often called elsewhere, names without signs."""

MOST_COLUMNS = 1000
FARTHEST = 600_000.0
"""Minutes, more than a year: no test is that long."""


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
        reader = None
        try:
            with path.open(newline="", encoding="utf-8-sig") as file:
                reader = csv.reader(file, strict=True)
                for row in reader:
                    if any("\0" in cell for cell in row):
                        raise UnicodeError
                    if any(cell.strip() for cell in row):
                        lines.append(reader.line_num)
                        rows.append([cell.strip() for cell in row])
        except UnicodeError:
            faults.add("is not UTF-8 text. Save it again as 'CSV UTF-8'.")
            rows = []
        except csv.Error as error:
            line = reader.line_num if reader else None
            faults.add(f"cannot be read as CSV: {error}. Is a quotation mark not closed?", line)
        except OSError as error:
            faults.add(f"cannot be read: {error.strerror}.")
        if not rows:
            if not faults:
                faults.add("is empty.")
            return cls(pd.DataFrame(), faults)
        if len(rows[0]) == 1 and re.search(r"[;\t]", rows[0][0]):
            faults.add(
                "has one column. Are the values separated by ';' or tabs? Separate them by commas.", lines[0]
            )
            return cls(pd.DataFrame(), faults)
        return cls._checked(rows[0], rows[1:], lines[1:], faults, lines[0])

    @classmethod
    def of(cls, table: Any, name: str) -> Table:
        """Take a table from memory: a data frame of pandas or polars, or a mapping of columns. Its rows are
        counted from 1."""
        faults = Faults(name, word="row")
        try:
            names, columns = _columns_of(table)
        except (AttributeError, TypeError, ValueError) as error:
            faults.add(f"is no table: {short(str(error))}. Give a data frame, or a mapping of columns.")
            return cls(pd.DataFrame(), faults)
        if any(isinstance(each, tuple) for each in names):
            faults.add("has a header of several rows. Give each column one name.")
            return cls(pd.DataFrame(), faults)
        rows = [[written(cell) for cell in row] for row in zip(*columns, strict=True)]
        return cls._checked([str(each).strip() for each in names], rows, range(1, len(rows) + 1), faults)

    @classmethod
    def _checked(
        cls,
        header: Sequence[str],
        rows: Sequence[list[str]],
        lines: Sequence[int],
        faults: Faults,
        first: int | None = None,
    ) -> Table:
        """The table of these rows, on these lines, below a header on its line, if it has one."""
        header = [name.lower() for name in header]
        if len(header) > MOST_COLUMNS:
            found = f"has {len(header)} columns. Write one row per sample, and a column per property."
            faults.add(found, first)
            return cls(pd.DataFrame(), faults)
        for name, times in Counter(header).items():
            if times > 1 and name:
                faults.add(f"column {name!r} is there {times} times.", first)
        if not rows:
            faults.add("has a header and no rows." if header else "is empty.", first)
        whole = []
        for line, row in zip(lines, rows, strict=True):
            if len(row) == len(header):
                whole.append((line, row))
            else:
                faults.add(f"{{found}} cells where the header has {len(header)}.", line, len(row))
        frame = pd.DataFrame(
            [row for _, row in whole], columns=header, index=[line for line, _ in whole], dtype=object
        )
        if unnamed := [at for at, name in enumerate(header) if not name]:
            filled = [at for at in unnamed if not _counts([row[at] for _, row in whole])]
            if filled and faults.word == "line":
                faults.add(f"column {filled[0] + 1} has no name in the header.", first)
        return cls(frame.loc[:, ~frame.columns.duplicated() & (frame.columns != "")], faults)

    def leave_out(self, names: Collection[str]) -> list[str]:
        """Take away the columns of these names that are there; give back their names."""
        there = [name for name in self.names if name in names]
        self.rows = self.rows.drop(columns=there)
        return there

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return self.rows.columns.tolist()

    def lines(self) -> Iterator[tuple[int, pd.Series]]:
        """The number of each line, and its cells by column."""
        return zip(self.rows.index.tolist(), (row for _, row in self.rows.iterrows()), strict=True)

    def rename(self, columns: Mapping[str, str], all_there: bool = False) -> None:
        """Give columns our names: `columns` maps our name to the one in the file."""
        taken = {
            ours for ours, theirs in columns.items() if theirs.lower() in self.rows and ours in self.rows
        }
        for ours in sorted(taken):
            if columns[ours].lower() != ours:
                self.faults.add(
                    f"has the columns {ours!r} and {columns[ours]!r}, which the datasheet calls {ours!r} too."
                )
                self.rows = self.rows.drop(columns=ours)
        for ours, theirs in columns.items():
            if (
                all_there
                and theirs.lower() not in self.rows
                and ours not in self.rows
                and not self.rows.empty
            ):
                self.faults.add(f"has no column {theirs!r}, which the datasheet calls {ours!r}.")
        self.rows = self.rows.rename(columns={theirs.lower(): ours for ours, theirs in columns.items()})

    def minutes(self, name: str, unit: str = "min", required: bool = True) -> str:
        """Turn a column of times, called ``name``, ``name_h``, ``name (h)`` and the like, into one of
        minutes. Gives back its unit."""
        columns = [column for column in self.names if re.match(rf"{name}(_|\s*[\[(]|$)", column)]
        if len(columns) > 1:
            self.faults.add(f"has more than one column of {name}: {', '.join(columns)}. Keep one.")
        if not columns:
            return unit
        column = columns[0]
        unit = column.removeprefix(name).strip("_ ()[]") or unit
        try:
            factor = convert(1.0, unit, "time")
        except UnitError:
            known = ", ".join(allowed_units("time"))
            self.faults.add(f"the times of column {column!r} have an unknown unit {unit!r}. Known: {known}.")
            factor = math.nan
        self.rows[name] = [
            self._minutes(cell, column, line, required, factor) for line, cell in cells(self.column(column))
        ]
        if others := [each for each in columns if each != name]:
            self.rows = self.rows.drop(columns=others)
        return unit

    def _minutes(self, cell: str, name: str, line: int, required: bool, factor: float) -> float:
        """One cell as minutes: a number of so many minutes each, or a number with a unit of its own."""
        if re.fullmatch(r"0\d{3}", cell):
            message = "{found} looks like a time of day. If it is one, write it with a colon, as in 08:00."
            self.faults.add(f"{name} {message}", line, repr(cell))
            return math.nan
        amount, _, unit = cell.partition(" ")
        if unit in allowed_units("time") and not math.isnan(as_number(amount)):
            cell, factor = amount, convert(1.0, unit, "time")
        value = self.number(cell, name, line, required) * factor
        if abs(value) > FARTHEST:
            message = (
                "{found} min is no time of a test: more than a year. Are these dates, or seconds of a clock?"
            )
            self.faults.add(f"{name} {message}", line, f"{value:g}")
            return math.nan
        return value

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
            likely = "".join(self._likely_column(name, [*required, *others]) for name in missing)
            self.faults.add(
                f"lacks the column{plural} {', '.join(missing)}.{likely} Found: {', '.join(self.names)}."
            )
        absent = [name for name in others if name not in self.rows]
        for name in self.unread([*required, *others]):
            called = any(bare(name) in OTHER_NAMES.get(each, "").split() for each in absent)
            if not missing and not called and len(name) > 3 and (meant := nearest(name, absent)):
                self.faults.add(f"column {name!r} is not known. Did you mean {meant!r}?")
        return not missing

    def _likely_column(self, missing: str, known: Sequence[str]) -> str:
        found = self.unread(known)
        called = next((name for name in found if bare(name) in OTHER_NAMES.get(missing, "").split()), None)
        return f" Is {missing!r} the column {called!r}?" if called else hint(missing, found)

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
            if not label:
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
            self.faults.add(f"{name} {{found}} is not a number.{likely_fix(cell)}", line, repr(short(cell)))
        return value


def cells(column: pd.Series) -> Iterator[tuple[int, Any]]:
    """The number of each line of a column, and what stands there."""
    return zip(column.index.tolist(), column.tolist(), strict=True)


def records(frame: pd.DataFrame) -> Iterator[Any]:
    """The rows of a data frame, each with its cells by name and its number as ``Index``."""
    yield from frame.itertuples()


def _counts(found: Sequence[str]) -> bool:
    """Whether cells are empty, or count the rows from 0 or 1, as a program writes them without a name."""
    counted = [str(n) for n in range(len(found) + 1)]
    return not any(found) or found in (counted[:-1], counted[1:])


def frame_of(table: Any) -> pd.DataFrame:
    """A data frame of pandas, from one, from one of polars or from a mapping of columns."""
    if isinstance(table, pd.DataFrame):
        return table
    columns = table if isinstance(table, Mapping) else table.to_dict(as_series=False)  # of polars
    return pd.DataFrame(dict(columns))


def _columns_of(table: Any) -> tuple[list, list[list]]:
    """Names of the columns of a table in memory, and what stands in each."""
    table = frame_of(table)
    named = [each for each in table.index.names if each in OTHER_NAMES and each not in table.columns]
    table = table.reset_index(named) if named else table
    return list(table.columns), [table.iloc[:, at].tolist() for at in range(table.shape[1])]
