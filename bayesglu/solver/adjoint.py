"""The adjoint of the integrator's discrete steps."""

import numpy as np

from bayesglu.solver.arrays import empty, empty_integers, zero_integers, zeros
from bayesglu.solver.calls import observe_adjoint, setup_adjoint, step_adjoint
from bayesglu.solver.compiled import compiled
from bayesglu.solver.integrate import FINE
from bayesglu.solver.plan import SOLVE_ADJOINT, gather, places, sizes
from bayesglu.solver.separate import separate


@compiled(inner=True)
def _give_adjoint(boluses, doses, stop, bar_y, bar_c, lane):
    for d in range(doses.shape[0]):
        if doses[d, 2] >= 0:
            bar_c[doses[d, 2], lane] += boluses[stop, doses[d, 0]] * bar_y[doses[d, 1], lane]


@compiled(inner=True)
def _observe_samples_adjoint(kernels, plan, tape, people, bar_out):
    """Cotangents of the states at the samples, of the coefficients, and of a measured curve's level at the
    samples, from those of the outputs."""
    width, n, n_inputs, n_coefficients = sizes(kernels)
    samples = plan.sample_person.shape[0]
    place = places(plan.order)
    bar_states, bar_levels = empty((samples, n)), zeros(samples)
    bar_coefficients = zeros(tape.coefficients.shape)
    y, u, c = empty((n, width)), empty((n_inputs, width)), zeros((n_coefficients, width))
    bar_lanes, bar_y = empty((bar_out.shape[1], width)), empty((n, width))
    bar_c, bar_level = empty((n_coefficients, width)), zeros(width)
    for begin in range(0, samples, width):
        gather(kernels.seen, plan.sample_person, tape, place, begin, width, y, u, c)
        here = min(width, samples - begin)
        for lane in range(width):
            for i in range(bar_out.shape[1]):
                bar_lanes[i, lane] = bar_out[begin + lane, i] if lane < here else 0.0
            for i in range(n_coefficients):
                bar_c[i, lane] = 0.0
        observe_adjoint(kernels, y, u, c, bar_lanes, bar_y, bar_c, bar_level)
        for lane in range(here):
            bar_levels[begin + lane] = bar_level[lane]
            where = place[plan.sample_person[begin + lane]]
            for i in range(n):
                bar_states[begin + lane, i] = bar_y[i, lane]
            for i in kernels.seen:
                bar_coefficients[where // width, i, where % width] += bar_c[i, lane]
    return bar_states, bar_coefficients, bar_levels


@compiled(inner=True)
def _pull_level(time, stage_times, h, stop, end, bar_stage, bar_level):
    """Cotangents of a measured curve's level at the stops, from those at the stages of a step of size h: it
    ends at `end`, which becomes where it began, in the interval that begins at `stop`."""
    for lane in range(len(h)):
        if h[lane] > 0.0:
            s = stop[lane]
            end[lane] -= h[lane]
            for stage in range(6):
                moment = end[lane] + h[lane] * stage_times[stage]
                share = (moment - time[s]) / (time[s + 1] - time[s])
                bar_level[s] += (1.0 - share) * bar_stage[stage, lane]
                bar_level[s + 1] += share * bar_stage[stage, lane]


@separate(SOLVE_ADJOINT)
def solve_adjoint(kernels, theta, plan, tape, outcome, bar_out):
    """Cotangents of theta (person, parameter) and of a measured curve's level at the stops (stop,), if the
    system has one, from those of the outputs (sample, output); those of theta are NaN for people
    whose solve failed."""
    width, n, _, _ = sizes(kernels)
    people = theta.shape[0]
    has_level = kernels.level >= 0
    bar_levels = zeros(len(plan.time) if has_level else 0)
    bar_level, end = zeros((6, width)), zeros(width)
    bar_states, bar_coefficients, bar_seen = _observe_samples_adjoint(kernels, plan, tape, people, bar_out)
    bar_theta = zeros(theta.shape)
    theta_lanes = empty((theta.shape[1], width))
    bar_lanes = empty((theta.shape[1], width))
    bar_y = empty((n, width))
    person, stops = empty_integers(width), zero_integers(width)
    no_inputs = zeros((7, 0, width))
    for pack in range(tape.first.shape[0] - 1):
        c, bar_c = tape.coefficients[pack], bar_coefficients[pack]
        for lane in range(width):
            person[lane] = plan.order[min(pack * width + lane, people - 1)]
            stops[lane] = plan.offset[person[lane]]
            for i in range(theta.shape[1]):
                theta_lanes[i, lane] = theta[person[lane], i]
            for i in range(n):
                bar_y[i, lane] = 0.0
        for row in range(tape.first[pack + 1] - 1, tape.first[pack] - 1, -1):
            for lane in range(width):
                stop = tape.stop[row, lane]
                if stop >= 0:
                    _give_adjoint(plan.jump, plan.doses, stop, bar_y, bar_c, lane)
                    sample = plan.sample[stop]
                    if sample >= 0:
                        for i in range(n):
                            bar_y[i, lane] += bar_states[sample, i]
                        if has_level:
                            bar_levels[stop] += bar_seen[sample]
                    stops[lane], end[lane] = stop - 1, plan.time[stop]
            u = tape.inputs[row] if tape.inputs.shape[2] else no_inputs
            step_adjoint(kernels, tape.stages[row], u, c, tape.h[row], bar_y, bar_c, bar_level)
            if has_level:
                _pull_level(plan.time, kernels.stage_times, tape.h[row], stops, end, bar_level, bar_levels)
        for lane in range(width):
            if pack * width + lane < people:
                stop = plan.offset[person[lane]]
                _give_adjoint(plan.jump, plan.doses, stop, bar_y, bar_c, lane)
                sample = plan.sample[stop]
                if sample >= 0:
                    for i in range(n):
                        bar_y[i, lane] += bar_states[sample, i]
                    if has_level:
                        bar_levels[stop] += bar_seen[sample]
        setup_adjoint(kernels, theta_lanes, bar_c, bar_y, bar_lanes)
        for lane in range(width):
            if pack * width + lane < people:
                solved = outcome[person[lane]] == FINE
                for i in range(theta.shape[1]):
                    bar_theta[person[lane], i] = bar_lanes[i, lane] if solved else np.nan
    return bar_theta, bar_levels
