"""One bar over a whole fit: what it names, in which order, and that it ends where it said it would."""

from collections import Counter
from types import SimpleNamespace

from bayesglu.inference import fitting
from bayesglu.inference.fitting import fit
from bayesglu.inference.progress import Progress

SHORT = {"draws": 60, "tune": 200, "chains": 2, "random_seed": 1}


SEEN = []


class Watched(Progress):
    """A bar that nobody sees, and what it named."""

    def __init__(self, shown):
        super().__init__(shown=False)
        self.asked, self.named = shown, []
        SEEN.append(self)

    def doing(self, what):
        self.named.append((what, self.bar.tasks[0].completed))
        super().doing(what)


def test_a_fit_names_its_stages_and_counts_all_draws_of_all_of_them(monkeypatch):
    monkeypatch.setattr(fitting, "Progress", Watched)
    fit("minimal", "bergman1986", progressbar=True, **SHORT)
    (bar,) = SEEN
    assert bar.asked
    (task,) = bar.bar.tasks
    assert task.total == task.completed == 2 * 260
    assert f"{task.total} of {task.total} draws" in task.fields["counts"]
    assert "steps each" in task.fields["counts"]
    assert [what for what, _ in bar.named] == [
        *("modes", "compiling", "pilot", "compiling", "sampling", "predictions")
    ]
    # A quarter of the tuning draws tunes the pilot run, another is its draws.
    assert dict(bar.named)["sampling"] == 2 * 100


def test_chains_that_are_resumed_begin_at_what_is_kept():
    bar = Progress()
    bar.expect(100)
    bar.begin("sampling", 20, 10, Counter({("P01", "too many steps"): 2}))
    bar.update(0, SimpleNamespace(finished_draws=10, total_num_steps=70, divergences=1))
    (task,) = bar.bar.tasks
    assert (task.completed, task.total) == (80, 100)
    assert task.fields["counts"] == "80 of 100 draws, 7 steps each, 1 diverged, 2 failed solves"
    bar.ended()
    assert task.completed == 90 and task.fields["counts"].startswith("90 of 100 draws")
