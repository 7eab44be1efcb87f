"""``python -m benchmarks discrepancy``: what one costs where the model is right, brings where it is wrong.

Oral tests of twelve people are simulated with `oral_cpeptide` as its forms say, and with another body: older
forms of gut, tissues and secretion. Each study is fitted by `oral_cpeptide` with and without its discrepancy
(Laplace's method), and asked for what no sample shows: people's parameters where these mean the same, their
fluxes on that day, and their glucose and insulin after intravenous glucose. Shares of the truth in bands of
90 %, with standard errors from studies.
"""

import warnings

import numpy as np
import xarray as xr

import bayesglu as bg
from benchmarks.report import show, write

OLDER = {"gut": "two_stage", "tissue": "linear", "beta_cell": "proportional_plus_rate"}
LINEAR = {"insulin_sensitivity": {"typical": {"median": 4e-5, "gsd": 1.4}}}
STUDIES = range(1, 13)
TEST = {"protocol": "ogtt(75)", "times": [0, 15, 30, 60, 90, 120, 180], "subjects": 12}
PARAMETERS = ("insulin_sensitivity", "beta_cell_sensitivity", "first_phase_gain", "hepatic_extraction")
FLUXES = ("glucose_appearance", "endogenous_glucose_production", "insulin_secretion")
BY_VEIN, AFTER = "ivgtt(0.3)", [0, 4, 10, 20, 40, 60, 90, 120, 180]


def models() -> dict[str, bg.ModelSpec]:
    """The bodies, and what is fitted."""
    shipped = bg.load_model("oral_cpeptide")
    right = shipped.with_changes({"discrepancy": "none"}, name="as_formed")
    return {
        "the same": right,
        "another": right.with_changes(OLDER, LINEAR, name="older_forms"),
        "without": right,
        "with": shipped,
    }


def main() -> None:
    """Simulate, fit and ask; keep the shares."""
    known = models()
    rows = []
    for body in ("the same", "another"):
        held = {
            how: [_held(known[body], known[how], seed) for seed in STUDIES] for how in ("without", "with")
        }
        for how, studies in held.items():
            for asked in studies[0]:
                if body == "the same" or asked not in PARAMETERS:
                    share, width = np.array([each[asked] for each in studies]).T
                    se = share.std(ddof=1) / np.sqrt(len(share))
                    rows.append({
                        "body": body, "discrepancy": how, "asked": asked, "held": float(share.mean()),
                        "se": float(se), "width": float(np.median(width)),
                    })  # fmt: skip
    columns = {"body": "body", "discrepancy": "discrepancy", "asked": "asked of", "held": "in 90 %"}
    show("Truth in bands of 90 %", rows, columns | {"se": "SE", "width": "width (ratio)"})
    write("discrepancy", rows, models={name: model.hash for name, model in known.items()})


def _held(body: bg.ModelSpec, model: bg.ModelSpec, seed: int) -> dict[str, tuple[float, float]]:
    """Share of what is true in bands of 90 %, and their width as a ratio, by what was asked."""
    study = bg.simulate_study(body, **TEST, population="medians", random_seed=seed)
    told = study.truth, AFTER
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # quick fits, which are not judged here
        fit = bg.fit(model, study, method="laplace", draws=400, random_seed=seed, progressbar=False)
        asked = {"draws": 200, "random_seed": seed, "progressbar": False}
        day = bg.what_if(fit, times=TEST["times"], outputs=FLUXES, **asked)
        vein = bg.what_if(fit, BY_VEIN, times=AFTER, outputs=("glucose", "insulin"), **asked)
        true_day = bg.simulate(body, TEST["protocol"], study.truth, TEST["times"], FLUXES)
        true_vein = bg.simulate(body, BY_VEIN, *told, ("glucose", "insulin"))
    found = {name: _inside(fit.posterior[name], study.truth[name]) for name in PARAMETERS}
    found |= {name: _inside(day[name], true_day[name]) for name in FLUXES}
    return found | {f"{name} by vein": _inside(vein[name], true_vein[name]) for name in true_vein}


def _inside(draws: xr.DataArray, true: xr.DataArray) -> tuple[float, float]:
    low, high = (draws.quantile(q, ["chain", "draw"]).squeeze(drop=True) for q in (0.05, 0.95))
    if "time" in true.dims:
        low, high, true = (each.sel(time=true.time > 0) for each in (low, high, true))
    return float(((low <= true) & (true <= high)).mean()), float(np.exp(np.log(high / low).median()))


if __name__ == "__main__":
    main()
