"""Straight-line programs: what remains of an expression once it is only additions, products and a few
functions.

A program is a list of instructions in which equal work appears once. It is the common language of SymPy,
which writes it, and of the compiler, which turns it into vector code. As text it is what a compiled solver is
named after.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import sympy

from bayesglu.errors import BayesgluError

OPERATIONS = (
    "input",
    "constant",
    "add",
    "sub",
    "mul",
    "reciprocal",
    "sqrt",
    "exp",
    "log",
    "abs",
    "sign",
    "neg",
)


class NotCompiledError(BayesgluError, NotImplementedError):
    """An expression of a flux that no instruction computes."""


@dataclass
class Program:
    """Instructions ``(operation, *arguments)``; an argument is the index of an earlier instruction.

    Inputs are ``("input", group, position)``, constants ``("constant", value)``. `outputs` lists, for each
    group of results, the indices of its values.
    """

    inputs: Mapping[str, Sequence[sympy.Symbol]]
    instructions: list[tuple] = field(default_factory=list)
    outputs: dict[str, list[int]] = field(default_factory=dict)

    def __post_init__(self):
        self._number: dict[tuple, int] = {}
        self._value: dict[sympy.Expr, int] = {}
        for group, symbols in self.inputs.items():
            for position, symbol in enumerate(symbols):
                self._value[symbol] = self._emit("input", group, position)

    def _emit(self, *instruction) -> int:
        operation = instruction[0]
        if operation in ("add", "mul"):
            instruction = (operation, *sorted(instruction[1:]))
        if instruction not in self._number:
            self._number[instruction] = len(self.instructions)
            self.instructions.append(instruction)
        return self._number[instruction]

    def define(self, symbol: sympy.Symbol, expression) -> None:
        """Give the value of `expression` the name `symbol`, for later expressions to use."""
        self._value[symbol] = self.lower(sympy.sympify(expression))

    def output(self, group: str, expressions: Sequence) -> None:
        """Make the values of `expressions` the results called `group`."""
        self.outputs[group] = [self.lower(sympy.sympify(e)) for e in expressions]

    def lower(self, e: sympy.Expr) -> int:
        """Index of the instruction that computes `e`."""
        if e not in self._value:
            self._value[e] = self._lower(e)
        return self._value[e]

    def _lower(self, e: sympy.Expr) -> int:
        if e.is_Number or e.is_NumberSymbol:
            return self._emit("constant", float(e))
        terms = cast("tuple[sympy.Expr, ...]", e.args)
        if e.is_Add:
            plus = [a for a in terms if not a.could_extract_minus_sign()]
            minus = [-a for a in terms if a.could_extract_minus_sign()]
            if not plus:
                return self._emit("neg", self._chain("add", minus))
            total = self._chain("add", plus)
            return self._emit("sub", total, self._chain("add", minus)) if minus else total
        if e.is_Mul:
            if e.could_extract_minus_sign():
                return self._emit("neg", self.lower(-e))
            return self._chain("mul", terms)
        if e.is_Pow:
            return self._power(*terms)
        for name, function in (
            ("exp", sympy.exp),
            ("log", sympy.log),
            ("abs", sympy.Abs),
            ("sign", sympy.sign),
        ):
            if isinstance(e, function):
                return self._emit(name, self.lower(terms[0]))
        raise NotCompiledError(f"There is no instruction for {e.func.__name__} in {e}.")

    def _chain(self, operation: str, terms: Sequence[sympy.Expr]) -> int:
        values = [self.lower(t) for t in terms]
        while len(values) > 1:  # a balanced tree: shorter dependency chains than left to right
            pairs = [self._emit(operation, *values[i : i + 2]) for i in range(0, len(values) - 1, 2)]
            values = pairs + values[len(pairs) * 2 :]
        return values[0]

    def _power(self, base: sympy.Expr, exponent: sympy.Expr) -> int:
        if exponent == sympy.Rational(1, 2):
            return self._emit("sqrt", self.lower(base))
        if not exponent.is_Integer:
            raise NotCompiledError(
                f"Only integer powers and square roots are compiled, not {base}**{exponent}."
            )
        n = int(exponent)
        if n < 0:
            inverse = self._emit("reciprocal", self.lower(base))
            return self._whole_power(inverse, -n)
        return self._whole_power(self.lower(base), n)

    def _whole_power(self, value: int, n: int) -> int:
        if n == 1:
            return value
        half = self._whole_power(value, n // 2)
        square = self._emit("mul", half, half)
        return self._emit("mul", square, value) if n % 2 else square

    def used(self, group: str) -> list[int]:
        """Positions of the inputs of a group on which anything depends."""
        read = {i for operation, *a in self.instructions if operation not in ("input", "constant") for i in a}
        read |= {i for indices in self.outputs.values() for i in indices}
        inputs = [(i, a[1:]) for i, a in enumerate(self.instructions) if a[0] == "input" and i in read]
        return [position for _, (of, position) in inputs if of == group]

    def text(self) -> str:
        """The program written out, a line per instruction: the same text, the same numbers."""
        lines = [" ".join(map(repr, i)) for i in self.instructions]
        lines += [f"{group} = {indices}" for group, indices in self.outputs.items()]
        lines += [f"{group}: {len(symbols)}" for group, symbols in self.inputs.items()]
        return "\n".join(lines)
