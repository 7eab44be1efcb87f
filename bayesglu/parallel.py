"""Several things at once: compiled code lets go of the interpreter's lock."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

_most: int | None = None


def use_at_most(number: int) -> None:
    """From now on this process takes no more cores than that: others beside it do the same work."""
    global _most
    _most = number


def cores() -> int:
    """How many this process may use."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(there, _most or there)


def in_threads(function: Callable, items: Iterable) -> list:
    """`function` of each item, in their order."""
    return list(as_made(function, items))


def as_made(function: Callable, items: Iterable) -> Iterator:
    """`function` of each item, in their order, one after the other as soon as they are there."""
    with ThreadPoolExecutor(cores()) as threads:
        yield from threads.map(function, items)
