"""From checked tables to the fields of a study: who took part, what each weighed, what each was given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analytes import analytes
from bayesglu.errors import BayesgluWarning, warn_caller
from bayesglu.protocols.protocol import Protocol
from bayesglu.study.by_occasion import OCCASION, by_occasion
from bayesglu.study.cells import natural
from bayesglu.study.covariates import read_covariates
from bayesglu.study.datasheet import Datasheet
from bayesglu.study.plausible import (
    alike_labels,
    doubts,
    odd_doses,
    odd_insulin,
    odd_people,
    odd_ratios,
    odd_sites,
    odd_times,
    odd_weights,
)
from bayesglu.study.samples import (
    OBSERVATION_COLUMNS,
    OTHER_OBSERVATION_COLUMNS,
    PLAUSIBLE,
    leave_out,
    read_observations,
    read_truth,
    suspicious_units,
)
from bayesglu.study.tables import StudyError, Table
from bayesglu.study.treatments import Lines, assign, check_deliveries, read_events, some, who
from bayesglu.text.problems import Problems, hint, show


class StudyWarning(BayesgluWarning):
    """Something in a study that can be right and probably is not."""


def assemble(
    name: str,
    tables: Mapping[str, Table],
    sheet: Datasheet,
    protocol: Any,
    body_weight: Any,
    problems: Problems,
    advice: str = "",
) -> dict[str, Any]:
    """Put the tables of a study together and give back the fields of a `Study`.

    ``tables`` are ``observations`` and, if there are any, ``subjects``, ``events`` and ``truth``. Raises
    `StudyError` with all that was found in the tables, in ``problems`` and in how they fit together.
    """
    if "observations" not in tables:
        problems.raise_any(StudyError)
    noted: list[str] = []
    ignored = {key: table.leave_out(sheet.ignore) for key, table in tables.items()}
    for absent in sorted(set(sheet.ignore) - {each for names in ignored.values() for each in names}):
        problems.add(f"no table has the column {absent!r}.", "datasheet.toml, ignore:")
    samples = read_observations(tables["observations"], sheet, noted)
    subjects = sorted(set(samples["subject"]) - {""}, key=natural)
    seen = dict.fromkeys(zip(samples["subject"], samples["occasion"], strict=True))
    occasions = sorted((o for o in seen if o[0]), key=lambda o: subjects.index(o[0]))

    covariates, of_occasions = xr.Dataset(coords={"subject": np.array(subjects, dtype=str)}), None
    if "subjects" in tables:
        covariates = read_covariates(tables["subjects"], sheet, noted)
        if OCCASION in covariates.coords:
            covariates, of_occasions = by_occasion(covariates, occasions, tables["subjects"], noted)
        covariates = _same_people(covariates, subjects, tables["subjects"], problems)
    truth = None
    if "truth" in tables:
        truth = read_truth(tables["truth"], noted)
        truth = _same_people(truth, subjects, tables["truth"], problems)
    _check_units(sheet, tables, covariates, problems)
    _check_labels(occasions, problems)
    weights = _body_weights(body_weight, sheet, covariates, subjects, problems)
    protocols, lines = _protocols(protocol, sheet, tables.get("events"), occasions, noted, problems)
    leave_out(samples, sheet, protocols, noted)

    times = samples[samples["value"].notna()].groupby(["subject", "occasion"])["time"].max().to_dict()
    noted += check_deliveries(protocols, weights, times, problems, advice, tables.get("events"), lines)
    problems.found += [sentence for table in tables.values() for sentence in table.faults.sentences()]
    problems.raise_any(StudyError)
    looks = {
        "doses": [lambda: odd_doses(protocols, weights)],
        "times": [lambda: odd_times(samples, protocols)],
        "units": [
            lambda: suspicious_units(samples, protocols),
            lambda: odd_sites(samples, covariates),
            *(lambda look=look: look(samples, protocols) for look in (odd_insulin, odd_people, odd_ratios)),
        ],
        "weights": [lambda: odd_weights(weights, covariates)],
        "labels": [lambda: alike_labels(subjects)],
    }
    notes = (*noted, *doubts(sheet.checked, looks))
    for sentence in notes:
        warn_caller(f"{name}: {sentence}", StudyWarning)

    known = {*OBSERVATION_COLUMNS, *OTHER_OBSERVATION_COLUMNS}
    return dict(
        name=name,
        observations=_dataset(samples),
        covariates=covariates,
        occasion_covariates=of_occasions,
        protocols={occasion: protocols[occasion] for occasion in occasions},
        body_weight=xr.DataArray(
            [weights.get(subject, math.nan) for subject in subjects],
            coords={"subject": np.array(subjects, dtype=str)},
            name="body_weight",
            attrs={"units": "kg"},
        ),
        truth=truth,
        datasheet={
            **sheet.about,
            **({"plausible": dict(sheet.plausible)} if sheet.plausible else {}),
            **({"checked": list(sheet.checked)} if sheet.checked else {}),
        },
        unread=(*tables["observations"].unread(known), *ignored["observations"]),
        notes=notes,
    )


def _check_units(
    sheet: Datasheet, tables: Mapping[str, Table], covariates: xr.Dataset, problems: Problems
) -> None:
    """Note each unit and limit of the datasheet that belongs to nothing."""
    columns = tables["subjects"].unread(["subject", OCCASION]) if "subjects" in tables else []
    known = {"time", "duration", "rate", "ii", *analytes(), *map(str, covariates.data_vars), *columns}
    for name in sorted(set(sheet.legend) - {*map(str, covariates.data_vars), *columns}):
        problems.unknown(name, columns, "covariate", "datasheet.toml, [legend]")
    for name in sorted(set(sheet.units) - known):
        problems.unknown(name, known, "column", "datasheet.toml, [units]")
    for name in sorted(set(sheet.plausible) - (limited := {*analytes(), *PLAUSIBLE})):
        problems.unknown(name, limited, "quantity", "datasheet.toml, [plausible]")


def _check_labels(occasions: Sequence[tuple[str, str]], problems: Problems) -> None:
    """Note tests whose labels cannot be told apart when they are joined, as a fit joins them."""
    joined: dict[str, list[tuple[str, str]]] = {}
    for occasion in occasions:
        joined.setdefault("/".join(occasion), []).append(occasion)
    for label, several in joined.items():
        if len(several) > 1:
            problems.add(
                f"{some(list(map(who, several)))} are both {label!r} in a fit. Write one without '/'."
            )
    subjects = dict.fromkeys(subject for subject, _ in occasions)
    for subject in subjects:
        for other in subjects:
            if subject.startswith(f"{other}/"):
                problems.add(
                    f"subject {subject!r} looks like an occasion of subject {other!r} in a fit. Write it "
                    "without '/'."
                )


def _same_people(people: xr.Dataset, subjects: Sequence[str], table: Table, problems: Problems) -> xr.Dataset:
    """What a `table` says of exactly those people with samples; each one missing on either side is a
    problem."""
    listed = list(map(str, people["subject"].values))
    for label in (label for label in listed if label and label not in subjects):
        lines = table.rows.index[table.rows["subject"].str.strip() == label]
        meant = hint(label, set(subjects) - set(listed))
        table.faults.add(f"subject {label!r} has no samples.{meant}", *lines[:1])
    if absent := [subject for subject in subjects if subject not in listed]:
        problems.add(f"{some(absent)} of {len(subjects)} subjects with samples: not in {table.faults.file}.")
    return people.sel(subject=[subject for subject in subjects if subject in listed])


def _body_weights(
    given: Any, sheet: Datasheet, covariates: xr.Dataset, subjects: Sequence[str], problems: Problems
) -> dict[str, float]:
    """Body weight by subject: the caller's, else the datasheet's, else the covariate's."""
    weights = covariate_weight(covariates) or {}
    given = given.to_dict() if isinstance(given, pd.Series) else given
    for source, where in ((sheet.body_weight, "datasheet.toml"), (given, "")):
        stated = dict(source) if isinstance(source, Mapping) else dict.fromkeys(subjects, source)
        for subject, weight in stated.items():
            number = isinstance(weight, int | float | np.number) and not isinstance(weight, bool)
            if weight is None or (number and math.isnan(weight)):  # NaN is an unknown weight, too
                continue
            if str(subject) not in subjects:
                problems.add(
                    f"body_weight names subject {subject!r}, who has no samples.{hint(subject, subjects)}",
                    where,
                )
            elif not number or not 2 <= weight <= 400:
                message = f"body_weight is {show(weight)}; it must be a number of kg between 2 and 400."
                if not any(message in sentence for sentence in problems.found):
                    problems.add(message, where)
            else:
                weights[str(subject)] = float(weight)
    return weights


