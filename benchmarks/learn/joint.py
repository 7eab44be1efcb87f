"""What an oral test and two clamps of the same people tell of typical values, all in one fit.

The people are the sixty of ``shared/data/ohashi2015`` whose clamps are there. Glucose of a clamp drives the
model (what was measured is the target); its insulin, its C-peptide and the glucose infused are fitted beside
the oral test. In the second clamp some were given more insulin than was stated, who is not published: a first
fit says how much more brings the insulin that was measured, and the second is given that (`doses`).
Parameters are those of the person: the two days are taken as one, so that what differs between days is in the
errors.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

import bayesglu
from bayesglu import ModelSpec, Study
from bayesglu.hierarchy.design import make_design
from bayesglu.hierarchy.posterior import individuals_of, population_of
from benchmarks.truth.pairs import DATA, clamped, insulin_given, two_clamps
from benchmarks.truth.predict import parameters_of, times_the_dose

INFUSION = "glucose_infusion"
CLAMP_ENDS = (
    90.0  # minutes: of the hyperglycaemic one, after which more insulin than stated was given to some
)


@dataclass(frozen=True)
class Learnt:
    """A Normal approximation of what is known of typical values together, on the scales of their priors:
    ``mean`` and ``covariance`` of the parameters ``names``; and of effects of groups, the median of each and
    the geometric SD."""

    names: tuple[str, ...]
    mean: np.ndarray
    covariance: np.ndarray
    effects: dict[str, dict[str, tuple[float, float]]]
    sigma: dict[str, float]


def both_days(subjects: slice = slice(None), times: Mapping[str, float] | None = None) -> Study:
    """The oral tests and the clamps, of some of the people in their order; with so many `times` the stated
    dose of insulin in the second clamp, by subject."""
    pair = clamped()
    people = pair.fitted.subjects[subjects]
    columns = ["subject", "occasion", "time", "analyte", "value", "unit"]
    oral = _table("observations.csv").assign(occasion="ogtt")
    clamp = pair.measured.rename(columns={"output": "analyte"})
    units = clamp.analyte.map({"insulin": "pmol/L", INFUSION: "mg/kg/min"})
    peptide = _table("clamp_observations_half.csv")
    peptide = peptide[(peptide.analyte == "c_peptide") & ~peptide.time.isin(["0", "end"])]
    peptide = peptide.assign(time=peptide.time.astype(float), occasion="clamp")
    peptide = peptide[peptide.time <= CLAMP_ENDS]
    clamp = clamp.assign(occasion="clamp", unit=units)
    samples = pd.concat([table[columns] for table in (oral, clamp, peptide)])
    protocols = {(subject, "ogtt"): "ogtt(75)" for subject in people}
    times = times or {}
    protocols |= {(subject, "clamp"): two_clamps(subject, times.get(subject, 1.0)) for subject in people}
    about = pd.read_csv(DATA / "ohashi2015" / "subjects.csv", dtype={"subject": str})
    about = about[about.subject.isin(people)]
    return Study.from_table(
        samples[samples.subject.isin(people)],
        protocol=protocols,
        subjects=about[["subject", "bmi", "group"]],
        body_weight=dict(zip(about.subject, about.weight_kg, strict=True)),
        name="ohashi2015, both days",
    )


def doses(model: ModelSpec, random_seed: int = 1) -> dict[str, float]:
    """How many times the stated dose of insulin each of the people was given, by a fit with that dose."""
    study, given = both_days(), insulin_given()
    fit = _fit(model, study, random_seed).isel(draw=slice(None, None, 40))
    d = make_design(model, study)
    values, people = population_of(fit, d.individuals, d.analytes), d.individuals
    drawn = people.theta(values.typical, values.effect, individuals_of(fit, people), values.missing)
    weight = dict(zip(study.subjects, study.body_weight.values, strict=True))
    found = {}
    for t, (subject, occasion) in enumerate(people.occasions):
        if occasion == "clamp" and subject in given.insulin:
            own = parameters_of(people, drawn, t)
            found[subject] = times_the_dose(model, given, subject, own, float(weight[subject]))
    return found


def learn(model: ModelSpec, study: Study, random_seed: int = 1) -> Learnt:
    """Typical values and effects of groups of a model, from a study: by Laplace's method."""
    posterior, names, draws = _fit(model, study, random_seed), [], []
    for name, parameter in model.parameters.items():
        called = f"{name}_typical" if parameter.varies else name
        if called in posterior and parameter.typical.gsd:
            names.append(name)
            draws.append(parameter.to_scale(posterior[called].values.ravel()))
    effects: dict[str, dict[str, tuple[float, float]]] = {}
    for label in posterior.effect.values:
        own = np.log(posterior.covariate_effect.sel(effect=label).values)
        parameter, covariate = str(label).split(" by ")
        effects.setdefault(parameter, {})[covariate] = (
            float(np.exp(np.median(own))),
            float(np.exp(own.std())),
        )
    sigma = {str(v): float(posterior[v].median()) for v in posterior if str(v).startswith("sigma_")}
    return Learnt(tuple(names), np.mean(draws, axis=1), np.cov(draws), effects, sigma)


def _fit(model: ModelSpec, study: Study, random_seed: int) -> xr.Dataset:
    """Draws of the posterior."""
    told = {"method": "laplace", "draws": 4000, "random_seed": random_seed, "progressbar": False}
    return bayesglu.fit(model, study, **told).posterior.to_dataset()


def with_infusion(model: str) -> str:
    """A model file's text for a model in which the glucose infused is measured too."""
    return (
        f'title = "{model}, with the glucose infused"\ndescription = "See benchmarks/learn."\n'
        f'extends = "{model}"\n\n[analytes.{INFUSION}]\noutput = "{INFUSION}"\nunit = "mg/kg/min"\n'
        "sigma = { median = 0.15, gsd = 1.5 }\n\n"
    )


def _table(name: str) -> pd.DataFrame:
    table = pd.read_csv(DATA / "ohashi2015" / name, dtype={"subject": str})
    return table.rename(columns={"time_min": "time"}).dropna(subset="value")
