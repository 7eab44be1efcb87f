"""Medians that meet the published facts as well as people's tests: penalised least squares.

The cost of medians is what they miss of the facts (``data/facts``; beyond the published limits a fact weighs
more, but no more than as if it were missed by six half-widths), how far they are from what the tests of real
people say together (`joint`; the covariance times `WIDER`, since one group of people is not all), and how far
from the literature where tests are silent. Gauss-Newton with the true penalties, the Jacobian by differences
and then kept by Broyden's update.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

import bayesglu
from bayesglu import ModelSpec
from benchmarks.learn.joint import Learnt

WIDER = 8.0
BEYOND = 200.0
"""Weight of a fact beyond its limits, in units of the square of half-widths."""

SILENT = 0.12
"""SD about the literature's median, on the prior's scale, of what the tests do not teach."""

KEPT_NEAR = {
    "reference_hepatic_uptake": (1.305, 0.08),
    "uptake_half_saturation": (92.0, 0.06),
    "incretin_potentiation": (2.7, 0.08),
    "glucose_adaptation_time": (2.5, 0.2),
    "absorption_rate": (0.043, 0.1),
    "glucose_suppression_half_saturation": (22.0, 0.12),
    "interstitial_insulin_volume": (0.2, 0.15),
    "insulin_volume": (0.1, 0.1),
    "fasting_production": (2.1, 0.05),
    "emptying_rate": (0.1, 0.2),
    "emptying_saturation": (80.0, 0.25),
    "brain_uptake": (0.99, 0.08),
    "portal_flow": (0.235, 0.08),
    "hepatic_uptake_glucose": (199.0, 0.2),
}
"""Judgements, median and SD of the logarithm: parameters that facts and tests would trade for each other
along a ridge, kept where both are nearly met. The liver takes up a quarter of an oral load (Katz 1983),
muscle is half saturated near fasting glucose (Shumak 1989), 2 to 3 kcal/min leave the stomach; what the brain
takes up, the blood that the liver gets and the glucose at which it takes up half of its greatest are as the
literature has them."""

ROUNDS = 14
JACOBIAN_AT = (0, 5, 10)


@dataclass(frozen=True)
class Balanced:
    """Medians by name; the facts that they miss, with value and limits; the cost after each accepted step."""

    medians: dict[str, float]
    missed: dict[str, tuple[float, float, float]]
    costs: tuple[float, ...]


def balance(
    model: Callable[[Mapping[str, float]], ModelSpec],
    start: Mapping[str, float],
    learnt: Learnt,
    say: Callable[[str], None] = print,
) -> Balanced:
    """Medians near those at the `start`. `model` makes a model of medians."""
    spec = model(start)
    names = list(start)
    scale = [spec.parameters[name] for name in names]
    origin = np.array([p.to_scale(start[p.name]) for p in scale], float)
    both = [name for name in learnt.names if name in start]
    here, there = [names.index(n) for n in both], [learnt.names.index(n) for n in both]
    precision = np.linalg.inv(WIDER * learnt.covariance[np.ix_(there, there)])
    near = [(names.index(n), np.log(at), sd) for n, (at, sd) in KEPT_NEAR.items()]
    silent = np.ones(len(names), bool)
    silent[here] = False
    step = np.full(len(names), SILENT)
    step[here] = np.sqrt(WIDER * np.diag(learnt.covariance)[there])
    for k, _, _ in near:
        step[k] = min(step[k], 0.12)
    step = np.clip(step, 0.05, 0.4)

    def medians(x):
        return {p.name: float(p.from_scale(v)) for p, v in zip(scale, x, strict=True)}

    def away(x):
        d = x[here] - learnt.mean[there]
        kept = sum(((x[k] - at) / sd) ** 2 for k, at, sd in near)
        return d @ precision @ d + (((x - origin) / SILENT)[silent] ** 2).sum() + kept

    def facts(x):
        table = bayesglu.validate(model(medians(x)), draws=0).table.reset_index()
        middle, half = (table.lowest + table.highest) / 2, (table.highest - table.lowest) / 2
        return ((table.model - middle) / half).to_numpy(float), table

    def cost(x, r):
        beyond = (np.maximum(np.abs(r) - 0.93, 0).clip(0, 5) ** 2).sum()
        return 2 * (r.clip(-6, 6) ** 2).sum() + BEYOND * beyond + away(x)

    def linearised_cost(d, x, r, slope):
        return cost(x + d * step, r + slope @ (d * step))

    x = origin.copy()
    r, table = facts(x)
    costs, slope, reach = [float(cost(x, r))], np.zeros((len(r), len(x))), 1.2
    for turn in range(ROUNDS):
        if turn in JACOBIAN_AT:
            for k in range(len(x)):
                moved = x.copy()
                moved[k] += 0.3 * step[k]
                slope[:, k] = (facts(moved)[0] - r) / (0.3 * step[k])
            reach = max(reach, 0.6)
        settings = {"bounds": [(-reach, reach)] * len(x), "options": {"maxfun": 100_000}}
        found = minimize(linearised_cost, np.zeros(len(x)), (x, r, slope), "L-BFGS-B", **settings)
        move = found.x * step
        new, told = facts(x + move)
        slope = slope + np.outer(new - r - slope @ move, move / step**2) / (move @ (move / step**2))
        if cost(x + move, new) < costs[-1]:
            x, r, table, reach = x + move, new, told, min(1.3 * reach, 2.0)
            costs.append(float(cost(x, r)))
            say(f"  round {turn}: cost {costs[-1]:.1f}, {int((np.abs(r) <= 1).sum())} of {len(r)} facts")
        else:
            reach *= 0.4
    missed = {
        table.fact[i]: (float(table.model[i]), float(table.lowest[i]), float(table.highest[i]))
        for i in np.flatnonzero(np.abs(r) > 1)
    }
    return Balanced(medians(x), missed, tuple(costs))
