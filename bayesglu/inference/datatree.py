"""From draws of the sampler's coordinates to a DataTree in ArviZ's schema.

Samples of an analyte are a variable of their own in every group, with a dimension of their own, whose labels
name subject, occasion (where there are several) and time.
"""

import json
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
import xarray as xr

from bayesglu.hierarchy import names
from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.log_density import log_prior
from bayesglu.hierarchy.posterior import labelled, labels
from bayesglu.hierarchy.rows import TINY
from bayesglu.hierarchy.values import Values
from bayesglu.parallel import in_threads
from bayesglu.physiology.registry import registered_sources
from bayesglu.protocols.table import keep_protocols
from bayesglu.study.description import beside_its_numbers
from bayesglu.units import canonical_unit

PACKAGES = ("bayesglu", "numpy", "scipy", "numba", "llvmlite", "nutpie", "pymc", "arviz", "xarray")
FORMAT = 2
"""Of a fit: what its groups and variables are called. `old_fits` reads older ones."""
NEW_PEOPLE = "population_predictive"
NEW_PEOPLE_DRAWS = 400
"""With so many draws of the population, at most, new people are drawn."""


def in_chains(values: Values, chains: int) -> Values:
    """Draws ``(chain * draw, ...)`` as ``(chain, draw, ...)``."""
    draws = len(values.typical) // chains
    return Values(*(field.reshape(chains, draws, *field.shape[1:]) for field in values))


def predict(d: Design, values: Values) -> tuple[np.ndarray, np.ndarray]:
    """Predictions ``(chain, draw, row)`` and outcome codes ``(chain, draw, occasion)`` of draws ``(chain,
    draw, ...)``. Predictions are NaN where a solve failed."""
    theta, true = d.theta(values), d.true_forcing(values)
    predicted = np.empty((*theta.shape[:2], len(d.rows.sample)))
    outcome = np.empty(theta.shape[:3], int)

    def solve(place):
        predicted[place], outcome[place] = d.predict(theta[place], true[place])

    in_threads(solve, np.ndindex(theta.shape[:2]))
    return predicted, outcome


