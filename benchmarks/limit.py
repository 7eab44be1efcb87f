"""The limit to compare with: a program in C for one problem, with the physics written out by us, compiled by
gcc.

``limit.c`` holds the method, and the generated header the same straight-line programs that our solver
compiles.
"""

import ctypes
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

import numpy as np

from bayesglu.solver.program import Program
from bayesglu.solver.symbolic import System
from bayesglu.solver.tableau import DORMAND_PRINCE
from benchmarks.problem import Problem

FLAGS = ("-O3", "-march=native", "-ffast-math", "-std=gnu11")
BINARY = {"add": "+", "sub": "-", "mul": "*"}
NO_PART = "a protocol with rates is no part of the limit"


class Limit:
    """The compiled program of one problem: called with parameters, gives outputs and gradient."""

    def __init__(self, problem: Problem, lanes: int = 8):
        if problem.system.channels:
            raise NotImplementedError(NO_PART)
        self.problem, self.allowed = problem, problem.solver().tolerance[0]  # of a step, as ours
        self.call = _library(header(problem.system), lanes).value_and_gradient

    def __call__(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Outputs ``(sample, output)`` and the gradient ``(person, parameter)`` of their weighted sum."""
        p = self.problem
        out, gradient = np.empty_like(p.weights), np.empty_like(theta)
        arrays = [np.ascontiguousarray(a, float) for a in (theta, p.times, p.dose, p.weights, out, gradient)]
        pointers = [a.ctypes.data_as(ctypes.c_void_p) for a in arrays]
        sizes = ctypes.c_long(len(theta)), ctypes.c_long(len(p.times)), ctypes.c_double(self.allowed)
        failed = self.call(*sizes, *pointers)
        if failed:
            raise RuntimeError("The limit could not solve the equations.")
        return arrays[-2], arrays[-1]


def available() -> bool:
    """Whether there is a gcc to compile with."""
    return shutil.which("gcc") is not None


def header(system: System) -> str:
    """The physics and the method's coefficients as C."""
    sizes = {
        "STATES": len(system.states),
        "COEFFICIENTS": system.n_coefficients,
        "PARAMETERS": len(system.parameters),
        "OUTPUTS": len(system.outputs),
    }
    stages = [[*row, *[0.0] * (7 - len(row))] for row in DORMAND_PRINCE.stages]
    arrays = {
        "SCALES[STATES]": _braces(system.scales),
        "STAGE[7][7]": "{" + ", ".join(_braces(row) for row in stages) + "}",
        "ERROR[7]": _braces(DORMAND_PRINCE.error),
    }
    parts = [f"enum {{ {', '.join(f'{name} = {value}' for name, value in sizes.items())} }};"]
    parts += [f"static const double {name} = {value};" for name, value in arrays.items()]
    added = {"rhs_adjoint": {"c"}, "observe_adjoint": {"c"}}
    parts += [_function(name, p, added.get(name, set())) for name, p in system.programs.items()]
    parts.append(_give(system))
    return "\n".join(parts)


def _braces(values) -> str:
    return "{" + ", ".join(repr(float(v)) for v in values) + "}"


def _function(name: str, program: Program, added: set[str]) -> str:
    """A program as a C function of its inputs, then its outputs; those in `added` are added to."""
    reads = [f"const V *restrict {group}" for group in program.inputs]
    writes = [f"V *restrict out_{group}" for group in program.outputs]
    lines = [f"static inline void {name}({', '.join(reads + writes)}) {{"]
    for i, (operation, *a) in enumerate(program.instructions):
        if operation == "input":
            value = f"{a[0]}[{a[1]}]"
        elif operation == "constant":
            value = f"splat({a[0]!r})"
        elif operation in BINARY:
            value = f"v{a[0]} {BINARY[operation]} v{a[1]}"
        else:
            value = f"lanes_{operation}(v{a[0]})"
        lines.append(f"  const V v{i} = {value};")
    for group, indices in program.outputs.items():
        sign = "+=" if group in added else "="
        lines += [f"  out_{group}[{place}] {sign} v{i};" for place, i in enumerate(indices)]
    return "\n".join([*lines, "}"])


def _give(system: System) -> str:
    """The bolus at the start, and its transpose."""
    forward, backward = [], []
    for bolus, state, volume in system.doses:
        share = f"c[{volume}]" if volume >= 0 else "splat(1.0)"
        forward.append(f"  y[{state}] += dose[{bolus}] * {share};")
        if volume >= 0:
            backward.append(f"  bar_c[{volume}] += dose[{bolus}] * bar_y[{state}];")
    return "\n".join(
        [
            "static inline void give(const double *dose, const V *c, V *y) {",
            *forward,
            "}",
            "static inline void give_adjoint(const double *dose, const V *bar_y, V *bar_c) {",
            *backward,
            "}",
        ]
    )


@cache
def _library(physics: str, lanes: int) -> ctypes.CDLL:
    folder = Path(tempfile.mkdtemp(prefix="bayesglu-limit-"))
    (folder / "physics.h").write_text(physics, encoding="utf-8")
    source, compiled, made = Path(__file__).with_name("limit.c"), folder / "limit.o", folder / "limit.so"
    command = ["gcc", *FLAGS, f"-DLANES={lanes}", f"-I{folder}", "-fPIC", "-c", "-o", compiled, source]
    subprocess.run([str(part) for part in command], check=True)
    # Linked without -ffast-math, which would switch off denormal numbers in the whole process.
    subprocess.run(["gcc", "-shared", "-o", str(made), str(compiled), "-lm"], check=True)
    return ctypes.CDLL(str(made))
