"""Who gets what when, as flat arrays: the only view of protocols and sampling times that the solver has.

Every person has *stops*, the moments at which the integration must halt because a sample is taken, an amount
is given or a rate changes. The stops of all people lie behind one another (compressed rows), so people may
differ in the number and the times of everything, without padding.

Order of things at one stop, which matters at time zero of a tolerance test:

1. the sample is taken (so a sample at the time of the drink is the fasting sample),
2. the bolus is given,
3. the new rates hold until the next stop.

The integration of a person ends with its last sample. What would be given then or later changes no sample; it
is left out and counted in ``undelivered``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature

import numpy as np
from numpy.typing import ArrayLike

from bayesglu.physiology.periphery import clamp_infusion
from bayesglu.protocols.checked import (
    Forcing,
    checked_curves,
    checked_deliveries,
    checked_samples,
    checked_starts,
    per_person,
    same_length,
)
from bayesglu.protocols.events import SAME_MOMENT, Delivery
from bayesglu.protocols.protocol import Protocol
from bayesglu.text.wording import some

AMOUNT_CHANNELS = ("stomach", "glucose", "insulin", "glucagon")
CHANNELS = (*AMOUNT_CHANNELS, "clamp", "clamp_target", "emptying", "elapsed", "insulin_level")

CLAMP_LEAD = signature(clamp_infusion).parameters["clamp_response_time"].default
"""How far ahead (min) the target of a clamp that moves is set: as long as a clamp takes to answer."""


@dataclass(frozen=True, eq=False, repr=False)
class Schedule:
    """Stops, samples and inputs of N people (M stops, S samples, C channels, R releases in all).

    ========================  ======  ======================================================================
    field                     shape   meaning
    ========================  ======  ======================================================================
    ``channels``              C       the inputs that occur, ordered as ``CHANNELS``
    ``offset``                N+1     stops of person ``n`` are ``offset[n]:offset[n + 1]``
    ``time``                  M       min, increasing within a person
    ``sample``                M       which sample is taken at this stop, or -1
    ``jump``                  M, C    amount per kg given at the stop, after the sample
    ``rate``                  M, C    value of each input right after this stop
    ``slope``                 M, C    change of the input per minute from this stop to the next
    ``release_offset``        N+1     releases of person ``n`` are ``release_offset[n]:release_offset[n + 1]``
    ``release_time``          R       min
    ``release_channel``       R       index into ``channels``
    ``release_amount``        R       amount per kg that will reach the blood in all
    ``release_rate``          R       1/min; the input is ``amount * rate * exp(-rate * (t - time))``
    ``sample_person``         S       the person sampled
    ``sample_time``           S       min, increasing within a person
    ``start``                 N       first stop, min: the earlier of the first sample and the first delivery
    ``undelivered``           N each  channel -> amount per kg prescribed for after the last sample
    ========================  ======  ======================================================================

    Amounts are canonical: mg/kg (``stomach``, ``glucose``), pmol/kg (``insulin``), pg/kg (``glucagon``);
    rates are those per minute. ``clamp`` is 1 while glucose is held at ``clamp_target`` (mg/dL), else both
    are 0; a target that moves is led by the time that a clamp takes to answer, so that glucose is where it
    should be. ``emptying`` multiplies the stomach's emptying rate: 1 before any meal, then that of the
    latest meal or drink. ``elapsed`` are the minutes since the latest of these, or else since the first
    delivery. ``insulin_level`` (pmol/L) is a measured insulin curve, a channel of any other name another
    measured curve; 0 for a person without one. Only these two and ``clamp_target`` have a slope. At a
    person's last stop nothing is given and nothing runs: jumps, rates and slopes are 0, ``emptying`` is 1,
    the time that has elapsed and a measured curve keep their values.
    """

    channels: tuple[str, ...]
    offset: np.ndarray
    time: np.ndarray
    sample: np.ndarray
    jump: np.ndarray
    rate: np.ndarray
    slope: np.ndarray
    release_offset: np.ndarray
    release_time: np.ndarray
    release_channel: np.ndarray
    release_amount: np.ndarray
    release_rate: np.ndarray
    sample_person: np.ndarray
    sample_time: np.ndarray
    start: np.ndarray
    undelivered: Mapping[str, np.ndarray]

    @property
    def people(self) -> int:
        """How many people (occasions of subjects) there are, N."""
        return len(self.start)

    @property
    def end(self) -> np.ndarray:
        """Time of each person's last sample (N), min: where its integration ends."""
        return self.time[self.offset[1:] - 1]

    def delivered(self) -> dict[str, np.ndarray]:
        """Amount per kg that each person receives until its last sample: channel -> (N,).

        Computed from the arrays the solver reads: boluses, rates times durations, what the depots have
        released. With ``remaining`` and ``undelivered`` it adds up to what was prescribed (for depots, what
        is bioavailable of it).
        """
        minutes = np.diff(self.time, append=self.time[-1])
        minutes[self.offset[1:] - 1] = 0.0
        given = np.add.reduceat(self.jump + self.rate * minutes[:, None], self.offset[:-1], axis=0)
        totals = self._by_channel(given)
        return self._add_releases(totals, -np.expm1(-self.release_rate * self._release_minutes()))

    def remaining(self) -> dict[str, np.ndarray]:
        """Amount per kg that depots under the skin or in muscle still hold at the end: channel -> (N,)."""
        totals = self._by_channel(np.zeros((self.people, len(self.channels))))
        return self._add_releases(totals, np.exp(-self.release_rate * self._release_minutes()))

    def repeat(self, times: int) -> Schedule:
        """The same people `times` over, one group behind the other: many parameters under the same
        protocols."""

        def tiled(array):
            return np.tile(array, (times, *[1] * (array.ndim - 1)))

        def offsets(array):
            return _offsets(np.tile(np.diff(array), times))

        samples = len(self.sample_time)
        group = np.arange(times)[:, None]
        sample = np.where(self.sample < 0, -1, self.sample + group * samples).ravel()
        return replace(
            self,
            offset=offsets(self.offset),
            sample=sample,
            release_offset=offsets(self.release_offset),
            sample_person=(self.sample_person + group * self.people).ravel(),
            undelivered={name: tiled(amount) for name, amount in self.undelivered.items()},
            **{
                name: tiled(getattr(self, name))
                for name in (
                    "time", "jump", "rate", "slope", "release_time", "release_channel", "release_amount",
                    "release_rate", "sample_time", "start",
                )
            },
        )  # fmt: skip

    def sample_index(self, person: ArrayLike, time: ArrayLike) -> np.ndarray:
        """Index into the S samples of each pair of a person's number and a time (min); both 1-D or scalars.

        Times must be those given to `build_schedule`, exactly. Raises ValueError with the pairs that are not
        sampled.
        """
        person, time = np.broadcast_arrays(np.asarray(person, float), np.asarray(time, float))
        # Complex numbers sort by real part, then by imaginary part: a lexicographic search in one call.
        samples = self.sample_person + 1j * self.sample_time
        wanted = person + 1j * time
        index = np.minimum(np.searchsorted(samples, wanted), len(samples) - 1)
        absent = samples[index] != wanted
        if absent.any():
            pairs = [f"person {z.real:g} at {z.imag!r} min" for z in wanted[absent].tolist()]
            raise ValueError(f"{len(pairs)} of {wanted.size} are not sampled: {some(pairs)}.")
        return index

    def __repr__(self) -> str:
        return (
            f"<Schedule of {self.people} people: {len(self.sample_time)} samples, {len(self.time)} stops, "
            f"{len(self.release_time)} releases; inputs: {', '.join(self.channels) or 'none'}>"
        )

    def _by_channel(self, amounts: np.ndarray) -> dict[str, np.ndarray]:
        columns = dict(zip(self.channels, amounts.T, strict=True))
        return {name: columns.get(name, np.zeros(self.people)).copy() for name in AMOUNT_CHANNELS}

    def _release_person(self) -> np.ndarray:
        return np.repeat(np.arange(self.people), np.diff(self.release_offset))

    def _release_minutes(self) -> np.ndarray:
        return self.end[self._release_person()] - self.release_time

    def _add_releases(self, totals: dict[str, np.ndarray], share: np.ndarray) -> dict[str, np.ndarray]:
        owner = self._release_person()
        for column, name in enumerate(self.channels):
            if name in totals:
                mine = self.release_channel == column
                np.add.at(totals[name], owner[mine], (self.release_amount * share)[mine])
        return totals


