"""Draw the twelve people of `synthetic_ogtt` again: python data/synthetic_ogtt/make.py

Everyone is drawn from the model `feedback`, with fluxes that are as their forms say: typical values at the
medians of their priors, between-subject standard deviations at theirs, no two parameters correlated,
lognormal assay errors. The seed makes it the same twelve every time.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.simulation import simulate
from bayesglu.protocols.library import ogtt
from bayesglu.spec.model import load_model
from bayesglu.study.study import Study

SEED = 20
PEOPLE = 12
TIMES = (-10, 0, 10, 20, 30, 45, 60, 75, 90, 120, 150, 180, 240)
ASSAY_ERROR = {"glucose": 0.03, "insulin": 0.10, "c_peptide": 0.06, "glucagon": 0.08}
DIGITS = {"glucose": 1, "insulin": 1, "c_peptide": 0, "glucagon": 1}


def main() -> None:
    rng = np.random.default_rng(SEED)
    model = load_model("feedback").with_changes({"discrepancy": "none"})
    labels = [f"P{i + 1:02d}" for i in range(PEOPLE)]
    weights = np.round(rng.normal(68, 9, PEOPLE), 1)
    truth = {}
    for name in model.varying:
        parameter = model.parameters[name]
        shift = parameter.between_subject.omega * rng.normal(size=PEOPLE)
        truth[name] = np.array([parameter.from_scale(parameter.location + s) for s in shift])
    people = {n: xr.DataArray(v, dims="subject", coords={"subject": labels}) for n, v in truth.items()}
    body_weight = xr.DataArray(weights, dims="subject", coords={"subject": labels})
    true = simulate(model, ogtt(75), people, times=TIMES, outputs=ASSAY_ERROR, body_weight=body_weight)
    floor = model.medians["glucagon_background"]
    rows = []
    for subject in labels:
        for analyte, sd in ASSAY_ERROR.items():
            values = true[analyte].sel(subject=subject).values + (floor if analyte == "glucagon" else 0.0)
            measured = np.round(values * np.exp(sd * rng.normal(size=len(TIMES))), DIGITS[analyte])
            unit = model.analytes[analyte].unit
            rows += [(subject, t, analyte, v, unit) for t, v in zip(TIMES, measured, strict=True)]
    told = [
        (subject, name, float(f"{value:.6g}"), model.parameters[name].unit)
        for name, values in truth.items()
        for subject, value in zip(labels, values, strict=True)
    ]
    study = Study.from_table(
        pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"]),
        protocol=ogtt(75),
        name="synthetic_ogtt",
        subjects=pd.DataFrame({"subject": labels, "weight_kg": weights}),
        truth=pd.DataFrame(told, columns=["subject", "parameter", "value", "unit"]),
        datasheet={
            "title": "Oral glucose tolerance tests of twelve simulated people",
            "source": "Drawn from the model feedback by make.py in this folder",
            "licence": "Apache-2.0",
            "note": f"Seed {SEED}. True parameters in truth.csv; the others are at the model's medians.",
        },
    )
    study.to_folder(Path(__file__).parent)


if __name__ == "__main__":
    main()
