"""Clamps: glucose held at a target, led along a curve, or watched while both islet hormones are given."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from bayesglu.protocols.calls import named_by_call
from bayesglu.protocols.events import SAME_MOMENT, Event
from bayesglu.protocols.faults import ProtocolError, not_a_list, not_a_number, number, raise_any
from bayesglu.protocols.library import infused, infusion
from bayesglu.protocols.protocol import Protocol
from bayesglu.units import UnitError, convert

PRIMING_STEPS = 10  # one-minute steps in which a priming infusion falls to the plateau
LOWEST_TARGET, HIGHEST_TARGET = 25.0, 900.0  # mg/dL: beyond these a clamp target is in the wrong unit


@named_by_call
def clamp(
    glucose: float = 90,
    duration: float = 120,
    *,
    unit: str = "mg/dL",
    insulin_rate: float | None = None,
    insulin_unit: str = "mU/kg/min",
    priming: float = 1,
    start: float = 0,
) -> Protocol:
    """Glucose clamp: glucose is held at a target by a variable glucose infusion, with or without insulin.

    Two kinds are common: hyperglycaemic, ``clamp(215)``, 125 mg/dL above basal, where the insulin is the
    person's own; and hyperinsulinaemic-euglycaemic, ``clamp(90, insulin_rate=1)``.

    Parameters
    ----------
    glucose : float
        Target, in `unit`; 25 to 900 mg/dL.
    duration : float
        How long it is held, min.
    unit : str
        Unit of the target: ``mg/dL``, ``mmol/L``.
    insulin_rate : float, optional
        Rate of a constant insulin infusion, in `insulin_unit`; 1 mU/kg/min is about 40 mU/m2/min.
    insulin_unit : str
        Unit of that rate.
    priming : float
        Above 1 it fills the insulin space faster: the infusion begins at that multiple of its rate, and falls
        to it geometrically in ten one-minute steps.
    start : float
        When the clamp begins, min.

    Returns
    -------
    Protocol
        The clamp and the insulin. What the clamp infuses is the output ``glucose_infusion`` of `simulate`,
        mg/kg/min; at the moment at which the clamp ends it is 0.

    Raises
    ------
    ProtocolError
        If a number or a unit cannot be used, or `priming` is without insulin or longer than the clamp.

    Notes
    -----
    DeFronzo, Tobin & Andres 1979, Am J Physiol 237:E214.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.clamp(90, 120, insulin_rate=1)
    <Protocol clamp(90, 120, insulin_rate=1), 120 min>
      0 min: glucose held at 90 mg/dL over 120 min
      0 min: insulin 120 mU/kg intravenous over 120 min
    """
    problems = [
        *not_a_number(0, glucose=glucose, duration=duration, exclusive=True),
        *not_a_number(1, priming=priming),
        *not_a_number(-math.inf, start=start),
        *([] if insulin_rate is None else not_a_number(0, insulin_rate=insulin_rate)),
    ]
    if not problems and priming > 1 and insulin_rate is None:
        problems.append("priming belongs to an insulin infusion; give insulin_rate too")
    if not problems and priming > 1 and duration <= PRIMING_STEPS:
        problems.append(f"priming takes {PRIMING_STEPS} min, and the clamp lasts {number(duration)} min")
    raise_any(problems)
    events = [
        Event(start, "clamp", "glucose", "intravenous", 0, "mg/kg", duration, target=target_of(glucose, unit))
    ]
    if insulin_rate is not None:
        steps = PRIMING_STEPS if priming > 1 else 0
        for step in range(steps):
            rate = insulin_rate * priming ** (1 - step / steps)
            events.append(infused("insulin", rate, insulin_unit, 1, start + step))
        events.append(infused("insulin", insulin_rate, insulin_unit, duration - steps, start + steps))
    return Protocol(tuple(events))


@named_by_call
def stepped_clamp(
    targets: Sequence[float],
    each: float = 60,
    *,
    unit: str = "mg/dL",
    insulin_rate: float | None = 2,
    insulin_unit: str = "mU/kg/min",
) -> Protocol:
    """Stepped clamp: glucose is held at one target after another, under insulin.

    Falling targets make the hypoglycaemic clamp, which shows the glucose at which each counterregulatory
    response begins. A clamp infuses and never takes away, so glucose falls to a lower target only as fast as
    the body uses it. Rising targets without insulin make a stepped hyperglycaemic clamp.

    Parameters
    ----------
    targets : sequence of float
        Targets, in `unit`, one after another.
    each : float
        How long each is held, min.
    unit : str
        Unit of the targets: ``mg/dL``, ``mmol/L``.
    insulin_rate : float, optional
        Rate of the insulin infusion, which runs throughout; None for a clamp without insulin.
    insulin_unit : str
        Unit of that rate.

    Returns
    -------
    Protocol
        The clamps, and the insulin from 0 min to their end.

    Raises
    ------
    ProtocolError
        If a target, a number or a unit cannot be used.

    Notes
    -----
    Mitrakou et al. 1991, on the hierarchy of glycaemic thresholds.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.stepped_clamp([90, 70, 55], each=60)
    <Protocol stepped_clamp([90, 70, 55], each=60), 180 min>
      0 min: glucose held at 90 mg/dL over 60 min
      0 min: insulin 360 mU/kg intravenous over 180 min
      60 min: glucose held at 70 mg/dL over 60 min
      120 min: glucose held at 55 mg/dL over 60 min
    """
    raise_any([*not_a_list(targets=targets), *not_a_number(0, each=each, exclusive=True)])
    held = [clamp(target, each, unit=unit, start=i * each) for i, target in enumerate(targets)]
    steps = Protocol(tuple(event for step in held for event in step.events))
    if insulin_rate is None:
        return steps
    return steps + infusion("insulin", insulin_rate, insulin_unit, each * len(targets))


@named_by_call
def isoglycaemic(times: Sequence[float], glucose: Sequence[float], *, unit: str = "mg/dL") -> Protocol:
    """Isoglycaemic infusion: intravenous glucose that reproduces a glucose curve, such as an oral test's.

    The same glucose without the gut's hormones calls for less insulin; the difference is the incretin effect.
    Where glucose would have to fall faster than it falls by itself, the infusion stops and glucose is above
    the curve.

    Parameters
    ----------
    times : sequence of float
        Minutes, increasing.
    glucose : sequence of float
        The curve at these times, in `unit`, straight between them.
    unit : str
        Unit of the curve: ``mg/dL``, ``mmol/L``.

    Returns
    -------
    Protocol
        A clamp from each time to the next.

    Raises
    ------
    ProtocolError
        If there are fewer than two pairs, times do not increase, or a value or its unit cannot be used.

    Notes
    -----
    Nauck et al. 1986, J Clin Endocrinol Metab 63:492.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.isoglycaemic([0, 30, 60], [90, 140, 120])
    <Protocol isoglycaemic([0, 30, 60], [90, 140, 120]), 60 min>
      0 min: glucose led from 90 to 140 mg/dL over 30 min
      30 min: glucose led from 140 to 120 mg/dL over 30 min
    >>> oral = bg.simulate("oral", bg.ogtt(75), times=range(0, 121, 5), outputs=["glucose"])
    >>> copy = bg.isoglycaemic(oral.time, oral.glucose)
    >>> copied = bg.simulate("oral", copy, times=oral.time, outputs=["glucose"])
    >>> bool(abs(copied.glucose - oral.glucose).max() < 1)
    True
    """
    problems = not_a_list(times=times, glucose=glucose)
    if not problems:
        if len(times) != len(glucose) or len(times) < 2:
            problems.append(
                f"{len(times)} times and {len(glucose)} values of glucose; give two or more pairs"
            )
        problems += [
            f"times must increase; after {number(one)} comes {number(two)}"
            for one, two in itertools.pairwise(times)
            if two <= one + SAME_MOMENT
        ]
    raise_any(problems)
    knots = zip(times, [target_of(value, unit) for value in glucose], strict=True)
    return Protocol(
        tuple(
            Event(
                begin,
                "clamp",
                "glucose",
                "intravenous",
                0,
                "mg/kg",
                end - begin,
                target=first,
                final_target=last,
            )
            for (begin, first), (end, last) in itertools.pairwise(knots)
        )
    )


@named_by_call
def pancreatic_clamp(
    insulin_rate: float = 0.1,
    glucagon_rate: float = 1,
    duration: float = 240,
    *,
    insulin_unit: str = "mU/kg/min",
    glucagon_unit: str = "ng/kg/min",
    glucose: float | None = None,
    unit: str = "mg/dL",
    start: float = 0,
) -> Protocol:
    """Pancreatic clamp: insulin and glucagon are infused at chosen rates while the islets are suppressed.

    Somatostatin or octreotide suppresses the person's own islets; here that is a choice of parameters,
    ``simulate(model, pancreatic_clamp(), {"beta_cell_mass": 0, "alpha_cell_mass": 0})``. A rate of 0
    withdraws a hormone.

    Parameters
    ----------
    insulin_rate : float
        Rate of insulin, in `insulin_unit`.
    glucagon_rate : float
        Rate of glucagon, in `glucagon_unit`.
    duration : float
        How long both run, min.
    insulin_unit : str
        Unit of the insulin's rate.
    glucagon_unit : str
        Unit of the glucagon's rate.
    glucose : float, optional
        Target at which glucose is held too, in `unit`.
    unit : str
        Unit of the target: ``mg/dL``, ``mmol/L``.
    start : float
        When all begin, min.

    Returns
    -------
    Protocol
        Both infusions, and the clamp of glucose where there is one.

    Raises
    ------
    ProtocolError
        If a number or a unit cannot be used.

    Notes
    -----
    Insulin at 0.1 mU/kg/min follows Breckenridge et al. 2007, Diabetes 56:2442, who withdrew one hormone or
    both; glucagon at 0, 0.5, 1 and 2 ng/kg/min are the dose levels of Cooperberg & Cryer 2010, Diabetes
    59:2941.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.pancreatic_clamp(glucagon_rate=0)
    <Protocol pancreatic_clamp(glucagon_rate=0), 240 min>
      0 min: glucagon 0 ng/kg intravenous over 240 min
      0 min: insulin 24 mU/kg intravenous over 240 min
    """
    events = [
        infused("insulin", insulin_rate, insulin_unit, duration, start),
        infused("glucagon", glucagon_rate, glucagon_unit, duration, start),
    ]
    held = Protocol() if glucose is None else clamp(glucose, duration, unit=unit, start=start)
    return Protocol((*events, *held.events))


def target_of(glucose: float, unit: str) -> float:
    """The target of a clamp in mg/dL."""
    try:
        target = convert(float(glucose), unit, "glucose")
    except UnitError as error:
        raise ProtocolError(str(error)) from None
    if not LOWEST_TARGET <= target <= HIGHEST_TARGET:
        other = "mmol/L" if target < LOWEST_TARGET else "mg/dL"
        raise ProtocolError(
            f"glucose is {number(glucose)} {unit}; a clamp holds {number(LOWEST_TARGET)} to "
            f"{number(HIGHEST_TARGET)} mg/dL. Is the unit '{other}'?"
        )
    return target
