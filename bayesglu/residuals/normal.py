"""Normal residuals: samples are log-normal about their predictions."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import ndtr


@dataclass(frozen=True)
class Normal:
    """A standard Normal residual."""

    name: ClassVar[str] = "normal"
    meaning: ClassVar[str] = "log-normal samples"
    number: ClassVar[int] = 0
    shape_above: ClassVar[float | None] = None

    @property
    def nu(self) -> float:
        return 0.0

    @property
    def pymc(self) -> tuple[str, dict[str, float]]:
        return "Normal", {}

    def log_density(self, z):
        return -0.5 * z**2 - 0.5 * np.log(2 * np.pi)

    def slope(self, z):
        return -z

    def weight(self, z):
        return np.ones(np.shape(z))

    @property
    def information(self) -> float:
        return 1.0

    def cdf(self, z):
        return ndtr(z)

    def draw(self, rng, size):
        return rng.normal(size=size)
