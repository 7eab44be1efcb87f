"""Everything that is wrong with a file, found in one reading and told at once.

A reader makes one :class:`Problems`, reads on past each fault, and calls :meth:`Problems.raise_any` at the
end.
A :class:`Section` is one table of a TOML file read key by key, so that each fault names its place.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayesglu.errors import BayesgluError

LARGEST = 1e100
"""Beyond it a number is none, however finite: its square is no longer."""

DEEPEST = 30
"""Tables in tables: no file of ours has more than a few."""

REQUIRED: Any = object()
"""Default of a key that must be given."""


def nearest(found: object, allowed: Iterable[str]) -> str | None:
    """The allowed name that `found` most resembles, or None when nothing is close."""
    names = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(str(found).lower(), names, n=1, cutoff=0.6)
    return names[close[0]] if close else None


def hint(found: object, allowed: Iterable[str]) -> str:
    """``" Did you mean 'x'?"``, or nothing when no allowed name is close."""
    name = nearest(found, allowed)
    return f" Did you mean {name!r}?" if name else ""


class Problems:
    """The faults of one source, in the order in which they were found.

    `where` is the name a person knows the source by: the path as they gave it.
    """

    def __init__(self, where: str):
        self.where = where
        self.found: list[str] = []

    def __bool__(self) -> bool:
        return bool(self.found)

    def add(self, message: str, place: str = "") -> None:
        """Note that `message` is wrong at `place` (``"row 14"``, ``"[structure]"``)."""
        self.found.append(f"{self.where}: {place} {message}" if place else f"{self.where}: {message}")

    def unknown(self, found: object, allowed: Iterable[str], what: str, place: str = "") -> None:
        """Note a name that is not one of those allowed, with the nearest that is."""
        allowed = sorted(allowed)
        listed = ", ".join(allowed) if allowed else "none"
        self.add(
            f"has no {what} {found!r}.{hint(found, allowed)}\n  {plural(what)} allowed here: {listed}.", place
        )

    def raise_any(self, error: type[BayesgluError]) -> None:
        """Raise `error` with all problems, one a line; do nothing when there are none.

        The exception carries them as the tuple `problems` too.
        """
        if not self.found:
            return
        count = len(self.found)
        head = f"{self.where} has {count} problems:\n" if count > 1 else ""
        raised = error(head + "\n".join(self.found))
        raised.problems = tuple(self.found)
        raise raised


def plural(word: str) -> str:
    """``"key"`` -> ``"Keys"``: how a list of allowed names is headed."""
    return (word[:-1] + "ies" if word[-1] == "y" and word[-2] not in "aeiou" else word + "s").capitalize()


class Section:
    """One table of a file. Its methods return the checked value of a key, or None after noting a fault; their
    type is Any, since nothing that was read is used where there are problems."""

    def __init__(self, table: object, place: str, problems: Problems, allowed: Iterable[str] | None = None):
        self.place, self.problems = place, problems
        self.sound = isinstance(table, Mapping)
        self.table: Mapping[str, Any] = table if isinstance(table, Mapping) else {}
        if not self.sound:
            problems.add(f"must be a table, and is {show(table)}.", place)
        elif allowed is not None:
            for key in self.table:
                if key not in set(allowed):
                    problems.unknown(key, allowed, "key", place)

    def __contains__(self, key: str) -> bool:
        return key in self.table

    def fault(self, message: str) -> None:
        """Note `message` at this section."""
        self.problems.add(message, self.place)

    def given(self, key: str, default: Any = REQUIRED) -> Any:
        """The raw value, the default, or None after noting that a required key is missing."""
        if key in self.table:
            return self.table[key]
        if default is REQUIRED:
            if self.sound:
                self.fault(f"lacks the key {key!r}.")
            return None
        return default

    def number(
        self,
        key: str,
        default: Any = REQUIRED,
        *,
        above: float = -math.inf,
        below: float = math.inf,
        closed: bool = False,
    ) -> Any:
        """A finite number strictly between `above` and `below` (`closed`: may equal `above`)."""
        value = self.given(key, default)
        if value is None or (key not in self.table):
            return value
        limits = "any finite number"
        if math.isfinite(above) or math.isfinite(below):
            low = f"{'at least' if closed else 'above'} {above:g}" if math.isfinite(above) else ""
            limits = " and ".join(
                part for part in (low, f"below {below:g}" if math.isfinite(below) else "") if part
            )
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fault(f"{key} must be a number, and is {show(value)}. Allowed: {limits}.")
            return None
        inside = (value >= above if closed else value > above) and value < below
        if not is_number(value) or not inside:
            found = show(value) if isinstance(value, int) else f"{value:g}"
            most = f", and at most {LARGEST:g} in size" if inside and abs(value) > LARGEST else ""
            self.fault(f"{key} is {found}. Allowed: {limits}{most}.")
            return None
        return float(value)

    def text(self, key: str, default: Any = REQUIRED, *, allowed: Iterable[str] | None = None) -> Any:
        """A text; one of `allowed` where these are given."""
        value = self.given(key, default)
        if value is None or key not in self.table:
            return value
        if not isinstance(value, str):
            self.fault(f"{key} must be a text in quotes, and is {show(value)}.")
            return None
        if allowed is not None and value not in (choices := list(allowed)):
            self.fault(f"{key} is {value!r}.{hint(value, choices)}\n  Allowed here: {', '.join(choices)}.")
            return None
        return value

    def flag(self, key: str, default: bool) -> bool:
        """True or false."""
        value = self.given(key, default)
        if not isinstance(value, bool):
            self.fault(f"{key} must be true or false, and is {show(value)}.")
            return default
        return value

    def texts(self, key: str, default: Any = REQUIRED) -> tuple[str, ...]:
        """A list of texts."""
        value = self.given(key, default)
        if value is None:
            return ()
        if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
            self.fault(f"{key} must be a list of texts in quotes, and is {show(value)}.")
            return ()
        return tuple(value)

    def section(self, key: str, allowed: Iterable[str] | None = None, *, required: bool = True) -> Any:
        """The table under `key`; None where it is absent."""
        value = self.given(key) if required else self.given(key, None)
        if value is None:
            return None
        inner = f"{self.place[:-1]}.{key}]" if self.place else f"[{key}]"
        return Section(value, inner, self.problems, allowed)


def is_number(value: object) -> bool:
    """Whether this is a finite number, and no more than a body or a table could hold.

    >>> is_number(3), is_number(1e300), is_number(True)
    (True, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST


def read_toml(text: str) -> tuple[dict[str, Any], str]:
    """The tables of a TOML text, and why it cannot be read, or nothing."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        return {}, str(error)
    except ValueError:  # of Python's own, about a whole number
        return {}, "a number has thousands of digits"
    except RecursionError:
        return {}, "tables or lists are nested too deeply"
    if _depth(table) > DEEPEST:
        return {}, "tables or lists are nested too deeply"
    return table, ""


def _depth(table: Any) -> int:
    """How deeply tables and lists are nested."""
    depth, inner = 0, [table]
    while inner:
        depth, nested = depth + 1, [each for each in inner if isinstance(each, list | dict)]
        inner = [each for one in nested for each in (one.values() if isinstance(one, dict) else one)]
    return depth


def is_file(path: Path) -> bool:
    """Whether there is such a file; no, where no file can be called so."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def show(value: object) -> str:
    """A found value as a person would write it in the file, cut to one short line."""
    if isinstance(value, int) and abs(value) > LARGEST:
        return "a number of too many digits"
    try:
        text = str(value).lower() if isinstance(value, bool) else repr(value)
    except (ValueError, RecursionError):
        return "immense"
    return text if len(text) <= 60 else text[:57] + "..."
