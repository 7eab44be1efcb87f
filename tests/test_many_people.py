"""Many people given a population: each as if alone, kept by portions, whoever works on them."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesglu as bg
from bayesglu.analysis import many_people
from bayesglu.analysis.diagnostics import mixing
from bayesglu.errors import FitWarning, InputError, RunWarning
from benchmarks import many_people as benchmark
from benchmarks.report import read

FEW = {
    "draws": 60,
    "population_draws": 40,
    "portion": 2,
    "progressbar": False,
    "random_seed": 5,
    "executor": 1,
}


@pytest.fixture(scope="module")
def people():
    spec, free = bg.load_model("ivgtt"), {"basal_glucose", "basal_insulin", "insulin_sensitivity"}
    spec = spec.with_changes(parameters={n: {"level": "fixed"} for n in spec.estimated if n not in free})
    return spec, bg.simulate_study(
        spec, protocol="ivgtt(0.3)", times=[0, 10, 25, 60], subjects=11, population="medians", random_seed=3
    )


@pytest.fixture(scope="module")
def population(people):
    spec, study = people
    quick = {"method": "laplace", "draws": 400, "random_seed": 1, "progressbar": False}
    return bg.fit(spec, study.select(study.subjects[:6]), **quick)


@pytest.fixture(scope="module")
def new(people):
    return people[1].select(people[1].subjects[6:])


@pytest.fixture(scope="module")
def many(population, new, tmp_path_factory):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        return bg.fit_many(population, new, tmp_path_factory.mktemp("many") / "new", **FEW).load()


@pytest.mark.filterwarnings("ignore::bayesglu.FitWarning")
def test_each_person_is_as_if_nobody_else_had_come(population, new, many):
    assert list(many.subject.values) == list(new.subjects)
    assert set(many.failed.values) == {""}
    for i in (0, 3):
        alone = bg.fit_person(population, new.select([new.subjects[i]]), 400, 2, population_draws=200)
        for name in ("basal_glucose", "basal_insulin", "insulin_sensitivity"):
            own, other = many[name].values[i], alone.posterior[name].values.ravel()
            # Draws with weights: their effective number is at most that of the population's draws.
            ess = min(60.0, float(many.population_ess[i])), float(alone["importance"].population_ess)
            below = (own < np.median(other)).mean()
            assert abs(below - 0.5) < 4.5 * np.sqrt(0.25 / min(ess[0], 40) + 0.25 / ess[1])
            assert mixing(own[None, :, None]).ess_bulk[0] > 20
    assert many.insulin_sensitivity.attrs["units"] == "L/pmol/min"


@pytest.mark.filterwarnings("ignore::bayesglu.FitWarning")
def test_what_is_kept_is_not_made_again_and_is_the_same(population, new, many, tmp_path, monkeypatch):
    made, real = [], many_people.portion_of_people

    def counted(spec, study, *rest):
        made.append(study.subjects)
        if len(made) == 3:
            raise KeyboardInterrupt
        return real(spec, study, *rest)

    monkeypatch.setattr(many_people, "portion_of_people", counted)
    with pytest.raises(KeyboardInterrupt):
        bg.fit_many(population, new, tmp_path / "new", **FEW)
    again = bg.fit_many(population, new, tmp_path / "new", **FEW | {"random_seed": None})
    assert made == [new.subjects[:2], new.subjects[2:4], new.subjects[4:], new.subjects[4:]]
    xr.testing.assert_identical(again.load(), many)
    with pytest.raises(InputError, match="holds a fit-many of another kind: draws differs"):
        bg.fit_many(population, new, tmp_path / "new", **FEW | {"draws": 30})


@pytest.mark.filterwarnings("ignore::bayesglu.FitWarning")
def test_damaged_draws_of_people_are_made_again(population, new, many, tmp_path):
    bg.fit_many(population, new, tmp_path / "new", **FEW)
    chunk = tmp_path / "new" / "people.zarr" / "insulin_sensitivity" / "c" / "1" / "0"
    label = tmp_path / "new" / "people.zarr" / "subject" / "c" / "0"
    for path, which in ((chunk, "1"), (label, "0, 1, 2")):
        content = bytearray(path.read_bytes())
        content[-9] ^= 1
        path.write_bytes(content)
        with pytest.warns(RunWarning, match=rf"draws of portion {which} are not as they were written"):
            again = bg.fit_many(population, new, tmp_path / "new", **FEW)
        xr.testing.assert_identical(again.load(), many)


def test_who_cannot_be_solved_is_told_and_the_others_are_there(population, new, tmp_path, monkeypatch):
    real, lost = many_people._drawn, new.subjects[1]

    def drawn(spec, study, *rest):
        if lost in study.subjects:
            raise bg.SolverError("maximum number of steps reached.")
        return real(spec, study, *rest)

    monkeypatch.setattr(many_people, "_drawn", drawn)
    with pytest.warns(FitWarning, match=f"There are no draws of subject {lost}. {lost}: maximum number"):
        found = bg.fit_many(
            population, new.select(new.subjects[:3]), tmp_path / "new", **FEW | {"portion": 3}
        )
    assert np.isnan(found.insulin_sensitivity.sel(subject=lost)).all()
    assert np.isfinite(found.insulin_sensitivity.sel(subject=[new.subjects[0], new.subjects[2]])).all()
    assert dict(zip(found.subject.values, found.failed.values, strict=True))[lost].startswith("maximum")


def test_a_person_who_lacks_a_covariate_that_some_of_the_population_lack_is_drawn():
    spec, free = bg.load_model("ivgtt"), {"basal_glucose", "basal_insulin", "insulin_sensitivity"}
    spec = spec.with_changes(parameters={n: {"level": "fixed"} for n in spec.estimated if n not in free})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = bg.simulate_study(
            spec, protocol="ivgtt(0.3)", times=[0, 10, 60], subjects=5, population="medians", random_seed=3,
            covariates=pd.DataFrame({"subject": list("ABCDE"), "bmi": [22.0, 30, 25, 33, 27]}),
        )  # fmt: skip
        table = study.covariates.assign(bmi=("subject", [22.0, 30, np.nan, 33, np.nan]))
        lacking = replace(study, covariates=table)
        known = lacking.select(list("ABCD"))
        quick = {"method": "laplace", "draws": 60, "random_seed": 1, "progressbar": False}
        population = bg.fit(spec, known, **quick)
        found = bg.fit_person(population, lacking.select(["E"]), 50, 1, population_draws=50)
    drawn = found.posterior.bmi_missing.sel(bmi_missing_subject="E")
    assert 15 < float(drawn.mean()) < 45 and float(drawn.std()) > 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"draws": 0}, "draws is 0"),
        ({"population_draws": 3}, "population_draws is 3"),
        ({"portion": 0}, "portion is 0"),
        ({"executor": "dask"}, "executor is of type str"),
        ({"rtool": 1}, "rtool"),
    ],
)
def test_settings_that_cannot_be_used_are_refused_first(population, new, tmp_path, asked, words):
    with pytest.raises(InputError, match=words):
        bg.fit_many(population, new, tmp_path / "new", **FEW | asked)
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="something else than a fit-many"):
        bg.fit_many(population, new, tmp_path, **FEW)


def test_what_is_kept_of_many_people_is_of_today_and_grows_as_they_do():
    """If it is not: python -m benchmarks many_people"""
    kept = read("many_people")
    assert kept["model_hash"] == benchmark.model().hash
    assert kept["population_hash"] == benchmark.simulated(benchmark.POPULATION, benchmark.SEED).hash
    size = np.array([row["people"] for row in kept["rows"]], float)
    assert len(size) >= 3 and size[-1] >= 4 * size[0]
    seconds = np.array([row["processor_seconds"] for row in kept["rows"]])
    assert np.polyfit(np.log(size), np.log(seconds), 1)[0] < 1.1
    assert kept["rows"][-1]["memory_gib"] < 1.3 * kept["rows"][0]["memory_gib"]
    # By weights and in earnest, each with its own Monte Carlo error; where weights are even enough.
    left_out = kept["left_out"]
    columns = (left_out[n] for n in ("by_weights", "in_earnest", "error", "pareto_k"))
    even = [(abs(a - b), error) for a, b, error, k in zip(*columns, strict=True) if k <= 0.7]
    assert even and all(away < 4.5 * error for away, error in even)
