"""What was measured: tidy tables in, checked and in canonical units, as xarray out.

>>> study = load_study("bergman1986")
>>> study.subjects, study.analytes
(('1',), ('glucose', 'insulin'))
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from bayesglu.errors import InputError, warn_caller
from bayesglu.study.assembly import StudyWarning, assemble
from bayesglu.study.cells import short
from bayesglu.study.contents import Study
from bayesglu.study.datasheet import Datasheet, check_files, read_datasheet
from bayesglu.study.readers.answers import Answers
from bayesglu.study.readers.forms import is_plain, read_forms
from bayesglu.study.tables import StudyError, Table, frame_of
from bayesglu.study.writer import FILES, is_half_written
from bayesglu.text.problems import Problems, hint
from bayesglu.text.wording import some

__all__ = ["Study", "StudyError", "StudyWarning", "load_study"]


def load_study(
    source: str | Path | Study | pd.DataFrame | Mapping[str, Sequence] | Sequence[str | Path | pd.DataFrame],
    protocol: Any = None,
    body_weight: float | Mapping[str, float] | None = None,
    *,
    format: str | None = None,
    **answers: Any,
) -> Study:
    """Read a study: a built-in one, a folder, or a table in one of the forms in which people have tables.

    ``observations.csv`` has one row per sample: ``subject, time, analyte, value, unit`` and, if wanted,
    ``occasion``, ``censoring`` (none, left, right), ``use`` (true, false). Times are in min, or in the unit
    that the column's name ends in (``time_h``); windows count from the dose (`Protocol.onset`). A value
    ``<2.0`` is left-censored, ``>300`` right-censored; an empty one is missing. A folder may also hold
    ``subjects.csv`` (covariates; ``weight_kg`` is the covariate ``weight`` in kg), ``events.csv`` (one row
    per dose), ``truth.csv`` and ``datasheet.toml``.

    A file, or a data frame, may also be half-wide (a column per analyte), wide (a column per time), an event
    table of NONMEM or rxode2, or an export of Dexcom Clarity, LibreView, CareLink or Nightscout; CSV of any
    encoding and separator, or a workbook. What was taken for what stands in the study's
    ``datasheet["format"]`` and ``datasheet["note"]``. What a table does not say, such as a unit, is asked for
    by an error that names the keyword of the answer.

    Parameters
    ----------
    source : str, Path, Study, pandas.DataFrame, mapping or sequence of paths and data frames
        Name of a built-in study, or a path; several where the tables of one study are in several files. A
        data frame, also of polars, and a mapping of columns are read as files are. A `Study` is returned as
        it is.
    protocol : Protocol, str or mapping, optional
        What was done: a `Protocol` or its text for everyone, or a mapping by subject or (subject, occasion).
        It replaces the study's own.
    body_weight : float or mapping, optional
        Body weight in kg, for everyone or by subject. It replaces the datasheet's, which replaces that of the
        covariate ``weight`` or ``body_weight``. Needed where a dose is absolute.
    format : str, optional
        The form of a table, where it should not be looked for: ``long``, ``half-wide``, ``wide``, ``nonmem``,
        ``clarity``, ``libreview``, ``carelink`` or ``nightscout``.
    **answers
        What a table does not say. ``units``: unit by analyte, or of ``time``; ``analytes``: analyte by the
        name or number that the table has; ``columns``: name in the file by our name; ``doses``: what the
        doses are (``"oral glucose g"``), for all or by compartment; ``start``: when each test's dose was
        (``"08:00"``, or ``"first"``: at the first sample), for all or by subject; ``between``: two dates with
        times, outside which an export is left out; ``dates``: ``"dmy"`` or ``"mdy"``; ``time_zone``: such as
        ``"Europe/Berlin"``; ``decimal`` and ``thousands``: signs in numbers.

    Returns
    -------
    Study
        The checked study, in canonical units.

    Raises
    ------
    StudyError
        If there is no such study, with what a table leaves to be asked, or with every fault of every file at
        once.
    InputError
        If a `Study` is given with a protocol or body weight, which it has already; if a format or an answer
        is none.

    Warns
    -----
    StudyWarning
        Of columns that are not read, of what was found in a table and is not used, and of what can be right
        and probably is not: doses, times, units, weights and labels that look like a slip. The datasheet's
        ``checked`` says that they are right.

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.load_study("bergman1986").used.sizes["obs"]
    45
    """
    if isinstance(source, Study):
        if protocol is not None or body_weight is not None:
            raise InputError("A Study has its protocols and body weights already: give them when it is made.")
        return source
    if isinstance(source, pd.DataFrame | Mapping) or hasattr(source, "to_dict"):
        try:
            frame = frame_of(source)
        except (AttributeError, TypeError, ValueError) as error:
            raise StudyError(
                f"table: is no table: {short(str(error))}. Give a data frame, or a mapping of columns."
            ) from error
        return _in_a_form([frame], "table", protocol, body_weight, format, answers)
    if not isinstance(source, str | Path):
        several = list(source) if isinstance(source, Iterable) else [source]
        for each in several:
            if not isinstance(each, str | Path | pd.DataFrame):
                raise InputError(f"{short(repr(each))} is no study. Give a name, a path, a table or several.")
        if not several:
            raise InputError("No table is given.")
        sources = [each if isinstance(each, pd.DataFrame) else _find(each) for each in several]
        name = next((each.stem for each in sources if isinstance(each, Path)), "table")
        return _in_a_form(sources, name, protocol, body_weight, format, answers)
    path = _find(source)
    if path.is_dir():
        if format or answers:
            raise InputError(
                f"{source} is a folder, whose datasheet says how it is read. Name a table in it."
            )
        return Study(**_folder(path, protocol, body_weight, Problems(str(source))))
    name = path.resolve().parent.name if path.stem == "observations" else path.stem
    if format or answers or not is_plain(path):
        return _in_a_form([path], name, protocol, body_weight, format, answers)
    tables = {"observations": Table.read(path)}
    beside = path.parent / "subjects.csv"
    advice = f" Load the folder to read {beside.name}, which lies beside." if beside.is_file() else ""
    return Study(**assemble(name, tables, Datasheet(), protocol, body_weight, Problems(str(source)), advice))


def _in_a_form(
    sources: Sequence[Path | pd.DataFrame],
    name: str,
    protocol: Any,
    body_weight: Any,
    format: str | None,
    answers: Mapping[str, Any],
) -> Study:
    """A study of tables in any of the forms in which people have them."""
    reading = read_forms(sources, format, Answers.of(answers), protocol is not None)
    for sentence in reading.unused:
        warn_caller(sentence, StudyWarning)
    files = ", ".join(source.name for source in sources if isinstance(source, Path)) or name
    sheet, problems = reading.sheet(files), Problems(files)
    found = assemble(name, reading.tables(), sheet, protocol, body_weight, problems)
    return Study(**found | {"notes": (*reading.unused, *found["notes"])})


def _folder(path: Path, protocol: Any, body_weight: Any, problems: Problems) -> dict[str, Any]:
    sheet_problems = Problems("datasheet.toml")
    sheet = read_datasheet(path / "datasheet.toml", sheet_problems)
    check_files(path, sheet.checksums, sheet_problems)
    problems.found += sheet_problems.found
    if is_half_written(path):
        problems.add(
            "was not written to its end. Make the call that wrote it again, with the same folder: that "
            "replaces what is there."
        )
    found = [name for name in FILES if (path / name).is_file()]
    if "observations.csv" not in found:
        lying = some(sorted(other.name for other in path.iterdir())) or "nothing"
        problems.add(
            f"has no file 'observations.csv'. Found: {lying}. `bayesglu import` reads tables of other forms."
        )
    for other in sorted(path.glob("*.csv")):
        if other.name not in FILES and (meant := hint(other.name, set(FILES) - set(found))):
            problems.add(f"the file {other.name!r} is not read.{meant}")
    tables = {name.removesuffix(".csv"): Table.read(path / name) for name in found}
    return assemble(path.resolve().name, tables, sheet, protocol, body_weight, problems)


def _find(source: str | Path) -> Path:
    """A bare name is that of a built-in study, wherever we are; anything else is a path."""
    from bayesglu import catalog

    path = Path(source)
    if isinstance(source, str) and source in catalog.names("study"):
        return Path(catalog.locate("study", source))
    try:
        path = path.expanduser()
        if path.exists():
            return path
    except (OSError, ValueError, RuntimeError):  # nothing can be called so
        pass
    built_in = catalog.names("study")
    raise StudyError(
        f"There is no file or folder {str(source)!r}, and no built-in study of this name."
        f"{hint(source, built_in)} Built-in: {', '.join(built_in)}."
    )
