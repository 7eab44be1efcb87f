"""Sample the eight people of `dallaman2007_virtual` again: python data/dallaman2007_virtual/make.py

Their curves are those of another model than any of ours (Dalla Man 2007; BioModels BIOMD0000000379, CC0),
with fluxes that no blood sample shows: `made_from/curves.csv`, without noise. Lognormal assay errors are
added to what is measured in blood, and the seed makes them the same every time; production is as it was.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from bayesglu.protocols.library import meal
from bayesglu.study.study import Study

SEED = 1
TIMES = (0, 10, 20, 30, 45, 60, 90, 120, 150, 180, 240, 300, 360, 420)
ASSAY_ERROR = {"glucose": 0.02, "insulin": 0.06, "c_peptide": 0.05}  # of good assays
COLUMNS = {"glucose": "glucose_mg_dL", "insulin": "insulin_pmol_L", "c_peptide": "c_peptide_pmol_L"}
FLUX, FLUX_TIMES = "endogenous_glucose_production", range(20, 421, 20)
UNITS = {"glucose": "mg/dL", "insulin": "pmol/L", "c_peptide": "pmol/L"}


def main() -> None:
    rng = np.random.default_rng(SEED)
    folder = Path(__file__).parent
    curves = pd.read_csv(folder / "made_from" / "curves.csv", dtype={"subject": str})
    sampled = curves[curves["time_min"].isin(TIMES)].sort_values(["subject", "time_min"])
    rows = [
        (subject, time, analyte, round(value * np.exp(sd * rng.normal()), 1), UNITS[analyte])
        for analyte, sd in ASSAY_ERROR.items()
        for subject, time, value in sampled[["subject", "time_min", COLUMNS[analyte]]].itertuples(index=False)
    ]
    shown = curves[curves["time_min"].isin(FLUX_TIMES)].sort_values(["subject", "time_min"])
    rows += [
        (subject, time, FLUX, round(value, 3), "mg/kg/min")
        for subject, time, value in shown[["subject", "time_min", f"{FLUX}_mg_kg_min"]].itertuples(
            index=False
        )
    ]
    labels = sorted(set(curves["subject"]))
    study = Study.from_table(
        pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"]),
        protocol=meal(78),
        name="dallaman2007_virtual",
        subjects=pd.DataFrame({"subject": labels, "weight_kg": 78.0}),
        datasheet={
            "title": "A mixed meal of eight people of another model",
            "source": "Dalla Man 2007, IEEE Trans Biomed Eng 54:1740; BioModels BIOMD0000000379. make.py in "
            "this folder adds assay errors to glucose, insulin and C-peptide; production is as it was",
            "licence": "CC0-1.0",
            "note": f"Seed {SEED}. Insulin sensitivity x 0.7 (v1 to v4) and x 1.4 (v5 to v8).",
        },
    )
    study.to_folder(folder)


if __name__ == "__main__":
    main()
