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
    Until,
    option,
    parse_change,
    parse_names,
    parse_noise,
    parse_numbers,
    parse_people,
    times,
)
from bayesglu.cli.terminal import Commands, NotClean, examples, say, show_table, working, writable, wrote

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

LOOK, LEARN, ASK = "Look around", "Learn from measurements", "Ask a fit"


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, option("Print the version and leave.", "--version")] = False,
) -> None:
    """How the pancreas and the liver hold blood glucose in balance, learnt from measurements.

    A table of glucose and hormones goes in. What comes out is each person's
    parameters, with their uncertainty, and answers to what would happen if one
    of them were different.

    Exit codes: 0 fine, 1 something given is wrong, 2 a fit is not clean or a
    published fact is missed.
    """
    if version:
        say(bayesglu.__version__)
    elif context.invoked_subcommand is None:
        say(context.get_help())


@app.command(rich_help_panel=LOOK)
def models() -> None:
    """List the models that ship."""
    import pandas as pd

    rows = []
    for m in sorted(map(bayesglu.load_model, bayesglu.list_models()), key=lambda m: len(m.parameters)):
        rows.append((m.name, len(m.varying), len(m.at("population")), ", ".join(m.analytes), m.title))
    show_table(pd.DataFrame(rows, columns=["model", "by person", "shared", "measured", "what it is"]))
    say("\nParameters learnt for each person and for all together. Next: bayesglu show MODEL", "dim")


@app.command(rich_help_panel=LOOK)
def studies() -> None:
    """List the studies that ship."""
    import pandas as pd

    rows = []
    for study in map(bayesglu.load_study, bayesglu.list_studies()):
        counts = len(study.subjects), study.observations.sizes["obs"]
        rows.append((study.name, *counts, ", ".join(study.analytes), study.datasheet.get("title")))
    show_table(pd.DataFrame(rows, columns=["study", "people", "samples", "measured", "what it is"]))


@app.command(
    rich_help_panel=LOOK, epilog=examples("bayesglu show feedback", "bayesglu show oral --text > mine.toml")
)
def show(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL)],
    text: Annotated[bool, option("Print its file, with all that it inherits.", "--text")] = False,
    papers: Annotated[bool, option("Print the papers behind its priors.", "--papers")] = False,
) -> None:
    """Show a model: its organs, what is measured, each parameter with its prior, unit and source."""
    spec = bayesglu.load_model(model)
    if text:
        say(spec.text.rstrip())
    elif papers:
        say("\n".join(bayesglu.citation(key) for key in spec.sources))
    else:
        say(repr(spec))


