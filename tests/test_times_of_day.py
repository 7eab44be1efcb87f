"""Times of day become minutes from the dose of each test, through midnight, dates and summer time."""

import pytest
from many_forms import OGTT, asked, written

from bayesglu.study.readers.clock import moment
from bayesglu.study.study import StudyError, load_study


def clock_rows(times, date="", extra=""):
    head = "subject,time,analyte,value,unit" + (",dose_time" if extra else "")
    lines = [f"A,{date}{time},glucose,{90 + n},mg/dL{extra}" for n, time in enumerate(times)]
    return "\n".join([head, *lines]) + "\n"


def minutes(path, **options):
    return load_study(path, **OGTT, **options).observations["time"].values.tolist()


def test_times_of_day_are_minutes_from_the_dose_once_it_is_said(tmp_path):
    path = written(tmp_path / "clock.csv", clock_rows(["07:50", "08:00", "08:30", "9:00"]))
    assert "start='first'" in asked(path, "start")
    assert minutes(path, start="08:00") == [-10, 0, 30, 60]
    assert minutes(path, start={"A": "8:00 AM"}) == [-10, 0, 30, 60]
    assert minutes(path, start="first") == [0, 10, 40, 70]
    stated = written(tmp_path / "stated.csv", clock_rows(["07:50", "08:30"], extra=",08:00"))
    assert minutes(stated) == [-10, 30]
    assert "zero of each test is 08:00" in load_study(path, start="08:00", **OGTT).datasheet["note"]


def test_a_test_may_run_through_midnight_and_dates_may_have_a_column_of_their_own(tmp_path):
    night = written(tmp_path / "night.csv", clock_rows(["23:30", "23:45", "00:15", "01:30"]))
    assert minutes(night, start="23:30") == [0, 15, 45, 120]
    text = "id;Date;Time;Glucose (mmol/L)\nA;31.05.2024;23:50;5,1\nA;01.06.2024;00:20;8,2\n"
    assert minutes(written(tmp_path / "dates.csv", text), start="31.05.2024 23:50") == [0, 30]


def test_the_order_of_day_and_month_is_asked_for_where_no_date_says_it(tmp_path):
    text = clock_rows(["03/04/2024 23:00", "03/05/2024 01:00"])
    path = written(tmp_path / "order.csv", text)
    asked(path, "dates", start="first")
    assert minutes(path, start="first", dates="mdy") == [0, 120]
    clear = written(tmp_path / "clear.csv", text.replace("03/04", "03/30").replace("03/05", "03/31"))
    assert minutes(clear, start="first", time_zone="America/New_York") == [0, 120]


def test_summer_time_is_real_time_in_a_time_zone_and_asked_for_without(tmp_path):
    spring = written(tmp_path / "s.csv", clock_rows(["2024-03-31 00:30", "2024-03-31 04:30"]))
    assert "change their clocks" in asked(spring, "time_zone", start="first")
    assert minutes(spring, start="first", time_zone="Europe/Berlin") == [0, 180]
    assert minutes(spring, start="first", time_zone="UTC") == [0, 240]
    autumn = clock_rows(["2024-10-27 01:30", "2024-10-27 02:30", "2024-10-27 02:15", "2024-10-27 03:30"])
    assert minutes(written(tmp_path / "a.csv", autumn), start="first", time_zone="Europe/Berlin") == [
        0,
        60,
        105,
        180,
    ]
    offsets = clock_rows(["2024-03-31T00:30:00+01:00", "2024-03-31T04:30:00+02:00"])
    assert minutes(written(tmp_path / "o.csv", offsets), start="first") == [0, 180]
    gap = written(tmp_path / "g.csv", clock_rows(["2024-03-31 01:30", "2024-03-31 02:30"]))
    assert "does not exist in Europe/Berlin" in asked(gap, start="first", time_zone="Europe/Berlin")


def test_whatever_runs_through_a_changed_hour_asks_for_the_time_zone(tmp_path):
    spring, autumn = ("2024-03-31 01:30", "2024-03-31 03:30"), ("2024-10-27 01:30", "2024-10-27 02:30")
    for times in (spring, autumn):
        path = written(tmp_path / f"{times[0][:10]}.csv", clock_rows(times))
        assert "change their clocks" in asked(path, "time_zone", start="first")
    later = written(tmp_path / "later.csv", clock_rows(["2024-03-31 08:00", "2024-03-31 10:00"]))
    assert minutes(later, start="first") == [0, 120]


