"""What a table cannot say of itself: the keywords that answer a reader's questions, checked in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from zoneinfo import ZoneInfo

from bayesglu.analytes import analytes
from bayesglu.errors import InputError
from bayesglu.text.problems import Problems, hint

DATES = ("dmy", "mdy")
SEPARATORS = {"decimal": (",", "."), "thousands": (",", ".", " ", "'")}


@dataclass(frozen=True)
class Answers:
    """Answers to what readers ask; every field is empty where nothing was said."""

    units: Mapping[str, str] = field(default_factory=dict)
    analytes: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    doses: Mapping[str, str] = field(default_factory=dict)
    decimal: str = ""
    thousands: str = ""
    start: Mapping[str, str] = field(default_factory=dict)
    between: tuple[str, ...] = ()
    dates: str = ""
    time_zone: str = ""

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Answers:
        """Answers from keywords; a text for `start` or `doses` holds for everyone, under the label ``""``.

        Raises InputError with everything that cannot be used.
        """
        problems = Problems("the answers to a reader")
        known = {each.name for each in fields(cls)}
        for name in set(given) - known:
            problems.unknown(name, known, "keyword")
        said = {name: given[name] for name in known & set(given) if given[name] not in (None, "", {}, ())}
        for name in ("start", "doses"):
            if name in said and not isinstance(said[name], Mapping):
                said[name] = {"": said[name]}
        for name in {"units", "analytes", "columns", "start", "doses"} & set(said):
            if isinstance(said[name], Mapping):
                said[name] = {str(key): str(value).strip() for key, value in said[name].items()}
            else:
                problems.add(f"{name} is {said[name]!r}. Give a mapping, such as {EXAMPLES[name]}.")
        for name, allowed in SEPARATORS.items():
            if said.get(name, allowed[0]) not in allowed:
                problems.add(f"{name} is {said[name]!r}. Allowed: {', '.join(map(repr, allowed))}.")
        if said.get("decimal") and said.get("decimal") == said.get("thousands"):
            problems.add(f"decimal and thousands are both {said['decimal']!r}. One sign cannot be both.")
        if said.get("dates", "dmy") not in DATES:
            problems.add(f"dates is {said['dates']!r}. Allowed: 'dmy' (day first), 'mdy' (month first).")
        if not _is_zone(said.get("time_zone", "UTC")):
            problems.add(f"time_zone is {said['time_zone']!r}. Write a name such as {EXAMPLES['time_zone']}.")
        if "between" in said:
            said["between"] = tuple(map(str, said["between"]))
            if len(said["between"]) != 2:
                problems.add(f"between is {said['between']!r}. Give {EXAMPLES['between']}.")
        mapped = said.get("analytes", {})
        for theirs, ours in mapped.items() if isinstance(mapped, Mapping) else ():
            if ours not in analytes():
                problems.add(
                    f"analytes says that {theirs!r} is {ours!r}, which is no analyte."
                    f"{hint(ours, analytes())} Known: {', '.join(analytes())}."
                )
        problems.raise_any(InputError)
        return cls(**said)

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))


EXAMPLES = {
    "units": "{'glucose': 'mmol/L'}",
    "analytes": "{'1': 'glucose', '2': 'insulin'}",
    "columns": "{'subject': 'name in the file'}",
    "doses": "'oral glucose g'",
    "decimal": "','",
    "thousands": "','",
    "start": "'08:00'",
    "between": "('2024-03-31 07:00', '2024-03-31 12:00')",
    "dates": "'dmy'",
    "time_zone": "'Europe/Berlin'",
}
"""How each keyword is written."""


def say(keyword: str, example: str = "") -> str:
    """How a question ends: which keyword answers it.

    >>> say("start")
    "Say start='08:00' (`bayesglu import` --start)."
    """
    return f"Say {keyword}={example or EXAMPLES[keyword]} (`bayesglu import` --{keyword.replace('_', '-')})."


def _is_zone(name: Any) -> bool:
    try:
        ZoneInfo(str(name))
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return False
    return True
