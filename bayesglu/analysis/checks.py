"""Can this fit be trusted? Did sampling work, and does the model describe the data, in sentences."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.diagnostics import energy_fraction, mixing, normal_scores
from bayesglu.analysis.findings import Finding, count
from bayesglu.analysis.misfit import SHOWN, describes, held
from bayesglu.analysis.verdict import Verdict
from bayesglu.analysis.weights import IMPORTANCE, LARGEST_K, judge_weights, tail_of
from bayesglu.errors import FitWarning, warn_caller
from bayesglu.results import require_fit
from bayesglu.text.wording import some

LARGEST_RHAT = 1.01
SMALLEST_ESS = 400
SMALLEST_ENERGY_FRACTION = 0.3
TOLERATED_DIVERGENCES = 0.001
LARGEST_STAGE_ERROR, LARGEST_BEND = 0.5, 0.25
"""Of a population in two stages: its Monte Carlo error in posterior SDs, which adds an eighth to these; and
by what share the precision of shared parameters may be off."""

TOLERATED_SHARE = 0.3
"""What another mode of a person may have, of the probability of that which a Laplace approximation keeps."""


def check(fit: xr.DataTree, warn: bool = True) -> Verdict:
    """The verdict on a fit: whether sampling worked, and whether the model describes the data.

    A fit is clean when every R-hat is below 1.01 and every bulk and tail effective sample size above 400,
    when fewer than one draw in a thousand diverged, when each chain's E-BFMI is above 0.3, and when the ODE
    solver converged for all subjects. Constant variables are skipped. A fit with ``method="laplace"`` has no
    chains: there the verdict says what its intervals are, and what was fixed while the mode was sought, and
    it is not clean where somebody has another mode with more than 0.3 of the probability of the one that is
    kept. One of new people (`fit_person`) has weights: their Pareto k must be at most 0.7, and the effective
    sample size of the population's draws at least 100.

    The model describes the data when no residual SD and no typical value lies more than 3.5 SDs of its prior
    from the prior's median (of residual SDs: above it), when no person has more samples outside their own
    90 % bands than chance brings in one of a thousand such studies, when nobody is as far from what is
    predicted of new people with their covariates, doses and times as one person is in one of 200 such
    studies, and when residuals do not keep their sign from sample to sample. Of a Laplace approximation that
    is not near the posterior, typical values are told and not judged. Where one of these fails, slips
    that are common in tables are undone in turn (units, hours for minutes, tubes swapped, a dose that
    is missing), and one that explains the samples is named as the likely cause.

    The verdict is kept in the fit's attribute ``verdict``, as JSON, so that a fit that is saved carries it.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit` and `load` return it.
    warn : bool
        Whether to warn when the fit is not clean.

    Returns
    -------
    Verdict
        Printed, it has a sentence for every diagnostic; ``clean``, ``problems`` and ``table`` are for
        programs.

    Raises
    ------
    InputError
        If `fit` has no posterior.

    Warns
    -----
    FitWarning
        Where the fit is not clean.

    Examples
    --------
    >>> import bayesglu as bg
    >>> fit = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> print(bg.check(fit).headline)
    MAP estimate with Laplace approximation; no numerical problems found.
    """
    fit = require_fit(fit)
    every = diagnostics(fit)
    quick = fit.attrs.get("method") == "laplace"
    if quick:
        judged = [*_judge_mode(fit), *held(fit)]
    elif IMPORTANCE in fit.children:
        judged = [*_judge_people(fit), *judge_weights(fit[IMPORTANCE].to_dataset())]
    else:
        judged = _judge_chains(fit, every)
    sampling = [*judged, *_judge_numbers(fit), *_judge_solves(fit)]
    model = list(describes(fit))
    if "stages" in fit.attrs:
        model.append(
            Finding(
                "Samples are not judged: a fit in two stages has no predictions of them. Fit some of the "
                "people together, fit(model, study.select(subjects=[...])), and check that."
            )
        )
    findings = [*sampling, *model]
    problems = tuple(finding.sentence for finding in findings if not finding.fine)
    sentences = tuple(finding.sentence for finding in findings)
    headline = "All sampling diagnostics passed."
    if quick:
        headline = "MAP estimate with Laplace approximation; no numerical problems found."
    if failed := sum(not finding.fine for finding in sampling):
        headline = f"{count(failed, 'diagnostic')} failed."
    if len(problems) > failed:
        headline += " The model does not describe the data."
    about_model = tuple(finding.sentence for finding in model)
    verdict = Verdict(not problems, headline, sentences, problems, about_model, _by_variable(every))
    fit.attrs["verdict"] = _kept(verdict)
    if warn and problems:
        warn_caller("\n".join([verdict.headline, *problems]), FitWarning)
    return verdict


def _kept(verdict: Verdict) -> str:
    """The verdict as an attribute of a fit."""
    kept = {"clean": verdict.clean, "headline": verdict.headline, "bayesglu_version": version("bayesglu")}
    sections = {question: list(sentences) for question, sentences in verdict.sections.items()}
    return json.dumps(kept | {"problems": list(verdict.problems), "sections": sections})


def diagnostics(fit: xr.DataTree) -> pd.DataFrame:
    """R-hat, bulk and tail effective sample size of every value of the posterior.

    A row is a ``(variable, value)``; ``value`` says whose it is (``"subject 7"``) and is empty for what
    people share. Constant values have NaN.
    """
    posterior = fit["posterior"].data_vars
    each = [_columns(draws) for draws in posterior.values()]
    rows = [(name, label) for name, (_, labels) in zip(posterior, each, strict=True) for label in labels]
    found = mixing(np.concatenate([columns for columns, _ in each], axis=-1))
    return pd.DataFrame(found._asdict(), pd.MultiIndex.from_tuples(rows, names=["variable", "value"]))


def _columns(draws: xr.DataArray) -> tuple[np.ndarray, list[str]]:
    """Draws as ``(chain, draw, column)``, and what each column is."""
    dims = [str(dim) for dim in draws.dims if dim not in ("chain", "draw")]
    values = draws.transpose("chain", "draw", *dims).values
    labels = [""]
    for dim in dims:
        here = draws[dim].values
        labels = [f"{before}, {dim} {label}".removeprefix(", ") for before in labels for label in here]
    return values.reshape(*values.shape[:2], -1), labels


def _by_variable(every: pd.DataFrame) -> pd.DataFrame:
    by = {"level": "variable", "sort": False}
    worst = every["rhat"].fillna(-np.inf).groupby(**by).idxmax()
    table = every.groupby(**by).agg({"rhat": "max", "ess_bulk": "min", "ess_tail": "min"})
    return table.assign(values=every.groupby(**by).size(), worst=[value for _, value in worst])


def _judge_mode(fit: xr.DataTree) -> Iterator[Finding]:
    yield Finding(
        "Intervals are those of a Laplace approximation, Normal at the mode, and may be too narrow: "
        'fit with method="nuts" before you report a number.'
    )
    if weights := json.loads(fit.attrs.get("weights", "{}")):
        k, near = weights["pareto_k"], f"at most {LARGEST_K}: the posterior is near this approximation"
        if not k <= LARGEST_K:
            near = f"above {LARGEST_K}: the posterior is too far from this approximation for that"
        yield Finding(f"Importance weighting of its draws would have a Pareto k of {k:.2f}, {near}.")
    others = sorted(json.loads(fit.attrs.get("other_modes", "[]")), key=lambda other: -other[1])
    if others:
        modes = ", ".join(f"{who} ({share:.2g} times as probable)" for who, share in others[:SHOWN])
        more = f" and {count(len(others) - SHOWN, 'other')}" if len(others) > SHOWN else ""
        yield Finding(
            "The posterior of some people has more than one mode, of which this approximation describes one. "
            f"Other modes: {modes}{more}.",
            others[0][1] < TOLERATED_SHARE,
        )


def _judge_people(fit: xr.DataTree) -> Iterator[Finding]:
    study, sizes = fit.attrs.get("population_study"), fit["posterior"].sizes
    drawn = f"{count(sizes['draw'], 'draw')} of {count(len(fit['importance']['subject']), 'new person')}"
    yield Finding(f"{drawn.replace('persons', 'people')}, given the population that was fitted to '{study}'.")
    if fit.attrs.get("population_method") == "laplace":
        yield Finding(
            "The population is a Laplace approximation, and what is said of people may be too narrow: fit it "
            "with "
            'method="nuts" before you report a number.'
        )


def _judge_chains(fit: xr.DataTree, every: pd.DataFrame) -> Iterator[Finding]:
    yield _effort(fit)
    if stages := json.loads(fit.attrs.get("stages", "{}")):
        yield from _judge_stages(stages)
        if "pareto_k" in stages:  # its draws are independent, but for their weights
            yield _judge_weighted(stages, fit["posterior"].sizes)
            return
    if unadjusted := fit.attrs.get("method") == "mclmc":
        yield Finding(
            "The sampler (mclmc, experimental in nutpie) is not adjusted: SDs may be wrong, by how much "
            'nothing tells. Fit with method="nuts" before you report a number.'
        )
    if breaks := json.loads(fit.attrs.get("continued", "[]")):
        places = ", ".join(f"chain {b['chain']} after draw {b['draw']}" for b in breaks)
        yield Finding(f"The run was interrupted and resumed after a short new warm-up: {places}.")
    if every["ess_bulk"].isna().all():
        yield Finding(
            "No value of the posterior varies over its draws: convergence cannot be assessed.", False
        )
        return
    yield _agreement(every["rhat"].dropna(), fit["posterior"].sizes["chain"])
    yield _enough_draws(every["ess_bulk"].dropna(), "bulk", "medians")
    yield _enough_draws(every["ess_tail"].dropna(), "tail", "interval limits")
    statistics = fit["sample_stats"].to_dataset() if "sample_stats" in fit.children else xr.Dataset()
    if weights := json.loads(fit.attrs.get("weights", "{}")):
        yield _weights(weights)
    if "diverging" in statistics:
        yield _divergences(fit, statistics["diverging"])
    if "energy" in statistics and not unadjusted:
        yield _energy(statistics["energy"])


def _judge_stages(stages: Mapping[str, Any]) -> Iterator[Finding]:
    """Whether two stages are as good as one fit of all people."""
    error, few = stages["error"], stages["fewest_effective_draws"]
    sentence = (
        f"Two stages, {stages['rounds']} rounds: the Monte Carlo error of the stored draws is at "
        f"most {error:.2f} posterior SDs of the population, and 19 of 20 people have {few:.0f} effective "
        "draws or more"
    )
    if error > LARGEST_STAGE_ERROR:
        times = np.ceil((error / LARGEST_STAGE_ERROR) ** 2)
        yield Finding(
            f"{sentence}. That is more than {LARGEST_STAGE_ERROR:g}: store {times:.0f} times as many.", False
        )
    else:
        yield Finding(f"{sentence}.")
    if stages["unsettled"]:
        yield Finding(
            f"The population still moved by {stages['moved']:.1f} SDs in the last round: the stages have not "
            "settled. Store more draws, or fit all people together, fit(model, study).",
            False,
        )
    if stages["bent"] > LARGEST_BEND:
        yield Finding(
            "Predictions are not linear in the shared parameters within their uncertainty: their "
            f"SDs may be wrong by {100 * stages['bent']:.0f} %. Fit all people together, fit(model, study).",
            False,
        )
    if left := stages["left_out"]:
        yield Finding(f"Left out, for their equations could not be solved: subject {some(left)}.", False)


def _judge_weighted(weights: Mapping[str, Any], sizes: Mapping[Hashable, int]) -> Finding:
    """Whether weighted draws of a population are enough."""
    enough = weights["efficiency"] * sizes["chain"] * sizes["draw"]
    sentence = (
        f"Draws of the population were weighted: {tail_of(weights['pareto_k'])}, and their "
        f"effective sample size is {enough:.0f}"
    )
    if enough > SMALLEST_ESS:
        return Finding(f"{sentence}.")
    return Finding(f"{sentence}, below {SMALLEST_ESS}; increase draws.", False)


def _effort(fit: xr.DataTree) -> Finding:
    """How much was drawn, and at what price."""
    sizes = fit["posterior"].sizes
    effort = f"{count(sizes['chain'], 'chain')} of {count(sizes['draw'], 'draw')}"
    if "sample_stats" in fit.children and "n_steps" in fit["sample_stats"]:
        effort += f", {float(fit['sample_stats']['n_steps'].median()):.0f} leapfrog steps per draw"
    if "wall_seconds" in fit.attrs:
        effort += f", {float(fit.attrs['wall_seconds']):.0f} s in total"
    if (thinned := int(fit.attrs.get("thinned", 1))) > 1:
        effort += f"; 1 of {thinned} draws was kept when the fit was saved, so that fewer are judged"
    return Finding(f"{effort}.")


def _agreement(rhat: pd.Series, chains: int) -> Finding:
    if chains < 2:
        return Finding("One chain cannot show convergence to the whole posterior: fit with chains=4.", False)
    largest = f"the largest R-hat is {rhat.max():.3f} ({_named(rhat.index[int(rhat.argmax())])})"
    bad = int((rhat >= LARGEST_RHAT).sum())
    if not bad:
        return Finding(f"The {chains} chains have mixed: {largest}.")
    others = f", and {count(bad - 1, 'other value')} with it" if bad > 1 else ""
    advice = "Increase tune and draws."
    if rhat.max() > 1.1:
        advice = "Increase tune, or check whether the posterior is multimodal and a prior must choose."
    return Finding(
        f"The {chains} chains have not mixed: {largest}, not below {LARGEST_RHAT}{others}. {advice}", False
    )


def _enough_draws(ess: pd.Series, kind: str, what_for: str) -> Finding:
    least = f"The smallest {kind} ESS is {ess.min():.0f} ({_named(ess.index[int(ess.argmin())])})"
    if ess.min() > SMALLEST_ESS:
        return Finding(f"{least}: adequate for {what_for}.")
    few = int((ess <= SMALLEST_ESS).sum())
    others = f", and {count(few - 1, 'other value')} with it" if few > 1 else ""
    times = max(np.ceil(10 * SMALLEST_ESS / ess.min()) / 10, 1.1)
    advice = f"increase draws about {times:.2g}-fold."
    if times > 10:
        advice = "mixing is very slow, and more draws alone will not help."
    return Finding(f"{least}: below {SMALLEST_ESS}{others}; {advice}", False)


def _weights(weights: Mapping[str, float]) -> Finding:
    """Whether draws made with frozen steps are weighted evenly enough."""
    k, made = weights["pareto_k"], f"made with frozen steps (tolerance {weights['tolerance']:.0e})"
    if np.isnan(k):
        return Finding(f"Draws were {made}, too few to tell how evenly they are weighted.", False)
    if not k <= LARGEST_K:
        return Finding(
            f"Draws were {made}, and are weighted too unevenly to stand for the solution at the solver's "
            f"tolerances (Pareto k {k:.2f}, above {LARGEST_K}). Fit with steps='adaptive'.",
            False,
        )
    return Finding(
        f"Draws were {made} and weighted to the solver's tolerances: {tail_of(k)}, efficiency "
        f"{weights['efficiency']:.1%}."
    )


def _divergences(fit: xr.DataTree, diverging: xr.DataArray) -> Finding:
    several, size = int(diverging.sum()), diverging.size
    if not several:
        return Finding("No divergent transitions.")
    share = f"{count(several, 'divergent transition')} in {size} draws ({100 * several / size:.2g} %)"
    if several < TOLERATED_DIVERGENCES * size:
        return Finding(f"{share}: fewer than one in a thousand, which is tolerated.")
    return Finding(
        f"{share}: the draws may be truncated in high-curvature regions{_where_diverging(fit, diverging)}. "
        "Raise target_accept (0.95), increase tune, or narrow a prior that the data do not inform.",
        False,
    )


def _where_diverging(fit: xr.DataTree, diverging: xr.DataArray) -> str:
    """The value in whose tail the diverging draws gather, if there is one."""
    hit = diverging.transpose("chain", "draw").values.astype(bool)
    farthest, place = 5.0, ""  # five standard errors, since the farthest of many values is picked
    for name, draws in fit["posterior"].data_vars.items():
        columns, labels = _columns(draws)
        scores = normal_scores(np.moveaxis(columns, -1, 0))
        away = scores[:, hit].mean(axis=1) * np.sqrt(hit.sum())
        far = int(np.abs(away).argmax())
        if abs(away[far]) > farthest:
            farthest = abs(away[far])
            place = f", near {'large' if away[far] > 0 else 'small'} {_named((str(name), labels[far]))}"
    return place


def _energy(energy: xr.DataArray) -> Finding:
    fractions = energy_fraction(energy.transpose("chain", "draw").values)
    bad = energy["chain"].values[fractions <= SMALLEST_ENERGY_FRACTION]
    if not len(bad):
        return Finding(f"E-BFMI is adequate: at least {fractions.min():.2f} in each chain.")
    which = f"{'chain' if len(bad) == 1 else 'chains'} {', '.join(map(str, bad))}"
    return Finding(
        f"E-BFMI is {fractions.min():.2f}, below {SMALLEST_ENERGY_FRACTION}, in {which}: heavy tails are "
        "explored slowly. Increase tune, or narrow the prior of a between-subject SD.",
        False,
    )


def _judge_numbers(fit: xr.DataTree) -> Iterator[Finding]:
    posterior = fit["posterior"].data_vars.items()
    bad = [str(name) for name, draws in posterior if not np.isfinite(draws.values).all()]
    if bad:
        yield Finding(f"Some draws of {', '.join(bad)} are not finite: do not use them.", False)


def _judge_solves(fit: xr.DataTree) -> Iterator[Finding]:
    """Solves that failed: after warm-up each makes a transition diverge, so without divergences none did."""
    failures = json.loads(fit.attrs.get("failed_solves", "null"))
    if failures and "sample_stats" in fit.children and not fit.sample_stats.diverging.any():
        several = sum(int(failure["count"]) for failure in failures)
        yield Finding(f"{count(several, 'ODE solve')} failed during warm-up, and none after it.")
        return
    if failures == []:
        yield Finding("The ODE solver converged for all subjects and draws.")
    by_reason: dict[str, dict[str, int]] = {}
    for failure in failures or ():
        who = str(failure["subject"]).removeprefix("subject ")
        by_reason.setdefault(failure["reason"], {})[who] = int(failure["count"])
    for reason, counts in by_reason.items():
        names = [f"{who}: {times}" for who, times in counts.items()]
        whom = f"for {count(len(counts), 'subject')} ({some(names)}; warm-up included)"
        if len(counts) == 1:
            whom = f"for subject {next(iter(counts))} (warm-up included)"
        yield Finding(
            f"The ODE solver failed {count(sum(counts.values()), 'time')} {whom}, where the density is zero. "
            f"{reason}",
            _few_divergences(fit),
        )


def _few_divergences(fit: xr.DataTree) -> bool:
    """Whether even if every divergence were a failed solve there would be too few to matter."""
    diverging = fit.sample_stats.diverging if "sample_stats" in fit.children else np.zeros(0)
    return int(diverging.sum()) < TOLERATED_DIVERGENCES * max(diverging.size, 1)


def _named(place: tuple[str, str]) -> str:
    variable, value = place
    return f"{variable} of {value}" if value else variable
