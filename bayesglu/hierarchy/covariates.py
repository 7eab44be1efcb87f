"""Which covariate effects act in a study, and how often each applies to whom."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr

from bayesglu.errors import warn_caller
from bayesglu.hierarchy.names import occasion
from bayesglu.spec.model import ModelSpec
from bayesglu.spec.priors import Effect, Parameter
from bayesglu.study.study import Study, StudyError, StudyWarning
from bayesglu.text.problems import Problems, nearest
from bayesglu.text.wording import some

SPELLINGS = [
    line.split()
    for line in """
    t2d t2dm dm2 t2 dmii dmtype2 typeii diabetes2 diabetic diabetes dm niddm diabetesmellitus type2
    t1d t1dm dm1 t1 dmi dmtype1 typei diabetes1 iddm type1
    igt prediabetes prediabetic impaired igr ifg impairedglucosetolerance
    ngt normal healthy control controls nondiabetic normoglycaemic normalglucosetolerance
    f female woman women w females girl
    m male man men males boy
    """.strip().splitlines()
]
"""Levels as they are written, without signs; the last of a line may have more behind it."""

_TYPE = re.compile(
    r"(?<![a-z])(?:t[iy]p[eo]?|dm|diab\w*)\W*(?:mellitus\W*)?"
    r"(?:(?:de )?t[iy]p[eo]?\W*)?(1|2|i|ii)(?![a-z\d])",
    re.IGNORECASE,
)
"""Which type a diabetes is, in several languages: ``Typ 2``, ``diabetes mellitus type II``."""

WITHOUT = frozenset({*SPELLINGS[3], "none", "no", "reference", "placebo"})
"""Levels that are a reference, of which no model has an effect."""

OF_DOSES = frozenset({"weight", "body_weight"})
"""Covariates that doses are counted by, which no effect has to be of."""


class Acting(NamedTuple):
    """An effect that acts: which estimated parameter it multiplies, under which key of the model file."""

    parameter: str
    key: str
    effect: Effect


def acting_effects(
    parameters: Iterable[Parameter], covariates: xr.Dataset, of_occasions: xr.Dataset | None = None
) -> tuple[Acting, ...]:
    """The effects of which anyone's covariate is known and, for a level, at which anyone is.

    of_occasions : covariates by occasion, those that differ.
    """
    return tuple(
        Acting(parameter.name, key, effect)
        for parameter in parameters
        for key, effect in parameter.effects.items()
        if _acts(effect, covariates, of_occasions)
    )


def standardized(acting: Sequence[Acting], covariates: xr.Dataset, subjects: Sequence[str]) -> np.ndarray:
    """Standardized covariates ``(subject, effect)`` of people with these labels; of those who lack one NaN,
    or 0 of a level."""
    of_each = [covariates[a.effect.covariate].sel(subject=list(subjects)).values for a in acting]
    found = [
        [a.effect.standardized(value) for value in values] for a, values in zip(acting, of_each, strict=True)
    ]
    return np.array(found, float).reshape(len(acting), len(subjects)).T.copy()


def within_people(
    acting: Sequence[Acting],
    covariates: xr.Dataset,
    of_occasions: xr.Dataset | None,
    occasions: Sequence[tuple[str, str]],
) -> np.ndarray:
    """By how much the standardized covariates ``(occasion, effect)`` of occasions (subject, name) differ from
    those of the person; not at all where these are missing."""
    found = np.zeros((len(occasions), len(acting)))
    if of_occasions is None:
        return found
    here = of_occasions.sel(occasion=[occasion(*each) for each in occasions])
    known = [e for e, a in enumerate(acting) if a.effect.covariate in here]
    own = standardized([acting[e] for e in known], covariates, [subject for subject, _ in occasions])
    for column, e in enumerate(known):
        values = here[acting[e].effect.covariate].values
        found[:, e] = [acting[e].effect.standardized(value) for value in values] - own[:, column]
    return np.nan_to_num(found)


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


def lacking(covariates: xr.Dataset, name: str) -> list[str]:
    """People whose covariate is missing."""
    missing = covariates[name].isnull() | (covariates[name] == "")
    return [str(s) for s, absent in zip(covariates.subject.values, missing.values, strict=True) if absent]


def _acts(effect: Effect, covariates: xr.Dataset, of_occasions: xr.Dataset | None) -> bool:
    name = effect.covariate
    if name not in covariates or len(lacking(covariates, name)) == covariates.sizes["subject"]:
        return False
    return effect.form != "level" or any(
        map(effect.standardized, _everywhere(name, covariates, of_occasions))
    )


def _everywhere(name: str, covariates: xr.Dataset, of_occasions: xr.Dataset | None) -> np.ndarray:
    """Values of a covariate, of people and of occasions."""
    more = [] if of_occasions is None or name not in of_occasions else [of_occasions[name].values]
    return np.concatenate([covariates[name].values, *more])


def check_gaps(study: Study, parameters: Sequence[Parameter]) -> None:
    """Raise StudyError where some people lack a level that acts on what all share: their samples would have
    to be predicted once for each level."""
    problems = Problems(f"study '{study.name}'")
    shared = [p for p in parameters if not p.varies]
    for covariate in dict.fromkeys(a.effect.covariate for a in acting_effects(shared, study.covariates)):
        without = lacking(study.covariates, covariate)
        on = {a.parameter for a in _levels_of(covariate, acting_effects(shared, study.covariates))}
        if without and on:
            problems.add(
                f"{covariate} is missing for {some(without)}, and acts on {some(sorted(on))}, which people "
                "share. What a level does to such a parameter can be learnt only from people whose level is "
                "known: fill it in, fit without them (study.select(subjects=[...])), or let the parameter "
                'differ between people (level = "subject").'
            )
    problems.raise_any(StudyError)


def _levels_of(covariate: str, acting: Iterable[Acting]) -> list[Acting]:
    return [a for a in acting if a.effect.covariate == covariate and a.effect.form == "level"]


def warn_of_gaps(study: Study, parameters: Iterable[Parameter]) -> None:
    """Say which covariates that act some people lack, and what becomes of them."""
    acting: dict[str, list[str]] = {}
    for parameter in parameters:
        for covariate in dict.fromkeys(e.covariate for e in parameter.effects.values()):
            acting.setdefault(covariate, []).append(parameter.name)
    people = len(study.subjects)
    for covariate, names in acting.items():
        without = lacking(study.covariates, covariate) if covariate in study.covariates else []
        if len(without) == people:
            warn_caller(
                f"{covariate} is missing for everyone: its effect on {some(names)} is left out, and "
                "population estimates are of people like these.",
                StudyWarning,
            )
        elif without:
            warn_caller(
                f"{covariate} is missing for {some(without)} ({len(without)} of {people} people): it is "
                "estimated with the rest, from those of whom it is known and by its effect on "
                f"{some(names)}.",
                StudyWarning,
            )


def warn_of_unknown_levels(spec: ModelSpec, study: Study, parameters: Iterable[Parameter]) -> None:
    """Say which people are at a level that the model does not know but that looks like one it knows; and
    where no level is one that it knows."""
    levels: dict[str, list[Effect]] = {}
    for effect in (e for parameter in parameters for e in parameter.effects.values()):
        if effect.form == "level" and effect.covariate in study.covariates:
            levels.setdefault(effect.covariate, []).append(effect)
    for covariate, effects in levels.items():
        known = dict.fromkeys(str(e.reference) for e in effects)
        values = known_levels(_everywhere(covariate, study.covariates, study.occasion_covariates))
        there = list(map(level_name, values))
        unknown = [level_name(v) for v in values if not any(e.standardized(v) for e in effects)]
        warned = False
        for found in unknown:
            meant = [k for k in known if _alike(found, k)]
            if meant:
                warned = True
                warn_caller(
                    f"The {covariate} '{found}' is none that the model '{spec.name}' knows "
                    f"({', '.join(known)}), so no effect acts on these people. If '{meant[0]}' is meant, "
                    f"write it so in subjects.csv, or say so under [legend.{covariate}] in the datasheet.",
                    StudyWarning,
                )
        if there and unknown == there and not warned and not any(_bare(level) in WITHOUT for level in there):
            warn_caller(
                f"No {covariate} of the study ({some(there)}) is one that the model '{spec.name}' knows "
                f"({', '.join(known)}), so no effect of it acts on anyone. If some are meant, say which "
                f"under [legend.{covariate}] in the datasheet: {there[0]!r} = one of these.",
                StudyWarning,
            )


def warn_of_unused(spec: ModelSpec, study: Study, parameters: Iterable[Parameter]) -> None:
    """Say which covariates no effect of the model is of."""
    asked = {e.covariate for parameter in parameters for e in parameter.effects.values()}
    unused = [str(name) for name in study.covariates if name not in asked | OF_DOSES]
    if unused:
        has = f"it has effects of {some(sorted(asked))}" if asked else "it has none"
        warn_caller(
            f"No effect of the model '{spec.name}' is of {some(unused)}; {has}.{_meant(unused, asked)}",
            StudyWarning,
        )


def _meant(unused: Sequence[str], asked: Iterable[str]) -> str:
    """Which unused covariate is probably one that is asked for."""
    near = {name: nearest(name, set(asked)) for name in unused}
    return "".join(f" Is {name!r} {other!r}?" for name, other in near.items() if other)


def known_levels(values: np.ndarray) -> list:
    """Every level that someone is at, once."""
    return [v for v in dict.fromkeys(values.tolist()) if v == v and v != ""]


def level_name(value) -> str:
    """A level as text: of a column of codes, whole numbers."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _bare(level: str) -> str:
    return "".join(filter(str.isalnum, level)).lower()


def _alike(found: str, known: str) -> bool:
    """Whether one begins as the other does, but for case and signs, or is a usual spelling of it: ``t2d``,
    ``T2D-insulin``, ``T2``, ``Type 2 diabetes``."""
    a, b = _bare(found), _bare(known)
    if (type_of := _TYPE.search(found.replace("_", " "))) and b in SPELLINGS[0] + SPELLINGS[1]:
        return b in SPELLINGS[type_of[1].lower() in ("1", "i")]
    if any(b in words and (a in words or a.startswith(words[-1])) for words in SPELLINGS):
        return True
    return len(a) > 1 and (a.startswith(b) or b.startswith(a))
