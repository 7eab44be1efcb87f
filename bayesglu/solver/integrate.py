"""Integration with events, by adaptive or by frozen steps.

People travel in lanes. Each lane has its own step size, events and samples; lanes share only the vector
instructions. The forward pass keeps the states at the stages of every accepted step, so the backward pass
needs no second integration and its gradient is exact for the computed value, with the step sizes taken as
given. Frozen ones are given indeed: the same for all parameters, so that what is computed is smooth in them,
however long the steps are. Only where the error of one is far above the tolerance, as where parameters make a
state so fast that the method becomes unstable, it and all that follow are halved.

Where little moves, as late in a long fast, no error tells that a step is too long for the fastest state: the
method may multiply what is left of that state by a million before it is seen, and with it the derivatives,
which start from nothing so small. In a long solve the rate of the fastest state is therefore looked for, and
no step goes beyond where the method is stable.
"""

import numpy as np

from bayesglu.solver.arrays import empty, empty_integers, flags, grown, zero_integers, zeros
from bayesglu.solver.calls import observe, rhs, setup, step
from bayesglu.solver.compiled import compiled, inlined
from bayesglu.solver.plan import SOLVE, Tape, gather, places, sizes
from bayesglu.solver.separate import separate
from bayesglu.solver.tableau import LARGEST_GROWTH

FINE, TOO_MANY_STEPS, NOT_FINITE, STEP_TOO_SMALL = 0, 1, 2, 3

OUTCOMES = {
    FINE: "The equations were solved.",
    TOO_MANY_STEPS: "The budget of steps ran out: the equations are stiff, or the parameters implausible. "
    "If they are plausible, raise max_steps.",
    NOT_FINITE: "A value stopped being a finite number: "
    "the parameters are outside what the equations can describe.",
    STEP_TOO_SMALL: "The step size fell to nothing: an event or a parameter makes the equations too abrupt.",
}

SMALLEST_STEP = 1e-9
FIRST_STEP = 1.0
GUARD = 10.0**2
"""Mean square of the error of a frozen step, in units of what is allowed, from which on it is halved."""

LONG = 40
"""Tried steps from which on the rate of the fastest state is looked for: fewer leave no time to grow."""
EVERY = 4
"""After how many steps the rate is looked for again."""
NEAR = 1e-6
"""How far from a state its slope is compared, in units of the state's usual size."""
WITHIN = 0.9
"""The share of the method's stability that a step may take."""


@compiled(inner=True)
def _fill_inputs(plan, stage_times, person, stop, t, h, into, lane):
    """Inputs at the stage times of a step of size h from t, in the interval that begins at `stop`."""
    for s in range(7):
        moment = t + h * stage_times[s]
        for i in range(into.shape[1]):
            into[s, i, lane] = plan.rate[stop, i] + plan.slope[stop, i] * (moment - plan.time[stop])
        for r in range(plan.release_offset[person], plan.release_offset[person + 1]):
            if plan.release_time[r] <= plan.time[stop]:
                rate = plan.release_rate[r]
                given = plan.release_amount[r] * rate * np.exp(-rate * (moment - plan.release_time[r]))
                into[s, plan.release_channel[r], lane] += given


@compiled(inner=True)
def _give(boluses, doses, stop, y, c, lane):
    """The boluses of a stop."""
    for d in range(doses.shape[0]):
        amount = boluses[stop, doses[d, 0]]
        if amount != 0.0:
            volume = doses[d, 2]
            y[doses[d, 1], lane] += amount * (c[volume, lane] if volume >= 0 else 1.0)


@compiled(inner=True)
def _rows_to_expect(order, offset, first_step, width):
    """How many rounds of steps all packs take, where steps are frozen with some to spare for those that are
    halved; a guess where they adapt. Much more than is needed would be too large for memory that is used
    again, and each call would wait for new pages."""
    frozen, people, rows = len(first_step) > 0, len(order), 0
    for begin in range(0, people, width):
        most = 0
        for i in range(begin, min(begin + width, people)):
            stop, end = offset[order[i]], offset[order[i] + 1]
            most = max(most, first_step[end] - first_step[stop] if frozen else 6 * (2 + end - stop))
        rows += most
    return rows + rows // 8 + 64 if frozen else rows


