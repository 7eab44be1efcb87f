"""Simulation-based calibration: do fits of simulated data find what the data were simulated with, as often as
they say? (Talts 2018, arXiv 1804.06788; Modrák 2023, Bayesian Anal 20:461.)

Parameters are drawn from the prior, data from these parameters, and the fit of the data ranks the true value
among its draws. If prior, simulation and sampler agree, all ranks are equally likely.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import binom

from bayesglu.analysis.diagnostics import mixing
from bayesglu.analysis.uniformity import p_values
from bayesglu.errors import InputError
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.posterior import to_dataset
from bayesglu.hierarchy.replicates import replicate
from bayesglu.inference.datatree import in_chains
from bayesglu.inference.progress import Progress, tracked
from bayesglu.inference.sampler import Failures, Sampling, usual_acceptance
from bayesglu.inference.stages import sampled
from bayesglu.inference.steps import usual_steps
from bayesglu.physiology.registry import modules_of
from bayesglu.pieces import Kept, check_executor, in_pieces
from bayesglu.seeds import seed_of
from bayesglu.settings import SAMPLING, check_settings
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import ModelSpec, load_model
from bayesglu.study.study import Study, load_study

RANKED = 99
"""Draws among which a true value is ranked, far apart in the chains."""

PROBABILITIES = (0.5, 0.9)
SMALLEST_P = 1e-4
TRIES = 20
"""How often people are drawn again whose equations cannot be solved."""


@dataclass(frozen=True, repr=False)
class Calibration:
    """What calibration found; `calibrate` makes it.

    Parameters
    ----------
    table : pandas.DataFrame
        A row per quantity: ``p`` of its ranks being uniform, and the shares of true values in intervals of
        50 and 90 % (their coverage), ``held_50`` and ``held_90`` (of individual parameters: over all people).
    ranks : xarray.DataArray
        Rank of the true value among 99 draws, 0 to 99 (simulation, quantity); of individual parameters, of
        one person of each simulation, chosen at random.
    calibrated : bool
        Whether quantities outside their simultaneous 95 % bands are as many as 5 % can be by chance
        (binomial, 99 %), and none has a p below 1e-4.
    headline : str
        The verdict in one line.
    about : dict
        Model and study with their hashes, settings, seeds, how often sampling was not clean, and how often
        people were drawn again since their equations could not be solved.

    Examples
    --------
    >>> judged(np.arange(100)[:, None] % 100, {"a": [[50, 90, 100]]}, {}).calibrated
    True
    """

    table: pd.DataFrame
    ranks: xr.DataArray
    calibrated: bool
    headline: str
    about: dict

    def __repr__(self) -> str:
        worst = self.table.sort_values("p").head(8)
        return f"{self.headline}\n{worst.to_string(float_format='{:.3g}'.format)}"


def judged(ranks: np.ndarray, held: Mapping[str, list], about: dict) -> Calibration:
    """From ranks ``(simulation, quantity)``, and how many true values of how many were held by intervals
    of each quantity in each simulation."""
    n, names = len(ranks), list(held)
    jitter = np.random.default_rng(n).uniform(size=ranks.shape)
    p = p_values((ranks + jitter) / (RANKED + 1))
    counts = np.array([np.sum(held[name], 0) for name in names], float)
    shares = counts[:, :-1] / counts[:, -1:]
    columns = {f"held_{100 * q:.0f}": shares[:, i] for i, q in enumerate(PROBABILITIES)}
    table = pd.DataFrame({"p": p, **columns}, index=pd.Index(names, name="quantity"))
    outside, most = int((p < 0.05).sum()), int(binom.ppf(0.99, len(names), 0.05))
    fine = outside <= most and bool((p >= SMALLEST_P).all())
    headline = (
        f"{'Calibrated' if fine else 'Not calibrated'}: {outside} of {len(names)} quantities outside "
        f"their 95 % bands in {n} simulations (at most {most} expected), the smallest p is {p.min():.2g} "
        f"({names[int(p.argmin())]})."
    )
    coords = {"simulation": np.arange(n), "quantity": names}
    dims = ("simulation", "quantity")
    return Calibration(table, xr.DataArray(ranks, coords, dims, name="rank"), fine, headline, about)


def calibrate(
    model: ModelSpec | str | Path,
    like: Study | str | Path,
    *,
    simulations: int = 100,
    draws: int = 250,
    tune: int = 500,
    chains: int = 2,
    target_accept: float | None = None,
    keep: str | Path | None = None,
    executor: Any = None,
    progressbar: bool = True,
    random_seed: int | np.random.Generator | None = None,
    **solver_settings,
) -> Calibration:
    """Simulation-based calibration: whether fits of such studies cover the truth as often as they claim.

    Each simulation draws everything from the prior, measurements of the study's people, tests and times from
    that, and fits them. Pseudo-observations of a model, which are data to its posterior, are drawn too; what
    was read of a forcing function is kept.

    Parameters
    ----------
    model : ModelSpec, str or Path
        A model, or the name or path of a model file.
    like : Study, str or Path
        Whose people, tests, times and covariates are taken. `simulate_study` makes one of a plan.
    simulations : int
        How many, 10 or more.
    draws, tune, chains : int
        Of each fit, as of `fit`; ranks are among 99 draws that lie far apart.
    target_accept : float, optional
        As of `fit`, and by default what that takes for so many people.
    keep : str or Path, optional
        A folder in which each simulation is kept as it ends. The same call resumes from there, and one with
        more simulations makes more.
    executor : int, concurrent.futures.Executor or dask.distributed.Client, optional
        How many local processes, or what runs the simulations; by default as many local processes as there
        are cores for, each with all chains of a simulation at a time. See `docs/many_people.md`.
    progressbar : bool
        Whether to show progress.
    random_seed : int or numpy.random.Generator, optional
        Seed of everything random; drawn where it is not given.
    **solver_settings
        Settings of the ODE solver: ``rtol``, ``atol``, ``max_steps``.

    Returns
    -------
    Calibration
        A verdict, a table and the ranks; `plots.calibration` draws them.

    Raises
    ------
    InputError
        If a setting cannot be used, or `keep` is a folder of something else.
    InUseError
        If another process works in the folder `keep`.
    SpecError
        If there is no such model.
    StudyError
        If there is no such study, or model and study do not go together.
    SolverError
        If the equations of nearly nobody drawn from the prior can be solved.

    Examples
    --------
    >>> import bayesglu as bg
    >>> quick = dict(simulations=10, draws=50, tune=50, random_seed=1, progressbar=False)
    >>> found = bg.calibrate("minimal", "bergman1986", **quick)
    >>> found.ranks.sizes["simulation"]
    10
    """
    given: dict[str, Any] = {"draws": draws, "tune": tune, "chains": chains}
    if target_accept is not None:
        given["target_accept"] = target_accept
    asked = check_settings(given, SAMPLING)
    check_executor(executor)
    if isinstance(simulations, bool) or not isinstance(simulations, int) or simulations < 10:
        raise InputError(f"simulations is {simulations!r}; give a whole number, 10 or more.")
    if asked["draws"] * asked["chains"] < RANKED:
        raise InputError(f"draws times chains is below {RANKED}, so that no rank among so many can be had.")
    spec, study = load_model(model), load_study(like)
    d = make_design(spec, study, **solver_settings)  # says what is wrong before anything else is done
    kept = Kept(Path(keep), "calibration", "simulation") if keep is not None else None
    seed = seed_of(kept.seed() if kept is not None and random_seed is None else random_seed)
    asked.setdefault("target_accept", usual_acceptance(d))
    sampling = Sampling(
        **asked,
        method="nuts",
        seed=seed,
        parametrization="whitened",
        steps=usual_steps(d),
        nuts={},
        solver=solver_settings,
    )
    about = {"model": spec.name, "model_hash": spec.hash, "study": study.name, "study_hash": study.hash}
    about |= {"ranked": RANKED, **asdict(sampling)}
    pieces = {i: (spec, study, sampling, i) for i in range(simulations)}
    shown = tracked("simulations", progressbar)
    modules = modules_of(spec.structure)
    found = in_pieces(simulation, pieces, kept, about, executor, asked["chains"], modules, shown)
    return summed_up([found[i] for i in sorted(found)], about)


def summed_up(found: list[dict], about: dict) -> Calibration:
    """The verdict on simulations that were made."""
    ranks = np.array([list(one["rank"].values()) for one in found], int)
    held = {name: [one["held"][name] for one in found] for name in found[0]["rank"]}
    about = about | {
        "simulations": len(found),
        "drawn_again": sum(one["drawn_again"] for one in found),
        "not_clean": sum(one["r_hat"] > 1.05 or one["ess"] < RANKED for one in found),
        "diverging": float(np.mean([one["diverging"] for one in found])),
        "seconds": float(np.sum([one["seconds"] for one in found])),
    }
    return judged(ranks, held, about)


def simulation(spec: ModelSpec, study: Study, sampling: Sampling, number: int) -> dict:
    """Ranks of everything in one simulation, whether intervals held it, and how sampling went."""
    began = time.perf_counter()
    rng = np.random.default_rng([sampling.seed, number])
    d, true, again = _simulated(make_design(spec, study, **sampling.solver), rng)
    one = Sampling(**{**asdict(sampling), "seed": int(rng.integers(2**31))})
    density, positions, groups, *_ = sampled(d, one, Failures(d), Progress())
    chains = len(positions)
    values = in_chains(density.unpack(positions.reshape(-1, density.size)), chains)
    posterior = to_dataset(d, values)
    person = {dim: int(rng.integers(size)) for dim, size in posterior.sizes.items() if dim in PEOPLE}
    mixed = mixing(positions)
    return {
        **_ranks(posterior, true, person, rng),
        "person": person,
        "drawn_again": again,
        "r_hat": float(mixed.rhat.max()),
        "ess": float(mixed.ess_bulk.min()),
        "diverging": float(groups["sample_stats"]["diverging"].mean()),
        "seconds": time.perf_counter() - began,
    }


PEOPLE = ("subject", "occasion", "forcing_obs")


def _simulated(d: Design, rng: np.random.Generator) -> tuple[Design, xr.Dataset, int]:
    """New measurements of people drawn from the prior, everything true about them, and how many tries were
    in vain."""
    failures = 0
    for again in range(TRIES):
        values = d.draw_prior(1, rng)
        first = values.at(0)
        predicted, outcome = d.predict(d.theta(first), d.true_forcing(first))
        if not outcome.any() and np.isfinite(predicted).all():
            return replicate(d, first, predicted, rng), to_dataset(d, in_chains(values, 1)), again
        failures = int((outcome != 0).sum())
    raise SolverError(
        f"Of {TRIES} draws from the prior of the model '{d.spec.name}' none could be solved for all "
        f"{len(d.study.subjects)} people, the last with {failures} failures. Are its priors "
        "too wide?"
    )


def _ranks(
    posterior: xr.Dataset, true: xr.Dataset, person: Mapping[str, int], rng: np.random.Generator
) -> dict:
    """By quantity: the rank of the true value, and ``[held, ..., of]``."""
    rank, held = {}, {}
    apart = np.linspace(0, posterior.sizes["chain"] * posterior.sizes["draw"] - 1, RANKED).astype(int)
    for name, drawn in posterior.data_vars.items():
        draws = drawn.values.reshape(-1, *drawn.shape[2:])
        truth = true[name].values[0, 0]
        inside = [
            (np.quantile(draws, 0.5 - q / 2, axis=0) <= truth)
            & (truth <= np.quantile(draws, 0.5 + q / 2, axis=0))
            for q in PROBABILITIES
        ]
        ties = (draws[apart] == truth).sum(0)  # of what is not estimated at all, such as a fixed basal value
        below = (draws[apart] < truth).sum(0) + rng.integers(0, ties + 1)
        dims = drawn.dims[2:]
        if not dims or dims[0] in PEOPLE:
            rank[str(name)] = int(below[tuple(person[dim] for dim in dims)])
            held[str(name)] = [*(int(i.sum()) for i in inside), int(truth.size)]
            continue
        for at, label in enumerate(drawn[dims[0]].values):
            rank[str(label)] = int(below[at])
            held[str(label)] = [*(int(i[at]) for i in inside), 1]
    return {"rank": rank, "held": held}
