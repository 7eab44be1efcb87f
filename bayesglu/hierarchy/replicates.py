"""The same people and times with other measurements: what calibration fits."""

from dataclasses import replace

import numpy as np

from bayesglu.frozen import frozen
from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.rows import SIDES, TINY
from bayesglu.hierarchy.values import Values


def replicate(d: Design, values: Values, predicted: np.ndarray, rng: np.random.Generator) -> Design:
    """The design with measurements drawn of `values`, whose predictions ``(row,)`` are given.

    Pseudo-observations are drawn too: they are data to a posterior. What was read of a forcing function
    stays, for the model says where the truth is about it. Samples beyond a limit of quantification are
    censored there, and at zero those whose noise, of an assay with an offset, reaches below it.
    """
    rows = d.rows
    log_predicted = np.log(np.maximum(predicted, TINY))
    value = rows.draw(log_predicted, values.sigma, rng)
    censoring = np.where(rows.below_zero(value), SIDES["left"], SIDES["none"])
    for name, low, high in _limits(d):
        own = (rows.analyte == d.analytes.index(name)) & (np.arange(len(value)) < d.n_obs)
        for side, limit, beyond in (("left", low, value < low), ("right", high, value > high)):
            value[own & beyond], censoring[own & beyond] = limit, SIDES[side]
    log_value = np.log(np.maximum(value + rows.offset, TINY))
    return replace(d, rows=frozen(rows._replace(log_value=log_value, censoring=censoring)))


def _limits(d: Design) -> list[tuple[str, float, float]]:
    """Limits of quantification of the analytes that have any."""
    of_each = ((name, d.spec.analytes[name]) for name in d.analytes)
    return [
        (name, -np.inf if a.lloq is None else a.lloq, np.inf if a.uloq is None else a.uloq)
        for name, a in of_each
        if a.lloq is not None or a.uloq is not None
    ]
