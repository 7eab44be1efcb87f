"""Whether the weights of a fit of new people can be trusted, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from bayesglu.analysis.findings import Finding, count
from bayesglu.text.wording import some

IMPORTANCE = "importance"
"""The method of a fit of new people, and the group of it that holds the diagnostics of its weights."""

LARGEST_K = 0.7
"""Beyond it weights are too uneven to be trusted (Vehtari et al. 2024, JMLR 25:72)."""

FEWEST = 100
"""Effective sample size that is enough for a population's uncertainty."""


def tail_of(k: float, most: str = "") -> str:
    """The shape of the weights' tail, in words."""
    return "weights are all but equal" if k == -np.inf else f"Pareto k is {most}{k:.2f}"


def judge_weights(diagnostics: xr.Dataset) -> Iterator[Finding]:
    """Whether draws of each new person, and those of the population, are weighted evenly enough."""
    k, who = diagnostics["pareto_k"].values, diagnostics["subject"].values
    bad = ~(k <= LARGEST_K)  # where it cannot be known too
    if bad.any():
        yield Finding(
            f"The draws of subject {some([str(s) for s in who[bad]])} are weighted too unevenly (Pareto k "
            f"{k[bad].max():.2f}, above {LARGEST_K}): the posterior has another form than was proposed. Fit "
            "all people together, fit(model, study).",
            False,
        )
    else:
        fewest = float(diagnostics["ess"].min())
        yield Finding(
            f"Draws of people are weighted evenly enough: {tail_of(k.max(), 'at most ')}, and "
            f"their effective sample size at least {fewest:.0f}."
        )
    several = [
        f"{s} ({count(int(n), 'mode')})"
        for s, n in zip(who, diagnostics["modes"].values, strict=True)
        if n > 1
    ]
    if several:
        yield Finding(f"The posterior has more than one mode in subject {some(several)}.")
    yield _judge_population(float(diagnostics["population_pareto_k"]), float(diagnostics["population_ess"]))


def _judge_population(k: float, ess: float) -> Finding:
    if not k <= LARGEST_K:
        return Finding(
            f"The draws of the population are weighted too unevenly (Pareto k {k:.2f}, above {LARGEST_K}): "
            "the new people are unlike those that it was fitted to, many, or measured in what those were "
            "not. Fit all people together, fit(model, study), or fewer new ones at a time.",
            False,
        )
    if ess < FEWEST:
        return Finding(
            f"The draws of the population have an effective sample size of {ess:.0f}, below {FEWEST}: "
            "take more (population_draws) where its fit has more, or fit all people together.",
            False,
        )
    return Finding(
        f"Draws of the population are weighted evenly enough: {tail_of(k)}, and their effective "
        f"sample size is {ess:.0f}."
    )
