"""The compiled form of `hierarchy.missing`, in coordinates in which means and missing numbers are standard
Normals before data, and the others are in units of their own uncertainty.

Where nobody lacks anything the layout is None, and numba leaves out what stands after the question whether it
is: two kinds of log density are compiled instead of one, and the usual one sooner.
"""

import numpy as np
from scipy.special import betaln, gammaln

from bayesglu.hierarchy.missing import MissingLayout
from bayesglu.solver.arrays import empty, zeros
from bayesglu.solver.compiled import compiled


@compiled(inner=True)
def missing_size(m):
    """How many numbers the vector has."""
    if m is None:
        return 0
    return 2 * len(m.mean) + len(m.subject) + len(m.shares)


@compiled(inner=True)
def missing_at(x, first, m):
    """The vector that the coordinates x from the `first` on stand for, and its log volume per volume of
    these."""
    if m is None:
        return empty(0), 0.0
    n, found, log_volume = len(m.mean), empty(missing_size(m)), 0.0
    for c in range(n):
        log_sd = 0.5 * np.log(m.rate[c] / m.shape[c]) + x[first + n + c] / (2.0 * np.sqrt(m.shape[c]))
        found[c] = m.mean[c] + np.exp(log_sd) / np.sqrt(m.count[c]) * x[first + c]
        found[n + c] = log_sd
        log_volume += log_sd
    for g in range(len(m.subject)):
        c = m.number[g]
        found[2 * n + g] = found[c] + np.exp(found[n + c]) * x[first + 2 * n + g]
        log_volume += found[n + c]
    at = 2 * n + len(m.subject)
    for i in range(len(m.shares)):
        a, b = m.shares[i, 0], m.shares[i, 1]
        found[at + i] = np.log(a / b) + np.sqrt((a + b) / (a * b)) * x[first + at + i]
    return found, log_volume


@compiled(inner=True)
def missing_adjoint(x, first, vector, bar_vector, bar_volume, m, bar_x):
    """Cotangents of the coordinates from those of the vector, which change, and of its log volume."""
    if m is None:
        return
    n = len(m.mean)
    for g in range(len(m.subject)):
        c = m.number[g]
        bar, sd = bar_vector[2 * n + g], np.exp(vector[n + c])
        bar_x[first + 2 * n + g] = sd * bar
        bar_vector[c] += bar
        bar_vector[n + c] += sd * x[first + 2 * n + g] * bar + bar_volume
    for c in range(n):
        bar_x[first + c] = np.exp(vector[n + c]) / np.sqrt(m.count[c]) * bar_vector[c]
        bar_vector[n + c] += (vector[c] - m.mean[c]) * bar_vector[c] + bar_volume
        bar_x[first + n + c] = bar_vector[n + c] / (2.0 * np.sqrt(m.shape[c]))
    at = 2 * n + len(m.subject)
    for i in range(len(m.shares)):
        a, b = m.shares[i, 0], m.shares[i, 1]
        bar_x[first + at + i] = np.sqrt((a + b) / (a * b)) * bar_vector[at + i]


@compiled(inner=True)
def missing_position(vector, m, x):
    """Fill in the coordinates x (size,) of a vector: the inverse of `missing_at`."""
    if m is None:
        return
    n = len(m.mean)
    for c in range(n):
        log_sd = vector[n + c]
        x[c] = (vector[c] - m.mean[c]) * np.sqrt(m.count[c]) * np.exp(-log_sd)
        x[n + c] = (log_sd - 0.5 * np.log(m.rate[c] / m.shape[c])) * 2.0 * np.sqrt(m.shape[c])
    for g in range(len(m.subject)):
        c = m.number[g]
        x[2 * n + g] = (vector[2 * n + g] - vector[c]) * np.exp(-vector[n + c])
    at = 2 * n + len(m.subject)
    for i in range(len(m.shares)):
        a, b = m.shares[i, 0], m.shares[i, 1]
        x[at + i] = (vector[at + i] - np.log(a / b)) / np.sqrt((a + b) / (a * b))


@compiled(inner=True)
def standardized(vector, g, e, m):
    """The standardized covariate of an effect that the g-th missing number makes, and its derivative by that
    number; of other covariates 0."""
    if m.effect_number[e] != m.number[g]:
        return 0.0, 0.0
    number, slope = vector[2 * len(m.mean) + g], 1.0
    if m.effect_is_power[e]:
        number = slope = np.exp(number)
    return (number - m.effect_origin[e]) / m.effect_unit[e], slope / m.effect_unit[e]


