"""Protocols as the solver sees them: nothing lost, nothing added, everyone at their own times."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayesglu.protocols.clamps import clamp, isoglycaemic
from bayesglu.protocols.faults import ProtocolError
from bayesglu.protocols.library import fast, infusion, injection, ivgtt, meal, ogtt
from bayesglu.protocols.schedule import AMOUNT_CHANNELS, CHANNELS, CLAMP_LEAD, SAME_MOMENT, build_schedule

# A busy machine may be slow at one example without being wrong.
unhurried = settings(deadline=None)

WEIGHT = 70.0
moments = st.floats(-300, 1500).map(lambda value: round(value, 2))
amounts = st.floats(0, 300)
spans = st.floats(0.5, 600)
deliveries = st.one_of(
    st.builds(ogtt, amounts),
    st.builds(
        lambda g, e, d: meal(g, emptying=e, duration=d), amounts, st.floats(0.2, 1), st.just(0) | spans
    ),
    st.builds(lambda g: ivgtt(g, unit="mg/kg", insulin=0.03), amounts),
    st.builds(lambda r, d: infusion("insulin", r, "mU/kg/min", d), amounts, spans),
    st.builds(lambda r, d: infusion("glucagon", r, "ng/kg/min", d), amounts, spans),
    st.builds(
        lambda a, k: injection("insulin", a, "U", route="subcutaneous", absorption_rate=k), amounts, spans
    ),
    st.builds(lambda a: injection("glucagon", a, "ug", route="intramuscular"), amounts),
).flatmap(lambda protocol: moments.map(protocol.shift))
protocols = st.lists(deliveries, max_size=6).map(lambda parts: sum(parts, fast(0)))
sampling_times = st.lists(moments, min_size=1, max_size=12)
people = st.lists(st.tuples(protocols, sampling_times), min_size=1, max_size=4)


def prescribed(protocol, weight=WEIGHT):
    """Canonical amounts of a protocol, channel -> per kg, added up the obvious way."""
    return {
        name: sum(d.amount for d in protocol.canonical(weight) if d.channel == name)
        for name in AMOUNT_CHANNELS
    }


def same(one, other):
    """Whether two schedules hold the same arrays, exactly."""
    return one.channels == other.channels and all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True)
        for name in vars(one)
        if name not in ("channels", "undelivered")
    )


@unhurried
@given(people)
def test_the_total_delivered_equals_the_total_prescribed(people):
    schedule = build_schedule([p for p, _ in people], [t for _, t in people], WEIGHT)
    delivered, remaining = schedule.delivered(), schedule.remaining()
    for n, (protocol, _) in enumerate(people):
        for name, amount in prescribed(protocol).items():
            total = delivered[name][n] + remaining[name][n] + schedule.undelivered[name][n]
            assert total == pytest.approx(amount, rel=1e-12, abs=1e-12 * max(amount, 1))
            # The three parts must each be an amount, not a debt that cancels another.
            assert min(delivered[name][n], remaining[name][n]) >= 0
            assert schedule.undelivered[name][n] >= -1e-9 * amount


@unhurried
@given(people)
def test_every_stop_lies_in_order_and_every_sample_is_taken_once_at_its_time(people):
    times = [np.unique(t) for _, t in people]
    schedule = build_schedule([p for p, _ in people], times, WEIGHT)
    assert schedule.offset[-1] == len(schedule.time) == len(schedule.sample) == len(schedule.jump)
    for n, wanted in enumerate(times):
        mine = slice(*schedule.offset[n : n + 2])
        taken = schedule.sample[mine][schedule.sample[mine] >= 0]
        assert (np.diff(schedule.time[mine]) > SAME_MOMENT / 2).all()
        np.testing.assert_array_equal(schedule.time[mine][schedule.sample[mine] >= 0], wanted)
        np.testing.assert_array_equal(schedule.sample_time[taken], wanted)
        assert (schedule.sample_person[taken] == n).all()
        assert schedule.start[n] == schedule.time[mine][0] <= wanted[0]
        assert schedule.end[n] == wanted[-1] == schedule.time[mine][-1]
    np.testing.assert_array_equal(schedule.sample[schedule.sample >= 0], np.arange(len(schedule.sample_time)))


@unhurried
@given(people)
def test_at_the_last_stop_nothing_is_given_and_what_ran_is_as_it_was(people):
    schedule = build_schedule([p for p, _ in people], [t for _, t in people], WEIGHT)
    last = schedule.offset[1:] - 1
    assert not schedule.jump[last].any() and not schedule.slope.any()
    several = np.diff(schedule.offset) > 1
    np.testing.assert_array_equal(schedule.rate[last[several]], schedule.rate[last[several] - 1])
    for column, name in enumerate(schedule.channels):
        assert (schedule.rate[last[~several], column] == (name == "emptying")).all()


@unhurried
@given(people)
def test_one_persons_schedule_does_not_depend_on_who_else_is_there(people):
    together = build_schedule([p for p, _ in people], [t for _, t in people], WEIGHT)
    for n, (protocol, t) in enumerate(people):
        alone = build_schedule([protocol], [t], WEIGHT)
        mine = slice(*together.offset[n : n + 2])
        np.testing.assert_array_equal(alone.time, together.time[mine])
        for column, name in enumerate(together.channels):
            default = 1.0 if name == "emptying" else 0.0
            for field in ("jump", "rate"):
                expected = np.full(len(alone.time), default if field == "rate" else 0.0)
                if name in alone.channels:
                    expected = getattr(alone, field)[:, alone.channels.index(name)]
                np.testing.assert_array_equal(getattr(together, field)[mine, column], expected)


@pytest.mark.parametrize(
    "nothing",
    [
        ogtt(0),
        meal(0, duration=10),
        ivgtt(0, insulin=0),
        infusion("insulin", 0, "U/h", 60),
        injection("glucagon", 0, "mg", route="intramuscular"),
    ],
    ids=lambda protocol: protocol.name,
)
def test_a_zero_dose_is_the_same_as_fasting(nothing):
    times = [[0, 30, 60, 120]]
    assert same(build_schedule([nothing.shift(15)], times, WEIGHT), build_schedule([fast(2)], times))
    assert build_schedule([nothing], times, WEIGHT).channels == ()


@pytest.mark.parametrize("later", [0, 20.5])
@unhurried
@given(dose=st.floats(1e-3, 300))
def test_two_half_doses_at_once_equal_one(dose, later):
    times = [[-10, 0, 30, 60, 120]]

    def schedule(*doses):
        given = [meal(d, duration=20) + ogtt(d, unit="g/kg") + ivgtt(d, insulin=d) for d in doses]
        given += [infusion("glucagon", d, "ng/kg/min", 300) for d in doses]
        return build_schedule([sum(given).shift(later)], times, WEIGHT)

    assert same(schedule(dose / 2, dose / 2), schedule(dose))


def test_two_half_depots_release_what_one_does():
    one = injection("insulin", 8, "U", route="subcutaneous")
    half = injection("insulin", 4, "U", route="subcutaneous")
    whole, halves = (build_schedule([p], [[0, 60]], WEIGHT) for p in (one, half + half))
    assert len(whole.release_time) == 1 and len(halves.release_time) == 2
    assert halves.release_amount.sum() == whole.release_amount.sum()
    assert halves.delivered()["insulin"] == pytest.approx(whole.delivered()["insulin"], rel=1e-15)


def test_overlapping_infusions_add_up_and_end_without_a_trace():
    both = infusion("insulin", 1, "pmol/kg/min", 60) + infusion("insulin", 0.1, "pmol/kg/min", 60, start=30)
    schedule = build_schedule([both], [[0, 120]])
    np.testing.assert_array_equal(schedule.time, [0, 30, 60, 90, 120])
    np.testing.assert_allclose(schedule.rate[:, 0], [1, 1.1, 0.1, 0, 0], rtol=1e-15)
    assert (schedule.rate[3:, 0] == 0).all()


def test_a_sample_at_the_time_of_the_drink_is_taken_before_it():
    schedule = build_schedule([ogtt(70)], [[0, 30]], WEIGHT)
    np.testing.assert_array_equal(schedule.sample, [0, 1])
    np.testing.assert_array_equal(schedule.jump, [[1000], [0]])


def test_deliveries_before_the_first_sample_come_first():
    schedule = build_schedule([meal(70, emptying=1).shift(-120) + ogtt(70)], [[0, 30]], WEIGHT)
    np.testing.assert_array_equal(schedule.time, [-120, 0, 30])
    np.testing.assert_array_equal(schedule.sample, [-1, 0, 1])
    assert schedule.start == [-120] and schedule.channels == ("stomach",)


def test_what_comes_after_the_last_sample_is_counted_as_undelivered():
    late = ogtt(70) + meal(7).shift(60) + infusion("insulin", 2, "pmol/kg/min", 100, start=20) + clamp(90, 99)
    schedule = build_schedule([late], [[0, 60]], WEIGHT)
    assert schedule.time[-1] == 60
    assert schedule.delivered()["stomach"] == 1000 and schedule.undelivered["stomach"] == 100
    assert schedule.delivered()["insulin"] == 80 and schedule.undelivered["insulin"] == 120


def test_a_depot_gives_and_keeps_what_first_order_release_says():
    shot = injection("glucagon", 1, "ug/kg", route="intramuscular").shift(10)
    schedule = build_schedule([fast(1), shot], [[0, 40], [0, 40]])
    np.testing.assert_array_equal(schedule.release_offset, [0, 0, 1])
    assert schedule.channels == ("glucagon",) and schedule.release_channel == [0]
    assert (schedule.release_time, schedule.release_amount, schedule.release_rate) == ([10], [5e5], [0.03])
    assert 10 in schedule.time
    grid = np.linspace(10, 40, 20_001)
    flow = schedule.release_amount * schedule.release_rate * np.exp(-schedule.release_rate * (grid - 10))
    np.testing.assert_allclose(schedule.delivered()["glucagon"], [0, np.trapezoid(flow, grid)], rtol=1e-8)
    np.testing.assert_allclose(schedule.remaining()["glucagon"], [0, 5e5 * np.exp(-0.9)])


def test_a_stepped_clamp_holds_each_target_in_its_turn():
    steps = clamp(90, 30) + clamp(70, 30, start=30) + clamp(55, 30, start=70)
    schedule = build_schedule([steps, fast(1)], [[0, 120], [0, 120]])
    assert schedule.channels == ("clamp", "clamp_target")
    mine = slice(*schedule.offset[:2])
    np.testing.assert_array_equal(schedule.time[mine], [0, 30, 60, 70, 100, 120])
    np.testing.assert_array_equal(schedule.rate[mine, 0], [1, 1, 0, 1, 0, 0])
    np.testing.assert_array_equal(schedule.rate[mine, 1], [90, 70, 0, 55, 0, 0])
    assert not schedule.rate[schedule.offset[1] :].any()


def test_a_target_that_moves_is_led_by_the_time_that_a_clamp_takes_to_answer():
    moving = isoglycaemic([0, 30, 60], [90, 150, 120])
    schedule = build_schedule([moving], [[0, 10, 30, 45, 80]])
    assert schedule.channels == ("clamp", "clamp_target")
    np.testing.assert_array_equal(schedule.time, [0, 10, 30, 45, 60, 80])
    np.testing.assert_array_equal(schedule.rate[:, 0], [1, 1, 1, 1, 0, 0])
    np.testing.assert_allclose(schedule.slope[:, 1], [2, 2, -1, -1, 0, 0])
    level = np.array([90, 110, 150, 135, 0, 0])
    np.testing.assert_allclose(schedule.rate[:, 1], level + CLAMP_LEAD * schedule.slope[:, 1])
    np.testing.assert_allclose(
        build_schedule([moving], [[0, 20]]).slope[:, 1], [2, 0]
    )  # as steep when it is cut short


def test_emptying_is_that_of_the_latest_meal_or_drink():
    day = (
        meal(60, emptying=0.5).shift(10) + meal(60, emptying=0.8, duration=15).shift(60) + ogtt(75).shift(120)
    )
    schedule = build_schedule([day, fast(1)], [[0, 200], [0]], WEIGHT)
    emptying = schedule.rate[:, schedule.channels.index("emptying")]
    np.testing.assert_array_equal(schedule.time, [0, 10, 60, 75, 120, 200, 0])
    np.testing.assert_array_equal(emptying, [1, 0.5, 0.8, 0.8, 1, 1, 1])


def test_loads_taken_together_empty_at_their_mean_weighted_by_amount():
    schedule = build_schedule([meal(60, emptying=0.5) + ogtt(20)], [[0, 60]], WEIGHT)
    assert schedule.rate[0, schedule.channels.index("emptying")] == pytest.approx(0.625)


def test_moments_that_differ_by_rounding_only_are_one_stop():
    sliver = infusion("insulin", 1, "pmol/kg/min", 0.2, start=0.1) + infusion(
        "insulin", 1, "pmol/kg/min", 1, start=0.3
    )
    assert 0.1 + 0.2 != 0.3
    schedule = build_schedule([sliver], [[0, 0.3, 2]])
    np.testing.assert_array_equal(schedule.time, [0, 0.1, 0.3, 1.3, 2])
    assert schedule.delivered()["insulin"] == pytest.approx(1.2, rel=1e-15)


def test_an_infusion_shorter_than_a_moment_is_a_bolus():
    schedule = build_schedule([infusion("insulin", 3e8, "pmol/kg/min", 1e-8)], [[0, 60]])
    np.testing.assert_allclose(schedule.jump, [[3], [0]])
    assert not schedule.rate.any()


def test_a_measured_insulin_curve_is_followed_between_its_knots_and_held_outside_them():
    knots, values = [5, 10, 30], [60.0, 300.0, 100.0]
    schedule = build_schedule([ivgtt()] * 2, [[0, 8, 20, 50], [0, 50]], forcing=[(knots, values), None])
    mine, column = slice(*schedule.offset[:2]), schedule.channels.index("insulin_level")
    t, level, slope = schedule.time[mine], schedule.rate[mine, column], schedule.slope[mine, column]
    assert set(knots) <= set(t)
    np.testing.assert_array_equal(level, np.interp(t, knots, values))
    np.testing.assert_allclose(level[:-1] + slope[:-1] * np.diff(t), level[1:], rtol=1e-14)
    assert slope[0] == slope[-1] == slope[-2] == 0
    assert not np.delete(schedule.slope, column, axis=1).any()
    theirs = slice(*schedule.offset[1:])
    assert not schedule.rate[theirs].any() and not schedule.slope[theirs].any()


def test_a_curve_that_begins_before_the_person_does_starts_at_its_value_there():
    schedule = build_schedule([fast(1)], [[0, 60]], forcing=[([-10, 10, 90], [10.0, 30.0, 30.0])])
    np.testing.assert_array_equal(schedule.time, [0, 10, 60])
    np.testing.assert_allclose(schedule.rate[:, 0], [20, 30, 30])
    np.testing.assert_allclose(schedule.slope[:, 0], [1, 0, 0])


def test_channels_come_in_one_order_whatever_the_order_of_the_events():
    everything = (
        injection("glucagon", 1, "ug/kg")
        + clamp(90, insulin_rate=1).shift(200)
        + ivgtt()
        + meal(1, unit="g/kg")
    )
    schedule = build_schedule([everything], [[0, 300]], forcing=[([0], [60.0])], clock=True)
    assert schedule.channels == CHANNELS


def test_samples_are_found_by_person_and_exact_time():
    schedule = build_schedule([fast(1)] * 3, [[0, 10], [-5, 0.1 + 0.2], [10, 0, 10]])
    np.testing.assert_array_equal(schedule.sample_time, [0, 10, -5, 0.1 + 0.2, 0, 10])
    np.testing.assert_array_equal(
        schedule.sample_index([2, 1, 0, 1, 2], [10, 0.1 + 0.2, 0, -5, 0]), [5, 3, 0, 2, 4]
    )
    assert schedule.sample_index(0, 10) == 1
    for person, t in [(0, -5), (1, 0.3), (3, 0), (-1, 0), (0, np.nan)]:
        with pytest.raises(ValueError, match=r"1 of 1 are not sampled: person"):
            schedule.sample_index(person, t)


def test_one_can_start_earlier_but_not_later_than_the_first_thing_that_happens():
    schedule = build_schedule([ogtt(75)] * 2, [[0, 30], [0, 30]], WEIGHT, start=[-60, np.nan])
    np.testing.assert_array_equal(schedule.start, [-60, 0])
    with pytest.raises(
        ValueError, match=r"person 0 would start at 5 min, after its first sample .* at 0 min"
    ):
        build_schedule([ogtt(75)], [[10, 30]], WEIGHT, start=5)


def test_every_person_without_a_needed_weight_is_named():
    with pytest.raises(ProtocolError) as caught:
        build_schedule(
            [ogtt(75), ivgtt(), ogtt(75)], [[0]] * 3, [np.nan, np.nan, np.nan], labels=["Ada", "Bo", "Cy"]
        )
    lines = str(caught.value).splitlines()
    assert [line[:3] for line in lines] == ["Ada", "Cy:"]
    assert all("body weight is missing" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(protocols=[], times=[]), "at least one person"),
        (dict(protocols=[fast(1)], times=[[0], [1]]), "1 protocols but 2 times"),
        (dict(protocols=[fast(1)], times=[[]]), "person 0 has no sampling time"),
        (dict(protocols=[fast(1)], times=[[0, np.nan]]), "not finite"),
        (dict(protocols=[fast(1)], times=[[0, 1e-9]]), "samples at 0.0 and 1e-09 min, closer than"),
        (dict(protocols=[fast(1)], times=[[0]], body_weight=[70, 70]), r"body_weight has shape \(2,\)"),
        (dict(protocols=[fast(1)], times=[[0]], forcing=[([0, 1], [1.0])]), "2 times and 1 values"),
        (dict(protocols=[fast(1)], times=[[0]], forcing=[([0], [np.nan])]), "missing values"),
        (dict(protocols=[fast(1)], times=[[0]], forcing=[([1, 0], [1.0, 2.0])]), "do not increase"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        build_schedule(**arguments)


def test_a_thousand_people_are_scheduled_in_seconds():
    day = meal(60).shift(420) + meal(80, duration=15).shift(720) + meal(90).shift(1080)
    began = time.process_time()
    schedule = build_schedule([day] * 1000, [np.linspace(0, 1440, 100)] * 1000, np.full(1000, WEIGHT))
    assert time.process_time() - began < 5  # takes 0.4 s; the margin is for busy machines
    assert len(schedule.sample_time) == 100_000
    np.testing.assert_allclose(schedule.delivered()["stomach"], 230_000 / WEIGHT, rtol=1e-13)
