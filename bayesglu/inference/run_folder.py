"""A run on disk: of what it is, its coordinates, the draws of its chains as they come, in the end the fit."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from bayesglu.atomic import is_hidden, remove, whole
from bayesglu.errors import InputError
from bayesglu.inference.linearise import Expansion

CHUNK = 16
"""Draws that nutpie writes at a time. The last batch of a stopped chain may be half written: it is not
read."""

STATISTICS = (
    "depth",
    "diverging",
    "energy",
    "energy_error",
    "index_in_trajectory",
    "logp",
    "max_energy_error",
    "maxdepth_reached",
    "mean_tree_accept",
    "n_steps",
    "step_size",
    "step_size_bar",
)


@dataclass(frozen=True)
class Segment:
    """Draws of a chain that were made without a stop: positions (draw, x) and statistics (draw,) by name."""

    positions: np.ndarray
    statistics: Mapping[str, np.ndarray]


class Run:
    """A folder that holds a run: ``run.json`` (of what), the coordinates, the segments of every chain, and in
    the end the fit."""

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        if self.folder.suffix != ".zarr":
            raise InputError(f"{folder}: a run is kept in a folder whose name ends in .zarr.")
        if self.folder.exists() and not self.described and any(self._strangers()):
            raise InputError(f"{folder}: there is something else here, not a run that was begun with resume.")

    @property
    def described(self) -> bool:
        return (self.folder / "run.json").exists()

    def _strangers(self) -> Iterator[Path]:
        """What lies in the folder and was not left by a run that was stopped before it began."""
        own = self.folder / "coordinates.npz"
        return (path for path in self.folder.iterdir() if path != own and not is_hidden(path))

    def about(self) -> dict:
        return json.loads((self.folder / "run.json").read_text(encoding="utf-8"))

    @property
    def fit(self) -> Path:
        """Where the fit is, once the run has finished."""
        return self.folder / "fit.zarr"

    def begin(self, about: Mapping, expansion: Expansion | None) -> None:
        """Write down of what the run is, last: a folder without it was never begun. A fit with fewer draws
        goes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if expansion is not None and not self.described:
            with whole(self.folder / "coordinates.npz") as new:
                np.savez(new, **asdict(expansion))
        remove(self.fit)
        with whole(self.folder / "run.json") as new:
            new.write_text(json.dumps(about, indent=1), encoding="utf-8")

    def expansion(self) -> Expansion | None:
        path = self.folder / "coordinates.npz"
        if not path.exists():
            return None
        with np.load(path) as kept:
            if set(kept.files) != {f.name for f in fields(Expansion)}:
                raise InputError(f"{self.folder} was begun by another version of bayesglu: begin anew.")
            return Expansion(**{name: kept[name] for name in kept.files})

    def check(self, about: Mapping) -> None:
        """Raise ValueError when this is a run of something else, with every difference."""
        kept, differences = self.about(), []
        for key, wanted in json.loads(json.dumps(about)).items():
            if key == "draws":
                if wanted < kept[key]:
                    differences.append(f"draws: {kept[key]} then, only {wanted} now; give as many or more")
            elif kept[key] != wanted:
                differences.append(f"{key}: {kept[key]} then, {wanted} now")
        if differences:
            raise InputError("\n  ".join([f"{self.folder} was begun with something else:", *differences]))

    def place(self, chain: int, segment: int) -> Path:
        return self.folder / f"chain-{chain}" / f"part-{segment}"

    def finish(self, chain: int, segment: int) -> None:
        """Mark a segment as whole."""
        (self.place(chain, segment) / "whole").touch()

    def segments(self, chain: int) -> list[Segment]:
        """What is kept of a chain; a segment without a draw is taken away, so that it is made again."""
        found = []
        while (place := self.place(chain, len(found))).exists():
            segment = _read(place, whole=(place / "whole").exists())
            if not len(segment.positions):
                shutil.rmtree(place)
                break
            found.append(segment)
        return found


def _read(place: Path, whole: bool) -> Segment:
    import zarr
    from zarr.errors import GroupNotFoundError

    try:
        kept = zarr.open_group(str(place), mode="r")
        positions = kept["posterior/position"][0]
        statistics = {name: kept[f"sample_stats/{name}"][0] for name in STATISTICS}
    except (GroupNotFoundError, FileNotFoundError, KeyError, ValueError):  # stopped before it was laid out
        return Segment(np.empty((0, 0)), {})
    made = np.isfinite(positions).all(-1) & np.isfinite(statistics["energy"]) & (statistics["n_steps"] > 0)
    n = len(made) if made.all() else int(made.argmin())
    if not whole:
        n = max(0, n // CHUNK - 1) * CHUNK
    return Segment(positions[:n], {name: values[:n] for name, values in statistics.items()})
