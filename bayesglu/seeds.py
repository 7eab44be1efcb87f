"""Random numbers that can be drawn again."""

import numpy as np

from bayesglu.errors import InputError

LARGEST = 2**62


def seed_of(random_seed: int | np.random.Generator | None) -> int:
    """The seed to keep with a result: asked for again, it gives the same result again.

    random_seed : a whole number is itself; of a generator, or of None, one is drawn.

    Raises InputError where it is something else.
    """
    if isinstance(random_seed, (int, np.integer)) and not isinstance(random_seed, bool):
        if 0 <= random_seed <= LARGEST:
            return int(random_seed)
    elif random_seed is None or isinstance(random_seed, np.random.Generator):
        return int(np.random.default_rng(random_seed).integers(2**31))
    raise InputError(
        f"random_seed is {random_seed!r}; it must be a whole number, 0 to {LARGEST}, a "
        "numpy.random.Generator or None."
    )
