"""Fits as files: written whole or not at all, marked as whole, and put in the place of nothing but a fit."""

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.atomic import as_path, is_clutter, present, require_writable, whole
from bayesglu.errors import InputError, MissingFileError, RunWarning, warn_caller
from bayesglu.hierarchy.names import missing_subject
from bayesglu.inference.checksums import (
    CHECKSUMS,
    MARK,
    DamagedFitError,
    mark_of,
    require_sound,
    unmarked,
    write_checksums,
)
from bayesglu.inference.datatree import FORMAT, NEW_PEOPLE
from bayesglu.inference.kept_coordinates import COORDINATES
from bayesglu.inference.old_fits import has_format, modernized, without_format
from bayesglu.inference.run_folder import Run, is_run
from bayesglu.protocols.table import kept_protocols
from bayesglu.sealed import is_sealed, sealed
from bayesglu.settings import COUNT, check_all
from bayesglu.spec.model import model_of

ENDINGS = (".nc", ".zarr")

ENCODED = (
    "settings",
    "versions",
    "parts",
    "equations",
    "failed_solves",
    "continued",
    "study_about",
    "verdict",
    "other_modes",
    "stages",
)
"""Attributes that are texts of JSON."""


def save(fit: xr.DataTree, path: str | Path, without_data: bool = False, thin: int = 1) -> Path:
    """Write a fit to a file, whole or not at all.

    An older fit of the same name stays until the new one is whole, and is then replaced.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` returns it.
    path : str or Path
        A name that ends in ``.nc`` (netCDF) or ``.zarr``.
    without_data : bool
        Whether to leave out every sample and covariate of the people, what samples tell of each (the
        sampler's whitened coordinates), the forcing function, what the readers said of the study, a verdict
        that was kept, and body weights and what each was given where these were not the same for all; the
        mean weight stays, for new people.
    thin : int
        Every so many-th draw of each chain is kept.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If it is no fit, the name ends otherwise, `thin` leaves no draw, or something other than a fit is
        there.
    MissingFileError
        If the folder does not exist.
    WriteError
        If the file cannot be written; what was there before is as it was.

    Examples
    --------
    >>> import tempfile
    >>> import bayesglu as bg
    >>> fit = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = bg.load(bg.save(fit, f"{folder}/fit.nc"))
    >>> again.posterior.equals(fit.posterior)
    True
    """
    path = as_path(path)
    if not isinstance(fit, xr.DataTree) or "model_text" not in fit.attrs:
        found = "one without the text of its model" if isinstance(fit, xr.DataTree) else type(fit).__name__
        raise InputError(f"A fit is needed, as fit(...) and load(...) return it; this is {found}.")
    check_place(path)
    kept = _thinned(fit, thin)
    if without_data:
        fit = kept
        private = {"observed_data", "posterior_predictive", "fitted", "log_likelihood"}
        private |= {NEW_PEOPLE, COORDINATES}
        if len(set(kept_protocols(fit.protocols.to_dataset()).values())) > 1:
            private.add("protocols")
        public = {n: c.to_dataset() for n, c in fit.children.items() if n not in private}
        public = {n: _without_samples(group) for n, group in public.items()}
        kept = xr.DataTree.from_dict(public)
        kept["constant_data"] = xr.DataTree(_weightless(fit.constant_data.to_dataset()[["body_weight"]]))
        kept.attrs = {name: value for name, value in fit.attrs.items() if name != "verdict"}
        kept.attrs["study_about"] = _without_notes(fit.attrs.get("study_about", "{}"))
    write(kept, path)
    return path


def _thinned(fit: xr.DataTree, thin: int) -> xr.DataTree:
    """The fit with every so manieth draw of each chain."""
    (checked,) = check_all(({"thin": thin}, {"thin": COUNT}, ""))
    if checked["thin"] == 1:
        return fit
    if checked["thin"] > fit["posterior"].sizes["draw"]:
        raise InputError(f"thin is {thin}; the fit has {fit['posterior'].sizes['draw']} draws per chain.")
    every, groups = slice(None, None, checked["thin"]), {}
    for name, group in fit.children.items():
        own = group.to_dataset()
        groups[str(name)] = own.isel(draw=every) if name != "prior" and "draw" in own.dims else own
    kept = xr.DataTree.from_dict(groups)
    before = int(fit.attrs.get("thinned", 1))
    kept.attrs = {**fit.attrs, "thinned": before * checked["thin"]}
    return kept


