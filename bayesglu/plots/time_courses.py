"""What happens over time: simulations, one over the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesglu.analysis.quantities import in_units
from bayesglu.analytes import analytes, words
from bayesglu.errors import InputError
from bayesglu.plots.style import (
    MOST_PEOPLE,
    below,
    colour_of,
    colours_of_people,
    from_zero,
    looks,
    name_panel,
    panels,
    samples,
    shade,
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
MOST_BANDS = 3
"""So many bands that lie over each other can be told apart."""
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
        band about the median), ``subject`` (a line each; of more than twelve lines the people's median, and
        bands that hold 50 and 90 % of them) and ``scenario``; or several by name, to be laid over each other.
        Of more than three there are lines alone.
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
            for place, ((run_name, run), look) in enumerate(zip(runs.items(), looks(len(runs)), strict=True)):
                if name not in run:
                    continue
                look = look if len(runs) > 1 else {"color": colour_of(name)}
                # a line that another covers shows at its sides
                look |= {"linewidth": 1.4 + 1.2 * (len(runs) - 1 - place) / max(1, len(runs) - 1)}
                look |= {"label": run_name if len(runs) > 1 else FLUXES.get(name, words(name))}
                _draw(axis, run[name], per, probability, look, len(runs))
        unit = next(run[names[0]].attrs.get("units", "") for run in runs.values() if names[0] in run)
        name_panel(axis, names[0] if len(names) == 1 else "glucose fluxes of the liver", unit)
        from_zero(axis, names[0])
        if len(names) > 1:
            low, high = axis.get_ylim()
            axis.set_ylim(top=low + 1.35 * (high - low))
            axis.legend(loc="upper center", ncols=2, handlelength=1.2, columnspacing=1.2)
    handles, _ = axes[0].get_legend_handles_labels()
    below(figure, handles if len(handles) > 1 else [])
    title(figure, heading(runs), _note(runs, probability))
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


def _draw(axis: Axes, values: xr.DataArray, per: float, probability: float, look: dict, runs: int) -> None:
    """One output of one run: a line, or one a person, or quantiles of many people; bands where they can be
    told apart."""
    time = values["time"].values / per
    if "subject" not in values.dims:
        draws = samples(values, "time")
        axis.plot(time, np.median(draws, axis=0), **look)
        if len(draws) > 1 and runs <= MOST_BANDS:
            shade(axis, time, draws, look["color"], probability, 0.22)
        return
    people = values["subject"].values
    if len(people) * runs > MOST_PEOPLE:
        each = everyone(values)
        axis.plot(time, np.median(each, axis=0), **look)
        for within, alpha in ((probability, 0.14), (0.5, 0.22)) if runs <= MOST_BANDS else ():
            shade(axis, time, each, look["color"], within, alpha)
        return
    own = colours_of_people([str(p) for p in people]) if runs == 1 else {}
    for i, person in enumerate(map(str, people)):
        draws = samples(values.isel(subject=i), "time")
        label = f"subject {person}" if own else look["label"] if i == 0 else f"_{look['label']}"
        # what begins with a stroke stays out of the legend
        line = look | {"label": label, "color": own.get(person, look["color"])}
        line |= {} if len(people) <= MOST_BANDS else {"linewidth": 0.5 * look["linewidth"]}
        axis.plot(time, np.median(draws, axis=0), **line)
        if len(draws) > 1 and len(people) * runs <= MOST_BANDS:
            shade(axis, time, draws, line["color"], probability, 0.22)


def everyone(values: xr.DataArray) -> np.ndarray:
    """Curves of people ``(person, time)``: their medians; of new people, drawn again each time, all draws."""
    sampled = [dim for dim in ("chain", "draw") if dim in values.dims]
    if are_new(values):
        return values.stack(anyone=(*sampled, "subject")).transpose("anyone", "time").values
    return values.median(sampled).transpose("subject", "time").values


def are_new(values: xr.DataArray) -> bool:
    """Whether people are new ones, drawn again with each draw: then no one of them has a median."""
    return all(str(label).startswith("new ") for label in values["subject"].values)


def _note(runs: Mapping[str, xr.Dataset], probability: float) -> str:
    """What lines and bands are."""
    run = next(iter(runs.values()))
    people, share = run.sizes.get("subject", 1), f"{100 * probability:g} %"
    drawn = any(run.sizes.get(dim, 1) > 1 for dim in ("chain", "draw"))
    if people > 1 and people * len(runs) > MOST_PEOPLE:
        new = are_new(run["subject"])
        whom = f"{people} new people" if new else f"{people} people" + ("'s medians" if drawn else "")
        bands = f"; bands: 50 and {share} of them" if len(runs) <= MOST_BANDS else ""
        return f"Lines: median of {whom}{bands}."
    if not drawn:
        return ""
    bands = f"; bands: {share} equal-tailed intervals" if people * len(runs) <= MOST_BANDS else ""
    return f"Lines: medians of the true level{bands}."


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
