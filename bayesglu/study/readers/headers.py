"""What the header of a column says: an analyte and its unit, a time, a covariate, or what it is there for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from bayesglu.analytes import analytes
from bayesglu.units import allowed_units

ALIASES: Mapping[str, tuple[str, ...]] = {
    "glucose": (
        *(
            "gluc",
            "glu",
            "glc",
            "blood sugar",
            "bg",
            "pg",
            "g",
            "glycaemia",
            "glycemia",
            "glukose",
            "glucosa",
        ),
        *("glucemia", "glicemia", "glycémie", "blutzucker", "bz"),
    ),
    "insulin": (*("ins", "iri", "i", "insulina", "insuline", "insulinaemia", "insulinemia", "insulinémie"),),
    "c_peptide": (
        *("c peptide", "c-peptide", "cpeptide", "cpep", "c pep", "c-pep", "cp", "peptide c", "péptido c"),
    ),
    "glucagon": ("gcg", "ggn", "glgn"),
}
"""Short names of analytes in headers, beside their own; one letter alone needs a time beside it."""

SAME_UNITS: Mapping[str, tuple[str, ...]] = {
    "mmol/L": ("mM", "mmol"),
    "mg/dL": ("mg%", "mgdl"),
    "pmol/L": ("pM",),
    "nmol/L": ("nM",),
    "uU/mL": ("mU/L", "uUml", "mUl"),
    "ng/mL": ("ug/L",),
    "pg/mL": ("ng/L",),
}
FILLERS = {"plasma", "serum", "blood", "venous", "capillary", "conc", "concentration", "level", "levels"}
FILLERS |= {"value", "sample", "at", "of", "the", "time", "t", "min", "timepoint", "total", "human"}
FILLERS |= {"ogtt", "ivgtt", "mmtt"}
FASTING = {"fasting", "fasted", "basal", "baseline", "fast"}
MINUTES = {"h": 60.0, "s": 1 / 60, "d": 1440.0}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ROLES: Mapping[str, frozenset[str]] = {
    "subject": _words(
        "subject id subj subjectid subjectno subjectnumber patient patientid pat pid participant person "
        "participantid personid usubjid subjid studyid volunteer ptid nr no proband probandennummer "
        "paciente sujet"
    ),
    "time": _words(
        "time t min mins minute minutes timepoint samplingtime sampletime clocktime timeofday datetime "
        "timestamp zeit uhrzeit tiempo hora heure tijd temps tempo"
    ),
    "date": _words("date datum day samplingdate sampledate fecha"),
    "dose_time": _words("dosetime timeofdose starttime start t0 timezero drinktime mealtime"),
    "occasion": _words("occasion occ visit visitno visitnumber period session testno testnumber"),
    "analyte": _words("analyte analytename test parameter assay measurement variable"),
    "value": _words("value conc concentration result dv reading measured"),
    "unit": _words("unit units uom"),
    "use": _words("use"),
    "censoring": _words("censoring"),
}
"""Names, without spaces and signs, of the columns that tables have beside values and covariates."""

DOSES = _words(
    "dose dosage amt amount doseg dosemg glucosedose insulindose carbs carbohydrate glucoseload load"
)
TEXTS = _words("note notes comment comments remark remarks name firstname lastname dob birthdate")

COVARIATES: Mapping[str, str] = {
    "wt": "weight",
    "bodyweight": "weight",
    "bw": "weight",
    "ht": "height",
    "bodymassindex": "bmi",
    **dict.fromkeys(("gewicht", "körpergewicht", "poids", "peso", "pesocorporal"), "weight"),
    **dict.fromkeys(("größe", "körpergröße", "altezza", "estatura"), "height"),
    **dict.fromkeys(("alter", "âge", "edad", "età", "leeftijd"), "age"),
    **dict.fromkeys(("imc",), "bmi"),
    **dict.fromkeys(("geschlecht", "sexe", "sexo", "sesso", "geslacht"), "sex"),
    **dict.fromkeys(("gruppe", "groupe", "grupo", "gruppo", "groep"), "group"),
}
"""What covariates are called elsewhere, without spaces and signs."""
_UNIT_OF_COVARIATE = {
    "kg": "kg",
    "lb": "lb",
    "lbs": "lb",
    "cm": "cm",
    "m": "m",
    "in": "in",
    "y": "y",
    "yr": "y",
    "yrs": "y",
    "year": "y",
    "years": "y",
    "months": "months",
    "kgm2": "kg/m2",
    "kgm^2": "kg/m2",
    "kgm²": "kg/m2",
}


_OF_PLASMA = {"pg": "glucose", "bg": "glucose", "bs": "glucose", "pi": "insulin", "si": "insulin"}
_RUN_TOGETHER = re.compile(r"(?<![a-z\d.])(?:(\d+(?:\.\d+)?(?:h|hr|min))|f)(pg|bg|bs|pi|si)(?![a-z])")
"""``FPG``, ``2hPG``, ``FPI``: when, and which analyte, in one word."""

_KEPT = 20_000
"""So many headers are remembered: each is looked at several times."""


@dataclass(frozen=True)
class Measured:
    """What a header says is below it: an analyte, its unit, and when, each empty or None where it does not.

    ``dashed`` is True where the time stands right behind a dash, which may be a minus.
    """

    analyte: str
    minutes: float | None = None
    timed: bool = False
    unit: str = ""
    dashed: bool = False


@lru_cache(maxsize=_KEPT)
def squeezed(text: str) -> str:
    """A name without spaces, signs and capitals."""
    return re.sub(r"[\W_]", "", text.lower())


@lru_cache(maxsize=_KEPT)
def role(header: str) -> str:
    """Which column of a study a header names, or nothing; a unit may follow."""
    bare = squeezed(_unbracketed(header))
    return next((name for name, known in ROLES.items() if bare in known), "")


def time_unit(header: str) -> str:
    """The unit that the header of a column of times says, or nothing."""
    words = re.findall(r"[a-z]+", header.lower())
    kinds = {"min": "min", "mins": "min", "minute": "min", "minutes": "min", "h": "h", "hr": "h", "hrs": "h"}
    kinds |= {"hour": "h", "hours": "h", "s": "s", "sec": "s", "seconds": "s", "d": "d", "days": "d"}
    return next((kinds[word] for word in words if word in kinds), "")


@lru_cache(maxsize=_KEPT)
def time_column(header: str) -> bool:
    """Say whether a header is that of a column of times, its unit beside it or alone."""
    return role(header) == "time" or squeezed(_unbracketed(header)) in {
        *("timemin", "timeh", "timehr", "timehours", "timeminutes", "times", "timed", "tmin", "th", "h"),
        *("hours", "hour", "hr"),
    }


def is_dose(header: str) -> bool:
    """Say whether a column is of doses, its unit beside it or not."""
    return bool({squeezed(header), squeezed(_unbracketed(header))} & DOSES)


def mentioned(header: str) -> str:
    """The analyte that a header has in it, whatever stands beside; nothing where it has none.

    >>> mentioned("Insulin_30_log"), mentioned("Group")
    ('insulin', '')
    """
    words = f" {' '.join(_letters(header))} "
    return next((own for alias, own in _names() if len(alias) > 3 and f" {alias} " in words), "")


def beside_analyte(header: str) -> str:
    """What a header says beside an analyte and a time, without spaces and signs.

    >>> beside_analyte("Insulin_30_BLQ"), beside_analyte("Group")
    ('blq', '')
    """
    known = {word for alias, _ in _names() for word in alias.split() if len(alias) > 1}
    words = _letters(header)
    return "".join(word for word in words if word not in known) if known & set(words) else ""


def _letters(header: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", header.lower())


def bracketed(header: str) -> str:
    """What stands in brackets."""
    found = re.search(r"[(\[](.*?)[)\]]", header)
    return found[1].strip() if found else ""


def _unbracketed(header: str) -> str:
    return re.sub(r"[(\[].*?[)\]]", "", header)


def is_of_clock(header: str) -> bool:
    """Say whether a header asks for times of day."""
    return squeezed(_unbracketed(header)) in ("clocktime", "timeofday", "uhrzeit")


def measured(header: str) -> Measured | None:
    """What a header says of an analyte; None where it names none, or more than an analyte, time and unit.

    >>> found = measured("Glucose (mmol/L) 30 min")
    >>> found.analyte, found.minutes, found.unit
    ('glucose', 30.0, 'mmol/L')
    >>> measured("G0").analyte, measured("group")
    ('glucose', None)
    """
    return _measured(header, tuple(_names()))


@lru_cache(maxsize=_KEPT)
def _measured(header: str, names: tuple[tuple[str, str], ...]) -> Measured | None:
    text = re.sub(r"(?<=\d),(?=\d)", ".", header.replace("µ", "u").replace("μ", "u"))
    text = re.sub(r"[_,;:()\[\]{}=@\s]+", " ", text).strip().lower()
    text = _RUN_TOGETHER.sub(lambda found: f"{found[1] or 'fasting'} {_OF_PLASMA[found[2]]}", text)
    for alias, analyte in names:
        if alias not in text:
            continue
        found = re.search(rf"(?<![a-z]){re.escape(alias)}(?![a-z])", text)
        if not found:
            continue
        rest = f"{text[: found.start()]} \0{text[found.end() :]}"
        timed = _time(rest)
        rest = (rest[: timed[1]] + " " + rest[timed[2] :] if timed else rest).replace("\0", " ")
        unit = _unit(rest, analyte)
        fasting = bool(FASTING & set(rest.split()))
        words = [] if unit else re.findall(r"[^\W\d]+|\S", rest)
        if any(word not in FILLERS | FASTING for word in words) or (len(alias) == 1 and not timed):
            continue
        if timed:
            minutes, _, _, said, dashed = timed
            return Measured(analyte, minutes, said, unit, dashed)
        return Measured(analyte, 0.0 if fasting else None, fasting, unit)
    return None


@lru_cache(maxsize=_KEPT)
def only_time(header: str) -> tuple[float, bool] | None:
    """Minutes, and whether the unit stands there, of a header that is a time and nothing else: ``t30``."""
    text = re.sub(r"[_()\[\]\s]+", " ", re.sub(r"(?<=\d),(?=\d)", ".", header)).strip().lower()
    found = _time(text)
    if not found or re.sub(r"\s|time|min", "", text[: found[1]] + text[found[2] :]):
        return None
    return found[0], found[3]


def covariate(header: str) -> tuple[str, str]:
    """Name and unit of a covariate; no name where a column is not one, such as a remark.

    >>> covariate("Weight (kg)"), covariate("BMI [kg/m2]"), covariate("Group")
    (('weight', 'kg'), ('bmi', 'kg/m2'), ('group', ''))
    """
    bare = squeezed(header)
    if not bare or bare in TEXTS or is_dose(header):
        return "", ""
    bracket = re.search(r"[(\[](.*?)[)\]]", header)
    name, unit = (
        (header[: bracket.start()] + header[bracket.end() :], bracket[1]) if bracket else (header, "")
    )
    name = re.sub(r"\W+", "_", name.strip().lower()).strip("_")
    if not unit:
        for ending, known in _UNIT_OF_COVARIATE.items():
            head, _, tail = name.rpartition("_")
            if head and squeezed(tail) == squeezed(ending) and ending != "in":
                name, unit = head, known
                break
        if name.endswith("_kg_m2"):
            name, unit = name.removesuffix("_kg_m2"), "kg/m2"
    else:
        unit = _UNIT_OF_COVARIATE.get(unit.lower().replace("/", ""), unit)
    return COVARIATES.get(squeezed(name), name), unit


def _names() -> list[tuple[str, str]]:
    """Names of analytes in headers, the longest first."""
    names = {
        spelling: own
        for own, kind in analytes().items()
        for spelling in (own.replace("_", " "), *kind.spellings)
    }
    names |= {alias: own for own, aliases in ALIASES.items() for alias in aliases}
    return sorted(names.items(), key=lambda item: -len(item[0]))


def _time(rest: str) -> tuple[float, int, int, bool, bool] | None:
    r"""Minutes, where they stand, whether with a unit, whether behind a dash; ``\0`` is the analyte."""
    pattern = (
        r"(?P<before>(?<![a-z])(?:time|t|x|at|minus|neg|m|post|pre)?)(?P<gap>[\s.]*)(?P<sign>[-+−–]?)\s*"
        r"(?P<number>\d+(?:\.\d+)?)(?![\d/])\s*"
        r"(?P<unit>minutes|minute|mins|min|hours|hour|hrs|hr|h|seconds|sec|days|d|m|'|’)?(?![a-z/\d])"
    )
    for found in re.finditer(pattern, rest):
        if rest[: found.start()].endswith(tuple("abcdefghijklmnopqrstuvwxyz%/")):
            continue
        unit = (found["unit"] or "").strip()
        minutes = float(found["number"]) * MINUTES.get(unit[:1], 1.0)
        dash = found["sign"] in tuple("-−–") and bool(found["sign"])
        attached = dash and rest[: found.start("sign")].endswith("\0") and not found["before"]
        negative = (dash and not attached) or found["before"] in ("minus", "neg", "m", "pre")
        return -minutes if negative else minutes, found.start(), found.end(), bool(unit), attached
    return None


def _unit(rest: str, analyte: str) -> str:
    """The unit that is left in a header when analyte and time are taken out, or nothing."""
    words = [word for word in rest.split() if word not in FILLERS | FASTING]
    left = re.sub("iu|ui", "u", re.sub(r"[^a-z%\d]", "", "".join(words)))
    for unit in allowed_units(analyte):
        spellings = (unit, *SAME_UNITS.get(unit, ()))
        if left and left in {re.sub(r"[^a-z%\d]", "", spelling.lower()) for spelling in spellings}:
            return unit
    return ""
