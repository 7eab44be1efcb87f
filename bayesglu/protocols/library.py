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
from bayesglu.protocols.events import DEPOT_ROUTES, ROUTES, Event, rate_minutes, without_time
from bayesglu.protocols.faults import ProtocolError, not_a_list, not_a_number, not_among, raise_any
from bayesglu.protocols.protocol import Protocol
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

    Parameters
    ----------
    grams : float
        Glucose, in `unit`.
    unit : str
        Unit of the amount: ``g``, or ``g/kg`` as children get it (``ogtt(1.75, unit="g/kg")``).

    Returns
    -------
    Protocol
        One oral bolus at 0 min. A sample at time 0 is the fasting sample, taken before the drink.

    Raises
    ------
    ProtocolError
        If the amount or its unit cannot be used.

    Notes
    -----
    75 g for adults: World Health Organization 1999, WHO/NCD/NCS/99.2.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.ogtt(75)
    <Protocol ogtt(75), 0 min>
      0 min: glucose 75 g oral
    """
    return Protocol((Event(0, "bolus", "glucose", "oral", grams, unit),))


@named_by_call
def meal(carbohydrate: float, *, emptying: float = 0.7, duration: float = 0, unit: str = "g") -> Protocol:
    """Mixed meal: its carbohydrate as oral glucose that leaves the stomach more slowly than a drink.

    Parameters
    ----------
    carbohydrate : float
        Carbohydrate, in `unit`.
    emptying : float
        Factor on the stomach's emptying rate; a drink is 1. Fat and protein act through it alone. From the
        first bite it holds for the whole stomach, until the next meal or drink.
    duration : float
        Minutes over which the meal is eaten evenly; 0 is at once.
    unit : str
        Unit of the amount: ``g``, ``g/kg``.

    Returns
    -------
    Protocol
        One oral bolus, or an even intake, from 0 min on.

    Raises
    ------
    ProtocolError
        If the amount, its unit, `emptying` or `duration` cannot be used.

    Notes
    -----
    0.7 was chosen so that glycogen peaks when Taylor et al. 1996, J Clin Invest 97:126, saw it after a meal
    of 149 g.

    Examples
    --------
    >>> import bayesglu as bg
    >>> (bg.meal(60, duration=15) + bg.meal(80).shift(300)).total()
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
    """A day of three mixed meals, followed for 24 h from breakfast on.

    Parameters
    ----------
    breakfast, lunch, dinner : float
        Carbohydrate of each meal, in `unit`.
    times : sequence of float
        Times of the three meals, min; by default 7, 12 and 18 o'clock when time 0 is 7:00.
    emptying, duration : float
        Those of each `meal`.
    unit : str
        Unit of the amounts: ``g``, ``g/kg``.

    Returns
    -------
    Protocol
        The sum of three meals and a fast of 24 h. Days add up: ``meal_day() + meal_day().shift(24 * 60)``.

    Raises
    ------
    ProtocolError
        If an amount cannot be used, or there are not three times.

    Notes
    -----
    Healthy people on such days: Shah et al. 2019, J Clin Endocrinol Metab 104:4356.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.meal_day(50, 70, 80).total()
    {('glucose', 'oral', 'g'): 200.0}
    >>> bg.meal_day() == bg.meal(60) + bg.meal(80).shift(300) + bg.meal(90).shift(660) + bg.fast(24)
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
    """Frequently sampled intravenous glucose tolerance test: intravenous glucose at time 0.

    Parameters
    ----------
    dose : float
        Glucose, in `unit`.
    unit : str
        Unit of the glucose: ``g/kg``, ``mg/kg``, ``g``.
    insulin : float, optional
        Insulin of the insulin-modified test, for people whose own response is small; 0.03 U/kg is common.
    insulin_unit : str
        Unit of the insulin: ``U/kg``, ``mU/kg``, ``U``.
    insulin_time : float
        When the insulin is given, min.

    Returns
    -------
    Protocol
        One intravenous bolus of glucose, and one of insulin where it is given.

    Raises
    ------
    ProtocolError
        If an amount, a unit or the time cannot be used.

    Notes
    -----
    0.3 g/kg after Pacini & Bergman 1986, Comput Methods Programs Biomed 23:113. Pacini et al. 1998, Am J
    Physiol 274:E592, compare the test with and without insulin.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.ivgtt(insulin=0.03)
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
    """Fast: nothing is given for some hours from time 0.

    Time 0 is the overnight-fasted basal state, about 14 h after the last meal; in the model ``fasting`` it is
    the last meal itself. Added to another protocol, a fast makes that last at least so long.

    Parameters
    ----------
    hours : float
        How long the fast lasts, h.

    Returns
    -------
    Protocol
        A protocol without events, which ends after so many hours.

    Raises
    ------
    ProtocolError
        If `hours` is not a number of at least 0.

    Notes
    -----
    Rothman et al. 1991, Science 254:573, followed liver glycogen to 68 h.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.fast(hours=50).duration
    3000.0
    """
    raise_any(not_a_number(0, hours=hours))
    return Protocol(until=60 * hours, since=0.0)


