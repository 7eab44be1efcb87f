"""What a report speaks of: a fit, and what was asked of the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
import xarray as xr

from bayesglu.analysis.prior_sensitivity import prior_sensitivity
from bayesglu.analysis.summaries import summarize_population
from bayesglu.analysis.verdict import Verdict
from bayesglu.errors import InputError
from bayesglu.spec.model import ModelSpec

DATA = ("observed_data", "constant_data", "fitted", "posterior_predictive")
"""Groups without which nothing can be said of samples."""


@dataclass(frozen=True)
class Reported:
    """A fit with its model and verdict; `private` where nothing of single people may be told."""

    fit: xr.DataTree
    spec: ModelSpec
    verdict: Verdict
    probability: float = 0.9
    units: str | None = None
    private: bool = False
    seed: int = 0
    comparison: Any = None
    what_ifs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def share(self) -> str:
        """The probability of intervals in words: ``90 %``."""
        return f"{100 * self.probability:g} %"

    @property
    def has_data(self) -> bool:
        """Whether the fit holds its samples."""
        return set(DATA) <= set(self.fit.children)

    @property
    def has_lkj_pairs(self) -> bool:
        """Whether the LKJ prior says something of the people: some correlation has no prior of its own."""
        pairs = len(self.spec.correlations) * (len(self.spec.correlations) - 1) // 2
        return self.spec.lkj_eta is not None and pairs > len(self.spec.correlation_priors)

    @cached_property
    def people(self) -> list[str]:
        """Labels of the people of whom the fit speaks."""
        for group in ("constant_data", "posterior"):
            if group in self.fit.children and "subject" in (found := self.fit.children[group].dataset).coords:
                return list(map(str, found["subject"].values))
        return []

    @cached_property
    def population(self) -> pd.DataFrame:
        """What people have in common, a row each, as `summarize_population` says it."""
        return summarize_population(self.fit, self.probability).to_dataframe().reset_index()

    @cached_property
    def sensitivity(self) -> pd.DataFrame | None:
        """How much values follow their priors; None where the fit does not say."""
        try:
            return prior_sensitivity(self.fit)
        except InputError:
            return None

    @cached_property
    def samples(self) -> pd.DataFrame:
        """One row per sample: subject, occasion, analyte, time, value, censoring, and its rank among what the
        fit predicts of it."""
        tables = []
        for analyte, values in self.fit["observed_data"].data_vars.items():
            dim = f"{analyte}_obs"
            columns = {what: values[f"{analyte}_{what}"].values for what in ("subject", "occasion", "time")}
            columns["censoring"] = self.fit.children["constant_data"].dataset[f"{analyte}_censoring"].values
            drawn = self.fit.children["posterior_predictive"].dataset[analyte].transpose(..., dim).values
            rank = (drawn.reshape(-1, values.size) < values.values).mean(0)
            columns |= {"value": values.values, "rank": rank}
            tables.append(pd.DataFrame({"analyte": str(analyte), **columns}))
        return pd.concat(tables, ignore_index=True).astype({"subject": str, "occasion": str})

    def attribute(self, name: str) -> dict:
        """An attribute of the fit that is a text of JSON; empty where there is none."""
        return json.loads(self.fit.attrs.get(name, "{}"))

    @cached_property
    def covariates(self) -> dict[str, xr.DataArray]:
        """Covariates of the people, by name."""
        if "constant_data" not in self.fit.children:
            return {}
        known = self.fit["constant_data"].data_vars.items()
        prefix = "covariate_"
        return {str(n).removeprefix(prefix): v for n, v in known if str(n).startswith(prefix)}
