"""Fasts of days in the literature: the study that the model `fasting` learns from, and what it is asked.

The figures themselves are not part of the package. `fasting_study` reads them from a folder with two tables:

``liver_glycogen.csv``
    ``study, subject_or_group, time_min, glycogen, unit``: liver glycogen (mmol/L) of the seven people of
    Rothman et al. 1991, Science 254:573, by carbon-13 magnetic resonance, at minutes after the last meal.
``glucose_production_in_fasting.csv``
    ``group, method, reference, fast_h, HGP_umol_kg_min, GNG_over_HGP_pct``: glucose production and the share
    of gluconeogenesis in it, means of groups, at hours after the last meal.

``python -m bayesglu.validation.rothman1991 FOLDER OUT`` writes the study as a folder that `bayesglu fit`
reads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
import xarray as xr

from bayesglu.analysis.counterfactual import what_if
from bayesglu.protocols.library import fast
from bayesglu.study.study import Study, StudyError
from bayesglu.text.problems import Problems, hint
from bayesglu.validation.readings import needs, read

GLYCOGEN, PRODUCTION = "liver_glycogen.csv", "glucose_production_in_fasting.csv"
HOURS = 68
"""How long Rothman's people fasted; later samples were taken after they had eaten again."""
PEOPLE, HELD_BACK = "Rothman1991", "Rothman1991"
GROUPS = "groups"
"""The label under which the means of groups stand, as those of a further subject."""
DEUTERATED_WATER = "2H2O"

PUBLISHED: Mapping[str, tuple[float, float, float, float]] = {
    "first 22 h": (4, 22, 0.64, 0.05),
    "next 14 h": (22, 36, 0.82, 0.05),
    "last 18 h": (46, 64, 0.96, 0.01),
}
"""Share of gluconeogenesis in glucose production, as Rothman et al. 1991 published it: from and until (hours
after the last meal; glycogen was first measured at 4), mean and standard error of seven people."""

_COLUMNS = {
    GLYCOGEN: ("study", "subject_or_group", "time_min", "glycogen", "unit"),
    PRODUCTION: ("group", "method", "reference", "fast_h", "HGP_umol_kg_min", "GNG_over_HGP_pct"),
}


def fasting_study(folder: str | Path, groups: bool = True) -> Study:
    """The study of fasting people, from the folder that holds the two tables of this module's first lines.

    Seven people have ``liver_glycogen``. With `groups`, one subject more, ``"groups"``, has the mean over
    groups of healthy adults, hour by hour: ``endogenous_glucose_production`` by all methods, and
    ``gluconeogenesis_share`` by deuterated water alone, which is what the model's output means. What Rothman
    et al. found of production and of the share is never shown: it is what a fit is asked (`net_shares`).

    Time is in minutes since the last meal, and the protocol is ``fast(hours=68)``.

    Raises StudyError, with every fault of both tables at once.
    """
    folder = Path(folder)
    problems = Problems(str(folder))
    tables = {name: _table(folder, name, problems) for name in (GLYCOGEN, *([PRODUCTION] if groups else []))}
    problems.raise_any(StudyError)
    samples = [_glycogen(tables[GLYCOGEN], problems)]
    if groups:
        samples.append(_production(tables[PRODUCTION], problems))
    problems.raise_any(StudyError)
    return Study.from_table(
        pd.concat(samples, ignore_index=True),
        protocol=fast(hours=HOURS),
        name="fasting",
        datasheet={
            "title": "Liver glycogen of seven people over a fast of 68 h, with glucose production of groups",
            "source": "Rothman et al. 1991, Science 254:573, and the papers named in the two tables",
            "note": "Time zero is the last meal. Rothman's own production and shares are left out.",
        },
    )


def _table(folder: Path, name: str, problems: Problems) -> pd.DataFrame:
    path = folder / name
    if not path.is_file():
        lying = sorted(p.name for p in folder.glob("*.csv")) if folder.is_dir() else []
        near = hint(name, lying)
        problems.add(
            f"has no file {name!r}.{near} Found: {', '.join(lying) or 'no tables'}. "
            f"Give the folder that holds {GLYCOGEN} and {PRODUCTION}."
        )
        return pd.DataFrame()
    table = pd.read_csv(path, skipinitialspace=True)
    for column in _COLUMNS[name]:
        if column not in table:
            found = ", ".join(map(str, table.columns))
            problems.add(f"has no column {column!r}.{hint(column, table.columns)} Found: {found}.", name)
    return table


