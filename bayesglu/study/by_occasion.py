"""Covariates that differ from one occasion of a person to another: a table of people with a row for each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayesglu.study.tables import Table
from bayesglu.study.treatments import Occasion, who
from bayesglu.text.wording import some

OCCASION = "occasion"
WEIGHTS = ("body_weight", "weight")


def by_occasion(
    rows: xr.Dataset, occasions: Sequence[Occasion], table: Table, noted: list[str]
) -> tuple[xr.Dataset, xr.Dataset | None]:
    """Covariates by subject, as on the first of their occasions, and by occasion (``subject/name``) those
    that differ between the occasions of anyone; None if none does.

    rows : as read, with the coordinates ``subject`` and ``occasion``; a row without an occasion is of all
    that have none of their own. What is missing on an occasion is as on the nearest other one of the subject,
    which goes to `noted`, with what else may be overlooked.
    """
    pairs = list(zip(rows["subject"].values.tolist(), rows[OCCASION].values.tolist(), strict=True))
    row_of = {pair: row for row, pair in reversed(list(enumerate(pairs)))}
    people, seen = dict.fromkeys(subject for subject, _ in pairs), {subject for subject, _ in occasions}
    found = {each: row_of.get(each, row_of.get((each[0], ""), -1)) for each in occasions if each[0] in people}
    if absent := [who(each) for each, row in found.items() if row < 0]:
        table.faults.add(f"no row is of {some(absent)}, and none of all occasions, which has an empty cell.")
    if extra := [who(pair) for pair in pairs if pair[1] and pair[0] in seen and pair not in found]:
        table.faults.add(f"{some(extra)} has no samples.")
    first = {subject: [subject for subject, _ in pairs].index(subject) for subject in people}
    first |= dict(reversed([(subject, row) for (subject, _), row in found.items()]))
    of_people = rows.drop_vars(OCCASION).isel(subject=list(first.values()))
    if table.faults:
        return of_people, None

    place = {subject: i for i, subject in enumerate(first)}
    labels, differing = ["/".join(each) for each in found], {}
    for name, covariate in of_people.items():
        own = _filled(str(name), rows[name].values[list(found.values())], list(found), noted)
        values = covariate.values.copy()
        for (subject, _), value in reversed(list(zip(found, own, strict=True))):
            values[place[subject]] = value
        of_people[name] = ("subject", values, covariate.attrs)
        same = own == values[[place[subject] for subject, _ in found]]
        if not (same | _missing(own)).all():
            differing[name] = (OCCASION, own, covariate.attrs)
            if name in WEIGHTS:
                noted.append(f"{name} differs between occasions; doses per kg count by that of the first.")
    return of_people, xr.Dataset(differing, {OCCASION: labels}) if differing else None


def _missing(values: np.ndarray) -> np.ndarray:
    return np.isnan(values) if values.dtype.kind == "f" else values == ""


def _filled(name: str, values: np.ndarray, occasions: Sequence[Occasion], noted: list[str]) -> np.ndarray:
    """Values of occasions, with those of the nearest other one of the same subject where they are missing."""
    gaps, filled, words = _missing(values), values.copy(), []
    for i in np.flatnonzero(gaps).tolist():
        others = [j for j, each in enumerate(occasions) if each[0] == occasions[i][0] and not gaps[j]]
        if others:
            filled[i] = values[min(others, key=lambda j: abs(j - i))]
            words.append(who(occasions[i]))
    if words:
        noted.append(
            f"{name} is missing for {some(words)}, and taken to be as on their nearest other occasion."
        )
    return filled