def test_a_time_that_is_there_twice_is_not_guessed(tmp_path):
    times = ["2024-10-27 01:30", "2024-10-27 02:30", "2024-10-27 03:30"]
    path = written(tmp_path / "a.csv", clock_rows(times))
    with pytest.raises(StudyError, match="2024-10-27 02:30 is there twice in Europe/Berlin"):
        minutes(path, start="first", time_zone="Europe/Berlin")
    for offset, expected in (("+02:00", 60), ("+01:00", 120)):
        said = written(tmp_path / "o.csv", clock_rows([times[0], times[1] + offset, times[2]]))
        assert minutes(said, start="first", time_zone="Europe/Berlin") == [0, expected, 180]


def test_a_start_in_the_night_of_a_change_is_real_time_and_not_guessed(tmp_path):
    berlin = {"time_zone": "Europe/Berlin"}
    autumn = written(tmp_path / "a.csv", clock_rows(["2024-10-27 03:30", "2024-10-27 04:00"]))
    for start in ("01:30", "2024-10-27 01:30"):
        assert minutes(autumn, start=start, **berlin) == [180, 210]
    for start in ("02:30", "2024-10-27 02:30", {"A": "2024-10-27 02:30"}):
        assert "2024-10-27 02:30 is there twice in Europe/Berlin" in asked(autumn, start=start, **berlin)
    for offset, expected in (("+02:00", 120), ("+01:00", 60)):
        assert minutes(autumn, start=f"2024-10-27 02:30{offset}", **berlin) == [expected, expected + 30]
    stated = written(
        tmp_path / "b.csv", clock_rows(["2024-10-27 03:30", "2024-10-27 04:00"], extra=",2024-10-27 02:30")
    )
    assert "2024-10-27 02:30 is there twice" in asked(stated, **berlin)
    spring = written(tmp_path / "s.csv", clock_rows(["2024-03-31 03:30", "2024-03-31 04:00"]))
    assert minutes(spring, start="01:30", **berlin) == [60, 90]
    for start in ("02:30", "2024-03-31 02:30"):
        assert "2024-03-31 02:30 does not exist in Europe/Berlin" in asked(spring, start=start, **berlin)
    utc = written(tmp_path / "u.csv", clock_rows(["2024-10-26T23:50Z", "2024-10-27T02:30Z"]))
    assert (
        minutes(utc, start="2024-10-27 01:50", **berlin) == minutes(utc, start="01:50", **berlin) == [0, 160]
    )


def test_a_date_of_the_start_says_no_more_than_the_samples_do(tmp_path):
    path = written(tmp_path / "clock.csv", clock_rows(["07:50", "08:30"]))
    assert minutes(path, start="2024-05-01 08:00", time_zone="Europe/Berlin") == [-10, 30]


def test_several_days_of_one_person_are_not_one_test(tmp_path):
    text = clock_rows(["2024-05-01 08:00", "2024-05-01 09:00", "2024-05-08 08:00"])
    assert "has samples on several days" in asked(written(tmp_path / "days.csv", text), start="08:00")


@pytest.mark.parametrize(
    "text", ["25:00", "2024-02-31 08:00", "13:00 PM", "08:61", "8", "2024-05-01", "1 Foo 2024 08:00", ""]
)
def test_what_is_no_moment_is_none(text):
    assert moment(text, "dmy") is None


def test_times_that_are_written_in_two_ways_are_refused(tmp_path):
    mixed = written(tmp_path / "a.csv", clock_rows(["08:00", "2024-05-02 08:30"]))
    assert "some times have a date and some have none" in asked(mixed, start="first")
    offsets = written(tmp_path / "b.csv", clock_rows(["2024-05-02T08:00Z", "2024-05-02 10:30"]))
    assert "have an offset from UTC and some have none" in asked(offsets, "time_zone", start="first")
    assert minutes(offsets, start="first", time_zone="Europe/Berlin") == [0, 30]


def test_a_start_is_of_the_clock_of_the_samples_and_of_utc_only_where_that_is_said(tmp_path):
    utc = written(tmp_path / "utc.csv", clock_rows(["2024-05-02T05:50Z", "2024-05-02T06:30Z"]))
    assert "times are of UTC: of which clock is '08:00'?" in asked(utc, "time_zone", start="08:00")
    for start in ("08:00", "2024-05-02 08:00"):
        assert minutes(utc, start=start, time_zone="Europe/Berlin") == [-10, 30]
    assert minutes(utc, start="2024-05-02T08:00+02:00") == [-10, 30]
    assert minutes(utc, start="06:00", time_zone="UTC") == [-10, 30]
    local = written(tmp_path / "o.csv", clock_rows(["2024-05-02T07:50+02:00", "2024-05-02T08:30+02:00"]))
    assert minutes(local, start="08:00") == [-10, 30]
