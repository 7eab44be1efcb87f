"""Numbers and arrays where compiled code reads them, so that Python passes an address and not each array.

An array costs a call from Python a third of a microsecond, and a model is some eighty of them.
"""

import struct
from collections.abc import Iterator

import numpy as np
from llvmlite import binding, ir
from numba import njit, typeof
from numba.core import types
from numba.core.datamodel import PrimitiveModel
from numba.extending import NativeValue, register_model, unbox

from bayesglu.solver.compiled import PLAIN
from bayesglu.solver.intrinsics import intrinsic

ADDRESS = ir.IntType(64)


class PlacedType(types.Type):
    """The type of a `Placed` value of a kind."""

    def __init__(self, kind: types.Type):
        self.kind = kind
        super().__init__(f"Placed({kind})")


@register_model(PlacedType)
class _PlacedModel(PrimitiveModel):
    def __init__(self, manager, placed):
        super().__init__(manager, placed, ADDRESS)


@unbox(PlacedType)
def _(placed, thing, c):
    number = c.pyapi.object_getattr_string(thing, "address")
    address = c.pyapi.long_as_longlong(number)
    c.pyapi.decref(number)
    return NativeValue(address)


class Placed:
    """A value at an `address`, for as long as this object lives: a number, an array, None, or (named)
    tuples of them, laid out in memory as numba has them in its registers."""

    def __init__(self, value):
        self._value = value  # whose arrays are pointed at
        self._words = np.array(list(_words(value)), np.int64)
        self.address = self._words.ctypes.data
        self._numba_type_ = PlacedType(typeof(value))


def _words(value) -> Iterator[int]:
    """A value in words of eight bytes."""
    if isinstance(value, tuple):
        for item in value:
            yield from _words(item)
    elif isinstance(value, np.ndarray):  # which numba does not count the users of: this object is one
        yield from (0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides)
    elif isinstance(value, float):
        yield from struct.unpack("q", struct.pack("d", value))
    else:
        yield 0 if value is None else int(value)


@intrinsic
def value_of(context, placed):
    """In compiled code: the value that is placed."""
    kind = placed.kind

    def codegen(context, builder, signature, arguments):
        return _loaded(context, builder, kind, builder.inttoptr(arguments[0], _pointer(context, kind)))

    return kind(placed), codegen


def _pointer(context, kind):
    return context.get_value_type(kind).as_pointer()


def _loaded(context, builder, kind, place):
    """What stands at a place, to be used and given back as any other value."""
    found = builder.load(place)
    context.nrt.incref(builder, kind, found)
    return found


_numbers: dict[str, dict[str, int]] = {}
_named: list[Placed] = []


def held(kind: str, key: str, value):
    """A name for a value, and what compiled code calls, without arguments, to get it in whichever process it
    runs: numba writes addresses, which are those of one process, into the machine code; a name is the same
    in all, so that the code may be kept on disk. The value stays for as long as the process lives.

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
        _named.append(Placed(value))
        binding.add_symbol(name, _named[-1].address)

    @intrinsic
    def find(context):
        def codegen(context, builder, signature, arguments):
            place = context.get_c_value(builder, context.get_value_type(types_of_value), name)
            return _loaded(context, builder, types_of_value, place)

        return types_of_value(), codegen

    return name, find


if PLAIN:

    def Placed(value):
        """A value, as it is."""
        return value

    @njit
    def value_of(value):
        """A value, as it is."""
        return value
