"""Compilation by numba, kept on disk under the hash of all the code that may be compiled into it.

numba's own cache checks only the file that a function stands in, not the functions that it calls from other
files: change one of those and the old code runs on. Here each state of the sources has a folder of its own.
"""

import os
import pickle
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba

from bayesglu.solver.as_part import AsPart, InSmallLoops
from bayesglu.solver.kept import cache_folder, find, keep

njit: Any = numba.njit
"""Whose types do not know all of its options."""

OPTIONS = {"nogil": True, "error_model": "numpy"}

FIRST_UNTRIED = (0, 69)
"""The first release of numba with which nothing was tried yet: `pyproject.toml` asks for one before it."""

PLAIN = bool(os.environ.get("BAYESGLU_PLAIN_NUMBA")) or numba.version_info.short >= FIRST_UNTRIED
"""Whether to use nothing of numba but what it documents, which gives the same numbers: everything is compiled
at each start, and the solver again for each function that calls it. So with BAYESGLU_PLAIN_NUMBA in the
environment, and with a numba whose inner parts may be others than those known here."""


COMPILED = ("solver", "inference", "hierarchy", "residuals")
"""Folders whose functions and constants are compiled by numba."""


@cache
def sources() -> str:
    """Hash of the sources of the solver and of the log density, and of all whose constants are compiled into
    them."""
    package = Path(__file__).parents[1]
    files = sorted(file for folder in COMPILED for file in package.glob(f"{folder}/*.py"))
    return sha256(b"\n".join(file.read_bytes() for file in files)).hexdigest()[:16]


def compiled(inner: bool = False, from_c: bool = False, lanes: bool = False):
    """Decorator: `numba.njit` with the options of this project, and a cache that is never out of date.

    Functions that only other compiled functions call are `inner`: they become a part of those, and nothing
    is made of them that would run by itself. `from_c` : for those that C is to call, see `c_address`.
    `lanes` : for those whose loops run over lanes of people, and are to be made of vectors.
    """

    def decorate(function):
        passes = {} if PLAIN or lanes else {"pipeline_class": AsPart if inner else InSmallLoops}
        how = OPTIONS | passes | {"no_cpython_wrapper": inner, "no_cfunc_wrapper": not from_c}
        dispatcher = njit(**how)(function)
        if not PLAIN:
            dispatcher._cache = Kept(function)
        return dispatcher

    return decorate


def inlined(function):
    """Decorator: a function that becomes part of each compiled function that calls it, before anything is
    compiled. For what is called from one or two places: passing many arrays takes time, and compiling the
    passing takes more. It takes the arrays that it reads, not a tuple of many: each call copies what it is
    given."""
    return njit(**OPTIONS, inline="always", no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


class Kept:
    """The compiled forms of a function on disk, one file each; numba's dispatchers ask it for them."""

    def __init__(self, function):
        self.function = function
        self.sources = sources()  # now: once they are edited, what runs here is no longer theirs

    def path(self, argument_types, codegen) -> Path:
        """Where the function compiled for arguments of these types is kept."""
        function = self.function
        decides = (
            *(function.__module__, function.__qualname__, function.__code__.co_code, argument_types),
            *(codegen.magic_tuple(), numba.__version__, sys.implementation.cache_tag),
        )
        name = f"{function.__name__}-{sha256(repr(decides).encode()).hexdigest()[:32]}"
        return Path(self.cache_path) / name

    def load_overload(self, argument_types, target):
        """The compiled function, or None."""
        from numba.core.compiler import CompileResult

        target.refresh()
        code = find(self.path(argument_types, target.codegen()))
        try:
            return None if code is None else CompileResult._rebuild(target, *pickle.loads(code))
        except Exception:  # whole, but written with other versions of what it is made of
            return None

    def save_overload(self, argument_types, compiled) -> None:
        """Keep a compiled function."""
        from numba.core.serialize import dumps

        keep(self.path(argument_types, compiled.codegen), dumps(compiled._reduce()))

    @property
    def cache_path(self) -> str:
        """The folder, for numba's statistics."""
        return str(cache_folder("numba") / self.sources)

    def enable(self) -> None:
        """It always is."""

    disable = flush = enable  # what numba can ask for besides, and this package does not
