r"""Individual parameters: how those of every person and occasion come from the population.

On the scale on which its prior is Normal, a parameter of a person (or of an occasion of that person) is

.. math:: \phi = \theta + \sum_e x_e \beta_e + \eta, \qquad \eta \sim N(0, \omega^2)

the typical value, covariate effects, each times its standardized covariate x, and deviations (`variation`):
the person's or the occasion's, or both, one nested in the other. Those of people in different parameters may
be correlated. What people share has no deviation.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import xarray as xr

from bayesglu.frozen import frozen
from bayesglu.hierarchy.correlation import below_diagonal, beta_shapes, factor_of, matrices_of
from bayesglu.hierarchy.covariates import Acting, acting_effects, standardized, within_people
from bayesglu.hierarchy.variation import Components, Deviation, components_of, deviations_of, nested_in
from bayesglu.spec.model import ModelSpec
from bayesglu.spec.priors import Parameter
from bayesglu.spec.scales import from_scale


class Layout(NamedTuple):
    """Who reads which number: arrays that compiled code reads as they are.

    Each of S subjects has a vector of D individual parameters: first those that are the same on all of a
    person's occasions, then those of each occasion in turn. A component is a place in that vector.

    ======================  ==========  ===================================================================
    ``fixed``               (P,)        every parameter that the model reads, where it is not estimated
    ``columns``             (K,)        which of them each estimated parameter is
    ``is_logit``            (K,)        whose scale is the log odds
    ``varying``             (V,)        which estimated parameter a deviation is of
    ``nested``              (V,)        which deviations are added to another one of that parameter
    ``component_parameter``  (D,)       which estimated parameter a component is of
    ``component_typical``   (D,)        how often its typical value is in it: once, or never in a nested one
    ``component_varying``   (D,)        which deviation that is
    ``component_covariates``    (S, D, E)   standardized covariate of an effect on a component
    ``covariates``          (T, E)      that of an effect on an occasion, but for what a component has of it
    ``effect_parameter``    (E,)        which estimated parameter it acts on
    ``subject``             (T,)        whose occasion it is
    ``component``           (T, V)      where an occasion reads its deviations
    ``correlated``          (m,)        components whose deviations are correlated
    ======================  ==========  ===================================================================
    """

    fixed: np.ndarray
    columns: np.ndarray
    is_logit: np.ndarray
    varying: np.ndarray
    nested: np.ndarray
    component_parameter: np.ndarray
    component_typical: np.ndarray
    component_varying: np.ndarray
    component_covariates: np.ndarray
    covariates: np.ndarray
    effect_parameter: np.ndarray
    subject: np.ndarray
    component: np.ndarray
    correlated: np.ndarray


@dataclass(frozen=True, eq=False)
class Individuals:
    """The people of a study, their occasions, and the parameters that are estimated of them.

    ``columns`` names everything that the model reads of one person on one occasion (P), ``estimated`` the
    estimated parameters (K), ``deviations`` what varies (V): people first, then occasions, ``effects`` the
    covariate effects that act (E).
    """

    subjects: tuple[str, ...]
    occasions: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    estimated: tuple[Parameter, ...]
    deviations: tuple[Deviation, ...]
    effects: tuple[Acting, ...]
    layout: Layout
    lkj_eta: float = 1.0

    @classmethod
    def of(
        cls,
        spec: ModelSpec,
        columns: Sequence[str],
        estimated: Sequence[str],
        occasions: Sequence[tuple[str, str]],
        covariates: xr.Dataset,
        of_occasions: xr.Dataset | None = None,
        nested: Collection[str] | None = None,
    ) -> "Individuals":
        """The individual parameters of a model for people (subject, occasion) with covariates by subject, and
        `of_occasions` by occasion where they differ.

        Columns that are not estimated are at the medians of the model. nested : the parameters whose
        deviations of occasions are told apart from those of people; by default, `nested_in` these occasions.
        """
        parameters = tuple(spec.parameters[name] for name in estimated)
        subjects = tuple(dict.fromkeys(subject for subject, _ in occasions))
        effects = acting_effects(parameters, covariates, of_occasions)
        subject = np.array([subjects.index(s) for s, _ in occasions], int)
        own_covariates = standardized(effects, covariates, [s for s, _ in occasions])
        own_covariates += within_people(effects, covariates, of_occasions, occasions)
        nested = nested_in(parameters, occasions) if nested is None else nested
        deviations = deviations_of(parameters, nested)
        components = components_of(deviations, subject)
        layout = _layout(
            spec, tuple(columns), parameters, deviations, components, effects, own_covariates, subject
        )
        lkj_eta = spec.lkj_eta or cls.lkj_eta
        return cls(
            subjects, tuple(occasions), tuple(columns), parameters, deviations, effects, layout, lkj_eta
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the estimated parameters (K)."""
        return tuple(p.name for p in self.estimated)

    @cached_property
    def varying(self) -> tuple[Parameter, ...]:
        """The parameter of each deviation (V)."""
        return tuple(each.parameter for each in self.deviations)

    @property
    def nested(self) -> tuple[str, ...]:
        """The parameters whose deviations of occasions are told apart from those of people."""
        return tuple(each.parameter.name for each in self.deviations if each.nested)

    @property
    def shape(self) -> tuple[int, int]:
        """Subjects, and components of each (S, D)."""
        return len(self.subjects), len(self.layout.component_parameter)

    @property
    def first_occasion(self) -> list[int]:
        """The first occasion of each subject."""
        return [int(np.flatnonzero(self.layout.subject == s)[0]) for s in range(len(self.subjects))]

    # --- priors of the population, on their own scales ---

    @cached_property
    def typical_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD of the typical values (K)."""
        return _pair([(p.location, p.typical.sd) for p in self.estimated])

    @cached_property
    def effect_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD of the covariate effects, logarithms of factors (E)."""
        return _pair([(np.log(a.effect.median), np.log(a.effect.gsd)) for a in self.effects])

    @cached_property
    def omega_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD of the logarithms of the SDs of deviations (V)."""
        return _pair([each.log_sd for each in self.deviations])

    @cached_property
    def occasion_prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD of the logarithms of the SDs of what, of each deviation, is the occasion's (V): minus
        infinity where nothing is, or where that has a deviation of its own."""
        spreads = [each.of_occasion for each in self.deviations]
        return _pair([(np.log(s.omega), s.sd) if s else (-np.inf, 0.0) for s in spreads])

    @cached_property
    def partial_shapes(self) -> np.ndarray:
        """Shapes of the Beta priors of the partial correlations: see `correlation`."""
        return beta_shapes(len(self.layout.correlated), self.lkj_eta)

    # --- from the population to people ---

    def centre(self, typical, effect):
        """Where individual parameters are expected: ``(..., S, D)`` from ``(..., K)`` and ``(..., E)``."""
        shift = np.einsum("sde,...e->...sd", self.layout.component_covariates, effect)
        return self.layout.component_typical * typical[..., None, self.layout.component_parameter] + shift

    def covariance(self, omega, correlation):
        """Covariance of one person's deviations, ``(..., D, D)``."""
        spread = omega[..., self.layout.component_varying]
        whole = np.zeros((*spread.shape, spread.shape[-1])) + np.eye(spread.shape[-1])
        together = self.layout.correlated
        if len(together):
            whole[..., together[:, None], together] = matrices_of(correlation)
        return spread[..., :, None] * whole * spread[..., None, :]

    def draw(self, typical, effect, omega, correlation, rng: np.random.Generator):
        """Everyone's own parameters ``(..., S, D)`` drawn from the population, with each of its draws."""
        z = rng.normal(size=(*typical.shape[:-1], *self.shape))
        together = self.layout.correlated
        if len(together):
            factor = np.linalg.cholesky(matrices_of(correlation))
            z[..., together] = np.einsum("...ij,...sj->...si", factor, z[..., together])
        return self.centre(typical, effect) + omega[..., None, self.layout.component_varying] * z

    def draw_another_occasion(
        self, typical, effect, omega, correlation, individual, seen, rng: np.random.Generator
    ):
        r"""The same people's parameters ``(..., S, D)`` on an occasion that was not fitted.

        individual : ``(..., S, D)`` as fitted. seen : on how many occasions each was seen (S).

        Of the variance of a fitted deviation, :math:`s = \min(1, \kappa^2 / (n \omega^2))` is the share of
        the n fitted occasions' mean. Given the deviation, the person's own part has the mean (1 - s) times it
        and the variance :math:`s (1 - s) \omega^2`; another occasion adds :math:`n s \omega^2`. So with one
        fitted occasion, the correlation of deviations on two is 1 - s. A deviation of the occasion is drawn
        anew, and so one that is nested in that of the person, which then stays.
        """
        component, n = self.layout.component_varying, np.asarray(seen)[:, None]
        log_kappa = np.broadcast_to(self.occasion_prior[0], omega.shape)
        kappa = np.exp(log_kappa + self.occasion_prior[1] * rng.normal(size=omega.shape))
        of_occasion = np.array([each.level == "occasion" for each in self.deviations])
        variance = np.square(omega)[..., None, component]
        share = np.minimum(1.0, np.square(kappa)[..., None, component] / (n * variance))
        share, n = (np.where(of_occasion[component], 1.0, each) for each in (share, n))
        centre = self.centre(typical, effect)
        others = self.draw(typical, effect, omega, correlation, rng) - centre
        return centre + (1 - share) * (individual - centre) + np.sqrt(share * (1 - share + n)) * others

    def draw_population(self, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Typical values, effects, omega and correlations ``(draw, ...)`` from their priors."""
        typical = rng.normal(*self.typical_prior, size=(draws, len(self.estimated)))
        effect = rng.normal(*self.effect_prior, size=(draws, len(self.effects)))
        omega = np.exp(rng.normal(*self.omega_prior, size=(draws, len(self.varying))))
        shapes = self.partial_shapes
        factor = factor_of(2 * rng.beta(shapes, shapes, size=(draws, len(shapes))) - 1)
        return typical, effect, omega, below_diagonal(factor @ factor.swapaxes(-1, -2))

    # --- from people to what the model reads ---

    def theta(self, typical, effect, individual):
        """Parameters ``(..., T, P)`` of each occasion, on their natural scale."""
        layout = self.layout
        phi = np.repeat(typical[..., None, :], len(layout.subject), axis=-2)
        for v, k in enumerate(layout.varying):
            read = individual[..., layout.subject, layout.component[:, v]]
            phi[..., k] = phi[..., k] + read if layout.nested[v] else read
        phi = phi + self.shift(effect)
        theta = np.broadcast_to(layout.fixed, (*phi.shape[:-1], len(layout.fixed))).copy()
        theta[..., layout.columns] = self.natural(phi)
        return theta

    def of_people(self, individual, k: int):
        """The estimated parameter k of each person, ``(..., S)`` from ``(..., S, D)``, on its natural scale;
        with the covariates of their first occasion."""
        (component,) = np.flatnonzero(
            (self.layout.component_parameter == k) & (self.layout.component_typical == 1)
        )
        return from_scale(individual[..., component], self.layout.is_logit[k])

    def shift(self, effect):
        """What covariates add to the parameters ``(..., T, K)`` of each occasion, but for what the components
        that it reads have of it."""
        layout = self.layout
        found = np.zeros((*effect.shape[:-1], len(layout.subject), len(self.estimated)))
        for e, k in enumerate(layout.effect_parameter):
            found[..., k] += layout.covariates[:, e] * effect[..., None, e]
        return found

    def natural(self, phi):
        """Estimated parameters ``(..., K)`` from their own scales to the natural one."""
        return from_scale(phi, self.layout.is_logit)


def _pair(rows: list) -> tuple[np.ndarray, np.ndarray]:
    mean, sd = np.array(rows, float).reshape(-1, 2).T
    return mean.copy(), sd.copy()


def _layout(
    spec: ModelSpec,
    columns,
    parameters,
    deviations: Sequence[Deviation],
    components: Components,
    effects,
    own_covariates,
    subject: np.ndarray,
) -> Layout:
    names = [p.name for p in parameters]
    varying = np.array([names.index(each.parameter.name) for each in deviations], int)
    nested = np.array([each.nested for each in deviations], bool)
    component_parameter = varying[components.deviation]
    # Covariates act on what holds a typical value, as on the occasion that it is of; if it is of all of a
    # person, as on the first, and whatever another one has more or less acts on that itself.
    whole = ~nested[components.deviation]
    effect_parameter = np.array([names.index(a.parameter) for a in effects], int)
    acts = (component_parameter[:, None] == effect_parameter) & whole[:, None]
    component_covariates = own_covariates[components.occasion] * acts
    covariates = own_covariates - sum(
        component_covariates[subject, components.read[:, v]] for v in range(len(deviations))
    )
    together = [names.index(n) for n in spec.correlations if n in names and names.index(n) in varying]
    correlated = [int(np.flatnonzero(component_parameter == k)[0]) for k in together]
    layout = Layout(
        fixed=np.array([spec.parameters[n].typical.median for n in columns]),
        columns=np.array([columns.index(n) for n in names], int),
        is_logit=np.array([p.scale == "logit" for p in parameters], bool),
        varying=varying,
        nested=nested,
        component_parameter=component_parameter,
        component_typical=whole.astype(float),
        component_varying=components.deviation,
        component_covariates=component_covariates,
        covariates=covariates,
        effect_parameter=effect_parameter,
        subject=subject,
        component=components.read,
        correlated=np.array(correlated if len(correlated) > 1 else [], int),
    )
    return frozen(layout)
