"""The loop: which organs take part, how their fluxes become the change of each state, and where a person
starts.

A model file chooses one part for each slot (`choices`). Whatever name no part computes is a parameter or an
input.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from inspect import signature
from math import nan
from types import MappingProxyType

from bayesglu.physiology.choices import ALWAYS, BUILT_IN, INPUTS, MEASURED
from bayesglu.physiology.parts import LoopError, Part, Quantities, State, combined, declared, needs
from bayesglu.physiology.quantities import units
from bayesglu.physiology.registry import SHIPPED, available


@dataclass(frozen=True, eq=False)
class Loop:
    """The parts that a structure chose, put together.

    `quantities` are in an order in which each can be computed from those before it. `inputs` are the channels
    through which something acts on it, with the value of one that is not used, and `forced` those that carry
    a measured curve, by what is measured.
    """

    structure: Mapping[str, str]
    states: Mapping[str, State]
    quantities: Quantities
    parameters: tuple[str, ...]
    inputs: Mapping[str, float]
    forced: Mapping[str, str]

    @property
    def fluxes(self) -> tuple[str, ...]:
        """Names of everything that can be asked for over time besides the states."""
        return tuple(name for name in self.quantities if name not in self.states)

    def reads(self, channel: str) -> bool:
        """Whether any quantity depends on the input on a channel."""
        return any(f"{channel}_input" in signature(f).parameters for f in self.quantities.values())

    def unit(self, name: str) -> str:
        """Unit of a state or a quantity."""
        return self.states[name].unit if name in self.states else units(self.quantities[name])["return"]

    def evaluate(self, known: Mapping, only: frozenset[str] | None = None) -> dict:
        """All quantities (or `only` some), given parameters, states and inputs in `known`."""
        pool = dict(known)
        for name, function in self.quantities.items():
            if only is None or name in only:
                pool[name] = function(**{a: pool[a] for a in signature(function).parameters if a in pool})
        return pool

    def basal(self, parameters: Mapping) -> dict:
        """Everything that the parameters alone decide: the basal state and what follows from it in closed
        form."""
        return self.evaluate(parameters, self.constant_quantities)

    def initial(self, parameters: Mapping) -> dict:
        """Each state in the fasting basal state."""
        pool = self.basal(parameters)
        return {
            name: pool[s.initial] if s.initial else 0.0 * pool["basal_glucose"]
            for name, s in self.states.items()
        }

    def fluxes_at(self, state: Mapping, parameters: Mapping, inputs: Mapping | None = None) -> dict:
        """Every quantity by name, for a person in `state` while `inputs` act on their channels."""
        given = {f"{channel}_input": value for channel, value in {**self.inputs, **(inputs or {})}.items()}
        return self.evaluate({**parameters, **state, **given})

    def derivatives(self, state: Mapping, parameters: Mapping, inputs: Mapping | None = None) -> dict:
        """Change per minute of each state."""
        pool = self.fluxes_at(state, parameters, inputs)
        return {name: pool[s.rate] for name, s in self.states.items()}

    def fingerprint(self, parameters: Mapping) -> dict[str, float]:
        """Every quantity at one state away from rest, by name: two loops that agree here are the same. NaN
        where a quantity has no value there."""
        start = self.initial(parameters)
        away = {name: value * (1.1 + 0.07 * i) + 0.5 for i, (name, value) in enumerate(start.items())}
        pool = {**parameters, **away, **{f"{channel}_input": 0.3 for channel in self.inputs}}
        for name in self.quantities:
            try:
                pool[name] = float(self.evaluate(pool, frozenset({name}))[name])
            except (ArithmeticError, ValueError, TypeError):
                pool[name] = nan
        return {name: pool[name] for name in self.quantities}

    @property
    def constant_quantities(self) -> frozenset[str]:
        """Names of the quantities that depend on parameters alone."""
        constant: set[str] = set()
        for name, function in self.quantities.items():
            if all(a in constant or a in self.parameters for a in needs(function)):
                constant.add(name)
        return frozenset(constant)


def assemble(structure: Mapping[str, str]) -> Loop:
    """The loop that a model file's `structure` describes (slot -> choice)."""
    now = available()
    chosen = {**now.defaults, **structure}
    faults = [f"nothing is chosen for {slot}." for slot in now.slots if slot not in chosen]
    for slot, name in chosen.items():
        if name not in now.slots.get(slot, ()):
            faults.append(f"there is no {slot} {name!r}." if slot in now.slots else f"{slot} is no slot.")
    if faults:
        raise LoopError(f"These choices do not make a loop: {' '.join(faults)} Chosen: {chosen}.")
    parts = [(slot, chosen[slot], now.slots[slot][chosen[slot]]) for slot in now.slots]
    # A new slot that brings nothing leaves the loop the same, and all that was derived from it.
    return _assemble(tuple(each for each in parts if each[2] or each[0] in BUILT_IN))


