"""``python -m benchmarks faults``: does the verdict accuse sound studies, and does it find and name slips?

Studies of 1 to 120 simulated people, drawn from the priors of their model, are fitted by the Laplace
approximation and judged; and slips that are common in tables are put into others. Every verdict is kept in
build/faults as it is there, so that the same command goes on. A test fails when what is kept is of other
models or limits than today's.
"""

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import beta

import bayesglu
from bayesglu.analysis import compared, misfit, npde, outliers, suspects
from bayesglu.atomic import whole
from bayesglu.study.study import Study
from benchmarks.report import show, write

FOLDER = Path(__file__).parents[1] / "build" / "faults"
TESTS = {
    "oral": ("ogtt(75)", (0, 15, 30, 60, 90, 120, 180)),
    "oral_cpeptide": ("meal(75)", (0, 10, 20, 30, 60, 90, 120, 180, 240)),
    "feedback": ("ogtt(75)", (0, 15, 30, 60, 90, 120, 180)),
    "ivgtt": ("ivgtt(0.3)", (0, 2, 4, 6, 10, 14, 20, 30, 40, 60, 90, 120, 180)),
}
PEOPLE = (1, 2, 3, 5, 8, 12, 20, 30, 60, 120)
REPEATS = 3
FIRST_SEED = 1001
FAULTY_MODEL, FAULTY_PEOPLE, FAULTY_SEEDS = "oral_cpeptide", 12, range(301, 307)
WHO = "3"
LARGE = 60

LIMITS = (
    *(misfit.FAR, misfit.ALONE, misfit.ROUGH, misfit.OUTSIDE, misfit.ONE_SIDED),
    *(outliers.UNLIKE, suspects.CHANCE),
)
"""Limits of the verdict, of which what is kept speaks."""


@dataclass(frozen=True)
class Fault:
    """A slip: what it makes of a study, and what a verdict that names it says, in any of its problems."""

    put: Callable[[Study], Study]
    words: tuple[str, ...]


def main() -> None:
    """Fit and judge what is not there yet, and keep how often it was right."""
    models = {name: bayesglu.load_model(name).hash for name in TESTS}
    faulty = [[_faulty(name, seed) for name in FAULTS] for seed in FAULTY_SEEDS]
    found = {name: [each[i] for each in faulty] for i, name in enumerate(FAULTS)}
    sound = [_sound(*case) for case in _cases()]
    accused = sum(not one["fine"] for one in sound)
    rows = [
        {
            "name": name,
            "studies": len(each),
            "found": sum(not one["fine"] for one in each),
            "named": sum(one["named"] for one in each),
        }
        for name, each in found.items()
    ]
    low, high = _interval(accused, len(sound))
    show("Seeded faults", rows, {"name": "fault", "studies": "studies", "found": "found", "named": "named"})
    print(f"False positives: {accused} of {len(sound)} ({100 * low:.1f} to {100 * high:.1f} %).")
    for one in sound:
        if not one["fine"]:
            print(one["model"], one["people"], one["seed"], *one["problems"], sep="\n  ")
    write(
        "faults",
        rows,
        models=models,
        limits=LIMITS,
        sources=_sources(),
        sound={
            "studies": len(sound),
            "people": PEOPLE,
            "accused": accused,
            "interval": [low, high],
            "by_model": {m: sum(not o["fine"] for o in sound if o["model"] == m) for m in TESTS},
            "problems": [o for o in sound if not o["fine"]],
        },
    )


def page(kept: dict) -> str:
    """What docs/trust.md says of it."""
    sound = kept["sound"]
    low, high = (f"{100 * share:.1f}" for share in sound["interval"])
    lines = ["| slip | studies | found | named |", "|---|---|---|---|"]
    lines += [
        f"| {row['name']} | {row['studies']} | {row['found']} | {row['named']} |" for row in kept["rows"]
    ]
    share = f"{sound['accused']} were flagged (95 % interval {low} to {high} %)"
    large = sum(one["people"] >= LARGE for one in sound["problems"])
    told = f"Of {sound['studies']} sound studies {share}, {large} of them of {LARGE} people or more."
    return "\n".join([told, "", *lines])


def _cases() -> Iterator[tuple[str, int, int]]:
    """Each with a seed of its own, for those of one seed have one population; the small ones first, so that a
    run that is interrupted has all models."""
    for seed, (people, _, model) in enumerate(product(PEOPLE, range(REPEATS), TESTS), FIRST_SEED):
        yield model, people, seed


def _interval(count: int, of: int) -> tuple[float, float]:
    """The 95 % interval of a share, after Clopper and Pearson."""
    low = beta.ppf(0.025, count, of - count + 1) if count else 0.0
    return float(low), float(beta.ppf(0.975, count + 1, of - count) if count < of else 1.0)


def simulated(model: str, people: int, seed: int) -> Study:
    """People drawn from the prior of a model."""
    protocol, times = TESTS[model]
    return bayesglu.simulate_study(model, protocol=protocol, times=times, subjects=people, random_seed=seed)


