"""What was done to the people of a fit, as a table that is kept with it, and back."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np
import xarray as xr

from bayesglu.protocols.events import Event
from bayesglu.protocols.faults import ProtocolError
from bayesglu.protocols.parse import parse_protocol
from bayesglu.protocols.protocol import Protocol

FIELDS = tuple(each.name for each in fields(Event))
TEXTS = ("kind", "substance", "route", "unit")
ABSENT = tuple(each.name for each in fields(Event) if each.default is None)
"""Fields that not every event has: NaN in the table."""


def keep_protocols(protocols: Mapping[tuple[str, str], Protocol]) -> xr.Dataset:
    """A Dataset of the protocols of occasions (subject, name), a row for each event.

    Dim ``occasion`` ("subject/name"): ``name``, ``until`` and ``since`` (min). Dim ``event``: ``of`` (which
    occasion, counted from 0) and the fields of `Event`.
    """
    rows = [(i, event) for i, protocol in enumerate(protocols.values()) for event in protocol.events]
    table = {"of": ("event", np.array([i for i, _ in rows], int))}
    for name in FIELDS:
        found = [getattr(event, name) for _, event in rows]
        if name in TEXTS:
            table[name] = ("event", np.array(found, object))
        else:
            table[name] = ("event", np.array([np.nan if v is None else v for v in found], float))
    named = np.array([protocol.name for protocol in protocols.values()], object)
    until = np.array([protocol.until for protocol in protocols.values()])
    since = np.array([np.nan if p.since is None else p.since for p in protocols.values()])
    about = {"name": ("occasion", named), "until": ("occasion", until, {"units": "min"})}
    about |= {"since": ("occasion", since, {"units": "min"})}
    return xr.Dataset(about | table, coords={"occasion": ["/".join(pair) for pair in protocols]})


def kept_protocols(kept: xr.Dataset) -> dict[str, Protocol]:
    """The protocol of each occasion ("subject/name") from the table that `keep_protocols` made."""
    events: list[list[Event]] = [[] for _ in range(kept.sizes["occasion"])]
    columns = {name: kept[name].values for name in FIELDS}
    for row, occasion in enumerate(kept.of.values):
        values: dict[str, Any] = {n: str(c[row]) if n in TEXTS else float(c[row]) for n, c in columns.items()}
        values |= {n: None for n in ABSENT if np.isnan(values[n])}
        events[int(occasion)].append(Event(**values))
    names, until = map(str, kept.name.values), kept.until.values.tolist()
    each = [Protocol(tuple(own), name, end) for own, name, end in zip(events, names, until, strict=True)]
    if "since" in kept:
        since = [None if np.isnan(begin) else begin for begin in kept.since.values.tolist()]
    else:
        since = [_since(protocol) for protocol in each]
    pairs = zip(kept.occasion.values, each, since, strict=True)
    return {str(label): replace(protocol, since=begin) for label, protocol, begin in pairs}


def _since(protocol: Protocol) -> float | None:
    """When a protocol of a fit that does not say so begins: as its name has it, where that can be read."""
    try:
        named = parse_protocol(protocol.name)
    except ProtocolError:
        return None if protocol.events else 0.0
    return named.since if named.events == protocol.events else None
