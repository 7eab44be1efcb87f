"""Does the model describe the data? Errors and typical values against their priors, samples against what the
fit predicts of them, people against what it predicts of new ones, in sentences; and what may be wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import xarray as xr
from scipy.stats import binom, norm

from bayesglu.analysis.findings import Finding, count
from bayesglu.analysis.outliers import People, beside_new_people, unusual
from bayesglu.analysis.suspects import common_slip, slips
from bayesglu.analysis.weights import LARGEST_K
from bayesglu.hierarchy import names
from bayesglu.spec.model import ModelSpec, load_model

FAR = 3.5
"""Prior SDs from a prior's median at which data and prior contradict each other."""

OUTSIDE = 1e-3
"""How seldom chance puts as many samples of any one person outside their own bands."""

ONE_SIDED = 4.0
"""SDs by which residuals have fewer changes of sign than independent ones: 1 in 30,000 by chance."""

ALONE = 5.0
"""SDs of what the prior expects of one person at which that person's own value contradicts it. It is more
than `FAR`, for the farthest of all people and parameters is looked at, and each has heavy tails."""

ROUGH = 1.5
"""How many times farther off residual SDs, between-subject SDs and single people must be where a Laplace
approximation is not near the posterior: its mode lies SDs from what sampling finds. Typical values are then
told and not judged: in larger studies the mode wanders along what samples tell only together."""

NOT_JUDGED = (
    " This is not judged, since the Laplace approximation is not near the posterior: sample (method='nuts') "
    "to see whether it is so."
)
"""What is added to a sentence about typical values of a rough approximation."""

SHOWN = 4
"""How many people, at most, a sentence names."""


def describes(fit: xr.DataTree) -> Iterator[Finding]:
    """Whether the model describes the samples that it was fitted to, where the fit holds what is needed."""
    if "model_text" not in fit.attrs:
        return
    spec = load_model(fit.attrs["model_text"])
    rough = _rough(fit)
    farther = ROUGH if rough else 1.0
    far = FAR * farther
    yield from _errors(fit, spec, far)
    yield from _typical(fit, spec, far, rough)
    yield from _individual(fit, spec, ALONE * farther, rough)
    yield from _omegas(fit, spec, far)
    samples = _ranked(fit)
    if len(samples):
        yield _outside(samples)
        yield from _one_sided(samples)
    people = beside_new_people(fit)
    if people is not None:
        yield from _outliers(people)
        yield from _slips(fit, people)


def _rough(fit: xr.DataTree) -> bool:
    """Whether this is a Laplace approximation that is not near the posterior."""
    k = json.loads(fit.attrs.get("weights", "{}")).get("pareto_k", 0.0)
    return fit.attrs.get("method") == "laplace" and not k <= LARGEST_K


def held(fit: xr.DataTree) -> Iterator[Finding]:
    """What a posterior mode was not sought of."""
    kept = []
    if names.CORRELATION in fit["posterior"]:
        kept.append("the correlations between parameters, where the prior expects them")
    if "forcing_obs" in fit["posterior"].dims:
        kept.append("the forcing function, at what was measured")
    if kept:
        fixed = f"Fixed while the mode was sought: {' and '.join(kept)}"
        yield Finding(f"{fixed}. Their intervals are those of the prior.")


def _errors(fit: xr.DataTree, spec: ModelSpec, far: float) -> Iterator[Finding]:
    for analyte, measured in spec.analytes.items():
        name = names.sigma(analyte)
        if name not in fit["posterior"] or not measured.sigma.sd:
            continue
        found, prior = float(fit["posterior"][name].median()), measured.sigma
        if np.log(found / prior.median) / prior.sd > far:
            yield Finding(
                f"The residual SD of {analyte} is {found:.2g}; its prior expects {prior.median:.2g}, less "
                f"than {prior.median * np.exp(far * prior.sd):.2g}. What the model cannot describe went "
                "into the error of the assay: look at units, times, doses and basal levels, then at the "
                "model.",
                False,
            )


def _typical(fit: xr.DataTree, spec: ModelSpec, far: float, rough: bool) -> Iterator[Finding]:
    posterior, conflicts = fit["posterior"], []
    for name, parameter in spec.parameters.items():
        called = names.typical(name) if parameter.varies else name
        if called not in posterior or not parameter.typical.sd:
            continue
        scaled = parameter.to_scale(posterior[called].values)
        away = (np.median(scaled) - parameter.location) / parameter.typical.sd
        if abs(away) > far:
            found = float(posterior[called].median())
            low, high = parameter.interval(0.95)
            contradictions = f"{name} {found:.3g} {parameter.unit}".removesuffix(" 1")
            conflicts.append((abs(away), f"{contradictions} (95 % of the prior: {low:.3g} to {high:.3g})"))
    if conflicts:
        contradictions = "; ".join(sentence for _, sentence in sorted(conflicts, reverse=True))
        sentence = f"Prior-data conflict, by more than {far:g} SDs of the prior: {contradictions}."
        yield Finding(f"{sentence}{NOT_JUDGED}" if rough else sentence, rough)


