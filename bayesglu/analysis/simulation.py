"""Trajectories of concentrations, stores and fluxes for given parameters."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from bayesglu.analytes import analytes, state_of, words
from bayesglu.errors import InputError
from bayesglu.hierarchy.compatibility import check_forcing, check_protocol, warn_of_fasts
from bayesglu.hierarchy.forcing import forcing_channel
from bayesglu.parallel import in_threads
from bayesglu.physiology.loop import Loop, assemble
from bayesglu.physiology.registry import available
from bayesglu.protocols.checked import Forcing, as_minutes
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol
from bayesglu.protocols.schedule import AMOUNT_CHANNELS, Schedule, build_schedule
from bayesglu.settings import SOLVER, as_mapping, as_names, check_settings
from bayesglu.solver.solver import Solver, make_solver, require_solved
from bayesglu.spec.model import ModelSpec, load_model
from bayesglu.study.samples import PLAUSIBLE
from bayesglu.text.problems import hint

ERRORS = 10.0  # so many tolerances below zero are still zero, for errors of steps add up


def simulate(
    model: ModelSpec | str | Path,
    protocol: Protocol | str,
    parameters: Mapping[str, float | xr.DataArray] | None = None,
    times: Sequence[float] | np.ndarray | None = None,
    outputs: Iterable[str] | None = None,
    body_weight: float | xr.DataArray | None = 70.0,
    hold: Iterable[str] = (),
    start: Mapping[str, float | xr.DataArray] | None = None,
    forcing: Forcing | None = None,
    rtol: float = 1e-6,
    atol: float = 1e-6,
    max_steps: int = 20_000,
) -> xr.Dataset:
    """What happens over time to people with the given parameters under a protocol.

    Parameters
    ----------
    model : ModelSpec, str or Path
        A model, or the name or path of a model file.
    protocol : Protocol or str
        What is done, such as ``"ogtt(75)"``.
    parameters : mapping, optional
        Values that differ from the model's medians, in the model's units: numbers, or DataArrays with any
        dimensions (``subject``, ``draw``, ...), which the result then has too, before ``time``.
    times : sequence of float, optional
        Minutes, increasing; by default every five minutes until the protocol ends, and for two hours after
        all that is given at once.
    outputs : iterable of str, optional
        Names of states and fluxes; by default all.
    body_weight : float or xarray.DataArray, optional
        Body weight, kg; needed where a dose is absolute.
    hold : iterable of str
        States that stay at their initial value, such as ``"glycogen"``; what the model holds already may be
        named too.
    start : mapping, optional
        Initial values of states that do not start from the basal state: numbers or DataArrays, like
        `parameters`. ``glucose`` and ``liver_glycogen`` stand for ``glucose_mass`` and ``glycogen``. With
        `hold`, a clamp: ``start={"insulin": 300, "glucose": 55}, hold=["insulin", "glucose_mass"]``.
    forcing : tuple, optional
        ``(times, values)`` of the forcing function (min, its unit), taken as true: of insulin (pmol/L) where
        it is forced.
    rtol : float
        Relative tolerance of the solution.
    atol : float
        Absolute tolerance, in units of each state's usual size.
    max_steps : int
        Most steps that are tried for one person.

    Returns
    -------
    xarray.Dataset
        One variable per output, its unit in ``attrs``. The attributes ``delivered``, ``prescribed_later`` and
        ``in_depots`` report the amount of each substance per kg of body weight. In a model whose glycogen is
        held, ``glycogen`` and ``liver_glycogen`` are constant.

    Raises
    ------
    InputError
        If a name, a number, `times` or `forcing` cannot be used, or the protocol gives what the model has no
        place for.
    ProtocolError
        If the text is not a protocol, or a dose is absolute and the body weight is missing.
    SpecError
        If there is no such model.
    SolverError
        If the equations cannot be solved; the message names everyone whose could not.

    Warns
    -----
    ModelWarning
        Where someone goes for more than 16 h without glucose in a model whose glycogen is held.

    Examples
    --------
    >>> import bayesglu as bg
    >>> glucose = bg.simulate("oral", bg.ogtt(75), outputs=["glucose"]).glucose
    >>> 120 < float(glucose.max()) < 180
    True
    """
    settings = check_settings({"rtol": rtol, "atol": atol, "max_steps": max_steps}, SOLVER)
    spec = load_model(model)
    protocol = parse_protocol(protocol)
    times = default_times(protocol) if times is None else as_minutes(times)
    if times.ndim != 1 or not len(times) or not np.isfinite(times).all() or (np.diff(times) <= 0).any():
        raise InputError("times must be a sequence of minutes that increases.")
    wanted = available_outputs(spec) if outputs is None else as_names("outputs", outputs)
    check_names("output", wanted, available_outputs(spec))
    hold = _held(assemble(spec.structure), as_names("hold", hold))
    check_protocol(spec, protocol)
    warn_of_fasts(spec, protocol, float(times[-1]))
    check_forcing(spec, forcing)
    parameters, start = as_mapping("parameters", parameters), as_mapping("start", start)
    people = _people(spec, parameters, start, body_weight, settings["atol"])
    begin = min(times[0], protocol.start, *([] if not start and forcing is None else [0.0]))
    schedule = _schedule(protocol, times, begin, people.weights, forcing, spec)
    begun = {state_of(name) for name in start}
    solving = make_solver(spec.structure, schedule, wanted, hold, begun, **settings)
    values = _solve_in_parts(solving, people)

    loop = solving.system.loop
    sampled = schedule.sample_time[: values.shape[-2]]
    values = values[..., np.searchsorted(sampled, times), :]
    dataset = xr.Dataset(
        {
            name: (
                (*people.dims, "time"),
                values[..., i],
                {"units": loop.unit(name), "long_name": words(name)},
            )
            for i, name in enumerate(wanted)
        },
        coords={**people.coords, "time": ("time", times, {"units": "min"})},
    )
    dataset.attrs = {"model": spec.name, "model_hash": spec.hash, "protocol": protocol.name}
    dataset.attrs |= {
        "delivered": _amounts(schedule.delivered()),
        "in_depots": _amounts(schedule.remaining()),
        "prescribed_later": _amounts(schedule.undelivered),
    }
    return dataset


def default_times(protocol: Protocol, every: float = 5.0) -> np.ndarray:
    """Every five minutes (fewer in long protocols) from the start until the end, which is two hours after the
    last dose at the earliest."""
    end = max(protocol.duration, 120.0) if protocol.duration > 0 else 240.0
    if any(e.kind != "clamp" for e in protocol.events):
        end = max(end, 240.0)
    end = max([end, *(e.time + 120.0 for e in protocol.events if e.kind in ("bolus", "release"))])
    every = max(every, np.ceil(end / 600.0))
    return np.arange(0.0, end + 1e-9, every)


def available_outputs(spec: ModelSpec) -> tuple[str, ...]:
    """Names of the states and fluxes that a model can show over time."""
    loop = assemble(spec.structure)
    return (*loop.states, *loop.fluxes)


def _held(loop: Loop, names: Iterable[str]) -> frozenset[str]:
    """The states that are to be held, of states, of what is measured of them, and of what is held anyway."""
    names = [state_of(name) for name in names]
    held_anyway = available().states.keys() & loop.constant_quantities
    check_names("state", names, {*loop.states, *held_anyway})
    return frozenset(names) - held_anyway


def check_names(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise a ValueError that lists every unknown name with the nearest known one."""
    known = tuple(known)
    problems = [f"There is no {kind} '{n}'.{hint(n, known)}" for n in names if n not in known]
    if problems:
        raise InputError("\n".join([*problems, f"  Known: {', '.join(sorted(known))}."]))


