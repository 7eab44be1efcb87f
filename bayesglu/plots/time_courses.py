"""What happens over time: simulations, one over the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesglu.analysis.quantities import in_units
from bayesglu.analytes import analytes, words
from bayesglu.errors import InputError
from bayesglu.plots.style import (
    MOST_PEOPLE,
    SCENARIOS,
    band,
    colour_of,
    colour_of_person,
    from_zero,
    name_panel,
    panels,
    samples,
    styled,
    time_axis,
    title,
)

FLUXES = {
    "endogenous_glucose_production": "production",
    "glycogenolysis": "glycogenolysis",
    "gluconeogenesis": "gluconeogenesis",
    "hepatic_glucose_uptake": "uptake",
}
LONGEST = 120
"""So many letters of a protocol's name stand in a heading."""


@styled
def trajectories(
    simulations: xr.Dataset | Mapping[str, xr.Dataset],
    outputs: Iterable[str | Sequence[str]] | None = None,
    probability: float = 0.9,
    units: str | None = None,
) -> Figure:
    """Concentrations, glycogen and the liver's fluxes over time.

    Parameters
    ----------
    simulations : xarray.Dataset or mapping
        As `simulate` or `what_if` returns it, with the dim ``time`` and perhaps ``chain, draw`` (drawn as a
        band about the median), ``subject`` (a line each) and ``scenario``; or several by name, to be laid
        over each other.
    outputs : iterable, optional
        What to show, a panel each, or several in one: ``["glucose", ["glycogenolysis", "gluconeogenesis"]]``;
        by default glucose, hormones, glycogen where it changes, and fluxes.
    probability : float
        Probability of the equal-tailed bands.
    units : str, optional
        ``"canonical"``, ``"SI"`` or ``"conventional"``; by default that of `set_units`.

    Returns
    -------
    matplotlib.figure.Figure
        Panels over time in min, or in h from ten hours on.

    Raises
    ------
    InputError
        If an output is not in the simulations, or there is none.
    UnitError
        If there is no such system of units.

    Examples
    --------
    >>> import bayesglu as bg
    >>> figure = bg.plots.trajectories(bg.simulate("oral", "ogtt(75)"), ["glucose", "insulin"])
    >>> len(figure.axes)
    2
    """
    runs = {name: in_units(run, units) for name, run in runs_of(simulations).items()}
    shown = _panels_of(runs, outputs)
    figure, axes = panels(len(shown), 3 if len(shown) != 4 else 2, 3.1, 2.2)
    times = np.concatenate([run["time"].values for run in runs.values()])
    per = time_axis(axes, times.min(), times.max())
    for axis, names in zip(axes, shown, strict=True):
        for name in names:
            for (run_name, run), run_colour in zip(runs.items(), cycle(SCENARIOS), strict=False):
                colour = run_colour if len(runs) > 1 else colour_of(name)
                label = run_name if len(runs) > 1 else FLUXES.get(name, words(name))
                if name in run:
                    _draw(axis, run[name], per, colour, label, probability, people_coloured=len(runs) == 1)
        unit = next(run[names[0]].attrs.get("units", "") for run in runs.values() if names[0] in run)
        name_panel(axis, names[0] if len(names) == 1 else "glucose of the liver", unit)
        from_zero(axis, names[0])
        if len(names) > 1:
            low, high = axis.get_ylim()
            axis.set_ylim(top=low + 1.35 * (high - low))
            axis.legend(loc="upper center", ncols=2, handlelength=1.2, columnspacing=1.2)
    _legend(figure, axes[0])
    title(figure, heading(runs))
    return figure


