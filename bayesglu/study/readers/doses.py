"""What a dose of a table is: its substance, route and unit, as an answer says them."""

from __future__ import annotations

from bayesglu.protocols.events import ROUTE_NAMES, ROUTES
from bayesglu.study.cells import bare
from bayesglu.study.readers.answers import say
from bayesglu.text.problems import Problems
from bayesglu.units import SUBSTANCES, UnitError, dose_amount


def parse_dose(text: str, problems: Problems) -> dict[str, str]:
    """Substance, route and unit of a text, in any order; empty after noting a fault.

    >>> parse_dose("oral glucose g", Problems("x"))
    {'substance': 'glucose', 'route': 'oral', 'unit': 'g'}
    """
    words = [ROUTE_NAMES.get(bare(word), word) for word in text.replace(",", " ").split()]
    substance = [word.lower() for word in words if word.lower() in SUBSTANCES]
    route = [word.lower() for word in words if word.lower() in ROUTES]
    unit = [word for word in words if word.lower() not in (*SUBSTANCES, *ROUTES)]
    if (len(substance), len(route), len(unit)) != (1, 1, 1):
        problems.add(
            f"doses says {text!r}. Give a substance ({', '.join(SUBSTANCES)}), a route ({', '.join(ROUTES)}) "
            "and a unit, such as 'oral glucose g'."
        )
        return {}
    try:
        dose_amount(1.0, unit[0], substance[0], 70.0)
    except UnitError as error:
        problems.add(f"doses says {text!r}: {error}")
        return {}
    return {"substance": substance[0], "route": route[0], "unit": unit[0]}


def ask_doses(problems: Problems, keys: list[str], where: str) -> None:
    """Note that nothing says what was given."""
    example = "'oral glucose g'" if len(keys) < 2 else repr({key: "oral glucose g" for key in keys})
    which = f" in compartment{'s' if len(keys) > 1 else ''} {', '.join(keys)}" if any(keys) else ""
    problems.add(f"what are the doses{which}? {say('doses', example)} Or give a protocol.", where)
