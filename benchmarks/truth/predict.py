"""What would be measured in a test that was not fitted: of the fitted subjects, and of new ones with the
same covariates."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

import bayesglu
from bayesglu import ModelSpec
from bayesglu.hierarchy.design import make_design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.posterior import individuals_of, population_of
from benchmarks.truth.pairs import Given, Pair

DRAWS = 400
ROUNDS = 3
"""Of finding a dose: most of the insulin is in proportion to it."""


def predicted(fit: xr.DataTree, pair: Pair, random_seed: int = 1) -> pd.DataFrame:
    """The measured values of a pair, each with draws of the ``same`` subject and of a ``new`` one."""
    d, rng = make_design(pair.model, pair.fitted), np.random.default_rng(random_seed)
    posterior, people = _thinned(fit.posterior.to_dataset()), d.individuals
    values = population_of(posterior, people, d.analytes)
    population = values.typical, values.effect, values.omega, values.correlation
    missing = people.missing.draw(values.missing, rng)
    own = individuals_of(posterior, people)
    if pair.another_occasion:
        own = people.draw_another_occasion(*population, own, np.ones(len(people.subjects)), rng, missing)
    other = people.draw(*population, rng, missing)
    # (chain, draw, T, P)
    theta = [people.theta(values.typical, values.effect, one, missing) for one in (own, other)]
    sigma = dict(zip(d.analytes, values.sigma.reshape(DRAWS, -1).T, strict=True))
    weight = dict(zip(pair.fitted.subjects, pair.fitted.body_weight.values, strict=True))
    outputs, rows = sorted(set(pair.measured.output)), []
    for t, (subject, _) in enumerate(people.occasions):
        measured = pair.measured[pair.measured.subject == subject]
        moments = np.unique(np.r_[0.0, measured.time])
        curves = []
        for one in theta:
            parameters = parameters_of(people, one, t)
            protocol = pair.protocols[subject]
            if pair.given and subject in pair.given.insulin:
                times = times_the_dose(pair.model, pair.given, subject, parameters, float(weight[subject]))
                protocol = pair.given.protocol(subject, times)
            told = pair.model, protocol, parameters, moments, outputs
            curves.append(bayesglu.simulate(*told, body_weight=float(weight[subject])))
        for row in measured.itertuples(index=False):
            noise = sigma[row.assay] * rng.normal(size=DRAWS) if row.assay else 0.0
            drawn = [curve[row.output].sel(time=row.time).values * np.exp(noise) for curve in curves]
            draws = dict(zip(("same", "new"), drawn, strict=True))
            rows.append({**row._asdict(), **draws, "group": pair.groups[subject]})
    found = pd.DataFrame(rows)
    return found if pair.carried is None else _carried(found, pair.carried)


def parameters_of(people: Individuals, theta: np.ndarray, t: int) -> dict[str, xr.DataArray]:
    """Draws of the parameters of the ``t``-th occasion by name, of draws of all, (chain, draw, T, P)."""
    columns = zip(people.columns, theta[:, :, t].reshape(-1, len(people.columns)).T, strict=True)
    return {name: xr.DataArray(drawn, dims="draw") for name, drawn in columns}


def times_the_dose(model: ModelSpec, given: Given, subject: str, parameters: Mapping, weight: float) -> float:
    """How many times the stated dose brings the measured insulin, of the median of draws of a subject."""
    times = 1.0
    for _ in range(ROUNDS):
        told = model, given.protocol(subject, times), parameters, [0.0, given.at], ["insulin"]
        drawn = bayesglu.simulate(*told, body_weight=weight)["insulin"].sel(time=given.at)
        times *= given.insulin[subject] / float(drawn.median())
    return times


def _thinned(posterior: xr.Dataset) -> xr.Dataset:
    each = DRAWS // posterior.sizes["chain"]
    return posterior.isel(draw=np.linspace(0, posterior.sizes["draw"] - 1, each).astype(int))


def _carried(found: pd.DataFrame, day: pd.DataFrame) -> pd.DataFrame:
    """With what was measured at the same time on the fitted day, and the SD of such differences in others."""
    day = day.rename(columns={"value": "carried"})
    found = found.merge(day, how="left", on=["subject", "time", "output"])
    away = np.log(found.value / found.carried)
    others = [away[(found.subject != subject) & away.notna()] for subject in found.subject]
    return found.assign(carried_sd=[float(np.sqrt(np.mean(one**2))) for one in others])