def build_schedule(
    protocols: Sequence[Protocol],
    times: Sequence[ArrayLike],
    body_weight: ArrayLike | None = None,
    start: ArrayLike | None = None,
    forcing: Sequence[Forcing | None] | None = None,
    labels: Sequence[str] | None = None,
    forced: str = "insulin_level",
    clock: bool = False,
) -> Schedule:
    """The `Schedule` of N people, each with its own protocol and sampling times.

    protocols : N protocols; deliveries of nothing (zero amounts) leave no trace.
    times : N arrays of sampling times in min, in any order, repeats allowed; each person needs one at least.
    body_weight : kg, scalar or (N,); NaN where unknown. Needed only by amounts that are not per kg.
    start : min, scalar or (N,); begin earlier than the first sample and the first delivery.
    forcing : for each person None, or ``(times, values)`` of a measured curve (min, its unit), taken as
        linear between these times and as constant outside them.
    labels : names of the people for messages; otherwise they are numbered from 0.
    forced : the channel that carries that curve.
    clock : whether the minutes that have elapsed are an input.

    They are counted from the first delivery, and from each thing that is eaten or drunk anew; 0 where nothing
    is given.

    Infusions that overlap add up, so do boluses given together. When oral loads with different ``emptying``
    are taken at one moment, their mean weighted by amount counts; a later load replaces it for the whole
    stomach. Raises ProtocolError (missing weight) or ValueError, for all people at once.

    >>> from bayesglu.protocols.library import ogtt
    >>> schedule = build_schedule([ogtt(75)] * 2, [[0, 60, 120], [-10, 0, 30]], body_weight=75)
    >>> schedule
    <Schedule of 2 people: 6 samples, 6 stops, 0 releases; inputs: stomach>
    >>> schedule.delivered()["stomach"]
    array([1000., 1000.])
    >>> schedule.sample_index([1, 0], [30, 120])
    array([5, 2])
    """
    people = len(protocols)
    names = [f"person {n}" for n in range(people)] if labels is None else [str(label) for label in labels]
    forcing = [None] * people if forcing is None else list(forcing)
    same_length(people, times=times, forcing=forcing, labels=names)
    samples = checked_samples(times, names)
    curves = checked_curves(forcing, names)
    deliveries = checked_deliveries(protocols, per_person(body_weight, people, "body_weight"), names)
    starts = checked_starts(per_person(start, people, "start"), samples, deliveries, names)

    used = {d.channel for person in deliveries for d in person}
    used |= {"clamp_target"} if "clamp" in used else set()
    used |= {"emptying"} if any(d.emptying != 1 for person in deliveries for d in person) else set()
    used |= {"elapsed"} if clock else set()
    used |= {forced} if any(curve is not None for curve in curves) else set()
    channels = tuple(dict.fromkeys(name for name in (*CHANNELS, forced) if name in used))
    whose = zip(samples, deliveries, starts, curves, strict=True)
    plans = [_plan(channels, forced, *person) for person in whose]

    sample = np.concatenate([plan.sampled for plan in plans])
    releases = np.array([row for plan in plans for row in plan.releases], float).reshape(-1, 4)
    return Schedule(
        channels=channels,
        offset=_offsets([len(plan.time) for plan in plans]),
        time=np.concatenate([plan.time for plan in plans]),
        sample=np.where(sample, np.cumsum(sample) - 1, -1),
        jump=np.concatenate([plan.jump for plan in plans]),
        rate=np.concatenate([plan.rate for plan in plans]),
        slope=np.concatenate([plan.slope for plan in plans]),
        release_offset=_offsets([len(plan.releases) for plan in plans]),
        release_time=releases[:, 0].copy(),
        release_channel=releases[:, 1].astype(np.int64),
        release_amount=releases[:, 2].copy(),
        release_rate=releases[:, 3].copy(),
        sample_person=np.repeat(np.arange(people), [len(s) for s in samples]),
        sample_time=np.concatenate(samples),
        start=np.array([plan.time[0] for plan in plans]),
        undelivered={name: np.array([plan.undelivered[name] for plan in plans]) for name in AMOUNT_CHANNELS},
    )


