"""The solver as a PyTensor operation, for use in a PyMC model: numba value and exact pullback, no object
mode."""

import numpy as np
import pytensor.tensor as pt
from numba import njit, types
from numba.extending import intrinsic
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_and_cache_key

from bayesglu.solver.adjoint import solve_adjoint
from bayesglu.solver.integrate import solve
from bayesglu.solver.kernels import Kernels
from bayesglu.solver.plan import Plan, Tape, driven
from bayesglu.solver.separate import Separate
from bayesglu.solver.solver import Solver

TAPE_TYPES = (pt.lvector, *(pt.TensorType("float64", (None,) * d) for d in (4, 4, 2)), pt.lmatrix)
TAPE_TYPES += tuple(pt.TensorType("float64", (None,) * d) for d in (3, 2, 2))


class _SolverOp(Op):
    """What value and pullback share. Equal operations have equal physics: the key is the hash of it."""

    __props__ = ("key", "rtol", "atol", "max_steps")

    def __init__(self, solver: Solver):
        self.solver = solver
        self.key = solver.compiled.key
        self.rtol, self.atol, self.max_steps = solver.rtol, solver.atol, solver.max_steps

    def driven(self, level, plan: Plan) -> Plan:
        """A plan with a measured curve at this level."""
        return driven(plan, level, self.solver.system.level)


class Solve(_SolverOp):
    """Outputs ``(sample, output)`` for parameters ``(person, parameter)`` and the level of a measured curve
    at the stops ``(stop,)``, empty for that of the plan; then outcome codes, and what pullback needs."""

    def make_node(self, theta, level, *plan):
        inputs = [pt.as_tensor(a) for a in (theta, level, *plan)]
        return Apply(self, inputs, [pt.dmatrix(), pt.lvector(), *(kind() for kind in TAPE_TYPES)])

    def perform(self, node, inputs, storage):
        s = self.solver
        theta, plan = np.ascontiguousarray(inputs[0]), self.driven(inputs[1], Plan(*inputs[2:]))
        n_outputs = len(s.system.outputs)
        out, outcome, tape = solve(s.compiled.kernels, theta, plan, s.tolerance, s.max_steps, n_outputs, True)
        for cell, value in zip(storage, (out, outcome, *tape), strict=True):
            cell[0] = value

    def connection_pattern(self, node):
        return [[i < 2 and o == 0 for o in range(len(node.outputs))] for i in range(len(node.inputs))]

    def pullback(self, inputs, outputs, cotangents):
        bar_out = cotangents[0]
        rest = [DisconnectedType()() for _ in inputs]
        if isinstance(bar_out.type, DisconnectedType):
            return rest
        return [*SolveAdjoint(self.solver)(*inputs, *outputs[1:], bar_out), *rest[2:]]


class SolveAdjoint(_SolverOp):
    """Cotangents of the parameters ``(person, parameter)`` and of the level ``(stop,)`` from those of the
    outputs ``(sample, output)``."""

    def make_node(self, *inputs):
        return Apply(self, [pt.as_tensor(a) for a in inputs], [pt.dmatrix(), pt.dvector()])

    def perform(self, node, inputs, storage):
        n = 2 + len(Plan._fields)
        theta, plan, outcome = np.ascontiguousarray(inputs[0]), Plan(*inputs[2:n]), inputs[n]
        tape, bar_out = Tape(*inputs[n + 1 : -1]), np.ascontiguousarray(inputs[-1])
        pulled = solve_adjoint(self.solver.compiled.kernels, theta, plan, tape, outcome, bar_out)
        storage[0][0], storage[1][0] = pulled


@intrinsic
def _usual(context, array):
    """A contiguous array as one of the type that the solver is compiled for, which only reads it."""
    usual = types.Array(array.dtype, array.ndim, "C")

    def codegen(context, builder, signature, arguments):
        context.nrt.incref(builder, signature.args[0], arguments[0])
        return arguments[0]

    return usual(array), codegen


@njit
def _c(array):
    return _usual(np.ascontiguousarray(array))


def _held(op: _SolverOp) -> dict:
    """A solver as plain numbers that a compiled function can hold."""
    s, kernels = op.solver, op.solver.compiled.kernels
    return {
        "addresses": tuple(kernels.addresses.tolist()),
        "seen": kernels.seen,
        "sizes": tuple(kernels[2:]),
        "tolerance": s.tolerance,
        "max_steps": s.max_steps,
        "n_outputs": len(s.system.outputs),
    }


def _spelled_out(text: str, called: Separate, **scope):
    """A function that calls another, from its text, in which ``PLAN`` and ``TAPE`` stand for the names of
    their fields.

    numba passes no arguments on by a star, so that the many arrays have to be named one by one.
    """
    for word, kind in (("PLAN", Plan), ("TAPE", Tape)):
        text = text.replace(f"OF_{word}", ", ".join(f"{word.lower()}.{n}" for n in kind._fields))
        text = text.replace(f"{word}_READ", ", ".join(f"_c({n})" for n in kind._fields))
        text = text.replace(word, ", ".join(kind._fields))
    scope |= {"_c": _c, "np": np, "Plan": Plan, "Tape": Tape, "Kernels": Kernels, "driven": driven}
    scope |= {"call": called.call, "address": called.address}
    exec(text, scope)
    return numba_njit(scope["function"], fastmath=False)


@register_funcify_and_cache_key(Solve)
def _(op, **kwargs):
    text = """
def function(theta, level, PLAN):
    kernels = Kernels(_c(np.array(addresses)), _c(seen), *sizes)
    plan = driven(Plan(PLAN_READ), _c(level), kernels.level)
    out, outcome, tape = call(address, (kernels, _c(theta), plan, _c(tolerance), max_steps, n_outputs, True))
    return out, outcome, OF_TAPE
"""
    # It holds addresses of this process, so it may not be cached.
    return _spelled_out(text, solve, **_held(op)), None


@register_funcify_and_cache_key(SolveAdjoint)
def _(op, **kwargs):
    text = """
def function(theta, level, PLAN, outcome, TAPE, bar_out):
    kernels = Kernels(_c(np.array(addresses)), _c(seen), *sizes)
    plan, tape = Plan(PLAN_READ), Tape(TAPE_READ)
    return call(address, (kernels, _c(theta), plan, tape, _c(outcome), _c(bar_out)))
"""
    return _spelled_out(text, solve_adjoint, **_held(op)), None


def solve_op(solver: Solver, theta, plan=None, level=None):
    """Outputs ``(sample, output)`` of a `Solver` as a tensor, differentiable in `theta` (person, parameter)
    and in `level` (stop,).

    plan : tensors in the order of `Plan`, when the schedule is to be changed later; else the solver's own.
    level : of a measured curve at the stops, in place of that of the plan.
    """
    level = np.zeros(0) if level is None else level
    return Solve(solver)(theta, level, *(solver.plan if plan is None else plan))[0]
