"""What would happen: the same draws of the posterior with and without a change. Works from a saved fit,
without PyMC."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
import xarray as xr

from bayesglu.analysis.people import covariates_of, occasions_of, people_of
from bayesglu.analysis.simulation import available_outputs, check_names, simulate
from bayesglu.analytes import analytes
from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.hierarchy.compatibility import check_forcing
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.posterior import acting_in, individuals_of, population_of
from bayesglu.hierarchy.values import Values
from bayesglu.physiology.loop import assemble
from bayesglu.protocols.events import Protocol
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.schedule import Forcing
from bayesglu.protocols.table import kept_protocols
from bayesglu.results import require_fit
from bayesglu.seeds import seed_of
from bayesglu.spec.model import ModelSpec, model_of
from bayesglu.text.problems import hint

FLUXES = (
    "glucose_appearance",
    "endogenous_glucose_production",
    "glycogenolysis",
    "gluconeogenesis",
    "hepatic_glucose_uptake",
    "tissue_uptake",
    "insulin_secretion",
    "renal_glucose_excretion",
    "glucose_infusion",
)
REFERENCE, CHANGED = "reference", "changed"
FITTED, ANOTHER = "fitted", "another"


@dataclass(frozen=True)
class Change:
    """A change of one parameter; made by `scale`, `shift` and `set_to`.

    Parameters
    ----------
    words : str
        What it does, such as ``x 1.3``.
    apply : callable
        Changed values of given ones.

    Examples
    --------
    >>> scale(1.3).words
    'x 1.3'
    """

    words: str
    apply: Callable[[xr.DataArray], xr.DataArray]


def _number(function: str, given) -> float:
    if not isinstance(given, Real) or not math.isfinite(given):
        raise InputError(f"{function}({given!r}) is no change; give a finite number.")
    return float(given)


def scale(factor: float) -> Change:
    """A change for `what_if`: the parameter times a factor.

    Parameters
    ----------
    factor : float
        Factor of at least 0.

    Returns
    -------
    Change
        What `what_if` applies to each draw.

    Raises
    ------
    InputError
        If the factor is negative, or no finite number.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.scale(1.3).apply(2.0)
    2.6
    """
    if not _number("scale", factor) >= 0:
        raise InputError(f"scale({factor}) would make a parameter negative; give a factor of 0 or more.")
    return Change(f"x {factor:g}", lambda value: value * factor)


def shift(amount: float) -> Change:
    """A change for `what_if`: the parameter plus an amount.

    Parameters
    ----------
    amount : float
        Amount in the parameter's own unit; negative for less.

    Returns
    -------
    Change
        What `what_if` applies to each draw.

    Raises
    ------
    InputError
        If it is no finite number.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.shift(-5).apply(90.0)
    85.0
    """
    _number("shift", amount)
    return Change(f"{amount:+g}", lambda value: value + amount)


def set_to(value: float) -> Change:
    """A change for `what_if`: the parameter at one value for everyone.

    Parameters
    ----------
    value : float
        The value in the parameter's own unit.

    Returns
    -------
    Change
        What `what_if` applies to each draw.

    Raises
    ------
    InputError
        If it is no finite number.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.set_to(0).words
    '= 0'
    """
    _number("set_to", value)
    return Change(f"= {value:g}", lambda old: xr.full_like(old, float(value)))


def what_if(
    fit: xr.DataTree,
    protocol: Protocol | str | None = None,
    change: Mapping[str, Change] | None = None,
    subjects: str | Sequence[str] = "same",
    times: Sequence[float] | np.ndarray | None = None,
    outputs: Iterable[str] | None = None,
    draws: int = 400,
    n_new: int = 20,
    body_weight: float | None = None,
    random_seed: int | np.random.Generator | None = None,
    hold: Iterable[str] = (),
    forcing: Forcing | None = None,
    occasion: str | None = None,
) -> xr.Dataset:
    """Trajectories with and without a change, on the same draws of the same people: differences are paired.

    Works from a saved fit, without PyMC.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    protocol : Protocol or str, optional
        What is done to everyone; by default that of the study, when it was the same for all.
    change : mapping, optional
        Parameter to `scale`, `shift` or `set_to`. Without it only the scenario ``reference`` is simulated.
    subjects : str or sequence of str
        ``"same"`` for the people of the study, ``"new"`` for `n_new` people drawn from the population (again
        with each draw of its parameters, so that its uncertainty is in them; covariates are at their
        references), or labels of some people.
    times : sequence of float, optional
        Minutes, as in `simulate`.
    outputs : iterable of str, optional
        Names of states and fluxes; by default the usual concentrations and glucose fluxes.
    draws : int
        About how many draws to use, evenly spaced within each chain.
    n_new : int
        How many new people.
    body_weight : float, optional
        Body weight of everyone, kg; by default that of the study's people, and their mean for new people.
    random_seed : int or numpy.random.Generator, optional
        Seed of new people and other occasions; drawn where it is not given, and kept in the attributes.
    hold : iterable of str
        States that stay at their initial value, such as ``"glycogen"``; as in `simulate`.
    forcing : tuple, optional
        ``(times, values)`` of the forcing function, where the model has one; as in `simulate`, and the
        same for everyone.
    occasion : str, optional
        Of people of the study: ``"fitted"`` for the first of the occasions on which they were seen,
        ``"another"`` for one on which they were not, where what differs from day to day (`between_occasion`
        of the model, and what it lets vary between all occasions) is drawn anew. By default the fitted one
        where the protocol is that of all of them, else another. Reference and change share it.

    Returns
    -------
    xarray.Dataset
        One variable an output, with its unit in ``attrs``, dims ``chain, draw, subject, scenario, time``
        (min); scenarios ``reference`` and ``changed``. These are true values, without assay error. The
        attributes say of whom they speak, and of which occasion.

    Raises
    ------
    InputError
        If people, parameters, outputs, numbers or `forcing` cannot be used, or people of the study had
        different protocols and none is given.
    ProtocolError
        If a text is not a protocol, or a dose is absolute and the body weight is unknown.
    SpecError
        If the model has a part that is not registered.
    SolverError
        If the equations cannot be solved; the message names the subject and the draw.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> found = bg.what_if(fit, change={"insulin_sensitivity": bg.scale(1.3)}, draws=20, body_weight=70)
    >>> difference = found.glucose.sel(scenario="changed") - found.glucose.sel(scenario="reference")
    >>> bool(difference.sel(time=60).median() < 0)
    True
    """
    if draws < 1 or n_new < 1:
        raise InputError(f"draws is {draws} and n_new is {n_new}; both must be 1 or more.")
    spec = model_of(require_fit(fit).attrs)
    check_forcing(spec, forcing)
    followed = _followed(fit)
    protocol = _protocol(followed, protocol)
    chosen = _thin(fit.posterior.to_dataset(), draws)
    seed = seed_of(random_seed)
    rng = np.random.default_rng(seed)
    if isinstance(subjects, str) and subjects == "new":
        parameters, weight = _new_people(spec, chosen, n_new, rng), _mean_weight(fit)
        spoken_of = _occasion(ANOTHER if occasion is None else occasion, new=True)
    else:
        labels = _labels(fit, subjects)
        known = fit.constant_data.to_dataset().sel(subject=labels)
        own = {each for (subject, _), each in followed.items() if subject in labels}
        spoken_of = _occasion((FITTED if own == {protocol} else ANOTHER) if occasion is None else occasion)
        seen = [max(1, sum(subject == label for subject, _ in followed)) for label in labels]
        anew = (seen, rng) if spoken_of == ANOTHER else None
        everyone = fit.constant_data.to_dataset()
        parameters, weight = _fitted_people(spec, chosen, everyone, labels, anew), known.body_weight
    weight = float(body_weight) if body_weight is not None else weight
    scenarios = {REFERENCE: parameters}
    if change:
        scenarios[CHANGED] = _changed(spec, parameters, change)
    wanted = tuple(outputs) if outputs is not None else default_outputs(spec)
    runs = [
        simulate(spec, protocol, values, times, wanted, body_weight=weight, hold=hold, forcing=forcing)
        for values in scenarios.values()
    ]
    result = xr.concat(runs, xr.Variable("scenario", list(scenarios)), combine_attrs="override")
    result = result.transpose("chain", "draw", "subject", "scenario", "time", missing_dims="ignore")
    told = {name: c.words for name, c in (change or {}).items()}
    result.attrs |= {"change": ", ".join(f"{n} {w}" for n, w in told.items()) or "none"}
    result.attrs["random_seed"] = seed
    result.attrs["occasion"] = spoken_of
    result.attrs["subjects"] = subjects if isinstance(subjects, str) else ", ".join(map(str, subjects))
    return result


def _followed(fit: xr.DataTree) -> dict[tuple[str, str], Protocol]:
    """What was done to each person on each occasion; nothing where the fit was saved without it."""
    kept = kept_protocols(fit.protocols.to_dataset()) if "protocols" in fit.children else {}
    subjects = list(map(str, fit.posterior.subject.values))
    return {names.of_occasion(label, subjects): each for label, each in kept.items()}


def _protocol(followed: Mapping[tuple[str, str], Protocol], protocol: Protocol | str | None) -> Protocol:
    if protocol is not None:
        return parse_protocol(protocol)
    advice = "so name one: what_if(fit, protocol=ogtt(75), ...)."
    if not followed:
        raise InputError(f"The fit was saved without what each person was given, {advice}")
    different = set(followed.values())
    if len(different) != 1:
        raise InputError(f"People of the study had {len(different)} different protocols, {advice}")
    return different.pop()


def _occasion(name: str, new: bool = False) -> str:
    if name not in (FITTED, ANOTHER):
        raise InputError(f"occasion is {name!r}; choose {FITTED!r} or {ANOTHER!r}.")
    if new and name == FITTED:
        raise InputError("New people were seen on no occasion: leave occasion out.")
    return name


def _thin(posterior: xr.Dataset, draws: int) -> xr.Dataset:
    """About `draws` draws, evenly spaced within each chain."""
    chains, length = posterior.sizes["chain"], posterior.sizes["draw"]
    each = min(length, max(1, round(draws / chains)))
    return posterior.isel(draw=np.linspace(0, length - 1, each).astype(int))


def _labels(fit: xr.DataTree, subjects: str | Sequence[str]) -> list[str]:
    known = [str(s) for s in fit.constant_data.subject.values]
    if isinstance(subjects, str):
        if subjects == "same":
            return known
        subjects = [subjects]
    wrong = [f"There is no subject '{s}'.{hint(str(s), known)}" for s in subjects if str(s) not in known]
    wrong += [] if len(subjects) else ["No subject was chosen."]
    if wrong:
        raise InputError("\n".join([*wrong, f"  Known: same, new, {', '.join(known)}."]))
    return [str(s) for s in subjects]


def _fitted_people(
    spec: ModelSpec,
    posterior: xr.Dataset,
    known: xr.Dataset,
    labels: Sequence[str],
    anew: tuple | None = None,
) -> dict[str, xr.DataArray]:
    """Parameters of people of the study, on the first of each one's occasions, or on another one.

    known : what the fit knows of everyone. anew : for another occasion, on how many each was seen, and what
    draws it.
    """
    first = dict(reversed(occasions_of(posterior)))
    occasions = [(label, first[label]) for label in labels]
    covariates = covariates_of(known, posterior)
    people = people_of(spec, posterior, occasions, covariates)
    _require_covariates(people, posterior, covariates)
    population = population_of(posterior, people, absent_effect=0.0)
    own = individuals_of(posterior, people)
    if anew is not None:
        deviating = population.typical, population.effect, population.omega, population.correlation
        own = people.draw_another_occasion(*deviating, own, *anew, population.missing)
    return _parameters(people, population, own, posterior)


def _new_people(spec: ModelSpec, posterior: xr.Dataset, n_new: int, rng) -> dict[str, xr.DataArray]:
    """People drawn from the population: typical values with deviations of the population's own size."""
    labels = [(f"new {i + 1}", "1") for i in range(n_new)]
    people = people_of(
        spec, posterior, labels, xr.Dataset(coords={"subject": [label for label, _ in labels]})
    )
    population = population_of(posterior, people)
    own = people.draw(population.typical, population.effect, population.omega, population.correlation, rng)
    return _parameters(people, population, own, posterior)


