"""Forcing functions: measured curves that enter the equations as inputs, and the true curves behind them."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from bayesglu.frozen import frozen
from bayesglu.physiology.loop import assemble
from bayesglu.protocols.schedule import Schedule
from bayesglu.spec.model import ModelSpec


class ForcingSamples(NamedTuple):
    """The R samples of the forcing function, occasion by occasion; none in a model without one.

    The forcing function is the true concentrations, a straight line from each to the next. A sample was taken
    with its assay's error, so that

        log(true + offset) = log_value + sigma * forcing_error

    with one of L standard Normal errors, number `error`, for each. All true values are equally likely
    before the sample (on the logarithm), so that by itself it tells nothing of the size of the error. The
    errors are Normal also where the residuals of the assay are Student's: heavy tails are for a sample that
    is at odds with a prediction, and nothing predicts these. They would only allow a single sample to be
    wrong by any factor, and one such spike of insulin explains any fall of glucose.

    A sample at rest (at or before time zero, or from `basal_from` on) of what has a basal value among the
    parameters is a row of `Rows` instead, compared with it. There the true value is the basal one, column
    `basal` of theta, and `error` is -1: the sample counts once. Of what has none, such as an intensity of
    exercise, each sample has its own error. A censored sample forces the model as if its limit had been
    measured; one of nothing, where nothing can be measured, as nothing.

    At a stop of the schedule the curve is ``(1 - weight) * true[before] + weight * true[after]`` (M each).
    """

    obs: np.ndarray
    occasion: np.ndarray
    log_value: np.ndarray
    error: np.ndarray
    before: np.ndarray
    after: np.ndarray
    weight: np.ndarray
    analyte: int = -1
    basal: int = 0
    offset: float = 0.0

    @property
    def n_errors(self) -> int:
        """How many samples have an error of their own, L."""
        return int((self.error >= 0).sum())

    def true(self, theta, sigma=None, forcing_error=None) -> np.ndarray:
        """True concentrations at the samples (..., R), from theta (..., occasion, parameter), sigma (...,
        A) and errors (..., L); without errors, what was measured."""
        found = np.exp(self.log_value) - self.offset
        if forcing_error is not None:
            assert sigma is not None  # in which errors are counted
            own = self.error >= 0
            log_true = self.log_value[own] + sigma[..., self.analyte, None] * forcing_error
            found = np.broadcast_to(found, (*log_true.shape[:-1], len(found))).copy()
            with np.errstate(over="ignore"):
                found[..., own] = np.exp(log_true) - self.offset
        return np.where(self.error < 0, theta[..., self.occasion, self.basal], found)

    def at_stops(self, true: np.ndarray) -> np.ndarray:
        """The curve at the stops (..., M) through true concentrations (..., R)."""
        return (1 - self.weight) * true[..., self.before] + self.weight * true[..., self.after]


def forcing_of(
    spec: ModelSpec, curves: list[xr.Dataset], schedule: Schedule, columns, analytes
) -> ForcingSamples:
    """The samples of the forcing function of each occasion, in the order of their times, as arrays."""
    none = np.zeros(0, int)
    if not curves:
        return frozen(ForcingSamples(none, none, np.zeros(0), none, none, none, np.zeros(0)))
    together = xr.concat(curves, "obs")
    (name,) = set(together.analyte.values)
    analyte, rest = spec.analytes[name], rest_of(spec, name)
    with np.errstate(divide="ignore"):
        log_value = np.log(together.value.values + analyte.error_offset)
    at_rest = np.array([is_compared(spec, name, t) for t in together.time.values], bool)
    first = np.concatenate([[0], np.cumsum([c.sizes["obs"] for c in curves])])
    before, after, weight = [], [], []
    for n, curve in enumerate(curves):
        knots, stops = curve.time.values, schedule.time[schedule.offset[n] : schedule.offset[n + 1]]
        place = np.interp(stops, knots, np.arange(len(knots)))
        below = np.floor(place).astype(int)
        before.append(first[n] + below)
        after.append(first[n] + np.minimum(below + 1, len(knots) - 1))
        weight.append(place - below)
    forcing = ForcingSamples(
        obs=together.obs.values,
        occasion=np.repeat(np.arange(len(curves)), np.diff(first)),
        log_value=log_value,
        error=np.where(at_rest, -1, np.cumsum(~at_rest) - 1),
        before=np.concatenate(before),
        after=np.concatenate(after),
        weight=np.concatenate(weight),
        analyte=analytes.index(name),
        basal=columns.index(rest) if rest else 0,
        offset=analyte.error_offset,
    )
    return frozen(forcing)


def forcing_channel(spec: ModelSpec) -> str:
    """The input of the physiology that the forcing function is; any, where there is none."""
    return next(iter(assemble(spec.structure).forced.values()), "insulin_level")


def rest_of(spec: ModelSpec, analyte: str) -> str | None:
    """The parameter that a forcing function is at rest; None where it has none."""
    basal = f"basal_{spec.analytes[analyte].output}"
    return basal if basal in spec.parameters else None


def is_compared(spec: ModelSpec, analyte: str, time: float) -> bool:
    """Whether a sample is compared with a prediction; others are left out, or of the forcing function."""
    a = spec.analytes[analyte]
    if a.forcing:
        at_rest = time <= 0 or (a.basal_from is not None and time >= a.basal_from)
        return at_rest and rest_of(spec, analyte) is not None
    return time <= 0 or time >= a.samples_from
