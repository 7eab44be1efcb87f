"""What functions that take a result of others ask of it."""

from typing import Any

import xarray as xr

from bayesglu.errors import InputError


def require_fit(given: Any, group: str = "posterior") -> xr.DataTree:
    """A fit, which has a group; InputError where it is none."""
    needed = f"A fit with a group {group!r} is needed, as fit(...) and load(...) return it"
    if not isinstance(given, xr.DataTree):
        raise InputError(f"{needed}; this is of type {type(given).__name__}.")
    if group not in given.children:
        raise InputError(f"{needed}.")
    return given


def require_table(given: Any, function: str, *variables: str) -> xr.Dataset:
    """The dataset that a function returned; InputError where it is something else."""
    if not isinstance(given, xr.Dataset):
        found = f"is of type {type(given).__name__}"
        raise InputError(f"What {function}(...) returned is needed; this {found}.")
    if lacking := [name for name in variables if name not in given]:
        raise InputError(f"What {function}(...) returned is needed; this lacks {', '.join(lacking)}.")
    return given
