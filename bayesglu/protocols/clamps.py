"""Clamps: glucose held at a target, led along a curve, or watched while both islet hormones are given."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

from bayesglu.protocols.calls import named_by_call
from bayesglu.protocols.events import (
    SAME_MOMENT,
    Event,
    Protocol,
    ProtocolError,
    not_a_list,
    not_a_number,
    number,
    raise_any,
)
from bayesglu.protocols.library import infused, infusion
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
    """Glucose clamp: glucose is held at a target by whatever infusion it takes, with or without insulin.

    DeFronzo, Tobin & Andres 1979, Am J Physiol 237:E214. Their two kinds:

    * hyperglycaemic: ``clamp(215)``, 125 mg/dL above basal; the insulin that appears is the person's own;
    * euglycaemic-hyperinsulinaemic: ``clamp(90, insulin_rate=1)``, in mU/kg/min (about their 40 mU/m2/min).

    ``priming`` above 1 fills the insulin space faster, as they did: the infusion begins at that multiple of
    its rate and falls to it geometrically in ten one-minute steps. What the clamp infuses is the output
    ``glucose_infusion`` of `bayesglu.simulate`, mg/kg/min; at the moment at which the clamp ends it is 0.

    >>> clamp(90, 120, insulin_rate=1)
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
        Event(start, "clamp", "glucose", "intravenous", 0, "mg/kg", duration, target=_target(glucose, unit))
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
    """Stepped clamp: glucose is held at one target after another, ``each`` for so many min, under insulin.

    Falling targets make the hypoglycaemic clamp, which shows at what glucose each defence begins: Mitrakou
    et al. 1991, on the hierarchy of thresholds. Insulin runs throughout and brings glucose down; a clamp
    infuses and never takes away, so glucose falls to a lower target only as fast as the body uses it. Rising
    targets without insulin (``insulin_rate=None``) make a stepped hyperglycaemic clamp.

    >>> stepped_clamp([90, 70, 55], each=60)
    <Protocol stepped_clamp([90, 70, 55], each=60), 180 min>
      0 min: glucose held at 90 mg/dL over 60 min
      0 min: insulin 360 mU/kg intravenous over 180 min
      60 min: glucose held at 70 mg/dL over 60 min
      120 min: glucose held at 55 mg/dL over 60 min
    """
    raise_any([*not_a_list(targets=targets), *not_a_number(0, each=each, exclusive=True)])
    steps = sum(clamp(target, each, unit=unit, start=i * each) for i, target in enumerate(targets))
    if insulin_rate is None:
        return steps
    return steps + infusion("insulin", insulin_rate, insulin_unit, each * len(targets))


@named_by_call
def isoglycaemic(times: Sequence[float], glucose: Sequence[float], *, unit: str = "mg/dL") -> Protocol:
    """Isoglycaemic infusion: glucose by vein at whatever rate copies a glucose curve, such as an oral test's.

    times : min, increasing. glucose : the curve at these times, in ``unit``, straight between them.

    The same glucose without the gut's hormones calls for less insulin, and the difference is the incretin
    effect: Nauck et al. 1986, J Clin Endocrinol Metab 63:492. Where glucose would have to fall faster than it
    falls by itself, the infusion stops and the copy is above the curve.

    >>> isoglycaemic([0, 30, 60], [90, 140, 120])
    <Protocol isoglycaemic([0, 30, 60], [90, 140, 120]), 60 min>
      0 min: glucose led from 90 to 140 mg/dL over 30 min
      30 min: glucose led from 140 to 120 mg/dL over 30 min
    >>> from bayesglu import simulate
    >>> drunk = simulate("oral", ogtt(75), times=range(0, 121, 5), outputs=["glucose"])
    >>> copy = isoglycaemic(drunk.time, drunk.glucose)
    >>> copied = simulate("oral", copy, times=drunk.time, outputs=["glucose"])
    >>> bool(abs(copied.glucose - drunk.glucose).max() < 1)
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
    knots = zip(times, [_target(value, unit) for value in glucose], strict=True)
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
    """Pancreatic clamp: both islet hormones are given, so that their levels are the investigator's.

    Somatostatin or octreotide silences the person's own islets; here that is a choice of parameters,
    ``simulate(model, pancreatic_clamp(), {"beta_cell_mass": 0, "alpha_cell_mass": 0})``. Insulin at 0.1
    mU/kg/min follows Breckenridge et al. 2007, Diabetes 56:2442, who withdrew one hormone or both; glucagon
    at 0, 0.5, 1 and 2 ng/kg/min is the ladder of Cooperberg & Cryer 2010, Diabetes 59:2941. A rate of 0
    withdraws a hormone. With ``glucose`` that level is held too.

    >>> pancreatic_clamp(glucagon_rate=0)
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


def _target(glucose: float, unit: str) -> float:
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
