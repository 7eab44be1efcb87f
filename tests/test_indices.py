"""Indices: their formulas by worked numbers, posteriors beside raw numbers, reasons where there is none."""

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fake_fit import fake_fit
from scipy.stats import spearmanr

import bayesglu as bg
from bayesglu.analysis import index_formulas as formulas
from bayesglu.analysis.index_table import CLAMP, INDICES, INTRAVENOUS, ORAL, Case
from bayesglu.analysis.indices import kind_of
from bayesglu.analysis.sampled_test import NotKnown, SampledTest
from bayesglu.analysis.summaries import minimal_model_indices
from bayesglu.errors import InputError
from bayesglu.protocols.parse import parse_protocol

MINUTES = np.array([0.0, 30, 60, 90, 120])
GLUCOSE = np.array([93.0, 129, 178, 164, 97])
INSULIN = 6.0 * np.array([12.8, 30.7, 68.5, 74.1, 44.0])


def oral(glucose=GLUCOSE, insulin=INSULIN, times=MINUTES, **about):
    values = {"glucose": np.asarray(glucose, float), "insulin": np.asarray(insulin, float)}
    return SampledTest(dict.fromkeys(values, np.asarray(times, float)), values, **about)


# --- formulas ---


def test_fasting_indices_are_those_of_the_papers():
    healthy = 4.5 * 18.016, 5 * 6.0  # Matthews 1985: resistance 1 and function 100 % by definition
    assert formulas.homa_ir(*healthy) == pytest.approx(1.0)
    assert formulas.homa_b(*healthy) == pytest.approx(100.0)
    assert formulas.quicki(100.0, 60.0) == pytest.approx(1 / 3)
    assert np.isnan(formulas.homa_b(3.5 * 18.016, 60.0))
    assert np.isnan(formulas.quicki(90.0, 0.0))


def test_matsuda_is_that_of_a_public_code():
    assert formulas.matsuda(oral()) == pytest.approx(3.43125, abs=5e-6)


def test_ogis_is_that_of_its_authors_calculator():
    # The example of webmet.pd.cnr.it/ogis: 170 cm, 70 kg; insulin at 120 min does not count.
    test = oral([90, 135, 115], [90, 900, 0], [0, 90, 120], glucose_dose=75, body_weight=70, height=170)
    assert formulas.ogis(test) == pytest.approx(344.5, abs=0.05)
    for wrong, why in (({"glucose_dose": 50}, "the dose is 50 g"), ({"height": np.nan}, "height is unknown")):
        about = {"glucose_dose": 75, "body_weight": 70, "height": 170, **wrong}
        with pytest.raises(NotKnown, match=why):
            formulas.ogis(oral([90, 135, 115], [90, 900, 0], [0, 90, 120], **about))


def test_other_indices_of_an_oral_test_are_as_written():
    expected = 0.156 - 0.0000459 * 264.0 - 0.000321 * 76.8 - 0.00541 * 97 / 18.016
    assert formulas.stumvoll(oral()) == pytest.approx(expected)
    assert np.isnan(formulas.stumvoll(oral(insulin=20 * INSULIN)))
    index = (30.7 - 12.8) / (129 - 93)
    assert formulas.insulinogenic(oral()) == pytest.approx(index)
    assert formulas.oral_disposition(oral()) == pytest.approx(index * 3.43125, rel=1e-5)
    assert np.isnan(formulas.insulinogenic(oral(glucose=[93, 93, 178, 164, 97])))


def test_a_clamp_and_an_injection_are_read_where_they_are_steady_and_acute():
    times = np.arange(0.0, 121.0, 10.0)
    given = np.where(times < 120, 7.0, 0.0)
    values = {"glucose": np.full(13, 90.0), "insulin": np.full(13, 420.0), "glucose_infusion": given}
    test = SampledTest(dict.fromkeys(values, times), values)
    assert formulas.m_value(test) == pytest.approx(7.0)
    assert formulas.clamp_isi(test) == pytest.approx(10.0)
    falling = {**values, "glucose": np.linspace(200, 90, 13)}
    assert np.isnan(formulas.m_value(SampledTest(dict.fromkeys(falling, times), falling)))
    vein = oral([90.0] * 5, [60.0, 360, 360, 240, 60], [0, 2, 4, 6, 10])
    assert formulas.acute_insulin_response(vein) == pytest.approx(50 * 2 / 2 + 50 * 2 + 40 * 2 + 15 * 4)


