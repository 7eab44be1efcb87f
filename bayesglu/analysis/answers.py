"""Draws as tidy tables: medians and intervals of each person, of the mean of people, of a new person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.cohort import Cohort
from bayesglu.errors import InputError
from bayesglu.spec.priors import SPELLINGS
from bayesglu.text.problems import is_number, show
from bayesglu.text.wording import some

MOST_GROUPS = 12
EVERYONE = ""


def check_probability(probability: float) -> None:
    """Raise InputError where it is none."""
    if not 0 < probability < 1:
        raise InputError(f"probability is {probability}. Allowed: between 0 and 1, such as 0.9.")


def check_above(above: float | None) -> None:
    """Raise InputError where it is given and no number."""
    if above is not None and not is_number(above):
        raise InputError(f"above is {show(above)}; it must be a finite number.")


def check_rope(rope: tuple[float, float] | None) -> None:
    """Raise InputError where it is no region of practical equivalence, from and to."""
    if rope is None:
        return
    pair = list(rope) if isinstance(rope, Sequence) and not isinstance(rope, str) else []
    if len(pair) != 2 or not all(map(is_number, pair)) or not pair[0] < pair[1]:
        raise InputError(f"rope is {show(rope)}. Give two numbers, from and to, such as (0.9, 1.1).")


def groups_of(cohort: Cohort, by: str | None) -> dict[str, list[str]]:
    """Labels of the people of each group: of each level of a covariate, spelled as models do, or everyone."""
    if by is None:
        return {EVERYONE: cohort.labels}
    if by not in cohort.covariates:
        known = some(list(map(str, cohort.covariates))) or "none"
        raise InputError(f"by is {by!r}, which is not known of these people. Known: {known}.")
    values = cohort.covariate(by)
    assert values is not None  # it is among those that are known
    values = [SPELLINGS.get(str(value), str(value)) for value in values.tolist()]
    levels = list(dict.fromkeys(values))
    if len(levels) > MOST_GROUPS:
        raise InputError(
            f"by: {by} takes {len(levels)} values, more than {MOST_GROUPS} groups. Cut it into classes in "
            "the study, or ask for its slope: slopes(fit, ...)."
        )
    people = list(zip(cohort.labels, values, strict=True))
    return {level: [label for label, value in people if value == level] for level in levels}


def rows(
    one: xr.DataArray,
    cohort: Cohort,
    groups: Mapping[str, Sequence[str]],
    average: bool,
    probability: float,
    mean: xr.DataArray | None = None,
    by: str | None = None,
) -> list[dict[str, Any]]:
    """Rows of a table for numbers ``(chain, draw, subject)``: of each person, or of their mean; of new people
    also of one of them.

    mean : by group, where it is not the mean of the people's numbers.
    """
    found = []
    for group, labels in groups.items():
        own = one.sel(subject=list(labels))
        about = {} if by is None else {by: group}
        many, new = len(labels) > 1, cohort.at_references and len(labels) > 1
        if average or new:
            of_all = own.mean("subject") if mean is None else mean.sel(group=group)
            said = (
                f"mean of {len(labels)} {'new people' if new else 'people'}" if many else _person(labels[0])
            )
            found.append(about | {"interval": said} | summary(of_all.values, probability))
        if new:
            found.append(about | {"interval": "a new person"} | summary(own.values, probability))
        elif not average:
            for label in labels:
                row = {"subject": label, "interval": _person(label)}
                found.append(about | row | summary(own.sel(subject=label).values, probability))
    return found


def _person(label: str) -> str:
    return "the typical person" if label == "typical" else f"subject {label}"


def summary(draws: np.ndarray, probability: float) -> dict[str, Any]:
    """Median and equal-tailed interval, of the draws in which there is a number, and their share."""
    values = draws[np.isfinite(draws)]
    tail = (1 - probability) / 2
    low, middle, high = np.quantile(values, [tail, 0.5, 1 - tail]) if len(values) else [np.nan] * 3
    found = {"median": middle, "lower": low, "upper": high, "probability": probability}
    return found | {"defined": len(values) / draws.size, "draws": draws}


def table_of(found: Sequence[dict[str, Any]], attrs: Mapping[str, Any], cohort: Cohort) -> pd.DataFrame:
    """A tidy table, which says of whom and of which day it speaks."""
    table = pd.DataFrame([{k: v for k, v in row.items() if k != "draws"} for row in found])
    table["people"], table["occasion"] = cohort.whom, cohort.occasion
    if (table["defined"] == 1).all():
        table = table.drop(columns="defined")
    kept = ("model", "protocol", "subjects", "occasion", "random_seed")
    table.attrs = {name: attrs[name] for name in kept if name in attrs}
    return table
