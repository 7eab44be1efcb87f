"""What is done to a person: exact amounts at exact times, and sums that behave like sums."""

import inspect
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesglu.protocols.calls import PROTOCOLS
from bayesglu.protocols.clamps import clamp, isoglycaemic, pancreatic_clamp, stepped_clamp
from bayesglu.protocols.events import Event
from bayesglu.protocols.faults import ProtocolError
from bayesglu.protocols.library import fast, infusion, injection, ivgtt, meal, meal_day, ogtt, pump_stop
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol

FUNCTIONS = list(PROTOCOLS.values())

# A busy machine may be slow at one example without being wrong.
unhurried = settings(deadline=None)

# Quarters of a minute add without rounding, so the algebra can be asked to hold exactly.
minutes = st.integers(-4000, 4000).map(lambda quarters: quarters / 4)
durations = st.integers(1, 1000).map(lambda quarters: quarters / 4)
amounts = st.floats(0, 300).map(lambda value: round(value, 3))
anything = st.one_of(
    st.builds(ogtt, amounts),
    st.builds(
        lambda g, e, d: meal(g, emptying=e, duration=d), amounts, st.sampled_from([0.5, 0.7, 1]), durations
    ),
    st.builds(lambda g, i: ivgtt(g, unit="mg/kg", insulin=i), amounts, st.none() | st.just(0.03)),
    st.builds(lambda h: fast(h / 4), st.integers(0, 200)),
    st.builds(meal_day, amounts, amounts, amounts, duration=durations),
    st.builds(lambda r, d: pump_stop(r, before=d), amounts, durations),
    st.builds(lambda r, d: pancreatic_clamp(r, duration=d), amounts, durations),
    st.builds(lambda r, d: infusion("insulin", r, "mU/kg/min", d), amounts, durations),
    st.builds(lambda a: injection("glucagon", a, "ug", route="intramuscular"), amounts),
).flatmap(lambda protocol: minutes.map(protocol.shift))


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_every_protocol_cites_a_source_and_shows_an_example(function):
    text = inspect.getdoc(function)
    assert ">>>" in text
    assert any(str(year) in text for year in range(1960, 2030))


@unhurried
@given(anything, anything, anything)
def test_adding_protocols_is_associative_and_commutative(a, b, c):
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert sum([a, b, c]) == a + b + c


@unhurried
@given(anything, anything, minutes, minutes)
def test_a_shift_distributes_over_a_sum_and_shifts_add_up(a, b, early, late):
    assert (a + b).shift(early) == a.shift(early) + b.shift(early)
    assert a.shift(early).shift(late) == a.shift(early + late)
    assert a.shift(early).shift(-early) == a
    assert a.shift(0) == a


@unhurried
@given(anything, anything, minutes)
def test_the_total_of_a_sum_is_the_sum_of_the_totals_and_a_shift_does_not_change_it(a, b, later):
    both = (a + b).total()
    for key in both:
        parts = a.total().get(key, 0.0) + b.total().get(key, 0.0)
        assert both[key] == pytest.approx(parts, rel=1e-15, abs=1e-300)
    assert set(both) == set(a.total()) | set(b.total())
    assert a.shift(later).total() == a.total()


@unhurried
@given(anything, anything)
def test_the_name_of_a_protocol_can_be_read_back(a, b):
    for protocol in (a, a + b, (a + b).shift(30) + b):
        assert parse_protocol(protocol.name) == protocol


@unhurried
@given(anything)
def test_the_table_holds_every_amount_exactly(protocol):
    rows = protocol.table().replace({np.nan: None}).to_dict("records")
    assert tuple(Event(**row) for row in rows) == protocol.events


def test_a_protocol_made_by_hand_has_no_name_until_it_is_given_one():
    by_hand = Protocol(ogtt(75).events)
    assert by_hand == ogtt(75)
    assert by_hand.name == by_hand.shift(5).name == (by_hand + ogtt(75)).name == ""
    assert repr(by_hand).splitlines() == ["<Protocol without a name, 0 min>", "  0 min: glucose 75 g oral"]


