"""Compiling functions that only other compiled functions call, by numba, as far as those need it.

numba makes machine code of each function, and makes it again as a part of every function that calls it, and
of those that call these. Here an inner function stays as it is until it is such a part.
"""

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder


class AsPart(CompilerBase):
    """The usual passes, of which the last ends in a `Part`."""

    def define_pipelines(self):
        state = self.state
        state.library = Part(state.targetctx.codegen(), state.func_id.func_qualname)
        return [DefaultPassBuilder.define_nopython_pipeline(state)]


class Part(JITCodeLibrary):
    """Code to be linked into that of other functions: neither optimised nor made machine code."""

    def _optimize_final_module(self):
        pass

    def _finalize_final_module(self):
        self._finalize_dynamic_globals()
        self._finalized = True

    def serialize_using_object_code(self) -> Any:
        """For the disk."""
        return self.serialize_using_bitcode()

    @property
    def codegen(self) -> Any:
        """What numba tells where the environment of a function is, as soon as it has machine code."""
        return _Without


class _Without:
    @staticmethod
    def set_env(name, environment):
        """There is nothing yet that could use it; the function that this becomes a part of has its own."""
