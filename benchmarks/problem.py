"""The problem that every solver is given: an oral glucose tolerance test of people who differ."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from bayesglu.protocols.library import ogtt
from bayesglu.protocols.schedule import build_schedule
from bayesglu.solver.solver import SHARE_OF_A_STEP, Solver, channels_of
from bayesglu.solver.symbolic import System, system
from bayesglu.spec.model import load_model

THEN = Path(__file__).with_name("models")
"""Model files as they shipped at an earlier commit."""
WEIGHT = 70.0
TIMES = (0.0, 10.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0, 150.0, 180.0, 210.0, 240.0)
TIGHT = 1e-12


@dataclass(frozen=True, eq=False)
class Problem:
    """Parameters ``(person, parameter)``, and the function of them that is asked for with its gradient.

    The function is the sum of all outputs ``(sample, output)``, each over its usual size (`weights`); the
    bolus `dose` (mg/kg) is given at the first of the `times` (min).
    """

    system: System
    theta: np.ndarray
    weights: np.ndarray
    times: np.ndarray
    dose: np.ndarray
    tolerance: float

    @property
    def people(self) -> int:
        """How many people there are."""
        return len(self.theta)

    def solver(self, lanes: int = 8, tolerance: float | None = None) -> Solver:
        """Our own solver of the problem."""
        schedule = _schedule(self.people)
        tolerance = tolerance or self.tolerance
        result = tolerance / SHARE_OF_A_STEP  # as for the peers, `tolerance` is that of a step
        return Solver(self.system, schedule, rtol=result, atol=result, lanes=lanes)

    def frozen(self, lanes: int = 8) -> Solver:
        """Our own solver with frozen steps, as many as the tolerance asks for with such people."""
        nobodys = np.zeros(0)  # measured curve
        solver = self.solver(lanes, TIGHT).frozen(self.tolerance / SHARE_OF_A_STEP, [(self.theta, nobodys)])
        if solver is None:
            raise RuntimeError("nobody's equations could be solved")
        return solver

    def of(self, theta: np.ndarray) -> "Problem":
        """The same test of other people, as parameters (person, parameter)."""
        people = len(theta)
        weights = np.resize(self.weights, (people * len(self.times), self.weights.shape[1]))
        return replace(self, theta=theta, weights=weights)

    @cached_property
    def reference(self) -> tuple[np.ndarray, np.ndarray]:
        """Outputs and gradient, by our solver at a tolerance of 1e-12."""
        out, pull = self.solver(tolerance=TIGHT).outputs_and_pull(self.theta)
        return out, pull(self.weights)

    def errors(self, out: np.ndarray | None, gradient: np.ndarray | None) -> dict[str, float]:
        """Largest relative error of the outputs; of a person's gradient by log parameters, in units of its
        largest entry, the median and the worst person. Of the first people, if there are fewer."""
        expected_out, expected = self.reference
        found = {}
        if out is not None:
            out = np.reshape(out, (-1, expected_out.shape[1]))
            known = expected_out[: len(out)]
            found["value_error"] = float(np.abs(out / known - 1.0).max())
        if gradient is not None:
            theta, known = self.theta[: len(gradient)], expected[: len(gradient)]
            size = np.abs(known * theta).max(axis=1)
            error = np.abs((gradient - known) * theta).max(axis=1) / size
            found |= {"gradient_error": float(np.median(error)), "gradient_error_worst": float(error.max())}
        return found


def problem(
    model: str | Path = "feedback", people: int = 48, tolerance: float = 1e-6, seed: int = 1
) -> Problem:
    """People drawn from what a model expects of differences between people, all its analytes sampled."""
    spec, schedule = load_model(model), _schedule(people)
    outputs = tuple(analyte.output for analyte in spec.analytes.values())
    parts = system(spec.structure, outputs, *channels_of(schedule))
    theta = drawn_people(spec, parts.parameters, people, seed)
    out, _ = Solver(parts, schedule).outputs(theta)
    weights = np.tile(1.0 / np.abs(out).mean(axis=0), (len(out), 1))
    dose = schedule.jump[0, [schedule.channels.index(name) for name in parts.boluses]]
    return Problem(parts, theta, weights, np.array(TIMES), dose, tolerance)


def drawn_people(spec, names, people: int, seed: int) -> np.ndarray:
    """Parameters ``(person, parameter)`` about the medians, with the expected differences between people."""
    rng = np.random.default_rng(seed)
    theta = np.empty((people, len(names)))
    for i, name in enumerate(names):
        p = spec.parameters[name]
        scores = rng.normal(size=people).clip(-2.5, 2.5)
        omega = p.between_subject.omega if p.between_subject else 0.0
        theta[:, i] = [p.from_scale(p.location + omega * score) for score in scores]
    return theta


def _schedule(people: int):
    return build_schedule([ogtt(75)] * people, [TIMES] * people, WEIGHT)