def test_events_are_kept_in_order_of_time_and_read_well():
    day = meal(80, duration=9).shift(300) + ogtt(75) + clamp(5, unit="mmol/L").shift(400)
    assert repr(day).splitlines() == [
        "<Protocol meal(80, duration=9).shift(300) + ogtt(75) + clamp(5, unit='mmol/L').shift(400), 520 min>",
        "  0 min: glucose 75 g oral",
        "  300 min: glucose 80 g oral over 9 min (emptying x 0.7)",
        "  400 min: glucose held at 90.08 mg/dL over 120 min",
    ]


def test_a_fast_delivers_nothing_and_keeps_the_protocol_going():
    assert fast(50).events == () and fast(50).total() == {} and fast(50).duration == 3000
    assert (ogtt(75) + fast(hours=3)).duration == 180
    assert fast(1).shift(60).duration == 120
    assert fast(1).shift(-90).duration == 0


def test_amounts_become_amounts_per_kg_in_the_units_of_the_physiology():
    everything = (
        ogtt(70)
        + ivgtt(0.3, insulin=0.03)
        + infusion("insulin", 6, "U/h", 30)
        + infusion("glucagon", 3, "ng/kg/min", 180)
        + injection("glucose", 1, "mmol/kg")
    )
    found = {(d.channel, d.kind, d.time, d.stop): d.amount for d in everything.canonical(body_weight=70)}
    assert found == pytest.approx(
        {
            ("stomach", "bolus", 0, 0): 1000,
            ("glucose", "bolus", 0, 0): 180.16,
            ("insulin", "bolus", 20, 20): 180,
            ("insulin", "infusion", 0, 30): 3 * 6000 / 70,
            ("glucagon", "infusion", 0, 180): 540_000,
        }
    )


def test_of_a_depot_only_the_bioavailable_part_is_delivered_though_all_of_it_is_prescribed():
    shot = injection("glucagon", 1, "mg", route="intramuscular")
    (delivery,) = shot.canonical(body_weight=80)
    assert shot.total() == {("glucagon", "intramuscular", "mg"): 1}
    assert delivery.amount == pytest.approx(0.5 * 1e9 / 80)
    assert (delivery.kind, delivery.channel, delivery.absorption_rate) == ("release", "glucagon", 0.03)


def test_a_depot_without_a_published_absorption_rate_must_be_given_one():
    with pytest.raises(ProtocolError, match=r"intramuscular insulin.*no default; give absorption_rate"):
        injection("insulin", 5, "U", route="intramuscular")
    shot = injection("insulin", 5, "U", route="intramuscular", absorption_rate=0.02)
    assert shot.events[0].absorption_rate == 0.02 and shot.events[0].bioavailability == 1


def test_only_amounts_for_a_whole_person_need_a_body_weight():
    assert ivgtt(insulin=0.03).canonical() == ivgtt(insulin=0.03).canonical(body_weight=70)
    with pytest.raises(ProtocolError) as caught:
        (ogtt(75) + injection("insulin", 4, "U") + clamp(90)).canonical()
    message = str(caught.value)
    assert "0 min: glucose 75 g oral is an absolute amount" in message
    assert "insulin 4 U" in message and "'U/kg'" in message and "held" not in message


@pytest.mark.parametrize("weight", [0, -70, math.nan, math.inf, "70"])
def test_an_impossible_body_weight_is_refused(weight):
    with pytest.raises(ProtocolError, match=r"body_weight is .*above 0"):
        ogtt(75).canonical(body_weight=weight)


def test_a_clamp_primes_with_a_falling_infusion_that_ends_at_the_plateau():
    primed = clamp(90, 120, insulin_rate=1, priming=3)
    insulin = [event for event in primed.events if event.kind == "infusion"]
    rates = np.array([event.amount / event.duration for event in insulin])
    assert rates[0] == 3 and rates[-1] == 1
    np.testing.assert_allclose(rates[1:] / rates[:-1], 3**-0.1)
    assert [event.time for event in insulin] == list(range(11)) and insulin[-1].stop == 120


