"""Of whom a question is asked: people of the study, new people, the typical person; on which day, and with
which covariates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.changes import Change, set_to
from bayesglu.analysis.new_people import NewPeople
from bayesglu.analysis.people import (
    covariate_in_draws,
    covariates_of,
    draw_people,
    fitted_people,
    typical_person,
)
from bayesglu.analysis.simulation import check_names
from bayesglu.errors import BayesgluWarning, InputError, warn_caller
from bayesglu.hierarchy import names
from bayesglu.hierarchy.covariates import WITHOUT
from bayesglu.hierarchy.posterior import acting_in
from bayesglu.protocols.protocol import Protocol
from bayesglu.protocols.table import kept_protocols
from bayesglu.spec.model import ModelSpec
from bayesglu.spec.priors import SPELLINGS, Effect
from bayesglu.text.problems import Problems, hint, is_number, show
from bayesglu.text.wording import some

FITTED, ANOTHER = "fitted", "another"
SAME, NEW, TYPICAL = "same", "new", "typical"


@dataclass(frozen=True, eq=False)
class Cohort:
    """People in each draw of a posterior, with what is known of them.

    parameters : by name, ``(chain, draw, subject)``. covariates : by subject; those that are absent are at
    the references of the model where `at_references`, else unknown. body_weight : kg, of all or by subject;
    None where unknown. occasion : the fitted one or another. whom : of whom, in words.
    """

    spec: ModelSpec
    posterior: xr.Dataset
    labels: list[str]
    parameters: Mapping[str, xr.DataArray]
    covariates: xr.Dataset
    body_weight: Any
    occasion: str
    whom: str
    seed: int
    at_references: bool = False

    def covariate(self, name: str) -> np.ndarray | None:
        """A covariate of everyone; None where all are at its reference.

        Raises InputError where it is not known of everyone.
        """
        known, lacking = self._known(name)
        if lacking:
            raise InputError(f"{name} is missing for {some(lacking)}, so that they are in no group of it.")
        return known

    def changed(self, changes: Mapping[str, Change]) -> Cohort:
        """The same people with other covariates: what is their own stays."""
        after, covariates = {}, self.covariates
        for name, how in changes.items():
            old = self._before(name)
            after[name] = how if old is None else how.apply(old)
            if how.value is not None:
                covariates = covariates.assign({name: ("subject", np.full(len(self.labels), how.value))})
            elif (known := self._known(name)[0]) is not None:  # of those who lack it, it is still not known
                given = how.apply(self._of_each(known)).values
                covariates = covariates.assign({name: ("subject", given)})
        return replace(self, parameters=self._moved(after), covariates=covariates)

    def at(self, covariates: xr.Dataset) -> Cohort:
        """People at the references, at these covariates of each instead."""
        values = {str(name): self._of_each(column.values) for name, column in covariates.items()}
        return replace(self, parameters=self._moved(values), covariates=covariates)

    def _known(self, name: str) -> tuple[np.ndarray | None, list[str]]:
        """A covariate of everyone, None where all are at its reference; and who lacks it."""
        if name not in self.covariates:
            if self.at_references:
                return None, []
            raise InputError(f"The fit does not know {name} of its people, so that it cannot be changed.")
        values = self.covariates[name].sel(subject=self.labels).values
        missing = [v is None or v != v or v == "" for v in values]
        return values, [s for s, absent in zip(self.labels, missing, strict=True) if absent]

    def _before(self, name: str) -> xr.DataArray | None:
        """A covariate of everyone, in each draw where some lack it; None where all are at its reference.

        Raises InputError where the fit says nothing of what they lack.
        """
        values, lacking = self._known(name)
        if values is None or not lacking:
            return None if values is None else self._of_each(values)
        of_each, unknown = dict(zip(self.labels, values, strict=True)), []
        for who in lacking:
            rng = np.random.default_rng([self.seed, crc32(f"{name} of {who}".encode())])
            of_each[who] = covariate_in_draws(self.posterior, name, who, rng)
            unknown += [who] if of_each[who] is None else []
        if unknown:
            raise InputError(
                f"{name} is missing for {some(unknown)}, and the fit has not estimated it, so that it cannot "
                "be changed."
            )
        shape = self.posterior.sizes["chain"], self.posterior.sizes["draw"]
        columns = [np.broadcast_to(np.asarray(of_each[who]), shape) for who in self.labels]
        coords = {"chain": self.posterior.chain, "draw": self.posterior.draw, "subject": self.labels}
        return xr.DataArray(np.stack(columns, axis=-1), coords, ("chain", "draw", "subject"))

    def _of_each(self, values: np.ndarray) -> xr.DataArray:
        return xr.DataArray(values, {"subject": self.labels}, ("subject",))

    def _moved(self, after: Mapping[str, xr.DataArray | Change]) -> dict[str, xr.DataArray]:
        """Parameters where covariates are other ones: values by subject, or a change from the reference."""
        moved, of_prior = dict(self.parameters), {}
        before = {name: self._before(name) for name in after}
        for name in moved:
            parameter = self.spec.parameters[name]
            acting = {k: e for k, e in parameter.effects.items() if e.covariate in after}
            shift = xr.DataArray(0.0)
            for key, effect in acting.items():
                old = before[effect.covariate]
                times = self._times(effect, after[effect.covariate]) - self._times(effect, old)
                if bool(times.any()):
                    beta = self._effect(name, key)
                    if beta is None:
                        beta = self._from_prior(names.effect(name, key), effect)
                        of_prior[name] = effect.covariate
                    shift = shift + beta * times
            if shift.dims:
                own = moved[name].copy(data=parameter.to_scale(moved[name].values))
                shifted = (own + shift).transpose("chain", "draw", "subject")
                moved[name] = shifted.copy(data=parameter.from_scale(shifted.values))
        if of_prior:
            warn_caller(
                f"The study does not say how {some(sorted(set(of_prior.values())))} acts on "
                f"{some(list(of_prior))}: there the effect is drawn from the prior of the model.",
                BayesgluWarning,
            )
        return moved

    def _times(self, effect: Effect, values: xr.DataArray | Change | None) -> xr.DataArray:
        """How often an effect applies to each person, in each draw where that is not known."""
        if isinstance(values, xr.DataArray):
            found = [effect.standardized(value) for value in values.values.ravel()]
            return values.copy(data=np.reshape(np.array(found, float), values.shape))
        if values is None:
            often = 0.0
        elif effect.form == "level":
            often = effect.standardized(str(values.value))
        else:
            often = effect.standardized(float(values.apply(xr.DataArray(float(effect.reference)))))
        return self._of_each(np.full(len(self.labels), often))

    def _effect(self, parameter: str, key: str) -> xr.DataArray | None:
        """Draws ``(chain, draw)`` of the logarithm of a factor; None where the study says nothing of it."""
        label = names.effect(parameter, key)
        if label in acting_in(self.posterior):
            return xr.apply_ufunc(np.log, self.posterior[names.EFFECT].sel(effect=label, drop=True))
        return None

    def _from_prior(self, label: str, effect: Effect) -> xr.DataArray:
        """Such draws from the prior of an effect, the same in all scenarios."""
        rng = np.random.default_rng([self.seed, crc32(label.encode())])
        shape = self.posterior.sizes["chain"], self.posterior.sizes["draw"]
        drawn = rng.normal(np.log(effect.median), np.log(effect.gsd), shape)
        return xr.DataArray(drawn, {n: self.posterior[n] for n in ("chain", "draw")}, ("chain", "draw"))


def check_covariates(spec: ModelSpec, known: xr.Dataset, changes: Mapping[str, Change]) -> None:
    """Raise InputError where a covariate is changed to what it cannot be."""
    problems = Problems("change")
    for name, how in changes.items():
        effects = [e for p in spec.parameters.values() for e in p.effects.values() if e.covariate == name]
        levels = {str(e.reference) for e in effects if e.form == "level"}
        levels |= {str(v) for v in known[name].values if v and v == v} if name in known and levels else set()
        if not levels and isinstance(how.value, str):
            problems.add(f"{name} is a number, and {how.value!r} is none.")
        elif levels and how.value is None:
            problems.add(f"{name} has levels, and is set to one: set_to({sorted(levels)[0]!r}).")
        elif (
            levels
            and not {str(how.value), SPELLINGS.get(str(how.value), "")} & levels
            and (str(how.value).lower() not in WITHOUT)
        ):
            listed = ", ".join(sorted(levels))
            problems.add(f"there is no {name} {how.value!r}.{hint(how.value, levels)} Known: {listed}.")
    problems.raise_any(InputError)


def check_new(spec: ModelSpec, known: xr.Dataset, rows: pd.DataFrame) -> None:
    """Raise InputError where covariates of new people are missing, or none that they can have."""
    problems = Problems("new people")
    for name, column in rows.items():
        absent = column.isna() | (column == "")
        if absent.any():
            problems.add(
                f"{name} is missing for {int(absent.sum())} of {len(column)}. Fill it in, or leave all of it "
                "out: then they are at the reference of its effect."
            )
        of_number = any(
            e.covariate == name and e.form != "level"
            for p in spec.parameters.values()
            for e in p.effects.values()
        )
        for value in dict.fromkeys(column[~absent]):
            if of_number and not is_number(value):
                problems.add(f"{name} is a number, and {show(value)} is none.")
    problems.raise_any(InputError)
    for name, column in rows.items():
        for value in dict.fromkeys(column):
            check_covariates(spec, known, {str(name): set_to(value)})


# --- who ---


def followed_by(fit: xr.DataTree) -> dict[tuple[str, str], Protocol]:
    """What was done to each person on each occasion; nothing where the fit was saved without it."""
    kept = kept_protocols(fit.protocols.to_dataset()) if "protocols" in fit.children else {}
    subjects = list(map(str, fit.posterior.subject.values))
    return {names.of_occasion(label, subjects): each for label, each in kept.items()}


def labels_of(fit: xr.DataTree, subjects: str | Sequence[str] | NewPeople) -> list[str]:
    """Labels of the people who are asked about; InputError where the study has no such ones."""
    if isinstance(subjects, NewPeople):
        first = [f"new {i + 1}" for i in range(subjects.n)]
        later = range(2, subjects.days + 1)
        return [*first, *(f"{label}, day {day}" for day in later for label in first)]
    known = [str(s) for s in fit.constant_data.subject.values]
    if isinstance(subjects, str):
        if subjects == SAME:
            return known
        if subjects == TYPICAL:
            return [TYPICAL]
        subjects = [subjects]
    wrong = [f"There is no subject '{s}'.{hint(str(s), known)}" for s in subjects if str(s) not in known]
    wrong += [] if len(subjects) else ["No subject was chosen."]
    if wrong:
        raise InputError("\n".join([*wrong, f"  Known: same, new, {', '.join(known)}, typical."]))
    return [str(s) for s in subjects]


def cohort_of(
    fit: xr.DataTree,
    spec: ModelSpec,
    posterior: xr.Dataset,
    subjects: str | Sequence[str] | NewPeople,
    occasion: str | None,
    as_fitted: bool,
    seed: int,
) -> Cohort:
    """The people of whom a question is asked.

    as_fitted : whether what is done to each is what was done when they were fitted.

    Raises InputError.
    """
    rng, labels = np.random.default_rng(seed), labels_of(fit, subjects)
    cohort = Cohort(
        spec=spec,
        posterior=posterior,
        labels=labels,
        parameters={},
        covariates=xr.Dataset(coords={"subject": labels}),
        body_weight=_mean_weight(fit),
        occasion=ANOTHER,
        whom="the typical person",
        seed=seed,
        at_references=True,
    )
    if isinstance(subjects, NewPeople):
        _check_occasion(occasion, new=True)
        cohort = replace(cohort, parameters=draw_people(spec, posterior, labels, rng, subjects.days))
        return _like(cohort, fit, subjects, rng)
    if labels == [TYPICAL] and subjects == TYPICAL:
        _check_occasion(occasion, new=True)
        return replace(cohort, parameters=typical_person(spec, posterior, TYPICAL))
    occasion = _check_occasion((FITTED if as_fitted else ANOTHER) if occasion is None else occasion)
    everyone = fit.constant_data.to_dataset()
    followed = followed_by(fit)
    seen = [max(1, sum(subject == label for subject, _ in followed)) for label in labels]
    anew = (seen, rng) if occasion == ANOTHER else None
    return replace(
        cohort,
        parameters=fitted_people(spec, posterior, everyone, labels, anew),
        covariates=covariates_of_fit(fit).sel(subject=labels),
        body_weight=everyone.body_weight.sel(subject=labels),
        occasion=occasion,
        whom=f"{len(labels)} people of the study" if len(labels) > 1 else f"subject {labels[0]}",
        at_references=False,
    )


def _check_occasion(name: str | None, new: bool = False) -> str:
    if name is not None and name not in (FITTED, ANOTHER):
        raise InputError(f"occasion is {name!r}; choose {FITTED!r} or {ANOTHER!r}.")
    if new and name == FITTED:
        raise InputError("New people were seen on no occasion: leave occasion out.")
    return ANOTHER if name is None else name


def _like(cohort: Cohort, fit: xr.DataTree, asked: NewPeople, rng: np.random.Generator) -> Cohort:
    """New people with the covariates and body weights that they are to have."""
    rows, whom = (
        asked.covariates,
        f"{asked.n} new people" + (f" like {asked.like}" if asked.like else ""),
    )
    used = {e.covariate for p in cohort.spec.parameters.values() for e in p.effects.values()}
    study = _of_study(fit)
    if asked.of_study:
        if study.empty:
            raise InputError("Nobody in the study has all covariates; name those of new people.")
        rows = study.assign(**(rows.iloc[0].to_dict() if len(rows) else {}))
    elif not len(rows) and not study.empty and used & set(study):
        rows, whom = study, f"{whom} like the study's people"
    if not len(rows):
        where = f", at the references of {some(sorted(used))}" if used else ""
        return replace(cohort, whom=whom + where)
    turns = -(-asked.n // len(rows))
    order = np.concatenate([rng.permutation(len(rows)) for _ in range(turns)])[: asked.n]
    order = np.tile(order, asked.days)
    columns = {str(name): ("subject", rows[name].to_numpy()[order]) for name in rows}
    table = xr.Dataset(columns, {"subject": cohort.labels})
    unknown = set(map(str, table)) - {"body_weight"} - set(map(str, covariates_of_fit(fit)))
    check_names("covariate", unknown, used)
    if not asked.of_study:
        acting = [name for name in asked.covariates if name in used]
        check_new(cohort.spec, covariates_of_fit(fit), asked.covariates[acting])
    weight = table.get("body_weight", cohort.body_weight)
    return replace(
        cohort.at(table.drop_vars("body_weight", errors="ignore")),
        body_weight=weight,
        whom=whom,
    )


def _of_study(fit: xr.DataTree) -> pd.DataFrame:
    """Covariates and body weights of the study's people who have all covariates, a row per person."""
    weight = fit.constant_data.to_dataset().body_weight.values
    rows = covariates_of_fit(fit).to_dataframe().assign(body_weight=weight)
    return rows[~(rows.isna() | (rows == "")).drop(columns="body_weight").any(axis=1)]


def covariates_of_fit(fit: xr.DataTree) -> xr.Dataset:
    """Covariates of the study's people by subject."""
    return covariates_of(fit.constant_data.to_dataset(), fit.posterior.to_dataset())


def _mean_weight(fit: xr.DataTree) -> float | None:
    weights = fit.constant_data.body_weight
    if "mean" in weights.attrs:  # of a fit that was saved without data
        return float(weights.attrs["mean"])
    return float(np.nanmean(weights)) if np.isfinite(weights).any() else None
