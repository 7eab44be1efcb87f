"""What was done to the people of a fit, as a table that is kept with it, and back."""

from collections.abc import Mapping
from dataclasses import fields

import numpy as np
import xarray as xr

from bayesglu.protocols.events import Event, Protocol

FIELDS = tuple(each.name for each in fields(Event))
TEXTS = ("kind", "substance", "route", "unit")
ABSENT = tuple(each.name for each in fields(Event) if each.default is None)
"""Fields that not every event has: not-a-number in the table."""


def keep_protocols(protocols: Mapping[tuple[str, str], Protocol]) -> xr.Dataset:
    """A Dataset of the protocols of tests (subject, occasion), a row for each event.

    Dim ``test`` ("subject/occasion"): ``name``, ``until`` (min). Dim ``event``: ``of`` (which test, counted
    from 0) and the fields of `Event`.
    """
    rows = [(i, event) for i, protocol in enumerate(protocols.values()) for event in protocol.events]
    table = {"of": ("event", np.array([i for i, _ in rows], int))}
    for name in FIELDS:
        found = [getattr(event, name) for _, event in rows]
        if name in TEXTS:
            table[name] = ("event", np.array(found, object))
        else:
            table[name] = ("event", np.array([np.nan if v is None else v for v in found], float))
    tests = ["/".join(test) for test in protocols]
    named = np.array([protocol.name for protocol in protocols.values()], object)
    until = np.array([protocol.until for protocol in protocols.values()])
    return xr.Dataset(
        {"name": ("test", named), "until": ("test", until, {"units": "min"}), **table}, coords={"test": tests}
    )


def kept_protocols(kept: xr.Dataset) -> dict[str, Protocol]:
    """The protocol of each test ("subject/occasion") from the table that `keep_protocols` made."""
    events: list[list[Event]] = [[] for _ in range(kept.sizes["test"])]
    columns = {name: kept[name].values for name in FIELDS}
    for row, test in enumerate(kept.of.values):
        values = {n: str(c[row]) if n in TEXTS else float(c[row]) for n, c in columns.items()}
        values |= {n: None for n in ABSENT if np.isnan(values[n])}
        events[int(test)].append(Event(**values))
    each = zip(kept.test.values, events, kept.name.values, kept.until.values, strict=True)
    return {str(test): Protocol(tuple(own), str(name), float(until)) for test, own, name, until in each}
