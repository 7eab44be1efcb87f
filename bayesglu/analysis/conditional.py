"""People's own parameters given a population: their posterior under each of many draws of it, all at once.

Under one draw of the population, what is unknown of a person are the deviations from what it expects, and the
errors of the samples of a forcing function: numbers x that are standard Normal before the person's data.
Their posterior is found as everyone's is in a fit, by the linearised model (Lindstrom and Bates 1990,
Biometrics 46:673), but for each draw of the population, with all draws in the lanes of the solver together.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from scipy.special import gammaln, logsumexp

from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.rows import TINY
from bayesglu.hierarchy.values import Values
from bayesglu.parallel import in_threads
from bayesglu.solver.integrate import FINE, OUTCOMES
from bayesglu.solver.solver import Solver, SolverError, require_solved
from bayesglu.text.wording import some

TOGETHER = 512
"""Occasions that are solved in one piece of work."""

LARGEST = 4_000_000
"""Derivatives that are held at a time."""

STEP = 1e-2
"""Of the differences, in prior SDs."""

SHORTER = np.array([1.0, 0.5, 0.25, 0.1, 0.02])
"""Shares of a step of Gauss and Newton of which the best is taken."""

SHARES, WIDTHS, NU = np.array([0.8, 0.2]), np.array([1.0, 1.6]), np.array([10.0, 3.0])
"""Of what is proposed: how often, how wide, and with how many degrees of freedom."""


@dataclass(eq=False)
class Conditional:
    """The people of a design (S), given draws of the population (M, ...). Numbers x are (..., S, N): first
    the D deviations of each person, then the errors of the person's own samples of a forcing function, and as
    many others, of nothing, as make all people's numbers as many.

    ``centre`` (M, S, D) is where each draw of the population expects them. ``failed`` counts solves that
    failed (occasion, outcome).
    """

    design: Design
    population: Values
    centre: np.ndarray
    failed: np.ndarray = field(init=False)

    def __post_init__(self):
        self.failed = np.zeros((len(self.design.individuals.occasions), len(OUTCOMES)), int)

    @classmethod
    def of(cls, design: Design, population: Values, rng: np.random.Generator) -> "Conditional":
        """Of covariates that people lack the numbers are those of each draw of the population, and levels are
        drawn, with what these let expect."""
        people, v = design.individuals, population
        return cls(design, population, people.draw_centre(v.typical, v.effect, v.missing, rng))

    @cached_property
    def factor(self) -> np.ndarray:
        """Cholesky factors of the covariance of deviations (M, D, D)."""
        people = self.design.individuals
        return np.linalg.cholesky(people.covariance(self.population.omega, self.population.correlation))

    @cached_property
    def error_of(self) -> np.ndarray:
        """Which error of the forcing function is whose (S, errors of one person), -1 where it is none."""
        forcing, subject = self.design.forcing, self.design.individuals.layout.subject
        own = forcing.error >= 0
        whose = subject[forcing.occasion[own]]
        each = [np.flatnonzero(whose == s) for s in range(self.people)]
        found = np.full((self.people, max(map(len, each))), -1)
        for s, places in enumerate(each):
            found[s, : len(places)] = places
        return found

    @property
    def people(self) -> int:
        """How many people there are, S."""
        return len(self.design.individuals.subjects)

    @cached_property
    def size(self) -> int:
        """How many numbers each has, N."""
        return self.design.individuals.shape[1] + self.error_of.shape[1]

    @cached_property
    def whose(self) -> np.ndarray:
        """Whose each row is (row,)."""
        return self.design.individuals.layout.subject[self.design.rows.occasion]

    def values(self, which: np.ndarray, x: np.ndarray) -> Values:
        """What numbers x (..., S, N) stand for, given the draws `which` (...) of the population."""
        n = self.design.individuals.shape[1]
        away = np.einsum("...de,...se->...sd", self.factor[which], x[..., :n])
        errors = np.zeros((*which.shape, self.design.forcing.n_errors))
        own = self.error_of >= 0
        errors[..., self.error_of[own]] = x[..., n:][..., own]
        found = self.population.at(which)
        return found._replace(individual=self.centre[which] + away, forcing_error=errors)

    def numbers(self, which: np.ndarray, individual: np.ndarray, forcing_error: np.ndarray) -> np.ndarray:
        """The numbers x that stand for individual parameters (..., S, D) and errors: the inverse of
        `values`."""
        n = self.design.individuals.shape[1]
        away = (individual - self.centre[which]).swapaxes(-1, -2)
        x = np.zeros((*which.shape, self.people, self.size))
        x[..., :n] = np.linalg.solve(self.factor[which], away).swapaxes(-1, -2)
        own = self.error_of >= 0
        errors = np.zeros((*which.shape, *own.shape))
        errors[..., own] = forcing_error[..., self.error_of[own]]
        x[..., n:] = errors
        return x

    def log_predicted(self, which: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Logarithms of the predictions (F, row) at x (F, S, N), given the draws `which` (F); NaN where a
        solve failed."""
        step = max(1, TOGETHER // len(self.design.individuals.occasions))
        blocks = [slice(begin, begin + step) for begin in range(0, len(which), step)]
        sizes = {len(which[block]) for block in blocks}
        solvers = {size: self._solver(size) for size in sizes}
        done = in_threads(lambda b: self._predict(solvers[len(which[b])], which[b], x[b]), blocks)
        return np.concatenate(done)

    def log_density(self, which: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Log density of each person's samples and numbers (F, S): minus infinity where a solve failed."""
        return self._density(which, x, self.log_predicted(which, x))

    def require_solved(self, density: np.ndarray) -> None:
        """Raise SolverError where a person has no finite density (F, S) at all, and say why."""
        if (bad := ~np.isfinite(density).any(0)).any():
            outcome = self.failed.argmax(-1)
            unsolved = np.where(bad[self.design.individuals.layout.subject], outcome, FINE)
            require_solved(
                unsolved, [f"subject {subject}" for subject, _ in self.design.individuals.occasions]
            )
            who = [s for s, lost in zip(self.design.individuals.subjects, bad, strict=True) if lost]
            raise SolverError(f"The density of the samples of subject {some(who)} is not finite anywhere.")

    def climb(self, which: np.ndarray, x: np.ndarray, rounds: int, near: float = 0.1):
        """Numbers nearer to the modes, from x (F, S, N): at most so many steps of Gauss and Newton, fewer
        where all are shorter than `near` SDs. Beside them their log density (F, S) and the precision (F, S,
        N, N)."""
        most = max(1, LARGEST // (len(self.whose) * self.size))
        parts = [slice(begin, begin + most) for begin in range(0, len(which), most)]
        found = [self._climb(which[part], x[part], rounds, near) for part in parts]
        return tuple(np.concatenate(each) for each in zip(*found, strict=True))

    def _climb(self, which: np.ndarray, x: np.ndarray, rounds: int, near: float):
        density = precision = np.zeros(0)
        for _ in range(rounds):
            log, own = self._slopes(which, x)
            density = self._density(which, x, log)
            weight, residual = self.design.rows.working(log, self.population.sigma[which])
            weight = np.where(np.isfinite(weight), weight, 0.0)
            pull = np.where(np.isfinite(residual), residual, 0.0) * weight
            precision, along = self._gathered(own, weight, pull)
            way = np.linalg.solve(precision, (along - x)[..., None])[..., 0]
            tried = x + SHORTER[:, None, None, None] * way
            several = np.tile(which, len(SHORTER))
            found = self.log_density(several, tried.reshape(-1, *x.shape[1:])).reshape(-1, *density.shape)
            found, tried = np.concatenate([found, density[None]]), np.concatenate([tried, x[None]])
            best = found.argmax(0)
            x = np.take_along_axis(tried, best[None, ..., None], 0)[0]
            density = np.take_along_axis(found, best[None], 0)[0]
            length = np.sqrt(np.einsum("fsi,fsij,fsj->fs", way, precision, way))
            if np.quantile(length, 0.99) < near:
                break
        return x, density, precision

    def _solver(self, times: int) -> Solver:
        solver = self.design.solver
        return replace(solver, schedule=solver.schedule.repeat(times))

    def _predict(self, solver: Solver, which: np.ndarray, x: np.ndarray) -> np.ndarray:
        d = self.design
        values = self.values(which, x)
        theta = d.theta(values)
        level = d.forcing.at_stops(d.true_forcing(values)).reshape(-1)
        physiology = theta[..., : len(solver.system.parameters)].reshape(solver.schedule.people, -1)
        out, outcome = solver.outputs(physiology, level)
        self._count(outcome.reshape(len(which), -1))
        predicted = d.rows.predict(out.reshape(len(which), -1, out.shape[-1]), theta)
        with np.errstate(invalid="ignore"):
            return np.log(np.maximum(predicted, TINY))

    def _count(self, outcome: np.ndarray) -> None:
        if (outcome != FINE).any():
            self.failed += np.stack([(outcome == code).sum(0) for code in OUTCOMES], axis=-1)

    def _density(self, which: np.ndarray, x: np.ndarray, log_predicted: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", over="ignore"):
            rows = self.design.rows.log_density(log_predicted, self.population.sigma[which])
        samples = np.stack([rows[:, self.whose == s].sum(-1) for s in range(self.people)], axis=-1)
        samples -= 0.5 * (np.square(x).sum(-1) + self.size * np.log(2 * np.pi))
        return np.where(np.isfinite(samples), samples, -np.inf)

    def _slopes(self, which: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log predictions (F, row), and their derivatives in the numbers of the row's own person (F, row,
        N)."""
        ways = np.concatenate([np.zeros((1, self.size)), STEP * np.eye(self.size)])
        moved = (x + ways[:, None, None]).reshape(-1, *x.shape[1:])
        log = self.log_predicted(np.tile(which, len(ways)), moved).reshape(len(ways), len(x), -1)
        own = np.moveaxis((log[1:] - log[0]) / STEP, 0, -1)
        return log[0], np.where(np.isfinite(own), own, 0.0)

    def _gathered(self, own: np.ndarray, weight: np.ndarray, pull: np.ndarray):
        """Precision (F, S, N, N) and what the rows pull (F, S, N), of each person."""
        precision = np.empty((len(own), self.people, self.size, self.size))
        along = np.empty(precision.shape[:-1])
        for s in range(self.people):
            mine = self.whose == s
            slope = own[:, mine]
            weighted = slope * weight[:, mine, None]
            precision[:, s] = np.eye(self.size) + slope.swapaxes(1, 2) @ weighted
            along[:, s] = np.einsum("fri,fr->fi", slope, pull[:, mine])
        return precision, along


@dataclass(frozen=True)
class HeavyTailed:
    """A Student's t about `mean` (S, N) with the Cholesky factor `scale` (S, N, N), to draw from and to weigh
    by; and with it a share of a wider one, for what lies far off."""

    mean: np.ndarray
    scale: np.ndarray

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draws (*shape, S, N)."""
        normal = rng.normal(size=(*shape, *self.mean.shape))
        wide = rng.random((*shape, len(self.mean), 1)) < SHARES[1]
        nu, factor = np.where(wide, NU[1], NU[0]), np.where(wide, WIDTHS[1], WIDTHS[0])
        longer = factor * np.sqrt(nu / rng.chisquare(nu))
        return self.mean + np.einsum("sij,...sj->...si", self.scale, normal) * longer

    def log_density(self, v: np.ndarray) -> np.ndarray:
        """Log density (..., S)."""
        n = v.shape[-1]
        z = np.linalg.solve(self.scale, (v - self.mean)[..., None])[..., 0]
        square = np.square(z).sum(-1)[..., None] / WIDTHS**2
        parts = np.log(SHARES) - n * np.log(WIDTHS) - 0.5 * (NU + n) * np.log1p(square / NU)
        parts += gammaln((NU + n) / 2) - gammaln(NU / 2) - 0.5 * n * np.log(NU * np.pi)
        return logsumexp(parts, axis=-1) - np.log(np.einsum("sii->si", self.scale)).sum(-1)
