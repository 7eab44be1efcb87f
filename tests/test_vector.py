"""Vector code computes what its program says, on one lane or many, and exp and log to rounding."""

import ctypes
import itertools
import math

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st
from llvmlite import binding, ir

from bayesglu.solver import kernels
from bayesglu.solver.program import Program
from bayesglu.solver.vector import function, program_body

unhurried = settings(deadline=None, max_examples=25)
numbers = itertools.count()

WIDTHS = (1, 2, 4, 8)


class Machine:
    """A program as machine code on lanes of `width` numbers, called from NumPy."""

    def __init__(self, program: Program, width: int, accumulate=frozenset()):
        self.width, self.program = width, program
        module = ir.Module(name=f"test_{next(numbers)}")
        module.triple = kernels._target_machine().triple
        n_arguments = len(program.inputs) + len(program.outputs)
        function(module, module.name, width, n_arguments, program_body(program, accumulate))
        code = kernels._compile(module)  # as a system is, with the same optimisations
        engine = kernels._engine()
        engine.add_object_file(binding.object_file.ObjectFileRef.from_data(code))
        engine.finalize_object()
        kind = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * n_arguments)
        self.call = kind(engine.get_function_address(module.name))

    def __call__(self, *inputs, out=None):
        """First group of outputs (value, lane) for groups of inputs (value, lane)."""
        ((_, indices),) = self.program.outputs.items()
        given = [np.ascontiguousarray(values, float) for values in inputs]
        out = np.full((len(indices), self.width), np.nan) if out is None else out
        self.call(*(values.ctypes.data for values in (*given, out)))
        return out


def elementwise(expression, width: int):
    """A function of one symbol, on arrays of any length."""
    x = sympy.Symbol("x", real=True)
    program = Program({"x": (x,)})
    program.output("out", [expression(x)])
    machine = Machine(program, width)

    def on_arrays(values):
        values = np.asarray(values, float)
        padded = np.resize(values, (-(-len(values) // width), 1, width))
        return np.concatenate([machine(row)[0] for row in padded])[: len(values)]

    return on_arrays


@pytest.fixture(scope="module", params=WIDTHS, ids="{} lanes".format)
def exp(request):
    return elementwise(sympy.exp, request.param)


@pytest.fixture(scope="module", params=WIDTHS, ids="{} lanes".format)
def log(request):
    return elementwise(sympy.log, request.param)


SMALL = np.geomspace(1e-300, 700, 500)
EVERYWHERE = np.concatenate([np.linspace(-708, 709, 20_001), SMALL, -SMALL])
POSITIVE = np.concatenate([np.geomspace(2.3e-308, 1.7e308, 20_001), 1 + np.linspace(-0.5, 1.0, 5001)])


def test_the_exponential_is_right_to_rounding_over_its_whole_range(exp):
    np.testing.assert_allclose(exp(EVERYWHERE), [math.exp(x) for x in EVERYWHERE], rtol=1e-15)


def test_the_logarithm_is_right_to_rounding_over_its_whole_range(log):
    np.testing.assert_allclose(log(POSITIVE), [math.log(x) for x in POSITIVE], rtol=1e-15)


def test_the_logarithm_keeps_its_relative_accuracy_beside_one(log):
    near = 1 + np.concatenate([s * np.geomspace(2.3e-16, 1e-3, 2000) for s in (1, -1)])
    np.testing.assert_allclose(log(near), [math.log(x) for x in near], rtol=1e-15)


def test_the_exponential_of_what_is_no_ordinary_number(exp):
    found = exp([0.0, -0.0, np.inf, -np.inf, np.nan, 710.0, 1e300, -709.0, -1e300, 5e-324])
    np.testing.assert_array_equal(found, [1, 1, np.inf, 0, np.nan, np.inf, np.inf, 0, 0, 1])


def test_the_logarithm_of_what_is_no_positive_number_is_not_a_number(log):
    found = log([1.0, 0.0, -0.0, -1.0, -np.inf, np.inf, np.nan, 1e-310])
    np.testing.assert_array_equal(found, [0, *[np.nan] * 7])


@given(st.lists(st.floats(-600, 600), min_size=1, max_size=9))
@unhurried
def test_the_logarithm_undoes_the_exponential(exp, log, values):
    np.testing.assert_allclose(log(exp(values)), values, rtol=1e-15, atol=2e-16)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_number_that_is_not_finite_stays_in_its_lane(width):
    shape = elementwise(lambda x: sympy.log(1 + sympy.exp(-sympy.Abs(x))) + x**3 / (1 + x**2), width)
    values = np.linspace(-3, 3, 3 * width)
    clean, spoilt = shape(values), values.copy()
    spoilt[1 :: max(width, 2)] = np.nan
    found = shape(spoilt)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(spoilt))
    np.testing.assert_array_equal(found[~np.isnan(spoilt)], clean[~np.isnan(spoilt)])


@pytest.mark.parametrize("width", WIDTHS)
def test_sign_size_and_root_of_a_number(width):
    values = np.array([-2.0, 0.0, -0.0, 3.0, np.inf, -np.inf])
    np.testing.assert_array_equal(elementwise(sympy.sqrt, width)(np.abs(values)), np.sqrt(np.abs(values)))
    np.testing.assert_array_equal(elementwise(sympy.Abs, width)(values), np.abs(values))
    np.testing.assert_array_equal(elementwise(sympy.sign, width)(values), np.sign(values))


# --- programs ---

NAMES = sympy.symbols("a b c", real=True)
leaves = st.sampled_from([*NAMES, sympy.Float(0.3), sympy.Float(-1.7)])
expressions = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(lambda p, q: p + q, inner, inner),
        st.builds(lambda p, q: p - q, inner, inner),
        st.builds(lambda p, q: p * q, inner, inner),
        st.builds(lambda p, q: p / (1 + q**2), inner, inner),
        st.builds(lambda p, n: p**n, inner, st.integers(1, 5)),
        st.builds(lambda p: sympy.exp(-(p**2)), inner),
        st.builds(lambda p: sympy.log(1 + p**2), inner),
        st.builds(sympy.Abs, inner),
    ),
    max_leaves=8,
)


