"""Value and gradient of a weighted sum of outputs: ours, the limit in C, and our peers.

An oral glucose tolerance test of 48 people, 12 samples to 240 minutes. A time is that of one person on one
core; beside it stands how far value and gradient are from those at a tolerance of 1e-12. What compiles has
compiled. The models are those of benchmarks/models, which stay as they are, and one that ships.

First everybody has one tolerance. Then each has the loosest with which draws from about a posterior of twenty
synthetic people are weighted as evenly as `fit` asks for: a looser solve costs a sampler nothing but weights.
With today's model our frozen steps are those of `fit`.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module

import numpy as np

from bayesglu.inference import steps
from bayesglu.inference.steps import EVEN, LARGEST_K, efficiency
from bayesglu.pareto import smoothed
from bayesglu.solver.solver import SHARE_OF_A_STEP
from benchmarks import limit
from benchmarks.machine import stay_on_one_core
from benchmarks.people import posterior_of
from benchmarks.problem import THEN, Problem, problem
from benchmarks.report import show, write
from benchmarks.timing import Times, interleaved

COLUMNS = {
    "name": "solver",
    "people": "people",
    "tolerance": "tolerance",
    "k": "k",
    "efficiency": "efficiency",
    "processor_median": "us a person",
    "processor_minimum": "smallest",
    "ratio": "against the limit",
    "value_error": "value error",
    "gradient_error": "gradient error",
    "note": "note",
}
MICROSECOND = 1e-6
TOLERANCE = 1e-6
TOLERANCES = (1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
"""The loosest first."""
LIMIT, FROZEN, SCIPY = "limit in C", "bayesglu, frozen steps", "SciPy"
SAME_METHOD = {"ode_rk45": "diffrax", "ode_bdf": "CasADi", "ode_adjoint": "CasADi"}
"""Whose tolerance is given to Stan's solvers, which tell a gradient and no outputs: those of a peer with an
explicit method of fifth order, and of one with the same CVODES."""


def main(people: int = 48) -> None:
    """Every peer for the whole loop as it was; ours and the limit for a smaller model and for today's."""
    stay_on_one_core()
    rows, absent = [], {"PyMC's pm.ode": "one gradient of one person takes more than a minute to prepare"}
    for model, peers in ((THEN / "feedback.toml", True), (THEN / "oral_cpeptide.toml", False)):
        p, posterior = problem(model, people), posterior_of(model)
        weighed = loosest(p.of(posterior.theta.reshape(-1, p.theta.shape[1])), posterior, peers)
        for chosen in ({}, weighed):
            found, missing = measure(p, chosen, peers)
            rows += [{"model": f"narrow {model.stem}", "loosest": bool(chosen), **row} for row in found]
            told = "the loosest tolerances" if chosen else f"tolerance {TOLERANCE:g}"
            show(f"Value and gradient, narrow {model.stem}, {people} people, {told}", found, COLUMNS)
            absent |= missing
    usual = {FROZEN: {"tolerance": steps.TOLERANCES[0] * SHARE_OF_A_STEP}}
    found, _ = measure(problem("feedback", people), usual, peers=False)
    rows += [{"model": "feedback", "loosest": False, **row} for row in found]
    show(f"Value and gradient, feedback as shipped, {people} people", found, COLUMNS)
    for name, reason in absent.items():
        print(f"{name}: left out, {reason}")
    write("gradient", rows, people=people, tolerance=TOLERANCE, unit="microseconds a person", absent=absent)


def loosest(p: Problem, posterior, peers: bool) -> dict[str, dict]:
    """For each solver the loosest tolerance whose outputs leave draws all but equally weighted, and what
    their weights are then; the tightest of all where none does."""
    tight = posterior.log_likelihood(p.solver(tolerance=1e-10).outputs(p.theta)[0])
    found = {}
    for name, prepare, counted, _ in _solvers(peers):
        if name == SCIPY:
            continue
        for tolerance in TOLERANCES:
            settings = {"people": p.people} if counted else {}
            try:
                out, _ = prepare(replace(p, tolerance=tolerance), **settings)()
            except (ImportError, RuntimeError):
                continue
            log_ratio = tight - posterior.log_likelihood(out)
            if not np.isfinite(log_ratio).all():
                continue
            log_weight, k = smoothed(log_ratio)
            even = float(efficiency(log_weight))
            found[name] = {"tolerance": tolerance, "k": k if np.isfinite(k) else None, "efficiency": even}
            if k <= LARGEST_K and even >= EVEN:
                break
    return found


