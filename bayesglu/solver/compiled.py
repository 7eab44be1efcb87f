"""Compilation by numba, kept on disk under the hash of all the code that may be compiled into it.

numba checks only the file that a function stands in, not the functions that it calls from other files: change
one of those and the old code runs on. Here each state of the sources has a folder of its own.
"""

import os
from functools import cache
from hashlib import sha256
from pathlib import Path

import numba
from platformdirs import user_cache_path

OPTIONS = {"nogil": True, "error_model": "numpy", "cache": True}


def cache_folder(kind: str) -> Path:
    """Folder for compiled things of one kind; BAYESGLU_CACHE_DIR in the environment says where they go."""
    return Path(os.environ.get("BAYESGLU_CACHE_DIR") or user_cache_path("bayesglu")) / kind


@cache
def _sources() -> str:
    """Hash of the sources of the solver and of the log density."""
    package = Path(__file__).parents[1]
    rooms = ("solver", "hierarchy", "inference")
    files = sorted(file for room in rooms for file in package.glob(f"{room}/*.py"))
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
