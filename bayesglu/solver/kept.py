"""Compiled code kept on disk, which is found again only if it is whole and what was asked for.

Each file begins with a checksum of its own name and of the code that follows. Whatever does not agree with it
(empty, cut short, a bit flipped, moved to another name) is as if it were not there: it is compiled anew, and
written anew.
"""

import os
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
    """The code that was kept at `path`; None where there is none that is whole."""
    try:
        kept = path.read_bytes()
    except OSError:
        return None
    checksum, code = kept[:CHECKSUM], kept[CHECKSUM:]
    return code if checksum == _checksum(path, code) else None


def keep(path: Path, code: bytes) -> None:
    """Keep code at `path`. A folder that cannot be written only costs the compilation next time, as a
    CacheWarning says."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as new:
            new.write_bytes(_checksum(path, code) + code)
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


def _checksum(path: Path, code: bytes) -> bytes:
    return sha256(path.name.encode() + b"\0" + code).digest()


@cache
def _tell(root: Path, why: str) -> None:
    told = f"Compiled code cannot be kept in {root} ({why}), so that every start compiles it again."
    warn_caller(f"{told} BAYESGLU_CACHE_DIR in the environment names another folder.", CacheWarning)
