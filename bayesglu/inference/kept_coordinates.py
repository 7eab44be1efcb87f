"""The whitened coordinates in which a fit was sampled, as a group of it, and back."""

import numpy as np
import xarray as xr

from bayesglu.frozen import frozen
from bayesglu.hierarchy.design import Design
from bayesglu.inference.coordinates import Coordinates, noncentered
from bayesglu.inference.linearise import informed, missed

COORDINATES = "whitened_coordinates"

DIMS = {
    "shared": ("value",),
    "shared_factor": ("value", "other_value"),
    "log_omega": ("varying",),
    "omega_scale": ("varying",),
    "log_sigma": ("analyte",),
    "sigma_scale": ("analyte",),
    "partial": ("pair",),
    "partial_scale": ("pair",),
    "lean": ("subject", "component", "direction"),
    "linear": ("subject", "direction"),
    "cross": ("subject", "direction", "value"),
    "offset": ("subject", "component"),
    "scale": ("subject", "component", "other_component"),
}


def keep_coordinates(c: Coordinates, d: Design) -> xr.Dataset:
    """Whitened coordinates as a Dataset. What has no length is left out."""
    people = d.individuals
    labels = {
        "subject": people.subjects,
        "varying": [each.label for each in people.deviations],
        "analyte": d.analytes,
    }
    return xr.Dataset(
        {name: (DIMS[name], array) for name, array in c._asdict().items() if array.size},
        coords={name: list(own) for name, own in labels.items() if len(own)},
    )


def kept_coordinates(fit: xr.DataTree, d: Design) -> tuple[Coordinates | None, list[str]]:
    """The whitened coordinates of a fit, if they are of this design; and whatever stands against that."""
    problems = []
    for what, own in (("model", d.spec), ("study", d.study)):
        if fit.attrs.get(f"{what}_hash") != own.hash:
            problems.append(
                f"coordinates_of is a fit of another {what}: '{fit.attrs.get(f'{what}_name')}', not of "
                f"'{own.name}' as it is given here."
            )
    if COORDINATES not in fit.children:
        problems.append(
            "coordinates_of is a fit that holds no whitened coordinates: it was sampled in "
            "non-centered ones, or saved without data, or by a version that did not keep them. fit(..., "
            "parametrization='whitened') keeps them, also with method='laplace', within seconds."
        )
    if problems:
        return None, problems
    kept, empty = fit[COORDINATES].to_dataset(), noncentered(d)
    if kept.sizes["value"] != len(empty.shared):
        return None, [
            "coordinates_of is a fit of a version in which a covariate that some people lack acted on "
            "nobody: fit again."
        ]
    if "offset" in kept and kept["offset"].shape != empty.offset.shape:
        why = "coordinates_of is a fit of a version that did not separate occasions from people: fit again."
        return None, [why]
    arrays = {n: kept[n].values if n in kept else getattr(empty, n) for n in Coordinates._fields}
    if "information" in kept:
        arrays |= _along_directions(kept["information"].values, arrays, d)
    return frozen(Coordinates(**{n: np.asarray(a, float) for n, a in arrays.items()})), []


def _along_directions(information: np.ndarray, c: dict, d: Design) -> dict[str, np.ndarray]:
    """What took the place of all components' information, with the same origin: earlier versions kept the
    information (S, D, D), the linear term (S, D) and its dependence on shared values (S, D, K + E)."""
    people = d.individuals
    sd = np.exp(c["log_omega"])[people.layout.component_varying]
    n_k = len(people.estimated)
    centre = people.centre(c["shared"][:n_k], c["shared"][n_k:])
    whole = information + np.diag(sd**-2.0)
    known = c["linear"] + centre / sd**2 - c["cross"] @ c["shared"]
    offset = np.linalg.solve(np.linalg.cholesky(whole).swapaxes(1, 2), c["offset"][..., None])
    individual = (np.linalg.solve(whole, known[..., None]) + offset)[..., 0]
    found = informed(information, c["linear"], c["cross"], np.diag(sd))
    offset, scale = missed(*found, information, c["shared"], centre, np.diag(sd), individual)
    return dict(zip(("lean", "linear", "cross"), found, strict=True)) | {"offset": offset, "scale": scale}
