"""Models are compared by the people that they predict: numbers as ArviZ's, sentences, and what is refused."""

import arviz_stats as azs
import numpy as np
import pytest
import xarray as xr
from arviz_stats.utils import ELPDData
from fake_fit import fake_fit

import bayesglu as bg
from bayesglu.analysis.cross_validation import LEFT_OUT
from bayesglu.analysis.model_comparison import judged
from bayesglu.errors import InputError


def people(*rows, **more) -> xr.Dataset:
    subjects = [f"P{i:02d}" for i in range(len(rows[0]))]
    elpd = (("model", "subject"), np.array(rows, float))
    return xr.Dataset({"elpd": elpd, **more}, {"model": list("abcd")[: len(rows)], "subject": subjects})


def test_numbers_are_those_of_arviz():
    rng = np.random.default_rng(1)
    own = people(*(rng.normal(-20 + i, 3, 40) for i in (0, 2, 1)))
    found = judged(own)
    given = {
        m: ELPDData(
            elpd=float(e.sum()), se=float(np.sqrt(40) * e.std()), p=0, n_samples=1, n_data_points=40,
            scale="log", warning=False, good_k=0.7, elpd_i=e,
        )
        for m, e in zip("abc", own.elpd, strict=True)
    }  # fmt: skip
    theirs = azs.compare(given, round_to="none")
    assert list(found.table.index) == list(theirs.index) == ["b", "c", "a"]
    for ours, name in (("elpd", "elpd"), ("difference", "elpd_diff"), ("difference_se", "dse")):
        np.testing.assert_allclose(found.table[ours], theirs[name].astype(float))
    np.testing.assert_allclose(found.table["weight"], theirs["weight"].astype(float), atol=1e-3)


def test_log_densities_that_are_too_small_for_exp_have_weights_too():
    found = judged(people(np.full(5, -2000.0), np.full(5, -2010.0)))
    assert found.table["weight"].to_dict() == pytest.approx({"a": 1.0, "b": 0.0}, abs=1e-6)


def test_who_decides_is_told():
    found = judged(people([0.0, 0, 0, 0, 0, 0], [20.0, 9, -2, -2, -2, -2]))
    assert "cannot be distinguished" in found.headline
    assert "'b' predicts 2 of 6 people better. Without 2 persons (P00, P01) 'a' would" in found.sentences[0]
    assert "P00 (+20.0), P01 (+9.0)" in found.sentences[1]
    assert str(found).startswith(found.headline)


def test_a_clear_difference_is_told_and_its_error_with_few_people_is_doubted():
    better = judged(people(np.zeros(9), np.linspace(1, 2, 9)))
    assert better.headline.startswith("'b' predicts people better than 'a': its elpd is higher by 13.5")
    assert any("With 9 people the standard error itself is uncertain" in told for told in better.sentences)
    many = judged(people(np.zeros(120), np.linspace(1, 2, 120)))
    assert not any("itself is uncertain" in told for told in many.sentences)
    assert "no few of them decide" in many.sentences[0]


def test_weights_that_are_too_uneven_and_a_large_monte_carlo_error_are_told():
    k = (("model", "subject"), [[0.2, 0.9, 0.1], [0.1, 0.2, 0.8]])
    again = (("model", "subject"), [[False, False, False], [False, False, True]])
    error = (("model", "subject"), np.full((2, 3), 2.0))
    found = judged(people([0, 0, 0], [1, 2, 1], pareto_k=k, refitted=again, error=error))
    assert any("too uneven for subject P01: not refitted" in told for told in found.sentences)
    assert any("Monte Carlo error of the difference is 4.9" in told for told in found.sentences)
    assert list(found.table["refitted"]) == [1, 0]


def test_a_picture_shows_differences_errors_and_who_decides():
    error = (("model", "subject"), np.full((2, 6), 0.5))
    found = judged(people([0.0, 0, 0, 0, 0, 0], [20.0, 9, -2, -2, -3, -2], error=error))
    figure = bg.plots.comparison(found)
    left, right = figure.axes
    (_, limits, (bars,)) = left.containers[0]
    assert not limits
    ends = [segment[:, 0] for segment in bars.get_segments()]
    np.testing.assert_allclose([end.mean() for end in ends], found.table["difference"])
    np.testing.assert_allclose([np.ptp(end) for end in ends], 4 * found.table["difference_se"])
    dots = right.collections[-1].get_offsets()
    np.testing.assert_allclose(dots[:, 1], [20, 9, -2, -2, -2, -3])
    (line,) = [own for own in right.lines if own.get_linestyle() == "--"]
    assert line.get_xdata()[0] == 2.5  # without two 'a' would be the better one, as the sentence says
    assert {"P00", "P01", "P04"} <= {text.get_text() for text in right.texts}
    assert found.headline[:40] in figure.get_suptitle()
    with pytest.raises(InputError, match=r"plots\.comparison draws what compare returns, not dict"):
        bg.plots.comparison({})


