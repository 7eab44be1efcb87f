"""One test of a person as indices see it: concentrations by minutes after the dose, of samples or of
curves."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

NEAR = 3.0
"""Minutes by which a sample may be off the minute that a formula asks for."""

LONGEST_FAST = 40.0
"""Minutes before the dose within which a sample is one of fasting."""


class NotKnown(Exception):
    """An index that cannot be computed; the message says why."""


@dataclass(frozen=True)
class SampledTest:
    """What was measured, or simulated, in one test.

    ``times`` (time,) by analyte, in minutes after the dose; ``values`` (..., time) in canonical units.
    ``glucose_dose`` in g, ``body_weight`` in kg, ``height`` in cm: NaN where unknown.
    """

    times: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray]
    glucose_dose: float = np.nan
    body_weight: float = np.nan
    height: float = np.nan

    def fasting(self, analyte: str) -> np.ndarray:
        """The mean of the samples that were taken before the dose, or with it."""
        times = self._times(analyte)
        before = (times <= 0) & (times >= -LONGEST_FAST)
        if not before.any():
            raise NotKnown(f"no {analyte} before the dose")
        return self.values[analyte][..., before].mean(-1)

    def at(self, analyte: str, minute: float) -> np.ndarray:
        """The sample of a minute."""
        if minute == 0:
            return self.fasting(analyte)
        times = self._times(analyte)
        place = int(np.abs(times - minute).argmin())
        if abs(times[place] - minute) > NEAR:
            raise NotKnown(f"no {analyte} at {minute:g} min")
        return self.values[analyte][..., place]

    def area(self, analyte: str, until: float, least: int = 4, above: np.ndarray | float = 0.0) -> np.ndarray:
        """Area under the samples from the dose until a minute, over what is `above`, by the trapezoidal
        rule."""
        times, values = self._times(analyte), self.values[analyte]
        within = (times > 0) & (times <= until + NEAR)
        if not within.any() or times[within][-1] < until - NEAR or within.sum() < least - 1:
            raise NotKnown(f"fewer than {least} samples of {analyte} from 0 to {until:g} min")
        known = np.concatenate([[0.0], times[within]])
        start = self.fasting(analyte)[..., None]
        rises = np.concatenate([start, values[..., within]], axis=-1) - np.asarray(above)[..., None]
        # Where the last sample is a little off, the area ends with it.
        return np.trapezoid(rises, known, axis=-1)

    def mean(self, analyte: str, until: float, least: int = 4) -> np.ndarray:
        """The mean by time, from the dose until a minute."""
        times = self._times(analyte)
        last = times[(times > 0) & (times <= until + NEAR)]
        return self.area(analyte, until, least) / (last[-1] if len(last) else until)

    def lowest(self, analyte: str, until: float) -> np.ndarray:
        """The smallest sample from the dose until a minute."""
        times = self._times(analyte)
        within = (times > 0) & (times <= until + NEAR)
        if within.sum() < 2:
            raise NotKnown(f"fewer than 2 samples of {analyte} from 0 to {until:g} min")
        return self.values[analyte][..., within].min(-1)

    @property
    def body_surface(self) -> float:
        """Body surface area in m2, from weight and height (Gehan and George 1970)."""
        if not np.isfinite(self.body_weight * self.height):
            raise NotKnown("body weight or height is unknown")
        return 0.0235 * self.height**0.42246 * self.body_weight**0.51456

    def _times(self, analyte: str) -> np.ndarray:
        if analyte not in self.times or not len(self.times[analyte]):
            raise NotKnown(f"no {analyte}")
        return self.times[analyte]
