"""Compiled functions, each with the one that pulls cotangents back, as operations of PyTensor: machine code
that other machine code calls, and that PyTensor may keep on disk with what it makes of the rest of a
graph."""

from collections.abc import Callable, Sequence
from hashlib import sha256

import numpy as np
import pytensor.tensor as pt
from numba import from_dtype, njit, typeof, types
from pytensor.gradient import DisconnectedType
from pytensor.graph.basic import Apply
from pytensor.graph.op import Op
from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_and_cache_key

from bayesglu.solver.compiled import PLAIN, sources
from bayesglu.solver.held import held
from bayesglu.solver.intrinsics import intrinsic
from bayesglu.solver.separate import Separate


class Operation(Op):
    """``function(known, *inputs)``, which gives new arrays in a tuple, as an operation.

    known : gives what the function knows besides its inputs, in whichever process that is asked. key :
        whatever decides it; operations of one function are equal where their keys are.
    outputs : the types of what the function gives.
    pull : ``pull(known, *inputs, *outputs, *cotangents)`` gives the cotangents of the inputs from those of
        the first `seen` outputs; the others only serve it. Without it there is no derivative.
    """

    __props__ = ("key",)

    def __init__(
        self,
        function,
        known: Callable[[], tuple],
        key: str,
        outputs: Sequence[pt.TensorType],
        pull=None,
        seen: int = 0,
    ):
        self.function, self.known, self.pull, self.seen = function, known, pull, seen
        self.types = tuple(outputs)
        self.key = fingerprint(function.__module__, function.__name__, key)

    def __str__(self) -> str:
        return self.function.__name__.strip("_")

    def make_node(self, *inputs):
        return Apply(self, [pt.as_tensor(i) for i in inputs], [kind() for kind in self.types])

    def perform(self, node, inputs, output_storage):
        found = self.function(self.known(), *(np.ascontiguousarray(i) for i in inputs))
        for cell, value in zip(output_storage, found, strict=True):
            cell[0] = value

    def connection_pattern(self, node):
        connected = [self.pull is None or o < self.seen for o in range(len(node.outputs))]
        return [connected for _ in node.inputs]

    def pullback(self, inputs, outputs, cotangents):
        if self.pull is None:
            raise NotImplementedError(f"{self} has no derivative.")
        bars = [
            out.zeros_like() if isinstance(bar.type, DisconnectedType) else bar
            for out, bar in zip(outputs[: self.seen], cotangents, strict=False)
        ]
        back = Operation(self.pull, self.known, self.key, [i.type for i in inputs])
        return back.make_node(*inputs, *outputs, *bars).outputs


def fingerprint(*contents) -> str:
    """A hash of numbers, texts, arrays and tuples of them."""
    found = sha256()
    for content in contents:
        if isinstance(content, np.ndarray):
            found.update(
                f"{content.dtype} {content.shape} ".encode() + np.ascontiguousarray(content).tobytes()
            )
        elif isinstance(content, tuple):
            found.update(f"({fingerprint(*content)})".encode())
        else:
            found.update(f"{content!r} ".encode())
    return found.hexdigest()


@intrinsic
def _usual(context, array):
    """A contiguous array as one of the type that functions are compiled for, which only read it."""
    usual = types.Array(array.dtype, array.ndim, "C")

    def codegen(context, builder, signature, arguments):
        context.nrt.incref(builder, signature.args[0], arguments[0])
        return arguments[0]

    return usual(array), codegen


@njit
def _c(array):
    return _usual(np.ascontiguousarray(array))


@register_funcify_and_cache_key(Operation)
def _(op, node, **kwargs):
    known = op.known()
    arrays = [types.Array(from_dtype(np.dtype(i.dtype)), i.ndim, "C") for i in node.inputs]
    kinds = (typeof(known), *arrays)
    op.function.compile(kinds)
    called = Separate(op.function, op.function.overloads[kinds].signature)
    kind = fingerprint(sources(), op.function.__module__, op.function.__name__, str(kinds))
    name, find = held(kind, op.key, (called.address, known))
    # numba passes no arguments on by a star where their kinds differ, so that they have to be named one by
    # one.
    inputs = [f"input_{i}" for i in range(len(arrays))]
    text = f"""
def function({", ".join(inputs)}):
    address, known = find()
    return call(address, (known, {"".join(f"_c({i}), " for i in inputs)})){"[0]" * (len(op.types) == 1)}
"""
    scope = {"find": find, "call": called.call, "_c": _c}
    exec(text, scope)
    # In plain numba the machine code itself holds what it knows.
    return numba_njit(scope["function"], fastmath=False), None if PLAIN else fingerprint(name)
