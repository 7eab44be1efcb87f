"""A hierarchy over stored draws of each person: stage two of two.

The likelihood of a population, each person's own parameters integrated out, is the mean over that person's
draws of the weights that it gives them (Lunn et al. 2013, Stat Med 32:3678, who take the draws as proposals
of a Markov chain instead). The mean of a logarithm of a mean of K weights is too small by half their squared
coefficient of variation over K, and thousands of people would add that up: it is added back.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.optimize import minimize
from scipy.sparse import csr_array

from bayesglu.analysis.conditional import HeavyTailed
from bayesglu.analysis.stage_one import Stored
from bayesglu.analysis.weights import LARGEST_K
from bayesglu.hierarchy.correlation import below_diagonal, factor_of
from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.values import Values
from bayesglu.inference.kept_draws import STATISTICS
from bayesglu.inference.sampler import ARVIZ_NAMES
from bayesglu.pareto import chosen, smoothed
from bayesglu.residuals import Residual, censored, numbered

BATCHES = 8
"""Into which the draws of each are divided, to see how much depends on which they are."""

EVEN = 0.25
"""The least effective sample size of weighted draws, as a share of their number."""

FARTHEST = 50.0
"""SDs from the mode beyond which the sampler turns back."""

DIFFERENCE = 1e-4
"""Of numbers of the population, for derivatives of gradients, in units of how uncertain they were before."""


class Mode(NamedTuple):
    """The mode of the population's numbers (n,), a Cholesky factor (n, n) of the inverse of the negative
    Hessian there, and by how much it depends on which draws of people are stored: Monte Carlo error (n,), in
    SDs."""

    position: np.ndarray
    factor: np.ndarray
    error: np.ndarray

    @property
    def sd(self) -> np.ndarray:
        """SDs of the Normal distribution there (n,)."""
        return np.sqrt(np.square(self.factor).sum(1))


class Numbers(NamedTuple):
    """The numbers of a population on scales without bounds, or draws of them: typical values and effects as
    in `Values`, logarithms of SDs, and inverse hyperbolic tangents of partial correlations."""

    typical: np.ndarray
    effect: np.ndarray
    log_omega: np.ndarray
    log_sigma: np.ndarray
    artanh: np.ndarray

    @property
    def correlation(self) -> np.ndarray:
        """Correlations of deviations (..., pair)."""
        factor = factor_of(np.tanh(self.artanh))
        return below_diagonal(factor @ factor.swapaxes(-1, -2))

    def values(self, people: Individuals) -> Values:
        """What they stand for, with people (S) as the population expects them."""
        expected, shape = people.centre(self.typical, self.effect), self.typical.shape[:-1]
        sds, nothing = (np.exp(self.log_omega), np.exp(self.log_sigma)), np.zeros((*shape, 0))
        return Values(self.typical, self.effect, *sds, self.correlation, expected, nothing, nothing)


class Others(NamedTuple):
    """Residuals (R, K) of one kind that are not Normal, or beyond a limit (``kind`` None); ``of`` (S, R) has
    a 1 where one is a person's. The other fields are as in `Stored`."""

    kind: Residual | None
    side: float
    residual: np.ndarray
    slope: np.ndarray
    whose: np.ndarray
    group: np.ndarray
    of: csr_array


