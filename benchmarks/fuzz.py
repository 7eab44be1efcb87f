"""What readers do with damaged and mistaken input: accepted, told, refused in words; never anything else.

Two kinds of input are made of a good study, model and protocol, each from a seed of its own. *Damaged* ones
have letters, cells and lines changed, repeated or lost. A damaged table that is accepted without a word must
be another study, or the same in other words. *Mistaken* ones are whole and mean something that nobody means,
such as hours in a column of minutes; each must be refused or told.
"""

from __future__ import annotations

import csv
import io
import random
import re
import signal
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bayesglu.catalog import locate
from bayesglu.errors import BayesgluError, BayesgluWarning
from bayesglu.protocols.parse import parse_protocol
from bayesglu.spec.model import read_model
from bayesglu.study.cells import as_number
from bayesglu.study.study import Study, load_study
from benchmarks.forms import FORMS
from benchmarks.report import RESULTS, read, show, write

AT_A_TIME = 50
"""Inputs of a reader after which what was found so far is kept."""

SECONDS = 5
"""Longer than that, of a processor that does nothing else, nobody waits for a reader."""

TIMES, GLUCOSE, INSULIN = (0, 30, 60, 90, 120), (91, 141, 155, 120, 97), (52, 310, 280, 200, 90)
PEOPLE = {"A1": 60.0, "A2": 70.0, "B1": 85.0, "B2": 99.5}

NASTY = (
    *("", " ", "0", "-1", "1e300", "-1e300", "1e-300", "1e400", "nan", "NA", "inf", "9_0", "0x10"),
    *("5,4", "1,234", "1.2.3", "<", ">", "<5", "=", "'", '"', "\\", "\0", "\n", "\r", "\t", ";", ",", "é"),
    *("٣", "½", "µU/mL", "𝟗", "\ufeff", "\x85", "true", "left", "oral", "glucose", "subject", "time"),
    *("mmol/L", "mg/dL", "[", "]", "{", "}", "[[", "(", ")", "#", "ogtt(75)", "08:30", "2024-03-31"),
    *("None", "__import__('os')", "9" * 400, "9" * 5000, "a" * 300, "[" * 200),
)

PROTOCOL = "clamp(90, insulin_rate=1) + ogtt(75).shift(7 * 60) + isoglycaemic([300, 330], [90, 140])"

COUNTED = ("accepted", "told", "refused", "raw", "hang", "silent")
COLUMNS = {name: name for name in ("reader", "inputs", *COUNTED)}

SAME = {"pm": "pmol/l", "mm": "mmol/l", "bolus": "", "release": "", "none": "", "nan": ""}
"""Other words for a unit and for nothing that tables may have; and the kind of a dose follows from the rest
where it is not said."""


def good() -> dict[str, str]:
    """The texts of a study without a fault, of a model and of a protocol."""
    rows = ["subject,time,analyte,value,unit"]
    for i, person in enumerate(PEOPLE):
        for analyte, values, unit in (("glucose", GLUCOSE, "mg/dL"), ("insulin", INSULIN, "pmol/L")):
            pairs = zip(TIMES, values, strict=True)
            rows += [f"{person},{t},{analyte},{v * (1 + 0.05 * i):.4g},{unit}" for t, v in pairs]
    people = ["subject,weight_kg,height_cm,bmi,group"]
    people += [f"{s},{w:g},170,{w / 1.7**2:.3g},{'NGT' if w < 80 else 'T2D'}" for s, w in PEOPLE.items()]
    events = ["subject,time,kind,substance,route,amount,unit,duration,target"]
    events += ["A1,0,bolus,glucose,oral,75,g,,", "A2,0,infusion,glucose,intravenous,2,mg/kg/min,60,"]
    events += ["B1,0,clamp,glucose,,,mg/dL,60,90", "B2,0,release,insulin,subcutaneous,6,U,,"]
    truth = ["subject,parameter,value,unit"] + [
        f"{s},basal_glucose,{90 + i},mg/dL" for i, s in enumerate(PEOPLE)
    ]
    sheet = 'title = "Tea"\n[use.glucose]\nfrom = 0\nuntil = 100\nalso = [120]\n'
    sheet += "[plausible]\nc_peptide = [1, 9000]\n"
    sheet += '[units]\ntime = "min"\n[legend.group]\nNGT = "NGT"\nT2D = "T2D"\n'
    tables = {"observations.csv": rows, "subjects.csv": people, "events.csv": events, "truth.csv": truth}
    return {name: "\n".join(lines) + "\n" for name, lines in tables.items()} | {
        "datasheet.toml": sheet,
        "model": locate("model", "minimal").read_text(encoding="utf-8"),
        "protocol": PROTOCOL,
    }


