"""Chains of nutpie, several at a time, which resume from the draws that a folder holds."""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr

from bayesglu.hierarchy.design import Design
from bayesglu.inference.density import Density
from bayesglu.inference.progress import Progress
from bayesglu.inference.run_folder import STATISTICS, Run, Segment
from bayesglu.parallel import cores as usable_cores
from bayesglu.solver.integrate import FINE, OUTCOMES
from bayesglu.solver.solver import SolverError

RETUNE = 250
"""Tuning draws, at most, of a chain that resumes from its last draw: its step sizes are adapted again."""

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

    def told(self) -> list[dict]:
        return [{"subject": s, "reason": r, "count": n} for (s, r), n in self.counts.most_common()]


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
    segments = [run.segments(chain) if run else [] for chain in range(sampling.chains)]
    missing = [sampling.draws - sum(len(p.positions) for p in own) for own in segments]
    waiting = [chain for chain in range(sampling.chains) if missing[chain] > 0]
    tunes = {c: min(sampling.tune, RETUNE) if segments[c] else sampling.tune for c in waiting}
    at_once = min(len(waiting), cores or usable_cores())
    running: dict[int, Chain] = {}
    expected = sum(missing[c] + tunes[c] for c in waiting)
    with Progress(expected, progressbar, failures.counts, doing) as progress:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    number = waiting.pop(0)
                    this = replace(sampling, draws=missing[number], tune=tunes[number])
                    running[number] = _start(density, this, number, segments[number], run, progress)
                finished = [number for number, chain in running.items() if _finished(chain.sampler)]
                for chain in running.values():
                    failures.add(chain.new_failures())
                for number in finished:
                    trace = running.pop(number).sampler.wait()
                    if run:
                        run.finish(number, len(segments[number]))
                    segments[number].append(_segment(trace))
                time.sleep(0.02)
        except KeyboardInterrupt:
            for chain in running.values():
                chain.sampler.cancel()
            raise
    whole = [_joined(own, sampling.draws) for own in segments]
    breaks = [
        {"chain": chain, "draw": int(at)}
        for chain, own in enumerate(segments)
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


@dataclass
class Chain:
    """A chain that runs, and its failed solves so far ``(occasion, outcome)``, which it goes on counting."""

    sampler: object
    failed: np.ndarray
    seen: np.ndarray

    def new_failures(self) -> np.ndarray:
        """Failed solves since this was last asked."""
        now = self.failed.copy()
        new, self.seen = now - self.seen, now
        return new


def _start(density, sampling, number, before, run, progress) -> Chain:
    """nutpie at work on a chain in threads of its own, from where its segments end."""
    import nutpie

    from bayesglu.inference.from_nutpie import model_of

    rng = np.random.default_rng([sampling.seed, number, len(before)])
    start = before[-1].positions[-1] if before else 0.3 * rng.normal(size=density.size)
    if not np.isfinite(density(start)[0]):
        start = np.zeros(density.size)

    failed = density.no_failures()
    model = model_of(density, failed, start)
    store = None
    if run:
        place = run.place(number, len(before))
        place.mkdir(parents=True)
        store = nutpie.zarr_store.LocalStore(str(place))
    sampler = nutpie.sample(
        model,
        draws=sampling.draws,
        tune=sampling.tune,
        chains=1,
        cores=1,
        seed=int(rng.integers(2**31)),
        progress_bar=False,
        progress_callback=lambda chains: progress.update(number, chains[0]),
        target_accept=sampling.target_accept,
        save_warmup=False,
        blocking=False,
        zarr_store=store,
        **sampling.nuts,
    )
    return Chain(sampler, failed, density.no_failures())


def _finished(sampler) -> bool:
    try:
        return sampler.is_finished
    except TimeoutError:  # too busy to say
        return False


def _segment(trace: xr.DataTree) -> Segment:
    return Segment(
        trace.posterior.position.values[0], {name: trace.sample_stats[name].values[0] for name in STATISTICS}
    )


def _joined(segments: list[Segment], draws: int) -> Segment:
    return Segment(
        np.concatenate([p.positions for p in segments])[:draws],
        {name: np.concatenate([p.statistics[name] for p in segments])[:draws] for name in STATISTICS},
    )
