"""Inside PyTensor the compiled pieces give what they give outside, by machine code, and so do their
gradients."""

import json
import os
import subprocess
import sys

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
from simulated import CASES, REAL, SEVERAL_TESTS, WHOLE

from bayesglu.hierarchy.design import Design
from bayesglu.inference.coordinates import noncentered
from bayesglu.inference.operations import everything_at, log_prior_at, parameters, position_of, predictions
from bayesglu.solver.op import Operation, fingerprint

TIGHT = {"rtol": 1e-10, "atol": 1e-10}


def in_order(d: Design) -> np.ndarray:
    """The rows from the last to the first."""
    return np.arange(len(d.rows.sample))[::-1].copy()


def symbols(d: Design) -> list:
    return [pt.dmatrix("theta"), pt.dvector("sigma"), pt.dvector("forcing_error")]


def point(d: Design, seed: int = 1) -> list[np.ndarray]:
    """Estimated parameters, sigma and errors of the forcing of a draw of the prior."""
    values = d.draw_prior(1, np.random.default_rng(seed)).at(0)
    return [d.theta(values)[:, d.individuals.layout.columns], values.sigma, values.forcing_error]


def value_and_gradient(d: Design, mode: str):
    """A compiled function of parameters, sigma and errors of the forcing: predictions, and the cotangents of
    the inputs when those of the predictions are 1."""
    inputs = symbols(d)
    predicted = predictions(d, in_order(d), *inputs)
    pulled = pytensor.grad(predicted.sum(), inputs, disconnected_inputs="ignore")
    return pytensor.function(inputs, [predicted, *pulled], mode=mode)


@pytest.fixture(scope="module")
def real() -> Design:
    return CASES[REAL]()


@pytest.fixture(scope="module")
def compiled(real):
    """A warning that something runs as a Python object would be an error."""
    return value_and_gradient(real, "NUMBA")


def test_predictions_are_those_of_the_design(real, compiled):
    theta, sigma, error = point(real)
    whole = np.tile(real.individuals.layout.fixed, (len(theta), 1))
    whole[:, real.individuals.layout.columns] = theta
    expected, _ = real.predict(whole, real.forcing.true(whole, sigma, error))
    np.testing.assert_allclose(compiled(theta, sigma, error)[0], expected[in_order(real)], rtol=1e-12)


