"""The command line: a command reads its words, calls one public function and shows what comes back.

The public names are loaded when they are first asked for, so ``bayesglu --help`` answers at once.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import bayesglu
from bayesglu.atomic import whole
from bayesglu.cli.options import (
    FIGURES,
    MODEL,
    STUDY,
    Answer,
    Changes,
    Chosen,
    Csv,
    Every,
    Fit,
    Model,
    Outputs,
    Plot,
    Probability,
    ProtocolText,
    Seed,
    Until,
    option,
    parse_change,
    parse_names,
    parse_noise,
    parse_numbers,
    parse_pairs,
    parse_people,
    times,
)
from bayesglu.cli.terminal import Commands, NotClean, examples, say, show_table, working, writable, wrote
from bayesglu.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

EXPLORE, FIT, QUERY = "Explore", "Fit", "Query"
ASKED = "What a table may not say"


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, option("Print the version and exit.", "--version")] = False,
) -> None:
    """Hierarchical Bayesian models of glucose homeostasis: pancreas, liver and insulin action.

    A table of glucose and hormones goes in. What comes out is each person's
    parameters, with their uncertainty, and counterfactual predictions: what
    would happen with another meal, or with 30 % more insulin sensitivity.

    Exit codes: 0 success, 1 invalid input, 2 a diagnostic failed or a published
    fact is missed.
    """
    if version:
        say(bayesglu.__version__)
    elif context.invoked_subcommand is None:
        say(context.get_help())


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

    from bayesglu.analysis.counterfactual import default_outputs
    from bayesglu.analysis.simulation import check_names
    from bayesglu.cli.tables import course, tidy
    from bayesglu.protocols.parse import parse_protocol

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
    told = course(result)
    zero = (told[["lowest", "highest"]] == 0).all(axis=1)
    show_table(told[~zero], f"{spec.name}, {done.name}")
    say(f"\nDelivered: {result.attrs['delivered']}.")
    if zero.any():
        say(f"Zero throughout: {', '.join(told['output'][zero])}.")
    if csv:
        _write_csv(csv, tidy(result))
    if plot:
        _draw(plot, bayesglu.plots.trajectories(result))


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
    from bayesglu.cli.tables import pairs, shares
    from bayesglu.protocols.parse import parse_protocol

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
        f"samples alone, and of typical values from {subjects} subjects. {_seeded(result)}",
        "dim",
    )
    if result.sizes["pair"]:
        say()
        show_table(pairs(result), "Practically non-identifiable pairs: posterior correlations beyond 0.9")
    else:
        say("No two parameters have a posterior correlation beyond 0.9.")
    if csv:
        _write_csv(csv, result.drop_dims(["other", "pair"]).to_dataframe().reset_index())
    if plot:
        _draw(plot, bayesglu.plots.expected_contraction(result))


@app.command(
    "import",
    rich_help_panel=EXPLORE,
    epilog=examples(
        'bayesglu import wide.csv --units glucose=mg/dL --units insulin=uU/mL -p "ogtt(75)" --out trial',
        "bayesglu import events.csv --analytes 1=glucose --doses 'oral glucose g' --units time=h --out trial",
        "bayesglu import entries.json treatments.json --body-weight 70 --out diary",
    ),
)
def import_tables(
    tables: Annotated[
        list[Path], typer.Argument(metavar="TABLE...", help="Tables: CSV of any kind, workbooks, exports.")
    ],
    out: Annotated[Path, option("A new folder for the study.", metavar="FOLDER")],
    form: Annotated[
        str | None,
        option(
            "long, half-wide, wide, nonmem, clarity, libreview, carelink or nightscout; default: what it "
            "looks like.",
            "--format",
            metavar="NAME",
        ),
    ] = None,
    protocol: Annotated[
        str | None, option("Protocol of every subject.", "--protocol", "-p", metavar="TEXT")
    ] = None,
    body_weight: Annotated[
        float | None, option("Body weight of every subject.", metavar="KG", min=0.1)
    ] = None,
    units: Annotated[
        Answer, option("Unit of an analyte, or of time. May be repeated.", metavar="NAME=UNIT", panel=ASKED)
    ] = None,
    analytes: Annotated[
        Answer,
        option("Analyte of a number or name in the table.", metavar="THEIRS=NAME", panel=ASKED),
    ] = None,
    columns: Annotated[
        Answer,
        option("Column for subject, time and the like.", metavar="NAME=COLUMN", panel=ASKED),
    ] = None,
    doses: Annotated[
        Answer,
        option(
            "What doses are: [cyan]'oral glucose g'[/cyan], for all or by compartment.",
            metavar="[CMT=]TEXT",
            panel=ASKED,
        ),
    ] = None,
    start: Annotated[
        Answer,
        option(
            "When the dose was: [cyan]08:00[/cyan], or [cyan]first[/cyan], for all or by subject.",
            metavar="[LABEL=]TIME",
            panel=ASKED,
        ),
    ] = None,
    between: Annotated[
        tuple[str, str] | None,
        option("Leave out what an export has outside.", metavar="FROM TO", panel=ASKED),
    ] = None,
    dates: Annotated[
        str | None, option("Order of day and month in dates.", metavar="dmy|mdy", panel=ASKED)
    ] = None,
    time_zone: Annotated[
        str | None, option("Time zone of dates and times.", metavar="Europe/Berlin", panel=ASKED)
    ] = None,
    decimal: Annotated[str | None, option("Decimal sign of numbers.", metavar="SIGN", panel=ASKED)] = None,
    thousands: Annotated[
        str | None, option("Separator of thousands in numbers.", metavar="SIGN", panel=ASKED)
    ] = None,
    plot: Plot = None,
) -> None:
    """Read tables as people have them, and write them as a study: a folder that is looked at and kept.

    What a table does not say is asked for by an error that names the option; what is not used is named.
    """
    from bayesglu.protocols.parse import parse_protocol

    writable(plot, FIGURES), writable(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: there is something already. Name a new folder.")
    study = bayesglu.load_study(
        tables,
        protocol and parse_protocol(protocol),
        body_weight,
        format=form,
        units=parse_pairs(units),
        analytes=parse_pairs(analytes),
        columns=parse_pairs(columns),
        doses=parse_pairs(doses, everyone=True),
        start=parse_pairs(start, everyone=True),
        between=between,
        dates=dates,
        time_zone=time_zone,
        decimal=decimal,
        thousands=thousands,
    )
    say(repr(study))
    wrote(study.to_folder(out), "the study")
    if plot:
        _draw(plot, bayesglu.plots.study(study))


@app.command(rich_help_panel=FIT, epilog=examples("bayesglu demo", "bayesglu demo --out results --seed 2"))
def demo(
    out: Annotated[Path, option("Folder for the fits and the figure.", metavar="FOLDER")] = Path(
        "bayesglu-demo"
    ),
    seed: Annotated[int, option("Random seed.", "--seed", "-s", metavar="N")] = 1,
    progress: Annotated[bool, option("Show progress bars.")] = True,
) -> None:
    """Fit one real and twelve simulated subjects, check both fits and predict a counterfactual: 6 minutes."""
    from bayesglu.cli.demo import run

    if run(out, seed, progress) is False:
        raise NotClean


@app.command(
    rich_help_panel=FIT,
    epilog=examples(
        "bayesglu fit bergman1986 --model minimal --seed 1 --out bergman.nc",
        'bayesglu fit table.csv -m feedback -p "ogtt(75)" --body-weight 62 --method laplace',
    ),
)
def fit(
    study: Annotated[str, typer.Argument(metavar="STUDY", help=STUDY)],
    model: Model,
    protocol: Annotated[
        str | None,
        option("Protocol of every subject, instead of the study's own.", "--protocol", "-p", metavar="TEXT"),
    ] = None,
    body_weight: Annotated[
        float | None,
        option("Body weight of every subject, instead of the study's own.", metavar="KG", min=0.1),
    ] = None,
    method: Annotated[
        str,
        option(
            "[cyan]nuts[/cyan] samples the posterior; [cyan]laplace[/cyan] approximates it within seconds.",
            metavar="nuts|laplace",
            panel="Sampler",
        ),
    ] = "nuts",
    draws: Annotated[
        int | None,
        option(
            "Draws of each chain: 1000, or 400 draws from the Laplace approximation.",
            metavar="N",
            min=1,
            panel="Sampler",
        ),
    ] = None,
    tune: Annotated[int, option("Warm-up draws of each chain.", metavar="N", min=1, panel="Sampler")] = 1000,
    chains: Annotated[int, option("Number of chains.", metavar="N", min=1, panel="Sampler")] = 4,
    seed: Annotated[
        int | None, option("Random seed; default: a new one.", "--seed", "-s", metavar="N", panel="Sampler")
    ] = None,
    progress: Annotated[bool, option("Show a progress bar.", panel="Sampler")] = True,
    out: Annotated[
        Path | None,
        option("Save the fit here (.nc or .zarr); default: STUDY-MODEL.nc.", metavar="FILE", panel="Files"),
    ] = None,
    resume: Annotated[
        Path | None,
        option(
            "Checkpoint draws here; resume from here after an interruption.",
            metavar="RUN.zarr",
            panel="Files",
        ),
    ] = None,
) -> None:
    """Fit a model to a study, save the fit and check its diagnostics."""
    from bayesglu.inference.fit_files import check_place
    from bayesglu.protocols.parse import parse_protocol

    spec = bayesglu.load_model(model)
    measured = bayesglu.load_study(study, protocol and parse_protocol(protocol), body_weight)
    out = out or Path(f"{measured.name}-{spec.name}.nc")
    check_place(out, resume)  # now, so that no one learns after an hour that nothing can be saved there
    say(f"{measured!r}\nModel {spec.name!r}: {spec.title}\n")
    fitted = bayesglu.fit(
        spec,
        measured,
        draws=draws,
        tune=tune,
        chains=chains,
        random_seed=seed,
        progressbar=progress,
        method=method,
        resume=resume,
    )
    bayesglu.save(fitted, out)
    wrote(out, "the fit")
    _give_verdict(fitted)


@app.command(
    rich_help_panel=FIT, epilog=examples("bayesglu check people.nc", "bayesglu check people.nc --csv d.csv")
)
def check(fit: Fit, csv: Csv = None) -> None:
    """Check the diagnostics of a fit: convergence, ESS, sampler, solver. Exits with code 2 if any fails."""
    writable(csv)
    _give_verdict(_load(fit), csv)


@app.command(rich_help_panel=QUERY, epilog=examples("bayesglu population people.nc --probability 0.95"))
def population(fit: Fit, parameter: Chosen = None, probability: Probability = 0.9, csv: Csv = None) -> None:
    """Typical values of the parameters and their between-subject variability."""
    writable(csv)
    _show_summary(bayesglu.summarize_population(_load(fit), probability), csv, parameter=parameter)


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
    _show_summary(
        bayesglu.summarize_individuals(_load(fit), probability), csv, parameter=parameter, subject=subject
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
    fitted = _load(fit)
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
        f"{_seeded(result)}",
        "dim",
    )
    if csv:
        _write_csv(csv, tidy(with_difference(result), probability))
    if plot:
        _draw(plot, bayesglu.plots.contrast(result, wanted[0], probability=probability))


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
    """
    from bayesglu.cli.tables import verdicts
    from bayesglu.validation.facts import load_facts
    from bayesglu.validation.facts import validate as ask

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
        _write_csv(csv, answers.table)
    if plot:
        _draw(plot, bayesglu.plots.facts(answers))
    if not answers.clean:
        raise NotClean


