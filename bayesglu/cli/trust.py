"""Commands that ask whether the model of a fit describes its people, and how much its priors say."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import bayesglu
from bayesglu.cli.command import FIT, app
from bayesglu.cli.options import FIGURES, STUDY, By, Csv, Fit, Plot, Seed, option
from bayesglu.cli.results import draw, load, write_csv
from bayesglu.cli.terminal import examples, say, show_table, working, writable

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

SHOWN = 20
"""Rows that a terminal gets; --csv has all."""


@app.command(
    rich_help_panel=FIT,
    epilog=examples(
        "bayesglu predictive people.nc --out checks",
        "bayesglu predictive people.nc --by group --study my_study/ --seed 1 --out checks",
    ),
)
def predictive(
    fit: Fit,
    out: Annotated[
        Path, option("Folder for figures (.png) and tables (.csv).", metavar="FOLDER", panel="Files")
    ] = Path("predictive"),
    by: By = None,
    study: Annotated[
        str | None,
        option(
            "The study that was fitted: shows samples left out, and is needed with a forcing function. "
            + STUDY,
            metavar="STUDY",
        ),
    ] = None,
    seed: Seed = None,
) -> None:
    """Predictive checks: PIT, visual predictive check, npde, residuals, random effects, individual fits."""
    from bayesglu.seeds import seed_of

    writable(out)
    fitted, seed = load(fit), seed_of(seed)
    with working("Comparing samples with what is predicted"):
        made = list(_checks(fitted, by, study, seed))
    out.mkdir(exist_ok=True)
    for name, table, figures in made:
        write_csv(out / f"{name}.csv", table)
        for page, figure in enumerate(figures, 1):
            draw(out / f"{name}{f'_{page}' if len(figures) > 1 else ''}.png", figure())
    say(f"\nSeed {seed}.", "dim")


def _checks(
    fitted: "xr.DataTree", by: str | None, study: str | None, seed: int
) -> Iterator[tuple[str, "pd.DataFrame", list[Callable[[], "Figure"]]]]:
    """Each check: its name, a table, and its figures, drawn when called; the most telling part is said."""
    from bayesglu import plots
    from bayesglu.errors import BayesgluError
    from bayesglu.plots.individual_fits import pages_of

    transforms = bayesglu.pit(fitted, by, seed)
    yield "pit", _flat(transforms, "obs"), [lambda: plots.pit(transforms)]
    groups = _flat(transforms, "group")
    show_table(groups[groups["level"] != "at"], "PIT: uniform where the model is right")
    quantiles = bayesglu.vpc(fitted, by)
    yield (
        "vpc",
        _flat(quantiles[["observed", "median", "lower", "upper"]], "bin"),
        [lambda: plots.vpc(quantiles)],
    )
    out = (quantiles["observed"] < quantiles["lower"]) | (quantiles["observed"] > quantiles["upper"])
    say(
        f"\nVisual predictive check: {int(out.sum())} of {out.size} quantiles outside their 90 % intervals.\n"
    )
    errors = bayesglu.npde(fitted, seed)
    yield "npde", _flat(errors, "obs"), [lambda: plots.npde(errors)]
    show_table(_flat(errors, "tested"), "npde: mean 0, variance 1, Normal where the model is right")
    residuals = bayesglu.sample_residuals(fitted, seed)
    yield "residuals", _flat(residuals, "obs"), [lambda: plots.sample_residuals(residuals)]
    try:
        effects = bayesglu.random_effects(fitted)
    except BayesgluError as error:  # one person, or a fit without differences
        say(str(error), "dim")
    else:
        yield "random_effects", _flat(effects, "parameter"), [lambda: plots.random_effects(effects)]
    curves = bayesglu.individual_fits(fitted, study, random_seed=seed)
    for analyte in dict.fromkeys(map(str, curves.analyte.values)):
        own = curves.isel(moment=curves.analyte.values == analyte)
        pages = range(1, pages_of(curves, analyte) + 1)
        drawn: list[Callable[[], Any]] = [
            lambda page=page, analyte=analyte: plots.individual_fits(curves, analyte, page) for page in pages
        ]
        yield f"individual_fits_{analyte}", _flat(own, "moment"), drawn


def _flat(found: "xr.Dataset", dim: str) -> "pd.DataFrame":
    """The variables of one dimension, and perhaps another, as a tidy table."""
    kept = found[[name for name, values in found.data_vars.items() if dim in values.dims]]
    others = [name for name, values in kept.coords.items() if dim not in values.dims and values.ndim]
    kept = kept.drop_vars([name for name in others if name not in kept.dims])
    return kept.to_dataframe().reset_index()


@app.command(
    rich_help_panel=FIT,
    epilog=examples("bayesglu sensitivity people.nc --plot sensitivity.png --csv sensitivity.csv"),
)
def sensitivity(
    fit: Fit,
    threshold: Annotated[float, option("Smallest sensitivity that counts.", metavar="X")] = 0.05,
    plot: Plot = None,
    csv: Csv = None,
) -> None:
    """How much values follow their own priors, by power scaling, with the priors' sources."""
    writable(plot, FIGURES), writable(csv)
    fitted = load(fit)
    with working("Weighting the draws"):
        table = bayesglu.prior_sensitivity(fitted, threshold)
    sensitive = table[table["diagnosis"] != "informed by the data"]
    say("\n".join(sensitive["words"].head(SHOWN)) or "No value follows its prior.")
    more = f" {len(sensitive) - SHOWN} more: --csv." if len(sensitive) > SHOWN else ""
    say(f"\n{len(sensitive)} of {len(table)} values are sensitive to their own prior.{more}", "dim")
    about = table.attrs
    say(
        f"By chance alone, sensitivities reach {about['chance_prior']:.2g} (prior) and "
        f"{about['chance_likelihood']:.2g} (likelihood).",
        "dim",
    )
    if csv:
        write_csv(csv, table)
    if plot:
        draw(plot, bayesglu.plots.prior_sensitivity(table))
