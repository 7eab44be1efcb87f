"""One line that tells how far a fit is, what went wrong so far, and how long it will take."""

from collections import Counter
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn, track
from rich.progress import Progress as RichProgress
from rich.table import Column


def can_show() -> bool:
    """Whether there is something that a bar can be drawn on: in a notebook, rich draws it with ipywidgets."""
    return not Console().is_jupyter or find_spec("ipywidgets") is not None


def tracked(doing: str, shown: bool) -> Callable[[Iterable, int], Iterable]:
    """What goes through things, of which it is said how many there are, and shows how far it is."""
    return lambda done, total: track(done, doing, total, disable=not (shown and can_show()))


class Progress:
    """One bar over all that a fit does, in a terminal or a notebook; silent when not `shown`.

    It counts draws of all chains, those of the pilot run and of tuning with them; what has no draws is named
    while it lasts.
    """

    def __init__(self, shown: bool = False):
        self.chains: dict[int, tuple[int, int, int]] = {}
        self.failures: Counter = Counter()
        self.before, self.end = 0, 0
        self.total: int | None = None
        self.bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=8),
            TextColumn("{task.fields[counts]}"),
            TimeElapsedColumn(table_column=Column(min_width=7)),
            TextColumn("left", table_column=Column(min_width=4)),
            TimeRemainingColumn(table_column=Column(min_width=7)),
            disable=not (shown and can_show()),
        )
        self.task = self.bar.add_task("preparing", total=None, counts="")

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *error) -> None:
        self.bar.stop()

    def doing(self, what: str) -> None:
        """Say what is done now."""
        self.bar.update(self.task, description=what)

    def expect(self, draws: int) -> None:
        """So many draws will be made in all."""
        self.total = draws
        self.bar.update(self.task, total=draws)

    def begin(self, what: str, draws: int, after: int, failures: Counter) -> None:
        """Chains begin that make so many draws, and `after` them others; failed solves are counted there."""
        self.chains, self.failures = {}, failures
        self.end = (self.total or draws + after) - after
        self.before = self.end - draws
        self.doing(what)

    def draws(self, number: int) -> int:
        """How many draws chain `number` has made, those of tuning with them."""
        return self.chains.get(number, (0,))[0]

    def update(self, number: int, chain) -> None:
        """Called by the sampler from its own threads, with the state of chain `number`."""
        self.chains[number] = chain.finished_draws, chain.total_num_steps, chain.divergences
        self._show(self.before + sum(draws for draws, *_ in self.chains.values()))

    def ended(self) -> None:
        """The chains have made their draws; of the last few they may not have told."""
        self._show(self.end)

    def _show(self, made: int) -> None:
        draws, steps, divergences = (sum(chain[i] for chain in self.chains.values()) for i in range(3))
        counts = [f"{made} of {self.total} draws"]
        if draws:
            counts.append(f"{steps / draws:.0f} steps each")
        if divergences:
            counts.append(f"{divergences} diverged")
        if self.failures:
            counts.append(f"{sum(self.failures.values())} failed solves")
        self.bar.update(self.task, completed=made, counts=", ".join(counts))
