"""Results: a table on the screen, and JSON beside the code."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import machine

RESULTS = Path(__file__).with_name("results")


def write(name: str, rows: Sequence[Mapping], **facts) -> Path:
    """Keep the rows of a benchmark, and what else is to be known, as ``results/NAME.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {"benchmark": name, "machine": machine(), **facts, "rows": list(rows)}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def read(name: str) -> dict:
    """The kept result of a benchmark."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def show(title: str, rows: Sequence[Mapping], columns: Mapping[str, str], caption: str = "") -> None:
    """Print rows; `columns` maps a key to its heading."""
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for key, heading in columns.items():
        table.add_column(heading, justify="left" if key in ("name", "note") else "right")
    for row in rows:
        table.add_row(*(_text(row.get(key)) for key in columns))
    Console(width=160).print(table)


def _text(value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.2g}" if abs(value) < 1e-2 else f"{value:,.{max(0, 3 - len(str(int(abs(value)))))}f}"
    return str(value)
