"""Value and gradient of a weighted sum of outputs: ours, the limit in C, and our peers.

An oral glucose tolerance test of 48 people, 12 samples to 240 minutes. A time is that of one person on one
core; beside it stands how far value and gradient are from those at a tolerance of 1e-12. What compiles has
compiled.
"""

import time
from collections.abc import Callable
from importlib import import_module

from benchmarks import limit
from benchmarks.machine import stay_on_one_core
from benchmarks.problem import Problem, problem
from benchmarks.report import show, write
from benchmarks.timing import Times, interleaved

COLUMNS = {
    "name": "solver",
    "people": "people",
    "processor_median": "us a person",
    "processor_minimum": "smallest",
    "ratio": "against ours",
    "value_error": "value error",
    "gradient_error": "gradient error",
    "gradient_error_worst": "worst person",
    "note": "note",
}
MICROSECOND = 1e-6


def main(models=("feedback", "oral_cpeptide"), people: int = 48, peers: bool = True) -> None:
    """Run for the whole loop with every peer, for the smaller one with ours and the limit."""
    stay_on_one_core()
    rows, absent = [], {"PyMC's pm.ode": "one gradient of one person takes more than a minute to prepare"}
    for model in models:
        found, missing = measure(problem(model, people), peers and model == models[0])
        rows += [{"model": model, **row} for row in found]
        absent |= missing
        show(f"Value and gradient, {model}, {people} people, tolerance 1e-6", found, COLUMNS)
    for name, reason in absent.items():
        print(f"{name}: left out, {reason}")
    write("gradient", rows, people=people, tolerance=1e-6, unit="microseconds a person", absent=absent)


def measure(p: Problem, peers: bool) -> tuple[list[dict], dict[str, str]]:
    """A row for each solver, and why some are absent."""
    work, absent, notes = {}, {}, {}
    for name, prepare, counted, note in _solvers(peers):
        try:
            began = time.perf_counter()
            work[name] = prepare(p), counted or p.people
            work[name][0]()
            notes[name] = {"note": note, "first_call_seconds": time.perf_counter() - began}
        except (ImportError, RuntimeError, FileNotFoundError) as reason:
            work.pop(name, None)
            absent[name] = str(reason)
    times = interleaved({name: call for name, (call, _) in work.items()})
    rows = []
    for name, (call, counted) in work.items():
        rows.append(_row(p, name, times[name], counted, *call()) | notes[name])
    if peers:
        more, missing = _stan(p)
        rows, absent = rows + more, absent | missing
    for row in rows:
        row["ratio"] = row["processor_median"] / rows[0]["processor_median"]
    return rows, absent


def _row(p: Problem, name: str, times: Times, counted: int, out, gradient) -> dict:
    errors = p.errors(out, gradient)
    return {"name": name, "people": counted, **times.summary(MICROSECOND * counted), **errors}


def _solvers(peers: bool) -> list[tuple[str, Callable, int, str]]:
    """Name, how to prepare it, how many people it solves (0: all), and a note."""
    chosen = [
        ("bayesglu", lambda p: ours(p, 8), 0, "8 lanes"),
        ("bayesglu, scalar", lambda p: ours(p, 1), 0, "1 lane"),
        ("limit in C", _limit, 0, f"8 lanes, gcc {' '.join(limit.FLAGS[:3])}"),
    ]
    if peers:
        chosen += [
            ("diffrax", _peer("diffrax"), 0, "Tsit5, vmap, as many checkpoints as steps"),
            ("CasADi", _peer("casadi"), 8, "CVODES and its adjoint"),
            ("SciPy", _peer("scipy"), 4, "RK45 in Python, no gradient"),
        ]
    return chosen


def ours(p: Problem, lanes: int) -> Callable:
    """Our own value and gradient."""
    solver = p.solver(lanes)

    def call():
        out, pull = solver.outputs_and_pull(p.theta)
        return out, pull(p.weights)

    return call


def _limit(p: Problem) -> Callable:
    made = limit.Limit(p)
    return lambda: made(p.theta)


def _peer(name: str) -> Callable:
    return lambda p: import_module(f"benchmarks.peer_{name}").prepare(p)


def _stan(p: Problem, people: int = 8) -> tuple[list[dict], dict[str, str]]:
    from benchmarks import peer_stan

    rows, absent = [], {}
    for solver in peer_stan.SOLVERS:
        try:
            times, gradient = peer_stan.measure(p, solver, people)
        except RuntimeError as reason:
            absent[f"Stan, {solver}"] = str(reason)
            continue
        rows.append(
            _row(p, f"Stan, {solver}", Times(**times), people, None, gradient) | {"note": "not interleaved"}
        )
    return rows, absent