@compiled(inner=True)
def _observe_samples(kernels, plan, tape, people, n_outputs):
    """Outputs (sample, output): samples are the lanes here, whoever they belong to."""
    width, n, n_inputs, n_coefficients = sizes(kernels)
    samples = plan.sample_person.shape[0]
    place = places(plan.order)
    out = empty((samples, n_outputs))
    y, u = empty((n, width)), empty((n_inputs, width))
    c, lanes_out = zeros((n_coefficients, width)), empty((n_outputs, width))
    for begin in range(0, samples, width):
        gather(kernels.seen, plan.sample_person, tape, place, begin, width, y, u, c)
        observe(kernels, y, u, c, lanes_out)
        for lane in range(min(width, samples - begin)):
            for i in range(n_outputs):
                out[begin + lane, i] = lanes_out[i, lane]
    return out


@inlined
def _varies(release_offset, offset, slope, person):
    """Whether a person's inputs change between stops."""
    varies = release_offset[person + 1] > release_offset[person]
    for stop in range(offset[person], offset[person + 1]):
        for i in range(slope.shape[1]):
            varies |= slope[stop, i] != 0.0
    return varies


@inlined
def _keep_sample(sample, y, u, lane, states, sample_inputs):
    """Keep states and inputs of a lane where a stop is a sample."""
    if sample >= 0:
        for i in range(y.shape[0]):
            states[sample, i] = y[i, lane]
        for i in range(u.shape[1]):
            sample_inputs[sample, i] = u[0, i, lane]


@inlined
def _size_to_try(h, ahead):
    """The size of a step when the next stop is `ahead`, and whether it leads there. Of two steps that are
    left, both are of one size."""
    if h * 1.0001 >= ahead:
        return ahead, True
    return (0.5 * ahead if 2.0 * h > ahead else h), False


@compiled(inner=True)
def _look_for_the_fastest(kernels, y, k, u, c, direction, y_near, k_near, longest):
    """The longest stable step of each lane, by the rate of its fastest state near y, whose slope is k: one
    round of the power method for the Jacobian, which turns `direction` to that state."""
    width, n = kernels.width, kernels.states
    for i in range(n):
        for lane in range(width):
            y_near[i, lane] = y[i, lane] + NEAR * direction[i, lane]
    rhs(kernels, y_near, u, c, k_near)
    for lane in range(width):
        square = 0.0
        for i in range(n):
            square += ((k_near[i, lane] - k[i, lane]) / (NEAR * kernels.scales[i])) ** 2
        rate = np.sqrt(square / n)
        found = 0.0 < rate < np.inf
        longest[lane] = WITHIN * kernels.stable / rate if found else np.inf
        for i in range(n):
            turned = (k_near[i, lane] - k[i, lane]) / (NEAR * rate)
            direction[i, lane] = turned if found else kernels.scales[i]


@inlined
def _inputs_jump(rate, stop):
    """Whether a stop begins another rate of an input."""
    jumps = False
    for i in range(rate.shape[1]):
        jumps |= rate[stop, i] != rate[stop - 1, i]
    return jumps


@inlined
def _states_jump(boluses, stop):
    """Whether a stop gives a bolus."""
    jump = False
    for b in range(boluses.shape[1]):
        jump |= boluses[stop, b] != 0.0
    return jump


@inlined
def _what_went_wrong(moved, error, h, tried, max_steps):
    """The outcome so far of someone who has tried so many steps, the last one with this error and size of
    the next."""
    if not moved and h < SMALLEST_STEP:
        return STEP_TOO_SMALL if np.isfinite(error) else NOT_FINITE
    return TOO_MANY_STEPS if tried > max_steps else FINE


@inlined
def _copy(new, into, lane):
    """The values of a lane."""
    for i in range(into.shape[0]):
        into[i, lane] = new[i, lane]


