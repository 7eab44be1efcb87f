"""What can be right and probably is not: doses, times, units, weights and labels that look like a slip.

Each function gives back sentences. None of them is a fault: whoever looked and found all right says so in the
datasheet, under ``checked``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise, product

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analytes import Measurand, analytes
from bayesglu.protocols.events import Event
from bayesglu.protocols.protocol import Protocol
from bayesglu.study.cells import bare
from bayesglu.text.wording import some
from bayesglu.units import dose_amount, is_per_person

Occasion = tuple[str, str]

# Of one dose, and of one minute of an infusion: from and to, in a unit in which people speak of it.
USUAL_DOSES: Mapping[tuple[str, str], tuple[float, float, str]] = {
    ("glucose", "oral"): (0.1, 6, "g/kg"),
    ("glucose", "intravenous"): (0.05, 2, "g/kg"),
    ("glucose", "infused"): (0.1, 30, "mg/kg/min"),
    ("insulin", "intravenous"): (0.003, 0.5, "U/kg"),
    ("insulin", "depot"): (0.005, 3, "U/kg"),
    ("insulin", "infused"): (0.01, 30, "mU/kg/min"),
    ("glucagon", "intravenous"): (0.05, 100, "ug/kg"),
    ("glucagon", "depot"): (0.05, 100, "ug/kg"),
    ("glucagon", "infused"): (0.05, 100, "ng/kg/min"),
}
USUAL_FOR_A_PERSON = {"oral": (5.0, 300.0), "intravenous": (2.0, 200.0)}
"""Glucose, g, where the dose is not per kg."""

SHORT_ORAL, SHORT_INTRAVENOUS = 24.0, 5.0
"""Minutes: no test of three samples or more ends so soon after a drink, or after an injection."""

LATE, LONG = 180.0, 1440.0
"""Minutes from the dose to the first sample, and from the last dose to the last sample: no test has more."""

LOW_RATIO, HIGH_RATIO = 0.035, 0.8
"""Of insulin to C-peptide in one sample, both in pmol/L: beyond these lies no study's median, and beyond a
third or twice of them nobody's. Of 149 people in three studies medians were 0.02 to 0.44."""

LOW_FASTING, LOW_PEAK = 30.0, 120.0
"""Insulin, pmol/L: a study whose medians are both lower after glucose is probably in uU/mL."""

LEAST_SPREAD, WORTH, APART = 0.3, 4, 0.5
"""Of logarithms: how much people differ at least, of how many people's weight that is, and how far from the
factor of a unit a site may be."""

CONFUSED, ROUNDS = 100, 3
"""One in so many people has another unit than the table says, before anything is seen; and how often who that
is and what the others are is found in turn. Of simulated studies of twelve people, one or three of whom have
insulin six times too low, four in five of these are named; in one of twenty without a fault someone is. Of
the 120 of `ohashi2015` one is, whose insulin is a sixth of what C-peptide lets expect."""


def odd_doses(protocols: Mapping[Occasion, Protocol], weights: Mapping[str, float]) -> list[str]:
    """Doses that nobody is given, with the unit that was probably meant."""
    alike: dict[str, list[str]] = {}
    for (subject, _), protocol in protocols.items():
        for event in protocol.events:
            weight = weights.get(subject, math.nan)
            if sentence := _odd_dose(event, weight):
                alike.setdefault(sentence, []).append(subject)
    return [f"subject {some(list(dict.fromkeys(who)))}: {sentence}" for sentence, who in alike.items()]