@compiled(inner=True)
def add_to_parameters(vector, t, shared, layout, m, phi):
    """Add what missing numbers make of the parameters of an occasion t, on their scale."""
    if m is None:
        return
    n_k = len(layout.columns)
    for g in range(len(m.subject)):
        if m.subject[g] == layout.subject[t]:
            for e in range(len(layout.effect_parameter)):
                covariate, _ = standardized(vector, g, e, m)
                phi[layout.effect_parameter[e]] += covariate * shared[n_k + e]


@compiled(inner=True)
def add_to_parameters_adjoint(vector, t, shared, layout, m, is_varying, bar_phi, bar_shared, bar_vector):
    """Add to the cotangents of shared values and of the vector what those of the parameters make of them,
    but of those that vary: there, missing numbers act on where individual ones are expected."""
    if m is None:
        return
    n_k = len(layout.columns)
    for g in range(len(m.subject)):
        for e in range(len(layout.effect_parameter)):
            of_whom = m.subject[g] == layout.subject[t]
            if of_whom and not is_varying[layout.effect_parameter[e]]:
                covariate, slope = standardized(vector, g, e, m)
                bar = bar_phi[layout.effect_parameter[e]]
                bar_shared[n_k + e] += covariate * bar
                bar_vector[2 * len(m.mean) + g] += shared[n_k + e] * slope * bar


@compiled(inner=True)
def add_to_centre(vector, shared, layout, m, centre):
    """Add what missing numbers make of where individual parameters (subject, component) are expected."""
    if m is None:
        return
    n_k = len(shared) - len(layout.effect_parameter)
    for g in range(len(m.subject)):
        for e in range(len(layout.effect_parameter)):
            covariate, _ = standardized(vector, g, e, m)
            for d in range(centre.shape[1]):
                if layout.acts[d, e]:
                    centre[m.subject[g], d] += covariate * shared[n_k + e]


@compiled(inner=True)
def add_to_centre_adjoint(vector, shared, layout, m, bar_centre, bar_shared, bar_vector):
    """Add to the cotangents of shared values and of the vector what those of the centres make of them."""
    if m is None:
        return
    n_k = len(shared) - len(layout.effect_parameter)
    for g in range(len(m.subject)):
        for e in range(len(layout.effect_parameter)):
            covariate, slope = standardized(vector, g, e, m)
            for d in range(bar_centre.shape[1]):
                if layout.acts[d, e]:
                    bar = bar_centre[m.subject[g], d]
                    bar_shared[n_k + e] += bar * covariate
                    bar_vector[2 * len(m.mean) + g] += bar * shared[n_k + e] * slope


@compiled(inner=True)
def log_missing(vector, m, bar_vector):
    """Log density of the vector before data, up to a constant; its cotangents are added to."""
    if m is None:
        return 0.0
    n, total = len(m.mean), 0.0
    for c in range(n):
        precision = np.exp(-2.0 * vector[n + c])
        away = vector[c] - m.mean[c]
        total -= (2.0 * m.shape[c] + 1.0) * vector[n + c]
        total -= (m.rate[c] + 0.5 * m.count[c] * away * away) * precision
        bar_vector[c] -= m.count[c] * away * precision
        bar_vector[n + c] -= 2.0 * m.shape[c] + 1.0
        bar_vector[n + c] += (2.0 * m.rate[c] + m.count[c] * away * away) * precision
    for g in range(len(m.subject)):
        c = m.number[g]
        away = (vector[2 * n + g] - vector[c]) * np.exp(-vector[n + c])
        slope = away * np.exp(-vector[n + c])
        total -= 0.5 * away * away + vector[n + c]
        bar_vector[2 * n + g] -= slope
        bar_vector[c] += slope
        bar_vector[n + c] += away * away - 1.0
    at = 2 * n + len(m.subject)
    for i in range(len(m.shares)):
        a, b = m.shares[i, 0], m.shares[i, 1]
        share, left = _log_share(vector[at + i])
        total += a * share + b * left
        bar_vector[at + i] += a * np.exp(left) - b * np.exp(share)
    return total


@compiled(inner=True)
def _log_share(log_odds):
    """Logarithms of a share and of what it leaves."""
    if log_odds > 0.0:
        share = -np.log1p(np.exp(-log_odds))
        return share, share - log_odds
    left = -np.log1p(np.exp(log_odds))
    return left + log_odds, left


