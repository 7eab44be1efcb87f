"""Times of day and dates as minutes from the zero of each test, which is its dose."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from bayesglu.study.readers.answers import Answers, say
from bayesglu.text.problems import Problems

_TIME = (
    r"(?P<hour>\d{1,2})(?:[:h](?P<minute>\d{2}))(?::(?P<second>\d{2}(?:[.,]\d+)?))?"
    r"\s*(?P<half>[aApP]\.?\s?[mM]\.?)?\s*(?P<offset>Z|[+-]\d{2}:?\d{2})?"
)
_DATE = (
    r"(?:(?P<year>\d{4})[-/.](?P<month>\d{1,2})[-/.](?P<day>\d{1,2})"
    r"|(?P<first>\d{1,2})(?P<between>[-/.])(?P<second_part>\d{1,2})[-/.](?P<last>\d{4}|\d{2})"
    r"|(?P<named_day>\d{1,2})[-\s.]+(?P<named>[A-Za-z]{3})[a-z]*[-\s.,]+(?P<named_year>\d{4}))"
)
CLOCK = re.compile(rf"\s*(?:{_DATE}(?:[T,]?\s*|\s+))?{_TIME}\s*")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
DAY = 1440.0


@dataclass(frozen=True)
class Moment:
    """A moment as it is written: a time of day, in minutes, perhaps a date and an offset from UTC."""

    minutes: float
    day: datetime.date | None = None
    offset: float | None = None


def is_clock(cell: str) -> bool:
    """Say whether a cell is a time of day, with or without a date.

    >>> is_clock("08:30"), is_clock("2024-03-31 8:00 AM"), is_clock("30")
    (True, True, False)
    """
    return bool(CLOCK.fullmatch(cell))


def date_order(cells: Iterable[str], answers: Answers, problems: Problems, where: str) -> str:
    """What comes first in dates such as 03/04/2024: ``dmy`` or ``mdy``; asked for where none says."""
    if answers.dates:
        return answers.dates
    pairs = {}
    for cell in cells:
        found = re.match(r"\s*(\d{1,2})([-/.])(\d{1,2})[-/.](\d{4}|\d{2})\b", cell)
        if found:
            pairs[cell] = int(found[1]), int(found[3]), found[2]
    if not pairs or any(sign == "." or first > 12 for first, _, sign in pairs.values()):
        return "dmy"
    if any(second > 12 for _, second, _ in pairs.values()):
        return "mdy"
    if any(first != second for first, second, _ in pairs.values()):
        example = next(cell for cell, (first, second, _) in pairs.items() if first != second)
        problems.add(
            f"writes {example!r}: is the day or the month first? {say('dates')} Or dates='mdy'.", where
        )
    return "dmy"


def moment(cell: str, order: str) -> Moment | None:
    """The moment that a cell says; None where it is none, such as 25:00 or the 31st of February."""
    found = CLOCK.fullmatch(cell)
    if not found:
        return None
    hour, minute = int(found["hour"]), int(found["minute"] or 0)
    if half := (found["half"] or "").lower()[:1]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + (12 if half == "p" else 0)
    second = float((found["second"] or "0").replace(",", "."))
    if hour > 23 or minute > 59 or second >= 60:
        return None
    offset = None
    if zone := found["offset"]:
        digits = zone.replace(":", "")
        sign = -1 if digits[0] == "-" else 1
        offset = 0.0 if zone == "Z" else sign * (60.0 * int(digits[1:3]) + int(digits[3:5]))
    try:
        day = _day(found, order)
    except ValueError:
        return None
    if day is not None and not 1900 <= day.year <= 2200:
        return None
    return Moment(60.0 * hour + minute + second / 60, day, offset)


def _day(found: re.Match[str], order: str) -> datetime.date | None:
    if found["year"]:
        return datetime.date(int(found["year"]), int(found["month"]), int(found["day"]))
    if found["first"]:
        one, two = int(found["first"]), int(found["second_part"])
        year = int(found["last"]) + (2000 if len(found["last"]) == 2 else 0)
        return datetime.date(year, *((two, one) if order == "dmy" else (one, two)))
    if found["named"]:
        month = MONTHS.index(found["named"].lower()[:3]) + 1
        return datetime.date(int(found["named_year"]), month, int(found["named_day"]))
    return None


def elapsed(moments: Sequence[Moment], answers: Answers, problems: Problems, where: str) -> list[float]:
    """Minutes of the moments of one series on one axis: real time, through midnight and summer time.

    Without dates, a time that goes back by more than half a day is one of the next day.
    """
    minutes, days = [], 0.0
    zone = ZoneInfo(answers.time_zone) if answers.time_zone else None
    for number, each in enumerate(moments):
        if each.day is None:
            if (
                number
                and moments[number - 1].day is None
                and each.minutes < moments[number - 1].minutes - DAY / 2
            ):
                days += DAY
            minutes.append(each.minutes + days)
        else:
            minutes.append(_real(each, zone, minutes[-1] if minutes else None, problems, where))
    _check_alike(moments, answers, problems, where)
    if zone:
        _check_twice(moments, minutes, zone, problems, where)
    dated = [each for each in moments if each.day is not None and each.offset is None]
    if dated and zone is None:
        _check_changes(dated, problems, where)
    return minutes


def on_axis(
    found: Moment, near: Moment, minutes: float, answers: Answers, problems: Problems, where: str
) -> float:
    """Where a moment lies on the axis on which another one lies at these minutes.

    Without a date it is the nearest such time of day; without an offset it is read on the clock of the time
    zone, or else on the clock of the other.
    """
    zone = ZoneInfo(answers.time_zone) if answers.time_zone else None
    if near.day is None:
        return minutes + _to_nearest(found.minutes - near.minutes)
    if found.day is not None and found.offset is not None:
        return _written(found) - found.offset
    if zone is None:
        clock = _written(near)
        return minutes + (
            _to_nearest(found.minutes - clock) if found.day is None else _written(found) - clock
        )
    if found.day is None:
        utc = datetime.datetime.fromordinal(int(minutes // DAY)).replace(tzinfo=datetime.UTC)
        local = (utc + datetime.timedelta(minutes=minutes % DAY)).astimezone(zone)
        days = (replace(found, day=local.date() + datetime.timedelta(days=n)) for n in (-1, 0, 1))
        found = min(days, key=lambda day: abs(_real(day, zone, None, Problems(""), "") - minutes))
    at = _real(found, zone, None, problems, where)
    _check_twice([found], [at], zone, problems, where)
    return at


def _to_nearest(away: float) -> float:
    """Minutes between two times of day that are less than half a day apart."""
    return (away + DAY / 2) % DAY - DAY / 2


def _check_alike(moments: Sequence[Moment], answers: Answers, problems: Problems, where: str) -> None:
    """Note moments of which some have a date, or an offset from UTC, and some have none."""
    for what, have in (
        ("a date", {each.day is not None for each in moments}),
        ("an offset from UTC", {each.offset is not None for each in moments if not answers.time_zone}),
    ):
        if len(have) > 1:
            zone = f" {say('time_zone')}" if "UTC" in what else ""
            problems.add(f"some times have {what} and some have none.{zone}", where)
    texts = [*answers.start.values(), *answers.between]
    clocks = [text for text in texts if is_clock(text) and not re.search(r"(Z|[+-]\d\d:?\d\d)\s*$", text)]
    if clocks and not answers.time_zone and any(each.offset == 0 for each in moments):
        problems.add(
            f"times are of UTC: of which clock is {clocks[0]!r}? {say('time_zone')} Or time_zone='UTC'.",
            where,
        )


def _real(each: Moment, zone: ZoneInfo | None, before: float | None, problems: Problems, where: str) -> float:
    """Minutes since the first day of the calendar, of UTC where offset or zone is known."""
    assert each.day is not None
    written = _written(each)
    if each.offset is not None:
        return written - each.offset
    if zone is None:
        return written
    local, shifts = _shifts(each, zone)
    if shifts[0] < shifts[1]:
        problems.add(f"{local:%Y-%m-%d %H:%M} does not exist in {zone.key}: clocks were put forward.", where)
    first, second = (written - shift for shift in shifts)
    return second if before is not None and first < before <= second + DAY / 2 and first != second else first


def _shifts(each: Moment, zone: ZoneInfo) -> tuple[datetime.datetime, list[float]]:
    """A moment on the clock of a zone, and how far (min) that is before UTC, where clocks are changed at this
    hour before and after it."""
    assert each.day is not None
    local = datetime.datetime.combine(each.day, datetime.time()) + datetime.timedelta(minutes=each.minutes)
    return local, [
        (local.replace(tzinfo=zone, fold=fold).utcoffset() or datetime.timedelta()).total_seconds() / 60
        for fold in (0, 1)
    ]


def _check_twice(
    moments: Sequence[Moment], minutes: Sequence[float], zone: ZoneInfo, problems: Problems, where: str
) -> None:
    """Note a time of the hour that clocks repeat, where no step back in the series says which one it is."""
    repeated, seen = [], set()
    for each, found in zip(moments, minutes, strict=True):
        if each.day is not None and each.offset is None:
            local, shifts = _shifts(each, zone)
            if shifts[0] > shifts[1]:
                repeated.append(local)
                seen.add(_written(each) - found)
    if len(seen) == 1:
        problems.add(
            f"{repeated[0]:%Y-%m-%d %H:%M} is there twice in {zone.key}, before and after clocks were put "
            "back, and nothing says which one it is. Write such times with their offset from UTC, as in "
            "02:30+02:00.",
            where,
        )


def _written(each: Moment) -> float:
    """Minutes since the first day of the calendar, or of the day, as they are written."""
    return (each.day.toordinal() * DAY if each.day else 0.0) + each.minutes


def _check_changes(moments: Sequence[Moment], problems: Problems, where: str) -> None:
    """Ask for the time zone where a series runs through a night in which clocks may have been changed."""
    written = list(map(_written, moments))
    for ordinal in range(int(min(written) // DAY), int(max(written) // DAY) + 1):
        day = datetime.date.fromordinal(ordinal)
        # Clocks change between 1 and 3 o'clock, and in autumn both hours may be there twice.
        first, last = min(written) - ordinal * DAY, max(written) - ordinal * DAY
        if _may_change(day) and first < 180 and last >= 60 and first < last:
            problems.add(
                f"times run through the night of {day}, in which many countries change their clocks. "
                f"{say('time_zone')} Or time_zone='UTC' if the clock was not changed.",
                where,
            )
            return


def _may_change(day: datetime.date) -> bool:
    """Whether summer time begins or ends on this day in Europe, North America or Australia."""
    if day.weekday() != 6:
        return False
    last = (day + datetime.timedelta(days=7)).month != day.month
    return (day.month in (3, 10) and last) or (day.month, (day.day - 1) // 7) in (
        (3, 1),
        (4, 0),
        (10, 0),
        (11, 0),
    )


def zero(
    subject: str,
    samples: Sequence[tuple[Moment, float]],
    doses: Sequence[float],
    stated: str,
    answers: Answers,
    order: str,
    problems: Problems,
    where: str,
) -> tuple[float, str] | None:
    """The zero of one test on the axis of its samples, and a sentence on what it is; None where nothing says.

    An answer counts before a column of the table (``stated``), that before the first dose in the file.
    """
    start: Mapping[str, str] = answers.start
    said = start.get(subject, start.get("", "")) or stated
    if said == "first":
        return min(minutes for _, minutes in samples), "the first sample of each test"
    if said:
        found = moment(said, order)
        if found is None:
            return None
        first, minutes = min(samples, key=lambda pair: pair[1])
        at = on_axis(found, first, minutes, answers, problems, where)
        return at, "the time of the dose in the table" if stated and not start else said
    if doses:
        return min(doses), "the first dose of each test"
    return None
