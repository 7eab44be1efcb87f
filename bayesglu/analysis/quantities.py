"""Numbers that clinics know, of curves over time: peak, area, time in range, fluxes in total.

A quantity is named by what it is of and what it says of it, ``glucose_peak`` or ``glycogen_until_below_500``,
with a number in the unit that the curve has.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import xarray as xr

from bayesglu.analysis.statistics import STATISTICS, Statistic
from bayesglu.analytes import words
from bayesglu.errors import InputError
from bayesglu.results import require_table
from bayesglu.text.problems import Problems
from bayesglu.units import system_of, unit_in

GROUPS: Mapping[str, tuple[str, ...]] = {
    "mass_balance": (
        "glucose_appearance_total",
        "endogenous_glucose_production_total",
        "glucose_infusion_total",
        "hepatic_glucose_uptake_total",
        "tissue_uptake_total",
        "renal_glucose_excretion_total",
        "glucose_mass_change",
    ),
    "sensor": (
        *("glucose_mean", "glucose_gmi", "glucose_cv", "glucose_mage"),
        *("glucose_time_in_range", "glucose_time_above_range", "glucose_time_below_range"),
    ),
}
"""Several quantities under one name: what entered the blood and what left it; what a sensor's report says."""


@dataclass(frozen=True)
class Quantity:
    """A number of each simulated curve: one of bayesglu's, or one of your own.

    Parameters
    ----------
    name : str
        What tables call it.
    function : callable
        From a dataset with the dim ``time`` (min), an output a variable in canonical units, to a DataArray
        without that dim.
    needs : tuple of str
        Outputs that it asks for.
    unit : str
        Its unit; ``"1"`` for none.
    meaning : str
        What it says, in words.
    times : tuple of float
        Minutes that it wants to see besides the usual ones.
    jumps : bool
        Whether it wants to see what a dose does at once, a moment after it.

    Examples
    --------
    >>> import bayesglu as bg
    >>> late = bg.Quantity("late_glucose", lambda curves: curves.glucose.sel(time=180), ("glucose",), "mg/dL")
    >>> float(bg.quantities(bg.simulate("oral", "ogtt(75)"), late).late_glucose) < 120
    True
    """

    name: str
    function: Callable[[xr.Dataset], xr.DataArray]
    needs: tuple[str, ...] = ()
    unit: str = "1"
    meaning: str = ""
    times: tuple[float, ...] = ()
    jumps: bool = False


def quantities(
    simulated: xr.Dataset,
    of: str | Quantity | Callable | Iterable = ("glucose_peak", "glucose_auc"),
    units: str | None = None,
) -> xr.Dataset:
    """Quantities of each curve of a simulation.

    Parameters
    ----------
    simulated : xarray.Dataset
        As `simulate` and `what_if` return it, in canonical units.
    of : str, Quantity, callable or iterable of these
        What is asked: a name such as ``"glucose_peak"`` (of glucose where no output is named, ``"peak"``), a
        group of names (``"mass_balance"``, ``"sensor"``), a `Quantity` of your own, or a function from the
        dataset to a DataArray.
    units : str, optional
        ``"canonical"``, ``"SI"`` or ``"conventional"``; by default that of `set_units`. Numbers in names are
        in these units too.

    Returns
    -------
    xarray.Dataset
        One variable per quantity, with the dims of the curves without ``time``, its unit and meaning in
        ``attrs``. NaN where something never happens.

    Raises
    ------
    InputError
        If there is no such quantity, or the simulation lacks an output that it needs.
    UnitError
        If there is no such system of units.

    Examples
    --------
    >>> import bayesglu as bg
    >>> found = bg.quantities(bg.simulate("oral", "ogtt(75)"), ["peak", "glucose_at_120", "insulin_auc"])
    >>> list(found), found.insulin_auc.attrs["units"]
    (['glucose_peak', 'glucose_at_120', 'insulin_auc'], 'pmol/L*min')
    """
    require_table(simulated, "simulate")
    if "time" not in simulated.dims:
        raise InputError("Quantities are of curves over time, and this dataset has no dim 'time'.")
    system = system_of(units)
    known = {str(name): str(v.attrs.get("units", "1")) for name, v in simulated.data_vars.items()}
    asked = quantities_of(of, known, system)
    problems = Problems("quantities")
    for quantity in asked:
        for lacking in [name for name in quantity.needs if name not in known]:
            problems.add(
                f"{quantity.name} is of {lacking}, which is not among the outputs: {', '.join(known)}."
            )
    problems.raise_any(InputError)
    return evaluate(simulated, asked, system)


def quantities_of(of, outputs: Mapping[str, str], system: str = "canonical") -> list[Quantity]:
    """What `of` asks for, of outputs with their canonical units; InputError that lists what there is not."""
    problems, chosen = Problems("of"), []
    for each in [of] if isinstance(of, str | Quantity) or callable(of) else list(of):
        if isinstance(each, Quantity):
            chosen.append(each)
        elif callable(each):
            chosen.append(Quantity(getattr(each, "__name__", "quantity").strip("<>"), each))
        elif isinstance(each, str):
            names = [n for n in GROUPS[each] if _split(n, outputs)] if each in GROUPS else [each]
            chosen += [made for name in names if (made := _named(name, outputs, system, problems))]
        else:
            problems.add(f"{each!r} is no quantity. Write a name such as 'glucose_peak', or give a Quantity.")
    if not chosen and not problems:
        problems.add("nothing is asked for. Write a name such as 'glucose_peak'.")
    problems.raise_any(InputError)
    return list({quantity.name: quantity for quantity in chosen}.values())