@app.command(
    rich_help_panel=LOOK,
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
    """Simulate the typical person of a model under a protocol."""
    import xarray as xr

    from bayesglu.analysis.counterfactual import default_outputs
    from bayesglu.analysis.simulation import check_names
    from bayesglu.cli.tables import course, tidy
    from bayesglu.protocols.library import parse_protocol

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
    rich_help_panel=LOOK,
    epilog=examples(
        'bayesglu identify --model feedback --protocol "ogtt(75)" --analytes glucose,insulin,c_peptide',
        'bayesglu identify -m ivgtt -p "ivgtt(0.3)" --noise glucose=0.02,insulin=0.1 --plot taught.png',
    ),
)
def identify(
    model: Model,
    protocol: ProtocolText,
    analytes: Annotated[
        str | None, option("What is measured, with commas; else all that the model has.", metavar="NAMES")
    ] = None,
    times: Annotated[str | None, option("When, with commas; else as is usual.", metavar="MINUTES")] = None,
    noise: Annotated[
        str | None,
        option(
            "SD of log residuals, as [cyan]0.05[/cyan] or [cyan]glucose=0.03,insulin=0.1[/cyan]; else the "
            "model's.",
            metavar="SD",
        ),
    ] = None,
    subjects: Annotated[int, option("People from whom the population is learnt.", metavar="N", min=1)] = 20,
    parameters: Annotated[
        str,
        option(
            "What is unknown: [cyan]free[/cyan] for what the model estimates, [cyan]all[/cyan], or fixed "
            "parameters besides, with commas.",
            metavar="free|all|NAMES",
        ),
    ] = "free",
    prior_cv: Annotated[float, option("How well a fixed parameter is known.", metavar="CV")] = 0.3,
    draws: Annotated[int, option("Draws from the prior.", metavar="N", min=1)] = 24,
    body_weight: Annotated[float, option("Body weight.", metavar="KG", min=0.1)] = 70,
    seed: Annotated[int, option("Same seed, same draws.", "--seed", "-s", metavar="N")] = 0,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """Foretell what a protocol can teach of each parameter, before anyone is measured."""
    from bayesglu.analysis.identifiability import untouched
    from bayesglu.cli.tables import pairs, shares
    from bayesglu.protocols.library import parse_protocol

    writable(plot, FIGURES), writable(csv)
    asked = parameters if parameters in ("free", "all") else parse_names(parameters)
    with working("Solving the equations for people drawn from the prior"):
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
    told = (
        "Expected share of the prior SD that is removed, for one person alone and for the typical values by"
    )
    say(f"\nSamples: {result.attrs['samples']}.")
    if nothing := untouched(result):
        say(f"Nothing is learnt of {', '.join(nothing)}.")
    say(f"{told} {subjects} people.", "dim")
    if result.sizes["pair"]:
        say()
        show_table(pairs(result), "Cannot be told apart: posterior correlations beyond 0.9")
    else:
        say("No two parameters have a posterior correlation beyond 0.9.")
    if csv:
        _write_csv(csv, result.drop_dims(["other", "pair"]).to_dataframe().reset_index())
    if plot:
        _draw(plot, bayesglu.plots.identified(result))


@app.command(rich_help_panel=LEARN, epilog=examples("bayesglu demo", "bayesglu demo --out results --seed 2"))
def demo(
    out: Annotated[Path, option("Where results and the figure go.", metavar="FOLDER")] = Path(
        "bayesglu-demo"
    ),
    seed: Annotated[int, option("Same seed, same numbers.", "--seed", "-s", metavar="N")] = 1,
    progress: Annotated[bool, option("Show progress bars.")] = True,
) -> None:
    """Fit one real person and twelve simulated ones, check both fits and answer a what-if: three minutes."""
    from bayesglu.cli.demo import run

    if run(out, seed, progress) is False:
        raise NotClean


@app.command(
    rich_help_panel=LEARN,
    epilog=examples(
        "bayesglu fit bergman1986 --model minimal --seed 1 --out bergman.nc",
        'bayesglu fit table.csv -m feedback -p "ogtt(75)" --body-weight 62 --method map',
    ),
)
def fit(
    study: Annotated[str, typer.Argument(metavar="STUDY", help=STUDY)],
    model: Model,
    protocol: Annotated[
        str | None,
        option(
            "What was done to everyone, in place of what the study says.", "--protocol", "-p", metavar="TEXT"
        ),
    ] = None,
    body_weight: Annotated[
        float | None,
        option("Body weight of everyone, in place of what the study says.", metavar="KG", min=0.1),
    ] = None,
    method: Annotated[
        str,
        option(
            "[cyan]nuts[/cyan] samples the posterior, [cyan]map[/cyan] finds its mode within seconds.",
            metavar="nuts|map",
            panel="Sampler",
        ),
    ] = "nuts",
    draws: Annotated[
        int | None,
        option(
            "Draws of each chain that are kept: 1000, or 400 of the mode's Gaussian.",
            metavar="N",
            min=1,
            panel="Sampler",
        ),
    ] = None,
    tune: Annotated[int, option("Draws before them, to adapt.", metavar="N", min=1, panel="Sampler")] = 1000,
    chains: Annotated[int, option("Independent chains.", metavar="N", min=1, panel="Sampler")] = 4,
    seed: Annotated[
        int | None, option("Same seed, same draws.", "--seed", "-s", metavar="N", panel="Sampler")
    ] = None,
    progress: Annotated[bool, option("Show a progress bar.", panel="Sampler")] = True,
    out: Annotated[
        Path | None, option("The fit (.nc or .zarr); else STUDY-MODEL.nc.", metavar="FILE", panel="Files")
    ] = None,
    resume: Annotated[
        Path | None,
        option(
            "Keep draws here as they come; go on from here after a stop.", metavar="RUN.zarr", panel="Files"
        ),
    ] = None,
) -> None:
    """Fit a model to a study, save the fit and say whether it is clean."""
    from bayesglu.inference.fit_files import check_place
    from bayesglu.protocols.library import parse_protocol

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
    rich_help_panel=LEARN, epilog=examples("bayesglu check people.nc", "bayesglu check people.nc --csv d.csv")
)
def check(fit: Fit, csv: Csv = None) -> None:
    """Say whether a fit can be trusted: chains, draws, sampler and solver. Ends with exit code 2 if not."""
    writable(csv)
    _give_verdict(_load(fit), csv)


