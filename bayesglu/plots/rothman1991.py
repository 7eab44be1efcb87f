"""Liver glycogen of fasting people: each with their fit, the population, and what was published besides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bayesglu.errors import InputError
from bayesglu.hierarchy.names import sigma
from bayesglu.plots.fits import observed
from bayesglu.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    VERMILLION,
    picture,
    samples,
    shade,
    styled,
    title,
)
from bayesglu.spec.model import model_of
from bayesglu.validation.rothman1991 import HOURS, PUBLISHED, courses, imaged, net_shares

COLUMNS = 4
NOTE = (
    "line and dark band: median and 90 % interval of a person's own glycogen; "
    "pale grey band: 90 % of samples of new subjects"
)


@styled
def fasting(fit: xr.DataTree, draws: int = 300, n_new: int = 20, random_seed: int = 0) -> Figure:
    """Liver glycogen and glucose production of fasting people, each with their fit, and the population.

    A panel per person with samples and fit over the population's band; everyone together; and below, glucose
    production and the share of gluconeogenesis in it over hours of fasting. The bars across the last panel
    are the net shares that Rothman et al. 1991 published (mean and standard error), which no fit is shown;
    filled dots are what it was shown.

    Parameters
    ----------
    fit : xarray.DataTree
        Of the model ``fasting`` to a study with ``liver_glycogen``.
    draws, n_new, random_seed : int
        Those of the trajectories, as in `what_if`.

    Returns
    -------
    matplotlib.figure.Figure
        Panels of liver glycogen (mmol/L), production (mg/kg/min) and share (%) over hours.

    Raises
    ------
    InputError
        If nobody has samples of liver glycogen.
    SolverError
        If the equations cannot be solved.

    Examples
    --------
    The published tables are not part of the package (see ``bayesglu/validation/rothman1991.py``):

    >>> import bayesglu as bg
    >>> figure = bg.plots.fasting(bg.load("fasting.nc"))  # doctest: +SKIP
    """
    people = imaged(fit)
    if not people:
        raise InputError("Nobody in this fit has samples of liver_glycogen, so there is nothing to draw.")
    asked = {"draws": draws, "random_seed": random_seed}
    own = courses(fit, people, ["liver_glycogen"], **asked)
    new_people = courses(fit, "new", n_new=n_new, **asked)
    measured = with_error(fit, new_people["liver_glycogen"], random_seed)
    table = observed(fit)
    rows = -(-(len(people) + 1) // COLUMNS)
    figure = picture(10.4, 2.05 * rows + 3.1)
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=[2.05 * rows, 2.6]))
    panels = above.subplots(rows, COLUMNS, sharex=True, sharey=True).ravel()
    hours = own["time"].values / 60
    for axis, person in zip(panels, people, strict=False):
        shade(axis, hours, measured, GREY, 0.9, 0.13)
        draw = samples(own["liver_glycogen"].sel(subject=person), "time")
        shade(axis, hours, draw, BLUE, 0.9, 0.35)
        axis.plot(hours, np.median(draw, axis=0), color=BLUE)
        _dots(axis, table, person, "liver_glycogen")
        axis.set_title(f"Person {person}")
    everyone = panels[len(people)]
    shade(everyone, hours, measured, GREY, 0.9, 0.2)
    everyone.plot(hours, np.median(measured, axis=0), color=GREY)
    for person in people:
        _dots(everyone, table, person, "liver_glycogen")
    everyone.set_title("Everyone, and the population")
    for unused in panels[len(people) + 1 :]:
        unused.remove()
    for axis in panels[: len(people) + 1]:
        axis.set(xlim=(0, HOURS + 1), xticks=range(0, HOURS + 1, 12))
        axis.set_ylim(bottom=0)
    for row in range(rows):
        panels[row * COLUMNS].set_ylabel("liver glycogen (mmol/L)")
    for axis in panels[max(0, len(people) + 1 - COLUMNS) : len(people) + 1]:
        axis.set_xlabel("hours since the last meal")
        axis.tick_params(labelbottom=True)
    left, right = below.subplots(1, 2)
    _production(left, new_people, table)
    _share(right, new_people, table, fit, asked | {"n_new": n_new})
    title(figure, "Liver glycogen over a fast of three days, in one hierarchical fit", NOTE)
    return figure


def with_error(fit: xr.DataTree, values: xr.DataArray, random_seed: int = 0) -> np.ndarray:
    """Samples of liver glycogen ``(draw, time)`` as the assay would measure `values`, dims ``chain, draw,
    subject, time``, each person's with the error of the draw."""
    offset = model_of(fit.attrs).analytes["liver_glycogen"].error_offset
    error = fit.posterior[sigma("liver_glycogen")].sel(draw=values["draw"])
    noise = values.copy(data=np.random.default_rng(random_seed).normal(size=values.shape))
    noisy = np.maximum((values + offset) * np.exp(error * noise) - offset, 0.0)
    return noisy.transpose("chain", "draw", "subject", "time").values.reshape(-1, values.sizes["time"])


