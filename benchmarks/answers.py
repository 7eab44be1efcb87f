"""``python -m benchmarks answers``: how right what is asked of fits of simulated people is.

Each simulation draws a population from the prior, people from it, and of each an oral test, a day of meals
and a fast of 24 h, on three days. The oral test alone is fitted; bands and comparisons are then held to what
is true of these people. Every simulation is kept in build/answers as it ends, so that the same command goes
on; BAYESGLU_SIMULATIONS makes more. The result is kept with the hash of the model and of the questions; a
test fails when these are no longer today's.
"""

import hashlib
import os
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

import bayesglu as bg
from bayesglu.analysis.uniformity import p_values
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.physiology.loop import assemble
from bayesglu.pieces import Kept, in_pieces
from bayesglu.study.study import Study
from benchmarks.report import show, write

MODEL = "feedback"
SIMULATIONS, SEED = 20, 1
FOLDER = Path(__file__).parents[1] / "build" / "answers"
PEOPLE = {
    "subject": ["A", "B", "C", "D"],
    "group": ["NGT", "T2D", "NGT", "T2D"],
    "bmi": [22.0, 26.0, 29.0, 33.0],
}
TEST, TESTED = "ogtt(75)", (0, 10, 20, 30, 45, 60, 90, 120, 180, 240)
DAYS = {"meal day": "meal_day()", "fast": "fast(24)"}
SEEN = {"meal day": tuple(range(30, 1441, 30)), "fast": tuple(range(60, 1441, 60))}
WHAT = ("glucose", "insulin")
OF = ("glucose_auc", "glucose_at_120", "insulin_peak")
MORE = {"insulin_sensitivity": bg.scale(1.3)}
GROUPS = {"group": ["NGT", "T2D"]}
SETTINGS = {"draws": 250, "tune": 400, "chains": 2, "steps": "frozen", "progressbar": False}
LEVELS = (0.5, 0.9)
ASKED = {"draws": 500, "progressbar": False}


def main() -> None:
    """Simulate, fit, ask, and keep what was right."""
    number = int(os.environ.get("BAYESGLU_SIMULATIONS", SIMULATIONS))
    kept = Kept(FOLDER, "answers", "simulation")
    found = in_pieces(simulation, {i: (i,) for i in range(number)}, kept, about())
    facts = summed_up([found[i] for i in sorted(found)])
    write("answers", facts.pop("bands"), **about(), **facts)
    show_all()


def about() -> dict:
    """Of what the result is: the model, and all that was asked."""
    more = {name: how.words for name, how in MORE.items()}
    asked = [PEOPLE, TEST, TESTED, DAYS, SEEN, WHAT, OF, more, GROUPS, SETTINGS, ASKED]
    digest = hashlib.sha256(repr(asked).encode()).hexdigest()
    return {"model": MODEL, "model_hash": bg.load_model(MODEL).hash, "questions": digest, "seed": SEED}


def people(swapped: bool = False, days: tuple[str, ...] = tuple(DAYS)) -> Study:
    """Who is studied, and when: in the test and on these days; with `swapped`, each in the other group."""
    covariates = pd.DataFrame(PEOPLE)
    if swapped:
        covariates["group"] = covariates["group"].map({"NGT": "T2D", "T2D": "NGT"})
    seen = {"test": TESTED, **{day: (0, *SEEN[day]) for day in days}}
    analytes = bg.load_model(MODEL).analytes
    rows = [
        (person, day, minute, analyte, usual)
        for person in PEOPLE["subject"]
        for day, times in seen.items()
        for analyte, usual in zip(analytes, (90, 60, 500, 70), strict=True)
        for minute in times
    ]
    table = pd.DataFrame(rows, columns=["subject", "occasion", "time", "analyte", "value"])
    table["unit"] = table["analyte"].map({n: a.unit for n, a in analytes.items()})
    done = {person: {"test": TEST} | {day: DAYS[day] for day in days} for person in PEOPLE["subject"]}
    return Study.from_table(table, protocol=done, subjects=covariates, body_weight=75.0, name="simulated")