@named_by_call
def infusion(substance: str, rate: float, unit: str, duration: float, *, start: float = 0) -> Protocol:
    """Constant intravenous infusion of glucose, insulin or glucagon.

    Parameters
    ----------
    substance : str
        What is infused: ``glucose``, ``insulin`` or ``glucagon``.
    rate : float
        How much per unit of time, in `unit`.
    unit : str
        Unit of the rate: ``mg/kg/min``, ``mU/kg/min``, ``ng/kg/min``, ``g/h``, ``U/h``.
    duration : float
        How long it runs, min.
    start : float
        When it begins, min.

    Returns
    -------
    Protocol
        One infusion, with its total amount.

    Raises
    ------
    ProtocolError
        If the substance, the rate, its unit or a time cannot be used.

    Notes
    -----
    Glucagon at 3 ng/kg/min for 3 h is the experiment of Rizza & Gerich 1979, J Clin Endocrinol Metab 48:352.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.infusion("glucagon", 3, "ng/kg/min", 180)
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
    """Injection of glucose, insulin or glucagon at time 0: intravenous, subcutaneous or intramuscular.

    Parameters
    ----------
    substance : str
        What is injected: ``glucose``, ``insulin`` or ``glucagon``.
    amount : float
        How much, in `unit`.
    unit : str
        Unit of the amount: ``U``, ``U/kg``, ``mg``, ``ug/kg``.
    route : str
        ``intravenous`` is a bolus; ``subcutaneous`` and ``intramuscular`` a depot with first-order release.
    absorption_rate : float, optional
        Rate constant of the release, 1/min.
    bioavailability : float, optional
        Share of the dose that reaches the blood, above 0 and at most 1.

    Returns
    -------
    Protocol
        One bolus or one release at 0 min.

    Raises
    ------
    ProtocolError
        If an argument cannot be used, an intravenous injection is given a depot's numbers, or a depot without
        a default lacks its `absorption_rate`.

    Notes
    -----
    Defaults where a source gives one:

    * glucagon, intramuscular: 0.03 /min and 0.5, which reproduce the 1 mg dose of Okuno et al. 1977, J Japan
      Diabetes Soc 20:574, and the peak on the product's label; subcutaneous the same, as the label's curves
      are alike (judgement). Intravenous glucagon acts at once and is gone sooner: Muehlhauser et al. 1985,
      Diabetes Care 8:39, who compare the routes.
    * insulin, subcutaneous (rapid acting): 1/110 /min and 1, the mean residence time of the two absorption
      steps of 55 min of Hovorka et al. 2004, Physiol Meas 25:905, taken in one step (judgement: it starts too
      early).

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.injection("glucagon", 1, "mg", route="intramuscular")
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
    """Insulin pump that stops: subcutaneous basal insulin until time 0, and absorption of the depot after it.

    Parameters
    ----------
    rate : float
        Basal rate, in `unit`.
    unit : str
        Unit of the rate: ``U/h``, ``mU/kg/min``.
    before : float
        Minutes for which the pump runs until time 0.
    after : float
        Minutes for which people are followed after it.
    absorption_rate : float
        Rate constant of the depot's release, 1/min, as in `injection`.

    Returns
    -------
    Protocol
        An infusion until 0 min, and then the release of the depot, ``rate / absorption_rate``. A pump that
        has run for long keeps its depot in steady state, so insulin enters the blood as fast as it is pumped.

    Raises
    ------
    ProtocolError
        If the rate, its unit or a time cannot be used.

    Notes
    -----
    Pickup et al. 1982, Diabetologia 22:175, stopped the pumps of people with type 1 diabetes, who have no
    insulin of their own: ``simulate(model, pump_stop(1), {"beta_cell_mass": 0})``.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.pump_stop(1, before=60)
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
    assert minutes is not None  # else it is one of the problems
    amount = rate * (duration / minutes)
    return Event(start, "infusion", substance, "intravenous", amount, without_time(unit), duration)
