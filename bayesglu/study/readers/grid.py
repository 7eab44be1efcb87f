"""A file as grids of cells: text of any encoding and separator, workbooks, JSON lists, data frames."""

from __future__ import annotations

import csv
import datetime
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from bayesglu.study.tables import StudyError

MOST_COLUMNS = 4000
_MINUS = re.compile(r"^[\u2212\u2013](?=\d)")
"""Other signs than a hyphen before a number."""
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "upright lines"}


@dataclass(frozen=True)
class Grid:
    """The cells of one file or one sheet of a workbook, row by row, without blank rows.

    ``name`` is that of the sheet, or of the file without its ending; ``file`` and ``word`` say where a line
    is; ``said`` how the file was read, where that is not as UTF-8 text with commas.
    """

    name: str
    file: str
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]
    word: str = "line"
    said: tuple[str, ...] = ()

    def with_rows(self, rows: Iterable[Sequence[str]]) -> Grid:
        """The same grid with other cells."""
        return Grid(self.name, self.file, tuple(map(tuple, rows)), self.lines, self.word, self.said)


def read_grids(source: Path | pd.DataFrame) -> list[Grid]:
    """The grids of a file, or of a data frame. Raises StudyError where it is no table."""
    if isinstance(source, pd.DataFrame):
        return [_from_frame(source)]
    try:
        data = source.read_bytes()
    except OSError as error:
        raise StudyError(f"{source}: cannot be read: {error.strerror}.") from error
    if data.startswith(b"PK\x03\x04"):
        return _workbook(source)
    if data.startswith(b"\xd0\xcf\x11\xe0"):
        raise StudyError(f"{source}: is a workbook of an old Excel. Save it as .xlsx, or as CSV.")
    text, encoding = decode(data, source)
    if re.match(r"\s*[\[{]", text):
        return [_from_json(text, source)]
    rows, lines, delimiter = _split(text, source)
    said = [f"{source.name} is {encoding} text"] if encoding != "UTF-8" else []
    said += [f"{source.name} is separated by {delimiter}"] if delimiter != "commas" else []
    return [_grid(source.stem, source.name, rows, lines, said=said)]


