"""What `arrays`, `lanes` and `separate` build from the inner parts of numba, in its plain language.

It takes longer to compile, and gives the same numbers: see `compiled.PLAIN`.
"""

import numpy as np
from numba import njit

from bayesglu.solver.compiled import compiled


@compiled(inner=True)
def empty(shape):
    """Numbers that are not filled."""
    return np.empty(shape)


@compiled(inner=True)
def zeros(shape):
    """Numbers that are 0."""
    return np.zeros(shape)


@compiled(inner=True)
def empty_integers(shape):
    """Whole numbers that are not filled."""
    return np.empty(shape, np.int64)


@compiled(inner=True)
def zero_integers(shape):
    """Whole numbers that are 0."""
    return np.zeros(shape, np.int64)


@compiled(inner=True)
def flags(shape):
    """Truth values, all false."""
    return np.zeros(shape, np.bool_)


@compiled(inner=True)
def grown(array, rows):
    """A copy of an array that has `rows`, not fewer than it had, of which the last are not filled."""
    new = np.empty((rows, *array.shape[1:]), array.dtype)
    new[: len(array)] = array
    return new


@compiled(inner=True)
def spread(number):
    """A number in the only lane."""
    return number


@compiled(inner=True)
def square_root(number):
    """Its square root."""
    return np.sqrt(number)


@compiled(inner=True)
def by_lane(array):
    """The array with an axis more, of length one."""
    return array.reshape((*array.shape, 1))


def call_of(dispatcher):
    """What compiled functions call another by: ``call(address, arguments)``, of which the address is not
    needed."""

    @njit
    def call(address, arguments):
        return dispatcher(*arguments)

    return call
