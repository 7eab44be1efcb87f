"""The text that stands for a protocol, such as ``"ogtt(75) + meal(60).shift(300)"``."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable
from numbers import Real
from types import NoneType
from typing import Any

# Both fill PROTOCOLS.
from bayesglu.protocols import clamps, library  # noqa: F401
from bayesglu.protocols.calls import PROTOCOLS
from bayesglu.protocols.faults import ProtocolError
from bayesglu.protocols.protocol import Protocol
from bayesglu.text.expressions import Evaluator, depth, mismatch, parse
from bayesglu.text.problems import hint, show

DEEPEST = 500
"""Of expressions in expressions: a sum of so many protocols takes a second to read."""

_EXAMPLE = "'ogtt(75) + meal(60).shift(300)'"


def parse_protocol(text: Protocol | str) -> Protocol:
    """The protocol that a text such as ``"ogtt(75) + meal(60).shift(300)"`` describes.

    Parameters
    ----------
    text : Protocol or str
        Calls of the protocol functions with numbers, lists of numbers and quoted texts, ``+`` and
        ``.shift(minutes)``; numbers may be computed (``7 * 60``). Nothing else is executed.

    Returns
    -------
    Protocol
        What the text describes; a `Protocol` is returned as it is.

    Raises
    ------
    ProtocolError
        If the text is not a protocol; the message says what is known, and the nearest name.

    Examples
    --------
    >>> parse_protocol("clamp(90, insulin_rate=1) + fast(hours=4)").duration
    240.0
    """
    if isinstance(text, Protocol):
        return text
    if not isinstance(text, str) or len(text) > 20_000:
        raise ProtocolError("A protocol must be a text of at most 20,000 characters, such as 'ogtt(75)'.")
    try:
        tree = parse(text)
        if depth(tree) > DEEPEST:
            raise RecursionError
        result = _Protocols(text.strip()).value(tree)
    except SyntaxError as error:
        raise ProtocolError(
            f"{_short(text)!r} cannot be read: {error.msg}. A protocol looks like {_EXAMPLE}."
        ) from None
    except ProtocolError:
        raise
    except (ValueError, ArithmeticError, RecursionError, MemoryError):
        why = "it is nested too deeply, or holds odd characters or immense numbers"
        raise ProtocolError(f"{_short(text)!r} cannot be read: {why}.") from None
    if not isinstance(result, Protocol):
        raise ProtocolError(
            f"{_short(text)!r} is {show(result)}, not a protocol. A protocol looks like {_EXAMPLE}."
        )
    return result


class _Protocols(Evaluator):
    """The language of protocols: numbers, lists of numbers, quoted texts, protocols and their sums."""

    constants = (int, float, str, NoneType)
    functions = PROTOCOLS

    def __init__(self, text: str):
        self.text = text

    def where(self, node: ast.expr) -> str:
        """The text of a part."""
        return _short(ast.get_source_segment(self.text, node) or self.text)

    def combine(self, node: ast.expr, operation: Callable, *values: Any) -> Protocol | float | list[float]:
        protocols = isinstance(getattr(node, "op", None), ast.Add)
        protocols = protocols and all(isinstance(value, Protocol) for value in values)
        if protocols or all(isinstance(value, Real) for value in values):
            try:
                return operation(*values)
            except (ZeroDivisionError, OverflowError) as error:
                raise ProtocolError(f"{self.where(node)}: {error}.") from None
        if len(values) == 1:
            return self.other(node)
        raise ProtocolError(
            f"{self.where(node)}: only protocol + protocol and arithmetic of numbers are understood."
        )

    def call(self, node: ast.Call, function: Callable[..., Protocol]) -> Protocol:
        signature = inspect.signature(function)
        known = list(signature.parameters)
        for keyword in node.keywords:
            if keyword.arg not in known:
                raise ProtocolError(
                    f"{self.where(node)}: no argument {keyword.arg!r}.{hint(keyword.arg, known)} "
                    f"Known: {', '.join(known)}."
                )
        args = [self.value(arg) for arg in node.args]
        keywords = {word.arg: self.value(word.value) for word in node.keywords if word.arg is not None}
        if why := mismatch(function, args, keywords):
            raise ProtocolError(f"{self.where(node)}: {why}. Arguments: {signature}.")
        return function(*args, **keywords)

    def other(self, node: ast.expr) -> Protocol | list[float]:
        if isinstance(node, ast.List | ast.Tuple):
            values = [self.value(element) for element in node.elts]
            if all(isinstance(value, Real) for value in values):
                return values
        where = self.where(node)  # slow in a long text: of what is wrong alone
        match node:
            case ast.Call(func=ast.Name(id=name)):
                known = ", ".join(sorted(PROTOCOLS))
                raise ProtocolError(f"{where}: no protocol {name!r}.{hint(name, PROTOCOLS)} Known: {known}.")
            case ast.Call(func=ast.Attribute(value=inner, attr=name)):
                protocol = self.value(inner)
                if isinstance(protocol, Protocol) and name == "shift":
                    return self.call(node, protocol.shift)
                raise ProtocolError(
                    f"{where}: no method {name!r}.{hint(name, ['shift'])} Known: shift, of a protocol."
                )
            case ast.Name(id=name) if name in PROTOCOLS:
                raise ProtocolError(f"{where}: {name} needs brackets, as in {name}(...).")
        raise ProtocolError(
            f"{where}: not part of a protocol. Allowed: calls of {', '.join(sorted(PROTOCOLS))}, "
            f"+, .shift(minutes), numbers, lists of numbers and quoted texts; for instance {_EXAMPLE}."
        )


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