def test_glucose_cannot_be_clamped_at_two_levels_at_once_but_one_after_the_other():
    steps = clamp(90, 60) + clamp(70, 60).shift(60)
    assert [event.target for event in steps.events] == [90, 70]
    with pytest.raises(ProtocolError, match=r"two clamps at once .* shift the second to 60 min or later"):
        clamp(90, 60) + clamp(70, 60).shift(59)


targets = st.integers(25, 900)
curves = st.dictionaries(minutes, targets, min_size=2, max_size=8).map(lambda curve: sorted(curve.items()))


@unhurried
@given(curves)
def test_a_curve_to_be_copied_can_be_read_back_from_its_name_and_its_table(curve):
    copy = isoglycaemic(*zip(*curve, strict=True))
    assert parse_protocol(copy.name) == copy
    rows = copy.table().replace({np.nan: None}).to_dict("records")
    assert tuple(Event(**row) for row in rows) == copy.events
    knots = [(event.time, event.target) for event in copy.events]
    assert [*knots, (copy.events[-1].stop, copy.events[-1].final_target)] == curve


def test_a_curve_may_be_given_as_lists_arrays_and_data_arrays():
    import xarray as xr

    curve = xr.DataArray([5.0, 7.5], dims="time", coords={"time": [0, 30]})
    copy = isoglycaemic(curve.time, curve, unit="mmol/L")
    assert copy == isoglycaemic(np.array([0, 30]), (5, 7.5), unit="mmol/L")
    assert copy.name == "isoglycaemic([0, 30], [5, 7.5], unit='mmol/L')"
    assert str(copy.events[0]) == "0 min: glucose led from 90.08 to 135.12 mg/dL over 30 min"
    assert stepped_clamp(range(90, 60, -10)) == stepped_clamp([90, 80, 70])


@unhurried
@given(st.lists(targets, min_size=1, max_size=6), durations)
def test_a_stepped_clamp_is_a_sum_of_clamps_under_one_infusion(levels, each):
    steps = stepped_clamp(levels, each)
    assert parse_protocol(steps.name) == steps
    bare = sum(clamp(level, each, start=i * each) for i, level in enumerate(levels))
    assert steps == bare + infusion("insulin", 2, "mU/kg/min", each * len(levels))
    assert stepped_clamp(levels, each, insulin_rate=None) == bare


def test_days_of_meals_follow_each_other():
    two = meal_day() + meal_day(50, 60, 70).shift(24 * 60)
    assert two.duration == 48 * 60 and two.total() == {("glucose", "oral", "g"): 410}
    assert [event.time for event in meal_day(times=[60, 330, 700]).events] == [60, 330, 700]


