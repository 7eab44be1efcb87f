"""Changes of parameters and covariates, as calls and as text."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

import xarray as xr

from bayesglu.errors import InputError
from bayesglu.text.problems import show

NUMBER = r"\d*\.?\d+(?:[eE][+-]?\d+)?"


@dataclass(frozen=True)
class Change:
    """A change of one parameter or covariate; made by `scale`, `shift` and `set_to`.

    Parameters
    ----------
    words : str
        What it does, such as ``x 1.3``.
    apply : callable
        Changed values of given ones.
    value : float or str, optional
        What it sets to, where it does.

    Examples
    --------
    >>> scale(1.3).words
    'x 1.3'
    """

    words: str
    apply: Callable[[Any], Any]
    value: float | str | None = None


def _number(function: str, given) -> float:
    if not isinstance(given, Real) or not math.isfinite(given):
        raise InputError(f"{function}({given!r}) is no change; give a finite number.")
    return float(given)


def scale(factor: float) -> Change:
    """A change for `what_if`: the parameter times a factor.

    Parameters
    ----------
    factor : float
        Factor of at least 0.

    Returns
    -------
    Change
        What `what_if` applies to each draw.

    Raises
    ------
    InputError
        If the factor is negative, or not a finite number.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.scale(1.3).apply(2.0)
    2.6
    """
    if not _number("scale", factor) >= 0:
        raise InputError(f"scale({factor}) would make a parameter negative; give a factor of 0 or more.")
    return Change(f"x {factor:g}", lambda value: value * factor)


def shift(amount: float) -> Change:
    """A change for `what_if`: the parameter or covariate plus an amount.

    Parameters
    ----------
    amount : float
        Amount in the parameter's own unit; negative for less.

    Returns
    -------
    Change
        What `what_if` applies to each draw.

    Raises
    ------
    InputError
        If it is not a finite number.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.shift(-5).apply(90.0)
    85.0
    """
    _number("shift", amount)
    return Change(f"{amount:+g}", lambda value: value + amount)


def set_to(value: float | str) -> Change:
    """A change for `what_if`: the parameter or covariate at one value for everyone.

    Parameters
    ----------
    value : float or str
        The value in the parameter's own unit; the level of a covariate, such as ``"NGT"``.

    Returns
    -------
    Change
        What `what_if` applies to each draw.

    Raises
    ------
    InputError
        If it is not a finite number, and no level.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.set_to(0).words, bg.set_to("NGT").words
    ('= 0', '= NGT')
    """
    if isinstance(value, str) and re.search(r"[^\W\d_]", value) and not re.fullmatch(NUMBER, value.strip()):
        return Change(f"= {value}", lambda old: xr.full_like(old, value, dtype=object), value)
    _number("set_to", value)
    return Change(f"= {value:g}", lambda old: xr.full_like(old, float(value), dtype=float), float(value))


def change_of(text: str) -> Change | None:
    """The change that a text stands for: ``*1.3``, ``+5``, ``-5``, ``90``, ``NGT``; None where it is none.

    >>> change_of("*1.3").words, change_of("-5").words, change_of("NGT").words
    ('x 1.3', '-5', '= NGT')
    """
    if parts := re.fullmatch(rf"\s*([*+-]?)\s*({NUMBER})\s*", text):
        sign, amount = parts[1], float(parts[2])
        if sign == "*":
            return scale(amount)
        return shift(float(f"{sign}1") * amount) if sign else set_to(amount)
    if re.fullmatch(r"\s*[A-Za-z][\w /().-]*", text):
        return set_to(text.strip())
    return None


def as_change(given: Any) -> Change:
    """A change, its text, or a function of draws, as a change.

    Raises InputError where it is none of these.
    """
    if isinstance(given, Change):
        return given
    if isinstance(given, str) and (found := change_of(given)):
        return found
    if callable(given):
        return Change(f"by {getattr(given, '__name__', 'a function').strip('<>')}", given)
    raise InputError(
        f"{show(given)} is not a change; use scale(1.3), shift(5), set_to(0) or a function of draws."
    )
