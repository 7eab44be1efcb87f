"""Commands that query a fit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import bayesglu
from bayesglu.cli.command import QUERY, app
from bayesglu.cli.options import (
    FIGURES,
    Answer,
    By,
    Changes,
    Chosen,
    Csv,
    Draws,
    Every,
    Fit,
    Occasion,
    Outputs,
    Plot,
    Probability,
    Quantities,
    Seed,
    Subjects,
    Units,
    Until,
    number_or_level,
    option,
    parse_change,
    parse_names,
    parse_numbers,
    parse_people,
    parse_subjects,
    parse_values,
    times,
)
from bayesglu.cli.results import draw, load, seeded, show_summary, write_csv
from bayesglu.cli.terminal import examples, say, show_table, working, writable
from bayesglu.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


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
        "bayesglu what-if people.nc --scenarios meals.toml --of peak,auc --by group --csv meals.csv",
    ),
)
def what_if(
    fit: Fit,
    change: Changes = None,
    scenarios: Annotated[
        Path | None,
        option("Scenarios in a file, with a table [scenarios.NAME] for each.", metavar="FILE.toml"),
    ] = None,
    protocol: Annotated[
        str | None,
        option("Protocol; default: that of the study.", "--protocol", "-p", metavar="TEXT"),
    ] = None,
    subjects: Subjects = "same",
    occasion: Occasion = None,
    output: Outputs = None,
    of: Annotated[
        str | None,
        option("Quantities instead of curves, separated by commas: peak,insulin_auc.", metavar="NAMES"),
    ] = None,
    by: By = None,
    units: Units = "canonical",
    until: Until = None,
    every: Every = None,
    draws: Draws = 400,
    probability: Probability = 0.9,
    seed: Seed = None,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """Counterfactual predictions: for these subjects, or new ones, with a parameter changed.

    With scenarios from a file, any number of them on the same draws, each compared with the first.
    """
    from bayesglu.protocols.parse import parse_protocol
    from bayesglu.reporting.tables import effect, tidy, with_difference

    writable(plot, FIGURES), writable(csv)
    if bool(change) == (scenarios is not None):
        raise InputError("Give what is changed, --change NAME=HOW, or --scenarios FILE.toml.")
    if by is not None and of is None:
        raise InputError("--by is for quantities: name them, --of peak,auc.")
    done, people = None if protocol is None else parse_protocol(protocol), parse_people(subjects)
    changes, wanted = dict(map(parse_change, change or ())), output or ["glucose"]
    named = bayesglu.load_scenarios(scenarios) if scenarios else None
    fitted, seen = load(fit), times(done, until, every)
    common = {"times": seen, "random_seed": seed, "occasion": occasion, "draws": draws, "units": units}
    if of is not None:
        named = named or {"reference": bayesglu.Scenario(), "changed": bayesglu.Scenario(change=changes)}
        asked = common | {"subjects": parse_subjects(subjects), "protocol": done, "by": by}
        _show_quantities(fitted, named, parse_names(of), asked, probability, plot, csv)
        return
    with working("Solving the equations in each scenario"):
        if named is None:
            result = bayesglu.what_if(fitted, done, changes, outputs=wanted, **common, **people)
        else:
            result = bayesglu.what_if(fitted, named, protocol=done, outputs=wanted, **common, **people)
    show_table(effect(result, probability), f"{result.attrs['protocol']}; {result.attrs['change']}")
    count, fitted_day = result.sizes["subject"], result.attrs["occasion"] == "fitted"
    studied = not subjects.startswith(("new", "typical"))
    day = f", on {'the fitted' if fitted_day else 'another'} occasion" if studied else ""
    say(
        f"\nMean of {count} subjects{day}: median and {100 * probability:g} % equal-tailed interval. "
        f"{seeded(result)}",
        "dim",
    )
    if csv:
        write_csv(csv, tidy(with_difference(result), probability))
    if plot:
        draw(plot, bayesglu.plots.contrast(result, wanted[0], probability=probability, units="canonical"))


def _show_quantities(fitted, named, of, asked: dict, probability: float, plot, csv) -> None:
    """Quantities in each scenario, and by how much they differ from the first."""
    import pandas as pd

    from bayesglu.reporting.tables import answers
    from bayesglu.seeds import seed_of

    asked["random_seed"] = seed_of(asked["random_seed"])  # the same people in both tables
    with working("Solving the equations in each scenario"):
        found = bayesglu.predictions(fitted, of, named, probability=probability, **asked)
        compared = bayesglu.comparisons(fitted, of=of, scenarios=named, probability=probability, **asked)
    show_table(answers(found), found.attrs["protocol"])
    say()
    show_table(answers(compared), "Differences within each draw")
    _told(found)
    if csv:
        write_csv(csv, pd.concat([found, compared], ignore_index=True))
    if plot:
        draw(plot, bayesglu.plots.forest(compared))


@app.command(
    rich_help_panel=QUERY,
    epilog=examples(
        'bayesglu predict people.nc --of glucose_at_120,insulin_auc -p "ogtt(75)" --by group',
        'bayesglu predict people.nc -p "meal(80)" --over bmi=20,25,30 --subjects new:40 --plot bmi.png',
    ),
)
def predict(
    fit: Fit,
    of: Quantities = "peak,auc",
    protocol: Annotated[
        str | None,
        option("Protocol; default: that of the study.", "--protocol", "-p", metavar="TEXT"),
    ] = None,
    over: Annotated[
        Answer,
        option(
            "Values that a covariate or parameter takes in turn; protocols between semicolons. May be "
            "repeated.",
            metavar="NAME=VALUES",
        ),
    ] = None,
    subjects: Subjects = "same",
    occasion: Occasion = None,
    by: By = None,
    each: Annotated[bool, option("Each subject, instead of their mean.", "--each")] = False,
    measured: Annotated[bool, option("With assay error, as it would be measured.", "--measured")] = False,
    units: Units = "canonical",
    draws: Draws = 400,
    probability: Probability = 0.9,
    seed: Seed = None,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """Predict quantities such as the peak of glucose, of the subjects of a fit or of new ones."""
    writable(plot, FIGURES), writable(csv)
    variables = parse_values(over)
    with working("Solving the equations"):
        found = bayesglu.predictions(
            load(fit),
            parse_names(of),
            protocol,
            variables,
            by=by,
            average=not each,
            probability=probability,
            units=units,
            subjects=parse_subjects(subjects),
            occasion=occasion,
            measured=measured,
            draws=draws,
            random_seed=seed,
        )
    numbers = [name for name, values in (variables or {}).items() if not isinstance(values[0], str)]
    _show(found, csv)
    if plot:
        figure = bayesglu.plots.conditional(found) if numbers else bayesglu.plots.forest(found)
        draw(plot, figure)


@app.command(
    "compare-groups",
    rich_help_panel=QUERY,
    epilog=examples(
        "bayesglu compare-groups people.nc group NGT T2D --of glucose_at_120 --plot groups.png",
        "bayesglu compare-groups people.nc group NGT T2D --unadjusted --rope -10,10",
    ),
)
def compare_groups(
    fit: Fit,
    covariate: Annotated[str, typer.Argument(metavar="COVARIATE", help="Covariate, such as group.")],
    levels: Annotated[
        list[str], typer.Argument(metavar="LEVEL...", help="Levels; the others are compared with the first.")
    ],
    of: Quantities = "peak,auc",
    protocol: Annotated[
        str | None,
        option("Protocol; default: that of the study.", "--protocol", "-p", metavar="TEXT"),
    ] = None,
    subjects: Subjects = "same",
    occasion: Occasion = None,
    compare: Annotated[str, option("How to compare.", metavar="difference|ratio")] = "difference",
    unadjusted: Annotated[
        bool, option("The subjects at each level as they are, not the same ones at each.", "--unadjusted")
    ] = False,
    above: Annotated[float | None, option("Report P(more than this).", metavar="NUMBER")] = None,
    rope: Annotated[
        str | None, option("A region of practical equivalence, from and to.", metavar="LOW,HIGH")
    ] = None,
    units: Units = "canonical",
    draws: Draws = 400,
    probability: Probability = 0.9,
    seed: Seed = None,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """Compare the levels of a covariate: the same subjects at each, all else as it is."""
    writable(plot, FIGURES), writable(csv)
    region = parse_numbers(rope)
    if region is not None and len(region) != 2:
        raise InputError(f"--rope is {rope!r}. Write two numbers, such as -10,10.")
    with working("Solving the equations for each level"):
        found = bayesglu.comparisons(
            load(fit),
            {covariate: list(map(number_or_level, levels))},
            parse_names(of),
            compare=compare,
            adjusted=not unadjusted,
            above=above,
            rope=None if region is None else (region[0], region[1]),
            probability=probability,
            units=units,
            subjects=parse_subjects(subjects),
            protocol=protocol,
            occasion=occasion,
            draws=draws,
            random_seed=seed,
        )
    _show(found, csv)
    if plot:
        draw(plot, bayesglu.plots.forest(found))


@app.command(
    rich_help_panel=QUERY, epilog=examples("bayesglu effects people.nc --rope 0.9,1.1 --plot effects.png")
)
def effects(
    fit: Fit,
    rope: Annotated[
        str | None, option("A region of practical equivalence, from and to.", metavar="LOW,HIGH")
    ] = None,
    probability: Probability = 0.9,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """What covariates do to parameters: factors of typical values, in words."""
    writable(plot, FIGURES), writable(csv)
    region = parse_numbers(rope)
    if region is not None and len(region) != 2:
        raise InputError(f"--rope is {rope!r}. Write two numbers, such as 0.9,1.1.")
    limits = None if region is None else (region[0], region[1])
    found = bayesglu.effects(load(fit), rope=limits, probability=probability)
    say("\n".join(found["words"]))
    say(f"\nMedian and {100 * probability:g} % equal-tailed interval of each factor.", "dim")
    if csv:
        write_csv(csv, found)
    if plot:
        draw(plot, bayesglu.plots.forest(found))


def _show(found: "pd.DataFrame", csv: Path | None) -> None:
    """A table of answers, and of whom it speaks."""
    from bayesglu.reporting.tables import answers

    show_table(answers(found), found.attrs["protocol"])
    _told(found)
    if csv:
        write_csv(csv, found)


def _told(found: "pd.DataFrame") -> None:
    """Of whom and of which day a table speaks."""
    about, share = found.attrs, 100 * found["probability"].iloc[0]
    say(
        f"\n{about['subjects']}, {about['occasion']} occasion: median and {share:g} % equal-tailed interval. "
        f"Seed {about['random_seed']}.",
        "dim",
    )
