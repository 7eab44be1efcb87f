"""Commands that need no fit: what there is, simulations, study designs, published facts."""

from pathlib import Path
from typing import Annotated

import typer

import bayesglu
from bayesglu.cli.command import EXPLORE, app
from bayesglu.cli.options import (
    FIGURES,
    MODEL,
    Changes,
    Csv,
    Every,
    Model,
    Outputs,
    Plot,
    ProtocolText,
    Seed,
    Until,
    option,
    parse_change,
    parse_names,
    parse_noise,
    parse_numbers,
    times,
)
from bayesglu.cli.results import draw, seeded, write_csv
from bayesglu.cli.terminal import NotClean, examples, say, show_table, working, writable


@app.command(rich_help_panel=EXPLORE)
def models() -> None:
    """List the built-in models."""
    import pandas as pd

    rows = []
    for m in sorted(map(bayesglu.load_model, bayesglu.list_models()), key=lambda m: len(m.parameters)):
        rows.append((m.name, len(m.varying), len(m.at("shared")), ", ".join(m.analytes), m.title))
    show_table(pd.DataFrame(rows, columns=["model", "varying", "shared", "analytes", "title"]))
    say(
        "\nEstimated parameters: varying between subjects, and shared by all. Next: bayesglu show MODEL",
        "dim",
    )


@app.command(rich_help_panel=EXPLORE)
def studies() -> None:
    """List the built-in studies."""
    import pandas as pd

    rows = []
    for study in map(bayesglu.load_study, bayesglu.list_studies()):
        counts = len(study.subjects), study.observations.sizes["obs"]
        rows.append((study.name, *counts, ", ".join(study.analytes), study.datasheet.get("title")))
    show_table(pd.DataFrame(rows, columns=["study", "subjects", "samples", "analytes", "title"]))


@app.command(
    rich_help_panel=EXPLORE,
    epilog=examples("bayesglu show feedback", "bayesglu show oral --text > mine.toml"),
)
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL)],
    text: Annotated[bool, option("Print the model file, with all that it inherits.", "--text")] = False,
    papers: Annotated[bool, option("Print the references of its priors.", "--papers")] = False,
) -> None:
    """Show a model: structure, analytes, and each parameter with its prior, unit and source."""
    spec = bayesglu.load_model(model)
    if text:
        say(spec.text.rstrip())
    elif papers:
        say("\n".join(bayesglu.citation(key) for key in spec.sources))
    else:
        say(repr(spec))