def measured(d: Design, values: Values, predicted: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """New measurements ``(chain, draw, obs)`` of the samples, with the assay's error."""
    samples = d.rows.part(slice(d.n_obs))
    return samples.draw(np.log(np.maximum(predicted[..., : d.n_obs], TINY)), values.sigma, rng)


def samples_groups(d: Design, values: Values, predicted: np.ndarray, rng: np.random.Generator) -> dict:
    """Groups fitted, posterior_predictive and log_likelihood, an analyte a variable."""
    samples, expected = d.rows.part(slice(d.n_obs)), predicted[..., : d.n_obs]
    # The density of a sample is that of its logarithm over sample + offset.
    volume = np.where(samples.censoring == 0, samples.log_value, 0.0)
    likelihood = samples.log_density(np.log(np.maximum(expected, TINY)), values.sigma) - volume
    return {
        "fitted": by_analyte(d, expected - samples.offset, "expected measurement, without assay error"),
        "posterior_predictive": by_analyte(d, measured(d, values, predicted, rng), "measurement"),
        # Labels beside the index would keep arviz.psense_summary from adding up what analytes say.
        "log_likelihood": by_analyte(d, likelihood, "log likelihood of each sample", "1").reset_coords(
            drop=True
        ),
    }


def new_people_group(d: Design, values: Values, rng: np.random.Generator) -> xr.Dataset:
    """Measurements of new people with the covariates, tests and times of the study's: one study of them for
    each of some draws of the population, evenly spaced."""
    chains, draws = values.typical.shape[:2]
    kept = np.linspace(0, draws - 1, min(draws, max(1, NEW_PEOPLE_DRAWS // chains))).astype(int)
    values = Values(*(field[:, kept] for field in values))
    found = by_analyte(d, new_people(d, values, rng), "measurement of a new person")
    return found.assign_coords(draw=kept)


def new_people(d: Design, values: Values, rng: np.random.Generator) -> np.ndarray:
    """Measurements ``(chain, draw, obs)`` of people drawn from each draw of a population, with the covariates
    and tests of a design; NaN where the equations of one cannot be solved."""
    people, missing = d.individuals, values.missing.copy()
    people.missing.parts(missing).value[:] = np.nan  # of these people it is drawn anew
    missing = people.missing.draw(missing, rng)
    own = people.draw(values.typical, values.effect, values.omega, values.correlation, rng, missing)
    error = rng.normal(size=(*own.shape[:2], d.forcing.n_errors))
    values = values._replace(individual=own, forcing_error=error, missing=missing)
    return measured(d, values, predict(d, values)[0], rng)


def by_analyte(d: Design, array: np.ndarray, meaning: str, unit: str | None = None) -> xr.Dataset:
    """Numbers of the samples ``(..., obs)`` as a variable for each analyte, perhaps over chain and draw."""
    sample_dims = ("chain", "draw")[: array.ndim - 1]
    coords = {n: np.arange(size) for n, size in zip(sample_dims, array.shape, strict=False)}
    found = {}
    samples = d.study.observations.sel(obs=d.obs)
    for analyte in d.analytes:
        own = np.flatnonzero(samples.analyte.values == analyte)
        if len(own):
            attrs = {"units": unit or canonical_unit(analyte), "long_name": f"{analyte}: {meaning}"}
            found[analyte] = ((*sample_dims, names.observations(analyte)), array[..., own], attrs)
            coords |= labelled(d.study, samples.isel(obs=own), analyte)
    return xr.Dataset(found, coords=coords)


def log_prior_group(d: Design, values: Values, predicted: np.ndarray) -> xr.Dataset:
    """Log prior density of everything that people share, and of pseudo-observations of the basal state, on
    the scales on which priors are Normal."""
    density = log_prior(d, values)
    people, found = d.individuals, {}

    def put(name, array, dims=()):
        found[name] = (("chain", "draw", *dims), array)

    for k, p in enumerate(people.estimated):
        put(names.typical(p.name) if p.varies else p.name, density["typical"][..., k])
    for v, each in enumerate(people.deviations):
        put(each.name, density["omega"][..., v])
    for a, analyte in enumerate(d.analytes):
        put(names.sigma(analyte), density["sigma"][..., a])
    if people.effects:
        put(names.EFFECT, density["effect"], ("effect",))
    if len(people.layout.correlated):
        put(names.CORRELATION, density["correlation"], ("pair",))
    missing = people.missing
    for c, of in enumerate(missing.numbers):
        parts = missing.parts(density["missing"])
        put(names.covariate_mean(of.name), parts.mean[..., c])
        put(names.covariate_sd(of.name), parts.log_sd[..., c])
    for h, of in enumerate(missing.levels):
        put(names.level_share(of.name), density["missing"][..., missing.log_odds_of(h)].sum(-1))
    known = d.rows.part(slice(d.n_obs, None))
    informed = known.log_density(np.log(np.maximum(predicted[..., d.n_obs :], TINY)), values.sigma)
    for i, name in enumerate(d.spec.pseudo_observations):
        occasions = len(people.occasions)
        dims = ("pseudo_observation_occasion",)
        put(f"pseudo_observation_{name}", informed[..., i * occasions : (i + 1) * occasions], dims)
    coords = {n: np.arange(size) for n, size in zip(("chain", "draw"), values.typical.shape[:2], strict=True)}
    return xr.Dataset(found, coords=coords)


def data_groups(d: Design) -> dict:
    """Groups observed_data, constant_data and protocols."""
    samples = d.study.observations.sel(obs=d.obs)
    people = xr.Dataset(
        {"body_weight": ("subject", d.study.body_weight.values, {"units": "kg", "long_name": "body weight"})},
        coords={"subject": list(d.study.subjects)},
    )
    for name, covariate in d.study.covariates.items():
        values = covariate.values
        values = values.astype(object) if values.dtype.kind in "UOT" else values
        people[f"covariate_{name}"] = ("subject", values, dict(covariate.attrs))
    for name, covariate in (d.study.occasion_covariates or {}).items():
        people[f"occasion_covariate_{name}"] = covariate.astype(
            object if covariate.dtype.kind == "U" else float
        )
    for analyte in d.analytes:
        own = samples.isel(obs=samples.analyte.values == analyte)
        if own.sizes["obs"]:
            side = (names.observations(analyte), own.censoring.values.astype(object))
            people[f"{analyte}_censoring"] = side
    people = people.merge(labels(d), join="exact", compat="no_conflicts")
    return {
        "observed_data": by_analyte(d, samples.value.values, "measurement"),
        "constant_data": people,
        "protocols": keep_protocols(d.study.protocols),
    }


def tree_of(groups: dict[str, xr.Dataset], attrs: dict) -> xr.DataTree:
    """A DataTree of groups, each with the attributes that ArviZ's schema asks for."""
    made = {
        "created_at": datetime.now(UTC).isoformat(),
        "creation_library": "bayesglu",
        "creation_library_version": version("bayesglu"),
        "creation_library_language": "Python",
    }
    sampled = {"inference_library": "nutpie", "inference_library_version": version("nutpie")}
    tree = xr.DataTree.from_dict(groups)
    for name, group in tree.children.items():
        group.attrs |= made | (sampled if name in ("posterior", "sample_stats") else {})
    tree.attrs = attrs
    return tree


def provenance(d: Design, method: str, random_seed: int, settings: dict) -> dict:
    """Attributes from which a fit can be understood and predicted again."""
    return {
        "format": FORMAT,
        "bayesglu_version": version("bayesglu"),
        "model_name": d.spec.name,
        "model_text": d.spec.text,
        "model_hash": d.spec.hash,
        "parts": json.dumps(registered_sources(d.spec.structure)),
        "study_name": d.study.name,
        "study_hash": d.study.hash,
        "study_about": json.dumps(beside_its_numbers(d.study)),
        "method": method,
        "random_seed": random_seed,
        "settings": json.dumps(settings),
        "versions": json.dumps({name: version(name) for name in PACKAGES}),
        "equations": json.dumps(d.solver.system.loop.fingerprint(d.spec.medians)),
        "kernels": d.solver.compiled.key,
    }
