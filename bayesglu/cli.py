"""The command line: a command reads its words, calls one public function and shows what comes back.

The public names are loaded when they are first asked for, so ``bayesglu --help`` answers at once.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import bayesglu
from bayesglu.terminal import Commands, NotClean, examples, say, show_table, shown, working, writable, wrote

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
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
    str,
    option(
        'What is done: [cyan]"ogtt(75) + meal(60).shift(300)"[/cyan].', "--protocol", "-p", metavar="TEXT"
    ),
]
Changes = Annotated[
    list[str] | None,
    option(
        "A parameter and its change: [cyan]=*1.3[/cyan] scales it, [cyan]=+5[/cyan] or [cyan]=-5[/cyan] "
        "shifts it, [cyan]=0[/cyan] sets it, in its unit. May be repeated.",
        *("--change", "-c"),
        metavar="NAME=HOW",
    ),
]
Outputs = Annotated[
    list[str] | None, option("A state or a flux to show. May be repeated.", "--output", "-o", metavar="NAME")
]
Until = Annotated[
    float | None, option("When to stop; else when the protocol ends.", metavar="MINUTES", min=1)
]
Every = Annotated[float | None, option("Between two points.", metavar="MINUTES", min=0.01)]
Plot = Annotated[Path | None, option("Draw a figure (.png, .pdf, .svg).", metavar="FILE", panel="Files")]
Csv = Annotated[Path | None, option("Write a tidy table.", metavar="FILE", panel="Files")]
Chosen = Annotated[list[str] | None, option("Only this parameter. May be repeated.", metavar="NAME")]
Probability = Annotated[float, option("Of the equal-tailed intervals.", metavar="P", min=0.01, max=0.999)]


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, option("Print the version and leave.", "--version")] = False,
) -> None:
    """How the pancreas and the liver hold blood glucose in balance, learnt from measurements.

    A table of glucose and hormones goes in. What comes out is each person's
    parameters, with their uncertainty, and answers to what would happen if one
    of them were different.

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
    from bayesglu.simulate import available_outputs, check_names

    writable(plot, FIGURES), writable(csv)
    spec, done = bayesglu.load_model(model), parse_protocol(protocol)
    changes = {name: (verb, by) for name, verb, by in map(parse_change, change or ())}
    check_names("parameter", changes, spec.parameters)
    parameters = {name: CHANGES[verb](spec.medians[name], by) for name, (verb, by) in changes.items()}
    wanted = output or [name for name in SHOWN if name in available_outputs(spec)]
    with working("Solving the equations"):
        result = bayesglu.simulate(
            spec, done, parameters, _times(done, until, every), wanted, body_weight=body_weight
        )

    _show_course(result, f"{spec.name}, {done.name}")
    if csv:
        _write_csv(csv, _tidy(result))
    if plot:
        _draw(plot, bayesglu.plots.trajectories(result))


@app.command(rich_help_panel=LEARN, epilog=examples("bayesglu demo", "bayesglu demo --out results --seed 2"))
def demo(
    out: Annotated[Path, option("Where results and the figure go.", metavar="FOLDER")] = Path(
        "bayesglu-demo"
    ),
    seed: Annotated[int, option("Same seed, same numbers.", "--seed", "-s", metavar="N")] = 1,
    progress: Annotated[bool, option("Show progress bars.")] = True,
) -> None:
    """Fit one real person and twelve simulated ones, check both fits and answer a what-if: three minutes."""
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
        int, option("Draws of each chain that are kept.", metavar="N", min=1, panel="Sampler")
    ] = 1000,
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
    table = bayesglu.population(_load(fit), probability)
    _show_summary(_chosen(table, parameter=parameter), ("parameter",), csv)


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
    table = bayesglu.subjects(_load(fit), probability)
    _show_summary(_chosen(table, parameter=parameter, subject=subject), ("parameter", "subject"), csv)


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
    protocol: ProtocolText,
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
    seed: Annotated[int | None, option("Same seed, same new people.", "--seed", "-s", metavar="N")] = None,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """What would happen to these people, or to new ones, if a parameter were different."""
    from bayesglu.protocols import parse_protocol

    writable(plot, FIGURES), writable(csv)
    done, changes = parse_protocol(protocol), list(map(parse_change, change or ()))
    people = parse_people(subjects)
    fitted = _load(fit)
    with working("Solving the equations with and without the change"):
        result = bayesglu.what_if(
            fitted,
            protocol=done,
            change={name: getattr(bayesglu, verb)(by) for name, verb, by in changes},
            subjects=people,
            times=_times(done, until, every),
            outputs=output or ["glucose"],
            random_seed=seed,
        )
    _show_effect(result, f"{done.name}, {', '.join(change or ())}", probability)
    if csv:
        _write_csv(csv, _tidy(_with_difference(result), probability))
    if plot:
        _draw(
            plot, bayesglu.plots.contrast(result, output[0] if output else "glucose", probability=probability)
        )


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


def parse_people(text: str) -> str | int | list[str]:
    """Who a question is about, as `what_if` takes it.

    >>> parse_people("same"), parse_people("new:100"), parse_people("3, 7")
    ('same', 100, ['3', '7'])
    """
    if text == "same":
        return text
    if text.startswith("new"):
        if not (count := re.fullmatch(r"new:([1-9]\d{0,5})", text)):
            raise ValueError(f"--subjects is {text!r}. Write new:100 for a hundred new people.")
        return int(count[1])
    return [label.strip() for label in text.split(",")]


