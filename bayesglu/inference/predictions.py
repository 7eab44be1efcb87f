"""What the rows of a design are expected to be, from everyone's parameters; compiled."""

from collections import namedtuple

import numpy as np

from bayesglu.hierarchy.design import Design
from bayesglu.inference.missing import add_to_parameters, add_to_parameters_adjoint
from bayesglu.solver.adjoint import solve_adjoint
from bayesglu.solver.arrays import empty, flags, zeros
from bayesglu.solver.compiled import compiled
from bayesglu.solver.integrate import solve
from bayesglu.solver.plan import forced

solve_at, solve_adjoint_at = solve.call, solve_adjoint.call

Predicting = namedtuple("Predicting", "layout rows forcing kernels plan solving")
"""What predictions need besides parameters."""

Solving = namedtuple("Solving", "tolerance max_steps outputs physiology solve solve_adjoint")
"""How the equations are solved: how many `outputs` they show, how many columns of theta are their
`physiology`, and where the solver is (see `Separate`)."""


def predicting(d: Design, ready: bool = True) -> Predicting:
    """What predictions of a design need in this process.

    ready : whether the solver is to be compiled for it now; without, only the kinds of its fields are of use.
    """
    s = d.solver
    solving = Solving(
        tolerance=s.tolerance,
        max_steps=s.max_steps,
        outputs=len(s.system.outputs),
        physiology=len(s.system.parameters),
        solve=solve.address if ready else 0,
        solve_adjoint=solve_adjoint.address if ready else 0,
    )
    return Predicting(d.individuals.layout, d.rows, d.forcing, s.kernels, s.plan, solving)


@compiled(inner=True)
def parameters_at(shared, individual, missing, layout):
    """Estimated parameters on their natural scale (occasion, K)."""
    n_k, n_e = len(layout.columns), len(layout.effect_parameter)
    natural, phi = empty((len(layout.subject), n_k)), empty(n_k)
    for t in range(len(natural)):
        for k in range(n_k):
            phi[k] = shared[k]
        add_to_parameters(missing, t, shared, layout, layout.missing, phi)
        for v in range(len(layout.varying)):
            read = individual[layout.subject[t], layout.component[t, v]]
            phi[layout.varying[v]] = phi[layout.varying[v]] + read if layout.nested[v] else read
        for e in range(n_e):
            phi[layout.effect_parameter[e]] += layout.covariates[t, e] * shared[n_k + e]
        for k in range(n_k):
            natural[t, k] = 1.0 / (1.0 + np.exp(-phi[k])) if layout.is_logit[k] else np.exp(phi[k])
    return natural


@compiled(inner=True)
def parameters_adjoint(
    natural, bar_natural, shared, missing, layout, bar_shared, bar_individual, bar_missing
):
    """From the cotangents of estimated parameters to those of shared values, of individual parameters and of
    missing covariates, which are added to."""
    n_k, n_e = len(layout.columns), len(layout.effect_parameter)
    is_varying, bar_phi = flags(n_k), empty(n_k)
    for v in range(len(layout.varying)):
        is_varying[layout.varying[v]] = True
    for t in range(len(layout.subject)):
        for k in range(n_k):
            value = natural[t, k]
            slope = value * (1.0 - value) if layout.is_logit[k] else value
            bar_phi[k] = slope * bar_natural[t, k]
        for v in range(len(layout.varying)):
            bar_individual[layout.subject[t], layout.component[t, v]] += bar_phi[layout.varying[v]]
        for k in range(n_k):
            if not is_varying[k]:
                bar_shared[k] += bar_phi[k]
        for e in range(n_e):
            bar_shared[n_k + e] += layout.covariates[t, e] * bar_phi[layout.effect_parameter[e]]
        add_to_parameters_adjoint(
            missing, t, shared, layout, layout.missing, is_varying, bar_phi, bar_shared, bar_missing
        )


@compiled(inner=True)
def true_curve(theta, sigma, forcing_error, forcing):
    """True concentrations at the samples of the forcing function (forcing_obs,), and at the stops (stop,)."""
    d = forcing
    true, at_stop = empty(len(d.error)), empty(len(d.before))
    for j in range(len(true)):
        if d.error[j] < 0:
            true[j] = theta[d.occasion[j], d.basal]
        else:
            true[j] = np.exp(d.log_value[j] + sigma[d.analyte] * forcing_error[d.error[j]]) - d.offset
    for s in range(len(at_stop)):
        at_stop[s] = (1.0 - d.weight[s]) * true[d.before[s]] + d.weight[s] * true[d.after[s]]
    return true, at_stop


