"""Solving for many people in plain NumPy: the bridge from a schedule to the compiled integrator."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from bayesglu.errors import BayesgluError
from bayesglu.protocols.schedule import Schedule
from bayesglu.settings import COUNT, SOLVER, check_settings
from bayesglu.solver.adjoint import solve_adjoint
from bayesglu.solver.integrate import FINE, OUTCOMES, solve
from bayesglu.solver.kernels import Compiled, Kernels, usual_lanes
from bayesglu.solver.mesh import Mesh, mesh_of
from bayesglu.solver.plan import Plan, curve_in
from bayesglu.solver.symbolic import System, system

SHARE_OF_A_STEP = 0.5


class SolverError(BayesgluError, RuntimeError):
    """The ODE solver failed for some people; the message names them and says why.

    Examples
    --------
    >>> import bayesglu as bg
    >>> try:
    ...     bg.simulate("oral", bg.ogtt(75), max_steps=2)
    ... except bg.SolverError as error:
    ...     print(str(error).splitlines()[0])
    1 of 1 solves failed.
    """


def plan_of(schedule: Schedule, system: System) -> Plan:
    """A schedule with its columns in the order of the system's channels and boluses."""
    stops = len(schedule.time)

    def columns(array, names, fill):
        picked = [array[:, schedule.channels.index(n)] if n in schedule.channels else fill(n) for n in names]
        return np.ascontiguousarray(np.array(picked, float).reshape(len(names), stops).T)

    def unused(name):
        return np.full(stops, 1.0 if name == "emptying" else 0.0)

    released = [schedule.channels[i] for i in schedule.release_channel]
    # People with similar spans and numbers of stops share lanes, so that few lanes idle.
    order = np.lexsort((np.diff(schedule.offset), schedule.end - schedule.start))
    return Plan(
        order=order.astype(np.int64),
        offset=schedule.offset,
        time=schedule.time,
        sample=schedule.sample,
        jump=columns(schedule.jump, system.boluses, unused),
        rate=columns(schedule.rate, system.channels, unused),
        slope=columns(schedule.slope, system.channels, lambda name: np.zeros(stops)),
        release_offset=schedule.release_offset,
        release_time=schedule.release_time,
        release_channel=np.array([system.channels.index(n) for n in released], np.int64),
        release_amount=schedule.release_amount,
        release_rate=schedule.release_rate,
        doses=np.array(system.doses, np.int64).reshape(-1, 3),
        sample_person=schedule.sample_person.astype(np.int64),
        first_step=np.zeros(0, np.int64),
        steps=np.zeros(0),
    )


def lanes_for(people: int) -> int:
    """A power of two of lanes that hold so many people, if the processor has room for them: lanes that nobody
    fills take their time too. The numbers are the same with any."""
    return min(usual_lanes(), 1 << max(0, people - 1).bit_length())


