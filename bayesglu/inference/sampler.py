"""Chains of nutpie, several at a time, which resume from the draws that a folder holds."""

import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr

from bayesglu.atomic import WriteError
from bayesglu.hierarchy.design import Design
from bayesglu.inference.density import Density
from bayesglu.inference.kept_draws import STATISTICS, KeptDraws, Segment, joined
from bayesglu.inference.progress import Progress
from bayesglu.parallel import cores as usable_cores
from bayesglu.solver.integrate import FINE, OUTCOMES
from bayesglu.solver.solver import SolverError

RETUNE = 250
"""Tuning draws, at most, of a chain that resumes from its last draw: its step sizes are adapted again."""

PATIENCE, SHORTEST = 3, 20
"""How often a chain may be stopped before it keeps a draw until it tunes for a shorter time, and the fewest
draws that it then tunes."""

CHUNK, OFTEN, SELDOM = 16, 0.5, 10.0
"""Draws that are written at a time, at least, and the seconds after which they are; or fewer after many."""

ARVIZ_NAMES = {
    "depth": "tree_depth",
    "logp": "lp",
    "maxdepth_reached": "reached_max_treedepth",
    "mean_tree_accept": "acceptance_rate",
}
"""What ArviZ calls some of them."""


MCLMC_STEP = 0.1
"""Of the unadjusted sampler, in whitened coordinates, where posterior SDs are about 1."""


@dataclass(frozen=True)
class Sampling:
    """How to sample. What a resumed run may not change is everything but `draws`."""

    method: str
    draws: int
    tune: int
    chains: int
    seed: int
    target_accept: float
    parametrization: str
    steps: str
    nuts: Mapping
    solver: Mapping

    @property
    def nutpie(self) -> dict:
        """What nutpie is asked for besides numbers of draws and a seed."""
        if self.method == "mclmc":
            return {"sampler": "mclmc", "step_size": MCLMC_STEP}
        return {"target_accept": self.target_accept, **self.nuts}


def usual_acceptance(d: Design) -> float:
    """What is asked of the adaptation of steps where nobody asks for another: longer ones save gradients in a
    posterior of many numbers, and in that of one person lose in its tails what they save."""
    return 0.8 if len(d.study.subjects) > 1 else 0.9


@dataclass
class Failures:
    """Solves that failed while sampling, by person and reason."""

    design: Design
    counts: Counter = field(default_factory=Counter)

    def record(self, density: Density, x: np.ndarray) -> None:
        values = density.unpack(x[None]).at(0)
        theta, true = self.design.theta(values), self.design.true_forcing(values)
        if np.isfinite(theta).all() and np.isfinite(true).all():
            self.count(self.design.predict(theta, true)[1])

    def count(self, outcome: np.ndarray) -> None:
        """Add the failures among outcome codes ``(..., occasion)``."""
        every = [(outcome == code).reshape(-1, outcome.shape[-1]).sum(0) for code in OUTCOMES]
        self.add(np.stack(every, axis=-1))

    def add(self, counts: np.ndarray) -> None:
        """Add counts of outcomes ``(occasion, outcome)``; those that are fine are none."""
        for t, code in zip(*np.nonzero(counts), strict=True):
            if code != FINE:
                self.counts[self.design.study.occasions[t][0], OUTCOMES[int(code)]] += int(counts[t, code])

    def rows(self) -> list[dict]:
        return [{"subject": s, "reason": r, "count": n} for (s, r), n in self.counts.most_common()]


