"""Results as plain tables: one row per number for a file, a few important rows for a screen."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analysis.identifiability import grade, untouched
from bayesglu.analysis.summaries import ITS_PRIOR

SHOWN_TIMES = 7


def tidy(result: xr.Dataset, probability: float | None = None) -> pd.DataFrame:
    """One row per number: its place in each dimension, the output, the value and its unit.

    With a probability, draws become ``median``, ``lower`` and ``upper`` of the equal-tailed interval. Times
    are in the column ``time_min``, as in the tables that a study is read from.
    """
    kinds = {"value": result}
    if probability is not None:
        tail = (1 - probability) / 2
        quantiles = result.quantile([0.5, tail, 1 - tail], ("chain", "draw"))
        kinds = {kind: quantiles.isel(quantile=i) for i, kind in enumerate(("median", "lower", "upper"))}
    dims = [str(dim) for dim in result.dims if probability is None or dim not in ("chain", "draw")]
    melted = [
        numbers.reset_coords(drop=True)
        .to_dataframe(dim_order=dims)
        .reset_index()
        .melt(dims, var_name="output", value_name=kind)
        for kind, numbers in kinds.items()
    ]
    table = melted[0].assign(**{kind: part[kind] for kind, part in zip(kinds, melted, strict=True)})
    units = {name: values.attrs.get("units", "") for name, values in result.items()}
    return table.assign(unit=table["output"].map(units)).rename(columns={"time": "time_min"})


def with_difference(what_if: xr.Dataset) -> xr.Dataset:
    """The same with one more scenario a change: what it adds to the first scenario, within each draw."""
    first, others = what_if.isel(scenario=0, drop=True), what_if.isel(scenario=slice(1, None))
    names = [f"difference ({name})" for name in others["scenario"].values]
    difference = (others - first).assign_coords(scenario=names)
    return xr.concat([what_if, difference], "scenario", combine_attrs="override")


def course(simulation: xr.Dataset) -> pd.DataFrame:
    """One row per output of one person: where it starts, how far it goes and when, where it ends."""
    rows = []
    for name, values in simulation.items():
        y = values.values
        peak = simulation["time"].values[y.argmax()]
        rows.append((name, y[0], y.min(), y.max(), peak, y[-1], values.attrs["units"]))
    return pd.DataFrame(rows, columns=["output", "start", "lowest", "highest", "at (min)", "end", "unit"])


def effect(what_if: xr.Dataset, probability: float) -> pd.DataFrame:
    """One row per output and time: mean over people in each scenario, and the difference within each draw."""
    mean = with_difference(what_if.mean("subject", keep_attrs=True))
    few = np.unique(np.linspace(0, what_if.sizes["time"] - 1, SHOWN_TIMES).round().astype(int))
    rows = []
    for (name, time), group in tidy(mean.isel(time=few), probability).groupby(
        ["output", "time_min"], sort=False
    ):
        cells = {
            row["scenario"]: f"{row['median']:.4g} ({_interval(row)})" for row in group.to_dict("records")
        }
        rows.append({"output": name, "min": time, **cells, "unit": group["unit"].iloc[0]})
    return pd.DataFrame(rows)


def answers(table: pd.DataFrame) -> pd.DataFrame:
    """Predictions or comparisons, a row each: what it is of, the median, the interval, probabilities."""
    shown = table.drop(columns=["probability", "people", "occasion", "compare"], errors="ignore")
    interval = [_interval(row) for row in shown.to_dict("records")]
    rows = shown.drop(columns=["lower", "upper"]).rename(columns={"interval": "of"})
    rows.insert(list(rows).index("median") + 1, "interval", interval)
    return rows


def summary(table: xr.Dataset) -> pd.DataFrame:
    """One row per parameter (and subject) of a summary: posterior, prior, contraction."""
    rows = []
    from_day_to_day = "kappa_median" in table and bool(table["kappa_median"].notnull().any())
    for row in table.to_dataframe().reset_index().to_dict("records"):
        cells = {str(dim): row[dim] for dim in table["median"].dims}
        cells |= {"unit": row["unit"], "median": row["median"], "interval": _interval(row)}
        if "omega_median" in row:
            cells |= {
                "omega (between-subject SD)": row["omega_median"],
                "omega interval": _interval(row, "omega_"),
            }
        if from_day_to_day:
            cells["kappa (between-occasion SD)"] = _of_occasions(row)
        rows.append(cells | {"prior": _interval(row, "prior_"), "contraction": row["contraction"]})
    return pd.DataFrame(rows)


def shares(identified: xr.Dataset) -> pd.DataFrame:
    """One row per parameter of `identify` about which there is information, the most first."""
    rows = []
    identified = identified.sel(parameter=~identified["parameter"].isin(untouched(identified)))
    for name in identified["parameter"].sortby(-identified["individual"]).values:
        row = identified.sel(parameter=name)
        one, all_ = float(row["individual"]), float(row["typical"])
        graded = grade(one) if grade(one) == grade(all_) else f"{grade(one)}; typical value {grade(all_)}"
        about = name, row["symbol"].item(), row["level"].item()
        rows.append((*about, round(100 * one), round(100 * all_), graded))
    columns = ["parameter", "symbol", "level", "one subject (%)", "typical value (%)", "expected contraction"]
    return pd.DataFrame(rows, columns=columns)


def pairs(identified: xr.Dataset) -> pd.DataFrame:
    """One row per practically non-identifiable pair of parameters, with posterior correlations."""
    table = identified[["pair_individual", "pair_typical"]].to_dataframe()
    words = {"first": "parameter", "second": "and", "pair_individual": "one subject"}
    words["pair_typical"] = "typical value"
    return table[list(words)].rename(columns=words).round(2)


def verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """One row per fact of `bayesglu.facts.validate`: published, what the model answers, the verdict."""
    rows = []
    for row in table.to_dict("records"):
        spread = "" if pd.isna(row["spread"]) else f" ({row['spread']:.4g})"
        cells = {"fact": row["fact"], "unit": row["unit"], "published": f"{row['published']:.4g}{spread}"}
        cells |= {"accepted": f"{row['lowest']:.4g} to {row['highest']:.4g}", "model": row["model"]}
        cells |= {
            f"{band} %": _band(row, band) for band in (50, 90) if not table[f"lower_{band}"].isna().all()
        }
        rows.append(cells | {"": row["certainty"], "verdict": row["verdict"]})
    return pd.DataFrame(rows)


def _band(row: Mapping, band: int) -> str:
    low, high = row[f"lower_{band}"], row[f"upper_{band}"]
    return "" if np.isnan(low) else f"{low:.4g} to {high:.4g}"


def _of_occasions(row: Mapping) -> str:
    if np.isnan(row["kappa_median"]):
        return ""
    prior = ", its prior" if row["kappa_note"] == ITS_PRIOR else ""
    return f"{row['kappa_median']:.3g} ({_interval(row, 'kappa_')}){prior}"


def _interval(row: Mapping, of: str = "") -> str:
    low, high = row[f"{of}lower"], row[f"{of}upper"]
    return "" if np.isnan(low) else f"{low:.4g} to {high:.4g}"


def standing(percentiles: xr.Dataset) -> pd.DataFrame:
    """One row per person and parameter: percentiles among each kind of people that they are compared with."""
    rows = []
    for who in percentiles["subject"].values:
        for name in percentiles["parameter"].values:
            cells = {"subject": who, "parameter": name}
            for among in percentiles["among"].values:
                row = percentiles.sel(subject=who, parameter=name, among=among)
                low, middle, high = (float(row[kind]) for kind in ("lower", "median", "upper"))
                cells[f"{among} (%)"] = f"{middle:.0f} ({low:.0f} to {high:.0f})"
            rows.append(cells)
    return pd.DataFrame(rows)


def index_rows(indices: xr.Dataset) -> pd.DataFrame:
    """One row per index and person: posterior, raw, and why there is no number."""
    rows = []
    for name in indices["index"].values:
        one = indices.sel(index=name)
        for who in one["subject"].values:
            own = one.sel(subject=who)
            cells = {"index": name, "subject": who, "unit": str(own["unit"].item())}
            if "median" in own:
                numbers = {kind: float(own[kind]) for kind in ("median", "lower", "upper")}
                cells |= {**numbers, "raw": float(own["raw"]), "why": str(own["why"].item())}
            else:
                cells["raw"] = float(own["raw"])
            rows.append(cells | {"why raw": str(own["why_raw"].item())})
    return pd.DataFrame(rows)


def candidates(found: xr.Dataset) -> pd.DataFrame:
    """One row per candidate of `design`: expected contraction with the best times and with the usual ones."""
    rows = []
    for name in found["candidate"].values:
        row = found.sel(candidate=name)
        cells = {"candidate": name, "contraction (%)": round(100 * float(row["contraction"]))}
        if "ratio" in row:
            cells["detectable ratio"] = float(row["ratio"])
        usual = f"{100 * float(row['usual']):.0f} with {int(row['usual_samples'])} samples"
        cells |= {"at (min)": ", ".join(f"{t:g}" for t in row["times"].values), "usual times (%)": usual}
        rows.append(cells)
    return pd.DataFrame(rows)


def medians(many: xr.Dataset) -> pd.DataFrame:
    """The median of each parameter of each person, of what `fit_many` returns."""
    own = [n for n, v in many.data_vars.items() if v.dims == ("subject", "draw") and n != "population_draw"]
    return many[own].median("draw").to_dataframe()