@app.command(rich_help_panel=ASK, epilog=examples("bayesglu population people.nc --probability 0.95"))
def population(fit: Fit, parameter: Chosen = None, probability: Probability = 0.9, csv: Csv = None) -> None:
    """Typical values of the parameters and how much people differ in them."""
    writable(csv)
    _show_summary(bayesglu.population(_load(fit), probability), csv, parameter=parameter)


@app.command(
    rich_help_panel=ASK,
    epilog=examples("bayesglu subjects people.nc --parameter insulin_sensitivity --subject 7"),
)
def subjects(
    fit: Fit,
    parameter: Chosen = None,
    subject: Annotated[
        list[str] | None, option("Only this person. May be repeated.", metavar="LABEL")
    ] = None,
    probability: Probability = 0.9,
    csv: Csv = None,
) -> None:
    """Each person's parameters, and how much the data told of them."""
    writable(csv)
    _show_summary(bayesglu.subjects(_load(fit), probability), csv, parameter=parameter, subject=subject)


@app.command(
    "what-if",
    rich_help_panel=ASK,
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
        option("What is done; else what was done in the study.", "--protocol", "-p", metavar="TEXT"),
    ] = None,
    subjects: Annotated[
        str,
        option(
            "[cyan]same[/cyan] for the people of the fit, [cyan]new:100[/cyan] for that many new ones, or "
            "labels such as [cyan]3,7[/cyan].",
            metavar="WHO",
        ),
    ] = "same",
    output: Outputs = None,
    until: Until = None,
    every: Every = None,
    probability: Probability = 0.9,
    seed: Annotated[int, option("Same seed, same new people.", "--seed", "-s", metavar="N")] = 0,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """What would happen to these people, or to new ones, if a parameter were different."""
    from bayesglu.cli.tables import effect, tidy, with_difference
    from bayesglu.protocols.library import parse_protocol

    writable(plot, FIGURES), writable(csv)
    done, people = protocol and parse_protocol(protocol), parse_people(subjects)
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
            **people,
        )
    show_table(effect(result, probability), f"{result.attrs['protocol']}; {result.attrs['change']}")
    count = result.sizes["subject"]
    say(f"\nMean of {count} people: median and {100 * probability:g} % equal-tailed interval.", "dim")
    if csv:
        _write_csv(csv, tidy(with_difference(result), probability))
    if plot:
        _draw(plot, bayesglu.plots.contrast(result, wanted[0], probability=probability))


@app.command(
    rich_help_panel=LOOK,
    epilog=examples("bayesglu validate --plot facts.png", "bayesglu validate --model mine.toml --draws 0"),
)
def validate(
    model: Annotated[str, option(MODEL, "--model", "-m", metavar="MODEL")] = "feedback",
    facts: Annotated[
        Path | None, option("Facts of your own (.toml, or a folder); else those that ship.", metavar="FILE")
    ] = None,
    draws: Annotated[
        int, option("People drawn from the priors, for the bands; 0 for none.", metavar="N", min=0)
    ] = 200,
    seed: Annotated[int, option("Same seed, same people.", "--seed", "-s", metavar="N")] = 1,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """Put a model to published experiments. Ends with exit code 2 if it misses a fact that it should not.

    Which misses are known is told of `feedback`, for which the experiments are written: they begin after a
    night's fast, where `fasting` begins at the last meal, and smaller models lack what some of them ask for.
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
        "Model: the typical person; 50 % and 90 %: people as the priors expect them. A: read in the source,",
        "dim",
    )
    say("B: remembered from it, C: order of magnitude. The accepted range is for the mean of a group.", "dim")
    say(
        "People also meet what is known of everyone, such as fasting glucose production; the typical person "
        "need not lie amid them.",
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


def _load(path: Path) -> "xr.DataTree":
    with working(f"Reading {path}"):
        return bayesglu.load(path)


def _give_verdict(fitted: "xr.DataTree", csv: Path | None = None) -> None:
    """Say what `check` found; leave with exit code 2 if that is not clean."""
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
    say(f"\nIntervals are {kind}. Learnt: 1 - SD of the posterior / SD of the prior.", "dim")
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
