"""Functions that are compiled apart from those that call them; in another process, if there is a core for it.

numba makes a compiled function a part of every compiled function that calls it, and optimises it there once
more. The solver is too large for that.
"""

import base64
import gc
import pickle
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from numba.core import types
from numba.core.typing import Signature

from bayesglu.parallel import cores
from bayesglu.solver.compiled import PLAIN, compiled
from bayesglu.solver.intrinsics import intrinsic
from bayesglu.solver.kept import cache_folder, can_keep, find
from bayesglu.solver.plain import call_of

LONGEST = 300.0  # seconds to wait for another process that compiles


class Separate:
    """A compiled function that other compiled functions call through its address, so that it is compiled for
    one signature, once, and not again as a part of each of them. Python calls it as any other."""

    def __init__(self, dispatcher, signature: Signature):
        self._dispatcher, self.signature = dispatcher, signature

    def __call__(self, *arguments):
        return self._dispatcher(*arguments)

    @cached_property
    def address(self) -> int:
        """Where it is in this process. It is compiled for this, unless it is on the disk."""
        if PLAIN:
            return 0
        self._dispatcher.compile(self.signature.args)
        found = self._dispatcher.overloads[self.signature.args]
        if found.signature != self.signature:
            raise TypeError(f"{self._dispatcher.__name__} has another signature: {found.signature}")
        return found.library.get_pointer_to_function(found.fndesc.llvm_func_name)

    @cached_property
    def call(self):
        """What compiled functions call it by: ``call(address, arguments)``, the arguments in a tuple."""
        if PLAIN:
            return call_of(self._dispatcher)
        result, kinds = self.signature.return_type, self.signature.args

        def codegen(context, builder, signature, arguments):
            values = context.cast(builder, arguments[1], signature.args[1], types.Tuple(kinds))
            values = [builder.extract_value(values, i) for i in range(len(kinds))]
            pointer = context.call_conv.get_function_type(result, kinds).as_pointer()
            function = builder.inttoptr(arguments[0], pointer)
            status, value = context.call_conv.call_function(builder, function, result, kinds, values)
            with builder.if_then(status.is_error, likely=False):
                context.call_conv.return_status_propagate(builder, status)
            return value

        @intrinsic
        def call(context, address, arguments):
            return result(types.int64, arguments), codegen

        return call

    @property
    def ready(self) -> bool:
        """Whether it has been compiled, by this process or, for the disk, by another of this Python."""
        path = self._dispatcher._cache.path(self.signature.args, self._dispatcher.targetctx.codegen())
        return bool(self._dispatcher.overloads) or find(path) is not None

    @property
    def command(self) -> str:
        """What makes another Python compile it."""
        function = self._dispatcher.py_func
        return f"from {function.__module__} import {function.__name__} as it; it.address"


@dataclass(frozen=True, eq=False)
class Early:
    """A part of a compiled function, for arguments of these `kinds`, that another process makes while this
    one is at the parts that come before it."""

    dispatcher: Any
    kinds: tuple

    @property
    def ready(self) -> bool:
        """As in `Separate`."""
        path = self.dispatcher._cache.path(self.kinds, self.dispatcher.targetctx.codegen())
        return self.kinds in self.dispatcher.overloads or find(path) is not None

    @property
    def command(self) -> str:
        """As in `Separate`."""
        function, kinds = self.dispatcher.py_func, base64.b64encode(pickle.dumps(self.kinds))
        return (
            f"from {function.__module__} import {function.__name__} as it; import base64, pickle; "
            f"it.compile(pickle.loads(base64.b64decode({kinds})))"
        )


class Compilable(Protocol):
    """What another process may compile for the disk: a `Separate` or an `Early`."""

    @property
    def ready(self) -> bool:
        """Whether it is there."""
        ...

    @property
    def command(self) -> str:
        """What makes another Python compile it."""
        ...


def c_address(dispatcher, kinds) -> int:
    """Where C finds a function that was compiled ``from_c``, for arguments of these kinds."""
    dispatcher.compile(kinds)
    found = dispatcher.overloads[kinds]
    return found.library.get_pointer_to_function(found.fndesc.llvm_cfunc_wrapper_name)


def separate(signature: Signature):
    """Decorator: a function compiled for one signature, and called from compiled code through its address."""
    return lambda function: Separate(compiled(lanes=True)(function), signature)


@contextmanager
def elsewhere(*functions: Compilable) -> Iterator[None]:
    """While this lasts another process compiles in turn what is not ready of `functions`, where there is a
    core for it and a disk to hand it over on: a process compiles one thing at a time. What it fails to do is
    left to be compiled here."""
    useful = not PLAIN and _another_core() and can_keep(cache_folder("numba"))
    missing = [function.command for function in functions if useful and not function.ready]
    process = _started(missing) if missing else None
    try:
        with _no_collection():
            yield
        if process:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LONGEST)
    finally:
        if process:
            process.kill()
            process.wait()


def _started(commands: list[str]) -> subprocess.Popen | None:
    """Another Python that runs `commands` with the modules of this one; None if there can be none."""
    text = "\n".join(["import gc, sys", "gc.disable()", f"sys.path[:] = {sys.path}", *commands])
    nothing = subprocess.DEVNULL
    try:
        return subprocess.Popen([sys.executable, "-c", text], stdin=nothing, stdout=nothing, stderr=nothing)
    except OSError:
        return None


def _another_core() -> bool:
    """Whether there is a core for another Python, and a Python to start."""
    return cores() > 1 and bool(sys.executable) and not getattr(sys, "frozen", False)


@contextmanager
def _no_collection():
    """Nothing looks for garbage meanwhile: of what compiling makes, most stays. It is then among what is old,
    which is looked through when that has grown enough, and not at once."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collected:
            if not gc.get_freeze_count():  # what somebody froze is to stay so
                gc.freeze()
                gc.unfreeze()
            gc.enable()
