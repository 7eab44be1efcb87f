"""The part of a report on the study: who was measured, what was given, and what is peculiar about it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.findings import count
from bayesglu.analysis.kept_study import study_of
from bayesglu.analytes import words
from bayesglu.plots.study import study as draw_study
from bayesglu.plots.style import pretty_unit, sentence
from bayesglu.protocols.table import kept_protocols
from bayesglu.reporting.anonymous import FEWEST
from bayesglu.reporting.blocks import (
    Facts,
    Heading,
    Part,
    Picture,
    Sentences,
    Table,
    Text,
    interval,
    present,
    shown,
)
from bayesglu.reporting.subject import Reported
from bayesglu.text.wording import some
from bayesglu.units import canonical_unit

ENOUGH = 20
"""Of so many people quartiles tell of no one of them."""


def about_study(of: Reported) -> Part:
    """Who was measured, what was given, what is missing, and what the readers said."""
    return Part(
        "study",
        "Study",
        present(
            [
                Facts(_facts(of)),
                _samples(of),
                _given(of),
                _covariates(of),
                Heading("What is peculiar about it"),
                Sentences(_peculiar(of)),
                _drawn(of),
            ]
        ),
    )


def _facts(of: Reported) -> list[tuple[str, str]]:
    about, attrs = of.attribute("study_about"), of.fit.attrs
    facts = [("Name", str(attrs.get("study_name", "")))]
    facts += [(name.capitalize(), about[name]) for name in ("title", "source", "licence") if name in about]
    facts.append(("People", str(len(of.people) or "not known: the fit was saved without them")))
    if "protocols" in of.fit.children and of.fit["protocols"].sizes["occasion"] > len(of.people):
        facts.append(("Occasions", str(of.fit["protocols"].sizes["occasion"])))
    if "population_study" in attrs:
        facts.append(("Population", f"that of the fit of study '{attrs['population_study']}'"))
    if "study_hash" in attrs:
        facts.append(("Hash of its content", str(attrs["study_hash"])))
    return facts


def _samples(of: Reported) -> Table | Text:
    if not of.has_data:
        return Text("The fit was saved without its samples, and nothing can be said of them here.")
    about, rows = of.attribute("study_about"), []
    for analyte, own in of.samples.groupby("analyte", sort=False):
        missing, left_out = (about.get(what, {}).get(analyte) for what in ("missing", "left out"))
        times = interval(own["time"].min(), own["time"].max())
        censored = int((own["censoring"] != "none").sum())
        unit = pretty_unit(canonical_unit(str(analyte)))
        counts = own["subject"].nunique(), len(own)
        rows.append((sentence(words(str(analyte))), unit, *counts, times, censored, missing, left_out))
    columns = ["analyte", "unit", "people", "samples", "at (min)", "censored", "missing", "left out"]
    return Table.of(pd.DataFrame(rows, columns=columns), "Samples that the model is compared with.")


def _given(of: Reported) -> Table | None:
    """Protocols, and to how many occasions each belongs."""
    if "protocols" not in of.fit.children:
        return None
    followed = kept_protocols(of.fit["protocols"].to_dataset()).values()
    counts = Counter(protocol.name or "without a name" for protocol in followed)
    rows, others = [], 0
    for name, several in counts.most_common():
        if (of.private and several < FEWEST) or len(rows) == 20:
            others += several
        else:
            rows.append((name, several))
    if others:
        rows.append(("others", others))
    return Table.of(pd.DataFrame(rows, columns=["protocol", "occasions"]), "What was given.")


def _covariates(of: Reported) -> Table | None:
    if "constant_data" not in of.fit.children or not of.people:
        return None
    acting = {effect.covariate for p in of.spec.parameters.values() for effect in p.effects.values()}
    weight = of.fit.children["constant_data"].dataset["body_weight"]
    rows = [("body weight", pretty_unit("kg"), *_described(of, weight), "doses")]
    for name, values in of.covariates.items():
        unit = pretty_unit(str(values.attrs.get("units", "")))
        used = "acts on parameters" if name in acting else "not used by the model"
        rows.append((words(name), unit, *_described(of, values), used))
    columns = ["covariate", "unit", "people", "missing", "of the study", "in the model"]
    statistics = "Numbers: median and quartiles" + ("." if of.private else ", and range.")
    return Table.of(pd.DataFrame(rows, columns=columns), f"What is known of people. {statistics}")


def _described(of: Reported, values: xr.DataArray) -> tuple[int, int, str]:
    """How many people have it, how many lack it, and what it is among them."""
    if values.dtype.kind not in "fiu":
        levels = [str(v) for v in values.values if str(v) not in ("", "nan")]
        counts = Counter(levels).most_common()
        parts = [f"{level} {n if n >= FEWEST or not of.private else f'(< {FEWEST})'}" for level, n in counts]
        return len(levels), values.size - len(levels), some(parts)
    known = values.values[np.isfinite(values.values)]
    if not len(known):
        return 0, values.size, ""
    if set(known) == {0.0, 1.0}:
        ones = int(known.sum())
        few = of.private and min(ones, len(known) - ones) < FEWEST
        return len(known), values.size - len(known), "0 and 1" if few else f"1 in {ones}, 0 in the others"
    if known.min() == known.max() and not of.private:
        return len(known), values.size - len(known), f"{shown(float(known[0]))} for all"
    if of.private and len(known) < ENOUGH:
        return len(known), values.size - len(known), f"mean {shown(float(known.mean()))}"
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75])
    parts = f"{shown(float(middle))} ({interval(low, high)})"
    if not of.private:
        parts += f", {interval(known.min(), known.max())}"
    return len(known), values.size - len(known), parts


def _peculiar(of: Reported) -> list[tuple[str, bool]]:
    """What the readers said, and who lacks samples that others have."""
    notes = [(note, False) for note in of.attribute("study_about").get("notes", ())]
    if of.private:
        notes.append(("What the readers said of single people and samples is left out.", True))
    elif "study_about" not in of.fit.attrs:
        notes.append(("The fit does not say what the readers said: it was made by an earlier version.", True))
    elif not notes:
        notes.append(("The readers found nothing odd.", True))
    if of.has_data:
        notes += _lacking(of)
    return notes


def _lacking(of: Reported) -> list[tuple[str, bool]]:
    found, people = [], of.samples["subject"].nunique()
    for analyte, own in of.samples.groupby("analyte", sort=False):
        name = words(str(analyte))
        by = own.groupby("subject")["time"].size().reindex(of.people, fill_value=0)
        none = [str(s) for s in by.index[by == 0]]
        usual = int(by[by > 0].mode().max())
        fewer = [str(s) for s in by.index[(by > 0) & (by < usual)]]
        if none:
            who = count(len(none), "subject") if of.private else f"subjects {some(none)}"
            found.append((f"No {name} was compared with the model of {who}.", False))
        if fewer and people > 1:
            who = count(len(fewer), "subject") if of.private else f"subjects {some(fewer)}"
            found.append((f"Fewer samples of {name} than most ({usual}) are of {who}.", False))
    return found


def _drawn(of: Reported) -> Picture | None:
    if of.private or not of.has_data or "forcing_obs" in of.fit["posterior"].dims:
        return None
    figure = draw_study(study_of(of.fit), units=of.units)
    caption = "Samples that the model is compared with; those missing or left out are not drawn."
    return Picture.of(figure, caption)
