"""Work in pieces that do not wait for each other: done in local processes or by an executor, each kept as it
ends."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from types import ModuleType
from typing import Any

from bayesglu.atomic import is_empty, make_folder, whole
from bayesglu.errors import BayesgluError, InputError
from bayesglu.lock import in_use
from bayesglu.parallel import cores, use_at_most
from bayesglu.sealed import is_sealed, opened, sealed

WAITING = 256
"""Pieces that are handed to an executor at a time."""

TRIES = 3
"""How often local processes are started of which one was ended from outside."""


class WorkerLostError(BayesgluError, RuntimeError):
    """A process that did a part of the work, and was ended before it was done."""


# --- who does it ---


def each_done(
    function: Callable,
    pieces: Mapping[int, tuple],
    executor: Any = None,
    cores_each: int = 1,
    modules: Iterable[str] = (),
) -> Iterator[tuple[int, Any]]:
    """The number of each piece of work and what `function` makes of its arguments, as they end.

    executor : what has the interface of `concurrent.futures.Executor`, or a Dask client; a number of local
    processes; or None for as many as there are cores for, where each takes `cores_each`. If that is one
    process, it is this one. modules : those that a local process imports first.

    Raises InputError where `executor` is nothing of this, WorkerLostError where a process was ended, and
    whatever `function` raises.
    """
    if executor is None or isinstance(executor, int):
        yield from _in_local_processes(function, pieces, executor, cores_each, modules)
        return
    try:
        yield from _by(_executor_of(executor), function, pieces)
    except BrokenExecutor as error:
        raise WorkerLostError(_lost(f"of {type(executor).__name__}")) from error


def _executor_of(given: Any) -> Executor:
    if hasattr(given, "get_executor"):  # a client of Dask, to which the same call twice is not the same work
        return given.get_executor(pure=False)
    if callable(getattr(given, "submit", None)):
        return given
    raise InputError(
        f"executor is of type {type(given).__name__}; give a number of processes, an executor of "
        "concurrent.futures, such as ProcessPoolExecutor(4), a client of Dask, or None."
    )


def check_executor(given: Any) -> None:
    """Raise InputError where `each_done` could not use it."""
    if isinstance(given, bool) or (isinstance(given, int) and given < 1):
        raise InputError(f"executor is {given!r}; a number of local processes is a whole one, 1 or more.")
    if given is not None and not isinstance(given, int) and not hasattr(given, "get_executor"):
        _executor_of(given)


def _in_local_processes(function, pieces, number: int | None, cores_each: int, modules) -> Iterator:
    modules, left = [*modules], dict(pieces)
    usual = 1 if "__main__" in modules else max(1, cores() // cores_each)
    at_once = min(number or usual, len(pieces))
    if at_once < 2:
        yield from ((i, function(*arguments)) for i, arguments in pieces.items())
        return
    each = max(1, cores() // at_once)
    for _ in range(TRIES):
        pool = ProcessPoolExecutor(at_once, _Context(), _begin, (each, modules))
        try:
            for i, done in _by(pool, function, left):
                del left[i]
                yield i, done
            return
        except BrokenExecutor as error:
            lost = error
        finally:
            pool.shutdown(cancel_futures=True)
    raise WorkerLostError(_lost(f"of {at_once} local ones, {TRIES} times")) from lost


def _by(executor: Executor, function: Callable, pieces: Mapping[int, tuple]) -> Iterator[tuple[int, Any]]:
    """What an executor makes of pieces, of which it never has too many."""
    left, running = list(pieces.items()), {}
    left.reverse()
    try:
        while left or running:
            while left and len(running) < WAITING:
                i, arguments = left.pop()
                running[executor.submit(function, *arguments)] = i
            done: set[Future] = wait(running, return_when=FIRST_COMPLETED).done
            for future in done:
                yield running.pop(future), future.result()
    finally:
        for future in running:
            future.cancel()


def _lost(which: str) -> str:
    return (
        f"A process {which}, was ended from outside before its work was done, as happens where memory runs "
        "out: take fewer processes at a time. Pieces that had ended are kept where a folder was given to "
        "keep them in, and the same call resumes from there."
    )


def _begin(number: int, modules: Iterable[str]) -> None:
    """What a local process does first."""
    use_at_most(number)
    for name in modules:
        import_module(name)


class _Apart(SpawnProcess):
    """A process that does not run the script again from which it was started."""

    def start(self) -> None:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            super().start()
        finally:
            sys.modules["__main__"] = main


class _Context(SpawnContext):
    Process = _Apart


# --- where it is kept ---


@dataclass(frozen=True)
class Kept:
    """A folder of pieces of work, each a file of JSON as soon as it has ended, and what all are.

    kind : what they are together, ``"calibration"``; piece : what one of them is, ``"simulation"``.
    """

    folder: Path
    kind: str
    piece: str

    @property
    def about(self) -> Path:
        """The file that says what they are."""
        return self.folder / f"{self.kind}.json"

    def seed(self) -> int | None:
        """The seed of what is there."""
        return self._described().get("seed") if self.about.exists() else None

    def work(self, about: Mapping) -> AbstractContextManager:
        """While pieces are made there.

        Raises InputError where the folder holds something else, InUseError where another process works there.
        """
        called = self.kind.replace("_", "-")
        if not self.about.exists():
            if self.folder.is_dir() and not is_empty(self.folder):
                raise InputError(f"{self.folder} holds something else than a {called}; give another folder.")
            make_folder(self.folder, parents=True)
            self._write(self.about, about)
        wanted = json.loads(json.dumps(about))
        there = self._described()
        if differing := [name for name in wanted if there.get(name) != wanted[name]]:
            raise InputError(
                f"{self.folder} holds a {called} of another kind: {', '.join(differing)} differ"
                f"{'s' * (len(differing) == 1)}. Give another folder, or the same settings."
            )
        return in_use(self.folder)

    def found(self, numbers: Iterable[int]) -> dict[int, Any]:
        """Those that are there."""
        places = ((i, self._place(i)) for i in numbers)
        return {i: self._read(place) for i, place in places if place.exists()}

    def add(self, number: int, one: Any) -> Any:
        """Keep one; what `found` would give of it."""
        self._write(self._place(number), one)
        return one

    def _place(self, number: int) -> Path:
        return self.folder / f"{self.piece}_{number:04d}.json"

    def _described(self) -> dict:
        """What the file says that says what they are."""
        there = self._read(self.about)
        if not isinstance(there, dict):
            raise self._damaged(self.about)
        return there

    def _write(self, path: Path, what: Any) -> None:
        self._write_bytes(path, json.dumps(what, indent=1).encode())

    def _read(self, path: Path) -> Any:
        try:
            return json.loads(self._read_bytes(path))
        except (ValueError, RecursionError) as error:
            raise self._damaged(path) from error

    def _write_bytes(self, path: Path, content: bytes) -> None:
        with whole(path) as new:
            new.write_bytes(sealed(content))

    def _read_bytes(self, path: Path) -> bytes:
        """What was written; those of earlier versions bear no seal."""
        try:
            data = path.read_bytes()
        except OSError as error:
            raise BayesgluError(f"{path}: cannot be read: {error.strerror or error}.") from error
        content = opened(data) if is_sealed(data) else data
        if content is None:
            raise self._damaged(path)
        return content

    def _damaged(self, path: Path) -> BayesgluError:
        if path == self.about:
            return BayesgluError(
                f"{path}: this file is damaged, without which nobody knows of what the {self.piece}s here "
                "are. Put it back from a backup, or give another folder to begin anew."
            )
        return BayesgluError(f"{path}: this file is damaged. Move it away, and it is made again.")


def in_pieces(
    function: Callable,
    pieces: Mapping[int, tuple],
    kept: Kept | None,
    about: Mapping,
    executor: Any = None,
    cores_each: int = 1,
    modules: Iterable[str] = (),
    shown: Callable[[Iterable, int], Iterable] = lambda done, total: done,
) -> dict[int, Any]:
    """What `function` makes of each piece, by its number: of those that are not kept yet, see `each_done`.

    about : what the pieces are, of which others are refused. shown : makes progress visible.
    """

    def made(numbers: Mapping[int, tuple]) -> Iterable[tuple[int, Any]]:
        return shown(each_done(function, numbers, executor, cores_each, modules), len(numbers))

    if kept is None:
        return dict(made(pieces))
    with kept.work(about):
        found = kept.found(pieces)
        for number, one in made({i: own for i, own in pieces.items() if i not in found}):
            found[number] = kept.add(number, one)
    return found
