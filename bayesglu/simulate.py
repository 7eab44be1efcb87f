"""Trajectories of concentrations, stores and fluxes for given parameters."""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np
import xarray as xr

from bayesglu.physiology.loop import assemble
from bayesglu.problems import hint
from bayesglu.protocols import Protocol
from bayesglu.schedule import AMOUNT_CHANNELS, Forcing, build_schedule
from bayesglu.solver.solver import Solver, require_solved, solver
from bayesglu.spec import ModelSpec, load_model

AMOUNT_UNITS = {"stomach": "mg/kg", "glucose": "mg/kg", "insulin": "pmol/kg", "glucagon": "pg/kg"}


def simulate(
    model: ModelSpec | str,
    protocol: Protocol,
    parameters: Mapping[str, float | xr.DataArray] | None = None,
    times: Sequence[float] | None = None,
    outputs: Iterable[str] | None = None,
    body_weight: float | None = 70.0,
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
    body_weight : kg; needed by protocols with amounts a person.
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
    theta, labels, shape, coords = _people(spec, parameters or {})
    solving = _solver(
        spec,
        protocol,
        tuple(times.tolist()),
        wanted,
        body_weight,
        frozenset(hold),
        None if forcing is None else tuple(tuple(map(float, part)) for part in forcing),
        len(theta),
        (relative, absolute, max_steps),
    )
    values, outcome = solving.outputs(theta)
    require_solved(outcome, labels)

    loop = solving.system.loop
    values = values.reshape(*shape.values(), -1, len(wanted))
    at_times = np.searchsorted(solving.schedule.sample_time[: values.shape[-2]], times)
    values = values[..., at_times, :]
    dataset = xr.Dataset(
        {
            name: ((*shape, "time"), values[..., i], {"units": loop.unit(name), "long_name": _told(name)})
            for i, name in enumerate(wanted)
        },
        coords={**coords, "time": ("time", times, {"units": "min"})},
    )
    dataset.attrs = {"model": spec.name, "model_hash": spec.hash, "protocol": str(protocol)}
    dataset.attrs |= {
        "delivered": _amounts(solving.schedule.delivered()),
        "in_depots": _amounts(solving.schedule.remaining()),
        "prescribed_later": _amounts(solving.schedule.undelivered),
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


def _people(spec: ModelSpec, parameters: Mapping):
    """Parameters as (person, parameter), a label for each person, and the dimensions that people stand for."""
    names = assemble(spec.structure).parameters
    check_names("parameter", parameters, names)
    given = {n: v if isinstance(v, xr.DataArray) else xr.DataArray(float(v)) for n, v in parameters.items()}
    together = xr.broadcast(*given.values()) if given else ()
    shape = dict(together[0].sizes) if together else {}
    coords = dict(together[0].coords) if together else {}
    values = {n: v.values.reshape(-1) for n, v in zip(given, together, strict=True)}
    people = int(np.prod(list(shape.values()), dtype=int))
    theta = np.empty((people, len(names)))
    for i, n in enumerate(names):
        theta[:, i] = values.get(n, spec.parameters[n].typical.median)
    return theta, _Labels(shape, coords), shape, coords


class _Labels:
    """A label for each person, written only when someone asks for it."""

    def __init__(self, shape: dict, coords: dict):
        self.shape, self.coords = shape, coords

    def __getitem__(self, person: int) -> str:
        place = np.unravel_index(person, tuple(self.shape.values())) if self.shape else ()
        named = [
            f"{dim} {self.coords[dim].values[i] if dim in self.coords else i}"
            for dim, i in zip(self.shape, place, strict=True)
        ]
        return ", ".join(named) or "the typical person"


@lru_cache(maxsize=16)
def _solver(spec, protocol, times, outputs, body_weight, hold, forcing, people, settings) -> Solver:
    schedule = build_schedule(
        [protocol] * people,
        [times] * people,
        body_weight=body_weight,
        start=min(0.0, *times) if len(times) > 1 else min(0.0, times[0]),
        forcing=None if forcing is None else [forcing] * people,
    )
    relative, absolute, max_steps = settings
    return solver(
        spec.structure, schedule, outputs, hold, relative=relative, absolute=absolute, max_steps=max_steps
    )


def _amounts(by_channel: Mapping[str, np.ndarray]) -> str:
    """Amounts of one person as text: they are the same for all people of a simulation."""
    told = [
        f"{by_channel[c][0]:.6g} {AMOUNT_UNITS[c]} {c}" for c in AMOUNT_CHANNELS if by_channel[c][0] != 0.0
    ]
    return ", ".join(told) or "nothing"


def _told(name: str) -> str:
    return name.replace("_", " ").replace("c peptide", "C-peptide")