def covariate_weight(covariates: xr.Dataset) -> dict[str, float] | None:
    """Body weight (kg) by subject as the covariate ``body_weight`` or ``weight`` says it."""
    for name in ("body_weight", "weight"):
        if name in covariates and covariates[name].dtype.kind == "f":
            labels = map(str, covariates["subject"].values)
            return dict(zip(labels, map(float, covariates[name].values), strict=True))
    return None


def _protocols(
    given: Any,
    sheet: Datasheet,
    events: Table | None,
    occasions: Sequence[tuple[str, str]],
    noted: list[str],
    problems: Problems,
) -> tuple[dict[tuple[str, str], Protocol], Lines]:
    """Protocol of each occasion: the caller's, else that of events.csv or of the datasheet, never of both;
    and where it is written, if in events.csv."""
    found, lines = read_events(events, sheet, noted) if events is not None else ({}, {})
    if given is not None:
        return assign(given, occasions, problems, "protocol:"), {}
    if events is not None and sheet.protocol is not None:
        problems.add("both events.csv and the datasheet say what was given. Keep one.")
    if events is not None:
        for (occasion, _), where in lines.items():
            for line in where if occasion not in occasions and all(occasion) else ():
                meant = hint(occasion[0], [subject for subject, _ in occasions])
                events.faults.add(f"{who(occasion)} has no samples.{meant}", line)
        known = {occasion: found[occasion] for occasion in found if occasion in occasions}
        return assign(known, occasions, problems, "events.csv:"), lines
    if sheet.protocol is not None:
        return assign(sheet.protocol, occasions, problems, "datasheet.toml, protocol:"), {}
    problems.add(
        "has no protocol and no dosing events. Name a protocol, such as 'ogtt(75)' or 'fast(10)', or write "
        "events.csv."
    )
    return {}, {}


def _dataset(samples: pd.DataFrame) -> xr.Dataset:
    texts = ("subject", "occasion", "analyte", "censoring")
    data = {name: ("obs", samples[name].to_numpy(dtype=object).astype(str)) for name in texts}
    data |= {"time": ("obs", samples["time"].to_numpy(float), {"units": "min"})}
    data |= {"value": ("obs", samples["value"].to_numpy(float), {"units": "canonical unit of the analyte"})}
    data |= {"use": ("obs", samples["use"].to_numpy(bool)), "line": ("obs", samples["line"].to_numpy(int))}
    return xr.Dataset(data, coords={"obs": np.arange(len(samples))})
