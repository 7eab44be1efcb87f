"""No cache ever gives the numbers of physics that is no longer there."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from bayesglu.analysis.simulation import simulate
from bayesglu.protocols.library import ogtt
from bayesglu.solver.kept import cache_folder
from bayesglu.solver.kernels import Compiled
from bayesglu.solver.symbolic import system
from bayesglu.spec.model import load_model

TIMES = [0.0, 30.0, 60.0, 120.0]

SOLVE = """
import inspect, json, sys
from bayesglu.physiology import gut

before, after = sys.argv[1:]
source = inspect.getsource(gut)
assert before in source
exec(compile(source.replace(before, after), gut.__file__, "exec"), vars(gut))

from bayesglu.protocols.library import ogtt
from bayesglu.protocols.schedule import build_schedule
from bayesglu.solver.solver import make_solver
from bayesglu.spec.model import load_model
oral = load_model("oral")
schedule = build_schedule([ogtt(75)], [[0, 30, 60, 120]], 70.0)
solving = make_solver(oral.structure, schedule, ("glucose", "insulin"))
print(json.dumps(solving.outputs([[oral.medians[name] for name in solving.system.parameters]])[0].tolist()))
"""

NAME = """
from hashlib import sha256
from bayesglu.solver.symbolic import system
from bayesglu.spec.model import load_model
whole = load_model("feedback").structure
parts = system(whole, ("glucose", "renal_glucose_excretion"), ("insulin", "glucagon"), ("stomach",))
print(sha256(parts.text().encode()).hexdigest())
"""


def start(code: str, *arguments: str, **environment: str) -> subprocess.Popen:
    """Another Python that runs `code` on this installation."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def answer(process: subprocess.Popen) -> str:
    told, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    return told.strip()


@pytest.mark.long
def test_an_edited_flux_gives_new_numbers_though_all_caches_are_full_of_the_old(tmp_path):
    if (usual := cache_folder("numba")).exists():  # the solver holds no physics, and takes long to compile
        shutil.copytree(usual, tmp_path / "numba")
    law, twice_as_fast = "return absorption_rate * gut", "return 2 * absorption_rate * gut"
    rate = load_model("oral").medians["absorption_rate"]
    for edited, same_as in ((law, rate), (twice_as_fast, 2 * rate)):
        found = json.loads(answer(start(SOLVE, law, edited, BAYESGLU_CACHE_DIR=str(tmp_path))))
        expected = simulate("oral", ogtt(75), {"absorption_rate": same_as}, TIMES, ["glucose", "insulin"])
        np.testing.assert_allclose(found, expected.to_dataarray().values.T, rtol=1e-9)
    assert len(list((tmp_path / "kernels").iterdir())) == 2


@pytest.mark.long
def test_a_system_is_written_the_same_in_every_process():
    processes = [start(NAME, PYTHONHASHSEED=seed) for seed in ("0", "31415")]
    assert len({answer(process) for process in processes}) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"structure": {**load_model("feedback").structure, "kidney": "none"}},
        {"outputs": ("glucose",)},
        {"outputs": ("renal_glucose_excretion", "glucose")},
        {"channels": ("insulin",)},
        {"boluses": ("glucose",)},
        {"hold": ("glycogen",)},
        {"width": 4},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_whatever_decides_the_numbers_is_in_the_name(changed):
    usual = {
        "structure": load_model("feedback").structure,
        "outputs": ("glucose", "renal_glucose_excretion"),
        "channels": ("insulin", "glucagon"),
        "boluses": ("stomach",),
        "hold": (),
        "width": 8,
    }

    def name(structure, outputs, channels, boluses, hold, width):
        return Compiled(system(structure, outputs, channels, boluses, hold), width).key

    assert name(**usual | changed) != name(**usual)
