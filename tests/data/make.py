"""Fits and what-ifs as this version of bayesglu writes and answers them, for later versions to read.

    python tests/data/make.py FOLDER

The folder gets three fits, compressed, and `answers.json`. It is kept for good: tests of later versions load
the fits and ask again. Each time the format of a fit changes, one more folder is made.
"""

import json
import lzma
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import bayesglu as bg
from bayesglu.analysis.summaries import minimal_model_indices
from bayesglu.units import canonical_unit

TIMES = (0, 30, 60, 90, 120)
USUAL = {
    "glucose": [95, 150, 140, 120, 100],
    "insulin": [45, 350, 330, 250, 150],
    "c_peptide": [450, 1600, 2000, 1800, 1400],
    "glucagon": [95, 80, 75, 75, 80],
}
PEOPLE = {"A": ("NGT", 22.0, 2), "B": ("T2D", 30.0, 1), "C": ("IGT", 27.0, 2)}  # group, BMI, occasions
QUICK = {"draws": 12, "tune": 40, "chains": 2, "random_seed": 3, "progressbar": False}
QUESTIONS = {
    "whole_loop": {
        "protocol": "ogtt(75)",
        "scaled": {"insulin_sensitivity": 1.3},
        "times": [0, 60, 120],
        "outputs": ["glucose", "insulin"],
        "draws": 4,
    },
    "ivgtt": {
        "protocol": None,
        "scaled": {"beta_cell_mass": 0.5},
        "times": [0, 10, 60],
        "outputs": ["glucose", "insulin"],
        "draws": 4,
    },
}


def study() -> bg.Study:
    """Three people, two of them twice, with covariates and samples below a limit."""
    rng, rows = np.random.default_rng(7), []
    for person, (group, _, occasions) in PEOPLE.items():
        for occasion in range(occasions):
            for analyte, values in USUAL.items():
                factor = {"NGT": 1.0, "IGT": 1.2, "T2D": 1.6}[group] if analyte == "glucose" else 1.0
                for time, usual in zip(TIMES, values, strict=True):
                    value = round(float(usual * factor * np.exp(0.06 * rng.normal())), 2)
                    rows.append(
                        (person, f"day {occasion + 1}", time, analyte, value, canonical_unit(analyte))
                    )
    table = pd.DataFrame(rows, columns=["subject", "occasion", "time", "analyte", "value", "unit"])
    table["value"] = table["value"].astype(str)
    table.loc[7, "value"], table.loc[12, "value"] = "10", "<200"
    about = {"subject": list(PEOPLE), "group": [group for group, *_ in PEOPLE.values()]}
    about["bmi_kg_m2"] = [bmi for _, bmi, _ in PEOPLE.values()]
    return bg.Study.from_table(
        table,
        protocol="ogtt(75)",
        body_weight=70.0,
        subjects=pd.DataFrame(about),
        name="three simulated people",
    )


MODEL = """
extends = "feedback"
name = "whole_loop"
title = "The whole loop, with whatever a model file can say"

[parameters.emptying_rate]
level = "occasion"

[analytes.insulin]
residual = "student"
nu = 4.0
lloq = 12.0

[correlations]
parameters = ["basal_insulin", "insulin_sensitivity", "hepatic_extraction"]
lkj_eta = 2.0
"""


def fits() -> dict[str, xr.DataTree]:
    spec = bg.load_model(MODEL)
    return {
        "whole_loop": bg.fit(spec, study(), **QUICK),
        "minimal": bg.fit("minimal", "bergman1986", **QUICK),
        "ivgtt": bg.fit("ivgtt", "bergman1986", method="laplace", draws=20, random_seed=3, progressbar=False),
    }


def answer(fit: xr.DataTree, question: dict) -> dict[str, list]:
    """A what-if with the draws of a fit: values ``(chain, draw, subject, scenario, time)`` by output."""
    asked = {name: question[name] for name in ("protocol", "times", "outputs", "draws")}
    change = {name: bg.scale(factor) for name, factor in question["scaled"].items()}
    found = bg.what_if(fit, change=change, **asked)
    return {str(name): values.values.tolist() for name, values in found.data_vars.items()}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    answers = {}
    for name, fit in fits().items():
        fit["prior"] = fit["prior"].isel(draw=slice(8))  # small enough to keep
        with tempfile.TemporaryDirectory() as place:
            path = bg.save(fit, Path(place) / f"{name}.nc")
            (folder / f"{name}.nc.xz").write_bytes(lzma.compress(path.read_bytes(), preset=9))
        if name in QUESTIONS:
            answers[name] = QUESTIONS[name] | {"values": answer(fit, QUESTIONS[name])}
        else:
            indices = minimal_model_indices(fit)
            answers[name] = {"minimal_model_indices": {n: float(v.median()) for n, v in indices.items()}}
    (folder / "answers.json").write_text(json.dumps(answers) + "\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main(Path(sys.argv[1]))
