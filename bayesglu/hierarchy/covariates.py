"""Which covariate effects act in a study, and how often each applies to whom."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from bayesglu.errors import warn_caller
from bayesglu.spec.model import ModelSpec
from bayesglu.spec.priors import Effect, Parameter
from bayesglu.study.study import Study, StudyWarning
from bayesglu.text.wording import some


class Acting(NamedTuple):
    """An effect that acts: which estimated parameter it multiplies, under which key of the model file."""

    parameter: str
    key: str
    effect: Effect


def acting_effects(parameters: Iterable[Parameter], covariates: xr.Dataset) -> tuple[Acting, ...]:
    """The effects of which everyone's covariate is known and, for a level, at which anyone is."""
    return tuple(
        Acting(parameter.name, key, effect)
        for parameter in parameters
        for key, effect in parameter.effects.items()
        if _acts(effect, covariates)
    )


def standardized(acting: Sequence[Acting], covariates: xr.Dataset, subjects: Sequence[str]) -> np.ndarray:
    """Standardized covariates ``(subject, effect)`` of people with these labels."""
    of_each = [covariates[a.effect.covariate].sel(subject=list(subjects)).values for a in acting]
    found = [
        [a.effect.standardized(value) for value in values] for a, values in zip(acting, of_each, strict=True)
    ]
    return np.array(found, float).reshape(len(acting), len(subjects)).T.copy()


def typical_of(parameter: Parameter, value, covariates):
    """A typical value for people with these covariates: every effect that they name, at its prior median.

    value : on the parameter's scale. covariates : name -> number or level.
    """
    logs = [
        np.log(effect.median) * effect.standardized(covariates[effect.covariate])
        for effect in parameter.effects.values()
        if effect.covariate in covariates
    ]
    return value + sum(logs)


def _acts(effect: Effect, covariates: xr.Dataset) -> bool:
    if effect.covariate not in covariates or _without(covariates, effect.covariate):
        return False
    return effect.form != "level" or any(map(effect.standardized, covariates[effect.covariate].values))


def _without(covariates: xr.Dataset, name: str) -> list[str]:
    """People whose covariate is missing."""
    missing = covariates[name].isnull() | (covariates[name] == "")
    return [str(s) for s, absent in zip(covariates.subject.values, missing.values, strict=True) if absent]


def warn_of_gaps(spec: ModelSpec, study: Study, parameters: Iterable[Parameter]) -> None:
    """Say which covariates are left out since some people lack them, and how to keep them."""
    acting: dict[str, list[str]] = {}
    for parameter in parameters:
        for covariate in dict.fromkeys(e.covariate for e in parameter.effects.values()):
            acting.setdefault(covariate, []).append(parameter.name)
    for covariate, names in acting.items():
        if covariate in study.covariates and (without := _without(study.covariates, covariate)):
            people = f"subject{'s' * (len(without) > 1)} {some(without)}"
            warn_caller(
                f"The covariate '{covariate}' is missing for {people}, so that its effect on "
                f"{', '.join(names)} is left out for everyone. To keep it, fill the gap, or fit without "
                f"{'them' if len(without) > 1 else 'this person'}: study.select(subjects=[...]).",
                StudyWarning,
            )


def warn_of_near_levels(spec: ModelSpec, study: Study, parameters: Iterable[Parameter]) -> None:
    """Say which people are at a level that the model does not know but that looks like one it knows."""
    levels: dict[str, list[Effect]] = {}
    for effect in (e for parameter in parameters for e in parameter.effects.values()):
        if effect.form == "level" and effect.covariate in study.covariates:
            levels.setdefault(effect.covariate, []).append(effect)
    for covariate, effects in levels.items():
        known = dict.fromkeys(str(e.reference) for e in effects)
        for found in dict.fromkeys(study.covariates[covariate].values):
            meant = [k for k in known if _alike(str(found), k)]
            if meant and not any(e.standardized(found) for e in effects):
                warn_caller(
                    f"The {covariate} '{found}' is none that the model '{spec.name}' knows "
                    f"({', '.join(known)}), so no effect acts on these people. If '{meant[0]}' is meant, "
                    "write it so in subjects.csv.",
                    StudyWarning,
                )


def _alike(found: str, known: str) -> bool:
    """Whether one begins as the other does, but for case and signs: ``t2d``, ``T2D-insulin``, ``T2``."""
    a, b = ("".join(filter(str.isalnum, name)).lower() for name in (found, known))
    return len(a) > 1 and (a.startswith(b) or b.startswith(a))
