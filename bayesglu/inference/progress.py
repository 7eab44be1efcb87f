"""One line that tells how far the sampler is, what went wrong so far, and how long it will take."""

from collections import Counter
from collections.abc import Callable, Iterable
from importlib.util import find_spec

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn, track
from rich.progress import Progress as RichProgress


def can_show() -> bool:
    """Whether there is something that a bar can be drawn on: in a notebook, rich draws it with ipywidgets."""
    return not Console().is_jupyter or find_spec("ipywidgets") is not None


def tracked(doing: str, shown: bool) -> Callable[[Iterable, int], Iterable]:
    """What goes through things, of which it is said how many there are, and shows how far it is."""
    return lambda done, total: track(done, doing, total, disable=not (shown and can_show()))


class Progress:
    """A progress bar over all chains, in a terminal or a notebook; silent when not `shown`."""

    def __init__(self, draws: int, shown: bool, failures: Counter, doing: str = "sampling"):
        self.failures = failures
        self.chains: dict[int, tuple[int, int, int]] = {}
        self.bar = RichProgress(
            TextColumn(doing),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f} draws"),
            TextColumn("{task.fields[problems]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            disable=not (shown and can_show()),
        )
        self.task = self.bar.add_task(doing, total=draws, problems="")
        self.total = draws

    def __enter__(self):
        self.bar.start()
        return self

    def __exit__(self, *error):
        if error == (None, None, None):
            self.bar.update(self.task, completed=self.total)
        self.bar.stop()

    def draws(self, number: int) -> int:
        """How many draws chain `number` has made, those of tuning with them."""
        return self.chains.get(number, (0,))[0]

    def update(self, number: int, chain) -> None:
        """Called by the sampler from its own threads, with the state of chain `number`."""
        self.chains[number] = chain.finished_draws, chain.total_num_steps, chain.divergences
        draws, steps, divergences = (sum(chain[i] for chain in self.chains.values()) for i in range(3))
        problems = f"{divergences} divergences"
        if draws:
            problems += f", {steps / draws:.0f} steps per draw"
        if self.failures:
            problems += f", {sum(self.failures.values())} failed solves"
        self.bar.update(self.task, completed=draws, problems=problems)
