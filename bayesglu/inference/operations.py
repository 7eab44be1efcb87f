"""The pieces of the compiled log density as operations of PyTensor, which a PyMC model is made of.

Each is a function of tensors that can be differentiated, and what it is compiled of: a function, and the one
that pulls cotangents back.
"""

from collections import namedtuple
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt

from bayesglu.hierarchy.design import Design
from bayesglu.inference.coordinates import (
    Coordinates,
    no_bars,
    point_adjoint,
    point_at,
    position_at,
    priors_of,
)
from bayesglu.inference.predictions import (
    parameters_adjoint,
    parameters_at,
    predict,
    predict_adjoint,
    predicting,
)
from bayesglu.inference.prior import log_constant, log_prior
from bayesglu.inference.residuals import log_sample
from bayesglu.solver.arrays import empty, zeros
from bayesglu.solver.compiled import compiled
from bayesglu.solver.op import Operation, fingerprint
from bayesglu.solver.plan import Tape


class Assay(NamedTuple):
    """How samples of an analyte are measured: the kind and the shape of their residuals, as in
    `hierarchy.rows.Rows`, and the logarithm of their density at 0; the additive component of the error; and
    within which limits a sample's value is known (obs,)."""

    residual: int
    nu: float
    log_peak: float
    offset: float
    lower: np.ndarray
    upper: np.ndarray


class Everything(NamedTuple):
    """Tensors of all that is estimated: see `coordinates.Point`. `shared` stacks typical values and
    effects; `missing` is the vector of missing covariates."""

    shared: pt.TensorVariable
    omega: pt.TensorVariable
    sigma: pt.TensorVariable
    partial: pt.TensorVariable
    individual: pt.TensorVariable
    forcing_error: pt.TensorVariable
    missing: pt.TensorVariable


Prior = namedtuple("Prior", "priors layout coordinates constant")


def _numbers(*shape: int | None, dtype: str = "float64") -> pt.TensorType:
    return pt.TensorType(dtype, shape)


# --- what coordinates stand for, and how likely it is before any data ---


def everything_at(d: Design, c: Coordinates, x) -> Everything:
    """What the coordinates x stand for."""
    layout = d.individuals.layout
    sizes = len(c.shared), len(c.log_omega), len(c.log_sigma), len(c.partial_scale)
    kinds = [*map(_numbers, sizes), _numbers(*c.offset.shape)]
    kinds += [_numbers(d.forcing.n_errors), _numbers(d.individuals.missing.size)]
    operation = Operation(
        _point, lambda: (layout, c), fingerprint(layout, c), kinds, pull=_point_pull, seen=len(kinds)
    )
    return Everything(*operation(x))


@compiled()
def _point(known, x):
    layout, coordinates = known
    p = point_at(x, layout, coordinates)
    return p.shared, p.omega, p.sigma, p.partial, p.individual, p.forcing_error, p.missing


@compiled()
def _point_pull(
    known, x, shared, omega, sigma, partial, individual, forcing_error, missing,
    bar_shared, bar_omega, bar_sigma, bar_partial, bar_individual, bar_forcing, bar_missing,
):  # fmt: skip
    layout, coordinates = known
    point = point_at(x, layout, coordinates)
    bars = no_bars(point)
    bars.shared[:], bars.omega[:], bars.sigma[:] = bar_shared, bar_omega, bar_sigma
    bars.partial[:], bars.individual[:], bars.forcing_error[:] = bar_partial, bar_individual, bar_forcing
    bars.missing[:] = bar_missing
    return (point_adjoint(x, point, bars, 0.0, layout, coordinates),)


def log_prior_at(d: Design, c: Coordinates, x):
    """Log density of the coordinates x before any data."""
    priors, layout = priors_of(d), d.individuals.layout
    constant = log_constant(priors, c, d.individuals.missing.layout, d.forcing.n_errors)
    known = Prior(priors, layout, c, constant)
    kinds = [_numbers(1), _numbers(None)]
    operation = Operation(_prior, lambda: known, fingerprint(known), kinds, pull=_prior_pull, seen=1)
    return operation(x)[0][0]


@compiled()
def _prior(known, x):
    point = point_at(x, known.layout, known.coordinates)
    bars, value = no_bars(point), empty(1)
    value[0] = known.constant + point.log_volume + log_prior(point, known.priors, known.layout, bars)
    return value, point_adjoint(x, point, bars, 1.0, known.layout, known.coordinates)


@compiled()
def _prior_pull(known, x, value, gradient, bar_value):
    return (bar_value[0] * gradient,)


def position_of(d: Design, c: Coordinates, values: Everything):
    """The coordinates of what they stand for; without derivatives."""
    layout = d.individuals.layout
    operation = Operation(_position, lambda: (layout, c), fingerprint(layout, c), [_numbers(None)])
    return operation(*values)


@compiled()
def _position(known, shared, omega, sigma, partial, individual, forcing_error, missing):
    layout, c = known
    return (position_at(shared, omega, sigma, partial, individual, forcing_error, missing, layout, c),)