@given(st.lists(expressions, min_size=1, max_size=3))
@unhurried
def test_machine_code_computes_what_the_expressions_say(wanted):
    program = Program({"x": NAMES})
    program.output("out", wanted)
    points = np.random.default_rng(3).uniform(-2, 2, (3, 4))
    with np.errstate(all="ignore"):
        expected = np.array([np.broadcast_to(sympy.lambdify(NAMES, e)(*points), 4) for e in wanted], float)
    np.testing.assert_allclose(Machine(program, 4)(points), expected, rtol=1e-12, atol=1e-12)


@given(st.lists(expressions, min_size=1, max_size=3))
@unhurried
def test_any_number_of_lanes_gives_the_same_numbers(wanted):
    program = Program({"x": NAMES})
    program.output("out", wanted)
    points = np.random.default_rng(4).uniform(-2, 2, (3, 4))
    together = Machine(program, 4)(points)
    alone = np.concatenate([Machine(program, 1)(points[:, i : i + 1]) for i in range(4)], axis=1)
    np.testing.assert_allclose(alone, together, rtol=1e-14, atol=1e-14)


def test_results_can_be_added_to_what_is_there():
    program = Program({"x": NAMES})
    program.output("out", [NAMES[0] + NAMES[1], NAMES[2]])
    points, there = np.arange(12.0).reshape(3, 4), np.full((2, 4), 100.0)
    found = Machine(program, 4, frozenset({"out"}))(points, out=there.copy())
    np.testing.assert_array_equal(found, there + np.stack([points[0] + points[1], points[2]]))


def test_equal_work_is_done_once():
    a, b, _ = NAMES
    program = Program({"x": NAMES})
    program.output("out", [sympy.exp(a * b) + 1, sympy.exp(a * b) * 2, sympy.exp(b * a)])
    done = [operation for operation, *_ in program.instructions]
    assert done.count("exp") == 1 and done.count("mul") == 2


def test_a_program_reads_the_same_whatever_the_order_of_sums_and_products():
    a, b, c = NAMES

    def text(expression):
        program = Program({"x": NAMES})
        program.output("out", [expression])
        return program.text()

    assert text(a * b + c) == text(c + b * a) != text(a * c + b)


@pytest.mark.parametrize("expression", [sympy.sin(NAMES[0]), NAMES[0] ** NAMES[1], NAMES[0] ** 0.3])
def test_what_has_no_instruction_is_refused_by_name(expression):
    program = Program({"x": NAMES})
    with pytest.raises(NotImplementedError, match=r"sin|powers"):
        program.output("out", [expression])
