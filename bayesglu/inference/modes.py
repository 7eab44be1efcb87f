"""Posterior modes in seconds: Gauss-Newton for people, generalised least squares for the population.

The model is linearised at each person's present mode (first-order conditional estimation; Lindstrom and Bates
1990, Biometrics 46:673). Given the linear model, everyone's deviations and the population's typical values
are Normal, so each round is exact linear algebra; between-subject SDs and assay errors follow by
expectation-maximisation with their priors. What remains at the end, a Gaussian for each person and one for
the population, is the first look (`method="map"`), the starting point of the sampler, and the coordinates in
which it runs.
"""

from dataclasses import dataclass

import numpy as np

from bayesglu.inference.design import TINY, Design
from bayesglu.solver.integrate import FINE
from bayesglu.solver.solver import SolverError, require_solved

STEP = 1e-3  # of the central differences, on the scale of log parameters


@dataclass(frozen=True)
class Expansion:
    """The linearised model, at the modes or about draws of the posterior (`refresh`).

    ``shared`` stacks the typical values (K) and the covariate effects (E), with posterior mean and Cholesky
    factor of the covariance given `between` and `error`. Given shared values s, the data tell of a block that
    its precision is
    ``information`` (S, D, D) and its linear term ``pull - cross @ s`` (S, D). Deviations from what this says
    have the mean ``drift`` (S, D) and the Cholesky factor ``stretch`` (S, D, D): 0 and 1 at the modes.
    """

    shared: np.ndarray
    shared_factor: np.ndarray
    between: np.ndarray
    error: np.ndarray
    block: np.ndarray
    information: np.ndarray
    pull: np.ndarray
    cross: np.ndarray
    drift: np.ndarray
    stretch: np.ndarray
    rounds: int
    converged: bool


def expand(design: Design, max_rounds: int = 60, tolerance: float = 1e-3) -> Expansion:
    """Find the modes. Raises SolverError when the typical person's equations cannot be solved."""
    state = _Rounds(design)
    rounds, change = 0, np.inf
    while change >= tolerance and rounds < max_rounds:
        change, rounds = state.advance(), rounds + 1
    return state.result(rounds, change < tolerance)