def evaluate(simulated: xr.Dataset, asked: Sequence[Quantity], system: str = "canonical") -> xr.Dataset:
    """The quantities of curves in canonical units."""
    found = {}
    for quantity in asked:
        values = quantity.function(simulated)
        if not isinstance(values, xr.DataArray) or "time" in values.dims:
            raise InputError(f"{quantity.name} must give a DataArray without the dim 'time'.")
        unit, factor = unit_in(system, quantity.unit, quantity.needs[0] if quantity.needs else "")
        found[quantity.name] = (values * factor).drop_vars("time", errors="ignore")
        found[quantity.name].attrs = {"units": unit, "long_name": quantity.meaning or words(quantity.name)}
    result = xr.Dataset(found)
    result.attrs = dict(simulated.attrs)
    return result


def in_units(simulated: xr.Dataset, units: str | None = None) -> xr.Dataset:
    """A dataset in another system of units, to look at and to write to files.

    Parameters
    ----------
    simulated : xarray.Dataset
        As `simulate`, `what_if` and `quantities` return it, in canonical units.
    units : str, optional
        ``"canonical"``, ``"SI"`` or ``"conventional"``; by default that of `set_units`.

    Returns
    -------
    xarray.Dataset
        The same, each variable in the unit that its ``attrs`` then say.

    Raises
    ------
    UnitError
        If there is no such system of units.

    Examples
    --------
    >>> import bayesglu as bg
    >>> round(float(bg.in_units(bg.simulate("oral", "fast(2)"), "SI").glucose[0]), 1)
    5.0
    """
    system = system_of(units)
    if system == "canonical":
        return simulated
    found = {}
    for name, values in simulated.data_vars.items():
        unit, factor = unit_in(system, str(values.attrs.get("units", "1")), str(name))
        found[name] = (
            values if factor == 1 else (values * factor).assign_attrs({**values.attrs, "units": unit})
        )
    return simulated.assign(found)


def quantity_words(name: str) -> str:
    """The name of a quantity as words.

    >>> quantity_words("glucose_iauc")
    'glucose incremental AUC'
    """
    short = {"auc": "AUC", "iauc": "incremental AUC", "gmi": "GMI", "cv": "CV", "mage": "MAGE"}
    begin, _, last = name.rpartition("_")
    return words(f"{begin} {short[last]}" if last in short else name)


def _split(name: str, outputs: Iterable[str]) -> tuple[str, str, float | None] | None:
    """Output, statistic and number that a name is made of; None where it is made of none."""
    of = sorted((o for o in outputs if name.startswith(f"{o}_")), key=len)
    for output in [*reversed(of), ""]:
        rest = name.removeprefix(f"{output}_") if output else name
        parts = re.fullmatch(r"([a-z_]+?)(?:_(\d+(?:\.\d+)?))?", rest)
        if parts and parts[1] in STATISTICS:
            number = None if parts[2] is None else float(parts[2])
            if (number is not None) == bool(STATISTICS[parts[1]].takes):
                return output or STATISTICS[parts[1]].usually_of, parts[1], number
    return None


def _named(name: str, outputs: Mapping[str, str], system: str, problems: Problems) -> Quantity | None:
    """The quantity of this name."""
    found = _split(name, outputs)
    if found is None or found[0] not in outputs:
        _explain(name, outputs, problems)
        return None
    output, called, number = found
    statistic = STATISTICS[called]
    if statistic.of and output != statistic.of:
        problems.add(f"{called} is of {statistic.of}, and not of {output}.")
        return None
    unit = outputs[output]
    if number is not None and statistic.takes == "level":
        number /= unit_in(system, unit, output)[1]
    if statistic.unit == "total" and not unit.endswith("/min"):
        problems.add(f"{name}: a total is of what flows, in a unit per minute; {output} is in {unit}.")
        return None
    if statistic.unit == "total":
        unit = unit.removesuffix("/min")
    elif statistic.unit != "same":
        unit = f"{unit}*min" if statistic.unit == "area" else statistic.unit
    label = name if name.startswith(output) else f"{output}_{name}"
    meaning = f"{words(output)}: {statistic.meaning}"
    seen = statistic.times, statistic.jumps
    return Quantity(label, _of(output, statistic, number), (output,), unit, meaning, *seen)


def _of(output: str, statistic: Statistic, number: float | None) -> Callable[[xr.Dataset], xr.DataArray]:
    """The statistic of an output, as a function of a dataset."""

    def function(simulated: xr.Dataset) -> xr.DataArray:
        curves = simulated[output].transpose(..., "time")
        time = curves["time"].values.astype(float)
        given = () if number is None else (number,)
        values = statistic.compute(time, curves.values, *given)
        return xr.DataArray(values, curves.isel(time=0, drop=True).coords, curves.dims[:-1])

    return function


def _explain(name: str, outputs: Iterable[str], problems: Problems) -> None:
    """Note that there is no such quantity, with the nearest ones."""
    numbers = {"minutes": "_120", "level": "_180", "": ""}
    whole = [f"{called}{numbers[s.takes]}" for called, s in STATISTICS.items()]
    output = next((o for o in sorted(outputs, key=len, reverse=True) if name.startswith(f"{o}_")), None)
    begin = f"{output}_" if output else ""
    problems.unknown(name, [*(f"{begin}{each}" for each in whole), *GROUPS], "quantity")
