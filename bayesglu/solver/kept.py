"""Compiled code kept on disk, which is found again only if it is whole and what was asked for.

Each file begins with a checksum of its own name and of the code that follows. Whatever does not agree with it
(empty, cut short, a bit flipped, moved to another name) is as if it were not there: it is compiled anew, and
written anew. So is what others could have put there: a file is run only if it belongs to whoever runs it, or
to the administrator, and nobody else may write to it.
"""

import os
import stat
import tempfile
from functools import cache
from hashlib import sha256
from pathlib import Path

from platformdirs import user_cache_path

from bayesglu.atomic import whole
from bayesglu.errors import BayesgluWarning, warn_caller

CHECKSUM = sha256().digest_size


class CacheWarning(BayesgluWarning):
    """Compiled code that cannot be kept."""


def cache_folder(kind: str) -> Path:
    """Folder for compiled things of one kind; BAYESGLU_CACHE_DIR in the environment says where they go."""
    return Path(os.environ.get("BAYESGLU_CACHE_DIR") or user_cache_path("bayesglu")) / kind


def find(path: Path) -> bytes | None:
    """The code that was kept at `path`; None where there is none that is whole and one's own."""
    try:
        with path.open("rb") as file:
            if not _own(os.fstat(file.fileno())):
                return None
            kept = file.read()
    except OSError:
        return None
    checksum, code = kept[:CHECKSUM], kept[CHECKSUM:]
    return code if checksum == _checksum(path, code) else None


def keep(path: Path, code: bytes) -> None:
    """Keep code at `path`, for oneself alone. A folder that cannot be written, or whose files anybody may
    write, only costs the compilation next time, as a CacheWarning says."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not _own(path.stat()):
            path.unlink()  # who may write to a file stays when it is replaced
        with whole(path) as new:
            new.write_bytes(_checksum(path, code) + code)
            new.chmod(0o600)
        if not _own(path.stat()):
            _tell(cache_folder(""), "others can write to the files there, which could be code of theirs")
    except OSError as error:
        why = getattr(error.__cause__, "strerror", None) or error.strerror or str(error)
        _tell(cache_folder(""), f"{why[0].lower()}{why[1:]}")


def can_keep(folder: Path) -> bool:
    """Whether a folder can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def _own(file: os.stat_result) -> bool:
    """Whether nobody but the user and the administrator could have written a file."""
    if not hasattr(os, "geteuid"):  # Windows, where a user's folders are closed to others
        return True
    return file.st_uid in (0, os.geteuid()) and not file.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _checksum(path: Path, code: bytes) -> bytes:
    return sha256(path.name.encode() + b"\0" + code).digest()


@cache
def _tell(root: Path, why: str) -> None:
    problem = f"Compiled code cannot be kept in {root} ({why}), so that every start compiles it again."
    warn_caller(f"{problem} BAYESGLU_CACHE_DIR in the environment names another folder.", CacheWarning)