def average_linear_model(
    design: Design, typical: np.ndarray, effect: np.ndarray, error: np.ndarray, block: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Information (S, D, D), pull (S, D) and cross (S, D, K + E), averaged over draws (draw, ...)."""
    state, found = _Rounds(design), []
    for state.typical, state.effect, state.error, state.block in zip(
        typical, effect, error, block, strict=True
    ):
        state.fitted, _ = state.predict(state.typical, state.effect, state.block)
        found.append(state.linearise()[2:5])
    information, pull, cross = (np.mean(parts, axis=0) for parts in zip(*found, strict=True))
    return information, pull, cross


class _Rounds:
    """The iteration's state: present values, and the linear model at them."""

    def __init__(self, design: Design):
        d = self.d = design
        self.typical = d.location.copy()
        self.effect = d.effect_prior[0].copy()
        self.between = np.exp(d.between_prior[0])
        self.error = np.exp(d.error_prior[0])
        self.block = d.centre(self.typical, self.effect)
        self.n_k, self.n_e = len(self.typical), len(self.effect)
        shared_only = np.setdiff1d(np.arange(self.n_k), d.varying_index)
        acting = [e for e, (k, _) in enumerate(d.effects) if k in set(shared_only)]
        self.direct = np.array([*shared_only, *(self.n_k + e for e in acting)], int)
        self.subject_of_row = d.subject_of_test[d.rows.test]
        # Each block slot's expected value is linear in the shared values: (S, D, K + E).
        slots = np.zeros((*self.block.shape, self.n_k + self.n_e))
        slots[:, np.arange(len(d.block_parameter)), d.block_parameter] = 1.0
        slots[..., self.n_k :] = d.block_scores
        self.expected = slots
        fitted, outcome = self.predict(self.typical, self.effect, self.block)
        require_solved(outcome, [f"subject {d.study.tests[t][0]}" for t in range(len(outcome))])
        self.fitted = fitted
        self.pace, self.last_way = 1.0, None

    def predict(self, typical, effect, block):
        value, outcome = self.d.solve(self.d.theta(typical, effect, block))
        with np.errstate(invalid="ignore"):
            return np.log(np.maximum(value, TINY)), outcome

    def residual(self, fitted):
        """Log residuals; a censored sample counts only where the model contradicts it."""
        r = self.d.rows.log_value - fitted
        c = self.d.rows.censoring
        return np.where((c < 0) & (r > 0) | (c > 0) & (r < 0), 0.0, r)

    def row_error(self, error):
        a = self.d.rows.analyte
        return np.where(a >= 0, error[np.maximum(a, 0)], self.d.rows.known_error)

    def robustness(self, residual):
        """Weights of the rows: 1 for Normal residuals, less for the outliers of Student's t."""
        tails = self.d.rows.tails
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = (tails + 1) / (tails + (residual / self.row_error(self.error)) ** 2)
        return np.where(tails > 0, weight, 1.0)

    def cost(self, residual, block, typical, effect):
        """Twice the negative log density of each subject, but for constants."""
        misfit = np.bincount(
            self.subject_of_row, (residual / self.row_error(self.error)) ** 2, minlength=len(block)
        )
        away = (block - self.d.centre(typical, effect)) / self.between[self.d.block_varying]
        return misfit + (away**2).sum(-1)

    def jacobian(self):
        """Derivatives of the log predictions: (row, D) in the row's own block, (row, K + E) in the shared
        values."""
        n_rows, n_slots = len(self.fitted), self.block.shape[1]
        own = np.zeros((n_rows, n_slots))
        shared = np.zeros((n_rows, self.n_k + self.n_e))

        def difference(change):
            sides = []
            for sign in (1, -1):
                typical, effect, block = self.typical.copy(), self.effect.copy(), self.block.copy()
                change(typical, effect, block, sign * STEP)
                sides.append(self.predict(typical, effect, block)[0])
            slope = (sides[0] - sides[1]) / (2 * STEP)
            return np.where(np.isfinite(slope), slope, 0.0)

        for slot in range(n_slots):
            own[:, slot] = difference(
                lambda t, e, b, h, slot=slot: b.__setitem__((slice(None), slot), b[:, slot] + h)
            )
        for j in self.direct:
            if j < self.n_k:
                shared[:, j] = difference(lambda t, e, b, h, j=j: t.__setitem__(j, t[j] + h))
            else:
                shared[:, j] = difference(lambda t, e, b, h, j=j - self.n_k: e.__setitem__(j, e[j] + h))
        return own, shared

    def linearise(self):
        """Per subject: information (S, D, D), pull (S, D), cross (S, D, K + E); and the same for the
        shared values."""
        own, direct = self.jacobian()
        weight = 1 / self.row_error(self.error) ** 2
        shared = np.concatenate([self.typical, self.effect])
        residual = self.residual(self.fitted)
        contradicted = (self.d.rows.censoring == 0) | (residual != 0)
        weight = weight * contradicted * self.robustness(residual)
        target = residual + (own * self.block[self.subject_of_row]).sum(-1) + direct @ shared
        n_s, n_d = self.block.shape
        information = np.zeros((n_s, n_d, n_d))
        pull, cross = np.zeros((n_s, n_d)), np.zeros((n_s, n_d, len(shared)))
        np.add.at(information, self.subject_of_row, weight[:, None, None] * own[:, :, None] * own[:, None, :])
        np.add.at(pull, self.subject_of_row, (weight * target)[:, None] * own)
        np.add.at(cross, self.subject_of_row, weight[:, None, None] * own[:, :, None] * direct[:, None, :])
        plain = (direct * weight[:, None]).T @ direct, (direct * weight[:, None]).T @ target
        return own, direct, information, pull, cross, plain

    def advance(self) -> float:
        """One round; returns the largest change, in posterior SDs."""
        d = self.d
        own, direct, information, pull, cross, (plain_information, plain_pull) = self.linearise()
        precision = 1 / self.between[d.block_varying] ** 2
        q = information + np.diag(precision)
        q_inverse = np.linalg.inv(q)
        # Blocks integrated out: block | s ~ N(q^-1 (pull - cross s + precision * expected s), q^-1).
        lean = precision[:, None] * self.expected - cross  # (S, D, K + E)
        prior_precision = np.concatenate([d.spread, d.effect_prior[1]]) ** -2.0
        prior_mean = np.concatenate([d.location, d.effect_prior[0]])
        a = np.diag(prior_precision) + plain_information
        a = a + np.einsum("sdi,d,sdj->ij", self.expected, precision, self.expected)
        a = a - np.einsum("sdi,sde,sej->ij", lean, q_inverse, lean)
        b = prior_precision * prior_mean + plain_pull + np.einsum("sdi,sde,se->i", lean, q_inverse, pull)
        covariance = np.linalg.inv(a)
        shared = covariance @ b
        block = np.einsum("sde,se->sd", q_inverse, pull + lean @ shared)

        old_shared = np.concatenate([self.typical, self.effect])
        change = max(
            np.abs((shared - old_shared) / np.sqrt(np.diag(covariance))).max(initial=0.0),
            np.abs((block - self.block) / np.sqrt(np.einsum("sdd->sd", q_inverse))).max(initial=0.0),
        )
        way = np.concatenate([shared - old_shared, (block - self.block).ravel()])
        if self.last_way is not None:  # two rounds that undo each other overshoot: go slower
            self.pace = max(self.pace / 2, 0.1) if way @ self.last_way < 0 else min(self.pace * 1.3, 1.0)
        self.last_way = way
        self._move(
            old_shared + self.pace * (shared - old_shared), self.block + self.pace * (block - self.block)
        )
        self.linear = information, pull, cross, covariance
        change = max(change, self._update_spreads(own, direct, q_inverse, lean, covariance))
        return change

    def _move(self, shared, block):
        """Go to the proposal; each subject only as far as its own density does not get worse."""
        typical, effect = shared[: self.n_k], shared[self.n_k :]
        typical = self.typical + np.clip(typical - self.typical, -1.0, 1.0)
        before = self.cost(self.residual(self.fitted), self.block, typical, effect)
        direction, share = np.clip(block - self.block, -2.0, 2.0), np.ones(len(block))
        for _ in range(8):
            trial = self.block + share[:, None] * direction
            fitted, outcome = self.predict(typical, effect, trial)
            after = self.cost(self.residual(fitted), trial, typical, effect)
            solved = np.ones(len(trial), bool)
            np.logical_and.at(solved, self.d.subject_of_test, outcome == FINE)
            worse = ~(solved & np.isfinite(after) & (after <= before + 1e-6 * np.abs(before) + 1.0))
            if not worse.any():
                break
            share = np.where(worse, share / 3, share)
        else:
            trial = np.where(worse[:, None], self.block, trial)
            fitted, outcome = self.predict(typical, effect, trial)
        if (outcome != FINE).any():
            raise SolverError("The equations could not be solved near the modes of some subjects.")
        self.typical, self.effect, self.block, self.fitted = typical, effect, trial, fitted

    def _update_spreads(self, own, direct, q_inverse, lean, covariance) -> float:
        """Between-subject SDs and assay errors by expectation-maximisation with their priors."""
        d = self.d
        mean_log, sd_log = d.between_prior
        # Uncertainty of a block includes that of the shared values it leans on.
        lever = np.einsum("sde,sej->sdj", q_inverse, lean)
        away = self.block - d.centre(self.typical, self.effect)
        spread = lever - self.expected
        variance = np.einsum("sdd->sd", q_inverse) + np.einsum("sdi,ij,sdj->sd", spread, covariance, spread)
        total = np.bincount(d.block_varying, (away**2 + variance).sum(0), minlength=len(mean_log))
        counted = np.bincount(d.block_varying, np.full(away.shape[1], len(away)), minlength=len(mean_log))
        between = _mode_of_sd(total, counted, mean_log, sd_log)
        is_sample = d.rows.analyte >= 0
        residual = self.residual(self.fitted)
        joint = np.einsum("rd,rdj->rj", own, lever[self.subject_of_row]) + direct
        doubt = np.einsum("rd,rde,re->r", own, q_inverse[self.subject_of_row], own)
        doubt = doubt + np.einsum("ri,ij,rj->r", joint, covariance, joint)
        a = d.rows.analyte[is_sample]
        n_a = len(d.analytes)
        squares = np.bincount(a, (self.robustness(residual) * residual**2 + doubt)[is_sample], minlength=n_a)
        error = _mode_of_sd(squares, np.bincount(a, minlength=n_a), *d.error_prior)
        change = max(
            np.abs(np.log(between / self.between)).max(initial=0.0) * np.sqrt(2 * len(away)) / 10,
            np.abs(np.log(error / self.error)).max(initial=0.0),
        )
        self.between, self.error = between, error
        return change

    def result(self, rounds: int, converged: bool) -> Expansion:
        _, _, information, pull, cross, _ = self.linearise()
        covariance = self.linear[3]
        return Expansion(
            np.concatenate([self.typical, self.effect]),
            np.linalg.cholesky(covariance),
            self.between,
            self.error,
            self.block,
            information,
            pull,
            cross,
            np.zeros_like(pull),
            np.tile(np.eye(pull.shape[1]), (len(pull), 1, 1)),
            rounds,
            converged,
        )


def _mode_of_sd(squares, counted, mean_log, sd_log):
    """Mode of an SD's logarithm given a sum of squares, under a log-normal prior: Newton on a concave
    function."""
    x = mean_log.copy()
    for _ in range(30):
        pressure = squares * np.exp(-2 * x)
        slope = -counted + pressure - (x - mean_log) / sd_log**2
        curve = 2 * pressure + 1 / sd_log**2
        x = x + np.clip(slope / curve, -1.0, 1.0)
    return np.exp(x)