@app.command(
    rich_help_panel=EXPLORE,
    epilog=examples(
        'bayesglu simulate --model feedback --protocol "fast(hours=50)" --plot fast.png --csv fast.csv',
        'bayesglu simulate -m oral -p "ogtt(75)" -c insulin_sensitivity=*0.5 -o glucose -o insulin',
    ),
)
def simulate(
    model: Model,
    protocol: ProtocolText,
    change: Changes = None,
    output: Outputs = None,
    body_weight: Annotated[float, option("Body weight.", metavar="KG", min=0.1)] = 70,
    until: Until = None,
    every: Every = None,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """Simulate the typical subject of a model under a protocol."""
    import xarray as xr

    from bayesglu.analysis.asking import default_outputs
    from bayesglu.analysis.simulation import check_names
    from bayesglu.protocols.parse import parse_protocol
    from bayesglu.reporting.tables import course, tidy

    writable(plot, FIGURES), writable(csv)
    spec, done = bayesglu.load_model(model), parse_protocol(protocol)
    changes = dict(map(parse_change, change or ()))
    check_names("parameter", changes, spec.parameters)
    parameters = {name: float(how.apply(xr.DataArray(spec.medians[name]))) for name, how in changes.items()}
    wanted = output or default_outputs(spec)
    with working("Solving the equations"):
        result = bayesglu.simulate(
            spec, done, parameters, times(done, until, every), wanted, body_weight=body_weight
        )
    courses = course(result)
    zero = (courses[["lowest", "highest"]] == 0).all(axis=1)
    show_table(courses[~zero], f"{spec.name}, {done.name}")
    say(f"\nDelivered: {result.attrs['delivered']}.")
    if zero.any():
        say(f"Zero throughout: {', '.join(courses['output'][zero])}.")
    if csv:
        write_csv(csv, tidy(result))
    if plot:
        draw(plot, bayesglu.plots.trajectories(result))


@app.command(
    rich_help_panel=EXPLORE,
    epilog=examples(
        'bayesglu identify --model feedback --protocol "ogtt(75)" --analytes glucose,insulin,c_peptide',
        'bayesglu identify -m ivgtt -p "ivgtt(0.3)" --noise glucose=0.02,insulin=0.1 --plot expected.png',
    ),
)
def identify(
    model: Model,
    protocol: ProtocolText,
    analytes: Annotated[
        str | None,
        option("Analytes measured, separated by commas; default: all of the model.", metavar="NAMES"),
    ] = None,
    times: Annotated[
        str | None,
        option("Sampling times, separated by commas; default: as usual for the protocol.", metavar="MINUTES"),
    ] = None,
    noise: Annotated[
        str | None,
        option(
            "SD of log residuals, as [cyan]0.05[/cyan] or [cyan]glucose=0.03,insulin=0.1[/cyan]; default: "
            "the model's.",
            metavar="SD",
        ),
    ] = None,
    subjects: Annotated[int, option("Number of subjects in the study.", metavar="N", min=1)] = 20,
    parameters: Annotated[
        str,
        option(
            "Unknown parameters: [cyan]free[/cyan] for those the model estimates, [cyan]all[/cyan], or names "
            "of fixed ones to estimate besides.",
            metavar="free|all|NAMES",
        ),
    ] = "free",
    prior_cv: Annotated[float, option("Prior CV of a fixed parameter.", metavar="CV")] = 0.3,
    draws: Annotated[int, option("Prior draws to average over.", metavar="N", min=1)] = 24,
    body_weight: Annotated[float, option("Body weight.", metavar="KG", min=0.1)] = 70,
    seed: Seed = None,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """Predict practical identifiability: expected posterior contraction for a given study design."""
    from bayesglu.analysis.identifiability import untouched
    from bayesglu.protocols.parse import parse_protocol
    from bayesglu.reporting.tables import pairs, shares

    writable(plot, FIGURES), writable(csv)
    asked = parameters if parameters in ("free", "all") else parse_names(parameters)
    with working("Solving the equations for subjects drawn from the prior"):
        result = bayesglu.identify(
            model,
            parse_protocol(protocol),
            parse_numbers(times),
            parse_names(analytes),
            parse_noise(noise),
            subjects=subjects,
            draws=draws,
            body_weight=body_weight,
            random_seed=seed,
            parameters=asked,
            prior_cv=prior_cv,
        )
    show_table(shares(result), f"{result.attrs['model']}, {result.attrs['protocol']}")
    say(f"\nSamples: {result.attrs['samples']}.")
    if nothing := untouched(result):
        say(f"No information about {', '.join(nothing)}.")
    say(
        "Expected contraction, 1 - posterior SD / prior SD: of one subject's parameters from that subject's "
        f"samples alone, and of typical values from {subjects} subjects. {seeded(result)}",
        "dim",
    )
    if result.sizes["pair"]:
        say()
        show_table(pairs(result), "Practically non-identifiable pairs: posterior correlations beyond 0.9")
    else:
        say("No two parameters have a posterior correlation beyond 0.9.")
    if csv:
        write_csv(csv, result.drop_dims(["other", "pair"]).to_dataframe().reset_index())
    if plot:
        draw(plot, bayesglu.plots.expected_contraction(result))


@app.command(
    rich_help_panel=EXPLORE,
    epilog=examples("bayesglu validate --plot facts.png", "bayesglu validate --model mine.toml --draws 0"),
)
def validate(
    model: Annotated[str, option(MODEL, "--model", "-m", metavar="MODEL")] = "feedback",
    facts: Annotated[
        Path | None,
        option("Facts of your own (.toml, or a folder); default: the built-in ones.", metavar="FILE"),
    ] = None,
    draws: Annotated[
        int, option("Subjects drawn from the priors, for the bands; 0 for none.", metavar="N", min=0)
    ] = 200,
    seed: Seed = None,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """Compare model predictions with published experiments.

    Exits with code 2 if an unexpected prediction lies outside its accepted range.

    Known failures are listed for `feedback`, for which the experiments are written: they begin after an
    overnight fast, whereas `fasting` begins at the last meal, and smaller models lack some of the outputs.

    The figure has twelve experiments a page, and the names of further pages end in _2, _3.
    """
    from bayesglu.plots.validation import pages_of
    from bayesglu.reporting.tables import verdicts
    from bayesglu.validation.facts import load_facts
    from bayesglu.validation.validate import validate as ask

    writable(plot, FIGURES), writable(csv)
    spec, groups = bayesglu.load_model(model), load_facts(facts)
    with working("Repeating the experiments"):
        answers = ask(spec, groups, draws, seed)
    show_table(verdicts(answers.table), f"{spec.name}: {spec.title}")
    say("\n" + ", ".join(f"{count} {word}" for word, count in answers.counts.items()) + ".")
    say(
        "Model: the typical subject; 50 % and 90 %: subjects drawn from the priors. A: read in the source; "
        "B: cited from memory, not re-checked; C: order of magnitude. Accepted ranges are for a group mean.",
        "dim",
    )
    say(
        "Subjects also satisfy the informative constraints, such as on fasting glucose production, so the "
        f"typical subject need not lie in the middle of the bands. Seed {answers.random_seed}.",
        "dim",
    )
    for why, rows in answers.table.query("why != ''").groupby("why", sort=False):
        say(f"\n{'; '.join(rows['fact'])}\n  {why}", "dim")
    if csv:
        write_csv(csv, answers.table)
    if plot:
        for page in range(1, pages_of(answers) + 1):
            path = plot if page == 1 else plot.with_stem(f"{plot.stem}_{page}")
            draw(path, bayesglu.plots.facts(answers, page=page))
    if not answers.clean:
        raise NotClean
