"""What a report is made of: parts with a name and a title, and in them blocks that the page can show.

`page.html` has a macro for each `kind`; a new kind of block is a class here and a macro there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar
from unicodedata import lookup

import numpy as np
import pandas as pd

from bayesglu.plots.style import GREEK, data_uri

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Text:
    """A paragraph; a `quiet` one is small."""

    kind: ClassVar[str] = "text"
    text: str
    quiet: bool = False


@dataclass(frozen=True)
class Heading:
    """A heading within a part."""

    kind: ClassVar[str] = "heading"
    text: str


@dataclass(frozen=True)
class Sentences:
    """Sentences, and of each whether all is well with what it says."""

    kind: ClassVar[str] = "sentences"
    items: Sequence[tuple[str, bool]]


@dataclass(frozen=True)
class Items:
    """A list of texts, each perhaps with a name that others link to."""

    kind: ClassVar[str] = "items"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Cells by row, each a text, a `Symbol` or `Links`; numbers stand at the right."""

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    numbers: frozenset[int] = frozenset()
    caption: str = ""

    @classmethod
    def of(cls, frame: pd.DataFrame, caption: str = "") -> Table:
        """A data frame as it is, its numbers to three digits."""
        numeric = frozenset(i for i, name in enumerate(frame) if frame[name].dtype.kind in "fiu")
        rows = [tuple(map(shown, row)) for row in frame.itertuples(index=False)]
        return cls(tuple(map(str, frame)), rows, numeric, caption)


@dataclass(frozen=True)
class Facts:
    """Names and what belongs to each, as a table without a head."""

    kind: ClassVar[str] = "facts"
    items: Sequence[tuple[str, Any]]


@dataclass(frozen=True)
class Picture:
    """A figure within the page, as a data URI, and what it shows."""

    kind: ClassVar[str] = "picture"
    uri: str
    caption: str
    width: float  # of the figure, inches

    @classmethod
    def of(cls, figure: Figure, caption: str) -> Picture:
        """A figure of `bayesglu.plots`."""
        return cls(data_uri(figure), caption, figure.get_figwidth())


@dataclass(frozen=True)
class Folded:
    """Blocks that are shown when their title is opened; `about` stands beside it."""

    kind: ClassVar[str] = "folded"
    title: str
    blocks: Sequence[Any]
    about: str = ""


@dataclass(frozen=True)
class Searched:
    """Many folded blocks, with a field that shows only those that have a text in title or `about`."""

    kind: ClassVar[str] = "searched"
    what: str
    items: Sequence[Folded]


@dataclass(frozen=True)
class Copied:
    """A text to be copied, with a button that does so."""

    kind: ClassVar[str] = "copied"
    name: str
    text: str
    prose: bool = False


@dataclass(frozen=True)
class Symbol:
    """A cell: a symbol such as ``S_I``.

    >>> Symbol("tau_B").head, Symbol("tau_B").index
    ('τ', 'B')
    """

    kind: ClassVar[str] = "symbol"
    text: str

    @property
    def head(self) -> str:
        """What stands before the index, a Greek letter as such."""
        head = self.text.partition("_")[0]
        if head not in GREEK:
            return head
        return lookup(f"GREEK {'CAPITAL' if head[0].isupper() else 'SMALL'} LETTER {head.upper()}")

    @property
    def index(self) -> str:
        """What stands below the line."""
        return self.text.partition("_")[2]


@dataclass(frozen=True)
class Links:
    """A cell: names that lead to the references of the page."""

    kind: ClassVar[str] = "links"
    keys: Sequence[str]


@dataclass(frozen=True)
class Part:
    """A part of the report, under its title; `name` is where a link leads."""

    name: str
    title: str
    blocks: Sequence[Any] = field(default_factory=tuple)


_SUPERSCRIPTS = str.maketrans("-0123456789", "\N{SUPERSCRIPT MINUS}⁰¹²³⁴⁵⁶⁷⁸⁹")


def shown(value: Any) -> Any:
    """A cell as a text: numbers to three digits, nothing where there is none.

    >>> shown(0.0000843), shown(91.26), shown(120), shown(float("nan")), shown("x")
    ('8.43·10⁻⁵', '91.3', '120', '', 'x')
    """
    if value is None or (isinstance(value, float | np.floating) and not np.isfinite(value)):
        return "" if value is None or np.isnan(value) else str(value)
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, int | np.integer):
        return str(value)
    if not isinstance(value, float | np.floating):
        return value
    if value and not 1e-3 <= abs(value) < 1e5:
        digits, _, power = f"{value:.2e}".partition("e")
        return f"{digits}·10{str(int(power)).translate(_SUPERSCRIPTS)}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def interval(lower: float, upper: float) -> str:
    """The ends of an interval, or nothing.

    >>> interval(0.5, 2.25)
    '0.5\xa0to\xa02.25'
    """
    ends = shown(float(lower)), shown(float(upper))
    return "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}".join(ends) if all(ends) else ""


def present(blocks: Iterable[Any]) -> tuple:
    """Blocks without those that are None."""
    return tuple(block for block in blocks if block is not None)
