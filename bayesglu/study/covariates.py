"""What the table of people must look like: covariates by name, in canonical units."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.study.by_occasion import OCCASION
from bayesglu.study.cells import as_number, is_missing, looks_like_a_number, natural
from bayesglu.study.columns import check_unread
from bayesglu.study.datasheet import Datasheet
from bayesglu.study.readers.headers import COVARIATES, squeezed
from bayesglu.study.samples import check_plausible
from bayesglu.study.tables import Faults, Table, cells
from bayesglu.units import UnitError, allowed_units, canonical_unit, convert, has_unit

# Suffixes of covariate columns that say the unit, beside those that units.py knows for the covariate.
SUFFIXES = {
    "kg_m2": "kg/m2",
    "kgm2": "kg/m2",
    "kg": "kg",
    "lb": "lb",
    "lbs": "lb",
    "cm": "cm",
    "y": "y",
    "yr": "y",
    "years": "y",
    "months": "months",
    "h": "h",
    "min": "min",
    "percent": "%",
    "mmol_mol": "mmol/mol",
    "mg_dl": "mg/dL",
    "mmol_l": "mmol/L",
}
NAMES = {
    "bodyweight": "body_weight",
    "bw": "body_weight",
    "a1c": "hba1c",
    "hb_a1c": "hba1c",
    "weightkg": "weight",
    "bodyweightkg": "body_weight",
    "heightcm": "height",
    "bmikgm2": "bmi",
    "ageyears": "age",
}
"""What some covariates are called elsewhere, beside `COVARIATES`."""

MALE = {"true": "1", "yes": "1", "y": "1", "m": "1", "male": "1", "man": "1"}
MALE |= {"false": "0", "no": "0", "n": "0", "f": "0", "female": "0", "woman": "0"}

LEVELS = frozenset({"none"})
"""Words for a missing number that are a level of a text."""

NOT_STORED = frozenset({"subject", "obs", OCCASION})
"""Names that stand for something else in a study and a fit."""


def read_covariates(table: Table, sheet: Datasheet, noted: list[str]) -> xr.Dataset:
    """Covariates by subject: numbers with their unit in ``attrs``, texts as they are. What can be right and
    probably is not goes to `noted`, a sentence each.

    With a column ``occasion``, which is then a coordinate, they are by row of the table: see `by_occasion`.
    """
    faults = table.faults
    table.rename(sheet.columns)
    if not table.require(("subject",)):
        return xr.Dataset(coords={"subject": np.array([], dtype=str)})
    noted += check_unread(table, "subjects", ("subject", OCCASION))
    apart = OCCASION in table.rows
    labels, occasions = table.labels("subject"), table.column(OCCASION)
    seen: set[tuple[str, str]] = set()
    for (line, label), occasion in zip(cells(labels), occasions, strict=True):
        if (label, occasion) in seen:
            advice = "" if apart else " A covariate that differs by occasion needs a column 'occasion'."
            found = f"{label!r}, occasion {occasion!r}" if occasion else repr(label)
            faults.add(f"subject {{found}} is there already.{advice}", line, found)
        seen.add((label, occasion))
    covariates = xr.Dataset(coords={"subject": np.array(list(labels), dtype=str)})
    if apart:
        covariates.coords[OCCASION] = ("subject", np.array(list(occasions), dtype=str))
    for column in table.unread(["subject", OCCASION]):
        name, unit = covariate_name(column, sheet.units)
        if name in covariates or name in NOT_STORED:
            faults.add(f"column {column!r} is the covariate {name!r} a second time.")
            continue
        written = table.rows[column]
        if legend := sheet.legend.get(name) or sheet.legend.get(column):
            covariates[name] = ("subject", _by_legend(written, legend, name, faults))
            continue
        if name == "male":
            written = table.rows[column] = written.map(lambda cell: MALE.get(cell.lower(), cell))
        if not _is_number_column(written, name, unit, noted):
            texts = ["" if is_missing(cell) and cell.lower() not in LEVELS else cell for cell in written]
            covariates[name] = ("subject", np.array(texts, dtype=str))
            continue
        values = table.numbers(column, required=False)
        if has_unit(name):
            values = _in_canonical_unit(values, name, unit, sheet, faults)
            unit = canonical_unit(name)
        if name == "male":
            for line, value in cells(values[~values.isin([0, 1]) & values.notna()]):
                faults.add("male is {found}; it must be 1 or 0.", line, f"{value:g}")
        covariates[name] = ("subject", values.to_numpy(float), {"units": unit or "1"})
    if apart:
        return covariates
    return covariates.isel(subject=[list(labels).index(label) for label in sorted(set(labels), key=natural)])


def covariate_name(column: str, units: Mapping[str, str]) -> tuple[str, str]:
    """Split a header into the name of a covariate and its unit; the datasheet's ``units`` come first.

    The name has no signs, so that a fit can hold it.

    >>> covariate_name("weight_kg", {}), covariate_name("height_m", {}), covariate_name("group", {})
    (('weight', 'kg'), ('height', 'm'), ('group', ''))
    >>> covariate_name("bmi (kg/m2)", {}), covariate_name("hba1c [%]", {})
    (('bmi', 'kg/m2'), ('hba1c', '%'))
    """
    if column in units:
        return _name(column), units[column]
    if bracket := re.fullmatch(r"([^(\[]+)[(\[]([^()\[\]]*)[)\]]", column):
        name, unit = _name(bracket[1]), bracket[2].strip()
        unit = SUFFIXES.get(_signless(unit), unit) if has_unit(name) else unit
        return name, units.get(name, "" if "=" in unit else unit)
    name = _signless(column)
    for suffix, unit in SUFFIXES.items():
        if name.endswith(f"_{suffix}"):
            name = _name(name.removesuffix(f"_{suffix}"))
            return name, units.get(name, unit)
    before, _, suffix = name.rpartition("_")
    if has_unit(_name(before)) and suffix in allowed_units(_name(before)):
        return _name(before), suffix
    name = _name(column)
    return name, units.get(name, canonical_unit(name) if has_unit(name) else "")


def _name(written: str) -> str:
    plain = _signless(written)
    return NAMES.get(plain) or COVARIATES.get(squeezed(plain), plain)


def _signless(written: str) -> str:
    """Letters, digits and underscores; something, whatever was written."""
    return re.sub(r"\W+", "_", written.strip().lower()).strip("_") or "covariate"


def _by_legend(written: pd.Series, legend: Mapping[str, str], name: str, faults: Faults) -> np.ndarray:
    """Texts in place of codes."""
    by_code = {_code(code): level for code, level in legend.items()}
    for line, cell in cells(written):
        if not is_missing(cell) and _code(cell) not in by_code:
            known = ", ".join(legend)
            faults.add(
                f"{name} {{found}} is not in the datasheet's [legend.{name}]. Known: {known}.", line, cell
            )
    return np.array([by_code.get(_code(cell), "") for cell in written], dtype=str)


def _code(cell: str) -> str:
    number = as_number(cell)
    return cell if math.isnan(number) else f"{number:g}"


def _is_number_column(written: pd.Series, name: str, unit: str, noted: list[str]) -> bool:
    """A quantity whose unit is known, or a column in which most cells look like numbers."""
    given = [cell for cell in written if not is_missing(cell)]
    numbers = sum(map(looks_like_a_number, given))
    if unit in ("text", "category"):
        return False
    if has_unit(name) or name == "male" or 2 * numbers > len(given):
        return True
    if numbers:
        noted.append(
            f"{numbers} of {len(given)} values of the covariate {name!r} look like numbers; all are taken "
            f'for texts. If it is a number, correct the others; if not, say so under [units] {name} = "text".'
        )
    return False


def _in_canonical_unit(
    values: pd.Series, name: str, unit: str, sheet: Datasheet, faults: Faults
) -> pd.Series:
    try:
        factor = convert(1.0, unit, name)
    except UnitError as error:
        faults.add(f"{error}"[0].lower() + f"{error}"[1:])
        return values
    for line, value in cells(values):
        check_plausible(value, name, unit, sheet, faults, line)
    return values * factor
