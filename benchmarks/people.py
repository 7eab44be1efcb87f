"""Synthetic people for `sampling`: glucose, insulin and C-peptide of an oral test, with assay errors."""

import numpy as np
import pandas as pd

from bayesglu.study.study import Study
from bayesglu.units import canonical_unit
from benchmarks.problem import TIMES, problem

MODEL = "oral_cpeptide"
ERRORS = {"glucose": 0.05, "insulin": 0.10, "c_peptide": 0.08}


def synthetic_study(people: int = 20, seed: int = 5) -> Study:
    """People drawn as `oral_cpeptide` expects them, twelve samples each."""
    p = problem(MODEL, people, seed=seed)
    out, _ = p.solver().outputs(p.theta)
    noise = np.random.default_rng(seed).normal(size=out.shape)
    measured = (out * np.exp(noise * list(ERRORS.values()))).reshape(people, len(TIMES), -1)
    rows = [
        (f"P{person + 1:02}", time, analyte, measured[person, i, j], canonical_unit(analyte))
        for person in range(people)
        for i, time in enumerate(TIMES)
        for j, analyte in enumerate(ERRORS)
    ]
    table = pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"])
    return Study.from_table(table, protocol="ogtt(75)", body_weight=70.0, name=f"{people} synthetic people")
