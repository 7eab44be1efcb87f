"""Student's residuals, for assays of which single samples may be far off."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.stats import t


@dataclass(frozen=True)
class Student:
    """A residual with Student's t distribution of `nu` degrees of freedom."""

    nu: float
    kind: ClassVar[int] = 1

    def log_density(self, z):
        return t.logpdf(z, self.nu)

    def slope(self, z):
        return -self.weight(z) * z

    def weight(self, z):
        return (self.nu + 1) / (self.nu + np.square(z))

    @property
    def information(self) -> float:
        return (self.nu + 1) / (self.nu + 3)

    def cdf(self, z):
        return t.cdf(z, self.nu)

    def draw(self, rng, size):
        return rng.standard_t(self.nu, size=size)
