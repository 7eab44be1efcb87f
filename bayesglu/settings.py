"""Settings of `fit`, `simulate` and the solver: what each may be, in one table, and the check of all that are
given."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from bayesglu.errors import InputError
from bayesglu.renamed import SETTINGS as RENAMED
from bayesglu.text.problems import hint, show


@dataclass(frozen=True)
class Number:
    """A number from `lowest` to `highest`; `within`: strictly between them. `optional`: None will do too."""

    lowest: float
    highest: float = math.inf
    whole: bool = False
    within: bool = False
    optional: bool = False

    @property
    def allowed(self) -> str:
        """The range in words."""
        if self.within:
            below = f" and below {self.highest:g}" if math.isfinite(self.highest) else ""
            return f"above {self.lowest:g}{below}"
        return f"{self.lowest:g} to {self.highest:g}" if self.highest < MANY else f"{self.lowest:g} or more"

    def fault(self, name: str, value: Any) -> str:
        """What is wrong with a value; nothing where it is fine."""
        if value is None and self.optional:
            return ""
        wanted, size = self.allowed, _size(value)
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            wanted = f"a {'whole ' if self.whole else ''}number, {wanted}"
        elif math.isfinite(size) and (
            self.lowest < size < self.highest if self.within else self.lowest <= size <= self.highest
        ):
            return ""
        if MANY <= self.highest < size < math.inf:
            wanted += f", and not above {self.highest:g}"
        return f"{name} is {show(value)}; it must be {wanted}{' or None' if self.optional else ''}."

    def plain(self, value: Any) -> int | float | None:
        """The value as Python's own number."""
        return None if value is None else int(value) if self.whole else float(value)


@dataclass(frozen=True)
class Choice:
    """One of several values."""

    choices: tuple

    def fault(self, name: str, value: Any) -> str:
        """What is wrong with a value; nothing where it is fine."""
        if isinstance(value, str | int) and value in self.choices:
            return ""
        if not isinstance(self.choices[0], str):
            return f"{name} is {show(value)}; it must be {' or '.join(map(str, self.choices))}."
        return f"There is no {name} {show(value)}. Known: {', '.join(self.choices)}."

    def plain(self, value: Any) -> Any:
        """The value."""
        return value


MANY = 10**7
COUNT = Number(1, MANY, whole=True)

SAMPLING: Mapping[str, Number | Choice] = {
    "draws": COUNT,
    "tune": COUNT,
    "chains": COUNT,
    "cores": Number(1, MANY, whole=True, optional=True),
    "target_accept": Number(0, 1, within=True),
    "progressbar": Choice((True, False)),
    "method": Choice(("nuts", "mclmc", "laplace")),
    "parametrization": Choice(("whitened", "noncentered")),
    "steps": Choice(("frozen", "adaptive")),
}
"""Of `fit`. nutpie brings the process down where it cannot tune at all."""

EARLIER: Mapping[str, str] = {"method": "nuts", "steps": "adaptive"}
"""What runs and fits of earlier versions were made with, which do not say so."""

NUTS: Mapping[str, Number | Choice] = {
    "adaptation": Choice(("diag", "draw_diag", "low_rank")),
    "check_turning": Choice((True, False)),
    "extra_doublings": Number(0, 10, whole=True),
    "initial_step": Number(0, within=True),
    "mass_matrix_eigval_cutoff": Number(1, within=True, optional=True),
    "mass_matrix_gamma": Number(0, within=True, optional=True),
    "mass_matrix_switch_freq": COUNT,
    "max_energy_error": Number(0, within=True),
    "max_step_size": Number(0, within=True),
    "maxdepth": Number(1, 20, whole=True),
    "mindepth": Number(0, 20, whole=True),
    "step_size_jitter": Number(0, 1, optional=True),
    "target_integration_time": Number(0, within=True, optional=True),
}
"""Of nutpie, that `fit` passes on as ``nuts``."""

SOLVER: Mapping[str, Number | Choice] = {
    "rtol": Number(0, 1, within=True),
    "atol": Number(0, 1, within=True),
    "max_steps": Number(1, 10**12, whole=True),
}


def check_settings(given: Mapping[str, Any], known: Mapping[str, Number | Choice]) -> dict[str, Any]:
    """Settings as Python's own numbers; InputError that lists all that cannot be used.

    >>> check_settings({"rtol": 1e-8}, SOLVER)
    {'rtol': 1e-08}
    """
    return check_all((given, known, ""))[0]


def check_all(*groups: tuple[Any, Mapping[str, Number | Choice], str]) -> list[dict[str, Any]]:
    """The same for several groups at once: what is given, what is known, and the argument that it is in."""
    found, faults = [], []
    for given, known, place in groups:
        if not isinstance(given, Mapping):
            faults.append(f"{place} is {show(given)}; it must be a mapping, such as {{'maxdepth': 8}}.")
            continue
        found.append({})
        for name, value in given.items():
            if name not in known:
                faults.append(_unknown(name, known, place))
            elif fault := known[name].fault(name, value):
                faults.append(f"{place}: {fault}" if place else fault)
            else:
                found[-1][name] = known[name].plain(value)
    if faults:
        error = InputError("\n".join(faults))
        error.problems = tuple(faults)
        raise error
    return found


def as_names(what: str, given: str | Iterable[str]) -> tuple[str, ...]:
    """The names that an argument takes, of which one may be given alone; InputError where it is none.

    >>> as_names("outputs", "glucose")
    ('glucose',)
    """
    names = (given,) if isinstance(given, str) or not isinstance(given, Iterable) else tuple(given)
    if not all(isinstance(name, str) for name in names):
        raise InputError(f"{what} is {show(given)}; it must be a name, or a list of names.")
    return names


def as_mapping(what: str, given: Mapping | None) -> Mapping:
    """What an argument says by name, nothing where it is None; InputError where it is no mapping.

    >>> as_mapping("parameters", None)
    {}
    """
    if given is not None and not isinstance(given, Mapping):
        raise InputError(f"{what} is {show(given)}; it must be a mapping by name, such as {{'glucose': 90}}.")
    return {} if given is None else given


def _size(value: Any) -> float:
    """A number as a float, infinite where it is too large for one; NaN where it is none."""
    try:
        return float(value) if isinstance(value, Real) else math.nan
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _unknown(name: object, known: Mapping, place: str) -> str:
    new = RENAMED.get(str(name))
    now = f" It is now called {new!r}." if new in known else hint(name, known)
    return (
        f"{place and f'{place}: '}There is no setting {name!r}.{now}\n  Settings allowed here: "
        f"{', '.join(sorted(known))}."
    )
