"""diffrax: everyone in one vmap, compiled by jax, gradient through its recursive checkpoints.

The settings are the quickest of those tried: Tsit5, a state of separate numbers (so that a vector holds one
state of all people), and as many checkpoints as steps, so that nothing is computed twice.
"""

import os
from collections.abc import Callable

import numpy as np

from benchmarks.problem import Problem
from benchmarks.programs import as_function, given

# Read when jax starts: one thread, as ours.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

MAX_STEPS = 256


def one_person(system, dose, times, tolerance: float, throw: bool = True) -> Callable:
    """A jax function from one person's parameters, in a tuple, to outputs ``(output, time)``; infinite ones,
    if it may not `throw`, where the budget of steps ran out."""
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def floats(values):
        return tuple(jnp.asarray(value, float) for value in values)

    setup, rhs, observe = (
        as_function(system.programs[name], jnp, floats) for name in ("setup", "rhs", "observe")
    )
    # States in units of their usual size, so that the absolute tolerance means what it does in ours.
    scales, times = system.scales, jnp.array(times)

    def change(t, z, c):
        rates = rhs([value * scale for value, scale in zip(z, scales, strict=True)], [], c)
        return tuple(rate / scale for rate, scale in zip(rates, scales, strict=True))

    def outputs(theta):
        c, rest = setup(theta)
        start = zip(rest, given(system, c, dose), scales, strict=True)
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(change),
            diffrax.Tsit5(),
            t0=times[0],
            t1=times[-1],
            dt0=1.0,
            y0=tuple((value + bolus) / scale for value, bolus, scale in start),
            args=c,
            saveat=diffrax.SaveAt(ts=times[1:]),
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            max_steps=MAX_STEPS,
            throw=throw,
            adjoint=diffrax.RecursiveCheckpointAdjoint(checkpoints=MAX_STEPS),
        )
        seen = zip(rest, solution.ys, scales, strict=True)
        states = [jnp.concatenate([first[None], z * scale]) for first, z, scale in seen]
        seen = observe(states, [], c)  # what does not change with time is one number
        return jnp.stack([jnp.broadcast_to(value, states[0].shape) for value in seen])

    return outputs


def prepare(problem: Problem) -> Callable:
    """Value and gradient for everyone, compiled."""
    import jax
    import jax.numpy as jnp

    outputs = one_person(problem.system, problem.dose, problem.times, problem.tolerance)
    weights = jnp.array(problem.weights.reshape(problem.people, len(problem.times), -1).swapaxes(1, 2))

    def total(theta):
        out = jax.vmap(outputs)(theta)
        return (out * weights).sum(), out

    compiled = jax.jit(jax.value_and_grad(total, has_aux=True))
    theta = tuple(jnp.array(values) for values in problem.theta.T)

    def call():
        (_, out), gradient = jax.block_until_ready(compiled(theta))
        return np.asarray(out).swapaxes(1, 2), np.stack(gradient, axis=1)

    return call
