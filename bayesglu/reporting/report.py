"""`report`: a fit as one page, which needs nothing but a browser."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bayesglu.analysis.answers import check_probability
from bayesglu.analysis.checks import check
from bayesglu.atomic import whole
from bayesglu.errors import InputError, MissingFileError
from bayesglu.reporting.about_model import about_model, about_priors
from bayesglu.reporting.about_people import about_people
from bayesglu.reporting.about_study import about_study
from bayesglu.reporting.anonymous import anonymous
from bayesglu.reporting.answers import check_given
from bayesglu.reporting.answers import comparison as about_comparison
from bayesglu.reporting.answers import what_ifs as about_what_ifs
from bayesglu.reporting.blocks import Part
from bayesglu.reporting.checks import checks
from bayesglu.reporting.findings import covariates, population, verdict
from bayesglu.reporting.provenance import cite, methods, versions
from bayesglu.reporting.subject import Reported
from bayesglu.results import require_fit
from bayesglu.seeds import seed_of
from bayesglu.spec.model import model_of
from bayesglu.units import system_of

PARTS: tuple[Callable[[Reported], Part], ...] = (
    verdict,
    about_study,
    about_model,
    about_priors,
    population,
    covariates,
    about_people,
    checks,
    about_comparison,
    about_what_ifs,
    methods,
    cite,
    versions,
)
"""In the order of the page; every report has each of them."""


def report(
    fit: xr.DataTree,
    path: str | Path = "report.html",
    *,
    comparison: Any = None,
    what_ifs: Mapping[str, Any] | None = None,
    probability: float = 0.9,
    units: str | None = None,
    without_data: bool = False,
    random_seed: int | np.random.Generator | None = None,
) -> Path:
    """Write the report of a fit: one page of HTML that needs no network, and can be printed.

    It has the verdict on the fit, the study and what is peculiar about it, the model, priors with their
    sources, the population, covariates, people, predictive checks, a comparison and what-ifs where they are
    given, a paragraph on methods with tables for LaTeX, how to cite, seeds and versions.

    Parameters
    ----------
    fit : xarray.DataTree
        As `fit`, `fit_person` and `load` return it.
    path : str or Path
        Name of the page, which ends in ``.html``. What is there is replaced.
    comparison : Comparison or pandas.DataFrame, optional
        A comparison of models, as `compare` or ``arviz.compare`` returns it.
    what_ifs : mapping, optional
        What-ifs by the name under which they are shown: what `what_if` returned, with dims ``chain, draw,
        subject, scenario`` and perhaps ``time``, or a table of `predictions`, `comparisons` or `slopes`.
    probability : float
        Probability of the equal-tailed intervals.
    units : str, optional
        Of figures: ``"canonical"``, ``"SI"`` or ``"conventional"``; by default that of `set_units`.
    without_data : bool
        Whether to leave out all that concerns single people: labels are replaced, in an order that is drawn;
        samples, individual posteriors, extremes, what the readers said, and what fewer than five people have
        are left out. What remains are counts, medians and quartiles of covariates, and the posterior of the
        population.
    random_seed : int or numpy.random.Generator, optional
        Seed of that order, and of what predictive checks put at random; drawn where it is not given.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    InputError
        If it is no fit, the name ends otherwise, the probability is not between 0 and 1, `comparison` or
        `what_ifs` cannot be shown, or `without_data` is asked of fewer than five people.
    MissingFileError
        If the folder does not exist.
    SpecError
        If the model has a part that is not registered.
    UnitError
        If there is no such system of units.
    WriteError
        If the file cannot be written; what was there before is as it was.

    Examples
    --------
    >>> import tempfile
    >>> import bayesglu as bg
    >>> fit = bg.fit("minimal", "bergman1986", method="laplace", random_seed=1, progressbar=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = bg.report(fit, f"{folder}/report.html").read_text(encoding="utf-8")
    >>> "Can this fit be trusted?" in page
    True
    """
    path = Path(path)
    _check(fit, path)
    check_given(comparison, what_ifs := what_ifs or {})
    check_probability(probability)
    system_of(units)
    spec = model_of(fit.attrs)
    seed = seed_of(random_seed)
    if without_data:
        fit = anonymous(fit, np.random.default_rng(seed))
    judged = check(fit, warn=False)
    given = {"seed": seed, "comparison": comparison, "what_ifs": what_ifs}
    of = Reported(fit, spec, judged, probability, units, without_data, **given)
    page = _page(of, [make(of) for make in PARTS])
    with whole(path) as new:
        new.write_text(page, encoding="utf-8")
    return path


def _check(fit: Any, path: Path) -> None:
    """Raise an error where no report can be made of this, or none can be written there."""
    if "model_text" not in require_fit(fit).attrs:
        raise InputError("The fit has no text of its model: a report is made of what fit(...) returned.")
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: a report is a page; write it to a name that ends in .html.")
    if not path.absolute().parent.is_dir():
        raise MissingFileError(f"{path}: the folder {path.parent} does not exist.")


def _page(of: Reported, parts: list[Part]) -> str:
    folder = Path(__file__).parent
    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style, script = ((folder / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    about = {
        "study": of.fit.attrs.get("study_name", "study"),
        "model": of.spec.name,
        "version": of.fit.attrs.get("bayesglu_version", ""),
    }
    made = f"{datetime.now(UTC):%Y-%m-%d}"
    return environment.get_template("page.html").render(
        parts=parts,
        style=style,
        script=script,
        made=made,
        clean=of.verdict.clean,
        private=of.private,
        **about,
    )