def _parameters(
    people: Individuals, population: Values, individual: np.ndarray, posterior: xr.Dataset
) -> dict[str, xr.DataArray]:
    """Parameters by name, with the dims chain, draw and subject."""
    theta = people.theta(population.typical, population.effect, individual, population.missing)
    coords = {"chain": posterior.chain, "draw": posterior.draw, "subject": list(people.subjects)}
    return {
        p.name: xr.DataArray(theta[..., column], coords, ("chain", "draw", "subject"))
        for p, column in zip(people.estimated, people.layout.columns, strict=True)
    }


def _require_covariates(people: Individuals, posterior: xr.Dataset, covariates: xr.Dataset) -> None:
    """Raise a ValueError where a covariate acts on what people share and the fit does not say on whom."""
    for p in people.estimated:
        for key, effect in p.effects.items():
            acted = not p.varies and names.effect(p.name, key) in acting_in(posterior)
            if acted and effect.covariate not in covariates:
                raise InputError(
                    f"{p.name} depends on {effect.covariate}, which the fit was saved without; "
                    "choose subjects='new'."
                )


def _mean_weight(fit: xr.DataTree):
    weights = fit.constant_data.body_weight.values
    return float(np.nanmean(weights)) if np.isfinite(weights).any() else None


def _changed(spec: ModelSpec, parameters: Mapping, change: Mapping[str, Change]) -> dict:
    check_names("parameter", change, assemble(spec.structure).parameters)
    wrong = [
        f"{n}: {c!r} is not a change; use scale(1.3), shift(5) or set_to(0)."
        for n, c in change.items()
        if not isinstance(c, Change)
    ]
    if wrong:
        raise InputError("\n".join(wrong))
    changed = dict(parameters)
    for name, how in change.items():
        before = changed.get(name, xr.DataArray(spec.parameters[name].typical.median))
        after = how.apply(before)
        if not bool(np.isfinite(after).all()) or bool((after < 0).any()):
            raise InputError(f"{name} {how.words} makes some values negative or not finite.")
        if spec.parameters[name].scale == "logit" and bool((after >= 1).any()):
            raise InputError(f"{name} {how.words} makes some values 1 or more; it is a fraction.")
        changed[name] = after
    return changed


def default_outputs(spec: ModelSpec) -> tuple[str, ...]:
    """What is looked at when nobody says what: what is usually measured of a model, and glucose fluxes."""
    measured, known = (name for name, of in analytes().items() if of.usually_shown), available_outputs(spec)
    return tuple(n for n in (*measured, *FLUXES) if n in known)
