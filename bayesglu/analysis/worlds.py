"""Scenarios made ready: everyone's parameters and protocol, and where states begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from bayesglu.analysis.changes import Change
from bayesglu.analysis.cohort import Cohort, check_covariates, followed_by
from bayesglu.analysis.scenarios import OWN, SWITCHES, Scenario
from bayesglu.analysis.simulation import check_names
from bayesglu.errors import BayesgluWarning, InputError, warn_caller
from bayesglu.physiology.loop import assemble
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol
from bayesglu.spec.model import ModelSpec
from bayesglu.text.problems import is_number, show

SLIP = 10.0
"""So many SDs of its prior from the median, a value that a parameter is set to is probably a slip."""


@dataclass(frozen=True, eq=False)
class World:
    """A scenario made ready: everyone's parameters and protocol, and where states begin."""

    protocols: Mapping[str, Protocol]
    parameters: Mapping[str, xr.DataArray]
    start: Mapping[str, Any]


def make_world(cohort: Cohort, scenario: Scenario, done: Mapping[str, Protocol], known: xr.Dataset) -> World:
    """A scenario made ready: what is done to each, and which covariates the study knows.

    Raises InputError; warns of slips, and of effects that the study does not speak of.
    """
    spec = cohort.spec
    loop = assemble(spec.structure)
    effects = {e.covariate for p in spec.parameters.values() for e in p.effects.values()}
    check_names("parameter or covariate", scenario.change, {*loop.parameters, *effects, *map(str, known)})
    of_people = {n: how for n, how in scenario.change.items() if n not in loop.parameters}
    check_covariates(spec, known, of_people)
    if without := [name for name in of_people if name not in effects]:
        raise InputError(
            f"No effect of the model '{spec.name}' is of {', '.join(without)}: nothing would change."
        )
    people = cohort.changed(of_people) if of_people else cohort
    parameters = dict(people.parameters)
    for name in scenario.switches:
        switch = SWITCHES[name]
        off = [p for p in switch.parameters if p in loop.parameters]
        lacking = [s for s in switch.states if s not in loop.states]
        if switch.parameters and not off:
            lacking.append(" or ".join(switch.parameters))
        if lacking:
            raise InputError(
                f"{name}: the model '{spec.name}' has no {', '.join(lacking)} that could be switched off, "
                f"so that {switch.meaning} cannot be asked of it."
            )
        parameters |= {p: xr.DataArray(0.0) for p in off}
    changes = {n: how for n, how in scenario.change.items() if n in loop.parameters}
    start = {state: 0.0 for name in scenario.switches for state in SWITCHES[name].states}
    return World(done, _changed(spec, parameters, changes), start | dict(scenario.start))


def protocols_of(
    fit: xr.DataTree,
    scenarios: Mapping[str, Scenario],
    usual: Protocol | str | Mapping | None,
    labels: Sequence[str],
) -> dict[str, dict[str, Protocol]]:
    """What is done to each person in each scenario."""
    followed, found = followed_by(fit), {}
    own: dict[str, Protocol] = {}
    for (subject, _), each in reversed(followed.items()):
        own[subject] = each
    for name, scenario in scenarios.items():
        done = scenario.protocol if scenario.protocol is not None else usual
        if done is None:
            done = own if set(labels) <= own.keys() else _common(followed)
        if isinstance(done, str) and done == OWN:
            done = own
        if isinstance(done, Mapping):
            if lacking := [label for label in labels if label not in done]:
                raise InputError(f"{name}: there is no protocol for {', '.join(lacking[:10])}.")
            found[name] = {label: parse_protocol(done[label]) for label in labels}
        else:
            found[name] = dict.fromkeys(labels, parse_protocol(done))
    return found


def _common(followed: Mapping[tuple[str, str], Protocol]) -> Protocol:
    """The protocol of everyone in the study."""
    advice = "so name one: what_if(fit, protocol=ogtt(75), ...)."
    if not followed:
        raise InputError(f"The fit was saved without what each person was given, {advice}")
    different = set(followed.values())
    if len(different) != 1:
        raise InputError(
            f"People of the study had {len(different)} different protocols, {advice} protocol='own' does to "
            "each what was done then."
        )
    return different.pop()


def body_weights(cohort: Cohort, given: float | Mapping[str, float] | None) -> Any:
    """Body weights as they are asked for."""
    if given is None:
        return cohort.body_weight
    weights = given if isinstance(given, Mapping) else {"everyone": given}
    if wrong := [f"body_weight of {who} is {show(kg)}" for who, kg in weights.items() if not is_number(kg)]:
        raise InputError(f"{'; '.join(wrong[:10])}. Give numbers, in kg.")
    if not isinstance(given, Mapping):
        return float(given)
    by_label = {str(label): float(kg) for label, kg in given.items()}
    check_names("subject", by_label, cohort.labels)
    known = cohort.body_weight
    usual = np.broadcast_to(np.nan if known is None else np.asarray(known, float), len(cohort.labels))
    return xr.DataArray(
        [by_label.get(label, float(kg)) for label, kg in zip(cohort.labels, usual, strict=True)],
        {"subject": cohort.labels},
        ("subject",),
    )


def _changed(spec: ModelSpec, parameters: Mapping, change: Mapping[str, Change]) -> dict:
    changed = dict(parameters)
    for name, how in change.items():
        before = changed.get(name, xr.DataArray(spec.parameters[name].typical.median))
        after = how.apply(before)
        if not isinstance(after, xr.DataArray) or after.dtype.kind not in "iuf":
            raise InputError(f"{name} {how.words} does not make numbers of its draws.")
        if not bool(np.isfinite(after).all()) or bool((after < 0).any()):
            raise InputError(f"{name} {how.words} makes some values negative or not finite.")
        if spec.parameters[name].scale == "logit" and bool((after >= 1).any()):
            raise InputError(f"{name} {how.words} makes some values 1 or more; it is a fraction.")
        _warn_of_slips(spec, name, how)
        changed[name] = after
    return changed


def _warn_of_slips(spec: ModelSpec, name: str, how: Change) -> None:
    """Say where a parameter is set to what its prior leaves no room for: probably a factor is meant."""
    parameter = spec.parameters[name]
    if not isinstance(how.value, float) or how.value <= 0:
        return
    between = parameter.between_subject.omega if parameter.between_subject else 0.0
    sd = float(np.hypot(parameter.typical.sd, between))
    away = abs(float(parameter.to_scale(how.value)) - parameter.location) / sd if sd else 0.0
    if away > SLIP:
        warn_caller(
            f"{name} is set to {how.value:g} {parameter.unit}, {away:.0f} prior SDs from its median "
            f"{parameter.typical.median:g}. If a factor is meant, write scale({how.value:g}), on the command "
            f"line {name}=*{how.value:g}.",
            BayesgluWarning,
        )
