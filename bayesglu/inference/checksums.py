"""Whether a fit on disk is whole, and what was written: known before a library reads it.

HDF5 can bring the process down, or never come back, over bytes that it did not write. A .nc is sealed
(`bayesglu.sealed`); a folder of zarr has a list of its files, in the form of ``sha256sum``. Where another
program has written the file anew there is neither, and what counts is the checksum of each variable.
"""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.atomic import is_clutter
from bayesglu.errors import InputError
from bayesglu.sealed import is_sealed, opened

CHECKSUMS = "checksums.txt"
"""The list in a folder of zarr."""

HDF5 = b"\x89HDF\r\n\x1a\n"
READ = """
import sys
sys.path[:] = {paths}
import h5py
def read(name, thing):
    dict(thing.attrs)
    if isinstance(thing, h5py.Dataset):
        thing[()]
with h5py.File({path}, "r") as file:
    dict(file.attrs)
    file.visititems(read)
"""
LONGEST, MORE = 10.0, 1e-7
"""Seconds that reading a file may take, and for each byte of it besides."""


MARK = "contents"
"""Attribute of a file: its variables by group, in their order, with the checksum of each. Without it, or
without one of these, the file is not whole. The first fits that bore it had names alone."""

HELP = "Take it from a backup, or fit again."


class DamagedFitError(InputError):
    """A file that is no whole fit."""


def mark_of(fit: xr.DataTree) -> str:
    """What is kept with a fit, so that it can be known whether it is whole."""
    contents = {
        name: {str(n): _checksum(variable) for n, variable in group.variables.items()}
        for name, group in fit.children.items()
    }
    return json.dumps(contents)


def unmarked(tree: xr.DataTree, path: Path, checked: bool) -> xr.DataTree:
    """A fit without its mark, with groups and variables in the order in which they were written.

    checked : whether its bytes are known to be those that were written.

    Raises DamagedFitError where the mark is missing, or something that it names, or is something else.
    """
    if MARK not in tree.attrs:
        raise DamagedFitError(
            f"{path}: this fit bears no mark that it was written to its end. It was cut short, or was not "
            "written by bayesglu.save of this version: fit again. From the folder of a run, "
            "fit(..., resume=...) writes it anew without another draw."
        )
    contents = _contents(tree.attrs[MARK])
    if contents is None:
        raise DamagedFitError(f"{path}: the mark of this fit, its attribute {MARK!r}, cannot be read. {HELP}")
    lost, changed = [], []
    for group, names in contents.items():
        for name, expected in names.items():
            if group not in tree.children or name not in tree[group].variables:
                lost.append(f"{group}/{name}")
            elif expected and not checked and _checksum(tree[group].variables[name]) != expected:
                changed.append(f"{group}/{name}")
    if lost or changed:
        faults = {"it lacks": lost, "other numbers than were written have": changed}
        words = "; ".join(f"{how} {_some(names)}" for how, names in faults.items() if names)
        raise DamagedFitError(f"{path}: this fit is not whole any more; {words}. {HELP}")
    order = [*contents, *(name for name in tree.children if name not in contents)]
    found = {name: _ordered(tree[name].to_dataset(), list(contents.get(name, ()))) for name in order}
    ordered = xr.DataTree.from_dict(found)
    ordered.attrs = {name: value for name, value in tree.attrs.items() if name != MARK}
    return ordered


def _contents(mark: object) -> dict[str, dict[str, str]] | None:
    """Checksums of variables by group, empty where none is known; None where that cannot be read."""
    try:
        kept = json.loads(str(mark))
        return {
            group: {n: str(s) for n, s in names.items()}
            if isinstance(names, dict)
            else dict.fromkeys(names, "")
            for group, names in kept.items()
        }
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None


def _ordered(group: xr.Dataset, names: list[str]) -> xr.Dataset:
    """A group with its variables in an order; others come last."""
    names = [*names, *(name for name in map(str, group.variables) if name not in names)]
    return xr.Dataset(
        {name: group.variables[name] for name in names if name in group.data_vars},
        {name: group.variables[name] for name in names if name in group.coords},
        group.attrs,
    )


def _checksum(variable: xr.Variable) -> str:
    """A checksum of the numbers or texts of a variable and of its dims, whatever file they are kept in."""
    values = np.asarray(variable.values)
    if values.dtype.kind in "biuf":
        content = np.where(np.isnan(numbers := values.astype("<f8")), np.nan, numbers).astype("<f8").tobytes()
    else:
        content = "\0".join(map(str, values.ravel().tolist())).encode()
    about = json.dumps([list(map(str, variable.dims)), list(values.shape)])
    return sha256(about.encode() + content).hexdigest()[:16]


def write_checksums(folder: Path) -> None:
    """List all files of a folder with their checksums."""
    (folder / CHECKSUMS).write_bytes(_listed(_sums(folder)))


def require_sound(path: Path) -> bool:
    """Whether the bytes of a fit have checksums, which then agree. Of a .nc without it is tried, in another
    process, whether HDF5 can read it.

    Raises DamagedFitError where something is not as it was written.
    """
    if path.is_dir():
        return _is_listed(path)
    content = path.read_bytes()
    if is_sealed(content):
        if opened(content) is None:
            raise DamagedFitError(
                f"{path}: this fit is not whole any more; its bytes are not those that were written. {HELP}"
            )
        return True
    if content.startswith(HDF5) and sys.executable and not getattr(sys, "frozen", False):
        _try(path, len(content))
    return False


def _is_listed(folder: Path) -> bool:
    try:
        kept = (folder / CHECKSUMS).read_bytes()
    except FileNotFoundError:
        return False
    found = _sums(folder)
    if kept == _listed(found):
        return True
    lines = kept.decode(errors="replace").split("\n")
    listed = {name: checksum for checksum, _, name in (line.partition("  ") for line in lines) if name}
    lost = [name for name in listed if name not in found]
    changed = [name for name, own in found.items() if listed.get(name) != own]
    wrong = {"it lacks": lost, "not as they were written are": changed or ([] if lost else [CHECKSUMS])}
    faults = "; ".join(f"{how} {_some(names)}" for how, names in wrong.items() if names)
    raise DamagedFitError(f"{folder}: this fit is not whole any more; {faults}. {HELP}")


def _listed(sums: dict[str, str]) -> bytes:
    return "".join(f"{checksum}  {name}\n" for name, checksum in sums.items()).encode()


def _sums(folder: Path) -> dict[str, str]:
    """Checksums of the files of zarr in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        of_zarr = path.name == "zarr.json" or "c" in name.split("/")
        if of_zarr and path.is_file() and not is_clutter(path):
            found[name] = sha256(path.read_bytes()).hexdigest()
    return found


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _try(path: Path, size: int) -> None:
    command = [sys.executable, "-c", READ.format(paths=sys.path, path=repr(str(path)))]
    nothing, longest = subprocess.DEVNULL, LONGEST + MORE * size
    try:
        done = subprocess.run(command, stdin=nothing, stdout=nothing, stderr=nothing, timeout=longest)
    except subprocess.TimeoutExpired:
        done = None
    except OSError:  # there can be no other process
        return
    if done is None or done.returncode:
        raise DamagedFitError(f"{path}: this cannot be read as a fit: HDF5 cannot read it to its end.")
