"""Fit a model to a study; keep the result in a file that is enough to predict from again."""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.inference.density import Density, log_density
from bayesglu.inference.design import Design, design
from bayesglu.inference.modes import expand
from bayesglu.inference.progress import Progress
from bayesglu.inference.results import (
    data_groups,
    posterior_of,
    predict,
    prior_of,
    provenance,
    samples_groups,
)
from bayesglu.kept_protocols import kept_protocols
from bayesglu.solver.integrate import FINE, OUTCOMES
from bayesglu.solver.solver import SolverError
from bayesglu.spec import ModelSpec, load_model
from bayesglu.study import Study, load_study

PRIOR_DRAWS = 500


def fit(
    model: ModelSpec | str,
    study: Study | str,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    random_seed: int | np.random.Generator | None = None,
    progressbar: bool = True,
    method: str = "nuts",
    cores: int | None = None,
    target_accept: float = 0.9,
    coordinates: str = "whitened",
    nuts: Mapping | None = None,
    **solver_settings,
) -> xr.DataTree:
    """The posterior of a model given a study, as a DataTree that ArviZ understands.

    method : ``"nuts"`` samples with nutpie, the sampler that PyMC uses by default. ``"map"`` gives posterior
        modes with Laplace intervals in seconds: a first look, with draws of a Gaussian about the modes.
    coordinates : ``"whitened"`` (see `density`) or ``"non-centred"``; the posterior is the same.
    nuts : more settings for nutpie, such as ``{"maxdepth": 8}``.
    solver_settings : relative, absolute, max_steps.

    Groups: ``posterior`` and ``prior`` with individual parameters (chain, draw, subject), typical values,
    between-subject SDs, covariate factors and assay errors, all on their natural scale with their unit in the
    attributes; ``sample_stats``; ``observed_data``, ``constant_data`` and ``protocols``; over (chain, draw,
    obs) ``predictions`` (without assay error), ``posterior_predictive`` (with it) and ``log_likelihood``. The
    attributes hold the model's text, hashes, versions and a seed that gives the same fit again.

    Raises SpecError or StudyError when model and study do not fit together, SolverError when the equations
    cannot be solved where the sampler is to start. `bayesglu.check` judges the result.

    >>> import bayesglu
    >>> quick = bayesglu.fit("minimal", "bergman1986", method="map", random_seed=1, progressbar=False)
    >>> 1e-5 < float(quick.posterior.insulin_sensitivity.median()) < 1e-3
    True
    """
    if method not in ("nuts", "map"):
        raise ValueError(f"There is no method '{method}'. Known: nuts, map.")
    if coordinates not in ("whitened", "non-centred"):
        raise ValueError(f"There are no coordinates '{coordinates}'. Known: whitened, non-centred.")
    began = time.perf_counter()
    d = _design(model, study, **solver_settings)
    seed = _seed(random_seed)
    density = Density(d, expand(d) if coordinates == "whitened" or method == "map" else None)
    failures = Failures(d)
    groups: dict[str, xr.Dataset] = {}
    settings = {"draws": draws, "tune": tune, "chains": chains, "coordinates": coordinates}
    settings |= {"target_accept": target_accept, "nuts": dict(nuts or {}), "solver": solver_settings}
    if method == "map":
        positions = np.random.default_rng(seed).normal(size=(1, draws, density.size))
    else:
        positions, groups["sample_stats"] = _sample(
            density, draws, tune, chains, cores, seed, target_accept, dict(nuts or {}), progressbar, failures
        )
    tree = _tree(d, density, positions, np.random.default_rng(seed + 1), groups, failures)
    tree.attrs = provenance(d, method, seed, settings)
    tree.attrs |= {"failed_solves": json.dumps(failures.told()), "wall_seconds": time.perf_counter() - began}
    return tree


def prior_predictive(
    model: ModelSpec | str, study: Study | str, draws: int = 500, random_seed=None, **solver_settings
) -> xr.DataTree:
    """What the model expects of a study before it has seen the data: groups ``prior`` and
    ``prior_predictive``.

    Dims as in `fit`, with one chain. Draws whose equations could not be solved are not-a-number, and counted
    in the attribute ``failed_solves``.
    """
    d = _design(model, study, **solver_settings)
    seed, failures = _seed(random_seed), Failures(d)
    rng = np.random.default_rng(seed)
    prior, theta = prior_of(d, draws, rng)
    predicted, outcome = predict(d, theta)
    failures.count(outcome)
    made = samples_groups(d, prior, predicted, rng)
    groups = {
        "prior": prior,
        "prior_predictive": made["posterior_predictive"],
        "predictions": made["predictions"],
    }
    tree = xr.DataTree.from_dict({**groups, **data_groups(d)})
    tree.attrs = provenance(d, "prior", seed, {"draws": draws, "solver": solver_settings})
    tree.attrs |= {"failed_solves": json.dumps(failures.told())}
    return tree


