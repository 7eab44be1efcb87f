"""Units at the border: every quantity is turned into its canonical unit on the way in, and nowhere else.

Canonical are minutes and amounts per kg of body weight; glucose in mg/dL, insulin and C-peptide in pmol/L,
glucagon in pg/mL. What one unit of an analyte is in another stands in :mod:`bayesglu.analytes`. What is said
of results, in tables and figures, can be in another system of units: `set_units`.
"""

from collections.abc import Mapping
from types import MappingProxyType

from bayesglu.analytes import (
    C_PEPTIDE_PMOL_PER_NG,
    GLUCAGON_PG_PER_PMOL,
    GLUCOSE_MG_PER_MMOL,
    INSULIN_PMOL_PER_UNIT,
    analytes,
)
from bayesglu.errors import BayesgluError
from bayesglu.text.problems import hint

_COVARIATES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "time": {"min": 1.0, "h": 60.0, "s": 1 / 60, "d": 1440.0},
        "weight": {"kg": 1.0, "g": 0.001, "lb": 0.45359237},
        "body_weight": {"kg": 1.0, "g": 0.001, "lb": 0.45359237},
        "height": {"cm": 1.0, "m": 100.0, "in": 2.54},
        "age": {"y": 1.0, "months": 1 / 12},
        "bmi": {"kg/m2": 1.0},
    }
)

# An amount given to a person: what one of each unit is in the substance's canonical amount.
_DOSES: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "glucose": {
            "mg": 1.0,
            "g": 1000.0,
            "mmol": GLUCOSE_MG_PER_MMOL,
            "umol": GLUCOSE_MG_PER_MMOL / 1000,
        },
        "insulin": {
            "pmol": 1.0,
            "nmol": 1000.0,
            "U": INSULIN_PMOL_PER_UNIT,
            "mU": INSULIN_PMOL_PER_UNIT / 1000,
            "uU": INSULIN_PMOL_PER_UNIT / 1e6,
        },
        "glucagon": {
            "pg": 1.0,
            "ng": 1e3,
            "ug": 1e6,
            "mg": 1e9,
            "pmol": GLUCAGON_PG_PER_PMOL,
            "nmol": 1000 * GLUCAGON_PG_PER_PMOL,
        },
    }
)
SUBSTANCES = tuple(_DOSES)

# Other spellings of the same unit, after lower-casing and replacing the micro sign and IU.
_SAME = {
    "mu/l": "uu/ml",
    "mm": "mmol/l",
    "mg%": "mg/dl",
    "nm": "nmol/l",
    "pm": "pmol/l",
    "ng/l": "pg/ml",
    "ug/l": "ng/ml",
    "mg/ml": "g/l",
    "minutes": "min",
    "hours": "h",
    "hour": "h",
    "hr": "h",
    "days": "d",
    "years": "y",
    "year": "y",
    "yr": "y",
    "kg/m^2": "kg/m2",
    "kg/m²": "kg/m2",
}


# A system of units: what takes the place of each canonical unit, and what one canonical unit is in it.
_SYSTEMS: Mapping[str, Mapping[str, tuple[str, float]]] = MappingProxyType(
    {
        "canonical": {},
        "SI": {
            "mg/dL": ("mmol/L", 10 / GLUCOSE_MG_PER_MMOL),
            "mg/kg": ("mmol/kg", 1 / GLUCOSE_MG_PER_MMOL),
            "mg/kg/min": ("umol/kg/min", 1000 / GLUCOSE_MG_PER_MMOL),
            "pg/mL": ("pmol/L", 1000 / GLUCAGON_PG_PER_PMOL),
        },
        "conventional": {
            "pmol/L": ("uU/mL", 1000 / INSULIN_PMOL_PER_UNIT),
            "pmol/kg": ("mU/kg", 1000 / INSULIN_PMOL_PER_UNIT),
            "pmol/kg/min": ("mU/kg/min", 1000 / INSULIN_PMOL_PER_UNIT),
        },
    }
)
SYSTEMS = tuple(_SYSTEMS)
_CONVENTIONAL_C_PEPTIDE = {"pmol/L": ("ng/mL", 1 / (1000 * C_PEPTIDE_PMOL_PER_NG))}

_chosen = "canonical"


class UnitError(BayesgluError, ValueError):
    """A unit or a quantity that is not known; the message lists those that are, and the nearest."""


def convert(value, unit: str, analyte: str):
    """Return ``value`` in the canonical unit of an analyte (or of time, weight, height, age, bmi).

    ``value`` may be a number or any array that multiplies by a float; the shape is kept.
    Both micro signs and a plain ``u`` are read, and mIU/L, mU/L, uIU/mL and uU/mL are one unit.
    Raises :class:`UnitError`.

    >>> round(convert(5.0, "mmol/L", "glucose"), 2)
    90.08
    >>> convert(10.0, "µU/mL", "insulin")
    60.0
    """
    return value * _factor(unit, analyte)


def express(value, unit: str, analyte: str):
    """Return a canonical ``value`` of an analyte in another ``unit``: the inverse of :func:`convert`.

    >>> express(60.0, "uU/mL", "insulin")
    10.0
    """
    return value / _factor(unit, analyte)