def decode(data: bytes, source: Path) -> tuple[str, str]:
    """Text of any encoding that spreadsheets write, and the name of the encoding."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return _decoded(data, encoding, source), "UTF-8" if "8" in encoding else "UTF-16"
    zeros = [data[:4000][first::2].count(0) for first in (0, 1)]
    if max(zeros) > 0.3 * len(data[:4000]) / 2 and min(zeros) < 0.1 * max(zeros):
        return _decoded(data, "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le", source), "UTF-16"
    if b"\0" in data[:4000]:
        raise StudyError(f"{source}: is no text and no workbook (.xlsx). Save the table as CSV.")
    try:
        return data.decode("utf-8"), "UTF-8"
    except UnicodeDecodeError:
        return _decoded(data, "cp1252", source), "Windows-1252"


def _decoded(data: bytes, encoding: str, source: Path) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise StudyError(f"{source}: is text of no known encoding. Save it again as 'CSV UTF-8'.") from error


def _split(text: str, source: Path) -> tuple[list[list[str]], list[int], str]:
    """The rows of delimited text, the line on which each ends, and what separates the cells."""
    lines = text.splitlines()
    skipped = 0
    while lines and (not lines[0].strip() or lines[0].startswith("TABLE NO") or lines[0].startswith("sep=")):
        lines, skipped = lines[1:], skipped + 1
    delimiter = _delimiter(lines)
    rows, numbers = [], []
    try:
        if delimiter is None:
            parsed: Iterable[list[str]] = (line.split() for line in lines)
            for number, row in enumerate(parsed, start=1):
                rows.append(row)
                numbers.append(number + skipped)
        else:
            reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
            for row in reader:
                rows.append(row)
                numbers.append(reader.line_num + skipped)
    except csv.Error as error:
        raise StudyError(f"{source}: is not a table of cells: {error}.") from error
    return rows, numbers, DELIMITERS[delimiter] if delimiter else "spaces"


def _delimiter(lines: Sequence[str]) -> str | None:
    """What separates cells: what stands on most lines, and most evenly; None for spaces."""
    seen = [re.sub(r'"[^"]*"', "", line) for line in lines[:60] if line.strip()]
    best, chosen = (0.0, 0.0, 0.0), ","
    for delimiter in DELIMITERS:
        counts = [line.count(delimiter) for line in seen]
        having = sum(count > 0 for count in counts) / max(1, len(seen))
        (_, alike), *_ = Counter(counts).most_common(1) or [(0, 0)]
        score = (round(having, 1), alike / max(1, len(seen)), sum(counts) / max(1, len(seen)))
        if having and score > best:
            best, chosen = score, delimiter
    words = Counter(len(line.split()) for line in seen)
    evenly = len(words) == 1 and next(iter(words)) > 2
    return None if best[0] < 0.5 and evenly else chosen


def _workbook(source: Path) -> list[Grid]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of fonts, validations and the like, which openpyxl leaves out
            options: Any = dict(sheet_name=None, header=None, dtype=object, na_filter=False)
            sheets = pd.read_excel(source, engine="openpyxl", **options)
    except ImportError as error:
        raise StudyError(
            f"{source}: to read a workbook, openpyxl is needed: pip install 'bayesglu[excel]'. "
            "Or save each sheet as CSV."
        ) from error
    except Exception as error:  # openpyxl raises whatever it meets in a damaged file
        raise StudyError(f"{source}: is no workbook that can be read: {error}. Save it as CSV.") from error
    grids = []
    for name, sheet in sheets.items():
        rows = [[_text(cell) for cell in row] for row in sheet.itertuples(index=False)]
        lines = list(range(1, len(rows) + 1))
        grids.append(_grid(str(name), f"{source.name}, sheet {name!r}", rows, lines, "row"))
    return [grid for grid in grids if grid.rows]


def _from_frame(frame: pd.DataFrame) -> Grid:
    named = [each for each in frame.index.names if each is not None and each not in frame.columns]
    frame = frame.reset_index(named) if named else frame
    header = [list(names) if isinstance(names, tuple) else [names] for names in frame.columns.tolist()]
    top = [[str(cell) for cell in row] for row in zip(*header, strict=True)]
    rows = [[_text(cell) for cell in row] for row in frame.itertuples(index=False)]
    return _grid("table", "table", top + rows, list(range(1 - len(top), len(rows) + 1)), "row")


def _from_json(text: str, source: Path) -> Grid:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StudyError(f"{source}: is not JSON: {error}.") from error
    content = content.get("result", [content]) if isinstance(content, dict) else content
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise StudyError(f"{source}: is JSON, but no list of entries.")
    names = list(dict.fromkeys(name for row in content for name in row))
    rows = [names, *([_text(row.get(name)) for name in names] for row in content)]
    return _grid(source.stem, source.name, rows, list(range(len(rows))), "entry")


def _grid(
    name: str,
    file: str,
    rows: Sequence[Sequence[str]],
    lines: Sequence[int],
    word: str = "line",
    said: Sequence[str] = (),
) -> Grid:
    width = max(map(len, rows), default=0)
    if width > MOST_COLUMNS:
        raise StudyError(f"{file}: has {width} columns, of at most {MOST_COLUMNS}. Is it turned round?")
    kept = [
        (line, tuple(_MINUS.sub("-", cell.strip()) for cell in row))
        for line, row in zip(lines, rows, strict=True)
        if any(cell.strip() for cell in row)
    ]
    return Grid(name, file, tuple(row for _, row in kept), tuple(line for line, _ in kept), word, tuple(said))


def _text(cell: Any) -> str:
    """A cell of a workbook or a data frame as a person would write it."""
    if cell is None or cell is pd.NaT or cell is pd.NA or (isinstance(cell, float) and cell != cell):
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, datetime.timedelta):
        return f"{cell.total_seconds() / 60:.12g} min"
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(sep=" ")
    if isinstance(cell, dict | list):
        return json.dumps(cell)
    return str(getattr(cell, "item", lambda: cell)()).strip()
