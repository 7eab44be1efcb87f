"""Which protocol is followed on each occasion of a study: by the caller, ``events.csv`` or the datasheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from bayesglu.protocols.clamps import target_of
from bayesglu.protocols.events import DEPOT_ROUTES, ROUTE_NAMES, Event, rate_minutes, without_time
from bayesglu.protocols.faults import ProtocolError
from bayesglu.protocols.library import infusion, injection
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol
from bayesglu.study.cells import bare, is_missing
from bayesglu.study.columns import check_unread
from bayesglu.study.datasheet import Datasheet
from bayesglu.study.tables import Table
from bayesglu.text.problems import Problems, hint
from bayesglu.text.wording import some
from bayesglu.units import UnitError, convert, dose_amount, is_per_person

EVENT_COLUMNS = ("subject", "time", "substance")
TARGETS = ("target", "final_target")
EVENT_NUMBERS = (
    *("amount", "duration", "absorption_rate", "bioavailability", "emptying"),
    *TARGETS,
)
REPEATED = ("rate", "addl", "ii")
"""Numbers of a row that are no field of an event: how fast, how many more, and how many minutes apart."""

OTHER_EVENT_COLUMNS = ("occasion", "kind", "route", "unit", *EVENT_NUMBERS, "rate_unit", *REPEATED)
MOST_REPEATS = 10_000

Occasion = tuple[str, str]
"""Subject and name."""


Lines = dict[tuple[Occasion, float], list[int]]
"""Where the events of an occasion at a time are written."""


def read_events(table: Table, sheet: Datasheet, noted: list[str]) -> tuple[dict[Occasion, Protocol], Lines]:
    """The protocol of each occasion (subject, name) that has events, and where it is written. What can be
    right and probably is not goes to `noted`, a sentence each."""
    table.rename(sheet.columns)
    unit = table.minutes("time", sheet.units.get("time", "min"))
    table.minutes("duration", sheet.units.get("duration", "min"), required=False)
    table.minutes("ii", sheet.units.get("ii", unit), required=False)
    if not table.require(EVENT_COLUMNS, OTHER_EVENT_COLUMNS):
        return {}, {}
    noted += check_unread(table, "events", (*EVENT_COLUMNS, *OTHER_EVENT_COLUMNS))
    subjects, occasions = table.labels("subject"), table.labels("occasion", "1")
    lines: Lines = {}
    given: dict[Occasion, list[Event]] = {}
    first: dict[tuple[str, ...], int] = {}
    for line, row in table.lines():
        if (same := first.setdefault(tuple(map(str, row)), line)) != line:
            message = f"the same as {table.faults.word} {{found}}. Keep one, or write one row with the sum."
            table.faults.add(message, line, same)
        occasion = subjects[line], occasions[line]
        lines.setdefault((occasion, row["time"]), []).append(line)
        events = given.setdefault(occasion, [])
        try:
            found = _events(row, table, line, sheet.units.get("rate", ""))
            events.extend(found)
            for event in found:
                written = lines.setdefault((occasion, event.time), [])
                written += [line] if line not in written else []
        except ProtocolError as error:
            table.faults.add(_sentence(error), line)
    protocols = {}
    for occasion, events in given.items():
        try:
            protocols[occasion] = Protocol(tuple(events), name="events.csv")
        except ProtocolError as error:
            table.faults.add(f"{who(occasion)}: {_sentence(error)}")
    return protocols, lines


def assign(
    given: Any, occasions: Sequence[Occasion], problems: Problems, where: str
) -> dict[Occasion, Protocol]:
    """Give each occasion its protocol.

    ``given`` is a `Protocol`, its text, or a mapping of these by subject, by (subject, occasion), or by
    subject and then occasion. ``where`` says where it was found.
    """
    if not isinstance(given, Mapping):
        protocol = _protocol(given, where, problems)
        return {} if protocol is None else dict.fromkeys(occasions, protocol)
    subjects = list(dict.fromkeys(subject for subject, _ in occasions))
    by_occasion: dict[Occasion, Any] = {}
    for key, value in given.items():
        if isinstance(key, tuple) and len(key) != 2:
            problems.add(f"the key {key!r} is no (subject, occasion).", where)
        elif isinstance(key, tuple):
            by_occasion[str(key[0]), str(key[1])] = value
        elif isinstance(value, Mapping):
            by_occasion |= {(str(key), str(occasion)): each for occasion, each in value.items()}
        elif str(key) in subjects:
            by_occasion |= {occasion: value for occasion in occasions if occasion[0] == str(key)}
        else:
            by_occasion[str(key), "1"] = value
    without = [who(occasion) for occasion in occasions if occasion not in by_occasion]
    if without:
        problems.add(
            f"{len(without)} of {len(occasions)} occasions have no protocol: {some(without)}.", where
        )
    for occasion in by_occasion:
        if occasion not in occasions:
            problems.add(
                f"gives a protocol to {who(occasion)}, who has no samples.{hint(occasion[0], subjects)}",
                where,
            )
    parsed = {
        occasion: _protocol(by_occasion[occasion], where, problems)
        for occasion in occasions
        if occasion in by_occasion
    }
    return {occasion: protocol for occasion, protocol in parsed.items() if protocol is not None}


def check_deliveries(
    protocols: Mapping[Occasion, Protocol],
    weights: Mapping[str, float],
    last_samples: Mapping[Occasion, float],
    problems: Problems,
    advice: str = "",
    table: Table | None = None,
    lines: Lines | None = None,
) -> list[str]:
    """Note amounts per person without a body weight, and events after the last sample of their occasion; on
    its lines of the `table` what is written there.

    Of people who left before what others were still sampled after, there are sentences, which come back.
    """
    alike: dict[str, list[Occasion]] = {}
    left: dict[str, dict[str, list[Event]]] = {}
    reached: set[tuple[int | None, float | None]] = set()
    for occasion, protocol in protocols.items():
        for turn, event in enumerate(protocol.events):
            if event.time <= last_samples.get(occasion, math.inf):
                reached |= {(turn, None), (None, event.time)} if turn else {(None, event.time)}

    def note(message: str, occasion: Occasion, event: Event) -> None:
        written = (lines or {}).get((occasion, event.time))
        if table is None or not written:
            alike.setdefault(message, []).append(occasion)
            return
        for line in written:
            table.faults.add(f"{who(occasion)}: {message}", line)

    for occasion, protocol in protocols.items():
        needy = [event for event in protocol.events if event.kind != "clamp" and is_per_person(event.unit)]
        if needy and math.isnan(weights.get(occasion[0], math.nan)):
            amount = f"{needy[0].amount:g} {needy[0].unit} of {needy[0].substance}"
            note(
                f"{amount} is an absolute amount and the body weight is missing. Give body_weight in kg, a "
                f"covariate weight_kg, or the amount per kg.{advice}",
                occasion,
                needy[0],
            )
        last = last_samples.get(occasion, math.inf)
        for turn, event in enumerate(protocol.events):
            if event.time > last and {(turn, None), (None, event.time)} & reached:
                left.setdefault(f"{last:g} min", {}).setdefault(who(occasion), []).append(event)
            elif event.time > last:
                note(f"the event at {event} comes after the last sample, at {last:g} min.", occasion, event)
    for message, occasions in alike.items():
        problems.add(f"{some([who(occasion) for occasion in occasions])}: {message}")
    return [
        f"{some(list(people))} has no sample after {last}; what was given later, from "
        f"{min(event.time for events in people.values() for event in events):g} min on, tells "
        "nothing of them."
        for last, people in left.items()
    ]


def _events(row: pd.Series, table: Table, line: int, rate_unit: str) -> Sequence[Event]:
    """The events of one row, its kind taken from what is given where no kind is."""
    cells = {name: str(row[name]) for name in (*EVENT_NUMBERS, "rate", "addl") if name in row}
    minutes = {name: row[name] for name in ("duration", "ii") if name in row}
    cells |= {name: "" if math.isnan(value) else repr(value) for name, value in minutes.items()}
    numbers = {name: table.number(cell, name, line) for name, cell in cells.items() if not is_missing(cell)}
    if math.isnan(row["time"]) or any(math.isnan(value) for value in numbers.values()):
        return ()
    numbers = {name: value for name, value in numbers.items() if value or name not in REPEATED}
    more, apart = numbers.pop("addl", 0.0), numbers.pop("ii", 0.0)
    if more and (more != int(more) or not 0 < more <= MOST_REPEATS or apart <= 0):
        raise ProtocolError(
            f"addl is {more:g} and ii is {apart:g}; addl is how many more doses follow, a whole number, and "
            "ii how many minutes apart"
        )
    once = _event(row, numbers, str(row.get("rate_unit", "")) or rate_unit)
    return [replace(once, time=once.time + n * apart) for n in range(int(more) + 1)]


def _event(row: pd.Series, numbers: dict[str, float], rate_unit: str) -> Event:
    """What one row gives, the first time."""
    kind, substance, route = (str(row.get(name, "")).lower() for name in ("kind", "substance", "route"))
    route = ROUTE_NAMES.get(bare(route), route)
    unit = str(row.get("unit", ""))
    if "rate" in numbers:
        numbers, unit = _by_rate(numbers, unit, substance, rate_unit)
    if not kind:
        kind = "infusion" if numbers.get("duration") else "release" if route in DEPOT_ROUTES else "bolus"
        kind = "clamp" if "target" in numbers else kind
    if kind == "clamp":
        return _clamp(row["time"], numbers, unit, substance, route)
    if "amount" not in numbers or not unit:
        raise ProtocolError(f"a {kind} of {substance} needs an amount and a unit")
    others: dict[str, Any] = {n: value for n, value in numbers.items() if n not in ("amount", "duration")}
    if kind == "infusion" and rate_minutes(unit) is not None:
        rate, duration = numbers["amount"], numbers.get("duration", 0.0)
        (event,) = infusion(substance, rate, unit, duration, start=row["time"]).events
        return replace(event, **others, route=route or event.route)
    if kind == "release" and "absorption_rate" not in numbers:
        share = others.pop("bioavailability", None)
        (event,) = injection(substance, numbers["amount"], unit, route=route, bioavailability=share).events
        return replace(event, time=row["time"], duration=numbers.get("duration", 0.0), **others)
    return Event(time=row["time"], kind=kind, substance=substance, route=route, unit=unit, **numbers)


def _by_rate(
    numbers: dict[str, float], unit: str, substance: str, rate_unit: str
) -> tuple[dict[str, float], str]:
    """The numbers and the unit of an infusion whose column `rate` says how fast it runs."""
    rate = numbers["rate"]
    others = {name: value for name, value in numbers.items() if name != "rate"}
    if rate < 0:
        raise ProtocolError(
            f"rate is {rate:g}; codes below 0 are not read. Give the duration, or the rate itself"
        )
    if not rate_unit:
        raise ProtocolError(
            f"rate is {rate:g} and has no unit. Write it in a column rate_unit, such as g/h, or under "
            "[units] rate in the datasheet; or leave rate out and give the duration in min"
        )
    if rate_minutes(rate_unit) is None:
        raise ProtocolError(f"rate_unit is {rate_unit!r}; it must be one per min or per h, such as 'g/h'")
    if "amount" not in others:
        return others | {"amount": rate}, rate_unit
    if is_per_person(unit) != is_per_person(without_time(rate_unit)):
        raise ProtocolError(
            f"the amount is in {unit!r} and the rate in {rate_unit!r}; give both per kg, or neither"
        )
    try:
        amount = dose_amount(others["amount"], unit, substance, 1.0)
        minutes = amount / dose_amount(rate, rate_unit, substance, 1.0)
    except UnitError as error:
        raise ProtocolError(str(error)) from None
    if abs(others.get("duration", minutes) - minutes) > 0.01 * minutes:
        raise ProtocolError(
            f"amount and rate make {minutes:g} min, and the duration is {others['duration']:g} min. Keep two "
            "of the three"
        )
    return others | {"duration": minutes}, unit


def _clamp(time: float, numbers: dict[str, float], unit: str, substance: str, route: str) -> Event:
    """A clamp, whose unit may be that of its targets."""
    try:
        convert(1.0, unit, "glucose")
        of_targets, unit = unit, ""
    except UnitError as error:
        of_targets = "mg/dL"
        if unit and rate_minutes(unit) is None and not _is_dose(unit):
            raise ProtocolError(str(error)) from None
    targets = {name: target_of(numbers[name], of_targets) for name in TARGETS if name in numbers}
    given = {"amount": 0.0, **numbers, **targets}
    return Event(time, "clamp", substance, route or "intravenous", unit=unit or "mg/kg", **given)


def _is_dose(unit: str) -> bool:
    try:
        dose_amount(1.0, unit, "glucose", 70.0)
    except UnitError:
        return False
    return True


def _protocol(given: Any, where: str, problems: Problems) -> Protocol | None:
    try:
        return parse_protocol(given)
    except ProtocolError as error:
        if _sentence(error) not in "\n".join(problems.found):
            problems.add(_sentence(error), where)
        return None


def who(occasion: Occasion) -> str:
    """An occasion in words."""
    return f"subject {occasion[0]}" + ("" if occasion[1] == "1" else f", occasion {occasion[1]}")


def _sentence(error: Exception) -> str:
    return str(error).rstrip(".") + "."
