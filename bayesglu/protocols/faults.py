"""What is wrong with what a protocol was given, a sentence each, and the error that holds them all."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import SupportsFloat

from bayesglu.errors import BayesgluError
from bayesglu.text.problems import nearest


class ProtocolError(BayesgluError, ValueError):
    """A protocol that cannot be carried out; the message says where, what was found and what is allowed."""


def not_among(allowed: Sequence[str], **value: object) -> list[str]:
    """A sentence for each value that is not allowed."""
    return [
        f"{name} is {found!r}; allowed: {', '.join(allowed)}" + _suggestion(found, allowed)
        for name, found in value.items()
        if found not in allowed
    ]


def _suggestion(found: object, allowed: Sequence[str]) -> str:
    name = nearest(found, allowed)
    return f" (did you mean {name!r}?)" if name else ""


def not_a_number(minimum: float, *, exclusive: bool = False, **values: object) -> list[str]:
    """A sentence for each value that is not a finite number from ``minimum`` on."""
    bound = "" if minimum == -math.inf else f" {'above' if exclusive else 'of at least'} {minimum:g}"
    problems = []
    for name, value in values.items():
        is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or value < minimum or (exclusive and value == minimum):
            found = number(value) if is_number else repr(value)
            problems.append(f"{name} is {found}; it must be a finite number{bound}")
    return problems


def not_a_list(**values: object) -> list[str]:
    """A sentence for each value that is no list of one finite number or more."""
    problems = []
    for name, value in values.items():
        if not isinstance(value, (list, tuple)) or not value:
            problems.append(f"{name} is {value!r}; it must be a list of numbers, such as [90, 70, 55]")
        else:
            problems += not_a_number(-math.inf, **{f"{name}[{i}]": v for i, v in enumerate(value)})
    return problems


def raise_any(problems: Iterable[str]) -> None:
    """Raise one ProtocolError that holds all problems, if there are any."""
    if found := list(problems):
        raise ProtocolError("; ".join(found) + ".")


def number(value: SupportsFloat) -> str:
    """Shortest text that reads back as the same number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