def _omegas(fit: xr.DataTree, spec: ModelSpec, far: float) -> Iterator[Finding]:
    """Parameters in which people differ more than their priors expect, and who differs most."""
    posterior = fit["posterior"].to_dataset()
    for name, parameter in spec.parameters.items():
        prior = parameter.between_subject
        if prior is None or not prior.sd or name not in posterior or names.omega(name) not in posterior:
            continue
        found = float(posterior[names.omega(name)].median())
        if np.log(found / prior.omega) / prior.sd <= far or "subject" not in posterior[name].dims:
            continue
        own = posterior[name].median(("chain", "draw"))
        scaled = parameter.to_scale(own.values)
        who = int(np.abs(scaled - np.median(scaled)).argmax())
        theirs = f"{float(own[who]):.3g} {parameter.unit}".removesuffix(" 1")
        yield Finding(
            f"People differ in {name} by an SD of {found:.2g}; its prior expects {prior.omega:.2g}, less "
            f"than {prior.omega * np.exp(far * prior.sd):.2g}. {own.subject.values[who]} differs most "
            f"({theirs}; the middle of all is {float(own.median()):.3g}): look at their samples, units and "
            "doses.",
            False,
        )


def _individual(fit: xr.DataTree, spec: ModelSpec, alone: float, rough: bool) -> Iterator[Finding]:
    """People who are not as the prior expects anyone of their covariates to be: what a typical value, a
    between-subject SD and an error that each give way a little have shared out among them."""
    if "prior" not in fit.children:
        return
    posterior, before = fit["posterior"].to_dataset(), fit["prior"].to_dataset()
    for name, parameter in spec.parameters.items():
        if not parameter.varies or not {name} <= set(posterior) & set(before):
            continue
        draws = (group[name].stack(sample=("chain", "draw")) for group in (posterior, before))
        found, prior = (parameter.to_scale(each.values) for each in draws)
        found = np.median(found, axis=-1)
        least, low, middle, high, most = np.quantile(prior, [0.001, 0.05, 0.5, 0.95, 0.999], axis=-1)
        # Heavy tails count: the wider of what the bulk and what the tails say.
        sd = np.maximum((high - low) / (2 * norm.ppf(0.95)), (most - least) / (2 * norm.ppf(0.999)))
        away = np.abs(found - middle) / np.where(sd > 0, sd, np.inf)
        far = [place for place in np.argsort(-away) if away[place] > alone]
        if not far:
            continue
        # Of most people it is the typical value that is far.
        excused = rough and len(far) > len(away) / 2 > 1
        (dim,) = set(posterior[name].dims) - {"chain", "draw"}
        worst, who = far[0], posterior[dim].values[far[0]]
        scaled = np.array([found[worst], least[worst], most[worst]])
        value, least_expected, most_expected = parameter.from_scale(scaled)
        unit = f" {parameter.unit}".removesuffix(" 1")
        others = f", and {count(len(far) - 1, 'other')}" if len(far) > 1 else ""
        yield Finding(
            f"{name} of {dim} {who} is {value:.3g}{unit}, where the prior expects {least_expected:.3g} to "
            f"{most_expected:.3g} (99.8 %) of anyone with the same covariates{others}. The value is "
            "then a compromise of prior and samples: look at units and doses; if the person is so, give a "
            f"covariate that says it (the group), or a prior of {name} that allows it."
            f"{NOT_JUDGED if excused else ''}",
            excused,
        )


