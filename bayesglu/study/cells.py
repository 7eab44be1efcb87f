"""What stands in one cell of a table: a number, a label, nothing."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

MISSING = frozenset({"", "na", "nan", "n/a", "null", "none", "<na>", "nat"})
"""Words for a value that is missing. A label may be one of them: somebody's initials are NA."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_GROUPED = re.compile(r"[+-]?\d{1,3}([,'\s]\d{3})+(\.\d+)?")
_CLOCK = re.compile(r"\d{1,4}[-:/]\d{1,2}(\D|$)", re.ASCII)
_BELOW = re.compile(r"^(<|≤|below|under)|b?l?loq|b[lq]q|lod|n\.?d\.?$|not det", re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[<>]?=?\s*[+-]?\d+,\d+")


def as_number(cell: str) -> float:
    """A text as a finite number, or NaN. Python's own notations, such as ``9_0``, are none."""
    value = float(cell) if _NUMBER.fullmatch(cell) else math.nan
    return value if math.isfinite(value) else math.nan


def bare(name: str) -> str:
    """A name without signs and spaces."""
    return "".join(filter(str.isalnum, name.lower()))


def looks_like_a_number(cell: str) -> bool:
    """Whether a cell is a number, or is one but for commas."""
    return any(pattern.fullmatch(cell) for pattern in (_NUMBER, _GROUPED, _DECIMAL_COMMA))


def likely_fix(cell: str) -> str:
    """The likely fix of a cell that is no number."""
    if _CLOCK.match(cell):
        return " Is it a time of day, or a date? Write the minutes from the dose."
    if _GROUPED.fullmatch(cell) and "," not in cell:
        return " Write it without marks between thousands."
    if _GROUPED.fullmatch(cell):
        return " Is the comma a mark between thousands? Write none. Is it a decimal comma? Write a point."
    if _BELOW.search(cell):
        return " Write '<' and the limit where a value is below it, and leave empty what is missing."
    return " Write a decimal point." if _DECIMAL_COMMA.fullmatch(cell) else ""


def short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."


def is_missing(cell: str) -> bool:
    """Say whether a cell is empty or says so."""
    return cell.lower() in MISSING


def natural(label: str) -> list:
    """Key that sorts labels as people do: 2 before 10, ``P2`` before ``P10``; and ``01`` before ``1``."""
    parts = [part for part in re.split(r"(\d+)", label) if part]
    digits = [part.lstrip("0") if part.isdecimal() else None for part in parts]
    keys = zip(digits, parts, strict=True)
    return [*((1, 0, part) if d is None else (0, len(d), d) for d, part in keys), (2, 0, label)]


def written(cell: Any) -> str:
    """What stands in a cell, as a file would have it; a span of time as minutes."""
    if isinstance(cell, np.timedelta64):
        cell = pd.Timedelta(cell)
    elif isinstance(cell, np.generic) and not isinstance(cell, np.datetime64):
        cell = cell.item()
    if cell is None or cell is pd.NA or cell is pd.NaT or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer() and abs(cell) < 1e15:
        return str(int(cell))
    if isinstance(cell, timedelta):
        return f"{cell.total_seconds() / 60:.12g} min"
    return str(cell).strip()
