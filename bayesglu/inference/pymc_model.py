"""A model and a study as a PyMC model: the only place with a ``with pm.Model``."""

from pathlib import Path

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayesglu.hierarchy.correlation import pairs
from bayesglu.hierarchy.design import TINY, Design, design
from bayesglu.solver.op import solve_op
from bayesglu.spec.model import ModelSpec, load_model
from bayesglu.study.study import Study, load_study


def build(model: ModelSpec | str | Path, study: Study | str | Path, **settings) -> pm.Model:
    """The model of a study as a plain `pm.Model` with named dimensions, in non-centred coordinates.

    Random variables, on the scale on which their priors are normal (log, or logit for fractions):

    ``typical`` (parameter)
        Typical value of each estimated parameter.
    ``log_between`` (varying)
        Logarithm of the between-subject standard deviation, ``between``, of each parameter that varies.
    ``log_effect`` (effect)
        Logarithm of each covariate's factor, if the study has the covariates.
    ``log_error`` (analyte)
        Logarithm of the standard deviation, ``error``, of the log residuals.
    ``deviation`` (subject, slot)
        Standard Normal deviations.
    ``partial`` (pair)
        Half of one plus each partial correlation, if the model has correlated deviations; ``correlation``
        (correlated, also_correlated) is the matrix.
    ``reading_error`` (reading_with_error)
        Standard Normal errors of the readings that drive the model, in units of the assay's, if any do;
        ``driving`` (reading) are the true concentrations.
    ``observation`` (obs)
        The samples that are not censored, each with its assay's offset, log-normal about the prediction.
    ``heavy_tailed_observation`` (heavy_tailed_obs)
        Those of analytes whose log residuals are Student's.

    ``theta`` (test, parameter) holds everyone's parameters on their natural scale. Samples beyond detection
    limits and soft observations are potentials. `settings` go to the solver.

    Works with ``pm.sample``, ``pm.do``, ``pm.observe`` and posterior prediction. Raises SpecError or
    StudyError when model and study do not fit together.
    """
    return model_of(design(load_model(model), load_study(study), **settings))


def model_of(d: Design) -> pm.Model:
    """The PyMC model of a design."""
    coords = {
        "parameter": list(d.estimated),
        "varying": list(d.varying),
        "analyte": list(d.analytes),
        "subject": list(d.study.subjects),
        "test": ["/".join(t) for t in d.study.tests],
        "slot": [f"{d.varying[v]}[{i}]" for i, v in enumerate(d.block_varying)],
        "obs": d.obs[_uncensored(d)[0]],
        "heavy_tailed_obs": d.obs[_uncensored(d)[1]],
    }
    if len(d.correlated):
        names = [d.estimated[k] for k in d.block_parameter[d.correlated]]
        coords |= {"pair": pairs(names), "correlated": names, "also_correlated": names}
    if d.readings.n_errors:
        coords["reading_with_error"] = d.readings.obs[d.readings.slot >= 0]
    if len(d.readings.obs):
        coords["reading"] = d.readings.obs
    if d.effects:
        coords["effect"] = [f"{d.estimated[k]}:{key}" for k, key in d.effects]
    with pm.Model(coords=coords) as model:
        log_between = pm.Normal("log_between", *d.between_prior, dims="varying")
        between = pm.Deterministic("between", pt.exp(log_between), dims="varying")
        log_error = pm.Normal("log_error", *d.error_prior, dims="analyte")
        error = pm.Deterministic("error", pt.exp(log_error), dims="analyte")
        spread = between[d.block_varying]
        typical = pm.Normal("typical", d.location, d.spread, dims="parameter")
        effect = pm.Normal("log_effect", *d.effect_prior, dims="effect") if d.effects else pt.zeros(0)
        deviation = pm.Normal("deviation", dims=("subject", "slot"))
        if len(d.correlated):
            deviation = _correlated(d, deviation)
        block = _centre(d, typical, effect) + spread * deviation
        natural, theta = _theta(d, typical, effect, block)
        pm.Deterministic("theta", natural, dims=("test", "parameter"))
        _likelihood(d, theta, error, _at_stops(d, theta, error))
    return model


def _uncensored(d: Design) -> tuple[np.ndarray, np.ndarray]:
    """Samples of which the value is known: those with Normal log residuals, and those with Student's."""
    known, tails = d.rows.censoring[: d.n_obs] == 0, d.rows.tails[: d.n_obs]
    return np.flatnonzero(known & (tails == 0)), np.flatnonzero(known & (tails > 0))


