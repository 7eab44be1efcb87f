"""Amounts at exact times: the nouns of which every protocol is made.

A `Protocol` is a sorted table of `Event`. Amounts stay as prescribed (``75 g``) until ``canonical`` turns
them into `Delivery`, amounts per kg of body weight. The functions that write protocols are in
`bayesglu.protocols`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import TYPE_CHECKING, SupportsFloat

from bayesglu.errors import BayesgluError
from bayesglu.text.problems import nearest
from bayesglu.units import SUBSTANCES, UnitError, dose_amount, is_per_person

if TYPE_CHECKING:
    import pandas as pd

KINDS = ("bolus", "infusion", "release", "clamp")
ROUTES = ("oral", "intravenous", "subcutaneous", "intramuscular")
DEPOT_ROUTES = ("subcutaneous", "intramuscular")

# Moments closer than this (min) are one: 0.1 + 0.2 and 0.3 must not leave a sliver between them.
SAME_MOMENT = 1e-6


class ProtocolError(BayesgluError, ValueError):
    """A protocol that cannot be carried out; the message says where, what was found and what is allowed."""


@dataclass(frozen=True)
class Event:
    """One thing done: an amount from a time on, in the unit in which it was prescribed.

    Parameters
    ----------
    time : float
        When it begins, min.
    kind : str
        ``bolus`` (at once), ``infusion`` (evenly over `duration`), ``release`` (from a subcutaneous or
        intramuscular depot, first order), or ``clamp`` (glucose is held at `target` for `duration` by a
        variable infusion, or led evenly from `target` to `final_target`; `amount` 0).
    substance : str
        ``glucose``, ``insulin`` or ``glucagon``.
    route : str
        ``oral``, ``intravenous``, ``subcutaneous`` or ``intramuscular``.
    amount : float
        How much, in `unit`.
    unit : str
        Unit of the amount, such as ``g`` or ``mU/kg``.
    duration : float
        How long it lasts, min.
    absorption_rate : float, optional
        Rate constant of a release, 1/min.
    bioavailability : float
        Share of a release that reaches the blood.
    emptying : float
        Factor on the stomach's emptying rate from this event on (oral only; a drink is 1).
    target : float, optional
        Glucose of a clamp, mg/dL.
    final_target : float, optional
        Glucose at the clamp's end, mg/dL, where it differs.

    Raises
    ------
    ProtocolError
        If anything cannot be used or does not go together; the message lists every fault.

    Examples
    --------
    >>> print(Event(0, "bolus", "glucose", "oral", 75, "g"))
    0 min: glucose 75 g oral
    """

    time: float
    kind: str
    substance: str
    route: str
    amount: float
    unit: str
    duration: float = 0.0
    absorption_rate: float | None = None
    bioavailability: float = 1.0
    emptying: float = 1.0
    target: float | None = None
    final_target: float | None = None

    def __post_init__(self) -> None:
        problems = [
            *not_among(KINDS, kind=self.kind),
            *not_among(SUBSTANCES, substance=self.substance),
            *not_among(ROUTES, route=self.route),
            *not_a_number(-math.inf, time=self.time),
            *not_a_number(0, amount=self.amount, duration=self.duration),
            *not_a_number(0, bioavailability=self.bioavailability, emptying=self.emptying, exclusive=True),
        ]
        for name in ("absorption_rate", "target", "final_target"):
            if getattr(self, name) is not None:
                problems += not_a_number(0, **{name: getattr(self, name)}, exclusive=True)
        if not problems:
            problems = [*self._wrong_unit(), *self._wrong_combination()]
        raise_any(problems)
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, Real):
                object.__setattr__(self, each.name, float(value) + 0.0)  # + 0.0 makes one zero of both

    @property
    def stop(self) -> float:
        """When it ends (min): the end of an infusion or clamp, otherwise ``time``.

        Examples
        --------
        >>> Event(10, "infusion", "insulin", "intravenous", 60, "mU/kg", duration=60).stop
        70.0
        """
        return self.time + self.duration

    @property
    def channel(self) -> str:
        """The input of the physiology that the event feeds: stomach, glucose, insulin, glucagon or clamp.

        Examples
        --------
        >>> Event(0, "bolus", "glucose", "oral", 75, "g").channel
        'stomach'
        """
        if self.kind == "clamp":
            return "clamp"
        return "stomach" if self.route == "oral" else self.substance

    def __str__(self) -> str:
        if self.kind == "clamp" and self.final_target is not None:
            what = f"glucose led from {self.target:.10g} to {self.final_target:.10g} mg/dL"
        elif self.kind == "clamp":
            what = f"glucose held at {self.target:.10g} mg/dL"
        else:
            what = f"{self.substance} {self.amount:.10g} {self.unit} {self.route}"
        span = f" over {self.duration:.10g} min" if self.duration else ""
        details = []
        if self.kind == "release":
            share = f"{self.bioavailability:.0%} bioavailable"
            details = [f"absorbed at {self.absorption_rate:.3g} /min", share]
        if self.emptying != 1:
            details.append(f"emptying x {self.emptying:.10g}")
        return f"{self.time:.10g} min: {what}{span}" + (f" ({', '.join(details)})" if details else "")

    def _wrong_unit(self) -> list[str]:
        if self.kind == "clamp":
            return []
        if not isinstance(self.unit, str):
            return [f"unit is {self.unit!r}; it must be text such as 'g' or 'mU/kg'"]
        if rate_minutes(self.unit) is not None:
            amount = without_time(self.unit)
            return [f"unit is {self.unit!r}, a rate; here an amount is wanted, such as {amount!r}"]
        try:
            dose_amount(1.0, self.unit, self.substance, 70.0)
        except UnitError as error:
            return [str(error).rstrip(".")]
        return []

    def _wrong_combination(self) -> list[str]:
        problems = []
        timed = self.kind in ("infusion", "clamp")
        if timed and self.duration == 0:
            problems.append(f"duration is 0; it must be above 0 min for one of kind {self.kind!r}")
        if not timed and self.duration:
            problems.append(f"duration is {number(self.duration)}; a {self.kind} has none")
        if self.kind != "clamp" and (self.kind == "release") != (self.route in DEPOT_ROUTES):
            routes = DEPOT_ROUTES if self.kind == "release" else ROUTES[:2]
            problems.append(f"route of a {self.kind} is {self.route!r}; allowed: {', '.join(routes)}")
        if self.route == "oral" and self.substance != "glucose":
            problems.append(
                f"route of {self.substance} is 'oral'; only glucose is absorbed (did you mean 'intravenous'?)"
            )
        if (self.kind == "release") != (self.absorption_rate is not None):
            problems.append("absorption_rate (1/min) belongs to a release, and every release needs one")
        if self.bioavailability > 1:
            found = number(self.bioavailability)
            problems.append(f"bioavailability is {found}; it must be a share above 0 and at most 1")
        if self.kind != "release" and self.bioavailability != 1:
            problems.append("bioavailability belongs to a release; that of oral glucose is a model parameter")
        if self.emptying != 1 and self.route != "oral":
            problems.append("emptying belongs to oral glucose")
        if (self.kind == "clamp") != (self.target is not None):
            problems.append("target (mg/dL) belongs to a clamp, and every clamp needs one")
        if self.kind != "clamp" and self.final_target is not None:
            problems.append("final_target (mg/dL) belongs to a clamp")
        what = (self.substance, self.route, self.amount)
        if self.kind == "clamp" and what != ("glucose", "intravenous", 0):
            problems.append(
                "a clamp is of intravenous glucose and has the amount 0; its target says the rest"
            )
        return problems


@dataclass(frozen=True)
class Delivery:
    """An event in the units of the physiology: the amount per kg that reaches an input.

    Parameters
    ----------
    time : float
        When it begins, min.
    stop : float
        When it ends, min.
    channel : str
        The input: ``stomach``, ``glucose``, ``insulin``, ``glucagon`` or ``clamp``.
    kind : str
        As of the `Event`.
    amount : float
        In mg/kg (``stomach``, ``glucose``), pmol/kg (``insulin``) or pg/kg (``glucagon``); of a release the
        bioavailable amount, of a clamp 0.
    absorption_rate : float, optional
        Rate constant of a release, 1/min.
    emptying : float
        Factor on the stomach's emptying rate.
    target, final_target : float, optional
        Glucose of a clamp, mg/dL, at its beginning and its end.

    Examples
    --------
    >>> import bayesglu as bg
    >>> [given] = bg.ivgtt(0.3).canonical()
    >>> given.channel, given.amount
    ('glucose', 300.0)
    """

    time: float
    stop: float
    channel: str
    kind: str
    amount: float
    absorption_rate: float | None = None
    emptying: float = 1.0
    target: float | None = None
    final_target: float | None = None


@dataclass(frozen=True, repr=False)
class Protocol:
    """What is done to one person: events in order of time.

    Protocols are equal when their events are, whatever their names. ``+`` joins two, ``.shift(minutes)``
    moves one, and ``sum([...])`` works.

    Parameters
    ----------
    events : tuple of Event
        What is done; they are put in order of time.
    name : str
        The text that stands for the protocol, which functions that take a protocol read back.
    until : float
        When it ends (min), where that is after its last event, as of a fast.
    since : float, optional
        When it begins (min), where that is before its first event, as of a fast.

    Raises
    ------
    ProtocolError
        If two clamps overlap: glucose cannot be held at two targets at once.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.ogtt(75) + bg.meal(60).shift(300)
    <Protocol ogtt(75) + meal(60).shift(300), 300 min>
      0 min: glucose 75 g oral
      300 min: glucose 60 g oral (emptying x 0.7)
    """

    events: tuple[Event, ...] = ()
    name: str = field(default="", compare=False)
    until: float = 0.0
    since: float | None = None

    def __post_init__(self) -> None:
        begins = 0.0 if self.since is None else self.since
        raise_any(not_a_number(-math.inf, until=self.until, since=begins))
        events = tuple(sorted(self.events, key=_order))
        object.__setattr__(self, "events", events)
        object.__setattr__(self, "until", float(self.until) + 0.0)
        if self.since is not None:
            object.__setattr__(self, "since", float(self.since) + 0.0)
        clamps = [event for event in events if event.kind == "clamp"]
        raise_any(
            f"two clamps at once ({one}; {two}); shift the second to {number(one.stop)} min or later"
            for one, two in itertools.pairwise(clamps)
            if two.time < one.stop - SAME_MOMENT
        )

    @property
    def duration(self) -> float:
        """When the last event, or the fast, has ended (min); never below 0.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.clamp(90, duration=120).duration
        120.0
        """
        return max(0.0, self.until, *(event.stop for event in self.events))

    @property
    def start(self) -> float:
        """When it begins (min): with its fast or its first event; 0 where there is neither.

        Examples
        --------
        >>> import bayesglu as bg
        >>> (bg.fast(10) + bg.ogtt(75).shift(600)).start
        0.0
        """
        fast = [] if self.since is None else [self.since]
        return min([*fast, *(event.time for event in self.events)], default=0.0)

    @property
    def rest_until(self) -> float:
        """Until when nothing was given (min): the first event; without any, when it begins.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.pump_stop(1, before=60).rest_until
        -60.0
        """
        return min((event.time for event in self.events), default=self.start)

    @property
    def onset(self) -> float:
        """Time zero of the test (min), from which the windows of a study and of a model count.

        It is the first dose that is given at once: a drink, a meal, an injection. Infusions and clamps may
        run before. Where there is none, it is the first infusion or clamp; where nothing is given, when the
        fast begins.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.ogtt(75).shift(480).onset, bg.pump_stop(1, before=60).onset, bg.fast(10).onset
        (480.0, 0.0, 0.0)
        """
        doses = (event.time for event in self.events if event.kind in ("bolus", "release"))
        return min(doses, default=self.rest_until)

    def __add__(self, other: Protocol) -> Protocol:
        if not isinstance(other, Protocol):
            return NotImplemented
        name = f"{self.name} + {other.name}" if self.name and other.name else ""
        since = [each.since for each in (self, other) if each.since is not None]
        until = max(self.until, other.until)
        return Protocol(self.events + other.events, name, until, min(since, default=None))

    def __radd__(self, other: object) -> Protocol:
        return self if other == 0 else NotImplemented  # lets sum() start from its 0

    def shift(self, minutes: float) -> Protocol:
        """The same protocol, later or earlier.

        Parameters
        ----------
        minutes : float
            By how much later; earlier when negative.

        Returns
        -------
        Protocol
            The moved protocol, whose name says so.

        Raises
        ------
        ProtocolError
            If `minutes` is not a finite number.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.meal(60).shift(300).name
        'meal(60).shift(300)'
        """
        raise_any(f"shift: {problem}" for problem in not_a_number(-math.inf, minutes=minutes))
        events = tuple(replace(event, time=event.time + minutes) for event in self.events)
        before = f"({self.name})" if " + " in self.name else self.name
        name = f"{before}.shift({number(minutes)})" if before else ""
        since = None if self.since is None else self.since + minutes
        return Protocol(events, name, self.until + minutes, since)

    def canonical(self, body_weight: float | None = None) -> tuple[Delivery, ...]:
        """The events as amounts per kg of body weight.

        Parameters
        ----------
        body_weight : float, optional
            Weight of the person, kg; needed where a dose is absolute (``75 g``).

        Returns
        -------
        tuple of Delivery
            The events in order of time, in the units of the physiology (mg/kg, pmol/kg, pg/kg).

        Raises
        ------
        ProtocolError
            If a dose is absolute and the weight is missing, or the weight is not above 0.

        Examples
        --------
        >>> import bayesglu as bg
        >>> [given] = bg.ogtt(70).canonical(body_weight=70)
        >>> given.channel, given.amount
        ('stomach', 1000.0)
        """
        if body_weight is not None:
            raise_any(not_a_number(0, body_weight=body_weight, exclusive=True))
        else:
            needy = [event for event in self.events if event.kind != "clamp" and is_per_person(event.unit)]
            raise_any(
                f"{event} is an absolute amount and the body weight is missing. "
                f"Give body_weight in kg, or the amount in '{event.unit}/kg'"
                for event in needy
            )
        return tuple(
            Delivery(
                time=event.time,
                stop=event.stop,
                channel=event.channel,
                kind=event.kind,
                amount=0.0 if event.kind == "clamp" else _canonical_amount(event, body_weight),
                absorption_rate=event.absorption_rate,
                emptying=event.emptying,
                target=event.target,
                final_target=event.final_target,
            )
            for event in self.events
        )

    def total(self) -> dict[tuple[str, str, str], float]:
        """The prescribed amounts, without what clamps will infuse.

        Returns
        -------
        dict
            The sum of the amounts by (substance, route, unit).

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.ivgtt(0.3, insulin=0.03).total()
        {('glucose', 'intravenous', 'g/kg'): 0.3, ('insulin', 'intravenous', 'U/kg'): 0.03}
        """
        amounts: dict[tuple[str, str, str], list[float]] = {}
        for event in self.events:
            if event.kind != "clamp":
                amounts.setdefault((event.substance, event.route, event.unit), []).append(event.amount)
        return {key: math.fsum(values) for key, values in amounts.items()}

    def table(self) -> pd.DataFrame:
        """The events as a table.

        Returns
        -------
        pandas.DataFrame
            One row an event, one column a field of `Event`: times in min, amounts in the unit beside them.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.ivgtt(0.3, insulin=0.03).table()[["time", "substance", "amount", "unit"]]
           time substance  amount  unit
        0   0.0   glucose    0.30  g/kg
        1  20.0   insulin    0.03  U/kg
        """
        import pandas as pd

        names = [each.name for each in fields(Event)]
        rows = [[getattr(event, name) for name in names] for event in self.events]
        numbers = dict.fromkeys(("absorption_rate", "target", "final_target"), float)
        return pd.DataFrame(rows, columns=names).astype(numbers)

    def __repr__(self) -> str:
        head = f"<Protocol {self.name or 'without a name'}, {number(self.duration)} min>"
        return "\n  ".join([head, *map(str, self.events)])


def _canonical_amount(event: Event, body_weight: float | None) -> float:
    return dose_amount(event.amount, event.unit, event.substance, body_weight) * event.bioavailability


def rate_minutes(unit: str) -> float | None:
    """Minutes in the time unit of a rate (``mU/kg/min`` -> 1, ``g/h`` -> 60), None when it is no rate."""
    return {"min": 1.0, "h": 60.0}.get(unit.rpartition("/")[2].strip().lower())


def without_time(unit: str) -> str:
    """The amount in a rate: ``mU/kg/min`` -> ``mU/kg``."""
    return unit.rpartition("/")[0].strip()


def _order(event: Event) -> tuple:
    values = (getattr(event, each.name) for each in fields(event))
    return tuple((value is not None, value) for value in values)


def not_among(allowed: Sequence[str], **value: object) -> list[str]:
    """A sentence for each value that is not allowed."""
    return [
        f"{name} is {found!r}; allowed: {', '.join(allowed)}" + _suggestion(found, allowed)
        for name, found in value.items()
        if found not in allowed
    ]


def _suggestion(found: object, allowed: Sequence[str]) -> str:
    name = nearest(found, allowed)
    return f" (did you mean {name!r}?)" if name else ""


def not_a_number(minimum: float, *, exclusive: bool = False, **values: object) -> list[str]:
    """A sentence for each value that is no finite number from ``minimum`` on."""
    bound = "" if minimum == -math.inf else f" {'above' if exclusive else 'of at least'} {minimum:g}"
    problems = []
    for name, value in values.items():
        is_number = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
        if not is_number or value < minimum or (exclusive and value == minimum):
            found = number(value) if is_number else repr(value)
            problems.append(f"{name} is {found}; it must be a finite number{bound}")
    return problems


def not_a_list(**values: object) -> list[str]:
    """A sentence for each value that is no list of one finite number or more."""
    problems = []
    for name, value in values.items():
        if not isinstance(value, (list, tuple)) or not value:
            problems.append(f"{name} is {value!r}; it must be a list of numbers, such as [90, 70, 55]")
        else:
            problems += not_a_number(-math.inf, **{f"{name}[{i}]": v for i, v in enumerate(value)})
    return problems


def raise_any(problems: Iterable[str]) -> None:
    """Raise one ProtocolError that holds all problems, if there are any."""
    if found := list(problems):
        raise ProtocolError("; ".join(found) + ".")


def number(value: SupportsFloat) -> str:
    """Shortest text that reads back as the same number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(float(value))
