"""diffrax: everyone in one vmap, compiled by jax, gradient by its recursive checkpoints."""

import os
from collections.abc import Callable

import numpy as np

from benchmarks.problem import Problem
from benchmarks.programs import as_function, given

# Read when jax starts: one thread, as ours.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

MAX_STEPS = 256


def one_person(problem: Problem, method: str = "Tsit5", adjoint=None, tolerance: float | None = None) -> Callable:
    """A function from one person's parameters to outputs ``(time, output)``, for jax."""
    import diffrax
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    system, tolerance = problem.system, tolerance or problem.tolerance
    setup = as_function(system.programs["setup"], jnp)
    rhs = as_function(system.programs["rhs"], jnp)
    observe = as_function(system.programs["observe"], jnp, jnp.stack)
    # States in units of their usual size, so that the absolute tolerance means what it does in ours.
    scales = np.array(system.scales)
    times = jnp.array(problem.times)

    def change(t, z, c):
        rates = rhs(list(z * scales), [], list(c))
        return jnp.stack([jnp.asarray(rate, float) for rate in rates]) / scales

    def outputs(theta):
        c, rest = setup(list(theta))
        c = jnp.stack([jnp.asarray(value, float) for value in c])
        rest = jnp.stack([jnp.asarray(value, float) for value in rest])
        start = (rest + jnp.stack([jnp.asarray(v, float) for v in given(system, c, problem.dose)])) / scales
        solution = diffrax.diffeqsolve(
            diffrax.ODETerm(change),
            getattr(diffrax, method)(),
            t0=times[0],
            t1=times[-1],
            dt0=1.0,
            y0=start,
            args=c,
            saveat=diffrax.SaveAt(ts=times[1:]),
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            max_steps=MAX_STEPS,
            adjoint=adjoint or diffrax.RecursiveCheckpointAdjoint(),
        )
        states = jnp.concatenate([rest[None], solution.ys * scales])
        return jax.vmap(lambda y: observe(list(y), [], list(c)))(states)

    return outputs


def prepare(problem: Problem, method: str = "Tsit5", adjoint=None) -> Callable:
    """Value and gradient for everyone, compiled."""
    import jax
    import jax.numpy as jnp

    outputs = one_person(problem, method, adjoint)
    weights = jnp.array(problem.weights.reshape(problem.people, len(problem.times), -1))

    def total(theta):
        out = jax.vmap(outputs)(theta)
        return (out * weights).sum(), out

    compiled = jax.jit(jax.value_and_grad(total, has_aux=True))
    theta = jnp.array(problem.theta)

    def call():
        (_, out), gradient = jax.block_until_ready(compiled(theta))
        return np.asarray(out), np.asarray(gradient)

    return call
