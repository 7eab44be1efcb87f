"""Commands that ask a fit."""

from typing import Annotated

import bayesglu
from bayesglu.cli.command import QUERY, app
from bayesglu.cli.options import (
    FIGURES,
    Changes,
    Chosen,
    Csv,
    Every,
    Fit,
    Outputs,
    Plot,
    Probability,
    Seed,
    Until,
    option,
    parse_change,
    parse_people,
    times,
)
from bayesglu.cli.results import draw, load, seeded, show_summary, write_csv
from bayesglu.cli.terminal import examples, say, show_table, working, writable


@app.command(rich_help_panel=QUERY, epilog=examples("bayesglu population people.nc --probability 0.95"))
def population(fit: Fit, parameter: Chosen = None, probability: Probability = 0.9, csv: Csv = None) -> None:
    """Typical values of the parameters and their between-subject variability."""
    writable(csv)
    show_summary(bayesglu.summarize_population(load(fit), probability), csv, parameter=parameter)


@app.command(
    rich_help_panel=QUERY,
    epilog=examples("bayesglu subjects people.nc --parameter insulin_sensitivity --subject 7"),
)
def subjects(
    fit: Fit,
    parameter: Chosen = None,
    subject: Annotated[
        list[str] | None, option("Only this subject. May be repeated.", metavar="LABEL")
    ] = None,
    probability: Probability = 0.9,
    csv: Csv = None,
) -> None:
    """Individual parameters, with posterior contraction (information gained from the data)."""
    writable(csv)
    show_summary(
        bayesglu.summarize_individuals(load(fit), probability), csv, parameter=parameter, subject=subject
    )


@app.command(
    "what-if",
    rich_help_panel=QUERY,
    epilog=examples(
        'bayesglu what-if people.nc --change insulin_sensitivity=*1.3 --protocol "ogtt(75)" --plot if.png',
        'bayesglu what-if people.nc -c beta_cell_mass=*0.5 -p "meal(80)" --subjects new:100 -o insulin',
    ),
)
def what_if(
    fit: Fit,
    change: Changes,
    protocol: Annotated[
        str | None,
        option("Protocol; default: that of the study.", "--protocol", "-p", metavar="TEXT"),
    ] = None,
    subjects: Annotated[
        str,
        option(
            "[cyan]same[/cyan] for the subjects of the fit, [cyan]new:100[/cyan] for that many new ones, or "
            "labels such as [cyan]3,7[/cyan].",
            metavar="WHO",
        ),
    ] = "same",
    occasion: Annotated[
        str | None,
        option(
            "[cyan]fitted[/cyan] for the day that was fitted, [cyan]another[/cyan] for another day; default: "
            "the fitted one where the protocol is.",
            metavar="DAY",
        ),
    ] = None,
    output: Outputs = None,
    until: Until = None,
    every: Every = None,
    probability: Probability = 0.9,
    seed: Seed = None,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """Counterfactual predictions: for these subjects, or new ones, with a parameter changed."""
    from bayesglu.cli.tables import effect, tidy, with_difference
    from bayesglu.protocols.parse import parse_protocol

    writable(plot, FIGURES), writable(csv)
    done, people = None if protocol is None else parse_protocol(protocol), parse_people(subjects)
    changes, wanted = dict(map(parse_change, change or ())), output or ["glucose"]
    fitted = load(fit)
    with working("Solving the equations with and without the change"):
        result = bayesglu.what_if(
            fitted,
            done,
            changes,
            times=times(done, until, every),
            outputs=wanted,
            random_seed=seed,
            occasion=occasion,
            **people,
        )
    show_table(effect(result, probability), f"{result.attrs['protocol']}; {result.attrs['change']}")
    count, fitted_day = result.sizes["subject"], result.attrs["occasion"] == "fitted"
    day = "" if subjects.startswith("new") else f", on {'the fitted' if fitted_day else 'another'} occasion"
    say(
        f"\nMean of {count} subjects{day}: median and {100 * probability:g} % equal-tailed interval. "
        f"{seeded(result)}",
        "dim",
    )
    if csv:
        write_csv(csv, tidy(with_difference(result), probability))
    if plot:
        draw(plot, bayesglu.plots.contrast(result, wanted[0], probability=probability))
