"""The draws of chains on disk, in files of some draws each, every one with a checksum.

A chain is a folder of parts, a part what was drawn without a stop. Reading takes nothing away: a file that is
not what was written is given another name, and the draws of all others stay.
"""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from bayesglu.atomic import make_folder, whole
from bayesglu.errors import RunWarning, warn_caller
from bayesglu.sealed import opened, sealed

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
"""What nutpie tells of each draw, as far as a sampler has it."""

DAMAGED = "damaged-"
"""How the new name of a file begins that is not what was written."""


@dataclass(frozen=True)
class Segment:
    """Draws of a chain that were made without a stop: positions (draw, x) and statistics (draw,) by name.

    `gaps` are the draws before which some are lost.
    """

    positions: np.ndarray
    statistics: Mapping[str, np.ndarray]
    gaps: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)


def joined(segments: list[Segment]) -> Segment:
    """One segment of several."""
    return Segment(
        np.concatenate([s.positions for s in segments]),
        {name: np.concatenate([s.statistics[name] for s in segments]) for name in segments[0].statistics},
    )


class KeptDraws:
    """The chains in a folder, which is there already."""

    def __init__(self, folder: Path):
        self.folder = folder

    def place(self, chain: int, part: int) -> Path:
        """The folder of a part."""
        return self.folder / f"chain-{chain}" / f"part-{part}"

    def begin(self, chain: int, part: int) -> int:
        """Make the folder of a part, and say how often that was begun before."""
        place = self.place(chain, part)
        make_folder(place.parent)
        make_folder(place)
        before = _number(place / "begun")
        with whole(place / "begun") as new:
            new.write_text(str(before + 1))
        return before

    def keep(self, chain: int, part: int, first: int, made: Segment) -> None:
        """Keep draws of a part, of which so many are kept already."""
        kinds = np.dtype([(name, values.dtype) for name, values in made.statistics.items()])
        statistics = np.empty(len(made), kinds)
        for name, values in made.statistics.items():
            statistics[name] = values
        memory = io.BytesIO()
        np.savez(memory, positions=made.positions, statistics=statistics, place=(chain, part, first))
        with whole(self.place(chain, part) / _name(first)) as new:
            new.write_bytes(sealed(memory.getvalue()))

    def finish(self, chain: int, part: int, draws: int) -> None:
        """Write down how many draws a part has when it is whole."""
        with whole(self.place(chain, part) / "whole") as new:
            new.write_text(str(draws))

    def parts(self, chain: int) -> dict[int, Segment]:
        """What is kept of the parts of a chain that have draws, in their order.

        A RunWarning names what is damaged or lost. OSError where a file is there and cannot be read.
        """
        found = {}
        for place in self.folder.glob(f"chain-{chain}/part-*"):
            number = place.name.removeprefix("part-")
            if number.isdecimal() and len(segment := self._part(chain, int(number))):
                found[int(number)] = segment
        for lost in set(range(max(found, default=0))) - set(found):
            _tell(f"{self.place(chain, lost)}: the draws of this part of the chain are lost.")
        return dict(sorted(found.items()))

    def _part(self, chain: int, part: int) -> Segment:
        place = self.place(chain, part)
        made, gaps, at, kept = [], [], 0, 0
        for first, segment in sorted(self._files(chain, part), key=lambda file: file[0]):
            if first != at:
                self._tell_lost(place, at, first)
                gaps.append(kept)
            made.append(segment)
            at, kept = first + len(segment), kept + len(segment)
        self._tell_lost(place, at, _number(place / "whole"))
        if not made:
            return Segment(np.empty((0, 0)), {})
        return replace(joined(made), gaps=tuple(gaps))

    def _tell_lost(self, place: Path, first: int, end: int) -> None:
        if first < end and not (place / f"{DAMAGED}{_name(first)}").exists():  # of which it is told
            _tell(f"{place}: the draws {first} to {end - 1} of this part of the chain are lost.")

    def _files(self, chain: int, part: int) -> Iterator[tuple[int, Segment]]:
        for path in self.place(chain, part).glob("draws-*.npz"):
            content = opened(path.read_bytes())
            if content is not None:
                with np.load(io.BytesIO(content)) as kept:
                    own, first = kept["place"][:2].tolist(), int(kept["place"][2])
                    statistics = {name: kept["statistics"][name] for name in kept["statistics"].dtype.names}
                    segment = Segment(kept["positions"], statistics)
                if own == [chain, part] and path.name == _name(first):
                    yield first, segment
                    continue
            aside = path.with_name(DAMAGED + path.name)
            path.replace(aside)
            _tell(
                f"{path}: this file is not as it was written, and its draws are not used. It is kept as "
                f"{aside.name}; the draws of all other files are used, and as many as are missing are made."
            )


def _name(first: int) -> str:
    return f"draws-{first:06}.npz"


def _number(path: Path) -> int:
    """The number in a file; 0 where there is none."""
    try:
        return int(json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError, RecursionError):
        return 0


def _tell(message: str) -> None:
    warn_caller(message, RunWarning)
