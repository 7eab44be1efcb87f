"""What each later term of the loop is worth: the present model without it, one at a time.

Published figures met at the typical values, and the log predictive density of people who were left out of two
real studies: a quarter of them at a time, given the posterior modes of the others, with each person's own
parameters integrated out by Laplace's method. A term is taken out by a value at which it does nothing.
"""

import numpy as np

from bayesglu.hierarchy.design import Design, make_design
from bayesglu.hierarchy.rows import TINY
from bayesglu.hierarchy.values import Values
from bayesglu.inference.linearise import Expansion, average_linear_model
from bayesglu.inference.modes import find_modes
from bayesglu.spec.model import load_model
from bayesglu.study.study import Study
from bayesglu.validation.facts import load_facts
from bayesglu.validation.validate import validate
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
    "without getting used to glucagon": {"glucagon_tolerance": GONE | {"typical": {"median": 1e-6}}},
}
COLUMNS = {"name": "", "met": "figures met", **{name: name for name in STUDIES}}


def main() -> None:
    """Ask the published figures and both studies of each, and keep what they say."""
    rows, facts = [], load_facts()
    for name, changes in TERMS.items():
        whole = load_model("feedback").with_changes(parameters=changes) if changes else load_model("feedback")
        table = validate(whole, facts, draws=0).table
        row = {"name": name, "met": int(table.verdict.str.startswith("passes").sum()), "asked": len(table)}
        for study, (folder, model) in STUDIES.items():
            spec = load_model(model)
            own = {parameter: change for parameter, change in changes.items() if parameter in spec.parameters}
            row[study] = held_out(spec.with_changes(parameters=own) if own else spec, real_study(folder))
        rows.append(row)
        print(row)
    show("One term at a time taken out", rows, COLUMNS, "log predictive density of people left out")
    write("terms", rows, quarters=QUARTERS)


def held_out(spec, study: Study) -> float:
    """Log predictive density of all people, a quarter at a time given the others."""
    people, total = study.subjects, 0.0
    for quarter in range(QUARTERS):
        out = people[quarter::QUARTERS]
        seen = make_design(spec, study.select(subjects=[p for p in people if p not in out]))
        new = make_design(spec, study.select(subjects=list(out)))
        total += evidence(seen, find_modes(seen).expansion, new)
    return total


def evidence(seen: Design, at: Expansion, new: Design) -> float:
    """Log density of the samples of `new` people, their own parameters integrated out about their modes."""
    people, k = new.individuals, len(seen.individuals.names)
    acting = [(a.parameter, a.key) for a in seen.individuals.effects]
    known = dict(zip(acting, at.shared[k:], strict=True))
    effect = np.array([known.get((a.parameter, a.key), 0.0) for a in people.effects])
    typical = at.shared[:k]
    centre = people.centre(typical, effect)
    here = new.prior_medians._replace(typical=typical, effect=effect, sigma=at.sigma, individual=centre)
    precision = at.omega[people.layout.component_varying] ** -2.0
    whose = people.layout.subject[new.rows.occasion]
    shared = np.concatenate([typical, effect])

    def density(individual):
        """Of everyone's samples and own parameters, but for the volume of the latter."""
        value, _ = new.predict(people.theta(typical, effect, individual))
        with np.errstate(invalid="ignore"):
            rows = new.rows.log_density(np.log(np.maximum(value, TINY)), at.sigma)
        away = ((individual - centre) ** 2 * precision).sum(-1)
        return np.bincount(whose, rows, minlength=len(individual)) - 0.5 * away

    individual, damping = centre, np.ones(len(centre))
    best = density(individual)
    for _ in range(ROUNDS):
        draws = Values(*(field[None] for field in here._replace(individual=individual)))
        information, linear, cross = average_linear_model(new, draws)
        q = information + np.diag(precision)
        uphill = linear - cross @ shared + precision * centre - (q @ individual[..., None])[..., 0]
        damped = q + damping[:, None, None] * q * np.eye(q.shape[1])
        step = np.linalg.solve(damped, uphill[..., None])[..., 0]
        trial = individual + np.clip(step, -1.0, 1.0)
        there = density(trial)
        with np.errstate(invalid="ignore"):
            better = there >= best
        damping = np.where(better, damping / 5, damping * 5)
        individual, best = np.where(better[:, None], trial, individual), np.where(better, there, best)
    volume = 0.5 * len(individual) * np.log(precision).sum() - 0.5 * np.linalg.slogdet(q)[1].sum()
    return float(best.sum() + volume)
