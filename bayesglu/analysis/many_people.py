"""Thousands of people given a population that was fitted before: each alone, portion by portion."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr

from bayesglu.analysis.conditional import Conditional
from bayesglu.analysis.importance import sample_each
from bayesglu.analysis.population import (
    LEAST,
    completed,
    design_of_new,
    hash_of,
    population_alone,
    population_values,
)
from bayesglu.analysis.weights import IMPORTANCE, LARGEST_K
from bayesglu.atomic import remove, whole
from bayesglu.errors import FitWarning, InputError, RunWarning, warn_caller
from bayesglu.hierarchy import names
from bayesglu.hierarchy.posterior import to_dataset
from bayesglu.inference.datatree import in_chains
from bayesglu.inference.progress import tracked
from bayesglu.physiology.registry import modules_of
from bayesglu.pieces import Kept, check_executor, in_pieces
from bayesglu.results import require_fit
from bayesglu.seeds import seed_of
from bayesglu.settings import COUNT, MANY, SOLVER, Number, check_all
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import ModelSpec, model_of
from bayesglu.study.study import Study, load_study
from bayesglu.text.wording import some

SETTINGS = {
    "draws": COUNT,
    "population_draws": Number(LEAST, MANY, whole=True),
    "portion": COUNT,
}

DIAGNOSTICS = {
    "pareto_k": "shape of the tail of the weights of draws of the person",
    "population_pareto_k": "shape of the tail of the weights of draws of the population",
    "population_ess": "effective number of draws of the population, given the person",
    "modes": "modes that were found",
    "log_marginal_likelihood": "log likelihood of the person's samples under the population",
}


def fit_many(
    population_fit: xr.DataTree,
    study: Study | str | Path,
    keep: str | Path,
    *,
    draws: int = 200,
    population_draws: int = 200,
    portion: int = 50,
    executor: Any = None,
    progressbar: bool = True,
    random_seed: int | np.random.Generator | None = None,
    **solver_settings,
) -> xr.Dataset:
    """The posterior of each of many people given a population that was fitted before, kept as they are made.

    Each person is as `fit_person` would have it of that person alone: draws of the population, with all their
    uncertainty, are weighted by that person's samples. The population is the same for everyone: what one
    person's samples say of it tells nothing of another. So time and memory grow with the number of people and
    no faster; what all of them together say of the population is not asked.

    Parameters
    ----------
    population_fit : xarray.DataTree
        As `fit` and `load` return it.
    study : Study, str or Path
        The people: a study, or its name or path.
    keep : str or Path
        A folder in which each portion of people is kept as it ends, in a store of zarr, ``people.zarr``. The
        same call resumes from there.
    draws : int
        Draws of each person.
    population_draws : int
        Draws of the population to use at most, evenly spaced; 25 or more.
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
        Settings of the ODE solver that differ from those of the population's fit: ``rtol``, ``atol``,
        ``max_steps``.

    Returns
    -------
    xarray.Dataset
        Opened from the folder, and read when it is asked for. Individual parameters on their natural scale
        (subject, draw), or of occasions (occasion, draw); ``population_draw`` (subject, draw), which of the
        population's draws goes with each; by subject ``pareto_k``, ``population_pareto_k``,
        ``population_ess``, ``modes``, ``log_marginal_likelihood``, and ``failed``: why there are no draws of
        a person, or nothing.

    Raises
    ------
    InputError
        If it is no fit of a population, a setting cannot be used, covariates differ between occasions, or
        `keep` is a folder of something else.
    InUseError
        If another process works in the folder `keep`.
    SpecError
        If the model has a part that is not registered.
    StudyError
        If there is no such study, or model and study do not go together.
    WorkerLostError
        If a process was ended before its work was done.

    Warns
    -----
    FitWarning
        Where the equations of somebody could not be solved, or weights are too uneven to be trusted.

    Examples
    --------
    >>> import tempfile
    >>> import bayesglu as bg
    >>> people = bg.simulate_study("ivgtt", protocol="ivgtt(0.3)", times=[0, 4, 10, 30, 60], random_seed=1)
    >>> known, new = people.select(people.subjects[:3]), people.select(people.subjects[3:5])
    >>> population = bg.fit("ivgtt", known, method="laplace", random_seed=1, progressbar=False)
    >>> few = dict(draws=20, population_draws=25, progressbar=False, random_seed=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = bg.fit_many(population, new, f"{folder}/new", **few)
    ...     found.insulin_sensitivity.load().sizes["subject"]
    2
    """
    spec, folder = model_of(require_fit(population_fit).attrs), Path(keep)
    kept_solver = json.loads(population_fit.attrs.get("settings", "{}")).get("solver", {})
    given = {"draws": draws, "population_draws": population_draws, "portion": portion}
    checked, solver = check_all((given, SETTINGS, ""), ({**kept_solver, **solver_settings}, SOLVER, ""))
    check_executor(executor)
    if population_fit.attrs.get("method") == IMPORTANCE:
        raise InputError("This is a fit of new people: give the fit of the population that they are of.")
    study = load_study(study)
    if study.occasion_covariates is not None:
        raise InputError("Covariates of this study differ between occasions: fit_person takes such people.")
    alone = population_alone(population_fit, checked["population_draws"])
    d = design_of_new(spec, study, alone, solver)  # says what is wrong, and what is lacking, first
    labels = {"subject": list(study.subjects), "draw": list(range(checked["draws"]))}
    if any(each.level == "occasion" for each in d.individuals.deviations):
        labels["occasion"] = [names.occasion(*o) for o in d.individuals.occasions]
    size = checked["portion"]
    people = [study.subjects[i : i + size] for i in range(0, len(study.subjects), size)]
    places = {dim: {label: i for i, label in enumerate(own)} for dim, own in labels.items()}
    kept = KeptPeople(folder, "fit_many", "portion", places)
    seed = seed_of(kept.seed() if random_seed is None else random_seed)
    about = {"model_hash": spec.hash, "study_hash": study.hash, "seed": seed, **checked, "solver": solver}
    about["population"] = hash_of(alone["posterior"].to_dataset())
    pieces = {
        i: (spec, study.select(own), alone, solver, checked["draws"], [seed, i])
        for i, own in enumerate(people)
    }
    shown, modules = tracked("portions", progressbar), modules_of(spec.structure)
    done = in_pieces(portion_of_people, pieces, kept, about, executor, 1, modules, shown)
    failed = {who: why for one in done.values() for who, why in one["failed"].items()}
    found = xr.open_zarr(kept.store, chunks=None, consolidated=False)
    found["failed"] = ("subject", np.array([failed.get(s, "") for s in study.subjects], object))
    found.attrs |= {"model": spec.name, "study": study.name, "random_seed": seed}
    found.attrs["population_study"] = str(population_fit.attrs.get("study_name", ""))
    _warn(found, failed)
    return found


def portion_of_people(
    spec: ModelSpec, study: Study, population: xr.DataTree, solver: Mapping, draws: int, seed: list[int]
) -> tuple[xr.Dataset, dict[str, str]]:
    """Draws and diagnostics of some people, and why there are none of others."""
    try:
        return _drawn(spec, study, population, solver, draws, seed), {}
    except SolverError as error:
        if len(study.subjects) == 1:
            return xr.Dataset(), {study.subjects[0]: str(error)}
    parts, failed = [], {}
    for i, person in enumerate(study.subjects):
        one, why = portion_of_people(spec, study.select([person]), population, solver, draws, [*seed, i])
        failed |= why
        parts += [one] if one else []
    whole = xr.merge(
        [xr.concat([p[[n for n in p if d in p[n].dims]] for p in parts], d) for d in DIMS if d in parts[0]]
    ) if parts else xr.Dataset()  # fmt: skip
    return whole, failed


DIMS = ("subject", "occasion")


def _drawn(spec, study, population, solver, draws, seed) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    d = design_of_new(spec, study, population, solver, warn=False)
    known = completed(population["posterior"].to_dataset(), d, rng)
    c = Conditional.of(d, population_values(known, d, rng), rng)
    found = sample_each(c, draws, rng)
    everyone, n = np.arange(c.people), d.individuals.shape[1]
    away = np.einsum("rsde,rse->rsd", c.factor[found.which], found.x[..., :n])
    # What of a person is not the person's own is not kept, whichever draw of the population it is of.
    values = c.values(found.which[:, 0], found.x)
    values = values._replace(individual=c.centre[found.which, everyone] + away)
    posterior = to_dataset(d, in_chains(values, 1)).isel(chain=0, drop=True)
    own = [name for name, v in posterior.data_vars.items() if v.attrs["role"] == "individual"]
    dims = [dim for dim in DIMS if dim in posterior[own].dims]
    made = posterior[own].transpose(*dims, "draw")
    diagnostics = (found.k, found.population_k, found.population_ess, found.modes, found.log_likelihood)
    for (name, text), value in zip(DIAGNOSTICS.items(), diagnostics, strict=True):
        made[name] = ("subject", np.asarray(value, float), {"long_name": text})
    about = {"long_name": "which of the draws of the population, as they were used"}
    return made.assign(population_draw=(("subject", "draw"), found.which.T.astype(float), about))


@dataclass(frozen=True)
class KeptPeople(Kept):
    """A folder in which portions of people have places of their own in one store of zarr. `places` are those
    of the labels of each dim."""

    places: Mapping[str, Mapping[Any, int]] = field(default_factory=dict)

    @property
    def store(self) -> Path:
        """Where the draws are."""
        return self.folder / "people.zarr"

    def add(self, number: int, one: tuple[xr.Dataset, dict[str, str]]) -> dict:
        """Keep the draws of a portion, and then that they are there."""
        people, failed = one
        if not self.store.exists():
            empty = xr.Dataset(coords={dim: list(own) for dim, own in self.places.items()})
            with whole(self.store) as new:
                empty.to_zarr(new, consolidated=False)
        group = zarr.open_group(self.store, mode="a")
        there, kept = dict(group.arrays()), {}
        for name, values in people.data_vars.items():
            array = there[str(name)] if str(name) in there else self._new(group, str(name), values)
            first = values.dims[0]
            at = [self.places[str(first)][label] for label in map(str, values[first].values)]
            for begin, end in _runs(at):  # who failed leaves a gap
                array[at[begin] : at[end] + 1] = values.values[begin : end + 1]
            kept[str(name)] = {"at": at, "sha256": _checksum(values.values)}
        return super().add(number, {"failed": failed, "kept": kept})

    def found(self, numbers: Iterable[int]) -> dict[int, Any]:
        """Those that are there, and whose draws in the store are those that were written; of others a
        RunWarning says that they are made again."""
        found = super().found(numbers)
        there = self._arrays() if found else {}
        lost = [number for number, one in found.items() if not _is_sound(there, one.get("kept", {}))]
        if lost:
            which = some([str(number) for number in lost])
            warn_caller(
                f"{self.store}: the draws of {self.piece} {which} are not as they were written and "
                "are made again.",
                RunWarning,
            )
        return {number: one for number, one in found.items() if number not in lost}

    def _arrays(self) -> dict[str, Any]:
        """The arrays of the store; a store that is none, or whose labels are others, is taken away."""
        try:
            there = dict(zarr.open_group(self.store, mode="r").arrays())
            if all(list(np.asarray(there[dim])) == list(own) for dim, own in self.places.items()):
                return there
        except Exception:  # of any kind: the bytes are not those of zarr
            pass
        remove(self.store)
        return {}

    def _new(self, group: zarr.Group, name: str, values: xr.DataArray) -> zarr.Array:
        shape = tuple(len(self.places[str(dim)]) for dim in values.dims)
        return group.create_array(
            name,
            shape=shape,
            chunks=(min(shape[0], max(1, values.shape[0])), *shape[1:]),
            dtype="float64",
            fill_value=np.nan,
            dimension_names=[str(dim) for dim in values.dims],
            attributes={k: v for k, v in values.attrs.items() if isinstance(v, str | int | float)},
        )


def _is_sound(arrays: Mapping[str, Any], kept: Mapping[str, Mapping]) -> bool:
    """Whether what was kept of a portion is in the store as it was written."""
    try:
        return all(
            _checksum(arrays[name].oindex[np.array(own["at"], int)]) == own["sha256"]
            for name, own in kept.items()
        )
    except Exception:  # of any kind: the bytes are not those of zarr
        return False


def _checksum(values: np.ndarray) -> str:
    return sha256(np.ascontiguousarray(values, "<f8").tobytes()).hexdigest()


def _runs(places: list[int]) -> list[tuple[int, int]]:
    """The stretches of places that follow each other, by where they begin and end in the list."""
    breaks = [i for i in range(1, len(places)) if places[i] != places[i - 1] + 1]
    return list(zip([0, *breaks], [*(i - 1 for i in breaks), len(places) - 1], strict=True))


def _warn(found: xr.Dataset, failed: dict[str, str]) -> None:
    """Say of whom there are no draws, and whose weights cannot be trusted."""
    warnings = []
    if failed:
        first, why = next(iter(failed.items()))
        warnings.append(f"There are no draws of subject {some(list(failed))}. {first}: {why}")
    names_ = ("pareto_k", "population_pareto_k")
    bad = np.any([found[n].values > LARGEST_K for n in names_ if n in found], axis=0)
    if np.any(bad):
        who = [str(s) for s in found["subject"].values[bad]]
        warnings.append(
            f"Weights are too uneven to be trusted (Pareto k above {LARGEST_K}) for subject {some(who)}: "
            "take more population_draws, or fit_person."
        )
    if warnings:
        warn_caller("\n".join(warnings), FitWarning)
