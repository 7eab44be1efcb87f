"""Random numbers that can be drawn again."""

import numpy as np


def seed_of(random_seed: int | np.random.Generator | None) -> int:
    """The seed to keep with a result: asked for again, it gives the same result again.

    random_seed : a whole number is itself; of a generator, or of None, one is drawn.
    """
    if isinstance(random_seed, (int, np.integer)):
        return int(random_seed)
    return int(np.random.default_rng(random_seed).integers(2**31))
