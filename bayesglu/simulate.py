"""Trajectories of concentrations, stores and fluxes for given parameters."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr

from bayesglu.physiology.loop import assemble
from bayesglu.problems import hint
from bayesglu.protocols import Protocol
from bayesglu.schedule import AMOUNT_CHANNELS, Forcing, Schedule, build_schedule
from bayesglu.solver.solver import Solver, require_solved, solver
from bayesglu.spec import ModelSpec, load_model

AMOUNT_UNITS = {"stomach": "mg/kg", "glucose": "mg/kg", "insulin": "pmol/kg", "glucagon": "pg/kg"}


def simulate(
    model: ModelSpec | str,
    protocol: Protocol,
    parameters: Mapping[str, float | xr.DataArray] | None = None,
    times: Sequence[float] | None = None,
    outputs: Iterable[str] | None = None,
    body_weight: float | xr.DataArray | None = 70.0,
    hold: Iterable[str] = (),
    forcing: Forcing | None = None,
    relative: float = 1e-6,
    absolute: float = 1e-6,
    max_steps: int = 20_000,
) -> xr.Dataset:
    """What happens over time to people with the given parameters under a protocol.

    model : a `ModelSpec`, or the name or path of a model file.
    parameters : values that differ from the model's medians, in the model's units: numbers or DataArrays with any
        dimensions (``subject``, ``draw``, ...), which the result then has too, before ``time``.
    times : minutes, increasing; by default every five minutes until the protocol ends (two hours at least).
    outputs : names of states and fluxes; by default all of them.
    body_weight : kg, a number or a DataArray; needed by protocols with amounts a person.
    hold : states that stay where they start, such as ``"glycogen"``.
    forcing : ``(times, values)`` of measured insulin (min, pmol/L), for a model whose insulin is forced.

    Returns a Dataset with one variable an output, unit in its attributes. The attributes ``delivered``,
    ``prescribed_later`` and ``in_depots`` report the amount of each substance, per kg body weight. In a model whose
    glycogen is held, ``glycogen`` and ``liver_glycogen`` are constant.

    Raises SolverError, which names everyone whose equations could not be solved; ValueError for names that the model
    does not have.

    >>> from bayesglu import ogtt, simulate
    >>> glucose = simulate("oral", ogtt(75), outputs=["glucose"]).glucose
    >>> 120 < float(glucose.max()) < 180
    True
    """
    spec = load_model(model)
    times = default_times(protocol) if times is None else np.asarray(times, float)
    if times.ndim != 1 or not len(times) or (np.diff(times) <= 0).any():
        raise ValueError("times must be a sequence of minutes that increases.")
    wanted = tuple(outputs) if outputs is not None else available_outputs(spec)
    check_names("output", wanted, available_outputs(spec))
    if spec.structure["insulin"] == "forced" and forcing is None:
        raise ValueError(
            f"Insulin is forced in the model '{spec.name}': give forcing=(times, values) of measured insulin, "
            "or choose a model with insulin of its own, such as 'ivgtt' or 'oral'."
        )
    people = _people(spec, parameters or {}, body_weight)
    schedule = _schedule(protocol, times, people.weights, forcing)
    solving = _solver(spec, schedule, wanted, frozenset(hold), relative, absolute, max_steps)
    values = _solve_in_parts(solving, people)

    loop = solving.system.loop
    sampled = schedule.sample_time[: values.shape[-2]]
    values = values[..., np.searchsorted(sampled, times), :]
    dataset = xr.Dataset(
        {
            name: ((*people.dims, "time"), values[..., i], {"units": loop.unit(name), "long_name": _told(name)})
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
    """Every five minutes (fewer in long protocols) from the start until two hours at least."""
    end = max(protocol.duration, 120.0) if protocol.duration > 0 else 240.0
    if any(e.kind != "clamp" for e in protocol.events):
        end = max(end, 240.0)
    every = max(every, np.ceil(end / 600.0))
    return np.arange(0.0, end + 1e-9, every)


def available_outputs(spec: ModelSpec) -> tuple[str, ...]:
    """Names of the states and fluxes that a model can show over time."""
    loop = assemble(spec.structure)
    return (*loop.states, *loop.fluxes)


def check_names(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise a ValueError that lists every unknown name with the nearest known one."""
    known = tuple(known)
    problems = [f"There is no {kind} '{n}'.{hint(n, known)}" for n in names if n not in known]
    if problems:
        raise ValueError("\n".join([*problems, f"  Known: {', '.join(sorted(known))}."]))


@dataclass(frozen=True)
class _People:
    """Parameters (person, parameter) of everyone, the dimensions that people stand for, and body weights in kg.

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


def _people(spec: ModelSpec, parameters: Mapping, body_weight) -> _People:
    names = assemble(spec.structure).parameters
    check_names("parameter", parameters, names)

    def array(value):
        return value if isinstance(value, xr.DataArray) else xr.DataArray(float(value))

    weight = array(np.nan if body_weight is None else body_weight)
    # Dimensions of the weights come last, so that one group of people with their weights repeats.
    together = xr.broadcast(*(array(v) for v in parameters.values()), weight)
    dims = (*(d for d in together[0].dims if d not in weight.dims), *weight.dims)
    together = [v.transpose(*dims) for v in together]
    shape = together[0].shape
    values = {n: v.values.reshape(-1) for n, v in zip(parameters, together, strict=False)}
    theta = np.empty((int(np.prod(shape, dtype=int)), len(names)))
    for i, n in enumerate(names):
        theta[:, i] = values.get(n, spec.parameters[n].typical.median)
    return _People(theta, dims, shape, dict(together[0].coords), weight.values.reshape(-1))


def _schedule(protocol: Protocol, times: np.ndarray, weights: np.ndarray, forcing) -> Schedule:
    people = len(weights)
    return build_schedule(
        [protocol] * people,
        [times] * people,
        body_weight=weights,
        start=min(0.0, times[0], *(e.time for e in protocol.events)),
        forcing=None if forcing is None else [forcing] * people,
    )


def _solver(spec, schedule, outputs, hold, relative, absolute, max_steps) -> Solver:
    return solver(
        spec.structure, schedule, outputs, hold, relative=relative, absolute=absolute, max_steps=max_steps
    )


def _solve_in_parts(solving: Solver, people: _People, at_once: int = 4096) -> np.ndarray:
    """Outputs ``(*dims, sample, output)``, some thousand people at a time so that memory stays small."""
    group = len(people.weights)
    n_samples, n_outputs = len(solving.schedule.sample_time) // group, len(solving.system.outputs)
    values = np.empty((len(people.theta), n_samples, n_outputs))
    step = group * max(1, at_once // group)
    for begin in range(0, len(people.theta), step):
        theta = people.theta[begin : begin + step]
        part = replace(solving, schedule=solving.schedule.repeat(len(theta) // group))
        out, outcome = part.outputs(theta)
        require_solved(outcome, [people.label(begin + i) for i in range(len(theta))] if outcome.any() else ())
        values[begin : begin + step] = out.reshape(len(theta), n_samples, n_outputs)
    return values.reshape(*people.shape, n_samples, n_outputs)


def _amounts(by_channel: Mapping[str, np.ndarray]) -> str:
    """Amounts of one person as text: they are the same for all people of a simulation."""
    told = [
        f"{by_channel[c][0]:.6g} {AMOUNT_UNITS[c]} {c}" for c in AMOUNT_CHANNELS if by_channel[c][0] != 0.0
    ]
    return ", ".join(told) or "nothing"


def _told(name: str) -> str:
    return name.replace("_", " ").replace("c peptide", "C-peptide")
