"""Commands that go through people: left out of a fit, compared, or fitted one by one in great number."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

import bayesglu
from bayesglu.cli.command import FIT, QUERY, app
from bayesglu.cli.options import MODEL, STUDY, Csv, Fit, Probability, Seed, option
from bayesglu.cli.results import give_verdict, load, seeded, size_of, write_csv
from bayesglu.cli.terminal import NotClean, examples, say, show_table, working, writable, wrote
from bayesglu.errors import InputError

Processes = Annotated[
    int | None,
    option("Local processes that work at a time; default: as cores allow.", metavar="N", min=1),
]
Dask = Annotated[
    str | None,
    option("Address of a Dask scheduler, whose workers work instead of local processes.", metavar="ADDRESS"),
]
Progress = Annotated[bool, option("Show a progress bar.")]
WAIT = 10
"""Seconds in which a scheduler has to answer."""

KEPT = "Keep each {} here as it ends; the same call resumes."


@contextmanager
def workers(processes: int | None, dask: str | None) -> Iterator[Any]:
    """Who works: local processes, or the workers of a Dask scheduler."""
    if dask is None:
        yield processes
        return
    if processes is not None:
        raise InputError("Give --processes or --dask: a scheduler has workers of its own.")
    try:
        distributed = import_module("distributed")
    except ImportError as error:
        raise InputError("--dask needs Dask, the extra `dask`: pip install 'bayesglu[dask]'.") from error
    try:
        client = distributed.Client(dask, timeout=WAIT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"No Dask scheduler answers at {dask}: {error}. An address is like tcp://head:8786, as "
            "`dask scheduler` prints it when it starts."
        ) from error
    with client:
        yield client


@app.command(
    "cross-validate",
    rich_help_panel=FIT,
    epilog=examples(
        "bayesglu cross-validate oral synthetic_ogtt --by 4 --keep runs/oral",
        "bayesglu cross-validate oral_cpeptide my_study/ --by group --start whole.nc --tune 400",
    ),
)
def cross_validate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL)],
    study: Annotated[str, typer.Argument(metavar="STUDY", help=STUDY)],
    by: Annotated[
        str,
        option(
            "[cyan]person[/cyan] leaves out one after another, a number makes so many folds, and a covariate "
            "such as [cyan]group[/cyan] leaves out one level after another.",
            metavar="person|N|NAME",
        ),
    ] = "person",
    probability: Probability = 0.9,
    method: Annotated[
        str, option("As of [bold]bayesglu fit[/bold].", metavar="nuts|laplace", panel="Sampler")
    ] = "nuts",
    draws: Annotated[int | None, option("Draws of each chain.", metavar="N", min=1, panel="Sampler")] = None,
    tune: Annotated[int, option("Warm-up draws of each chain.", metavar="N", min=1, panel="Sampler")] = 1000,
    chains: Annotated[int, option("Number of chains.", metavar="N", min=1, panel="Sampler")] = 4,
    start: Annotated[
        Path | None,
        option("A fit of the whole study, in whose coordinates folds begin.", metavar="FIT", panel="Sampler"),
    ] = None,
    seed: Seed = None,
    processes: Processes = None,
    dask: Dask = None,
    progress: Progress = True,
    keep: Annotated[Path | None, option(KEPT.format("fold"), metavar="FOLDER", panel="Files")] = None,
    csv: Csv = None,
) -> None:
    """Predict people by fits that have not seen them: coverage of bands and log densities.

    Exits with code 2 if a fold's fit is not clean.
    """
    writable(csv)
    settings = {"draws": draws, "tune": tune, "chains": chains, "method": method}
    with workers(processes, dask) as executor:
        found = bayesglu.cross_validate(
            model,
            study,
            int(by) if by.isdecimal() else by,
            probability,
            start=None if start is None else load(start),
            keep=keep,
            executor=executor,
            progressbar=progress,
            random_seed=seed,
            **settings,
        )
    share = bayesglu.coverage(found).xs("all", level="subject").reset_index()
    show_table(share, f"Samples inside {100 * probability:g} % bands of new people")
    people = found[["elpd", "elpd_error", "fold_of"]].to_dataframe().reset_index()
    show_table(people, "Log density of all samples of each person")
    say(f"\nelpd {float(found.elpd.sum()):.1f} in {found.elpd.size} people. {seeded(found)}", "dim")
    if csv:
        write_csv(csv, people)
    for label, fine, why in zip(found.fold.values, found.clean.values, found.problems.values, strict=True):
        if not fine:
            say(f"Without {label}: {why}")
    if not found.clean.all():
        raise NotClean


@app.command(
    rich_help_panel=QUERY,
    epilog=examples(
        "bayesglu compare with_bmi.nc without.nc",
        'bayesglu compare "saturating=one.nc" "in proportion=two.nc" --keep runs/left_out --csv people.csv',
    ),
)
def compare(
    fits: Annotated[
        list[str], typer.Argument(metavar="FITS", help="Fits, each a file or [cyan]NAME=FILE[/cyan].")
    ],
    study: Annotated[
        str | None, option("The study; needed with a forcing function.", metavar="STUDY")
    ] = None,
    refit: Annotated[bool, option("Fit again without a person where weights are too uneven.")] = True,
    population_draws: Annotated[
        int, option("Draws of each population to use at most.", metavar="N", min=100)
    ] = 500,
    seed: Seed = None,
    processes: Processes = None,
    dask: Dask = None,
    progress: Progress = True,
    keep: Annotated[Path | None, option(KEPT.format("fit"), metavar="FOLDER", panel="Files")] = None,
    csv: Csv = None,
) -> None:
    """Compare models by how well they predict people whom they have not seen, and name those who decide."""
    writable(csv)
    named = [_named(text) for text in fits]
    if twice := {name for name, _ in named if sum(name == other for other, _ in named) > 1}:
        raise InputError(f"Two fits are called {', '.join(sorted(twice))}: give each a name, NAME=FILE.")
    with workers(processes, dask) as executor:
        found = bayesglu.compare(
            {name: load(path) for name, path in named},
            study,
            refit=refit,
            population_draws=population_draws,
            keep=keep,
            executor=executor,
            progressbar=progress,
            random_seed=seed,
        )
    say("\n".join([found.headline, *found.sentences, ""]))
    show_table(found.table.reset_index())
    if csv:
        write_csv(csv, found.people.to_dataframe().reset_index())


def _named(text: str) -> tuple[str, Path]:
    """A name and a file: that of the file, where none is given."""
    name, sign, path = text.partition("=")
    return (name.strip(), Path(path.strip())) if sign else (Path(text).stem, Path(text))


@app.command(
    "fit-many",
    rich_help_panel=FIT,
    epilog=examples("bayesglu fit-many people.nc ten_thousand/ --keep runs/many --csv people.csv"),
)
def fit_many(
    fit: Fit,
    study: Annotated[str, typer.Argument(metavar="STUDY", help=STUDY)],
    keep: Annotated[Path, option(KEPT.format("portion"), metavar="FOLDER", panel="Files")],
    draws: Annotated[int, option("Draws of each person.", metavar="N", min=1)] = 200,
    population_draws: Annotated[
        int, option("Draws of the population to use at most.", metavar="N", min=25)
    ] = 200,
    portion: Annotated[int, option("People who are worked on together.", metavar="N", min=1)] = 50,
    seed: Seed = None,
    processes: Processes = None,
    dask: Dask = None,
    progress: Progress = True,
    csv: Csv = None,
) -> None:
    """Fit each of many people given a population that was fitted before, and keep them as they are made.

    Each is as if nobody else had come: the population is the same for all.
    """
    from bayesglu.reporting.tables import medians

    writable(csv)
    population = load(fit)
    with workers(processes, dask) as executor:
        found = bayesglu.fit_many(
            population,
            study,
            keep,
            draws=draws,
            population_draws=population_draws,
            portion=portion,
            executor=executor,
            progressbar=progress,
            random_seed=seed,
        )
    with working("Reading what is kept"):
        table = medians(found)
    show_table(table.describe().loc[["min", "50%", "max"]].reset_index(names="people"), "Medians of people")
    say(f"\n{found.sizes['subject']} people, each given the population alone. {seeded(found)}", "dim")
    if csv:
        write_csv(csv, table.reset_index())


@app.command(
    "fit-two-stage",
    rich_help_panel=FIT,
    epilog=examples("bayesglu fit-two-stage ivgtt ten_thousand/ --keep runs/population --out population.nc"),
)
def fit_two_stage(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL)],
    study: Annotated[str, typer.Argument(metavar="STUDY", help=STUDY)],
    keep: Annotated[Path, option(KEPT.format("portion"), metavar="FOLDER", panel="Files")],
    draws: Annotated[int, option("Draws of each chain of the population.", metavar="N", min=1)] = 250,
    tune: Annotated[int, option("Warm-up draws of each chain.", metavar="N", min=1)] = 200,
    chains: Annotated[int, option("Number of chains.", metavar="N", min=1)] = 4,
    stored: Annotated[int, option("Draws of each person that stage two reads.", metavar="N", min=16)] = 128,
    portion: Annotated[int, option("People who are worked on together.", metavar="N", min=1)] = 50,
    seed: Seed = None,
    processes: Processes = None,
    dask: Dask = None,
    progress: Progress = True,
    out: Annotated[
        Path | None, option("Save the fit here (.nc or .zarr).", metavar="FILE", panel="Files")
    ] = None,
) -> None:
    """Fit the population of thousands of people: each as if alone, and then the hierarchy over their draws.

    Exits with code 2 if the fit is not clean.
    """
    from bayesglu.inference.fit_files import check_place
    from bayesglu.reporting.tables import summary

    if out is not None:
        check_place(out)
    with workers(processes, dask) as executor:
        found = bayesglu.fit_two_stage(
            model,
            study,
            keep,
            draws=draws,
            tune=tune,
            chains=chains,
            stored=stored,
            portion=portion,
            executor=executor,
            progressbar=progress,
            random_seed=seed,
        )
    show_table(summary(bayesglu.summarize_population(found)), "Population")
    if out is not None:
        bayesglu.save(found, out)
        wrote(out, f"the fit, {size_of(out) / 1e6:.3g} MB,")
    give_verdict(found, keep=out)
