"""Residuals of samples, and random effects of people: against what they should not depend on."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import wrap

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.special import ndtri
from scipy.stats import kruskal, norm, spearmanr

from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.plots.predictive import normal_band, running, running_marks
from bayesglu.plots.style import (
    BLUE,
    GREY,
    PALE,
    VERMILLION,
    below,
    colour_of,
    panels,
    pretty_unit,
    sentence,
    styled,
    time_axis,
    title,
)
from bayesglu.results import require_table
from bayesglu.units import canonical_unit, has_unit

NOTABLE = 0.01
"""A p-value of a covariate, below which it is marked."""
MOST_PARAMETERS = 8
"""So many are drawn, unless some are named: those that shrink least."""
MOST_COVARIATES, MOST_LEVELS = 4, 5
"""So many covariates have a panel; a number with so few values is drawn as levels."""


@styled
def sample_residuals(found: xr.Dataset) -> Figure:
    """Residuals of samples over time and over the fit, and of people over covariates: a row for each analyte.

    The first two panels are individual weighted residuals; dotted lines hold 90 % of Normal ones, and the
    dark lines are the running mean and SD. Triangles are censored samples, at the residual of their limit.
    In the others each dot is a person's mean prediction error, against new people like them; red where it is
    related to the covariate (Spearman, p below 0.01).

    Parameters
    ----------
    found : xarray.Dataset
        As `sample_residuals` returns it.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels for each analyte, and one for each covariate, of many for the four most related.

    Raises
    ------
    InputError
        If it is not what `sample_residuals` returned.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.load_study("synthetic_ogtt").select(analytes=["glucose", "insulin"])
    >>> fit = bg.fit("oral", study, method="laplace", random_seed=1, progressbar=False)
    >>> len(bg.plots.sample_residuals(bg.sample_residuals(fit, random_seed=1)).axes)
    6
    """
    require_table(found, "sample_residuals", "residual", "fitted", "mean_npde")
    analytes = list(map(str, found.measured.values))
    covariates = _covariates(found, found.mean_npde.values)
    columns = 2 + len(covariates)
    figure, axes = panels(columns * len(analytes), columns, 2.5, 2.0)
    for i, analyte in enumerate(analytes):
        own = found.isel(obs=found.analyte.values == analyte)
        row, colour = axes[columns * i : columns * (i + 1)], colour_of(analyte)
        per = time_axis(row[:1], float(found.time.min()), float(found.time.max()))
        whole = own.censoring.values == "none"
        for axis, x in ((row[0], own.time.values / per), (row[1], own.fitted.values)):
            running(axis, x[whole], own.residual.values[whole], colour)
            for side, mark in (("left", "v"), ("right", "^")):
                of = own.censoring.values == side
                within = np.clip(own.residual.values[of], -4.3, 4.3)
                axis.plot(x[of], within, mark, color=GREY, markersize=4)
            axis.set_ylim(-4.6, 4.6)
        row[0].set_title(sentence(words(analyte)))
        row[0].set_ylabel("residual (SDs)")
        row[1].set_xlabel(f"fitted ({pretty_unit(canonical_unit(analyte))})")
        for axis, name in zip(row[2:], covariates, strict=True):
            against(axis, found[f"covariate_{name}"], found.mean_npde.sel(measured=analyte).values, colour)
            axis.set_xlabel(_with_unit(name))
            axis.set_ylim(-3, 3)
        if covariates:
            row[2].set_ylabel("mean npde of a person")
    beyond = found.censoring.values
    told = {"left": ("v", "below a limit"), "right": ("^", "above a limit")}
    marks = running_marks() + [
        Line2D([], [], color=GREY, linestyle="", marker=mark, markersize=4, label=f"{text}, at its residual")
        for side, (mark, text) in told.items()
        if (beyond == side).any()
    ]
    below(figure, marks)
    title(figure, "Residuals of samples, and people's prediction errors against covariates", _left_out(found))
    return figure


@styled
def random_effects(found: xr.Dataset, parameters: Sequence[str] | None = None) -> Figure:
    """Random effects of people: a row for each parameter.

    A histogram of one draw of each person's, in SDs (omega), with the Normal density; their quantiles, with
    a 95 % band; and their means over each covariate. The title says the eta-shrinkage: above 30 % the means
    of people say little, and a relation to a covariate may be hidden or made up. The last row shows each
    pair of the first parameters.

    Parameters
    ----------
    found : xarray.Dataset
        As `random_effects` returns it.
    parameters : sequence of str, optional
        Which to show; by default the eight that shrink least.

    Returns
    -------
    matplotlib.figure.Figure
        Two panels for each parameter, one for each covariate, of many for the four most related, and a row of
        pairs.

    Raises
    ------
    InputError
        If it is not what `random_effects` returned, or a parameter is not in it.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.load_study("synthetic_ogtt").select(analytes=["glucose", "insulin"])
    >>> fit = bg.fit("oral", study, method="laplace", random_seed=1, progressbar=False)
    >>> len(bg.plots.random_effects(bg.random_effects(fit), ["basal_glucose"]).axes)
    3
    """
    require_table(found, "random_effects", "mean", "draw", "omega", "eta_shrinkage")
    known = list(map(str, found.parameter.values))
    if parameters is None:
        order = np.argsort(np.nan_to_num(found.eta_shrinkage.values))[:MOST_PARAMETERS]
        names = [known[i] for i in sorted(order)]
    else:
        names = [parameters] if isinstance(parameters, str) else list(parameters)
        if missing := [name for name in names if name not in known]:
            raise InputError(f"There is no parameter {', '.join(missing)}. Known: {', '.join(known)}.")
    covariates = _covariates(found, found["mean"].sel(parameter=names).values.T)
    columns = 2 + len(covariates)
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    pairs = _strongest(found, pairs)[:columns]
    figure, axes = panels(columns * len(names) + len(pairs), columns, 2.5, 1.65)
    for i, name in enumerate(names):
        own, row = found.sel(parameter=name), axes[columns * i : columns * (i + 1)]
        drawn = own.draw.values / float(own.omega)
        row[0].hist(drawn, list(np.arange(-4, 4.1, 0.5)), density=True, color=BLUE, alpha=0.5)
        x = np.linspace(-4, 4, 100)
        row[0].plot(x, norm.pdf(x), color=GREY)
        row[0].set_title("\n".join(wrap(sentence(words(name)), 20)), fontsize=8.5)
        row[0].set_ylabel("density")
        row[0].set_xlabel("eta / omega")
        _quantiles(row[1], drawn)
        row[1].set_title(f"eta-shrinkage {100 * float(own.eta_shrinkage):.0f} %", fontsize=8.5)
        for axis, covariate in zip(row[2:], covariates, strict=True):
            against(axis, found[f"covariate_{covariate}"], own["mean"].values / float(own.omega), BLUE)
            axis.set_xlabel(_with_unit(covariate))
        if covariates:
            row[2].set_ylabel("mean eta / omega")
    for axis, (a, b) in zip(axes[columns * len(names) :], pairs, strict=True):
        x, y = (found["mean"].sel(parameter=n).values / float(found.omega.sel(parameter=n)) for n in (a, b))
        _scatter(axis, x, y, BLUE)
        axis.set_xlabel(words(a))
        axis.set_ylabel(words(b))
    left = len(known) - len(names)
    note = f"{left} more parameters: parameters=[...]" if left else ""
    marks: list[Artist] = [
        Patch(color=BLUE, alpha=0.5, linewidth=0, label="people, a draw of each"),
        Line2D([], [], color=GREY, label="standard Normal"),
        Patch(color=PALE, label="95 % simultaneous band of Normal quantiles"),
        Line2D([], [], color=BLUE, linestyle="", marker=".", markersize=5, label="a person's mean"),
    ]
    if covariates or pairs:
        related: dict = {"linestyle": "", "marker": ".", "markersize": 5}
        marks.append(Line2D([], [], color=VERMILLION, label=f"related, p < {NOTABLE:g}", **related))
    below(figure, marks)
    title(figure, "Random effects, in SDs", "; ".join(filter(None, [note, _left_out(found)])))
    return figure


def _with_unit(covariate: str) -> str:
    """A covariate as an axis is named, with its unit where it has one."""
    unit = f" ({pretty_unit(canonical_unit(covariate))})" if has_unit(covariate) else ""
    return f"{'BMI' if covariate == 'bmi' else words(covariate)}{unit}"


def _known(found: xr.Dataset) -> list[str]:
    return [str(n).removeprefix("covariate_") for n in found if str(n).startswith("covariate_")]


def _covariates(found: xr.Dataset, numbers: np.ndarray) -> list[str]:
    """Covariates that are drawn: of many those to which numbers of people ``(person, ...)`` are related
    most."""
    known = _known(found)
    least = {name: _related(found[f"covariate_{name}"], numbers) for name in known}
    kept = sorted(known, key=least.__getitem__)[:MOST_COVARIATES]
    return [name for name in known if name in kept]


def _left_out(found: xr.Dataset) -> str:
    left = len(_known(found)) - MOST_COVARIATES
    return f"{left} covariates to which less is related are not shown" if left > 0 else ""


def _related(covariate: xr.DataArray, numbers: np.ndarray) -> float:
    """The smallest p of any relation."""
    smallest = 1.0
    for y in np.atleast_2d(numbers.T):
        parts = _levels(covariate)
        if parts is None:
            known = np.isfinite(covariate.values) & np.isfinite(y)
            p = spearmanr(covariate.values[known], y[known]).pvalue if known.sum() >= 5 else 1.0
        else:
            groups = [y[(parts == level) & np.isfinite(y)] for level in sorted(set(parts))]
            groups = [group for group in groups if len(group) > 1]
            p = kruskal(*groups).pvalue if len(groups) > 1 else 1.0
        smallest = min(smallest, float(np.nan_to_num(p, nan=1.0)))
    return smallest


def _levels(covariate: xr.DataArray) -> np.ndarray | None:
    """The level of each person; None of a number with many values."""
    if covariate.dtype.kind != "f":
        return np.array([str(v or "missing") for v in covariate.values])
    if len(np.unique(covariate.values[np.isfinite(covariate.values)])) > MOST_LEVELS:
        return None
    return np.array(["missing" if v != v else f"{v:g}" for v in covariate.values])


def _quantiles(axis: Axes, values: np.ndarray) -> None:
    n = len(values)
    normal_band(axis, n)
    axis.plot(ndtri((np.arange(n) + 0.5) / n), np.sort(values), ".", color=BLUE, markersize=4)
    axis.plot([-3, 3], [-3, 3], color=GREY, linewidth=0.7)
    axis.set(xlim=(-3, 3), ylim=(-4, 4), xlabel="Normal quantile")


def _strongest(found: xr.Dataset, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Pairs of parameters whose random effects are related most, first."""
    if found.sizes["person"] < 3:
        return []
    of = found["mean"]
    related = {
        (a, b): abs(np.corrcoef(of.sel(parameter=a).values, of.sel(parameter=b).values)[0, 1])
        for a, b in pairs
    }
    return sorted(pairs, key=lambda pair: -np.nan_to_num(related[pair]))


