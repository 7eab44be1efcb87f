"""The parts of a report on the model, and on what was known before any data, with sources."""

from __future__ import annotations

from collections.abc import Iterator

from scipy.stats import beta

from bayesglu import catalog
from bayesglu.analytes import words
from bayesglu.plots.style import pretty_unit
from bayesglu.reporting.blocks import (
    Copied,
    Facts,
    Folded,
    Heading,
    Items,
    Links,
    Part,
    Sentences,
    Symbol,
    Table,
    Text,
    interval,
    present,
    shown,
)
from bayesglu.reporting.subject import Reported
from bayesglu.spec.priors import Correlation, Parameter
from bayesglu.text.bibtex import sentence


def about_model(of: Reported) -> Part:
    """What the model is: its organs, what it is compared with, and its file."""
    spec = of.spec
    slots = [(words(slot), words(choice)) for slot, choice in spec.structure.items()]
    rows = []
    for a in spec.analytes.values():
        law = f"Student, {a.nu:g} degrees of freedom" if a.residual == "student" else "Normal"
        about = [f"additive component {a.error_offset:g}"] if a.error_offset else []
        about += [f"{name} {limit:g}" for name, limit in (("LLOQ", a.lloq), ("ULOQ", a.uloq)) if limit]
        about += [f"background {words(a.background)}"] if a.background else []
        about += ["forcing function"] if a.forcing else []
        about += [f"from {a.samples_from:g} min on"] if a.samples_from else []
        rows.append((words(a.name), pretty_unit(a.unit), law, ", ".join(about)))
    return Part(
        "model",
        "Model",
        (
            Text(f"{spec.title}. {spec.description}"),
            Facts([("Name", spec.name), ("Hash of its text", spec.hash)]),
            Table(("organ or process", "choice"), slots, caption="What the loop is made of."),
            Table(("analyte", "unit", "log residuals", ""), rows, caption="What is measured."),
            Folded("The model file, with all that it inherits", (Copied("model-file", spec.text),)),
        ),
    )


def about_priors(of: Reported) -> Part:
    """Every prior with its source, and the references."""
    spec = of.spec
    estimated = [_row(p) for p in spec.parameters.values() if p.level != "fixed"]
    fixed = [_row(p) for p in spec.parameters.values() if p.level == "fixed"]
    columns = ("parameter", "", "unit", "level", "typical value (95 %)", "between-subject CV")
    columns += ("between-occasion CV", "known how", "source")
    cited = [(f"ref-{key}", sentence) for key, sentence in _references(spec.sources)]
    return Part(
        "priors",
        "Priors",
        present(
            [
                Text(
                    "Typical values are log-normal about their median, those of fractions logit-normal; "
                    "between-subject and between-occasion variability is a coefficient of variation with the "
                    "95 % interval of its prior. They were measured, derived from what was measured, "
                    "estimated from other studies, or are a judgement."
                ),
                Table(columns, estimated, caption="Parameters that are estimated."),
                Folded(f"Fixed parameters ({len(fixed)})", (Table(columns, fixed),)) if fixed else None,
                _effects(of),
                _correlations(of),
                _errors(of),
                _derived(of),
                _notes(of),
                Heading("References"),
                Items(cited),
            ]
        ),
    )


def _row(p: Parameter) -> tuple:
    typical = shown(float(p.typical.median))
    if p.typical.gsd:
        typical += f" ({interval(*p.interval())})"
    between = [
        f"{shown(100 * v.cv)} % ({interval(100 * v.cv / v.gsd**1.96, 100 * v.cv * v.gsd**1.96)})" if v else ""
        for v in (p.between_subject, p.between_occasion)
    ]
    return (
        *(words(p.name), Symbol(p.symbol), pretty_unit(p.unit), p.level, typical, *between),
        p.kind,
        Links(p.source),
    )


def _effects(of: Reported) -> Table | None:
    rows = [
        (words(p.name), key.replace(":", " "), effect.form, shown(float(effect.median)), f"{effect.gsd:.3g}")
        for p in of.spec.parameters.values()
        for key, effect in p.effects.items()
    ]
    columns = ("parameter", "covariate", "form", "factor", "its geometric SD")
    caption = "Effects of covariates, where a study has them."
    return Table(columns, rows, frozenset({3, 4}), caption) if rows else None


def _correlations(of: Reported) -> Table | None:
    """Of people's deviations, where one is known or the LKJ prior says all, and of typical values."""
    spec = of.spec
    rows = [
        (f"{words(other)}, {words(first)}", "between subjects", *_ends(known), Links(known.source))
        for (first, other), known in spec.correlation_priors.items()
    ]
    if of.has_lkj_pairs:
        whose = ("others of " if rows else "") + ", ".join(map(words, spec.correlations))
        rows.append((whose, "between subjects", f"LKJ({spec.lkj_eta:g})", "", Links(())))
    rows += [
        (f"{words(one)}, {words(other)}", "typical values", f"{value:g}", "", Links(()))
        for (one, other), value in spec.typical_correlations.items()
    ]
    columns = ("parameters", "of", "correlation", "95 %", "source")
    return Table(columns, rows, caption="Correlations, on the scales of the priors.") if rows else None


def _ends(known: Correlation) -> tuple[str, str]:
    """The mean of the prior of a correlation, and its 95 % interval."""
    lower, upper = 2 * beta.ppf([0.025, 0.975], *known.shapes) - 1
    return f"{known.mean:g}", interval(lower, upper)


def _errors(of: Reported) -> Table:
    rows = []
    for a in of.spec.analytes.values():
        spread = a.sigma.gsd or 1.0
        ends = interval(a.sigma.median / spread**1.96, a.sigma.median * spread**1.96)
        rows.append(
            (words(a.name), f"{a.sigma.median:.3g} ({ends})" if a.sigma.gsd else f"{a.sigma.median:g}")
        )
    return Table(("analyte", "SD of log residuals (95 %)"), rows, caption="Errors of the assays.")


def _derived(of: Reported) -> Table | None:
    rows = [
        (words(s.output), shown(float(s.median)), f"{100 * s.cv:.3g} %", Links(s.source))
        for s in of.spec.pseudo_observations.values()
    ]
    caption = "Informative priors on derived quantities (pseudo-observations)."
    return Table(("quantity", "median", "CV", "source"), rows, caption=caption) if rows else None


def _notes(of: Reported) -> Folded | None:
    noted = [f"{words(p.name)}: {p.note}" for p in of.spec.parameters.values() if p.note]
    if not noted:
        return None
    return Folded(f"Why these values ({len(noted)})", (Sentences([(note, True) for note in noted]),))


def _references(keys) -> Iterator[tuple[str, str]]:
    """Each key with its paper, as the built-in bibliography has it."""
    papers = catalog.references()
    for key in keys:
        yield key, f"{sentence(papers[key])} [{key}]" if key in papers else f"{key} (of the model's own file)"
