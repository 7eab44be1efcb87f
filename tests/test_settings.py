"""Settings of a fit, a simulation or the solver are checked before anything is done, all at once."""

import numpy as np
import pytest
from test_cli import run

import bayesglu
from bayesglu.errors import InputError, RenamedWarning
from bayesglu.inference.fitting import fit, prior_predictive
from bayesglu.seeds import LARGEST, seed_of
from bayesglu.settings import NUTS, SAMPLING, SOLVER, Number, check_settings
from bayesglu.solver.solver import make_solver

QUIET = {"progressbar": False}
COUNTS = ("draws", "tune", "chains", "cores")
NONSENSE = ("10", 2.5, [], float("nan"), True, b"1", {"a": 1}, np.array([1, 2]))

REFUSED = [
    *({name: value} for name in COUNTS for value in (0, -1, -5, 10**30, 10**400, *NONSENSE)),
    *({name: None} for name in ("tune", "chains")),
    *({"target_accept": value} for value in (2, -1, 0, 1, float("inf"), *NONSENSE[:1])),
    *({name: value} for name in SOLVER for value in (0, -1, float("inf"), *NONSENSE[:1], *NONSENSE[2:])),
    *({"nuts": {"maxdepth": value}} for value in (0, -1, 99, *NONSENSE)),
    *(
        {"nuts": value}
        for value in ({"nonsense": 1}, {"adaptation": "flow"}, {"check_turning": "no"}, 5, "maxdepth")
    ),
    *({"random_seed": value} for value in (-1, "x", 2**63, 1.5, True, [1])),
    *({"method": value} for value in ("guess", None, [])),
    *({"parametrization": "centered"}, {"progressbar": "no"}, {"relative": 1e-6}, {"foo": 1}),
]


@pytest.fixture(scope="module")
def fitted():
    return fit("minimal", "bergman1986", method="laplace", draws=4, random_seed=1, **QUIET)


@pytest.mark.parametrize("settings", REFUSED, ids=lambda settings: str(settings)[:40])
def test_what_cannot_be_used_is_named_and_nothing_is_begun(settings):
    (name, value), *_ = settings.items()
    told = next(iter(value)) if name == "nuts" and isinstance(value, dict) else name
    with pytest.raises(InputError, match=rf"\b{told}\b"):
        fit("minimal", "bergman1986", **{**QUIET, **settings})


def test_all_that_cannot_be_used_is_told_at_once():
    with pytest.raises(InputError) as caught:
        fit(
            "minimal",
            "bergman1986",
            draws="10",
            cores=-1,
            nuts={"maxdeph": 3},
            rtol=2,
            relative=1e-6,
            **QUIET,
        )
    assert len(caught.value.problems) == 5
    for told in (
        "draws is '10'; it must be a whole number, 1 or more.",
        "cores is -1; it must be 1 or more or None.",
        "nuts: There is no setting 'maxdeph'. Did you mean 'maxdepth'?",
        "rtol is 2; it must be above 0 and below 1.",
        "There is no setting 'relative'. It is now called 'rtol'.",
    ):
        assert told in str(caught.value)


@pytest.mark.parametrize("name", [*SAMPLING, *NUTS, *SOLVER])
def test_a_setting_may_be_what_its_refusal_says_and_nothing_beside(name):
    known = {**SAMPLING, **NUTS, **SOLVER}
    setting = known[name]
    if not isinstance(setting, Number):
        assert all(check_settings({name: choice}, known) == {name: choice} for choice in setting.choices)
        return
    low, high = setting.lowest, setting.highest
    edge = [low, high] if setting.whole else [float(low), float(high)]
    for value, fine in ((edge[0], not setting.within), (edge[1], not setting.within), (low - 1, False)):
        if fine:
            assert check_settings({name: value}, known)[name] == value
        else:
            with pytest.raises(InputError, match=f"{name} is .*; it must be "):
                check_settings({name: value}, known)


def test_numbers_of_numpy_will_do_and_are_kept_as_those_of_python():
    found = check_settings({"draws": np.int32(5), "target_accept": np.float32(0.5)}, SAMPLING)
    assert found == {"draws": 5, "target_accept": 0.5}
    assert [type(value) for value in found.values()] == [int, float]
    assert seed_of(np.uint8(3)) == 3 and seed_of(LARGEST) == LARGEST


