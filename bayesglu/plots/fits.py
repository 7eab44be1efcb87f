"""What was measured, and what the fit says should be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesglu.analysis.quantities import in_units
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.hierarchy.names import observations
from bayesglu.plots.style import (
    GREY,
    MOST_PEOPLE,
    colour_of_person,
    from_zero,
    name_panel,
    panels,
    samples,
    sentence,
    shade,
    styled,
    time_axis,
    title,
)
from bayesglu.protocols.table import kept_protocols
from bayesglu.units import system_of

MARKS = {"none": "o", "left": "v", "right": "^"}


@styled
def fit_overview(fit: xr.DataTree, subjects: Sequence[str] | None = None, units: str | None = None) -> Figure:
    """Samples of each person in the bands that the fit predicts, a panel for each analyte.

    Dots are samples (triangles: censored, pointing to where the value lies). The line is the median
    prediction and the darker band its 50 % interval; the lighter band is where 90 % of new samples would
    fall, assay noise included.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it, with its data.
    subjects : sequence of str, optional
        Labels of the people to show; by default the first twelve.
    units : str, optional
        ``"canonical"``, ``"SI"`` or ``"conventional"``; by default that of `set_units`.

    Returns
    -------
    matplotlib.figure.Figure
        A panel for each occasion and analyte; times in min, or h where they are long.

    Raises
    ------
    InputError
        If a label is unknown, or the fit was saved without data.
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
    table = observed(fit)
    if system_of(units) != "canonical":
        fit = _told_in(fit, units)
        table = observed(fit)
    known = list(dict.fromkeys(table["subject"]))
    shown, note = _chosen(known, subjects)
    occasions = list(dict.fromkeys(zip(table["subject"], table["occasion"], strict=True)))
    occasions = [pair for pair in occasions if pair[0] in shown]
    analytes = list(dict.fromkeys(table["analyte"]))
    columns = len(analytes) * max(1, 4 // len(analytes))
    figure, axes = panels(len(occasions) * len(analytes), columns, 2.7, 1.8)
    kept = table[table["subject"].isin(shown)]
    per = time_axis(axes, kept["time"].min(), kept["time"].max())
    cells = [(pair, analyte) for pair in occasions for analyte in analytes]
    for axis, ((person, occasion), analyte) in zip(axes, cells, strict=True):
        mine = (kept["subject"] == person) & (kept["occasion"] == occasion)
        rows = kept[mine & (kept["analyte"] == analyte)]
        name_panel(axis, analyte, fit["observed_data"][analyte].attrs["units"])
        several = sum(subject == person for subject, _ in occasions) > 1
        who = f"subject {person}" + (f", {occasion}" if several else "")
        axis.set_title(sentence(f"{who}: {words(analyte)}"))
        if len(rows):
            draw_occasion(axis, fit, rows, per, colour_of_person(person))
            from_zero(axis, analyte)
    legend = "line: median prediction; dark band: its 50 % interval; pale band: 90 % of new samples"
    title(figure, f"Samples and what the fit predicts{note}", legend)
    return figure


def _told_in(fit: xr.DataTree, units: str | None) -> xr.DataTree:
    """The fit with samples and predictions in a system of units."""
    groups = {name: group.to_dataset() for name, group in fit.children.items()}
    unit = {name: values.attrs["units"] for name, values in groups["observed_data"].data_vars.items()}
    for name in ("observed_data", "fitted", "posterior_predictive"):
        of_all = {a: groups[name][a].assign_attrs(units=of) for a, of in unit.items() if a in groups[name]}
        groups[name] = in_units(groups[name].assign(of_all), units)
    return xr.DataTree.from_dict(groups)


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


def draw_occasion(axis: Axes, fit: xr.DataTree, rows: pd.DataFrame, per: float, colour: str) -> None:
    """Samples of one analyte on one occasion, with the bands of their predictions."""
    rows = rows.sort_values("time", kind="stable")
    analyte = rows["analyte"].iloc[0]
    dim = observations(analyte)
    pieces = np.searchsorted(_jumps(fit, rows.iloc[0]), rows["time"])
    for _, piece in rows.groupby(pieces):
        time = piece["time"].to_numpy() / per
        noisy, predicted = (
            samples(fit.children[group].dataset[analyte].isel({dim: piece["number"].values}), dim)
            for group in ("posterior_predictive", "fitted")
        )
        shade(axis, time, noisy, colour, 0.9, 0.15)
        shade(axis, time, predicted, colour, 0.5, 0.35)
        axis.plot(time, np.median(predicted, axis=0), color=colour)
    time = rows["time"].to_numpy() / per
    for censoring, marker in MARKS.items():
        these = (rows["censoring"] == censoring).to_numpy()
        face = "white" if censoring == "none" else GREY
        style = {"markersize": 3.6, "markeredgecolor": "#222222", "markeredgewidth": 0.9}
        axis.plot(time[these], rows["value"][these], marker, markerfacecolor=face, zorder=4, **style)


def _jumps(fit: xr.DataTree, row: pd.Series) -> list[float]:
    """Times (min) at which the analyte of a row is given intravenously at once: no line may cross them."""
    followed = kept_protocols(fit.protocols.to_dataset())[f"{row['subject']}/{row['occasion']}"]
    given = (e for e in followed.events if e.kind == "bolus" and e.route == "intravenous")
    return sorted(e.time for e in given if e.substance == row["analyte"])


def _chosen(known: list[str], subjects: Sequence[str] | None) -> tuple[list[str], str]:
    """People to show, and a note when not all are."""
    if subjects is None:
        few = len(known) > MOST_PEOPLE
        note = f" for {MOST_PEOPLE} of {len(known)} people (others: subjects=[...])" if few else ""
        return known[:MOST_PEOPLE], note
    subjects = [subjects] if isinstance(subjects, str) else [str(label) for label in subjects]
    if missing := [label for label in subjects if label not in known]:
        raise InputError(f"There is no subject {', '.join(missing)}. Known: {', '.join(known)}.")
    return subjects, ""
