"""How the command line speaks: answers on standard output, notes, progress and errors on standard error.

Whatever is wrong with what a person gave (a BayesgluError, or a path that cannot be read or written) ends
with an explanatory message and exit code 1; a fit that is not clean ends with 2. Any other exception is a
fault of the program: it keeps its traceback, which ends by asking for a report.
"""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text
from typer.core import TyperGroup

from bayesglu.errors import BayesgluError, InputError, MissingFileError

if TYPE_CHECKING:
    import pandas as pd

FINE, BAD_INPUT, NOT_CLEAN = 0, 1, 2
REPORT = "This is a fault of bayesglu and not of what was given: please report it, with the lines above."
PROGRAM = Path(__file__).parent, Path(sys.prefix), Path(sys.base_prefix)
PIPED_WIDTH = 160  # columns of a table that goes to a file, where no terminal says how many there are


class NotClean(Exception):
    """A fit has a problem that its user must know of, or a model misses a fact; what it is has been told."""


class Commands(TyperGroup):
    """Commands whose failures are sentences and exit codes."""

    def main(self, *args: Any, **settings: Any) -> None:
        """Run a command and leave with its exit code."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _note
                super().main(*args, **settings)
        except SystemExit as end:
            # Wrong usage is bad input too: 2 is kept for a fit that is not clean.
            sys.exit(BAD_INPUT if end.code == NOT_CLEAN else end.code)
        except NotClean:
            sys.exit(NOT_CLEAN)
        except Exception as error:
            if not _from_input(error):
                error.add_note(REPORT)
                raise
            notes().print(Text.assemble(("Error: ", "bold red"), _told(error)), soft_wrap=True)
            sys.exit(BAD_INPUT)


def answers() -> Console:
    """Where results are written."""
    return Console(width=None if sys.stdout.isatty() else PIPED_WIDTH, highlight=False)


def notes() -> Console:
    """Where progress, notes and errors are written, so that results can be piped."""
    return Console(stderr=True, highlight=False)


def say(text: str = "", style: str | None = None) -> None:
    """Write a result as it is: brackets in it are no markup."""
    answers().print(Text(text, style=style or ""), soft_wrap=True)


def examples(*lines: str) -> str:
    """The end of a command's help: lines that can be copied."""
    return "\n\n".join(["[bold]Examples[/bold]", *(escape(line) for line in lines)])


def working(text: str) -> Status:
    """A context in which a terminal shows that work goes on."""
    return notes().status(f"{text} ...")


def show_table(table: "pd.DataFrame", title: str = "") -> None:
    """Write a table: numbers to four digits and to the right, nothing where a value is missing."""
    drawn = Table(title=title or None, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for column in table:
        numbers = table[column].dtype.kind in "fiu"
        drawn.add_column(Text(str(column)), justify="right" if numbers else "left", overflow="fold")
    for row in table.itertuples(index=False):
        drawn.add_row(*(Text(_shown(cell)) for cell in row))
    answers().print(drawn)


def _shown(cell: Any) -> str:
    if cell is None or cell != cell:
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)


def writable(path: Path | None, endings: Sequence[str] = ()) -> Path | None:
    """A path to write to later, checked now, so that no one learns after an hour that a folder is missing."""
    if path is None:
        return None
    if endings and path.suffix not in endings:
        raise InputError(f"{path}: the name must end in {' or '.join(endings)}.")
    if not path.absolute().parent.is_dir():
        raise MissingFileError(f"{path}: the folder {path.parent} does not exist.")
    return path


def wrote(path: Path, what: str) -> None:
    """Note that a file was written."""
    notes().print(Text(f"Wrote {what} to {path}."), soft_wrap=True)


def _from_input(error: Exception) -> bool:
    """Say whether an error is about what was given, a path of the user's included."""
    if isinstance(error, OSError) and isinstance(error.filename, str):
        path = Path(error.filename).absolute()
        return not any(path.is_relative_to(folder) for folder in PROGRAM)
    return isinstance(error, BayesgluError)


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror[0].lower()}{error.strerror[1:]}."
    return str(error)


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning of ours as a sentence; those of others with their place in the code."""
    ours = category.__module__.partition(".")[0] == "bayesglu"
    text = str(message) if ours else f"{filename}:{lineno}: {category.__name__}: {message}"
    notes().print(Text.assemble(("Note: ", "bold yellow"), text), soft_wrap=True)
