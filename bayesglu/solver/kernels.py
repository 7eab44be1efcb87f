"""Compiled kernels, one set for each system: see `calls` for how they are called.

The integrator is compiled once by numba and holds no physics; the physics is machine code that LLVM makes
from a system's programs. It is kept on disk under the hash of everything that decides it (the programs, the
source of the code that compiles them, the processor), so what is found there is never out of date.
"""

import os
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path
from threading import Lock

import llvmlite
import numpy as np
from llvmlite import binding, ir

from bayesglu.solver.calls import NAMES, Kernels
from bayesglu.solver.kept import cache_folder, find, keep
from bayesglu.solver.symbolic import System
from bayesglu.solver.tableau import DORMAND_PRINCE, STABILIZED
from bayesglu.solver.vector import function, program_body, step_adjoint_body, step_body

SIDES = ("forward", "adjoint")
"""The adjoints are compiled by themselves: they are the larger part, and a simulation has no use for them."""
METHODS = {"": DORMAND_PRINCE, "stabilized_": STABILIZED}
"""The methods by which steps are made, and what the names of their kernels begin with."""
PARTS = tuple(method + side for method in METHODS for side in SIDES)
"""What is compiled by itself, when it is asked for: those of a method are its steps; the first has the rest
too."""
SOURCES = ("calls.py", "kernels.py", "program.py", "symbolic.py", "tableau.py", "vector.py")


class Compiled:
    """A system compiled for lanes of `width` people."""

    def __init__(self, system: System, width: int):
        self.system, self.width = system, width
        text = "\n".join([_compiler_text(), *_processor(), system.text(), str(width)])
        self.key = sha256(text.encode()).hexdigest()[:32]

    def __getstate__(self) -> dict:
        """Without the addresses, which are those of this process."""
        of_this_process = ("kernels", "forward", "stabilized")
        return {name: value for name, value in vars(self).items() if name not in of_this_process}

    @cached_property
    def kernels(self) -> Kernels:
        """The kernels, compiled or fetched on first use."""
        return self._with(*SIDES)

    @cached_property
    def forward(self) -> Kernels:
        """Those that solve, without those of the adjoint."""
        return self._with("forward")

    @cached_property
    def stabilized(self) -> Kernels:
        """Kernels whose steps are those of the stabilized method."""
        return self._with(*SIDES, method="stabilized_")

    def _with(self, *sides: str, method: str = "") -> Kernels:
        kept = {name: _place(name, method) for name in NAMES if _side(name) in sides}
        with _loading:
            engine = _engine()
            for part in dict.fromkeys(part for part, _ in kept.values()):
                if (self.key, part) not in _loaded:
                    code = _object_code(self, part)
                    engine.add_object_file(binding.object_file.ObjectFileRef.from_data(code))
                    engine.finalize_object()
                    _loaded.add((self.key, part))
            addresses = [
                engine.get_function_address(f"{kept[name][1]}_{self.key}") if name in kept else 0
                for name in NAMES
            ]
        sizes = len(self.system.states), len(self.system.channels), self.system.n_coefficients
        level = self.system.level
        times, stable = np.array(METHODS[method].times), METHODS[method].stable
        scales = np.array(self.system.scales, float)
        places = np.array(addresses, np.int64)
        return Kernels(places, self._seen(), scales, times, stable, self.width, *sizes, level)

    def _seen(self) -> np.ndarray:
        """The coefficients that the outputs depend on."""
        return np.array(self.system.programs["observe"].used("c"), np.int64)


def _side(name: str) -> str:
    return "adjoint" if name.endswith("_adjoint") else "forward"


def _place(name: str, method: str) -> tuple[str, str]:
    """The part that a method's kernel is in, and what it is called there."""
    own = method if name.startswith("step") else ""
    return own + _side(name), own + name


_loaded: set[tuple[str, str]] = set()
_loading = Lock()
"""Held while the engine is made and while code is added to it: two threads at that break it."""


@cache
def _compiler_text() -> str:
    folder = Path(__file__).parent
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in SOURCES)


@cache
def _processor() -> tuple[str, str, str]:
    """Name, features and compiler of the processor to compile for: this one, or with
    ``BAYESGLU_PROCESSOR=generic`` in the environment any of its family."""
    if os.environ.get("BAYESGLU_PROCESSOR") == "generic":
        return "", "", llvmlite.__version__
    features = binding.get_host_cpu_features().flatten()
    return binding.get_host_cpu_name(), features, llvmlite.__version__


def usual_lanes() -> int:
    """How many people share an instruction: 8 where vectors are wide (256 bits or more), else 4."""
    return 8 if any(f"+{wide}" in _processor()[1].split(",") for wide in ("avx2", "avx512f")) else 4


@cache
def _target_machine() -> binding.TargetMachine:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    name, features, _ = _processor()
    target = binding.Target.from_default_triple()
    return target.create_target_machine(cpu=name, features=features, opt=3, codemodel="jitdefault", jit=True)


@cache
def _engine() -> binding.ExecutionEngine:
    empty = binding.parse_assembly("")
    empty.triple = _target_machine().triple
    return binding.create_mcjit_compiler(empty, _target_machine())


def _object_code(compiled: Compiled, part: str) -> bytes:
    """Machine code of one part of a system's kernels, from the disk if it is there."""
    path = cache_folder("kernels") / f"{compiled.key}-{part}.o"
    code = find(path)
    if code is None:
        code = _compile(_module(compiled, part))
        keep(path, code)
    return code


def _compile(module: ir.Module) -> bytes:
    machine = _target_machine()
    parsed = binding.parse_assembly(str(module))
    parsed.verify()
    options = binding.create_pipeline_tuning_options(speed_level=2)
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return machine.emit_object(parsed)


def _module(compiled: Compiled, part: str) -> ir.Module:
    """One part of a system's kernels as an LLVM module; no part calls another."""
    system, width = compiled.system, compiled.width
    module = ir.Module(name=compiled.key)
    module.triple = _target_machine().triple
    method, side = next((m, s) for m in METHODS for s in SIDES if m + s == part)
    n, n_inputs = len(system.states), len(system.channels)

    def made(name, n_arguments, body):
        return function(module, f"{name}_{compiled.key}", width, n_arguments, body)

    programs = {}
    for name, program in system.programs.items():
        if _side(name) != side or (method and not name.startswith("rhs")):
            continue
        added = frozenset({"c"}) if name in ("rhs_adjoint", "observe_adjoint") else frozenset()
        n_arguments = len(program.inputs) + len(program.outputs)
        if name == "observe_adjoint":
            n_arguments = 7  # called with room for the level's cotangents, whether there is a level or not
        # The engine knows functions by name, those of one part too.
        programs[name] = made(f"{method}{name}", n_arguments, program_body(program, added))
        if method or name == "rhs_adjoint":
            programs[name].linkage = "internal"  # for the steps alone
    if side == "forward":
        made(f"{method}step", 11, step_body(METHODS[method], programs["rhs"], system.scales, n_inputs))
    else:
        body = step_adjoint_body(METHODS[method], programs["rhs_adjoint"], n, n_inputs)
        made(f"{method}step_adjoint", 7, body)
    return module
