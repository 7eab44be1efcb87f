"""The choices of a model file, and the loop that they make."""

from __future__ import annotations

from collections.abc import Mapping

from bayesglu.analytes import words
from bayesglu.physiology.choices import SIMULATORS
from bayesglu.physiology.loop import Loop, LoopError, assemble
from bayesglu.physiology.registry import available
from bayesglu.spec.priors import Analyte
from bayesglu.text.problems import REQUIRED, Problems, Section


def read_structure(
    top: Section, problems: Problems, homes: Mapping[str, str]
) -> tuple[dict[str, str], Loop | None]:
    """The choice for each slot but those at their default, and the loop that they make: None when they make
    none."""
    slots = {slot: choices for slot, choices in available().slots.items() if slot not in SIMULATORS}
    section = top.section("structure")
    if section is None or not section.sound:
        return {}, None
    before, structure = len(problems.found), {}
    for slot, name in section.table.items():
        if slot not in slots:
            problems.unknown(slot, slots, "key", section.place)
        elif isinstance(name, str) and name not in slots[slot]:
            section.text(slot, allowed=slots[slot])
        else:
            continue
        problems.found[-1] += f"\n  {_advice(slot, name, homes)}"
    for slot in slots:
        default = available().defaults.get(slot)
        name = section.text(slot, default or REQUIRED)
        if name != default:
            structure[slot] = name
    if len(problems.found) > before:
        return {}, None
    try:
        return structure, assemble(structure)
    except LoopError as error:
        section.fault(str(error))
        return structure, None


def _advice(slot: str, name: object, homes: Mapping[str, str]) -> str:
    """What to do about a part that is not there."""
    home = homes.get(f"{slot}/{name}")
    where = f" This one came from the module '{home}'." if home else ""
    return f"A part of one's own must be registered first, with bayesglu.register_part.{where}"


def check_forcing_analytes(loop: Loop | None, measured: Mapping[str, Analyte], problems: Problems) -> None:
    """Note where the forcing function is not measured, or there is more than one."""
    forcing = [name for name, analyte in measured.items() if analyte.forcing]
    if len(forcing) > 1:
        problems.add(
            f"forcing = true is said of {', '.join(forcing)}; a model has one forcing function.", "[analytes]"
        )
    for output in loop.forced if loop is not None and not forcing else ():
        problems.add(
            f"measured {words(output)} is the forcing function of this structure, so an analyte "
            f"with output '{output}' must have forcing = true.",
            "[analytes]",
        )
