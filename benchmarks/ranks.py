"""python -m benchmarks ranks

Do people stand in the order that a clamp finds? An oral test of the sixty of ``shared/data/ohashi2015`` is
fitted (the fit of `benchmarks.truth`), and what a simulated clamp or intravenous test says of each is
compared with what their clamps measured, beside the index of raw samples: rank correlations, partial ones
given body mass index and group, and by how much the fit's exceeds the raw index's. ``results/ranks.json``.
"""

import json
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import rankdata

import bayesglu
from benchmarks.report import show, write
from benchmarks.truth.pairs import DATA, INFUSED_AT, Pair, clamped
from benchmarks.truth.predict import predicted
from benchmarks.truth.run import SETTINGS, changed, fitted

RESAMPLES = 2000
COLUMNS = {
    "name": "measured",
    "by": "by",
    "people": "people",
    "rank_correlation": "Spearman",
    "low": "from",
    "high": "to",
    "partial": "given bmi and group",
    "partial_low": "from",
    "partial_high": "to",
}


@dataclass(frozen=True)
class Question:
    """A measured quantity (a column of the clamps' indices), and what is to say the order of it: a test that
    is `simulated` with a fit, and the `raw` index of samples that it is to beat, by name."""

    title: str
    measured: str
    simulated: str
    raw: str


QUESTIONS = (
    Question("insulin sensitivity", "isi_gir_per_glucose_insulin", "simulated clamp", "matsuda"),
    Question(
        "first phase of secretion",
        "first_phase_auc_insulin_0_10_uU_mL_min",
        "simulated intravenous test",
        "insulinogenic",
    ),
)


def main(random_seed: int = 1) -> None:
    """Ask, and keep what came out."""
    pair = clamped()
    pair = replace(pair, model=changed(str(pair.model), None))
    fit = fitted(pair)
    indices = bayesglu.indices(fit, ["airg", *(question.raw for question in QUESTIONS)])
    simulated = {
        "simulated clamp": simulated_sensitivity(fit, pair),
        "simulated intravenous test": indices["median"].sel(index="airg").to_series(),
    }
    clamp = pd.read_csv(DATA / "ohashi2015" / "clamp_indices_half.csv", dtype={"subject": str})
    people = pd.read_csv(DATA / "ohashi2015" / "subjects.csv", dtype={"subject": str}).set_index("subject")
    rows = []
    for question in QUESTIONS:
        table = pd.DataFrame(
            {
                "measured": clamp.set_index("subject")[question.measured],
                "fit": simulated[question.simulated],
                "raw": indices["raw"].sel(index=question.raw).to_series(),
                "bmi": people.bmi,
                "group": people.group,
            }
        ).dropna()
        rows += compared(table, question, np.random.default_rng(random_seed))
    show("Ranks of people: by a fitted oral test, by its raw samples, and by a clamp", rows, COLUMNS)
    about = {"model": pair.model.hash, "study": pair.fitted.hash, "settings": SETTINGS}
    write("ranks", rows, **about, equations=json.loads(fit.attrs["equations"]), resamples=RESAMPLES)


def simulated_sensitivity(fit: xr.DataTree, pair: Pair) -> pd.Series:
    """Glucose infused over glucose times insulin at the end of everyone's own clamp, with the stated dose of
    insulin and on another day than the fitted one: the median of draws."""
    outputs = ("glucose_infusion", "glucose", "insulin")
    asked = pd.DataFrame(list(product(pair.protocols, outputs)), columns=["subject", "output"])
    asked = asked.assign(time=INFUSED_AT, value=np.nan, assay="")
    drawn = predicted(fit, replace(pair, measured=asked)).set_index(["subject", "output"]).same
    return pd.Series(
        {
            who: np.median(drawn[who, "glucose_infusion"] / (drawn[who, "glucose"] * drawn[who, "insulin"]))
            for who in pair.protocols
        }
    )


def compared(table: pd.DataFrame, question: Question, rng: np.random.Generator) -> list[dict]:
    """Rows for the fit, the raw index, both covariates alone, and the fit less each; intervals are 90 %, of
    people drawn again."""
    picks = [np.arange(len(table)), *rng.integers(len(table), size=(RESAMPLES, len(table)))]
    drawn = pd.DataFrame([_correlations(table.iloc[pick]) for pick in picks])
    found = []
    names = {
        "fit": f"the fit ({question.simulated})",
        "raw": f"raw samples ({question.raw})",
        "covariates": "bmi and group alone",
        "over_raw": "the fit less raw samples",
        "over_covariates": "the fit less bmi and group",
    }
    for by, called in names.items():
        row = {"name": question.title, "by": called, "people": len(table)}
        for kind, prefix in (("rank_correlation", ""), ("partial", "partial_")):
            if (column := f"{by} {kind}") in drawn:
                low, high = np.quantile(drawn[column].iloc[1:], [0.05, 0.95])
                row |= {kind: drawn[column].iloc[0], f"{prefix}low": low, f"{prefix}high": high}
        found.append({key: float(v) if isinstance(v, np.floating) else v for key, v in row.items()})
    return found


def _correlations(table: pd.DataFrame) -> dict[str, float]:
    """Rank correlations with what was measured: of the fit and the raw index as they are and with the ranks
    of bmi and the group regressed out, and of what these two say alone."""
    ranks = {name: rankdata(table[name]) for name in ("measured", "fit", "raw", "bmi")}
    groups = pd.get_dummies(table.group).to_numpy(float)
    design = np.column_stack([ranks["bmi"], groups])
    told = {name: design @ np.linalg.lstsq(design, ranks[name])[0] for name in ("measured", "fit", "raw")}
    found = {}
    for name in ("fit", "raw"):
        found[f"{name} rank_correlation"] = _correlation(ranks[name], ranks["measured"])
        rest = ranks[name] - told[name], ranks["measured"] - told["measured"]
        found[f"{name} partial"] = _correlation(*rest)
    found["covariates rank_correlation"] = _correlation(rankdata(told["measured"]), ranks["measured"])
    for other in ("raw", "covariates"):
        found[f"over_{other} rank_correlation"] = (
            found["fit rank_correlation"] - found[f"{other} rank_correlation"]
        )
    found["over_raw partial"] = found["fit partial"] - found["raw partial"]
    return found


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one, other)[0, 1])


if __name__ == "__main__":
    main()
