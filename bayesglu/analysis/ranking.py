"""People in the order of an index, and how sure that order is."""

import numpy as np
import xarray as xr

from bayesglu.analysis.index_table import INDICES
from bayesglu.analysis.indices import indices
from bayesglu.analysis.simulation import check_names
from bayesglu.errors import InputError


def ranking(
    fit: xr.DataTree | xr.Dataset, index: str, probability: float = 0.9, draws: int = 400
) -> xr.Dataset:
    """People by an index, and how sure their order is.

    Parameters
    ----------
    fit : xarray.DataTree or xarray.Dataset
        As `fit`, `fit_person` and `load` return it; or what `indices` made of it.
    index : str
        Which index.
    probability : float
        Probability of the equal-tailed intervals of ranks.
    draws : int
        About how many draws to use.

    Returns
    -------
    xarray.Dataset
        Dim ``subject``, by the median of their ranks: ``rank``, that median, 1 for the largest; ``lower`` and
        ``upper``, its interval; ``raw_rank``, that of the raw index; ``median`` and ``raw``, the index. Dims
        ``subject, place``: ``probability_of_rank``. Who has no number is left out.

    Raises
    ------
    InputError
        If it is no fit, there is no such index, or fewer than two people have it.
    SpecError
        If the model has a part that is not registered.
    SolverError
        If the equations cannot be solved.

    Examples
    --------
    >>> import bayesglu as bg
    >>> study = bg.load_study("synthetic_ogtt").select(["P01", "P02", "P03"], ["glucose", "insulin"])
    >>> fit = bg.fit("oral", study, method="laplace", draws=50, random_seed=1, progressbar=False)
    >>> bg.ranking(fit, "matsuda").sizes["subject"]
    3
    """
    check_names("index", [index], INDICES)
    if not 0 < probability < 1:
        raise InputError(f"probability is {probability:g}; it must be between 0 and 1.")
    table = fit if isinstance(fit, xr.Dataset) else indices(fit, index, draws, probability)
    if "draws" not in table or index not in table["index"].values:
        raise InputError(f"These are no indices of a fit with {index}: ranking(fit, {index!r}).")
    of_index = table[["draws", "median", "raw"]].sel(index=index).reset_coords(drop=True)
    of_index = of_index.isel(subject=np.flatnonzero(np.isfinite(of_index["median"].values)))
    count = of_index.sizes["subject"]
    if count < 2:
        raise InputError(f"{count} people have {index}: there is nothing to rank.")
    values = of_index["draws"].transpose("subject", "sample").values
    values = values[:, np.isfinite(values).all(0)]
    ranks = count - values.argsort(0).argsort(0)
    tail = (1 - probability) / 2
    low, middle, high = np.quantile(ranks, [tail, 0.5, 1 - tail], axis=1)
    places = np.arange(1, count + 1)
    raw = of_index["raw"].values
    raw_rank = np.where(np.isfinite(raw), 1 + (raw[None] > raw[:, None]).sum(1), np.nan)
    found = xr.Dataset(
        {
            "rank": ("subject", middle),
            "lower": ("subject", low),
            "upper": ("subject", high),
            "raw_rank": ("subject", raw_rank),
            "median": of_index["median"],
            "raw": of_index["raw"],
            "probability_of_rank": (("subject", "place"), (ranks[..., None] == places).mean(1)),
        },
        coords={"subject": of_index["subject"].values, "place": places},
        attrs={"index": index, "interval": "equal-tailed", "probability": probability},
    )
    return found.isel(subject=np.lexsort((-of_index["median"].values, middle)))
