"""New arrays in compiled code, each beginning where a line of the cache does: see `calls.LINE`.

A shape is a whole number or a tuple of them. `np.empty` and `np.zeros` are functions to numba, which it
compiles anew for each kind of shape; these are a few instructions.
"""

from numba.core import cgutils, types
from numba.core.errors import TypingError

from bayesglu.solver import plain
from bayesglu.solver.calls import LINE
from bayesglu.solver.compiled import PLAIN
from bayesglu.solver.intrinsics import intrinsic


def _made(context, builder, kind, lengths):
    """A new array of a kind, and how many bytes it has."""
    from numba.np.arrayobj import populate_array

    element = context.get_data_type(kind.dtype)
    itemsize = context.get_abi_sizeof(element)
    size, strides = context.get_constant(types.intp, itemsize), []
    for length in reversed(lengths):
        strides.insert(0, size)
        size = builder.mul(size, length)
    memory = context.nrt.meminfo_alloc_aligned(builder, size, LINE)
    data = builder.bitcast(context.nrt.meminfo_data(builder, memory), element.as_pointer())
    array = context.make_array(kind)(context, builder)
    populate_array(array, data, lengths, strides, itemsize, memory)
    return array, size


def new_array(dtype, shape, zero: bool):
    """Typing and code of a new array."""
    several = isinstance(shape, types.BaseTuple)
    kind = types.Array(dtype, len(shape) if several else 1, "C")

    def codegen(context, builder, signature, arguments):
        (kinds,), (values,) = signature.args, arguments
        kinds, values = (kinds, cgutils.unpack_tuple(builder, values)) if several else ([kinds], [values])
        lengths = [context.cast(builder, v, k, types.intp) for v, k in zip(values, kinds, strict=True)]
        array, size = _made(context, builder, kind, lengths)
        if zero:
            cgutils.memset(builder, array.data, size, 0)
        return array._getvalue()

    return kind(shape), codegen


@intrinsic
def empty(context, shape):
    """Numbers that are not filled."""
    return new_array(types.float64, shape, zero=False)


@intrinsic
def zeros(context, shape):
    """Numbers that are 0."""
    return new_array(types.float64, shape, zero=True)


@intrinsic
def empty_integers(context, shape):
    """Whole numbers that are not filled."""
    return new_array(types.int64, shape, zero=False)


@intrinsic
def zero_integers(context, shape):
    """Whole numbers that are 0."""
    return new_array(types.int64, shape, zero=True)


@intrinsic
def flags(context, shape):
    """Truth values, all false."""
    return new_array(types.bool_, shape, zero=True)


@intrinsic
def grown(context, array, rows):
    """A copy of a contiguous array that has `rows`, more than it had, of which the last are not filled."""
    if array.layout != "C":
        raise TypingError("only a contiguous array can grow")
    kind = types.Array(array.dtype, array.ndim, "C")

    def codegen(context, builder, signature, arguments):
        old = context.make_array(array)(context, builder, arguments[0])
        rows = context.cast(builder, arguments[1], signature.args[1], types.intp)
        lengths = [rows, *cgutils.unpack_tuple(builder, old.shape)[1:]]
        new, _ = _made(context, builder, kind, lengths)
        size = builder.mul(old.nitems, old.itemsize)
        cgutils.raw_memcpy(builder, new.data, old.data, size, 1)
        return new._getvalue()

    return kind(array, rows), codegen


if PLAIN:
    empty, zeros, flags, grown = plain.empty, plain.zeros, plain.flags, plain.grown
    empty_integers, zero_integers = plain.empty_integers, plain.zero_integers
