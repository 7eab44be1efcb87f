"""Which test, sampled when, would be most informative about a parameter: a search over candidates, before
anyone is tested.

Each sample of a candidate tells so much of the parameters, at each of many people drawn from the prior or at
draws of one person's posterior (`information`). Sampling times are taken one after another, and then
exchanged one by one as long as that helps (Fedorov 1972, Theory of Optimal Experiments).
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from bayesglu.analysis.information import planned_study
from bayesglu.analysis.sampling_search import (
    Comparison,
    Known,
    OnePerson,
    in_order_of,
    information_by_time,
    known_of_anybody,
    known_of_person,
    search,
)
from bayesglu.analysis.sampling_times import usual_times
from bayesglu.analysis.simulation import check_names, default_times
from bayesglu.errors import InputError
from bayesglu.hierarchy.compatibility import check_protocol
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.protocols.checked import as_minutes
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol
from bayesglu.results import require_fit
from bayesglu.seeds import seed_of
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import ModelSpec, load_model, model_of
from bayesglu.text.wording import some

COMPARISON = "comparison:"
FINE_UNTIL, FINE, COARSE = 60.0, 5.0, 15.0
"""Minutes between sampling times that may be chosen, until that minute after the dose and later."""


def design(
    fit: xr.DataTree | ModelSpec | str | Path,
    candidates: Iterable[Protocol | str] = ("ogtt(75)", "ivgtt(0.3)"),
    for_: str | Sequence[str] = "insulin_sensitivity",
    budget: int = 6,
    subject: str | None = None,
    analytes: Iterable[str] | None = None,
    times: Sequence[float] | None = None,
    subjects: int = 20,
    draws: int = 24,
    body_weight: float | None = None,
    random_seed: int | np.random.Generator | None = None,
) -> xr.Dataset:
    """Which test, and when to take its samples, would be most informative about a parameter.

    With a fit it is the next test of one of its people: what is known of that person already counts, and what
    differs from day to day is integrated out. With a model it is the first test of anybody.

    Parameters
    ----------
    fit : xarray.DataTree, ModelSpec, str or Path
        As `fit`, `fit_person` and `load` return it; or a model, or the name or path of a model file.
    candidates : iterable of Protocol or str
        Tests to choose from, of several doses too: ``["ogtt(50)", "ogtt(75)", "ivgtt(0.3)"]``. No
        clamps, whose infusion is no sample.
    for_ : str or sequence of str
        The parameters of one person about which it is to be most informative; or
        ``"comparison:insulin_sensitivity"``, of the difference between two groups of `subjects` people each.
    budget : int
        How many sampling times.
    subject : str, optional
        Whose next test it is, of a fit with several people.
    analytes : iterable of str, optional
        What is measured in each sample; by default all that the model measures.
    times : sequence of float, optional
        Minutes from which sampling times are chosen; by default every 5 min in the first hour and every 15
        min later.
    subjects : int
        People in each group of a comparison.
    draws : int
        Draws of the prior, or of the posterior, over which all is averaged.
    body_weight : float, optional
        Body weight, kg; by default that of the person, or 70.
    random_seed : int or numpy.random.Generator, optional
        Seed of draws; drawn where it is not given, and kept in the attributes.

    Returns
    -------
    xarray.Dataset
        Along ``candidate``, the best first: ``contraction``, the share of what is uncertain in the parameters
        now that the test would remove, 1 - SD after / SD before, on their log (logit) scale, averaged over
        them; ``usual``, the same with samples at the usual times of the protocol, which are
        ``usual_samples``; ``times`` (candidate, sample), the sampling times in min. Of a comparison there is
        ``ratio`` too, the ratio between groups that would be found with a power of 80 % at 5 %. The attribute
        ``recommended`` says it in a sentence.

    Raises
    ------
    InputError
        If a name or number cannot be used, the model is driven by a measured curve, or a candidate gives what
        the model has no place for.
    ProtocolError
        If a text is not a protocol, or a dose is absolute and the body weight is missing.
    SpecError
        If there is no such model, or it has a part that is not registered.
    SolverError
        If the equations cannot be solved for half of the draws.

    Notes
    -----
    Bayesian optimal design: Chaloner and Verdinelli 1995, Statistical Science 10:273.

    Examples
    --------
    >>> import bayesglu as bg
    >>> found = bg.design("ivgtt", ["ivgtt(0.3)"], budget=4, draws=6, random_seed=1)
    >>> found.sizes["sample"]
    4
    """
    tests = [parse_protocol(text) for text in ([candidates] if isinstance(candidates, str) else candidates)]
    spec = load_model(fit) if not isinstance(fit, xr.DataTree) else model_of(require_fit(fit).attrs)
    asked = _asked(spec, for_, budget, subjects, draws, times, isinstance(fit, xr.DataTree))
    measured = list(spec.analytes if analytes is None else dict.fromkeys(analytes))
    check_names("analyte", measured, spec.analytes)
    if not tests:
        raise InputError("No candidate is given, such as candidates=['ogtt(75)'].")
    for protocol in tests:
        check_protocol(spec, protocol)
        if any(event.kind == "clamp" for event in protocol.events):
            raise InputError(
                f"{protocol.name}: what a clamp tells is the glucose that it infuses, which is no sample "
                "here; take tests without one."
            )
    known = known_of_person(spec, fit, subject, asked.draws) if isinstance(fit, xr.DataTree) else None
    whom = "anybody" if known is None else known.whom
    weight = body_weight or (known.body_weight if known else None) or 70.0
    seed = seed_of(random_seed)

    def plan_of(protocol: Protocol, every: np.ndarray) -> Design:
        return make_design(spec, planned_study(spec, protocol, dict.fromkeys(measured, every), None, weight))

    rows = [_best(plan_of, protocol, asked, known, np.random.default_rng(seed)) for protocol in tests]
    rows.sort(key=lambda row: -row["contraction"])
    found = xr.Dataset(
        {
            "contraction": ("candidate", [row["contraction"] for row in rows]),
            "usual": ("candidate", [row["usual"] for row in rows]),
            "usual_samples": ("candidate", [row["usual_samples"] for row in rows]),
            "times": (("candidate", "sample"), [row["times"] for row in rows], {"units": "min"}),
        },
        coords={"candidate": [row["protocol"] for row in rows]},
    )
    if asked.compared:
        found["ratio"] = ("candidate", [row["ratio"] for row in rows])
    found.attrs = {
        "model": spec.name,
        "for": ", ".join(asked.wanted),
        "of": f"two groups of {asked.subjects}" if asked.compared else whom,
        "analytes": ", ".join(measured),
        "random_seed": seed,
        "recommended": _sentence(rows[0], asked, whom),
    }
    return found


class Asked(NamedTuple):
    """Of which parameters a test is to tell, by how many samples; in one person, or `compared` between groups
    of so many subjects."""

    wanted: list[str]
    compared: bool
    budget: int
    subjects: int
    draws: int
    times: Sequence[float] | None


def _asked(spec: ModelSpec, for_, budget, subjects, draws, times, of_fit: bool) -> Asked:
    """What was asked for; InputError where it cannot be had."""
    given = [for_] if isinstance(for_, str) else list(for_)
    wanted = [name.removeprefix(COMPARISON) for name in given]
    compared = [name.startswith(COMPARISON) for name in given]
    if forcing := [name for name, analyte in spec.analytes.items() if analyte.forcing]:
        raise InputError(
            f"The model '{spec.name}' is driven by measured {' and '.join(forcing)}, and predicts no test by "
            "itself: take a model that makes it, such as ivgtt."
        )
    check_names("estimated parameter", wanted, spec.estimated)
    if any(compared) and (not all(compared) or of_fit):
        raise InputError("A comparison is asked alone, of a model: design(model, for_='comparison:...').")
    numbers = {"budget": budget, "subjects": subjects, "draws": draws}
    if wrong := [
        f"{name} is {value!r}" for name, value in numbers.items() if int(value) != value or value < 1
    ]:
        raise InputError(f"{', '.join(wrong)}; give whole numbers from 1 on.")
    return Asked(wanted, any(compared), int(budget), int(subjects), int(draws), times)


def _best(plan_of: Callable, protocol: Protocol, asked: "Asked", known: Known | None, rng) -> dict:
    """The best sampling times of one candidate, and what they and the usual ones would tell."""
    grid = _times(protocol) if asked.times is None else np.unique(as_minutes(asked.times))
    if len(grid) < asked.budget:
        raise InputError(
            f"{protocol.name}: {len(grid)} times to choose from, and a budget of {asked.budget}."
        )
    usual = usual_times(protocol)
    every = np.union1d(grid, usual)
    plan = plan_of(protocol, every)
    own = known_of_anybody(plan, asked.draws, rng) if known is None else in_order_of(plan, known, rng)
    information = information_by_time(plan, own, every)
    if information.shape[0] * 2 < asked.draws and information.shape[0] * 2 < len(own.phi):
        raise SolverError(f"{protocol.name}: the equations could not be solved for half of the draws.")
    target = [plan.individuals.names.index(name) for name in asked.wanted]
    if asked.compared:
        score = Comparison(plan.individuals, target, asked.subjects)
    else:
        score = OnePerson(plan.individuals, own.precision, target)
    chosen = search(score, information, np.flatnonzero(np.isin(every, grid)), asked.budget)
    taken = information[:, chosen].sum(1)
    return {
        "protocol": protocol.name,
        "contraction": score(taken),
        "usual": score(information[:, np.isin(every, usual)].sum(1)),
        "usual_samples": len(usual),
        "times": every[chosen],
        "ratio": score.ratio(taken) if isinstance(score, Comparison) else np.nan,
    }


def _times(protocol: Protocol) -> np.ndarray:
    """Minutes at which blood may be drawn."""
    end = default_times(protocol)[-1]
    early = np.arange(0.0, min(FINE_UNTIL, end) + 1e-9, FINE)
    return np.union1d(early, np.arange(0.0, end + 1e-9, COARSE))


def _sentence(best: dict, asked: "Asked", whom: str) -> str:
    """What to do next."""
    minutes = ", ".join(f"{t:g}" for t in best["times"])
    share = f"{100 * best['contraction']:.0f} %"
    usual = f"the {best['usual_samples']} usual samples: {100 * best['usual']:.0f} %"
    done = f"{best['protocol']}, sampled at {minutes} min, would remove {share} of what is uncertain in"
    if asked.compared:
        groups = f"between two groups of {asked.subjects}"
        ratio = f"a ratio of {best['ratio']:.2f} or more would be found with a power of 80 %"
        return f"{done} {some(asked.wanted)} {groups} ({usual}); {ratio}."
    return f"{done} {some(asked.wanted)} of {whom} ({usual})."
