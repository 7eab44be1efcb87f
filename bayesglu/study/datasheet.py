"""The datasheet of a study: who measured what, under which protocol, and how its tables are to be read.

.. code-block:: toml

    title = "..."                      # these texts are kept as they are
    source = "..."
    licence = "..."
    protocol = "ogtt(75)"              # for everyone; or a table [protocol] by subject, then by occasion
    body_weight = 62                   # kg, for everyone; or a table [body_weight] by subject

    [columns]                          # our name = the name in the file
    time = "minutes_after_drink"

    [units]                            # of columns, and of analytes where the table has no column `unit`
    time = "min"
    glucose = "mmol/L"

    [use.glucose]                      # samples outside are kept, and left out of a fit
    from = 8
    also = [0]

    [plausible]                        # canonical units, where the usual limits do not suit
    c_peptide = [0.5, 10000]

    [checksums]                        # SHA-256 of each file, line ends written as \\n
    "observations.csv" = "..."
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayesglu.analytes import analytes
from bayesglu.text.problems import Problems, Section, show

ABOUT = ("title", "source", "licence", "description", "note", "format")
TABLES = ("columns", "units", "use", "plausible", "checksums")


@dataclass(frozen=True)
class Window:
    """The times (min) of an analyte that take part in a fit: from the first to the last, and a few others."""

    first: float = -math.inf
    last: float = math.inf
    also: tuple[float, ...] = ()

    def holds(self, time: float) -> bool:
        """Say whether a sample at ``time`` takes part."""
        return self.first <= time <= self.last or time in self.also


@dataclass(frozen=True)
class Datasheet:
    """What a datasheet says, checked; every field is empty for a study without one."""

    about: Mapping[str, str] = field(default_factory=dict)
    protocol: Any = None
    body_weight: float | Mapping[str, float] | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    use: Mapping[str, Window] = field(default_factory=dict)
    plausible: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)


def read_datasheet(path: Path, problems: Problems) -> Datasheet:
    """Read ``datasheet.toml``; an absent file is an empty datasheet. Faults go to ``problems``."""
    if not path.is_file():
        return Datasheet()
    try:
        return parse_datasheet(tomllib.loads(path.read_text(encoding="utf-8")), problems)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.add(f"is not a TOML file: {error}.")
        return Datasheet()


def parse_datasheet(table: Mapping[str, Any], problems: Problems) -> Datasheet:
    """Check what a datasheet says, given as a mapping. Faults go to ``problems``."""
    sheet = Section(table, "", problems, (*ABOUT, "protocol", "body_weight", *TABLES))
    return Datasheet(
        about={key: sheet.text(key) for key in ABOUT if key in sheet},
        protocol=sheet.given("protocol", None),
        body_weight=_body_weight(sheet),
        columns=_texts(sheet, "columns"),
        units=_texts(sheet, "units"),
        use=_windows(sheet),
        plausible=_limits(sheet),
        checksums=_texts(sheet, "checksums"),
    )


def checksum(path: Path) -> str:
    """SHA-256 of a text file, the same whichever way its lines end."""
    return hashlib.sha256(path.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def check_files(folder: Path, checksums: Mapping[str, str], problems: Problems) -> None:
    """Note each file that is not the one the datasheet was written for."""
    for name, expected in checksums.items():
        if not (folder / name).is_file():
            problems.add(f"names the file {name!r}, which is not in the folder.", "[checksums]")
        elif (found := checksum(folder / name)) != expected.removeprefix("sha256:").lower():
            problems.add(
                f"{name} has changed since its checksum was written: expected {expected}, found {found}. "
                "Restore the file, or write the new checksum if the change is meant.",
                "[checksums]",
            )


def _texts(sheet: Section, key: str) -> dict[str, str]:
    inner = sheet.section(key, required=False)
    found = {} if inner is None else {name: inner.text(name) for name in inner.table}
    return {name: text for name, text in found.items() if text is not None}


def _body_weight(sheet: Section) -> float | dict[str, float] | None:
    if not isinstance(sheet.table.get("body_weight"), Mapping):
        return sheet.number("body_weight", None, above=0)
    inner = sheet.section("body_weight")
    weights = {subject: inner.number(subject, above=0) for subject in inner.table}
    return {subject: weight for subject, weight in weights.items() if weight is not None}


def _windows(sheet: Section) -> dict[str, Window]:
    windows = {}
    if inner := sheet.section("use", analytes(), required=False):
        for analyte in inner.table:
            window = inner.section(analyte, ("from", "until", "also"))
            first, last = window.number("from", -math.inf), window.number("until", math.inf)
            also = _numbers(window, "also") if "also" in window else ()
            given: dict[str, Any] = {"first": first, "last": last, "also": also}
            windows[analyte] = Window(**{end: value for end, value in given.items() if value is not None})
    return windows


def _limits(sheet: Section) -> dict[str, tuple[float, float]]:
    limits = {}
    if inner := sheet.section("plausible", required=False):
        for name in inner.table:
            pair = _numbers(inner, name)
            if pair is not None and (len(pair) != 2 or pair[0] >= pair[1]):
                inner.fault(f"{name} must be a lower and a higher limit, and is {show(list(pair))}.")
            elif pair is not None:
                limits[name] = (pair[0], pair[1])
    return limits


def _numbers(section: Section, key: str) -> tuple[float, ...] | None:
    value = section.given(key)
    if not isinstance(value, list | tuple) or not all(type(item) in (int, float) for item in value):
        section.fault(f"{key} must be a list of numbers, and is {show(value)}.")
        return None
    return tuple(float(item) for item in value)
