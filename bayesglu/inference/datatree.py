"""From draws of the sampler's coordinates to a DataTree that ArviZ and people understand."""

import json
from importlib.metadata import version

import numpy as np
import xarray as xr

from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.rows import TINY
from bayesglu.hierarchy.values import Values
from bayesglu.parallel import in_threads
from bayesglu.physiology.choices import registered_sources
from bayesglu.protocols.table import keep_protocols
from bayesglu.units import canonical_unit

PACKAGES = ("bayesglu", "numpy", "scipy", "numba", "llvmlite", "nutpie", "pymc", "arviz", "xarray")


def in_chains(values: Values, chains: int) -> Values:
    """Draws ``(chain * draw, ...)`` as ``(chain, draw, ...)``."""
    draws = len(values.typical) // chains
    return Values(*(field.reshape(chains, draws, *field.shape[1:]) for field in values))


def predict(d: Design, values: Values) -> tuple[np.ndarray, np.ndarray]:
    """Predictions ``(chain, draw, row)`` and outcome codes ``(chain, draw, occasion)`` of draws ``(chain,
    draw, ...)``. Predictions are not-a-number where a solve failed."""
    theta, true = d.theta(values), d.driven_by(values)
    predicted = np.empty((*theta.shape[:2], len(d.rows.sample)))
    outcome = np.empty(theta.shape[:3], int)

    def solve(place):
        predicted[place], outcome[place] = d.predict(theta[place], true[place])

    in_threads(solve, np.ndindex(theta.shape[:2]))
    return predicted, outcome


def samples_groups(d: Design, values: Values, predicted: np.ndarray, rng: np.random.Generator) -> dict:
    """Groups predictions, posterior_predictive and log_likelihood, over ``(chain, draw, obs)``."""
    samples, predicted = d.rows.part(slice(d.n_obs)), predicted[..., : d.n_obs]
    log_predicted = np.log(np.maximum(predicted, TINY))
    coords = {n: np.arange(size) for n, size in zip(("chain", "draw"), predicted.shape[:2], strict=True)}
    coords["obs"] = d.obs

    def group(array, told):
        return xr.Dataset({"value": (("chain", "draw", "obs"), array, {"long_name": told})}, coords=coords)

    noisy = samples.draw(log_predicted, values.sigma, rng)
    # The density of a sample is that of its logarithm over sample + offset.
    volume = np.where(samples.censoring == 0, samples.log_value, 0.0)
    likelihood = samples.log_density(log_predicted, values.sigma) - volume
    return {
        "predictions": group(predicted - samples.offset, "true concentration, without assay error"),
        "posterior_predictive": group(noisy, "measured concentration, with assay error"),
        "log_likelihood": group(likelihood, "log likelihood of each sample"),
    }


def data_groups(d: Design) -> dict:
    """Groups observed_data, constant_data and protocols."""
    used = d.study.observations.sel(obs=d.obs)
    subjects = list(d.study.subjects)
    constant = xr.Dataset(
        {
            **{
                n: ("obs", used[n].values.astype(object))
                for n in ("subject", "occasion", "analyte", "censoring")
            },
            "time": ("obs", used.time.values, {"units": "min"}),
            "unit": ("obs", np.array([canonical_unit(a) for a in used.analyte.values], object)),
        },
        coords={"obs": d.obs},
    ).rename(subject="obs_subject")
    people = xr.Dataset(
        {
            "body_weight": ("subject", d.study.body_weight.values, {"units": "kg"}),
            "subject_label": ("subject", np.array(subjects, object)),
        },
        coords={"subject": subjects},
    )
    for name, covariate in d.study.covariates.items():
        values = covariate.values
        values = values.astype(object) if values.dtype.kind in "UOT" else values
        people[f"covariate_{name}"] = ("subject", values, dict(covariate.attrs))
    observed = xr.Dataset({"value": ("obs", used.value.values)}, coords={"obs": d.obs})
    return {
        "observed_data": observed,
        "constant_data": xr.merge([constant, people]),
        "protocols": keep_protocols(d.study.protocols),
    }


def provenance(d: Design, method: str, random_seed: int, settings: dict) -> dict:
    """Attributes from which a fit can be understood and predicted again."""
    return {
        "bayesglu_version": version("bayesglu"),
        "model_name": d.spec.name,
        "model_text": d.spec.text,
        "model_hash": d.spec.hash,
        "parts": json.dumps(registered_sources(d.spec.structure)),
        "study_name": d.study.name,
        "study_hash": d.study.hash,
        "method": method,
        "random_seed": random_seed,
        "settings": json.dumps(settings),
        "versions": json.dumps({name: version(name) for name in PACKAGES}),
        "physics_hash": d.solver.compiled.key,
    }
