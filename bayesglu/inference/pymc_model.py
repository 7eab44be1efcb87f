"""A model and a study as a PyMC model: the only place with a ``with pm.Model``."""

from pathlib import Path

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from bayesglu.hierarchy.correlation import pairs
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.posterior import correlated_names
from bayesglu.hierarchy.residuals import Student
from bayesglu.hierarchy.rows import TINY
from bayesglu.solver.op import solve_op
from bayesglu.spec.model import ModelSpec, load_model
from bayesglu.study.study import Study, load_study


def build(model: ModelSpec | str | Path, study: Study | str | Path, **settings) -> pm.Model:
    """The model of a study as a plain `pymc.Model` with named dimensions, in non-centered coordinates.

    It works with ``pm.sample``, ``pm.do``, ``pm.observe`` and posterior prediction. Random variables are on
    the scale on which their priors are normal (log, or logit for fractions):

    ``typical`` (parameter)
        Typical value of each estimated parameter.
    ``log_between`` (varying)
        Logarithm of the between-subject SD, ``between_subject``, of each parameter that varies.
    ``log_effect`` (effect)
        Logarithm of each covariate's factor, if the study has the covariates.
    ``log_error`` (analyte)
        Logarithm of the standard deviation, ``error``, of the log residuals.
    ``deviation`` (subject, slot)
        Standard Normal random effects.
    ``partial`` (pair)
        Half of one plus each partial correlation, if the model has correlated random effects; ``correlation``
        (correlated, also_correlated) is the matrix.
    ``reading_error`` (reading_with_error)
        Standard Normal errors of the readings that drive the model, in units of the assay's, if any do;
        ``driving`` (reading) are the true concentrations.
    ``observation`` (obs)
        The samples that are not censored, each with its assay's offset, log-normal about the prediction.
    ``heavy_tailed_observation`` (heavy_tailed_obs)
        Those of analytes whose log residuals are Student's.

    ``theta`` (test, parameter) holds everyone's parameters on their natural scale. Samples beyond detection
    limits and pseudo-observations are potentials.

    Parameters
    ----------
    model : ModelSpec, str or Path
        A model, or the name or path of a model file.
    study : Study, str or Path
        A study, or its name or path.
    **settings
        Settings of the ODE solver: ``rtol``, ``atol``, ``max_steps``.

    Returns
    -------
    pymc.Model
        The model, conditioned on the samples.

    Raises
    ------
    InputError
        If a protocol of the study gives what the model has no place for.
    SpecError
        If there is no such model, or it correlates parameters that differ between occasions.
    StudyError
        If there is no such study, or model and study do not go together.

    Examples
    --------
    >>> import bayesglu as bg
    >>> model = bg.build("minimal", "bergman1986")
    >>> len(model.coords["parameter"])
    6
    """
    return model_of(make_design(load_model(model), load_study(study), **settings))


def model_of(d: Design) -> pm.Model:
    """The PyMC model of a design."""
    people, layout = d.individuals, d.individuals.layout
    varying = [p.name for p in people.varying]
    coords = {
        "parameter": list(people.names),
        "varying": varying,
        "analyte": list(d.analytes),
        "subject": list(people.subjects),
        "test": ["/".join(t) for t in people.occasions],
        "slot": [f"{varying[v]}[{i}]" for i, v in enumerate(layout.component_varying)],
        "obs": d.obs[_uncensored(d)[0]],
        "heavy_tailed_obs": d.obs[_uncensored(d)[1]],
    }
    if len(layout.correlated):
        names = correlated_names(people)
        coords |= {"pair": pairs(names), "correlated": names, "also_correlated": names}
    if d.driving.n_errors:
        coords["reading_with_error"] = d.driving.obs[d.driving.error >= 0]
    if len(d.driving.obs):
        coords["reading"] = d.driving.obs
    if people.effects:
        coords["effect"] = [f"{acting.parameter}:{acting.key}" for acting in people.effects]
    with pm.Model(coords=coords) as model:
        log_between = pm.Normal("log_between", *people.omega_prior, dims="varying")
        omega = pm.Deterministic("between_subject", pt.exp(log_between), dims="varying")
        log_error = pm.Normal("log_error", *d.sigma_prior, dims="analyte")
        sigma = pm.Deterministic("error", pt.exp(log_error), dims="analyte")
        typical = pm.Normal("typical", *people.typical_prior, dims="parameter")
        effect = pm.Normal("log_effect", *people.effect_prior, dims="effect") if people.effects else None
        deviation = pm.Normal("deviation", dims=("subject", "slot"))
        if len(layout.correlated):
            deviation = _correlated(d, deviation)
        individual = _centre(d, typical, effect) + omega[layout.component_varying] * deviation
        natural, theta = _theta(d, typical, effect, individual)
        pm.Deterministic("theta", natural, dims=("test", "parameter"))
        _likelihood(d, theta, sigma, _at_stops(d, theta, sigma))
    return model


