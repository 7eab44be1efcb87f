"""Commands about people of a population: one who comes after it was fitted."""

from pathlib import Path
from typing import Annotated

import typer

import bayesglu
from bayesglu.cli.command import FIT, QUERY, app
from bayesglu.cli.options import (
    FIGURES,
    STUDY,
    Csv,
    Fit,
    Plot,
    Probability,
    Seed,
    option,
    parse_names,
    parse_numbers,
    parse_pairs,
)
from bayesglu.cli.results import draw, give_verdict, load, seeded, show_summary, write_csv
from bayesglu.cli.terminal import examples, say, show_table, working, writable, wrote
from bayesglu.errors import InputError


@app.command(
    rich_help_panel=FIT,
    epilog=examples(
        "bayesglu person people.nc new.csv --out person.nc",
        "bayesglu person person.nc second_test.csv --reference group=NGT --reference bmi=23",
    ),
)
def person(
    fit: Fit,
    study: Annotated[str, typer.Argument(metavar="STUDY", help=STUDY)],
    protocol: Annotated[
        str | None,
        option("Protocol of every subject, instead of the study's own.", "--protocol", "-p", metavar="TEXT"),
    ] = None,
    body_weight: Annotated[
        float | None,
        option("Body weight of every subject, instead of the study's own.", metavar="KG", min=0.1),
    ] = None,
    reference: Annotated[
        list[str] | None,
        option("Covariate of people to compare with besides. May be repeated.", metavar="NAME=VALUE"),
    ] = None,
    draws: Annotated[int, option("Draws to keep.", metavar="N", min=1)] = 1000,
    population_draws: Annotated[
        int, option("Draws of the population to use at most.", metavar="N", min=25)
    ] = 1000,
    probability: Probability = 0.9,
    seed: Seed = None,
    out: Annotated[Path | None, option("Save the fit (.nc or .zarr).", metavar="FILE", panel="Files")] = None,
    csv: Csv = None,
) -> None:
    """Fit new people given a population that was fitted before, within seconds.

    What comes back agrees with a fit of all people together. FIT may be that of a
    population, or of these people's first test.
    """
    from bayesglu.protocols.parse import parse_protocol
    from bayesglu.reporting.tables import standing

    writable(out, (".nc", ".zarr")), writable(csv)
    profile = _profile(parse_pairs(reference))
    new = bayesglu.load_study(study, protocol and parse_protocol(protocol), body_weight)
    population = load(fit)
    with working("Weighing the population's draws by the new samples"):
        found = bayesglu.fit_person(
            population, new, draws=draws, population_draws=population_draws, random_seed=seed
        )
    if out:
        bayesglu.save(found, out)
        wrote(out, "the fit")
    show_summary(bayesglu.summarize_individuals(found, probability), None)
    table = standing(bayesglu.percentiles(found, profile, probability, random_seed=seed))
    show_table(table, "Percentiles among new people of the population")
    kind = f"{100 * probability:g} % equal-tailed interval"
    say(
        "\nPrior: what the population predicts for people with the same covariates. Percentiles: median "
        f"and {kind}. Seed {found.attrs['random_seed']}.",
        "dim",
    )
    if csv:
        write_csv(csv, table)
    give_verdict(found)


