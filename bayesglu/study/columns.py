"""Columns that nobody reads: those that must not be overlooked, and what the others probably are."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from bayesglu.study.cells import as_number, bare, is_missing
from bayesglu.study.readers.headers import COVARIATES, beside_analyte, is_dose
from bayesglu.study.tables import OTHER_NAMES, Table, cells
from bayesglu.units import canonical_unit, has_unit

NO = frozenset({"0", "false", "no", "n", "f", "none", "ok", "."})
YES = frozenset({"1", "true", "yes", "y", "t", "ok", "."})

REMARKS = frozenset(
    {"remark", "remarks", "comment", "comments", "note", "notes", "index", "unnamed: 0", "row", "line"}
)
"""Columns that are for people: listed as not read, and not mentioned otherwise."""

MARKING = frozenset({"is", "flag", "flags", "flagged", "fl", "yn", "indicator", "mark"})
"""Words in the name of a column of marks that do not say what it marks."""

NOBODY = "and nobody reads it."
LEAVE = "Leave them out of the tables, or choose the others with study.select(subjects=[...])"
BELOW = f"marks values below a limit of quantification, {NOBODY} Write '<' before each such limit"
ABOVE = f"marks values above a limit, {NOBODY} Write '>' before each such limit"
LEFT_OUT = f"marks samples that are not to be taken, {NOBODY} Write a column 'use' that is false there"
LIMIT = f"holds limits of an assay, {NOBODY} Write '<' or '>' before a value beyond its limit"
DOSES = f"says what was given, {NOBODY} Doses stand in events.csv, or are named by a protocol"
PEOPLE = f"marks people, and leaves nobody out. {LEAVE}"
REPEATS = f"repeats doses, {NOBODY} Write each, or the columns addl and ii"
NOT_GIVEN = f"marks doses, {NOBODY} Leave out the rows that were not given"

Meanings = tuple[tuple[str, Collection[str], str], ...]
"""Names without signs, what such a column must hold to say nothing, and what it says otherwise."""

_SAMPLES: Meanings = (
    (
        "blq bloq blod blloq bql blqfl belowloq belowlloq belowlod belowlimit nondetect notdetected cens "
        "censored",
        NO,
        f"{BELOW}, or a column 'censoring'",
    ),
    ("qualifier operator sign prefix", ("=",), BELOW),
    ("alq aloq auloq", NO, ABOVE),
    ("mdv missing ismissing", NO, f"{LEFT_OUT}, or leave the value empty"),
    (
        "exclude excluded exclusion excl exclfl outlier omit omitted drop dropped reject rejected",
        NO,
        LEFT_OUT,
    ),
    ("invalid bad suspect haemolysed hemolyzed hemolysed haemolysis hemolysis", NO, LEFT_OUT),
    ("lipemic lipaemic contaminated flag flags flagged qc qcflag quality qualityflag", NO, LEFT_OUT),
    ("valid isvalid ok good include included keep used", YES, LEFT_OUT),
    ("lloq loq llod lod uloq uloqlimit limit detectionlimit llq", (), LIMIT),
    ("evid amt addl ii rate ss dose doseg dosemg doseperkg dosegkg", NO, DOSES),
)
_EVENTS: Meanings = (
    ("ss steadystate", NO, f"says that doses went before, {NOBODY} Write each dose"),
    ("lag lagtime tlag alag alag1 delay", NO, f"is a delay, {NOBODY} Add it to the time"),
    ("evid", YES, "says that a row is no dose. Leave only doses in events.csv"),
    ("cmt compartment", (), f"is a compartment, {NOBODY} Substance and route say where a dose goes"),
    ("doseperkg perkg isperkg weightbased", NO, f"is of the amount, {NOBODY} Write its unit per kg, as g/kg"),
    (
        "doseg dosemg doseu amountg amountmg amountu carbs carbsg carbohydrate carbohydrates grams",
        (),
        f"is an amount, {NOBODY} Call it amount, and write its unit in a column unit",
    ),
    ("f f1 bio", YES, f"is a share, {NOBODY} Call it bioavailability, of a depot"),
    ("exclude excluded omit drop flag cancelled canceled notgiven", NO, NOT_GIVEN),
    ("given taken administered", YES, NOT_GIVEN),
    (
        "stop end endtime stoptime until endmin stopmin",
        (),
        f"is when a dose ends, {NOBODY} Call it duration, in min from its beginning",
    ),
    (
        "insulintype typeofinsulin insulinkind brand product preparation formulation",
        ("rapid", "fast", "lispro", "aspart", "glulisine", "rapid-acting", "fast-acting"),
        f"is a kind of insulin, {NOBODY} Under the skin it is taken for a rapid one; the columns "
        "absorption_rate and bioavailability say another",
    ),
    (
        "repeat repeats every interval intervalmin intervalh tau n",
        NO,
        REPEATS,
    ),
    ("ndose ndoses numberofdoses", ("1",), REPEATS),
)
UNIT = f"is a unit, {NOBODY} Write it in the header, as in weight_kg"
_PEOPLE: Meanings = (
    ("exclude excluded excl omit drop dropped withdrawn flag", NO, PEOPLE),
    ("include included keep", YES, PEOPLE),
    ("unit units", ("kg",), UNIT),
)
KNOWN: Mapping[str, Meanings] = {
    "observations": _SAMPLES,
    "events": _EVENTS,
    "subjects": _PEOPLE,
    "truth": (),
}

_OF_PEOPLE = re.compile(
    r"(body_?)?(weight|wt|mass)(_?\W?(kg|g|lb)\W?)?|bmi.*|age.*|sex|gender|male|height.*|ht|group|diagnosis|hba1c.*"
)


def meant(name: str, known: Collection[str]) -> str | None:
    """Which of the known columns this probably is."""
    return next((ours for ours in known if bare(name) in OTHER_NAMES.get(ours, "").split()), None)


def meaning(name: str, kind: str) -> tuple[Collection[str], str] | None:
    """What a column must hold to say nothing, and what it says otherwise; None of a column of no meaning.

    The name of an analyte may stand beside (``insulin_blq``), a unit in brackets, or a word that says no more
    than that it is a mark (``is_outlier``, ``BLOQ_flag``).
    """
    said = {known: (no, what) for names, no, what in KNOWN[kind] for known in names.split()}
    words = re.findall(r"[^\W_]+", re.sub(r"[(\[].*?[)\]]", "", name.lower()))
    found = said.get(bare(name)) or said.get("".join(word for word in words if word not in MARKING))
    if found is None and kind == "observations" and {"flag", "flags"} & set(words):
        found = said["flag"]
    if found is None and kind == "subjects" and len(words) > 1 and words[-1] in ("unit", "units"):
        of = COVARIATES.get("".join(words[:-1]), "_".join(words[:-1]))
        found = ((canonical_unit(of).lower(),) if has_unit(of) else ()), UNIT
    if found is None and kind == "observations":
        found = said.get(beside_analyte(name))
        found = None if found and found[0] is YES else found  # who uses insulin is a covariate
    return found


def is_mark(cell: str, without: Collection[str]) -> bool:
    """Say whether a cell of a column of marks is one."""
    return not is_missing(cell) and not _is_one_of(cell, without)


def check_unread(table: Table, kind: str, known: Collection[str]) -> list[str]:
    """Account for the columns of a table that are none of those known.

    One that says something of its rows that would be lost is a fault. Gives back a sentence for each other.
    """
    noted = []
    absent = [name for name in known if name not in table.rows]
    for name in table.unread(known):
        if found := meaning(name, kind):
            _check_marks(table, name, *found)
        elif kind == "subjects" and (re.match(r"dose|amount|amt$", name) or is_dose(name)):
            noted.append(
                f"column {name!r} is taken for a covariate. Doses stand in events.csv, or in a protocol."
            )
        elif kind == "events" and meant(name, absent):
            table.faults.add(f"column {name!r} is not read.{_question(table, name, kind, absent)}")
        elif kind != "subjects" and name not in REMARKS:
            noted.append(f"column {name!r} is not read.{_question(table, name, kind, absent)}")
    return noted


def _check_marks(table: Table, name: str, without: Collection[str], what: str) -> None:
    """A fault where a column of marks has any, on the lines that bear one."""
    fault = f"column {name!r} {what}. To ignore it, name it under 'ignore' in the datasheet."
    for line, cell in cells(table.rows[name]):
        if is_mark(cell, without):
            table.faults.add(fault, line)


def _is_one_of(cell: str, words: Collection[str]) -> bool:
    number = as_number(cell)
    return cell.lower() in words or (number in (0.0, 1.0) and f"{number:g}" in words)


def _question(table: Table, name: str, kind: str, absent: Collection[str]) -> str:
    """What a column is probably, as a question."""
    if ours := meant(name, absent):
        return f" Is it {ours!r}? Call it so, or say under [columns] {ours} = {name!r}."
    if kind != "subjects" and _OF_PEOPLE.fullmatch(name):
        return " What is known of people stands in subjects.csv, one row per person."
    if kind == "observations" and re.match(r"dose|amount|route|substance", name):
        return " Doses stand in events.csv, or are named by a protocol."
    return ""
