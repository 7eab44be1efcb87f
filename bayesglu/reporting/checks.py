"""The part of a report on predictive checks: a list of named sections, each with figures of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from bayesglu.analytes import words
from bayesglu.plots.style import sentence
from bayesglu.reporting.blocks import Heading, Part, Table, Text
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
        told = "The fit was saved without its samples, and cannot be checked against them."
        return Part("checks", "Predictive checks", (Text(told),))
    blocks: list = []
    for section in SECTIONS:
        if section.private or not of.private:
            blocks += [Heading(section.title), *section.blocks(of)]
    return Part("checks", "Predictive checks", tuple(blocks))


def coverage(of: Reported) -> list:
    """How many samples of each analyte lie inside the bands that are predicted of them."""
    seen, rows = of.samples[of.samples["censoring"] == "none"], []
    for analyte, own in seen.groupby("analyte", sort=False):
        within = [(own["rank"] >= low) & (own["rank"] <= 1 - low) for low in (0.25, 0.05)]
        shares = [f"{100 * each.mean():.0f} %" for each in within]
        above = f"{100 * (own['rank'] > 0.5).mean():.0f} %"
        rows.append((sentence(words(str(analyte))), len(own), *shares, above))
    columns = ["analyte", "samples", "inside 50 % bands", "inside 90 % bands", "above the median"]
    told = (
        "Samples inside the equal-tailed bands of their own posterior predictive distribution. The same "
        "samples were fitted, so that somewhat more than 50 % and 90 % are expected."
    )
    return [Table.of(pd.DataFrame(rows, columns=columns)), Text(told, quiet=True)]


SECTIONS = (Section("Samples inside their bands", coverage, private=True),)
"""In the order of the report."""
