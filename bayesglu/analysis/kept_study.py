"""Studies joined, and the study of a fit taken from it again."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bayesglu.analysis.people import covariates_of, occasion_covariates_of
from bayesglu.errors import InputError, warn_caller
from bayesglu.hierarchy import names
from bayesglu.protocols.table import kept_protocols
from bayesglu.study.study import Study, StudyWarning

COLUMNS = ("subject", "occasion", "analyte", "time", "value", "censoring", "use", "line")


def study_of(fit: xr.DataTree) -> Study:
    """The samples, people and protocols of a fit.

    Raises InputError where the fit was saved without them, or had a forcing function, whose samples it does
    not keep as they were measured.
    """
    if missing := {"observed_data", "constant_data", "protocols"} - set(fit.children):
        raise InputError(f"The fit was saved without {', '.join(sorted(missing))}: give the study itself.")
    if "forcing_obs" in fit["posterior"].dims:
        raise InputError(
            "A fit does not keep the samples of a forcing function as they were measured. Give all tests of "
            "the person with the fit of the population: fit_person(population, [first, second])."
        )
    observed, known = fit["observed_data"].to_dataset(), fit["constant_data"].to_dataset()
    parts = []
    for analyte, values in observed.data_vars.items():
        count, of = (
            values.size,
            {n: observed[f"{analyte}_{n}"].values for n in ("subject", "occasion", "time")},
        )
        parts.append(
            {
                **of,
                "analyte": np.full(count, str(analyte)),
                "value": values.values,
                "censoring": known[f"{analyte}_censoring"].values.astype(str),
                "use": np.ones(count, bool),
                "line": np.zeros(count, int),
            }
        )
    columns = {name: np.concatenate([part[name] for part in parts]) for name in COLUMNS}
    followed = kept_protocols(fit["protocols"].to_dataset())
    subjects = list(map(str, known.subject.values))
    of_occasions = occasion_covariates_of(known)
    return Study(
        name=str(fit.attrs.get("study_name", "study")),
        observations=_observations(columns),
        covariates=covariates_of(known, fit["posterior"].to_dataset()),
        protocols={names.of_occasion(label, subjects): each for label, each in followed.items()},
        body_weight=known.body_weight,
        occasion_covariates=of_occasions,
    )


def joined(studies: Sequence[Study]) -> Study:
    """Several studies as one. Who is in several of them took all their tests, each an occasion of its own."""
    if len(studies) == 1:
        return studies[0]
    taken: set[tuple[str, str]] = set()
    columns: dict[str, list] = {name: [] for name in COLUMNS}
    protocols, source = {}, {}
    for study in studies:
        called = {pair: _free(pair, taken) for pair in study.occasions}
        taken |= set(called.values())
        protocols |= {called[pair]: protocol for pair, protocol in study.protocols.items()}
        source |= {called[pair]: (study, pair) for pair in study.occasions}
        own = {name: study.observations[name].values for name in COLUMNS}
        pairs = zip(own["subject"], own["occasion"], strict=True)
        own["occasion"] = np.array([called[str(s), str(o)][1] for s, o in pairs])
        for name in COLUMNS:
            columns[name].append(own[name])
    people = list(dict.fromkeys(s for study in studies for s in study.subjects))
    order = {person: i for i, person in enumerate(people)}
    covariates, protocols = (
        _covariates(studies, people),
        dict(sorted(protocols.items(), key=lambda item: order[item[0][0]])),
    )
    return Study(
        name=" and ".join(dict.fromkeys(study.name for study in studies)),
        observations=_observations({name: np.concatenate(parts) for name, parts in columns.items()}),
        covariates=covariates,
        protocols=protocols,
        body_weight=_latest([study.body_weight for study in studies], people, "body weight", np.nan),
        occasion_covariates=_of_occasions({pair: source[pair] for pair in protocols}, covariates),
    )


def _observations(columns: dict) -> xr.Dataset:
    kept = {name: np.asarray(column) for name, column in columns.items()}
    for name in ("subject", "occasion", "analyte", "censoring"):
        kept[name] = kept[name].astype(str)
    return xr.Dataset(
        {name: ("obs", column) for name, column in kept.items()},
        coords={"obs": np.arange(len(kept["value"]))},
    )


def _free(pair: tuple[str, str], taken: set[tuple[str, str]]) -> tuple[str, str]:
    """A name of the occasion that no other of this person has."""
    subject, name = pair
    turn = 2
    while (subject, name) in taken:
        name, turn = str(turn) if pair[1].isdigit() else f"{pair[1]} {turn}", turn + 1
    return subject, name


def _covariates(studies: Sequence[Study], people: list[str]) -> xr.Dataset:
    names_ = dict.fromkeys(str(name) for study in studies for name in study.covariates)
    found = {}
    for name in names_:
        having = [study.covariates[name] for study in studies if name in study.covariates]
        empty = "" if having[0].dtype.kind in "UO" else np.nan
        found[name] = _latest(having, people, name, empty)
    return xr.Dataset(found, coords={"subject": people})


def _of_occasions(source: dict, covariates: xr.Dataset) -> xr.Dataset | None:
    """Covariates by occasion, where they differ in any study; of each occasion (subject, name) the study that
    it was in, and what it was called there."""
    differing = [study.occasion_covariates for study, _ in source.values() if study.occasion_covariates]
    found, labels = {}, ["/".join(pair) for pair in source]
    for name in dict.fromkeys(str(name) for own in differing for name in own):
        values = [
            study.occasion_covariates[name].sel(occasion="/".join(there)).item()
            if study.occasion_covariates and name in study.occasion_covariates
            else covariates[name].sel(subject=subject).item()
            for (subject, _), (study, there) in source.items()
        ]
        found[name] = ("occasion", np.array(values))
    return xr.Dataset(found, {"occasion": labels}) if found else None


def _latest(having: Sequence[xr.DataArray], people: list[str], called: str, empty) -> xr.DataArray:
    """What was last said of each person; a warning where it was said before and otherwise."""
    found, changed = dict.fromkeys(people, empty), []
    for values in having:
        for person, value in zip(map(str, values.subject.values), values.values.tolist(), strict=True):
            if value == "" or value != value:
                continue
            before = found[person]
            if before == before and before not in ("", value):
                changed.append(f"{person} ({before} and {value})")
            found[person] = value
    if changed:
        warn_caller(
            f"The {called} differs between tests of subject {', '.join(changed)}; the last is taken for all.",
            StudyWarning,
        )
    return xr.DataArray(list(found.values()), {"subject": people}, ("subject",), attrs=dict(having[-1].attrs))
