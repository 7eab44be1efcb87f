"""Chains of nutpie, several at a time; kept on disk as they go if wanted, and gone on with after a stop."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.atomic import is_hidden, remove, whole
from bayesglu.errors import InputError
from bayesglu.hierarchy.design import Design
from bayesglu.inference.density import Density, log_density
from bayesglu.inference.linearise import Expansion
from bayesglu.inference.progress import Progress
from bayesglu.parallel import cores as usable_cores
from bayesglu.solver.integrate import FINE, OUTCOMES
from bayesglu.solver.solver import SolverError

RETUNE = 250
"""Tuning draws, at most, of a chain that goes on from its last draw: its step sizes are learnt again."""

CHUNK = 16
"""Draws that nutpie writes at a time. The last such lot of a stopped chain may be half written: it is not
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

ARVIZ_NAMES = {
    "depth": "tree_depth",
    "logp": "lp",
    "maxdepth_reached": "reached_max_treedepth",
    "mean_tree_accept": "acceptance_rate",
}
"""What ArviZ calls some of them."""


@dataclass(frozen=True)
class Sampling:
    """How to sample. What a run that goes on may not change is everything but `draws`."""

    draws: int
    tune: int
    chains: int
    seed: int
    target_accept: float
    parametrization: str
    nuts: Mapping
    solver: Mapping


@dataclass(frozen=True)
class Part:
    """Draws of a chain that were made without a stop: positions (draw, x) and statistics (draw,) by name."""

    positions: np.ndarray
    statistics: Mapping[str, np.ndarray]


@dataclass
class Failures:
    """Solves that failed while sampling, by person and reason."""

    design: Design
    counts: Counter = field(default_factory=Counter)

    def record(self, density: Density, x: np.ndarray) -> None:
        values = density.unpack(x[None]).at(0)
        theta, true = self.design.theta(values), self.design.driven_by(values)
        if np.isfinite(theta).all() and np.isfinite(true).all():
            self.count(self.design.predict(theta, true)[1])

    def count(self, outcome: np.ndarray) -> None:
        """Add the failures among outcome codes ``(..., test)``."""
        for place in zip(*np.nonzero(outcome != FINE), strict=True):
            self.counts[self.design.study.occasions[place[-1]][0], OUTCOMES[int(outcome[place])]] += 1

    def told(self) -> list[dict]:
        return [{"subject": s, "reason": r, "count": n} for (s, r), n in self.counts.most_common()]