def test_a_pump_that_stops_leaves_as_much_as_it_keeps_under_the_skin():
    pumped, left = pump_stop(0.9, before=200, absorption_rate=0.01).events
    assert pumped.amount / pumped.duration == pytest.approx(0.015) and pumped.stop == left.time == 0
    assert left.amount * left.absorption_rate == pytest.approx(0.015)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stepped_clamp(90), r"targets is 90; it must be a list of numbers, such as \[90, 70, 55\]"),
        (lambda: stepped_clamp([]), r"targets is \[\]; it must be a list"),
        (lambda: stepped_clamp([90, "low"]), r"targets\[1\] is 'low'"),
        (lambda: stepped_clamp([90, 5]), r"glucose is 5 mg/dL; .*Is the unit 'mmol/L'\?"),
        (lambda: stepped_clamp([90], each=0), r"each is 0; .*above 0"),
        (lambda: isoglycaemic([0, 30], [90]), r"2 times and 1 values of glucose; give two or more pairs"),
        (lambda: isoglycaemic([0], [90]), r"1 times and 1 values"),
        (lambda: isoglycaemic([0, 30, 30], [90, 95, 99]), r"times must increase; after 30 comes 30"),
        (lambda: isoglycaemic([0, 30], [5, 7]), r"Is the unit 'mmol/L'\?"),
        (lambda: meal_day(60, 80, -90), r"amount is -90"),
        (lambda: meal_day(times=[0, 300]), r"times has 2 values; three meals need three"),
        (lambda: pancreatic_clamp(insulin_rate=-1), r"rate is -1"),
        (lambda: pancreatic_clamp(glucose=5), r"Is the unit 'mmol/L'\?"),
        (lambda: pump_stop(1, before=0), r"before is 0; .*above 0"),
        (lambda: pump_stop(1, "U"), r"unit is 'U'; it must be a rate"),
        (lambda: pump_stop(1, after=-5), r"after is -5"),
        (lambda: ogtt(-75), r"^ogtt\(-75\): amount is -75; it must be a finite number of at least 0\.$"),
        (lambda: ogtt(math.nan), r"ogtt\(nan\): amount is nan"),
        (lambda: ogtt("75"), r"ogtt\('75'\): amount is '75'"),
        (lambda: ogtt(True), r"amount is True"),
        (lambda: ogtt(75, unit="gr"), r"Unknown unit 'gr' for a dose of glucose\. Did you mean 'g'"),
        (lambda: ogtt(75, unit="g/min"), r"unit is 'g/min', a rate; here an amount is wanted, such as 'g'"),
        (lambda: ogtt(75, unit=None), r"unit is None; it must be text"),
        (lambda: meal(60, emptying=0), r"emptying is 0; .* above 0"),
        (lambda: meal(60, duration=-5), r"duration is -5"),
        (lambda: fast(-1), r"hours is -1"),
        (lambda: ivgtt(insulin=0.03, insulin_time=math.inf), r"time is inf"),
        (
            lambda: infusion("insuline", 1, "mU/kg/min", 60),
            r"substance is 'insuline'; .*did you mean 'insulin'\?",
        ),
        (lambda: infusion("insulin", 1, "mU/kg", 60), r"unit is 'mU/kg'; it must be a rate.*'mU/kg/min'"),
        (lambda: infusion("insulin", 1, "mU/m2/min", 60), r"Unknown unit 'mU/m2'"),
        (lambda: infusion("insulin", 1, "mU/kg/min", 0), r"duration is 0; .* above 0"),
        (
            lambda: injection("insulin", 5, "U", route="subcut"),
            r"route is 'subcut'.*did you mean 'subcutaneous'",
        ),
        (lambda: injection("insulin", 5, "U", route="oral"), r"route is 'oral'; allowed: intravenous"),
        (lambda: injection("insulin", 5, "U", absorption_rate=1), r"belong to a depot.*'subcutaneous'"),
        (
            lambda: injection("glucagon", 1, "mg", route="intramuscular", bioavailability=50),
            r"bioavailability is 50; it must be a share",
        ),
        (lambda: clamp(5), r"clamp\(5\): glucose is 5 mg/dL; .*Is the unit 'mmol/L'\?"),
        (lambda: clamp(90, unit="mmol/L"), r"Is the unit 'mg/dL'\?"),
        (lambda: clamp(90, unit="mmol"), r"Unknown unit 'mmol' for glucose"),
        (lambda: clamp(90, priming=3), r"give insulin_rate too"),
        (lambda: clamp(90, 5, insulin_rate=1, priming=3), r"priming takes 10 min, and the clamp lasts 5 min"),
        (lambda: clamp(90, insulin_rate="fast", priming=2), r"insulin_rate is 'fast'"),
        (lambda: ogtt(75).shift(math.nan), r"shift: minutes is nan"),
    ],
)
def test_an_impossible_order_is_refused_with_what_is_allowed(call, message):
    with pytest.raises(ProtocolError, match=message):
        call()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"kind": "bolos"},
            r"kind is 'bolos'; allowed: bolus, infusion, release, clamp \(did you mean 'bolus'\?\)",
        ),
        ({"route": "intramuscular"}, r"route of a bolus is 'intramuscular'; allowed: oral, intravenous"),
        ({"route": "subcutaneous", "kind": "release"}, r"every release needs one"),
        ({"substance": "insulin", "unit": "U"}, r"route of insulin is 'oral'"),
        ({"duration": 5}, r"duration is 5; a bolus has none"),
        ({"kind": "infusion"}, r"duration is 0; it must be above 0 min for one of kind 'infusion'"),
        ({"bioavailability": 0.5}, r"bioavailability belongs to a release"),
        ({"route": "intravenous", "emptying": 0.7}, r"emptying belongs to oral glucose"),
        ({"target": 90}, r"target \(mg/dL\) belongs to a clamp"),
        ({"final_target": 90}, r"final_target \(mg/dL\) belongs to a clamp"),
        ({"kind": "clamp", "duration": 60, "target": 90}, r"a clamp is of intravenous glucose"),
    ],
)
def test_an_event_that_contradicts_itself_is_refused(change, message):
    drink = dict(time=0, kind="bolus", substance="glucose", route="oral", amount=75, unit="g")
    with pytest.raises(ProtocolError, match=message):
        Event(**drink | change)


