"""Stan's ODE solvers through pystan 3, in a Python of their own: value and gradient of a model's log density.

pystan 3.14 imports on Python 3.12 and not on 3.13; the environment variable ``BENCHMARKS_STAN_PYTHON`` names
a Python in which it is installed.
"""

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from bayesglu.solver.program import Program
from benchmarks.problem import Problem
from benchmarks.programs import BINARY, given

VARIABLE = "BENCHMARKS_STAN_PYTHON"
SOLVERS = {
    "ode_rk45": "ode_rk45_tol(change, start, {t0}, times, tolerance, tolerance, 100000, c)",
    "ode_bdf": "ode_bdf_tol(change, start, {t0}, times, tolerance, tolerance, 100000, c)",
    "ode_adjoint": "ode_adjoint_tol_ctl(change, start, {t0}, times, tolerance, small, tolerance, small,"
    " tolerance, tolerance, 100000, 150, 1, 2, 2, c)",
}

WORKER = """
import json, subprocess, sys, time
import stan

# httpstan gives Stan's compiler one second, and the physics takes it longer.
patient = subprocess.run
subprocess.run = lambda *a, **settings: patient(*a, **{**settings, "timeout": None})

task = json.load(open(sys.argv[1]))
model = stan.build(task["text"], data=task["data"])
x, rounds = task["x"], []
for _ in range(task["rounds"]):
    spent, began = time.process_time(), time.perf_counter()
    gradient = model.grad_log_prob(x)
    rounds.append((time.process_time() - spent, time.perf_counter() - began))
json.dump({"gradient": gradient, "times": rounds}, open(sys.argv[2], "w"))
"""


def measure(problem: Problem, solver: str, people: int = 8, rounds: int = 5) -> tuple[dict, np.ndarray]:
    """Processor and clock seconds of each round, and the gradient, for the first `people`.

    Raises RuntimeError with the reason where Stan is not to be had.
    """
    python = os.environ.get(VARIABLE)
    if not python:
        raise RuntimeError(f"{VARIABLE} names no Python with pystan")
    theta = problem.theta[:people]
    weights = problem.weights.reshape(problem.people, len(problem.times), -1)[:people]
    data = {
        "people": people,
        "n_times": len(problem.times) - 1,
        "times": problem.times[1:].tolist(),
        "tolerance": problem.tolerance,
        "weights": weights.tolist(),
    }
    task = {"text": model_text(problem, solver), "data": data, "rounds": rounds}
    task["x"] = np.log(theta).ravel().tolist()
    with tempfile.TemporaryDirectory() as folder:
        asked, answered, worker = (Path(folder) / name for name in ("task.json", "answer.json", "worker.py"))
        asked.write_text(json.dumps(task), encoding="utf-8")
        worker.write_text(WORKER, encoding="utf-8")
        done = subprocess.run([python, worker, asked, answered], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"Stan failed: {done.stderr.strip().splitlines()[-1:]}")
        answer = json.loads(answered.read_text(encoding="utf-8"))
    processor, clock = np.array(answer["times"]).T
    gradient = np.reshape(answer["gradient"], theta.shape) / theta
    return {"processor": processor, "clock": clock}, gradient


def model_text(problem: Problem, solver: str) -> str:
    """The problem in Stan's language; its log density is the weighted sum of outputs."""
    system = problem.system
    n, scales = len(system.states), ", ".join(map(repr, system.scales))
    bolus = [str(v) for v in given(system, _Coefficients(), problem.dose)]
    n_c, n_p, n_o = system.n_coefficients, len(system.parameters), len(system.outputs)
    call = SOLVERS[solver].format(t0=repr(float(problem.times[0])))
    function = {name: _function(name, system.programs[name]) for name in ("setup", "rhs", "observe")}
    return f"""functions {{
{function["setup"]}
{function["rhs"]}
{function["observe"]}
  vector change(real t, vector z, vector c) {{
    return rhs(z .* [{scales}]', c) ./ [{scales}]';
  }}
}}
data {{
  int people;
  int n_times;
  array[n_times] real times;
  real tolerance;
  array[people, n_times + 1, {n_o}] real weights;
}}
transformed data {{
  vector[{n}] small = rep_vector(tolerance, {n});
}}
parameters {{
  array[people] vector[{n_p}] log_theta;
}}
model {{
  for (i in 1:people) {{
    vector[{n_c + n}] begun = setup(exp(log_theta[i]));
    vector[{n_c}] c = begun[1:{n_c}];
    vector[{n}] rest = begun[{n_c + 1}:{n_c + n}];
    vector[{n}] start = (rest + [{", ".join(bolus)}]') ./ [{scales}]';
    array[n_times] vector[{n}] z = {call};
    target += dot_product(to_vector(weights[i, 1]), observe(rest, c));
    for (j in 1:n_times)
      target += dot_product(to_vector(weights[i, j + 1]), observe(z[j] .* [{scales}]', c));
  }}
}}
"""


class _Coefficients:
    """Stands for Stan's vector of coefficients, which counts from one."""

    def __getitem__(self, place):
        return _Text(f"c[{place + 1}]")


class _Text(str):
    def __rmul__(self, factor):
        return _Text(f"{factor!r} * {self}")

    def __radd__(self, other):
        return self


def _function(name: str, program: Program) -> str:
    groups = [group for group, symbols in program.inputs.items() if symbols]
    lines = [f"  vector {name}({', '.join(f'vector {group}' for group in groups)}) {{"]
    text = {}
    for i, (operation, *a) in enumerate(program.instructions):
        if operation == "input":
            text[i] = f"{a[0]}[{a[1] + 1}]"
            continue
        if operation == "constant":
            text[i] = repr(a[0])
            continue
        a = [text[j] for j in a]
        if operation in BINARY:
            value = f"{a[0]} {BINARY[operation]} {a[1]}"
        elif operation == "neg":
            value = f"-{a[0]}"
        elif operation == "reciprocal":
            value = f"inv({a[0]})"
        else:
            value = f"{'abs' if operation == 'abs' else operation}({a[0]})"
        lines.append(f"    real v{i} = {value};")
        text[i] = f"v{i}"
    results = ", ".join(text[i] for indices in program.outputs.values() for i in indices)
    return "\n".join([*lines, f"    return [{results}]';", "  }"])
