"""The page of equations says what the code does."""

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def test_the_equations_of_the_page_are_those_of_the_code():
    made = runpy.run_path(str(DOCS / "physiology.py"))
    found = (DOCS / "physiology.md").read_text(encoding="utf-8")
    assert made["page"]() == found, "run: python docs/physiology.py"


def test_every_quantity_and_every_state_has_its_equation():
    made = runpy.run_path(str(DOCS / "physiology.py"))
    text, loop = made["equations"](), made["assemble"](made["load_model"]("feedback").structure)
    equations = [line for line in text.splitlines() if " = " in line]
    shown = [n for n in loop.quantities if f"`{n}`, " in text]
    assert len(equations) == len(shown)
    assert {state.rate for state in loop.states.values()} <= {*shown}
    left_out = {*loop.quantities} - {*shown}
    assert all(loop.quantities[name].__name__.startswith("_") for name in left_out)