def runs_of(simulations: xr.Dataset | Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """What is laid over each other, by name."""
    if not isinstance(simulations, xr.Dataset):
        return dict(simulations)
    if "scenario" not in simulations.dims:
        return {"": simulations}
    return {str(name): simulations.sel(scenario=name) for name in simulations["scenario"].values}


def _panels_of(
    runs: Mapping[str, xr.Dataset], outputs: Iterable[str | Sequence[str]] | None
) -> list[tuple[str, ...]]:
    """Names of the outputs of each panel. Fluxes share one, unless colours tell runs or people apart."""
    known = [str(name) for run in runs.values() for name in run.data_vars]
    if outputs is not None:
        outputs = [outputs] if isinstance(outputs, str) else list(outputs)
        shown = [(each,) if isinstance(each, str) else tuple(each) for each in outputs]
        if missing := [name for names in shown for name in names if name not in known]:
            known = ", ".join(dict.fromkeys(known))
            raise InputError(f"There is no output {', '.join(missing)}. Known: {known}.")
        return shown
    usual = [*((name,) for name, of in analytes().items() if of.usually_shown), tuple(FLUXES)]
    one = len(runs) == 1 and all(run.sizes.get("subject", 1) == 1 for run in runs.values())
    groups = [group if one else (name,) for group in usual for name in (group[:1] if one else group)]
    shown = [tuple(n for n in group if n in known and _changes(runs, n)) for group in groups]
    shown = [group for group in shown if group] or [(name,) for name in dict.fromkeys(known)]
    if not shown:
        raise InputError("The simulation has no outputs to draw.")
    return shown


def _changes(runs: Mapping[str, xr.Dataset], name: str) -> bool:
    values = [run[name] for run in runs.values() if name in run]
    return any(float((v.max("time") - v.min("time")).max()) > 1e-6 * abs(float(v.max())) for v in values)


def _draw(
    axis: Axes,
    values: xr.DataArray,
    per: float,
    colour: str,
    label: str,
    probability: float,
    people_coloured: bool,
) -> None:
    """One output of one run: a line, or one a person; bands where they can still be told apart."""
    time = values["time"].values / per
    if "subject" not in values.dims:
        band(axis, time, samples(values, "time"), colour, probability, label=label)
        return
    people = values["subject"].values
    many = len(people) > MOST_PEOPLE
    for i, person in enumerate(people):
        own = colour_of_person(person) if people_coloured else colour
        draws = samples(values.isel(subject=i), "time")
        name = label if i == 0 else f"_{label}"  # what begins with a stroke stays out of the legend
        if people_coloured:
            name = f"_{person}" if many else f"subject {person}"
        if many:
            axis.plot(time, np.median(draws, axis=0), color=own, linewidth=0.7, alpha=0.6, label=name)
        else:
            band(axis, time, draws, own, probability, 0.22 if len(people) < 4 else 0.1, label=name)


def _legend(figure: Figure, axis: Axes) -> None:
    """A legend of the whole figure, where there is more than one thing to tell apart."""
    handles, labels = axis.get_legend_handles_labels()
    if len(handles) > 1:
        columns = min(len(handles), 6)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, handlelength=1.4)


def heading(runs: Mapping[str, xr.Dataset]) -> str:
    """Protocol, day, model and change, as far as they are known and the same for all runs."""

    def same(key: str) -> str:
        found = {run.attrs.get(key, "") for run in runs.values()}
        return found.pop() if len(found) == 1 else ""

    model, protocol = same("model"), same("protocol")
    protocol = protocol if len(protocol) <= LONGEST else f"{protocol[: LONGEST - 3]}..."
    change, day = change_told(next(iter(runs.values()))), day_told({k: same(k) for k in DAY})
    return ", ".join(part for part in (protocol, day, model and f"model {model}", change) if part)


def means_told(run: xr.Dataset) -> str:
    """Over what a picture of means has averaged, ``"; means over 12 people and draws"``."""
    averaged = [f"{run.sizes['subject']} people"] if run.sizes.get("subject", 1) > 1 else []
    averaged += ["draws"] if "draw" in run.dims else []
    return f"; means over {' and '.join(averaged)}" if averaged else ""


DAY = ("occasion", "subjects")
"""Attributes of an answer that say of which day it speaks."""


def day_told(about: Mapping) -> str:
    """Of which day an answer speaks, ``"another day"``; nothing of people who were seen on none."""
    occasion, subjects = about.get("occasion", ""), about.get("subjects", "")
    of_study = subjects.endswith("of the study") or subjects.startswith("subject ")
    return f"{occasion} day" if occasion and of_study else ""


def change_told(what_if: xr.Dataset) -> str:
    """The change of a what-if in words, ``"insulin sensitivity × 1.3"``; nothing of several."""
    if what_if.sizes.get("scenario", 0) > 2:
        return ""
    return what_if.attrs.get("change", "").removeprefix("none").replace("_", " ").replace(" x ", " × ")
