"""Hierarchical Bayesian modelling of how the pancreas and the liver hold blood glucose in balance.

Whatever is named here is loaded when it is first asked for, so ``import bayesglu`` takes no time and brings
in neither a sampler nor a plotting library.

>>> import bayesglu
>>> "minimal" in bayesglu.list_models()
True
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what an editor and a type checker see; the table below says the same to Python
    from bayesglu import plots
    from bayesglu.analysis.calibration import Calibration, calibrate
    from bayesglu.analysis.changes import scale, set_to, shift
    from bayesglu.analysis.checks import check
    from bayesglu.analysis.comparisons import comparisons, slopes
    from bayesglu.analysis.counterfactual import what_if
    from bayesglu.analysis.cross_validation import coverage, cross_validate, leave_one_out
    from bayesglu.analysis.effects import effects
    from bayesglu.analysis.eta import random_effects
    from bayesglu.analysis.identifiability import identify
    from bayesglu.analysis.indices import indices
    from bayesglu.analysis.individual_fits import individual_fits
    from bayesglu.analysis.learnt_prior import posterior_as_prior
    from bayesglu.analysis.log_likelihoods import join_log_likelihoods
    from bayesglu.analysis.many_people import fit_many
    from bayesglu.analysis.model_comparison import Comparison, compare
    from bayesglu.analysis.new_people import new_people
    from bayesglu.analysis.next_patient import fit_person
    from bayesglu.analysis.next_test import design
    from bayesglu.analysis.npde import npde
    from bayesglu.analysis.percentiles import percentiles
    from bayesglu.analysis.pit import pit
    from bayesglu.analysis.predictions import predictions
    from bayesglu.analysis.prior_sensitivity import prior_sensitivity
    from bayesglu.analysis.quantities import Quantity, in_units, quantities
    from bayesglu.analysis.ranking import ranking
    from bayesglu.analysis.sample_residuals import sample_residuals
    from bayesglu.analysis.scenarios import Scenario, grid, load_scenarios
    from bayesglu.analysis.simulated_study import simulate_study
    from bayesglu.analysis.simulation import simulate
    from bayesglu.analysis.summaries import (
        summarize_individuals,
        summarize_occasions,
        summarize_population,
    )
    from bayesglu.analysis.trials import dose_for, trial
    from bayesglu.analysis.two_stage import fit_two_stage
    from bayesglu.analysis.vpc import vpc
    from bayesglu.analytes import register_analyte
    from bayesglu.catalog import citation, list_models, list_studies
    from bayesglu.errors import BayesgluError, FitWarning, ModelWarning
    from bayesglu.inference.fit_files import load, save
    from bayesglu.inference.fitting import fit, prior_predictive, refit
    from bayesglu.inference.pymc_model import build
    from bayesglu.physiology.parts import Part, State
    from bayesglu.physiology.registry import get_part, list_parts, register_part
    from bayesglu.protocols.clamps import clamp, isoglycaemic, pancreatic_clamp, stepped_clamp
    from bayesglu.protocols.library import fast, infusion, injection, ivgtt, meal, meal_day, ogtt, pump_stop
    from bayesglu.protocols.protocol import Protocol
    from bayesglu.reporting.report import report
    from bayesglu.solver.solver import SolverError
    from bayesglu.spec.model import ModelSpec, SpecError, load_model
    from bayesglu.study.study import Study, StudyError, load_study
    from bayesglu.units import set_units
    from bayesglu.validation.facts import load_facts
    from bayesglu.validation.validate import validate

_HOMES = {
    "analytes": ("register_analyte",),
    "catalog": ("citation", "list_models", "list_studies"),
    "analysis.calibration": ("Calibration", "calibrate"),
    "analysis.checks": ("check",),
    "errors": ("BayesgluError", "FitWarning", "ModelWarning"),
    "validation.facts": ("load_facts",),
    "validation.validate": ("validate",),
    "analysis.cross_validation": ("coverage", "cross_validate", "leave_one_out"),
    "analysis.identifiability": ("identify",),
    "inference.pymc_model": ("build",),
    "physiology.registry": ("get_part", "list_parts", "register_part"),
    "physiology.parts": ("Part", "State"),
    "inference.fitting": ("fit", "prior_predictive", "refit"),
    "inference.fit_files": ("load", "save"),
    "protocols.clamps": ("clamp", "isoglycaemic", "pancreatic_clamp", "stepped_clamp"),
    "protocols.protocol": ("Protocol",),
    "protocols.library": ("fast", "infusion", "injection", "ivgtt", "meal", "meal_day", "ogtt", "pump_stop"),
    "analysis.indices": ("indices",),
    "analysis.learnt_prior": ("posterior_as_prior",),
    "analysis.log_likelihoods": ("join_log_likelihoods",),
    "analysis.many_people": ("fit_many",),
    "analysis.model_comparison": ("Comparison", "compare"),
    "analysis.next_patient": ("fit_person",),
    "analysis.next_test": ("design",),
    "analysis.percentiles": ("percentiles",),
    "analysis.pit": ("pit",),
    "analysis.vpc": ("vpc",),
    "analysis.npde": ("npde",),
    "analysis.sample_residuals": ("sample_residuals",),
    "analysis.eta": ("random_effects",),
    "analysis.individual_fits": ("individual_fits",),
    "analysis.prior_sensitivity": ("prior_sensitivity",),
    "analysis.ranking": ("ranking",),
    "analysis.simulated_study": ("simulate_study",),
    "analysis.simulation": ("simulate",),
    "reporting.report": ("report",),
    "solver.solver": ("SolverError",),
    "spec.model": ("ModelSpec", "SpecError", "load_model"),
    "study.study": ("Study", "StudyError", "load_study"),
    "analysis.summaries": ("summarize_individuals", "summarize_occasions", "summarize_population"),
    "analysis.changes": ("scale", "set_to", "shift"),
    "analysis.new_people": ("new_people",),
    "analysis.comparisons": ("comparisons", "slopes"),
    "analysis.counterfactual": ("what_if",),
    "analysis.effects": ("effects",),
    "analysis.predictions": ("predictions",),
    "analysis.trials": ("dose_for", "trial"),
    "analysis.two_stage": ("fit_two_stage",),
    "analysis.quantities": ("Quantity", "in_units", "quantities"),
    "analysis.scenarios": ("Scenario", "grid", "load_scenarios"),
    "units": ("set_units",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BayesgluError",
    "Calibration",
    "Comparison",
    "FitWarning",
    "ModelSpec",
    "ModelWarning",
    "Part",
    "Protocol",
    "Quantity",
    "Scenario",
    "SolverError",
    "SpecError",
    "State",
    "Study",
    "StudyError",
    "build",
    "calibrate",
    "check",
    "citation",
    "clamp",
    "compare",
    "comparisons",
    "coverage",
    "cross_validate",
    "design",
    "dose_for",
    "effects",
    "fast",
    "fit",
    "fit_many",
    "fit_person",
    "fit_two_stage",
    "get_part",
    "grid",
    "identify",
    "in_units",
    "indices",
    "individual_fits",
    "infusion",
    "injection",
    "isoglycaemic",
    "ivgtt",
    "join_log_likelihoods",
    "leave_one_out",
    "list_models",
    "list_parts",
    "list_studies",
    "load",
    "load_facts",
    "load_model",
    "load_scenarios",
    "load_study",
    "meal",
    "meal_day",
    "new_people",
    "npde",
    "ogtt",
    "pancreatic_clamp",
    "percentiles",
    "pit",
    "plots",
    "posterior_as_prior",
    "predictions",
    "prior_predictive",
    "prior_sensitivity",
    "pump_stop",
    "quantities",
    "random_effects",
    "ranking",
    "refit",
    "register_analyte",
    "register_part",
    "report",
    "sample_residuals",
    "save",
    "scale",
    "set_to",
    "set_units",
    "shift",
    "simulate",
    "simulate_study",
    "slopes",
    "stepped_clamp",
    "summarize_individuals",
    "summarize_occasions",
    "summarize_population",
    "trial",
    "validate",
    "vpc",
    "what_if",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        found: Any = version("bayesglu")
    elif name == "plots":
        found = import_module("bayesglu.plots")
    elif name in _HOME_OF:
        found = getattr(import_module(f"bayesglu.{_HOME_OF[name]}"), name)
    elif new := _renamed(name):
        return globals().get(new) or __getattr__(new)
    else:
        raise AttributeError(f"module 'bayesglu' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


def _renamed(name: str) -> str | None:
    """Today's name of what had another one; a warning says it."""
    from bayesglu.errors import RenamedWarning, warn_caller
    from bayesglu.renamed import FUNCTIONS

    if name in FUNCTIONS:
        warn_caller(f"bayesglu.{name} is now bayesglu.{FUNCTIONS[name]}.", RenamedWarning)
    return FUNCTIONS.get(name)
