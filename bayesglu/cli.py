"""The command line: a command reads its words, calls one public function and shows what comes back.

The public names are loaded when they are first asked for, so ``bayesglu --help`` answers at once.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import bayesglu
from bayesglu.problems import hint
from bayesglu.terminal import Commands, NotClean, examples, say, show_table, working, writable, wrote

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from bayesglu import Protocol

FIGURES = (".png", ".pdf", ".svg")
FITS = (".nc", ".zarr")

# What a simulation shows unless told otherwise; a model that lacks some of these shows the others.
SHOWN = (
    *("glucose", "insulin", "c_peptide", "glucagon", "liver_glycogen", "glycogen"),
    *("glucose_appearance", "endogenous_glucose_production", "glycogenolysis", "gluconeogenesis"),
    *("gluconeogenesis_share", "hepatic_glucose_uptake", "insulin_secretion", "insulin_extraction"),
    *("brain_glucose_uptake", "tissue_uptake", "urine", "glucose_infusion"),
)

# How a change is written, and what it does to a number: the public functions scale, shift and set_to.
CHANGES: Mapping[str, Callable[[float, float], float]] = {
    "scale": lambda value, by: value * by,
    "shift": lambda value, by: value + by,
    "set_to": lambda value, by: by,
}

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

LOOK, LEARN, ASK = "Look around", "Learn from measurements", "Ask a fit"


def option(help: str, *names: str, panel: str | None = None, **settings: Any) -> Any:
    """An option of a command, listed under the heading `panel`."""
    return typer.Option(*names, help=help, rich_help_panel=panel, **settings)


STUDY = "Name of a shipped study, a folder, or a table of observations (.csv)."
MODEL = "Name of a shipped model, or a model file (.toml)."

Fit = Annotated[Path, typer.Argument(metavar="FIT", help="A fit that [bold]bayesglu fit[/bold] saved.")]
Model = Annotated[str, option(MODEL, "--model", "-m", metavar="MODEL")]
ProtocolText = Annotated[
    str, option('What is done: [cyan]"ogtt(75) + meal(60).shift(300)"[/cyan].', "--protocol", "-p", metavar="TEXT")
]
Changes = Annotated[
    list[str] | None,
    option(
        "A parameter and its change: [cyan]=*1.3[/cyan] scales it, [cyan]=+5[/cyan] or [cyan]=-5[/cyan] shifts it, "
        "[cyan]=0[/cyan] sets it, in its unit. May be repeated.",
        *("--change", "-c"),
        metavar="NAME=HOW",
    ),
]
Outputs = Annotated[
    list[str] | None, option("A state or a flux to show. May be repeated.", "--output", "-o", metavar="NAME")
]
Until = Annotated[float | None, option("When to stop; else when the protocol ends.", metavar="MINUTES", min=1)]
Every = Annotated[float | None, option("Between two points.", metavar="MINUTES", min=0.01)]
Plot = Annotated[Path | None, option("Draw a figure (.png, .pdf, .svg).", metavar="FILE", panel="Files")]
Csv = Annotated[Path | None, option("Write a tidy table.", metavar="FILE", panel="Files")]
Chosen = Annotated[
    list[str] | None, option("Only this parameter. May be repeated.", "--parameter", "-p", metavar="NAME")
]
Probability = Annotated[float, option("Of the equal-tailed intervals.", metavar="P", min=0.01, max=0.999)]


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, option("Print the version and leave.", "--version")] = False,
) -> None:
    """How the pancreas and the liver hold blood glucose in balance, learnt from measurements.

    A table of glucose and hormones goes in. What comes out is each person's parameters with their uncertainty, and
    answers to what would happen if one of them were different.

    Exit codes: 0 fine, 1 something given is wrong, 2 a fit is not clean.
    """
    if version:
        say(bayesglu.__version__)
    elif context.invoked_subcommand is None:
        say(context.get_help())


@app.command(rich_help_panel=LOOK)
def models() -> None:
    """List the models that ship."""
    specs = sorted(map(bayesglu.load_model, bayesglu.list_models()), key=lambda spec: len(spec.parameters))
    show_table(
        ("model", "by person", "shared", "measured", "what it is"),
        [(s.name, len(s.varying), len(s.at("population")), ", ".join(s.analytes), s.title) for s in specs],
    )
    say("\nParameters learnt for each person and for all together. Next: bayesglu show MODEL", "dim")


@app.command(rich_help_panel=LOOK)
def studies() -> None:
    """List the studies that ship."""
    rows = []
    for study in map(bayesglu.load_study, bayesglu.list_studies()):
        counts = len(study.subjects), study.observations.sizes["obs"]
        rows.append((study.name, *counts, ", ".join(study.analytes), study.datasheet.get("title")))
    show_table(("study", "people", "samples", "measured", "what it is"), rows)


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
    from bayesglu.protocols import parse_protocol
    from bayesglu.simulate import available_outputs

    writable(plot, FIGURES), writable(csv)
    spec, done = bayesglu.load_model(model), parse_protocol(protocol)
    changes = {name: (verb, by) for name, verb, by in map(parse_change, change or ())}
    _require("parameter", changes, spec.parameters)
    parameters = {name: CHANGES[verb](spec.medians[name], by) for name, (verb, by) in changes.items()}
    wanted = output or [name for name in SHOWN if name in available_outputs(spec)]
    with working("Solving the equations"):
        result = bayesglu.simulate(
            spec, done, parameters, _times(done, until, every), wanted, body_weight=body_weight
        )

    rows = []
    for name, values in result.items():
        peak = result["time"][values.argmax()]
        numbers = map(float, (values[0], values.min(), values.max(), peak, values[-1]))
        rows.append((name, *numbers, values.attrs["units"]))
    show_table(("", "start", "lowest", "highest", "at (min)", "end", "unit"), rows, f"{spec.name}, {done.name}")
    say(f"\nDelivered: {result.attrs['delivered']}.")
    if csv:
        _write_csv(csv, _tidy(result))
    if plot:
        _draw(plot, bayesglu.plots.simulation(result))


@app.command(rich_help_panel=LEARN, epilog=examples("bayesglu demo", "bayesglu demo --out results --seed 2"))
def demo(
    out: Annotated[Path, option("Where results and the figure go.", metavar="FOLDER")] = Path("bayesglu-demo"),
    seed: Annotated[int, option("Same seed, same numbers.", "--seed", "-s", metavar="N")] = 1,
    progress: Annotated[bool, option("Show progress bars.")] = True,
) -> None:
    """Fit one real person and twelve simulated ones, check both fits and answer a what-if, in three minutes."""
    from bayesglu.demo import run

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
        option("What was done to everyone, in place of what the study says.", "--protocol", "-p", metavar="TEXT"),
    ] = None,
    body_weight: Annotated[
        float | None, option("Body weight of everyone, in place of what the study says.", metavar="KG", min=0.1)
    ] = None,
    method: Annotated[
        str,
        option("[cyan]nuts[/cyan] samples the posterior, [cyan]map[/cyan] finds its mode within seconds.",
               metavar="nuts|map", panel="Sampler"),
    ] = "nuts",
    draws: Annotated[int, option("Draws of each chain that are kept.", metavar="N", min=1, panel="Sampler")] = 1000,
    tune: Annotated[int, option("Draws before them, to adapt.", metavar="N", min=1, panel="Sampler")] = 1000,
    chains: Annotated[int, option("Independent chains.", metavar="N", min=1, panel="Sampler")] = 4,
    seed: Annotated[
        int | None, option("Same seed, same draws.", "--seed", "-s", metavar="N", panel="Sampler")
    ] = None,
    progress: Annotated[bool, option("Show a progress bar.", panel="Sampler")] = True,
    out: Annotated[
        Path | None, option("The fit (.nc or .zarr); else STUDY-MODEL.nc.", metavar="FILE", panel="Files")
    ] = None,
) -> None:
    """Fit a model to a study, save the fit and say whether it is clean."""
    from bayesglu.protocols import parse_protocol

    if method not in ("nuts", "map"):
        raise ValueError(f"--method is {method!r}. Allowed: nuts, map.")
    writable(out, FITS)
    spec = bayesglu.load_model(model)
    measured = bayesglu.load_study(study, protocol and parse_protocol(protocol), body_weight)
    out = out or Path(f"{measured.name}-{spec.name}.nc")
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
    )
    bayesglu.save(fitted, out)
    wrote(out, "the fit")
    _give_verdict(fitted)


@app.command(rich_help_panel=LEARN, epilog=examples("bayesglu check people.nc", "bayesglu check people.nc --csv d.csv"))
def check(fit: Fit, csv: Csv = None) -> None:
    """Say whether a fit can be trusted: chains, draws, sampler and solver. Ends with exit code 2 if not."""
    writable(csv)
    _give_verdict(_load(fit), csv)


@app.command(rich_help_panel=ASK, epilog=examples("bayesglu population people.nc --probability 0.95"))
def population(fit: Fit, parameter: Chosen = None, probability: Probability = 0.9, csv: Csv = None) -> None:
    """Typical values of the parameters and how much people differ in them."""
    writable(csv)
    table = bayesglu.population(_load(fit), probability)
    _show_summary(_chosen(table, parameter=parameter), ("parameter",), csv)


@app.command(
    rich_help_panel=ASK, epilog=examples("bayesglu subjects people.nc --parameter insulin_sensitivity --subject 7")
)
def subjects(
    fit: Fit,
    parameter: Chosen = None,
    subject: Annotated[list[str] | None, option("Only this person. May be repeated.", metavar="LABEL")] = None,
    probability: Probability = 0.9,
    csv: Csv = None,
) -> None:
    """Each person's parameters, and how much the data told of them."""
    writable(csv)
    table = bayesglu.subjects(_load(fit), probability)
    _show_summary(_chosen(table, parameter=parameter, subject=subject), ("parameter", "subject"), csv)


