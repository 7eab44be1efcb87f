"""Which model predicts people better whom it has not seen, and which people decide."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from arviz_stats import compare as compare_elpd
from arviz_stats.utils import ELPDData

from bayesglu.analysis.cross_validation import COLUMNS, LEFT_OUT, POPULATION_DRAWS, made
from bayesglu.analysis.findings import count
from bayesglu.analysis.kept_study import study_of
from bayesglu.analysis.marginal import left_out, marginal
from bayesglu.analysis.population import LEAST
from bayesglu.analysis.weights import IMPORTANCE
from bayesglu.errors import FitWarning, InputError, warn_caller
from bayesglu.pieces import Kept, check_executor
from bayesglu.results import require_fit
from bayesglu.seeds import seed_of
from bayesglu.settings import MANY, Number, check_all
from bayesglu.spec.model import model_of
from bayesglu.study.study import Study, load_study
from bayesglu.text.wording import some

SETTINGS = {"population_draws": Number(4 * LEAST, MANY, whole=True)}

SURE, LARGE = 2.0, 4.0
"""A difference counts where it is so many standard errors, and as large: smaller ones have errors that are
not Normal (Sivula et al. 2025, arXiv 2008.10296)."""


@dataclass(frozen=True, repr=False)
class Comparison:
    """What a comparison of models found; `compare` makes it.

    Parameters
    ----------
    table : pandas.DataFrame
        A row per model, the best first: ``elpd``, the sum over people of the log density of each one's
        samples, and its standard error ``se``; ``difference`` from the best and ``difference_se``; the
        ``weight`` of its predictions among those of all (stacking); ``refitted``, people for whom it was
        fitted again.
    people : xarray.Dataset
        By ``model`` and ``subject``: ``elpd``, its Monte Carlo ``error``, the ``pareto_k`` of the weights and
        whether the model was ``refitted`` without the person.
    headline : str
        The verdict in one line.
    sentences : tuple of str
        What decides, and what limits the verdict.

    Examples
    --------
    >>> elpd = xr.DataArray([[-9.0, -8, -9], [-8, -2, -9]], dims=("model", "subject"))
    >>> people = xr.Dataset({"elpd": elpd}, {"model": ["a", "b"], "subject": ["1", "2", "3"]})
    >>> judged(people).headline
    "'b' and 'a' cannot be distinguished: the elpd of 'b' is higher by 7.0 (standard error 4.5) in 3 people."
    """

    table: pd.DataFrame
    people: xr.Dataset
    headline: str
    sentences: tuple[str, ...]

    def __repr__(self) -> str:
        return "\n".join([self.headline, *self.sentences, self.table.to_string(float_format="{:.4g}".format)])


def compare(
    models: Mapping[str, xr.DataTree | xr.Dataset],
    study: Study | str | Path | None = None,
    *,
    refit: bool = True,
    population_draws: int = POPULATION_DRAWS,
    keep: str | Path | None = None,
    executor: Any = None,
    progressbar: bool = True,
    random_seed: int | np.random.Generator | None = None,
) -> Comparison:
    """Compare models by how well they predict people whom they have not seen.

    The unit is a person and not a sample: everything of a person is left out at once, and the population
    alone predicts, with all parameters of the person integrated out. Of fits, draws of the population are
    weighted as if each person in turn had been left out (Pareto smoothed importance sampling). Where weights
    are too uneven for that the model is fitted again without the person.

    Parameters
    ----------
    models : mapping
        A name for each fit, as `fit` and `load` return it, or each result of `cross_validate`.
    study : Study, str or Path, optional
        The study of the fits; needed where they have a forcing function, whose samples a fit does not keep.
    refit : bool
        Whether to fit again without a person where weights are too uneven, with the settings of the fit and
        from its coordinates. Without, a warning names such people.
    population_draws : int
        Draws of each population to use at most, evenly spaced; 100 or more.
    keep : str or Path, optional
        A folder in which each fit without a person is kept as it ends. The same call resumes from there.
    executor : int, concurrent.futures.Executor or dask.distributed.Client, optional
        What makes those fits, as for `cross_validate`.
    progressbar : bool
        Whether to show progress.
    random_seed : int or numpy.random.Generator, optional
        Seed of everything random; drawn where it is not given.

    Returns
    -------
    Comparison
        A verdict, a table of models, and what each model says of each person.

    Raises
    ------
    InputError
        If there are less than two, they are of different data, folds or kinds, or a fit cannot be used.
    SpecError
        If a model has a part that is not registered.
    StudyError
        If there is no such study.
    SolverError
        If the equations cannot be solved.

    Warns
    -----
    FitWarning
        Where weights are too uneven, and `refit` is False.

    Examples
    --------
    >>> import bayesglu as bg
    >>> test = dict(protocol="ivgtt(0.3)", times=[0, 4, 10, 30, 60], subjects=2)
    >>> study = bg.simulate_study("ivgtt", **test, random_seed=1)
    >>> quick = dict(by=2, method="laplace", draws=30, progressbar=False, random_seed=1)
    >>> loose = {"glucose": {"sigma": {"median": 0.5, "gsd": 1.1}}}
    >>> models = {"as it is": "ivgtt", "loose": bg.load_model("ivgtt").with_changes(analytes=loose)}
    >>> found = bg.compare({n: bg.cross_validate(m, study, **quick) for n, m in models.items()})
    >>> found.table.index[0]
    'as it is'
    """
    (asked,) = check_all(({"population_draws": population_draws}, SETTINGS, ""))
    check_executor(executor)
    if not isinstance(models, Mapping) or len(models) < 2:
        raise InputError('Give two models or more, each with a name: compare({"with bmi": a, "without": b}).')
    fits = {name: one for name, one in models.items() if isinstance(one, xr.DataTree)}
    if 0 < len(fits) < len(models):
        raise InputError("Compare fits with fits, or results of cross_validate with such results.")
    if not fits:
        return judged(_of_folds(models))
    for name, one in fits.items():
        _require_usable(name, one, study is not None)
    _require_same_samples({name: _samples_of(one) for name, one in fits.items()})
    folders = {} if keep is None else {n: Path(keep) / n.replace("/", "_") for n in models}
    kept = {name: Kept(folder, "cross_validation", "fold") for name, folder in folders.items()}
    before = next((seed for own in kept.values() if (seed := own.seed()) is not None), None)
    seed = seed_of(before if random_seed is None else random_seed)
    given, draws = None if study is None else load_study(study), asked["population_draws"]
    parts = [
        _of_fit(name, one, given, refit, draws, kept.get(name), executor, progressbar, seed)
        for name, one in models.items()
    ]
    return judged(xr.concat(parts, "model", join="exact").assign_coords(model=list(models)))


# --- what each model says of each person ---


def _of_fit(name, fit, given, refit, draws, kept, executor, progressbar, seed) -> xr.Dataset:
    spec, settings = model_of(fit.attrs), json.loads(fit.attrs["settings"])
    study = study_of(fit) if given is None else given
    if given is not None and study.hash != fit.attrs["study_hash"]:
        raise InputError(f"{name!r} is not a fit of the study '{study.name}' as it is given.")
    rng = np.random.default_rng(seed)
    found = left_out(marginal(spec, study, fit, draws, settings["solver"], rng))
    used = min(draws, fit["posterior"].sizes["chain"] * fit["posterior"].sizes["draw"])
    # So much of a tail may be estimated from that many draws (Vehtari et al. 2024).
    bad = ~(found.k <= min(0.7, 1 - 1 / np.log10(used)))
    people = np.array(study.subjects)
    elpd, error, again = found.elpd.copy(), found.error.copy(), bad & refit
    if bad.any() and not refit:
        warn_caller(
            f"{name!r}: the weights of subject {some(list(people[bad]))} are too uneven (Pareto k up to "
            f"{np.nanmax(found.k[bad]):.2f}) for the fit to say what one without them would: compare(..., "
            "refit=True), or cross_validate.",
            FitWarning,
        )
    if again.any():
        same = ("draws", "tune", "chains", "target_accept", "parametrization", "steps", "nuts")
        whole = {n: settings[n] for n in same if n in settings} | settings["solver"]
        whole |= {"method": fit.attrs["method"]}
        whitened = whole["method"] == "nuts" and whole["parametrization"] == "whitened"
        start = fit if whitened else None
        folds = {str(s): [str(s)] for s in people[again]}
        done = made(spec, study, folds, seed, 0.9, whole, start, kept, executor, progressbar)
        elpd[again] = [float(one["people"]["elpd"].item()) for one in done]
        error[again] = [float(one["people"]["elpd_error"].item()) for one in done]
    by_subject = {"elpd": elpd, "error": error, "pareto_k": found.k, "refitted": again}
    return xr.Dataset({n: ("subject", v) for n, v in by_subject.items()}, {"subject": people})


def _of_folds(models: Mapping[str, xr.DataTree | xr.Dataset]) -> xr.Dataset:
    parts, samples = [], {}
    for name, one in models.items():
        if not isinstance(one, xr.Dataset) or "elpd" not in one or LEFT_OUT not in one.dims:
            raise InputError(f"{name!r} is neither a fit nor what cross_validate(...) returned.")
        own = one[["elpd", "elpd_error", "fold_of"]].rename({LEFT_OUT: "subject", "elpd_error": "error"})
        if (lost := own["subject"].values[np.isnan(own["elpd"].values)]).size:
            raise InputError(f"{name!r} says nothing of subject {some(list(map(str, lost)))}.")
        parts.append(own.sortby("subject").assign(refitted=("subject", np.full(own.sizes["subject"], True))))
        samples[name] = one[[*COLUMNS]].to_dataframe()
    _require_same_samples(samples)
    first = next(iter(models))
    for name, own in zip(models, parts, strict=True):
        if not _same_folds(parts[0]["fold_of"].values, own["fold_of"].values):
            raise InputError(
                f"{first!r} and {name!r} were cross-validated in different folds: give the same `by` and the "
                "same random_seed."
            )
    parts = [own.drop_vars("fold_of") for own in parts]
    return xr.concat(parts, "model", join="exact").assign_coords(model=list(models))


def _same_folds(one: np.ndarray, other: np.ndarray) -> bool:
    return ((one[:, None] == one) == (other[:, None] == other)).all().item()


def _require_usable(name: str, fit: xr.DataTree, study_given: bool) -> None:
    require_fit(fit)
    if fit.attrs.get("method") == IMPORTANCE:
        raise InputError(f"{name!r} is a fit of new people, given a population: compare fits of populations.")
    if "observed_data" not in fit.children or "settings" not in fit.attrs:
        raise InputError(f"{name!r} was saved without its data.")
    if "forcing_obs" in fit["posterior"].dims and not study_given:
        raise InputError(
            f"{name!r} has a forcing function, whose samples a fit does not keep: give the study too, "
            "compare({...}, study)."
        )
    if fit["posterior"].sizes["subject"] < 2:
        raise InputError(f"{name!r} is a fit of one person, and one without them has nobody.")


def _samples_of(fit: xr.DataTree) -> pd.DataFrame:
    observed, known, parts = fit["observed_data"], fit["constant_data"], []
    for analyte, values in observed.data_vars.items():
        columns = {n: observed[f"{analyte}_{n}"].values for n in ("subject", "occasion", "time")}
        columns |= {"analyte": str(analyte), "value": values.values}
        parts.append(pd.DataFrame({**columns, "censoring": known[f"{analyte}_censoring"].values}))
    return pd.concat(parts)


def _require_same_samples(samples: Mapping[str, pd.DataFrame]) -> None:
    """Raise InputError where not all speak of the same samples."""
    places = ["analyte", "subject", "occasion", "time"]
    first, *others = samples
    for other in others:
        one, two = (
            samples[n].astype({"value": float}).set_index(places).sort_index() for n in (first, other)
        )
        for having, lacking_, a, b in ((one, two, first, other), (two, one, other, first)):
            if len(lost := having.index.difference(lacking_.index)):
                of = dict.fromkeys(lost.get_level_values("analyte"))
                who = dict.fromkeys(lost.get_level_values("subject"))
                raise InputError(
                    f"Models are compared on the same data, and {a!r} has {count(len(lost), 'sample')} of "
                    f"{some(list(of))} (subject {some(list(who))}) that {b!r} has not. Fit both to what both "
                    "can say: study.select(subjects=..., analytes=...)."
                )
        if len(one) != len(two):
            raise InputError(f"{first!r} and {other!r} have not the same number of samples at each time.")
        off = ~np.isclose(one["value"], two["value"], rtol=1e-9) | (one["censoring"] != two["censoring"])
        if off.any():
            analyte, subject, _, at = one.index[np.flatnonzero(off)[0]]
            raise InputError(
                f"Models are compared on the same data, and {count(int(off.sum()), 'sample')} of {first!r} "
                f"and {other!r} differ, the first {analyte} of subject {subject} at {at:g} min."
            )


# --- the verdict ---


def judged(people: xr.Dataset) -> Comparison:
    """From what each model says of each person."""
    elpd = people["elpd"].transpose("model", "subject")
    called, n = [str(m) for m in people["model"].values], elpd.sizes["subject"]
    # What is common to all models changes nothing but whether exp() can be taken of it.
    shifted = elpd - elpd.max("model")
    given = {
        name: ELPDData(
            elpd=float(own.sum()), se=0.0, p=np.nan, n_samples=0, n_data_points=n, scale="log", warning=False,
            good_k=0.7, elpd_i=own,
        )
        for name, own in zip(called, shifted, strict=True)
    }  # fmt: skip
    arviz = compare_elpd(given, round_to="none")
    total = elpd.sum("subject").to_series()
    table = pd.DataFrame(
        {
            "elpd": total,
            "se": np.sqrt(n) * elpd.std("subject", ddof=1).to_series() if n > 1 else np.nan,
            "difference": arviz["elpd_diff"].reindex(called).values,
            "difference_se": arviz["dse"].reindex(called).values,
            "weight": arviz["weight"].reindex(called).values,
        },
        index=pd.Index(called, name="model"),
    ).loc[list(arviz.index)]
    if "refitted" in people:
        table["refitted"] = people["refitted"].sum("subject").to_series().reindex(table.index)
    best, second = table.index[:2]
    away = elpd.sel(model=best) - elpd.sel(model=second)
    headline, sure = _verdict(best, second, away)
    return Comparison(table, people, headline, tuple(_sentences(best, second, away, sure, people)))


def _verdict(best: str, second: str, away: xr.DataArray) -> tuple[str, bool]:
    difference, n = float(away.sum()), away.size
    error = float(np.sqrt(n) * away.std())
    by_how_much = f"higher by {difference:.1f} (standard error {error:.1f}) in {n} people."
    if difference >= max(LARGE, SURE * error):
        return f"{best!r} predicts people better than {second!r}: its elpd is {by_how_much}", True
    return f"{best!r} and {second!r} cannot be distinguished: the elpd of {best!r} is {by_how_much}", False


def _sentences(best: str, second: str, away: xr.DataArray, sure: bool, people: xr.Dataset):
    own = away.to_series().sort_values(ascending=False)
    total, n = float(own.sum()), len(own)
    for_it, left = own[own > 0], total - own.cumsum().to_numpy(float)
    turning = int((left < 0).argmax()) + 1 if (left < 0).any() else n
    first = [str(s) for s in own.index[:turning]]
    yield (
        f"{best!r} predicts {len(for_it)} of {n} people better. Without {count(turning, 'person')} "
        f"({some(first)}) {second!r} would be the better one."
        if turning < n
        else f"{best!r} predicts {len(for_it)} of {n} people better, and no few of them decide."
    )
    largest = own.abs().nlargest(3)
    yield "The largest differences: " + ", ".join(f"{s} ({own[s]:+.1f})" for s in largest.index) + "."
    if "error" in people:
        error = float(np.sqrt(np.square(people["error"].sel(model=[best, second])).sum()))
        if error > 0.5 * abs(total):
            yield f"The Monte Carlo error of the difference is {error:.1f}: take more draws."
    if n < 100 and sure:
        yield (
            f"With {n} people the standard error itself is uncertain, and usually too small (Sivula et al. "
            "2025, arXiv 2008.10296)."
        )
    if "pareto_k" in people:
        bad = (people["pareto_k"] > 0.7) & ~people["refitted"]
        if bad.any():
            who = people["subject"].values[bad.any("model").values]
            yield f"Weights were too uneven for subject {some(list(map(str, who)))}: not refitted."