def _odd_dose(event: Event, weight: float) -> str:
    """Why one dose is not one that people are given, or nothing."""
    if event.kind == "clamp" or event.amount == 0:
        return ""
    how = "depot" if event.kind == "release" else event.route
    how = "infused" if event.kind == "infusion" and event.route != "oral" else how
    low, high, unit = USUAL_DOSES[event.substance, how]
    known = weight if weight > 0 else 70.0

    def usual(written: str) -> bool:
        amount = dose_amount(event.amount, written, event.substance, known)
        amount /= event.duration if how == "infused" else 1.0
        limits = [dose_amount(end, unit, event.substance) for end in (low, high)]
        within = limits[0] * 0.999 <= amount <= limits[1] * 1.001
        if event.substance == "glucose" and how in USUAL_FOR_A_PERSON and is_per_person(written):
            least, most = USUAL_FOR_A_PERSON[how]
            within = within and least <= amount * known / 1000 <= most
        return within

    if usual(event.unit):
        return ""
    base, per_kg = event.unit.split("/")[0], "/kg" if is_per_person(event.unit) else ""
    others = [base + per_kg, *(f"{each}{end}" for each in _AMOUNTS[event.substance] for end in ("", "/kg"))]
    meant = next((each for each in others if usual(each)), None)
    given = f"{event.amount:.4g} {event.unit} of {event.route} {event.substance}"
    if how == "infused":
        given = f"{event.amount / event.duration:.4g} {event.unit}/min of {event.substance}"
    limits = f"{low:g} to {high:g} {unit}"
    if how in USUAL_FOR_A_PERSON and event.substance == "glucose":
        least, most = USUAL_FOR_A_PERSON[how]
        limits += f" and {least:g} to {most:g} g"
    rate = "/min" if how == "infused" else ""
    question = f" Is the unit '{meant}{rate}'?" if meant else ""
    return f"{given} is outside the usual {limits}.{question}"


_AMOUNTS = {"glucose": ("g", "mg"), "insulin": ("U", "mU"), "glucagon": ("mg", "ug", "ng")}


def odd_times(samples: pd.DataFrame, protocols: Mapping[Occasion, Protocol]) -> list[str]:
    """Times that are probably in another unit, or of another clock."""
    unit = samples.attrs.get("unit of time", "min")
    longer, shorter = {"s": ("min", "s"), "h": ("d", "min")}.get(unit, ("h", "s"))
    seen = samples[samples["value"].notna() & samples["time"].notna()]
    spans = {}
    for occasion, own in seen.groupby(["subject", "occasion"])["time"]:
        if occasion in protocols:
            after = np.unique(own.to_numpy()) - protocols[occasion].onset
            spans[occasion] = after
    if not spans:
        return []
    sentences, last = [], max(after[-1] for after in spans.values())
    longest = max(int((after > 0).sum()) for after in spans.values())
    given = [protocol for occasion, protocol in protocols.items() if occasion in spans]
    if longest >= 3 and 0 < last <= min(_shortest(protocol, last) for protocol in given):
        sentences.append(
            f"All samples lie within {last:g} min after the dose. Is the time in {longer}, and not in "
            f"{unit}? Call the column time_{longer}."
        )
    else:
        usual = float(np.median([after[-1] for after in spans.values()]))
        short = [s for (s, _), a in spans.items() if (a > 0).sum() >= 3 and a[-1] <= usual / 30]
        if short:
            sentences.append(
                f"The samples of subject {some(short)} end within {usual / 30:.3g} min, those of others "
                f"after {usual:.4g} min. Are their times in hours?"
            )
    late = [s for (s, o), a in spans.items() if protocols[s, o].events and a[0] > LATE]
    if late and 2 * len(late) > len(spans):
        first = min(after[0] for after in spans.values())
        sentences.append(
            f"The first sample comes {first:g} min after the dose. Do the times count from another moment, "
            "such as midnight? Shift the protocol to when it began, as in ogtt(75).shift(480)."
        )
    long = [
        s for (s, o), a in spans.items()
        if protocols[s, o].events and a[-1] + protocols[s, o].onset - protocols[s, o].duration > LONG
    ]  # fmt: skip
    if long and not late:
        sentences.append(
            f"The samples of subject {some(list(dict.fromkeys(long)))} end {last:g} min after the dose, more "
            f"than a day after the last one. Is the time in {shorter}, not in {unit}? Call it time_{shorter}."
        )
    return sentences


