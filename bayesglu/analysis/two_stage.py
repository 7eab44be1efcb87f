"""A population of thousands: each person as if alone first, and then the hierarchy over what is stored."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bayesglu.analysis.many_people import DIMS
from bayesglu.analysis.population import of_everyone
from bayesglu.analysis.stage_one import KeptDraws, Stored, design_of_some, draw_portion, joined
from bayesglu.analysis.stage_two import BATCHES, Drawn, Mode, Numbers, Pooled, sample
from bayesglu.errors import FitWarning, InputError, warn_caller
from bayesglu.hierarchy.correlation import mode_and_scale
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.posterior import to_dataset
from bayesglu.inference.datatree import data_groups, in_chains, provenance, tree_of
from bayesglu.inference.progress import tracked
from bayesglu.physiology.registry import modules_of
from bayesglu.pieces import Kept, check_executor, in_pieces
from bayesglu.seeds import seed_of
from bayesglu.settings import COUNT, MANY, SOLVER, Number, check_all
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import ModelSpec, load_model
from bayesglu.study.study import Study, load_study
from bayesglu.text.wording import some

TWO_STAGE = "two-stage"
"""The method of such a fit."""

SETTINGS = {
    "draws": COUNT,
    "tune": COUNT,
    "chains": COUNT,
    "stored": Number(2 * BATCHES, MANY, whole=True),
    "portion": COUNT,
}

ROUNDS, SETTLED, NOISE = 8, 1.0, 4.0
"""Rounds of stage one at most; by how many SDs the mode may have moved in the last, or of its own Monte Carlo
errors."""

PRIOR_DRAWS = 500


def fit_two_stage(
    model: ModelSpec | str | Path,
    study: Study | str | Path,
    keep: str | Path,
    *,
    draws: int = 250,
    tune: int = 200,
    chains: int = 4,
    stored: int = 128,
    portion: int = 50,
    executor: Any = None,
    progressbar: bool = True,
    random_seed: int | np.random.Generator | None = None,
    **solver_settings,
) -> xr.DataTree:
    """The posterior of the population of thousands of people, in two stages, kept as they are made.

    In stage one each person is drawn as if alone, under a wide population: that of the model's priors, with
    all uncertainty of typical values added to the between-subject SDs. In stage two the hierarchy is sampled
    over the stored draws, with that wide population divided out. Its mode is then the population under which
    stage one is done again, until the mode stays: so draws lie where the hierarchy wants them, also of people
    whose samples say little. Time and memory grow with the number of people and no faster, and the posterior
    is that of `fit`, but for the Monte Carlo error of the stored draws, which is reported.

    Parameters
    ----------
    model : ModelSpec, str or Path
        A model, or the name or path of a model file.
    study : Study, str or Path
        The people: a study, or its name or path. Each was seen on one occasion.
    keep : str or Path
        A folder in which each portion of people is kept as it ends; the same call resumes from there.
    draws : int
        Draws of each chain of the population.
    tune : int
        Draws that tune the sampler and are not kept.
    chains : int
        How many chains.
    stored : int
        Draws of each person that stage two reads, 16 or more. People of many parameters need more.
    portion : int
        People who are worked on together.
    executor : int, concurrent.futures.Executor or dask.distributed.Client, optional
        How many local processes, or what works on the portions; by default as many local processes as there
        are cores.
    progressbar : bool
        Whether to show progress.
    random_seed : int or numpy.random.Generator, optional
        Seed of everything random; drawn where it is not given, and kept in the attributes.
    **solver_settings
        Settings of the ODE solver: ``rtol``, ``atol``, ``max_steps``.

    Returns
    -------
    xarray.DataTree
        As of `fit`, with ``posterior``, ``prior`` (of the population alone), ``observed_data``,
        ``constant_data`` and ``protocols``; and ``stages``, with ``effective_draws`` (subject): the
        effective number of stored draws of each person. Draws of individual parameters are
        among those stored, so that there are at most `stored` different ones of a person. What needs
        predictions of each sample, such as predictive checks, is not there. The attribute ``stages`` says
        how well it went, and `check` judges it.

    Raises
    ------
    InputError
        If a setting cannot be used, somebody was seen on several occasions or lacks a covariate that acts, or
        `keep` is a folder of something else.
    InUseError
        If another process works in the folder `keep`.
    SolverError
        If the equations can be solved for nobody.
    SpecError
        If there is no such model, or it has a part that is not registered.
    StudyError
        If there is no such study, or model and study do not go together.
    WorkerLostError
        If a process was ended before its work was done.

    Warns
    -----
    FitWarning
        Where the equations of somebody could not be solved: they are left out.

    Notes
    -----
    Individual parameters are drawn about the modes of each person's posterior, with heavy tails. The
    likelihood of a population is the product over people of the mean weight that it gives their stored draws
    (Lunn et al. 2013, Stat Med 32:3678, take the draws as proposals of a Markov chain instead), corrected to
    first order for the bias of its logarithm, and is sampled with nutpie. Assay errors are as exact as all
    else, from residuals that are stored. What parameters that all share do to predictions is taken as linear
    about the mode: with many people they are known so well that it is.

    Examples
    --------
    >>> import tempfile
    >>> import bayesglu as bg
    >>> free = {"basal_glucose", "insulin_sensitivity"}
    >>> spec = bg.load_model("ivgtt")
    >>> fixed = {name: {"level": "fixed"} for name in spec.estimated if name not in free}
    >>> spec = spec.with_changes(parameters=fixed)
    >>> times = [0, 10, 60]
    >>> people = bg.simulate_study(spec, protocol="ivgtt(0.3)", times=times, subjects=4, random_seed=1)
    >>> few = dict(draws=20, tune=50, chains=1, stored=16, progressbar=False, random_seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = bg.fit_two_stage(spec, people, f"{folder}/run", **few)
    >>> found.posterior.insulin_sensitivity.dims
    ('chain', 'draw', 'subject')
    """
    began = time.perf_counter()
    given = {"draws": draws, "tune": tune, "chains": chains, "stored": stored, "portion": portion}
    checked, solver = check_all((given, SETTINGS, ""), (solver_settings, SOLVER, ""))
    check_executor(executor)
    spec, study = load_model(model), load_study(study)
    d = make_design(spec, study, **solver)
    _require_possible(d)
    kept = Kept(Path(keep), "two_stage", "")
    seed = seed_of(kept.seed() if random_seed is None else random_seed)
    about = {"model_hash": spec.hash, "study_hash": study.hash, "seed": seed, "solver": solver}
    about |= {name: checked[name] for name in ("stored", "portion")}
    with kept.work(about):
        work = Stages(d, kept.folder, checked, solver, seed, executor, progressbar)
        pooled, mode, stages = work.settled()
        drawn = sample(pooled, mode, draws, tune, chains, seed)
        posterior = work.posterior(pooled, drawn)
    groups = {
        "posterior": posterior,
        "prior": _prior(d, np.random.default_rng([seed, 0])),
        **({} if drawn.statistics is None else {"sample_stats": drawn.statistics}),
        **data_groups(d),
        "stages": _effective(pooled, mode),
    }
    settings = {**checked, "solver": solver}
    tree = tree_of(groups, provenance(d, TWO_STAGE, seed, settings))
    tree.attrs |= {"stages": json.dumps(stages | drawn.weights), "wall_seconds": time.perf_counter() - began}
    return tree


def _require_possible(d: Design) -> None:
    """Raise InputError where the two stages cannot be what a fit of all people together is."""
    people = d.individuals
    if len(people.occasions) > len(people.subjects) or d.study.occasion_covariates is not None:
        several = [s for s in people.subjects if sum(s == other for other, _ in people.occasions) > 1]
        raise InputError(
            f"Two stages take one occasion of each person, and {some(several or people.subjects)} has more: "
            "fit(model, study), or a study of one occasion each."
        )
    if people.missing.size:
        lacked = {of.name: of.subjects for of in (*people.missing.numbers, *people.missing.levels)}
        lacking = "; ".join(f"{name} is missing for {some([*who])}" for name, who in lacked.items())
        raise InputError(
            f"Two stages take covariates as known, and {lacking}. Fill them in, fit without these people "
            "(study.select(subjects=[...])), or fit(model, study)."
        )


class Stages:
    """Rounds of both stages in a folder."""

    def __init__(self, d: Design, folder: Path, checked: Mapping, solver, seed: int, executor, shown: bool):
        self.d, self.folder, self.checked, self.seed = d, folder, checked, seed
        self.solver, self.executor, self.shown = solver, executor, shown
        size, everyone = checked["portion"], d.study.subjects
        self.portions = [d.study.select(everyone[i : i + size]) for i in range(0, len(everyone), size)]

    def settled(self) -> tuple[Pooled, Mode, dict]:
        """Draws of everyone where the hierarchy wants them, its mode, and how it went."""
        reference = _wide(self.d)
        for number in range(1, ROUNDS + 1):
            pooled, failed = self._round(number, reference)
            mode = pooled.mode()
            moved = np.abs(mode.position - np.concatenate(pooled.reference)) / mode.sd
            if settled := bool((moved < np.maximum(SETTLED, NOISE * mode.error)).all()):
                break
            reference = pooled.numbers(mode.position)
        if failed:
            first, why = next(iter(failed.items()))
            warn_caller(f"Subject {some(list(failed))} left out. {first}: {why}", FitWarning)
        each = pooled.effective_draws(mode.position)
        diagnostics = {
            "rounds": number,
            "moved": float(moved.max()),
            "unsettled": not settled,
            "error": float(mode.error.max()),
            "fewest_effective_draws": float(np.quantile(each, 0.05)),
            "bent": float(pooled.bent(mode).max(initial=0.0)),
            "left_out": list(failed),
        }
        return pooled, mode, diagnostics

    def _round(self, number: int, reference: Numbers) -> tuple[Pooled, dict[str, str]]:
        """Stage one under a reference population, or under that which it was begun with."""
        kept = KeptDraws(self.folder / f"round_{number}", "stage_one", "portion")
        if (before := kept.reference()) is not None:
            reference = Numbers(*(np.array(field, float) for field in before))
        at = Numbers(*(field[None, None] for field in reference))
        rest = (
            self.d.study.covariates,
            _population(self.d, at),
            self.d.analytes,
            self.solver,
            self.checked["stored"],
        )
        pieces = {
            i: (self.d.spec, some_people, *rest, [self.seed, number, i])
            for i, some_people in enumerate(self.portions)
        }
        about = {"reference": [field.tolist() for field in reference]}
        shown = tracked(f"portions, round {number}", self.shown)
        modules = modules_of(self.d.spec.structure)
        done = in_pieces(draw_portion, pieces, kept, about, self.executor, 1, modules, shown)
        parts: list[Stored] = [done[i][0] for i in sorted(done) if done[i][0] is not None]
        failed = {who: why for i in sorted(done) for who, why in done[i][2].items()}
        if not parts:
            raise SolverError(next(iter(failed.values())))
        there = {who for one in done.values() for who in one[1]}
        return Pooled(_of_people(self.d, there), joined(parts), reference), failed

    def posterior(self, pooled: Pooled, drawn: Drawn) -> xr.Dataset:
        """Draws (chain, draw, ...) of everyone and of the population."""
        numbers, parts = pooled.numbers(drawn.positions), []
        place = {subject: s for s, subject in enumerate(pooled.design.individuals.subjects)}
        for study in self.portions:
            if not (there := [s for s in study.subjects if s in place]):
                continue
            study = study if len(there) == len(study.subjects) else study.select(there)
            d = design_of_some(self.d.spec, study, self.d.study.covariates, self.solver)
            d = replace(d, forcing=d.forcing._replace(obs=d.forcing.obs[:0]))
            own, analytes = [place[s] for s in there], [self.d.analytes.index(a) for a in d.analytes]
            values, individual = numbers.values(d.individuals), pooled.stored.individual
            values = values._replace(
                individual=individual[own, drawn.turn[..., own]], sigma=values.sigma[..., analytes]
            )
            made = to_dataset(d, values)
            own = [name for name, v in made.data_vars.items() if v.attrs["role"] == "individual"]
            parts.append(made[own])
        dims = [dim for dim in DIMS if dim in parts[0].dims]
        by_dim = [xr.concat([p[[n for n in p if dim in p[n].dims]] for p in parts], dim) for dim in dims]
        return xr.merge([*by_dim, _population(self.d, numbers)])


def _effective(pooled: Pooled, mode: Mode) -> xr.Dataset:
    attributes = {"long_name": "effective number of stored draws"}
    subjects = list(pooled.design.individuals.subjects)
    each = ("subject", pooled.effective_draws(mode.position), attributes)
    return xr.Dataset({"effective_draws": each}, {"subject": subjects})


def _of_people(d: Design, there: Collection[str]) -> Design:
    """The design with some of its people, as far as a population is concerned."""
    i, study = d.individuals, d.study
    occasions = [occasion for occasion in i.occasions if occasion[0] in there]
    people = Individuals.of(d.spec, i.columns, i.names, occasions, study.covariates, None, ())
    return replace(d, individuals=people)


def _of_one(d: Design) -> Design:
    """The design with one person and no forcing function, where only the population is asked for."""
    few, nothing = _of_people(d, d.study.subjects[:1]), d.forcing.obs[:0]
    return replace(few, forcing=d.forcing._replace(obs=nothing, error=nothing))


def _population(d: Design, numbers: Numbers) -> xr.Dataset:
    """Draws (chain, draw, ...) of a population with names and units."""
    one = _of_one(d)
    return _alone(to_dataset(one, numbers.values(one.individuals)))


def _prior(d: Design, rng: np.random.Generator) -> xr.Dataset:
    one = _of_one(d)
    return _alone(to_dataset(one, in_chains(one.draw_prior(PRIOR_DRAWS, rng), 1)))


def _alone(draws: xr.Dataset) -> xr.Dataset:
    return of_everyone(draws).drop_dims(DIMS, errors="ignore")


def _wide(d: Design) -> Numbers:
    """The population of the priors, whose between-subject SDs have all uncertainty of typical values in
    them."""
    i = d.individuals
    typical_sd = i.typical_prior[1][i.layout.varying]
    return Numbers(
        typical=i.typical_prior[0],
        effect=i.effect_prior[0],
        log_omega=np.log(np.hypot(np.exp(i.omega_prior[0]), typical_sd)),
        log_sigma=d.sigma_prior[0],
        artanh=mode_and_scale(i.partial_shapes)[0],
    )