def test_all_faults_of_an_event_are_told_at_once():
    with pytest.raises(ProtocolError) as caught:
        Event(time=math.nan, kind="drip", substance="sugar", route="oral", amount=-1, unit="g")
    for fault in ("kind is 'drip'", "substance is 'sugar'", "time is nan", "amount is -1"):
        assert fault in str(caught.value)


def test_every_protocol_can_be_read_from_a_text_before_anything_else_is_imported():
    code = "from bayesglu.protocols.parse import PROTOCOLS; print(*PROTOCOLS)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {function.__name__ for function in FUNCTIONS}


def test_a_text_becomes_the_protocol_it_describes():
    text = " ogtt(grams=75) + infusion('insulin', 1, 'mU/kg/min', duration=2 * 60).shift(-5 + 65) "
    assert parse_protocol(text) == ogtt(75) + infusion("insulin", 1, "mU/kg/min", 120).shift(60)
    assert parse_protocol("(ogtt(75) + meal(60)).shift(60)") == ogtt(75).shift(60) + meal(60).shift(60)
    assert parse_protocol("ivgtt(insulin=None)") == ivgtt()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "ogt(75)",
            r"^ogt\(75\): no protocol 'ogt'\. Did you mean 'ogtt'\? Known: clamp, fast, .*ogtt, .*\.$",
        ),
        ("ogtt", r"ogtt needs brackets"),
        ("ogtt(gram=75)", r"no argument 'gram'\. Did you mean 'grams'\? Known: grams, unit"),
        ("ogtt(75, 76)", r"too many positional arguments"),
        ("meal()", r"missing a required argument: 'carbohydrate'"),
        ("meal(60).shit(60)", r"no method 'shit'\. Did you mean 'shift'\?"),
        ("ogtt(-75)", r"ogtt\(-75\): amount is -75"),
        ("ogtt(75) +", r"cannot be read: invalid syntax.*looks like"),
        ("", r"cannot be read"),
        ("75", r"not a protocol"),
        ("ogtt(75) * 2", r"only protocol \+ protocol"),
        ("ogtt(1/0)", r"1/0: "),
        ("ogtt(1" + "0" * 400 + ")", r"cannot be read"),
        ("ogtt(True)", r"True: not part of a protocol"),
        ("(" * 500 + "ogtt(75)" + ")" * 500, r"cannot be read"),
        ("__import__('os').system('true')", r"no protocol '__import__'"),
        ("ogtt.__globals__", r"not part of a protocol"),
        ("[ogtt(75)][0]", r"not part of a protocol"),
        ("ogtt(*[75])", r"not part of a protocol"),
        ("[90, 70]", r"'\[90, 70\]' is \[90, 70\], not a protocol"),
        ("stepped_clamp(['90'])", r"\['90'\]: not part of a protocol"),
        ("stepped_clamp([90]) + [70]", r"only protocol \+ protocol"),
        ("ogtt(**{'grams': 75})", r"no argument None"),
        ("(lambda: 1)()", r"not part of a protocol"),
        ("9 ** 9", r"not part of a protocol"),
        ("ogtt(75" + " " * 20_000 + ")", r"at most 20,000 characters"),
    ],
)
def test_a_text_that_is_no_protocol_is_refused_with_words_that_help(text, message):
    with pytest.raises(ProtocolError, match=message):
        parse_protocol(text)
