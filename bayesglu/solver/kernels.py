"""Kernels that numba can call, one set for each system.

A system travels through numba as a type that carries the hash of everything that decides its numbers: its programs and the
source of the code that compiles them. numba keys its cache by type, so a cached function can never meet other physics.
"""

from functools import cache
from hashlib import sha256
from pathlib import Path

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models as datamodels
from numba.extending import NativeValue, intrinsic, overload, register_model, typeof_impl, unbox
from numba.core.imputils import lower_constant

from bayesglu.solver.symbolic import System
from bayesglu.solver.vector import function, program_body, step_adjoint_body, step_body

SOURCES = ("integrate.py", "kernels.py", "program.py", "symbolic.py", "tableau.py", "vector.py")


@cache
def _compiler_text() -> str:
    folder = Path(__file__).parent
    return "\n".join((folder / name).read_text(encoding="utf-8") for name in SOURCES)


class Compiled:
    """A system to be run on lanes of `width` people; numba sees only its type."""

    known: dict[str, "Compiled"] = {}  # noqa: RUF012 - shared on purpose: types carry a key, this is what it opens

    def __init__(self, system: System, width: int):
        self.system, self.width = system, width
        self.key = sha256(f"{_compiler_text()}\n{system.text()}".encode()).hexdigest()[:24] + f"_{width}"
        self.known[self.key] = self
        self.type = SystemType(self.key, width, len(system.states), len(system.channels), system.n_coefficients)


class SystemType(types.Type):
    """The numba type of a compiled system: its key, and the sizes that loops need to know."""

    def __init__(self, key: str, width: int, n_states: int, n_inputs: int, n_coefficients: int):
        self.system_key, self.width = key, width
        self.n_states, self.n_inputs, self.n_coefficients = n_states, n_inputs, n_coefficients
        super().__init__(name=f"System({key})")


register_model(SystemType)(datamodels.OpaqueModel)


@typeof_impl.register(Compiled)
def _(value, context):
    return value.type


@unbox(SystemType)
def _(kind, value, context):
    return NativeValue(context.context.get_dummy_value())


@lower_constant(SystemType)
def _(context, builder, kind, value):
    return context.get_dummy_value()


def _lowering(kernel: str):
    """The function `kernel` of a system inside an LLVM module: a builder of it, to be called with (module, compiled)."""

    def build(module: ir.Module, compiled: Compiled) -> ir.Function:
        system, width = compiled.system, compiled.width
        name = f"{kernel}_{compiled.key}"
        n, n_inputs = len(system.states), len(system.channels)
        if kernel == "step":
            return function(module, name, width, 11, step_body(_lowering("rhs")(module, compiled), system.scales, n_inputs))
        if kernel == "step_adjoint":
            inner = _lowering("rhs_adjoint")(module, compiled)
            return function(module, name, width, 6, step_adjoint_body(inner, n, n_inputs))
        program = system.programs[kernel]
        n_arguments = len(program.inputs) + len(program.outputs)
        added = frozenset({"c"}) if kernel in ("rhs_adjoint", "observe_adjoint") else frozenset()
        return function(module, name, width, n_arguments, program_body(program, added))

    return build


def _call(kernel: str, system, arrays):
    """Typing and code of a call of `kernel` on contiguous arrays of doubles."""
    build = _lowering(kernel)

    def codegen(context, builder, signature, arguments):
        compiled = Compiled.known[signature.args[0].system_key]
        pointers = [
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args[1:], arguments[1:], strict=True)
        ]
        builder.call(build(builder.module, compiled), pointers)
        return context.get_dummy_value()

    return types.void(system, *arrays), codegen


@intrinsic
def setup(context, system, theta, c, y):
    """Coefficients `c` and initial state `y` from the parameters."""
    return _call("setup", system, (theta, c, y))


@intrinsic
def setup_adjoint(context, system, theta, bar_c, bar_y, bar_theta):
    """Cotangents of the parameters from those of coefficients and initial state."""
    return _call("setup_adjoint", system, (theta, bar_c, bar_y, bar_theta))


@intrinsic
def rhs(context, system, y, u, c, dy):
    """Change of the state per minute."""
    return _call("rhs", system, (y, u, c, dy))


@intrinsic
def observe(context, system, y, u, c, out):
    """The outputs that were asked for."""
    return _call("observe", system, (y, u, c, out))


@intrinsic
def observe_adjoint(context, system, y, u, c, bar_out, bar_y, bar_c):
    """Cotangents of the state, and of the coefficients (added), from those of the outputs."""
    return _call("observe_adjoint", system, (y, u, c, bar_out, bar_y, bar_c))


@intrinsic
def step(context, system, y, k, u, c, h, tolerance, stages, y_new, k_new, error, factor):
    """One Runge-Kutta step of every lane."""
    return _call("step", system, (y, k, u, c, h, tolerance, stages, y_new, k_new, error, factor))


@intrinsic
def step_adjoint(context, system, stages, u, c, h, bar_y, bar_c):
    """The transpose of one step of every lane."""
    return _call("step_adjoint", system, (stages, u, c, h, bar_y, bar_c))


def sizes(system):
    """Lanes, states, inputs and coefficients of a system, known when compiling."""
    kind = system.type
    return kind.width, kind.n_states, kind.n_inputs, kind.n_coefficients


@overload(sizes)
def _sizes(system):
    found = (system.width, system.n_states, system.n_inputs, system.n_coefficients)

    def constant(system):
        return found

    return constant
