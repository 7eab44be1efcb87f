"""A hash of what a study says, whatever its files look like."""

from __future__ import annotations

import hashlib
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesglu.protocols.events import Delivery

if TYPE_CHECKING:
    from bayesglu.study.contents import Study


def fingerprint(study: Study) -> str:
    """SHA-256 of samples in their order, covariates, body weights and events; numbers to nine digits."""
    columns = ("subject", "occasion", "analyte", "time", "value", "censoring", "use")
    rows = [[name, *map(_canonical_text, study.observations[name].values)] for name in columns]
    for name in sorted(map(str, study.covariates.data_vars)):
        values = study.covariates[name]
        rows.append([name, values.attrs.get("units", ""), *map(_canonical_text, values.values)])
    if study.occasion_covariates is not None:
        for name, own in sorted(study.occasion_covariates.items(), key=lambda item: str(item[0])):
            rows.append([f"{name} by occasion", *map(_canonical_text, own.values)])
    rows.append(["body_weight", *map(_canonical_text, study.body_weight.values)])
    weights = dict(zip(study.subjects, study.body_weight.values, strict=True))
    for (subject, occasion), protocol in study.protocols.items():
        if protocol.since:  # most begin with their first event, or at 0
            rows.append([subject, occasion, _canonical_text(protocol.since)])
        weight = None if np.isnan(weights[subject]) else float(weights[subject])
        for delivery in protocol.canonical(weight):
            values = [getattr(delivery, each.name) for each in fields(Delivery)]
            rows.append([subject, occasion, *map(_canonical_text, values)])
    return hashlib.sha256("\n".join(map("\t".join, rows)).encode()).hexdigest()


def _canonical_text(value: Any) -> str:
    """A number to nine digits, zero without a sign; anything else as text."""
    if isinstance(value, int | float | np.number):
        return format(float(value) + 0.0, ".9g")
    return str(value)