@cache
def _assemble(chosen: tuple[tuple[str, str, Part], ...]) -> Loop:
    faults: list[str] = []
    choice = {slot: name for slot, name, _ in chosen}
    called = {f"{slot} {name!r}": part for slot, name, part in chosen}
    whole = combined({"what every model has": ALWAYS, **called}, faults)
    inputs, forced = _inputs(whole.quantities)
    quantities = {**_as_measured(whole, forced), **whole.quantities}
    states = whole.states

    computable = {name: [a for a in needs(f) if a in quantities] for name, f in quantities.items()}
    try:
        order = list(TopologicalSorter(computable).static_order())
    except CycleError as error:
        order = []
        faults.append(f"{', '.join(error.args[1][1:])} need each other; one of them must be a state.")
    asked = dict.fromkeys(a for f in quantities.values() for a in needs(f))
    asked |= dict.fromkeys(n for s in states.values() for n in (s.volume, s.initial) if n)
    given = {*quantities, *states, *(f"{channel}_input" for channel in inputs)}
    parameters = [name for name in asked if name not in given]
    if missing := sorted(set(parameters) - set(available().parameters)):
        faults.append(f"nothing computes {', '.join(missing)}.")
    if len(forced) > 1:
        faults.append(
            f"measured {' and '.join(forced)} would be their forcing functions, and there can be only one."
        )
    if faults:
        raise LoopError(f"These choices do not make a loop: {' '.join(faults)} Chosen: {choice}.")
    return Loop(
        MappingProxyType(choice),
        states,
        MappingProxyType({n: quantities[n] for n in order}),
        tuple(dict.fromkeys(n for n in (*SHIPPED.parameters, *parameters) if n in parameters)),
        MappingProxyType(inputs),
        MappingProxyType(forced),
    )


def _inputs(quantities: Quantities) -> tuple[dict[str, float], dict[str, str]]:
    """The channels, with the value of one that is not used; and those that carry a measured curve, by what is
    measured: of a part of one's own every input that it asks for and that no protocol gives."""
    asked = dict.fromkeys(a for f in quantities.values() for a in signature(f).parameters)
    channels = [a.removesuffix("_input") for a in asked if a.endswith("_input")]
    forced = {MEASURED.get(c, c): c for c in channels if c in MEASURED or c not in INPUTS}
    return {**INPUTS, **{c: 0.0 for c in channels if c not in INPUTS}}, forced


def _as_measured(whole: Part, forced: Mapping[str, str]) -> dict:
    """What is measured, as a quantity, where no part computes it."""
    unit = {n: said for f in whole.quantities.values() for n, said in units(f).items()}
    found = {}
    for name, channel in forced.items():
        if name not in whole.quantities and name not in whole.states:
            given = f"{channel}_input"

            def measured(given=given, **known):
                return known[given]

            measured.__doc__ = f"{name.replace('_', ' ').capitalize()} as it was measured."
            found[name] = declared(measured, {given: unit[given], "return": unit[given]})
    return found


def carbon(state: Mapping) -> float:
    """Carbohydrate in the body plus all that has left it, less all that has entered: constant but for what is
    drunk.

    Needs the states of the mass balance; linear in them, so that every Runge-Kutta method keeps it to
    rounding.
    """
    stored = state["glucose_mass"] + state["total_stored"] + state.get("stomach", 0.0) + state.get("gut", 0.0)
    left = state["total_tissue_uptake"] + state["total_renal_glucose_excretion"] + state["total_unabsorbed"]
    return stored + left - state["total_gluconeogenesis"] - state["total_given"]