def test_draws_are_computed_as_one_after_the_other():
    several = oral(np.stack([GLUCOSE, 1.1 * GLUCOSE]), np.stack([INSULIN, 0.8 * INSULIN]))
    alone = [formulas.matsuda(oral()), formulas.matsuda(oral(1.1 * GLUCOSE, 0.8 * INSULIN))]
    np.testing.assert_allclose(formulas.matsuda(several), alone)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"times": [5, 30, 60, 90, 120]}, "no insulin before the dose"),
        ({"times": [0, 20, 60, 90, 120]}, "no insulin at 30 min"),
        ({"times": [0, 30, 60, 80, 100]}, "fewer than 4 samples of glucose from 0 to 120 min"),
    ],
)
def test_what_a_formula_lacks_is_said(change, why):
    with pytest.raises(NotKnown, match=why):
        formulas.oral_disposition(oral(**change))


def test_every_index_tells_what_it_is_and_refuses_a_person_of_whom_nothing_is_known():
    for name, index in INDICES.items():
        assert index.title and index.unit and index.formula and index.source and index.nothing
        with pytest.raises(NotKnown):
            index.value(Case({ORAL: "none", INTRAVENOUS: "none", CLAMP: "none"}))
            pytest.fail(name)


# --- of studies and fits ---


def test_protocols_are_told_apart():
    kinds = {"ogtt(75)": ORAL, "ivgtt(0.3)": INTRAVENOUS, "meal(60)": None, "fast(10)": None}
    kinds |= {"clamp(90)": None, "ogtt(75) + ogtt(75).shift(300)": None}
    assert {text: kind_of(parse_protocol(text)) for text in kinds} == kinds


def test_a_study_has_raw_indices_and_says_what_it_lacks():
    found = bg.indices("synthetic_ogtt")
    assert set(found.data_vars) == {"raw", "why_raw"}
    assert np.isfinite(found.raw.sel(index=["homa_ir", "matsuda", "insulinogenic"])).all()
    assert "height is unknown" in str(found.why_raw.sel(index="ogis", subject="P01").item())
    assert str(found.why_raw.sel(index="clamp_m", subject="P01").item()) == "only of a model"
    vein = bg.indices("bergman1986", ["airg", "matsuda"])
    assert 100 < float(vein.raw.sel(index="airg", subject="1")) < 1000
    assert str(vein.why_raw.sel(index="matsuda", subject="1").item()) == "no oral test"


def test_raw_indices_of_real_people_go_with_their_clamps(shared_data):
    folder = shared_data / "ohashi2015"
    clamps = pd.read_csv(folder / "clamp_indices_half.csv", dtype={"subject": str}).set_index("subject")
    table = pd.read_csv(folder / "observations.csv", dtype={"subject": str})
    table = table[table["subject"].isin(clamps.index) & table["analyte"].isin(["glucose", "insulin"])]
    about = pd.read_csv(folder / "subjects.csv", dtype={"subject": str})
    about = about[about["subject"].isin(clamps.index)][["subject", "height_cm", "weight_kg"]]
    study = bg.Study.from_table(
        table.rename(columns={"time_min": "time"}),
        protocol="ogtt(75)",
        subjects=about.rename(columns={"height_cm": "height", "weight_kg": "weight"}),
        datasheet={"units": {"height": "cm", "weight": "kg"}},
    )
    table = bg.indices(study, ["matsuda", "ogis", "stumvoll", "homa_ir", "insulinogenic"])
    found = table.raw
    assert found.sizes["subject"] == 60
    missing = table.why_raw.where(found.isnull(), drop=True).to_series().replace("", np.nan).dropna()
    assert missing.loc["ogis"].to_dict() == dict.fromkeys(["5", "93"], "no glucose at 90 min")
    assert missing.loc["stumvoll"].index.tolist() == ["104"] and len(missing) == 3
    # OGIS of lean people without diabetes is 440 (SE 16), in type 2 diabetes 239 (7): Mari 2001.
    assert 300 < float(found.sel(index="ogis").median()) < 480
    clamp = clamps.loc[found.subject.values]
    sensitivity, first_phase = (
        clamp["isi_gir_per_glucose_insulin"],
        clamp["first_phase_auc_insulin_0_10_uU_mL_min"],
    )
    signs = {"matsuda": 1, "ogis": 1, "stumvoll": 1, "homa_ir": -1}
    for name, sign in signs.items():
        rank = spearmanr(found.sel(index=name), sensitivity, nan_policy="omit").statistic
        assert sign * rank > 0.45, name
    assert spearmanr(found.sel(index="insulinogenic"), first_phase).statistic > 0.6


@pytest.fixture(scope="module")
def people():
    study = bg.load_study("synthetic_ogtt").select(["P01", "P02", "P03"], ["glucose", "insulin"])
    return bg.fit("oral", study, method="laplace", draws=60, random_seed=1, progressbar=False)


@pytest.fixture(scope="module")
def found(people):
    return bg.indices(people)


