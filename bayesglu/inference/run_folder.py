"""A run on disk: of what it is, its coordinates, the draws of its chains as they come, in the end the fit.

Nothing in it is read without its checksum, and nothing is ever taken away: what is damaged is given another
name, and told.
"""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from hashlib import sha256
from pathlib import Path

import numpy as np

from bayesglu.atomic import UNFINISHED, as_path, is_clutter, is_hidden, make_folder, remove, whole
from bayesglu.errors import InputError, RunWarning, warn_caller
from bayesglu.inference.kept_draws import DAMAGED, KeptDraws
from bayesglu.inference.linearise import Expansion
from bayesglu.lock import NAME as LOCK
from bayesglu.lock import in_use
from bayesglu.settings import EARLIER

FORMAT = 2
"""Of the folder of a run. The first had no checksums."""

ABOUT, COPY = "run.json", "run-copy.json"
CHECKSUM = "sha256"


class Run:
    """A folder that holds a run: ``run.json`` (of what) and a copy of it, the coordinates of the pilot run
    and of the chains, the draws of both, and in the end the fit."""

    def __init__(self, folder: str | Path):
        self.folder = as_path(folder)
        if self.folder.suffix != ".zarr":
            raise InputError(f"{folder}: a run is kept in a folder whose name ends in .zarr.")
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{folder}: a run is kept in a folder, and this is none.")
        if self.folder.exists() and not self.described and (found := sorted(self._foreign())):
            raise InputError(self._not_a_run(found))
        self.chains, self.pilot = KeptDraws(self.folder), KeptDraws(self.folder / "pilot")

    @property
    def described(self) -> bool:
        """Whether it says of what it is."""
        return any((self.folder / name).exists() for name in (ABOUT, COPY))

    def _foreign(self) -> Iterator[str]:
        """What lies in the folder and was not left by a run that was stopped before it began."""
        for path in self.folder.iterdir():
            if not (path.name == LOCK or is_hidden(path) or is_clutter(path)):
                yield path.name

    def _not_a_run(self, found: list[str]) -> str:
        if any(name.startswith(("chain-", "pilot")) for name in found):
            return (
                f"{self.folder}: {ABOUT} and {COPY} are missing, without which nobody knows of what the "
                "draws there are. Put one of them back, or give another folder to begin anew."
            )
        return (
            f"{self.folder}: there is something else here ({', '.join(found[:3])}), not a run that was "
            "begun with resume. Give another folder."
        )

    def about(self) -> dict:
        """Of what the run is: settings, and hashes of model, study and coordinates.

        Raises InputError where neither ``run.json`` nor its copy is as it was written.
        """
        for name in (ABOUT, COPY):
            if (kept := _described(self.folder / name)) is not None:
                return {**EARLIER, **kept}
        raise InputError(
            f"{self.folder / ABOUT}: this file and {COPY} are damaged, without which nobody knows of what "
            "the draws there are. Put one of them back from a backup, or give another folder to begin anew; "
            "nothing here was changed."
        )

    def check(self, about: Mapping) -> None:
        """Raise InputError when this is a run of something else, with every difference."""
        kept, differences = self.about(), []
        for key, wanted in json.loads(json.dumps(about)).items():
            before = kept.get(key)
            if key == "draws" and isinstance(before, int):
                if wanted < before:
                    differences.append(f"draws: {before} then, only {wanted} now; give as many or more")
            elif before != wanted:
                differences.append(f"{key}: {before} then, {wanted} now")
        if differences:
            raise InputError("\n  ".join([f"{self.folder} was begun with something else:", *differences]))

    @property
    def fit(self) -> Path:
        """Where the fit is, once the run has finished."""
        return self.folder / "fit.zarr"

    @contextmanager
    def work(self, about: Mapping) -> Iterator[None]:
        """Work in the folder, alone; of what the run is stands there first.

        Raises InUseError where another process works there, InputError where it is of an earlier version,
        WriteError where nothing can be written.
        """
        make_folder(self.folder, parents=True)
        with in_use(self.folder):
            coordinates = {}
            if self.described:
                kept = self.about()
                if kept.get("format") != FORMAT:
                    raise InputError(
                        f"{self.folder} was begun by another version of bayesglu, whose draws this one "
                        "does not read: use that version, or give another folder to begin anew. "
                        "Nothing here was changed."
                    )
                coordinates = kept["coordinates"]
                self._put_aside()
            for left in self.folder.rglob(f"{UNFINISHED}*"):
                remove(left)
            self._describe({**about, "format": FORMAT, "coordinates": coordinates})
            make_folder(self.pilot.folder)
            yield

    def _put_aside(self) -> None:
        """Give a damaged description another name; its copy takes its place."""
        for name in (ABOUT, COPY):
            path = self.folder / name
            if path.exists() and _described(path) is None:
                path.replace(path.with_name(DAMAGED + name))
                other = COPY if name == ABOUT else ABOUT
                warn_caller(
                    f"{path}: this file is damaged; {other} says the same and takes its place. It is kept as "
                    f"{DAMAGED}{name}.",
                    RunWarning,
                )

    def _describe(self, about: dict) -> None:
        about = json.loads(json.dumps(about))
        for name in (COPY, ABOUT):
            if _described(self.folder / name) != about:
                text = json.dumps({**about, CHECKSUM: _checksum(about)}, indent=1)
                with whole(self.folder / name) as new:
                    new.write_text(text, encoding="utf-8")

    def expansion(self, name: str) -> Expansion | None:
        """The coordinates of that name, if they are settled; see `kept`."""
        kept = self.kept(name)
        if kept is not None and set(kept) != {f.name for f in fields(Expansion)}:
            raise InputError(f"{self.folder} was begun by another version of bayesglu: begin anew.")
        return None if kept is None else Expansion(**kept)

    def kept(self, name: str) -> dict[str, np.ndarray] | None:
        """The arrays of that name, if they are settled.

        Raises InputError where they are not those that were kept: draws mean nothing with others.
        """
        wanted, path = self.about()["coordinates"].get(name), self.folder / f"{name}.npz"
        if wanted is None:
            return None
        content = path.read_bytes() if path.exists() else b""
        if sha256(content).hexdigest() != wanted:
            raise InputError(
                f"{path}: this file is {'damaged' if content else 'missing'}. It holds the {name} of "
                "the run's draws, which mean nothing with others. Put it back from a backup, or give another "
                "folder to begin anew; nothing here was changed."
            )
        with np.load(io.BytesIO(content)) as kept:
            return {name: kept[name] for name in kept.files}

    def keep(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Settle the arrays of that name: coordinates, or the steps with which the equations are solved."""
        memory = io.BytesIO()
        np.savez(memory, allow_pickle=False, **arrays)
        with whole(self.folder / f"{name}.npz") as new:
            new.write_bytes(memory.getvalue())
        about = self.about()
        about["coordinates"][name] = sha256(memory.getvalue()).hexdigest()
        self._describe(about)


def is_run(folder: Path) -> bool:
    """Whether a folder is that of a run, or of a process that makes one."""
    return folder.suffix == ".zarr" and any((folder / name).exists() for name in (ABOUT, COPY, LOCK))


def _described(path: Path) -> dict | None:
    """What a description says; None where it is not there, or not as it was written."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        return None
    if not isinstance(kept, dict):
        return None
    checksum = kept.pop(CHECKSUM, None)
    earlier = {"draws", "seed", "model", "study"} <= set(kept) and "format" not in kept
    return kept if earlier or checksum == _checksum(kept) else None


def _checksum(about: dict) -> str:
    return sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
