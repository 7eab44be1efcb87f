"""A model at a glance, as text and as HTML: its parameters as a table, and what the table does not say."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayesglu.spec.model import ModelSpec

_HEADINGS = (
    "symbol",
    "parameter",
    "level",
    "typical (95 % prior)",
    "between-subject CV",
    "between-occasion CV",
    "unit",
    "kind",
    "source",
)


def text(spec: ModelSpec) -> str:
    """The table in columns of equal width, below the summary."""
    rows = [_HEADINGS, *_rows(spec)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADINGS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join([f"{spec.name}: {spec.title}", *_summary(spec), "", *lines])


def html(spec: ModelSpec) -> str:
    """The same for a notebook."""
    head = "".join(f"<th>{escape(word)}</th>" for word in _HEADINGS)
    body = "".join("<tr>" + "".join(f"<td>{escape(c)}</td>" for c in row) + "</tr>" for row in _rows(spec))
    summary = "<br>".join(escape(line) for line in _summary(spec))
    return (
        f"<h3>{escape(spec.name)}: {escape(spec.title)}</h3><p>{summary}</p>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _rows(spec: ModelSpec) -> Iterator[tuple[str, ...]]:
    """One row per parameter, those that are estimated first."""
    order = ("subject", "occasion", "shared", "fixed")
    for p in sorted(spec.parameters.values(), key=lambda parameter: order.index(parameter.level)):
        typical = f"{p.typical.median:.4g}"
        if p.typical.gsd:
            typical += " ({:.3g} to {:.3g})".format(*p.interval())
        between = [f"{v.cv * 100:.0f} %" if v else "" for v in (p.between_subject, p.between_occasion)]
        yield (p.symbol, p.name, p.level, typical, *between, p.unit, p.kind, ", ".join(p.source))


def _summary(spec: ModelSpec) -> list[str]:
    """What the table of parameters does not say."""
    lines = ["structure: " + ", ".join(f"{slot} {choice}" for slot, choice in spec.structure.items())]
    for a in spec.analytes.values():
        assert a.sigma.gsd is not None  # none but a fixed parameter is without
        low, high = a.sigma.median / a.sigma.gsd**2, a.sigma.median * a.sigma.gsd**2
        line = f"measured: {a.name} in {a.unit}, SD of log residuals about {a.sigma.median:g}"
        line += f" ({low:.2g} to {high:.2g})"
        line += "; the forcing function" if a.forcing else ""
        lines.append(line + (f", background {a.background}" if a.background else ""))
    lines += [
        f"prior on a derived quantity: {s.output} about {s.median:g}, CV {s.cv:g}"
        for s in spec.pseudo_observations.values()
    ]
    if spec.correlations:
        lines.append(f"correlated (LKJ prior, lkj_eta {spec.lkj_eta:g}): " + ", ".join(spec.correlations))
    lines += [
        f"correlation of {other} with {first}: about {known.mean:g}, SD {known.sd:g}"
        for (first, other), known in spec.correlation_priors.items()
    ]
    if spec.typical_correlations:
        named = {name for pair in spec.typical_correlations for name in pair}
        lines.append(
            f"typical values with a joint prior: {', '.join(n for n in spec.parameters if n in named)}"
        )
    if spec.learnt_from:
        lines.append(f"priors learnt from: {', '.join(spec.learnt_from)}")
    effects = [f"{p.name} by {key}" for p in spec.parameters.values() for key in p.effects]
    if effects:
        lines.append("covariates, where a study has them: " + ", ".join(effects))
    counts = {level: len(spec.at(level)) for level in ("subject", "occasion", "shared", "fixed")}
    lines.append("parameters: " + ", ".join(f"{n} {level}" for level, n in counts.items() if n))
    return [*lines, f"hash: {spec.hash[:16]}"]