@compiled(inner=True)
def true_curve_adjoint(sigma, forcing_error, true, bar_stop, forcing, bar_theta, bar_sigma):
    """Cotangents of errors of the forcing from those of the concentrations at the stops; those of theta and
    of sigma are added to."""
    d = forcing
    bar_true, bar_forcing = zeros(len(true)), zeros(len(forcing_error))
    for s in range(len(bar_stop)):
        bar_true[d.before[s]] += (1.0 - d.weight[s]) * bar_stop[s]
        bar_true[d.after[s]] += d.weight[s] * bar_stop[s]
    for j in range(len(true)):
        if d.error[j] < 0:
            bar_theta[d.occasion[j], d.basal] += bar_true[j]
        else:
            bar_log = bar_true[j] * (true[j] + d.offset)
            bar_sigma[d.analyte] += bar_log * forcing_error[d.error[j]]
            bar_forcing[d.error[j]] += bar_log * sigma[d.analyte]
    return bar_forcing


@compiled(inner=True)
def _all_parameters(natural, layout):
    """All columns of theta, with those that are not estimated."""
    theta = empty((len(natural), len(layout.fixed)))
    for t in range(len(natural)):
        for i in range(len(layout.fixed)):
            theta[t, i] = layout.fixed[i]
        for k in range(len(layout.columns)):
            theta[t, layout.columns[k]] = natural[t, k]
    return theta


@compiled(inner=True)
def _of_physiology(theta, n):
    """The first n columns."""
    found = empty((len(theta), n))
    for t in range(len(theta)):
        for i in range(n):
            found[t, i] = theta[t, i]
    return found


@compiled(inner=True)
def predict(natural, sigma, forcing_error, layout, rows, forcing, kernels, plan, solving):
    """Predictions of the rows, with their analytes' offsets and NaN where a solve failed; outcome
    codes; and the tape of the solver.

    natural : estimated parameters (occasion, K). The rest : see `Predicting`.
    """
    theta = _all_parameters(natural, layout)
    _, level = true_curve(theta, sigma, forcing_error, forcing)
    forced_plan = forced(plan, level, kernels.level)
    physiology = _of_physiology(theta, solving.physiology)
    limits = solving.tolerance, solving.max_steps, solving.outputs
    out, outcome, tape = solve_at(solving.solve, (kernels, physiology, forced_plan, *limits, True))
    predicted = empty(len(rows.sample))
    for i in range(len(predicted)):
        predicted[i] = rows.by_output[i] * out[rows.sample[i], rows.output[i]]
        predicted[i] += rows.by_parameter[i] * theta[rows.occasion[i], rows.parameter[i]] + rows.offset[i]
    return predicted, outcome, tape


@compiled(inner=True)
def predict_adjoint(
    natural, sigma, forcing_error, layout, rows, forcing, kernels, plan, solving, outcome, tape, bar_predicted
):
    """Cotangents of estimated parameters, sigma and errors of the forcing, from those of the predictions."""
    theta = _all_parameters(natural, layout)
    physiology = _of_physiology(theta, solving.physiology)
    bar_out, bar_theta = zeros((len(plan.sample_person), solving.outputs)), zeros(theta.shape)
    for i in range(len(bar_predicted)):
        bar_out[rows.sample[i], rows.output[i]] += rows.by_output[i] * bar_predicted[i]
        bar_theta[rows.occasion[i], rows.parameter[i]] += rows.by_parameter[i] * bar_predicted[i]
    bar_physiology, bar_level = solve_adjoint_at(
        solving.solve_adjoint, (kernels, physiology, plan, tape, outcome, bar_out)
    )
    bar_sigma, bar_forcing = zeros(len(sigma)), zeros(len(forcing_error))
    if len(forcing.before):
        true, _ = true_curve(theta, sigma, forcing_error, forcing)
        bar_forcing = true_curve_adjoint(sigma, forcing_error, true, bar_level, forcing, bar_theta, bar_sigma)
    bar_natural = empty(natural.shape)
    for t in range(len(natural)):
        for i in range(solving.physiology):
            bar_theta[t, i] += bar_physiology[t, i]
        for k in range(len(layout.columns)):
            bar_natural[t, k] = bar_theta[t, layout.columns[k]]
    return bar_natural, bar_sigma, bar_forcing