@dataclass(eq=False)
class _Plan:
    """One person's part of a schedule while it is drawn up."""

    time: np.ndarray
    sampled: np.ndarray
    jump: np.ndarray
    rate: np.ndarray
    slope: np.ndarray
    releases: list[tuple[float, int, float, float]]
    undelivered: dict[str, float]


def _plan(
    channels: tuple[str, ...],
    forced: str,
    samples: np.ndarray,
    deliveries: Sequence[Delivery],
    start: float,
    curve: tuple[np.ndarray, np.ndarray] | None,
) -> _Plan:
    """Stops of one person, with the deliveries written on them."""
    end = samples[-1]
    knots = np.empty(0) if curve is None else curve[0][(curve[0] > start) & (curve[0] < end)]
    begins = np.minimum([d.time for d in deliveries], end)
    stops = np.minimum([d.stop for d in deliveries if d.kind != "release"], end)
    time, falls_on = _stops(samples, np.concatenate([[start], begins, stops, knots]))
    plan = _Plan(
        time=time,
        sampled=np.zeros(len(time), bool),
        jump=np.zeros((len(time), len(channels))),
        rate=np.zeros((len(time), len(channels))),
        slope=np.zeros((len(time), len(channels))),
        releases=[],
        undelivered=dict.fromkeys(AMOUNT_CHANNELS, 0.0),
    )
    plan.sampled[falls_on(samples)] = True
    column = {name: index for index, name in enumerate(channels)}
    last = len(time) - 1
    oral: dict[int, list[Delivery]] = {}

    for delivery in deliveries:
        begin = int(falls_on(min(delivery.time, end)))
        stop = int(falls_on(min(delivery.stop, end))) if delivery.kind != "release" else begin
        if delivery.kind == "clamp":
            assert delivery.target is not None  # every clamp has one
            plan.rate[begin:stop, column["clamp"]] = 1.0
            if delivery.final_target is None:
                plan.rate[begin:stop, column["clamp_target"]] = delivery.target
            elif begin < stop:
                slope = (delivery.final_target - delivery.target) / (delivery.stop - delivery.time)
                since = time[begin:stop] - delivery.time
                plan.rate[begin:stop, column["clamp_target"]] = delivery.target + slope * (since + CLAMP_LEAD)
                plan.slope[begin:stop, column["clamp_target"]] = slope
        elif begin == last:
            plan.undelivered[delivery.channel] += delivery.amount
        elif delivery.kind == "release":
            assert delivery.absorption_rate is not None  # every release has one
            depot = (time[begin], column[delivery.channel], delivery.amount, delivery.absorption_rate)
            plan.releases.append(depot)
        elif begin == stop:
            plan.jump[begin, column[delivery.channel]] += delivery.amount
        else:
            # Duration between the stops, so that rate x duration is the amount whatever was merged.
            cut = delivery.stop > end + SAME_MOMENT
            rate = delivery.amount / ((delivery.stop if cut else time[stop]) - time[begin])
            plan.rate[begin:stop, column[delivery.channel]] += rate
            if cut:
                plan.undelivered[delivery.channel] += delivery.amount - rate * (end - time[begin])
        if delivery.channel == "stomach" and begin < last:
            oral.setdefault(begin, []).append(delivery)

    if "emptying" in column:
        plan.rate[:, column["emptying"]] = 1.0
        for begin in sorted(oral):
            plan.rate[begin:last, column["emptying"]] = _mean_emptying(oral[begin])
    if "elapsed" in column and deliveries:
        first = int(falls_on(min(*(d.time for d in deliveries), end)))
        for begin in (first, *sorted(oral)):
            plan.rate[begin:last, column["elapsed"]] = time[begin:last] - time[begin]
            plan.slope[begin:last, column["elapsed"]] = 1.0
    if last > 0:
        plan.rate[last] = plan.rate[last - 1] + plan.slope[last - 1] * (time[last] - time[last - 1])
    if curve is not None:
        level = np.interp(time, *curve)
        plan.rate[:, column[forced]] = level
        plan.slope[:last, column[forced]] = np.diff(level) / np.diff(time)
    return plan


def _stops(samples: np.ndarray, others: np.ndarray):
    """Distinct moments in order, samples at their own time, and a function: moment -> index of its stop."""
    gap = np.abs(others[:, None] - samples).min(axis=1)
    moments = np.unique(np.concatenate([samples, others[gap > SAME_MOMENT]]))
    time = moments[np.append(True, np.diff(moments) > SAME_MOMENT)]

    def falls_on(moment):
        return np.searchsorted(time, moment + SAME_MOMENT, side="right") - 1

    return time, falls_on


def _mean_emptying(together: Sequence[Delivery]) -> float:
    """Mean weighted by amount, written so that equal values give exactly that value."""
    base = together[0].emptying
    return base + sum(d.amount * (d.emptying - base) for d in together) / sum(d.amount for d in together)


def _offsets(lengths: ArrayLike) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)
