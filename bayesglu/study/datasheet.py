"""The datasheet of a study: who measured what, under which protocol, and how its tables are to be read.

.. code-block:: toml

    title = "..."                      # these texts are kept as they are
    source = "..."
    licence = "..."
    protocol = "ogtt(75)"              # for everyone; or a table [protocol] by subject, then by occasion
    body_weight = 62                   # kg, for everyone; or a table [body_weight] by subject
    ignore = ["lloq"]                  # columns of the tables to be ignored
    checked = ["doses"]                # what looks odd and is right: doses, times, units, weights, labels

    [columns]                          # our name = the name in the file
    time = "minutes_after_drink"

    [units]                            # of columns, and of analytes where the table has no column `unit`
    time = "min"
    glucose = "mmol/L"

    [use.glucose]                      # min from the dose; samples outside are kept, and left out of a fit
    from = 8
    also = [0]

    [plausible]                        # canonical units, where the usual limits do not suit
    c_peptide = [0.5, 10000]

    [legend.group]                     # what the codes of a covariate mean
    0 = "NGT"
    1 = "T2D"

    [checksums]                        # SHA-256 of each file, line ends written as \\n
    "observations.csv" = "..."
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayesglu.analytes import analytes
from bayesglu.protocols.events import SAME_MOMENT
from bayesglu.text.problems import Problems, Section, is_number, read_toml, show

ABOUT = ("title", "source", "licence", "description", "note", "format")
TABLES = ("columns", "units", "use", "plausible", "legend", "checksums")
CHECKS = ("doses", "times", "units", "weights", "labels")
"""What is looked at for what is odd, and can be said to be right."""


@dataclass(frozen=True)
class Window:
    """The times of an analyte that take part in a fit, in minutes from the onset of the protocol: from the
    first to the last, and a few others."""

    first: float = -math.inf
    last: float = math.inf
    also: tuple[float, ...] = ()

    def holds(self, time: float) -> bool:
        """Say whether a sample at ``time`` takes part."""
        within = self.first - SAME_MOMENT <= time <= self.last + SAME_MOMENT
        return within or any(abs(time - other) <= SAME_MOMENT for other in self.also)


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
    legend: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    checked: tuple[str, ...] = ()
    checksums: Mapping[str, str] = field(default_factory=dict)


def read_datasheet(path: Path, problems: Problems) -> Datasheet:
    """Read ``datasheet.toml``; an absent file is an empty datasheet. Faults go to ``problems``."""
    if not path.is_file():
        return Datasheet()
    try:
        table, why = read_toml(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        table, why = {}, str(error)
    except OSError as error:
        problems.add(f"cannot be read: {error.strerror}.")
        return Datasheet()
    if why:
        problems.add(f"is not a TOML file: {why}.")
    return parse_datasheet(table, problems)


def parse_datasheet(table: Mapping[str, Any], problems: Problems) -> Datasheet:
    """Check what a datasheet says, given as a mapping. Faults go to ``problems``."""
    sheet = Section(table, "", problems, (*ABOUT, "protocol", "body_weight", "ignore", "checked", *TABLES))
    return Datasheet(
        about={key: sheet.text(key) for key in ABOUT if key in sheet},
        protocol=sheet.given("protocol", None),
        body_weight=_body_weight(sheet),
        columns=_texts(sheet, "columns"),
        units=_texts(sheet, "units"),
        use=_windows(sheet),
        plausible=_limits(sheet),
        legend=_legend(sheet),
        ignore=tuple(name.strip().lower() for name in sheet.texts("ignore", ())),
        checked=_checked(sheet),
        checksums=_texts(sheet, "checksums"),
    )


def checksum(content: bytes) -> str:
    """SHA-256 of a text file, the same whichever way its lines end."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()


def check_files(folder: Path, checksums: Mapping[str, str], problems: Problems) -> None:
    """Note each file that is not the one the datasheet was written for."""
    for name, expected in checksums.items():
        if Path(name).name != name:
            problems.add(f"names {name!r}; a checksum is of a file in the folder itself.", "[checksums]")
        elif not (folder / name).is_file():
            problems.add(f"names the file {name!r}, which is not in the folder.", "[checksums]")
        elif (found := checksum((folder / name).read_bytes())) != expected.removeprefix("sha256:").lower():
            problems.add(
                f"{name} has changed since its checksum was written: expected {expected}, found {found}. "
                "Restore the file, or write the new checksum if the change is meant.",
                "[checksums]",
            )


def _texts(sheet: Section, key: str) -> dict[str, str]:
    inner = sheet.section(key, required=False)
    found = {} if inner is None else {name: inner.text(name) for name in inner.table}
    return {name: text for name, text in found.items() if text is not None}


def _legend(sheet: Section) -> dict[str, dict[str, str]]:
    inner = sheet.section("legend", required=False)
    return {} if inner is None else {name: _texts(inner, name) for name in inner.table}


def _checked(sheet: Section) -> tuple[str, ...]:
    given = sheet.texts("checked", ())
    for name in given:
        if name not in CHECKS:
            sheet.problems.unknown(name, CHECKS, "check", "checked")
    return given


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
            if first is not None and last is not None and first > last:
                window.fault(f"begins at {first:g} and ends at {last:g} min: nothing lies between.")
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
    if not isinstance(value, list | tuple) or not all(is_number(item) for item in value):
        section.fault(f"{key} must be a list of numbers, and is {show(value)}.")
        return None
    return tuple(float(item) for item in value)
