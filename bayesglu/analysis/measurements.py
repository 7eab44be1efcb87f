"""What an assay would read of simulated curves: error, non-specific signal, limits of quantification."""

import numpy as np
import xarray as xr

from bayesglu.hierarchy import names
from bayesglu.hierarchy.rows import TINY
from bayesglu.spec.model import ModelSpec
from bayesglu.spec.priors import Analyte


def measured_outputs(spec: ModelSpec) -> dict[str, Analyte]:
    """The outputs that a model says how to measure, with the analyte that each is."""
    return {a.output: a for a in spec.analytes.values() if not a.forcing}


def measure(
    spec: ModelSpec,
    posterior: xr.Dataset,
    simulated: xr.Dataset,
    rng: np.random.Generator,
) -> xr.Dataset:
    """Curves as they would be measured at each of their times; those that no assay is of stay what they are.

    Each sample has an error of its own, with the SD of its draw. What lies beyond a limit of quantification
    is at the limit.
    """
    found = {}
    for output, analyte in measured_outputs(spec).items():
        if output in simulated:
            true = simulated[output]
            sd = posterior.get(names.sigma(analyte.name), xr.DataArray(analyte.sigma.median))
            added = analyte.error_offset
            if analyte.background:
                added = added + _background(spec, posterior, analyte.background)
            error = sd * true.copy(data=analyte.distribution.draw(rng, true.shape))
            read = np.exp(np.log(np.maximum(true + added, TINY)) + error) - analyte.error_offset
            low, high = analyte.lloq or 0.0, analyte.uloq
            read = read.clip(low, high).transpose(*true.dims)
            read.attrs = {**true.attrs, "long_name": f"{true.attrs.get('long_name', output)}: measurement"}
            found[output] = read
    return simulated.assign(found)


def _background(spec: ModelSpec, posterior: xr.Dataset, name: str) -> xr.DataArray:
    """The non-specific signal of an assay: as estimated, of people together where it differs between them."""
    for known in (names.typical(name), name):
        if known in posterior:
            return posterior[known]
    return xr.DataArray(spec.parameters[name].typical.median)