def _weightless(people: xr.Dataset) -> xr.Dataset:
    """Body weights as they are where all are the same, or else their mean alone."""
    weights = people.body_weight
    same = float(weights.max() - weights.min()) < 1e-9
    kept = weights if same else weights * np.nan
    return people.assign(body_weight=kept.assign_attrs(weights.attrs | {"mean": float(weights.mean())}))


def _without_notes(study_about: str) -> str:
    """What a fit says of its study, without what the readers said: they name people and samples."""
    return json.dumps({name: value for name, value in json.loads(study_about).items() if name != "notes"})


def _without_samples(group: xr.Dataset) -> xr.Dataset:
    """A group without samples of the forcing function, and without covariates of those who lack one."""
    theirs = {str(dim) for dim in group.dims if str(dim).endswith(missing_subject(""))}
    return group.drop_dims({"forcing_obs", *theirs}, errors="ignore")


def write(fit: xr.DataTree, path: Path) -> None:
    """Write a fit with its mark and checksums, whole or not at all, in place of whatever is there."""
    marked = fit.copy()
    marked.attrs = {**fit.attrs, MARK: mark_of(fit)}
    with whole(path) as new:
        if path.suffix == ".nc":  # by way of memory: HDF5 brings the process down where a disk is full
            new.write_bytes(sealed(bytes(marked.to_netcdf(engine="h5netcdf"))))
        else:
            marked.to_zarr(new, consolidated=False)
            write_checksums(new)


