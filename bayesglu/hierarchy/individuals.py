r"""Individual parameters: how those of every person and occasion come from the population.

On the scale on which its prior is Normal, a parameter of a person (or of an occasion of that person) is

.. math:: \phi = \theta + \sum_e x_e \beta_e + \eta, \qquad \eta \sim N(0, \omega^2)

the typical value, covariate effects, each times its standardized covariate x, and deviations (`variation`):
the person's or the occasion's, or both, one nested in the other. Those of people in different parameters may
be correlated. What people share has no deviation. Of those who lack a covariate see `missing`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product

import numpy as np
import xarray as xr

from bayesglu.frozen import Frozen
from bayesglu.hierarchy.correlation import (
    below_diagonal,
    beta_shapes,
    factor_of,
    matrices_of,
    mode_and_scale,
    with_first,
)
from bayesglu.hierarchy.covariates import Acting, acting_effects, standardized, within_people
from bayesglu.hierarchy.layout import Layout, layout_of
from bayesglu.hierarchy.missing import MissingCovariates, missing_covariates
from bayesglu.hierarchy.variation import Deviation, components_of, deviations_of, nested_in
from bayesglu.spec.model import ModelSpec
from bayesglu.spec.priors import Correlation, Parameter, correlation_matrix
from bayesglu.spec.scales import from_scale


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
    missing: MissingCovariates
    layout: Layout
    lkj_eta: float = 1.0
    correlation_priors: Mapping[tuple[str, str], Correlation] = field(default_factory=Frozen)
    typical_correlations: Mapping[tuple[str, str], float] = field(default_factory=Frozen)

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
        `of_occasions` by occasion where they differ: also those of others, who tell of what is missing.

        Columns that are not estimated are at the medians of the model. nested : the parameters whose
        deviations of occasions are separate from those of people; by default, `nested_in` these occasions.
        """
        parameters = tuple(spec.parameters[name] for name in estimated)
        subjects = tuple(dict.fromkeys(subject for subject, _ in occasions))
        effects = acting_effects(parameters, covariates, of_occasions)
        number = {subject: i for i, subject in enumerate(subjects)}
        subject = np.array([number[s] for s, _ in occasions], int)
        missing = missing_covariates(
            effects, covariates, subjects, standardized(effects, covariates, subjects)
        )
        of_each = missing.expected[subject] + within_people(effects, covariates, of_occasions, occasions)
        nested = nested_in(parameters, occasions) if nested is None else nested
        deviations = deviations_of(parameters, nested)
        layout = layout_of(
            spec,
            columns,
            parameters,
            deviations,
            components_of(deviations, subject),
            effects,
            of_each,
            missing,
        )
        return cls(
            subjects=subjects,
            occasions=tuple(occasions),
            columns=tuple(columns),
            estimated=parameters,
            deviations=deviations,
            effects=effects,
            missing=missing,
            layout=layout,
            lkj_eta=spec.lkj_eta or cls.lkj_eta,
            correlation_priors=spec.correlation_priors,
            typical_correlations=spec.typical_correlations,
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
    def correlated(self) -> list[str]:
        """The parameters whose deviations are correlated, in the order of the matrix."""
        return [self.names[k] for k in self.layout.component_parameter[self.layout.correlated]]

    @property
    def nested(self) -> tuple[str, ...]:
        """The parameters whose deviations of occasions are separate from those of people."""
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
    def typical_factor(self) -> np.ndarray:
        """Cholesky factor of the prior covariance of the typical values (K, K)."""
        together = correlation_matrix(self.names, self.typical_correlations)
        return self.typical_prior[1][:, None] * np.linalg.cholesky(together)

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
        variations = [each.of_occasion for each in self.deviations]
        return _pair([(np.log(s.omega), s.sd) if s else (-np.inf, 0.0) for s in variations])

    @cached_property
    def partial_shapes(self) -> np.ndarray:
        """Shapes a and b of the Beta priors of the partial correlations ``(2, pair)``: see `correlation`."""
        shapes = np.tile(beta_shapes(len(self.correlated), self.lkj_eta), (2, 1))
        for (first, other), known in self.correlation_priors.items():
            if {first, other} <= {*self.correlated}:
                shapes[:, with_first(self.correlated.index(other))] = known.shapes
        return shapes

    @cached_property
    def expected_correlation(self) -> np.ndarray:
        """Correlations ``(pair,)`` where their prior has its mode, on the scale without bounds."""
        factor = factor_of(np.tanh(mode_and_scale(self.partial_shapes)[0]))
        return below_diagonal(factor @ factor.T)

    # --- from the population to people ---

    def centre(self, typical, effect, missing=None):
        """Where individual parameters are expected: ``(..., S, D)`` from ``(..., K)`` and ``(..., E)``.

        missing : the model of missing covariates ``(..., M)``, as expected where it is not given; levels
        count by their expected shares.
        """
        shift = np.einsum("sde,...e->...sd", self.layout.component_covariates, effect)
        if who := self.missing.layout.subject.tolist():
            x = self.missing.standardized(self.missing.centre if missing is None else missing)
            for g, s in enumerate(who):
                shift[..., s, :] += self._on_components(x[..., g, :] * effect)
        return self.layout.component_typical * typical[..., None, self.layout.component_parameter] + shift

    def _on_components(self, shift):
        """What effects ``(..., E)`` add to components ``(..., D)``."""
        return shift @ self.layout.acts.T

    def covariates_at(self, missing) -> np.ndarray:
        """Standardized covariates of components (S, D, E), with one draw of the missing ones (M,)."""
        found, x = self.layout.component_covariates.copy(), self.missing.standardized(missing)
        for g, s in enumerate(self.missing.layout.subject):
            found[s] += x[g] * self.layout.acts
        return found

    def root(self, omega, correlation):
        """What makes one person's deviations of standard Normals, ``(..., D, D)``: their SDs times the
        Cholesky factor of their correlations."""
        sd = omega[..., self.layout.component_varying]
        whole = np.zeros((*sd.shape, sd.shape[-1])) + np.eye(sd.shape[-1])
        together = self.layout.correlated
        if len(together):
            whole[..., together[:, None], together] = np.linalg.cholesky(matrices_of(correlation))
        return sd[..., :, None] * whole

    def covariance(self, omega, correlation):
        """Covariance of one person's deviations, ``(..., D, D)``."""
        root = self.root(omega, correlation)
        return root @ root.swapaxes(-1, -2)

    def log_density(self, typical, effect, omega, correlation, individual, missing):
        """Log density of everyone's own parameters given the population, ``(..., S)``: of those who lack a
        level summed over all that it may be."""
        covariance = self.covariance(omega, correlation)
        centre = self.centre(typical, effect, missing)
        found = _log_normal(individual - centre, covariance[..., None, :, :])
        for j, s in enumerate(self.missing.layout.mixed):
            each = self.log_levels(j, typical, effect, omega, correlation, individual, missing)
            found[..., s] = np.logaddexp.reduce(each, axis=-1)
        return found

    def log_levels(self, j: int, typical, effect, omega, correlation, individual, missing):
        """Of the j-th of the people who lack a level, the log density ``(..., combination)`` of their own
        parameters together with each combination of levels."""
        s, combinations = self.missing.layout.mixed[j], self.missing.combinations(j)
        centre = self.centre(typical, effect, missing)[..., None, s, :]
        shift = self._on_components(self.missing.layout.shift[combinations] * effect[..., None, :])
        away = individual[..., None, s, :] - centre - shift
        covariance = self.covariance(omega, correlation)[..., None, :, :]
        return self.missing.log_share(missing, j) + _log_normal(away, covariance)

    def draw(self, typical, effect, omega, correlation, rng: np.random.Generator, missing=None):
        """Everyone's own parameters ``(..., S, D)`` drawn from the population, with each of its draws.

        missing : the model of missing covariates ``(..., M)``; drawn where it is not given.
        """
        deviation = self._deviation(omega, correlation, rng)
        if missing is None:
            missing = self.missing.draw(self.missing.unknown(typical.shape[:-1]), rng)
        return self.draw_centre(typical, effect, missing, rng) + deviation

    def draw_centre(self, typical, effect, missing, rng: np.random.Generator):
        """Where individual parameters are expected, `centre`, with levels that people lack drawn."""
        centre = self.centre(typical, effect, missing)
        for j, s in enumerate(self.missing.layout.mixed):
            log_share = self.missing.log_share(missing, j)
            centre[..., s, :] += self._shift_of_levels(j, log_share, effect, rng)
        return centre

    def _deviation(self, omega, correlation, rng: np.random.Generator):
        """Everyone's deviations ``(..., S, D)``, drawn."""
        z = rng.normal(size=(*omega.shape[:-1], *self.shape))
        together = self.layout.correlated
        if len(together):
            factor = np.linalg.cholesky(matrices_of(correlation))
            z[..., together] = np.einsum("...ij,...sj->...si", factor, z[..., together])
        return omega[..., None, self.layout.component_varying] * z

    def _shift_of_levels(self, j: int, log_density, effect, rng: np.random.Generator):
        """What the levels of the j-th of the people who lack one add to their centre ``(..., D)``, drawn by
        the log density ``(..., combination)`` of each combination."""
        chosen = np.argmax(log_density + rng.gumbel(size=log_density.shape), axis=-1)
        return self._on_components(self.missing.layout.shift[self.missing.combinations(j)][chosen] * effect)

    def draw_another_occasion(
        self, typical, effect, omega, correlation, individual, seen, rng: np.random.Generator, missing=None
    ):
        r"""The same people's parameters ``(..., S, D)`` on an occasion that was not fitted.

        individual : ``(..., S, D)`` as fitted. seen : on how many occasions each was seen (S). missing : the
        model of missing covariates as fitted; levels are drawn, given the fitted parameters.

        Of the variance of a fitted deviation, :math:`s = \min(1, \kappa^2 / (n \omega^2))` is the share of
        the n fitted occasions' mean. Given the deviation, the person's own part has the mean (1 - s) times it
        and the variance :math:`s (1 - s) \omega^2`; another occasion adds :math:`n s \omega^2`. So with one
        fitted occasion, the correlation of deviations on two is 1 - s. A deviation of the occasion is drawn
        anew, and so one that is nested in that of the person, which then stays.
        """
        n = np.asarray(seen)[:, None]
        share = self._share_of_occasions(omega, n, rng)
        n = np.where(self._of_occasion, 1.0, n)
        centre = self.centre(typical, effect, missing)
        others = self._deviation(omega, correlation, rng)
        for j, s in enumerate(self.missing.layout.mixed):
            each = self.log_levels(j, typical, effect, omega, correlation, individual, missing)
            centre[..., s, :] += self._shift_of_levels(j, each, effect, rng)
        return centre + (1 - share) * (individual - centre) + np.sqrt(share * (1 - share + n)) * others

    def draw_days(self, typical, effect, omega, correlation, days: int, rng: np.random.Generator):
        """Parameters ``(day, ..., S, D)`` of people drawn from the population, on several days: what is a
        person's own is the same on all of them."""
        share = self._share_of_occasions(omega, 1, rng)
        missing = self.missing.draw(self.missing.unknown(typical.shape[:-1]), rng)
        of_person = self.draw_centre(typical, effect, missing, rng)
        of_person = of_person + np.sqrt(1 - share) * self._deviation(omega, correlation, rng)
        return np.stack(
            [of_person + np.sqrt(share) * self._deviation(omega, correlation, rng) for _ in range(days)]
        )

    @property
    def _of_occasion(self) -> np.ndarray:
        """Which components (D) are of one occasion alone."""
        return np.array([each.level == "occasion" for each in self.deviations])[self.layout.component_varying]

    def _share_of_occasions(self, omega, n, rng: np.random.Generator) -> np.ndarray:
        """The share of the variance of deviations that is of the mean of n occasions, with the SD of what is
        the occasion's drawn from its prior."""
        component = self.layout.component_varying
        log_kappa = np.broadcast_to(self.occasion_prior[0], omega.shape)
        kappa = np.exp(log_kappa + self.occasion_prior[1] * rng.normal(size=omega.shape))
        variance = np.square(omega)[..., None, component]
        share = np.minimum(1.0, np.square(kappa)[..., None, component] / (n * variance))
        return np.where(self._of_occasion, 1.0, share)

    def draw_population(self, draws: int, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Typical values, effects, omega and correlations ``(draw, ...)`` from their priors."""
        standard = rng.normal(size=(draws, len(self.estimated)))
        typical = self.typical_prior[0] + standard @ self.typical_factor.T
        effect = rng.normal(*self.effect_prior, size=(draws, len(self.effects)))
        omega = np.exp(rng.normal(*self.omega_prior, size=(draws, len(self.varying))))
        a, b = self.partial_shapes
        factor = factor_of(2 * rng.beta(a, b, size=(draws, len(a))) - 1)
        return typical, effect, omega, below_diagonal(factor @ factor.swapaxes(-1, -2))

    # --- from people to what the model reads ---

    def theta(self, typical, effect, individual, missing=None):
        """Parameters ``(..., T, P)`` of each occasion, on their natural scale."""
        layout = self.layout
        phi = np.repeat(typical[..., None, :], len(layout.subject), axis=-2)
        if who := self.missing.layout.subject.tolist():
            x = self.missing.standardized(self.missing.centre if missing is None else missing)
            for (g, s), (e, k) in product(enumerate(who), enumerate(layout.effect_parameter)):
                phi[..., layout.subject == s, k] += (x[..., g, e] * effect[..., e])[..., None]
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


def _log_normal(away, covariance):
    """Log density of deviations ``(..., D)``."""
    squares = (away * np.linalg.solve(covariance, away[..., None])[..., 0]).sum(-1)
    return -0.5 * (squares + np.linalg.slogdet(covariance)[1] + away.shape[-1] * np.log(2 * np.pi))