def test_a_fit_has_posteriors_beside_raw_indices(people, found):
    assert found.sizes["subject"] == 3 and found.sizes["index"] == len(INDICES)
    fasting = people.posterior.basal_glucose * people.posterior.basal_insulin / 6.0 / 18.016 / 22.5
    own = found.sel(index="homa_ir")
    np.testing.assert_allclose(own["median"], fasting.median(("chain", "draw")), rtol=1e-6)
    assert ((own.lower < own["median"]) & (own["median"] < own.upper)).all()
    near = np.log(found["median"] / found.raw).sel(index=["homa_ir", "quicki", "matsuda"])
    assert (np.abs(near) < 0.5).all()
    told = ["clamp_m", "clamp_isi", "phi_total", "airg", "production_suppression", "insulin_clearance"]
    assert np.isfinite(found["median"].sel(index=told)).all()
    assert "tissues saturate" in str(found.why.sel(index="insulin_sensitivity", subject="P01").item())
    assert np.isnan(found["median"].sel(index=["insulin_sensitivity", "glucagon_suppression"])).all()


def test_the_minimal_model_has_its_own_indices_and_says_why_it_has_no_others():
    fit = bg.fit("minimal", "bergman1986", method="laplace", draws=200, random_seed=1, progressbar=False)
    found = bg.indices(fit, ["insulin_sensitivity", "glucose_effectiveness", "matsuda", "homa_ir"])
    own, kept = found.sel(subject="1"), minimal_model_indices(fit)
    for name in ("insulin_sensitivity", "glucose_effectiveness"):
        np.testing.assert_allclose(own["median"].sel(index=name), kept[name].median(), rtol=1e-6)
    assert "driven by measured insulin" in str(own.why.sel(index="matsuda").item())
    assert str(own.why_raw.sel(index="homa_ir").item()) == "the fit does not keep the samples: give the study"
    again = bg.indices(fit, "homa_ir", study="bergman1986")
    assert np.isfinite(again.raw).all()
    with pytest.raises(InputError, match="has no subject 1"):
        bg.indices(fit, "homa_ir", study="synthetic_ogtt")


def test_where_an_index_means_nothing_in_many_draws_it_is_no_number(people, monkeypatch):
    some = people.posterior.basal_glucose.values.copy()
    some[:, ::2] = 60.0  # below 3.5 mmol/L
    low = people.copy()
    posterior = people.posterior.to_dataset()
    low["posterior"] = xr.DataTree(posterior.assign(basal_glucose=posterior.basal_glucose.copy(data=some)))
    own = bg.indices(low, "homa_b").sel(index="homa_b")
    assert np.isnan(own["median"]).all() and np.isnan(own.draws).all()
    assert str(own.why[0].item()).startswith("In 50 % of draws: where fasting glucose is 3.5 mmol/L or less")


def test_ranks_are_those_of_the_draws():
    draws = np.array([[3.0, 3, 3, 3], [2, 2, 1, 2], [1, 1, 2, 1]])
    table = xr.Dataset(
        {
            "draws": (("index", "subject", "sample"), draws[None]),
            "median": (("index", "subject"), np.median(draws, axis=1)[None]),
            "raw": (("index", "subject"), np.array([[1.0, 2.0, np.nan]])),
        },
        coords={"index": ["matsuda"], "subject": ["A", "B", "C"]},
    )
    ranked = bg.ranking(table, "matsuda")
    assert ranked.subject.values.tolist() == ["A", "B", "C"]
    np.testing.assert_allclose(ranked.probability_of_rank, [[1, 0, 0], [0, 0.75, 0.25], [0, 0.25, 0.75]])
    np.testing.assert_array_equal(ranked.raw_rank, [2, 1, np.nan])
    with pytest.raises(InputError, match="1 people have matsuda: there is nothing to rank"):
        bg.ranking(table.isel(subject=[0]), "matsuda")


def test_a_picture_shows_everyone_who_has_a_number(found):
    figure = bg.plots.index(found, "matsuda")
    left, right = figure.axes
    assert sorted(label.get_text() for label in left.get_yticklabels()) == ["P01", "P02", "P03"]
    assert right.get_xlabel() == "rank, 1 is the largest"
    assert [text.get_text() for text in figure.legends[0].get_texts()][1] == "raw samples"
    assert len(bg.plots.index(found, "clamp_m").legends[0].get_texts()) == 1
    with pytest.raises(InputError, match="0 people have insulin_sensitivity"):
        bg.plots.index(found, "insulin_sensitivity")


def test_a_fit_without_data_or_weights_says_so():
    fit = fake_fit("oral", subjects=2, draws=20)
    known = fit["constant_data"].to_dataset()
    fit["constant_data"] = xr.DataTree(known.assign(body_weight=known.body_weight * np.nan))
    own = bg.indices(fit, ["matsuda", "clamp_m"], draws=10).isel(subject=0)
    assert "body weight" in str(own.why.sel(index="matsuda").item())
    assert np.isfinite(own["median"].sel(index="clamp_m"))
