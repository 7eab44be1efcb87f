"""What would happen: the same draws of the posterior in several scenarios. Works from a saved fit, without
PyMC."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import numpy as np
import xarray as xr

from bayesglu.analysis.asking import Question, ask
from bayesglu.analysis.changes import Change
from bayesglu.analysis.cohort import NEW
from bayesglu.analysis.new_people import NewPeople, new_people
from bayesglu.analysis.quantities import Quantity
from bayesglu.analysis.scenarios import Scenario, scenarios_of
from bayesglu.errors import InputError
from bayesglu.protocols.checked import Forcing
from bayesglu.protocols.protocol import Protocol
from bayesglu.results import require_fit
from bayesglu.settings import COUNT, as_mapping, as_names, check_settings

REFERENCE, CHANGED = "reference", "changed"


def what_if(
    fit: xr.DataTree,
    scenarios: Mapping[str, Scenario | Protocol | str] | Scenario | Protocol | str | None = None,
    change: Mapping[str, Change] | None = None,
    subjects: str | Sequence[str] | NewPeople = "same",
    times: Sequence[float] | np.ndarray | None = None,
    outputs: Iterable[str] | None = None,
    draws: int = 400,
    n_new: int = 20,
    body_weight: float | Mapping[str, float] | None = None,
    random_seed: int | np.random.Generator | None = None,
    hold: Iterable[str] = (),
    forcing: Forcing | None = None,
    occasion: str | None = None,
    *,
    protocol: Protocol | str | Mapping[str, Protocol | str] | None = None,
    of: str | Quantity | Callable | Iterable | None = None,
    measured: bool = False,
    units: str = "canonical",
    progressbar: bool = True,
    rtol: float = 1e-6,
    atol: float = 1e-6,
) -> xr.Dataset:
    """Trajectories in several scenarios, on the same draws of the same people: differences are paired.

    Works from a saved fit, without PyMC.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    scenarios : mapping, Scenario, Protocol or str, optional
        Scenarios, or protocols, by name, as `grid` and `load_scenarios` make them too; or one `Scenario`,
        beside ``reference``, in which nothing is changed; or one protocol, or one for each person by label,
        which is the same as `protocol`.
    change : mapping, optional
        Parameter or covariate to `scale`, `shift`, `set_to` or a function of its draws, for the one scenario
        ``changed`` beside ``reference``. Without it and without scenarios, only ``reference`` is simulated.
    subjects : str, sequence of str or NewPeople
        ``"same"`` for the people of the study, labels of some of them, ``"typical"`` for the person at the
        typical values, or `new_people`, drawn from the population again with each draw of its parameters, so
        that its uncertainty is in them; ``"new"`` for `n_new` of them.
    times : sequence of float, optional
        Minutes, as in `simulate`.
    outputs : iterable of str, optional
        Names of states and fluxes; by default the usual concentrations and glucose fluxes, or none of them
        where quantities are asked.
    draws : int
        About how many draws to use, evenly spaced within each chain.
    n_new : int
        How many new people.
    body_weight : float or mapping, optional
        Body weight in kg, of everyone or by subject; by default that of the study's people, and their mean
        for people who have none.
    random_seed : int or numpy.random.Generator, optional
        Seed of new people, other occasions and measurements; drawn where it is not given, and kept in the
        attributes.
    hold : iterable of str
        States that stay at their initial value, such as ``"glycogen"``; as in `simulate`.
    forcing : tuple, optional
        ``(times, values)`` of the forcing function, where the model has one; as in `simulate`, and the
        same for everyone.
    occasion : str, optional
        Of people of the study: ``"fitted"`` for the first of the occasions on which they were seen,
        ``"another"`` for one on which they were not, where what differs from day to day (`between_occasion`
        of the model, and what it lets vary between all occasions) is drawn anew. By default the fitted one
        where every protocol is that of all of them, else another. All scenarios share it.
    protocol : Protocol, str or mapping, optional
        What is done in scenarios that do not say it, to all or by label; ``"own"`` for what was done to each
        person in the study, which is the default; of new people when it was the same for all.
    of : str, Quantity, callable or iterable of these, optional
        Quantities to evaluate, as in `quantities`; curves are kept only where `outputs` names them, so that
        many draws and people need little memory.
    measured : bool
        Whether to return what an assay would read of what the model measures: with its error, its
        non-specific signal and its limits of quantification. Quantities are then those of what is read.
    units : str
        ``"canonical"``, ``"SI"`` or ``"conventional"``.
    progressbar : bool
        Whether to show one, where there is much to do.
    rtol, atol : float
        Tolerances of the solution, as in `simulate`. With 1e-4, peak and area of glucose are still right to
        two parts in 10,000, which saves little where times lie five minutes apart: a step ends at each.

    Returns
    -------
    xarray.Dataset
        One variable per output or quantity, with its unit in ``attrs``, dims ``chain, draw, subject,
        scenario, time`` (min; of curves). True values without assay error, unless `measured`. The attributes
        say of whom they speak, of which occasion, and what each scenario is.

    Raises
    ------
    InputError
        If people, parameters, covariates, outputs, quantities, numbers or `forcing` cannot be used, or people
        of the study had different protocols and none is given.
    ProtocolError
        If a text is not a protocol, or a dose is absolute and the body weight is unknown.
    SpecError
        If the model has a part that is not registered.
    UnitError
        If there is no such system of units.
    SolverError
        If the equations cannot be solved; the message names the subject and the draw.

    Warns
    -----
    BayesgluWarning
        Where a parameter is set to a value far from all that its prior expects, or the effect of a changed
        covariate is known from its prior alone.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("ivgtt", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> found = bg.what_if(fit, change={"insulin_sensitivity": bg.scale(1.3)}, draws=20, body_weight=70)
    >>> difference = found.glucose.sel(scenario="changed") - found.glucose.sel(scenario="reference")
    >>> bool(difference.sel(time=60).median() < 0)
    True
    >>> doses = {"usual": "ivgtt(0.3)", "half": "ivgtt(0.15)"}
    >>> found = bg.what_if(fit, doses, draws=20, body_weight=70, of=["peak", "glucose_at_60"])
    >>> found.glucose_peak.dims
    ('chain', 'draw', 'subject', 'scenario')
    """
    people = set(map(str, require_fit(fit).posterior.subject.values))
    by_person = isinstance(scenarios, Mapping) and set(map(str, scenarios)) == people
    if by_person or isinstance(scenarios, Protocol | str):
        # What a mapping by person holds is checked where its protocols are read.
        alone = cast("Protocol | str | Mapping[str, Protocol | str]", scenarios)
        scenarios, protocol = None, alone if protocol is None else protocol
    if isinstance(subjects, str) and subjects == NEW:
        subjects = new_people(check_settings({"n_new": n_new}, {"n_new": COUNT})["n_new"])
    change = as_mapping("change", change)
    if scenarios is None:
        named = {REFERENCE: Scenario()} | ({CHANGED: Scenario(change=change)} if change else {})
    elif change:
        raise InputError("Give scenarios, or a change, and not both: a Scenario takes a change.")
    else:
        named = scenarios_of(scenarios, {REFERENCE: Scenario()})
    question = Question(
        subjects=subjects,
        times=times,
        outputs=None if outputs is None else as_names("outputs", outputs),
        draws=draws,
        body_weight=body_weight,
        random_seed=random_seed,
        hold=as_names("hold", hold),
        forcing=forcing,
        occasion=occasion,
        protocol=protocol,
        of=of,
        measured=measured,
        units=units,
        progressbar=progressbar,
        rtol=rtol,
        atol=atol,
    )
    return ask(fit, named, question)[0]
