"""Generated code with the types of those that call it."""

from collections.abc import Callable
from typing import Any, Concatenate

from numba import extending


def intrinsic[**P](make: Callable[Concatenate[Any, P], Any]) -> Callable[P, Any]:
    """Decorator: numba's, as compiled code calls it, without the typing context that comes first."""
    made: Any = extending.intrinsic(make)
    return made