def _seeded(result: "xr.Dataset") -> str:
    return f"Seed {result.attrs['random_seed']}."


def _load(path: Path) -> "xr.DataTree":
    with working(f"Reading {path}"):
        return bayesglu.load(path)


def _give_verdict(fitted: "xr.DataTree", csv: Path | None = None) -> None:
    """Say what `check` found; exit with code 2 where a diagnostic failed."""
    with working("Checking"):
        verdict = bayesglu.check(fitted, warn=False)
    say(repr(verdict))
    if csv:
        _write_csv(csv, verdict.table.reset_index())
    if not verdict.clean:
        raise NotClean


def _show_summary(table: "xr.Dataset", csv: Path | None, **wanted: list[str] | None) -> None:
    """The rows of a summary that were asked for, by dimension; all where nothing was."""
    from bayesglu.analysis.simulation import check_names
    from bayesglu.cli.tables import summary

    for dim, names in wanted.items():
        if names:
            check_names(dim, names, map(str, table[dim].values))
            table = table.sel({dim: names})
    show_table(summary(table))
    kind = f"{100 * table.attrs['probability']:g} % {table.attrs['interval']}"
    say(f"\nIntervals are {kind}. Contraction: 1 - posterior SD / prior SD.", "dim")
    if csv:
        _write_csv(csv, table.to_dataframe().reset_index())


def _write_csv(path: Path, table: "pd.DataFrame") -> None:
    with whole(path) as new:
        table.to_csv(new, index=False, float_format="%.8g")
    wrote(path, f"{len(table)} rows")


def _draw(path: Path, figure: "Figure") -> None:
    with whole(path) as new:
        figure.savefig(new, dpi=150)
    wrote(path, "the figure")
