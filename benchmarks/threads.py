"""Chains run side by side: gradients in threads of one process, against the same number one after the other.

Were the interpreter's lock held while a gradient is computed, two threads would take as long as one after the
other; were it never held and the cores independent, half as long.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from bayesglu.hierarchy.design import make_design
from bayesglu.inference.density import Density
from bayesglu.spec.model import load_model
from benchmarks.people import MODEL, synthetic_study
from benchmarks.report import show, write

COLUMNS = {"name": "threads", "seconds": "s for all", "speedup": "times as fast as one"}


def main(people: int = 20, gradients: int = 1000, rounds: int = 5) -> None:
    """Time `gradients` gradients of one study in each of two threads, and of as many in one."""
    density = Density(make_design(load_model(MODEL), synthetic_study(people)))
    threads = os.cpu_count() or 1
    x = 0.1 * np.random.default_rng(1).normal(size=(threads, density.size))
    density(x[0])  # compiles

    def chain(start: np.ndarray) -> None:
        for _ in range(gradients):
            density(start)

    seconds = {1: [], threads: []}
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(rounds):
            for n in seconds:
                began = time.perf_counter()
                for _ in range(0, threads, n):
                    list(pool.map(chain, x[:n]))
                seconds[n].append(time.perf_counter() - began)
    times = {n: float(np.median(found)) for n, found in seconds.items()}
    rows = [{"name": str(n), "seconds": s, "speedup": times[1] / s} for n, s in times.items()]
    show(f"{threads} x {gradients} gradients of {people} people, {MODEL}", rows, COLUMNS)
    write("threads", rows, people=people, gradients=gradients, model=MODEL)
