"""A fit whose people cannot be recognised: new labels, in a new order, and nothing that names them."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.inference.kept_coordinates import COORDINATES

FEWEST = 5
"""What fewer people have in common tells of each of them."""


def people(fit: xr.DataTree) -> list[str]:
    """Labels of the people of a fit."""
    for group in ("constant_data", "posterior"):
        if group in fit.children and "subject" in fit[group].coords:
            return list(map(str, fit.children[group].dataset["subject"].values))
    return []


def anonymous(fit: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
    """The same fit with people called "person 1" and so on, in an order that is drawn.

    The sampler's coordinates, a verdict that was kept, and what the readers said of the study are left out.

    Raises InputError where there are too few people.
    """
    known = people(fit)
    if len(known) < FEWEST:
        raise InputError(
            f"The fit is of {len(known)} {'person' if len(known) == 1 else 'people'}, and what fewer than "
            f"{FEWEST} have in common tells of each of them: without_data is for more."
        )
    turn = rng.permutation(len(known)) + 1
    new = {label: f"person {place}" for label, place in zip(known, turn, strict=True)}
    groups = {name: g.to_dataset() for name, g in fit.children.items() if name != COORDINATES}
    anonymised = xr.DataTree.from_dict({name: _renamed(group, known, new) for name, group in groups.items()})
    about = json.loads(fit.attrs.get("study_about", "{}"))
    failures = json.loads(fit.attrs.get("failed_solves", "[]"))
    for failure in failures:
        label = str(failure["subject"]).removeprefix("subject ")
        failure["subject"] = new.get(label) or new[names.of_occasion(label, known)[0]]
    about.pop("notes", None)
    kept = {"study_about": json.dumps(about), "failed_solves": json.dumps(failures)}
    anonymised.attrs = {name: value for name, value in fit.attrs.items() if name != "verdict"} | kept
    return anonymised


def _renamed(group: xr.Dataset, known: list[str], new: dict[str, str]) -> xr.Dataset:
    for name, values in group.coords.items():
        labels = list(map(str, values.values.ravel()))
        if str(name) == "subject" or str(name).endswith("_subject"):
            group = group.assign_coords({name: (values.dims, np.array([new[s] for s in labels], object))})
        elif name == "occasion":
            pairs = [names.of_occasion(label, known) for label in labels]
            renamed = [names.occasion(new[subject], of) for subject, of in pairs]
            group = group.assign_coords(occasion=np.array(renamed, object))
        elif str(name).endswith("_obs") and values.dtype.kind in "UOT":
            group = group.drop_vars(str(name))
    return group
