"""Commands that plan: virtual trials, and doses that meet a target."""

from pathlib import Path
from typing import Annotated

import typer

import bayesglu
from bayesglu.cli.command import QUERY, app
from bayesglu.cli.options import (
    Csv,
    Draws,
    Fit,
    Probability,
    Seed,
    Subjects,
    option,
    parse_numbers,
    parse_subjects,
)
from bayesglu.cli.results import load, write_csv
from bayesglu.cli.terminal import examples, say, show_table, working, writable
from bayesglu.errors import InputError


@app.command(
    rich_help_panel=QUERY,
    epilog=examples(
        "bayesglu trial people.nc arms.toml --of glucose_auc --n 20,40,80",
        "bayesglu trial people.nc arms.toml --n 12 --crossover --subjects new:12,group=T2D",
    ),
)
def trial(
    fit: Fit,
    arms: Annotated[
        Path,
        typer.Argument(
            metavar="ARMS", help="Arms in a file, with a table [bold]\\[scenarios.NAME][/bold] for each."
        ),
    ],
    of: Annotated[
        str, option("The endpoint, a quantity such as [cyan]insulin_auc[/cyan].", metavar="NAME")
    ] = "glucose_auc",
    n: Annotated[
        str, option("Subjects in each arm; several, separated by commas, for a curve.", metavar="N")
    ] = "40",
    crossover: Annotated[bool, option("Everyone has every arm, on several days.", "--crossover")] = False,
    repeats: Annotated[int, option("How many trials.", metavar="N", min=2)] = 400,
    dropout: Annotated[float, option("Share of subjects who leave.", metavar="SHARE", min=0, max=0.9)] = 0.0,
    alpha: Annotated[float, option("Significance level.", metavar="P", min=0.0001, max=0.5)] = 0.05,
    subjects: Subjects = "new:1,like=study",
    protocol: Annotated[
        str | None,
        option("Protocol of arms that name none.", "--protocol", "-p", metavar="TEXT"),
    ] = None,
    seed: Seed = None,
    csv: Csv = None,
) -> None:
    """The power of a virtual trial, with parallel arms or as a crossover.

    --subjects says whom the people are like; how many there are is --n.
    """
    from bayesglu.protocols.parse import parse_protocol

    writable(csv)
    who, sizes = parse_subjects(subjects), parse_numbers(n) or []
    if not hasattr(who, "covariates"):
        raise InputError(f"--subjects is {subjects!r}. A trial is of new people: new:1,group=T2D,bmi=33.")
    if not all(size.is_integer() for size in sizes):
        raise InputError(f"--n is {n!r}. Write whole numbers, such as 20,40,80.")
    asked = {} if protocol is None else {"protocol": parse_protocol(protocol)}
    with working("Simulating trials"):
        table = bayesglu.trial(
            load(fit),
            bayesglu.load_scenarios(arms),
            of,
            [int(size) for size in sizes],
            repeats,
            who,
            dropout,
            alpha,
            crossover,
            seed,
            **asked,
        )
    show_table(table.drop(columns=["people", "control"]), f"{table.attrs['design']} arms, against the first")
    trials = f"{table['repeats'].iloc[0]} trials of {table['people'].iloc[0]}"
    say(
        f"\n{trials}. Difference of the arms' means: median and 90 % interval over trials. Seed "
        f"{table.attrs['random_seed']}.",
        "dim",
    )
    if csv:
        write_csv(csv, table)


@app.command(
    "dose-for",
    rich_help_panel=QUERY,
    epilog=examples(
        'bayesglu dose-for people.nc "glucose_peak < 180" --doses 20,40,60,80',
        'bayesglu dose-for person.nc "glucose_peak < 180" --vary insulin -p "meal(60)"',
    ),
)
def dose_for(
    fit: Fit,
    target: Annotated[
        str, typer.Argument(metavar="TARGET", help='A quantity and a limit, such as "glucose_peak < 180".')
    ],
    vary: Annotated[
        str, option("What a dose is of: of a meal, or injected.", metavar="carbohydrate|insulin")
    ] = "carbohydrate",
    doses: Annotated[
        str | None, option("Doses to try, separated by commas; default: the usual ones.", metavar="DOSES")
    ] = None,
    protocol: Annotated[
        str | None, option("What is given besides.", "--protocol", "-p", metavar="TEXT")
    ] = None,
    subjects: Subjects = "same",
    draws: Draws = 400,
    probability: Probability = 0.9,
    seed: Seed = None,
    csv: Csv = None,
) -> None:
    """With which probability doses meet a target: for research, not for treatment."""
    writable(csv)
    with working("Solving the equations for each dose"):
        table = bayesglu.dose_for(
            load(fit),
            target,
            vary,
            parse_numbers(doses),
            protocol,
            probability,
            parse_subjects(subjects),
            draws=draws,
            random_seed=seed,
        )
    show_table(table.drop(columns=["target", "use"]), target)
    met = f"Met: with a probability of {100 * probability:g} % or more; {table['use'].iloc[0]}"
    say(f"\n{met}. Seed {table.attrs['random_seed']}.", "dim")
    if csv:
        write_csv(csv, table)
