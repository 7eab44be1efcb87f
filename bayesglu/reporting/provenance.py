"""The parts of a report from which a fit can be made again, cited and written up."""

from __future__ import annotations

import json
from importlib.metadata import metadata
from math import inf

from bayesglu import catalog
from bayesglu.analysis.findings import count
from bayesglu.analytes import words
from bayesglu.hierarchy.posterior import acting_in
from bayesglu.reporting.blocks import Copied, Facts, Folded, Part, Table, Text
from bayesglu.reporting.latex import latex_tables
from bayesglu.reporting.subject import Reported
from bayesglu.text.wording import some


def versions(of: Reported) -> Part:
    """Seed, settings, hashes and versions."""
    attrs, settings = of.fit.attrs, of.attribute("settings")
    made = of.fit["posterior"].attrs.get("created_at", "")
    facts = [
        ("Made", made),
        ("Method", str(attrs.get("method", ""))),
        ("Seed", str(attrs.get("random_seed", ""))),
    ]
    facts += [(f"Setting {name}", str(value)) for name, value in settings.items() if value not in ({}, None)]
    if "wall_seconds" in attrs:
        facts.append(("Time", f"{float(attrs['wall_seconds']):.0f} s"))
    facts += [
        (f"Hash of the {what}", str(attrs[f"{what}_hash"]))
        for what in ("model", "study")
        if f"{what}_hash" in attrs
    ]
    rows = list(of.attribute("versions").items())
    parts = of.attribute("parts")
    if parts:
        facts.append(("Parts from elsewhere", some(sorted(map(str, parts)))))
    return Part(
        "versions",
        "Seeds and versions",
        (
            Facts([f for f in facts if f[1]]),
            Table(("package", "version"), rows, caption="With what the fit was made."),
        ),
    )


def cite(of: Reported) -> Part:
    """What to cite: the package, the study, the papers behind the priors."""
    about = of.attribute("study_about")
    entries = [package_cited(of)]
    study = ". ".join(about[name].rstrip(".") for name in ("title", "source", "licence") if name in about)
    entries += [f"{study}."] if study else []
    papers = [catalog.citation(key) for key in of.spec.sources if key in catalog.references()]
    return Part(
        "cite",
        "How to cite",
        (
            Text("Please cite the package, the study, and the papers behind the priors of the model."),
            Copied("citation", "\n\n".join(entries), prose=True),
            Folded(
                f"Papers behind the priors ({len(papers)})",
                (Copied("papers", "\n\n".join(papers), prose=True),),
            ),
        ),
    )


def package_cited(of: Reported) -> str:
    """The package, of the version that made the fit."""
    version = of.fit.attrs.get("bayesglu_version", "unknown")
    return f"The bayesglu developers. bayesglu: {metadata('bayesglu')['Summary']}. Version {version}."


def methods(of: Reported) -> Part:
    """A paragraph to paste, and tables for LaTeX."""
    tables = [
        Folded(f"LaTeX: {name}", (Copied(f"latex-{name}", text),)) for name, text in latex_tables(of).items()
    ]
    caption = "A paragraph to begin from: it knows the fit, and not how the study was designed."
    return Part(
        "methods", "Methods", (Text(caption), Copied("methods-text", methods_text(of), prose=True), *tables)
    )


def methods_text(of: Reported) -> str:
    """What was done, in sentences for a paper."""
    spec, version = of.spec, of.fit.attrs.get("bayesglu_version", "")
    shared = len(spec.at("shared"))
    sentences = [
        _measured(of),
        f"The model '{spec.title}' (bayesglu {version}, {spec.name}, SHA-256 {spec.hash[:12]}) has "
        f"{len(spec.varying)} parameters that differ between people and {shared} that they share.",
        _population(of),
        "Priors of typical values and between-subject SDs were informative and taken from the literature, as "
        "the table of priors lists with its sources.",
        _errors(of),
        "The differential equations were solved with adaptive Runge-Kutta steps (Dormand-Prince 5(4)), "
        f"{_weighted(of)}and their gradient with the adjoint of the steps.",
        _sampled(of),
        f"Numbers are posterior medians with {of.share} equal-tailed credible intervals; contraction is 1 - "
        "posterior SD / prior SD.",
    ]
    return " ".join(each for each in sentences if each)


