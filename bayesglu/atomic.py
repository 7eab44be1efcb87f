"""Files and folders that are written whole or not at all.

They are written beside their place, under a hidden name of their own, and moved into it when they are done:
whoever is stopped, even killed, on the way leaves what was there before.
"""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bayesglu.errors import BayesgluError, InputError

UNFINISHED, REPLACED = ".unfinished-", ".replaced-"
"""How the hidden names begin: of what is being written or taken away, and of what is being replaced."""

CLUTTER = {".DS_Store", ".localized", ".directory", "Icon\r", "Thumbs.db", "ehthumbs.db", "desktop.ini"}


class WriteError(BayesgluError, OSError):
    """A file or folder that could not be written."""


@contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Where to write, as a file or a folder, what then takes the place of `path`; the folder must exist.

    What is no file and no folder, such as ``/dev/stdout``, is written to directly.

    Raises WriteError where it cannot be written, and leaves what was there.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole(Path(folder) / "a.txt") as new:
    ...         _ = new.write_text("all of it")
    ...     (Path(folder) / "a.txt").read_text()
    'all of it'
    """
    path = Path(path)
    try:
        if path.exists() and not (path.is_file() or path.is_dir()):
            yield path
            return
        place = Path(os.path.realpath(path))
        new = beside(place)
        try:
            yield new
            _settle(new)
            _put(new, place)
        finally:
            _discard(new)
    except OSError as error:
        why = error.strerror or str(error)
        raise WriteError(f"{path}: cannot be written: {why}. What was there before is as it was.") from error


def as_path(given: str | Path) -> Path:
    """The path that was given; InputError where no file can be called so.

    >>> as_path("fit.nc").name
    'fit.nc'
    """
    try:
        path = Path(given)
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            path.lstat()
    except TypeError:
        raise InputError(f"{given!r} is no path; give the name of a file or folder as a text.") from None
    except (ValueError, OSError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{str(given)[:60]!r} cannot be the name of a file or folder: {why}.") from None
    return path


def make_folder(path: Path, parents: bool = False) -> None:
    """Make a folder if it is not there; WriteError where that cannot be."""
    try:
        path.mkdir(parents=parents, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{path}: cannot be made: {error.strerror or error}.") from error


def require_writable(path: Path) -> None:
    """Raise WriteError where no file can be made beside `path`; before hours of work, and not after."""
    try:
        tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent).close()
    except OSError as error:
        raise WriteError(f"{path}: cannot be written: {error.strerror or error}.") from error


def remove(path: Path) -> None:
    """Take away a file or a folder, at once: nothing half deleted is ever found at `path`."""
    gone = beside(path)
    with suppress(FileNotFoundError):
        os.rename(path, gone)
        _discard(gone)


def present(path: Path) -> Path:
    """Where to read what was last written whole to `path`: there, unless a kill came between the two moves
    that replace a folder."""
    if not path.name:  # the working folder, or the root of all
        return path
    replaced = path.with_name(REPLACED + path.name)
    return replaced if replaced.exists() and not path.exists() else path


def is_clutter(path: Path) -> bool:
    """Whether a file is one that file managers and network disks leave in every folder."""
    return path.name in CLUTTER or path.name.startswith(("._", ".nfs", ".fuse_hidden"))


def is_hidden(path: Path) -> bool:
    """Whether a path is one of the hidden ones of this module."""
    return path.name.startswith((UNFINISHED, REPLACED))


def is_empty(folder: Path) -> bool:
    """Whether nothing lies in a folder but hidden files, of this module or of file managers; or it is not
    there."""
    if not folder.exists():
        return True
    return folder.is_dir() and all(is_hidden(path) or is_clutter(path) for path in folder.iterdir())


def beside(path: Path) -> Path:
    """A hidden name of its own in the same folder, for what is not yet, or not any more, at `path`."""
    # The end of a name may say in which format to write.
    return path.with_name(f"{UNFINISHED}{secrets.token_hex(4)}{path.suffix}")


def _put(new: Path, path: Path) -> None:
    """Move what was written into its place."""
    replaced = path.with_name(REPLACED + path.name)
    if new.is_dir() and path.is_dir():  # no folder can be moved onto another: see `present`
        remove(replaced)
        os.rename(path, replaced)
        try:
            os.rename(new, path)
        except OSError:
            os.rename(replaced, path)
            raise
    else:
        if new.is_file() and path.is_file():
            shutil.copymode(path, new)
        os.replace(new, path)
    remove(replaced)


def _settle(path: Path) -> None:
    """Have the disk keep what was written before its name is changed."""
    for file in (f for f in (path, *path.rglob("*")) if f.is_file()):
        with file.open("r+b") as written:
            os.fsync(written.fileno())


def _discard(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
