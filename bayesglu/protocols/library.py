"""Tolerance tests, meals, fasts, infusions, injections and an insulin pump, each a function.

Protocols add up with ``+`` and move in time with ``.shift(minutes)``, so a day of meals is a sum. A
subcutaneous or intramuscular dose becomes a first-order release into the blood.

>>> day = meal(60).shift(7 * 60) + meal(80).shift(12 * 60) + meal(90).shift(18 * 60)
>>> day.total()
{('glucose', 'oral', 'g'): 230.0}
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from bayesglu.protocols.calls import named_by_call
from bayesglu.protocols.events import (
    DEPOT_ROUTES,
    ROUTES,
    Event,
    Protocol,
    ProtocolError,
    not_a_list,
    not_a_number,
    not_among,
    raise_any,
    rate_minutes,
    without_time,
)
from bayesglu.units import SUBSTANCES

# First-order release (1/min) and the share that reaches the blood, where a source allows a default.
DEPOTS = {
    ("glucagon", "intramuscular"): (0.03, 0.5),
    ("glucagon", "subcutaneous"): (0.03, 0.5),
    ("insulin", "subcutaneous"): (1 / 110, 1.0),
}


@named_by_call
def ogtt(grams: float = 75, *, unit: str = "g") -> Protocol:
    """Oral glucose tolerance test: glucose in water, drunk at time 0.

    75 g for adults (World Health Organization 1999, WHO/NCD/NCS/99.2); children get ``ogtt(1.75,
    unit="g/kg")``. A sample at time 0 is the fasting sample, taken before the drink.

    >>> ogtt(75)
    <Protocol ogtt(75), 0 min>
      0 min: glucose 75 g oral
    """
    return Protocol((Event(0, "bolus", "glucose", "oral", grams, unit),))


@named_by_call
def meal(carbohydrate: float, *, emptying: float = 0.7, duration: float = 0, unit: str = "g") -> Protocol:
    """Mixed meal: its carbohydrate as glucose, leaving the stomach ``emptying`` times as fast as a drink.

    Eaten at once, or evenly over ``duration`` (min). Fat and protein act through ``emptying`` alone; 0.7 was
    chosen so that glycogen peaks when Taylor et al. 1996, J Clin Invest 97:126, saw it after a meal of 149 g.
    From the first bite the meal's emptying holds for the whole stomach, until the next meal or drink.

    >>> (meal(60, duration=15) + meal(80).shift(300)).total()
    {('glucose', 'oral', 'g'): 140.0}
    """
    kind = "infusion" if duration else "bolus"
    return Protocol((Event(0, kind, "glucose", "oral", carbohydrate, unit, duration, emptying=emptying),))


@named_by_call
def meal_day(
    breakfast: float = 60,
    lunch: float = 80,
    dinner: float = 90,
    *,
    times: Sequence[float] = (0, 300, 660),
    emptying: float = 0.7,
    duration: float = 0,
    unit: str = "g",
) -> Protocol:
    """A day of three mixed meals, watched for 24 h from breakfast on.

    Carbohydrate of each meal in ``unit``; ``times`` are those of the meals in min, by default 7, 12 and 18
    o'clock when time 0 is 7:00. ``emptying`` and ``duration`` are those of `meal`. Days add up:
    ``meal_day() + meal_day().shift(24 * 60)``. Healthy people on such days: Shah et al. 2019, J Clin
    Endocrinol Metab 104:4356.

    >>> meal_day(50, 70, 80).total()
    {('glucose', 'oral', 'g'): 200.0}
    >>> meal_day() == meal(60) + meal(80).shift(300) + meal(90).shift(660) + fast(24)
    True
    """
    problems = not_a_list(times=times)
    if not problems and len(times) != 3:
        problems = [f"times has {len(times)} values; three meals need three"]
    raise_any(problems)
    eaten = zip((breakfast, lunch, dinner), times, strict=True)
    meals = [meal(amount, emptying=emptying, duration=duration, unit=unit).shift(t) for amount, t in eaten]
    return sum(meals) + fast(24)


@named_by_call
def ivgtt(
    dose: float = 0.3,
    *,
    unit: str = "g/kg",
    insulin: float | None = None,
    insulin_unit: str = "U/kg",
    insulin_time: float = 20,
) -> Protocol:
    """Frequently sampled intravenous glucose tolerance test: glucose into a vein at time 0.

    0.3 g/kg after Pacini & Bergman 1986, Comput Methods Programs Biomed 23:113. With ``insulin`` (0.03 U/kg
    is common) the insulin-modified test, for people whose own response is small: insulin as a second bolus at
    ``insulin_time`` (Pacini et al. 1998, Am J Physiol 274:E592, who compare both).

    >>> ivgtt(insulin=0.03)
    <Protocol ivgtt(insulin=0.03), 20 min>
      0 min: glucose 0.3 g/kg intravenous
      20 min: insulin 0.03 U/kg intravenous
    """
    events = [Event(0, "bolus", "glucose", "intravenous", dose, unit)]
    if insulin is not None:
        events.append(Event(insulin_time, "bolus", "insulin", "intravenous", insulin, insulin_unit))
    return Protocol(tuple(events))


@named_by_call
def fast(hours: float) -> Protocol:
    """Nothing but time: the person goes without food for ``hours`` from time 0.

    Time 0 is the overnight-fasted basal state, about 14 h after the last meal; in the model `fasting` it is
    the last meal itself. Rothman et al. 1991, Science 254:573, followed liver glycogen to 68 h. Added to
    another protocol it makes that last at least so long.

    >>> fast(hours=50).duration
    3000.0
    """
    raise_any(not_a_number(0, hours=hours))
    return Protocol(until=60 * hours)


@named_by_call
def infusion(substance: str, rate: float, unit: str, duration: float, *, start: float = 0) -> Protocol:
    """Steady intravenous infusion of glucose, insulin or glucagon, from ``start`` for ``duration`` (min).

    ``unit`` is a rate: ``mg/kg/min``, ``mU/kg/min``, ``ng/kg/min``, ``g/h``, ``U/h``. The table shows the
    amount in all. Glucagon at 3 ng/kg/min for 3 h is the experiment of Rizza & Gerich 1979, J Clin Endocrinol
    Metab 48:352.

    >>> infusion("glucagon", 3, "ng/kg/min", 180)
    <Protocol infusion('glucagon', 3, 'ng/kg/min', 180), 180 min>
      0 min: glucagon 540 ng/kg intravenous over 180 min
    """
    return Protocol((infused(substance, rate, unit, duration, start),))


@named_by_call
def injection(
    substance: str,
    amount: float,
    unit: str,
    *,
    route: str = "intravenous",
    absorption_rate: float | None = None,
    bioavailability: float | None = None,
) -> Protocol:
    """Injection of glucose, insulin or glucagon at time 0, into a vein, under the skin or into muscle.

    Into a vein it is a bolus. From a depot it is released at first order with ``absorption_rate`` (1/min);
    the share ``bioavailability`` reaches the blood. Defaults where a source gives one:

    * glucagon, intramuscular: 0.03 /min and 0.5, which reproduce the 1 mg dose of Okuno et al. 1977, J Japan
      Diabetes Soc 20:574, and the peak on the product's label; subcutaneous the same, as the label's curves
      are alike (judgement).
      Into a vein it acts at once and is gone sooner: Muehlhauser et al. 1985, Diabetes Care 8:39, who compare
      the routes.
    * insulin, subcutaneous (rapid acting): 1/110 /min and 1, the mean residence time of the two absorption
      steps of 55 min of Hovorka et al. 2004, Physiol Meas 25:905, taken in one step (judgement: it starts too
      early).

    >>> injection("glucagon", 1, "mg", route="intramuscular")
    <Protocol injection('glucagon', 1, 'mg', route='intramuscular'), 0 min>
      0 min: glucagon 1 mg intramuscular (absorbed at 0.03 /min, 50% bioavailable)
    """
    raise_any([*not_among(SUBSTANCES, substance=substance), *not_among(ROUTES[1:], route=route)])
    if route not in DEPOT_ROUTES:
        if absorption_rate is not None or bioavailability is not None:
            routes = " or ".join(map(repr, DEPOT_ROUTES))
            raise ProtocolError(
                f"absorption_rate and bioavailability belong to a depot, and the route is {route!r}; "
                f"did you mean {routes}?"
            )
        return Protocol((Event(0, "bolus", substance, route, amount, unit),))
    default_rate, default_share = DEPOTS.get((substance, route), (None, 1.0))
    absorption_rate = default_rate if absorption_rate is None else absorption_rate
    if absorption_rate is None:
        known = ", ".join(f"{route} {substance}" for substance, route in DEPOTS)
        raise ProtocolError(
            f"how fast {route} {substance} is absorbed has no default; give absorption_rate in 1/min. "
            f"Defaults exist for: {known}."
        )
    share = default_share if bioavailability is None else bioavailability
    event = Event(0, "release", substance, route, amount, unit, 0, absorption_rate, share)
    return Protocol((event,))


@named_by_call
def pump_stop(
    rate: float,
    unit: str = "U/h",
    *,
    before: float = 480,
    after: float = 720,
    absorption_rate: float = 1 / 110,
) -> Protocol:
    """Insulin pump that stops: basal insulin under the skin until time 0, and what is left there after it.

    ``rate`` in ``unit`` for ``before`` min until time 0; watched for ``after`` min more. A pump that has run
    for long keeps its depot in balance, so insulin enters the blood as fast as it is pumped; when the pump
    stops, the depot, ``rate / absorption_rate``, is released at first order (1/min, as in `injection`).
    Pickup et al. 1982, Diabetologia 22:175, stopped the pumps of people with type 1 diabetes, who have no
    insulin of their own: ``simulate(model, pump_stop(1), {"beta_cell_mass": 0})``.

    >>> pump_stop(1, before=60)
    <Protocol pump_stop(1, before=60), 720 min>
      -60 min: insulin 1 U intravenous over 60 min
      0 min: insulin 1.833333333 U subcutaneous (absorbed at 0.00909 /min, 100% bioavailable)
    """
    problems = not_a_number(0, before=before, absorption_rate=absorption_rate, exclusive=True)
    raise_any([*problems, *not_a_number(0, after=after)])
    pumped = infused("insulin", rate, unit, before, -before)
    left = pumped.amount / before / absorption_rate
    depot = Event(0, "release", "insulin", "subcutaneous", left, pumped.unit, 0, absorption_rate)
    return Protocol((pumped, depot), until=after)


def infused(substance: str, rate: float, unit: str, duration: float, start: float) -> Event:
    """An infusion written as a rate, kept as its amount in all."""
    problems = [
        *not_among(SUBSTANCES, substance=substance),
        *not_a_number(0, rate=rate),
        *not_a_number(0, duration=duration, exclusive=True),
        *not_a_number(-math.inf, start=start),
    ]
    minutes = rate_minutes(unit) if isinstance(unit, str) else None
    if minutes is None:
        problems.append(f"unit is {unit!r}; it must be a rate, per min or per h, such as '{unit}/min'")
    raise_any(problems)
    amount = rate * (duration / minutes)
    return Event(start, "infusion", substance, "intravenous", amount, without_time(unit), duration)
