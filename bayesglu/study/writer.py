"""A study written as a folder that reads back as an equal one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import tomli_w
import xarray as xr

from bayesglu.atomic import UNFINISHED, is_empty, make_folder, remove, whole
from bayesglu.errors import InputError
from bayesglu.protocols.events import Event
from bayesglu.protocols.faults import ProtocolError
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol
from bayesglu.study.assembly import covariate_weight
from bayesglu.study.datasheet import checksum
from bayesglu.study.tables import StudyError
from bayesglu.text.problems import read_toml
from bayesglu.text.wording import some
from bayesglu.units import canonical_unit

if TYPE_CHECKING:
    from bayesglu.study.contents import Study

FILES = ("observations.csv", "subjects.csv", "events.csv", "truth.csv")
SHEET = "datasheet.toml"
MARK = "# Written by bayesglu, which replaces this file and its tables as long as they are unchanged.\n"
BELOW = "# The checksum of all below is "
HALF = "# Its tables are still to be written, in place of those with these checksums:\n"


def write_study(study: Study, folder: Path) -> Path:
    """Write the tables of a study in canonical units, and a datasheet with their checksums.

    A study that was written there before is replaced. Raises `StudyError` for protocols that no file can
    hold, and `InputError` where tables are there that it did not write, or that were changed since.

    The datasheet is written first, and says until the end that tables are still to come: what a write that
    was stopped has left is not read as a study, and the next one knows it as its own.
    """
    protocol = _as_text(study.protocols)
    tables = {"observations.csv": _observation_table(study)}
    if study.covariates.data_vars:
        tables["subjects.csv"] = _covariate_table(study)
    if study.truth is not None:
        tables["truth.csv"] = _long(study.truth)
    if protocol is None:
        tables["events.csv"] = _event_table(study.protocols)
    texts = {name: table.to_csv(index=False, lineterminator="\n") for name, table in tables.items()}
    entries = {
        **study.datasheet,
        "protocol": protocol,
        "body_weight": _stated_weights(study),
        "units": {str(name): values.attrs.get("units", "text") for name, values in study.covariates.items()},
        "checksums": {name: checksum(text.encode()) for name, text in texts.items()},
    }
    sheet = tomli_w.dumps({key: entry for key, entry in entries.items() if entry not in (None, {})})
    before = _replaceable(folder)
    if is_empty(folder) or is_half_written(folder):
        for left in folder.glob(f"{UNFINISHED}*"):
            remove(left)
    make_folder(folder, parents=True)
    _write_sheet(folder, HALF + "".join(f"# {found}  {name}\n" for name, found in before.items()) + sheet)
    for name in set(before) - set(texts):
        remove(folder / name)
    for name, text in texts.items():
        _write(folder / name, text)
    _write_sheet(folder, sheet)
    return folder


def is_half_written(folder: Path) -> bool:
    """Whether the study in a folder was not written to its end."""
    text = _sheet(folder)
    return text.startswith(MARK) and HALF in text


def _write_sheet(folder: Path, text: str) -> None:
    _write(folder / SHEET, f"{MARK}{BELOW}{checksum(text.encode())}\n{text}")


def _write(path: Path, text: str) -> None:
    with whole(path) as new:
        new.write_text(text, encoding="utf-8", newline="\n")


def _replaceable(folder: Path) -> dict[str, str]:
    """The tables that are there, with their checksums.

    Raises InputError where a study would take the place of files that this package did not write.
    """
    there = {name: _found(folder / name) for name in FILES if (folder / name).exists()}
    foreign = {name for name, _ in there.items() - _written(folder)}
    own = _is_as_written(_sheet(folder)) and (there or is_half_written(folder))
    if (folder / SHEET).exists() and (foreign or not own):
        foreign.add(SHEET)
    if foreign:
        raise InputError(
            f"{folder}: {some(sorted(foreign))} {'is' if len(foreign) == 1 else 'are'} there already, not as "
            "written by this package. Name a new folder, or move them."
        )
    return there


def _written(folder: Path) -> set[tuple[str, str]]:
    """Tables, each with its checksum, that this package wrote with the datasheet of a folder, or before."""
    text = _sheet(folder)
    checksums = read_toml(text)[0].get("checksums")
    if not text.startswith(MARK) or not isinstance(checksums, dict):
        return set()
    before = text.partition(HALF)[2].splitlines()
    pairs = [line[2:].split("  ") for line in before if line.startswith("# ")]
    return {(str(name), str(found)) for name, found in [*checksums.items(), *map(reversed, pairs)]}


def _is_as_written(sheet: str) -> bool:
    """Whether a datasheet is unchanged; those of earlier versions do not say."""
    first, _, below = sheet.removeprefix(MARK).partition("\n")
    return not first.startswith(BELOW) or first == BELOW + checksum(below.encode())


def _sheet(folder: Path) -> str:
    """The datasheet of a folder; nothing where it cannot be read."""
    try:
        return (folder / SHEET).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _found(table: Path) -> str:
    try:
        return checksum(table.read_bytes())
    except OSError:  # it is no file, or somebody else's
        return ""


def _observation_table(study: Study) -> pd.DataFrame:
    table = study.observations.to_dataframe().reset_index(drop=True)
    table["unit"] = [canonical_unit(analyte) for analyte in table["analyte"]]
    columns = ["subject", "occasion", "time", "analyte", "value", "unit", "censoring", "use"]
    same = {"occasion": "1", "censoring": "none", "use": True}
    return table[[name for name in columns if name not in same or (table[name] != same[name]).any()]]


def _covariate_table(study: Study) -> pd.DataFrame:
    """One row per subject; or where covariates differ between occasions, one per occasion."""
    table = study.covariates.to_dataframe().reset_index()
    if study.occasion_covariates is None:
        return table
    subjects, names = zip(*study.occasions, strict=True)
    table = table.set_index("subject").loc[list(subjects)].reset_index()
    table.insert(1, "occasion", list(names))
    return table.assign(**{str(name): own.values for name, own in study.occasion_covariates.items()})


def _stated_weights(study: Study) -> float | dict[str, float] | None:
    """Body weights to write down: those that the covariates do not say."""
    covariate = covariate_weight(study.covariates) or {}
    stated = {
        subject: float(weight)
        for subject, weight in zip(study.subjects, study.body_weight.values, strict=True)
        if not math.isnan(weight) and covariate.get(subject) != weight
    }
    everyone = len(stated) == len(study.subjects) and len(set(stated.values())) == 1
    return next(iter(stated.values())) if everyone else stated


def _as_text(protocols: Mapping[tuple[str, str], Protocol]) -> Any:
    """Protocols as the datasheet says them: a text, or texts by subject and occasion; None if names fail."""
    for protocol in protocols.values():
        try:
            if parse_protocol(protocol.name) != protocol:
                return None
        except ProtocolError:
            return None
    names = {protocol.name for protocol in protocols.values()}
    if len(names) == 1:
        return names.pop()
    texts: dict[str, dict[str, str]] = {}
    for (subject, occasion), protocol in protocols.items():
        texts.setdefault(subject, {})[occasion] = protocol.name
    return texts


def _event_table(protocols: Mapping[tuple[str, str], Protocol]) -> pd.DataFrame:
    silent = [s for (s, _), protocol in protocols.items() if protocol.start < protocol.rest_until]
    silent += [s for (s, _), protocol in protocols.items() if not protocol.events]
    if silent:
        raise StudyError(
            f"Subject {some(silent)} has a protocol with a fast and a name that parse_protocol cannot read; "
            "events.csv holds what is given, and such a study cannot be written."
        )
    repeated = [occasion[0] for occasion, p in protocols.items() if len(set(p.events)) < len(p.events)]
    if repeated:
        raise StudyError(
            f"Subject {some(repeated)} is given the same twice at one time, which a table takes for a row "
            "repeated by mistake; give the sum once."
        )
    rows = [
        protocol.table().assign(subject=occasion[0], occasion=occasion[1])
        for occasion, protocol in protocols.items()
    ]
    table = pd.concat(rows, ignore_index=True)
    columns = ["subject", "occasion", *Event.__dataclass_fields__]
    return table[columns].dropna(axis="columns", how="all")


def _long(truth: xr.Dataset) -> pd.DataFrame:
    rows = [
        (subject, name, value, values.attrs.get("units", ""))
        for name, values in truth.items()
        for subject, value in zip(truth["subject"].values, values.values, strict=True)
        if not math.isnan(value)
    ]
    return pd.DataFrame(rows, columns=["subject", "parameter", "value", "unit"])
