"""Commands that make a fit and judge it."""

from pathlib import Path
from typing import Annotated

import typer

import bayesglu
from bayesglu.cli.command import FIT, app
from bayesglu.cli.options import FIGURES, MODEL, STUDY, Csv, Fit, Model, Plot, Seed, option
from bayesglu.cli.results import draw, give_verdict, load, size_of, write_csv
from bayesglu.cli.terminal import NotClean, examples, say, writable, wrote


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
            "[cyan]nuts[/cyan] samples the posterior; [cyan]laplace[/cyan] approximates it within seconds; "
            "[cyan]mclmc[/cyan] is faster, experimental and not exact.",
            metavar="nuts|laplace|mclmc",
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
    steps: Annotated[
        str | None,
        option(
            "[cyan]adaptive[/cyan]: steps of the solver as its tolerances ask for; [cyan]frozen[/cyan]: long "
            "ones while sampling, draws weighted to its tolerances. Default: frozen for several people.",
            metavar="adaptive|frozen",
            panel="Sampler",
        ),
    ] = None,
    progress: Annotated[bool, option("Show a progress bar.", panel="Sampler")] = True,
    out: Annotated[
        Path | None,
        option("Save the fit here (.nc or .zarr); default: STUDY-MODEL.nc.", metavar="FILE", panel="Files"),
    ] = None,
    thin: Annotated[
        int, option("Keep 1 of so many draws in the file.", metavar="N", min=1, panel="Files")
    ] = 1,
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
        steps=steps,
        resume=resume,
    )
    bayesglu.save(fitted, out, thin=thin)
    wrote(out, f"the fit, {size_of(out) / 1e6:.3g} MB,")
    give_verdict(fitted, keep=out, thin=thin)


@app.command(
    rich_help_panel=FIT, epilog=examples("bayesglu check people.nc", "bayesglu check people.nc --csv d.csv")
)
def check(fit: Fit, csv: Csv = None) -> None:
    """Did sampling work, and does the model describe the data? Exits with code 2 if anything fails."""
    writable(csv)
    give_verdict(load(fit), csv)


@app.command(
    rich_help_panel=FIT,
    epilog=examples(
        "bayesglu calibrate minimal bergman1986 --keep runs/minimal",
        "bayesglu calibrate my_model.toml my_study/ --simulations 200 --keep runs/mine --plot ranks.png",
    ),
)
def calibrate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=MODEL)],
    study: Annotated[str, typer.Argument(metavar="STUDY", help=STUDY)],
    simulations: Annotated[int, option("How many simulations.", "--simulations", "-n", metavar="N")] = 100,
    draws: Annotated[int, option("Draws of each chain.", metavar="N", panel="Sampler")] = 250,
    tune: Annotated[int, option("Warm-up draws of each chain.", metavar="N", panel="Sampler")] = 500,
    chains: Annotated[int, option("Number of chains.", metavar="N", panel="Sampler")] = 2,
    seed: Seed = None,
    progress: Annotated[bool, option("Show a progress bar.")] = True,
    keep: Annotated[
        Path | None,
        option(
            "Keep each simulation here as it ends; the same call resumes.", metavar="FOLDER", panel="Files"
        ),
    ] = None,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """Simulation-based calibration: whether intervals of fits to simulated studies cover as they claim.

    Exits with code 2 if they do not.
    """
    writable(plot, FIGURES), writable(csv)
    found = bayesglu.calibrate(
        model,
        study,
        simulations=simulations,
        draws=draws,
        tune=tune,
        chains=chains,
        keep=keep,
        progressbar=progress,
        random_seed=seed,
    )
    say(repr(found))
    if csv:
        write_csv(csv, found.table.reset_index())
    if plot:
        draw(plot, bayesglu.plots.calibration(found))
    if not found.calibrated:
        raise NotClean
