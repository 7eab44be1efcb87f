"""When blood is usually drawn."""

import numpy as np

from bayesglu.analysis.simulation import default_times
from bayesglu.protocols.protocol import Protocol

AFTER_A_DRINK = (0, 10, 20, 30, 45, 60, 90, 120, 150, 180, 240)
AFTER_AN_INJECTION = (
    *(0, 2, 4, 6, 8, 10, 12, 14, 16, 19, 22, 25, 30, 40, 50, 60, 70, 80, 100, 120, 140, 160, 180),
    *(210, 240),
)


def usual_times(protocol: Protocol) -> np.ndarray:
    """Minutes at which blood is usually drawn.

    After a drink or a meal, and when an infusion starts or stops, 11 samples in four hours; after an
    injection 25, most of them early; then every hour until the protocol ends. Where nothing is given, or
    glucose is clamped, 13 at equal distances.
    """
    end = default_times(protocol)[-1]
    starts: dict[float, tuple[int, ...]] = {}
    for event in protocol.events:
        if event.kind == "bolus" and event.route != "oral":
            starts[event.time] = AFTER_AN_INJECTION
        elif event.kind != "clamp":
            starts.setdefault(event.time, AFTER_A_DRINK)
        if event.kind == "infusion" and event.time + event.duration < end:
            starts.setdefault(event.time + event.duration, AFTER_A_DRINK)
    if not starts:
        return np.linspace(0.0, end, 13)
    drawn, order = [0.0], sorted(starts)
    end = max(end, order[-1] + AFTER_A_DRINK[-1])
    for start, stop in zip(order, [*order[1:], end], strict=True):
        hourly = np.arange(300.0, stop - start + 1e-9, 60.0)
        drawn += [start + t for t in (*starts[start], *hourly) if start + t <= stop + 1e-9]
    return np.unique(drawn)
