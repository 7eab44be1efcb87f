"""Compiling by numba, as far as it is needed: functions that only other compiled functions call, and loops
over few numbers.

numba makes machine code of each function, and makes it again as a part of every function that calls it, and
of those that call these. Here an inner function stays as it is until it is such a part.
"""

from typing import Any

import numba
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder

config: Any = numba.config


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


class InSmallLoops(CompilerBase):
    """The usual passes, of which the last ends in `SmallLoops`."""

    def define_pipelines(self):
        state = self.state
        state.library = SmallLoops(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return [DefaultPassBuilder.define_nopython_pipeline(state)]


class SmallLoops(JITCodeLibrary):
    """Machine code whose loops run over few numbers: over parameters, or samples of a person. Loops of
    vectors would be made beside those, take a fifth of the time of the last passes, and hardly ever run."""

    def _optimize_final_module(self):
        usual, config.LOOP_VECTORIZE = config.LOOP_VECTORIZE, 0
        try:
            super()._optimize_final_module()
        finally:
            config.LOOP_VECTORIZE = usual


class _Without:
    @staticmethod
    def set_env(name, environment):
        """There is nothing yet that could use it; the function that this becomes a part of has its own."""
