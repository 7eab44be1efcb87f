"""What each later term of the loop is worth: the present model without it, one at a time.

Published figures met at the typical values, and the log predictive density of people who were left out of two
real studies: a quarter of them at a time, given the posterior modes of the others, with each person's own
parameters integrated out by Laplace's method. A term is taken out by a value at which it does nothing.
"""

import numpy as np
from scipy.stats import t

from bayesglu.hierarchy.design import TINY, Design, design
from bayesglu.inference.linearise import Expansion, average_linear_model
from bayesglu.inference.modes import modes
from bayesglu.spec.model import load_model
from bayesglu.study.study import Study
from bayesglu.validation.facts import load_facts, validate
from benchmarks.report import show, write
from benchmarks.studies import STUDIES, real_study

QUARTERS = 4
ROUNDS = 40

GONE = {"level": "fixed"}
TERMS = {
    "the present model": {},
    "without a volume of insulin at muscle and fat": {
        "interstitial_insulin_volume": GONE | {"typical": {"median": 1e-4}}
    },
    "without provision: insulin ready within half a minute": {
        "provision_time": GONE | {"typical": {"median": 0.5}}
    },
    "without getting used to glucagon": {"glucagon_habituation": GONE | {"typical": {"median": 1e-6}}},
}
COLUMNS = {"name": "", "met": "figures met", **{name: name for name in STUDIES}}


def main() -> None:
    """Ask the published figures and both studies of each, and keep what they say."""
    rows, facts = [], load_facts()
    for name, changes in TERMS.items():
        whole = load_model("feedback").change(parameters=changes) if changes else load_model("feedback")
        table = validate(whole, facts, draws=0).table
        row = {"name": name, "met": int(table.verdict.str.startswith("passes").sum()), "asked": len(table)}
        for study, (folder, model) in STUDIES.items():
            spec = load_model(model)
            own = {parameter: change for parameter, change in changes.items() if parameter in spec.parameters}
            row[study] = held_out(spec.change(parameters=own) if own else spec, real_study(folder))
        rows.append(row)
        print(row)
    show("One term at a time taken out", rows, COLUMNS, "log predictive density of people left out")
    write("terms", rows, quarters=QUARTERS)


def held_out(spec, study: Study) -> float:
    """Log predictive density of all people, a quarter at a time given the others."""
    people, total = study.subjects, 0.0
    for quarter in range(QUARTERS):
        out = people[quarter::QUARTERS]
        seen = design(spec, study.select(subjects=[p for p in people if p not in out]))
        new = design(spec, study.select(subjects=list(out)))
        total += evidence(seen, modes(seen), new)
    return total


def evidence(seen: Design, at: Expansion, new: Design) -> float:
    """Log density of the samples of `new` people, their own parameters integrated out about their modes."""
    known = dict(zip(seen.effects, at.shared[len(seen.estimated) :], strict=True))
    typical = at.shared[: len(seen.estimated)]
    effect = np.array([known.get(key, 0.0) for key in new.effects])
    precision = at.between[new.block_varying] ** -2.0
    rows, centre = new.rows, new.centre(typical, effect)
    whose = new.subject_of_test[rows.test]
    sd = np.where(rows.analyte >= 0, at.error[np.maximum(rows.analyte, 0)], rows.known_error)

    def fitted(block):
        value, _ = new.solve(new.theta(typical, effect, block))
        with np.errstate(invalid="ignore"):
            return np.log(np.maximum(value, TINY))

    degrees = np.where(rows.tails > 0, rows.tails, 1.0)
    normal, student = -0.5 * np.log(2 * np.pi), t.logpdf(0.0, degrees)

    def cost(block, log):
        squares = ((rows.log_value - log) / sd) ** 2
        squares = np.where(rows.tails > 0, (degrees + 1) * np.log1p(squares / degrees), squares)
        misfit = np.bincount(whose, squares, minlength=len(block))
        return misfit + ((block - centre) ** 2 * precision).sum(-1)

    block, damping = centre, np.ones(len(centre))
    log = fitted(block)
    shared = np.concatenate([typical, effect])
    for _ in range(ROUNDS):
        here = typical[None], effect[None], at.error[None], block[None]
        information, pull, cross = average_linear_model(new, *here)
        q = information + np.diag(precision)
        uphill = pull - cross @ shared + precision * centre - (q @ block[..., None])[..., 0]
        damped = q + damping[:, None, None] * q * np.eye(q.shape[1])
        step = np.linalg.solve(damped, uphill[..., None])[..., 0]
        trial = block + np.clip(step, -1.0, 1.0)
        there = fitted(trial)
        with np.errstate(invalid="ignore"):
            better = cost(trial, there) <= cost(block, log)
        damping = np.where(better, damping / 5, damping * 5)
        block, log = np.where(better[:, None], trial, block), np.where(better[whose], there, log)
    return float(
        -0.5 * cost(block, log).sum()
        + (np.where(rows.tails > 0, student, normal) - np.log(sd)).sum()
        + 0.5 * len(block) * np.log(precision).sum()
        - 0.5 * np.linalg.slogdet(q)[1].sum()
    )
