"""One line that tells how far the sampler is, what went wrong so far, and how long it will take."""

from collections import Counter

from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress


class Progress:
    """A progress bar over all chains, in a terminal or a notebook; silent when not `shown`."""

    def __init__(self, chains: int, draws: int, shown: bool, failures: Counter):
        self.failures = failures
        self.bar = RichProgress(
            TextColumn("sampling"),
            BarColumn(),
            TextColumn("{task.completed:.0f} of {task.total:.0f} draws"),
            TextColumn("{task.fields[told]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            disable=not shown,
        )
        self.task = self.bar.add_task("sampling", total=chains * draws, told="")
        self.total = chains * draws

    def __enter__(self):
        self.bar.start()
        return self

    def __exit__(self, *error):
        if error == (None, None, None):
            self.bar.update(self.task, completed=self.total)
        self.bar.stop()

    def update(self, chains) -> None:
        """Called by the sampler from its own thread, with the state of every chain."""
        steps = [c.latest_num_steps for c in chains if c.started]
        divergences = sum(c.divergences for c in chains)
        told = f"{divergences} divergences"
        if steps:
            told += f", {sum(steps) / len(steps):.0f} steps a draw"
        if self.failures:
            told += f", {sum(self.failures.values())} failed solves"
        self.bar.update(self.task, completed=sum(c.finished_draws for c in chains), told=told)