def _production(axis: Axes, new_people: xr.Dataset, table: pd.DataFrame) -> None:
    hours = new_people["time"].values / 60
    draws = _together(new_people["endogenous_glucose_production"])
    shade(axis, hours, draws, BLUE, 0.9, 0.2)
    (line,) = axis.plot(hours, np.median(draws, axis=0), color=BLUE)
    dots = _dots(axis, table, None, "endogenous_glucose_production")
    labels = ["new subjects (median, 90 %)", "means of groups, fitted"]
    axis.legend([line, dots], labels, loc="lower left")
    axis.set_title("Glucose production")
    axis.set(ylabel="mg/kg/min", xlabel="hours since the last meal", xlim=(0, HOURS + 1))
    axis.set_xticks(range(0, HOURS + 1, 12))
    axis.set_ylim(bottom=0)


def _share(axis: Axes, new_people: xr.Dataset, table: pd.DataFrame, fit: xr.DataTree, asked: dict) -> None:
    hours = new_people["time"].values / 60
    draws = 100 * _together(new_people["gluconeogenesis_share"])
    shade(axis, hours, draws, GREEN, 0.9, 0.2)
    axis.plot(hours, np.median(draws, axis=0), color=GREEN)
    _dots(axis, table, None, "gluconeogenesis_share", times=100)
    bands = 100 * net_shares(fit, **asked)[["new_subject_lower", "new_subject", "new_subject_upper"]]
    marks = []
    for name, (begin, end, mean, error) in PUBLISHED.items():
        low, middle, high = bands.loc[name].to_numpy(float)
        at = (begin + end) / 2
        published = axis.errorbar(
            at - 0.7, 100 * mean, 100 * error, (end - begin) / 2, "s", color=VERMILLION, markersize=4
        )
        modelled = axis.errorbar(
            at + 0.7, middle, [[middle - low], [high - middle]], fmt="o", color=ORANGE, markersize=4
        )
        marks = [published, modelled]
    axis.legend(
        marks,
        ["published, held out (mean, SE, window)", "the same of a new subject (90 %)"],
        loc="lower right",
    )
    axis.set_title("Gluconeogenesis in glucose production")
    axis.set(ylabel="share (%)", xlabel="hours since the last meal", xlim=(0, HOURS + 1), ylim=(0, 105))
    axis.set_xticks(range(0, HOURS + 1, 12))


def _together(values: xr.DataArray) -> np.ndarray:
    """Draws of all people as ``(draw, time)``."""
    return values.transpose("chain", "draw", "subject", "time").values.reshape(-1, values.sizes["time"])


def _dots(axis: Axes, table: pd.DataFrame, person: str | None, analyte: str, times: float = 1.0) -> Line2D:
    """Samples of one person, or of all where none is named; what a legend needs comes back."""
    rows = table[(table["analyte"] == analyte) & ((table["subject"] == person) | (person is None))]
    style = {
        "markersize": 3.6,
        "markeredgecolor": "#222222",
        "markeredgewidth": 0.9,
        "markerfacecolor": "white",
    }
    return axis.plot(rows["time"] / 60, times * rows["value"], "o", zorder=4, **style)[0]
