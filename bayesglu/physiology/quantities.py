"""The kinds of quantity that the physiology speaks of, each with its unit.

The unit is part of a function's signature. It costs nothing at run time; a model file's units are checked
against it, and a test rescales every base unit and asks that each flux scale as its unit says.
"""

import math
from collections.abc import Mapping
from typing import Annotated, get_args, get_type_hints

SHARE = "share of a whole, between 0 and 1"

Minutes = Annotated[float, "min"]
Rate = Annotated[float, "1/min"]
Ratio = Annotated[float, "1"]
Fraction = Annotated[float, "1", SHARE]

Glucose = Annotated[float, "mg/dL"]
GlucoseSlope = Annotated[float, "mg/dL/min"]
GlucoseAmount = Annotated[float, "mg/kg"]
GlucoseRate = Annotated[float, "mg/kg/min"]
GlucoseVolume = Annotated[float, "dL/kg"]
GlucoseClearance = Annotated[float, "dL/kg/min"]
LiverGlycogen = Annotated[float, "mmol/L"]
MolarMass = Annotated[float, "mg/mmol"]

Insulin = Annotated[float, "pmol/L"]
InsulinSlope = Annotated[float, "pmol/L/min"]
InsulinRate = Annotated[float, "pmol/kg/min"]
InsulinSensitivity = Annotated[float, "L/pmol/min"]
BetaCellSensitivity = Annotated[float, "pmol*dL/kg/min/mg"]
PlasmaVolume = Annotated[float, "L/kg"]
PlasmaFlow = Annotated[float, "L/kg/min"]

Glucagon = Annotated[float, "pg/mL"]
GlucagonSlope = Annotated[float, "pg/mL/min"]
GlucagonRate = Annotated[float, "pg/kg/min"]
GlucagonVolume = Annotated[float, "mL/kg"]


def units(function) -> dict[str, str]:
    """Unit of each argument of `function`, and of its result under the name ``return``."""
    hints = get_type_hints(function, include_extras=True)
    return {name: get_args(hint)[1] for name, hint in hints.items()}


def fractions(function) -> frozenset[str]:
    """Names of the arguments of `function` that are a `Fraction`."""
    hints = get_type_hints(function, include_extras=True)
    return frozenset(name for name, hint in hints.items() if name != "return" and SHARE in get_args(hint))


def size(unit: str, factors: Mapping[str, float]) -> float:
    """By how much a number in `unit` grows when each base unit is replaced by one so many times smaller.

    >>> size("mg/kg/min", {"mg": 1000.0, "min": 2.0})
    500.0
    """
    above, *below = unit.split("/")
    grown = math.prod(factors.get(word, 1.0) for word in above.split("*"))
    return grown / math.prod(factors.get(word, 1.0) for word in below)


def base_units(unit: str) -> frozenset[str]:
    """The base units that a unit is made of.

    >>> sorted(base_units("L/pmol/min"))
    ['L', 'min', 'pmol']
    """
    return frozenset(unit.replace("*", "/").split("/")) - {"1"}
