"""The compiled form of `residuals`: log density and derivatives of one sample's residual.

Constants of the density are left out: a sampler needs none.
"""

from math import erfc

import numpy as np

from bayesglu.hierarchy.rows import TINY
from bayesglu.residuals import Normal, Student
from bayesglu.solver.compiled import compiled

NORMAL, STUDENT = Normal.number, Student.number


@compiled(inner=True)
def log_cdf(x):
    """Log of the standard Normal distribution function, and its derivative, also far in the lower tail."""
    if x > -30.0:
        p = 0.5 * erfc(-x * 0.7071067811865476)
        density = np.exp(-0.5 * x * x) * 0.3989422804014327
        return np.log(p), density / p
    # Far below, the asymptotic series of Mills' ratio.
    inverse = 1.0 / (x * x)
    series = 1.0 - inverse + 3.0 * inverse * inverse
    return -0.5 * x * x - np.log(-x) - 0.9189385332046727 + np.log(series), -x / series


@compiled(inner=True)
def log_residual(kind, nu, side, z):
    """Log density of a residual z (of z itself, not of the sample), and its derivative by z.

    kind, nu, side : as in `hierarchy.rows.Rows`, side being its censoring.
    """
    if side != 0:
        log_p, hazard = log_cdf(-side * z)
        return log_p, -side * hazard
    if kind == STUDENT:
        return -0.5 * (nu + 1.0) * np.log1p(z * z / nu), -(nu + 1.0) / (nu + z * z) * z
    return -0.5 * z * z, -z


@compiled(inner=True)
def log_sample(residual, nu, censoring, log_value, predicted, sd):
    """Log density of the logarithm of a sample, up to a constant, or the log probability of lying where it
    does; and its derivatives by the prediction and by the SD."""
    z = (log_value - np.log(max(predicted, TINY))) / sd
    log_p, slope = log_residual(residual, nu, censoring, z)
    volume = 0.0
    if censoring == 0:  # a density, not a probability
        log_p -= np.log(sd)
        volume = 1.0
    slope_of_log = 1.0 / predicted if predicted > TINY else 0.0
    return log_p, -slope / sd * slope_of_log, (-slope * z - volume) / sd
