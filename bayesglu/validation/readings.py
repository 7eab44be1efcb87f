"""What is read off a simulation to be compared with a published figure: small sums, written as text.

A reading names outputs, parameters and `body_weight` (kg), and reduces what changes over time:

>>> from bayesglu import ogtt, simulate
>>> result = simulate("oral", ogtt(75), outputs=needs("highest(glucose) - start(glucose)"))
>>> 30 < float(read("highest(glucose) - start(glucose)", result)) < 90
True
"""

import ast
from collections.abc import Callable, Mapping

import numpy as np
import xarray as xr

from bayesglu.errors import BayesgluError
from bayesglu.text.expressions import Evaluator, mismatch, parse
from bayesglu.text.problems import hint

Numbers = xr.DataArray | float
SAMPLED = (8, 10, 12, 14, 16, 19, 22, 27, 32, 42, 52, 62, 72, 82, 92, 102, 122, 142, 162, 182)  # min


class ReadingError(BayesgluError, ValueError):
    """A text that is no reading."""


def at(values: xr.DataArray, time: float) -> xr.DataArray:
    """The value at a time (min)."""
    return values.interp(time=time)


def start(values: xr.DataArray) -> xr.DataArray:
    """The value at the first time."""
    return values.isel(time=0)


def total(values: xr.DataArray, begin: float | None = None, end: float | None = None) -> xr.DataArray:
    """The integral over time (min), by trapezoids."""
    return values.sel(time=slice(begin, end)).integrate("time")


def mean(values: xr.DataArray, begin: float | None = None, end: float | None = None) -> xr.DataArray:
    """The mean over time."""
    time = values["time"].sel(time=slice(begin, end))
    return total(values, begin, end) / float(time[-1] - time[0])


def slope(values: xr.DataArray, begin: float | None = None, end: float | None = None) -> xr.DataArray:
    """The change per minute of the straight line through the values."""
    chosen = values.sel(time=slice(begin, end))
    since = chosen["time"] - chosen["time"].mean()
    return (chosen * since).sum("time") / (since**2).sum()


def highest(values: xr.DataArray, begin: float | None = None, end: float | None = None) -> xr.DataArray:
    """The peak."""
    return values.sel(time=slice(begin, end)).max("time")


def lowest(values: xr.DataArray, begin: float | None = None, end: float | None = None) -> xr.DataArray:
    """The nadir."""
    return values.sel(time=slice(begin, end)).min("time")


def time_of_highest(values: xr.DataArray) -> xr.DataArray:
    """When the peak is reached (min)."""
    return values.idxmax("time")


def share_within(values: xr.DataArray, low: float, high: float) -> xr.DataArray:
    """The share of the time, between 0 and 1, spent between two values."""
    return mean(((values >= low) & (values <= high)).astype(float))


def where(values: xr.DataArray, level: float, along: xr.DataArray) -> xr.DataArray:
    """The value of `along` at which `values` first falls through `level`, in experiments at stepped
    levels (dim ``level``), by interpolation."""

    def crossing(y: np.ndarray, x: np.ndarray) -> float:
        below = np.flatnonzero(y <= level)
        if not len(below) or below[0] == 0:
            return np.nan
        one, two = below[0] - 1, below[0]
        return x[one] + (x[two] - x[one]) * (y[one] - level) / (y[one] - y[two])

    cores = [["level"], ["level"]]
    return xr.apply_ufunc(crossing, values, along, input_core_dims=cores, vectorize=True)


def minimal_model_sensitivity(glucose: xr.DataArray, insulin: xr.DataArray) -> xr.DataArray:
    """Insulin sensitivity, L/pmol/min, that the classical minimal model finds in an intravenous test."""
    return _minimal_model(glucose, insulin, 2)


def minimal_model_effectiveness(glucose: xr.DataArray, insulin: xr.DataArray) -> xr.DataArray:
    """Glucose effectiveness, 1/min, that the classical minimal model finds in an intravenous test."""
    return _minimal_model(glucose, insulin, 0)


def _minimal_model(glucose: xr.DataArray, insulin: xr.DataArray, place: int) -> xr.DataArray:
    time = glucose["time"].values
    cores = [["time"], ["time"]]
    return xr.apply_ufunc(
        lambda g, i: fit_minimal_model(time, g, i)[place],
        glucose,
        insulin,
        input_core_dims=cores,
        vectorize=True,
    )


