"""Small studies of simulated people, whose parameters are known, and the models that they are for."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated

import numpy as np
import pandas as pd

from bayesglu.analytes import register_analyte
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.values import Values
from bayesglu.physiology.parts import Part
from bayesglu.physiology.quantities import Glucose, GlucoseRate
from bayesglu.physiology.registry import register_part
from bayesglu.residuals import KINDS, residual
from bayesglu.spec.model import ModelSpec, load_model, read_model
from bayesglu.study.study import Study, StudyWarning, load_study
from bayesglu.units import canonical_unit

USUAL = {"glucose": 100.0, "insulin": 60.0, "c_peptide": 500.0, "glucagon": 100.0}
EVERY_RESIDUAL = [
    residual(name, nu)
    for name, kind in KINDS.items()
    for nu in ((None,) if kind.shape_above is None else (kind.shape_above + 2, 30.0))
]
ORAL_TIMES = (0, 20, 45, 90, 150)
INTRAVENOUS_TIMES = (0, 8, 12, 20, 30, 50, 80, 120, 160, 200)


@dataclass(frozen=True)
class Simulated:
    """A study, and the truth behind it."""

    design: Design
    values: Values
    theta: np.ndarray

    @property
    def study(self) -> Study:
        return self.design.study


def simulated(
    model: ModelSpec | str,
    people: int = 3,
    times=ORAL_TIMES,
    noise: float = 0.05,
    seed: int = 1,
    tests: Mapping[str, int] | None = None,
    covariates: Mapping[str, list] | None = None,
    limits: Mapping[str, tuple[float, float]] | None = None,
    correlation: float = 0.0,
    **settings,
) -> Simulated:
    """People whose typical values are at the medians of the priors, and who differ as the priors expect.

    noise : SD of the log residuals. tests : how many tests each person took, where not one. limits : of
    quantification of an analyte; of a sample beyond them no more is known. correlation : of the first two
    random effects that the model takes to be correlated. settings : of the solver.
    """
    spec, rng = load_model(model), np.random.default_rng(seed)
    forced = any(analyte.forcing for analyte in spec.analytes.values())
    labels = [chr(ord("A") + i) if i < 26 else f"person {i + 1}" for i in range(people)]
    table = pd.DataFrame(
        [
            (person, str(test + 1), time, analyte, _usual(spec, analyte, time), canonical_unit(analyte))
            for person in labels
            for test in range((tests or {}).get(person, 1))
            for analyte in spec.analytes
            for time in times
        ],
        columns=["subject", "occasion", "time", "analyte", "value", "unit"],
    )
    known = {
        "protocol": "ivgtt(0.3)" if forced else "ogtt(75)",
        "body_weight": 70.0,
        "name": f"{people} simulated people",
        "subjects": pd.DataFrame({"subject": labels, **(covariates or {})}) if covariates else None,
    }
    d = make_design(spec, Study.from_table(table, **known), **settings)
    people, truth = d.individuals, d.prior_medians
    spread = truth.omega[people.layout.component_varying]
    deviation = rng.normal(size=people.shape)
    if correlation:
        one, other = people.layout.correlated[:2]
        independent = np.sqrt(1 - correlation**2) * deviation[:, other]
        deviation[:, other] = correlation * deviation[:, one] + independent
    truth = truth._replace(individual=truth.individual + spread * deviation)
    error = np.exp(noise * rng.normal(size=d.n_obs))
    samples = d.rows.part(slice(d.n_obs))
    predicted, _ = d.predict(d.theta(truth))
    table.loc[d.obs, "value"] = predicted[: d.n_obs] * error - samples.offset
    table["censoring"] = "none"
    for analyte, (lower, upper) in (limits or {}).items():
        own = table["analyte"] == analyte
        table.loc[own & (table["value"] < lower), ["value", "censoring"]] = [lower, "left"]
        table.loc[own & (table["value"] > upper), ["value", "censoring"]] = [upper, "right"]
    study = Study.from_table(table, **known)
    return Simulated(make_design(spec, study, **settings), truth, d.theta(truth))


def _usual(spec: ModelSpec, analyte: str, time: float) -> float:
    """A likely value, to be replaced; the forcing function stays as it is here."""
    if not spec.analytes[analyte].forcing:
        return USUAL[analyte]
    if analyte != "insulin":
        return 50.0 * (10 < time < 100)
    return 60.0 + 600.0 * np.exp(-time / 15) * (time > 0)


def as_formed(model: str) -> ModelSpec:
    """A shipped model with fluxes as their forms say."""
    return load_model(model).with_changes({"discrepancy": "none"}, name=f"{model}_as_formed")


BASAL_PRODUCTION = """
[pseudo_observations.basal_glucose_production]
median = 2.1
cv = 0.12
source = ["katz1983"]
"""


def with_pseudo_observation(spec: ModelSpec) -> ModelSpec:
    """A model with what else could be known of everyone's basal state."""
    return load_model(f"{spec.text}\n{BASAL_PRODUCTION}")