def against(axis: Axes, covariate: xr.DataArray, y: np.ndarray, colour: str) -> None:
    """A number of each person over a covariate, or at each of its levels; those who lack it are left out."""
    level = _levels(covariate)
    if level is None:
        known = np.isfinite(covariate.values) & np.isfinite(y)
        _scatter(axis, covariate.values[known], y[known], colour)
        return
    levels = sorted(set(level))
    for place, each in enumerate(levels):
        own = y[(level == each) & np.isfinite(y)]
        axis.plot(place + np.linspace(-0.25, 0.25, len(own)), np.sort(own), ".", color=colour, markersize=4)
        if len(own):
            axis.plot([place - 0.3, place + 0.3], [own.mean()] * 2, color="#222222", linewidth=1.2)
    axis.axhline(0, color=GREY, linewidth=0.7)
    axis.set_xticks(range(len(levels)), levels)


def _scatter(axis: Axes, x: np.ndarray, y: np.ndarray, colour: str) -> None:
    """Dots, red where they are related."""
    related = False
    if len(x) >= 5 and np.ptp(x) > 0 and np.ptp(y) > 0:
        found = spearmanr(x, y)
        related = found.pvalue < NOTABLE
        axis.set_title(f"rank correlation {found.statistic:.2f}", fontsize=8, color=GREY)
    axis.plot(x, y, ".", color=VERMILLION if related else colour, markersize=5)
    axis.axhline(0, color=GREY, linewidth=0.7)