def _times(protocol: "Protocol", until: float | None, every: float | None) -> "np.ndarray":
    """Minutes to show; whatever is not asked for follows the protocol."""
    import numpy as np

    from bayesglu.simulate import default_times

    usual = default_times(protocol)
    return np.arange(0.0, (until or usual[-1]) + 1e-9, every or usual[1])


def _chosen(table: "xr.Dataset", **wanted: list[str] | None) -> "xr.Dataset":
    """The rows of a table that were asked for, by dimension; all where nothing was."""
    from bayesglu.simulate import check_names

    for dim, names in wanted.items():
        if names:
            check_names(dim, names, table[dim].values.astype(str))
            table = table.sel({dim: names})
    return table


# --- showing what came back ---


def _load(path: Path) -> "xr.DataTree":
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such fit. `bayesglu fit` makes one.")
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


def _show_summary(table: "xr.Dataset", dims: Sequence[str], csv: Path | None) -> None:
    """One row a parameter (and person): posterior, prior, how much was learnt."""
    probability = f"{100 * table.attrs['probability']:g} %"
    rows = table.to_dataframe().reset_index()
    columns = [*dims, "unit", "median", f"{probability} interval"]
    varying = "between_median" in rows
    columns += ["between people"] if varying else []
    shown_rows = []
    for row in rows.to_dict("records"):
        cells = [*(row[dim] for dim in dims), row["unit"], row["median"], _interval(row, "")]
        if varying:
            cells.append(_interval(row, "between_"))
        shown_rows.append((*cells, _interval(row, "prior_"), row["shrinkage"]))
    show_table((*columns, "before the data", "learnt"), shown_rows)
    say(
        f"\nIntervals are {table.attrs['interval']}. Learnt: 1 - SD of the posterior / SD of the prior.",
        "dim",
    )
    if csv:
        _write_csv(csv, rows)


def _interval(row: Mapping[str, float], of: str) -> str:
    low, high = row[f"{of}lower"], row[f"{of}upper"]
    return "" if low != low else f"{shown(low)} to {shown(high)}"


def _show_course(result: "xr.Dataset", title: str) -> None:
    """Where each output starts, how far it goes and where it ends, for one person."""
    rows, unchanged = [], []
    for name, values in result.items():
        numbers, peak = values.values, result["time"].values[values.values.argmax()]
        if numbers.any():
            cells = (numbers[0], numbers.min(), numbers.max(), peak, numbers[-1])
            rows.append((name, *map(float, cells), values.attrs["units"]))
        else:
            unchanged.append(str(name))
    show_table(("", "start", "lowest", "highest", "at (min)", "end", "unit"), rows, title)
    say(f"\nDelivered: {result.attrs['delivered']}.")
    if unchanged:
        say(f"Zero throughout: {', '.join(unchanged)}.")


def _with_difference(result: "xr.Dataset") -> "xr.Dataset":
    """A what-if with one more scenario for each change: what it adds to the first, within each draw."""
    import xarray as xr

    first, others = result.isel(scenario=0, drop=True), result.isel(scenario=slice(1, None))
    names = [f"difference ({name})" for name in others["scenario"].values]
    added = (others - first).assign_coords(scenario=names)
    return xr.concat([result, added], "scenario", combine_attrs="override")


def _show_effect(result: "xr.Dataset", title: str, probability: float) -> None:
    """Mean over people with and without a change, and the difference within each draw, at a few times."""
    mean = _with_difference(result.mean("subject", keep_attrs=True))
    shown_times = np.unique(np.linspace(0, result.sizes["time"] - 1, 7).round().astype(int))
    frame = _tidy(mean.isel(time=shown_times), probability)
    rows = []
    for (name, time), group in frame.groupby(["output", "time_min"], sort=False):
        cells = [
            f"{shown(row.median)} ({shown(row.lower)} to {shown(row.upper)})" for row in group.itertuples()
        ]
        rows.append((name, time, *cells, group["unit"].iloc[0]))
    show_table(("output", "min", *mean["scenario"].values, "unit"), rows, title)
    people = result.sizes["subject"]
    say(f"\nMean of {people} people, median and {100 * probability:g} % equal-tailed interval.", "dim")


def _tidy(result: "xr.Dataset", probability: float | None = None) -> "pd.DataFrame":
    """One row a number: where it stands, the output, its value (or median and interval over draws), its unit."""
    kinds = {"value": result}
    if probability is not None:
        tail = (1 - probability) / 2
        quantiles = result.quantile([0.5, tail, 1 - tail], ("chain", "draw"))
        kinds = {kind: quantiles.isel(quantile=i) for i, kind in enumerate(("median", "lower", "upper"))}
    dims = [str(dim) for dim in kinds[next(iter(kinds))].dims]
    columns = {}
    for kind, numbers in kinds.items():
        frame = numbers.reset_coords(drop=True).to_dataframe(dim_order=dims).reset_index()
        frame = frame.melt(dims, var_name="output", value_name=kind)
        columns[kind] = frame[kind]
    table = frame[[*dims, "output"]].assign(**columns)
    units = {name: values.attrs["units"] for name, values in result.items()}
    return table.assign(unit=table["output"].map(units)).rename(columns={"time": "time_min"})


def _write_csv(path: Path, frame: "pd.DataFrame") -> None:
    frame.to_csv(path, index=False, float_format="%.8g")
    wrote(path, f"{len(frame)} rows")


def _draw(path: Path, figure: "Figure") -> None:
    figure.savefig(path, dpi=150)
    wrote(path, "the figure")
