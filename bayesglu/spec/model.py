"""A model file, read, checked and resolved: which organs take part, and what is known before any data."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bayesglu import catalog
from bayesglu.errors import BayesgluError, RenamedWarning, warn_caller
from bayesglu.renamed import ATTRIBUTES, LEVELS
from bayesglu.spec import files, overview, reader
from bayesglu.spec.changed import warn_of_changes
from bayesglu.spec.priors import (
    Analyte,
    Correlation,
    Effect,
    Frozen,
    Level,
    Parameter,
    Prior,
    PseudoObservation,
    Variation,
)
from bayesglu.spec.written import tables_of
from bayesglu.text.problems import Problems, hint, is_file

__all__ = [
    "Analyte",
    "Effect",
    "Frozen",
    "ModelSpec",
    "Parameter",
    "Prior",
    "PseudoObservation",
    "SpecError",
    "Variation",
    "load_model",
    "model_of",
    "read_model",
]


class SpecError(BayesgluError, ValueError):
    """A model file that cannot be used. The message, and `problems`, list every fault that it has.

    Examples
    --------
    >>> import bayesglu as bg
    >>> try:
    ...     bg.load_model("orla")
    ... except bg.SpecError as error:
    ...     print(str(error).splitlines()[0])
    There is no built-in model 'orla'. Did you mean 'oral'?
    """


@dataclass(frozen=True, repr=False)
class ModelSpec:
    """A model, whole: what the body does and what is known of it before any data.

    Two models with the same `hash` have the same log density and order of parameters. A model is made by
    `load_model` or `with_changes`; its parts are read-only.

    Parameters
    ----------
    name, title, description : str
        How the model is called, and what it is about.
    structure : mapping
        Choice of each slot of the physiology.
    parameters : mapping
        Each parameter by name: its prior, unit, level, effects of covariates and sources.
    analytes : mapping
        Each analyte that is measured, by name: its unit and residual error.
    pseudo_observations : mapping
        Informative priors on derived quantities, by name.
    correlations : tuple of str
        Parameters whose random effects are correlated.
    lkj_eta : float or None
        Shape, eta, of the LKJ prior of that correlation matrix; None where there is none.
    correlation_priors : mapping
        What is known of such correlations with one of these parameters, their first, by pair of parameters.
    typical_correlations : mapping
        Correlations of typical values before any data, on the scales of their priors, by pair of parameters.
    learnt_from : mapping
        Hash of each study whose people taught the priors, by name.
    text : str
        The model file with all that it inherits written out, which is read back to an equal model.
    path : str, optional
        The file that the model was read from.

    Examples
    --------
    >>> import bayesglu as bg
    >>> spec = bg.load_model("minimal")
    >>> spec.parameters["insulin_sensitivity"].typical.median
    8.4e-05
    """

    name: str
    title: str
    description: str
    structure: Mapping[str, str]
    parameters: Mapping[str, Parameter]
    analytes: Mapping[str, Analyte]
    pseudo_observations: Mapping[str, PseudoObservation]
    correlations: tuple[str, ...]
    lkj_eta: float | None
    correlation_priors: Mapping[tuple[str, str], Correlation]
    typical_correlations: Mapping[tuple[str, str], float]
    learnt_from: Mapping[str, str]
    text: str
    path: str | None = field(default=None, compare=False)

    @property
    def hash(self) -> str:
        """SHA-256 of `text`, in hexadecimal.

        Examples
        --------
        >>> import bayesglu as bg
        >>> len(bg.load_model("minimal").hash)
        64
        """
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def estimated(self) -> tuple[str, ...]:
        """Names of the parameters that are estimated from data.

        Examples
        --------
        >>> import bayesglu as bg
        >>> "insulin_sensitivity" in bg.load_model("minimal").estimated
        True
        """
        return tuple(name for name, parameter in self.parameters.items() if parameter.level != "fixed")

    @property
    def varying(self) -> tuple[str, ...]:
        """Names of the parameters that differ between people, or between occasions of one person.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.load_model("minimal").varying[:2]
        ('basal_glucose', 'basal_insulin')
        """
        return self.at("subject", "occasion")

    def at(self, *levels: Level) -> tuple[str, ...]:
        """Names of the parameters at some levels.

        Parameters
        ----------
        *levels : str
            Any of ``fixed``, ``shared``, ``subject``, ``occasion``.

        Returns
        -------
        tuple of str
            The names, in the order of the model file.

        Examples
        --------
        >>> import bayesglu as bg
        >>> "glucose_volume" in bg.load_model("oral").at("shared")
        True
        """
        if old := LEVELS.keys() & levels:
            renamed = " and ".join(f"{name!r} is now {LEVELS[name]!r}" for name in sorted(old))
            warn_caller(f"Levels of parameters: {renamed}.", RenamedWarning)
        wanted = {LEVELS.get(level, level) for level in levels}
        return tuple(name for name, parameter in self.parameters.items() if parameter.level in wanted)

    @property
    def medians(self) -> dict[str, float]:
        """Typical value of every parameter, in its unit.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.load_model("minimal").medians["basal_glucose"]
        90.0
        """
        return {name: parameter.typical.median for name, parameter in self.parameters.items()}

    @property
    def sources(self) -> tuple[str, ...]:
        """Keys of the bibliography that the model names; `citation` writes one out.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.load_model("minimal").sources[:2]
        ('bergman_table', 'dallaman2007')
        """
        named = [
            *self.parameters.values(),
            *self.pseudo_observations.values(),
            *self.correlation_priors.values(),
        ]
        return tuple(sorted({key for entry in named for key in entry.source}))

    def with_changes(
        self,
        structure: Mapping[str, str] | None = None,
        parameters: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        analytes: Mapping[str, Mapping[str, Any]] | None = None,
        correlations: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> ModelSpec:
        """A model that differs from this one as a child's file would from its parent's.

        Parameters and analytes that a new structure has no use for are left out; what it needs must be given.

        Parameters
        ----------
        structure : mapping, optional
            Slot to choice.
        parameters : mapping, optional
            Parameter to the keys that change, as a model file would have them. An empty table removes what is
            inherited under its name.
        analytes : mapping, optional
            Likewise for analytes.
        correlations : mapping, optional
            The keys of ``[correlations]`` that change; an empty table removes the section.
        name : str, optional
            Name of the new model.

        Returns
        -------
        ModelSpec
            The changed model; this one stays as it is.

        Raises
        ------
        SpecError
            If the changed model is not a valid one.

        Examples
        --------
        >>> import bayesglu as bg
        >>> oral = bg.load_model("oral")
        >>> fixed = oral.with_changes(parameters={"first_phase_gain": {"level": "fixed"}})
        >>> fixed.parameters["first_phase_gain"].level
        'fixed'
        >>> same = oral.with_changes(parameters={"insulin_sensitivity": {"effects": {}}})
        >>> dict(same.parameters["insulin_sensitivity"].effects)
        {}
        """
        given = {"structure": structure, "parameters": parameters, "analytes": analytes}
        problems = Problems(f"{self.name} (changed)")
        changed: dict[str, Any] = {key: value for key, value in given.items() if value}
        if correlations is not None:
            changed["correlations"] = correlations
        child = files.with_todays_names(changed, problems)
        parent = files.parse(self.text, problems)
        child["name"] = name or f"{self.name} (changed)"
        return _build(files.overlay(parent, child), child, problems)

    def __hash__(self) -> int:
        return hash(self.text)

    def __getattr__(self, name: str) -> Any:
        if name not in ATTRIBUTES:
            raise AttributeError(f"'ModelSpec' has no attribute {name!r}")
        warn_caller(f"ModelSpec.{name} is now ModelSpec.{ATTRIBUTES[name]}.", RenamedWarning)
        return getattr(self, ATTRIBUTES[name])

    def __repr__(self) -> str:
        return overview.text(self)

    def _repr_html_(self) -> str:
        return overview.html(self)


def load_model(source: str | Path | ModelSpec) -> ModelSpec:
    """The model of a built-in name, of a model file, or of the text of one.

    Sources are looked up in the built-in bibliography, and in a ``references.bib`` beside the file.

    Parameters
    ----------
    source : str, Path or ModelSpec
        A name (``"oral"``), the path of a file that ends in ``.toml``, or a text of several lines as such a
        file has.

    Returns
    -------
    ModelSpec
        The checked model; a `ModelSpec` is returned as it is.

    Raises
    ------
    SpecError
        If there is no such model, or the file has faults; the message lists all of them.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.load_model("minimal").parameters["insulin_sensitivity"].unit
    'L/pmol/min'
    """
    if isinstance(source, ModelSpec):
        return source
    papers = dict(catalog.references())
    if isinstance(source, str) and "\n" in source.strip():
        return read_model(source, papers=papers)
    if not isinstance(source, str | Path):
        raise SpecError(f"{source!r} is no model. Give its name, the path of a model file or its text.")
    path, where = Path(source), str(source)
    if isinstance(source, str) and path.suffix != ".toml" and not is_file(path):
        try:
            path, where = catalog.locate("model", source), f"models/{source}.toml"
        except LookupError as error:
            raise SpecError(f"{error}\n  Or give the path of a model file, ending in '.toml'.") from None
    elif not is_file(path):
        near = hint(path.stem, catalog.list_models())
        raise SpecError(f"{where}: there is no such file.{near}")
    elif (own := path.parent / "references.bib").is_file():
        papers |= catalog.references(own.resolve())
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise SpecError(f"{where}: is not UTF-8 text, and so no model file.") from None
    return read_model(text, where, papers=papers, path=path)


def read_model(
    text: str,
    where: str = "model text",
    *,
    papers: Collection[str] | None = None,
    path: Path | None = None,
    remind: bool = True,
    homes: Mapping[str, str] = Frozen(),
) -> ModelSpec:
    """The model that a TOML text describes.

    Parameters
    ----------
    text
        A model file's text, such as a spec's own `text` kept in a saved fit.
    where
        What errors call the text.
    papers
        Keys that a source may name; any, when not given, so that a saved text can be read wherever it is.
    path
        The file that the text came from: parents given by path are looked for beside it; it names the model.
    remind
        Whether to warn of names that were given up.
    homes
        ``"slot/name"`` -> the module that registered a part, to be named where it is not there.

    Raises
    ------
    SpecError
        Listing everything that is wrong with the text.
    """
    problems = Problems(where)
    own = files.parse(text, problems, remind)
    problems.raise_any(SpecError)
    seen = (str(path.resolve()),) if path else ()
    table = files.resolve(own, problems, path.parent if path else None, seen)
    problems.raise_any(SpecError)
    return _build(table, own, problems, papers, path, homes)


def model_of(kept: Mapping[Any, Any], where: str = "the model in the fit") -> ModelSpec:
    """The model of a fit, from its attributes.

    Warns where the equations have changed since: where a quantity has another value than it had, or the
    source of a part that is not bayesglu's is another.

    Raises
    ------
    SpecError
        A part that was registered then is not now; the message names the module that it came from.
    """
    sources = json.loads(kept.get("parts", "{}"))
    homes = {name: source["module"] for name, source in sources.items()}
    spec = read_model(kept["model_text"], where, remind=False, homes=homes)
    if "equations" not in kept:  # of a version that did not keep them
        return spec
    warn_of_changes(spec, json.loads(kept["equations"]), sources, f"{kept.get('bayesglu_version')}", where)
    return spec


def _build(
    table: dict,
    own: Mapping,
    problems: Problems,
    papers: Collection[str] | None = None,
    path: Path | None = None,
    homes: Mapping[str, str] = Frozen(),
) -> ModelSpec:
    """The nouns of a resolved `table`; what is not in `own` was inherited, and goes where it is of no use."""
    read = reader.read(table, own, problems, papers, homes)
    problems.raise_any(SpecError)
    name = read.pop("name") or (path.stem if path else "model")
    spec = ModelSpec(name=name, text="", path=str(path) if path else None, **read)
    return replace(spec, text=files.write(tables_of(spec)))
