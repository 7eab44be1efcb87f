"""What may be wrong with samples that nobody of a population has: units, times, doses, tubes swapped.

Each slip that is common in tables is undone in turn, and samples are compared, as those of a new person,
before and after. First roughly, as if logarithms of people's samples were Normal: how much likelier the
likeliest of all these makes samples in which there is no slip is seen in new people. What is rare in them is
then fitted, with everything that may differ in a person integrated out. By chance, samples are
c times likelier where a slip is undone, or more, in one of c people at most. Everyone together is compared
with studies drawn from the prior.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp
from scipy.stats import chi2
from threadpoolctl import threadpool_limits

from bayesglu.analysis.kept_study import study_of
from bayesglu.analysis.next_patient import fit_person
from bayesglu.analysis.npde import FEWEST, Decorrelated, by_person
from bayesglu.analysis.outliers import TAIL, People
from bayesglu.analysis.people import thinned
from bayesglu.analysis.weights import IMPORTANCE
from bayesglu.analytes import analytes as known_analytes
from bayesglu.errors import BayesgluError, FitWarning, InputError
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.posterior import population_of
from bayesglu.hierarchy.rows import TINY
from bayesglu.hierarchy.values import Values
from bayesglu.inference.datatree import in_chains, new_people
from bayesglu.protocols.library import ogtt
from bayesglu.protocols.protocol import Protocol
from bayesglu.protocols.table import kept_protocols
from bayesglu.spec.model import model_of
from bayesglu.study.study import Study, StudyWarning
from bayesglu.units import canonical_unit

CANDIDATE = 0.1
"""How seldom anyone is fitted again in a study without slips."""

CHANCE = 0.005
"""How seldom, at most, a slip is then named."""

MOST = 6
"""So many people, at most, are fitted again."""

DRAWS, DRAWS_A_SAMPLE = 200, 5
"""New people who are drawn for a test that may have been another one; more where samples of one are many."""

SPARED = 4000
"""About so many new people, in whom there is no slip, say what is found by chance."""

SOME = 8
"""So many people are looked at for a slip in everyone."""

EVERYONE = "everyone"

HOUR = 60.0


class Slip(NamedTuple):
    """A slip in words, and what new people say where it is undone: log density and squared distance ``(...)``
    of the logarithms of samples ``(..., n)``; and a study where it is undone."""

    words: str
    log_density: Callable[[np.ndarray], np.ndarray]
    distance: Callable[[np.ndarray], np.ndarray]
    undone: Callable[[Study], Study]


def slips(fit: xr.DataTree, people: People) -> dict[str, str]:
    """What is probably wrong with the samples of single people, by label, in words."""
    with threadpool_limits(limits=1, user_api="blas"):  # more threads wait longer than they work
        return _slips(fit, people)


def _slips(fit: xr.DataTree, people: People) -> dict[str, str]:
    named: dict[str, list[Slip]] = {}
    for who, own in people.decorrelated.items():
        here = people.samples.isel(obs=own.rows)
        named[who] = [*_units(here, own), *_swaps(here, own)]
    for words, other in _other_tests(fit):
        for who, alone in _new_people_or_none(fit, other).items():
            if who in named and len(alone.rows) == len(people.decorrelated[who].rows):
                named[who].append(Slip(words, alone.log_density, alone.distance, lambda _, s=other: s))
    named = {who: each for who, each in named.items() if each}
    if not named:
        return {}
    enough = _enough(people, named)
    best: dict[str, tuple[float, Slip]] = {}
    for who in named:
        own = people.decorrelated[who]
        value = people.log_value[own.rows]
        gain = [float(slip.log_density(value) - own.log_density(value)) for slip in named[who]]
        likely = [(g, slip) for g, slip in zip(gain, named[who], strict=True) if g > enough]
        likely = [(g, slip) for g, slip in likely if _near(slip.distance(value), len(value))]
        if likely:
            best[who] = max(likely, key=lambda pair: pair[0])
    farthest = sorted(best, key=lambda who: -best[who][0])[:MOST]
    evidence = np.log(len(named) / CHANCE)
    return {who: best[who][1].words for who in farthest if _gain(fit, who, best[who][1]) > evidence}


def _gain(fit: xr.DataTree, who: str, slip: Slip) -> float:
    """How much likelier a person's samples are where a slip is undone, as a logarithm; -inf where it cannot
    be told."""
    try:
        study = study_of(fit)
        as_given, undone = (_evidence(fit, s.select(subjects=[who])) for s in (study, slip.undone(study)))
    except BayesgluError:  # a fit that does not keep its study, or has too few draws
        return -np.inf
    return undone - as_given


def _evidence(fit: xr.DataTree, study: Study) -> float:
    """Log marginal likelihood of one person's samples under the population of a fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FitWarning)
        warnings.simplefilter("ignore", StudyWarning)
        person = fit_person(fit, study, draws=DRAWS, population_draws=DRAWS, random_seed=1)
    of_each = person[IMPORTANCE].to_dataset()["log_marginal_likelihood"].values.ravel()
    return float(np.log(len(of_each)) - logsumexp(-of_each))  # draws are weighted by it already


