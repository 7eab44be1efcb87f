"""Texts that are evaluated: numbers, arithmetic and calls of known functions, and no other Python.

A language is a subclass of `Evaluator`, which says what may be called and what else its texts may hold.
"""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_SIGNS: Mapping[type, Callable] = {ast.USub: operator.neg, ast.UAdd: operator.pos}
_ARITHMETIC: Mapping[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def parse(text: str) -> ast.expr:
    """The syntax tree of an expression; raises SyntaxError where the text is none."""
    return ast.parse(text.strip(), mode="eval").body


def depth(tree: ast.AST) -> int:
    """How deeply an expression is nested; a sum of n things is n deep.

    >>> depth(parse("1 + (2 + (3 + 4))")) > depth(parse("[1, 2, 3, 4]"))
    True
    """
    levels, inner = 0, [tree]
    while inner:
        levels, inner = levels + 1, [child for node in inner for child in ast.iter_child_nodes(node)]
    return levels


def mismatch(function: Callable, args: Sequence, keywords: Mapping[str, Any]) -> str:
    """Why a function cannot be called like this, or nothing.

    >>> mismatch(abs, [], {})
    "missing a required argument: 'x'"
    """
    try:
        inspect.signature(function).bind(*args, **keywords)
    except TypeError as error:
        return str(error)
    return ""


class Evaluator:
    """Gives the value of a syntax tree. Whatever is not arithmetic, a constant or a call goes to `other`.

    ``constants`` are the types of constants that a text may hold, ``functions`` what it may call.
    """

    constants: tuple[type, ...] = (int, float)
    functions: Mapping[str, Callable]

    def value(self, node: ast.expr) -> Any:
        """What an expression stands for."""
        match node:
            case ast.Constant(value=value) if type(value) in self.constants:
                return value
            case ast.UnaryOp(op=op, operand=operand) if type(op) in _SIGNS:
                return self.combine(node, _SIGNS[type(op)], self.value(operand))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self.combine(node, _ARITHMETIC[type(op)], self.value(left), self.value(right))
            case ast.Call(func=ast.Name(id=name)) if name in self.functions:
                return self.call(node, self.functions[name])
        return self.other(node)

    def combine(self, node: ast.expr, operation: Callable, *values: Any) -> Any:
        """The value of an operation on values."""
        return operation(*values)

    def call(self, node: ast.Call, function: Callable) -> Any:
        """The value of a call."""
        raise NotImplementedError

    def other(self, node: ast.expr) -> Any:
        """The value of what only this language knows; an error for the rest."""
        raise NotImplementedError