def test_machine_code_gives_what_python_gives(real, compiled):
    inputs = point(real)
    python = value_and_gradient(real, "FAST_COMPILE")(*inputs)
    for found, expected in zip(compiled(*inputs), python, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_an_operation_without_machine_code_would_have_been_noticed():
    class Doubled(pytensor.graph.op.Op):
        itypes, otypes = (pt.dvector,), (pt.dvector,)

        def perform(self, node, inputs, storage):
            storage[0][0] = 2 * inputs[0]

    x = pt.dvector()
    with pytest.raises(UserWarning, match="object mode"):
        pytensor.function([x], Doubled()(x), mode="NUMBA")


@pytest.mark.parametrize("case", [REAL, WHOLE, SEVERAL_TESTS])
def test_inside_a_larger_graph_the_gradient_is_that_of_differences(case):
    d = CASES[case](**TIGHT)
    inputs = symbols(d)
    misfit = (pt.log(predictions(d, in_order(d), pt.exp(inputs[0]), pt.exp(inputs[1]), inputs[2])) ** 2).sum()
    pulled = pytensor.grad(misfit, inputs)
    function = pytensor.function(inputs, [misfit, *pulled], mode="FAST_COMPILE")
    theta, sigma, error = point(d)
    at = [np.log(theta), np.log(sigma), error]
    rng = np.random.default_rng(2)
    along = [rng.normal(size=a.shape) for a in at]
    h = 1e-4
    ahead, behind = (function(*[a + s * h * w for a, w in zip(at, along, strict=True)])[0] for s in (1, -1))
    found = sum((g * w).sum() for g, w in zip(function(*at)[1:], along, strict=True))
    assert found == pytest.approx((ahead - behind) / (2 * h), rel=1e-6)


def test_who_cannot_be_solved_is_not_a_number_and_the_others_are_as_before():
    d = CASES[SEVERAL_TESTS]()
    function = value_and_gradient(d, "FAST_COMPILE")
    inputs = point(d)
    before = function(*inputs)
    impossible = inputs[0].copy()
    impossible[1, d.individuals.names.index("glucose_volume")] = 1e-9
    found = function(impossible, *inputs[1:])
    solved = (d.rows.by_output == 1)[in_order(d)]
    theirs = d.rows.occasion[in_order(d)] == 1
    assert np.isnan(found[0][theirs & solved]).all()
    np.testing.assert_array_equal(found[0][~theirs], before[0][~theirs])
    others = np.arange(len(impossible)) != 1
    np.testing.assert_array_equal(found[1][others], before[1][others])


def test_two_models_in_one_process_each_keep_their_own_physics(real, compiled):
    other = CASES[WHOLE]()
    inputs = point(real), point(other)
    expected = [value_and_gradient(d, "FAST_COMPILE")(*i) for d, i in zip((real, other), inputs, strict=True)]
    second = value_and_gradient(other, "NUMBA")
    for function, i in ((compiled, 0), (second, 1), (compiled, 0)):
        for found, value in zip(function(*inputs[i]), expected[i], strict=True):
            np.testing.assert_array_equal(found, value)


def test_operations_are_equal_when_and_only_when_they_compute_the_same(real):
    def operation(d, order=None):
        return predictions(d, in_order(d) if order is None else order, *symbols(d)).owner.op

    again = CASES[REAL](rtol=real.solver.rtol)
    assert operation(real) == operation(again) and hash(operation(real)) == hash(operation(again))
    others = [
        operation(CASES[REAL](rtol=1e-8)),
        operation(CASES[REAL](max_steps=100)),
        operation(real, np.arange(len(real.rows.sample))),
        operation(CASES[SEVERAL_TESTS]()),
        parameters(real, pt.dvector(), pt.dmatrix(), pt.dvector()).owner.op,
    ]
    assert len({operation(real), *others}) == 6


def test_a_fingerprint_tells_apart_what_is_in_another_array_or_order():
    a, b = np.arange(3.0), np.arange(4.0)
    different = [(a, b), (b, a), ((a,), b), (a.astype(int), b), (a.reshape(3, 1), b), (a, b, 1), (a, b, 1.0)]
    assert len({fingerprint(*contents) for contents in different}) == len(different)
    assert fingerprint(a, (b, "x")) == fingerprint(a.copy(), (b.copy(), "x"))


def test_there_are_no_second_derivatives_and_none_of_a_position():
    d = CASES[SEVERAL_TESTS]()
    c, x = noncentered(d), pt.dvector()
    (gradient,) = pytensor.grad(log_prior_at(d, c, x), [x])
    with pytest.raises(NotImplementedError, match="prior_pull has no derivative"):
        pytensor.grad(gradient.sum(), x)
    again = position_of(d, c, everything_at(d, c, x))
    assert isinstance(again.owner.op, Operation)
    with pytest.raises(NotImplementedError, match="position has no derivative"):
        pytensor.grad(again.sum(), x)


PREDICT = """
import inspect, json, sys, warnings
from bayesglu.physiology import gut
before, after, people = sys.argv[1:]
source = inspect.getsource(gut)
assert before in source
exec(compile(source.replace(before, after), gut.__file__, "exec"), vars(gut))

import numpy as np, pytensor, pytensor.tensor as pt
from numba.core import event
from bayesglu import load_model, load_study
from bayesglu.hierarchy.design import make_design
from bayesglu.inference.operations import predictions

warnings.simplefilter("error")
study = load_study("synthetic_ogtt").select(analytes=["glucose"])
d = make_design(load_model("oral"), study.select(subjects=study.subjects[: int(people)]))
theta = d.theta(d.prior_medians)[:, d.individuals.layout.columns]
symbol = pt.dmatrix()
predicted = predictions(d, np.arange(len(d.rows.sample)), symbol, np.ones(1), np.zeros(0))
with event.install_recorder("numba:compile") as recorder:
    found = pytensor.function([symbol], predicted, mode="NUMBA")(theta)
names = [e.data["dispatcher"].py_func.__name__ for _, e in recorder.buffer if e.is_start]
print(json.dumps({"found": found.tolist(), "expected": d.predict(d.theta(d.prior_medians))[0].tolist(),
                  "compiled": names}))
"""


def predicted(folder, before: str, after: str, people: int) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, before, after, str(people)],
        env=os.environ | {"PYTENSOR_FLAGS": f"base_compiledir={folder}"},
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.apart
def test_what_was_compiled_once_serves_other_people_and_other_physics_with_their_own_numbers(tmp_path):
    law, twice_as_fast = "return absorption_rate * gut", "return 2 * absorption_rate * gut"
    first, others, faster = (
        predicted(tmp_path, law, *changed) for changed in ((law, 12), (law, 5), (twice_as_fast, 5))
    )
    for answer in (first, others, faster):
        np.testing.assert_allclose(answer["found"], answer["expected"], rtol=1e-12)
    assert first["compiled"] and not others["compiled"] and not faster["compiled"]
    assert not np.allclose(others["found"], faster["found"])
