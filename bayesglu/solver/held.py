"""What compiled code finds by a name, in whichever process it runs.

numba writes the arrays that a function refers to into its machine code, and addresses are those of one
process. Code that names them instead is the same for all arrays of the same types, and may be kept on disk.
"""

from llvmlite import binding, ir
from numba import njit, typeof
from numba.core import types
from numba.extending import intrinsic

from bayesglu.solver.compiled import PLAIN, compiled

ADDRESS = ir.IntType(64)


@intrinsic
def _put(context, value):
    """Put a value where it stays for as long as the process lives; its address."""

    def codegen(context, builder, signature, arguments):
        kind = context.get_value_type(signature.args[0])
        size = context.get_constant(types.intp, context.get_abi_sizeof(kind))
        place = context.nrt.allocate(builder, size)
        context.nrt.incref(builder, signature.args[0], arguments[0])
        builder.store(arguments[0], builder.bitcast(place, kind.as_pointer()))
        return builder.ptrtoint(place, ADDRESS)

    return types.int64(value), codegen


@compiled()
def _hold(value):
    return _put(value)


_numbers: dict[str, dict[str, int]] = {}


def held(kind: str, key: str, value):
    """A name for a value, and what compiled code calls, without arguments, to get it: a number, or (named)
    tuples of numbers and arrays.

    kind : of values of the same types. key : which of them; two with the same key are taken to be the same.

    The first value of a kind has the same name in every process, and so has the second: what is compiled for
    one serves for others.
    """
    numbers = _numbers.setdefault(kind, {})
    name = f"bayesglu.{kind}.{numbers.setdefault(key, len(numbers))}"
    if PLAIN:
        return name, njit(lambda: value)
    types_of_value = typeof(value)
    if not binding.address_of_symbol(name):
        binding.add_symbol(name, _hold(value))

    @intrinsic
    def find(context):
        def codegen(context, builder, signature, arguments):
            place = context.get_c_value(builder, context.get_value_type(types_of_value), name)
            found = builder.load(place)
            context.nrt.incref(builder, types_of_value, found)
            return found

        return types_of_value(), codegen

    return name, find