def simulation(number: int) -> dict:
    """Of one population: how often bands held, and where what is true lies among the draws of comparisons."""
    warnings.simplefilter("ignore")
    began = time.process_time()
    seed, measured, true = drawn(number)
    fit = bg.fit(MODEL, of_test(measured), random_seed=seed, **SETTINGS)
    return {
        "seed": seed,
        "clean": bg.check(fit, warn=False).clean,
        "bands": bands(fit, {"true": true, "measured": measured}, seed),
        "comparisons": compared(fit, seed),
        "processor_seconds": time.process_time() - began,
    }


def drawn(number: int) -> tuple[int, Study, Study]:
    """People of one population, as measured and as they are, and the seed that makes them. Whose equations
    cannot be solved is drawn again."""
    rng = np.random.default_rng([SEED, number])
    d, exact = design(people()), dict.fromkeys(bg.load_model(MODEL).analytes, 1e-9)
    while True:
        seed = int(rng.integers(2**31))
        try:
            asked = {"like": d.study, "random_seed": seed}
            measured = bg.simulate_study(MODEL, **asked)
            return seed, measured, bg.simulate_study(MODEL, sigma=exact, **asked)
        except bg.SolverError:
            continue


def of_test(study: Study) -> Study:
    """The oral test alone, of people whom no check for slips turns away."""
    test = people(days=())
    keys = ["subject", "analyte", "time"]
    measured = study.observations.to_dataframe().query("occasion == 'test'").set_index(keys)["value"]
    rows = pd.MultiIndex.from_frame(test.observations.to_dataframe()[keys])
    value = ("obs", measured.loc[rows].to_numpy(), test.observations["value"].attrs)
    return replace(test, observations=test.observations.assign(value=value))


def bands(fit: xr.DataTree, studies: dict[str, Study], seed: int) -> list[dict]:
    """How many of the values of a person, on a day, bands of 50 and 90 % held."""
    rows = []
    for kind, study in studies.items():
        for day, protocol in DAYS.items():
            asked = {"outputs": WHAT, "times": SEEN[day], "measured": kind == "measured"}
            found = bg.what_if(fit, protocol, random_seed=seed, occasion="another", **asked, **ASKED)
            obs = study.observations.to_dataframe().query("occasion == @day and time > 0")
            for name in WHAT:
                draws = found[name].squeeze("scenario").stack(each=("chain", "draw"))
                for person, values in obs[obs["analyte"] == name].groupby("subject"):
                    own = draws.sel(subject=str(person)).values
                    row = {"kind": kind, "day": day, "of": name, "person": str(person), "n": len(values)}
                    for level in LEVELS:
                        low, high = np.quantile(own, [0.5 - level / 2, 0.5 + level / 2], axis=-1)
                        held = (low <= values["value"]) & (values["value"] <= high)
                        row[f"held_{100 * level:.0f}"] = int(held.sum())
                    rows.append(row)
    return rows


def compared(fit: xr.DataTree, seed: int) -> list[dict]:
    """The share of draws of each comparison that lies below what is true of it."""
    rows = []
    same = [parameters(design(people(swapped)), seed) for swapped in (False, True)]
    more = {**same[0], "insulin_sensitivity": 1.3 * same[0]["insulin_sensitivity"]}
    is_ill = xr.DataArray([group == "T2D" for group in PEOPLE["group"]], dims="subject")
    ill = {n: xr.where(is_ill, same[0][n], same[1][n]) for n in same[0]}
    well = {n: xr.where(is_ill, same[1][n], same[0][n]) for n in same[0]}
    for name, variables, first, other in (
        ("insulin sensitivity x 1.3", MORE, same[0], more),
        ("T2D - NGT", GROUPS, well, ill),
    ):
        truth = _quantities(other) - _quantities(first)
        for quantity in OF:
            asked = {"of": quantity, "above": float(truth[quantity].mean()), "random_seed": seed, **ASKED}
            (row,) = bg.comparisons(fit, variables, **asked).to_dict("records")
            found = {"comparison": name, "of": quantity, "below": 1 - row["p_above"]}
            each = bg.comparisons(fit, variables, average=False, **asked).set_index("subject")
            own = truth[quantity]
            held = (each["lower"] <= own) & (own <= each["upper"])
            rows.append(found | {"people": len(own), "people_held": int(held.sum())})
    return rows


