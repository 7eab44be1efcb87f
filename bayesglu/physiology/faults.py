"""What is wrong with a part of one's own, told before it takes part: each function says its units and keeps
to them, and a name has one unit wherever it stands."""

import math
import random
from collections.abc import Callable, Mapping
from inspect import Parameter, isfunction, signature
from typing import TYPE_CHECKING, get_args, get_type_hints

from bayesglu.physiology.parts import Part, State
from bayesglu.physiology.quantities import base_units, fractions, size, units

if TYPE_CHECKING:
    from bayesglu.physiology.registry import Choices

BY_NAME = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def faults_of(part: Part, others: "Choices") -> list[str]:
    """Sentences about what is wrong with a part, beside all other parts."""
    faults = [fault for name, function in part.quantities.items() for fault in _speech(name, function)]
    if faults:
        return faults
    unit = dict(others.units)
    for place, name, said in _units_said(part):
        if unit.setdefault(name, said) != said:
            faults.append(f"{place} has {name} in {said!r}; elsewhere it is in {unit[name]!r}.")
    if faults:
        return faults
    faults += [fault for name, state in part.states.items() for fault in _state(name, state, unit)]
    faults += _exchange(part, unit, {**others.states, **part.states})
    faults += _modulation(part, unit)
    faults += _shares(part, others)
    faults += [fault for name, function in part.quantities.items() for fault in _arithmetic(name, function)]
    return faults


def _speech(name: str, function: Callable) -> list[str]:
    """Whether a function can be asked by name and says its units."""
    if not isfunction(function):
        return [f"{name} must be a plain function (def or lambda), and is {function!r}."]
    arguments = signature(function).parameters
    if odd := [n for n, a in arguments.items() if a.kind not in BY_NAME]:
        return [f"{name} takes {', '.join(odd)} otherwise than by name."]
    try:
        hints = get_type_hints(function, include_extras=True)
    except NameError as error:
        return [f"{name} has annotations that cannot be read: {error}."]
    mute = [n for n in (*arguments, "return") if not _is_unit(hints.get(n))]
    if mute:
        return [
            f"{name} does not say the unit of {', '.join(mute)}. Write a kind of "
            'bayesglu.physiology.quantities, or typing.Annotated[float, "unit"], into its signature.'
        ]
    return []


def _is_unit(hint: object) -> bool:
    return len(get_args(hint)) > 1 and isinstance(get_args(hint)[1], str)


def _units_said(part: Part):
    """Place, name and unit, wherever a part says one."""
    for name, state in part.states.items():
        yield f"the state {name}", name, state.unit
    for name, function in part.quantities.items():
        for argument, said in units(function).items():
            yield name, name if argument == "return" else argument, said


def _state(name: str, state: State, unit: Mapping[str, str]) -> list[str]:
    faults = []
    wanted = {state.rate: f"{state.unit}/min"} | ({state.initial: state.unit} if state.initial else {})
    for asked, said in wanted.items():
        if asked not in unit:
            faults.append(f"the state {name} needs {asked}, which no function computes or asks for.")
        elif unit[asked] != said:
            faults.append(f"the state {name} needs {asked} in {said!r}; it is in {unit[asked]!r}.")
    lost = [n for n in (state.volume, state.balance, *state.receives) if n is not None and n not in unit]
    faults += [f"the state {name} names {n}, which no function computes or asks for." for n in lost]
    if not state.scale > 0:
        faults.append(f"the scale of the state {name} is {state.scale!r}; it is its usual size, above 0.")
    return faults


def _exchange(part: Part, unit: Mapping[str, str], states: Mapping[str, State]) -> list[str]:
    """Whether what is given and taken is the part's own, in the unit of a pool that there is."""
    faults = []
    for flux, pool in (*part.gives.items(), *part.takes.items()):
        if flux not in part.quantities:
            faults.append(f"{flux} is exchanged with {pool}, but the part does not compute it.")
        elif pool not in states:
            faults.append(f"{flux} is exchanged with {pool}, which is no state. States: {', '.join(states)}.")
        else:
            state = states[pool]
            wanted = unit.get(f"{state.channel}_input", f"{state.unit}/min")
            if unit[flux] != wanted:
                faults.append(f"{flux} is in {unit[flux]!r}; {pool} receives {wanted!r}.")
    return faults


def _modulation(part: Part, unit: Mapping[str, str]) -> list[str]:
    """Whether what modulates is the part's own, a ratio, and what it modulates is known."""
    faults = []
    for factor, fluxes in part.modulates.items():
        if factor not in part.quantities:
            faults.append(f"{factor} modulates {', '.join(fluxes)}, but the part does not compute it.")
        elif unit[factor] != "1":
            faults.append(f"{factor} modulates, and is in {unit[factor]!r}; a factor is in '1'.")
        lost = [flux for flux in fluxes if flux not in unit]
        faults += [f"{factor} modulates {flux}, which no function computes or asks for." for flux in lost]
    return faults


def _shares(part: Part, others: "Choices") -> list[str]:
    """Whether a parameter is a share of a whole in every signature or in none."""
    said: dict[str, set[bool]] = {name: {name in others.fractions} for name in others.parameters}
    for function in part.quantities.values():
        for argument in signature(function).parameters:
            said.setdefault(argument, set()).add(argument in fractions(function))
    return [
        f"{name} is a share of a whole (Fraction) in one signature and not in another."
        for name, both in said.items()
        if len(both) > 1 and name not in part.quantities
    ]


def _arithmetic(name: str, function: Callable) -> list[str]:
    """Whether a function, asked in other units, gives the same in other units."""
    rng, unit = random.Random(1), units(function)
    words = sorted(frozenset().union(*map(base_units, unit.values())))
    for _ in range(5):
        factors = {word: math.exp(rng.uniform(-2, 2)) for word in words}
        known = {argument: rng.uniform(0.2, 0.9) for argument in signature(function).parameters}
        try:
            here = size(unit["return"], factors) * function(**known)
            there = function(**{n: value * size(unit[n], factors) for n, value in known.items()})
            comparable = math.isfinite(abs(here))
        except (ArithmeticError, ValueError):  # no number for these arguments
            continue
        except Exception as error:
            return [f"{name} cannot be computed: {type(error).__name__}: {error}."]
        if comparable and not abs(there - here) <= 1e-6 * abs(here) + 1e-12:
            return [
                f"{name} does not come out in {unit['return']!r} when other units are chosen. Look at its "
                "arithmetic; a number with a unit belongs among the arguments, as a parameter or a default."
            ]
    return []
