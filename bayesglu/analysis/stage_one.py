"""Draws of each person as if alone, from which a hierarchy can be fitted to all: stage one of two.

Each person's own parameters are drawn under a reference population, whose draw is one number of everything.
With each draw is kept what stage two needs in order to put any other population in the place of that one: the
weight of the draw, and of its samples the residuals, as sums of their squares where they are Normal. So the
errors of assays may be anything in stage two, and a parameter that all share may be near where it was: what
it does to a prediction is taken as linear there.
"""

import io
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
import xarray as xr

from bayesglu.analysis.conditional import Conditional
from bayesglu.analysis.importance import proposal_of, proposed
from bayesglu.analysis.population import population_values
from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.individuals import Individuals
from bayesglu.hierarchy.values import Values
from bayesglu.pieces import Kept
from bayesglu.residuals import Normal
from bayesglu.solver.solver import SolverError
from bayesglu.spec.model import ModelSpec
from bayesglu.study.study import Study, StudyWarning

STEP = 0.02
"""By which shared parameters are moved, on their own scales, to see what they do."""


class Stored(NamedTuple):
    """K draws of each of S people, and what stage two needs of them.

    X parameters are shared, and residuals are of G groups: those of each analyte, and those whose SD is
    known.

    ==============  ================  ==================================================================
    ``individual``  (S, K, D)         own parameters
    ``log_ratio``   (S, K)            log density of the draw and its samples under the reference, less
                                      that by which it was proposed
    ``count``       (S, G)            Normal residuals
    ``squares``     (S, K, G)         sums of their squares
    ``along``       (S, K, G, X)      of residuals times what shared parameters add to predictions
    ``across``      (S, K, G, X, X)   of products of what these add
    ``bend``        (S, K, X)         what the curvature of predictions adds to the log likelihood, per
                                      square of a shared parameter's move
    ``residual``    (R, K)            log residuals that are not Normal, or beyond a limit
    ``slope``       (R, K, X)         what shared parameters add to their predictions
    ``whose``       (R,)              the person
    ``group``       (R,)              the analyte
    ``kind``        (R, 3)            number and shape of the residual, and the side that is censored
    ==============  ================  ==================================================================
    """

    individual: np.ndarray
    log_ratio: np.ndarray
    count: np.ndarray
    squares: np.ndarray
    along: np.ndarray
    across: np.ndarray
    bend: np.ndarray
    residual: np.ndarray
    slope: np.ndarray
    whose: np.ndarray
    group: np.ndarray
    kind: np.ndarray

    def draws(self, which: slice) -> "Stored":
        """Some of the draws of each."""
        by_draw = {*Stored._fields} - {"count", "whose", "group", "kind"}
        return Stored(*(v[:, which] if n in by_draw else v for n, v in self._asdict().items()))


def joined(parts: list[Stored]) -> Stored:
    """The people of several parts, one after another."""
    before = np.cumsum([0, *(len(part.log_ratio) for part in parts)])
    parts = [p._replace(whose=p.whose + n) for p, n in zip(parts, before, strict=False)]
    return Stored(*map(np.concatenate, zip(*parts, strict=True)))


def draw_portion(
    spec: ModelSpec,
    study: Study,
    covariates: xr.Dataset,
    reference: xr.Dataset,
    analytes: Sequence[str],
    solver: Mapping,
    draws: int,
    seed: list[int],
) -> tuple[Stored | None, list[str], dict[str, str]]:
    """Draws of some people under a reference population, who they are, and why there are none of others.

    covariates : of all people, also of others. analytes : of the study of all.
    """
    rng = np.random.default_rng(seed)
    try:
        d = design_of_some(spec, study, covariates, solver)
        return _drawn(d, population_values(reference, d, rng), analytes, draws, rng), [*study.subjects], {}
    except SolverError as error:
        if len(study.subjects) == 1:
            return None, [], {study.subjects[0]: str(error)}
    parts, there, failed = [], [], {}
    for i, person in enumerate(study.subjects):
        rest = covariates, reference, analytes, solver, draws, [*seed, i]
        one, who, why = draw_portion(spec, study.select([person]), *rest)
        parts, there, failed = parts + ([one] if one else []), there + who, failed | why
    return joined(parts) if parts else None, there, failed