def _ranked(fit: xr.DataTree) -> pd.DataFrame:
    """A row per sample that is not censored: ``analyte``, ``subject``, ``occasion``, ``time``, its rank among
    what is predicted of it, and the logarithm of its ratio to what is fitted."""
    needed = {"observed_data", "posterior_predictive", "fitted"}
    if not needed <= set(fit.children):
        return pd.DataFrame()
    tables = []
    observed, known = fit["observed_data"].to_dataset(), fit["constant_data"].to_dataset()
    for analyte in map(str, observed.data_vars):
        if analyte not in fit["posterior_predictive"]:
            continue
        dim, value = names.observations(analyte), observed[analyte].values
        of_groups = (fit[group].to_dataset()[analyte] for group in ("posterior_predictive", "fitted"))
        predicted, fitted = (of.transpose(..., dim).values.reshape(-1, len(value)) for of in of_groups)
        fitted = np.median(fitted, axis=0)
        table = pd.DataFrame({"analyte": analyte, "rank": (predicted < value).mean(0)})
        with np.errstate(divide="ignore", invalid="ignore"):
            table["ratio"] = np.log(value / fitted)
        for label in ("subject", "occasion", "time"):
            table[label] = observed[f"{analyte}_{label}"].values
        keep = np.isfinite(table["ratio"])
        censoring = f"{analyte}_censoring"
        if censoring in known:
            keep &= known[censoring].values == "none"
        tables.append(table[keep])
    return pd.concat(tables) if tables else pd.DataFrame()


def _outside(samples: pd.DataFrame) -> Finding:
    """People of whom too many samples lie outside their own 90 % bands, all analytes together."""
    out = (samples["rank"] < 0.05) | (samples["rank"] > 0.95)
    by = out.groupby(samples["subject"], sort=False).agg(["sum", "size"])
    chance = binom.sf(by["sum"] - 1, by["size"], 0.1) * len(by)
    bad = by[chance < OUTSIDE].sort_values("sum", ascending=False)
    share = f"{100 * (1 - out.mean()):.0f} % of all samples lie inside their own 90 % bands"
    if not len(bad):
        return Finding(f"{share[0].upper()}{share[1:]}, and no person stands out.")
    named = [f"{who} ({row['sum']} of {row['size']} outside)" for who, row in bad.iloc[:SHOWN].iterrows()]
    sentence = f"The model does not describe {_people(len(bad))}: {', '.join(named)}{_others(len(bad))}."
    return Finding(f"{sentence} Look at their samples, doses and units.", False)


def _people(number: int) -> str:
    return count(number, "person").replace("persons", "people")


def _others(number: int) -> str:
    """That there are more than are named."""
    return f", and {count(number - SHOWN, 'other')}" if number > SHOWN else ""


def _outliers(people: People) -> Iterator[Finding]:
    """People whose samples no one of the fitted population has."""
    far = people.outliers
    if not far:
        yield Finding("No person is unlike what is predicted of new people with their covariates and tests.")
        return
    named = [f"{who} ({unusual(people, who)})" for who in far[:SHOWN]]
    verb = "is" if len(far) == 1 else "are"
    yield Finding(
        f"{_people(len(far))} {verb} unlike what is predicted of new people with their covariates and "
        f"tests: {'; '.join(named)}{_others(len(far))}.",
        False,
    )


def _slips(fit: xr.DataTree, people: People) -> Iterator[Finding]:
    """Slips that explain the samples of everyone, or of single people."""
    if cause := common_slip(fit, people):
        yield Finding(f"Likely cause, in everyone: {cause}.", False)
        return
    found = slips(fit, people)
    for who in list(found)[:SHOWN]:
        yield Finding(f"Possible slip in {who}: {found[who]}.", False)
    if len(found) > SHOWN:
        yield Finding(f"Possible slips in {count(len(found) - SHOWN, 'other')} too.", False)


def _one_sided(samples: pd.DataFrame) -> Iterator[Finding]:
    """Analytes whose residuals keep their sign from sample to sample; where, and by how much."""
    for analyte, own in samples.groupby("analyte", sort=False):
        runs, expected, variance = 0.0, 0.0, 0.0
        for _, test in own.sort_values("time", kind="stable").groupby(["subject", "occasion"], sort=False):
            above = test["rank"].to_numpy() > 0.5
            n, m = int(above.sum()), int((~above).sum())
            if n and m and n + m > 2:
                both = 2.0 * n * m
                runs += 1 + np.count_nonzero(np.diff(above))
                expected += 1 + both / (n + m)
                variance += both * (both - n - m) / ((n + m) ** 2 * (n + m - 1))
        if not variance or (expected - runs) / np.sqrt(variance) < ONE_SIDED:
            continue
        by_time = own.groupby("time")["ratio"].median()
        worst = by_time.abs().idxmax()
        off = 100 * np.expm1(by_time[worst])
        yield Finding(
            f"Residuals of {analyte} keep their sign from sample to sample ({runs:.0f} runs where "
            f"{expected:.0f} are expected): its curve has another form than the model's. It is farthest off "
            f"at {worst:g} min, where samples lie {abs(off):.0f} % {'above' if off > 0 else 'below'} what is "
            "fitted. Intervals of parameters are then too narrow.",
            False,
        )
