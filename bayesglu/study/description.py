"""What a study holds, in words: as text, and as HTML for notebooks."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from bayesglu.text.wording import some

if TYPE_CHECKING:
    from bayesglu.study.contents import Study


def as_text(study: Study) -> str:
    """A line for the study, and one for each thing that it holds."""
    people = f"{len(study.subjects)} subject{'s' if len(study.subjects) > 1 else ''}"
    title = f"Study {study.name!r}: {people}, {study.observations.sizes['obs']} samples"
    return "\n".join([title, *(f"  {what:<11} {text}" for what, text in _described(study))])


def as_html(study: Study) -> str:
    """The same as a table, with the summary of each analyte."""
    described = "".join(
        f"<tr><th>{what}</th><td style='text-align: left'>{html.escape(text)}</td></tr>"
        for what, text in _described(study)
        if what not in study.analytes
    )
    title = html.escape(f"Study {study.name!r}")
    return f"<p><b>{title}</b></p><table>{described}</table>{study.summary().to_html()}"


def beside_its_numbers(study: Study) -> dict:
    """What a fit keeps of a study beside its samples: where it is from, what its readers said, and how many
    samples of each analyte are missing or were left out."""
    counts = study.summary()
    return {
        **{
            name: str(study.datasheet[name])
            for name in ("title", "source", "licence")
            if name in study.datasheet
        },
        "notes": list(study.notes),
        "missing": {str(analyte): int(row["missing"]) for analyte, row in counts.iterrows()},
        "left out": {str(analyte): int(row["left out"]) for analyte, row in counts.iterrows()},
    }


def _described(study: Study) -> list[tuple[str, str]]:
    described = [("subjects", some(study.subjects))]
    for analyte, row in study.summary().iterrows():
        counts = [f"{row[what]} {what}" for what in ("missing", "censored", "left out") if row[what]]
        span = f"{row['samples']} samples, {row['from']:g} to {row['to']:g} min, {row['unit']}"
        counts += [f"in {row['subjects']} subjects"] if row["subjects"] < len(study.subjects) else []
        described.append((str(analyte), ", ".join([span, *counts])))
    names = list(dict.fromkeys(protocol.name or "without a name" for protocol in study.protocols.values()))
    weights = study.body_weight.values
    known = weights[~np.isnan(weights)]
    weight = f"{known.min():g} to {known.max():g} kg" if known.size else "unknown"
    weight = f"{known[0]:g} kg" if known.size and known.min() == known.max() else weight
    unknown = f", unknown for {weights.size - known.size}" if 0 < known.size < weights.size else ""
    described += [("protocol", some(names)), ("body weight", weight + unknown)]
    if study.covariates.data_vars:
        empty = study.missing
        texts = [f"{name}{_unit_of(values)}" + (f" ({empty[name]} missing)" if name in empty else "")
                 for name, values in study.covariates.items()]  # fmt: skip
        described.append(("covariates", ", ".join(texts)))
    if study.truth is not None:
        described.append(("truth", f"{len(study.truth.data_vars)} parameters"))
    if study.unread:
        described.append(("not read", ", ".join(study.unread)))
    if "format" in study.datasheet:
        described.append(("format", f"{study.datasheet['format']}: {study.datasheet.get('note', '')}"))
    return described


def _unit_of(values: xr.DataArray) -> str:
    unit = values.attrs.get("units", "1")
    return "" if unit == "1" else f" {unit}"
