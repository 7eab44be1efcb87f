"""Hierarchical Bayesian modelling of how the pancreas and the liver hold blood glucose in balance.

Whatever is named here is loaded when it is first asked for, so ``import bayesglu`` takes no time and brings
in neither a sampler nor a plotting library.

>>> import bayesglu
>>> bayesglu.list_models()
('fasting', 'feedback', 'ivgtt', 'minimal', 'oral', 'oral_cpeptide')
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what an editor and a type checker see; the table below says the same to Python
    from bayesglu import plots
    from bayesglu.catalog import citation, list_models, list_studies
    from bayesglu.checks import FitWarning, check
    from bayesglu.facts import load_facts, validate
    from bayesglu.fasts import fasting_study, net_shares
    from bayesglu.held_out import coverage, leave_one_out
    from bayesglu.identify import identify
    from bayesglu.inference.build import build
    from bayesglu.inference.fit import fit, load, prior_predictive, save, with_data
    from bayesglu.protocols import (
        Protocol,
        clamp,
        fast,
        infusion,
        injection,
        isoglycaemic,
        ivgtt,
        meal,
        meal_day,
        ogtt,
        pancreatic_clamp,
        pump_stop,
        stepped_clamp,
    )
    from bayesglu.simulate import simulate
    from bayesglu.solver.solver import SolverError
    from bayesglu.spec import ModelSpec, SpecError, load_model
    from bayesglu.study import Study, StudyError, load_study
    from bayesglu.summaries import population, subjects
    from bayesglu.what_if import scale, set_to, shift, what_if

_HOMES = {
    "catalog": ("citation", "list_models", "list_studies"),
    "checks": ("FitWarning", "check"),
    "facts": ("load_facts", "validate"),
    "fasts": ("fasting_study", "net_shares"),
    "held_out": ("coverage", "leave_one_out"),
    "identify": ("identify",),
    "inference.build": ("build",),
    "inference.fit": ("fit", "load", "prior_predictive", "save", "with_data"),
    "protocols": (
        *("Protocol", "clamp", "fast", "infusion", "injection", "isoglycaemic", "ivgtt", "meal", "meal_day"),
        *("ogtt", "pancreatic_clamp", "pump_stop", "stepped_clamp"),
    ),
    "simulate": ("simulate",),
    "solver.solver": ("SolverError",),
    "spec": ("ModelSpec", "SpecError", "load_model"),
    "study": ("Study", "StudyError", "load_study"),
    "summaries": ("population", "subjects"),
    "what_if": ("scale", "set_to", "shift", "what_if"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "FitWarning",
    "ModelSpec",
    "Protocol",
    "SolverError",
    "SpecError",
    "Study",
    "StudyError",
    "build",
    "check",
    "citation",
    "clamp",
    "coverage",
    "fast",
    "fasting_study",
    "fit",
    "identify",
    "infusion",
    "injection",
    "isoglycaemic",
    "ivgtt",
    "leave_one_out",
    "list_models",
    "list_studies",
    "load",
    "load_facts",
    "load_model",
    "load_study",
    "meal",
    "meal_day",
    "net_shares",
    "ogtt",
    "pancreatic_clamp",
    "plots",
    "population",
    "prior_predictive",
    "pump_stop",
    "save",
    "scale",
    "set_to",
    "shift",
    "simulate",
    "stepped_clamp",
    "subjects",
    "validate",
    "what_if",
    "with_data",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        found: Any = version("bayesglu")
    elif name == "plots":
        found = import_module("bayesglu.plots")
    elif name in _HOME_OF:
        found = getattr(import_module(f"bayesglu.{_HOME_OF[name]}"), name)
    else:
        raise AttributeError(f"module 'bayesglu' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Package(ModuleType):
    """Keeps the functions `simulate` and `what_if` from being hidden by the modules in which they live.

    To import a module sets it as an attribute of its package. Where a public function has the name of its
    module, the name here is the function's, whichever is asked for first.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME_OF and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
