"""What is said of a curve over time in one number: plain NumPy, from times (min) and values ``(..., time)``.

Between two times a curve is a straight line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

LOW, HIGH = 70.0, 180.0
"""Limits of the consensus target range of glucose, mg/dL (Battelino 2019, Diabetes Care 42:1593)."""

NEAR = 0.05
FIRST_PHASE = 10.0


@dataclass(frozen=True)
class Statistic:
    """One number of a curve.

    `unit` is a unit, or ``same`` (that of the curve), ``area`` (that times min) or ``total`` (that of a flow
    without its per minute). `takes` says which number follows the name: ``minutes`` or a ``level`` of the
    curve. `of` is the one output that it is of, `usually_of` the one that is meant where none is
    named; `times` are minutes that it wants to see, and `jumps` whether it wants to see what a dose does at
    once.
    """

    meaning: str
    unit: str
    compute: Callable[..., np.ndarray]
    takes: str = ""
    of: str = ""
    usually_of: str = "glucose"
    times: tuple[float, ...] = ()
    jumps: bool = False


def area(time, y):
    """Area under the curve, by trapezia."""
    return np.trapezoid(y, time, axis=-1)


def mean(time, y):
    """Mean over time."""
    return area(time, y) / (time[-1] - time[0]) if len(time) > 1 else y[..., 0]


def incremental_area(time, y):
    """Area above the first value; what lies below it does not count (Wolever 1991, Am J Clin Nutr 54:846)."""
    above = y - y[..., :1]
    a, b = above[..., :-1], above[..., 1:]
    highest = np.maximum(np.maximum(a, b), 0.0)
    both = (a >= 0) & (b >= 0)
    apart = np.where(a == b, 1.0, np.abs(b - a))
    of_each = np.where(both, (a + b) / 2, highest**2 / (2 * apart))
    return (of_each * np.diff(time)).sum(-1)


def minutes_above(time, y, level):
    """How long the curve is above a level."""
    a, b = y[..., :-1] - level, y[..., 1:] - level
    up, down = np.maximum(a, 0) + np.maximum(b, 0), np.maximum(-a, 0) + np.maximum(-b, 0)
    share = np.where(up + down > 0, up / np.where(up + down > 0, up + down, 1.0), 0.0)
    return (share * np.diff(time)).sum(-1)


def minutes_below(time, y, level):
    """How long it is below a level."""
    return minutes_above(time, -y, -level)


def percent_above(time, y, level):
    """Percentage of the time above a level."""
    return 100 * minutes_above(time, y, level) / (time[-1] - time[0])


def until_below(time, y, level, after=None):
    """First moment at or below a level, after the sample of this number; NaN where there is none."""
    reached = y <= level
    if after is not None:
        reached &= np.arange(len(time)) > after[..., None]
    first = reached.argmax(-1)[..., None]
    one, two = (np.take_along_axis(y, np.maximum(at, 0), -1) for at in (first - 1, first))
    begin, end = time[np.maximum(first - 1, 0)], time[first]
    fall = np.where(one > two, one - two, 1.0)
    level = np.broadcast_to(level, y.shape)[..., :1] if np.ndim(level) else level
    moment = np.where(one > level, begin + (end - begin) * (one - level) / fall, end)
    return np.where(reached.any(-1), moment[..., 0], np.nan)


def until_above(time, y, level):
    """First moment at or above a level; NaN where there is none."""
    return until_below(time, -y, -level)


def until_baseline(time, y):
    """When the curve is back after its peak: no further above its first value than 5 % of its rise."""
    start, peak = y[..., :1], y.max(-1, keepdims=True)
    rose = (peak > start)[..., 0]
    found = until_below(time, y, start + NEAR * (peak - start), y.argmax(-1))
    return np.where(rose, found, np.nan)


def variation(time, y):
    """Coefficient of variation over time, %."""
    middle = mean(time, y)
    return 100 * np.sqrt(mean(time, (y - middle[..., None]) ** 2)) / middle


def at(time, y, minutes):
    """The value at a moment; NaN beyond the last."""
    if not time[0] <= minutes <= time[-1]:
        return np.full(y.shape[:-1], np.nan)
    right = min(max(int(np.searchsorted(time, minutes)), 1), len(time) - 1)
    left = max(right - 1, 0)
    share = (minutes - time[left]) / (time[right] - time[left]) if right > left else 0.0
    return (1 - share) * y[..., left] + share * y[..., right]


def management_indicator(time, y):
    """The HbA1c (%) that mean glucose stands for: 3.31 + 0.02392 mg/dL (Bergenstal 2018, Diabetes Care
    41:2275)."""
    return 3.31 + 0.02392 * mean(time, y)


def first_phase(time, y):
    """Area above the first value in the first ten minutes (the acute response of Bergman 1981, J Clin Invest
    68:1456)."""
    if time[0] > 0 or time[-1] < FIRST_PHASE:
        return np.full(y.shape[:-1], np.nan)
    begin = at(time, y, 0.0)[..., None]
    inside = (time > 0) & (time < FIRST_PHASE)
    moments = np.concatenate([[0.0], time[inside], [FIRST_PHASE]])
    levels = np.concatenate([begin, y[..., inside], at(time, y, FIRST_PHASE)[..., None]], axis=-1)
    return area(moments, levels - begin)


def suppression(time, y):
    """By how much the lowest value lies below the first, % of the first."""
    start = y[..., 0]
    return 100 * (1 - y.min(-1) / np.where(start == 0, np.nan, start))


def mean_amplitude(time, y):
    """Mean amplitude of the excursions of more than one SD, counted in the direction of the first (Service
    1970, Diabetes 19:644); 0 where there is none.

    The curve is followed to its turning points: an extreme is one when the curve has left it by more than the
    SD.
    """
    sd = np.sqrt(mean(time, (y - mean(time, y)[..., None]) ** 2))
    low, high = y[..., 0].copy(), y[..., 0].copy()
    direction = np.zeros(sd.shape)  # of the excursion that is under way: 1 up, -1 down, 0 none yet
    first = np.zeros(sd.shape)
    total, count = np.zeros(sd.shape), np.zeros(sd.shape)

    def end_excursion(ended, way, size):
        nonlocal total, count
        counts = ended & (first == way)
        total, count = total + np.where(counts, size, 0.0), count + counts

    for i in range(1, y.shape[-1]):
        now = y[..., i]
        high = np.where(direction >= 0, np.maximum(high, now), high)
        low = np.where(direction <= 0, np.minimum(low, now), low)
        falls = (direction >= 0) & (high - now > sd)
        rises = (direction <= 0) & (now - low > sd) & ~falls
        end_excursion(falls & (direction > 0), 1.0, high - low)
        end_excursion(rises & (direction < 0), -1.0, high - low)
        first = np.where((first == 0) & (falls | rises), np.where(falls, -1.0, 1.0), first)
        low, high = np.where(falls, now, low), np.where(rises, now, high)
        direction = np.where(falls, -1.0, np.where(rises, 1.0, direction))
    end_excursion(direction > 0, 1.0, high - low)
    end_excursion(direction < 0, -1.0, high - low)
    return np.where(count > 0, total / np.maximum(count, 1), 0.0)


STATISTICS: Mapping[str, Statistic] = {
    "start": Statistic("first value", "same", lambda t, y: y[..., 0]),
    "end": Statistic("last value", "same", lambda t, y: y[..., -1]),
    "change": Statistic("last value less the first", "same", lambda t, y: y[..., -1] - y[..., 0]),
    "at": Statistic("value at a moment (min)", "same", at, takes="minutes"),
    "peak": Statistic("highest value", "same", lambda t, y: y.max(-1)),
    "peak_time": Statistic("moment of the highest value", "min", lambda t, y: t[y.argmax(-1)]),
    "nadir": Statistic("lowest value", "same", lambda t, y: y.min(-1)),
    "nadir_time": Statistic("moment of the lowest value", "min", lambda t, y: t[y.argmin(-1)]),
    "rise": Statistic("highest value less the first", "same", lambda t, y: y.max(-1) - y[..., 0]),
    "mean": Statistic("mean over time", "same", mean),
    "auc": Statistic("area under the curve", "area", area),
    "iauc": Statistic("area above the first value, what is below it left out", "area", incremental_area),
    "total": Statistic("what flowed in all", "total", area, jumps=True),
    "cv": Statistic("coefficient of variation over time", "%", variation),
    "suppression": Statistic("lowest value below the first, of the first", "%", suppression),
    "minutes_above": Statistic("time above a level", "min", minutes_above, takes="level"),
    "minutes_below": Statistic("time below a level", "min", minutes_below, takes="level"),
    "until_above": Statistic("first moment above a level", "min", until_above, takes="level"),
    "until_below": Statistic("first moment below a level", "min", until_below, takes="level"),
    "until_baseline": Statistic("back within 5 % of its rise above the first value", "min", until_baseline),
    "time_in_range": Statistic(
        f"time from {LOW:g} to {HIGH:g} mg/dL",
        "%",
        lambda t, y: 100 - percent_above(t, y, HIGH) - percent_above(t, -y, -LOW),
        of="glucose",
    ),
    "time_above_range": Statistic(
        f"time above {HIGH:g} mg/dL", "%", lambda t, y: percent_above(t, y, HIGH), of="glucose"
    ),
    "time_below_range": Statistic(
        f"time below {LOW:g} mg/dL", "%", lambda t, y: percent_above(t, -y, -LOW), of="glucose"
    ),
    "gmi": Statistic("glucose management indicator", "%", management_indicator, of="glucose"),
    "mage": Statistic("mean amplitude of excursions above one SD", "same", mean_amplitude),
    "first_phase": Statistic(
        "area above the first value until 10 min",
        "area",
        first_phase,
        usually_of="insulin",
        times=tuple(float(minute) for minute in range(11)),
    ),
}
"""Every statistic by name."""
