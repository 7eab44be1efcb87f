"""The samples of an analyte as an observed variable of a PyMC model, censored ones among them."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from bayesglu.hierarchy import names
from bayesglu.hierarchy.design import Design
from bayesglu.hierarchy.rows import TINY
from bayesglu.inference.operations import Assay, log_density_of_samples


def samples_of(d: Design, analyte: str) -> xr.Dataset:
    """Those samples of an analyte that are compared with the model, in the order of the study."""
    used = d.study.observations.sel(obs=d.obs)
    return used.isel(obs=used.analyte.values == analyte)


def measured(d: Design, analyte: str, predicted, sigma):
    """The samples of an analyte about their predictions, observed at what was measured.

    Of a sample that was reported beyond a limit only the side counts: of any value there, the log probability
    of lying there. Draws are of measurements without limits.
    """
    own = samples_of(d, analyte)
    value, censoring = own.value.values.astype(float), own.censoring.values
    residual = d.spec.analytes[analyte].distribution
    distribution, parameters = residual.pymc
    assay = Assay(
        residual=residual.number,
        nu=residual.nu,
        log_peak=float(residual.log_density(np.zeros(()))),
        offset=float(d.spec.analytes[analyte].error_offset),
        lower=np.where(censoring == "left", value, -np.inf),
        upper=np.where(censoring == "right", value, np.inf),
    )

    def dist(predicted, sigma, size):
        noise = getattr(pm, distribution).dist(**parameters, size=size)
        log_sample = pt.log(pt.maximum(predicted, TINY)) + sigma * noise
        return pt.maximum(pt.exp(log_sample) - assay.offset, 0.0)

    return pm.CustomDist(
        analyte,
        predicted,
        sigma,
        dist=dist,
        logp=lambda value, predicted, sigma: log_density_of_samples(assay, value, predicted, sigma),
        observed=value,
        dims=names.observations(analyte),
    )
