"""People with two modes of their own are found, moved to that with most probability, and named."""

import numpy as np
import pytest
from simulated import as_formed

import bayesglu as bg
from bayesglu.hierarchy.design import make_design
from bayesglu.inference import other_modes
from bayesglu.inference.density import Density
from bayesglu.inference.linearise import expand
from bayesglu.inference.modes import find_modes
from bayesglu.inference.other_modes import APART, SETTLED, STARTS, _climbed, _start, seek_others
from bayesglu.inference.other_modes import by_person as people_log_density

FIRST_SEED = 25
"""Of the search: one study in ten has such a person."""


@pytest.fixture(scope="module")
def in_two_ways():
    """The first of simulated studies, eight people of three samples, in which one can be described in two
    ways that are not too unlike in probability; and its modes."""
    times, model = [0, 60, 120], as_formed("oral")
    for seed in range(FIRST_SEED, FIRST_SEED + 100):
        study = bg.simulate_study(model, protocol="ogtt(75)", times=times, subjects=8, random_seed=seed)
        modes = find_modes(design := make_design(model, study))
        if any(0.3 < other.share < 1 for other in modes.others):
            return design, modes
    raise AssertionError("nobody in a hundred studies can be described in two ways")


@pytest.fixture(scope="module")
def design(in_two_ways):
    return in_two_ways[0]


@pytest.fixture(scope="module")
def modes(in_two_ways):
    return in_two_ways[1]


def at_modes(design, modes):
    density = Density(design, modes.expansion)
    return density, density.unpack(np.zeros((1, density.size))).at(0)


def by_person(density, x):
    """Coordinates or slopes of everyone's own parameters."""
    return x[density.individuals].reshape(len(density.design.individuals.subjects), -1)


def other_place(density, at, s):
    """Coordinates of another mode of the s-th person, as a climb from a drawn start reaches it."""
    free, rng = np.zeros(density.size, bool), np.random.default_rng(0)
    free[density.individuals] = True
    for _ in range(STARTS):
        x = _climbed(density, _start(density, at, rng), free)
        settled = np.linalg.norm(by_person(density, density(x)[1])[s]) < SETTLED
        if settled and np.linalg.norm(by_person(density, x)[s]) > APART:
            return x
    raise AssertionError("no climb reached another mode")


def test_who_can_be_described_in_two_ways_is_named(design, modes):
    assert modes.others and {other.subject for other in modes.others} < set(design.individuals.subjects)
    assert all(0 < other.share < 1 for other in modes.others)


def test_a_place_that_a_climb_reaches_elsewhere_is_a_mode_of_the_plain_density(design, modes):
    """Where another mode was told, the plain density falls in every direction from it."""
    density, at = at_modes(design, modes)
    s = design.individuals.subjects.index(max(modes.others, key=lambda other: other.share).subject)
    x = other_place(density, at, s)

    def plain(place):
        return people_log_density(design, density.unpack(place[None]).at(0))[s]

    top = plain(x)
    first = density.individuals.start + s * by_person(density, x).shape[1]
    for k in range(first, first + by_person(density, x).shape[1]):
        for step in (-0.5, 0.5):
            moved = x.copy()
            moved[k] += step
            assert plain(moved) < top + 0.5 * SETTLED


@pytest.mark.long
def test_who_has_more_probability_elsewhere_is_moved_there_and_the_rest_stays(design, modes, monkeypatch):
    """From where the others are at their modes and one is at the less probable of two."""
    density, at = at_modes(design, modes)
    assert seek_others(density, at)[0] is None
    monkeypatch.setattr(other_modes, "STARTS", 12)
    other = max(modes.others, key=lambda other: other.share)
    s = design.individuals.subjects.index(other.subject)
    place = other_place(density, at, s)
    individual = at.individual.copy()
    individual[s] = density.unpack(place[None]).at(0).individual[s]
    begun = at._replace(individual=individual)
    moved, told = seek_others(Density(design, expand(design, begun)), begun)
    people = np.arange(len(individual)) != s
    np.testing.assert_array_equal(moved.individual[people], individual[people])
    np.testing.assert_allclose(moved.individual[s], at.individual[s], atol=0.05)
    (back,) = (each.share for each in told if each.subject == other.subject)
    assert back == pytest.approx(1 / other.share, rel=0.1)


def test_a_model_of_one_mode_has_no_other():
    assert find_modes(make_design(bg.load_model("minimal"), bg.load_study("bergman1986"))).others == ()
