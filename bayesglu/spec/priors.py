"""What is known of one quantity before any data: its prior, how people differ in it, how it is measured.

The nouns are frozen. Medians are on the natural scale; a spread is a geometric standard deviation (of the
odds where the scale is ``logit``), so that a published figure and its line in a model file read the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

import numpy as np

from bayesglu import residuals
from bayesglu.frozen import Frozen
from bayesglu.residuals import Residual
from bayesglu.spec.scales import from_scale, to_scale

Level = Literal["fixed", "shared", "subject", "occasion"]
Scale = Literal["log", "logit"]
Kind = Literal["measured", "derived", "learnt", "judgement"]


@dataclass(frozen=True)
class Prior:
    """What is known of a positive number: log-normal about `median`, or exactly that where `gsd` is None."""

    median: float
    gsd: float | None = None

    @property
    def sd(self) -> float:
        """Standard deviation of the logarithm (or of the log odds); 0 when fixed."""
        return math.log(self.gsd) if self.gsd else 0.0


@dataclass(frozen=True)
class Variation:
    """How much people differ, or one person from one occasion to another: a coefficient of variation, known
    within `gsd` (of the odds, if logit)."""

    cv: float
    gsd: float

    @property
    def omega(self) -> float:
        """Median of its standard deviation on the logarithmic (or logit) scale."""
        return math.sqrt(math.log1p(self.cv**2))

    @property
    def sd(self) -> float:
        """Standard deviation of log `omega`."""
        return math.log(self.gsd)


SPELLINGS = {"T1DM": "T1D", "T2DM": "T2D"}
"""Levels of a covariate that studies write in two ways."""


@dataclass(frozen=True)
class Effect:
    """A covariate multiplies the typical value (or its odds) by ``factor ** x``, a log-normal factor.

    The standardized covariate x is, for ``exponential``, its difference from `reference` in units of `per`;
    for ``power``, the logarithm of its ratio to `reference` in units of log(`per`); for ``level``, 1 for
    people whose covariate equals `reference`, else 0 (``"group:T2D"``, where T1DM and T2DM are other
    spellings of T1D and T2D).
    """

    covariate: str
    form: Literal["exponential", "power", "level"]
    reference: float | str
    per: float | None
    median: float
    gsd: float

    def standardized(self, value: float | str) -> float:
        """The standardized covariate, of a person with this `value`: how many times the factor applies."""
        if self.form == "level":
            return float(SPELLINGS.get(str(value), str(value)) == str(self.reference))
        assert self.per is not None  # only an effect of a level has none
        if self.form == "power":
            return math.log(float(value) / float(self.reference)) / math.log(self.per)
        return (float(value) - float(self.reference)) / self.per


@dataclass(frozen=True)
class Parameter:
    """One parameter of the physiology, with its prior, its unit and where its value comes from.

    `between_subject` is how much people differ on one occasion, and `between_occasion` how much of that is
    the occasion's. It is estimated where people were seen on several; else only predictions of another one
    read it.
    """

    name: str
    symbol: str
    unit: str
    level: Level
    typical: Prior
    kind: Kind
    source: tuple[str, ...]
    scale: Scale = "log"
    between_subject: Variation | None = None
    between_occasion: Variation | None = None
    effects: Mapping[str, Effect] = field(default_factory=Frozen)
    note: str = ""

    @property
    def varies(self) -> bool:
        """Whether it differs between people, or between occasions of one person."""
        return self.level in ("subject", "occasion")

    def to_scale(self, value):
        """`value` on the scale on which its prior is normal: its logarithm, or its log odds."""
        return to_scale(value, self.scale == "logit")

    def from_scale(self, number):
        """Inverse of :meth:`to_scale`."""
        return from_scale(number, self.scale == "logit")

    @property
    def location(self) -> float:
        """The median on the prior's own scale."""
        return float(self.to_scale(self.typical.median))

    def interval(self, probability: float = 0.95) -> tuple[float, float]:
        """Equal-tailed prior interval of the typical value, in the parameter's unit."""
        reach = NormalDist().inv_cdf(0.5 + probability / 2) * self.typical.sd
        return float(self.from_scale(self.location - reach)), float(self.from_scale(self.location + reach))


@dataclass(frozen=True)
class Analyte:
    """How an output of the model is measured.

    `sigma` is the standard deviation of the log residuals, which are Normal or Student's with `nu` degrees
    of freedom (`residual`), where single samples may be far off. With an `error_offset`, in the analyte's
    unit, they are those of value + offset: a combined error, whose standard deviation is about ``sigma *
    (value + error_offset)``, a proportional and an additive component, as the noise of magnetic resonance
    has. `lloq` and `uloq` are limits of quantification, beyond which no more is known of a sample than that.
    `background` names a parameter that the assay adds to the true value: a non-specific signal. Samples after
    the onset of the protocol, and less than `samples_from` (min) after it, are not compared with the model. A
    `forcing` analyte is not predicted: the true values behind its samples, known within `sigma`, enter the
    equations as an input. Where it has a basal value among the parameters, its samples before anything was
    given, and from `basal_from` (min after the onset) on when it has come to rest again, are compared with
    that, which then is the true value.
    """

    name: str
    output: str
    unit: str
    sigma: Prior
    residual: str = "normal"
    nu: float | None = None
    lloq: float | None = None
    uloq: float | None = None
    background: str | None = None
    error_offset: float = 0.0
    samples_from: float = 0.0
    forcing: bool = False
    basal_from: float | None = None

    @property
    def distribution(self) -> Residual:
        """What its log residuals are, in units of their SD."""
        return residuals.residual(self.residual, self.nu)


@dataclass(frozen=True)
class PseudoObservation:
    """An informative prior on a derived quantity of everyone's basal state, as if it had been observed:
    `output` is log-normal about `median` with `cv`."""

    output: str
    median: float
    cv: float
    source: tuple[str, ...]

    @property
    def sd(self) -> float:
        """Standard deviation of the logarithm."""
        return math.sqrt(math.log1p(self.cv**2))


@dataclass(frozen=True)
class Correlation:
    """What is known, before any data, of the correlation between subjects of two parameters' deviations: its
    `mean` and `sd`. On (-1, 1) it has a Beta distribution."""

    mean: float
    sd: float
    source: tuple[str, ...]

    @property
    def shapes(self) -> tuple[float, float]:
        """Shapes a, b of the Beta distribution of (1 + correlation) / 2."""
        both = (1 - self.mean**2) / self.sd**2 - 1
        return both * (1 + self.mean) / 2, both * (1 - self.mean) / 2


def correlation_matrix(names: Sequence[str], correlations: Mapping[tuple[str, str], float]) -> np.ndarray:
    """Correlations by pair as a matrix over `names`; pairs of which one is not among them are left out."""
    found, at = np.eye(len(names)), {name: i for i, name in enumerate(names)}
    for (one, other), value in correlations.items():
        if one in at and other in at:
            found[at[one], at[other]] = found[at[other], at[one]] = value
    return found
