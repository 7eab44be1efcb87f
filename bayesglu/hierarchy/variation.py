"""How individual parameters vary: from person to person, from one occasion of a person to another, or both.

A deviation is of one parameter and of one level, which says who shares it: all occasions of a person
(``subject``), or none (``occasion``). A parameter that varies has one of its level. Where people were seen on
several occasions, one that the model lets differ between occasions too (`between_occasion`) has both, that of
the occasion nested in that of the person: their sum is what the occasion differs by.

Where everyone was seen on one occasion, only that sum is there, as one deviation of the person: how much of
it is the occasion's, of which the data say nothing, is known beforehand, and needed only for another one.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from bayesglu.hierarchy import names
from bayesglu.spec.priors import Parameter, Variation

LEAST_OWN = 0.1
"""The share of the variance between people on one occasion that is at least taken to be their own, whatever
the model says of occasions."""


@dataclass(frozen=True)
class Deviation:
    """The deviations of one parameter at one level; `nested` where they are added to those of the person.

    `log_sd` : mean and SD of the logarithm of their SD, before any data. `of_occasion` : how much of a
    deviation of the person is the occasion's, where these are not separate.
    """

    parameter: Parameter
    level: Literal["subject", "occasion"]
    log_sd: tuple[float, float]
    nested: bool = False
    of_occasion: Variation | None = None

    @property
    def name(self) -> str:
        """What their SD is called in a posterior."""
        return names.kappa(self.parameter.name) if self.nested else names.omega(self.parameter.name)

    @property
    def label(self) -> str:
        """Their label among those of a model."""
        return f"{self.parameter.name}/occasion" if self.nested else self.parameter.name


def nested_in(parameters: Iterable[Parameter], occasions: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """Names of the parameters whose deviations of occasions are separate from those of people: where
    anyone was seen on several of the occasions (subject, name)."""
    if len(occasions) == len({subject for subject, _ in occasions}):
        return ()
    return tuple(p.name for p in parameters if p.between_occasion is not None)


def deviations_of(parameters: Iterable[Parameter], nested: Collection[str]) -> tuple[Deviation, ...]:
    """The deviations of parameters: of people, of occasions alone, and of occasions within people."""
    of_people, of_occasions, within = [], [], []
    for p in parameters:
        if p.between_subject is None:
            continue
        between = _log_sd(p.between_subject)
        if p.level == "occasion":
            of_occasions.append(Deviation(p, "occasion", between))
        elif p.between_occasion is None or p.name not in nested:
            of_people.append(Deviation(p, "subject", between, of_occasion=p.between_occasion))
        else:
            of_people.append(Deviation(p, "subject", own_log_sd(p.between_subject, p.between_occasion)))
            within.append(Deviation(p, "occasion", _log_sd(p.between_occasion), nested=True))
    return *of_people, *of_occasions, *within


def own_log_sd(between_subject: Variation, between_occasion: Variation) -> tuple[float, float]:
    """Mean and SD of the logarithm of the SD of what is people's own, of how they differ on one occasion.

    So a person's occasion is expected to differ as much as the model says, however many there are.
    """
    whole = between_subject.omega**2
    own = max(whole - between_occasion.omega**2, LEAST_OWN * whole)
    return 0.5 * float(np.log(own)), between_subject.sd


def _log_sd(variation: Variation) -> tuple[float, float]:
    return float(np.log(variation.omega)), variation.sd


class Components(NamedTuple):
    """Where in everyone's vector of D numbers each of V deviations is.

    ``subject`` (T,) : whose occasion each is. ``deviation`` (D,) : which one a component is of. ``read`` (T,
    V) : the component of each that an occasion reads. ``occasion`` (S, D) : the occasion whose covariates act
    on a component; the first of the person, if it is of several or of none.
    """

    subject: np.ndarray
    deviation: np.ndarray
    read: np.ndarray
    occasion: np.ndarray


def _same(subject: np.ndarray) -> np.ndarray:
    """All occasions of a person share a deviation."""
    return np.zeros(len(subject), int)


def _turn(subject: np.ndarray) -> np.ndarray:
    """Each occasion of a person has its own."""
    return np.array([np.sum(subject[:t] == s) for t, s in enumerate(subject)])


LEVELS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {"subject": _same, "occasion": _turn}
"""Which of a person's deviations of a level each occasion (T,) has, from whose occasion each is (T,)."""


def components_of(deviations: Sequence[Deviation], subject: np.ndarray) -> Components:
    """The components of deviations for occasions of these subjects (T,): level by level, and of each level
    one after the other."""
    first = np.array([np.flatnonzero(subject == s)[0] for s in range(int(subject.max()) + 1)])
    deviation, read = [], np.zeros((len(subject), len(deviations)), int)
    for level, which in LEVELS.items():
        own = [v for v, each in enumerate(deviations) if each.level == level]
        turn = which(subject)
        read[:, own] = len(deviation) + turn[:, None] * len(own) + np.arange(len(own))
        deviation += own * (int(turn.max()) + 1)
    occasion = np.repeat(first[:, None], len(deviation), axis=1)
    for t in range(len(subject) - 1, -1, -1):
        occasion[subject[t], read[t]] = t
    return Components(subject, np.array(deviation, int), read, occasion)


def sds_of(
    deviations: Sequence[Deviation], of_fit: Mapping[str, np.ndarray], rng: np.random.Generator | None
) -> list[np.ndarray]:
    """SDs of deviations from those of a fit, by name. Where only one of both separates occasions from people,
    that of a person on one occasion is the same.

    rng : draws how much is the occasions' from its prior, at most all but `LEAST_OWN`; None for the median.
    """
    within = {deviation.parameter.name: deviation for deviation in deviations if deviation.nested}
    found: dict[str, np.ndarray] = {}
    for deviation in (*within.values(), *(deviation for deviation in deviations if not deviation.nested)):
        name = deviation.parameter.name
        own, of_occasion = of_fit[names.omega(name)], of_fit.get(names.kappa(name))
        if deviation.nested:
            if of_occasion is None:
                mean, sd = deviation.log_sd
                drawn = np.exp(mean + sd * (0.0 if rng is None else rng.normal(size=own.shape)))
                of_occasion = np.minimum(drawn, np.sqrt(1 - LEAST_OWN) * own)
            found[deviation.name] = of_occasion
        elif name in within and of_occasion is None:
            found[deviation.name] = np.sqrt(own**2 - found[names.kappa(name)] ** 2)
        elif name not in within and of_occasion is not None:
            found[deviation.name] = np.hypot(own, of_occasion)
        else:
            found[deviation.name] = own
    return [found[deviation.name] for deviation in deviations]


def own_share(
    correlated: Sequence[str], deviations: Sequence[Deviation], of_fit: Mapping[str, np.ndarray]
) -> np.ndarray | float:
    """By how much correlations ``(..., pair)`` of people's own deviations in a fit are weaker where their
    deviations are on one occasion, which the fit tells from them and these do not."""
    within = {each.parameter.name for each in deviations if each.nested}
    shares = []
    for name in correlated:
        own, of_occasion = of_fit[names.omega(name)], of_fit.get(names.kappa(name))
        whole = own if of_occasion is None or name in within else np.hypot(own, of_occasion)
        shares.append(own / whole)
    share = np.stack(shares, axis=-1)
    later, earlier = np.tril_indices(len(correlated), -1)
    return share[..., later] * share[..., earlier]