def _shortest(protocol: Protocol, last: float) -> float:
    """Until when the samples of a test with this protocol must have ended to be suspected."""
    oral = any(event.route == "oral" for event in protocol.events)
    longer = protocol.duration - protocol.onset >= max(60.0, 30 * last)
    if longer:
        return last
    return SHORT_ORAL if oral else SHORT_INTRAVENOUS if protocol.events else 0.0


def odd_weights(weights: Mapping[str, float], covariates: xr.Dataset) -> list[str]:
    """Body weights that are probably in pounds, or do not go with height and body mass index."""
    known = {subject: weight for subject, weight in weights.items() if weight > 0}
    sentences = []
    if known and np.median(list(known.values())) > 130:
        middle = np.median(list(known.values()))
        sentences.append(f"The median body weight is {middle:.4g} kg. Are the weights in lb?")
    if {"bmi", "height"} <= set(covariates.data_vars) and all(
        covariates[name].dtype.kind == "f" for name in ("bmi", "height")
    ):
        bmi, height = (covariates[name].to_series().to_dict() for name in ("bmi", "height"))
        expected = {s: bmi[s] * (height[s] / 100) ** 2 for s in known}
        ratio = {s: known[s] / weight for s, weight in expected.items() if weight > 0}
        off = {s: r for s, r in ratio.items() if not 0.8 < r < 1.25}
        pounds = " Is the weight in lb?" if off and 1.9 < np.median(list(off.values())) < 2.5 else ""
        if off and (pounds or 2 * len(off) > len(ratio)):
            first = next(iter(off))
            sentences.append(
                f"Weight, height and bmi of subject {some(list(off))} do not go together: of {first} "
                f"they are {known[first]:.4g} kg, {height[first]:.4g} cm and {bmi[first]:.3g} kg/m2.{pounds}"
            )
    return sentences


def alike_labels(labels: Sequence[str]) -> list[str]:
    """Labels that are probably one person, written in two ways."""
    groups: dict[str, list[str]] = {}
    for label in labels:
        key = "".join(part.lstrip("0") or "0" if part.isdecimal() else part for part in _parts(bare(label)))
        groups.setdefault(key or label, []).append(label)
    several = [" and ".join(map(repr, group)) for group in groups.values() if len(group) > 1]
    if not several:
        return []
    return [
        f"The subjects {some(several)} differ in zeros, signs or capitals alone, and are taken for different "
        "people."
    ]


def _parts(label: str) -> list[str]:
    """Runs of digits, and what lies between."""
    runs: list[str] = []
    for before, letter in pairwise(["", *label]):
        if runs and before.isdecimal() == letter.isdecimal():
            runs[-1] += letter
        else:
            runs.append(letter)
    return runs


def odd_ratios(samples: pd.DataFrame, protocols: Mapping[Occasion, Protocol]) -> list[str]:
    """People whose insulin and C-peptide cannot both be in their units."""
    whole = samples[(samples["censoring"] == "none") & samples["value"].notna()]
    both = whole[whole["analyte"].isin(["insulin", "c_peptide"])].pivot_table(
        index=["subject", "occasion", "time"], columns="analyte", values="value"
    )
    if set(both.columns) != {"insulin", "c_peptide"}:
        return []
    ratio = (both["insulin"] / both["c_peptide"]).dropna().groupby("subject").median()
    given = {s for (s, _), p in protocols.items() if any(e.substance == "insulin" for e in p.events)}
    ratio = ratio[~ratio.index.isin(given)]
    if ratio.empty:
        return []
    far = (ratio < LOW_RATIO / 3) | (ratio > HIGH_RATIO * 2)
    if not LOW_RATIO <= ratio.median() <= HIGH_RATIO:
        far = (ratio < LOW_RATIO) | (ratio > HIGH_RATIO)
    elif odd := _apart(level := ratio.map(math.log).to_dict(), level, analytes()["insulin"].units):
        far |= ratio.index.isin(odd[0])
    if not far.any():
        return []
    return [
        f"Insulin is {ratio[far].median():.2g} of C-peptide (medians, pmol/L) in subject "
        f"{some(list(ratio.index[far]))}; {LOW_RATIO:g} to {HIGH_RATIO:g} is usual. Is one of them in "
        "another unit, such as insulin in uU/mL?"
    ]


