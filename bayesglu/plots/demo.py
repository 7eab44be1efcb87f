"""The figure of the README: one real subject and the posterior, twelve subjects, and a counterfactual."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch

from bayesglu.analysis.individual_fits import individual_fits
from bayesglu.analysis.summaries import minimal_model_indices, summarize_individuals
from bayesglu.plots.individual_fits import draw_person, marks_of
from bayesglu.plots.scenarios import draw_contrast
from bayesglu.plots.style import (
    BLUE,
    GREY,
    PALE,
    VERMILLION,
    log_axis,
    name_panel,
    picture,
    samples,
    sentence,
    shade,
    styled,
    time_axis,
)
from bayesglu.plots.time_courses import change_told
from bayesglu.results import require_fit, require_table
from bayesglu.study.study import Study, load_study
from bayesglu.units import convert

PUBLISHED = {"insulin_sensitivity": 5.07e-4, "glucose_effectiveness": 0.0308}
"""The person of `bergman1986`, /min per uU/mL and /min (Pacini and Bergman 1986)."""

SENSITIVITY = r"$S_\mathrm{I}$ ($10^{-4}$ /min per µU/mL)"
ENDS = ("lower", "median", "upper")
NOTE = 8.5
"""Size of the type above a panel, under the heading of its quarter."""


@styled
def demo_figure(
    bergman: xr.DataTree,
    synthetic: xr.DataTree,
    what_if: xr.Dataset,
    study: Study | None = None,
    truth: xr.Dataset | None = None,
) -> Figure:
    """Two by two: an intravenous test with its fit, its S_I and S_G, people against their truth, a what-if.

    Parameters
    ----------
    bergman : xarray.DataTree
        Fit of the model ``minimal`` to `study`.
    synthetic : xarray.DataTree
        Fit to people with true parameters `truth`.
    what_if : xarray.Dataset
        Glucose of people with and without a change, as `what_if` returns it.
    study : Study, optional
        Study of the test; by default ``bergman1986``.
    truth : xarray.Dataset, optional
        True parameters, dim ``subject``; by default those of ``synthetic_ogtt``.

    Returns
    -------
    matplotlib.figure.Figure
        Four quarters, each with its own panels.

    Raises
    ------
    InputError
        If a fit or the result of `what_if` is something else.

    Examples
    --------
    >>> import bayesglu as bg
    >>> quick = {"method": "laplace", "random_seed": 1, "progressbar": False}
    >>> bergman = bg.fit("minimal", "bergman1986", **quick)
    >>> people = bg.load_study("synthetic_ogtt").select(["P01", "P02"], ["glucose", "insulin"])
    >>> synthetic = bg.fit("oral", people, **quick)
    >>> change = bg.what_if(synthetic, change={"insulin_sensitivity": bg.scale(1.3)}, draws=20)
    >>> figure = bg.plots.demo_figure(bergman, synthetic, change, truth=people.truth)
    """
    for given in (bergman, synthetic):
        require_fit(given)
    require_table(what_if, "what_if")
    study = study or load_study("bergman1986")
    truth = truth if truth is not None else load_study("synthetic_ogtt").truth
    assert truth is not None  # that study has it
    figure = picture(10.4, 7.2)
    quarters = np.asarray(figure.subfigures(2, 2, wspace=0.04, hspace=0.05)).ravel()
    headings = (
        "A real subject after intravenous glucose",
        "Its posteriors (dashed: published, grey: prior)",
        "Subjects in one hierarchical fit, against the truth",
        f"What if: {change_told(what_if)}",
    )
    for quarter, heading in zip(quarters, headings, strict=True):
        quarter.suptitle(heading, x=0.02, ha="left", fontsize=10, fontweight="bold", color="#222222")
    _intravenous_test(quarters[0], bergman, study)
    _effects_of_glucose(quarters[1], bergman)
    _against_truth(quarters[2], synthetic, truth)
    _question(quarters[3], what_if)
    return figure


def _intravenous_test(place: SubFigure, fit: xr.DataTree, study: Study) -> None:
    """Glucose with its fit, over insulin, the forcing function: samples, and where true values lie."""
    above, below = place.subplots(2, 1, sharex=True, height_ratios=[1.7, 1])
    table = study.observations.to_dataframe()
    name_panel(above, "glucose", "mg/dL")
    name_panel(below, "insulin", "pmol/L")
    time_axis([above, below], table["time"].min(), table["time"].max())
    found = individual_fits(fit, study, random_seed=int(fit.attrs["random_seed"]))
    found = found.isel(moment=found.analyte.values == "glucose", obs=found.sample_analyte.values == "glucose")
    (who,) = study.occasions
    states = draw_person(above, found, *who, 1.0, BLUE)
    above.legend(handles=marks_of(states, BLUE), loc="upper right", handletextpad=0.4, fontsize=8)
    insulin = table[table["analyte"] == "insulin"]
    (dots,) = below.plot(insulin["time"], insulin["value"], ".", color="#222222", markersize=4)
    true = samples(fit.children["posterior"].dataset["insulin_forcing"], "forcing_obs")
    times = fit.children["constant_data"].dataset["forcing_time"].values
    shade(below, times, true, VERMILLION, 0.9, 0.3)
    told = ["sample", "90 % interval of the true level"]
    below.legend([dots, Patch(color=VERMILLION, alpha=0.3, linewidth=0)], told, fontsize=8)
    below.set_ylim(bottom=0)


def _effects_of_glucose(place: SubFigure, fit: xr.DataTree) -> None:
    """Densities of S_I and S_G, in the units of the paper."""
    sides = place.subplots(1, 2)
    labels = (SENSITIVITY, r"$S_\mathrm{G}$ ($10^{-2}$ /min)")
    names = ("insulin sensitivity", "glucose effectiveness")
    found, before = (minimal_model_indices(fit, group) for group in ("posterior", "prior"))
    for axis, name, key, label, size in zip(sides, names, PUBLISHED, labels, (1e-4, 1e-2), strict=True):
        draws, prior = (indices[key].values.ravel() / size for indices in (found, before))
        end = max(np.quantile(draws, 0.999), np.quantile(prior, 0.95))
        grid = np.linspace(0, end, 300)
        axis.fill_between(grid, density(prior, grid), color=PALE, linewidth=0)
        axis.fill_between(grid, density(draws, grid), color=BLUE, alpha=0.35, linewidth=0)
        axis.plot(grid, density(draws, grid), color=BLUE)
        axis.axvline(PUBLISHED[key] / size, color=VERMILLION, linestyle="--", linewidth=1.2)
        low, middle, high = np.quantile(draws, [0.05, 0.5, 0.95])
        axis.set_title(sentence(name))
        told = f"median {middle:.2g}, 90 % interval {low:.2g} to {high:.2g}"
        axis.set_xlabel(f"{label}\n{told}")
        axis.set_yticks([])
        axis.set_ylim(bottom=0)
        axis.set_xlim(0, end)
        axis.spines["left"].set_visible(False)


def density(draws: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Density of ``draws`` on a grid: a sum of normal curves as wide as Silverman's rule says."""
    spread = min(draws.std(), np.subtract(*np.quantile(draws, [0.75, 0.25])) / 1.34)
    width = 0.9 * spread * len(draws) ** -0.2
    curves = np.exp(-0.5 * ((grid[:, None] - draws) / width) ** 2)
    return curves.mean(axis=1) / (width * np.sqrt(2 * np.pi))


