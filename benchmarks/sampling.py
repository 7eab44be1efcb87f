"""Effective draws per second: ours, ours in non-centered coordinates, and numpyro with diffrax.

Twenty synthetic people, glucose, insulin and C-peptide. Warm-up counts, compilation does not. Since a machine
is seldom idle, processor seconds stand beside those on the clock.
"""

import time

import numpy as np

from bayesglu.analysis.diagnostics import mixing
from bayesglu.hierarchy.design import make_design
from bayesglu.inference.density import Density
from bayesglu.inference.fitting import fit
from bayesglu.spec.model import load_model
from benchmarks import peer_numpyro
from benchmarks.people import MODEL, synthetic_study
from benchmarks.report import show, write

COLUMNS = {
    "name": "",
    "tune": "tuning",
    "draws": "draws",
    "steps_a_draw": "steps per draw",
    "divergences": "divergences",
    "clock_seconds": "s",
    "processor_seconds": "processor s",
    "smallest": "smallest ESS",
    "median": "median ESS",
    "smallest_a_second": "smallest/s",
    "smallest_a_processor_second": "smallest/processor s",
    "median_a_processor_second": "median/processor s",
}


def main(people: int = 20, chains: int = 2, seconds: float = 330.0, peer_draws: int = 100) -> None:
    """Sample with all three; numpyro has `seconds` after it has compiled."""
    rows = [
        _ours("bayesglu", people, chains, 500, 500, "whitened"),
        _ours("bayesglu, non-centered", people, chains, 500, 500, "noncentered"),
    ]
    draws, facts = peer_numpyro.sample(people, chains, peer_draws, peer_draws, seconds)
    rows.append(_row("numpyro with diffrax, non-centered", draws, {"tune": peer_draws, **facts}))
    for row in rows:
        for key in ("smallest_a_second", "smallest_a_processor_second", "median_a_processor_second"):
            row[f"{key}_ratio"] = rows[0][key] / row[key]
    show(f"{people} people, {MODEL}, {chains} chains", rows, COLUMNS)
    write("sampling", rows, people=people, chains=chains, model=MODEL)


def _ours(name: str, people: int, chains: int, tune: int, draws: int, coordinates: str) -> dict:
    study, spec = synthetic_study(people), load_model(MODEL)
    d = make_design(spec, study)
    density = Density(d)
    density(np.zeros(density.size))  # compiles
    began, spent = time.perf_counter(), time.process_time()
    settings = {"draws": draws, "tune": tune, "chains": chains, "parametrization": coordinates}
    tree = fit(spec, study, random_seed=1, progressbar=False, **settings)
    facts = {
        "clock_seconds": time.perf_counter() - began,
        "processor_seconds": time.process_time() - spent,
        "steps_a_draw": float(tree.sample_stats.n_steps.mean()),
        "divergences": int(tree.sample_stats.diverging.sum()),
    }
    posterior = tree.posterior.to_dataset()
    columns = [
        posterior[variable].values.reshape(chains, draws, -1)
        for variable in posterior.data_vars
        if posterior[variable].attrs.get("role") != "effect"
    ]
    return _row(name, np.concatenate(columns, axis=-1), {"tune": tune, "draws": draws, **facts})


def _row(name: str, draws: np.ndarray, facts: dict) -> dict:
    found = mixing(draws)
    smallest, median = float(np.nanmin(found.ess_bulk)), float(np.nanmedian(found.ess_bulk))
    return {
        "name": name,
        **facts,
        "rhat": float(np.nanmax(found.rhat)),
        "smallest": smallest,
        "median": median,
        "smallest_a_second": smallest / facts["clock_seconds"],
        "smallest_a_processor_second": smallest / facts["processor_seconds"],
        "median_a_processor_second": median / facts["processor_seconds"],
    }
