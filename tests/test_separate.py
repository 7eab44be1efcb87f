"""Functions that are compiled apart, by another process or by this one."""

import subprocess
import sys
import time
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from bayesglu import load_model, load_study
from bayesglu.hierarchy.design import make_design
from bayesglu.inference.blocks import blocks_adjoint
from bayesglu.inference.density import Density
from bayesglu.solver import separate
from bayesglu.solver.adjoint import solve_adjoint
from bayesglu.solver.compiled import FIRST_UNTRIED, PLAIN
from bayesglu.solver.integrate import solve
from bayesglu.solver.plan import curve_in
from bayesglu.solver.separate import elsewhere
from benchmarks.plain import AT, CASE
from benchmarks.report import read

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

IN_TURN = """
from bayesglu.solver import separate
from bayesglu.solver.adjoint import solve_adjoint

separate._another_core = lambda: True
assert not solve_adjoint.ready
with separate.elsewhere(solve_adjoint):
    pass
assert solve_adjoint.ready and solve_adjoint.address
assert solve_adjoint._dispatcher.stats.cache_hits
"""


GARBAGE = """
import gc
from bayesglu.solver.separate import elsewhere

class Garbage:
    def __init__(self):
        self.itself = self

def left():
    return sum(isinstance(it, Garbage) for it in gc.get_objects())

with elsewhere():
    assert not gc.isenabled()
    for _ in range(3):
        Garbage()
assert gc.isenabled() and not gc.get_freeze_count() and left() == 3
gc.collect()
assert not left()
gc.freeze()
frozen = gc.get_freeze_count()
with elsewhere():
    pass
assert gc.isenabled() and gc.get_freeze_count() == frozen > 0
gc.disable()
with elsewhere():
    pass
assert not gc.isenabled()
"""


def waiting(command: str = "import time; time.sleep(60)") -> SimpleNamespace:
    return SimpleNamespace(ready=False, command=command)


@pytest.fixture
def started(monkeypatch):
    """The processes that were started, where there is a core for them."""
    processes = []

    def start(commands):
        processes.append(whole(commands))
        return processes[-1]

    whole = separate._started
    monkeypatch.setattr(separate, "_started", start)
    monkeypatch.setattr(separate, "_another_core", lambda: True)
    return processes


@pytest.mark.long
def test_another_process_compiles_what_is_then_found_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("BAYESGLU_CACHE_DIR", str(tmp_path))
    subprocess.run([sys.executable, "-c", IN_TURN], check=True, timeout=240)


@pytest.mark.skipif(PLAIN, reason="plain numba keeps nothing")
@pytest.mark.parametrize("part", [blocks_adjoint, curve_in])
def test_a_part_is_made_elsewhere_for_the_arguments_that_it_is_called_with(part):
    """Of other kinds there would be another file: compiled in vain, and here again."""
    density = Density(make_design(load_model("minimal"), load_study("bergman1986")))
    density(np.zeros(density.size))
    assert len(list(Path(part._cache.cache_path).glob(f"{part.__name__}-*"))) == 1


def test_no_process_outlives_a_stop(started):
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), elsewhere(waiting()):
        raise KeyboardInterrupt
    assert started[0].poll() is not None and time.monotonic() - began < 30


def test_a_process_that_fails_or_hangs_or_cannot_start_is_no_matter(started, monkeypatch):
    with elsewhere(waiting("1 / 0")):
        pass
    assert started[0].returncode == 1
    monkeypatch.setattr(separate, "LONGEST", 0.1)
    with elsewhere(waiting()):
        pass
    assert started[1].returncode
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with elsewhere(waiting()):
        pass
    assert started[2] is None


def test_no_process_starts_where_it_could_not_hand_over_what_it_compiles(started, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("BAYESGLU_CACHE_DIR", str(tmp_path / "file"))
    with elsewhere(waiting()):
        pass
    assert not started


def test_no_process_starts_without_need(started):
    solve.address, solve_adjoint.address  # noqa: B018
    with elsewhere(solve, solve_adjoint):
        pass
    assert not started


def test_what_another_process_compiles_is_loaded_without_what_makes_equations():
    """It would wait for SymPy longer than a small function takes to compile."""
    modules = "solver.plan", "solver.adjoint", "solver.integrate", "inference.blocks"
    code = (
        f"import sys, {', '.join(f'bayesglu.{name}' for name in modules)}; assert 'sympy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_garbage_is_collected_after_compiling_and_what_somebody_froze_stays_frozen():
    """In a Python of its own: that of the tests has frozen what it imports."""
    subprocess.run([sys.executable, "-c", GARBAGE], check=True, timeout=120)


def test_the_solver_is_compiled_once_for_all_who_call_it():
    d = make_design(load_model("feedback"), load_study("synthetic_ogtt"))
    density = Density(d)
    solve.address, solve_adjoint.address  # noqa: B018
    before = len(solve._dispatcher.overloads), len(solve_adjoint._dispatcher.overloads)
    density(np.zeros(density.size))
    theta = d.theta(d.prior_medians)
    out, pull = d.solver.outputs_and_pull(theta[:, : len(d.solver.system.parameters)])
    pull(out)
    assert (len(solve._dispatcher.overloads), len(solve_adjoint._dispatcher.overloads)) == before


def test_plain_numba_gave_the_same_numbers():
    """It takes a minute: `python -m benchmarks plain` keeps them."""
    kept, spec, study = read("plain"), load_model(CASE[0]), load_study(CASE[1])
    again = "another numba, model or study than was tried: run python -m benchmarks plain"
    assert kept["numba"] == list(numba.version_info.short), again
    assert (kept["model"], kept["study"]) == (spec.hash, study.hash), again
    d = Density(make_design(spec, study))
    value, gradient = d(np.full(d.size, AT))
    np.testing.assert_allclose(kept["value_and_gradient"], [value, *gradient], rtol=1e-9)
    assert "numba" not in kept["cached"]


def test_numba_is_asked_for_in_a_release_that_was_tried():
    (asked,) = (need for need in PROJECT["dependencies"] if need.startswith("numba"))
    assert asked == f"numba>=0.61,<{'.'.join(map(str, FIRST_UNTRIED))}"
    assert numba.version_info.short < FIRST_UNTRIED and not PLAIN
