"""Student's residuals, for assays of which single samples may be far off."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import gammaln, stdtr


@dataclass(frozen=True)
class Student:
    """A residual with Student's t distribution of `nu` degrees of freedom."""

    nu: float

    name: ClassVar[str] = "student"
    meaning: ClassVar[str] = "Student's t with `nu` degrees of freedom, where single samples may be far off"
    number: ClassVar[int] = 1
    shape_above: ClassVar[float | None] = 2.0  # below it there is no variance

    @property
    def pymc(self) -> tuple[str, dict[str, float]]:
        return "StudentT", {"nu": self.nu}

    def log_density(self, z):
        nu = self.nu
        peak = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * np.log(nu * np.pi)
        return peak - (nu + 1) / 2 * np.log1p(np.square(z) / nu)

    def slope(self, z):
        return -self.weight(z) * z

    def weight(self, z):
        return (self.nu + 1) / (self.nu + np.square(z))

    @property
    def information(self) -> float:
        return (self.nu + 1) / (self.nu + 3)

    def cdf(self, z):
        return stdtr(self.nu, z)

    def draw(self, rng, size):
        return rng.standard_t(self.nu, size=size)
