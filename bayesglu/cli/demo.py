"""The demonstration: one real person, twelve simulated ones, and a what-if, in about ten minutes."""

from pathlib import Path

import numpy as np
import xarray as xr
from rich.table import Table

from bayesglu import plots
from bayesglu.analysis.changes import scale
from bayesglu.analysis.checks import check
from bayesglu.analysis.counterfactual import CHANGED, REFERENCE, what_if
from bayesglu.analysis.summaries import minimal_model_indices
from bayesglu.atomic import whole
from bayesglu.cli.terminal import answers, say, working
from bayesglu.inference.fit_files import check_place, save
from bayesglu.inference.fitting import fit
from bayesglu.protocols.library import ogtt
from bayesglu.study.study import load_study

PUBLISHED = {
    "S_G = p1, glucose effectiveness": ("1/min", 0.0308),
    "p2, rate of insulin action": ("1/min", 0.0209),
    "p3 = p2 S_I": ("1/min² per uU/mL", 1.062e-5),
    "S_I, insulin sensitivity": ("1/min per uU/mL", 5.07e-4),
}
"""The minimal model of this person (Pacini and Bergman 1986, Comput Methods Programs Biomed 23:113)."""

TRUTH_PROBABILITY = 0.90


def run(out: Path, seed: int = 1, progress: bool = True) -> bool:
    """Run the demonstration into the folder `out`; returns whether both fits are clean."""
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    person_file, people_file = out / "bergman1986.nc", out / "synthetic_ogtt.nc"
    check_place(person_file), check_place(people_file)
    say("One real person", style="bold")
    say(
        "Intravenous glucose; the minimal model, with measured insulin as its forcing function (bergman1986)."
    )
    person = fit("minimal", "bergman1986", draws=2500, tune=700, random_seed=seed, progressbar=progress)
    clean = _verdict(person)
    answers().print(_beside_published(person))

    say("\nTwelve simulated people", style="bold")
    say("Oral tests with glucose and three hormones, in one hierarchical fit (synthetic_ogtt).")
    settings = {"draws": 3600, "tune": 700, "random_seed": seed, "progressbar": progress}
    people = fit("feedback", "synthetic_ogtt", **settings)
    clean &= _verdict(people)
    truth = load_study("synthetic_ogtt").truth
    assert truth is not None  # its people are simulated
    answers().print(_against_truth(people, truth))

    say("\nWhat if the same people had 30 % more insulin sensitivity?", style="bold")
    with working("Simulating"):
        question = what_if(people, protocol=ogtt(75), change={"insulin_sensitivity": scale(1.3)}, draws=400)
    _answer(question)

    with working("Drawing"):
        save(person, person_file)
        save(people, people_file)
        figure = plots.demo_figure(person, people, question)
        with whole(out / "demo.png") as new:
            figure.savefig(new, dpi=150)
    say(f"\nWritten to {out}: bergman1986.nc, synthetic_ogtt.nc, demo.png.")
    return clean


def _verdict(result: xr.DataTree) -> bool:
    verdict = check(result, warn=False)
    say(verdict.headline, style=None if verdict.clean else "yellow")
    for problem in verdict.problems:
        say(f"  {problem}", style="yellow")
    return verdict.clean


def _beside_published(person: xr.DataTree) -> Table:
    """Posterior median and 95 % interval of the minimal model's parameters beside the published values."""
    indices = minimal_model_indices(person)
    rate = person.posterior.insulin_action_rate
    draws = (
        indices.glucose_effectiveness,
        rate,
        rate * indices.insulin_sensitivity,
        indices.insulin_sensitivity,
    )
    table = Table(title="Parameters of the minimal model", title_justify="left")
    for heading, side in (
        ("parameter", "left"),
        ("unit", "left"),
        ("median", "right"),
        ("95 % interval", "left"),
    ):
        table.add_column(heading, justify=side)
    table.add_column("published", justify="right")
    table.add_column("inside")
    for (name, (unit, published)), values in zip(PUBLISHED.items(), draws, strict=True):
        low, median, high = np.quantile(values.values, [0.025, 0.5, 0.975])
        inside = "yes" if low <= published <= high else "no"
        table.add_row(name, unit, f"{median:.3g}", f"{low:.3g} to {high:.3g}", f"{published:.4g}", inside)
    return table


def _against_truth(people: xr.DataTree, truth: xr.Dataset) -> Table:
    """How many of the twelve true values lie in their 90 % intervals, parameter by parameter."""
    table = Table(title="True values inside their 90 % intervals", title_justify="left")
    table.add_column("parameter")
    table.add_column("inside", justify="right")
    tail = (1 - TRUTH_PROBABILITY) / 2
    inside = counted = 0
    for name in truth.data_vars:
        values = people.posterior[name]
        low, high = (values.quantile(q, ("chain", "draw")) for q in (tail, 1 - tail))
        hits = int(((low <= truth[name]) & (truth[name] <= high)).sum())
        inside, counted = inside + hits, counted + truth.sizes["subject"]
        table.add_row(str(name).replace("_", " "), f"{hits} of {truth.sizes['subject']}")
    table.add_section()
    table.add_row("all", f"{inside} of {counted} ({100 * inside / counted:.0f} %)")
    return table


def _answer(question: xr.Dataset) -> None:
    """Two-hour glucose with and without the change, averaged over the people, and the paired difference."""
    two_hours = question.glucose.sel(time=120.0).mean("subject")
    as_is, changed = two_hours.sel(scenario=REFERENCE), two_hours.sel(scenario=CHANGED)

    def shown(values: xr.DataArray) -> str:
        low, median, high = np.quantile(values.values, [0.05, 0.5, 0.95])
        return f"{median:.1f} mg/dL (90 % interval {low:.1f} to {high:.1f})"

    say(
        f"Two-hour glucose, mean of the twelve: as they are {shown(as_is)}, with the change {shown(changed)}."
    )
    say(f"Difference, draw by draw: {shown(changed - as_is)}.")
