"""What was measured, and what the fit says should be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesglu.analysis.individual_fits import boluses, individual_fits
from bayesglu.analysis.people import covariates_of
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.hierarchy.names import observations
from bayesglu.plots.individual_fits import draw_person, legend, told_in
from bayesglu.plots.style import (
    GREY,
    MOST_PEOPLE,
    colour_of,
    from_zero,
    name_panel,
    page_of,
    panels,
    samples,
    sentence,
    styled,
    time_axis,
    title,
)
from bayesglu.protocols.table import kept_protocols
from bayesglu.study.study import Study
from bayesglu.units import canonical_unit, system_of, unit_in

PANELS = 18
"""On a page, but for one occasion with more analytes."""


@styled
def fit_overview(
    fit: xr.DataTree,
    subjects: Sequence[str] | None = None,
    units: str | None = None,
    study: Study | str | Path | None = None,
    page: int = 1,
) -> Figure:
    """Samples of each person in the bands that the fit predicts, a row for each occasion of a person.

    The line is the median of the expected sample between the samples too, the darker band its 50 % interval;
    the paler band is where 90 % of new samples would fall, assay noise included. Triangles are censored
    samples, at a limit and pointing to where the value lies; crosses were left out of the fit, and are known
    where the study is given. Panels of an analyte have the same axes.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it, with its data.
    subjects : sequence of str, optional
        Labels of the people to show; by default everyone.
    units : str, optional
        ``"canonical"``, ``"SI"`` or ``"conventional"``; by default that of `set_units`.
    study : Study, str or Path, optional
        The study that was fitted, or its name or path. Without it a model with a forcing function is drawn
        at the times of its samples alone.
    page : int
        Which page, from 1; one has twelve rows, or of several analytes as many as are 18 panels.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each occasion and analyte; times in min, or h where they are long.

    Raises
    ------
    InputError
        If a label or the page is unknown, the study is another one, or the fit was saved without data.
    UnitError
        If there is no such system of units.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> figure = bg.plots.fit_overview(fit)
    >>> len(figure.axes)
    2
    """
    table, system = observed(fit), system_of(units)
    analytes = list(dict.fromkeys(table["analyte"]))
    occasions, of_pages = _page(table, subjects, page, max(1, min(MOST_PEOPLE, PANELS // len(analytes))))
    people = list(dict.fromkeys(subject for subject, _ in occasions))
    found = _curves(fit, study, people)
    figure, axes = panels(
        len(occasions) * len(analytes), len(analytes) * max(1, 3 // len(analytes)), 2.65, 1.8
    )
    shown = table[[pair in occasions for pair in zip(table["subject"], table["occasion"], strict=True)]]
    per = time_axis(axes, shown["time"].min(), max(shown["time"].max(), _last(found, occasions)))
    states: set[str] = set()
    group = _groups(fit)
    of: dict[str, list[Axes]] = {analyte: [] for analyte in analytes}
    cells = [(pair, analyte) for pair in occasions for analyte in analytes]
    for axis, ((person, occasion), analyte) in zip(axes, cells, strict=True):
        unit, factor = unit_in(system, canonical_unit(analyte), analyte)
        own = found.isel(moment=found.analyte.values == analyte, obs=found.sample_analyte.values == analyte)
        states |= draw_person(axis, told_in(own, factor), person, occasion, per, colour_of(analyte))
        several = sum(subject == person for subject, _ in occasions) > 1
        who = [f"subject {person}", group.get(person, ""), occasion if several else ""]
        name_panel(axis, analyte, unit)
        about = sentence(f"{', '.join(filter(None, who))}: {words(analyte)}")
        axis.set_title("\n".join(wrap(about, 30)))
        of[analyte].append(axis)
    for analyte, same in of.items():
        low, high = zip(*(axis.get_ylim() for axis in same), strict=True)
        for axis in same:
            axis.set_ylim(min(low), max(high))
            from_zero(axis, analyte)
    legend(figure, states, GREY if len(analytes) > 1 else colour_of(analytes[0]))
    note = "" if found.attrs["dense"] else "at the times of samples alone; between them, too: study=..."
    title(figure, f"Samples and what the fit predicts{of_pages}", note)
    return figure


def _page(
    table: pd.DataFrame, subjects: Sequence[str] | None, page: int, rows: int
) -> tuple[list[tuple[str, str]], str]:
    """The occasions (subject, name) of a page, and what to say of pages where there are several."""
    known = list(dict.fromkeys(table["subject"]))
    wanted = known if subjects is None else list(map(str, np.atleast_1d(np.asarray(subjects, object))))
    if missing := [label for label in wanted if label not in known]:
        raise InputError(f"There is no subject {', '.join(missing)}. Known: {', '.join(known)}.")
    pairs = list(dict.fromkeys(zip(table["subject"], table["occasion"], strict=True)))
    every = [pair for label in wanted for pair in pairs if pair[0] == label]
    return page_of(every, page, rows)


def _curves(fit: xr.DataTree, study: Study | str | Path | None, people: list[str]) -> xr.Dataset:
    """What `individual_fits` says of people; of a forcing function without its study, what the fit keeps."""
    if study is None and "forcing_obs" in fit["posterior"].dims:
        return _at_samples(fit).assign_attrs(dense=False)
    seed = int(fit.attrs.get("random_seed", 0))
    found = individual_fits(fit, study, random_seed=seed, subjects=people)
    return found.assign_attrs(dense=True)


def _at_samples(fit: xr.DataTree) -> xr.Dataset:
    """Predictions that a fit keeps, of its samples, in the form of `individual_fits`."""
    table = observed(fit)
    quantiles = {"median": ("fitted", 0.5), "lower": ("fitted", 0.25), "upper": ("fitted", 0.75)}
    quantiles |= {"sample_lower": ("posterior_predictive", 0.05)}
    quantiles |= {"sample_upper": ("posterior_predictive", 0.95)}
    for name, (group, at) in quantiles.items():
        parts = [
            np.quantile(samples(fit.children[group].dataset[a], observations(a)), at, axis=0)
            for a in dict.fromkeys(table["analyte"])
        ]
        table[name] = np.concatenate(parts)
    followed = kept_protocols(fit.protocols.to_dataset())
    keys = table[["subject", "occasion", "analyte", "time"]].itertuples(index=False)
    table["piece"] = [
        np.searchsorted(boluses(followed[f"{s}/{o}"], a), t, side="left") for s, o, a, t in keys
    ]
    state = np.where(table["censoring"] == "none", "used", table["censoring"])
    where = ("subject", "occasion", "analyte", "time")
    found = xr.Dataset(
        {name: ("moment", table[name]) for name in (*quantiles, "piece")}
        | {"value": ("obs", table["value"])},
        {name: ("moment", table[name].to_numpy()) for name in where}
        | {f"sample_{name}": ("obs", table[name].to_numpy()) for name in where},
    )
    return found.assign_coords(state=("obs", state))


def _last(found: xr.Dataset, occasions: list[tuple[str, str]]) -> float:
    """The time of the last sample of these occasions, those left out of the fit among them."""
    own = np.isin(found.sample_subject.values, [subject for subject, _ in occasions])
    return float(found.sample_time.values[own].max())


def _groups(fit: xr.DataTree) -> dict[str, str]:
    """The group of each person, where the fit knows groups."""
    known = covariates_of(fit["constant_data"].to_dataset(), fit["posterior"].to_dataset())
    if "group" not in known or known["group"].dtype.kind == "f":
        return {}
    return dict(zip(map(str, known.subject.values), map(str, known["group"].values), strict=True))


def observed(fit: xr.DataTree) -> pd.DataFrame:
    """Samples as rows: analyte, its sample's number, subject, occasion, time (min), censoring, value."""
    groups = ("observed_data", "constant_data", "fitted", "posterior_predictive")
    if missing := [name for name in groups if name not in fit.children]:
        raise InputError(f"The fit has no group {', '.join(missing)}: it was saved without data, perhaps.")
    known, tables = fit["constant_data"], []
    for analyte, values in fit["observed_data"].data_vars.items():
        columns = {what: values[f"{analyte}_{what}"].values for what in ("subject", "occasion", "time")}
        columns |= {"censoring": known[f"{analyte}_censoring"].values, "value": values.values}
        table = pd.DataFrame({"analyte": analyte, "number": np.arange(values.size), **columns})
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
