"""Whether the equations of a fit's model are still those that it was fitted with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bayesglu.errors import FitWarning, warn_caller
from bayesglu.physiology.loop import assemble
from bayesglu.physiology.registry import registered_sources
from bayesglu.text.wording import some

if TYPE_CHECKING:
    from bayesglu.spec.model import ModelSpec


def warn_of_changes(
    spec: ModelSpec, values: Mapping[str, float], sources: Mapping[str, Mapping], version: str, where: str
) -> None:
    """Warn where a quantity (`Loop.fingerprint`) or the source of a part that is not bayesglu's has changed.
    A quantity that there was not then is no change of those that there were."""
    now, own = assemble(spec.structure).fingerprint(spec.medians), registered_sources(spec.structure)
    other = [name for name, value in values.items() if not _same(value, now.get(name))]
    chosen = dict.fromkeys((*sources, *(n for n in own if n.partition("/")[0] in spec.structure)))
    edited = [n for n in chosen if _sha256(sources.get(n)) != _sha256(own.get(n))]
    what = [f"the equations of {some(other)} have changed"] * bool(other)
    what += [f"the source of {some(edited)} has changed"] * bool(edited)
    if what:
        warn_caller(
            f"{where}: {' and '.join(what)} since this fit was made (bayesglu {version}): what is predicted "
            f"from it {'is not' if other else 'may not be'} what was fitted.",
            FitWarning,
        )


def _same(one: float, other: float | None) -> bool:
    if other is None or math.isnan(one) or math.isnan(other):
        return other is not None and math.isnan(one) and math.isnan(other)
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)


def _sha256(source: Mapping[str, str] | None) -> str | None:
    return None if source is None else source["sha256"]