def measure(p: Problem, chosen: dict[str, dict], peers: bool) -> tuple[list[dict], dict[str, str]]:
    """A row for each solver, at the tolerance that is `chosen` for it, and why some are absent."""
    work, absent, facts = {}, {}, {}
    for name, prepare, counted, note in _solvers(peers):
        if chosen and name == SCIPY:  # has no gradient
            continue
        own = {"tolerance": p.tolerance} | chosen.get(name, {})
        try:
            began = time.perf_counter()
            call = prepare(replace(p, tolerance=own["tolerance"]))
            call()
            work[name] = call, counted or p.people
            facts[name] = {**own, "note": note, "first_call_seconds": time.perf_counter() - began}
        except (ImportError, RuntimeError, FileNotFoundError) as reason:
            absent[name] = str(reason)
    times = interleaved({name: call for name, (call, _) in work.items()})
    rows = []
    for name, (call, counted) in work.items():
        rows.append(_row(p, name, times[name], counted, *call()) | facts[name])
    if peers:
        more, missing = _stan(p, chosen)
        rows, absent = rows + more, absent | missing
    unit = next(row["processor_median"] for row in rows if row["name"] == LIMIT)
    for row in rows:
        row["ratio"] = row["processor_median"] / unit
    return rows, absent


def _row(p: Problem, name: str, times: Times, counted: int, out, gradient) -> dict:
    errors = p.errors(out, gradient)
    return {"name": name, "people": counted, **times.summary(MICROSECOND * counted), **errors}


def _solvers(peers: bool) -> list[tuple[str, Callable, int, str]]:
    """Name, how to prepare it, how many people it solves (0: all), and a note."""
    chosen = [
        ("bayesglu", lambda p: ours(p, 8), 0, "8 lanes"),
        (FROZEN, lambda p: called(p.frozen(), p), 0, "8 lanes"),
        ("bayesglu, scalar", lambda p: ours(p, 1), 0, "1 lane"),
        (LIMIT, _limit, 0, f"8 lanes, gcc {' '.join(limit.FLAGS[:3])}"),
    ]
    if peers:
        chosen += [
            ("diffrax", _peer("diffrax"), 0, "Tsit5, vmap, as many checkpoints as steps"),
            ("CasADi", _peer("casadi"), 8, "CVODES and its adjoint"),
            (SCIPY, _peer("scipy"), 4, "RK45 in Python, no gradient"),
        ]
    return chosen


def ours(p: Problem, lanes: int) -> Callable:
    """Our own value and gradient."""
    return called(p.solver(lanes), p)


def called(solver, p: Problem) -> Callable:
    """Value and gradient of a problem by one of our solvers."""

    def call():
        out, pull = solver.outputs_and_pull(p.theta)
        return out, pull(p.weights)

    return call


def _limit(p: Problem) -> Callable:
    made = limit.Limit(p)
    return lambda: made(p.theta)


def _peer(name: str) -> Callable:
    return lambda p, **settings: import_module(f"benchmarks.peer_{name}").prepare(p, **settings)


def _stan(p: Problem, chosen: dict[str, dict], people: int = 8) -> tuple[list[dict], dict[str, str]]:
    from benchmarks import peer_stan

    rows, absent = [], {}
    for solver in peer_stan.SOLVERS:
        tolerance = chosen.get(SAME_METHOD[solver], {}).get("tolerance", p.tolerance)
        try:
            times, gradient = peer_stan.measure(replace(p, tolerance=tolerance), solver, people)
        except RuntimeError as reason:
            absent[f"Stan, {solver}"] = str(reason)
            continue
        row = _row(p, f"Stan, {solver}", Times(**times), people, None, gradient)
        rows.append(row | {"tolerance": tolerance, "note": "not interleaved"})
    return rows, absent