def fit_minimal_model(time: np.ndarray, glucose: np.ndarray, insulin: np.ndarray) -> np.ndarray:
    """Glucose effectiveness (1/min), rate of insulin action (1/min), insulin sensitivity (L/pmol/min) and
    glucose at time zero (mg/dL) of the classical minimal model, by least squares.

    time : min, a grid fine enough for trapezoids. glucose (mg/dL), insulin (pmol/L): ``(time,)``, the basal
    values first. Compared are the sampling times of Pacini & Bergman 1986 from 8 min on, as they advise.
    """
    from scipy.optimize import least_squares

    compared = np.searchsorted(time, [t for t in SAMPLED if t <= time[-1]])
    basal, excess = glucose[0], insulin - insulin[0]

    def integral(values):
        steps = np.diff(time) * (values[1:] + values[:-1]) / 2
        return np.concatenate([[0.0], steps.cumsum()])

    def misfit(logs):
        effectiveness, rate, sensitivity, first = np.exp(logs)
        action = sensitivity * rate * np.exp(-rate * time) * integral(np.exp(rate * time) * excess)
        removed = integral(effectiveness + action)
        predicted = np.exp(-removed) * (first + effectiveness * basal * integral(np.exp(removed)))
        return (predicted - glucose)[compared]

    guess = np.log([0.02, 0.025, 8e-5, glucose.max()])
    bounds = np.log([[1e-4, 1e-3, 1e-7, 50.0], [0.2, 0.5, 1e-2, 2000.0]])
    return np.exp(least_squares(misfit, guess, bounds=bounds).x)


FUNCTIONS: Mapping[str, Callable] = {
    function.__name__: function
    for function in (
        *(at, start, total, mean, slope, highest, lowest, time_of_highest, share_within, where),
        *(minimal_model_sensitivity, minimal_model_effectiveness),
    )
}
"""The reductions that a reading may use."""


def needs(text: str) -> tuple[str, ...]:
    """Names of the outputs and parameters that a reading is about, each once, in order.

    Raises ReadingError when the text is no reading.
    """
    found = [n.id for n in ast.walk(_parsed(text)) if isinstance(n, ast.Name) and n.id not in FUNCTIONS]
    return tuple(dict.fromkeys(found))


def read(text: str, result: xr.Dataset, known: Mapping[str, Numbers] | None = None) -> xr.DataArray:
    """The value of a reading.

    result : outputs, as `simulate` gives them. known : parameters by name, and whatever else has one value a
    person. Returns a DataArray with the dims of these but ``time``. Raises ReadingError for unknown names.
    """
    names = {**(known or {}), **{str(name): values for name, values in result.data_vars.items()}}
    if unknown := [name for name in needs(text) if name not in names]:
        faults = "; ".join(f"there is no {name!r}.{hint(name, names)}" for name in unknown)
        raise ReadingError(f"{text}: {faults}\n  Known: {', '.join(sorted(names))}.")
    value = _Readings(names).value(_parsed(text))
    return xr.DataArray(float(value) if isinstance(value, int) else value).reset_coords(drop=True)


def _parsed(text: str) -> ast.expr:
    """The syntax tree of a reading, checked whole."""
    try:
        tree = parse(text)
        _Readings().value(tree)
    except SyntaxError as error:
        raise ReadingError(f"{text}: {error.msg}. {_ALLOWED}") from None
    except ReadingError as error:
        raise ReadingError(f"{text}: {error} {_ALLOWED}") from None
    return tree


_ALLOWED = f"Allowed: names, numbers, + - * /, and {', '.join(FUNCTIONS)}."


class _Readings(Evaluator):
    """The language of readings; without values of its names, it only says whether a text is one."""

    functions = FUNCTIONS

    def __init__(self, names: Mapping[str, Numbers] | None = None):
        self.names = names

    def combine(self, node: ast.expr, operation: Callable, *values: Numbers) -> Numbers:
        return 1.0 if self.names is None else operation(*values)

    def call(self, node: ast.Call, function: Callable) -> Numbers:
        if node.keywords:
            return self.other(node)
        values = [self.value(arg) for arg in node.args]
        if why := mismatch(function, values, {}):
            raise ReadingError(f"{ast.unparse(node)}: {why}.")
        return 1.0 if self.names is None else function(*values)

    def other(self, node: ast.expr) -> Numbers:
        if isinstance(node, ast.Name) and node.id not in FUNCTIONS:
            return 1.0 if self.names is None else self.names[node.id]
        raise ReadingError(f"{ast.unparse(node)} is not part of a reading.")
