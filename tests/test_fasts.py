"""Fasts of days: the study made of published tables, what the model `fasting` learns from it, and what it is
asked."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import bayesglu
from bayesglu import plots
from bayesglu.hierarchy.design import make_design
from bayesglu.physiology.loop import assemble
from bayesglu.study.study import StudyError, load_study
from bayesglu.validation.rothman1991 import (
    GLYCOGEN,
    GROUPS,
    HOURS,
    PRODUCTION,
    PUBLISHED,
    courses,
    fasting_study,
    imaged,
    net_shares,
)
from benchmarks.report import read

TIMES = np.array([4.0, 7, 10, 13, 16, 22, 28, 40, 46, 52, 64]) * 60
PEOPLE = [f"P{i}" for i in range(1, 8)]
LEARNT = ("fasting_production", "initial_glycogen", "glycogen_half_saturation", "gluconeogenic_share")
QUIET = {"progressbar": False}


def fasting_people(count: int = 7, noise: float = 0.07, seed: int = 3):
    """A study of simulated people over a fast, and their true parameters."""
    rng = np.random.default_rng(seed)
    spec = bayesglu.load_model("fasting")
    labels = [f"S{i + 1}" for i in range(count)]
    truth = {}
    for name in LEARNT:
        p = spec.parameters[name]
        values = [p.from_scale(p.location + p.between_subject.omega * z) for z in rng.normal(size=count)]
        truth[name] = xr.DataArray(values, dims="subject", coords={"subject": labels})
    outputs = list(spec.analytes)[-3:]
    true = bayesglu.simulate(spec, bayesglu.fast(hours=HOURS), truth, times=TIMES, outputs=outputs)
    rows = []
    for name in outputs:
        offset = spec.analytes[name].error_offset
        noisy = (true[name] + offset) * np.exp(noise * rng.normal(size=true[name].shape)) - offset
        rows += [
            (person, time, name, min(max(noisy.sel(subject=person, time=time).item(), 1e-3), 1e3))
            for person in labels
            for time in (TIMES if name == "liver_glycogen" else TIMES[5::3])
        ]
    table = pd.DataFrame(rows, columns=["subject", "time", "analyte", "value"])
    table["value"] = table["value"].where(
        table["analyte"] != "gluconeogenesis_share", table["value"].clip(upper=1)
    )
    table["unit"] = [spec.analytes[name].unit for name in table["analyte"]]
    return bayesglu.Study.from_table(
        table, protocol=bayesglu.fast(hours=HOURS), name="simulated fasts"
    ), truth


@pytest.fixture(scope="module")
def simulated_fasts():
    return fasting_people()


@pytest.fixture(scope="module")
def quick(simulated_fasts):
    return bayesglu.fit("fasting", simulated_fasts[0], method="laplace", draws=400, random_seed=1, **QUIET)


# --- the model ---


def test_a_fast_begins_at_the_last_meal_whenever_the_first_sample_was_taken():
    """A person first sampled late has the same curve as one sampled early."""
    spec = bayesglu.load_model("fasting")
    times = {"early": [240.0, 480.0, 1200.0], "late": [1200.0]}
    table = pd.DataFrame(
        [(who, t, "liver_glycogen", 200.0, "mmol/L") for who, ts in times.items() for t in ts],
        columns=["subject", "time", "analyte", "value", "unit"],
    )
    study = bayesglu.Study.from_table(table, protocol=bayesglu.fast(hours=HOURS))
    d = make_design(spec, study)
    predicted, _ = d.predict(np.tile(d.individuals.layout.fixed, (2, 1)))
    assert (d.solver.schedule.start == 0).all()
    expected = bayesglu.simulate(spec, bayesglu.fast(hours=HOURS), times=[1200.0], outputs=["liver_glycogen"])
    np.testing.assert_allclose(
        predicted[[2, 3]] - d.rows.offset[[2, 3]], expected.liver_glycogen.item(), rtol=1e-4
    )


def test_glycogen_runs_out_and_new_glucose_takes_over():
    outputs = ["liver_glycogen", "gluconeogenesis_share", "endogenous_glucose_production"]
    found = bayesglu.simulate("fasting", bayesglu.fast(hours=HOURS), times=TIMES, outputs=outputs)
    assert (np.diff(found.liver_glycogen) < 0).all()
    assert (np.diff(found.gluconeogenesis_share) > 0).all()
    assert (np.diff(found.endogenous_glucose_production) < 0).all()
    assert found.gluconeogenesis_share[-1] > 0.9 and found.liver_glycogen[-1] < 70


def test_people_differ_in_what_a_fast_teaches_and_in_nothing_else():
    spec = bayesglu.load_model("fasting")
    assert set(spec.varying) == set(LEARNT) and spec.at("shared") == ("liver_volume",)


# --- simulated people ---


@pytest.mark.long
def test_true_parameters_of_simulated_people_lie_in_their_intervals(simulated_fasts, quick):
    _, truth = simulated_fasts
    inside = []
    for name in LEARNT:
        low, high = (quick.posterior[name].quantile(q, ("chain", "draw")) for q in (0.05, 0.95))
        inside += list(((low <= truth[name]) & (truth[name] <= high)).values)
    assert 0.75 <= np.mean(inside) <= 1.0


def test_glycogen_teaches_the_initial_store_best(quick):
    table = bayesglu.summarize_individuals(quick)
    learnt = table.contraction.mean("subject").to_series()
    assert learnt.idxmax() == "initial_glycogen" and learnt["initial_glycogen"] > 0.6


def test_shares_are_those_of_the_trajectories_and_their_bands_are_in_order(quick):
    shares = net_shares(quick, draws=60)
    assert list(shares.index) == list(PUBLISHED)
    assert (shares["new_subject_lower"] < shares["new_subject"]).all() and (
        shares["new_subject"] < shares["new_subject_upper"]
    ).all()
    wide, narrow = (shares[f"{who}_upper"] - shares[f"{who}_lower"] for who in ("new_subject", "mean"))
    assert (narrow < wide).all()
    run = courses(quick, imaged(quick), ["liver_glycogen", "endogenous_glucose_production"], draws=60)
    begin, end = 22 * 60, 36 * 60
    volume = quick.posterior.liver_volume.sel(draw=run.draw)
    lost = (run.liver_glycogen.sel(time=begin) - run.liver_glycogen.sel(time=end)) * volume * 180.16
    made = run.endogenous_glucose_production.sel(time=slice(begin, end)).integrate("time")
    by_hand = float((1 - lost / made).mean("subject").median())
    assert shares.loc["next 14 h", "mean"] == pytest.approx(by_hand, abs=2e-3)


def test_the_figure_has_a_panel_a_person_their_samples_and_bands_and_units_on_its_axes(quick):
    figure = plots.fasting(quick, draws=20, n_new=4)
    axes = {axis.get_title(loc="left"): axis for axis in figure.axes}
    for person in imaged(quick):
        axis = axes[f"Person {person}"]
        assert len(axis.collections) == 2
        dots = next(line for line in axis.lines if line.get_marker() == "o")
        assert len(dots.get_xdata()) == len(TIMES) and dots.get_xdata()[0] == 4
    assert axes["Person S1"].get_ylabel() == "liver glycogen (mmol/L)"
    assert axes["Everyone, and the population"].get_xlabel() == "hours since the last meal"
    assert {axis.get_ylabel() for axis in figure.axes} >= {"mg/kg/min", "share (%)"}


def test_a_fit_without_glycogen_has_no_such_figure(simulated_fasts):
    study = simulated_fasts[0].select(analytes=["gluconeogenesis_share"])
    fit = bayesglu.fit("fasting", study, method="laplace", draws=20, random_seed=1, **QUIET)
    with pytest.raises(ValueError, match="Nobody in this fit has samples of liver_glycogen"):
        plots.fasting(fit)


# --- the study made of published tables; the figures here are invented ---


@pytest.fixture
def tables(tmp_path):
    glycogen = """study,subject_or_group,time_min,glycogen,error,unit,note
    Magnusson1992,normal,240,280,60,mmol/L liver,a group
    Rothman1991,P1,240,370,,mmol/L liver,individual
    Rothman1991,P1,1320,150,,mmol/L liver,individual
    Rothman1991,P1,4330,240,,mmol/L liver,refed
    Rothman1991,P2,420,300,,mmol/L liver,individual
    """
    production = """group,method,reference,fast_h_text,fast_h,HGP_umol_kg_min,GNG,GLY,GNG_over_HGP_pct
    normal,13C-NMR,Rothman1991 ,22,22,12,8,4,64
    normal,2H2O,One2000 ,14,14,10,5,5,50
    normal,2H2O,Two2001 ,14,14,12,7,5,60
    normal,14C-glucose,Three2002 ,14,14,14,4,10,30
    normal,2H2O,Four2003 ,,,9,5,4,55
    T2DM,2H2O,Five2004 ,14,14,20,14,6,70
    """
    (tmp_path / GLYCOGEN).write_text(glycogen.replace("\n    ", "\n"), encoding="utf-8")
    (tmp_path / PRODUCTION).write_text(production.replace("\n    ", "\n"), encoding="utf-8")
    return tmp_path


def test_the_study_has_the_fasting_samples_and_the_means_of_healthy_groups_and_not_what_is_asked(tables):
    study = fasting_study(tables)
    assert study.subjects == ("P1", "P2", GROUPS)
    seen = study.used.to_dataframe().set_index(["subject", "analyte", "time"])["value"]
    assert dict(seen["P1", "liver_glycogen"]) == {240: 370, 1320: 150}
    assert list(seen[GROUPS, "endogenous_glucose_production"].index) == [840]
    assert seen[GROUPS, "endogenous_glucose_production", 840] == pytest.approx(12 * 0.18016)
    assert seen[GROUPS, "gluconeogenesis_share", 840] == pytest.approx(0.55)
    assert fasting_study(tables, groups=False) == study.select(subjects=["P1", "P2"])


def test_the_study_can_be_written_as_a_folder_that_is_read_again(tables, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "bayesglu.validation.rothman1991", str(tables), str(tmp_path / "fasts")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == str(tmp_path / "fasts")
    assert load_study(tmp_path / "fasts") == fasting_study(tables)


def test_all_that_is_wrong_with_the_tables_is_told_at_once(tables, tmp_path):
    text = (tables / GLYCOGEN).read_text(encoding="utf-8").replace("time_min", "time_minutes")
    (tables / GLYCOGEN).write_text(text, encoding="utf-8")
    (tables / PRODUCTION).rename(tables / "glucose_production_in_fastin.csv")
    with pytest.raises(StudyError) as caught:
        fasting_study(tables)
    told = str(caught.value)
    assert f"no file '{PRODUCTION}'. Did you mean 'glucose_production_in_fastin.csv'?" in told
    assert "no column 'time_min'. Did you mean 'time_minutes'?" in told
    with pytest.raises(StudyError, match=r"no file 'liver_glycogen.csv'. Found: no tables. Give the folder"):
        fasting_study(tmp_path / "nowhere")


def test_a_table_without_the_people_says_whom_it_has(tables):
    text = (tables / GLYCOGEN).read_text(encoding="utf-8").replace("Rothman1991", "Somebody2000")
    (tables / GLYCOGEN).write_text(text, encoding="utf-8")
    with pytest.raises(
        StudyError, match=r"no samples of Rothman1991.* Studies found: Magnusson1992, Somebody2000"
    ):
        fasting_study(tables)


def test_a_share_in_percent_is_a_fraction_and_one_above_the_whole_is_refused():
    row = {"subject": "1", "time": 0, "analyte": "gluconeogenesis_share"}

    def study(value, unit):
        return bayesglu.Study.from_table(
            pd.DataFrame([{**row, "value": value, "unit": unit}]), protocol="fast(hours=2)"
        )

    assert study(64, "%") == study(0.64, "1")
    with pytest.raises(StudyError, match=r"outside the plausible 0 to 1 1\. Is the unit '%'\?"):
        study(64, "1")


# --- the seven people ---


@pytest.fixture(scope="module")
def seven(shared_data):
    return fasting_study(shared_data / "literature")


def test_seven_people_were_followed_and_nothing_after_they_ate_is_used(seven):
    people = seven.select(analytes=["liver_glycogen"])
    assert list(people.subjects) == PEOPLE
    assert people.used.sizes["obs"] == 71 and people.used.time.max() <= 60 * HOURS
    assert seven.analytes == ("liver_glycogen", "endogenous_glucose_production", "gluconeogenesis_share")


@pytest.mark.long
def test_published_shares_lie_in_the_band_of_one_person_more_though_not_shown(seven):
    fit = bayesglu.fit("fasting", seven, method="laplace", random_seed=1, **QUIET)
    shares = net_shares(fit, draws=200)
    assert shares["in_new_subject_band"].all()


def test_the_fit_of_the_seven_people_is_clean(seven):
    """It takes minutes: `python -m benchmarks.fasting_fit` keeps its verdict, and what bands of people who
    were left out hold."""
    kept = read("fasting_fit")
    spec = bayesglu.load_model("fasting")
    again = "the fit is of another model, study or equations: run python -m benchmarks.fasting_fit"
    assert (kept["model"], kept["study"]) == (spec.hash, seven.hash), again
    now = assemble(spec.structure).fingerprint(spec.medians)
    assert {name: now.get(name) for name in kept["equations"]} == pytest.approx(kept["equations"]), again
    assert kept["clean"], kept["verdict"]
    assert kept["left_out"]["samples"] == 71
    assert 0.85 <= kept["left_out"]["share"] <= 0.95