def _sound(model: str, people: int, seed: int) -> dict:
    about = {"model": model, "people": people, "seed": seed}
    return about | _kept(f"sound_{model}_{people}_{seed}", lambda: (model, simulated(model, people, seed)))


def _faulty(name: str, seed: int) -> dict:
    def study():
        return FAULTY_MODEL, FAULTS[name].put(simulated(FAULTY_MODEL, FAULTY_PEOPLE, seed))

    found = _kept(f"{name.replace(' ', '_')}_{seed}", study)
    return found | {"named": names(found["problems"], name)}


def names(problems: list[str], fault: str) -> bool:
    """Whether one of a verdict's problems names a fault."""
    return any(all(word in told for word in FAULTS[fault].words) for told in problems)


def _kept(name: str, make: Callable[[], tuple[str, Study]]) -> dict:
    path = FOLDER / _sources() / f"{name}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, study = make()
        fit = bayesglu.fit(model, study, method="laplace", random_seed=1, progressbar=False)
        verdict = bayesglu.check(fit, warn=False)
    problems = [told for told in verdict.problems if told in verdict.about_model]
    found = {"fine": not problems, "problems": problems}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as new:
        new.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


@cache
def _sources() -> str:
    """A hash of what judges."""
    files = (
        Path(str(module.__file__)).read_bytes() for module in (compared, misfit, npde, outliers, suspects)
    )
    return sha256(b"".join(files)).hexdigest()[:12]


# --- faults ---


def _with(study: Study, **columns) -> Study:
    return replace(study, observations=study.observations.assign(columns))


def _times(study: Study, analyte: str, factor: float, who: str | None) -> Study:
    obs = study.observations
    of = (obs.analyte == analyte) & ((obs.subject == who) if who else True)
    return _with(study, value=obs.value.where(~of, obs.value * factor))


def _in_hours(study: Study, who: str | None) -> Study:
    time = study.observations.time
    return _with(study, time=time.where((study.observations.subject != who) if who else False, time / 60))


def _swapped(study: Study) -> Study:
    """Its tubes of 0 and 60 min swapped."""
    obs = study.observations
    value, own = obs.value.values.copy(), obs.subject.values == WHO
    first, second = own & (obs.time.values == 0), own & (obs.time.values == 60)
    value[first], value[second] = obs.value.values[second], obs.value.values[first]
    return _with(study, value=("obs", value, obs.value.attrs))


def _without_dose(study: Study, who: str | None) -> Study:
    nothing = bayesglu.Protocol(name="nothing")
    given = {o: nothing if who in (None, o[0]) else p for o, p in study.protocols.items()}
    return replace(study, protocols=given)


def _not_drunk(study: Study) -> Study:
    """All samples are about what they were before the dose."""
    obs, rng = study.observations, np.random.default_rng(1)
    value, own = obs.value.values.copy(), obs.subject.values == WHO
    for analyte in study.analytes:
        of = own & (obs.analyte.values == analyte)
        value[of] = value[of & (obs.time.values == 0)] * np.exp(0.05 * rng.normal(size=of.sum()))
    return _with(study, value=("obs", value, obs.value.attrs))


FAULTS = {
    "insulin of everyone six times too large": Fault(
        lambda s: _times(s, "insulin", 6.0, None), ("in everyone", "insulin is 6 times too large", "uU/mL")
    ),
    "insulin of everyone six times too small": Fault(
        lambda s: _times(s, "insulin", 1 / 6, None), ("in everyone", "insulin is 6 times too small", "uU/mL")
    ),
    "insulin of one person six times too large": Fault(
        lambda s: _times(s, "insulin", 6.0, WHO), (f"in {WHO}:", "insulin is 6 times too large", "uU/mL")
    ),
    "insulin of one person six times too small": Fault(
        lambda s: _times(s, "insulin", 1 / 6, WHO), (f"in {WHO}:", "insulin is 6 times too small", "uU/mL")
    ),
    "everyone's times in hours": Fault(lambda s: _in_hours(s, None), ("in everyone", "hours")),
    "one person's times in hours": Fault(lambda s: _in_hours(s, WHO), (f"in {WHO}:", "hours")),
    "one person's samples at 0 and 60 min changed about": Fault(
        _swapped, (f"in {WHO}:", "at 0 and 60 min look swapped")
    ),
    "severe hyperglycaemia": Fault(lambda s: _times(s, "glucose", 3.5, WHO), ("glucose", WHO)),
    "everyone's dose missing": Fault(lambda s: _without_dose(s, None), ("in everyone", "had been given")),
    "one person's dose missing": Fault(
        lambda s: _without_dose(s, WHO), (f"in {WHO}:", "had been given, which is missing")
    ),
    "a dose that was not taken": Fault(_not_drunk, (f"in {WHO}:", "as if nothing had been given")),
}
"""What each slip is, on samples of `FAULTY_PEOPLE`."""


if __name__ == "__main__":
    main()