def damaged(text: str, rng: random.Random) -> str:
    """A text with one to four letters, cells or lines changed."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        lines, at = text.split("\n"), rng.randrange(max(1, len(text)))
        line = rng.randrange(len(lines))
        match rng.randrange(8):
            case 0:
                text = text[:at] + chr(rng.choice((*range(32, 127), 0, 10, 233, 0x2028))) + text[at + 1 :]
            case 1:
                text = text[:at] + text[at + rng.randrange(1, 9) :]
            case 2:
                text = text[:at] + rng.choice(NASTY) + text[at:]
            case 3:
                lines[line : line + 1] = [lines[line]] * 2
                text = "\n".join(lines)
            case 4:
                text = "\n".join(lines[:line] + lines[line + 1 :])
            case 5 | 6:
                cells = lines[line].split(",")
                cells[rng.randrange(len(cells))] = rng.choice(NASTY)
                lines[line] = ",".join(cells)
                text = "\n".join(lines)
            case _:
                text = text[:at]
    return text


def mistaken(texts: dict[str, str], rng: random.Random) -> tuple[str, dict[str, str]]:
    """A study that is whole and wrong: which table has the mistake, and all tables."""
    name, mistake = rng.choice(MISTAKES)
    lines = [line.split(",") for line in texts[name].strip().split("\n")]
    mistake(lines, rng)
    return name, texts | {name: "\n".join(map(",".join, lines)) + "\n"}


def _scaled(column: int, factors: tuple[float, ...], add: float = 0.0, only: str = "") -> Callable:
    def mistake(lines, rng):
        factor = rng.choice(factors)
        for cells in lines[1:]:
            if cells[column] and only in ",".join(cells):
                cells[column] = f"{float(cells[column]) * factor + add:.6g}"

    return mistake


def _marked(*columns: tuple[str, str, str]) -> Callable:
    def mistake(lines, rng):
        name, usual, mark = rng.choice(columns)
        marked = rng.randrange(1, len(lines))
        for n, cells in enumerate(lines):
            cells.append(name if n == 0 else mark if n == marked else usual)

    return mistake


def _set(column: int, words: tuple[str, ...], only: str = "") -> Callable:
    def mistake(lines, rng):
        rows = [cells for cells in lines[1:] if only in ",".join(cells)]
        rng.choice(rows)[column] = rng.choice(words)

    return mistake


def _twice(lines, rng) -> None:
    at = rng.randrange(len(lines[0]))
    for cells in lines:
        cells.append(cells[at])


MISTAKES: tuple[tuple[str, Callable], ...] = (
    ("observations.csv", _scaled(1, (1 / 60, 60.0))),
    ("observations.csv", _scaled(1, (1.0,), add=480.0)),
    ("observations.csv", _scaled(3, (1 / 6, 6.0), only="B2")),
    ("observations.csv", _scaled(3, (1 / 18, 18.0), only="glucose")),
    ("observations.csv", _marked(("blq", "0", "1"), ("mdv", "0", "1"), ("exclude", "no", "yes"))),
    ("observations.csv", _marked(("valid", "1", "0"), ("lloq", "", "12"), ("amt", "", "75"))),
    ("observations.csv", _marked(("visit", "1", "2"), ("tube", "a", "b"))),
    ("observations.csv", _set(3, ("9_0", '"1,234"', "5.4.", "1e400", "-5", "0", "9e9"))),
    ("observations.csv", _set(1, ("08:30", "1e300", "2024-03-31", "1_0", "-1e7"))),
    ("observations.csv", _twice),
    ("events.csv", _scaled(5, (1e-3, 1e3), only="A1")),
    ("events.csv", _scaled(5, (1e-3, 1e3), only="A2")),
    ("events.csv", _scaled(5, (1e-3, 1e3), only="B2")),
    ("events.csv", _scaled(8, (1 / 18, 18.0), only="clamp")),
    ("events.csv", _set(4, ("subcutaneous", "rectal", "intramuscular", "im"), only="A2")),
    ("events.csv", _marked(("ss", "0", "1"), ("lag", "0", "15"), ("addl", "0", "3"))),
    ("events.csv", _marked(("rate", "0", "5"), ("cmt", "", "2"), ("f", "1", "0.7"))),
    ("events.csv", _marked(("evid", "1", "4"), ("dose_per_kg", "0", "1"), ("given", "1", "0"))),
    ("events.csv", _marked(("nurse", "x", "y"), ("dose_g", "75", "50"))),
    ("events.csv", _set(1, ("1e300", "-1e300", "5e5"))),
    ("subjects.csv", _scaled(1, (2.2046, 1000.0, 0.01))),
    ("subjects.csv", _marked(("hba1c", "5.4", '"5,9"'), ("exclude", "0", "1"))),
    ("subjects.csv", _marked(("centre", "x", "3"), ("weight_unit", "kg", "lb"))),
    ("subjects.csv", _set(4, ("type 2", "2", "diabetic"))),
    ("subjects.csv", _twice),
)  # fmt: skip


class Hang(BaseException):
    """A reader took too long."""


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raise `Hang` where what is done inside takes longer."""

    def stop(*_):
        raise Hang

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def outcome(read: Callable[[], object], usual: frozenset[str] = frozenset()) -> tuple[str, object]:
    """What a reader does, in a word, and what came of it; warnings that are `usual` tell nothing."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            with limited(SECONDS):
                found = read()
        except BayesgluError as error:
            return "refused", error
        except Hang:
            return "hang", ""
        except Exception:
            return "raw", traceback.format_exc(limit=-3)
    odd = [w for w in said if not issubclass(w.category, BayesgluWarning)]
    told = [w for w in said if str(w.message) not in usual]
    return ("raw", odd[0]) if odd else ("told" if told else "accepted", found)


def same_words(one: str, other: str) -> bool:
    """Whether two tables have the same cells, up to spaces, capitals and how numbers are written, and the
    same words in their headers, whatever signs part them."""

    def cells(text):
        rows = csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""))
        header, *rest = (row for row in rows if any(cell.strip() for cell in row))
        names = [re.sub(r"[\W_]+", "", cell.lower()) for cell in header]
        return [names, *([_word(cell) for cell in row] for row in rest)]

    return cells(one) == cells(other)


def _word(cell: str) -> object:
    cell = "".join(cell.split()).lower()
    cell = SAME.get(cell, cell)
    number = as_number(cell)
    return cell if number != number else number


class Fuzzer:
    """One reader after the other, each with its seed; `found` counts, `odd` keeps what must not be."""

    def __init__(self, folder: Path):
        self.folder, self.texts = folder, good()
        self.found: dict[str, Counter] = {}
        self.odd: list[tuple[str, int, str, str, object]] = []
        self.forms = {name: self.form(name, form.text) for name, form in FORMS.items()}
        self.whole, _, _ = self.study(self.texts), parse_protocol(PROTOCOL), read_model(self.texts["model"])
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            _with_a_model(self.whole)
        self.usual = frozenset(str(w.message) for w in said)

    def study(self, texts: dict[str, str]) -> Study:
        """The study of these tables, as files."""
        for name, text in texts.items():
            if "." in name:
                (self.folder / name).write_bytes(text.encode("utf-8", "surrogatepass"))
        return load_study(self.folder)

    def form(self, name: str, text: str) -> Study:
        """The study of a file in one of the forms."""
        path = self.folder / f"{name}{FORMS[name].ending}"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return load_study(path, **FORMS[name].answers)

    def run(self, reader: str, seed: int) -> None:
        """Try one input."""
        rng = random.Random(f"{reader} {seed}")
        if reader == "mistakes":
            changed, texts = mistaken(self.texts, rng)
            what, result = outcome(lambda: _with_a_model(self.study(texts)), self.usual)
            what = "silent" if what == "accepted" else what
            text = texts[changed]
        elif reader == "tables in memory":
            changed = rng.choice(("observations.csv", "subjects.csv"))
            text = damaged(self.texts[changed], rng)
            what, result = outcome(lambda: _from_memory(self.texts | {changed: text}))
        elif reader == "forms":
            name = rng.choice(list(FORMS))
            text = damaged(FORMS[name].text, rng)
            what, result = outcome(lambda: self.form(name, text))
            if what == "accepted" and FORMS[name].words and self._lost(name, text, result):
                what = "silent"
        elif reader == "protocol":
            text = damaged(self.texts[reader], rng)
            what, result = outcome(lambda: parse_protocol(text))
        elif reader == "model":
            text = damaged(self.texts[reader], rng)
            what, result = outcome(lambda: repr(read_model(text)))
        else:
            text = damaged(self.texts[reader], rng)
            what, result = outcome(lambda: self.study(self.texts | {reader: text}))
            if what == "accepted" and reader.endswith("s.csv") and self._lost(reader, text, result):
                what = "silent"
        self.found.setdefault(reader, Counter())[what] += 1
        if what in ("raw", "hang", "silent"):
            self.odd.append((reader, seed, what, text[-300:] if what != "silent" else text, result))

    def _lost(self, reader: str, text: str, study: object) -> bool:
        """Whether something else was written, and nothing came of it."""
        before, whole = (
            (FORMS[reader].text, self.forms[reader]) if reader in FORMS else (self.texts[reader], self.whole)
        )
        return study == whole and not same_words(text, before)


def _with_a_model(study: Study) -> Study:
    """The study, once a model has looked at its covariates."""
    from bayesglu.hierarchy.design import make_design
    from bayesglu.spec.model import load_model

    make_design(load_model("oral"), study)
    return study


def _from_memory(texts: dict[str, str]) -> Study:
    import pandas as pd

    def frame(name):
        lines = [line.split(",") for line in texts[name].split("\n") if line]
        width = len(lines[0]) if lines else 0
        rows = [(row + [None] * width)[:width] for row in lines[1:]]
        return pd.DataFrame(rows, columns=lines[0] if lines else [])

    given = {"protocol": "ogtt(75)", "datasheet": {"title": "Tea"}}
    return Study.from_table(frame("observations.csv"), subjects=frame("subjects.csv"), **given)


SHARES = {
    **{"observations.csv": 4, "subjects.csv": 2, "events.csv": 3, "truth.csv": 1, "datasheet.toml": 3},
    **{"model": 1, "protocol": 3, "tables in memory": 1, "mistakes": 2, "forms": 4},
}  # fmt: skip
"""How many of twenty-four inputs each reader gets."""


def fuzz(inputs: int, first: int = 0) -> Fuzzer:
    """Try so many inputs, of all readers."""
    with tempfile.TemporaryDirectory() as folder:
        fuzzer = Fuzzer(Path(folder))
        for reader, share in SHARES.items():
            for seed in range(first, first + inputs * share // sum(SHARES.values())):
                fuzzer.run(reader, seed)
    return fuzzer


def main(inputs: int = 20_000) -> None:
    """Try so many inputs, beginning with those that were not tried yet, and keep what became of them."""
    kept = read("fuzz") if (RESULTS / "fuzz.json").exists() else {"rows": []}
    before = {row["reader"]: row for row in kept["rows"]}
    done = {reader: before.get(reader, {}).get("inputs", 0) for reader in SHARES}
    seconds, odd = kept.get("seconds", 0), []
    with tempfile.TemporaryDirectory() as folder:
        for reader, seed, what in kept.get("odd", []):  # what stood out is tried again
            fuzzer, row = Fuzzer(Path(folder)), before[reader]
            fuzzer.run(reader, seed)
            (now,) = fuzzer.found[reader]
            row |= {what: row[what] - 1}
            row |= {now: row[now] + 1}
            if fuzzer.odd:
                odd.append([reader, seed, now])
        write("fuzz", list(before.values()), unit="inputs", seconds=seconds, odd=odd)
        while left := {r: n for r, n in done.items() if n < inputs * SHARES[r] // sum(SHARES.values())}:
            began, fuzzer = time.perf_counter(), Fuzzer(Path(folder))
            for reader, first in left.items():
                done[reader] = min(first + AT_A_TIME, inputs * SHARES[reader] // sum(SHARES.values()))
                for seed in range(first, done[reader]):
                    fuzzer.run(reader, seed)
            for reader, found in fuzzer.found.items():
                row = before.setdefault(reader, {"reader": reader} | dict.fromkeys(COUNTED, 0))
                row |= {name: row[name] + found[name] for name in COUNTED}
                row["inputs"] = done[reader]
            for reader, seed, what, text, result in fuzzer.odd:
                print(f"\n{reader}, seed {seed}, {what}: {text!r}\n{result}")
                odd.append([reader, seed, what])
            seconds += round(time.perf_counter() - began)
            write("fuzz", list(before.values()), unit="inputs", seconds=seconds, odd=odd)
    show("What readers do with damaged and mistaken input", list(before.values()), COLUMNS)


if __name__ == "__main__":
    main()
