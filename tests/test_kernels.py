"""Kernels are compiled and loaded once, whoever asks for them and however many at a time."""

import subprocess
import sys

from bayesglu.solver.kernels import NAMES, Compiled
from bayesglu.solver.symbolic import system
from bayesglu.spec.model import load_model

MANY_AT_ONCE = """
import threading, time
from bayesglu.solver import kernels
from bayesglu.solver.symbolic import system
from bayesglu.spec.model import load_model

compiled_how_often = []
whole = kernels._object_code
def slow(compiled, part):
    compiled_how_often.append((compiled.key, part))
    time.sleep(0.2)  # long enough for every thread to come by
    return whole(compiled, part)
kernels._object_code = slow

structure, barrier, found = load_model("minimal").structure, threading.Barrier(16), []
systems = [system(structure, outputs) for outputs in (("glucose",), ("glucose", "remote_insulin"))]
def ask(number):
    own = kernels.Compiled(systems[number % 2], 4)
    barrier.wait()
    found.append((number % 2, *own.kernels.addresses))

threads = [threading.Thread(target=ask, args=[number]) for number in range(16)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert len(found) == 16 and len(set(found)) == 2, found
assert len(compiled_how_often) == len(set(compiled_how_often)) == 2 * len(kernels.SIDES), compiled_how_often
"""


def test_many_threads_may_ask_for_the_kernels_of_a_fresh_system_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("BAYESGLU_CACHE_DIR", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", MANY_AT_ONCE], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr


def test_what_only_solves_compiles_no_adjoint(tmp_path, monkeypatch):
    monkeypatch.setenv("BAYESGLU_CACHE_DIR", str(tmp_path))
    own = Compiled(system(load_model("minimal").structure, ("glucose", "remote_insulin")), 2)
    solving = dict(zip(NAMES, own.forward.addresses, strict=True))
    assert {name for name, address in solving.items() if address} == {"setup", "rhs", "observe", "step"}
    assert [file.name for file in (tmp_path / "kernels").iterdir()] == [f"{own.key}-forward.o"]
    everything = dict(zip(NAMES, own.kernels.addresses, strict=True))
    assert all(everything.values())
    assert {name: everything[name] if address else 0 for name, address in solving.items()} == solving


def test_every_kernel_stays_what_it_was_when_more_are_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("BAYESGLU_CACHE_DIR", str(tmp_path))
    made = system(load_model("fasting").structure, ("insulin", "glucose"))
    before = Compiled(made, 2).kernels.addresses.tolist()
    stabilized = dict(zip(NAMES, Compiled(made, 2).stabilized.addresses.tolist(), strict=True))
    assert Compiled(made, 2).kernels.addresses.tolist() == before
    steps = {"step", "step_adjoint"}
    assert {n for n, b in zip(NAMES, before, strict=True) if stabilized[n] != b} == steps
