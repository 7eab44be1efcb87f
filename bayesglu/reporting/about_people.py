"""The part of a report on people: each one's parameters, samples and covariates, folded, to be searched."""

from __future__ import annotations

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.findings import count
from bayesglu.analysis.individual_fits import individual_fits
from bayesglu.analysis.summaries import summarize_individuals, summarize_occasions
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.plots.fits import fit_overview
from bayesglu.plots.individual_fits import of_one_person
from bayesglu.plots.style import pretty_unit
from bayesglu.reporting.blocks import Folded, Part, Picture, Searched, Symbol, Table, Text, interval, shown
from bayesglu.reporting.subject import Reported

TITLE = "People"
POINTS = 24
"""Of each curve, beside the times of its samples: enough for a small picture."""
DRAWN = (
    "Samples in the bands that the fit predicts: the darker holds 50 % of true values, the paler 90 % of "
    "samples."
)


def about_people(of: Reported) -> Part:
    """Everyone's own parameters, with samples in the bands that the fit predicts of them."""
    if of.private:
        left_out = "Individual posteriors, samples and extremes are left out of this report."
        return Part("people", TITLE, (Text(left_out),))
    own = _summaries(of, summarize_individuals)
    curves = _curves(of)
    by_occasion = _summaries(of, summarize_occasions)
    if own is None and by_occasion is None and not of.has_data:
        return Part("people", TITLE, (Text("Nothing in this fit differs between people."),))
    labels = of.people or ([] if own is None else list(map(str, own["subject"].values)))
    folded = [_person(of, label, own, by_occasion, curves) for label in labels]
    caption = (
        f"Median and {of.share} interval of each one's parameters; contraction as above. Only what is "
        "unfolded is printed."
    )
    return Part(
        "people",
        TITLE,
        (Text(caption), Searched(count(len(labels), "person").replace("persons", "people"), folded)),
    )


def _summaries(of: Reported, summarize) -> xr.Dataset | None:
    try:
        return summarize(of.fit, of.probability)
    except InputError:
        return None


def _curves(of: Reported) -> xr.Dataset | None:
    """Everyone's curves; None of a fit that cannot be solved again, as one with a forcing function."""
    if not of.has_data:
        return None
    try:
        return individual_fits(of.fit, points=POINTS, random_seed=of.seed)
    except InputError:
        return None


def _person(
    of: Reported,
    label: str,
    own: xr.Dataset | None,
    by_occasion: xr.Dataset | None,
    curves: xr.Dataset | None,
) -> Folded:
    blocks: list = []
    if of.has_data and label in set(of.samples["subject"]):
        if curves is None:
            figure = fit_overview(of.fit, [label], units=of.units)
        else:
            figure = of_one_person(curves, label, of.units)
        blocks.append(Picture.of(figure, DRAWN))
    if own is not None and label in own["subject"].values.astype(str):
        blocks.append(_parameters(own.sel(subject=label), f"Parameters of subject {label}."))
    if by_occasion is not None:
        for occasion in by_occasion["occasion"].values.astype(str):
            if occasion.startswith(f"{label}/"):
                caption = f"Parameters on occasion {occasion.removeprefix(f'{label}/')}."
                blocks.append(_parameters(by_occasion.sel(occasion=occasion), caption))
    return Folded(f"Subject {label}", tuple(blocks), _about(of, label))


def _parameters(own: xr.Dataset, caption: str) -> Table:
    rows = []
    for name in own["parameter"].values:
        row = own.sel(parameter=name)
        low, high, contraction = (float(row[kind]) for kind in ("lower", "upper", "contraction"))
        cells = (words(str(name)), Symbol(str(row["symbol"].item())), pretty_unit(str(row["unit"].item())))
        gained = "" if np.isnan(contraction) else f"{contraction:.2f}"
        rows.append((*cells, shown(float(row["median"])), interval(low, high), gained))
    columns = (
        "parameter",
        "",
        "unit",
        "median",
        f"{100 * own.attrs['probability']:g} % interval",
        "contraction",
    )
    return Table(columns, rows, frozenset({3, 5}), caption)


def _about(of: Reported, label: str) -> str:
    """Covariates that the person has, and how many samples; how many lie outside their bands."""
    parts = []
    for name, values in of.covariates.items():
        value = values.sel(subject=label).item()
        if value == value and value not in ("", "nan"):
            unit = pretty_unit(str(values.attrs.get("units", "")))
            parts.append(f"{words(name)} {shown(value)} {unit}".strip())
    if of.has_data:
        samples = of.samples[of.samples["subject"] == label]
        parts.append(count(len(samples), "sample"))
        if outside := _outside(samples):
            parts.append(f"{outside} outside their 90 % bands")
    return ", ".join(parts)


def _outside(samples: pd.DataFrame) -> int:
    seen = samples[samples["censoring"] == "none"]
    return int(((seen["rank"] < 0.05) | (seen["rank"] > 0.95)).sum())