def _enough(people: People, found: dict[str, list[Slip]]) -> float:
    """How much likelier samples must be where a slip is undone. The tail of what new people gain is taken to
    be exponential beyond the farthest twentieth of them."""
    each, gains = max(30, SPARED // len(found)), []
    for who in found:
        own = people.decorrelated[who]
        new = own.new[:: max(1, len(own.others) // each)]
        as_given = own.log_density(new)
        gains.append(np.max([slip.log_density(new) - as_given for slip in found[who]], axis=0))
    gain = np.concatenate(gains)
    edge = np.quantile(gain, 1 - TAIL)
    return float(edge + np.mean(gain[gain > edge] - edge) * np.log(TAIL * len(found) / CANDIDATE))


def _near(distance: np.ndarray | float, n: int) -> bool:
    """Whether a squared distance of n samples is one of new people."""
    return bool(distance < 2.0 * chi2.ppf(0.999, n))


def common_slip(fit: xr.DataTree, people: People) -> str | None:
    """What is probably wrong with everyone's samples, against studies drawn from the prior, in words.

    People of a study share what is typical of them and are no independent witnesses, so that the mean of
    their samples is looked at as one person's.
    """
    with threadpool_limits(limits=1, user_api="blas"):
        return _common_slip(fit, people)


def _common_slip(fit: xr.DataTree, people: People) -> str | None:
    labels = list(people.decorrelated)
    some = [labels[i] for i in np.unique(np.linspace(0, len(labels) - 1, SOME).astype(int))]
    try:
        study = study_of(fit).select(subjects=some)
        samples, log_value, log_new = _means(*_new_people(fit, study, of_prior=True))
    except BayesgluError:  # a fit that does not keep its study, or a prior of people who cannot be solved
        return None
    everyone = _alone(samples, log_value, log_new)
    value = log_value[everyone.rows]
    units = _units(samples.isel(obs=everyone.rows), everyone)
    named: list[tuple[str, Slip | Decorrelated]] = [(slip.words, slip) for slip in units]
    for words, other in _other_tests(fit, some):
        try:
            own = _alone(*_means(*_new_people(fit, other, of_prior=True)))
        except BayesgluError:  # nothing of the kind can have been done
            continue
        if len(own.rows) == len(value):
            named.append((words, own))
    gains = {
        words: float(undone.log_density(value) - everyone.log_density(value))
        for words, undone in named
        if _near(undone.distance(value), len(value))
    }
    best = max(gains, key=gains.__getitem__, default=None)
    return best if best is not None and gains[best] > np.log(len(named) / CHANCE) else None


def _means(
    samples: xr.Dataset, log_value: np.ndarray, log_new: np.ndarray
) -> tuple[xr.Dataset, np.ndarray, np.ndarray]:
    """Everyone as one person, whose k-th sample of an analyte is the mean of theirs."""
    columns = ("analyte", "subject", "occasion", "time")
    table = pd.DataFrame({name: samples[name].values for name in columns})
    table["number"] = table.sort_values(["occasion", "time"]).groupby(["analyte", "subject"]).cumcount()
    groups = table.groupby(["analyte", "number"], sort=False)
    of = groups.ngroup().to_numpy()[:, None] == np.arange(groups.ngroups)
    mean = of / of.sum(0)
    first = of.argmax(0)
    one = samples.isel(obs=first).assign_coords(
        subject=("obs", np.full(len(first), EVERYONE)),
        occasion=("obs", np.full(len(first), "")),
        time=("obs", table.number.to_numpy(float)[first]),
    )
    return one, log_value @ mean, log_new @ mean


def _alone(samples: xr.Dataset, log_value: np.ndarray, log_new: np.ndarray) -> Decorrelated:
    """The only person whose samples these are."""
    (own,) = by_person(samples, log_value, log_new).values()
    return own


# --- units ---


def _units(samples: xr.Dataset, own: Decorrelated) -> Iterator[Slip]:
    """Samples of an analyte in another unit than that which is told."""
    offset = samples["offset"].values
    for analyte in dict.fromkeys(map(str, samples.analyte.values)):
        of = samples.analyte.values == analyte
        for unit, worth in known_analytes()[analyte].units.items():
            for factor in (worth, 1 / worth) if not 0.7 < worth < 1.4 else ():
                times = np.where(of, factor, 1.0)

                def undone(log_value: np.ndarray, times: np.ndarray = times) -> np.ndarray:
                    value = (np.exp(log_value) - offset) * times
                    return np.log(np.maximum(value + offset, TINY))

                yield _slip(_unit_words(analyte, unit, factor, factor == worth), samples, own, undone)


def _slip(
    words: str, samples: xr.Dataset, own: Decorrelated, undone: Callable[[np.ndarray], np.ndarray]
) -> Slip:
    """A slip that changed values and nothing else."""
    offset, whole = samples["offset"].values, samples.censoring.values == "none"

    def changed(study: Study) -> Study:
        value = study.observations.value.values.copy()  # in the order of the samples
        log_value = np.log(np.maximum(value[own.rows] + offset, TINY))
        value[own.rows[whole]] = (np.exp(undone(log_value)) - offset)[whole]
        return replace(study, observations=study.observations.assign(value=("obs", value)))

    return Slip(words, lambda x: own.log_density(undone(x)), lambda x: own.distance(undone(x)), changed)


def _unit_words(analyte: str, unit: str, factor: float, as_canonical: bool) -> str:
    canonical = canonical_unit(analyte)
    given, read = (unit, canonical) if as_canonical else (canonical, unit)
    times, how = (factor, "small") if factor > 1 else (1 / factor, "large")
    return f"{analyte} is {times:.3g} times too {how}, as if it were given in {given} and read as {read}"


# --- tubes ---


def _swaps(samples: xr.Dataset, own: Decorrelated) -> Iterator[Slip]:
    """Samples of two times swapped, in one analyte or in all that were taken then."""
    columns = (samples.analyte.values, samples.occasion.values, samples.time.values)
    place = {key: i for i, key in enumerate(zip(*columns, strict=True))}
    measured = list(dict.fromkeys(map(str, samples.analyte.values)))
    for occasion in dict.fromkeys(samples.occasion.values):
        times = sorted({t for _, o, t in place if o == occasion})
        for a, b in combinations(times, 2):
            there = [x for x in measured if (x, occasion, a) in place and (x, occasion, b) in place]
            for which in [[x] for x in there] + ([there] if len(there) > 1 else []):
                order = np.arange(len(place))
                for x in which:
                    i, j = place[x, occasion, a], place[x, occasion, b]
                    order[[i, j]] = j, i
                which_analytes = "all analytes" if len(which) > 1 else which[0]
                words = f"the samples of {which_analytes} at {a:g} and {b:g} min look swapped"
                yield _slip(words, samples, own, lambda x, order=order: x[..., order])


# --- times and doses ---


def _other_tests(fit: xr.DataTree, who: Sequence[str] | None = None) -> Iterator[tuple[str, Study]]:
    """What was not told: the study where it is undone, in words."""
    try:
        study = study_of(fit).select(subjects=who)
    except BayesgluError:  # a fit that does not keep its study
        return
    obs = study.observations
    if float(obs.time.max()) <= 24:  # of anybody
        hours = obs.assign(time=("obs", obs.time.values * HOUR, obs.time.attrs))
        yield "times look like hours that were read as minutes", replace(study, observations=hours)
    else:
        ends = obs.time.groupby(obs.subject).max()
        short = [str(s) for s in ends.subject.values if float(ends.sel(subject=s)) <= 24]
        if short:
            own = study.select(subjects=short)
            changed = own.observations.assign(time=("obs", own.observations.time.values * HOUR))
            yield "times look like hours that were read as minutes", replace(own, observations=changed)
    given = {o: p for o, p in study.protocols.items() if p.events}
    if given:
        without = {o: replace(p, events=(), name="nothing") for o, p in given.items()}
        yield (
            "samples look as if nothing had been given",
            replace(study, protocols=dict(study.protocols) | without),
        )
    fasting = [o for o, p in study.protocols.items() if not p.events]
    if fasting:
        usual = _usual(fit)
        changed = replace(study, protocols=dict(study.protocols) | dict.fromkeys(fasting, usual))
        yield f"samples look as if {usual.name} had been given, which is missing", changed


def _usual(fit: xr.DataTree) -> Protocol:
    """What most people of the study were given; an oral test where nobody was given anything."""
    given = [p for p in kept_protocols(fit["protocols"].to_dataset()).values() if p.events]
    return max(given, key=given.count) if given else ogtt(75)


def _new_people_or_none(fit: xr.DataTree, study: Study) -> dict[str, Decorrelated]:
    """People of a study beside new people; nobody, where nothing of the kind can have been done."""
    try:
        return by_person(*_new_people(fit, study))
    except BayesgluError:
        return {}


def _new_people(
    fit: xr.DataTree, study: Study, of_prior: bool = False
) -> tuple[xr.Dataset, np.ndarray, np.ndarray]:
    """Samples of a study, and the logarithms that are compared: theirs, and those of new people of the fitted
    population, or of populations of the prior."""
    d = make_design(model_of(fit.attrs), study)
    rng, samples = np.random.default_rng(d.n_obs), d.study.observations.sel(obs=d.obs)
    most = int(np.unique(samples.subject.values, return_counts=True)[1].max())
    draws = max(DRAWS, DRAWS_A_SAMPLE * most)
    values = in_chains(d.draw_prior(draws, rng), 1) if of_prior else _population(fit, d, draws, rng)
    drawn = new_people(d, values, rng).reshape(-1, d.n_obs)
    solved = drawn[np.isfinite(drawn).all(1)]
    if len(solved) < FEWEST:
        raise InputError(f"Of {draws} draws of new people {len(solved)} could be solved.")
    log_new = np.log(np.maximum(solved + d.rows.offset[: d.n_obs], TINY))
    log_value = d.rows.log_value[: d.n_obs]
    samples = samples.assign(offset=("obs", d.rows.offset[: d.n_obs]))
    return samples, log_value, log_new


def _population(fit: xr.DataTree, d: Design, draws: int, rng: np.random.Generator) -> Values:
    posterior = thinned(fit["posterior"].to_dataset(), draws)
    return population_of(posterior, d.individuals, d.analytes, rng=rng)
