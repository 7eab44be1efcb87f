"""`bayesglu report`."""

from pathlib import Path
from typing import Annotated

import bayesglu
from bayesglu.cli.command import QUERY, app
from bayesglu.cli.options import Draws, Fit, Probability, Seed, Subjects, Units, option, parse_subjects
from bayesglu.cli.results import load
from bayesglu.cli.terminal import examples, working, writable, wrote


@app.command(
    rich_help_panel=QUERY,
    epilog=examples(
        "bayesglu report people.nc --out people.html",
        "bayesglu report people.nc --scenarios meals.toml --without-data",
    ),
)
def report(
    fit: Fit,
    out: Annotated[
        Path | None, option("The page; default: FIT.html.", metavar="FILE.html", panel="Files")
    ] = None,
    without_data: Annotated[
        bool,
        option("No labels, samples or individual posteriors.", "--without-data"),
    ] = False,
    scenarios: Annotated[
        Path | None,
        option("What-ifs to include: scenarios in a file, as of what-if.", metavar="FILE.toml"),
    ] = None,
    subjects: Subjects = "same",
    draws: Draws = 400,
    units: Units = "canonical",
    probability: Probability = 0.9,
    seed: Seed = None,
) -> None:
    """Write a report: one page with the verdict, the study, priors, results, methods and what to cite."""
    page = out or fit.with_suffix(".html")
    writable(page, (".html",))
    named = bayesglu.load_scenarios(scenarios) if scenarios else None
    fitted, answers = load(fit), {}
    if scenarios is not None and named is not None:
        with working("Solving the equations in each scenario"):
            asked = {"subjects": parse_subjects(subjects), "draws": draws, "random_seed": seed}
            answers[scenarios.stem] = bayesglu.what_if(fitted, named, outputs=["glucose", "insulin"], **asked)
    with working("Writing the report"):
        bayesglu.report(
            fitted,
            page,
            what_ifs=answers,
            probability=probability,
            units=units,
            without_data=without_data,
            random_seed=seed,
        )
    wrote(page, "the report")
