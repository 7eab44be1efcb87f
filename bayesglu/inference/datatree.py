"""From draws of the sampler's coordinates to a DataTree that ArviZ and people understand."""

import json
from importlib.metadata import version

import numpy as np
import xarray as xr

from bayesglu.hierarchy.correlation import below_diagonal, factor_of, pairs
from bayesglu.hierarchy.design import TINY, Design
from bayesglu.inference.density import Density
from bayesglu.parallel import in_threads
from bayesglu.protocols.table import keep_protocols
from bayesglu.units import canonical_unit

PACKAGES = ("bayesglu", "numpy", "scipy", "numba", "llvmlite", "nutpie", "pymc", "arviz", "xarray")


def posterior_of(density: Density, positions: np.ndarray) -> tuple[xr.Dataset, np.ndarray, np.ndarray]:
    """Parameters on their natural scale from positions ``(chain, draw, x)``; theta (chain, draw, test,
    parameter); and what drives the model (chain, draw, reading)."""
    d = density.design
    chains, draws, _ = positions.shape
    return parameters_dataset(d, (chains, draws), *density.unpack(positions.reshape(chains * draws, -1)))


def prior_of(d: Design, draws: int, rng: np.random.Generator) -> tuple[xr.Dataset, np.ndarray, np.ndarray]:
    """Draws of the prior (chain 1) in the same form."""
    n_s = len(d.study.subjects)
    typical = rng.normal(d.location, d.spread, size=(draws, len(d.estimated)))
    effect = rng.normal(*d.effect_prior, size=(draws, len(d.effects)))
    between = np.exp(rng.normal(*d.between_prior, size=(draws, len(d.varying))))
    error = np.exp(rng.normal(*d.error_prior, size=(draws, len(d.analytes))))
    z = rng.normal(size=(draws, n_s, len(d.block_parameter)))
    partial = 2 * rng.beta(d.partial_shapes, d.partial_shapes, size=(draws, len(d.partial_shapes))) - 1
    factor = np.array([factor_of(np.arctanh(p), len(d.correlated)) for p in partial])
    z[..., d.correlated] = np.einsum("...ij,...sj->...si", factor, z[..., d.correlated])
    block = d.centre(typical, effect) + between[:, None, d.block_varying] * z
    correlation = below_diagonal(factor @ factor.swapaxes(1, 2))
    reading_error = rng.normal(size=(draws, d.readings.n_errors))
    return parameters_dataset(
        d, (1, draws), typical, effect, between, error, correlation, block, reading_error
    )


def parameters_dataset(d: Design, shape, typical, effect, between, error, correlation, block, reading_error):
    """See `posterior_of`; the first axis of all arrays runs over chains and draws."""
    theta = d.theta(typical, effect, block)
    driving = d.driving(theta, error, reading_error)
    natural = d.natural(typical)
    subjects, tests = list(d.study.subjects), ["/".join(t) for t in d.study.tests]
    first_test = [int(np.flatnonzero(d.subject_of_test == s)[0]) for s in range(len(subjects))]
    found: dict[str, tuple] = {}

    def put(name, values, dims, parameter, role, unit, long_name):
        attrs = {"units": unit, "long_name": long_name, "role": role}
        if parameter is not None:
            attrs |= {"symbol": parameter.symbol, "level": parameter.level, "scale": parameter.scale}
            attrs["parameter"] = parameter.name
        found[name] = (("chain", "draw", *dims), values.reshape(*shape, *values.shape[1:]), attrs)

    for k, name in enumerate(d.estimated):
        p = d.spec.parameters[name]
        told = name.replace("_", " ")
        if name not in d.varying:
            put(name, natural[:, k], (), p, "population", p.unit, told)
            continue
        column = d.columns[k]
        if p.level == "subject":
            put(name, theta[:, first_test, column], ("subject",), p, "individual", p.unit, told)
        else:
            put(name, theta[:, :, column], ("test",), p, "individual", p.unit, told)
        put(f"{name}_typical", natural[:, k], (), p, "typical", p.unit, f"typical {told}")
        v = d.varying.index(name)
        scale = "log odds" if p.scale == "logit" else "logarithm"
        put(
            f"{name}_between",
            between[:, v],
            (),
            p,
            "between",
            "1",
            f"between-subject SD of the {scale} of {told}",
        )
    for e, (k, key) in enumerate(d.effects):
        name = d.estimated[k]
        told = f"factor of {name.replace('_', ' ')} for {key}"
        label = f"{name}_effect_{key.replace(':', '_')}"
        put(label, np.exp(effect[:, e]), (), d.spec.parameters[name], "effect", "1", told)
    for a, name in enumerate(d.analytes):
        put(f"error_{name}", error[:, a], (), None, "error", "1", f"SD of the log residuals of {name}")
    coords = {"chain": np.arange(shape[0]), "draw": np.arange(shape[1]), "subject": subjects}
    if len(d.correlated):
        told = "correlation of people's deviations, on the scales on which the priors are normal"
        put("correlation", correlation, ("pair",), None, "correlation", "1", told)
        coords["pair"] = pairs([d.estimated[k] for k in d.block_parameter[d.correlated]])
    if d.spec.at("occasion"):
        coords["test"] = tests
    if len(d.readings.obs):
        output = d.spec.analytes[d.analytes[d.readings.analyte]].output
        told = f"true {output} at the readings that drive the model, a straight line from each to the next"
        unit = canonical_unit(d.analytes[d.readings.analyte])
        put(f"{output}_at_readings", driving, ("reading",), None, "driving", unit, told)
        read = d.study.observations.sel(obs=d.readings.obs)
        coords["reading"] = d.readings.obs
        for name in ("subject", "occasion"):
            coords[f"reading_{name}"] = ("reading", read[name].values.astype(object))
        coords["reading_time"] = ("reading", read.time.values, {"units": "min"})
    by_draw = (values.reshape(*shape, *values.shape[1:]) for values in (theta, driving))
    return xr.Dataset(found, coords=coords), *by_draw


