"""From the physiology to programs: the loop runs once on SymPy symbols, and SymPy takes its exact
derivatives.

Work that depends on the parameters alone (the basal state, a threshold, one over a volume) is done once a
person and not at each step: it is hoisted into coefficients. The derivative of a program is its statements in
reverse, each with the partial derivatives that SymPy gives for it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from inspect import signature
from operator import mul
from typing import Any

import sympy

from bayesglu.errors import InputError
from bayesglu.physiology.loop import Loop, assemble
from bayesglu.solver.program import Program

Statement = tuple[sympy.Symbol, sympy.Expr]


@dataclass(frozen=True)
class System:
    """A loop ready to be compiled.

    The programs and their inputs: ``setup`` (parameters -> coefficients, initial state), ``rhs`` (state,
    input, coefficients -> change), ``observe`` (state, input, coefficients -> outputs), and for each its
    vector-Jacobian product
    ``*_adjoint``, for ``rhs`` and ``observe`` also by the level of a measured curve, where there is one.
    `channels` are the inputs with a rate; `doses` lists the states that a bolus on one of the
    `boluses` raises: (bolus, state, coefficient that multiplies the amount or -1).
    """

    loop: Loop
    parameters: tuple[str, ...]
    states: tuple[str, ...]
    scales: tuple[float, ...]
    channels: tuple[str, ...]
    boluses: tuple[str, ...]
    outputs: tuple[str, ...]
    n_coefficients: int
    doses: tuple[tuple[int, int, int], ...]
    programs: Mapping[str, Program]

    @property
    def level(self) -> int:
        """Which of the channels is a measured curve; -1 where none is."""
        forced = (self.channels.index(c) for c in self.loop.forced.values() if c in self.channels)
        return next(forced, -1)

    def text(self) -> str:
        """All that decides the numbers, as text."""
        head = (
            self.parameters,
            self.states,
            self.scales,
            self.channels,
            self.boluses,
            self.outputs,
            self.doses,
        )
        return "\n".join([repr(head), *(f"# {name}\n{p.text()}" for name, p in self.programs.items())])


def system(
    structure: Mapping[str, str],
    outputs: Sequence[str],
    channels: Iterable[str] = (),
    boluses: Iterable[str] = (),
    hold: Iterable[str] = (),
    start: Iterable[str] = (),
) -> System:
    """The system for a `structure`, giving `outputs` by name.

    `channels` are the inputs to which a protocol gives rates, and `boluses` those on which it gives amounts
    at once; the others are left out of the equations. States named in `hold` stay where they start. Those in
    `start` do not start from the basal state: their initial values follow the parameters in the loop's order.
    """
    loop = assemble(structure)
    rated = tuple(c for c in loop.inputs if c in set(channels))
    given = tuple(c for c in loop.inputs if c in set(boluses))
    begun = tuple(n for n in loop.states if n in set(start))
    return _system(loop, tuple(outputs), rated, given, frozenset(hold), begun)


@cache
def _system(
    loop: Loop,
    outputs: tuple[str, ...],
    channels: tuple[str, ...],
    boluses: tuple[str, ...],
    hold: frozenset[str],
    start: tuple[str, ...],
) -> System:
    parameter = {n: sympy.Symbol(n, positive=True) for n in loop.parameters}
    state = {n: sympy.Symbol(n, real=True) for n in loop.states}
    begun = {n: sympy.Symbol(f"{n}_at_start", real=True) for n in start}
    channel = {f"{n}_input": sympy.Symbol(f"{n}_input", real=True) for n in channels}
    unused = {
        f"{n}_input": sympy.Float(v) if v else sympy.S.Zero
        for n, v in loop.inputs.items()
        if n not in channels
    }

    statements = _statements(loop, {**parameter, **state, **channel, **unused})
    named = {**parameter, **state, **{s.name: s for s, _ in statements}}

    rates = [sympy.S.Zero if n in hold else named[s.rate] for n, s in loop.states.items()]
    basal = {n: named[s.initial] if s.initial else sympy.S.Zero for n, s in loop.states.items()}
    starts = list({**basal, **begun}.values())
    given = {n: s.volume for n, s in loop.states.items() if s.volume and s.channel in boluses}
    volumes = {n: sympy.S.One / named[volume] for n, volume in given.items()}
    views = [named[n] for n in outputs]

    constant, dynamic = _split(statements, set(parameter.values()))
    hoist = _Hoist(set(parameter.values()) | {s for s, _ in constant})
    dynamic = [(s, hoist(e)) for s, e in dynamic]
    rates, views = [hoist(e) for e in rates], [hoist(e) for e in views]
    volume_of = {n: hoist(e) for n, e in volumes.items()}
    coefficients = hoist.found

    theta = (*parameter.values(), *begun.values())
    y, u = tuple(state.values()), tuple(channel.values())
    c = tuple(coefficients)
    moving = {"y": y, "c": c}
    if level := tuple(channel[f"{n}_input"] for n in loop.forced.values() if n in channels):
        moving["level"] = level
    setup = constant + [(symbol, e) for symbol, e in coefficients.items()]
    programs = {
        "setup": _forward({"theta": theta}, setup, {"c": list(c), "y": starts}),
        "setup_adjoint": _adjoint({"theta": theta}, setup, {"c": list(c), "y": starts}, {"theta": theta}),
        "rhs": _forward({"y": y, "u": u, "c": c}, dynamic, {"dy": rates}),
        "rhs_adjoint": _adjoint({"y": y, "u": u, "c": c}, dynamic, {"dy": rates}, moving),
        "observe": _forward({"y": y, "u": u, "c": c}, dynamic, {"out": views}),
        "observe_adjoint": _adjoint({"y": y, "u": u, "c": c}, dynamic, {"out": views}, moving),
    }
    doses = tuple(
        (boluses.index(s.channel), i, c.index(volume_of[n]) if n in volume_of else -1)
        for i, (n, s) in enumerate(loop.states.items())
        if s.channel in boluses and n not in hold
    )
    return System(
        loop,
        tuple(symbol.name for symbol in theta),
        tuple(loop.states),
        tuple(s.scale for s in loop.states.values()),
        channels,
        boluses,
        outputs,
        len(c),
        doses,
        programs,
    )


def _statements(loop: Loop, pool: dict) -> list[Statement]:
    """Each quantity as a statement on symbols, in order; a quantity that is a number or a name is replaced
    by it."""
    pool, found = dict(pool), []
    for name, function in loop.quantities.items():
        try:
            value = function(**{a: pool[a] for a in signature(function).parameters if a in pool})
            value = sympy.sympify(value)
        except (TypeError, ValueError, AttributeError, sympy.SympifyError) as error:
            raise InputError(
                f"{name} ({function.__module__}) cannot be run on symbols, so that it has no derivatives: "
                f"{error}. Write it in plain arithmetic, without comparisons and ifs; exp, log and smooth "
                "thresholds are in bayesglu.physiology.smooth."
            ) from error
        symbol = sympy.Symbol(name, real=True)
        found.append((symbol, value))
        pool[name] = value if value.is_Number or value.is_Symbol else symbol
    return found


def _split(statements: list[Statement], known: set) -> tuple[list[Statement], list[Statement]]:
    """Statements that depend on the `known` symbols alone, and the rest."""
    constant, dynamic, known = [], [], set(known)
    for symbol, e in statements:
        if e.free_symbols <= known:
            constant.append((symbol, e))
            known.add(symbol)
        else:
            dynamic.append((symbol, e))
    return constant, dynamic


class _Hoist:
    """Replaces each largest part of an expression that is made of `known` symbols alone by a coefficient."""

    def __init__(self, known: set):
        self.known = known
        self.found: dict[sympy.Symbol, sympy.Expr] = {}
        self._symbol: dict[sympy.Expr, sympy.Symbol] = {}

    def _coefficient(self, e):
        if e.is_Number:
            return e
        if e not in self._symbol:
            self._symbol[e] = sympy.Symbol(f"_c{len(self._symbol)}", real=True)
            self.found[self._symbol[e]] = e
        return self._symbol[e]

    def __call__(self, e):
        if e.free_symbols <= self.known:
            return self._coefficient(e)
        if e.is_Add or e.is_Mul:
            fixed = [a for a in e.args if a.free_symbols <= self.known]
            moving = [self(a) for a in e.args if not a.free_symbols <= self.known]
            return e.func(*moving, *([self._coefficient(e.func(*fixed))] if fixed else []))
        return e.func(*(self(a) if a.free_symbols else a for a in e.args)) if e.args else e


def _needed(statements: list[Statement], results: Iterable) -> list[Statement]:
    """The statements that the results need, in order."""
    wanted = set().union(*(sympy.sympify(r).free_symbols for r in results))
    kept = []
    for symbol, e in reversed(statements):
        if symbol in wanted:
            kept.append((symbol, e))
            wanted |= e.free_symbols
    return kept[::-1]


def _forward(inputs: Mapping, statements: list[Statement], results: Mapping[str, list]) -> Program:
    program = Program(inputs)
    for symbol, e in _needed(statements, [r for group in results.values() for r in group]):
        program.define(symbol, e)
    for group, expressions in results.items():
        program.output(group, expressions)
    return program


@cache
def _derivative(e: Any, symbol: sympy.Symbol) -> Any:
    """As SymPy's ``e.diff(symbol)``, without all that it asks of sums, products and powers before it applies
    their rules: half of the time until a system is there. Kept, since the systems of one loop under other
    protocols share nearly all expressions."""
    if symbol not in e.free_symbols:
        return sympy.S.Zero
    if e.is_Add:
        return sympy.Add(*(_derivative(term, symbol) for term in e.args))
    if e.is_Mul:
        pulled = ((i, _derivative(factor, symbol)) for i, factor in enumerate(e.args))
        return sympy.Add(*(reduce(mul, (*e.args[:i], d, *e.args[i + 1 :])) for i, d in pulled if d))
    if e.is_Pow and not e.exp.free_symbols:
        return e * (_derivative(e.base, symbol) * e.exp / e.base)
    return e.diff(symbol)


def _adjoint(
    inputs: Mapping, statements: list[Statement], results: Mapping[str, list], wrt: Mapping[str, tuple]
) -> Program:
    """The vector-Jacobian product: given the cotangents ``bar_*`` of the results, those of the symbols in
    `wrt`, by group."""
    bars = {
        f"bar_{group}": tuple(sympy.Symbol(f"bar_{group}_{i}", real=True) for i in range(len(expressions)))
        for group, expressions in results.items()
    }
    kept = _needed(statements, [r for group in results.values() for r in group])
    program = Program({**inputs, **bars})
    for symbol, e in kept:
        program.define(symbol, e)
    pulled: dict[sympy.Symbol, list] = {}

    def pull(bar, e):
        for symbol in sorted(e.free_symbols, key=str):
            pulled.setdefault(symbol, []).append(bar * _derivative(e, symbol))

    for group, expressions in results.items():
        for bar, e in zip(bars[f"bar_{group}"], expressions, strict=True):
            pull(bar, sympy.sympify(e))
    for symbol, e in reversed(kept):
        if symbol in pulled:
            bar = sympy.Symbol(f"bar_{symbol.name}", real=True)
            program.define(bar, sympy.Add(*pulled[symbol]))
            pull(bar, e)
    for group, symbols in wrt.items():
        program.output(group, [sympy.Add(*pulled.get(s, [sympy.S.Zero])) for s in symbols])
    return program
