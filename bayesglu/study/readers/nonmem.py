"""Event tables of NONMEM, Monolix, nlmixr2 and rxode2: a row per sample or dose, by EVID and AMT."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bayesglu.analytes import analytes
from bayesglu.study.readers.answers import say
from bayesglu.study.readers.clock import Moment, date_order, elapsed, is_clock, moment, zero
from bayesglu.study.readers.doses import ask_doses, parse_dose
from bayesglu.study.readers.grid import Grid
from bayesglu.study.readers.headers import measured, squeezed, time_unit
from bayesglu.study.readers.layout import MOST_TITLES, Layout
from bayesglu.study.readers.reading import Reading
from bayesglu.study.tables import as_number, bare, is_missing
from bayesglu.text.wording import some
from bayesglu.units import UnitError, allowed_units, convert

EVENTS = {
    "amt",
    "rate",
    "evid",
    "mdv",
    "cmt",
    "dvid",
    "ytype",
    "addl",
    "ii",
    "ss",
    "cens",
    "limit",
    "dur",
    "blq",
}
KNOWN = EVENTS | {"id", "time", "dv", "occ", "date", "c", "lloq", "unit", "amtunit"}
DATES = {"dat1": (2, 1, 0), "dat2": (0, 1, 2), "dat3": (0, 2, 1)}
"""Where year, month and day stand in the dates of a column, which NONMEM tells by its name."""
DETAILS = {"lag": "0", "alag": "0", "tlag": "0", "lagtime": "0", "f": "1", "bio": "1"}
"""Delays and shares of doses, whose names a number may follow, and what says nothing."""
UNUSED = {"tad", "tafd", "ntime", "l2", "line", "rownum", "num"}
RESET, DOSE, RESET_AND_DOSE, OTHER = 3, 1, 4, 2


@dataclass
class Record:
    """A row: its place, subject, occasion and minutes, and a function that gives its cells by name."""

    place: tuple[str, str, int]
    subject: str
    occasion: str
    time: str
    minutes: float
    cell: Callable[[str], str]

    def number(self, name: str) -> float:
        """A cell as a number; 0 where it is empty."""
        cell = self.cell(name)
        return as_number(cell) if cell else 0.0


def find(grid: Grid, reading: Reading) -> Layout | None:
    """The grid as an event table."""
    for skip in range(min(MOST_TITLES, len(grid.rows) - 1)):
        layout = Layout.at(grid, skip)
        names = set(_columns(layout, reading))
        if {"id", "time", "dv"} <= names and names & EVENTS:
            return layout
    return None


def read(layouts: Sequence[Layout], reading: Reading) -> None:
    """Samples and doses of event tables; ADDL is written out, EVID 3 and 4 begin another occasion."""
    for layout in layouts:
        records = _records(layout, reading)
        if not _numbers(records, reading):
            continue
        factor = _times(layout, records, reading)
        kinds = [_kind(record) for record in records]
        samples = [record for record, kind in zip(records, kinds, strict=True) if kind == 0]
        doses = [r for r, kind in zip(records, kinds, strict=True) if kind in (DOSE, RESET_AND_DOSE)]
        others = [record for record, kind in zip(records, kinds, strict=True) if kind == OTHER]
        for record, kind in zip(records, kinds, strict=True):
            if kind not in (0, DOSE, OTHER, RESET, RESET_AND_DOSE):
                reading.problems.add(f"EVID {kind} is not known. Allowed: 0 to 4.", _where(record))
        if values := [record for record in doses if record.number("dv") and not record.number("mdv")]:
            reading.unused.append(
                f"{layout.grid.file}: {len(values)} values of DV in rows of doses: not used. A sample is a "
                "row of its own."
            )
        if others:
            reading.unused.append(f"{layout.grid.file}: {len(others)} rows of EVID 2: not used.")
        _samples(layout, samples, reading)
        _doses(layout, doses, factor, reading)
        names = _columns(layout, reading)
        details = {name: without for name in names if (without := DETAILS.get(name.rstrip("0123456789")))}
        for name, without in details.items():
            shifted = [r for r in doses if r.cell(name) and r.number(name) != float(without)]
            if shifted:
                reading.problems.add(
                    f"{layout.header[names[name]]}: a delay or share of a dose cannot be given. Write each "
                    "dose at the time from which on it is absorbed, and so much as is absorbed.",
                    _where(shifted[0]),
                )
        columns = {
            layout.header[at]: [(record.subject, record.occasion, record.cell(name)) for record in records]
            for name, at in names.items()
            if name not in KNOWN | UNUSED | set(details) and layout.header[at]
        }
        reading.add_people(columns, layout.grid.file)
        if left := [layout.header[at] for name, at in names.items() if name in UNUSED]:
            reading.unused.append(f"{layout.grid.file}: column {some(left)}: not used.")


def _columns(layout: Layout, reading: Reading) -> dict[str, int]:
    answered = {squeezed(theirs): ours for ours, theirs in reading.answers.columns.items()}
    ours = {"subject": "id", "value": "dv", "analyte": "dvid", "occasion": "occ"}
    present = set(map(squeezed, layout.header))
    other = {
        **{"y": "dv", "obs": "dv", "observation": "dv", "obsid": "dvid", "adm": "cmt", "amount": "amt"},
        **dict.fromkeys(("censored",), "cens"),
        **dict.fromkeys(("bloq", "bql", "blod"), "blq"),
        **dict.fromkeys(("loq", "lod", "llod"), "lloq"),
        **dict.fromkeys(("units", "uom", "dvunit", "dvunits", "dvu"), "unit"),
        **dict.fromkeys(("amtunits", "amtu", "doseunit", "doseunits", "doseu"), "amtunit"),
        **dict.fromkeys(("tinf", "duration", "infusionduration"), "dur"),
        **dict.fromkeys(DATES, "date"),
    }
    names: dict[str, int] = {}
    for column, header in enumerate(layout.header):
        name = squeezed(header)
        if name in answered:
            name = ours.get(answered[name], answered[name])
        elif squeezed(header.split("(")[0].split("[")[0]) == "time" or (
            name.startswith("time") and time_unit(header)
        ):
            name = "time"
        elif name == "occasion":
            name = "occ"
        elif name in other and other[name] not in present:  # as Monolix and others call them
            name = other[name]
        names.setdefault(name or f"\0{column}", column)
    return names


def _records(layout: Layout, reading: Reading) -> list[Record]:
    names, records = _columns(layout, reading), []
    order = DATES.get(squeezed(layout.header[names["date"]])) if "date" in names else None
    resets: dict[str, int] = {}
    skipped = 0
    for place, row in layout.rows(reading):
        cells = {name: "" if row[at] == "." or is_missing(row[at]) else row[at] for name, at in names.items()}
        if cells.get("c") or row[0].startswith("#"):
            skipped += 1
            continue
        if order and cells["date"]:
            cells["date"] = _in_order(cells["date"], order)

        def cell(name: str, cells: Mapping[str, str] = cells) -> str:
            return cells.get(name, "")

        subject = cell("id")
        if as_number(cell("evid") or "0") in (RESET, RESET_AND_DOSE):
            resets[subject] = resets.get(subject, 0) + 1
        occasion = cell("occ") or str(1 + resets.get(subject, 0))
        records.append(Record(place, subject, occasion, cell("time"), 0.0, cell))
        if not subject:
            reading.problems.add("ID is empty.", _where(records[-1]))
        if as_number(cell("evid") or "nan") == 0 and as_number(cell("amt") or "0") != 0:
            reading.problems.add(
                "AMT is given in a row of EVID 0, a sample. EVID is 1 of a dose.", _where(records[-1])
            )
    if skipped:
        reading.unused.append(f"{layout.grid.file}: {skipped} rows marked as comments: not used.")
    return records


def _in_order(date: str, order: tuple[int, int, int]) -> str:
    """A date with year, month and day at these places, the year first."""
    parts = re.split(r"\D+", date.strip())
    if len(parts) != 3:
        return date
    year, month, day = (parts[place] for place in order)
    return f"{f'20{year}' if len(year) == 2 else year}-{month}-{day}"


def _numbers(records: Sequence[Record], reading: Reading) -> bool:
    """Note cells of event columns that are no numbers, and what cannot be done."""
    sound = True
    for record in records:
        for name in EVENTS - {"cmt", "dvid", "ytype", "limit"}:
            value = record.number(name)
            if value != value:
                reading.problems.add(f"{name.upper()} {record.cell(name)!r} is not a number.", _where(record))
                sound = False
    return sound


def _kind(record: Record) -> int:
    if record.cell("evid"):
        return int(record.number("evid"))
    return DOSE if record.number("amt") or record.number("rate") else 0


def _times(layout: Layout, records: Sequence[Record], reading: Reading) -> float:
    """Set the minutes of each record; what one unit of time is in minutes."""
    file, problems = layout.grid.file, reading.problems
    texts = [record.time for record in records]
    if any(map(is_clock, texts)):
        _clock_times(layout, records, reading)
        return 1.0
    days: dict[tuple[str, str], set[str]] = {}
    for record in records:
        days.setdefault((record.subject, record.occasion), set()).add(record.cell("date"))
    if any(len(several) > 1 for several in days.values()):
        problems.add("one test has several dates, and TIME is no time of day. Write it as 08:30.", file)
    header = layout.header[_columns(layout, reading)["time"]]
    unit = time_unit(header) or reading.answers.units.get("time", "")
    if not unit:
        numbers = [as_number(text) for text in texts if as_number(text) == as_number(text)]
        likely = "h" if numbers and max(numbers) <= 24 else "min"
        problems.add(
            f"does not say in which unit times are (the last is {max(numbers, default=0):g}). "
            f"{say('units', repr({'time': likely}))} Known: {', '.join(allowed_units('time'))}.",
            file,
        )
    try:
        factor = convert(1.0, unit or "min", "time")
    except UnitError as error:
        problems.add(str(error), file)
        factor = 1.0
    for record in records:
        record.minutes = as_number(record.time) * factor
        if record.minutes != record.minutes:
            problems.add(f"TIME {record.time!r} is not a number.", _where(record))
    return factor


def _clock_times(layout: Layout, records: Sequence[Record], reading: Reading) -> None:
    problems, file, answers = reading.problems, layout.grid.file, reading.answers
    texts = [f"{r.cell('date')} {r.time}".strip() if "-" not in r.time else r.time for r in records]
    order = date_order(texts, answers, problems, file)
    moments: dict[int, Moment] = {}
    for number, (record, text) in enumerate(zip(records, texts, strict=True)):
        found = moment(text, order)
        if found is None:
            problems.add(f"TIME {text!r} is no time of day.", _where(record))
        else:
            moments[number] = found
    if len(moments) < len(records):
        return
    unknown = []
    for subject in dict.fromkeys(record.subject for record in records):
        mine = [number for number, record in enumerate(records) if record.subject == subject]
        axis = elapsed([moments[number] for number in mine], answers, problems, file)
        for number, value in zip(mine, axis, strict=True):
            records[number].minutes = value
        for occasion in dict.fromkeys(records[number].occasion for number in mine):
            own = [number for number in mine if records[number].occasion == occasion]
            given = [records[n].minutes for n in own if _kind(records[n]) in (DOSE, RESET_AND_DOSE)]
            samples = [(moments[n], records[n].minutes) for n in own]
            found = zero(subject, samples, given, "", answers, order, problems, file)
            if found is None:
                unknown.append(subject)
                continue
            for number in own:
                records[number].minutes -= found[0]
            reading.said.append(f"zero of each test is {found[1]}")
    reading.said[:] = list(dict.fromkeys(reading.said))
    if unknown:
        problems.add(f"times are of the clock: when is zero for {some(unknown)}? {say('start')}", file)


def _samples(layout: Layout, samples: Sequence[Record], reading: Reading) -> None:
    by = next((name for name in ("dvid", "ytype", "cmt") if any(r.cell(name) for r in samples)), "")
    names: dict[str, str] = {}
    for key in dict.fromkeys(record.cell(by) for record in samples):
        names[key] = _analyte(key, reading)
    if unknown := [key for key, name in names.items() if not name]:
        ranges = []
        for key in unknown:
            values = [
                record.number("dv") for record in samples if record.cell(by) == key and record.cell("dv")
            ]
            span = f"{min(values):g} to {max(values):g}" if values else "no values"
            ranges.append(f"{key or 'DV'}: {span}")
        example = {key or "DV": name for key, name in zip(unknown, analytes(), strict=False)}
        reading.problems.add(
            f"which analyte is each {(by or 'dv').upper()} ({'; '.join(ranges)})? "
            f"{say('analytes', repr(example))} Known: {', '.join(analytes())}.",
            layout.grid.file,
        )
        return
    units = {}
    for name in dict.fromkeys(names.values()):
        own = [record for record in samples if names[record.cell(by)] == name]
        stated = list(dict.fromkeys(filter(None, (record.cell("unit") for record in own))))
        if len(stated) > 1:
            several = f"{name} is in several units: {some(stated)}. Write one."
            reading.problems.add(several, layout.grid.file)
        units[name] = reading.unit(name, (stated or [""])[0], [record.cell("dv") for record in own])
    left_out = 0
    for record in samples:
        value, cens = record.cell("dv"), record.number("cens") or record.number("blq")
        if record.number("mdv"):
            left_out, value = left_out + bool(value), ""
        elif cens and not (limit := (record.cell("lloq") if cens > 0 else "") or value):
            reading.problems.add("a value beyond a limit, and neither DV nor LLOQ says it.", _where(record))
        elif cens:
            value = f"{'<' if cens > 0 else '>'}{limit}"
        name = names[record.cell(by)]
        cells = {"time": format(round(record.minutes, 6), ".10g"), "analyte": name, "value": value}
        reading.add_sample(
            record.place, subject=record.subject, occasion=record.occasion, unit=units[name], **cells
        )
    if any(record.number("cens") and record.cell("limit") not in ("", "0") for record in samples):
        reading.unused.append(
            f"{layout.grid.file}: LIMIT: a censored sample lies beyond DV, and LIMIT is not used."
        )
    if left_out:
        reading.said.append(f"{left_out} samples of MDV 1 are missing, whatever stands in DV")
    pairs = [f"{by.upper()} {key} is {name}" if by else f"DV is {name}" for key, name in names.items()]
    reading.said.append(", ".join(pairs))


def _analyte(key: str, reading: Reading) -> str:
    answers = {name.lower(): own for name, own in reading.answers.analytes.items()}
    number = as_number(key)
    keys = [key.lower() or "dv", format(number, "g") if number == number else ""]
    found = next((answers[name] for name in keys if name in answers), "")
    what = measured(key) if key else None
    return found or (what.analyte if what and what.minutes is None else "")


def _doses(layout: Layout, doses: Sequence[Record], factor: float, reading: Reading) -> None:
    file, problems, said = layout.grid.file, reading.problems, reading.answers.doses
    if not doses:
        return
    if reading.protocol_given:
        reading.unused.append(f"{file}: {len(doses)} doses: a protocol is given instead.")
        return
    keys = list(dict.fromkeys(record.cell("cmt") for record in doses))
    missing = [key for key in keys if key not in said and "" not in said]
    if missing:
        ask_doses(problems, missing, file)
        return
    kinds = {key: parse_dose(said.get(key, said.get("", "")), problems) for key in keys}
    empty = 0
    for record in doses:
        kind, amount, rate = kinds[record.cell("cmt")], record.number("amt"), record.number("rate")
        repeats, interval = int(record.number("addl")), record.number("ii") * factor
        stated = record.cell("amtunit") or record.cell("unit")
        unit, duration = kind.get("unit", ""), record.number("dur") * factor
        minutes = amount / rate * factor if rate > 0 else duration
        for wrong, why in (
            (
                stated and unit and bare(stated) != bare(unit),
                f"a dose is in {stated!r} as the table says, and in {unit!r} as doses does. Keep one.",
            ),
            (
                duration and abs(minutes - duration) > 0.01 * duration,
                f"AMT and RATE make {minutes:g} min of an infusion, and its duration is {duration:g} min.",
            ),
            (record.number("ss"), "SS: a steady state of doses cannot be given. Write the doses out."),
            (rate < 0, "RATE below 0 asks for a modelled rate or duration. Write the rate."),
            (repeats and interval <= 0, "ADDL is above 0, and II, the time between doses, is not."),
            (repeats > 1000, "ADDL is above 1000."),
        ):
            if wrong:
                problems.add(why, _where(record))
        if amount <= 0:
            empty += 1
            continue
        for repeat in range(1 + (repeats if interval > 0 and repeats <= 1000 else 0)):
            time = format(round(record.minutes + repeat * interval, 6), ".10g")
            event = {"time": time, **kind, "amount": format(amount, ".10g")}
            event |= {"duration": format(round(minutes, 6), ".10g")} if minutes else {"duration": ""}
            reading.add_event(record.place, subject=record.subject, occasion=record.occasion, **event)
    if empty:
        reading.unused.append(f"{file}: {empty} doses of amount 0: not used.")
    words = {key: " ".join(kind.values()) for key, kind in kinds.items()}
    reading.said.append(f"doses: {some([f'CMT {key}: {w}' if key else w for key, w in words.items()])}")


def _where(record: Record) -> str:
    return f"{record.place[0]}, {record.place[1]} {record.place[2]}:"