@dataclass(frozen=True)
class _People:
    """Parameters (person, parameter) of everyone, the dimensions that people stand for, and body weights in
    kg.

    People vary fastest along the last dimensions; `weights` holds those of one group, which repeats.
    """

    theta: np.ndarray
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    coords: Mapping
    weights: np.ndarray

    def label(self, person: int) -> str:
        place = np.unravel_index(person, self.shape) if self.shape else ()
        named = [
            f"{dim} {self.coords[dim].values[i] if dim in self.coords else i}"
            for dim, i in zip(self.dims, place, strict=True)
        ]
        return ", ".join(named) or "the typical person"


def _people(spec: ModelSpec, parameters: Mapping, start: Mapping, body_weight, atol: float) -> _People:
    loop = assemble(spec.structure)
    names = loop.parameters
    check_names("parameter", parameters, names)
    measured = {n for n in analytes() if n in loop.quantities and state_of(n) in loop.states}
    check_names("state", start, {*loop.states, *measured})

    weight = _array("body_weight", np.nan if body_weight is None else body_weight)
    lightest, heaviest = PLAUSIBLE["body_weight"]
    if (wrong := weight.values[(weight.values < lightest) | (weight.values > heaviest)]).size:
        raise InputError(
            f"body_weight is {wrong[0]:g}, and the plausible ones are {lightest} to {heaviest} kg. "
            "Is it in another unit?"
        )
    given = {**parameters, **{f"{n} at the start": v for n, v in start.items()}}
    arrays = xr.align(*(_array(n, v) for n, v in given.items()), weight, join="outer", copy=False)
    sizes = {str(d): size for array in arrays for d, size in array.sizes.items()}
    # Dimensions of the weights come last, so that one group of people with their weights repeats.
    dims = (*(d for d in sizes if d not in weight.dims), *map(str, weight.dims))
    shape = tuple(sizes[d] for d in dims)
    # Variables, and not arrays with their labels, which take longer than all else where people are few.
    flat = (a.variable.set_dims(dict(zip(dims, shape, strict=True))).values.reshape(-1) for a in arrays)
    values = dict(zip(given, flat, strict=False))
    labelled = {d: a for a in reversed(arrays) for d in a.dims if d in a.indexes}
    coords = dict(arrays[0].coords) | {d: a.coords[d] for d, a in labelled.items()}
    theta = np.empty((int(np.prod(shape, dtype=int)), len(names)))
    for i, n in enumerate(names):
        theta[:, i] = values.get(n, spec.parameters[n].typical.median)
    begun = {n: values[f"{n} at the start"] for n in start}
    found = _People(theta, dims, shape, coords, arrays[-1].values.reshape(-1))
    _check_values(spec, {n: values[n] for n in parameters}, found.label)
    known = dict(zip(names, theta.T, strict=True))
    return replace(found, theta=np.column_stack([theta, *_initial(loop, known, begun, atol, found.label)]))