SITES = re.compile("(site|cent(re|er)|lab|hospital|clinic|country|cohort|batch|assay|kit|source).*")
"""Covariates that say where something was measured."""


def odd_sites(samples: pd.DataFrame, covariates: xr.Dataset) -> list[str]:
    """Sites whose values of an analyte are another unit's factor away from those of the others."""
    whole = samples[(samples["censoring"] == "none") & (samples["value"] > 0)]
    sites = [str(name) for name in covariates.data_vars if SITES.fullmatch(str(name))]
    found = {}
    for site in sites:
        of_each = covariates[site].to_series().astype(str)
        for analyte, kind in _measured(whole):
            level = pd.Series(_log_means(whole[whole["analyte"] == analyte]), dtype=float)
            where = of_each.reindex(level.index)
            for one in dict.fromkeys(where) if where.nunique() > 1 else ():
                parts = [level[where == one], level[where != one]]
                distance = parts[0].mean() - parts[1].mean()
                errors = [max(float(part.std(ddof=0)), LEAST_SPREAD) / math.sqrt(len(part)) for part in parts]
                for unit, worth in kind.units.items():
                    step = abs(math.log(worth))
                    away = step > 1 and abs(abs(distance) - step) < APART
                    if away and abs(distance) > 4 * math.hypot(*errors):
                        found.setdefault(
                            analyte,
                            f"{analyte} where {site} is {one} is {math.exp(distance):.2g} times that "
                            f"elsewhere, as if one were in {unit}.",
                        )
    return list(found.values())


def odd_people(samples: pd.DataFrame, protocols: Mapping[Occasion, Protocol]) -> list[str]:
    """People whose values of an analyte are another unit's factor away from those of the others."""
    whole = samples[(samples["censoring"] == "none") & (samples["value"] > 0)]
    rest = [
        (s, o) in protocols and t <= protocols[s, o].rest_until
        for s, o, t in zip(whole["subject"], whole["occasion"], whole["time"], strict=True)
    ]
    sentences = []
    for analyte, kind in _measured(whole):
        own = whole[whole["analyte"] == analyte]
        fasting = _log_means(own[np.array(rest, bool)[whole["analyte"] == analyte]])
        every = _log_means(own)
        level = fasting if set(fasting) == set(every) else every
        if odd := _apart(level, every, kind.units):
            people, factor, unit = odd
            ours = next(iter(kind.units))
            sentences.append(
                f"{analyte} of subject {some(people)} is {factor} that of the others, as if it were not in "
                f"{ours} but in {unit}. Were the units of these people confused?"
            )
    return sentences


def _measured(samples: pd.DataFrame) -> list[tuple[str, Measurand]]:
    """The analytes that samples are of."""
    there = set(samples["analyte"])
    return [(name, kind) for name, kind in analytes().items() if name in there]


def _log_means(samples: pd.DataFrame) -> dict[str, float]:
    """Mean logarithm of each person's values."""
    return samples["value"].map(math.log).groupby(samples["subject"]).mean().to_dict()


