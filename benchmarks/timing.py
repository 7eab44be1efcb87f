"""Times of several pieces of work, run in turns so that whatever else the machine does hits all of them."""

import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Times:
    """Seconds of each run: processor time, of all threads, and time on the clock."""

    processor: np.ndarray
    clock: np.ndarray

    def summary(self, scale: float = 1.0) -> dict:
        """Median and minimum in multiples of `scale` seconds, and how many runs there were."""
        return {
            "processor_median": float(np.median(self.processor)) / scale,
            "processor_minimum": float(self.processor.min()) / scale,
            "clock_median": float(np.median(self.clock)) / scale,
            "clock_minimum": float(self.clock.min()) / scale,
            "runs": len(self.clock),
        }


def interleaved[Name: Hashable](
    work: Mapping[Name, Callable[[], object]], rounds: int = 31, at_most: float = 10.0
) -> dict[Name, Times]:
    """Times of each piece of work, in turns; work that has taken more than `at_most` seconds sits out."""
    processor = {name: [] for name in work}
    clock = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            if len(clock[name]) >= 3 and sum(clock[name]) > at_most:
                continue
            began, spent = time.perf_counter(), time.process_time()
            run()
            processor[name].append(time.process_time() - spent)
            clock[name].append(time.perf_counter() - began)
    return {name: Times(np.array(processor[name]), np.array(clock[name])) for name in work}
