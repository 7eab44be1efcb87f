"""Calls of a system's compiled kernels from numba, through their addresses.

What is compiled here knows no kernel: it is made once for all systems, and without what makes the kernels.
"""

from collections import namedtuple

from llvmlite import ir
from numba.core import types

from bayesglu.solver.intrinsics import intrinsic

NAMES = ("setup", "setup_adjoint", "rhs", "observe", "observe_adjoint", "step", "step_adjoint")
LINE = 64  # bytes of a line of the cache: a vector that lies across two of them takes twice as long

Kernels = namedtuple(
    "Kernels", "addresses seen scales stage_times stable width states inputs coefficients level"
)
"""What the integrator needs of a system: where its kernels are (in the order of `NAMES`; 0 for those that are
not there), the coefficients that its outputs depend on, the usual sizes of its states, the times of the
method's stages, how far it is stable, the system's sizes, and which input is a measured curve, or -1."""


def _call(name: str, kernels, arrays):
    """Typing and code of a call of the kernel `name` on contiguous arrays of doubles."""
    place = NAMES.index(name)

    def codegen(context, builder, signature, arguments):
        addresses = builder.extract_value(arguments[0], 0)
        table = context.make_array(signature.args[0].types[0])(context, builder, addresses).data
        address = builder.load(builder.gep(table, [ir.Constant(ir.IntType(64), place)]))
        kind = ir.FunctionType(ir.VoidType(), [ir.DoubleType().as_pointer()] * len(arrays))
        kernel = builder.inttoptr(address, kind.as_pointer())
        pointers = [
            context.make_array(array)(context, builder, value).data
            for array, value in zip(signature.args[1:], arguments[1:], strict=True)
        ]
        builder.call(kernel, pointers)
        return context.get_dummy_value()

    return types.void(kernels, *arrays), codegen


@intrinsic
def setup(context, kernels, theta, c, y):
    """Coefficients `c` and initial state `y` from the parameters."""
    return _call("setup", kernels, (theta, c, y))


@intrinsic
def setup_adjoint(context, kernels, theta, bar_c, bar_y, bar_theta):
    """Cotangents of the parameters from those of coefficients and initial state."""
    return _call("setup_adjoint", kernels, (theta, bar_c, bar_y, bar_theta))


@intrinsic
def rhs(context, kernels, y, u, c, dy):
    """Change of the state per minute."""
    return _call("rhs", kernels, (y, u, c, dy))


@intrinsic
def observe(context, kernels, y, u, c, out):
    """The outputs that were asked for."""
    return _call("observe", kernels, (y, u, c, out))


@intrinsic
def observe_adjoint(context, kernels, y, u, c, bar_out, bar_y, bar_c, bar_level):
    """Cotangents of the state, of the coefficients (added) and of a measured curve's level, from those of
    the outputs."""
    return _call("observe_adjoint", kernels, (y, u, c, bar_out, bar_y, bar_c, bar_level))


@intrinsic
def step(context, kernels, y, k, u, c, h, tolerance, stages, y_new, k_new, error, factor):
    """One Runge-Kutta step of every lane."""
    return _call("step", kernels, (y, k, u, c, h, tolerance, stages, y_new, k_new, error, factor))


@intrinsic
def step_adjoint(context, kernels, stages, u, c, h, bar_y, bar_c, bar_level):
    """The transpose of one step of every lane."""
    return _call("step_adjoint", kernels, (stages, u, c, h, bar_y, bar_c, bar_level))