def _correlated(d: Design, deviation):
    """Independent deviations made to go together: see `correlation`."""
    m = len(d.correlated)
    partial = 2 * pm.Beta("partial", d.partial_shapes, d.partial_shapes, dims="pair") - 1
    factor, at = pt.zeros((m, m)), 0
    for i in range(m):
        left = pt.as_tensor(1.0)
        for j in range(i):
            factor = factor[i, j].set(partial[at] * left)
            left, at = left * pt.sqrt(1 - partial[at] ** 2), at + 1
        factor = factor[i, i].set(left)
    pm.Deterministic("correlation", factor @ factor.T, dims=("correlated", "also_correlated"))
    return deviation[:, d.correlated].set(deviation[:, d.correlated] @ factor.T)


def _centre(d: Design, typical, effect):
    centre = typical[d.block_parameter][None, :]
    if d.effects:
        return centre + pt.tensordot(pt.constant(d.block_scores), effect, axes=[[2], [0]])
    return centre * np.ones((len(d.study.subjects), 1))


def _theta(d: Design, typical, effect, block):
    """Estimated parameters (test, parameter) on their natural scale, and all columns of theta."""
    n_tests = len(d.subject_of_test)
    phi = typical[None, :] * np.ones((n_tests, 1))
    if d.effects:
        acts = np.zeros((len(d.effects), len(d.estimated)))
        acts[np.arange(len(d.effects)), [k for k, _ in d.effects]] = 1.0
        phi = phi + pt.dot(pt.constant(d.scores) * effect, acts)
    if len(d.varying):
        phi = phi[:, d.varying_index].set(block[d.subject_of_test[:, None], d.place])
    natural = pt.exp(phi)
    if d.is_logit.any():
        logit = np.flatnonzero(d.is_logit)
        natural = natural[:, logit].set(pt.sigmoid(phi[:, logit]))
    theta = pt.as_tensor(np.tile(d.fixed, (n_tests, 1)))[:, d.columns].set(natural)
    return natural, theta


def _at_stops(d: Design, theta, error):
    """The measured curve that drives the model, at the stops; None where there is none."""
    r = d.readings
    if not len(r.obs):
        return None
    true, own = theta[r.test, r.basal], np.flatnonzero(r.slot >= 0)
    if r.n_errors:
        reading_error = pm.Normal("reading_error", dims="reading_with_error")
        log_true = r.log_value[own] + error[r.analyte] * reading_error
        true = true[own].set(pt.exp(log_true) - r.offset)
    return r.at_stops(pm.Deterministic("driving", true, dims="reading"))


def _log_student(tails, log_value, sd, size):
    return pt.exp(pm.StudentT.dist(nu=tails, mu=log_value, sigma=sd, size=size))


def _likelihood(d: Design, theta, error, level):
    rows = d.rows
    outputs = solve_op(d.solver, theta[:, : len(d.solver.system.parameters)], level=level)
    value = rows.by_output * outputs[rows.sample, rows.output]
    if rows.by_parameter.any():
        value = value + rows.by_parameter * theta[rows.test, rows.parameter]
    if rows.offset.any():
        value = value + rows.offset
    log_value = pt.log(pt.maximum(value, TINY))
    sd = pt.where(rows.analyte >= 0, error[np.maximum(rows.analyte, 0)], rows.known_error)
    plain, heavy = _uncensored(d)
    if len(plain):
        observed = np.exp(rows.log_value[plain])
        pm.LogNormal("observation", log_value[plain], sd[plain], observed=observed, dims="obs")
    if len(heavy):
        pm.CustomDist(
            "heavy_tailed_observation",
            rows.tails[heavy],
            log_value[heavy],
            sd[heavy],
            dist=_log_student,
            observed=np.exp(rows.log_value[heavy]),
            dims="heavy_tailed_obs",
        )
    for name, side, sign in (("below_detection", -1, 1.0), ("above_detection", 1, -1.0)):
        limits = np.flatnonzero(rows.censoring == side)
        if len(limits):
            distance = sign * (rows.log_value[limits] - log_value[limits]) / sd[limits]
            pm.Potential(name, pm.logcdf(pm.Normal.dist(), distance).sum())
    soft = np.arange(d.n_obs, len(rows.sample))
    if len(soft):
        misfit = (log_value[soft] - rows.log_value[soft]) / rows.known_error[soft]
        pm.Potential("soft_observations", (-0.5 * misfit**2).sum())