@app.command(
    rich_help_panel=QUERY,
    epilog=examples(
        "bayesglu indices people.nc --index matsuda --index clamp_isi --csv indices.csv",
        "bayesglu indices people.nc --index matsuda --plot matsuda.png",
        "bayesglu indices synthetic_ogtt",
    ),
)
def indices(
    fit: Annotated[
        str, typer.Argument(metavar="FIT", help="A fit saved by [bold]bayesglu fit[/bold], or a study.")
    ],
    index: Annotated[list[str] | None, option("Only this index. May be repeated.", metavar="NAME")] = None,
    subject: Annotated[
        list[str] | None, option("Only this subject. May be repeated.", metavar="LABEL")
    ] = None,
    study: Annotated[
        str | None, option("Samples of the raw indices; default: those that the fit keeps.", metavar="STUDY")
    ] = None,
    clamp: Annotated[str, option("The clamp that is simulated.", metavar="TEXT")] = (
        "clamp(90, 120, insulin_rate=1)"
    ),
    probability: Probability = 0.9,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """Clinical indices, with posterior uncertainty and beside the raw ones.

    HOMA, QUICKI, Matsuda, Stumvoll, OGIS, insulinogenic index, AIRg, disposition,
    the minimal model's S_I and S_G, Phi, extraction, clearance, production, and the
    M-value of a simulated clamp.
    """
    from bayesglu.analysis.simulation import check_names
    from bayesglu.reporting.tables import index_rows

    writable(plot, FIGURES), writable(csv)
    if plot and (not index or len(index) > 1):
        raise InputError("A figure is of one index: name it, --index matsuda.")
    fitted = Path(fit).suffix in (".nc", ".zarr")
    if plot and not fitted:
        raise InputError(f"A figure is of posteriors: give a fit (.nc or .zarr); {fit} is a study.")
    asked = load(Path(fit)) if fitted else bayesglu.load_study(fit)
    with working("Simulating tests of everyone"):
        found = bayesglu.indices(asked, index, probability=probability, study=study, clamp=clamp)
    if plot:
        draw(plot, bayesglu.plots.index(found, index[0] if index else ""))
    if subject:
        check_names("subject", subject, map(str, found["subject"].values))
        found = found.sel(subject=subject)
    table = index_rows(found)
    known = (table["why"] == "") | table["median"].notna() if "median" in table else table["raw"].notna()
    show_table(table[known].drop(columns=["why", "why raw"], errors="ignore"))
    if simulated := found.attrs.get("simulated"):
        kind = f"{100 * probability:g} % {found.attrs['interval']}"
        say(f"\nIntervals are {kind}, of curves without assay error in {simulated}.", "dim")
    for name, rows in table[~known].groupby("index", sort=False):
        reasons = dict.fromkeys(rows["why"] if "why" in rows else rows["why raw"])
        who = f"{len(rows)} subject{'s' * (len(rows) > 1)}"
        say(f"Not computed for {who}: {name}: {'; '.join(reasons)}.", "dim")
    if csv:
        write_csv(csv, table)


@app.command(
    rich_help_panel=QUERY,
    epilog=examples(
        'bayesglu design person.nc -p "ogtt(75)" -p "ivgtt(0.3)" --for insulin_sensitivity --budget 5',
        'bayesglu design oral -p "ogtt(50)" -p "ogtt(75)" --for comparison:insulin_sensitivity --subjects 30',
    ),
)
def design(
    fit: Annotated[
        str, typer.Argument(metavar="FIT", help="A fit saved by [bold]bayesglu fit[/bold], or a model.")
    ],
    protocol: Annotated[
        list[str],
        option(
            "A candidate, such as [cyan]ogtt(75)[/cyan]. May be repeated.", "--protocol", "-p", metavar="TEXT"
        ),
    ],
    wanted: Annotated[
        list[str] | None,
        option(
            "Parameter to learn most about, or [cyan]comparison:[/cyan] and a parameter. May be repeated.",
            "--for",
            metavar="NAME",
        ),
    ] = None,
    budget: Annotated[int, option("Number of sampling times.", metavar="N", min=1)] = 6,
    subject: Annotated[str | None, option("Whose next test it is.", metavar="LABEL")] = None,
    analytes: Annotated[
        str | None,
        option("Analytes measured, separated by commas; default: all of the model.", metavar="NAMES"),
    ] = None,
    times: Annotated[
        str | None, option("Times to choose from, separated by commas.", metavar="MINUTES")
    ] = None,
    subjects: Annotated[int, option("Subjects in each group of a comparison.", metavar="N", min=1)] = 20,
    draws: Annotated[int, option("Draws to average over.", metavar="N", min=1)] = 24,
    body_weight: Annotated[
        float | None, option("Body weight; default: the subject's, or 70.", metavar="KG", min=0.1)
    ] = None,
    seed: Seed = None,
    csv: Csv = None,
) -> None:
    """Which test to do next, and when to take samples, to learn most of a parameter.

    Of a fit it is the next test of one of its subjects: what is known already
    counts. Of a model it is the first test of anybody.
    """
    from bayesglu.reporting.tables import candidates

    writable(csv)
    asked = load(Path(fit)) if Path(fit).suffix in (".nc", ".zarr") else fit
    with working("Searching for the best sampling times"):
        found = bayesglu.design(
            asked,
            protocol,
            wanted or "insulin_sensitivity",
            budget,
            subject,
            parse_names(analytes),
            parse_numbers(times),
            subjects,
            draws,
            body_weight,
            seed,
        )
    table = candidates(found)
    show_table(table, f"{found.attrs['for']} of {found.attrs['of']}")
    say(f"\n{found.attrs['recommended']}")
    say(
        "Expected contraction: 1 - SD after / SD before the test, where the model is linear. "
        f"{seeded(found)}",
        "dim",
    )
    if csv:
        write_csv(csv, table)


def _profile(given: dict[str, str] | str | None) -> dict[str, float | str] | None:
    """Covariates of a reference: numbers where they are such."""
    if not isinstance(given, dict):
        return None
    found: dict[str, float | str] = {}
    for name, value in given.items():
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = value
    return found