def _glycogen(table: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    """Samples of the people who fasted, until they ate."""
    own = table[(table["study"] == PEOPLE) & (table["time_min"] <= 60 * HOURS)]
    if own.empty:
        studies = ", ".join(map(str, table["study"].unique()))
        problems.add(f"has no samples of {PEOPLE} until {HOURS} h. Studies found: {studies}.", GLYCOGEN)
    return pd.DataFrame(
        {
            "subject": own["subject_or_group"],
            "time": own["time_min"],
            "analyte": "liver_glycogen",
            "value": own["glycogen"],
            "unit": own["unit"].str.removesuffix(" liver"),
        }
    )


def _production(table: pd.DataFrame, problems: Problems) -> pd.DataFrame:
    """Means over groups of healthy adults, one row per hour and analyte."""
    healthy = (table["group"] == "normal") & table["fast_h"].notna()
    own = table[healthy & (table["reference"].str.strip() != HELD_BACK)]
    if own.empty:
        problems.add("has no groups of healthy adults with hours of fasting.", PRODUCTION)
    water = own[own["method"].str.startswith(DEUTERATED_WATER)]
    rows = []
    for analyte, unit, values in (
        ("endogenous_glucose_production", "umol/kg/min", own.groupby("fast_h")["HGP_umol_kg_min"].mean()),
        ("gluconeogenesis_share", "%", water.groupby("fast_h")["GNG_over_HGP_pct"].mean()),
    ):
        known = values.dropna()
        minutes = 60 * known.index.to_numpy(float)
        rows += [(GROUPS, at, analyte, value, unit) for at, value in zip(minutes, known, strict=True)]
    return pd.DataFrame(rows, columns=["subject", "time", "analyte", "value", "unit"])


def imaged(fit: xr.DataTree) -> list[str]:
    """Labels of the people of a fit whose liver glycogen was measured."""
    observed = fit.observed_data.to_dataset()
    if "liver_glycogen" not in observed:
        return []
    return list(dict.fromkeys(map(str, observed.liver_glycogen_subject.values)))


def courses(
    fit: xr.DataTree,
    subjects: str | Sequence[str],
    outputs: Iterable[str] = ("liver_glycogen", "endogenous_glucose_production", "gluconeogenesis_share"),
    **settings,
) -> xr.Dataset:
    """What a fit says of a fast of 68 h, every ten minutes: dims ``chain, draw, subject, time`` (min since
    the last meal). `subjects` and `settings` as in `what_if`."""
    times = range(0, 60 * HOURS + 1, 10)
    found = what_if(fit, fast(hours=HOURS), None, subjects, times, outputs, **settings)
    return found.isel(scenario=0, drop=True)


def net_shares(
    fit: xr.DataTree, draws: int = 400, n_new: int = 20, probability: float = 0.9, random_seed: int = 0
) -> pd.DataFrame:
    """The share of gluconeogenesis in glucose production in the windows of `PUBLISHED`, beside the published.

    As magnetic resonance sees it: production less the net loss of glycogen, over production. One row per
    window, in hours after the last meal; the bands are equal-tailed, with medians:

    ``new_subject_lower, new_subject, new_subject_upper``
        Of a new subject from the same population, so that the band has the between-subject variability.
    ``mean_lower, mean, mean_upper``
        Of the mean of the people whose glycogen was measured.

    ``published`` and ``published_se`` were held out of the fit; ``in_new_subject_band`` and ``in_mean_band``
    say whether the published mean lies inside. `draws`, `n_new` and `random_seed` as in `what_if`.
    """
    asked = {"draws": draws, "n_new": n_new, "random_seed": random_seed}
    tail = (1 - probability) / 2
    rows = []
    readings = {name: _net_share(begin, end) for name, (begin, end, _, _) in PUBLISHED.items()}
    outputs = sorted({output for text in readings.values() for output in needs(text)})
    runs = {
        "new_subject": courses(fit, "new", outputs, **asked),
        "mean": courses(fit, imaged(fit), outputs, **asked),
    }
    for name, (begin, end, published, error) in PUBLISHED.items():
        row = {"window": name, "from_h": begin, "until_h": end, "published": published, "published_se": error}
        for who, run in runs.items():
            share = read(readings[name], run)
            share = share.mean("subject") if who == "mean" else share
            low, middle, high = share.quantile([tail, 0.5, 1 - tail]).values
            row |= {f"{who}_lower": low, who: middle, f"{who}_upper": high}
            row[f"in_{who}_band"] = bool(low <= published <= high)
        rows.append(row)
    return pd.DataFrame(rows).set_index("window")


def _net_share(begin: float, end: float) -> str:
    window = f"{60 * begin:g}, {60 * end:g}"
    return f"1 + total(glycogen_rate, {window}) / total(endogenous_glucose_production, {window})"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(
            "python -m bayesglu.validation.rothman1991 FOLDER OUT: the folder of the tables, where to write."
        )
    print(fasting_study(sys.argv[1]).to_folder(sys.argv[2]))
