"""People drawn from the priors, and the slow obvious way to solve: one person on plain floats, with SciPy."""

import math
from collections.abc import Mapping
from functools import cache
from inspect import signature

import numpy as np
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from bayesglu.physiology.choices import INPUTS
from bayesglu.physiology.loop import Loop, assemble
from bayesglu.protocols.protocol import Protocol
from bayesglu.protocols.schedule import AMOUNT_CHANNELS, CLAMP_LEAD
from bayesglu.solver.symbolic import System, system
from bayesglu.spec.model import ModelSpec, load_model

WEIGHT = 70.0


def person(spec: ModelSpec, scores: Mapping[str, float]) -> dict[str, float]:
    """Parameters of the loop; each learnt one is `scores` SDs of new people from its median."""
    values = {}
    for name in assemble(spec.structure).parameters:
        p = spec.parameters[name]
        omega = p.between_subject.omega if p.between_subject else 0.0
        values[name] = p.from_scale(p.location + scores.get(name, 0.0) * math.hypot(p.typical.sd, omega))
    return values


def people(spec: ModelSpec, within: float = 2.5) -> st.SearchStrategy[dict[str, float]]:
    """New people drawn from the priors of a model, no parameter more than `within` SDs from its median."""
    learnt = [name for name in assemble(spec.structure).parameters if spec.parameters[name].typical.gsd]
    scores = st.lists(st.floats(-within, within), min_size=len(learnt), max_size=len(learnt))
    return scores.map(lambda drawn: person(spec, dict(zip(learnt, drawn, strict=True))))


FEEDBACK = load_model("feedback")
TYPICAL = person(FEEDBACK, {})
WHOLE = {**FEEDBACK.structure, "glucose_clamp": "infusion", "mass_balance": "tracked"}


def crowd(n: int, within: float = 2.5, seed: int = 1) -> list[dict[str, float]]:
    """Many people drawn from the priors of the whole loop."""
    scores = np.random.default_rng(seed).normal(size=(n, len(TYPICAL))).clip(-within, within)
    return [person(FEEDBACK, dict(zip(TYPICAL, row, strict=True))) for row in scores]


@cache
def whole_system(glycogen: str = "free") -> System:
    """The whole loop with every input and every output: one compilation serves all protocols."""
    structure = {**WHOLE, "glycogen": glycogen}
    body = assemble(structure)
    channels = [name for name in INPUTS if name != "insulin_level"]
    return system(structure, (*body.states, *body.fluxes), channels, AMOUNT_CHANNELS)


class Body:
    """A loop with one person's parameters; what depends on them alone is computed once."""

    def __init__(self, loop: Loop, parameters: Mapping[str, float], hold=()):
        self.loop, self.basal, self.hold = loop, loop.basal(parameters), frozenset(hold)
        constant = loop.constant_quantities
        moving = [(name, f) for name, f in loop.quantities.items() if name not in constant]
        self.steps = [(name, f, list(signature(f).parameters)) for name, f in moving]

    def everything(self, y, inputs: Mapping[str, float]) -> dict[str, float]:
        """Every quantity by name for the states `y`, in the order of the loop, and the `inputs`."""
        pool = {**self.basal, **dict(zip(self.loop.states, y, strict=True))}
        pool |= {f"{name}_input": value for name, value in {**INPUTS, **inputs}.items()}
        for name, function, arguments in self.steps:
            pool[name] = function(**{a: pool[a] for a in arguments if a in pool})
        return pool

    def with_changes(self, y, inputs: Mapping[str, float]) -> list[float]:
        """Change per minute of each state."""
        pool = self.everything(y, inputs)
        return [0.0 if name in self.hold else pool[s.rate] for name, s in self.loop.states.items()]


def inputs_at(t: float, interval: tuple[float, float], deliveries, forcing=None) -> dict[str, float]:
    """What acts at time `t` of an interval in which nothing begins or ends."""
    begins, ends = interval
    acting = {}
    for d in deliveries:
        if d.kind == "infusion" and d.time <= begins and ends <= d.stop:
            acting[d.channel] = acting.get(d.channel, 0.0) + d.amount / (d.stop - d.time)
        elif d.kind == "release" and d.time <= begins:
            released = d.amount * d.absorption_rate * math.exp(-d.absorption_rate * (t - d.time))
            acting[d.channel] = acting.get(d.channel, 0.0) + released
        elif d.kind == "clamp" and d.time <= begins and ends <= d.stop:
            final = d.target if d.final_target is None else d.final_target
            slope = (final - d.target) / (d.stop - d.time)
            acting |= {"clamp": 1.0, "clamp_target": d.target + slope * (t - d.time + CLAMP_LEAD)}
        if d.channel == "stomach" and d.time <= begins:
            acting["emptying"] = d.emptying
    if forcing is not None:
        acting["insulin_level"] = float(np.interp(t, *forcing))
    return acting


def solve_slowly(
    structure: Mapping[str, str],
    parameters: Mapping[str, float],
    protocol: Protocol,
    times,
    outputs,
    hold=(),
    forcing=None,
    rtol: float = 1e-10,
) -> np.ndarray:
    """Outputs ``(time, output)`` by SciPy's DOP853, restarted at each event; samples come before boluses."""
    deliveries = protocol.canonical(WEIGHT)
    if any(d.kind == "clamp" for d in deliveries):
        structure = {**structure, "glucose_clamp": "infusion"}
    loop = assemble(structure)
    body = Body(loop, parameters, hold)
    state = loop.initial(parameters)
    moments = {*times, *(d.time for d in deliveries), *(d.stop for d in deliveries if d.kind != "release")}
    moments |= set() if forcing is None else set(forcing[0])
    moments = sorted(t for t in moments if t <= times[-1])
    y, seen = np.array(list(state.values())), []
    scales = np.array([s.scale for s in loop.states.values()])
    for i, t in enumerate(moments):
        here = (t, moments[i + 1]) if i + 1 < len(moments) else (t, t)
        if t in times:
            # A rate that begins now is seen from now on; one that ends now is not.
            pool = body.everything(y, inputs_at(t, here, deliveries, forcing))
            seen.append([pool[name] for name in outputs])
        for d in deliveries:
            if d.kind == "bolus" and d.time == t:
                for place, state in enumerate(loop.states.values()):
                    if state.channel == d.channel and list(loop.states)[place] not in hold:
                        y[place] += d.amount / (body.basal[state.volume] if state.volume else 1.0)
        if here[0] < here[1]:
            y = solve_ivp(
                lambda t, y, here=here: body.with_changes(y, inputs_at(t, here, deliveries, forcing)),
                here,
                y,
                method="DOP853",
                rtol=rtol,
                atol=rtol * scales,
            ).y[:, -1]
    return np.array(seen)