@dataclass(frozen=True, eq=False)
class Pooled:
    """Everyone's stored draws, and the log density of the population's numbers given all of them.

    reference : the population under which they were drawn.
    """

    design: Design
    stored: Stored
    reference: Numbers

    # --- numbers ---

    @cached_property
    def sizes(self) -> list[int]:
        """How many numbers there are of each kind."""
        return [len(field) for field in self.reference]

    def numbers(self, position: np.ndarray) -> Numbers:
        """The numbers at positions (..., n)."""
        return Numbers(*np.split(position, np.cumsum(self.sizes)[:-1], axis=-1))

    @cached_property
    def prior(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD of the numbers whose priors are Normal."""
        i = self.design.individuals
        parts = (i.typical_prior, i.effect_prior, i.omega_prior, self.design.sigma_prior)
        return np.concatenate([m for m, _ in parts]), np.concatenate([sd for _, sd in parts])

    # --- how they are weighted ---

    @cached_property
    def shared(self) -> np.ndarray:
        """Which of the estimated parameters are shared (X,)."""
        return np.array([k for k, p in enumerate(self.design.individuals.estimated) if not p.varies], int)

    @cached_property
    def varied(self) -> np.ndarray:
        """What covariates add to shared parameters (S, X, E), per effect."""
        layout = self.design.individuals.layout
        on = layout.effect_parameter == self.shared[:, None]
        return layout.covariates[:, None, :] * on

    @cached_property
    def base(self) -> np.ndarray:
        """Logarithms of weights (S, K), but for what depends on the population."""
        density, *_ = self._own(self.reference)
        fitted, *_ = self._samples(self.reference)
        return self.stored.log_ratio - density - fitted

    def log_weights(self, v: Numbers) -> np.ndarray:
        """Logarithms of the weights (S, K) that a population gives the draws of each."""
        return self.base + self._own(v)[0] + self._samples(v)[0]

    def _own(self, v: Numbers):
        """Log density (S, K) of own parameters; how far these are from what is expected (S, K, D), and the
        precision (D, D)."""
        i = self.design.individuals
        log_sd = v.log_omega[i.layout.component_varying]
        factor = np.linalg.cholesky(i.covariance(np.ones(len(v.log_omega)), v.correlation))
        whiten = np.linalg.inv(factor) * np.exp(-log_sd)
        away = self.stored.individual - i.centre(v.typical, v.effect)[:, None]
        volume = (log_sd + np.log(np.diag(factor))).sum() + 0.5 * len(factor) * np.log(2 * np.pi)
        return -0.5 * np.square(away @ whiten.T).sum(-1) - volume, away, whiten.T @ whiten

    def _samples(self, v: Numbers, slopes: bool = False):
        """Log likelihood (S, K) of samples, and with `slopes` its derivatives by the logarithms of sigma (S,
        K, A) and by shared parameters (S, K, X)."""
        s, analytes = self.stored, len(v.log_sigma)
        moved = v.typical - self.reference.typical
        moved = moved[self.shared] + self.varied @ (v.effect - self.reference.effect)  # (S, X)
        precision = np.exp(-2 * np.append(v.log_sigma, 0.0))
        squares, by_shared = s.squares, np.zeros((*s.log_ratio.shape, len(self.shared) * slopes))
        if len(self.shared):
            half = s.along - np.einsum("skgxy,sy->skgx", s.across, moved)
            squares = squares - np.einsum("skgx,sx->skg", s.along + half, moved)
            by_shared = np.einsum("skgx,g->skx", half, precision) if slopes else by_shared
        log_likelihood = -s.count[:, :analytes] @ v.log_sigma
        log_likelihood = log_likelihood[:, None] - 0.5 * squares @ precision
        by_sigma = by_shared
        if slopes:
            by_sigma = squares[..., :analytes] * precision[:analytes] - s.count[:, None, :analytes]
        self._add_others(v, moved, log_likelihood, (by_sigma, by_shared) if slopes else None)
        return log_likelihood, by_sigma, by_shared

    @cached_property
    def others(self) -> list[Others]:
        """Residuals that are not Normal, or beyond a limit, kind by kind."""
        s, found = self.stored, []
        for number, nu, side in np.unique(s.kind, axis=0):
            own = np.flatnonzero((s.kind == (number, nu, side)).all(1))
            residual = numbered(int(number), nu) if side == 0 else None
            of = csr_array(
                (np.ones(len(own)), (s.whose[own], np.arange(len(own)))), (len(s.log_ratio), len(own))
            )
            found.append(
                Others(residual, side, s.residual[own], s.slope[own], s.whose[own], s.group[own], of)
            )
        return found

    def _add_others(self, v: Numbers, moved, found, slopes) -> None:
        """Add what residuals say that are not Normal, or beyond a limit."""
        for o in self.others:
            log_sigma = np.append(v.log_sigma, 0.0)[o.group, None]
            shift = np.einsum("rkx,rx->rk", o.slope, moved[o.whose]) if len(self.shared) else 0.0
            z = (o.residual - shift) * np.exp(-log_sigma)
            kind = o.kind
            found += o.of @ (
                censored.log_probability(z, o.side) if kind is None else kind.log_density(z) - log_sigma
            )
            if slopes is None:
                continue
            by_sigma, by_shared = slopes
            slope = censored.slope(z, o.side) if kind is None else kind.slope(z)
            pull = -slope * z - float(kind is not None)
            for a in np.unique(o.group):
                by_sigma[..., a] += (o.of * (o.group == a)) @ pull
            for x in range(len(self.shared)):
                by_shared[..., x] -= o.of @ (slope * np.exp(-log_sigma) * o.slope[..., x])

    # --- the density ---

    def log_value(self, position: np.ndarray) -> float:
        """The log density alone."""
        return self.drawn_at(position, None)[0]

    def drawn_at(self, position: np.ndarray, rng: np.random.Generator | None) -> tuple[float, np.ndarray]:
        """The log density alone, and for everyone (S,) one of the stored draws, by its weight there."""
        value, share, _ = _pooled(self.log_weights(self.numbers(position)))
        turn = np.zeros(0, int)
        if rng is not None:
            turn = (np.cumsum(share, 1) < rng.random((len(share), 1))).sum(1)
        return value + self._log_prior(position)[0], np.minimum(turn, share.shape[1] - 1)

    def log_density(self, position: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density, and its gradient (n,), up to a constant."""
        v, i = self.numbers(position), self.design.individuals
        log_own, away, precision = self._own(v)
        log_samples, by_sigma, by_shared = self._samples(v, slopes=True)
        value, weight, share = _pooled(self.base + log_own + log_samples)
        weight *= 1 + weight - share  # what the gradient of the mean weighs them by, with what is added back
        mean = np.einsum("sk,skd->sd", weight, away)
        flat = away.reshape(-1, away.shape[-1])
        scatter = (flat * weight.reshape(-1, 1)).T @ flat
        pull = mean @ precision
        found = Numbers(*(np.zeros(n) for n in self.sizes))
        layout = i.layout
        np.add.at(found.typical, layout.component_parameter, pull.sum(0) * layout.component_typical)
        found.effect[:] = np.einsum("sd,sde->e", pull, layout.component_covariates)
        if len(self.shared):
            drag = np.einsum("sk,skx->sx", weight, by_shared)
            found.typical[self.shared] += drag.sum(0)
            found.effect[:] += np.einsum("sx,sxe->e", drag, self.varied)
        found.log_sigma[:] = np.einsum("sk,ska->a", weight, by_sigma)
        self._add_sds(found, v, precision, scatter)
        prior, slope = self._log_prior(position)
        return float(value + prior), np.concatenate(found) + slope

    def _add_sds(self, found: Numbers, v: Numbers, precision, scatter) -> None:
        """The derivatives by SDs and correlations, from that by the covariance."""
        i, people = self.design.individuals, len(self.stored.log_ratio)
        by = 0.5 * (precision @ scatter @ precision - people * precision)
        own = (scatter * precision).sum(1) - people
        np.add.at(found.log_omega, i.layout.component_varying, own)
        for p in range(len(v.artanh)):
            h = np.zeros(len(v.artanh))
            h[p] = 1e-6
            ends = (v._replace(artanh=v.artanh + sign * h).correlation for sign in (1, -1))
            up, down = (i.covariance(np.exp(v.log_omega), end) for end in ends)
            found.artanh[p] += (by * (up - down)).sum() / 2e-6

    def _log_prior(self, position: np.ndarray) -> tuple[float, np.ndarray]:
        mean, sd = self.prior
        z = (position[: len(mean)] - mean) / sd
        slope, typical = -z / sd, slice(0, self.sizes[0])
        factor = self.design.individuals.typical_factor  # of what may be known jointly
        z[typical] = np.linalg.solve(factor, position[typical] - mean[typical])
        slope[typical] = -np.linalg.solve(factor.T, z[typical])
        partial, (a, b) = np.tanh(position[len(mean) :]), self.design.individuals.partial_shapes
        value = -0.5 * np.square(z).sum() + (a * np.log1p(partial) + b * np.log1p(-partial)).sum()
        return float(value), np.concatenate([slope, a * (1 - partial) - b * (1 + partial)])

    # --- what comes of it ---

    def mode(self) -> Mode:
        """The mode, sought from the reference."""
        scale = np.concatenate([self.prior[1], np.ones(len(self.reference.artanh))])
        start = np.concatenate(self.reference)

        def downhill(z):
            value, slope = self.log_density(start + scale * z)
            return -value, -slope * scale

        found = minimize(downhill, np.zeros(len(start)), jac=True, method="BFGS", options={"maxiter": 200})
        at = start + scale * found.x
        rows = []
        for step in np.diag(DIFFERENCE * scale):
            rows.append((self.log_density(at - step)[1] - self.log_density(at + step)[1]) / (2 * step.sum()))
        precision = 0.5 * (np.array(rows) + np.array(rows).T)
        size, axes = np.linalg.eigh(scale[:, None] * precision * scale)
        # Nothing is less certain than before, and where the density is not concave it is as it was.
        covariance = scale[:, None] * ((axes / np.maximum(size, 1.0)) @ axes.T) * scale
        factor = np.linalg.cholesky(covariance)
        slopes = np.array([self.part(slice(b, None, BATCHES)).log_density(at)[1] for b in range(BATCHES)])
        shifts = slopes @ covariance / np.sqrt(np.diag(covariance))
        # What is left of the bias falls with the square of the number of draws.
        variance, bias = shifts.var(0, ddof=1) / BATCHES, shifts.mean(0) / (BATCHES**2 - 1)
        return Mode(at, factor, np.sqrt(variance + np.square(bias)))

    def part(self, which: slice) -> "Pooled":
        """With some of the draws of each."""
        return Pooled(self.design, self.stored.draws(which), self.reference)

    def effective_draws(self, position: np.ndarray) -> np.ndarray:
        """The effective number of draws of each person (S,)."""
        log = self.log_weights(self.numbers(position))
        weight = np.exp(log - log.max(1, keepdims=True))
        return weight.sum(1) ** 2 / np.square(weight).sum(1)

    def bent(self, mode: Mode) -> np.ndarray:
        """By how much, as a share of it, the precision of each shared parameter (X,) is off because what it
        does to predictions is taken as linear."""
        log = self.log_weights(self.numbers(mode.position))
        weight = np.exp(log - log.max(1, keepdims=True))
        weight /= weight.sum(1, keepdims=True)
        bend = np.einsum("sk,skx->x", weight, self.stored.bend)
        return 2 * np.abs(bend) * np.square(mode.sd[self.shared])


def _pooled(log: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Log likelihood from everyone's logarithms of weights (S, K), up to a constant; their shares (S, K), and
    the inverse (S, 1) of each person's effective number of draws."""
    top = log.max(1, keepdims=True)
    weight = np.exp(log - top)
    total = weight.sum(1, keepdims=True)
    weight /= total
    share = np.square(weight).sum(1, keepdims=True)
    return float((top + np.log(total) + 0.5 * share).sum()), weight, share


class Drawn(NamedTuple):
    """Positions (chain, draw, n) of the population, and with each one of the stored draws of everyone,
    ``turn`` (chain, draw, S); how they were weighted, or the sampler's statistics."""

    positions: np.ndarray
    turn: np.ndarray
    weights: dict[str, float]
    statistics: xr.Dataset | None = None


def sample(pooled: Pooled, mode: Mode, draws: int, tune: int, chains: int, seed: int) -> Drawn:
    """Draws of the population. With many people its posterior is near the Normal distribution at the mode:
    draws with heavier tails are weighted; where their weights are uneven, NUTS draws."""
    rng, n = np.random.default_rng([seed, 2]), len(mode.position)
    about = HeavyTailed(np.zeros((1, n)), np.eye(n)[None])
    z = about.draw((draws * chains,), rng)
    positions = mode.position + z[:, 0] @ mode.factor.T
    log, turn = map(np.array, zip(*(pooled.drawn_at(at, rng) for at in positions), strict=True))
    log_weight, k = smoothed(log - about.log_density(z)[:, 0])
    weight = np.exp(log_weight - log_weight.max())
    ess = float(weight.sum() ** 2 / np.square(weight).sum())
    if not k <= LARGEST_K or ess < EVEN * len(weight):
        return _by_nuts(pooled, mode, draws, tune, chains, seed)
    which = rng.permutation(chosen(weight, len(weight), rng)).reshape(chains, draws)
    return Drawn(positions[which], turn[which], {"pareto_k": k, "efficiency": ess / len(weight)})


def _by_nuts(pooled: Pooled, mode: Mode, draws: int, tune: int, chains: int, seed: int) -> Drawn:
    """In coordinates that make the Normal distribution at the mode a standard one."""
    from bayesglu.inference.from_nutpie import sample_function

    def log_density(z):
        if np.abs(z).max() > FARTHEST:
            return -np.inf, np.zeros(n)
        value, slope = pooled.log_density(mode.position + mode.factor @ z)
        return value - top, slope @ mode.factor

    (top, _), n = pooled.log_density(mode.position), len(mode.position)
    z, statistics = sample_function(log_density, n, draws, tune, chains, seed)
    kept = {ARVIZ_NAMES.get(name, name): statistics[name] for name in STATISTICS if name in statistics}
    positions, rng = mode.position + z @ mode.factor.T, np.random.default_rng([seed, 3])
    turn = [[pooled.drawn_at(at, rng)[1] for at in chain] for chain in positions]
    return Drawn(positions, np.array(turn), {}, xr.Dataset(kept))
