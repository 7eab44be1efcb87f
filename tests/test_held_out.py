"""People who were left out are predicted from the others alone, with all that is uncertain about them."""

import numpy as np
import pytest
from simulated import simulated

import bayesglu
from bayesglu.analysis import population
from bayesglu.study.study import StudyError

QUICK = {"method": "laplace", "draws": 600, "random_seed": 1}


@pytest.fixture(scope="module")
def study():
    return simulated("oral", 6, noise=0.08, seed=3).study


@pytest.fixture(scope="module")
def left_out(study):
    return bayesglu.leave_one_out("oral", study, **QUICK)


@pytest.mark.long
def test_every_sample_that_a_fit_compares_has_a_band_with_its_median_inside(study, left_out):
    whole = bayesglu.fit("oral", study, progressbar=False, **QUICK)
    assert left_out.sizes["obs"] == sum(values.size for values in whole.observed_data.data_vars.values())
    assert (left_out.lower < left_out["median"]).all() and (left_out["median"] < left_out.upper).all()
    assert list(left_out.left_out_subject.values) == list(study.subjects)
    assert left_out.clean.sum() >= 5, (
        "of six; one of the others may have two modes where somebody is left out"
    )


def test_bands_of_new_subjects_are_wider_than_those_of_people_known(study, left_out):
    whole = bayesglu.fit("oral", study, progressbar=False, **QUICK)
    bands = whole.posterior_predictive.to_dataset().quantile([0.05, 0.95], ("chain", "draw"))
    known = np.concatenate([np.log(high / low) for low, high in bands.data_vars.values()]).mean()
    assert np.log(left_out.upper / left_out.lower).values.mean() > 1.2 * known


def test_nine_tenths_of_simulated_samples_lie_inside(left_out):
    counted = bayesglu.coverage(left_out)
    assert 0.8 <= counted.xs("all", level="subject")["inside"].sum() / left_out.sizes["obs"] <= 1.0
    glucose = counted.loc["glucose"]
    assert glucose.loc["all", "samples"] == glucose.drop("all")["samples"].sum()
    assert glucose.loc["all", "inside"] == int(left_out.inside[left_out.analyte == "glucose"].sum())


def test_what_a_person_left_out_was_measured_to_have_plays_no_part_in_their_band(study, left_out):
    person = study.subjects[0]
    table = study.observations.to_dataframe().drop(columns="line")
    table.loc[table["subject"] == person, "value"] *= 1.5
    table["unit"] = table["analyte"].map({"glucose": "mg/dL", "insulin": "pmol/L"})
    protocols = {test: protocol for test, protocol in study.protocols.items()}
    other = bayesglu.Study.from_table(table, protocol=protocols, body_weight=70.0)
    again = bayesglu.leave_one_out("oral", other, [person], **QUICK)
    first = left_out.isel(obs=(left_out.subject == person).values)
    np.testing.assert_allclose(again.upper, first.upper)
    assert not np.allclose(again.value, first.value)


def test_a_narrower_band_holds_fewer(study, left_out):
    half = bayesglu.leave_one_out("oral", study, [study.subjects[0]], probability=0.5, **QUICK)
    first = left_out.isel(obs=(left_out.subject == study.subjects[0]).values)
    assert (half.upper < first.upper).all() and (half.lower > first.lower).all()


def test_the_person_left_out_is_solved_as_precisely_as_the_others(study, monkeypatch):
    settings = {"rtol": 1e-4, "atol": 1e-5, "max_steps": 777}
    designs = []

    def make_design(*arguments, **solver):
        designs.append(solver)
        return real_design(*arguments, **solver)

    real_design = population.make_design
    monkeypatch.setattr(population, "make_design", make_design)
    bayesglu.leave_one_out("oral", study, [study.subjects[0]], method="laplace", draws=2, **settings)
    assert designs == [settings]


def test_nobody_can_be_predicted_from_nobody(study):
    with pytest.raises(ValueError, match="has one person, and a fit without them has nobody"):
        bayesglu.leave_one_out("oral", study.select(subjects=[study.subjects[0]]))
    with pytest.raises(StudyError, match="no subject 'Z'"):
        bayesglu.leave_one_out("oral", study, ["Z"])
    with pytest.raises(ValueError, match="between 0 and 1"):
        bayesglu.leave_one_out("oral", study, probability=90)
