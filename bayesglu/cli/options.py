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
    from bayesglu.protocols.protocol import Protocol

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
        "Change of a parameter or covariate: [cyan]=*1.3[/cyan] scales, [cyan]=+5[/cyan] or "
        "[cyan]=-5[/cyan] shifts, [cyan]=0[/cyan] sets it, in its unit, [cyan]=NGT[/cyan] to a level. May be "
        "repeated.",
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
Subjects = Annotated[
    str,
    option(
        "[cyan]same[/cyan] for the subjects of the fit, labels such as [cyan]3,7[/cyan], "
        "[cyan]typical[/cyan], [cyan]new:100[/cyan] for that many new ones, and for those with covariates "
        "[cyan]new:100,group=T2D,bmi=33[/cyan] or [cyan]new:100,like=study[/cyan].",
        metavar="WHO",
    ),
]
Occasion = Annotated[
    str | None,
    option(
        "[cyan]fitted[/cyan] for the day that was fitted, [cyan]another[/cyan] for another day; default: the "
        "fitted one where the protocol is.",
        metavar="DAY",
    ),
]
Quantities = Annotated[
    str,
    option(
        "Quantities, separated by commas, such as [cyan]peak,insulin_auc,glucose_at_120[/cyan].",
        metavar="NAMES",
    ),
]
By = Annotated[str | None, option("Group results by the levels of this covariate.", metavar="COVARIATE")]
Units = Annotated[
    str,
    option("Units of the output: mg/dL and pmol/L, mmol/L, or uU/mL.", metavar="canonical|SI|conventional"),
]
Draws = Annotated[int, option("About how many draws to use.", metavar="N", min=1)]
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
    from bayesglu.analysis.changes import change_of

    name, _, how = text.partition("=")
    change = change_of(how) if re.fullmatch(r"\s*\w+\s*", name) else None
    if change is None:
        raise InputError(
            f"{text!r} is not a change. Write NAME=*1.3 to scale, NAME=+5 or NAME=-5 to shift, NAME=0 to "
            "set, or for a covariate NAME=LEVEL."
        )
    return name.strip(), change


def parse_people(text: str) -> dict[str, Any]:
    """Arguments of `what_if` that say which subjects a question is about.

    >>> parse_people("same"), parse_people("new:100"), parse_people("3, 7")
    ({'subjects': 'same'}, {'subjects': 'new', 'n_new': 100}, {'subjects': ['3', '7']})
    >>> parse_people("new:40,group=T2D,bmi=33")["subjects"].like
    'group T2D, bmi 33.0'
    """
    if text in ("same", "typical"):
        return {"subjects": text}
    if count := re.fullmatch(r"new:([1-9]\d{0,5})", text):
        return {"subjects": "new", "n_new": int(count[1])}
    if count := re.fullmatch(r"new:([1-9]\d{0,5}),(.+)", text):
        pairs = parse_pairs(count[2].split(","))
        assert isinstance(pairs, dict)  # as it is where each has a name
        like = pairs.pop("like", None)
        return {
            "subjects": bayesglu.new_people(
                int(count[1]), {n: number_or_level(v) for n, v in pairs.items()}, like
            )
        }
    if text == "new" or text.startswith("new:"):
        raise InputError(
            f"--subjects is {text!r}. Write new:100 for a hundred new subjects, new:100,group=T2D,bmi=33 for "
            "ones with these covariates, or new:100,like=study."
        )
    return {"subjects": [label.strip() for label in text.split(",")]}


def parse_subjects(text: str) -> Any:
    """What the argument `subjects` of `predictions` is for such a text."""
    people = parse_people(text)
    return bayesglu.new_people(people["n_new"]) if "n_new" in people else people["subjects"]


def number_or_level(text: str) -> float | str:
    """The value of a covariate: a number where it is one.

    >>> number_or_level("33"), number_or_level("T2D")
    (33.0, 'T2D')
    """
    try:
        return float(text)
    except ValueError:
        return text


def parse_values(given: Answer) -> dict[str, list[float | str]] | None:
    """Texts such as ``bmi=20,25,30`` as values of variables; protocols are between semicolons.

    >>> parse_values(["bmi=20,30", "group=NGT,T2D", "protocol=meal(60, emptying=1); meal(90)"])
    {'bmi': [20.0, 30.0], 'group': ['NGT', 'T2D'], 'protocol': ['meal(60, emptying=1)', 'meal(90)']}
    """
    pairs = parse_pairs(given)
    if pairs is None:
        return None
    assert isinstance(pairs, dict)  # as it is where each has a name
    found: dict[str, list[float | str]] = {}
    for name, text in pairs.items():
        values = [each.strip() for each in text.split(";" if name == "protocol" else ",")]
        found[name] = [each if name == "protocol" else number_or_level(each) for each in values]
    return found


def parse_numbers(text: str | None) -> list[float] | None:
    """Numbers between commas; None where there is no text.

    >>> parse_numbers("0, 30,60")
    [0.0, 30.0, 60.0]
    """
    if text is None:
        return None
    fault = f"{text!r} are not numbers between commas, such as 0,30,60,120."
    return [_number(part, fault) for part in text.split(",")]


def _number(text: str, fault: str) -> float:
    """A finite number; InputError with what is said where there is none."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or "_" in text:
        raise InputError(fault)
    return number


def parse_noise(text: str | None) -> dict[str, float] | float | None:
    """One number for all analytes, or one for some of them; None where there is no text.

    >>> parse_noise("0.05"), parse_noise("glucose=0.03, insulin=0.1")
    (0.05, {'glucose': 0.03, 'insulin': 0.1})
    """
    if text is None:
        return None
    fault = f"{text!r} is no noise. Write 0.05, or glucose=0.03,insulin=0.1."
    pairs = [part.partition("=") for part in text.split(",")]
    if len(pairs) == 1 and not pairs[0][1]:
        return _number(text, fault)
    return {name.strip(): _number(value, fault) for name, _, value in pairs}


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
