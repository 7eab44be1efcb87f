"""A number for each of several people, one a lane, with which compiled code reckons as with one number.

LLVM has vectors and numba has no type for them: here it gets one, `Numbers`. Code that was written for the
numbers of one person and their arrays is, with arrays of these, code for as many people as there are lanes;
`by_lane` shows such an array as one of plain numbers, with an axis more. Nothing is fused or reordered: each
person's numbers are what they would be alone.
"""

import operator
from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed
from numba.core.typing import signature, templates
from numba.extending import lower_builtin, models, register_model

from bayesglu.solver import plain
from bayesglu.solver.arrays import new_array
from bayesglu.solver.compiled import PLAIN
from bayesglu.solver.intrinsics import intrinsic

LANES = 1 if PLAIN else 4
"""Vectors of 256 bits, which most processors have and LLVM splits for the others; with wider ones what they
take no longer lies in the nearest cache. In plain numba people come one by one."""

register: Any = templates.infer_global
"""Whose types say that it is none."""


class Numbers(types.Type):
    """Of a number in each lane."""

    def __init__(self):
        super().__init__(name="Numbers")


NUMBERS = Numbers()
VECTOR = ir.VectorType(ir.DoubleType(), LANES)
PAIRS = (NUMBERS, NUMBERS), (NUMBERS, types.float64), (types.float64, NUMBERS)


@register_model(Numbers)
class _Vector(models.PrimitiveModel):
    def __init__(self, manager, kind):
        super().__init__(manager, kind, VECTOR)


def _spread(builder, number):
    """The number in every lane."""
    first = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
    everywhere = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(VECTOR, ir.Undefined), everywhere)


def _register(instruction: str, *operators, kinds: Sequence[tuple] = PAIRS) -> None:
    """What an instruction on vectors does, as operators of numba; a plain number is that of every lane."""

    def code(context, builder, signature, arguments):
        vectors = (
            value if kind == NUMBERS else _spread(builder, value)
            for kind, value in zip(signature.args, arguments, strict=True)
        )
        return getattr(builder, instruction)(*vectors)

    for each in operators:
        cases = [signature(NUMBERS, *own) for own in kinds]
        register(each)(type(f"_{instruction}", (templates.ConcreteTemplate,), {"key": each, "cases": cases}))
        for own in kinds:
            lower_builtin(each, *own)(code)


_register("fadd", operator.add, operator.iadd)
_register("fsub", operator.sub, operator.isub)
_register("fmul", operator.mul, operator.imul)
_register("fdiv", operator.truediv, operator.itruediv)
_register("fneg", operator.neg, kinds=[(NUMBERS,)])


@intrinsic
def spread(context, number):
    """The same number in every lane."""
    return NUMBERS(types.float64), lambda context, builder, signature, arguments: _spread(builder, *arguments)


@intrinsic
def square_root(context, numbers):
    """Lane by lane."""

    def codegen(context, builder, signature, arguments):
        name, kind = f"llvm.sqrt.v{LANES}f64", ir.FunctionType(VECTOR, [VECTOR])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)

    return NUMBERS(NUMBERS), codegen


@intrinsic
def empty_lanes(context, shape):
    """A new array of numbers in lanes, which are not filled."""
    return new_array(NUMBERS, shape, zero=False)


@intrinsic
def by_lane(context, array):
    """A contiguous array of numbers in lanes as one of plain numbers, whose last axis runs over lanes."""
    kind = types.Array(types.float64, array.ndim + 1, "C")

    def codegen(context, builder, signature, arguments):
        from numba.np.arrayobj import populate_array  # takes long to import

        there = context.make_array(array)(context, builder, arguments[0])
        seen = context.make_array(kind)(context, builder)
        lanes, size = (context.get_constant(types.intp, n) for n in (LANES, 8))
        shape = [*cgutils.unpack_tuple(builder, there.shape), lanes]
        strides = [*cgutils.unpack_tuple(builder, there.strides), size]
        data = builder.bitcast(there.data, ir.DoubleType().as_pointer())
        populate_array(seen, data, shape, strides, size, there.meminfo, there.parent)
        return impl_ret_borrowed(context, builder, kind, seen._getvalue())

    return kind(array), codegen


if PLAIN:
    spread, square_root, empty_lanes, by_lane = plain.spread, plain.square_root, plain.empty, plain.by_lane