def sample(
    density: Density,
    sampling: Sampling,
    failures: Failures,
    progress: Progress,
    cores: int | None = None,
    run: KeptDraws | None = None,
    doing: str = "sampling",
    after: int = 0,
) -> tuple[np.ndarray, xr.Dataset, list[dict]]:
    """Positions (chain, draw, x), the sampler's statistics, and where chains were resumed.

    A chain depends on the seed and on its own number alone, whatever else runs. With a `run` its draws are
    written as they come, and chains that are there already are resumed: one that had not yet finished its
    tuning starts again, the same to the last bit; one that had draws is resumed from the last of them, with
    new random numbers and at most `RETUNE` draws to learn its step sizes again, which are not kept. One that
    was stopped `PATIENCE` times before it kept a draw tunes half as long each time, so that it gets there in
    the end. Draws to be made `after` these are for the progress.
    """
    progress.doing("compiling")
    _check_start(density, failures)
    kept = [run.parts(chain) if run else {} for chain in range(sampling.chains)]
    waiting = {c: n for c, own in enumerate(kept) if (n := sampling.draws - sum(map(len, own.values()))) > 0}
    tunes = {c: min(sampling.tune, RETUNE) if kept[c] else sampling.tune for c in waiting}
    at_once = min(len(waiting), cores or usable_cores())
    running: dict[int, Chain] = {}
    progress.begin(doing, sum(waiting.values()) + sum(tunes.values()), after, failures.counts)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number = next(iter(waiting))
                this = replace(sampling, draws=waiting.pop(number), tune=tunes[number])
                running[number] = Chain(density, this, number, kept[number], run, progress)
            for number, chain in list(running.items()):
                finished = chain.finished  # first: none of its failures comes later
                failures.add(chain.new_failures())
                if finished:
                    kept[number][chain.part] = chain.end()
                    del running[number]
                else:
                    chain.look()
            time.sleep(0.02)
    except WriteError as error:
        there = run is not None and run.folder.exists()
        stay = "The draws that are kept stay" if there else "The folder is gone; put it back"
        raise WriteError(f"{error} {stay}: the same call resumes once it can write there again.") from error
    except KeyboardInterrupt:
        for chain in running.values():
            with suppress(WriteError):
                chain.look(now=True)
        raise
    finally:
        for chain in running.values():
            chain.stop()
    progress.ended()
    whole = [joined(list(own.values())) for own in kept]
    breaks = [
        {"chain": chain, "draw": int(at)}
        for chain, own in enumerate(kept)
        for at in _breaks(list(own.values()))
        if at < sampling.draws
    ]
    dims = {"chain": np.arange(sampling.chains), "draw": np.arange(sampling.draws)}
    statistics = {
        ARVIZ_NAMES.get(n, n): (
            ("chain", "draw"),
            np.stack([w.statistics[n][: sampling.draws] for w in whole]),
        )
        for n in whole[0].statistics
    }
    positions = np.stack([w.positions[: sampling.draws] for w in whole])
    return positions, xr.Dataset(statistics, coords=dims), breaks


def _breaks(segments: list[Segment]) -> list[int]:
    """The draws of a chain before which something is lost, or it was begun anew."""
    ends = np.cumsum([0, *map(len, segments)]).tolist()
    lost = [start + gap for start, own in zip(ends, segments, strict=False) for gap in own.gaps]
    return sorted({*ends[1:-1], *lost})


def _check_start(density: Density, failures: Failures) -> None:
    start = np.zeros(density.size)
    if not np.isfinite(density(start)[0]):
        failures.record(density, start)
        raise SolverError(
            "The sampler cannot start: the log density is not finite where it is to begin.\n"
            + "\n".join(f"subject {f['subject']}: {f['reason']}" for f in failures.rows())
        )


class NutpieError(RuntimeError):
    """nutpie gave up a chain: a fault of the program, for settings were checked before."""


