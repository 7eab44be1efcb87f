"""Synthetic people: an oral test with assay errors of everything that a model is measured by."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from bayesglu.hierarchy.design import make_design
from bayesglu.inference.density import Density
from bayesglu.inference.modes import find_modes
from bayesglu.spec.model import load_model
from bayesglu.study.study import Study
from bayesglu.units import canonical_unit
from benchmarks.problem import TIMES, problem

MODEL = "oral_cpeptide"
ERRORS = {"glucose": 0.05, "insulin": 0.10, "c_peptide": 0.08, "glucagon": 0.15}


def synthetic_study(people: int = 20, seed: int = 5, model: str | Path = MODEL) -> Study:
    """People drawn as a model expects them, twelve samples each of all its analytes."""
    table = synthetic_table(people, seed, model)
    return Study.from_table(table, protocol="ogtt(75)", body_weight=70.0, name=f"{people} synthetic people")


def synthetic_table(people: int = 20, seed: int = 5, model: str | Path = MODEL) -> pd.DataFrame:
    """Their samples."""
    measured, analytes = measured_in(people, seed, model), load_model(model).analytes
    rows = [
        (f"P{person + 1:02}", time, analyte, measured[person, i, j], canonical_unit(analyte))
        for person in range(people)
        for i, time in enumerate(TIMES)
        for j, analyte in enumerate(analytes)
    ]
    return pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"])


def measured_in(people: int, seed: int, model: str | Path) -> np.ndarray:
    """What is measured in them (person, time, analyte)."""
    p = problem(model, people, seed=seed)
    out, _ = p.solver().outputs(p.theta)
    noise = np.random.default_rng(seed).normal(size=out.shape)
    errors = [ERRORS[analyte] for analyte in load_model(model).analytes]
    return (out * np.exp(noise * errors)).reshape(people, len(TIMES), -1)


@dataclass(frozen=True)
class Posterior:
    """Draws from about a posterior: `theta` (draw, person, parameter), `sigma` (draw, analyte), and the
    logarithms of what was measured (person, time, analyte)."""

    theta: np.ndarray
    sigma: np.ndarray
    log_measured: np.ndarray

    def log_likelihood(self, out: np.ndarray) -> np.ndarray:
        """Normal log likelihood of each draw (draw,), but for a constant, from outputs (sample, output) of
        all people of all draws."""
        log_out = np.log(np.reshape(out, (len(self.theta), *self.log_measured.shape)))
        z = (self.log_measured - log_out) / self.sigma[:, None, None]
        return -0.5 * (z**2).sum((1, 2, 3))


def posterior_of(model: str | Path, people: int = 20, draws: int = 100, seed: int = 5) -> Posterior:
    """Laplace's approximation to the posterior of synthetic people, by the model that they are drawn from."""
    d = make_design(load_model(model), synthetic_study(people, seed, model))
    density = Density(d, find_modes(d).expansion)
    values = density.unpack(np.random.default_rng(seed).normal(size=(draws, density.size)))
    theta = d.theta(values)[..., : len(d.solver.system.parameters)]
    return Posterior(theta, values.sigma, np.log(measured_in(people, seed, model)))