def _against_truth(place: SubFigure, fit: xr.DataTree, truth: xr.Dataset) -> None:
    """Each person's insulin sensitivity with its interval, against the true one."""
    axis: Axes = place.subplots()
    table = summarize_individuals(fit).sel(parameter="insulin_sensitivity")
    real = truth["insulin_sensitivity"].sel(subject=table["subject"].values).values
    size = 1e-4 / convert(1.0, "uU/mL", "insulin")  # in the unit of the densities beside
    real, low, middle, high = (v / size for v in (real, *(table[n].values for n in ENDS)))
    ends = np.array([min(low.min(), real.min()) * 0.85, max(high.max(), real.max()) * 1.15])
    axis.plot(ends, ends, color=GREY, linewidth=0.8)
    axis.vlines(real, low, high, color=BLUE, linewidth=1.6)
    axis.scatter(real, middle, 18, color=BLUE, zorder=3)
    log_axis(axis.xaxis, *ends)
    log_axis(axis.yaxis, *ends)
    inside = int(((low <= real) & (real <= high)).sum())
    probability = 100 * float(table["probability"])
    told = f"median and {probability:g} % interval of each subject: {inside} of {len(real)} hold the truth"
    axis.set_title(told, fontsize=NOTE)
    axis.set_xlabel(f"true {SENSITIVITY}")
    axis.set_ylabel(f"posterior {SENSITIVITY}")


def _question(place: SubFigure, what_if: xr.Dataset) -> None:
    """Glucose with and without the change, and the difference."""
    sides = left, right = place.subplots(1, 2)
    values = what_if["glucose"]
    time = values["time"].values
    per = time_axis(sides, time[0], time[-1])
    draw_contrast(left, right, values, per)
    first, second = values["scenario"].values[:2]
    at = time[np.abs(time - 120).argmin()]
    paired = (values.sel(scenario=second) - values.sel(scenario=first)).sel(time=at).mean("subject")
    low, middle, high = np.quantile(paired.values, [0.05, 0.5, 0.95])
    unit = values.attrs.get("units", "")
    told = f"at {at:g} min {middle:.1f} {unit}\n90 % interval {low:.1f} to {high:.1f}"
    people = f"mean of {values.sizes['subject']} people, 90 % interval"
    sides[0].set_title(f"{people}\npale: 90 % of them", fontsize=NOTE)
    sides[1].set_title(told.replace("-", "−"), fontsize=NOTE)
    sides[0].set_ylabel(f"glucose ({unit})")
    sides[1].set_ylabel(f"difference ({unit}); thin: each person")
    sides[1].axvline(at / per, color=GREY, linestyle=":", linewidth=1)
    sides[0].legend(loc="upper right", handlelength=1.2)