def load(path: str | Path) -> xr.DataTree:
    """A fit from its file, or from the folder of a run that has finished; wholly in memory.

    Parameters
    ----------
    path : str or Path
        What `save` wrote, or a folder given to `fit` as `resume`.

    Returns
    -------
    xarray.DataTree
        As of `fit`. Fits of older versions are brought to today's names.

    Raises
    ------
    MissingFileError
        If there is no such file.
    DamagedFitError
        If it is no fit, or not a whole one: cut short, or not what was written. An InputError too.
    InputError
        If its model is not the one that was fitted, it was written by a later version, or its run has not
        finished.
    SpecError
        If the model has a part that is not registered.

    Warns
    -----
    FitWarning
        Where the equations, or the source of a registered part, have changed since the fit was made.
    RunWarning
        Where a run was asked for more draws since, and has not finished.

    Examples
    --------
    >>> import tempfile
    >>> import bayesglu as bg
    >>> fit = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bg.load(bg.save(fit, f"{folder}/fit.nc")).attrs["method"]
    'laplace'
    """
    path = present(as_path(path))
    if not path.exists():
        raise MissingFileError(
            f"{path}: there is no such file. A fit is written by `bayesglu fit --out {path.name}`."
        )
    if is_run(path):
        return _load_of_run(path)
    checked = require_sound(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # at what a file manager left in a folder of zarr
            if path.suffix == ".zarr":
                tree = _fixed_width(xr.open_datatree(path, engine="zarr", consolidated=False).load())
            else:
                tree = xr.load_datatree(path, engine="h5netcdf")
    except Exception as error:  # of any kind, where the file was not made by this package
        raise DamagedFitError(f"{path}: this cannot be read as a fit, saved as .nc or .zarr.") from error
    if "model_text" not in tree.attrs:
        raise InputError(f"{path}: this is not a fit of bayesglu; it has no model_text in its attributes.")
    if not has_format(tree):
        return without_format(tree, str(path))
    tree = unmarked(tree, path, checked)
    _check_attributes(tree, path)
    if int(tree.attrs["format"]) < FORMAT:
        tree = modernized(tree, str(path))
    model_of(tree.attrs, str(path))  # warns where the equations have changed since
    return tree


def _fixed_width(tree: xr.DataTree) -> xr.DataTree:
    """The tree with texts as a netCDF file gives them; NumPy casts none of those that zarr does."""
    for group in tree.subtree:
        own = group.to_dataset(inherit=False)
        texts = {
            name: variable.copy(data=variable.values.astype(object).astype(str))
            for name, variable in own.variables.items()
            if variable.dtype.kind == "T"
        }
        group.dataset = own.assign(texts)
    return tree


def _load_of_run(folder: Path) -> xr.DataTree:
    """The fit of a run that has finished."""
    run = Run(folder)
    draws = draws_of(run.fit)
    if draws is None:
        raise InputError(f"{folder}: this run has not finished; fit(..., resume='{folder}') resumes it.")
    try:
        tree = load(run.fit)
    except DamagedFitError as error:
        advice = f"{error} fit(..., resume='{folder}') writes it anew from the draws of the run."
        raise DamagedFitError(advice) from error
    with suppress(InputError):  # the fit says by itself of what it is
        if (asked := run.about()["draws"]) != draws:
            warn_caller(
                f"{folder}: this run was asked for {asked} draws and has not finished; the fit is the one "
                f"with {draws}.",
                RunWarning,
            )
    return tree


def _check_attributes(tree: xr.DataTree, path: Path) -> None:
    """Raise InputError where a fit does not hold the model that was fitted, is of a later version, or has
    attributes that cannot be read."""
    unreadable = [name for name in ENCODED if not _is_encoded(tree.attrs.get(name, "{}"))]
    if not str(tree.attrs["format"]).isdecimal():
        unreadable.append("format")
    if unreadable:
        raise InputError(f"{path}: this fit has attributes that cannot be read: {', '.join(unreadable)}.")
    if (later := int(tree.attrs["format"])) > FORMAT:
        raise InputError(
            f"{path}: this fit has the format {later}, of a later version of bayesglu "
            f"({tree.attrs.get('bayesglu_version')}); this version reads formats up to {FORMAT}."
        )
    text = str(tree.attrs["model_text"])
    if sha256(text.encode()).hexdigest() != tree.attrs.get("model_hash"):
        raise InputError(f"{path}: the text of the model is not the one that was fitted; its hash differs.")


def _is_encoded(text: object) -> bool:
    try:
        json.loads(str(text))
    except (ValueError, RecursionError):
        return False
    return True


def is_whole(fit: Path) -> bool:
    """Whether a fit kept as .zarr bears the mark of one that was written to its end."""
    return MARK in _attributes(fit)


def draws_of(fit: Path) -> int | None:
    """How many draws each chain has in a whole fit kept as .zarr; None where there is none."""
    try:
        return json.loads(_attributes(fit)["settings"])["draws"] if is_whole(fit) else None
    except (KeyError, TypeError, ValueError):
        return None


def check_place(path: str | Path, run: str | Path | None = None) -> None:
    """Raise an error unless a fit may be saved at `path`: where nothing is, or an older fit to be replaced,
    in a folder that can be written.

    run : the folder of a run that is still to begin, if there is one. No fit may be saved there, nor in any
    other folder of a run, for it holds draws.
    """
    path = as_path(path)
    if path.suffix not in ENDINGS:
        raise InputError(
            f"{path}: write a fit to a name that ends in .nc (netCDF) or .zarr, not '{path.suffix}'."
        )
    if not path.absolute().parent.is_dir():
        raise MissingFileError(f"{path}: the folder {path.parent} does not exist.")
    require_writable(path)
    real = Path(os.path.realpath(path))
    runs = {Path(os.path.realpath(run))} if run is not None else set()
    for place in (real, *real.parents):
        if place in runs or is_run(place):
            raise InputError(
                f"{path}: {place.name} is the folder of a run, which keeps its draws and its own fit there; "
                "load(...) reads it. Save to another name."
            )
    foreign = [] if path.suffix == ".nc" else list(map(str, _foreign(path)))
    older = _is_netcdf_fit(path) if path.suffix == ".nc" else "model_text" in _attributes(path)
    if not _is_empty(path) and (foreign or not older):
        found = f" ({', '.join(foreign[:3])}{', ...' if len(foreign) > 3 else ''})" if foreign else ""
        raise InputError(
            f"{path}: something else is there{found}, and to save a fit would delete it. Only a fit of "
            f"bayesglu that ends in {path.suffix} is replaced: give another name, or move what is there."
        )


def _attributes(path: Path) -> dict:
    """The attributes of a folder of zarr; none where there is no such folder."""
    try:
        found = json.loads((present(path) / "zarr.json").read_text(encoding="utf-8"))["attributes"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _foreign(folder: Path) -> Iterator[Path]:
    """What lies in a folder, at any depth, and is not of zarr."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if (path / "zarr.json").is_file():
            yield from _foreign(path)
        elif path.name not in ("zarr.json", "c", CHECKSUMS) and not (path.is_file() and is_clutter(path)):
            yield path


def _is_netcdf_fit(path: Path) -> bool:
    import h5py

    if not path.is_file():
        return False
    if is_sealed(path.read_bytes()):
        return True
    try:
        require_sound(path)
        with h5py.File(path, "r") as file:
            return "model_text" in file.attrs
    except (OSError, DamagedFitError):
        return False


def _is_empty(path: Path) -> bool:
    """Whether nothing would be lost with what is at a path."""
    if path.is_dir():
        return path.suffix == ".zarr" and all(map(is_clutter, path.iterdir()))
    return not path.exists() or (path.suffix == ".nc" and not path.stat().st_size)
