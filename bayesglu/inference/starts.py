"""Where a fit begins that another fit of the same people, and of more, has gone before."""

from collections.abc import Collection

import numpy as np
import xarray as xr

from bayesglu.errors import InputError
from bayesglu.hierarchy.design import Design
from bayesglu.inference.coordinates import noncentered
from bayesglu.inference.kept_coordinates import COORDINATES
from bayesglu.inference.linearise import Expansion
from bayesglu.results import require_fit


def start_of(fit: xr.DataTree, subjects: Collection[str] | None = None) -> xr.DataTree:
    """What `expansion_of` needs of a fit, and no more: it goes to other processes. Of some people only."""
    kept = require_fit(fit, COORDINATES)[COORDINATES].to_dataset()
    if subjects is not None and "subject" in kept.dims:
        there = kept["subject"].values
        kept = kept.isel(subject=np.flatnonzero(np.isin(there, list(subjects))))
    found = xr.DataTree.from_dict({COORDINATES: kept})
    found.attrs = {name: fit.attrs[name] for name in ("model_hash", "model_name")}
    return found


def expansion_of(start: xr.DataTree, d: Design) -> Expansion | None:
    """The linear model about the draws of another fit, of the people of this design; None where these are not
    all in it, or what acts on them is not the same, so that modes must be sought.

    Raises InputError where it is a fit of another model, or one that holds no coordinates.
    """
    kept = require_fit(start, COORDINATES)[COORDINATES].to_dataset()
    if start.attrs.get("model_hash") != d.spec.hash:
        raise InputError(
            f"start is a fit of the model '{start.attrs.get('model_name')}' and not of '{d.spec.name}' as it "
            "is given here."
        )
    empty, people = noncentered(d), d.individuals
    there = {name: [str(v) for v in kept[name].values] if name in kept else [] for name in LABELLED}
    if not {"lean", "scale", "offset"} <= set(kept) or not set(people.subjects) <= set(there["subject"]):
        return None
    if there["varying"] != [each.label for each in people.deviations]:
        return None
    if not set(d.analytes) <= set(there["analyte"]):
        return None
    own = kept.sel(subject=list(people.subjects), analyte=list(d.analytes))
    if own.sizes["value"] != len(empty.shared) or own["offset"].shape != empty.offset.shape:
        return None
    lean, (whole, n) = own["lean"].values, empty.offset.shape
    return Expansion(
        shared=own["shared"].values,
        shared_factor=own["shared_factor"].values,
        omega=np.exp(own["log_omega"].values) if len(people.deviations) else np.zeros(0),
        sigma=np.exp(own["log_sigma"].values),
        individual=np.zeros((whole, n)),
        information=lean @ lean.swapaxes(1, 2),
        lean=np.ascontiguousarray(lean),
        linear=np.ascontiguousarray(own["linear"].values),
        cross=np.ascontiguousarray(own["cross"].values),
        offset=np.ascontiguousarray(own["offset"].values),
        scale=np.ascontiguousarray(own["scale"].values),
        by_analyte=np.zeros((len(d.analytes), whole, n, n)),
    )


LABELLED = ("subject", "varying", "analyte")
"""Dims of kept coordinates with labels."""
