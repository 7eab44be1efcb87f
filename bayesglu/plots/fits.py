"""What was measured, and what the fit says should be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesglu.analytes import words
from bayesglu.errors import InputError
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

MARKS = {"none": "o", "left": "v", "right": "^"}


@styled
def fit_overview(fit: xr.DataTree, subjects: Sequence[str] | None = None) -> Figure:
    """Samples of each person in the bands that the fit predicts, a panel for each analyte.

    Dots are samples (triangles: censored, pointing to where the value lies). The line is the median
    prediction and the darker band its 50 % interval; the lighter band is where 90 % of new samples would
    fall, assay noise included.

    subjects : labels of the people to show; by default the first twelve.

    Raises ValueError for an unknown label, or a fit without observations or predictions.
    """
    table = observed(fit)
    known = list(dict.fromkeys(table["subject"]))
    shown, note = _chosen(known, subjects)
    tests = list(dict.fromkeys(zip(table["subject"], table["occasion"], strict=True)))
    tests = [test for test in tests if test[0] in shown]
    unit_of = dict(zip(table["analyte"], table["unit"], strict=True))
    analytes = list(unit_of)
    columns = len(analytes) * max(1, 4 // len(analytes))
    figure, axes = panels(len(tests) * len(analytes), columns, 2.7, 1.8)
    kept = table[table["subject"].isin(shown)]
    per = time_axis(axes, kept["time"].min(), kept["time"].max())
    cells = [(test, analyte) for test in tests for analyte in analytes]
    for axis, (test, analyte) in zip(axes, cells, strict=True):
        mine = (kept["subject"] == test[0]) & (kept["occasion"] == test[1])
        rows = kept[mine & (kept["analyte"] == analyte)]
        name_panel(axis, analyte, unit_of[analyte])
        several = sum(subject == test[0] for subject, _ in tests) > 1
        person = f"subject {test[0]}" + (f", {test[1]}" if several else "")
        axis.set_title(sentence(f"{person}: {words(analyte)}"))
        if len(rows):
            draw_test(axis, fit, rows, per, colour_of_person(test[0]))
            from_zero(axis, analyte)
    legend = "line: median prediction; dark band: its 50 % interval; pale band: 90 % of new samples"
    title(figure, f"Samples and what the fit predicts{note}", legend)
    return figure


def observed(fit: xr.DataTree) -> pd.DataFrame:
    """Samples as rows: subject, occasion, analyte, time (min), unit, censoring, value."""
    groups = ("observed_data", "constant_data", "predictions", "posterior_predictive")
    if missing := [name for name in groups if name not in fit.children]:
        raise InputError(f"The fit has no group {', '.join(missing)}: it was saved without data, perhaps.")
    known = fit["constant_data"].to_dataset()
    columns = {name: known[name].values for name in known.data_vars if known[name].dims == ("obs",)}
    table = pd.DataFrame(columns | {"value": fit["observed_data"]["value"].values})
    return table.rename(columns={"obs_subject": "subject"})


def draw_test(axis: Axes, fit: xr.DataTree, rows: pd.DataFrame, per: float, colour: str) -> None:
    """Samples of one analyte in one test, with the bands of their predictions."""
    rows = rows.sort_values("time", kind="stable")
    pieces = np.searchsorted(_jumps(fit, rows.iloc[0]), rows["time"])
    for _, piece in rows.groupby(pieces):
        time = piece["time"].to_numpy() / per
        predicted = samples(fit["predictions"]["value"].isel(obs=piece.index), "obs")
        noisy = samples(fit["posterior_predictive"]["value"].isel(obs=piece.index), "obs")
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
    """Times (min) at which the analyte of a row is put into a vein at once: no line may cross them."""
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
