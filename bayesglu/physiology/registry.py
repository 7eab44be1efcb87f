"""The registry: everything that a structure can choose from, from bayesglu and from elsewhere.

A part of one's own is registered under a name, for a slot that is there or for a new one; a new slot has the
choice ``none``, which is that of every model that does not name it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from threading import Lock
from types import MappingProxyType

from bayesglu import plugins
from bayesglu.errors import InputError, UnknownNameError
from bayesglu.physiology.choices import ALWAYS, BUILT_IN, DEFAULTS
from bayesglu.physiology.faults import faults_of
from bayesglu.physiology.parts import Part, State, needs
from bayesglu.physiology.quantities import fractions, units
from bayesglu.physiology.sources import home, part_text
from bayesglu.text.problems import Problems, hint


@dataclass(frozen=True, eq=False)
class Choices:
    """All that a structure can choose from; it is never changed, but replaced by one that has more."""

    slots: Mapping[str, Mapping[str, Part]]
    defaults: Mapping[str, str]

    def parts(self) -> Iterator[Part]:
        """Every part, in the order of the slots."""
        yield ALWAYS
        for choices in self.slots.values():
            yield from choices.values()

    @cached_property
    def functions(self) -> tuple[Callable, ...]:
        """Every function that computes a quantity for some choice."""
        return tuple(function for part in self.parts() for function in part.quantities.values())

    @cached_property
    def states(self) -> Mapping[str, State]:
        """Every state that some choice has."""
        return MappingProxyType({name: s for part in self.parts() for name, s in part.states.items()})

    @cached_property
    def units(self) -> Mapping[str, str]:
        """The unit of every name."""
        unit_of: dict[str, str] = {}
        for part in self.parts():
            for name, function in part.quantities.items():
                said = units(function)
                unit_of |= said | {name: said["return"]}
        unit_of |= {name: state.unit for name, state in self.states.items()}
        measured = {name.removesuffix("_input"): unit for name, unit in unit_of.items() if name != "return"}
        return MappingProxyType({**measured, **unit_of})

    @cached_property
    def parameters(self) -> Mapping[str, str]:
        """Every parameter that some choice asks for, with its unit: what no part computes, in the order in
        which they ask, those of bayesglu first."""
        found = {} if self is SHIPPED else dict(SHIPPED.parameters)
        asked = {name: unit for f in self.functions for name, unit in self._asked(f)}
        computed = {name for part in self.parts() for name in (*part.quantities, *part.states)}
        computed |= {name.removesuffix("_input") for name in asked if name.endswith("_input")}
        for name, unit in asked.items():
            if name not in computed and not name.endswith("_input"):
                found.setdefault(name, unit)
        return MappingProxyType(found)

    @staticmethod
    def _asked(function: Callable) -> list[tuple[str, str]]:
        unit = units(function)
        return [(name, unit[name]) for name in needs(function)]

    @cached_property
    def fractions(self) -> frozenset[str]:
        """Those of them that are shares of a whole, and so between 0 and 1."""
        ours = frozenset() if self is SHIPPED else SHIPPED.fractions
        return ours.union(*map(fractions, self.functions)) & self.parameters.keys()

    def with_part(self, slot: str, name: str, part: Part) -> "Choices":
        """These and one more, or another one in the place of an old one."""
        slots, defaults = dict(self.slots), dict(self.defaults)
        if slot not in slots:
            slots[slot], defaults[slot] = {"none": Part({})}, "none"
        slots[slot] = MappingProxyType({**slots[slot], name: part})
        # In one order, whatever the order in which they were registered: a loop's numbers follow it.
        slots = {n: slots[n] for n in (*BUILT_IN, *sorted(slots.keys() - BUILT_IN.keys()))}
        return Choices(MappingProxyType(slots), MappingProxyType(defaults))

    def without_part(self, slot: str, name: str) -> "Choices":
        """These but for one."""
        left = {n: part for n, part in self.slots.get(slot, {}).items() if n != name}
        return Choices({**self.slots, slot: left}, self.defaults)


SHIPPED = Choices(MappingProxyType({n: MappingProxyType(of) for n, of in BUILT_IN.items()}), DEFAULTS)
"""What bayesglu has."""

_registered = SHIPPED
_registering = Lock()


def available() -> Choices:
    """Everything that can be chosen now, plugins included."""
    plugins.load()
    return _registered


def list_parts() -> dict[str, tuple[str, ...]]:
    """The slots of the loop, and what each can be filled with.

    Returns
    -------
    dict
        Slot to the names of its choices, those that were registered included.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.list_parts()["brain"]
    ('saturating', 'constant')
    """
    return {slot: tuple(choices) for slot, choices in available().slots.items()}


def get_part(slot: str, name: str) -> Part:
    """The part that a slot is filled with by one of its choices, to look at or to make another of it.

    Parameters
    ----------
    slot : str
        One of `list_parts`.
    name : str
        One of its choices.

    Returns
    -------
    Part
        The part, which is read-only.

    Raises
    ------
    UnknownNameError
        If there is no such slot or choice; the message lists those there are.

    Examples
    --------
    >>> import bayesglu as bg
    >>> list(bg.get_part("kidney", "threshold").quantities)
    ['renal_glucose_excretion', 'basal_renal_glucose_excretion']
    """
    slots = available().slots
    if slot not in slots:
        raise UnknownNameError(f"There is no slot {slot!r}.{hint(slot, slots)} Slots: {', '.join(slots)}.")
    if name not in slots[slot]:
        known = f"{hint(name, slots[slot])} Choices: {', '.join(slots[slot])}."
        raise UnknownNameError(f"The slot {slot} has no choice {name!r}.{known}")
    return slots[slot][name]


def register_part(slot: str, name: str, part: Part, *, replace: bool = False) -> None:
    """Let model files choose a part of one's own.

    A part is registered anew in every process, before a model that names it is read; a package has its parts
    registered by an entry point of the group ``bayesglu.parts``. To register the same part twice, as when a
    cell of a notebook is run again, does no harm.

    Parameters
    ----------
    slot : str
        One of `list_parts`, or a new name. A new slot has the choice ``none``, an empty part unless one was
        registered under that name before, which is that of each model that does not name the slot.
    name : str
        What a model file calls it.
    part : Part
        Its parameters are whatever its functions ask for and nothing computes; their units are in the
        signatures.
    replace : bool
        Whether another part of this name may be there already.

    Raises
    ------
    InputError
        Listing everything that is wrong with the part: units that are not said, that differ from those of the
        same name elsewhere, or that its arithmetic does not keep.

    Examples
    --------
    A liver whose glycogen lasts as it did, but is broken down in proportion to what is left:

    >>> import bayesglu as bg
    >>> from bayesglu.physiology.quantities import GlucoseAmount, GlucoseRate, Ratio
    >>> def glycogenolysis(
    ...     glycogen: GlucoseAmount,
    ...     initial_glycogen: GlucoseAmount,
    ...     basal_glycogenolysis: GlucoseRate,
    ...     glucagon_drive: Ratio,
    ...     production_left_by_insulin: Ratio,
    ... ) -> GlucoseRate:
    ...     drive = glucagon_drive * production_left_by_insulin
    ...     return basal_glycogenolysis * drive * glycogen / initial_glycogen
    >>> mine = bg.get_part("liver", "regulated").replacing(glycogenolysis=glycogenolysis)
    >>> bg.register_part("liver", "first_order", mine)
    """
    global _registered
    problems = Problems(f"register_part({slot!r}, {name!r})")
    for word in (slot, name):
        if not (isinstance(word, str) and word.isidentifier() and word.islower()):
            problems.add(f"{word!r} is no name: write lower-case letters, digits and underscores.")
    if not isinstance(part, Part):
        problems.add(f"the part is {part!r}. Make one with bayesglu.Part(quantities, states).")
    problems.raise_any(InputError)
    with _registering:
        old = _registered.slots.get(slot, {}).get(name)
        if old is part:
            return
        faults = faults_of(part, _registered.without_part(slot, name))
        if slot not in BUILT_IN and name == "none":
            faults += _faults_of_default(name, part)
        for fault in faults:
            problems.add(fault)
        problems.raise_any(InputError)
        if old is not None and not replace and part_text(old) != part_text(part):
            problems.add(
                f"another part has this name, from {home(old)}. Choose another name, or say replace=True."
            )
        problems.raise_any(InputError)
        _registered = _registered.with_part(slot, name, part)


def _faults_of_default(name: str, part: Part) -> list[str]:
    """Whether a part can be what is chosen by every model that does not name its slot."""
    everywhere = {*ALWAYS.quantities, *ALWAYS.states, *part.quantities, *part.states}
    everywhere |= {n for f in ALWAYS.quantities.values() for n in needs(f) if n in SHIPPED.parameters}
    asked = dict.fromkeys(n for f in part.quantities.values() for n in needs(f))
    faults = [f"{name} asks for {n}, which not every model has." for n in asked if n not in everywhere]
    others = {n for each in SHIPPED.parts() for n in (*each.quantities, *each.states)}
    faults += [f"{name} computes {n}, as another part does." for n in part.quantities if n in others]
    return faults


def registered_sources(structure: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Where the parts of a structure come from that are not bayesglu's own.

    Returns
    -------
    dict
        ``"slot/name"`` -> ``{"module": ..., "sha256": ...}``, the module of its functions and the hash of
        their source, with that of the functions and constants which they name.
    """
    now, found = available(), {}
    for slot, name in {**now.defaults, **structure}.items():
        part = now.slots[slot][name]
        if part and part is not SHIPPED.slots.get(slot, {}).get(name):
            sha256_of_text = sha256(part_text(part).encode()).hexdigest()
            found[f"{slot}/{name}"] = {"module": home(part), "sha256": sha256_of_text}
    return found


def modules_of(structure: Mapping[str, str]) -> list[str]:
    """The modules that register what a structure has of parts that are not bayesglu's own."""
    return sorted({source["module"] for source in registered_sources(structure).values()})
