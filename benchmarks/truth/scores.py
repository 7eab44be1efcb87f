"""How right predictions were: shares held by bands, log scores, CRPS, bias and sharpness, on logarithms."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from benchmarks.truth.pairs import INFUSED_AT

RESAMPLES = 1000


def score(found: pd.DataFrame, random_seed: int = 1) -> Iterator[dict]:
    """A row for each output, and within it for each group, if there are several."""
    scored = found.assign(**_each(found))
    for output, own in scored.groupby("output", sort=False):
        for at, part in _parts(own):
            groups = part.groupby("group", sort=False) if part.group.nunique() > 1 else ()
            yield {"analyte": f"{output}{at}", "group": "all", **_summary(part, random_seed)}
            for group, some in groups:
                yield {"analyte": f"{output}{at}", "group": group, **_summary(some, random_seed)}


def _parts(own: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Infusions at the two moments of the clamps are two questions."""
    if set(own.output) != {"glucose_infusion"}:
        yield "", own
        return
    for time, part in own.groupby("time"):
        yield " at the end" if time == INFUSED_AT else f" at {time:g} min", part


def _each(found: pd.DataFrame) -> dict:
    value = np.log(found.value.values.astype(float))
    same, new = (np.log(np.maximum(np.stack(found[who]), 1e-9)) for who in ("same", "new"))
    held = {}
    for probability in (50, 90):
        low, high = np.quantile(same, [0.5 - probability / 200, 0.5 + probability / 200], axis=1)
        held[f"in_{probability}"] = (low <= value) & (value <= high)
        held[f"width_{probability}"] = high - low
    scores = {
        "away": np.median(same, axis=1) - value,
        "log_score": _log_density(same, value),
        "new_subject_log_score": _log_density(new, value),
        "crps": _crps(same, value),
        "new_subject_crps": _crps(new, value),
    }
    if "carried" in found:
        z = (value - np.log(found.carried.values.astype(float))) / found.carried_sd.values
        scores["carried_log_score"] = -0.5 * z**2 - np.log(found.carried_sd.values * np.sqrt(2 * np.pi))
    return held | scores


def _log_density(draws: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Logarithm of a kernel density (Gaussian, Silverman's width) of draws ``(row, draw)`` at the values."""
    n = draws.shape[1]
    spread = np.minimum(draws.std(1), np.subtract(*np.quantile(draws, [0.75, 0.25], axis=1)) / 1.34)
    width = 0.9 * np.maximum(spread, 1e-6) * n**-0.2
    z = (value[:, None] - draws) / width[:, None]
    return np.logaddexp.reduce(-0.5 * z**2, axis=1) - np.log(n * width * np.sqrt(2 * np.pi))


def _crps(draws: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Continuous ranked probability score (Gneiting and Raftery 2007, J Am Stat Assoc 102:359): less is
    better."""
    n, ordered = draws.shape[1], np.sort(draws, axis=1)
    between = (ordered * (2 * np.arange(1, n + 1) - n - 1)).sum(1) / n**2
    return np.abs(draws - value[:, None]).mean(1) - between


def _summary(part: pd.DataFrame, random_seed: int) -> dict:
    """Means over samples; the interval of the share, 90 %, is from people drawn again."""
    people = part.subject.unique()
    rng = np.random.default_rng(random_seed)
    inside, number = (
        part.groupby("subject").in_90.agg(how).reindex(people).values for how in ("sum", "size")
    )
    again = rng.integers(len(people), size=(RESAMPLES, len(people)))
    low, high = np.quantile(inside[again].sum(1) / number[again].sum(1), [0.05, 0.95])
    found = {
        "people": len(people),
        "samples": len(part),
        "held_90": float(part.in_90.mean()),
        "low_90": float(low),
        "high_90": float(high),
        "held_50": float(part.in_50.mean()),
        "ratio": float(np.exp(part.away.mean())),
        "width": float(np.exp(part.width_90.mean())),
    }
    names = ("log_score", "new_subject_log_score", "carried_log_score", "crps", "new_subject_crps")
    return found | {n: float(part[n].mean()) for n in names if n in part}