def _apart(level: Mapping[str, float], every: Mapping[str, float], units: Mapping[str, float]):
    """Whether some people, half of them at most, are a unit's factor away from the others both in `level` and
    in `every` of their values: who, how far, and that unit; or None.

    The others are Normal in both, about their medians. Being away must be so much more likely that it remains
    so although confusion is rare: once in `CONFUSED` people.
    """
    order, found = sorted(level), []
    values = np.array([[level[subject], every[subject]] for subject in order])
    for unit, worth in units.items() if len(order) > 2 else ():
        step = math.log(worth)
        for shift, start in product((-step, step) if abs(step) > 1 else (), (0.5, 0.25, 0.75)):
            away, middle = _away(values, np.quantile(values, start, axis=0), shift)
            if away.any():
                gain = _gain(values - middle, away, shift)
                if (sure := away & (gain > math.log(CONFUSED * len(order)))).any():
                    found.append((gain[sure].sum(), shift, unit, [order[i] for i in np.flatnonzero(sure)]))
    if not found:
        return None
    _, shift, unit, people = max(found)
    theirs, others = (np.median([level[s] for s in order if (s in people) is own]) for own in (True, False))
    factor = f"{math.exp(abs(theirs - others)):.2g}"
    return people, f"1/{factor}" if shift < 0 else f"{factor} times", unit


def _away(values: np.ndarray, middle: np.ndarray, shift: float) -> tuple[np.ndarray, np.ndarray]:
    """Who is nearer to the `shift` from the middle of the others than to that, and where it is; nobody where
    those are not the fewer, or as many and low."""
    away = np.zeros(len(values), bool)
    for _ in range(ROUNDS):
        away = (np.abs(values - middle - shift) < np.abs(values - middle)).all(1)
        if 2 * away.sum() > len(values) - (shift > 0):
            return np.zeros(len(values), bool), middle
        middle = np.median(values[~away], axis=0)
    return away, middle


def _gain(distance: np.ndarray, away: np.ndarray, shift: float) -> np.ndarray:
    """By how much the logarithm of the density of each person's distances (person, 2) rises when they are
    expected at the `shift`; their covariance is that of those who are not `away`, and the least as of so many
    more people."""
    least = LEAST_SPREAD**2 * np.array([[1.0, 0.5], [0.5, 1.0]])
    others = distance[~away]
    precision = np.linalg.inv((others.T @ others + WORTH * least) / (len(others) + WORTH))

    def misfit(z):
        return 0.5 * np.einsum("pi,ij,pj->p", z, precision, z)

    return misfit(distance) - misfit(distance - shift)


def odd_insulin(samples: pd.DataFrame, protocols: Mapping[Occasion, Protocol]) -> list[str]:
    """Whether everybody's insulin is low at rest and hardly rises after glucose, as in another unit."""
    whole = samples[(samples["censoring"] == "none") & samples["value"].notna()]
    own = whole[whole["analyte"] == "insulin"]
    loaded = {
        occasion
        for occasion, protocol in protocols.items()
        if any(event.substance == "glucose" and event.amount > 0 for event in protocol.events)
    }
    rest: list[float] = []
    after: dict[Occasion, list[float]] = {}
    columns = (own[name].tolist() for name in ("subject", "occasion", "time", "value"))
    for subject, occasion, time, value in zip(*columns, strict=True):
        if (subject, occasion) in loaded:
            at_rest = time <= protocols[subject, occasion].rest_until
            (rest if at_rest else after.setdefault((subject, occasion), [])).append(value)
    peaks = [max(values) for values in after.values() if len(values) >= 3]
    if not rest or not peaks or np.median(rest) >= LOW_FASTING or np.median(peaks) >= LOW_PEAK:
        return []
    return [
        f"The median insulin is {np.median(rest):.3g} pmol/L fasting and {np.median(peaks):.3g} pmol/L at "
        "its peak after glucose. Were pmol/L and uU/mL confused?"
    ]


def doubts(
    checked: Iterable[str],
    looks: Mapping[str, Sequence[Callable[[], list[str]]]],
) -> list[str]:
    """What is found by each look that nobody has said is right, with the way to say so."""
    return [
        f'{sentence} If it is right, write checked = ["{name}"] in the datasheet.'
        for name, several in looks.items()
        if name not in checked
        for look in several
        for sentence in look()
    ]