@dataclass(frozen=True, eq=False)
class Solver:
    """One system and one schedule, ready to be solved for parameters ``(person, parameter)``.

    rtol, atol : tolerances of the result; the absolute one is in units of each state's usual size.
    Since errors add up, each step is held to `SHARE_OF_A_STEP` of them. max_steps : budget of tried steps of
    one person. lanes : people that share a vector instruction, by default (0) see `lanes_for`.
    mesh : frozen steps, of the stabilized method; without them steps of Dormand and Prince's adapt.
    """

    system: System
    schedule: Schedule
    rtol: float = 1e-6
    atol: float = 1e-6
    max_steps: int = 20_000
    lanes: int = 0
    mesh: Mesh | None = None
    compiled: Compiled = field(init=False, repr=False)
    plan: Plan = field(init=False, repr=False)
    tolerance: np.ndarray = field(init=False, repr=False)

    def __post_init__(self):
        given = {"rtol": self.rtol, "atol": self.atol, "max_steps": self.max_steps}
        for name, value in check_settings(given, SOLVER).items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "lanes", self.lanes or lanes_for(self.schedule.people))
        object.__setattr__(self, "compiled", Compiled(self.system, self.lanes))
        plan = plan_of(self.schedule, self.system)
        if self.mesh is not None:
            plan = plan._replace(**self.mesh._asdict())
        object.__setattr__(self, "plan", plan)
        object.__setattr__(self, "tolerance", SHARE_OF_A_STEP * np.array([self.rtol, self.atol]))

    @property
    def kernels(self) -> Kernels:
        """Those that value and gradient take."""
        return self.compiled.kernels if self.mesh is None else self.compiled.stabilized

    @staticmethod
    def _checked(array: np.ndarray, shape: tuple[int, ...], called: str) -> np.ndarray:
        """`array` as compiled code wants it; of the wrong shape it would be read beyond its end."""
        array = np.ascontiguousarray(array, float)
        if array.shape != shape:
            raise ValueError(f"{called} has the shape {array.shape}, but should have {shape}.")
        return array

    def forced(self, level: np.ndarray | None) -> Plan:
        """The plan with a measured curve at `level` (stop,); None, or of nobody, for that of the schedule."""
        if level is None or not len(level):
            return self.plan
        level = self._checked(level, self.plan.time.shape, "the level")
        p = self.plan
        rate, slope = curve_in(p.rate, p.slope, p.offset, p.time, level, self.system.level)
        return p._replace(rate=rate, slope=slope)

    def frozen(self, tolerance: float, solves: Iterable[tuple[np.ndarray, np.ndarray]]) -> "Solver | None":
        """The solver with frozen steps: those that a tolerance asks for in most of some `solves`, each theta
        (person, parameter) and the level of a measured curve (stop,). None where someone's equations could be
        solved in none of them."""
        loose = replace(self, rtol=tolerance, atol=tolerance)

        def taken(theta, level):
            theta = self._checked(theta, (self.schedule.people, len(self.system.parameters)), "theta")
            limits = loose.tolerance, loose.max_steps, len(self.system.outputs)
            _, outcome, tape = solve(self.compiled.stabilized, theta, self.forced(level), *limits, True)
            return outcome, tape

        mesh = mesh_of(self.plan, (taken(*each) for each in solves))
        return None if mesh is None else replace(loose, mesh=mesh)

    def _solve(self, theta: np.ndarray, plan: Plan, keep: bool):
        limits = self.tolerance, self.max_steps, len(self.system.outputs)
        kernels = self.kernels if keep or self.mesh is not None else self.compiled.forward
        return solve(kernels, theta, plan, *limits, keep)

    def outputs(self, theta: np.ndarray, level: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Outputs ``(sample, output)``, NaN where a solve failed, and an outcome code per person.

        level : of a measured curve at the stops ``(stop,)``, in place of that of the schedule.
        """
        theta = self._checked(theta, (self.schedule.people, len(self.system.parameters)), "theta")
        return self._solve(theta, self.forced(level), False)[:2]

    def outputs_and_pull(self, theta: np.ndarray, level: np.ndarray | None = None):
        """Outputs ``(sample, output)`` and a function from their cotangents to those of theta; with a `level`
        to those of theta and of the level."""
        theta = self._checked(theta, (self.schedule.people, len(self.system.parameters)), "theta")
        plan = self.forced(level)
        out, outcome, tape = self._solve(theta, plan, True)

        def pull(bar_out: np.ndarray):
            bar = self._checked(bar_out, out.shape, "the cotangent")
            pulled = solve_adjoint(self.kernels, theta, plan, tape, outcome, bar)
            return pulled[0] if level is None else pulled

        return out, pull


def make_solver(
    structure: Mapping[str, str],
    schedule: Schedule,
    outputs: Sequence[str],
    hold: Iterable[str] = (),
    start: Iterable[str] = (),
    **settings,
) -> Solver:
    """A `Solver` of the model `structure` for a `schedule`; only the inputs that the schedule uses are
    compiled. Initial values of the states in `start` are its last parameters."""
    settings = check_settings(settings, {**SOLVER, "lanes": COUNT})
    if "clamp" in schedule.channels:
        structure = {**structure, "glucose_clamp": "infusion"}
    return Solver(system(structure, outputs, *channels_of(schedule), hold, start), schedule, **settings)


def channels_of(schedule: Schedule) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Channels that carry rates, and channels on which amounts are given at once."""
    released = {schedule.channels[i] for i in schedule.release_channel}
    neutral = {"emptying": 1.0}
    rated = tuple(
        name
        for i, name in enumerate(schedule.channels)
        if name in released
        or (schedule.rate[:, i] != neutral.get(name, 0.0)).any()
        or (schedule.slope[:, i] != 0.0).any()
    )
    given = tuple(name for i, name in enumerate(schedule.channels) if (schedule.jump[:, i] != 0.0).any())
    return rated, given


def require_solved(outcome: np.ndarray, labels: Sequence[str]) -> None:
    """Raise a SolverError that names everyone whose solve failed, and why."""
    failed = np.flatnonzero(outcome != FINE)
    if len(failed):
        reasons = [f"{labels[i]}: {OUTCOMES[int(outcome[i])]}" for i in failed[:10]]
        more = [f"... and {len(failed) - 10} more."] if len(failed) > 10 else []
        raise SolverError("\n".join([f"{len(failed)} of {len(outcome)} solves failed.", *reasons, *more]))
