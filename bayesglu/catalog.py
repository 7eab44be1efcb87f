"""Built-in models and studies by name, and the papers behind them.

The folders `models/` and `data/` lie beside the package in a checkout and inside it in a wheel: one locator
knows both. A model is a file ``models/<name>.toml``, a study a folder ``data/<name>/`` with a
``datasheet.toml``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bayesglu.errors import UnknownNameError
from bayesglu.text.bibtex import parse_bibtex, sentence
from bayesglu.text.problems import hint

_PACKAGE = Path(__file__).resolve().parent
_FOLDERS = {"model": "models", "study": "data", "facts": "data/facts"}


def folder(kind: str) -> Path:
    """The folder that holds every built-in ``"model"`` or ``"study"``, or the ``"facts"``."""
    inside = _PACKAGE / _FOLDERS[kind]
    beside = _PACKAGE.parent / _FOLDERS[kind]
    if inside.is_dir():
        return inside
    # Beside an installed package lie other people's packages: only a project root counts.
    if beside.is_dir() and (_PACKAGE.parent / "pyproject.toml").is_file():
        return beside
    raise FileNotFoundError(
        f"The folder {_FOLDERS[kind]!r} of bayesglu is neither inside the package nor beside it. "
        "Install bayesglu again, or run it from a complete checkout."
    )


def names(kind: str) -> tuple[str, ...]:
    """Names of all built-in things of a kind (``"model"`` or ``"study"``), in alphabetical order."""
    if kind == "model":
        return tuple(sorted(path.stem for path in folder(kind).glob("*.toml")))
    return tuple(sorted(path.parent.name for path in folder(kind).glob("*/datasheet.toml")))


def locate(kind: str, name: str) -> Path:
    """Path of a built-in model file or study folder.

    Raises
    ------
    LookupError
        No such name; the message lists those there are and the nearest.
    """
    known = names(kind)
    if name not in known:
        raise UnknownNameError(
            f"There is no built-in {kind} {name!r}.{hint(name, known)}\n  Built-in: {', '.join(known)}."
        )
    return folder(kind) / (f"{name}.toml" if kind == "model" else name)


def list_models() -> tuple[str, ...]:
    """Names of the built-in models, for `load_model`.

    Returns
    -------
    tuple of str
        The names, in alphabetical order.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.list_models()
    ('fasting', 'feedback', 'ivgtt', 'minimal', 'oral', 'oral_cpeptide')
    """
    return names("model")


def list_studies() -> tuple[str, ...]:
    """Names of the built-in studies, for `load_study`.

    Returns
    -------
    tuple of str
        The names, in alphabetical order.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.list_studies()[0]
    'bergman1986'
    """
    return names("study")


def citation(name: str) -> str:
    """What to cite for a built-in model or study, or for one key of the bibliography.

    Parameters
    ----------
    name : str
        Name of a model or study, or a key of ``models/references.bib``.

    Returns
    -------
    str
        For a model one paragraph for each paper behind its priors; for a study its title, source and licence.

    Raises
    ------
    UnknownNameError
        If the name is none of a model, a study or a key.

    Examples
    --------
    >>> import bayesglu as bg
    >>> print(bg.citation("pacini1986"))
    Pacini G, Bergman RN (1986). Comput Methods Programs Biomed 23:113-122.
    """
    papers = references()
    if name in papers:
        return sentence(papers[name])
    if name in list_models():
        return "\n\n".join(sentence(papers[key]) for key in sorted(_sources(name)) if key in papers)
    if name in list_studies():
        sheet = tomllib.loads((locate("study", name) / "datasheet.toml").read_text(encoding="utf-8"))
        cited = [str(sheet[key]).strip() for key in ("title", "source", "licence") if key in sheet]
        return ". ".join(part.rstrip(".") for part in cited) + "."
    known = [*list_models(), *list_studies(), *papers]
    raise UnknownNameError(
        f"{name!r} is no built-in model or study and no key of the bibliography.{hint(name, known)}\n"
        f"  Models: {', '.join(list_models())}. Studies: {', '.join(list_studies())}. "
        f"Keys: {', '.join(sorted(papers))}."
    )


def _sources(model: str) -> set[str]:
    """Every key that a built-in model names, its parents included."""
    table = tomllib.loads(locate("model", model).read_text(encoding="utf-8"))
    known = table.get("parameters", {}), table.get("pseudo_observations", {})
    known += (table.get("correlations", {}).get("priors", {}),)
    entries = [entry for each in known for entry in each.values()]
    inherited = _sources(table["extends"]) if "extends" in table else set()
    return inherited.union(*(entry.get("source", ()) for entry in entries))


@cache
def references(path: Path | None = None) -> Mapping[str, Mapping[str, str]]:
    """Entries of a BibTeX file by key; the built-in `models/references.bib` unless a path is given."""
    return parse_bibtex((path or folder("model") / "references.bib").read_text(encoding="utf-8"))