def _uncensored(d: Design) -> tuple[np.ndarray, np.ndarray]:
    """Samples of which the value is known: those with Normal log residuals, and those with Student's."""
    samples = d.rows.part(slice(d.n_obs))
    known, heavy = samples.censoring == 0, samples.residual == Student.kind
    return np.flatnonzero(known & ~heavy), np.flatnonzero(known & heavy)


def _correlated(d: Design, deviation):
    """Independent deviations made correlated: see `hierarchy.correlation`."""
    together, shapes = d.individuals.layout.correlated, d.individuals.partial_shapes
    m = len(together)
    partial = 2 * pm.Beta("partial", shapes, shapes, dims="pair") - 1
    factor, at = pt.zeros((m, m)), 0
    for i in range(m):
        left = pt.as_tensor(1.0)
        for j in range(i):
            factor = factor[i, j].set(partial[at] * left)
            left, at = left * pt.sqrt(1 - partial[at] ** 2), at + 1
        factor = factor[i, i].set(left)
    pm.Deterministic("correlation", factor @ factor.T, dims=("correlated", "also_correlated"))
    return deviation[:, together].set(deviation[:, together] @ factor.T)


def _centre(d: Design, typical, effect):
    """The obvious form: `Individuals.centre`."""
    layout = d.individuals.layout
    centre = typical[layout.component_parameter][None, :]
    if effect is not None:
        return centre + pt.tensordot(pt.constant(layout.component_scores), effect, axes=[[2], [0]])
    return centre * np.ones((len(d.individuals.subjects), 1))


def _theta(d: Design, typical, effect, individual):
    """Estimated parameters (test, parameter) on their natural scale, and all columns of theta. The obvious
    form: `Individuals.theta`."""
    layout = d.individuals.layout
    occasions = len(layout.subject)
    phi = typical[None, :] * np.ones((occasions, 1))
    if effect is not None:
        acts = np.zeros((len(layout.effect_parameter), len(layout.columns)))
        acts[np.arange(len(acts)), layout.effect_parameter] = 1.0
        phi = phi + pt.dot(pt.constant(layout.scores) * effect, acts)
    if len(layout.varying):
        phi = phi[:, layout.varying].set(individual[layout.subject[:, None], layout.component])
    natural = pt.exp(phi)
    if layout.is_logit.any():
        logit = np.flatnonzero(layout.is_logit)
        natural = natural[:, logit].set(pt.sigmoid(phi[:, logit]))
    theta = pt.as_tensor(np.tile(layout.fixed, (occasions, 1)))[:, layout.columns].set(natural)
    return natural, theta


def _at_stops(d: Design, theta, sigma):
    """The measured curve that drives the model, at the stops; None where there is none."""
    r = d.driving
    if not len(r.obs):
        return None
    true, own = theta[r.occasion, r.basal], np.flatnonzero(r.error >= 0)
    if r.n_errors:
        reading_error = pm.Normal("reading_error", dims="reading_with_error")
        log_true = r.log_value[own] + sigma[r.analyte] * reading_error
        true = true[own].set(pt.exp(log_true) - r.offset)
    return r.at_stops(pm.Deterministic("driving", true, dims="reading"))


def _log_student(nu, log_value, sd, size):
    return pt.exp(pm.StudentT.dist(nu=nu, mu=log_value, sigma=sd, size=size))


def _likelihood(d: Design, theta, sigma, level):
    rows = d.rows
    outputs = solve_op(d.solver, theta[:, : len(d.solver.system.parameters)], level=level)
    value = rows.by_output * outputs[rows.sample, rows.output]
    if rows.by_parameter.any():
        value = value + rows.by_parameter * theta[rows.occasion, rows.parameter]
    if rows.offset.any():
        value = value + rows.offset
    log_value = pt.log(pt.maximum(value, TINY))
    sd = pt.where(rows.analyte >= 0, sigma[np.maximum(rows.analyte, 0)], rows.known_sigma)
    plain, heavy = _uncensored(d)
    if len(plain):
        observed = np.exp(rows.log_value[plain])
        pm.LogNormal("observation", log_value[plain], sd[plain], observed=observed, dims="obs")
    if len(heavy):
        pm.CustomDist(
            "heavy_tailed_observation",
            rows.nu[heavy],
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
        misfit = (log_value[soft] - rows.log_value[soft]) / rows.known_sigma[soft]
        pm.Potential("soft_observations", (-0.5 * misfit**2).sum())