def _weighted(of: Reported) -> str:
    told = json.loads(of.fit.attrs.get("weights", "{}"))
    if "tolerance" not in told:
        return ""
    k = told["pareto_k"]
    tail = "which were all but equal" if k == -inf else f"k {k:.2f}"
    return (
        f"while sampling with steps that were the same for all draws (tolerance {told['tolerance']:.0e}; "
        f"draws were resampled by Pareto smoothed importance weights, {tail}), "
    )


def _measured(of: Reported) -> str:
    if not of.has_data:
        return f"The study '{of.fit.attrs.get('study_name', '')}' was analysed."
    analytes = [f"{words(str(name))} ({len(own)})" for name, own in of.samples.groupby("analyte", sort=False)]
    who = count(len(of.people), "subject")
    return f"Samples of {', '.join(analytes)} of {who} were analysed together."


def _population(of: Reported) -> str:
    if not of.spec.varying:
        return ""
    text = "Individual parameters were log-normally (fractions: logit-normally) distributed about typical "
    text += "values"
    posterior = of.fit["posterior"].to_dataset()
    acting = {label.rpartition(" by ")[2].partition(":")[0] for label in acting_in(posterior)}
    text += f" that depend on {some([words(name) for name in sorted(acting)])}" if acting else ""
    known = [
        f"{words(other)} with {words(first)} ({prior.mean:g}, SD {prior.sd:g})"
        for (first, other), prior in of.spec.correlation_priors.items()
    ]
    told = [f"an LKJ({of.spec.lkj_eta:g}) prior for correlations"] if of.has_lkj_pairs else []
    if known:
        told.append(f"an informative {'one' if told else 'prior'} for the correlation of {some(known)}")
    return f"{text}, with {' and '.join(told)}." if told else f"{text}."


def _errors(of: Reported) -> str:
    analytes = of.spec.analytes.values()
    heavy = [words(a.name) for a in analytes if a.residual == "student"]
    text = "Residuals of log concentrations were Normal"
    if len(heavy) == len(analytes):
        text = "Residuals of log concentrations followed Student's t"
    elif heavy:
        text += f" (of {some(heavy)}: Student's t)"
    return (
        f"{text}, with an SD for each analyte that was estimated; samples beyond a limit of quantification "
        "were censored."
    )


def _sampled(of: Reported) -> str:
    method, settings, seed = of.fit.attrs.get("method"), of.attribute("settings"), of.fit.attrs["random_seed"]
    if method == "laplace":
        draws = settings.get("draws", of.fit["posterior"].sizes["draw"])
        return (
            f"The posterior was approximated at its mode (Laplace approximation, {draws} draws, seed {seed})."
        )
    if method != "nuts":
        return (
            "The posterior of new subjects was found by importance sampling given the posterior of the "
            f"population of study '{of.fit.attrs.get('population_study', '')}' (seed {seed})."
        )
    sizes, table = of.fit["posterior"].sizes, of.verdict.table
    sampler = f"nutpie {of.attribute('versions').get('nutpie', '')}".strip()
    text = f"The posterior was sampled with the No-U-Turn sampler ({sampler}): "
    text += f"{count(sizes['chain'], 'chain')} of {sizes['draw']} draws"
    text += f" after {settings['tune']} of warm-up" if "tune" in settings else ""
    text += f", target acceptance {settings['target_accept']:g}" if "target_accept" in settings else ""
    text += f", seed {seed}. The largest R-hat was {table['rhat'].max():.3f}, the smallest bulk and tail "
    text += f"effective sample sizes {table['ess_bulk'].min():.0f} and {table['ess_tail'].min():.0f}"
    if "sample_stats" in of.fit.children and "diverging" in of.fit["sample_stats"]:
        text += f"; {int(of.fit['sample_stats']['diverging'].sum())} transitions diverged"
    return f"{text}."
