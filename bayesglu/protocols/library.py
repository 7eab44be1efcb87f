"""What is done to a person: the functions that write a `Protocol`, and the text that stands for one.

Protocols add up with ``+`` and move in time with ``.shift(minutes)``, so a day of meals or a stepped clamp is
a sum. A dose under the skin or into muscle becomes a first-order release into the blood.

>>> day = meal(60).shift(7 * 60) + meal(80).shift(12 * 60) + meal(90).shift(18 * 60)
>>> day.total()
{('glucose', 'oral', 'g'): 230.0}
>>> parse_protocol("ogtt(75) + fast(3)") == ogtt(75) + fast(3)
True
"""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from numbers import Real

from bayesglu.protocols.events import (
    DEPOT_ROUTES,
    ROUTES,
    SAME_MOMENT,
    Delivery,
    Event,
    Protocol,
    ProtocolError,
    not_a_number,
    not_among,
    number,
    raise_any,
    rate_minutes,
    without_time,
)
from bayesglu.text.problems import hint
from bayesglu.units import SUBSTANCES, UnitError, convert

__all__ = [
    "Delivery",
    "Event",
    "Protocol",
    "ProtocolError",
    "clamp",
    "fast",
    "infusion",
    "injection",
    "isoglycaemic",
    "ivgtt",
    "meal",
    "meal_day",
    "ogtt",
    "pancreatic_clamp",
    "parse_protocol",
    "pump_stop",
    "stepped_clamp",
]

# First-order release (1/min) and the share that reaches the blood, where a source allows a default.
DEPOTS = {
    ("glucagon", "intramuscular"): (0.03, 0.5),
    ("glucagon", "subcutaneous"): (0.03, 0.5),
    ("insulin", "subcutaneous"): (1 / 110, 1.0),
}
PRIMING_STEPS = 10  # one-minute steps in which a priming infusion falls to the plateau
LOWEST_TARGET, HIGHEST_TARGET = 25.0, 900.0  # mg/dL: beyond these a clamp target is in the wrong unit

_PROTOCOLS: dict[str, Callable[..., Protocol]] = {}


def _protocol(build: Callable[..., Protocol]) -> Callable[..., Protocol]:
    """Let `parse_protocol` find a function, name its result after the call, begin errors with the call."""

    @functools.wraps(build)
    def named(*args, **kwargs) -> Protocol:
        args, kwargs = [_plain(value) for value in args], {key: _plain(v) for key, v in kwargs.items()}
        given = [*map(_written, args), *(f"{key}={_written(value)}" for key, value in kwargs.items())]
        call = f"{build.__name__}({', '.join(given)})"
        try:
            return replace(build(*args, **kwargs), name=call)
        except ProtocolError as error:
            raise ProtocolError(f"{call}: {error}") from None

    _PROTOCOLS[build.__name__] = named
    return named


@_protocol
def ogtt(grams: float = 75, *, unit: str = "g") -> Protocol:
    """Oral glucose tolerance test: glucose in water, drunk at time 0.

    75 g for adults (World Health Organization 1999, WHO/NCD/NCS/99.2); children get ``ogtt(1.75,
    unit="g/kg")``. A sample at time 0 is the fasting sample, taken before the drink.

    >>> ogtt(75)
    <Protocol ogtt(75), 0 min>
      0 min: glucose 75 g oral
    """
    return Protocol((Event(0, "bolus", "glucose", "oral", grams, unit),))


@_protocol
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


@_protocol
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
    problems = _not_a_list(times=times)
    if not problems and len(times) != 3:
        problems = [f"times has {len(times)} values; three meals need three"]
    raise_any(problems)
    eaten = zip((breakfast, lunch, dinner), times, strict=True)
    meals = [meal(amount, emptying=emptying, duration=duration, unit=unit).shift(t) for amount, t in eaten]
    return sum(meals) + fast(24)


@_protocol
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


