"""numpyro with diffrax: the same priors and likelihood, non-centered, a process for each chain.

numpyro's parallel chains do not work with diffrax, so that each chain is a process of its own. Its kernel is
run draw by draw: so time spent compiling can be told from time spent sampling, and a chain ends when its time
is up.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.layout import Layout
from bayesglu.spec.model import load_model
from benchmarks.peer_diffrax import one_person  # sets the threads of jax before it starts
from benchmarks.people import MODEL, synthetic_study


def sample(people: int, chains: int, tune: int, draws: int, seconds: float) -> tuple[np.ndarray, dict]:
    """Draws ``(chain, draw, column)`` of all that is estimated, and times; chains are cut to the shortest."""
    tasks = [(people, seed, tune, draws, seconds) for seed in range(1, chains + 1)]
    with ProcessPoolExecutor(chains, mp_context=get_context("spawn")) as pool:
        found = list(pool.map(_chain, tasks))
    kept = min(len(columns) for columns, _ in found)
    return np.array([columns[:kept] for columns, _ in found]), {
        "draws": kept,
        "compile_seconds": max(facts["compile"] for _, facts in found),
        "clock_seconds": max(facts["clock"] for _, facts in found),
        "processor_seconds": sum(facts["processor"] for _, facts in found),
        "steps_a_draw": float(np.mean(np.concatenate([facts["steps"] for _, facts in found]))),
        "divergences": int(sum(facts["divergences"] for _, facts in found)),
    }


def _chain(task) -> tuple[np.ndarray, dict]:
    people, seed, tune, draws, seconds = task
    import jax
    from numpyro.infer import NUTS, init_to_median

    jax.config.update("jax_enable_x64", True)
    d = make_design(load_model(MODEL), synthetic_study(people))
    kernel = NUTS(_model(d), max_tree_depth=8, init_strategy=init_to_median())
    began = time.perf_counter()
    state = kernel.init(jax.random.PRNGKey(seed), tune, None, (), {})
    advance = jax.jit(lambda state: kernel.sample(state, (), {}))
    state = jax.block_until_ready(advance(state))
    compiled, spent, kept, steps, divergences = time.perf_counter(), time.process_time(), [], [], 0
    for i in range(1, tune + draws):
        state = jax.block_until_ready(advance(state))
        if i >= tune:
            kept.append(_columns(d, state.z))
            steps.append(int(state.num_steps))
            divergences += bool(state.diverging)
        if time.perf_counter() - compiled > seconds:
            break
    if len(kept) < 4:
        raise RuntimeError(f"only {len(kept)} draws in {seconds} s")
    return np.array(kept), {
        "compile": compiled - began,
        "clock": time.perf_counter() - compiled,
        "processor": time.process_time() - spent,
        "steps": steps,
        "divergences": divergences,
    }


def _model(d: Design):
    """The design as a numpyro model: no covariates, one test a person, every sample known."""
    import jax
    import jax.numpy as jnp
    import numpyro
    from numpyro import distributions as dist

    if d.individuals.effects or d.rows.censoring.any():
        raise NotImplementedError("covariates and limits of quantification are no part of the comparison")
    heavy, layout = d.rows.nu > 0, d.individuals.layout
    schedule, system = d.solver.schedule, d.solver.system
    dose = schedule.jump[0, [schedule.channels.index(name) for name in system.boluses]]
    times = schedule.time[: schedule.offset[1]]
    outputs = one_person(system, dose, times, d.solver.rtol, throw=False)
    n = len(system.parameters)

    def model():
        typical = numpyro.sample("typical", dist.Normal(*d.individuals.typical_prior).to_event(1))
        omega = jnp.exp(numpyro.sample("omega", dist.Normal(*d.individuals.omega_prior).to_event(1)))
        sigma = jnp.exp(numpyro.sample("sigma", dist.Normal(*d.sigma_prior).to_event(1)))
        deviation = numpyro.sample("deviation", dist.Normal(jnp.zeros(d.individuals.shape), 1.0).to_event(2))
        theta = _theta(layout, jnp, typical, omega, deviation)
        out = jax.vmap(outputs)(tuple(theta[:, :n].T))  # person, output, time
        flat = out.swapaxes(1, 2).reshape(-1, len(system.outputs))
        value = d.rows.by_output * flat[d.rows.sample, d.rows.output]
        value = value + d.rows.by_parameter * theta[d.rows.occasion, d.rows.parameter]
        sd = jnp.where(d.rows.analyte >= 0, sigma[np.maximum(d.rows.analyte, 0)], d.rows.known_sigma)
        known = {"loc": jnp.log(value), "scale": sd, "validate_args": False}
        normal = dist.Normal(**known).log_prob(d.rows.log_value)
        student = dist.StudentT(np.where(heavy, d.rows.nu, 1.0), **known).log_prob(d.rows.log_value)
        total = jnp.where(heavy, student, normal).sum()  # a solve that failed is impossible, as with ours
        numpyro.factor("likelihood", jnp.where(jnp.isfinite(total), total, -jnp.inf))

    return model


def _theta(layout: Layout, library, typical, omega, deviation):
    """Parameters ``(person, parameter)`` on their natural scale."""
    own = typical[layout.component_parameter] + omega[layout.component_varying] * deviation
    phi = library.tile(typical, (len(own), 1))
    phi = phi.at[:, layout.varying].set(own[np.arange(len(own))[:, None], layout.component])
    natural = library.where(layout.is_logit, 1 / (1 + library.exp(-phi)), library.exp(phi))
    return library.tile(library.array(layout.fixed), (len(own), 1)).at[:, layout.columns].set(natural)


def _columns(d: Design, z: dict) -> np.ndarray:
    """All that is estimated, on its own scale: typical values, omega, sigma, everyone's parameters."""
    typical, omega, sigma, deviation = (np.asarray(z[k]) for k in ("typical", "omega", "sigma", "deviation"))
    layout = d.individuals.layout
    own = typical[layout.component_parameter] + np.exp(omega)[layout.component_varying] * deviation
    return np.concatenate([typical, omega, sigma, own.ravel()])