def predict(d: Design, theta: np.ndarray, driving: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predictions ``(chain, draw, row)`` and outcome codes ``(chain, draw, test)``.

    theta : ``(chain, draw, test, parameter)``. driving : true concentrations at the readings that drive the
    model, ``(chain, draw, reading)``. Predictions are not-a-number where a solve failed.
    """
    predicted = np.empty((*theta.shape[:2], len(d.rows.sample)))
    outcome = np.empty(theta.shape[:3], int)

    def solve(place):
        predicted[place], outcome[place] = d.solve(theta[place], driving[place])

    in_threads(solve, np.ndindex(theta.shape[:2]))
    return predicted, outcome


def samples_groups(d: Design, posterior: xr.Dataset, predicted: np.ndarray, rng: np.random.Generator) -> dict:
    """Groups predictions, posterior_predictive and log_likelihood, over ``(chain, draw, obs)``."""
    n = d.n_obs
    rows = d.rows
    errors = np.stack([posterior[f"error_{a}"].values for a in d.analytes], axis=-1)
    sd = errors[..., rows.analyte[:n]]
    log_predicted = np.log(np.maximum(predicted[..., :n], TINY))
    noise = rng.normal(size=log_predicted.shape)
    heavy = np.flatnonzero(rows.tails[:n] > 0)
    if len(heavy):
        noise[..., heavy] = rng.standard_t(rows.tails[heavy], size=noise[..., heavy].shape)
    # Measured values are not negative, though the noise of an assay with an offset reaches below zero.
    noisy = np.maximum(np.exp(log_predicted + sd * noise) - rows.offset[:n], 0.0)
    coords = {"chain": posterior.chain, "draw": posterior.draw, "obs": d.obs}

    def group(values, told):
        return xr.Dataset({"value": (("chain", "draw", "obs"), values, {"long_name": told})}, coords=coords)

    return {
        "predictions": group(predicted[..., :n] - rows.offset[:n], "true concentration, without assay error"),
        "posterior_predictive": group(noisy, "measured concentration, with assay error"),
        "log_likelihood": group(log_likelihood(d, log_predicted, sd), "log likelihood of each sample"),
    }


def log_likelihood(d: Design, log_predicted: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """Log density of each sample's value (log probability of being beyond the limit where censored)."""
    from scipy.special import log_ndtr
    from scipy.stats import t

    log_value, censoring, tails = (
        values[: d.n_obs] for values in (d.rows.log_value, d.rows.censoring, d.rows.tails)
    )
    distance, log_volume = (log_value - log_predicted) / sd, np.log(sd) + log_value
    density = -0.5 * distance**2 - 0.5 * np.log(2 * np.pi) - log_volume
    heavy, beyond = np.flatnonzero(tails > 0), np.flatnonzero(censoring)
    density[..., heavy] = t.logpdf(distance[..., heavy], tails[heavy]) - log_volume[..., heavy]
    density[..., beyond] = log_ndtr(-censoring[beyond] * distance[..., beyond])
    return density


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
        "study_name": d.study.name,
        "study_hash": d.study.hash,
        "method": method,
        "random_seed": random_seed,
        "settings": json.dumps(settings),
        "versions": json.dumps({name: version(name) for name in PACKAGES}),
        "physics_hash": d.solver.compiled.key,
    }
