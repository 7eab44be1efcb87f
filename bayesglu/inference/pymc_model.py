"""A model and a study as a PyMC model."""

from collections import Counter
from pathlib import Path

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.hierarchy.correlation import pairs
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.posterior import forcing_labels, labelled
from bayesglu.hierarchy.rows import TINY
from bayesglu.inference.coordinates import Coordinates
from bayesglu.inference.coordinates import whitened as whitened_coordinates
from bayesglu.inference.kept_coordinates import kept_coordinates
from bayesglu.inference.modes import find_modes
from bayesglu.inference.operations import parameters, predictions
from bayesglu.inference.pymc_prior import centre, factor_of, log_shares, noncentered, whitened
from bayesglu.inference.pymc_samples import measured, samples_of
from bayesglu.settings import SOLVER, check_settings
from bayesglu.spec.model import ModelSpec, load_model
from bayesglu.study.study import Study, load_study
from bayesglu.text.problems import Problems

PARAMETRIZATIONS = ("noncentered", "whitened")


def build(
    model: ModelSpec | str | Path,
    study: Study | str | Path,
    parametrization: str | None = None,
    coordinates_of: xr.DataTree | None = None,
    **solver_settings,
) -> pm.Model:
    """The model of a study as a `pymc.Model`, to be looked at, added to and sampled with PyMC.

    Variables in both forms, on the scales on which priors are Normal (log, or logit for fractions) but for
    ``theta``; those of which a study has none are not there:

    =============================  =========================  ==========================================
    name                           dims                       content
    =============================  =========================  ==========================================
    ``transformed_typical``        parameter                  logarithms (log odds) of typical values; those
                                                              of a fit, ``X_typical``, are on natural scales
    ``log_covariate_effect``       effect                     logarithms of the factors of covariates
    ``log_omega``, ``omega``       varying                    SDs of the random effects; ``X/occasion`` of
                                                              those of occasions within people
    ``log_sigma``, ``sigma``       analyte                    SDs of the log residuals
    ``partial``                    pair                       (1 + canonical partial correlation) / 2
    ``correlation``                correlated                 correlations of random effects
    ``eta``                        subject, random_effect     random effects
    ``theta``                      occasion, parameter        everyone's parameters, on their natural scale
    ``z_forcing``                  forcing_error              residuals of the samples of the forcing function
    ``insulin_forcing``            forcing_obs                the true forcing function at its samples
    ``covariate_mean``             number_covariate           of a covariate that some people lack
    ``covariate_precision``        number_covariate           1 / SD ** 2 of it, between people
    ``missing_number``             missing                    the covariate of those who lack it
    ``level_fraction``             fraction                   of a level, among those not yet named
    ``level_share``                level                      how many are at a level
    ``glucose``, ``insulin`` ...   glucose_obs, ...           the samples of an analyte, observed
    =============================  =========================  ==========================================

    Samples beyond a limit of quantification are among the others: there the log likelihood is the log
    probability of lying beyond it. Draws (``pm.sample_posterior_predictive``) are of measurements without
    limits. What a model knows of derived quantities besides is the potential ``pseudo_observations``.

    A number that some people lack is on the scale of its effects, the logarithm if any is a power. A level
    that they lack is summed out: the random effects of these people are about what each level predicts,
    and ``eta`` is their distance from the mean of that by the levels' expected shares.

    Log priors and draws of the prior are promised for the non-centered form, and so are interventions
    (``pm.do``) on what ``theta`` is made of. In the whitened one all comes from
    ``whitened_coordinates``, which have one log prior.

    Parameters
    ----------
    model : ModelSpec, str or Path
        A model, or the name or path of a model file.
    study : Study, str or Path
        A study, or its name or path.
    parametrization : str, optional
        ``"noncentered"``, also where nothing is said: everything that is estimated is a random variable with
        its prior, and random effects are in units of their SDs. Or ``"whitened"``: all of it is made of one
        random vector, ``whitened_coordinates``, in which NUTS runs freely; those in which `fit` begins, about
        the posterior modes.
    coordinates_of : xarray.DataTree, optional
        A fit of the same model and study, for a model in its whitened coordinates (not those of xarray),
        which its pilot run re-estimated.
    **solver_settings
        Settings of the ODE solver: ``rtol``, ``atol``, ``max_steps``.

    Returns
    -------
    pymc.Model
        The model, conditioned on the samples; see docs/pymc.md.

    Raises
    ------
    InputError
        If there is no such parametrization, the whitened coordinates are not of this model and study, or a
        protocol of the study gives what the model has no place for.
    SpecError
        If there is no such model, or it correlates parameters that differ between occasions.
    StudyError
        If there is no such study, or model and study do not go together.
    SolverError
        If the equations cannot be solved near the posterior modes, for the whitened form.

    Examples
    --------
    >>> import bayesglu as bg
    >>> model = bg.build("minimal", "bergman1986")
    >>> [variable.name for variable in model.observed_RVs]
    ['glucose', 'insulin']
    """
    solver_settings = check_settings(solver_settings, SOLVER)
    d = make_design(load_model(model), load_study(study), **solver_settings)
    return model_of(d, _coordinates(d, parametrization, coordinates_of))


