"""Who gets what when, and what was computed of it: the arrays that forward and backward pass share."""

from typing import NamedTuple

import numpy as np
from numba import types

from bayesglu.solver.arrays import empty_integers, grown
from bayesglu.solver.calls import Kernels
from bayesglu.solver.compiled import compiled, inlined


class Plan(NamedTuple):
    """A `Schedule` with its columns in the order of a system's channels and boluses.

    `order` says which people share lanes; `slope` (M, inputs) is the change per minute of an input between
    two stops. `steps` are the sizes of frozen steps, those from stop s to the next from ``first_step[s]`` to
    ``first_step[s + 1]``; both are empty where steps adapt.
    """

    order: np.ndarray
    offset: np.ndarray
    time: np.ndarray
    sample: np.ndarray
    jump: np.ndarray
    rate: np.ndarray
    slope: np.ndarray
    release_offset: np.ndarray
    release_time: np.ndarray
    release_channel: np.ndarray
    release_amount: np.ndarray
    release_rate: np.ndarray
    doses: np.ndarray
    sample_person: np.ndarray
    first_step: np.ndarray
    steps: np.ndarray


class Tape(NamedTuple):
    """What the backward pass needs: per pack the `first` of its iterations, per iteration the stage states,
    inputs, sizes (0 where a lane did not move) and the stop that a lane reached or -1; the coefficients;
    states and inputs at the samples."""

    first: np.ndarray
    stages: np.ndarray
    inputs: np.ndarray
    h: np.ndarray
    stop: np.ndarray
    coefficients: np.ndarray
    states: np.ndarray
    sample_inputs: np.ndarray


INTEGER, NUMBER = types.int64, types.float64


def _array(dtype, dimensions: int) -> types.Array:
    return types.Array(dtype, dimensions, "C")


def _of_plan(name: str) -> types.Array:
    """The type of a field of `Plan`."""
    if name in ("jump", "rate", "slope", "doses"):
        return _array(INTEGER if name == "doses" else NUMBER, 2)
    times_or_amounts = ("time", "release_time", "release_amount", "release_rate", "steps")
    return _array(NUMBER if name in times_or_amounts else INTEGER, 1)


LIST, VECTOR, MATRIX = _array(INTEGER, 1), _array(NUMBER, 1), _array(NUMBER, 2)
KERNELS = types.NamedTuple(
    [LIST, LIST, VECTOR, VECTOR, NUMBER, *[INTEGER] * (len(Kernels._fields) - 5)], Kernels
)
PLAN = types.NamedTuple([_of_plan(name) for name in Plan._fields], Plan)
STACK, STACKS = _array(NUMBER, 3), _array(NUMBER, 4)
TAPE = types.NamedTuple([LIST, STACKS, STACKS, MATRIX, _array(INTEGER, 2), STACK, MATRIX, MATRIX], Tape)
SOLVE = types.Tuple([MATRIX, LIST, TAPE])(KERNELS, MATRIX, PLAN, VECTOR, INTEGER, INTEGER, types.boolean)
SOLVE_ADJOINT = types.Tuple([MATRIX, VECTOR])(KERNELS, MATRIX, PLAN, TAPE, LIST, MATRIX)


@compiled(inner=True)
def sizes(kernels):
    """Lanes, states, inputs and coefficients of a system."""
    return kernels.width, kernels.states, kernels.inputs, kernels.coefficients


CURVE_IN = MATRIX, MATRIX, LIST, VECTOR, VECTOR, INTEGER


@compiled()
def curve_in(rate, slope, offset, time, level, column):
    """Rates and slopes of a plan with a measured curve in one column: `level` at the stops and straight
    between; as they are when there is none."""
    rate, slope = grown(rate, len(rate)), grown(slope, len(slope))
    for s in range(len(level)):
        rate[s, column] = level[s]
    for p in range(len(offset) - 1 if len(level) else 0):
        for s in range(offset[p], offset[p + 1] - 1):
            slope[s, column] = (level[s + 1] - level[s]) / (time[s + 1] - time[s])
    return rate, slope


@inlined
def forced(plan, level, column):
    """In compiled code: the plan with a measured curve in one column of its rates."""
    rate, slope = curve_in(plan.rate, plan.slope, plan.offset, plan.time, level, column)
    return Plan(
        plan.order, plan.offset, plan.time, plan.sample, plan.jump, rate, slope, plan.release_offset,
        plan.release_time, plan.release_channel, plan.release_amount, plan.release_rate, plan.doses,
        plan.sample_person, plan.first_step, plan.steps,
    )  # fmt: skip


@compiled(inner=True)
def places(order):
    """Where each person sits: its place in the order."""
    place = empty_integers(len(order))
    for i in range(len(order)):
        place[order[i]] = i
    return place


@compiled(inner=True)
def gather(seen, sample_person, tape, place, begin, width, y, u, c):
    """States, inputs and the coefficients that are `seen`, of `width` samples from `begin` on; the last
    lanes repeat the last sample."""
    samples = sample_person.shape[0]
    for lane in range(width):
        sample = min(begin + lane, samples - 1)
        where = place[sample_person[sample]]
        for i in range(y.shape[0]):
            y[i, lane] = tape.states[sample, i]
        for i in range(u.shape[0]):
            u[i, lane] = tape.sample_inputs[sample, i]
        for i in seen:
            c[i, lane] = tape.coefficients[where // width, i, where % width]