def folds(shift=0.0, fold_of=("1", "2", "2"), **changes) -> xr.Dataset:
    """As `cross_validate` returns it."""
    who = ["A", "B", "C"]
    columns = {
        "subject": who,
        "occasion": ["1"] * 3,
        "analyte": ["glucose"] * 3,
        "time": [0.0, 0.0, 0.0],
        "value": [90.0, 95.0, 100.0],
        "censoring": ["none"] * 3,
    } | changes
    found = xr.Dataset({n: ("obs", v) for n, v in columns.items()}, {LEFT_OUT: who})
    own = {"elpd": np.array([-3.0, -2, -4]) + shift, "elpd_error": np.full(3, 0.01), "fold_of": list(fold_of)}
    return found.assign({n: (LEFT_OUT, v) for n, v in own.items()})


def test_folds_are_compared_where_they_are_the_same_people_apart():
    found = bg.compare({"a": folds(), "b": folds(3.0, fold_of=("x", "y", "y"))})
    assert found.table.loc["a", "difference"] == pytest.approx(-9.0)
    with pytest.raises(InputError, match="'a' and 'b' were cross-validated in different folds"):
        bg.compare({"a": folds(), "b": folds(fold_of=("1", "1", "2"))})


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            folds(value=[90.0, 95, 101]),
            "1 sample of 'a' and 'b' differ, the first glucose of subject C at 0 min",
        ),
        (
            folds(analyte=["glucose", "glucose", "insulin"]),
            r"'a' has 1 sample of glucose \(subject C\) that 'b'",
        ),
        (folds(censoring=["none", "left", "none"]), "differ, the first glucose of subject B"),
        (folds(np.nan), "'b' says nothing of subject A, B and C|'b' says nothing of subject A, B, C"),
        (xr.Dataset(), r"'b' is neither a fit nor what cross_validate\(...\) returned"),
        (fake_fit(draws=5), "Compare fits with fits"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(other, words):
    with pytest.raises(InputError, match=words):
        bg.compare({"a": folds(), "b": other})


def test_fits_that_cannot_be_compared_are_refused_with_the_reason():
    quick = {"method": "laplace", "draws": 30, "random_seed": 1, "progressbar": False}
    forced = bg.fit("minimal", "bergman1986", **quick)
    with pytest.raises(InputError, match=r"'a' has a forcing function.*give the study too"):
        bg.compare({"a": forced, "b": forced})
    with pytest.raises(InputError, match="'a' is a fit of one person"):
        bg.compare({"a": forced, "b": forced}, "bergman1986")
    with pytest.raises(InputError, match="Give two models or more"):
        bg.compare({"a": forced})
    with pytest.raises(InputError, match="population_draws is 10; it must be 100"):
        bg.compare({"a": forced, "b": forced}, population_draws=10)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_model_whose_errors_are_too_large_predicts_people_worse():
    """With fits: the weights of some people are too uneven, who are left out in earnest."""
    spec = bg.load_model("ivgtt")
    free = {"basal_glucose", "basal_insulin", "insulin_sensitivity"}
    spec = spec.with_changes(parameters={n: {"level": "fixed"} for n in spec.estimated if n not in free})
    study = bg.simulate_study(
        spec, protocol="ivgtt(0.3)", times=[0, 10, 25, 60], subjects=4, population="medians", random_seed=3
    )
    loose = spec.with_changes(name="loose", analytes={"glucose": {"sigma": {"median": 0.8, "gsd": 1.05}}})
    quick = {"method": "laplace", "draws": 100, "random_seed": 1, "progressbar": False}
    fits = {m.name: bg.fit(m, study, **quick) for m in (spec, loose)}
    found = bg.compare(fits, population_draws=100, progressbar=False, random_seed=2)
    assert found.headline.startswith(f"{spec.name!r} predicts people better than 'loose'")
    assert found.people.sizes == {"model": 2, "subject": 4}
    uneven = found.people.pareto_k > 0.5
    assert (found.people.refitted == uneven).all()
    assert np.isfinite(found.people.elpd).all()