def _check_values(spec: ModelSpec, values: Mapping, label: Callable[[int], str]) -> None:
    """Raise InputError where a parameter has a value that none can have; with NaN nothing is solved."""
    problems = []
    for name, value in values.items():
        fraction = spec.parameters[name].scale == "logit"
        wrong = np.flatnonzero((value < 0) | (value > 1 if fraction else np.isinf(value)))
        if len(wrong):
            allowed = "a fraction, 0 to 1" if fraction else "a finite number of at least 0"
            found = f"{name} of {label(wrong[0])} is {value[wrong[0]]:g}"
            problems.append(f"parameters: {found}; it must be {allowed}.")
    if problems:
        raise InputError("\n".join(problems))


def _initial(
    loop: Loop, parameters: Mapping, start: Mapping, atol: float, label: Callable[[int], str]
) -> list[np.ndarray]:
    """Initial values ``(person,)`` of the states that `start` names or measures, in the loop's order.

    What another simulation ended with may be below zero by its errors; that is zero.
    """
    begun, problems = {}, []
    for name, value in start.items():
        state = state_of(name)
        if state in begun:
            problems.append(f"start: {state} is given twice.")
        initial = value
        if name != state:
            initial = value / loop.evaluate({**parameters, state: 1.0}, frozenset([name]))[name]
        lowest = -ERRORS * atol * loop.states[state].scale
        wrong = np.flatnonzero(~(np.isfinite(initial) & (initial >= lowest)))
        more = f", and so on for {len(wrong) - 1} more" if len(wrong) > 1 else ""
        if len(wrong):
            found = f"{name} of {label(wrong[0])} is {value[wrong[0]]:g}{more}"
            problems.append(f"start: {found}; it must be a number of at least 0.")
        begun[state] = np.maximum(initial, 0.0)
    if problems:
        raise InputError("\n".join(problems))
    return [begun[state] for state in loop.states if state in begun]


def _array(name: str, value) -> xr.DataArray:
    """A value with the dimensions of the people that it is for."""
    array = value if isinstance(value, xr.DataArray) else xr.DataArray(value)
    if array.dtype.kind not in "iuf" or (array.ndim and array is not value) or "time" in array.dims:
        raise InputError(
            f"{name} is {value!r}. Give one number, or for several people a DataArray with named dimensions "
            f"other than 'time', such as xarray.DataArray([1.0, 2.0], dims='subject')."
        )
    return array


def _schedule(
    protocol: Protocol, times: np.ndarray, begin: float, weights: np.ndarray, forcing, spec: ModelSpec
) -> Schedule:
    people = len(weights)
    return build_schedule(
        [protocol] * people,
        [times] * people,
        body_weight=weights,
        start=begin,
        forcing=None if forcing is None else [forcing] * people,
        forced=forcing_channel(spec),
        clock=assemble(spec.structure).reads("elapsed"),
    )


def _solve_in_parts(solving: Solver, people: _People, at_once: int = 4096) -> np.ndarray:
    """Outputs ``(*dims, sample, output)``, some thousand people at a time so that memory stays small."""
    group = len(people.weights)
    n_samples, n_outputs = len(solving.schedule.sample_time) // group, len(solving.system.outputs)
    values = np.empty((len(people.theta), n_samples, n_outputs))
    step = group * max(1, at_once // group)

    sizes = {min(step, len(people.theta) - begin) for begin in range(0, len(people.theta), step)}
    parts = {size: replace(solving, schedule=solving.schedule.repeat(size // group)) for size in sizes}

    def solve(begin: int) -> None:
        theta = people.theta[begin : begin + step]
        out, outcome = parts[len(theta)].outputs(theta)
        require_solved(outcome, [people.label(begin + i) for i in range(len(theta))] if outcome.any() else ())
        values[begin : begin + step] = out.reshape(len(theta), n_samples, n_outputs)

    in_threads(solve, range(0, len(people.theta), step))
    return values.reshape(*people.shape, n_samples, n_outputs)


def _amounts(by_channel: Mapping[str, np.ndarray]) -> str:
    """Amounts as text; they differ between people only where body weights do."""
    amounts = []
    for channel in AMOUNT_CHANNELS:
        least, most = f"{by_channel[channel].min():.6g}", f"{by_channel[channel].max():.6g}"
        if most != "0":
            amount = least if least == most else f"{least} to {most}"
            unit = available().units[f"{channel}_input"].removesuffix("/min")
            amounts.append(f"{amount} {unit} {channel}")
    return ", ".join(amounts) or "nothing"
