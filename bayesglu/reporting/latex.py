"""Tables of a report for LaTeX, with the packages booktabs and longtable."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from bayesglu.analytes import words
from bayesglu.plots.style import symbol
from bayesglu.reporting.findings import population_table
from bayesglu.reporting.subject import Reported

SPECIAL = re.compile(r"([&%$#_{}])")


def latex_tables(of: Reported) -> dict[str, str]:
    """The population and the priors, each a longtable, by name."""
    return {"population": _population(of), "priors": _priors(of)}


def _population(of: Reported) -> str:
    rows = []
    for row in population_table(of).to_dict("records"):
        cells = [escaped(row["name"]), _symbol(row["symbol"]), escaped(row["unit"]), number(row["median"])]
        cells += [_interval(row["lower"], row["upper"]), number(row["omega_median"])]
        rows.append([*cells, _interval(row["prior_lower"], row["prior_upper"]), _plain(row["contraction"])])
    share = of.share.replace("%", r"\%")
    columns = ["Parameter", "", "Unit", "Median", f"{share} CrI", "Omega", f"Prior {share}", "Contraction"]
    caption = f"Posterior of the population: median and {share} equal-tailed credible interval."
    return _longtable(rows, columns, caption, "population")


def _priors(of: Reported) -> str:
    rows = []
    for p in of.spec.parameters.values():
        if p.level != "fixed":
            between = f"{100 * p.between_subject.cv:.3g}" if p.between_subject else ""
            cells = [escaped(words(p.name)), _symbol(p.symbol), escaped(p.unit), number(p.typical.median)]
            cites = rf"\cite{{{','.join(p.source)}}}" if p.source else p.kind
            rows.append([*cells, _interval(*p.interval()), between, cites])
    columns = ["Parameter", "", "Unit", "Median", r"95 \%", r"Between-subject CV (\%)", "Source"]
    return _longtable(rows, columns, f"Priors of the model {escaped(of.spec.name)}.", "priors")


def _longtable(rows: list, columns: list[str], caption: str, label: str) -> str:
    table = pd.DataFrame(rows, columns=columns)
    return table.to_latex(
        index=False,
        escape=False,
        longtable=True,
        caption=caption,
        label=f"tab:{label}",
        column_format="llll" + "r" * (len(columns) - 4),
    )


def number(value: float) -> str:
    """A number to three digits.

    >>> number(0.0000843), number(91.26), number(float("nan"))
    ('$8.43\\\\times 10^{-5}$', '91.3', '')
    """
    if not np.isfinite(value):
        return ""
    if value and not 1e-3 <= abs(value) < 1e5:
        digits, _, power = f"{value:.2e}".partition("e")
        return rf"${digits}\times 10^{{{int(power)}}}$"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def escaped(text: str) -> str:
    """A text in which nothing is a command of LaTeX."""
    return SPECIAL.sub(r"\\\1", text)


def _interval(lower: float, upper: float) -> str:
    return f"{number(lower)}--{number(upper)}" if np.isfinite(lower) and np.isfinite(upper) else ""


def _plain(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def _symbol(text: str) -> str:
    return symbol(text) if text else ""
