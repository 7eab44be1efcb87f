"""A folder that one process at a time works in, which says there whose it is.

The process that works keeps a file fresh. One that was killed leaves it behind: whoever comes next sees that
the process is gone (on the same host), or that nobody kept the file fresh (on another), and takes its place;
with a word only in the second case, where it is not certain.
"""

import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

from bayesglu.atomic import WriteError, beside
from bayesglu.errors import BayesgluError, RunWarning, warn_caller

NAME = "in_use.json"
FRESH, STALE = 5.0, 60.0
"""Seconds after which the file is touched again, and after which an untouched one has nobody any more."""
_calls: set[str] = set()
"""Of this process, that work somewhere now."""

UNKNOWN = dict.fromkeys(("process", "host", "since"), "?")


class InUseError(BayesgluError, RuntimeError):
    """A folder in which another process is at work."""


@contextmanager
def in_use(folder: Path) -> Iterator[None]:
    """While this lasts, `folder` is that of this process alone.

    Raises InUseError where another one works in it, and WriteError where nothing can be written there.
    """
    place = folder / NAME
    mine = {"host": socket.gethostname(), "process": os.getpid(), "started": _started(os.getpid())}
    call = secrets.token_hex(8)
    mine |= {"since": datetime.now(UTC).isoformat(timespec="seconds"), "call": call}
    try:
        _take(place, mine)
    except OSError as error:
        raise WriteError(f"{place}: cannot be written: {error.strerror or error}.") from error
    done = Event()
    fresh = Thread(target=_keep_fresh, args=(place, done), daemon=True)
    fresh.start()
    _calls.add(call)
    try:
        yield
    finally:
        _calls.discard(call)
        done.set()
        fresh.join()
        if _owner(place) == mine:
            with suppress(OSError):
                place.unlink()


def _take(place: Path, mine: dict) -> None:
    while True:
        try:
            file = os.open(place, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            _require_left(place)
            continue
        try:
            with os.fdopen(file, "w", encoding="utf-8") as new:
                json.dump(mine, new)
        except OSError:  # a full disk
            place.unlink()
            raise
        return


def _require_left(place: Path) -> None:
    """Take a file away that nobody keeps fresh; raise InUseError where somebody does."""
    owner = _owner(place)
    who = "process {process} on {host}, since {since}".format_map({**UNKNOWN, **owner})
    if _works(owner, place):
        raise InUseError(
            f"{place.parent}: this folder is in use by another call ({who}). Wait until it has ended, or "
            f"give another folder. If that process is certainly gone, delete {place.name} there."
        )
    gone = beside(place)
    with suppress(FileNotFoundError):  # somebody else was faster
        os.rename(place, gone)
        if _owner(gone) != owner:  # and is at work already
            os.rename(gone, place)
            return
        gone.unlink()
        if not _has_ended(owner):
            warn_caller(
                f"{place.parent} was in use by another call ({who}), of which nothing was seen for "
                f"{STALE:.0f} s; this one takes over.",
                RunWarning,
            )


def _owner(place: Path) -> dict:
    """What the file says of its process; nothing where it cannot be read."""
    try:
        owner = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return owner if isinstance(owner, dict) else {}


def _has_ended(owner: dict) -> bool:
    """Whether it was a call of this host, and has certainly ended."""
    if owner.get("host") != socket.gethostname() or os.name != "posix":
        return False
    number = owner.get("process")
    if not isinstance(number, int) or not _exists(number) or _started(number) != owner.get("started"):
        return True
    return number == os.getpid() and owner.get("call") not in _calls


def _works(owner: dict, place: Path) -> bool:
    """Whether the process still works there."""
    if _has_ended(owner):
        return False
    here = owner.get("host") == socket.gethostname() and os.name == "posix"
    if here and (owner.get("started") or owner.get("process") == os.getpid()):
        return True
    try:
        with tempfile.TemporaryFile(dir=place.parent) as now:  # by the clock of the disk
            return os.fstat(now.fileno()).st_mtime - place.stat().st_mtime < STALE
    except FileNotFoundError:
        return False


def _exists(number: int) -> bool:
    try:
        os.kill(number, 0)
    except PermissionError:
        return True
    except (OSError, OverflowError):
        return False
    return number > 0


def _started(number: int) -> str:
    """When a process of this host started, in which start of the host; nothing where that is not known, or
    where the process has ended and only its parent has not noticed."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        host = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, ValueError):
        return ""
    return "" if fields[0] in "ZX" else f"{fields[19]} of {host}"


def _keep_fresh(place: Path, done: Event) -> None:
    while not done.wait(FRESH):
        with suppress(OSError):
            os.utime(place)