def _coordinates(d: Design, parametrization: str | None, fit: xr.DataTree | None) -> Coordinates | None:
    """The coordinates that a model is to be written in; None for those of the priors."""
    problems = Problems("build")
    if parametrization not in (None, *PARAMETRIZATIONS):
        problems.unknown(parametrization, PARAMETRIZATIONS, "parametrization")
    if parametrization == "noncentered" and fit is not None:
        problems.add("coordinates_of is for the parametrization 'whitened', not for 'noncentered'.")
    kept = None
    if fit is not None:
        kept, found = kept_coordinates(fit, d)
        for problem in found:
            problems.add(problem)
    problems.raise_any(InputError)
    if parametrization == "whitened" and fit is None:
        return whitened_coordinates(d, find_modes(d).expansion)
    return kept


def model_of(d: Design, coordinates: Coordinates | None = None) -> pm.Model:
    """The PyMC model of a design: with a random variable for each thing that is estimated, or made of
    `coordinates`."""
    people, layout = d.individuals, d.individuals.layout
    with pm.Model(coords=_coords(d)) as model:
        made = noncentered(d) if coordinates is None else whitened(d, coordinates)
        if people.varying:
            pm.Deterministic("omega", made.omega, dims="varying")
            away = made.individual - centre(d, made.shared, made.missing)
            pm.Deterministic("eta", away, dims=("subject", "random_effect"))
        if m := len(layout.correlated):
            factor = factor_of(made.partial, m)
            pm.Deterministic("correlation", factor @ factor.T, dims=("correlated", "also_correlated"))
        if people.missing.levels:
            pm.Deterministic("level_share", pt.exp(log_shares(d, made.missing)), dims="level")
        sigma = pm.Deterministic("sigma", made.sigma, dims="analyte")
        theta = parameters(d, made.shared, made.individual, made.missing)
        theta = pm.Deterministic("theta", theta, dims=("occasion", "parameter"))
        _true_curve(d, theta, sigma, made.forcing_error)
        _compare(d, theta, sigma, made.forcing_error)
    return model


def _coords(d: Design) -> dict[str, list]:
    """Labels of the dimensions, but for those without any."""
    people = d.individuals
    together = people.correlated
    read, own = forcing_labels(d), d.forcing.error[: len(d.forcing.obs)] >= 0
    found = {
        "parameter": people.names,
        "varying": [each.label for each in people.deviations],
        "analyte": d.analytes,
        "subject": people.subjects,
        "occasion": [names.occasion(*occasion) for occasion in people.occasions],
        "random_effect": _random_effects(d),
        "effect": [names.effect(acting.parameter, acting.key) for acting in people.effects],
        "pair": pairs(together),
        "correlated": together,
        "also_correlated": together,
        "forcing_obs": read,
        **_missing_coords(d),
        "forcing_error": [label for label, uncertain in zip(read, own, strict=True) if uncertain],
    }
    for analyte in d.analytes:
        dim = names.observations(analyte)
        found[dim] = labelled(d.study, samples_of(d, analyte), analyte)[dim]
    return {name: list(labels) for name, labels in found.items() if len(labels)}


def _missing_coords(d: Design) -> dict[str, list[str]]:
    """Labels of what covariates that some people lack may be."""
    missing = d.individuals.missing
    levels = [[names.level(of.name, level) for level in of.levels] for of in missing.levels]
    return {
        "number_covariate": [of.name for of in missing.numbers],
        "missing": [names.missing_of(of.name, subject) for of in missing.numbers for subject in of.subjects],
        "fraction": [label for own in levels for label in own[:-1]],
        "level": [label for own in levels for label in own],
    }


def _random_effects(d: Design) -> list[str]:
    """The parameter of each random effect; on the first, the second ... occasion of a person, if it differs
    between these."""
    turn, labels = Counter(), []
    for v in d.individuals.layout.component_varying:
        deviation = d.individuals.deviations[v]
        name = deviation.parameter.name
        turn[deviation.label] += 1
        labels.append(f"{name}/{turn[deviation.label]}" if deviation.level == "occasion" else name)
    return labels


def _true_curve(d: Design, theta, sigma, forcing_error) -> None:
    """The true forcing function at its samples, if there is one: `ForcingSamples.true`."""
    r = d.forcing
    if not len(r.obs):
        return
    own = np.flatnonzero(r.error >= 0)
    true = pt.exp(r.log_value[own] + sigma[r.analyte] * forcing_error) - r.offset
    if len(own) < len(r.error):
        basal = d.individuals.layout.columns.tolist().index(r.basal)
        true = theta[r.occasion, basal][own].set(true)
    output = d.spec.analytes[d.analytes[r.analyte]].output
    pm.Deterministic(names.forcing(output), true[: len(r.obs)], dims="forcing_obs")


def _compare(d: Design, theta, sigma, forcing_error) -> None:
    """The samples of each analyte, and what is known besides."""
    rows = d.rows
    order = np.argsort(np.where(rows.analyte < 0, len(d.analytes), rows.analyte), kind="stable")
    predicted, at = predictions(d, order, theta, sigma, forcing_error), 0
    for a, analyte in enumerate(d.analytes):
        n = int((rows.analyte == a).sum())
        if n:
            measured(d, analyte, predicted[at : at + n], sigma[a])
            at += n
    pseudo = rows.part(order[at:])
    if len(pseudo.sample):
        known = pm.Normal.dist(pseudo.log_value, pseudo.known_sigma)
        pm.Potential("pseudo_observations", pm.logp(known, pt.log(pt.maximum(predicted[at:], TINY))).sum())