@inlined
def _without_the_unsolved(sample_person, outcome, out):
    """Outputs (sample, output), NaN for people whose solve failed."""
    for s in range(out.shape[0]):
        if outcome[sample_person[s]] != FINE:
            for i in range(out.shape[1]):
                out[s, i] = np.nan
    return out


@separate(SOLVE)
def solve(kernels, theta, plan, tolerance, max_steps, n_outputs, keep):
    """Solve for all people.

    theta : (person, parameter). tolerance : (rtol, atol); the absolute one is in units of each
    state's usual size. max_steps : budget of tried steps of one person. keep : whether to keep what the
    backward pass needs. Returns outputs (sample, output), NaN for people whose solve failed, an
    outcome code per person, and the `Tape`.
    """
    width, n, n_inputs, n_coefficients = sizes(kernels)
    people = theta.shape[0]
    packs = (people + width - 1) // width
    samples = plan.sample_person.shape[0]
    order, offset, time, sample, boluses = plan.order, plan.offset, plan.time, plan.sample, plan.jump
    first_step, steps = plan.first_step, plan.steps
    frozen = len(steps) > 0
    allowed = GUARD if frozen else 1.0
    outcome = zero_integers(people)
    states = empty((samples, n))
    sample_inputs = zeros((samples, n_inputs))
    coefficients = empty((packs, n_coefficients, width))
    first = zero_integers(packs + 1)
    room = _rows_to_expect(order, offset, first_step, width) if keep and people else 1
    stages = empty((room, 6, n, width))
    inputs = empty((room if n_inputs else 1, 7, n_inputs, width))
    sizes_kept = empty((room, width))
    reached = empty_integers((room, width))

    y, y_new, y_near, k = empty((n, width)), empty((n, width)), empty((n, width)), empty((n, width))
    k_new, k_here = empty((n, width)), empty((n, width))
    u = zeros((7, n_inputs, width))
    theta_lanes = empty((theta.shape[1], width))
    t, h, taken = empty(width), empty(width), empty(width)
    error, factor = empty(width), empty(width)
    person, stop, tried = empty_integers(width), empty_integers(width), empty_integers(width)
    frozen_step, part, parts = empty_integers(width), empty_integers(width), empty_integers(width)
    direction, longest = empty((n, width)), empty(width)
    active, varies, last = flags(width), flags(width), flags(width)
    moved, restarts = flags(width), flags(width)

    row = 0
    for pack in range(packs):
        first[pack] = row
        c = coefficients[pack]
        for lane in range(width):
            place = pack * width + lane
            active[lane] = place < people
            person[lane] = order[min(place, people - 1)]
            for i in range(theta.shape[1]):
                theta_lanes[i, lane] = theta[person[lane], i]
        setup(kernels, theta_lanes, c, y)
        remaining = 0
        for lane in range(width):
            p = person[lane]
            stop[lane] = offset[p]
            t[lane], h[lane], tried[lane] = time[stop[lane]], FIRST_STEP, 0
            varies[lane] = _varies(plan.release_offset, offset, plan.slope, p)
            frozen_step[lane] = first_step[stop[lane]] if frozen else 0
            part[lane], parts[lane] = 0, 1
            longest[lane] = np.inf
            for i in range(n):
                direction[i, lane] = kernels.scales[i]
            _fill_inputs(plan, kernels.stage_times, p, stop[lane], t[lane], 0.0, u, lane)
            if active[lane]:
                _keep_sample(sample[stop[lane]], y, u, lane, states, sample_inputs)
                active[lane] = offset[p + 1] - offset[p] > 1
            _give(boluses, plan.doses, stop[lane], y, c, lane)
            remaining += active[lane]
        rhs(kernels, y, u[0], c, k)
        rounds = 0

        while remaining > 0:
            if row >= stages.shape[0]:
                room = 2 * stages.shape[0]
                stages, inputs = grown(stages, room), grown(inputs, room if n_inputs else 1)
                sizes_kept, reached = grown(sizes_kept, room), grown(reached, room)
            for lane in range(width):
                taken[lane] = 0.0
                if active[lane]:
                    if frozen:
                        at, next_stop = frozen_step[lane], first_step[stop[lane] + 1]
                        taken[lane] = steps[at] / parts[lane]
                        last[lane] = at + 1 == next_stop and part[lane] + 1 == parts[lane]
                    else:
                        ahead = time[stop[lane] + 1] - t[lane]
                        taken[lane], last[lane] = _size_to_try(h[lane], ahead)
                    if varies[lane]:
                        where = person[lane], stop[lane], t[lane], taken[lane]
                        _fill_inputs(plan, kernels.stage_times, *where, u, lane)
            step(kernels, y, k, u, c, taken, tolerance, stages[row], y_new, k_new, error, factor)
            rounds += 1
            if not frozen and rounds >= LONG and rounds % EVERY == 0:
                _look_for_the_fastest(kernels, y_new, k_new, u[6], c, direction, y_near, k_here, longest)
            for s in range(7 if n_inputs else 0):
                for i in range(n_inputs):
                    for lane in range(width):
                        inputs[row, s, i, lane] = u[s, i, lane]

            everyone, anyone_restarts = True, False
            for lane in range(width):
                moved[lane] = active[lane] and error[lane] <= allowed
                everyone &= moved[lane]
                restarts[lane] = False
            if everyone:
                for i in range(n):
                    for lane in range(width):
                        y[i, lane], k[i, lane] = y_new[i, lane], k_new[i, lane]
            for lane in range(width):
                reached[row, lane] = -1
                sizes_kept[row, lane] = taken[lane] if moved[lane] else 0.0
                if not active[lane]:
                    continue
                tried[lane] += 1
                if not moved[lane]:
                    h[lane] = taken[lane] * (factor[lane] if np.isfinite(error[lane]) else 0.2)
                    part[lane], parts[lane] = 2 * part[lane], 2 * parts[lane]
                outcome[person[lane]] = _what_went_wrong(
                    moved[lane], error[lane], h[lane], tried[lane], max_steps
                )
                if outcome[person[lane]] != FINE:
                    active[lane] = False
                    remaining -= 1
                    continue
                if not moved[lane]:
                    continue
                if not everyone:
                    _copy(y_new, y, lane)
                    _copy(k_new, k, lane)
                part[lane] += 1
                if part[lane] == parts[lane]:
                    frozen_step[lane], part[lane] = frozen_step[lane] + 1, 0
                suggested = min(taken[lane] * factor[lane], longest[lane])
                if not last[lane]:
                    t[lane] += taken[lane]
                    h[lane] = suggested
                    continue
                # A step cut short by a stop says little about how long a step may be.
                h[lane] = suggested if factor[lane] < LARGEST_GROWTH else max(h[lane], suggested)
                h[lane] = min(h[lane], longest[lane])
                stop[lane] += 1
                s = stop[lane]
                t[lane] = time[s]
                reached[row, lane] = s
                other_inputs = varies[lane] or _inputs_jump(plan.rate, s)
                if other_inputs:
                    _fill_inputs(plan, kernels.stage_times, person[lane], s, t[lane], 0.0, u, lane)
                _keep_sample(sample[s], y, u, lane, states, sample_inputs)
                if s + 1 == offset[person[lane] + 1]:
                    active[lane] = False
                    remaining -= 1
                elif other_inputs or _states_jump(boluses, s):
                    _give(boluses, plan.doses, s, y, c, lane)
                    restarts[lane] = anyone_restarts = True
            if anyone_restarts:
                rhs(kernels, y, u[0], c, k_here)
                for lane in range(width):
                    if restarts[lane]:
                        _copy(k_here, k, lane)
            if keep:
                row += 1
    first[packs] = row
    tape = Tape(first, stages, inputs, sizes_kept, reached, coefficients, states, sample_inputs)
    out = _observe_samples(kernels, plan, tape, people, n_outputs)
    return _without_the_unsolved(plan.sample_person, outcome, out), outcome, tape
