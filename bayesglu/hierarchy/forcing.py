"""Forcing functions: measured curves that enter the equations as inputs, and the true curves behind them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from bayesglu.errors import warn_caller
from bayesglu.frozen import frozen
from bayesglu.physiology.loop import assemble
from bayesglu.protocols.events import SAME_MOMENT
from bayesglu.protocols.faults import number
from bayesglu.protocols.protocol import Protocol
from bayesglu.protocols.schedule import Schedule
from bayesglu.spec.model import ModelSpec
from bayesglu.study.study import StudyWarning
from bayesglu.text.wording import some

LONG_TAIL = 0.2
"""Share of a test over which a curve may be held as it was last measured without a word."""


class Curve(NamedTuple):
    """The samples of the forcing function of one test, by time; and when it is at rest without a sample."""

    samples: xr.Dataset
    test: Protocol
    resting: tuple[float, ...]

    @property
    def knots(self) -> tuple[np.ndarray, np.ndarray]:
        """Times and values between which it is a straight line; any value at rest, which is a parameter's."""
        time = np.concatenate([self.samples.time.values, self.resting])
        value = np.concatenate([self.samples.value.values, np.zeros(len(self.resting))])
        order = np.argsort(time)
        return time[order], value[order]


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

    A sample at rest (before anything was given, or from `basal_from` on) of what has a basal value among the
    parameters is a row of `Rows` instead, compared with it. There the true value is the basal one, column
    `basal` of theta, and `error` is -1: the sample counts once. Of what has none, such as an intensity of
    exercise, each sample has its own error. A censored sample forces the model as if its limit had been
    measured; one of nothing, where nothing can be measured, as nothing.

    Behind the samples stand, with the `error` -1 too, moments of rest at which nothing was sampled: when
    something is first given, where no sample was taken before, and `basal_from`, where none was taken after.
    `obs` are the labels of the samples alone.

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
        concentrations = np.exp(self.log_value) - self.offset
        if forcing_error is not None:
            assert sigma is not None  # in which errors are counted
            own = self.error >= 0
            log_true = self.log_value[own] + sigma[..., self.analyte, None] * forcing_error
            concentrations = np.broadcast_to(
                concentrations, (*log_true.shape[:-1], len(concentrations))
            ).copy()
            with np.errstate(over="ignore"):
                concentrations[..., own] = np.exp(log_true) - self.offset
        return np.where(self.error < 0, theta[..., self.occasion, self.basal], concentrations)

    def at_stops(self, true: np.ndarray) -> np.ndarray:
        """The curve at the stops (..., M) through true concentrations (..., R)."""
        return (1 - self.weight) * true[..., self.before] + self.weight * true[..., self.after]


def forcing_of(spec: ModelSpec, curves: list[Curve], schedule: Schedule, columns, analytes) -> ForcingSamples:
    """The samples of the forcing function of each occasion, in the order of their times, as arrays."""
    none = np.zeros(0, int)
    if not curves:
        return frozen(ForcingSamples(none, none, np.zeros(0), none, none, none, np.zeros(0)))
    samples = [curve.samples for curve in curves]
    together = xr.concat(samples, "obs")
    (name,) = set(together.analyte.values)
    analyte, rest = spec.analytes[name], rest_of(spec, name)
    read = len(together.obs)
    taken = np.repeat(np.arange(len(curves)), [s.sizes["obs"] for s in samples])
    added = np.repeat(np.arange(len(curves)), [len(curve.resting) for curve in curves])
    occasion = np.concatenate([taken, added])
    time = np.concatenate([together.time.values, *(curve.resting for curve in curves)])
    with np.errstate(divide="ignore"):
        log_value = np.log(together.value.values + analyte.error_offset)
    tests = [curve.test for curve in curves]
    at_rest = [is_compared(spec, name, t, tests[n]) for n, t in zip(taken, time[:read], strict=True)]
    at_rest = np.concatenate([np.array(at_rest, bool), np.ones(len(added), bool)])
    before, after, weight = [], [], []
    for n in range(len(curves)):
        own = np.flatnonzero(occasion == n)
        own = own[np.argsort(time[own])]
        stops = schedule.time[schedule.offset[n] : schedule.offset[n + 1]]
        place = np.interp(stops, time[own], np.arange(len(own)))
        below = np.floor(place).astype(int)
        before.append(own[below])
        after.append(own[np.minimum(below + 1, len(own) - 1)])
        weight.append(place - below)
    forcing = ForcingSamples(
        obs=together.obs.values,
        occasion=occasion,
        log_value=np.concatenate([log_value, np.zeros(len(added))]),
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


def is_compared(spec: ModelSpec, analyte: str, time: float, test: Protocol) -> bool:
    """Whether a sample is compared with a prediction; others are left out, or of the forcing function."""
    a, after = spec.analytes[analyte], time - test.onset
    if a.forcing:
        rested = a.basal_from is not None and after >= a.basal_from - SAME_MOMENT
        at_rest = time <= test.rest_until + SAME_MOMENT or rested
        return at_rest and rest_of(spec, analyte) is not None
    return after <= SAME_MOMENT or after >= a.samples_from - SAME_MOMENT


def curve_of(spec: ModelSpec, samples: xr.Dataset, test: Protocol, last: float) -> Curve:
    """The forcing function of a test from its samples, which is asked for until `last` (min)."""
    samples = samples.sortby("time")
    names, times = set(samples.analyte.values.tolist()), samples.time.values
    if len(names) != 1 or rest_of(spec, next(iter(names))) is None:
        return Curve(samples, test, ())
    (analyte,) = (spec.analytes[name] for name in names)
    resting = [test.rest_until] if times[0] > test.rest_until + SAME_MOMENT else []
    if analyte.basal_from is not None:
        again = test.onset + analyte.basal_from
        resting += [again] if times[-1] < again - SAME_MOMENT and last > again else []
    return Curve(samples, test, tuple(resting))


def warn_of_ends(spec: ModelSpec, curves: Sequence[Curve], last: np.ndarray, whose) -> None:
    """Say which curves begin after the dose, or end before the last sample, and what is taken instead."""
    alike: dict[str, list[str]] = {}
    for curve, end, who in zip(curves, last, whose, strict=True):
        name, times = str(curve.samples.analyte.values[0]), curve.samples.time.values
        test, rest = curve.test, rest_of(spec, name)
        known = f"the basal value, the parameter '{rest}'" if rest else "as first measured"
        if test.events and times[0] > test.rest_until + SAME_MOMENT:
            alike.setdefault(
                f"the first sample of {name} comes {number(times[0] - test.rest_until)} min after something "
                f"was given; until then it is taken to be {known}.",
                [],
            ).append(who)
        tail, asked = end - times[-1], end - min(times[0], test.start)
        ended = curve.samples.value.values[-1] == 0  # at nothing, where it may stay
        rested = is_compared(spec, name, times[-1], test) and times[-1] > test.rest_until
        if ended or rested or tail <= max(LONG_TAIL * asked, SAME_MOMENT):
            continue
        back = [t for t in curve.resting if t > times[-1]]
        later = f"to be back at {known}, at {number(back[0])} min" if back else "to stay as it was"
        alike.setdefault(
            f"the last sample of {name} comes {number(tail)} min before the last of all; after it, it is "
            f"taken {later}.",
            [],
        ).append(who)
    for message, people in alike.items():
        warn_caller(f"{some(people)}: {message}", StudyWarning)