@_protocol
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


@_protocol
def infusion(substance: str, rate: float, unit: str, duration: float, *, start: float = 0) -> Protocol:
    """Steady intravenous infusion of glucose, insulin or glucagon, from ``start`` for ``duration`` (min).

    ``unit`` is a rate: ``mg/kg/min``, ``mU/kg/min``, ``ng/kg/min``, ``g/h``, ``U/h``. The table shows the
    amount in all. Glucagon at 3 ng/kg/min for 3 h is the experiment of Rizza & Gerich 1979, J Clin Endocrinol
    Metab 48:352.

    >>> infusion("glucagon", 3, "ng/kg/min", 180)
    <Protocol infusion('glucagon', 3, 'ng/kg/min', 180), 180 min>
      0 min: glucagon 540 ng/kg intravenous over 180 min
    """
    return Protocol((_infused(substance, rate, unit, duration, start),))


@_protocol
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


@_protocol
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
            events.append(_infused("insulin", rate, insulin_unit, 1, start + step))
        events.append(_infused("insulin", insulin_rate, insulin_unit, duration - steps, start + steps))
    return Protocol(tuple(events))


@_protocol
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
    raise_any([*_not_a_list(targets=targets), *not_a_number(0, each=each, exclusive=True)])
    steps = sum(clamp(target, each, unit=unit, start=i * each) for i, target in enumerate(targets))
    if insulin_rate is None:
        return steps
    return steps + infusion("insulin", insulin_rate, insulin_unit, each * len(targets))


@_protocol
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
    problems = _not_a_list(times=times, glucose=glucose)
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


@_protocol
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
        _infused("insulin", insulin_rate, insulin_unit, duration, start),
        _infused("glucagon", glucagon_rate, glucagon_unit, duration, start),
    ]
    held = Protocol() if glucose is None else clamp(glucose, duration, unit=unit, start=start)
    return Protocol((*events, *held.events))


@_protocol
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
    pumped = _infused("insulin", rate, unit, before, -before)
    left = pumped.amount / before / absorption_rate
    depot = Event(0, "release", "insulin", "subcutaneous", left, pumped.unit, 0, absorption_rate)
    return Protocol((pumped, depot), until=after)


def parse_protocol(text: Protocol | str) -> Protocol:
    """The protocol that a text such as ``"ogtt(75) + meal(60).shift(300)"`` describes.

    Allowed are calls of the protocol functions with numbers, lists of numbers and quoted texts, ``+`` and
    ``.shift(minutes)``; numbers may be computed (``7 * 60``). Nothing else is executed. A `Protocol` is given
    back as it is. Raises ProtocolError with what is known and the nearest name.

    >>> parse_protocol("clamp(90, insulin_rate=1) + fast(hours=4)").duration
    240.0
    """
    if isinstance(text, Protocol):
        return text
    if not isinstance(text, str) or len(text) > 20_000:
        raise ProtocolError("A protocol must be a text of at most 20,000 characters, such as 'ogtt(75)'.")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
        result = _evaluate(tree, text.strip())
    except SyntaxError as error:
        raise ProtocolError(
            f"{_short(text)!r} cannot be read: {error.msg}. A protocol looks like {_EXAMPLE}."
        ) from None
    except ProtocolError:
        raise
    except (ValueError, ArithmeticError, RecursionError, MemoryError):
        why = "it is nested too deeply, or holds odd characters or immense numbers"
        raise ProtocolError(f"{_short(text)!r} cannot be read: {why}.") from None
    if not isinstance(result, Protocol):
        raise ProtocolError(f"{text!r} is {result!r}, not a protocol. A protocol looks like {_EXAMPLE}.")
    return result


