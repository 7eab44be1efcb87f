"""Numbers in lanes are what each would be alone, to the last bit."""

import numpy as np
import pytest

from bayesglu.solver.compiled import compiled
from bayesglu.solver.lanes import LANES, by_lane, empty_lanes, spread, square_root


@compiled()
def reckoned(x, y, factor):
    """All that can be done with numbers in lanes, of the rows of x and y (lane, number)."""
    seen, into = empty_lanes((2, x.shape[1])), empty_lanes((6, x.shape[1]))
    numbers = by_lane(seen)
    for lane in range(LANES):
        for i in range(x.shape[1]):
            numbers[0, i, lane], numbers[1, i, lane] = x[lane, i], y[lane, i]
    total = spread(1.5)
    for i in range(x.shape[1]):
        a, b = seen[0, i], seen[1, i]
        total += a * b
        row = into[0]
        row[i] = (a + b) - factor * (b - a)
        into[1, i] = -a / b + 1.0 / b
        into[2, i] = square_root(a) - 2.0
        into[3, i] = a
        into[3, i] -= b * factor
        into[4, i] = a
        into[4, i] *= b
        into[4, i] /= factor
        into[5, i] = total
    return by_lane(into)


@pytest.fixture(scope="module")
def numbers():
    return np.exp(np.random.default_rng(1).normal(size=(2, LANES, 7)))


def test_they_are_those_of_each_lane_alone(numbers):
    x, y = numbers
    made = reckoned(x, y, 0.3)
    for lane, (a, b) in enumerate(zip(x, y, strict=True)):
        alone = (a + b) - 0.3 * (b - a), -a / b + 1.0 / b, np.sqrt(a) - 2.0, a - b * 0.3, a * b / 0.3
        np.testing.assert_array_equal(made[:5, :, lane], alone)
        total = 1.5
        for i in range(len(a)):
            total += a[i] * b[i]
            assert made[5, i, lane] == total


def test_what_is_no_number_stays_in_its_lane(numbers):
    x, y = numbers.copy()
    x[1, 0], y[2, 1] = np.nan, np.inf
    made = reckoned(x, y, 0.3)
    assert [lane for lane in range(LANES) if not np.isfinite(made[..., lane]).all()] == [1, 2]
