"""Options that commands share, and how changes, subjects and times are written as text."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, overload

import typer

import bayesglu
from bayesglu.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from bayesglu.analysis.changes import Change
    from bayesglu.protocols.events import Protocol

FIGURES = (".png", ".pdf", ".svg")


def option(help: str, *names: str, panel: str | None = None, **settings: Any) -> Any:
    """An option of a command, listed under the heading `panel`."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **settings)


STUDY = "Name of a built-in study, a folder, or a table of observations (.csv)."
MODEL = "Name of a built-in model, or a model file (.toml)."

Fit = Annotated[Path, typer.Argument(metavar="FIT", help="A fit saved by [bold]bayesglu fit[/bold].")]
Model = Annotated[str, option(MODEL, "--model", "-m", metavar="MODEL")]
ProtocolText = Annotated[
    str,
    option(
        'Protocol, such as [cyan]"ogtt(75) + meal(60).shift(300)"[/cyan].', "--protocol", "-p", metavar="TEXT"
    ),
]
Changes = Annotated[
    list[str] | None,
    option(
        "Change of a parameter: [cyan]=*1.3[/cyan] scales, [cyan]=+5[/cyan] or [cyan]=-5[/cyan] shifts, "
        "[cyan]=0[/cyan] sets it, in its unit. May be repeated.",
        *("--change", "-c"),
        metavar="NAME=HOW",
    ),
]
Outputs = Annotated[
    list[str] | None, option("State or flux to show. May be repeated.", "--output", "-o", metavar="NAME")
]
Until = Annotated[
    float | None, option("Last time; default: the end of the protocol.", metavar="MINUTES", min=1)
]
Seed = Annotated[int | None, option("Random seed; default: a new one.", "--seed", "-s", metavar="N")]
Every = Annotated[float | None, option("Time step of the output.", metavar="MINUTES", min=0.01)]
Plot = Annotated[Path | None, option("Draw a figure (.png, .pdf, .svg).", metavar="FILE", panel="Files")]
Csv = Annotated[Path | None, option("Write a tidy table.", metavar="FILE", panel="Files")]
Chosen = Annotated[list[str] | None, option("Only this parameter. May be repeated.", metavar="NAME")]
Probability = Annotated[
    float, option("Probability of the equal-tailed intervals.", metavar="P", min=0.01, max=0.999)
]


Answer = list[str] | None
"""What is given as NAME=VALUE, once or several times."""


def parse_pairs(given: Answer, everyone: bool = False) -> dict[str, str] | str | None:
    """Texts such as ``glucose=mmol/L`` as a mapping; where `everyone` is allowed, one text without a name.

    >>> parse_pairs(["glucose=mmol/L", "insulin=pmol/L"]), parse_pairs(["08:00"], everyone=True)
    ({'glucose': 'mmol/L', 'insulin': 'pmol/L'}, '08:00')
    """
    if not given:
        return None
    if everyone and len(given) == 1 and "=" not in given[0]:
        return given[0]
    pairs = [text.partition("=") for text in given]
    if wrong := [text for text, sign, _ in pairs if not sign]:
        raise InputError(f"{wrong[0]!r} is not NAME=VALUE, such as glucose=mmol/L.")
    return {name.strip(): value.strip() for name, _, value in pairs}


def parse_change(text: str) -> "tuple[str, Change]":
    """The parameter that a text such as ``insulin_sensitivity=*1.3`` names, and what becomes of it.

    >>> name, change = parse_change("basal_glucose=-5")
    >>> name, change.words
    ('basal_glucose', '-5')
    """
    parts = re.fullmatch(r"\s*(\w+)\s*=\s*([*+-]?)\s*(\d*\.?\d+(?:[eE][+-]?\d+)?)\s*", text)
    if not parts:
        raise InputError(
            f"{text!r} is not a change. Write NAME=*1.3 to scale, NAME=+5 or NAME=-5 to shift, NAME=0 to set."
        )
    name, sign, amount = parts[1], parts[2], float(parts[3])
    if sign == "*":
        return name, bayesglu.scale(amount)
    return name, bayesglu.shift(float(f"{sign}1") * amount) if sign else bayesglu.set_to(amount)


def parse_people(text: str) -> dict[str, Any]:
    """Arguments of `what_if` that say which subjects a question is about.

    >>> parse_people("same"), parse_people("new:100"), parse_people("3, 7")
    ({'subjects': 'same'}, {'subjects': 'new', 'n_new': 100}, {'subjects': ['3', '7']})
    """
    if text == "same":
        return {"subjects": text}
    if count := re.fullmatch(r"new:([1-9]\d{0,5})", text):
        return {"subjects": "new", "n_new": int(count[1])}
    if text == "new" or text.startswith("new:"):
        raise InputError(f"--subjects is {text!r}. Write new:100 for a hundred new subjects.")
    return {"subjects": [label.strip() for label in text.split(",")]}


def parse_numbers(text: str | None) -> list[float] | None:
    """Numbers between commas; None where there is no text.

    >>> parse_numbers("0, 30,60")
    [0.0, 30.0, 60.0]
    """
    if text is None:
        return None
    told = f"{text!r} are not numbers between commas, such as 0,30,60,120."
    return [_number(part, told) for part in text.split(",")]


def _number(text: str, told: str) -> float:
    """A finite number; InputError with what is told where there is none."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise InputError(told)
    return number


def parse_noise(text: str | None) -> dict[str, float] | float | None:
    """One number for all analytes, or one for some of them; None where there is no text.

    >>> parse_noise("0.05"), parse_noise("glucose=0.03, insulin=0.1")
    (0.05, {'glucose': 0.03, 'insulin': 0.1})
    """
    if text is None:
        return None
    told = f"{text!r} is no noise. Write 0.05, or glucose=0.03,insulin=0.1."
    pairs = [part.partition("=") for part in text.split(",")]
    if len(pairs) == 1 and not pairs[0][1]:
        return _number(text, told)
    return {name.strip(): _number(value, told) for name, _, value in pairs}


@overload
def parse_names(text: str) -> list[str]: ...
@overload
def parse_names(text: None) -> None: ...
def parse_names(text: str | None) -> list[str] | None:
    """Names between commas; None where there is no text."""
    return None if text is None else [name.strip() for name in text.split(",")]


def times(protocol: "Protocol | None", until: float | None, every: float | None) -> "np.ndarray | None":
    """Minutes to show; None where nothing was asked for, so that they follow the protocol."""
    if until is None and every is None:
        return None
    import numpy as np

    from bayesglu.analysis.simulation import default_times

    usual = default_times(protocol or bayesglu.fast(4))
    return np.arange(0.0, (until or usual[-1]) + 1e-9, every or usual[1])