class Run:
    """A folder that holds a run: ``run.json`` (of what), the coordinates, the parts of every chain, and in
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

    def place(self, chain: int, part: int) -> Path:
        return self.folder / f"chain-{chain}" / f"part-{part}"

    def finish(self, chain: int, part: int) -> None:
        """Mark a part as whole."""
        (self.place(chain, part) / "whole").touch()

    def parts(self, chain: int) -> list[Part]:
        """What is kept of a chain; a part without a draw is taken away, so that it is made again."""
        found = []
        while (place := self.place(chain, len(found))).exists():
            part = _read(place, whole=(place / "whole").exists())
            if not len(part.positions):
                shutil.rmtree(place)
                break
            found.append(part)
        return found


def _read(place: Path, whole: bool) -> Part:
    import zarr
    from zarr.errors import GroupNotFoundError

    try:
        kept = zarr.open_group(str(place), mode="r")
        positions = kept["posterior/position"][0]
        statistics = {name: kept[f"sample_stats/{name}"][0] for name in STATISTICS}
    except (GroupNotFoundError, FileNotFoundError, KeyError, ValueError):  # stopped before it was laid out
        return Part(np.empty((0, 0)), {})
    made = np.isfinite(positions).all(-1) & np.isfinite(statistics["energy"]) & (statistics["n_steps"] > 0)
    n = len(made) if made.all() else int(made.argmin())
    if not whole:
        n = max(0, n // CHUNK - 1) * CHUNK
    return Part(positions[:n], {name: values[:n] for name, values in statistics.items()})


def sample(
    density: Density,
    sampling: Sampling,
    failures: Failures,
    cores: int | None = None,
    progressbar: bool = True,
    run: Run | None = None,
    doing: str = "sampling",
) -> tuple[np.ndarray, xr.Dataset, list[dict]]:
    """Positions (chain, draw, x), the sampler's statistics, and where chains went on after a stop.

    A chain depends on the seed and on its own number alone, whatever else runs. With a `run` its draws are
    written as they come, and chains that are there already go on: one that had not yet finished its tuning
    starts again, the same to the last bit; one that had draws goes on from the last of them, with new random
    numbers and at most `RETUNE` draws to learn its step sizes again, which are not kept.
    """
    _check_start(density, failures)
    parts = [run.parts(chain) if run else [] for chain in range(sampling.chains)]
    missing = [sampling.draws - sum(len(p.positions) for p in own) for own in parts]
    waiting = [chain for chain in range(sampling.chains) if missing[chain] > 0]
    tunes = {c: min(sampling.tune, RETUNE) if parts[c] else sampling.tune for c in waiting}
    at_once = min(len(waiting), cores or usable_cores())
    running: dict[int, object] = {}
    expected = sum(missing[c] + tunes[c] for c in waiting)
    with Progress(expected, progressbar, failures.counts, doing) as progress:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    chain = waiting.pop(0)
                    this = replace(sampling, draws=missing[chain], tune=tunes[chain])
                    running[chain] = _start(density, this, failures, chain, parts[chain], run, progress)
                for chain in [c for c, sampler in running.items() if _finished(sampler)]:
                    trace = running.pop(chain).wait()
                    if run:
                        run.finish(chain, len(parts[chain]))
                    parts[chain].append(_part(trace))
                time.sleep(0.02)
        except KeyboardInterrupt:
            for sampler in running.values():
                sampler.cancel()
            raise
    whole = [_joined(own, sampling.draws) for own in parts]
    breaks = [
        {"chain": chain, "draw": int(at)}
        for chain, own in enumerate(parts)
        for at in np.cumsum([len(p.positions) for p in own])[:-1]
    ]
    dims = {"chain": np.arange(sampling.chains), "draw": np.arange(sampling.draws)}
    statistics = {
        ARVIZ_NAMES.get(n, n): (("chain", "draw"), np.stack([w.statistics[n] for w in whole]))
        for n in STATISTICS
    }
    return np.stack([w.positions for w in whole]), xr.Dataset(statistics, coords=dims), breaks


def _check_start(density: Density, failures: Failures) -> None:
    start = np.zeros(density.size)
    if not np.isfinite(density(start)[0]):
        failures.record(density, start)
        raise SolverError(
            "The sampler cannot start: the log density is not finite where it is to begin.\n"
            + "\n".join(f"subject {f['subject']}: {f['reason']}" for f in failures.told())
        )


def _start(density, sampling, failures, chain, before, run, progress):
    """nutpie at work on a chain in threads of its own, from where its parts end."""
    import nutpie
    from nutpie.compiled_pyfunc import from_pyfunc

    rng = np.random.default_rng([sampling.seed, chain, len(before)])
    start = before[-1].positions[-1] if before else 0.3 * rng.normal(size=density.size)
    if not np.isfinite(density(start)[0]):
        start = np.zeros(density.size)

    def chain_density():
        arguments = density.arguments

        def evaluate(x):
            value, gradient = log_density(x, *arguments)
            if value == -np.inf:
                failures.record(density, np.asarray(x))
            return value, gradient

        return evaluate

    model = from_pyfunc(
        density.size,
        chain_density,
        lambda *seeds: lambda x: {"position": x},
        [np.dtype("float64")],
        [(density.size,)],
        ["position"],
        make_initial_point_fn=lambda seed: start,
    )
    store = None
    if run:
        place = run.place(chain, len(before))
        place.mkdir(parents=True)
        store = nutpie.zarr_store.LocalStore(str(place))
    return nutpie.sample(
        model,
        draws=sampling.draws,
        tune=sampling.tune,
        chains=1,
        cores=1,
        seed=int(rng.integers(2**31)),
        progress_bar=False,
        progress_callback=lambda chains: progress.update(chain, chains[0]),
        target_accept=sampling.target_accept,
        save_warmup=False,
        blocking=False,
        zarr_store=store,
        **sampling.nuts,
    )


def _finished(sampler) -> bool:
    try:
        return sampler.is_finished
    except TimeoutError:  # too busy to say
        return False


def _part(trace: xr.DataTree) -> Part:
    return Part(
        trace.posterior.position.values[0], {name: trace.sample_stats[name].values[0] for name in STATISTICS}
    )


def _joined(parts: list[Part], draws: int) -> Part:
    return Part(
        np.concatenate([p.positions for p in parts])[:draws],
        {name: np.concatenate([p.statistics[name] for p in parts])[:draws] for name in STATISTICS},
    )