def save(fit: xr.DataTree, path: str | Path, without_data: bool = False) -> Path:
    """Write a fit to ``.nc`` (netCDF) or ``.zarr``; `without_data` leaves out every sample and covariate
    of the people, and what each was given when it was not the same for all."""
    path = Path(path)
    kept = fit
    if without_data:
        private = {"observed_data", "posterior_predictive", "predictions", "log_likelihood"}
        if len(set(kept_protocols(fit.protocols.to_dataset()).values())) > 1:
            private.add("protocols")
        kept = xr.DataTree.from_dict({n: c.to_dataset() for n, c in fit.children.items() if n not in private})
        people = fit.constant_data.to_dataset()[["body_weight", "subject_label"]]
        kept["constant_data"] = xr.DataTree(
            people.assign(body_weight=people.body_weight * 0 + people.body_weight.mean())
        )
        kept.attrs = dict(fit.attrs)
    if path.suffix == ".nc":
        kept.to_netcdf(path, engine="h5netcdf")
    elif path.suffix == ".zarr":
        kept.to_zarr(path, mode="w", consolidated=False)
    else:
        raise ValueError(
            f"{path}: write a fit to a name that ends in .nc (netCDF) or .zarr, not '{path.suffix}'."
        )
    return path


def load(path: str | Path) -> xr.DataTree:
    """A fit from its file, wholly in memory."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"{path}: there is no such file. A fit is written by `bayesglu fit --out {path.name}`."
        )
    if path.suffix == ".zarr":
        tree = xr.open_datatree(path, engine="zarr", consolidated=False).load()
    else:
        tree = xr.load_datatree(path, engine="h5netcdf")
    if "model_text" not in tree.attrs:
        raise ValueError(f"{path}: this is not a fit of bayesglu; it has no model_text in its attributes.")
    return tree


def _design(model, study, **solver_settings) -> Design:
    return design(
        load_model(model), load_study(study) if isinstance(study, (str, Path)) else study, **solver_settings
    )


def _seed(given: int | np.random.Generator | None) -> int:
    """The seed to keep with a result: asked for again, it gives the same result again."""
    if isinstance(given, (int, np.integer)):
        return int(given)
    return int(np.random.default_rng(given).integers(2**31))


@dataclass
class Failures:
    """Solves that failed while sampling, by person and reason."""

    design: Design
    counts: Counter = field(default_factory=Counter)

    def record(self, density: Density, x: np.ndarray) -> None:
        typical, effect, _, _, block = density.unpack(x[None])
        theta = self.design.theta(typical[0], effect[0], block[0])
        if np.isfinite(theta).all():
            self.count(self.design.solve(theta)[1])

    def count(self, outcome: np.ndarray) -> None:
        """Add the failures among outcome codes ``(..., test)``."""
        for place in zip(*np.nonzero(outcome != FINE), strict=True):
            self.counts[self.design.study.tests[place[-1]][0], OUTCOMES[int(outcome[place])]] += 1

    def told(self) -> list[dict]:
        return [{"subject": s, "reason": r, "count": n} for (s, r), n in self.counts.most_common()]


def _sample(density, draws, tune, chains, cores, seed, target_accept, nuts, progressbar, failures):
    """Positions (chain, draw, x) and the sampler's statistics."""
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    start = np.zeros(density.size)
    if not np.isfinite(density(start)[0]):
        failures.record(density, start)
        raise SolverError(
            "The sampler cannot start: the log density is not finite where it is to begin.\n"
            + "\n".join(f"subject {f['subject']}: {f['reason']}" for f in failures.told())
        )

    def chain_density():
        arguments = density.arguments

        def evaluate(x):
            value, gradient = log_density(x, *arguments)
            if value == -np.inf:
                failures.record(density, np.asarray(x))
            return value, gradient

        return evaluate

    def starting_point(chain_seed):
        point = 0.3 * np.random.default_rng(chain_seed).normal(size=density.size)
        return point if np.isfinite(density(point)[0]) else start

    model = from_pyfunc(
        density.size,
        chain_density,
        lambda *seeds: lambda x: {"position": x},
        [np.dtype("float64")],
        [(density.size,)],
        ["position"],
        make_initial_point_fn=starting_point,
    )
    with Progress(chains, draws + tune, progressbar, failures.counts) as progress:
        trace = nutpie.sample(
            model,
            draws=draws,
            tune=tune,
            chains=chains,
            cores=cores,
            seed=seed,
            progress_bar=False,
            progress_callback=progress.update,
            target_accept=target_accept,
            save_warmup=False,
            **nuts,
        )
    return trace.posterior.position.values, trace.sample_stats.to_dataset()


def _tree(d: Design, density: Density, positions, rng, groups, failures: Failures) -> xr.DataTree:
    posterior, theta = posterior_of(density, positions)
    predicted, outcome = predict(d, theta)
    failures.count(outcome)
    prior, _ = prior_of(d, PRIOR_DRAWS, rng)
    made = {"posterior": posterior, **groups, "prior": prior, **samples_groups(d, posterior, predicted, rng)}
    return xr.DataTree.from_dict({**made, **data_groups(d)})