@app.command(
    "what-if",
    rich_help_panel=ASK,
    epilog=examples(
        'bayesglu what-if people.nc --change insulin_sensitivity=*1.3 --protocol "ogtt(75)" --plot effect.png',
        'bayesglu what-if people.nc -c beta_cell_mass=*0.5 -p "meal(80)" --subjects new:100 -o glucose -o insulin',
    ),
)
def what_if(
    fit: Fit,
    change: Changes,
    protocol: ProtocolText,
    subjects: Annotated[
        str,
        option("[cyan]same[/cyan] for the people of the fit, [cyan]new:100[/cyan] for that many new ones, or labels "
               "such as [cyan]3,7[/cyan].", metavar="WHO"),
    ] = "same",
    output: Outputs = None,
    until: Until = None,
    every: Every = None,
    probability: Probability = 0.9,
    seed: Annotated[int | None, option("Same seed, same new people.", "--seed", "-s", metavar="N")] = None,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """What would happen to these people, or to new ones, if a parameter were different: each draw with and without."""
    from bayesglu.protocols import parse_protocol

    writable(plot, FIGURES), writable(csv)
    done, changes = parse_protocol(protocol), [parse_change(text) for text in change or ()]
    result_of = _load(fit)
    with working("Solving the equations with and without the change"):
        result = bayesglu.what_if(
            result_of,
            protocol=done,
            change={name: getattr(bayesglu, verb)(by) for name, verb, by in changes},
            subjects=parse_people(subjects),
            times=_times(done, until, every),
            outputs=output or ["glucose"],
            random_seed=seed,
        )
    table = _tidy(_contrast(result, probability))


# --- reading words ---


def parse_change(text: str) -> tuple[str, str, float]:
    """Name of the parameter, name of the public function that changes it, and by how much.

    >>> parse_change("insulin_sensitivity=*1.3")
    ('insulin_sensitivity', 'scale', 1.3)
    >>> parse_change("basal_glucose=-5"), parse_change("beta_cell_mass=0")
    (('basal_glucose', 'shift', -5.0), ('beta_cell_mass', 'set_to', 0.0))
    """
    parts = re.fullmatch(r"\s*(\w+)\s*=\s*([*+-]?)\s*([\d.]+(?:[eE][+-]?\d+)?)\s*", text)
    try:
        name, sign, number = parts.groups() if parts else ("", "", "")
        amount = float(number)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a change. Write NAME=*1.3 to scale, NAME=+5 or NAME=-5 to shift, NAME=0 to set."
        ) from None
    verb = {"*": "scale", "+": "shift", "-": "shift", "": "set_to"}[sign]
    return name, verb, -amount if sign == "-" else amount


def _times(protocol: "Protocol", until: float | None, every: float | None) -> Sequence[float] | None:
    """Minutes to show; None where nothing was asked for, so that the protocol decides."""
    if until is None and every is None:
        return None
    from bayesglu.simulate import default_times

    step = every or 5.0
    end = default_times(protocol)[-1] if until is None else until
    return [i * step for i in range(int(end / step + 1e-9) + 1)]


def _require(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise a ValueError that lists every name that is not known."""
    known = list(known)
    unknown = [f"There is no {kind} {name!r}.{hint(name, known)}" for name in names if name not in known]
    if unknown:
        raise ValueError("\n".join([*unknown, f"  Known: {', '.join(known)}."]))
