"""Machine code without this processor's own instructions, and code for another family of processors."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from llvmlite import binding

from bayesglu.protocols.library import ogtt
from bayesglu.protocols.schedule import build_schedule
from bayesglu.solver.kernels import NAMES, PARTS, _module, usual_lanes
from bayesglu.solver.solver import make_solver
from bayesglu.spec.model import load_model

SCRIPT = """
import json, sys
from bayesglu.protocols.library import ogtt
from bayesglu.protocols.schedule import build_schedule
from bayesglu.solver.kernels import _processor, usual_lanes
from bayesglu.solver.solver import make_solver
from bayesglu.spec.model import load_model
import numpy as np
spec = load_model("feedback")
schedule = build_schedule([ogtt(75)] * 3, [np.arange(0.0, 181, 20)] * 3, body_weight=np.array([60.0, 70, 80]))
s = make_solver(spec.structure, schedule, ("glucose", "insulin"), rtol=1e-8, atol=1e-8)
theta = np.array([[spec.medians[n] for n in s.system.parameters]] * 3) * [[1.0], [1.02], [0.98]]
out, pull = s.outputs_and_pull(theta)
print(json.dumps({"lanes": usual_lanes(), "name": _processor()[0], "out": out.tolist(),
                  "bar": pull(np.ones_like(out)).tolist()}))
"""


def solved(**environment) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.apart
def test_without_the_processors_own_instructions_the_numbers_are_the_same():
    own, portable = solved(), solved(BAYESGLU_PROCESSOR="generic")
    assert portable["name"] == "" and portable["lanes"] == 4 and own["lanes"] == usual_lanes()
    np.testing.assert_allclose(portable["out"], own["out"], rtol=1e-10)
    size = np.abs(own["bar"]).max(axis=0)
    assert (np.abs(np.subtract(portable["bar"], own["bar"])) <= 1e-8 * size).all()


def for_arm(module) -> str:
    module.triple = "aarch64-unknown-linux-gnu"
    machine = binding.Target.from_triple(module.triple).create_target_machine(cpu="", features="", opt=2)
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    return machine.emit_assembly(parsed)


@pytest.mark.long
def test_the_same_code_becomes_code_for_arm():
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    schedule = build_schedule([ogtt(75)], [np.array([0.0, 60.0])], body_weight=np.array([70.0]))
    compiled = make_solver(load_model("feedback").structure, schedule, ("glucose",), lanes=4).compiled
    assembly = "".join(for_arm(_module(compiled, part)) for part in PARTS)
    assert all(f"{name}_{compiled.key}:" in assembly for name in NAMES)
    assert re.search(r"fmul\s+v\d+\.2d", assembly), "vector instructions of ARM"
    called = {line.split()[-1] for line in assembly.splitlines() if line.strip().startswith("bl\t")}
    own = set(re.findall(r"^(\w+):", assembly, re.MULTILINE))
    assert called <= own, "no function of a library is called"
