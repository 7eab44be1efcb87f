"""What a residual is: how far a sample may lie from its prediction.

A residual z is the logarithm of a sample less that of its prediction, in units of the assay's SD sigma.
"""

from typing import ClassVar, Protocol

import numpy as np


class Residual(Protocol):
    """A distribution of residuals z with the location 0 and the scale 1. Arrays in, arrays of the shape out.

    name : what model files call it. meaning : what it is for, in a few words. number : what compiled code
    calls it. shape_above : what its shape `nu` must be above; None if it has none.
    """

    name: ClassVar[str]
    meaning: ClassVar[str]
    number: ClassVar[int]
    shape_above: ClassVar[float | None]

    def __init__(self, *shape: float) -> None: ...

    @property
    def nu(self) -> float:
        """The shape that it has besides, 0 if it has none."""
        ...

    @property
    def pymc(self) -> tuple[str, dict[str, float]]:
        """The distribution of PyMC that draws it, with its parameters."""
        ...

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Logarithm of the density."""
        ...

    def slope(self, z: np.ndarray) -> np.ndarray:
        """Derivative of the log density by z: ``-slope / sigma`` is that by the log prediction, and
        ``-(1 + z slope) / sigma`` that of log density and ``-log sigma`` by sigma."""
        ...

    def weight(self, z: np.ndarray) -> np.ndarray:
        """Precision of the Normal residual that pulls a prediction as hard: ``-slope / z``."""
        ...

    @property
    def information(self) -> float:
        """Expected information on the location, that of a Normal residual being 1."""
        ...

    def cdf(self, z: np.ndarray) -> np.ndarray:
        """Probability of a residual below z."""
        ...

    def draw(self, rng: np.random.Generator, size) -> np.ndarray:
        """Random residuals."""
        ...