@compiled(inner=True)
def _log_shares(vector, m):
    """Logarithms of the shares of all levels."""
    at, covariates = 2 * len(m.mean) + len(m.subject), len(m.first_share) - 1
    found = empty(len(m.shares) + covariates)
    for h in range(covariates):
        left = 0.0
        for i in range(m.first_share[h], m.first_share[h + 1]):
            share, rest = _log_share(vector[at + i])
            found[h + i] = left + share
            left += rest
        found[h + m.first_share[h + 1]] = left
    return found


@compiled(inner=True)
def _log_shares_adjoint(vector, bar_shares, m, bar_vector):
    """Add to the cotangents of the vector what those of the logarithms of shares make of them."""
    at = 2 * len(m.mean) + len(m.subject)
    for h in range(len(m.first_share) - 1):
        bar_left = bar_shares[h + m.first_share[h + 1]]
        for i in range(m.first_share[h + 1] - 1, m.first_share[h] - 1, -1):
            share, rest = _log_share(vector[at + i])
            bar_vector[at + i] += bar_shares[h + i] * np.exp(rest) - bar_left * np.exp(share)
            bar_left += bar_shares[h + i]


@compiled(inner=True)
def log_levels(point, layout, m, bars):
    """What own parameters of people who lack a level have in log density beyond that of deviations from where
    they are expected: the logarithm of the sum over all levels. Cotangents of the point are added to."""
    if m is None:
        return 0.0
    total, n = 0.0, point.standardized.shape[1]
    if len(m.mixed) == 0:
        return total
    n_k, together = len(point.shared) - len(layout.effect_parameter), layout.correlated
    shares = _log_shares(point.missing, m)
    bar_shares, bar_away = zeros(len(shares)), empty(n)
    for j in range(len(m.mixed)):
        s, first, count = m.mixed[j], m.first[j], m.first[j + 1] - m.first[j]
        away, weight, largest = empty((count, n)), empty(count), -np.inf
        for k in range(count):
            weight[k] = 0.0
            for h in range(m.share.shape[1]):
                if m.share[first + k, h] >= 0:
                    weight[k] += shares[m.share[first + k, h]]
            for d in range(n):
                away[k, d] = 0.0
                for e in range(len(layout.effect_parameter)):
                    if layout.acts[d, e]:
                        away[k, d] += m.shift[first + k, e] * point.shared[n_k + e]
                away[k, d] /= point.omega[layout.component_varying[d]]
            for i in range(len(together)):
                for below in range(i):
                    away[k, together[i]] -= point.factor[i, below] * away[k, together[below]]
                away[k, together[i]] /= point.factor[i, i]
            for d in range(n):
                weight[k] += away[k, d] * (point.standardized[s, d] - 0.5 * away[k, d])
            largest = max(largest, weight[k])
        summed = 0.0
        for k in range(count):
            weight[k] = np.exp(weight[k] - largest)
            summed += weight[k]
        total += largest + np.log(summed)
        for k in range(count):
            w = weight[k] / summed
            for h in range(m.share.shape[1]):
                if m.share[first + k, h] >= 0:
                    bar_shares[m.share[first + k, h]] += w
            for d in range(n):
                bars.standardized[s, d] += w * away[k, d]
                bar_away[d] = w * (point.standardized[s, d] - away[k, d])
            for i in range(len(together) - 1, -1, -1):
                bar = bar_away[together[i]] / point.factor[i, i]
                bar_away[together[i]] = bar
                for below in range(i + 1):
                    bars.factor[i, below] -= bar * away[k, together[below]]
                for below in range(i):
                    bar_away[together[below]] -= bar * point.factor[i, below]
            for d in range(n):
                v = layout.component_varying[d]
                bar = bar_away[d] / point.omega[v]
                for e in range(len(layout.effect_parameter)):
                    if layout.acts[d, e]:
                        x = m.shift[first + k, e]
                        bars.shared[n_k + e] += bar * x
                        bars.omega[v] -= bar * x * point.shared[n_k + e] / point.omega[v]
    _log_shares_adjoint(point.missing, bar_shares, m, bars.missing)
    return total


def log_constant_of_missing(m: MissingLayout) -> float:
    """What `log_missing` and the log volume of the vector lack of the log density of its coordinates."""
    normal = -0.5 * np.log(2 * np.pi) * (len(m.mean) + len(m.subject))
    gamma = m.shape * np.log(m.rate) + np.log(2) - gammaln(m.shape) - np.log(2 * np.sqrt(m.shape))
    a, b = m.shares.T
    beta = 0.5 * np.log((a + b) / (a * b)) - betaln(a, b)
    return float(normal + gamma.sum() + beta.sum())
