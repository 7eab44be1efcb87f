"""The log density of a design and its gradient, compiled, in coordinates in which NUTS runs freely.

The target is that of `hierarchy.log_density`, which a test compares with this one, in the coordinates of
`coordinates`. Compiled by numba once for all models and studies in which nobody lacks a covariate, and once
for all others: it holds no physics, so nothing is compiled when a model or a study changes.
"""

from collections import namedtuple
from dataclasses import dataclass
from functools import cached_property

import numba
import numpy as np

from bayesglu.hierarchy.correlation import below_diagonal, matrices_of, partial_of
from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.values import Values
from bayesglu.inference.blocks import blocks_adjoint, kinds_of_adjoint
from bayesglu.inference.coordinates import (
    Coordinates,
    Priors,
    no_bars,
    noncentered,
    point_adjoint,
    point_at,
    points_at,
    positions_at,
    priors_of,
    whitened,
)
from bayesglu.inference.linearise import Expansion
from bayesglu.inference.predictions import (
    Predicting,
    parameters_adjoint,
    parameters_at,
    predict,
    predict_adjoint,
    predicting,
)
from bayesglu.inference.prior import log_prior
from bayesglu.inference.residuals import log_sample
from bayesglu.solver.adjoint import solve_adjoint
from bayesglu.solver.arrays import empty, zeros
from bayesglu.solver.compiled import compiled
from bayesglu.solver.held import Placed, value_of
from bayesglu.solver.integrate import FINE, OUTCOMES, solve
from bayesglu.solver.plan import CURVE_IN, curve_in
from bayesglu.solver.separate import Early, elsewhere


@compiled(inner=True)
def log_likelihood(rows, predicted, sigma, bar_sigma):
    """Log density of the rows, up to a constant, and the cotangents of the predictions; those of sigma are
    added to."""
    total, bar_predicted = 0.0, empty(len(predicted))
    for i in range(len(predicted)):
        a = rows.analyte[i]
        sd = sigma[a] if a >= 0 else rows.known_sigma[i]
        log_p, bar_predicted[i], bar_sd = log_sample(
            rows.residual[i], rows.nu[i], rows.censoring[i], rows.log_value[i], predicted[i], sd
        )
        total += log_p
        if a >= 0:
            bar_sigma[a] += bar_sd
    return total, bar_predicted


@compiled(inner=True)
def all_solved(outcome, natural, failed):
    """Whether all equations were solved. Those that were not are counted, unless the parameters themselves
    are too large to be numbers."""
    solved, total = True, 0.0
    for t in range(len(outcome)):
        solved &= outcome[t] == FINE
        for k in range(natural.shape[1]):
            total += natural[t, k]
    if not solved and np.isfinite(total):
        for t in range(len(outcome)):
            if outcome[t] != FINE:
                failed[t, outcome[t]] += 1
    return solved


Known = namedtuple("Known", ("priors", "coordinates", *Predicting._fields, "failed"))
"""What a log density needs besides the coordinates, and how many solves of each person and occasion have
`failed`, by outcome."""


@compiled()
def log_density(x, known):
    """Log density at the coordinates x, up to a constant, and its gradient; minus infinity where a solve
    failed. `known` : a placed `Known`."""
    priors, coordinates, layout, rows, forcing, kernels, plan, solving, failed = value_of(known)
    point = point_at(x, layout, coordinates)
    natural = parameters_at(point.shared, point.individual, point.missing, layout)
    predicted, outcome, tape = predict(
        natural, point.sigma, point.forcing_error, layout, rows, forcing, kernels, plan, solving
    )
    if not all_solved(outcome, natural, failed):
        return -np.inf, zeros(len(x))
    bars = no_bars(point)
    total, bar_predicted = log_likelihood(rows, predicted, point.sigma, bars.sigma)
    total += point.log_volume
    if not np.isfinite(total):
        return -np.inf, zeros(len(x))
    bar_natural, bar_sigma, bar_forcing = predict_adjoint(
        natural,
        point.sigma,
        point.forcing_error,
        layout,
        rows,
        forcing,
        kernels,
        plan,
        solving,
        outcome,
        tape,
        bar_predicted,
    )
    for i in range(len(bar_sigma)):
        bars.sigma[i] += bar_sigma[i]
    for i in range(len(bar_forcing)):
        bars.forcing_error[i] += bar_forcing[i]
    parameters_adjoint(
        natural, bar_natural, point.shared, point.missing, layout, bars.shared, bars.individual, bars.missing
    )
    total += log_prior(point, priors, layout, bars)
    return total, point_adjoint(x, point, bars, 1.0, layout, coordinates)


