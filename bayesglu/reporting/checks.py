"""The part of a report on predictive checks: a list of named sections, each with figures of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from bayesglu.analysis.eta import random_effects
from bayesglu.analysis.npde import npde
from bayesglu.analysis.pit import pit
from bayesglu.analysis.sample_residuals import sample_residuals
from bayesglu.analysis.vpc import vpc
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.hierarchy.posterior import acting_in
from bayesglu.plots.predictive import npde as draw_npde
from bayesglu.plots.predictive import pit as draw_pit
from bayesglu.plots.predictive import vpc as draw_vpc
from bayesglu.plots.residuals import random_effects as draw_effects
from bayesglu.plots.residuals import sample_residuals as draw_residuals
from bayesglu.plots.style import sentence
from bayesglu.reporting.blocks import Heading, Part, Picture, Table, Text
from bayesglu.reporting.subject import Reported


@dataclass(frozen=True)
class Section:
    """A check by its title, and what makes its blocks; `private` where they tell of no single person."""

    title: str
    blocks: Callable[[Reported], list]
    private: bool = False


def checks(of: Reported) -> Part:
    """Every check that the fit has what it takes for."""
    if not of.has_data:
        reason = "The fit was saved without its samples, and cannot be checked against them."
        return Part("checks", "Predictive checks", (Text(reason),))
    blocks: list = []
    for section in SECTIONS:
        if section.private or not of.private:
            blocks += [Heading(section.title), *_made(section, of)]
    return Part("checks", "Predictive checks", tuple(blocks))


def _made(section: Section, of: Reported) -> list:
    """The blocks of a check, or why there are none."""
    try:
        return section.blocks(of)
    except InputError as error:
        return [Text(f"Not made. {error}", quiet=True)]


def coverage(of: Reported) -> list:
    """How many samples of each analyte lie inside the bands that are predicted of them."""
    seen, rows = of.samples[of.samples["censoring"] == "none"], []
    for analyte, own in seen.groupby("analyte", sort=False):
        within = [(own["rank"] >= low) & (own["rank"] <= 1 - low) for low in (0.25, 0.05)]
        shares = [f"{100 * each.mean():.0f} %" for each in within]
        above = f"{100 * (own['rank'] > 0.5).mean():.0f} %"
        rows.append((sentence(words(str(analyte))), len(own), *shares, above))
    columns = ["analyte", "samples", "inside 50 % bands", "inside 90 % bands", "above the median"]
    caption = (
        "Samples inside the equal-tailed bands of their own posterior predictive distribution. The same "
        "samples were fitted, so that somewhat more than 50 % and 90 % are expected."
    )
    return [Table.of(pd.DataFrame(rows, columns=columns)), Text(caption, quiet=True)]


def transforms(of: Reported) -> list:
    """Probability integral transforms, left out one at a time, with the band that holds uniform ones."""
    caption = (
        "What the others predict of each sample: its distribution function less that of uniform numbers "
        "stays in the grey band with 95 %, as a whole, where the model is right."
    )
    return [Picture.of(draw_pit(pit(of.fit, random_seed=of.seed)), caption)]


def predictive(of: Reported) -> list:
    """The visual predictive check, by the levels of a covariate that acts, where there is one."""
    caption = "Quantiles of the samples in those of simulated studies of new people with the same covariates."
    return [Picture.of(draw_vpc(vpc(of.fit, by=_level(of))), caption)]


def errors(of: Reported) -> list:
    """Normalised prediction distribution errors, and their tests."""
    found = npde(of.fit, of.seed)
    columns = {"mean": "mean", "variance": "variance", "p_mean": "p (mean)", "p_variance": "p (variance)"}
    columns |= {"p_normal": "p (Normal)"}
    table = found[list(columns)].to_dataframe()[list(columns)].rename(columns=columns)
    text = "They are standard Normal where the model is right; the posterior has seen these people, so that "
    text += "p-values are somewhat too large."
    return [Picture.of(draw_npde(found), text), Table.of(table.rename_axis("analyte").reset_index())]


def residuals(of: Reported) -> list:
    """Residuals over time, fit and covariates."""
    caption = "Individual weighted residuals over time and fit, and people's npde over covariates."
    return [Picture.of(draw_residuals(sample_residuals(of.fit, of.seed)), caption)]


def deviations(of: Reported) -> list:
    """Random effects of people."""
    caption = "Random effects: one draw of each person's beside the Normal distribution, and their relations."
    return [Picture.of(draw_effects(random_effects(of.fit)), caption)]


def _level(of: Reported) -> str | None:
    """The covariate with levels that acts on most parameters of the fit."""
    acting = [label.rpartition(" by ")[2] for label in acting_in(of.fit["posterior"].to_dataset())]
    levels = Counter(key.partition(":")[0] for key in acting if ":" in key)
    return next((name for name, _ in levels.most_common() if name in of.covariates), None)


SECTIONS = (
    Section("Samples inside their bands", coverage, private=True),
    Section("Probability integral transform", transforms),
    Section("Visual predictive check", predictive),
    Section("Prediction distribution errors", errors),
    Section("Residuals", residuals),
    Section("Random effects", deviations),
)
"""In the order of the report."""
