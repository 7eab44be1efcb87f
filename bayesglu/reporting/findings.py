"""The parts of a report on what was found: the verdict, the population, what covariates do."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bayesglu.analysis.effects import contrast_words, effects
from bayesglu.analysis.prior_sensitivity import FINE
from bayesglu.analysis.summaries import ITS_PRIOR, LITTLE
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.hierarchy import names
from bayesglu.hierarchy.posterior import acting_in
from bayesglu.plots.effects import forest
from bayesglu.plots.posteriors import contraction
from bayesglu.plots.style import pretty_unit
from bayesglu.reporting.anonymous import FEWEST
from bayesglu.reporting.blocks import (
    Folded,
    Heading,
    Part,
    Picture,
    Sentences,
    Symbol,
    Table,
    Text,
    interval,
    present,
    shown,
)
from bayesglu.reporting.subject import Reported

HEADINGS = {
    "typical": "Typical values, and how people differ",
    "shared": "What people share",
    "effect": "Effects of covariates: factors of typical values",
    "correlation": "Correlations between parameters of one person",
    "sigma": "Errors of the assays: SDs of log residuals",
    "covariate": "Covariates that some people lack: what they may be",
}


def verdict(of: Reported) -> Part:
    """Whether sampling worked, and whether the model describes the data."""
    found = of.verdict
    answered: list = [Text(found.headline)]
    for question, sentences in found.sections.items():
        items = [(sentence, sentence not in found.problems) for sentence in sentences]
        answered += [
            Heading(question),
            Sentences(items or [("Not judged: the fit lacks what it takes.", True)]),
        ]
    table = found.table.rename(columns={"rhat": "R-hat", "ess_bulk": "bulk ESS", "ess_tail": "tail ESS"})
    columns = ["variable", "R-hat", "bulk ESS", "tail ESS", "values", "worst"]
    table = table.rename_axis("variable").reset_index()[columns]
    folded = Folded("Every variable", (Table.of(table, "The worst of each variable's values."),))
    sampled = of.fit.attrs.get("method") == "nuts"
    return Part(
        "verdict",
        "Can this fit be trusted?",
        present([*answered, folded if sampled else None]),
    )


def population(of: Reported) -> Part:
    """What people have in common: medians, intervals, contraction."""
    rows = population_table(of)
    blocks: list = [
        Text(
            f"Median and {of.share} equal-tailed credible interval (CrI) of the posterior. Contraction is 1 "
            f"- posterior SD / prior SD; below {LITTLE:g} the number is the prior's, not the data's."
        )
    ]
    for role, heading in HEADINGS.items():
        own = rows[rows["role"] == role]
        if len(own):
            blocks += [Heading(heading), _shown(own, of, role)]
    if of.private and "effect" in rows.attrs["withheld"]:
        blocks.append(
            Text(f"Effects of levels that fewer than {FEWEST} people have are left out.", quiet=True)
        )
    if of.sensitivity is None:
        text = "Power scaling of priors (sensitivity) needs a fit that was sampled, with its log prior."
        blocks.append(Text(text, quiet=True))
    else:
        text = (
            "Sensitivity: how fast a value changes when its own prior counts for more; it is given where it "
            f"counts, above {of.sensitivity.attrs['threshold']:g} and above what is found by chance."
        )
        blocks.append(Text(text, quiet=True))
    if not of.private and "prior" in of.fit.children:
        figure = contraction(of.fit)
        text = "How much narrower than the prior the posterior is: what the data inform and what they do not."
        blocks.append(Picture.of(figure, text))
    return Part("population", "Population", tuple(blocks))


def population_table(of: Reported) -> pd.DataFrame:
    """One row per parameter, in numbers: name, symbol, unit, role, posterior, prior, omega, contraction."""
    table = of.population
    few = _levels_of_few(of) if of.private else set()
    hidden = table["parameter"].isin(few)
    table = table[~hidden].reset_index(drop=True)
    table["name"] = [_name(name, role) for name, role in zip(table["parameter"], table["role"], strict=True)]
    table["sensitivity"] = _sensitivities(of, table)
    table.attrs = {"withheld": {"effect"} if hidden.any() else set()}
    return table


def _sensitivities(of: Reported, table: pd.DataFrame) -> list[str]:
    """What is found of each row by power scaling; empty where its prior does not matter."""
    if of.sensitivity is None:
        return [""] * len(table)
    rows = zip(of.sensitivity["parameter"], of.sensitivity["of"], strict=True)
    sensitivities = [
        "" if diagnosis == FINE else f"{prior:.2g}, {diagnosis}"
        for prior, diagnosis in zip(of.sensitivity["prior"], of.sensitivity["diagnosis"], strict=True)
    ]
    known = dict(zip(rows, sensitivities, strict=True))
    places = [
        (names.EFFECT, name) if role == "effect" else (names.typical(name) if role == "typical" else name, "")
        for name, role in zip(table["parameter"], table["role"], strict=True)
    ]
    return [known.get(place, "") for place in places]


def _name(name: str, role: str) -> str:
    if role == "sigma":
        return words(name.removeprefix("sigma_"))
    return words(name) if role in ("typical", "shared") else name.replace("_", " ").replace(":", " ")


def _levels_of_few(of: Reported) -> set[str]:
    """Effects of levels that fewer people have than may be told of."""
    found = set()
    for label in acting_in(of.fit["posterior"].to_dataset()):
        covariate, _, level = label.rpartition(" by ")[2].partition(":")
        if level and covariate in of.covariates:
            spelled = {level, level.replace("T2D", "T2DM").replace("T1D", "T1DM")}
            if sum(str(v) in spelled for v in of.covariates[covariate].values) < FEWEST:
                found.add(label)
    return found


def _shown(own: pd.DataFrame, of: Reported, role: str) -> Table:
    """The columns that this kind of parameter has."""
    varies = role == "typical"
    within = varies and bool((own["kappa_median"].notna() & (own["kappa_note"] != ITS_PRIOR)).any())
    noted = bool((own["note"] != "").any())
    columns = ["parameter", "", "unit", "median", f"{of.share} CrI", f"prior {of.share}", "contraction"]
    columns += ["between-subject SD (omega)", f"{of.share} CrI", "eta-shrinkage"] if varies else []
    columns += ["between-occasion SD (kappa)"] if within else []
    sensitive = bool((own["sensitivity"] != "").any())
    columns += ["sensitivity to the prior"] if sensitive else []
    columns += ["note"] if noted else []
    rows = []
    for row in own.to_dict("records"):
        cells = [row["name"], Symbol(row["symbol"]), pretty_unit(row["unit"]), shown(row["median"])]
        cells += [interval(row["lower"], row["upper"]), interval(row["prior_lower"], row["prior_upper"])]
        cells.append(_two_digits(row["contraction"]))
        if varies:
            cells += [shown(row["omega_median"]), interval(row["omega_lower"], row["omega_upper"])]
            cells.append(_two_digits(row["eta_shrinkage"]))
        if within:
            limits = interval(row["kappa_lower"], row["kappa_upper"])
            cells.append(f"{shown(row['kappa_median'])} ({limits})" if limits else "")
        cells += [row["sensitivity"]] if sensitive else []
        rows.append((*cells, row["note"]) if noted else tuple(cells))
    return Table(columns, rows, frozenset({3, 6, 7, 9} if varies else {3, 6}))


def _two_digits(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.2f}"


def covariates(of: Reported) -> Part:
    """What covariates do to parameters, in words and drawn."""
    title = "What covariates do"
    try:
        table = effects(of.fit, probability=of.probability)
    except InputError:
        return Part("covariates", title, (Text("No covariate acts in this fit."),))
    if of.private:
        few = {
            (p.name, contrast_words(effect))
            for p in of.spec.parameters.values()
            for key, effect in p.effects.items()
            if names.effect(p.name, key) in _levels_of_few(of)
        }
        kept = [pair not in few for pair in zip(table["quantity"], table["contrast"], strict=True)]
        table = table[kept]
    if not len(table):
        return Part("covariates", title, (Text("No covariate that enough people have acts in this fit."),))
    figure = forest(table)
    caption = (
        f"Factors of typical values: median and {of.share} interval. They are associations among the people "
        "of this study, adjusted for each other as the model has them."
    )
    return Part(
        "covariates",
        title,
        (
            Sentences([(each, True) for each in table["words"]]),
            Picture.of(figure, caption),
        ),
    )
