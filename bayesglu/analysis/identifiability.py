"""Practical identifiability of a study design, before any data: the expected posterior contraction.

The model is linearised at people drawn from the prior. There the posterior is Normal, with precision

    prior precision + J' W J

where J are the sensitivities of the log predictions and W the precisions of the samples: Bayesian optimal
design (Chaloner and Verdinelli 1995, Statistical Science 10:273). For the population the deviations of its
people are integrated out (Mentré, Mallet and Baccar 1997, Biometrika 84:429). What is expected for one person
is the (eta-)shrinkage of that person's fit (Combes et al. 2013, Pharmaceutical Research 30:2355).
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.analysis.information import (
    between_of,
    drawn,
    individual_covariance,
    information_of,
    noise_of,
    planned_study,
    sampled_at,
    samples_told,
    typical_covariance,
)
from bayesglu.analysis.simulation import check_names
from bayesglu.errors import InputError
from bayesglu.hierarchy.compatibility import check_forcing, check_protocol
from bayesglu.hierarchy.design import make_design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.protocols.checked import Forcing
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol
from bayesglu.seeds import seed_of
from bayesglu.settings import as_names
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import ModelSpec, SpecError, load_model

WELL, PARTLY, A_LITTLE = 0.5, 0.25, 0.1
"""Contractions from which on a parameter has this grade. Below the last it is prior-dominated."""

INSEPARABLE = 0.9
"""Two parameters with a posterior correlation beyond this are practically non-identifiable."""

MOST_PEOPLE = 20  # who are simulated in each draw; more people are taken to be like these


def identify(
    model: ModelSpec | str | Path,
    protocol: Protocol | str,
    times: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    analytes: Iterable[str] | None = None,
    noise: float | Mapping[str, float] | None = None,
    subjects: int = 20,
    draws: int = 24,
    body_weight: float | None = 70.0,
    random_seed: int | np.random.Generator | None = None,
    parameters: str | Iterable[str] = "free",
    prior_cv: float = 0.3,
    forcing: Forcing | None = None,
) -> xr.Dataset:
    """Practical identifiability: the share of prior uncertainty that samples under a protocol would remove.

    The model is linearised at people drawn from the prior. Assay errors and between-subject SDs are taken as
    known, and a sample beyond a limit of quantification as uninformative.

    Parameters
    ----------
    model : ModelSpec, str or Path
        A model, or the name or path of a model file.
    protocol : Protocol or str
        What would be done, such as ``"ogtt(75)"``.
    times : sequence of float or mapping, optional
        Minutes of the samples, for all analytes or by analyte; by default the usual ones of the protocol.
    analytes : iterable of str, optional
        What is measured; by default all that the model describes.
    noise : float or mapping, optional
        SD of the log residuals, for all analytes or by analyte; by default the medians of the model's priors.
    subjects : int
        People in the study from which typical values are estimated.
    draws : int
        Draws of the prior, of typical values and of `subjects` people about them, over which all is averaged.
    body_weight : float, optional
        Body weight, kg; needed where a dose is absolute.
    random_seed : int or numpy.random.Generator, optional
        Seed of those draws; drawn where it is not given, and kept in the attributes.
    parameters : str or iterable of str
        What is unknown: ``"free"`` for what the model estimates, ``"all"`` for every parameter, or names of
        fixed parameters that are to be unknown too. Those are taken as the same in all subjects, and known
        within `prior_cv`.
    prior_cv : float
        Coefficient of variation of the prior of a fixed parameter (of the odds, where the scale is logit).
    forcing : tuple, optional
        ``(times, values)`` of the forcing function (min, its unit): a measured curve that enters the
        equations as an input, such as insulin in `minimal`. Each value is known within its assay's error; at
        rest insulin is the person's basal one.

    Returns
    -------
    xarray.Dataset
        Along ``parameter``, with coordinates ``symbol``, ``unit``, ``level`` and ``scale``: ``individual``
        and ``typical``, 1 - posterior SD / prior SD on the log (logit) scale (0 nothing, 1 everything), of
        the parameters of one subject from that subject's samples alone, and of the typical values from all
        `subjects`; ``individual_prior_sd`` and ``typical_prior_sd``, the SDs before any sample,
        pseudo-observations included; ``individual_correlation`` and ``typical_correlation``, posterior
        correlations ``(parameter, other)``. Along ``pair``, with coordinates ``first`` and ``second``:
        ``pair_individual`` and ``pair_typical``, the correlations of the pairs that are practically
        non-identifiable (beyond 0.9 in absolute value in either), the worst first. The attribute
        ``failed_solves`` counts the people who had to be left out.

    Raises
    ------
    InputError
        If a name, a number or `forcing` cannot be used.
    ProtocolError
        If the text is not a protocol, or a dose is absolute and the body weight is missing.
    SpecError
        If there is no such model, or all its parameters are fixed.
    SolverError
        If the equations cannot be solved for half of the people.

    Notes
    -----
    Bayesian optimal design: Chaloner and Verdinelli 1995, Statistical Science 10:273. Random effects are
    integrated out after Mentré, Mallet and Baccar 1997, Biometrika 84:429. For one person it is the expected
    (eta-)shrinkage of Combes et al. 2013, Pharmaceutical Research 30:2355.

    Examples
    --------
    >>> import bayesglu as bg
    >>> expected = bg.identify("oral", bg.ogtt(75), subjects=5, draws=4)
    >>> bool(expected.individual.sel(parameter="basal_insulin") > 0.5)
    True
    """
    spec, protocol = load_model(model), parse_protocol(protocol)
    _check_numbers(subjects=subjects, draws=draws, prior_cv=prior_cv)
    measured = (
        tuple(spec.analytes) if analytes is None else tuple(dict.fromkeys(as_names("analytes", analytes)))
    )
    check_names("analyte", measured, spec.analytes)
    check_protocol(spec, protocol)
    check_forcing(spec, forcing)
    sampled = sampled_at(spec, protocol, times, measured, forcing)
    study = planned_study(spec, protocol, sampled, forcing, body_weight)
    plan = make_design(_with_unknown(spec, parameters, prior_cv), study)
    seed = seed_of(random_seed)
    rng = np.random.default_rng(seed)
    people = min(subjects, MOST_PEOPLE)
    phi = drawn(plan.individuals, rng, draws, people)
    soft, data, fine = information_of(plan, phi.reshape(draws * people, -1), noise_of(plan, noise))
    _require_enough(fine)

    shape = (draws, people, *soft.shape[1:])
    soft, data, fine = soft.reshape(shape), data.reshape(shape), fine.reshape(draws, people)
    typical, between = plan.individuals.typical_factor, between_of(plan.individuals)
    one = tuple(individual_covariance(h[fine], typical, between) for h in (soft, soft + data))
    some = fine.any(axis=1)
    weight = np.where(fine, subjects / np.maximum(fine.sum(axis=1, keepdims=True), 1), 0.0)[some]
    all_ = tuple(typical_covariance(h[some], typical, between, weight) for h in (soft, soft + data))

    found = _dataset(spec, plan.individuals, one, all_)
    found.attrs = {
        "model": spec.name,
        "model_hash": spec.hash,
        "protocol": protocol.name,
        "samples": samples_told(sampled),
        "subjects": subjects,
        "draws": draws,
        "failed_solves": int((~fine).sum()),
        "random_seed": seed,
    }
    return found


def grade(share: float) -> str:
    """A share, as it is printed, in a word: well, partly, a little, hardly."""
    steps = {"well": WELL, "partly": PARTLY, "a little": A_LITTLE}
    return next((word for word, least in steps.items() if round(share, 2) >= least), "hardly")


def untouched(identified: xr.Dataset) -> tuple[str, ...]:
    """Names of the parameters whose expected contraction is below half a per cent: nil."""
    most = np.maximum(identified["individual"].values, identified["typical"].values)
    return tuple(map(str, identified["parameter"].values[most < 0.005]))


def _with_unknown(spec: ModelSpec, parameters: str | Iterable[str], prior_cv: float) -> ModelSpec:
    """The model in which fixed parameters that are asked for are unknown too, the same in all people."""
    fixed = set(spec.at("fixed"))
    if parameters == "all":
        # A fixed zero stays: it has no logarithm.
        asked = {n for n in fixed if np.isfinite(spec.parameters[n].location)}
    else:
        asked = set() if parameters == "free" else set(as_names("parameters", parameters))
        check_names("parameter", sorted(asked), spec.parameters)
        if zero := sorted(n for n in asked if not np.isfinite(spec.parameters[n].location)):
            raise InputError(f"{', '.join(zero)}: fixed at a value that has no logarithm, so nothing varies.")
    if not {*spec.estimated, *asked}:
        raise SpecError(f"{spec.name}: every parameter is fixed. Ask for some: parameters='all'.")
    gsd = float(np.exp(np.sqrt(np.log1p(prior_cv**2))))
    free = {n: {"level": "shared", "typical": {"gsd": gsd}} for n in sorted(asked & fixed)}
    return spec.with_changes(parameters=free) if free else spec


def _dataset(spec: ModelSpec, people: Individuals, one, all_) -> xr.Dataset:
    order = np.argsort(people.layout.columns)
    names = [people.names[k] for k in order]
    one, all_ = (tuple(c[..., order[:, None], order] for c in pair) for pair in (one, all_))
    found = [spec.parameters[n] for n in names]
    about = {what: [getattr(p, what) for p in found] for what in ("symbol", "unit", "level", "scale")}
    dataset = xr.Dataset(
        coords={"parameter": names, "other": names}
        | {what: ("parameter", values) for what, values in about.items()}
    )
    parts = {"individual": ("one subject", one), "typical": ("the typical values", all_)}
    for who, (words, (prior, posterior)) in parts.items():
        before, after = (np.sqrt(np.einsum("...ii->...i", c)) for c in (prior, posterior))
        correlation = posterior / (after[..., :, None] * after[..., None, :])
        dataset[who] = (
            "parameter",
            (1 - after / before).mean(axis=0),
            {"long_name": f"expected share of prior uncertainty removed, {words}", "units": "1"},
        )
        dataset[f"{who}_prior_sd"] = (
            "parameter",
            before.mean(axis=0),
            {"long_name": f"prior SD on the log (logit) scale, {words}", "units": "1"},
        )
        dataset[f"{who}_correlation"] = (
            ("parameter", "other"),
            correlation.mean(axis=0),
            {"long_name": f"posterior correlation, {words}", "units": "1"},
        )
    return dataset.merge(_pairs(dataset))


def _pairs(dataset: xr.Dataset) -> xr.Dataset:
    """The pairs that are practically non-identifiable, the worst first."""
    names = dataset["parameter"].values
    correlations = np.stack([dataset[f"{who}_correlation"].values for who in ("individual", "typical")])
    i, j = np.triu_indices(len(names), k=1)
    worst = np.abs(correlations[:, i, j]).max(axis=0)
    chosen = np.argsort(-worst, kind="stable")[: int((worst > INSEPARABLE).sum())]
    i, j = i[chosen], j[chosen]
    return xr.Dataset(
        {
            f"pair_{who}": ("pair", correlation[i, j], {"long_name": "posterior correlation", "units": "1"})
            for who, correlation in zip(("individual", "typical"), correlations, strict=True)
        },
        coords={"first": ("pair", names[i]), "second": ("pair", names[j])},
    )


def _require_enough(fine: np.ndarray) -> None:
    if 2 * fine.sum() < len(fine):
        raise SolverError(
            f"The equations could not be solved for {int((~fine).sum())} of {len(fine)} people drawn from "
            "the prior. Are its between-subject SDs meant to be so large?"
        )


def _check_numbers(subjects: int, draws: int, prior_cv: float) -> None:
    problems = [
        f"{name} is {value!r}; give a whole number from 1 on."
        for name, value in {"subjects": subjects, "draws": draws}.items()
        if int(value) != value or value < 1
    ]
    if not 0 < prior_cv < np.inf:
        problems.append(f"prior_cv is {prior_cv!r}; give a coefficient of variation, such as 0.3.")
    if problems:
        raise InputError("\n".join(problems))
