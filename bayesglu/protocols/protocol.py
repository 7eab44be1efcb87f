"""`Protocol`: what is done to one person, a sorted table of events.

``canonical`` turns prescribed amounts into amounts per kg of body weight. The functions that write protocols
are in `bayesglu.protocols.library` and `bayesglu.protocols.clamps`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING

from bayesglu.protocols.events import SAME_MOMENT, Delivery, Event
from bayesglu.protocols.faults import not_a_number, number, raise_any
from bayesglu.units import dose_amount, is_per_person

if TYPE_CHECKING:
    import pandas as pd


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
            One row per event, one column per field of `Event`: times in min, amounts in the unit beside them.

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


def _order(event: Event) -> tuple:
    values = (getattr(event, each.name) for each in fields(event))
    return tuple((value is not None, value) for value in values)