# --- from individual parameters to samples ---


def parameters(d: Design, shared, individual, missing):
    """Estimated parameters ``(occasion, parameter)`` on their natural scale."""
    layout = d.individuals.layout
    kinds = [_numbers(len(layout.subject), len(layout.columns))]
    operation = Operation(
        _parameters, lambda: layout, fingerprint(layout), kinds, pull=_parameters_pull, seen=1
    )
    return operation(shared, individual, missing)


@compiled()
def _parameters(layout, shared, individual, missing):
    return (parameters_at(shared, individual, missing, layout),)


@compiled()
def _parameters_pull(layout, shared, individual, missing, natural, bar_natural):
    bars = zeros(len(shared)), zeros(individual.shape), zeros(len(missing))
    parameters_adjoint(natural, bar_natural, shared, missing, layout, *bars)
    return bars


def predictions(d: Design, order, natural, sigma, forcing_error):
    """Predictions of the design's rows in an `order`, with the offsets of their analytes, from estimated
    parameters ``(occasion, parameter)``; NaN where a solve failed."""
    rows = d.rows.part(order)
    s = d.solver
    decides = s.compiled.key, s.rtol, s.atol, s.max_steps, s.plan, d.individuals.layout, rows, d.forcing
    tape = [_numbers(*[None] * n, dtype=kind) for kind, n in TAPE]
    kinds = [_numbers(len(order)), _numbers(len(d.individuals.occasions), dtype="int64"), *tape]
    operation = Operation(
        _predictions,
        lambda: predicting(d)._replace(rows=rows),
        fingerprint(decides),
        kinds,
        pull=_predictions_pull,
        seen=1,
    )
    return operation(natural, sigma, forcing_error)[0]


TAPE = (
    *(("int64", 1), ("float64", 4), ("float64", 4), ("float64", 2)),
    *(("int64", 2), ("float64", 3), ("float64", 2), ("float64", 2)),
)
"""Kinds and dimensions of the arrays of a `Tape`."""


@compiled()
def _predictions(known, natural, sigma, forcing_error):
    predicted, outcome, t = predict(
        natural, sigma, forcing_error, known.layout, known.rows, known.forcing, known.kernels, known.plan,
        known.solving,
    )  # fmt: skip
    tape = t.first, t.stages, t.inputs, t.h, t.stop, t.coefficients, t.states, t.sample_inputs
    return predicted, outcome, *tape


@compiled()
def _predictions_pull(
    known, natural, sigma, forcing_error, predicted, outcome,
    first, stages, inputs, h, stop, coefficients, states, sample_inputs, bar_predicted,
):  # fmt: skip
    tape = Tape(first, stages, inputs, h, stop, coefficients, states, sample_inputs)
    return predict_adjoint(
        natural, sigma, forcing_error, known.layout, known.rows, known.forcing, known.kernels, known.plan,
        known.solving, outcome, tape, bar_predicted,
    )  # fmt: skip


def log_density_of_samples(assay: Assay, value, predicted, sigma):
    """Log density of each value ``(obs,)``, or the log probability of lying beyond the limit that it does not
    keep; minus infinity where nothing is predicted."""
    kinds = [_numbers(len(assay.lower))]
    operation = Operation(_samples, lambda: assay, fingerprint(assay), kinds, pull=_samples_pull, seen=1)
    return operation(value, predicted, pt.atleast_1d(sigma))


@compiled(inner=True)
def _sample(assay, i, value, predicted, sigma):
    """Log density of a value, and its derivatives by value, prediction and SD."""
    censoring, known = 0, value
    if value <= assay.lower[i]:
        censoring, known = -1, assay.lower[i]
    elif value >= assay.upper[i]:
        censoring, known = 1, assay.upper[i]
    shown = known + assay.offset
    if not (np.isfinite(predicted) and shown > 0.0):
        return -np.inf, 0.0, 0.0, 0.0
    log_p, by_prediction, by_sigma = log_sample(
        assay.residual, assay.nu, censoring, np.log(shown), predicted, sigma
    )
    by_value = 0.0
    if censoring == 0:
        log_p += assay.log_peak - np.log(shown)
        by_value = -(by_prediction * predicted + 1.0) / shown
    return log_p, by_value, by_prediction, by_sigma


@compiled()
def _samples(assay, value, predicted, sigma):
    log_p = empty(len(value))
    for i in range(len(value)):
        log_p[i] = _sample(assay, i, value[i], predicted[i], sigma[0])[0]
    return (log_p,)


@compiled()
def _samples_pull(assay, value, predicted, sigma, log_p, bar_log_p):
    bar_value, bar_predicted, bar_sigma = empty(len(value)), empty(len(value)), zeros(1)
    for i in range(len(value)):
        _, by_value, by_prediction, by_sigma = _sample(assay, i, value[i], predicted[i], sigma[0])
        bar_value[i], bar_predicted[i] = bar_log_p[i] * by_value, bar_log_p[i] * by_prediction
        bar_sigma[0] += bar_log_p[i] * by_sigma
    return bar_value, bar_predicted, bar_sigma