_EXAMPLE = "'ogtt(75) + meal(60).shift(300)'"
_ARITHMETIC = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def _evaluate(node: ast.expr, text: str) -> Protocol | float | list[float] | str | None:
    where = ast.get_source_segment(text, node) or text
    match node:
        case ast.Constant(value=bool()):
            pass
        case ast.Constant(value=int() | float() | str() | None):
            return node.value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            value = _evaluate(operand, text)
            if isinstance(value, Real):
                return -value if isinstance(node.op, ast.USub) else value
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            values = [_evaluate(element, text) for element in elements]
            if all(isinstance(value, Real) for value in values):
                return values
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            return _combine(_evaluate(left, text), op, _evaluate(right, text), where)
        case ast.Call(func=ast.Name(id=name)):
            if name not in _PROTOCOLS:
                known = ", ".join(sorted(_PROTOCOLS))
                raise ProtocolError(f"{where}: no protocol {name!r}.{hint(name, _PROTOCOLS)} Known: {known}.")
            return _call(_PROTOCOLS[name], node, text, where)
        case ast.Call(func=ast.Attribute(value=inner, attr=name)):
            protocol = _evaluate(inner, text)
            if isinstance(protocol, Protocol) and name == "shift":
                return _call(protocol.shift, node, text, where)
            raise ProtocolError(
                f"{where}: no method {name!r}.{hint(name, ['shift'])} Known: shift, of a protocol."
            )
        case ast.Name(id=name) if name in _PROTOCOLS:
            raise ProtocolError(f"{where}: {name} needs brackets, as in {name}(...).")
    raise ProtocolError(
        f"{where}: not part of a protocol. Allowed: calls of {', '.join(sorted(_PROTOCOLS))}, "
        f"+, .shift(minutes), numbers, lists of numbers and quoted texts; for instance {_EXAMPLE}."
    )


def _combine(left, op: ast.operator, right, where: str):
    numbers = isinstance(left, Real) and isinstance(right, Real)
    if numbers or (isinstance(op, ast.Add) and isinstance(left, Protocol) and isinstance(right, Protocol)):
        try:
            return _ARITHMETIC[type(op)](left, right)
        except (ZeroDivisionError, OverflowError) as error:
            raise ProtocolError(f"{where}: {error}.") from None
    raise ProtocolError(f"{where}: only protocol + protocol and arithmetic of numbers are understood.")


def _call(function: Callable[..., Protocol], node: ast.Call, text: str, where: str) -> Protocol:
    known = [name for name in inspect.signature(function).parameters]
    for keyword in node.keywords:
        if keyword.arg not in known:
            raise ProtocolError(
                f"{where}: no argument {keyword.arg!r}.{hint(keyword.arg, known)} Known: {', '.join(known)}."
            )
    args = [_evaluate(arg, text) for arg in node.args]
    kwargs = {keyword.arg: _evaluate(keyword.value, text) for keyword in node.keywords}
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise ProtocolError(f"{where}: {error}. Arguments: {inspect.signature(function)}.") from None
    return function(*args, **kwargs)


def _infused(substance: str, rate: float, unit: str, duration: float, start: float) -> Event:
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


def _not_a_list(**values: object) -> list[str]:
    """A sentence for each value that is no list of one finite number or more."""
    problems = []
    for name, value in values.items():
        if not isinstance(value, (list, tuple)) or not value:
            problems.append(f"{name} is {value!r}; it must be a list of numbers, such as [90, 70, 55]")
        else:
            problems += not_a_number(-math.inf, **{f"{name}[{i}]": v for i, v in enumerate(value)})
    return problems


def _plain(value: object) -> object:
    """An argument without its array: arrays, series and ranges as lists, their elements as numbers."""
    values = getattr(value, "values", None)
    value = value if values is None or callable(values) else values
    if hasattr(value, "tolist"):
        return value.tolist()
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def _written(value: object) -> str:
    """An argument as it would be written in a call."""
    if isinstance(value, list):
        return f"[{', '.join(map(_written, value))}]"
    return number(value) if isinstance(value, Real) and not isinstance(value, bool) else repr(value)


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "..."
