"""What can be measured: one record per analyte, those of bayesglu and those that are registered.

The factors that differ between papers are stated once, here:

* glucose: 1 mmol = 180.16 mg, so 1 mmol/L = 18.016 mg/dL
* insulin: 1 U = 6.00 nmol, so 1 uU/mL = 6.00 pmol/L (Knopp 2019, J Diabetes Sci Technol 13:597)
* C-peptide: 1 ng = 0.331 pmol, so 1 ng/mL = 331 pmol/L (3020 g/mol)
* glucagon: 1 pmol = 3.48 ng, so 1 pmol/L = 3.48 pg/mL (3483 g/mol)
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from types import MappingProxyType

from bayesglu import plugins
from bayesglu.errors import InputError
from bayesglu.text.problems import Problems

GLUCOSE_MG_PER_MMOL = 180.16
INSULIN_PMOL_PER_UNIT = 6000.0
C_PEPTIDE_PMOL_PER_NG = 0.331
GLUCAGON_PG_PER_PMOL = 3480.0

COLOURS = ("blue", "vermillion", "green", "purple", "sky", "orange", "black")
"""Names of the colours of figures, which everyone can tell apart; see `plots.style`."""

Limits = tuple[float, float]


@dataclass(frozen=True)
class Measurand:
    """One thing that is measured: an analyte in blood, a flux that tracers show, a store that imaging sees.

    Parameters
    ----------
    units
        Unit -> what one of it is in the canonical unit, which comes first.
    plausible, usual, usual_fasting
        From and to, in the canonical unit. A value that is not plausible is an error, and a unit in which it
        would be usual is proposed; fasting medians of whole studies lie within the last.
    label, colour
        How figures call it and draw it.
    proportional_to
        The state of the loop to which it is in proportion, if it is none itself.
    spellings
        Other names that a table may give it.
    from_zero
        Whether its axis begins at zero.
    usually_shown
        Whether figures over time and what-ifs show it unasked.
    """

    units: Mapping[str, float]
    plausible: Limits | None = None
    usual: Limits | None = None
    usual_fasting: Limits | None = None
    label: str = ""
    colour: str | None = None
    proportional_to: str | None = None
    spellings: tuple[str, ...] = ()
    from_zero: bool = True
    usually_shown: bool = True

    def __post_init__(self):
        object.__setattr__(self, "units", MappingProxyType(dict(self.units)))


def _flux(colour: str) -> Measurand:
    per_minute = {
        "mg/kg/min": 1.0,
        "umol/kg/min": GLUCOSE_MG_PER_MMOL / 1000,
        "mmol/kg/min": GLUCOSE_MG_PER_MMOL,
    }
    return Measurand(per_minute, (0, 20), (0.2, 5), colour=colour, usually_shown=False)


SHIPPED: Mapping[str, Measurand] = MappingProxyType(
    {
        "glucose": Measurand(
            {"mg/dL": 1.0, "mmol/L": GLUCOSE_MG_PER_MMOL / 10, "g/L": 100.0},
            plausible=(20, 1000),
            usual=(40, 450),
            usual_fasting=(50, 250),
            colour="blue",
            proportional_to="glucose_mass",
            from_zero=False,
        ),
        "insulin": Measurand(
            {"pmol/L": 1.0, "uU/mL": INSULIN_PMOL_PER_UNIT / 1000, "nmol/L": 1000.0},
            plausible=(0.5, 30_000),
            usual=(10, 3000),
            usual_fasting=(10, 180),
            colour="vermillion",
        ),
        "c_peptide": Measurand(
            {"pmol/L": 1.0, "ng/mL": 1000 * C_PEPTIDE_PMOL_PER_NG, "nmol/L": 1000.0},
            plausible=(5, 15_000),
            usual=(100, 5000),
            usual_fasting=(100, 2000),
            label="C-peptide",
            colour="purple",
            spellings=("cpeptide",),
        ),
        "glucagon": Measurand(
            {"pg/mL": 1.0, "pmol/L": GLUCAGON_PG_PER_PMOL / 1000},
            plausible=(2, 30_000),
            usual=(20, 1000),
            usual_fasting=(10, 300),
            colour="green",
        ),
        "liver_glycogen": Measurand(
            {"mmol/L": 1.0}, plausible=(0, 1000), colour="orange", proportional_to="glycogen"
        ),
        "endogenous_glucose_production": _flux("black"),
        "gluconeogenesis": _flux("green"),
        "glycogenolysis": _flux("orange"),
        "gluconeogenesis_share": Measurand(
            {"1": 1.0, "%": 0.01}, plausible=(0, 1), usual=(0.1, 1), usually_shown=False
        ),
    }
)
"""The analytes of bayesglu."""

_registered = SHIPPED
_registering = Lock()


def analytes() -> Mapping[str, Measurand]:
    """Everything that can be measured, by name."""
    plugins.load()
    return _registered


def state_of(name: str) -> str:
    """The state to which what is called so is in proportion; the name itself for all else."""
    found = analytes().get(name)
    return found.proportional_to or name if found else name


def words(name: str) -> str:
    """A name of the code as words, analytes as figures call them.

    >>> words("basal_c_peptide")
    'basal C-peptide'
    """
    text = name.replace("_", " ")
    for own, found in analytes().items():
        if found.label:
            text = re.sub(rf"\b{own.replace('_', ' ')}\b", found.label, text)
    return text


def register_analyte(
    name: str,
    units: Mapping[str, float],
    *,
    plausible: Limits | None = None,
    usual: Limits | None = None,
    usual_fasting: Limits | None = None,
    label: str = "",
    colour: str | None = None,
    proportional_to: str | None = None,
    spellings: Sequence[str] = (),
    from_zero: bool = True,
    usually_shown: bool = True,
    replace: bool = False,
) -> None:
    """Let studies hold an analyte of one's own.

    Like a part (`register_part`), it is registered anew in every process, before a study that holds it is
    read; twice the same does no harm.

    Parameters
    ----------
    name : str
        What tables and model files call it: best the name of the state or flux that is measured.
    units : mapping
        Unit to what one of it is in the canonical unit; the canonical one, of which one is 1, comes first. It
        must be the unit that the physiology has it in.
    plausible, usual, usual_fasting : tuple of float, optional
        From and to, in the canonical unit: outside the first a value is an error, within the second lie those
        of most people, within the third fasting medians of studies. Each may be left out, with the checks it
        is for.
    label : str
        How figures call it, if not by its name.
    colour : str, optional
        How figures draw it: blue, vermillion, green, purple, sky, orange, black, or ``"#rrggbb"``.
    proportional_to : str, optional
        The state of the loop to which it is in proportion, if it is none itself.
    spellings : sequence of str
        Other names that a table may give it.
    from_zero : bool
        Whether its axis begins at zero.
    usually_shown : bool
        Whether figures over time and what-ifs show it unasked.
    replace : bool
        Whether another analyte of this name may be there already.

    Raises
    ------
    InputError
        Listing everything that is wrong.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.register_analyte("lactate", {"mmol/L": 1.0, "mg/dL": 0.111}, plausible=(0.05, 30))
    >>> from bayesglu.units import convert
    >>> round(convert(9.0, "mg/dL", "lactate"), 2)
    1.0
    """
    global _registered
    limits = {"plausible": plausible, "usual": usual, "usual_fasting": usual_fasting}
    problems = Problems(f"register_analyte({name!r})")
    _check_name(name, problems)
    _check_units(units, problems)
    _check_limits(limits, problems)
    if colour is not None and colour not in COLOURS and not re.fullmatch(r"#[0-9a-fA-F]{6}", str(colour)):
        problems.add(f"colour is {colour!r}. Allowed: {', '.join(COLOURS)}, '#rrggbb'.")
    problems.raise_any(InputError)
    made = Measurand(
        {unit: float(factor) for unit, factor in units.items()},
        **{which: pair and (pair[0], pair[1]) for which, pair in limits.items()},
        label=label,
        colour=colour,
        proportional_to=proportional_to,
        spellings=tuple(spellings),
        from_zero=from_zero,
        usually_shown=usually_shown,
    )
    with _registering:
        if _registered.get(name, made) != made and not replace:
            problems.add("another analyte has this name. Choose another name, or say replace=True.")
        problems.raise_any(InputError)
        _registered = MappingProxyType({**_registered, name: made})


def _check_name(name: str, problems: Problems) -> None:
    if not (isinstance(name, str) and name.isidentifier() and name.islower()):
        problems.add("this is no name: write lower-case letters, digits and underscores.")


def _check_units(units: Mapping[str, float], problems: Problems) -> None:
    if not isinstance(units, Mapping) or not units:
        problems.add(f"units are {units!r}. Give a mapping, such as {{'mmol/L': 1.0, 'umol/L': 0.001}}.")
        return
    for unit, factor in units.items():
        if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < math.inf:
            problems.add(f"one {unit} is {factor!r} of the canonical unit; it must be a number above 0.")
    first, factor = next(iter(units.items()))
    if factor != 1:
        one = next((unit for unit, worth in units.items() if worth == 1), None)
        likely = f" Is it {one!r}? Write it first." if one else ""
        problems.add(f"the canonical unit comes first, and one of it is 1; {first!r} is {factor!r}.{likely}")


def _check_limits(limits: Mapping[str, Limits | None], problems: Problems) -> None:
    sound = {}
    for which, pair in limits.items():
        if pair is None:
            continue
        try:
            low, high = map(float, pair)
        except (TypeError, ValueError):
            low, high = math.nan, math.nan
        if not 0 <= low < high:
            problems.add(f"{which} is {pair!r}. Give a lower and a higher limit, from 0 on.")
        else:
            sound[which] = low, high
    low, high = sound.pop("plausible", (0.0, math.inf))
    for which, (from_, to) in sound.items():
        if not low <= from_ < to <= high:
            problems.add(f"{which} is {from_:g} to {to:g}, beyond what is plausible: {low:g} to {high:g}.")