@dataclass(frozen=True, eq=False)
class Density:
    """The posterior of a design in the coordinates of an expansion, or in non-centered ones."""

    design: Design
    expansion: Expansion | None = None

    @cached_property
    def priors(self) -> Priors:
        return priors_of(self.design)

    @cached_property
    def coordinates(self) -> Coordinates:
        return whitened(self.design, self.expansion) if self.expansion else noncentered(self.design)

    @cached_property
    def size(self) -> int:
        """How many coordinates there are."""
        return self.forcing_errors.stop + self.design.individuals.missing.size

    @property
    def linear_model(self) -> Expansion:
        """The expansion that whitened coordinates are about."""
        if self.expansion is None:
            raise TypeError("Non-centered coordinates are about no expansion.")
        return self.expansion

    @property
    def sds(self) -> slice:
        """Which coordinates are those of omega and sigma."""
        p = self.priors
        first = len(p.shared_mean)
        return slice(first, first + len(p.omega_mean) + len(p.sigma_mean))

    @property
    def individuals(self) -> slice:
        """Which coordinates are those of individual parameters."""
        first = self.sds.stop + self.priors.partial_shapes.shape[1]
        return slice(first, first + self.coordinates.offset.size)

    @property
    def forcing_errors(self) -> slice:
        """Which coordinates are those of errors of the forcing."""
        first = self.individuals.stop
        return slice(first, first + self.design.forcing.n_errors)

    def pack(self, values: Values) -> np.ndarray:
        """Coordinates of draws ``(draw, x)`` that stand for these values ``(draw, ...)``: the inverse of
        `unpack`."""
        shared = np.concatenate([values.typical, values.effect], axis=1)
        partial = np.arctanh(partial_of(np.linalg.cholesky(matrices_of(values.correlation))))
        own = values.individual, values.forcing_error, values.missing
        arrays = shared, values.omega, values.sigma, partial, *own
        layout = self.design.individuals.layout
        return positions_at(*map(np.ascontiguousarray, arrays), layout, self.coordinates)

    @cached_property
    def known(self) -> Placed:
        """What `log_density` takes after x; `log_density` is compiled for it."""
        self.compile()
        return self.placed(self.no_failures())

    def compile(self) -> None:
        """Compile `log_density`, if it is not yet: it is the same for all designs of a kind."""
        told = self.coordinates.lean, self.design.individuals.layout.correlated
        curve = Early(curve_in, CURVE_IN)
        blocks = Early(blocks_adjoint, kinds_of_adjoint(*map(numba.typeof, told)))
        # In this order each is there before it is asked for; what the adjoint of the blocks shares with the
        # blocks this process has kept by then.
        with elsewhere(curve, solve_adjoint, blocks, solve):
            known = numba.typeof(self.placed(self.no_failures(), ready=False))
            log_density.compile((numba.typeof(np.zeros(0)), known))

    def placed(self, failed: np.ndarray, ready: bool = True) -> Placed:
        """What `log_density` takes after x, to count in `failed`.

        ready : whether the solver is to be compiled for it now; without, only its kind is of use.
        """
        return Placed(Known(self.priors, self.coordinates, *predicting(self.design, ready), failed))

    def no_failures(self) -> np.ndarray:
        """Counts of failed solves (occasion, outcome) before there are any."""
        return np.zeros((len(self.design.individuals.occasions), len(OUTCOMES)), np.int64)

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density, up to a constant, and gradient."""
        return log_density(x, self.known)

    def unpack(self, draws: np.ndarray) -> Values:
        """Values ``(draw, ...)`` at the coordinates of draws ``(draw, x)``."""
        layout = self.design.individuals.layout
        shared, omega, sigma, factor, individual, missing = points_at(
            np.ascontiguousarray(draws), layout, self.coordinates
        )
        return Values(
            typical=shared[:, : len(layout.columns)],
            effect=shared[:, len(layout.columns) :],
            omega=omega,
            sigma=sigma,
            correlation=below_diagonal(factor @ factor.swapaxes(1, 2)),
            individual=individual,
            forcing_error=draws[:, self.forcing_errors],
            missing=missing,
        )