def set_units(system: str) -> None:
    """The units in which tables of results and figures speak from now on, unless a call says otherwise.

    Datasets that functions return and take stay in canonical units; `in_units` converts one.

    Parameters
    ----------
    system : str
        ``"canonical"``: glucose in mg/dL, insulin in pmol/L; ``"SI"``: mmol/L, pmol/L, fluxes of glucose in
        umol/kg/min, glucagon in pmol/L; ``"conventional"``: mg/dL, insulin in uU/mL, C-peptide in ng/mL.

    Raises
    ------
    UnitError
        If there is no such system.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.set_units("SI")
    >>> bg.plots.trajectories(bg.simulate("oral", "ogtt(75)"), ["glucose"]).axes[0].get_ylabel()
    'mmol/L'
    >>> bg.set_units("canonical")
    """
    global _chosen
    _chosen = system_of(system)


def system_of(units: str | None) -> str:
    """The system that is meant: the one that `set_units` chose where none is given.

    Raises UnitError where there is no such system.
    """
    if units is None:
        return _chosen
    if units not in SYSTEMS:
        raise UnitError(
            f"There is no system of units {units!r}.{hint(units, SYSTEMS)} Known: {', '.join(SYSTEMS)}."
        )
    return units


def unit_in(system: str, unit: str, name: str) -> tuple[str, float]:
    """The unit in which a system has what is called `name` and is kept in `unit`, and a factor.

    Products with time, such as of an area under a curve, follow their unit.

    >>> unit_in("SI", "mg/dL*min", "glucose")[0], unit_in("conventional", "pmol/L", "c_peptide")[0]
    ('mmol/L*min', 'ng/mL')
    """
    bare, times, rest = unit.partition("*min")
    table = _SYSTEMS[system]
    if system == "conventional" and name.startswith("c_peptide"):
        table = {**table, **_CONVENTIONAL_C_PEPTIDE}
    new, factor = table.get(bare, (bare, 1.0))
    return f"{new}{times}{rest}", factor


def canonical_unit(analyte: str) -> str:
    """Return the unit in which an analyte or covariate is kept.

    >>> canonical_unit("c_peptide")
    'pmol/L'
    """
    return next(iter(_units_of(analyte)))


def allowed_units(analyte: str) -> tuple[str, ...]:
    """Return the units that :func:`convert` reads for an analyte or covariate, the canonical one first."""
    return tuple(_units_of(analyte))


def has_unit(quantity: str) -> bool:
    """Say whether ``quantity`` is an analyte or covariate whose units are known here."""
    return quantity in analytes() or quantity in _COVARIATES


def is_per_person(unit: str) -> bool:
    """Say whether a dose in ``unit`` is absolute, so that a body weight is needed.

    >>> is_per_person("g"), is_per_person("g/kg")
    (True, False)
    """
    return "kg" not in _plain(unit).split("/")[1:]


def dose_amount(value: float, unit: str, substance: str, body_weight: float | None = None) -> float:
    """Return a prescribed dose as the canonical amount per kg of body weight.

    Canonical are mg/kg of glucose, pmol/kg of insulin and pg/kg of glucagon. A unit that ends in ``/min``
    or ``/h`` is a rate, and what comes back is per minute. ``body_weight`` (kg) is needed only when the
    unit is per person. Raises :class:`UnitError`.

    >>> dose_amount(75, "g", "glucose", body_weight=75)
    1000.0
    >>> dose_amount(0.3, "g/kg", "glucose")
    300.0
    """
    if substance not in _DOSES:
        raise UnitError(
            f"Unknown substance {substance!r}.{hint(substance, _DOSES)} Known: {', '.join(_DOSES)}."
        )
    amount, *per = _plain(unit).split("/")
    by_plain = {_plain(name): factor for name, factor in _DOSES[substance].items()}
    if amount not in by_plain or per not in ([], ["kg"], ["min"], ["h"], ["kg", "min"], ["kg", "h"]):
        amounts = ", ".join(_DOSES[substance])
        raise UnitError(
            f"Unknown unit {unit!r} for a dose of {substance}.{hint(unit, _dose_units(substance))} "
            f"Known: {amounts}, each alone or with /kg, and for a rate with /min or /h."
        )
    factor = by_plain[amount] / (60.0 if "h" in per else 1.0)
    if "kg" in per:
        return value * factor
    if body_weight is None or not body_weight > 0:
        raise UnitError(
            f"{value:g} {unit} of {substance} is an amount per person: the body weight (kg) is needed."
        )
    return value * factor / body_weight


def _dose_units(substance: str) -> list[str]:
    rates = ("", "/kg", "/min", "/kg/min")
    return [amount + rate for amount in _DOSES[substance] for rate in rates]


def _units_of(quantity: str) -> Mapping[str, float]:
    known = analytes()
    if quantity in known:
        return known[quantity].units
    if quantity in _COVARIATES:
        return _COVARIATES[quantity]
    raise UnitError(f"Unknown analyte {quantity!r}.{hint(quantity, known)} Known: {', '.join(known)}.")


def _factor(unit: str, quantity: str) -> float:
    known = _units_of(quantity)
    wanted = _one_spelling(unit)
    for name, factor in known.items():
        if _one_spelling(name) == wanted:
            return factor
    raise UnitError(f"Unknown unit {unit!r} for {quantity}.{hint(unit, known)} Known: {', '.join(known)}.")


def _one_spelling(unit: str) -> str:
    plain = _plain(unit)
    return _SAME.get(plain, plain)


def _plain(unit: str) -> str:
    """Write a unit in one spelling: no spaces, lower case, ``u`` for either micro sign, ``U`` for IU."""
    text = str(unit).replace("µ", "u").replace("μ", "u").replace(" ", "").lower()
    return text.replace("iu", "u")
