"""Amounts at exact times: the events of which every protocol is made.

Amounts stay as prescribed (``75 g``) in an `Event`; a `Delivery` is one of them as an amount per kg of body
weight.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from numbers import Real

from bayesglu.protocols.faults import not_a_number, not_among, number, raise_any
from bayesglu.units import SUBSTANCES, UnitError, dose_amount

KINDS = ("bolus", "infusion", "release", "clamp")
ROUTES = ("oral", "intravenous", "subcutaneous", "intramuscular")
ROUTE_NAMES = {
    **dict.fromkeys(("iv", "intravenously"), "intravenous"),
    **dict.fromkeys(("po", "peros", "peroral", "orally"), "oral"),
    **dict.fromkeys(("sc", "sq", "subcut", "subq", "subcutaneously"), "subcutaneous"),
    **dict.fromkeys(("im", "intramuscularly"), "intramuscular"),
}
"""What routes are called elsewhere, without signs."""
DEPOT_ROUTES = ("subcutaneous", "intramuscular")

# Moments closer than this (min) are one: 0.1 + 0.2 and 0.3 must not leave a sliver between them.
SAME_MOMENT = 1e-6


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


def rate_minutes(unit: str) -> float | None:
    """Minutes in the time unit of a rate (``mU/kg/min`` -> 1, ``g/h`` -> 60), None when it is no rate."""
    return {"min": 1.0, "h": 60.0}.get(unit.rpartition("/")[2].strip().lower())


def without_time(unit: str) -> str:
    """The amount in a rate: ``mU/kg/min`` -> ``mU/kg``."""
    return unit.rpartition("/")[0].strip()
