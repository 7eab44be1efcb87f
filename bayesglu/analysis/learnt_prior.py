"""What a fit has learnt of a population, as the priors of the next: a model file made of a posterior."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.results import require_fit
from bayesglu.spec import files
from bayesglu.spec.model import ModelSpec, model_of, read_model
from bayesglu.spec.priors import Parameter, correlation_matrix
from bayesglu.spec.written import tables_of

DIGITS = 4  # of medians and of geometric SDs
CORRELATION_DIGITS = 3
DRAWS_EACH = 10
"""How many draws there are at least for each typical value."""

LEAST_EIGENVALUE = 1e-3
"""Of a correlation matrix of draws, rounded; where it is less, all correlations are weakened until it is."""


def posterior_as_prior(fit: xr.DataTree, *, wider: float = 1.0, name: str | None = None) -> ModelSpec:
    """The model of a fit, with what the fit has learnt of the population as its priors.

    It is for the next study of people like these. Typical values get the medians and SDs of their draws and,
    jointly, their correlations (``typical_correlations`` of a model file), so that what was learnt of a
    product or a ratio is kept. Of between-subject and between-occasion SDs, covariate effects, residual SDs
    and correlations between people of which something was known each gets its own; that these depend on each
    other and on typical values is not kept. What the fit did not estimate, such as effects of covariates that
    its study lacks, stays as it was.

    Parameters
    ----------
    fit : DataTree
        What `fit` returned.
    wider : float, default 1
        Factor on the SDs of typical values and covariate effects. The next group of people is another one:
        with 1 it is taken to have the same typical values as this one, known as well as the fit knows them.
    name : str, optional
        Name of the new model; the old one with the study's name, if it is not given.

    Returns
    -------
    ModelSpec
        The model; its `text` is the model file. `ModelSpec.learnt_from` names the study, and fitting that
        study with it warns that its samples would count twice.

    Raises
    ------
    InputError
        If `wider` is not a positive number, or the fit has too few draws to tell how typical values go
        together.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.load_study("bergman1986")
    >>> fit = bg.fit("minimal", study, method="laplace", draws=500, random_seed=1, progressbar=False)
    >>> learnt = bg.posterior_as_prior(fit)
    >>> learnt.learnt_from["bergman1986"] == study.hash
    True
    """
    spec, posterior = model_of(require_fit(fit).attrs), fit["posterior"].to_dataset()
    if not (isinstance(wider, int | float) and 0 < wider < np.inf):
        raise InputError(f"wider is {wider!r}. Give a factor on the SDs, such as 1 or 1.5.")
    study, taught = fit.attrs["study_name"], fit.attrs["study_hash"]
    tables = tables_of(spec)
    typical: dict[str, np.ndarray] = {}
    for parameter in spec.parameters.values():
        called = names.typical(parameter.name) if parameter.varies else parameter.name
        if called in posterior:
            typical[parameter.name] = parameter.to_scale(posterior[called].values.ravel())
            learnt = _learnt(parameter, typical[parameter.name], posterior, wider)
            tables["parameters"] = files.overlay(tables["parameters"], {parameter.name: learnt})
    draws = posterior.sizes["chain"] * posterior.sizes["draw"]
    if draws < (least := DRAWS_EACH * len(typical)):
        raise InputError(
            f"The fit has {draws} draws: how {len(typical)} typical values go together takes at least "
            f"{least}. Fit with more draws."
        )
    for analyte in spec.analytes:
        if names.sigma(analyte) in posterior:
            tables["analytes"][analyte]["sigma"] = _prior(np.log(posterior[names.sigma(analyte)].values))
    for first, other in spec.correlation_priors:
        pairs = {f"{first} and {other}", f"{other} and {first}"}
        if names.CORRELATION in posterior and (own := pairs & {*posterior["pair"].values.tolist()}):
            drawn = posterior[names.CORRELATION].sel(pair=own.pop()).values
            learnt = {"mean": _round(float(drawn.mean())), "sd": _round(float(drawn.std()))}
            tables["correlations"]["priors"][other] |= learnt
    tables["typical_correlations"] = _together(typical)
    tables["learnt_from"] = {**spec.learnt_from, _unlike(study, taught, spec.learnt_from): taught}
    tables["name"] = name or f"{spec.name}, learnt from {study}"
    return read_model(files.write({key: value for key, value in tables.items() if value}))


def _learnt(parameter: Parameter, draws: np.ndarray, posterior: xr.Dataset, wider: float) -> dict:
    """What changes in the table of a parameter, whose typical value has these draws on its scale."""
    median = float(parameter.from_scale(np.median(draws)))
    found: dict = {"typical": {"median": _round(median), "gsd": _gsd(wider * draws.std())}}
    if parameter.source:
        found["kind"] = "learnt"
    omega, kappa = names.omega(parameter.name), names.kappa(parameter.name)
    if omega in posterior:
        own = posterior[omega].values
        # Between subjects on one occasion, as a model file has it.
        whole = np.hypot(own, posterior[kappa].values) if kappa in posterior else own
        found["between_subject"] = _variation(whole)
    if kappa in posterior:
        found["between_occasion"] = _variation(posterior[kappa].values)
    acting = {*map(str, posterior["effect"].values)} if names.EFFECT in posterior else set()
    for key in parameter.effects:
        if (label := names.effect(parameter.name, key)) in acting:
            drawn = np.log(posterior[names.EFFECT].sel(effect=label).values)
            table = found.setdefault("effects", {})
            table[key] = {"median": _round(float(np.exp(np.median(drawn)))), "gsd": _gsd(wider * drawn.std())}
    return found


def _unlike(study: str, taught: str, before: Mapping[str, str]) -> str:
    """A name for a study, which may be another part of one of the same name that has taught before."""
    names_of_it = (study, *(f"{study}, part {k}" for k in range(2, len(before) + 2)))
    return next(called for called in names_of_it if before.get(called, taught) == taught)


def _prior(logarithm: np.ndarray) -> dict:
    return {"median": _round(float(np.exp(np.median(logarithm)))), "gsd": _gsd(logarithm.std())}


def _variation(omega: np.ndarray) -> dict:
    cv = float(np.sqrt(np.expm1(np.median(omega) ** 2)))
    return {"cv": _round(cv), "gsd": _gsd(np.log(omega).std())}


def _together(typical: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Correlations of typical values, as a model file has them."""
    parameters = list(typical)
    if len(parameters) < 2:
        return {}
    together = np.corrcoef(np.stack(list(typical.values())))
    weaker = 1.0
    while True:
        pairs = {
            (one, other): value
            for i, one in enumerate(parameters)
            for j, other in enumerate(parameters)
            if i < j and (value := round(float(weaker * together[i, j]), CORRELATION_DIGITS))
        }
        if np.linalg.eigvalsh(correlation_matrix(parameters, pairs)).min() >= LEAST_EIGENVALUE:
            break
        weaker *= 0.99
    found: dict[str, dict[str, float]] = {}
    for (one, other), value in pairs.items():
        found.setdefault(one, {})[other] = value
    return found


def _round(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _gsd(sd: float) -> float:
    """A geometric SD, above 1 also where it is nearly 1."""
    return max(_round(float(np.exp(sd))), 1.001)
