"""A diary of a sensor or pump: readings are samples, meals and boluses doses, zero is the first dose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bayesglu.study.readers.answers import Answers, say
from bayesglu.study.readers.clock import Moment, date_order, elapsed, moment, on_axis, zero
from bayesglu.study.readers.grid import Grid
from bayesglu.study.readers.headers import squeezed
from bayesglu.study.readers.layout import Layout
from bayesglu.study.readers.reading import Questions, Reading
from bayesglu.study.tables import as_number, is_missing
from bayesglu.text.problems import Problems
from bayesglu.text.wording import some

EMPTYING = "0.7"
"""Of the stomach after a meal, as of `meal`."""


@dataclass
class Entry:
    """One entry: when, as it is written, a reading of glucose, carbohydrate (g) or rapid insulin (U), and of
    which device."""

    place: tuple[str, str, int]
    when: str
    kind: str
    value: str
    device: str = ""
    minutes: float = 0.0
    moment: Moment | None = None


class Columns:
    """Cells of a row by the beginning of a header, without spaces, signs and capitals."""

    def __init__(self, layout: Layout):
        self._header = [squeezed(name) for name in layout.header]
        self.names = layout.header

    def at(self, *names: str) -> int | None:
        """The first column whose header begins with one of these names."""
        starts = tuple(map(squeezed, names))
        return next((n for n, header in enumerate(self._header) if header.startswith(starts)), None)

    def cell(self, row: Sequence[str], *names: str) -> str:
        """A cell by the name of its column, empty where there is no such column."""
        at = self.at(*names)
        return "" if at is None or is_missing(row[at]) else row[at]

    def unit(self, *names: str) -> str:
        """The unit of glucose that a header says: mg/dL or mmol/L."""
        at = self.at(*names)
        name = self.names[at].lower() if at is not None else ""
        return "mmol/L" if "mmol" in name else "mg/dL" if "mg/dl" in name else ""

    def rest(self, used: Sequence[str]) -> list[str]:
        """Headers that begin with none of the names that are used."""
        starts = tuple(map(squeezed, used))
        return [
            name
            for name, header in zip(self.names, self._header, strict=True)
            if header and not header.startswith(starts)
        ]


def header_row(grid: Grid, *needed: str) -> Layout | None:
    """The grid below the row that has columns beginning with all these names."""
    wanted = list(map(squeezed, needed))
    for skip, row in enumerate(grid.rows[:40]):
        names = [squeezed(cell) for cell in row]
        if all(any(name.startswith(want) for name in names) for want in wanted):
            return Layout.at(grid, skip)
    return None


def add_person(subject: str, entries: list[Entry], unit: str, reading: Reading, file: str) -> None:
    """Note the readings and doses of one person, in minutes from the first dose."""
    answers, problems = reading.answers, reading.problems
    order = date_order((entry.when for entry in entries), answers, problems, file)
    for entry in entries:
        entry.moment = moment(entry.when, order)
        if entry.moment is None or entry.moment.day is None:
            entry.moment = None
            problems.add(
                f"{entry.when!r} is no date and time.",
                f"{entry.place[0]}, {entry.place[1]} {entry.place[2]}:",
            )
    entries = [entry for entry in entries if entry.moment is not None]
    entries = _between(_in_time(entries, answers, Questions(file), file), order, reading, file)
    entries = _in_time(entries, answers, problems, file)
    readings = [entry for entry in entries if entry.kind == "glucose"]
    doses = [] if reading.protocol_given else [entry for entry in entries if entry.kind != "glucose"]
    if not readings:
        problems.add("holds no reading of glucose.", file)
        return
    if reading.protocol_given and len(readings) < len(entries):
        given = len(entries) - len(readings)
        reading.unused.append(f"{file}: {given} meals and boluses: a protocol is given instead.")
    found = zero(
        subject,
        [(entry.moment, entry.minutes) for entry in readings if entry.moment],
        [entry.minutes for entry in doses if entry.kind == "carbohydrate"] or [e.minutes for e in doses],
        "",
        answers,
        order,
        problems,
        file,
    )
    if found is None:
        problems.add(
            f"has no meal and no bolus: when is zero? {say('start', repr(readings[0].when))} "
            "Or start='first'.",
            file,
        )
        return
    at, what = found
    _tell_devices(readings, reading, file)
    last = readings[-1].minutes
    if late := [entry for entry in doses if entry.minutes > last]:
        reading.unused.append(f"{file}: {len(late)} meals and boluses after the last reading: not used.")
    at_once = {entry.minutes: entry for entry in reversed(readings)}
    if twice := len(readings) - len(at_once):
        reading.unused.append(f"{file}: {twice} readings at the time of another: not used.")
    for minutes, entry in sorted(at_once.items()):
        cells = {"time": _text(minutes - at), "analyte": "glucose", "value": entry.value, "unit": unit}
        reading.add_sample(entry.place, subject=subject, **cells)
    for entry in (entry for entry in doses if entry.minutes <= last):
        event = {"subject": subject, "time": _text(entry.minutes - at), "amount": entry.value}
        meal = {"substance": "glucose", "route": "oral", "unit": "g", "emptying": EMPTYING}
        bolus = {"substance": "insulin", "route": "subcutaneous", "unit": "U", "emptying": ""}
        reading.add_event(entry.place, **event, **(meal if entry.kind == "carbohydrate" else bolus))
    zeros = f"zero is {what}" if answers.start else f"zero is {_first(doses)}, at {_when(entries, at)}"
    reading.said += [zeros, "readings of the sensor are taken for plasma glucose"]
    kinds = {entry.kind for entry in doses}
    reading.said += ["carbohydrate is a meal (emptying 0.7)"] if "carbohydrate" in kinds else []
    reading.said += ["boluses are rapid insulin under the skin"] if "insulin" in kinds else []
    reading.said[:] = list(dict.fromkeys(reading.said))


def _tell_devices(readings: Sequence[Entry], reading: Reading, file: str) -> None:
    """Note sensors of which one was read while another was."""
    spans: dict[str, list[float]] = {}
    for entry in readings:
        spans.setdefault(entry.device, []).append(entry.minutes)
    ends = sorted((times[0], times[-1], device) for device, times in spans.items() if device)
    together = [one for one, (_, end, _) in enumerate(ends[:-1]) if ends[one + 1][0] < end]
    if together:
        names = dict.fromkeys(ends[one + step][2] for one in together for step in (0, 1))
        reading.unused.append(
            f"{file}: readings of {some(list(names))} at one time are taken for one curve. If they differ, "
            "leave out all but one."
        )


def person(grid: Grid, reading: Reading) -> str:
    """The label of the person of an export: the name of the file; who it says it is is left out."""
    reading.said.append(f"{grid.file} is of one person, called {grid.name!r} after the file")
    return grid.name


def left_out(count: int, what: str, grid: Grid, reading: Reading) -> None:
    """Note entries that are not used, if there are any."""
    if count:
        reading.unused.append(f"{grid.file}: {count} {what}: not used.")


def limit(value: str, low: str, high: str) -> str:
    """A reading beyond the limits of a sensor, which is a word, as a censored one."""
    word = value.strip().lower()
    if word in ("low", "lo", "niedrig", "laag", "bas"):
        return f"<{low}"
    return f">{high}" if word in ("high", "hi", "hoch", "hoog", "haut") else value


def positive(cell: str) -> bool:
    """Say whether a cell is a number above 0, or no number, which is a fault later."""
    return bool(cell) and as_number(cell) != 0


def unused_columns(names: Sequence[str], grid: Grid, reading: Reading) -> None:
    """Note columns that hold something and are not used."""
    if names:
        reading.unused.append(f"{grid.file}: columns {some(list(names))}: not used.")


def _in_time(entries: list[Entry], answers: Answers, problems: Problems, file: str) -> list[Entry]:
    """The entries in order of time, with their minutes; each kind is written from first to last or back."""
    for kind in dict.fromkeys(entry.kind for entry in entries):
        own = [(entry, entry.moment) for entry in entries if entry.kind == kind and entry.moment]
        if own and (own[0][1].day, own[0][1].minutes) > (own[-1][1].day, own[-1][1].minutes):
            own.reverse()
        axis = elapsed([at for _, at in own], answers, problems, file)
        for (entry, _), minutes in zip(own, axis, strict=True):
            entry.minutes = minutes
    return sorted(entries, key=lambda entry: entry.minutes)


def _between(entries: list[Entry], order: str, reading: Reading, file: str) -> list[Entry]:
    """The entries between two dates and times, where these are given."""
    answers = reading.answers
    if not answers.between or not entries:
        return entries
    ends = []
    for text in answers.between:
        end, first = moment(text, order), entries[0]
        if end is None or end.day is None or first.moment is None:
            reading.problems.add(f"between is {text!r}, no date with a time. {say('between')}", file)
            return entries
        ends.append(on_axis(end, first.moment, first.minutes, answers, reading.problems, file))
    kept = [entry for entry in entries if ends[0] <= entry.minutes <= ends[1]]
    outside = len(entries) - len(kept)
    reading.said.append(f"{outside} entries outside {' and '.join(answers.between)} are left out")
    return kept


def _first(doses: Sequence[Entry]) -> str:
    return "the first meal" if any(entry.kind == "carbohydrate" for entry in doses) else "the first bolus"


def _when(entries: Sequence[Entry], minutes: float) -> str:
    return next((entry.when for entry in entries if entry.minutes == minutes), "")


def _text(minutes: float) -> str:
    return format(round(minutes, 4), ".10g")
