"""What feeds blood glucose each minute, and what takes it away, stacked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesglu.analysis.quantities import in_units
from bayesglu.errors import InputError
from bayesglu.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    below,
    panels,
    pretty_unit,
    sentence,
    styled,
    time_axis,
    title,
)
from bayesglu.plots.time_courses import heading, means_told, runs_of

FEEDS = (
    ("from the gut", ("glucose_appearance",), (), BLUE),
    ("infused", ("glucose_infusion",), (), GREY),
    ("glycogenolysis", ("glycogenolysis",), (), ORANGE),
    ("gluconeogenesis", ("gluconeogenesis",), ("indirect_storage",), GREEN),
)
TAKES = (
    ("into the liver", ("hepatic_glucose_uptake",), (), SKY),
    ("brain", ("brain_glucose_uptake",), (), "#B9B9B9"),
    ("tissues without insulin", ("insulin_independent_uptake",), (), "#E8C7DB"),
    ("tissues by insulin", ("insulin_dependent_uptake",), (), PURPLE),
    ("kidney", ("renal_glucose_excretion",), (), VERMILLION),
)
"""What each flow is called, outputs that add up to it and those taken away from it, and its colour."""

NEEDED = ("glycogenolysis", "gluconeogenesis", "insulin_dependent_uptake")
SEEN = 0.02
"""mg/kg/min that a flow must reach to be drawn."""


@styled
def flows(simulations: xr.Dataset | Mapping[str, xr.Dataset]) -> Figure:
    """What feeds blood glucose each minute (above zero), and what takes it away (below), stacked.

    The line is the difference: above zero blood glucose rises. Where there are draws or people, flows are
    their means, which add up as medians do not; there is no band. Glucose given intravenously at once has no
    height, and is not drawn.

    Parameters
    ----------
    simulations : xarray.Dataset or mapping
        As `simulate` or `what_if` returns it, with the dim ``time`` and perhaps ``chain, draw, subject`` and
        ``scenario``, with the fluxes of the liver and the tissues among its outputs; or several by name.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each scenario or simulation, in mg/kg/min, with the same axes.

    Raises
    ------
    InputError
        If a simulation lacks these fluxes, or there is none.

    Examples
    --------
    >>> import bayesglu as bg
    >>> figure = bg.plots.flows(bg.simulate("oral", "ogtt(75)"))
    >>> figure.axes[0].get_ylabel()
    'mg/kg/min'
    """
    runs = runs_of(simulations)
    if not runs:
        raise InputError("There is no simulation to draw.")
    means = {name: _mean(name, run) for name, run in runs.items()}
    figure, axes = panels(len(means), 3, 3.6, 3.0, sharex=True, sharey=True)
    times = np.concatenate([run["time"].values for run in means.values()])
    per = time_axis(axes, times.min(), times.max())
    shown = {
        name: None
        for run in means.values()
        for name, adds, less, _ in (*FEEDS, *TAKES)
        if np.abs(_flow(run, adds, less)).max() > SEEN
    }
    for axis, (name, run) in zip(axes, means.items(), strict=True):
        _stack(axis, run, per, list(shown))
        axis.set_title(sentence(name) or "Blood glucose")
    axes[0].set_ylabel(pretty_unit("mg/kg/min"))
    below(figure, axes[0].get_legend_handles_labels()[0])
    averaged = means_told(next(iter(runs.values())))
    title(figure, heading(runs), f"Above zero what feeds blood glucose, below what takes it away{averaged}.")
    return figure


def _mean(name: str, run: xr.Dataset) -> xr.Dataset:
    """Fluxes ``(time,)``, the mean over draws and people."""
    if missing := [output for output in NEEDED if output not in run]:
        picture = f"{name}: the picture" if name else "The picture"
        raise InputError(f"{picture} needs the outputs {', '.join(missing)} as well.")
    wanted = {output for _, adds, less, _ in (*FEEDS, *TAKES) for output in (*adds, *less)}
    run = in_units(run, "canonical")[[output for output in run if output in wanted]]
    return run.mean([dim for dim in run.dims if dim != "time"])


def _flow(run: xr.Dataset, adds: tuple[str, ...], less: tuple[str, ...]) -> np.ndarray:
    zero = np.zeros(run.sizes["time"])
    added = sum((run[name].values for name in adds if name in run), zero)
    return added - sum((run[name].values for name in less if name in run), zero)


def _stack(axis: Axes, run: xr.Dataset, per: float, shown: list[str]) -> None:
    time, net = run["time"].values / per, np.zeros(run.sizes["time"])
    for side, sign in ((FEEDS, 1.0), (TAKES, -1.0)):
        base = np.zeros_like(net)
        for name, adds, less, colour in side:
            top = base + sign * _flow(run, adds, less)
            if name in shown:
                axis.fill_between(time, base, top, color=colour, alpha=0.75, linewidth=0, label=name)
            base = top
        net = net + base
    axis.axhline(0, color=BLACK, linewidth=0.8)
    axis.plot(time, net, color=BLACK, linewidth=1.6, label="difference")