def design(study: Study) -> Design:
    """The model and these people put together."""
    return make_design(bg.load_model(MODEL), study)


def parameters(d: Design, seed: int) -> dict[str, xr.DataArray]:
    """Those of everyone on the day of the oral test, as `simulate_study` draws them."""
    theta = d.theta(d.draw_prior(1, np.random.default_rng(seed)).at(0))
    test = [t for t, (_, day) in enumerate(d.study.occasions) if day == "test"]
    coords, of_loop = {"subject": PEOPLE["subject"]}, assemble(d.spec.structure).parameters
    columns = {n: i for i, n in enumerate(d.individuals.columns) if n in of_loop}
    return {n: xr.DataArray(theta[test, i], coords) for n, i in columns.items()}


def _quantities(parameters: dict[str, xr.DataArray]) -> pd.DataFrame:
    """What is asked of an oral test, of everyone, without the package's quantities."""
    times = np.arange(0.0, 241.0, 5.0)
    curves = bg.simulate(MODEL, TEST, parameters, times, WHAT, body_weight=75.0)
    return pd.DataFrame(
        {
            "glucose_auc": np.trapezoid(curves.glucose, times, axis=-1),
            "glucose_at_120": curves.glucose.sel(time=120),
            "insulin_peak": curves.insulin.max("time"),
        },
        index=pd.Index(PEOPLE["subject"], name="subject"),
    )


def summed_up(found: list[dict]) -> dict:
    """Coverage with its interval over populations, and whether comparisons are calibrated."""
    frame = pd.concat([pd.DataFrame(one["bands"]).assign(simulation=i) for i, one in enumerate(found)])
    rows = []
    for (kind, day, name), part in frame.groupby(["kind", "day", "of"], sort=False):
        row = {"band": kind, "day": day, "of": name, "people": len(part), "values": int(part["n"].sum())}
        for level in LEVELS:
            key = f"held_{100 * level:.0f}"
            of_each = part.groupby("simulation")[[key, "n"]].sum()
            row |= {key: float(part[key].sum() / part["n"].sum())}
            low, high = _interval((of_each[key] / of_each["n"]).to_numpy())
            row |= {f"low_{100 * level:.0f}": low, f"high_{100 * level:.0f}": high}
        rows.append(row)
    comparisons = []
    frame = pd.concat([pd.DataFrame(one["comparisons"]).assign(simulation=i) for i, one in enumerate(found)])
    for (name, of), part in frame.groupby(["comparison", "of"], sort=False):
        below = part["below"].to_numpy()
        inside = int(((below > 0.05) & (below < 0.95)).sum())
        held = part["people_held"].sum() / part["people"].sum()
        row = {"comparison": name, "of": of, "populations": len(part), "held_90": inside / len(part)}
        row |= {"p_uniform": float(p_values(below[:, None])[0]), "people": int(part["people"].sum())}
        low, high = _interval((part["people_held"] / part["people"]).to_numpy())
        comparisons.append(row | {"people_held_90": float(held), "low_90": low, "high_90": high})
    seconds = float(sum(one["processor_seconds"] for one in found))
    clean = sum(one["clean"] for one in found)
    return {
        "bands": rows,
        "comparisons": comparisons,
        "simulations": len(found),
        "clean_fits": clean,
        "processor_seconds": seconds,
    }


def _interval(shares: np.ndarray) -> tuple[float, float]:
    """An interval of 95 % of the mean of populations' shares, from populations drawn again (bootstrap)."""
    rng = np.random.default_rng(1)
    means = shares[rng.integers(len(shares), size=(4000, len(shares)))].mean(1)
    return tuple(float(each) for each in np.quantile(means, [0.025, 0.975]))


def show_all() -> None:
    from benchmarks.report import read

    found = read("answers")
    columns = {"band": "band of", "day": "day", "of": "of", "people": "people", "held_90": "in 90 %"}
    show("Bands", found["rows"], columns | {"low_90": "from", "high_90": "to", "held_50": "in 50 %"})
    columns = {"comparison": "comparison", "of": "of", "held_90": "mean in 90 %", "p_uniform": "p"}
    show("Comparisons", found["comparisons"], columns | {"people_held_90": "people in 90 %"})


if __name__ == "__main__":
    main()