SIMULATE = {"model": "oral", "protocol": "ogtt(75)", "outputs": ["glucose"]}


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        *(({name: -1}, f"{name} is -1; it must be") for name in SOLVER),
        ({"max_steps": "many"}, "max_steps is 'many'; it must be a whole number"),
        (
            {"parameters": {"basal_glucose": -5}},
            "basal_glucose of the typical person is -5; it must be",
        ),
        (
            {"parameters": {"bioavailability": 1.5}},
            "bioavailability of the typical person is 1.5; it must be",
        ),
        ({"parameters": {"basal_glucose": np.inf}}, "basal_glucose of the typical person is inf"),
    ],
)
def test_a_simulation_of_nothing_possible_is_refused(settings, told):
    with pytest.raises(InputError, match=told):
        bayesglu.simulate(**SIMULATE, **settings)


NO_NAMES, NO_MAPPING = (-1, 0, 2.5, True, object(), [1]), (-1, 0, 2.5, True, object(), [1], "x")
NO_CURVE = (-1, "x", [1], ([0, "a"], [1, 2]), ([0, 10**400], [1, 2]))


@pytest.mark.parametrize(
    ("ask", "name", "values"),
    [
        *(("simulate", name, NO_NAMES) for name in ("outputs", "hold")),
        *(("simulate", name, NO_MAPPING) for name in ("parameters", "start")),
        ("simulate", "times", (-1, 10**400, "x")),
        *(("what_if", name, NO_NAMES) for name in ("outputs", "hold")),
        *(("what_if", "change", NO_MAPPING), ("what_if", "n_new", (0, "x", 2.5, None))),
        *(("Scenario", name, NO_MAPPING) for name in ("change", "start")),
        *(("Scenario", "switches", NO_NAMES), ("forced", "forcing", NO_CURVE)),
    ],
)
def test_an_argument_of_another_kind_is_named_and_nothing_is_ignored(fitted, ask, name, values):
    asked = {
        "simulate": lambda given: bayesglu.simulate("ivgtt", "ivgtt(0.3)", **given),
        "forced": lambda given: bayesglu.simulate("minimal", "ivgtt(0.3)", **given),
        "what_if": lambda given: bayesglu.what_if(fitted, **({"subjects": "new"} | given), draws=2, **QUIET),
        "Scenario": lambda given: bayesglu.Scenario(**given),
    }
    for value in values:
        with pytest.raises(InputError, match=rf"\b{name}\b"):
            asked[ask]({name: value})


def test_everything_that_solves_checks_the_settings_of_the_solver():
    for asked in (
        lambda: prior_predictive("minimal", "bergman1986", rtol=-1),
        lambda: bayesglu.build("minimal", "bergman1986", rtol=-1),
        lambda: bayesglu.leave_one_out("oral", "synthetic_ogtt", method="laplace", rtol=-1),
    ):
        with pytest.raises(InputError, match="rtol is -1; it must be above 0 and below 1"):
            asked()
    with pytest.raises(InputError, match=r"There is no setting 'absolute'\. It is now called 'atol'"):
        make_solver({}, None, (), absolute=1e-3)
    with pytest.raises(InputError, match="draws is '5'; it must be a whole number"):
        prior_predictive("minimal", "bergman1986", draws="5")


@pytest.mark.parametrize(
    "words",
    [
        *(
            [f"--{name}", value]
            for name in ("draws", "tune", "chains")
            for value in ("0", "-1", "2.5", "x", "9" * 30)
        ),
        ["--seed", "-1"],
        ["--seed", "9" * 40],
    ],
    ids=" ".join,
)
def test_the_command_line_refuses_the_same(words, tmp_path):
    done = run("fit", "bergman1986", "--model", "minimal", "--out", tmp_path / "x.nc", *words)
    assert done.exit_code == 1 and words[0].strip("-") in done.stderr
    assert not (tmp_path / "x.nc").exists()


@pytest.mark.parametrize(
    "words", [["--times", "1e400"], ["--noise", "1e400"], ["--times", "0,nan"], ["--noise", "glucose=inf"]]
)
def test_numbers_between_commas_are_finite(words):
    done = run("identify", "--model", "oral", "--protocol", "ogtt(75)", *words)
    assert done.exit_code == 1 and words[1] in done.stderr


def test_the_old_name_of_laplaces_method_is_taken_and_told():
    with pytest.warns(RenamedWarning, match="'map' is now 'laplace'"):
        found = fit("minimal", "bergman1986", method="map", draws=5, random_seed=1, progressbar=False)
    assert found.attrs["method"] == "laplace"
