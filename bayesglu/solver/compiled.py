"""Compilation by numba, kept on disk under the hash of all the code that may be compiled into it.

numba checks only the file that a function stands in, not the functions that it calls from other files: change
one of those and the old code runs on. Here each state of the sources has a folder of its own.
"""

import os
from functools import cache, cached_property
from hashlib import sha256
from pathlib import Path

import numba
from numba.core import types
from numba.core.typing import Signature
from numba.extending import intrinsic
from platformdirs import user_cache_path

OPTIONS = {"nogil": True, "error_model": "numpy", "cache": True}


def cache_folder(kind: str) -> Path:
    """Folder for compiled things of one kind; BAYESGLU_CACHE_DIR in the environment says where they go."""
    return Path(os.environ.get("BAYESGLU_CACHE_DIR") or user_cache_path("bayesglu")) / kind


@cache
def _sources() -> str:
    """Hash of the sources of the solver and of the log density."""
    package = Path(__file__).parents[1]
    files = sorted([*package.glob("solver/*.py"), *package.glob("inference/*.py")])
    return sha256(b"\n".join(file.read_bytes() for file in files)).hexdigest()[:16]


def compiled(inner: bool = False):
    """Decorator: `numba.njit` with the options of this project, and a cache that is never out of date.

    Functions that only other compiled functions call are `inner`: what Python would need to call them is not
    compiled.
    """

    def decorate(function):
        before = numba.config.CACHE_DIR
        numba.config.CACHE_DIR = str(cache_folder("numba") / _sources())
        try:
            return numba.njit(**OPTIONS, no_cpython_wrapper=inner, no_cfunc_wrapper=True)(function)
        finally:
            numba.config.CACHE_DIR = before

    return decorate


class Separate:
    """A compiled function that other compiled functions call through its address, so that it is compiled for
    one signature, once, and not again as a part of each of them."""

    def __init__(self, dispatcher, signature: Signature):
        self._dispatcher, self._signature = dispatcher, signature

    @cached_property
    def address(self) -> int:
        """Where it is, in this process; it is compiled for this."""
        self._dispatcher.compile(self._signature.args)
        found = self._dispatcher.overloads[self._signature.args]
        return found.library.get_pointer_to_function(found.fndesc.llvm_func_name)

    @cached_property
    def call(self):
        """Call of compiled code: ``call(address, arguments)``, the arguments in a tuple."""
        result, kinds = self._signature.return_type, self._signature.args

        def codegen(context, builder, signature, arguments):
            values = context.cast(builder, arguments[1], signature.args[1], types.Tuple(kinds))
            values = [builder.extract_value(values, i) for i in range(len(kinds))]
            function_type = context.call_conv.get_function_type(result, kinds)
            function = builder.inttoptr(arguments[0], function_type.as_pointer())
            status, value = context.call_conv.call_function(builder, function, result, kinds, values)
            with builder.if_then(status.is_error, likely=False):
                context.call_conv.return_status_propagate(builder, status)
            return value

        @intrinsic
        def call(context, address, arguments):
            return result(types.int64, arguments), codegen

        return call