class Chain:
    """nutpie at work on a chain in threads of its own, from where its parts end.

    Its draws are handed over from time to time and written here: nutpie's own writing brings the process down
    where it fails.
    """

    def __init__(
        self,
        density: Density,
        sampling: Sampling,
        number: int,
        before: Mapping[int, Segment],
        run: KeptDraws | None,
        progress: Progress,
    ):
        self.number, self.run, self.progress = number, run, progress
        self.part = max(before, default=-1) + 1
        self.tune = sampling.tune
        if run:
            if before and not before[self.part - 1].gaps:
                run.finish(number, self.part - 1, len(before[self.part - 1]))
            stops = run.begin(number, self.part)
            self.tune = max(self.tune >> max(0, stops - PATIENCE), min(self.tune, SHORTEST))
        rng = np.random.default_rng([sampling.seed, number, self.part])
        start = before[self.part - 1].positions[-1] if before else 0.3 * rng.normal(size=density.size)
        if not np.isfinite(density(start)[0]):
            start = np.zeros(density.size)
        self.failed, self.seen = density.no_failures(), density.no_failures()
        self.made: list[Segment] = []
        self.last = time.monotonic()
        self.sampler = self._started(
            density, replace(sampling, tune=self.tune), start, int(rng.integers(2**31))
        )

    def _started(self, density: Density, sampling: Sampling, start: np.ndarray, seed: int):
        import nutpie

        from bayesglu.inference.from_nutpie import model_of

        return nutpie.sample(
            model_of(density, self.failed, start),
            draws=sampling.draws,
            tune=sampling.tune,
            chains=1,
            cores=1,
            seed=seed,
            progress_bar=False,
            progress_callback=lambda chains: self.progress.update(self.number, chains[0]),
            return_raw_trace=True,
            blocking=False,
            **sampling.nutpie,
        )

    def new_failures(self) -> np.ndarray:
        """Failed solves ``(occasion, outcome)`` since this was last asked."""
        now = self.failed.copy()
        new, self.seen = now - self.seen, now
        return new

    @property
    def finished(self) -> bool:
        """Whether all draws are made."""
        try:
            return self.sampler.is_finished
        except TimeoutError:  # too busy to say
            return False

    @property
    def handed_over(self) -> int:
        """Draws that are here already."""
        return sum(map(len, self.made))

    def look(self, now: bool = False) -> None:
        """Take over what is new and write it down, if there is enough of it, or not little and long ago."""
        new = self.progress.draws(self.number) - self.tune - self.handed_over
        since = time.monotonic() - self.last
        if self.run and new > 0 and (now or (new >= CHUNK and since > OFTEN) or since > SELDOM):
            with suppress(TimeoutError):
                self._take(self.sampler.inspect())

    def end(self) -> Segment:
        """All that this chain has drawn."""
        try:
            self._take(self.sampler.wait())
        except (Exception, KeyboardInterrupt):
            raise
        except BaseException as panic:  # of Rust, which is no Exception to Python
            raise NutpieError(f"nutpie gave up chain {self.number}: {panic}") from panic
        if self.run:
            self.run.finish(self.number, self.part, self.handed_over)
        return joined(self.made)

    def stop(self) -> None:
        """Stop the threads; without, they would outlive what they read."""
        with suppress(ValueError):  # they have ended
            self.sampler.cancel()

    def _take(self, trace) -> None:
        (draws,), (statistics,) = trace.get_arrow_trace()
        first = self.handed_over
        new = self.tune + first, draws.num_rows - self.tune - first
        if new[1] > 0:
            draws, statistics = draws.slice(*new), statistics.slice(*new)
            names = [name for name in STATISTICS if name in statistics.schema.names]
            made = Segment(_positions(draws), {name: np.asarray(statistics.column(name)) for name in names})
            if self.run:
                self.run.keep(self.number, self.part, first, made)
            self.made.append(made)
            self.last = time.monotonic()


def _positions(draws) -> np.ndarray:
    """Positions (draw, x) of a batch as nutpie hands it over; some at a time, for they go through lists."""
    total, few = draws.num_rows, 256
    parts = [draws.slice(i, min(few, total - i)).column("position") for i in range(0, total, few)]
    return np.concatenate([np.array(part.to_pylist(), float) for part in parts])