def varied(model: str, level: str, *names: str) -> ModelSpec:
    """A shipped model with some of its parameters at another level."""
    return load_model(model).with_changes(parameters={name: {"level": level} for name in names})


def _measured_subject(**settings) -> Design:
    return make_design(load_model("minimal"), load_study("bergman1986"), **settings)


def _whole_loop(**settings) -> Design:
    independent = as_formed("feedback").with_changes(correlations={})
    return simulated(with_pseudo_observation(independent), **settings).design


def _covariates(**settings) -> Design:
    spec = load_model("minimal").with_changes(parameters={"mass_action_uptake": {"level": "shared"}})
    effect = {"form": "exponential", "reference": 23, "per": 5, "median": 0.9, "gsd": 1.2}
    spec = spec.with_changes(parameters={"mass_action_uptake": {"effects": {"bmi": effect}}})
    covariates = {"bmi": [21.0, 24.0, 29.0, 33.0], "group": ["NGT", "NGT", "IGT", "T2D"]}
    return simulated(spec, 4, INTRAVENOUS_TIMES, covariates=covariates, **settings).design


def _missing_covariates(**settings) -> Design:
    """Two numbers and two levels, each missing for some, of people who differ in correlated parameters and on
    two occasions; on one and on two scales."""
    names = ("insulin_sensitivity", "basal_insulin", "glucose_volume")
    spec = read_model(f"{load_model('minimal').text}[correlations]\nparameters = {list(names)}\n")
    rise = {"form": "exponential", "reference": 23, "per": 5, "median": 0.9, "gsd": 1.2}
    power = {"form": "power", "reference": 50, "per": 2, "median": 1.3, "gsd": 1.2}
    effects = {
        "mass_action_uptake": {"level": "shared", "effects": {"bmi": rise, "age": {**rise, "reference": 45}}},
        "insulin_action_rate": {
            "level": "occasion",
            "effects": {"age": power, "sex:F": {"median": 1.2, "gsd": 1.3}},
        },
        "glucose_volume": {"effects": {"sex:F": {"median": 1.2, "gsd": 1.3}}},
    }
    known = {
        "bmi": [21.0, np.nan, 24.0, 29.0, np.nan],
        "age": [31.0, np.nan, 62.0, 45.0, 58.0],
        "group": ["NGT", "", "IGT", "T2D", "NGT"],
        "sex": ["F", "", "M", "", "F"],
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* is missing for .*", StudyWarning)
        return simulated(
            spec.with_changes(parameters=effects), 5, (0, 8, 30, 80, 160), tests={"B": 2}, covariates=known,
            **settings,
        ).design  # fmt: skip


def _several_tests(**settings) -> Design:
    spec = varied("minimal", "occasion", "insulin_action_rate", "insulin_sensitivity")
    return simulated(spec, 3, INTRAVENOUS_TIMES, tests={"A": 2, "C": 2}, **settings).design


def _quantification_limits(**settings) -> Design:
    return simulated("minimal", 2, INTRAVENOUS_TIMES, limits={"glucose": (95.0, 210.0)}, **settings).design


def _everything_shared(**settings) -> Design:
    spec = varied("minimal", "shared", *load_model("minimal").varying)
    return simulated(spec, 2, INTRAVENOUS_TIMES, **settings).design


def _outliers(**settings) -> Design:
    spec = load_model("minimal").with_changes(analytes={"glucose": {"residual": "student", "nu": 4.0}})
    return simulated(spec, 2, INTRAVENOUS_TIMES, noise=0.2, **settings).design


def _correlated(**settings) -> Design:
    names = ("insulin_sensitivity", "insulin_action_rate", "glucose_volume")
    section = f"[correlations]\nparameters = {list(names)}\nlkj_eta = 2\n"
    section += '[correlations.priors.glucose_volume]\nwith = "insulin_sensitivity"\n'
    section += "mean = -0.5\nsd = 0.2\nsource = []\n"
    section += "[typical_correlations.insulin_sensitivity]\nglucose_volume = -0.8\nbasal_insulin = 0.3\n"
    spec = read_model(load_model("minimal").text + section)
    return simulated(spec, 5, INTRAVENOUS_TIMES, tests={"A": 2, "B": 2}, **settings).design


def _constant_error(**settings) -> Design:
    spec = load_model("minimal").with_changes(analytes={"glucose": {"error_offset": 40.0}})
    return simulated(spec, 2, INTRAVENOUS_TIMES, **settings).design


def _discrepancy(**settings) -> Design:
    return simulated("oral_cpeptide", 2, **settings).design


def _exercise(**settings) -> Design:
    return simulated(exercising(), 3, INTRAVENOUS_TIMES, **settings).design


Intensity = Annotated[float, "%"]


def exercise_uptake(
    exercise_intensity_input: Intensity, glucose: Glucose, exercise_gain: Annotated[float, "dL/kg/min/%"]
) -> GlucoseRate:
    """Glucose that working muscle takes up."""
    return exercise_gain * exercise_intensity_input * glucose


register_part(
    "exercise",
    "intensity",
    Part({"exercise_uptake": exercise_uptake}, takes={"exercise_uptake": "glucose_mass"}),
)
register_analyte("exercise_intensity", {"%": 1.0}, plausible=(0, 150))


def exercising() -> ModelSpec:
    """The intravenous model with muscle that works as hard as is measured, and not at all at rest."""
    gain = {"symbol": "g", "unit": "dL/kg/min/%", "level": "subject", "kind": "judgement", "source": []}
    gain |= {"typical": {"median": 3e-4, "gsd": 1.5}, "between_subject": {"cv": 0.3, "gsd": 1.4}}
    how = {"unit": "%", "sigma": {"median": 0.1, "gsd": 1.4}, "forcing": True}
    return load_model("ivgtt").with_changes(
        {"exercise": "intensity"}, {"exercise_gain": gain}, analytes={"exercise_intensity": how}
    )


REAL = "a real subject and measured insulin"
WHOLE = "the whole loop, an assay background and a pseudo-observation"
COVARIATES = "covariates"
SEVERAL_TESTS = "one or two tests a person, what is each one's own and what is so within people"
LIMITS = "samples beyond limits of quantification"
SHARED = "nothing differs between people"
OUTLIERS = "outliers"
CORRELATED = "correlated random effects, those of occasions within people, and typical values known jointly"
CONSTANT_ERROR = "an error with a constant part"
MISSING = "covariates that some people lack"
DISCREPANCY = "what the forms miss, a person's own and a test's"
EXERCISE = "measured exercise, without a value at rest"

CASES: Mapping[str, Callable[..., Design]] = {
    REAL: cache(_measured_subject),
    WHOLE: cache(_whole_loop),
    COVARIATES: cache(_covariates),
    SEVERAL_TESTS: cache(_several_tests),
    LIMITS: cache(_quantification_limits),
    SHARED: cache(_everything_shared),
    OUTLIERS: cache(_outliers),
    CORRELATED: cache(_correlated),
    CONSTANT_ERROR: cache(_constant_error),
    MISSING: cache(_missing_covariates),
    DISCREPANCY: cache(_discrepancy),
    EXERCISE: cache(_exercise),
}
