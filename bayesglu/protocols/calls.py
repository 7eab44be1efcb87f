"""Protocols named by their call: ``ogtt(75)`` makes a protocol whose name is the text ``ogtt(75)``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace
from numbers import Real

from bayesglu.protocols.faults import ProtocolError, number
from bayesglu.protocols.protocol import Protocol

PROTOCOLS: dict[str, Callable[..., Protocol]] = {}
"""Every function that `named_by_call` has decorated, by its name."""


def named_by_call(build: Callable[..., Protocol]) -> Callable[..., Protocol]:
    """Let `parse_protocol` find a function, name its result after the call, begin errors with the call."""

    @functools.wraps(build)
    def named(*args, **kwargs) -> Protocol:
        args, kwargs = [_plain(value) for value in args], {key: _plain(v) for key, v in kwargs.items()}
        given = [*map(_written, args), *(f"{key}={_written(value)}" for key, value in kwargs.items())]
        call = f"{build.__name__}({', '.join(given)})"
        try:
            return replace(build(*args, **kwargs), name=call)
        except ProtocolError as error:
            raise ProtocolError(f"{call}: {error}") from None

    PROTOCOLS[build.__name__] = named
    return named


def _plain(value: object) -> object:
    """An argument without its array: arrays, series and ranges as lists, their elements as numbers."""
    values = getattr(value, "values", None)
    value = value if values is None or callable(values) else values
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def _written(value: object) -> str:
    """An argument as it would be written in a call."""
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return number(value) if isinstance(value, Real) and not isinstance(value, bool) else repr(value)