def design_of_some(spec: ModelSpec, study: Study, covariates: xr.Dataset, solver: Mapping) -> Design:
    """The design of some people, with the covariate effects that act on anyone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StudyWarning)  # said of all people before
        d = make_design(spec, study, (), **solver)
    i = d.individuals
    return replace(d, individuals=Individuals.of(spec, i.columns, i.names, i.occasions, covariates, None, ()))


def _drawn(d: Design, population: Values, analytes: Sequence[str], draws: int, rng) -> Stored:
    c = Conditional.of(d, population, rng)
    x, _, log_ratio = proposed(c, proposal_of(c, rng)[0], rng, draws)
    x, log_ratio, people = x[:, 0], log_ratio[:, 0], d.individuals
    which, n = np.zeros(draws, int), people.shape[1]
    individual = c.centre[0] + np.einsum("de,kse->ksd", c.factor[0], x[..., :n])
    shared = [k for k, p in enumerate(people.estimated) if not p.varies]
    log, slope, curvature = _moved(c, which, x, shared)
    residual = d.rows.log_value - log
    fine = np.isfinite(residual) & np.isfinite(slope).all(-1) & np.isfinite(curvature).all(-1)
    mine = c.whose[:, None] == np.arange(c.people)  # (row, S)
    log_ratio = np.where((~fine).astype(float) @ mine > 0, -np.inf, log_ratio)
    there = np.isfinite(log_ratio)[:, c.whose]
    residual = np.where(there, residual, 0.0)
    slope, curvature = (np.where(there[..., None], v, 0.0) for v in (slope, curvature))
    pull = np.where(there, np.prod(d.rows.working(d.rows.log_value - residual, population.sigma), 0), 0.0)
    own = np.array([analytes.index(a) for a in d.analytes])
    plain = (d.rows.residual == Normal.number) & (d.rows.censoring == 0)
    known = d.rows.analyte < 0
    group = np.where(known, len(analytes), own[np.maximum(d.rows.analyte, 0)])
    of = mine[:, :, None] & plain[:, None, None] & (group[:, None] == np.arange(len(analytes) + 1))[:, None]
    unit = np.where(known, d.rows.known_sigma, 1.0)
    r, by = residual / unit, slope / unit[:, None]
    count, squares = of.sum(0).astype(float), np.einsum("kr,rsg->skg", r**2, of)
    if d.forcing.n_errors:  # true values of a forcing function lie about what was read
        errors = np.square(population.sigma[0, d.forcing.analyte] * x[..., n:])
        read = c.error_of >= 0
        count[:, own[d.forcing.analyte]] += read.sum(1)
        squares[..., own[d.forcing.analyte]] += np.where(read, errors, 0.0).sum(-1).T
    other = ~plain
    return Stored(
        individual=individual.swapaxes(0, 1),
        log_ratio=log_ratio.T,
        count=count,
        squares=squares,
        along=np.einsum("kr,krx,rsg->skgx", r, by, of, optimize=True),
        across=np.einsum("krx,kry,rsg->skgxy", by, by, of, optimize=True),
        bend=np.einsum("kr,krx,rs->skx", pull, curvature, mine, optimize=True),
        residual=residual[:, other].T,
        slope=slope[:, other].swapaxes(0, 1),
        whose=c.whose[other],
        group=group[other],
        kind=np.stack([d.rows.residual, d.rows.nu, d.rows.censoring], axis=-1)[other].astype(float),
    )


def _moved(c: Conditional, which, x, shared: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logarithms of predictions (K, row), and their first and half their second derivatives (K, row, X) by
    the shared parameters."""
    log = c.log_predicted(which, x)
    first, second = (np.zeros((*log.shape, len(shared))) for _ in range(2))
    for i, k in enumerate(shared):
        away = np.zeros(c.population.typical.shape)
        away[:, k] = STEP
        ends = [
            replace(c, population=c.population._replace(typical=c.population.typical + sign * away))
            for sign in (1, -1)
        ]
        up, down = (end.log_predicted(which, x) for end in ends)
        first[..., i] = (up - down) / (2 * STEP)
        second[..., i] = 0.5 * (up + down - 2 * log) / STEP**2
    return log, first, second


@dataclass(frozen=True)
class KeptDraws(Kept):
    """A folder in which each portion of people is a file of arrays as soon as it has been drawn."""

    def _place(self, number: int) -> Path:
        return self.folder / f"{self.piece}_{number:04d}.npz"

    def reference(self) -> list | None:
        """The reference population that the draws of the folder were begun with."""
        return self._described().get("reference") if self.about.exists() else None

    def add(self, number: int, one: tuple[Stored | None, list[str], dict[str, str]]):
        """Keep the draws of a portion, who they are, and of whom there are none."""
        stored, people, failed = one
        arrays = stored._asdict() if stored else {}
        memory = io.BytesIO()
        np.savez(memory, told=np.array(json.dumps({"people": people, "failed": failed})), **arrays)
        self._write_bytes(self._place(number), memory.getvalue())
        return one

    def found(self, numbers: Iterable[int]) -> dict[int, Any]:
        """Those that are there."""
        return {i: self._load(place) for i in numbers if (place := self._place(i)).exists()}

    def _load(self, place: Path) -> tuple[Stored | None, list[str], dict[str, str]]:
        try:
            with np.load(io.BytesIO(self._read_bytes(place)), allow_pickle=False) as file:
                about = json.loads(str(file["told"]))
                stored = Stored(*(file[name] for name in Stored._fields)) if about["people"] else None
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise self._damaged(place) from error
        return stored, about["people"], about["failed"]
