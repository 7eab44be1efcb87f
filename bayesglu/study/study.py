"""What was measured: tidy tables in, checked and in canonical units, as xarray out.

>>> study = load_study("bergman1986")
>>> study.subjects, study.analytes
(('1',), ('glucose', 'insulin'))
"""

from __future__ import annotations

import hashlib
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analytes import analytes
from bayesglu.errors import InputError, warn_caller
from bayesglu.protocols.events import Delivery, Protocol
from bayesglu.study.assembly import StudyWarning, assemble
from bayesglu.study.datasheet import Datasheet, check_files, parse_datasheet, read_datasheet
from bayesglu.study.readers.answers import Answers
from bayesglu.study.readers.forms import is_plain, read_forms
from bayesglu.study.tables import StudyError, Table
from bayesglu.study.writer import FILES, write_study
from bayesglu.text.problems import Problems, hint
from bayesglu.text.wording import some
from bayesglu.units import canonical_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Study", "StudyError", "StudyWarning", "load_study"]


@dataclass(frozen=True, eq=False, repr=False)
class Study:
    """Samples, people and protocols of one study; two studies are equal when their contents are.

    A study is made by `load_study` or `Study.from_table`, which check what they are given.

    Parameters
    ----------
    name : str
        How the study is called.
    observations : xarray.Dataset
        Samples, dim ``obs``, in the order of the table: ``subject``, ``occasion``, ``analyte`` (text),
        ``time`` (min, of the protocol's clock), ``value`` (canonical unit of its analyte, NaN where missing),
        ``censoring`` (none, left, right: the value is then the limit), ``use`` (False: kept, but left out of
        a fit), ``line`` (in the table).
    covariates : xarray.Dataset
        Covariates, dim ``subject``: numbers with their unit in ``attrs``, or text. Of who was seen on several
        occasions, those of the first.
    protocols : mapping
        (subject, occasion) to `Protocol`.
    body_weight : xarray.DataArray
        Body weight, dim ``subject``, kg; NaN where unknown.
    truth : xarray.Dataset, optional
        True parameters of simulated people, dim ``subject``.
    datasheet : mapping
        Title, source, licence and the like.
    unread : tuple of str
        Columns of the tables that were not read.
    occasion_covariates : xarray.Dataset, optional
        Covariates that differ between the occasions of anyone, dim ``occasion`` (``subject/name``).

    Examples
    --------
    >>> import bayesglu as bg
    >>> bg.load_study("bergman1986")
    Study 'bergman1986': 1 subject, 48 samples
      subjects    1
      glucose     24 samples, 0 to 182 min, mg/dL, 3 left out
      insulin     24 samples, 0 to 182 min, pmol/L
      protocol    ivgtt(0.3)
      body weight unknown
    """

    name: str
    observations: xr.Dataset
    covariates: xr.Dataset
    protocols: Mapping[tuple[str, str], Protocol]
    body_weight: xr.DataArray
    truth: xr.Dataset | None = None
    datasheet: Mapping[str, Any] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    occasion_covariates: xr.Dataset | None = None

    @classmethod
    def from_table(
        cls,
        observations: Any,
        *,
        protocol: Any = None,
        body_weight: float | Mapping[str, float] | None = None,
        name: str = "table",
        subjects: Any = None,
        events: Any = None,
        truth: Any = None,
        datasheet: Mapping[str, Any] | None = None,
    ) -> Study:
        """Make a study of tables in memory, with the columns and the checks of the files of `load_study`.

        Parameters
        ----------
        observations : pandas.DataFrame, polars.DataFrame or mapping
            One row a sample: ``subject, time, analyte, value, unit``, and what else `load_study` names. Like
            the other tables a data frame, or a mapping of columns; spans of time are minutes.
        protocol : Protocol, str or mapping, optional
            What was done, as in `load_study`.
        body_weight : float or mapping, optional
            Body weight in kg, for everyone or by subject.
        name : str
            How the study is called.
        subjects : pandas.DataFrame, polars.DataFrame or mapping, optional
            Covariates, one row a person; or with a column ``occasion``, one for each of their occasions.
        events : pandas.DataFrame, polars.DataFrame or mapping, optional
            Doses, one row each.
        truth : pandas.DataFrame, polars.DataFrame or mapping, optional
            True parameters of simulated people.
        datasheet : mapping, optional
            What ``datasheet.toml`` would say.

        Returns
        -------
        Study
            The checked study, in canonical units.

        Raises
        ------
        StudyError
            With every fault at once, by row (the first is 1).

        Warns
        -----
        StudyWarning
            Of columns that are not read, and of what can be right and probably is not.

        Examples
        --------
        >>> import bayesglu as bg
        >>> import pandas as pd
        >>> table = pd.DataFrame({"subject": "A", "time": [0, 30], "analyte": "glucose", "value": [5.0, 8.1]})
        >>> study = bg.Study.from_table(table.assign(unit="mmol/L"), protocol="ogtt(75)", body_weight=70)
        >>> study.observations["value"].values.round(1).tolist()
        [90.1, 145.9]
        """
        problems = Problems(name)
        frames = {"observations": observations, "subjects": subjects, "events": events, "truth": truth}
        tables = {key: Table.of(frame, key) for key, frame in frames.items() if frame is not None}
        sheet = parse_datasheet(datasheet or {}, problems)
        return cls(**assemble(name, tables, sheet, protocol, body_weight, problems))

    @property
    def subjects(self) -> tuple[str, ...]:
        """Labels of the people, in natural order.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.load_study("synthetic_ogtt").subjects[:3]
        ('P01', 'P02', 'P03')
        """
        return tuple(map(str, self.covariates["subject"].values))

    @property
    def occasions(self) -> tuple[tuple[str, str], ...]:
        """The occasions as (subject, name), by subject and then in order of appearance.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.load_study("bergman1986").occasions
        (('1', '1'),)
        """
        return tuple(self.protocols)

    @property
    def analytes(self) -> tuple[str, ...]:
        """What was measured.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.load_study("bergman1986").analytes
        ('glucose', 'insulin')
        """
        found = set(self.observations["analyte"].values)
        return tuple(analyte for analyte in analytes() if analyte in found)

    @property
    def used(self) -> xr.Dataset:
        """The observations that a fit sees, neither missing nor left out; labels of ``obs`` are kept.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.load_study("bergman1986").used.sizes["obs"]
        45
        """
        seen = self.observations["use"] & self.observations["value"].notnull()
        return self.observations.isel(obs=seen.values)

    @property
    def missing(self) -> dict[str, int]:
        """How many values are empty, by analyte, and by covariate that has any.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.load_study("bergman1986").missing
        {'glucose': 0, 'insulin': 0}
        """
        counts = self.summary()["missing"].to_dict()
        for name, values in self.covariates.items():
            empty = int((values == "").sum() if values.dtype.kind == "U" else values.isnull().sum())
            counts |= {str(name): empty} if empty else {}
        return counts

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical content: samples in their order, covariates, body weights, events.

        Numbers count to nine digits, so the unit system of the files does not matter. Name, datasheet, line
        numbers and true parameters do not count.

        Examples
        --------
        >>> import bayesglu as bg
        >>> len(bg.load_study("bergman1986").hash)
        64
        """
        columns = ("subject", "occasion", "analyte", "time", "value", "censoring", "use")
        rows = [[name, *map(_canonical_text, self.observations[name].values)] for name in columns]
        for name in sorted(map(str, self.covariates.data_vars)):
            values = self.covariates[name]
            rows.append([name, values.attrs.get("units", ""), *map(_canonical_text, values.values)])
        if self.occasion_covariates is not None:
            for name, own in sorted(self.occasion_covariates.items(), key=lambda item: str(item[0])):
                rows.append([f"{name} by occasion", *map(_canonical_text, own.values)])
        rows.append(["body_weight", *map(_canonical_text, self.body_weight.values)])
        weights = dict(zip(self.subjects, self.body_weight.values, strict=True))
        for (subject, occasion), protocol in self.protocols.items():
            if protocol.since:  # most begin with their first event, or at 0
                rows.append([subject, occasion, _canonical_text(protocol.since)])
            weight = None if np.isnan(weights[subject]) else float(weights[subject])
            for delivery in protocol.canonical(weight):
                values = [getattr(delivery, each.name) for each in fields(Delivery)]
                rows.append([subject, occasion, *map(_canonical_text, values)])
        return hashlib.sha256("\n".join(map("\t".join, rows)).encode()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Study) and self.hash == other.hash

    def __hash__(self) -> int:
        return hash(self.hash)

    def select(self, subjects: Sequence[str] | None = None, analytes: Sequence[str] | None = None) -> Study:
        """The same study with some of its people or analytes only.

        Parameters
        ----------
        subjects : sequence of str, optional
            Labels of the people; by default all. People without any sample of these analytes are left out.
        analytes : sequence of str, optional
            What to keep of what was measured; by default all.

        Returns
        -------
        Study
            The part of the study.

        Raises
        ------
        StudyError
            If a name is unknown, or none is chosen.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.load_study("synthetic_ogtt").select(["P01", "P02"], ["glucose"]).analytes
        ('glucose',)
        """
        people = _chosen(subjects, self.subjects, "subject")
        kept_analytes = _chosen(analytes, self.analytes, "analyte")
        rows = np.isin(self.observations["subject"], people) & np.isin(
            self.observations["analyte"], kept_analytes
        )
        observations = self.observations.isel(obs=rows)
        left = set(zip(observations["subject"].values, observations["occasion"].values, strict=True))
        people = [subject for subject in people if any(of == subject for of, _ in left)]
        truth = None
        if self.truth is not None:
            truth = self.truth.sel(subject=[s for s in self.truth["subject"].values if s in people])
        covariates, of_occasions = self.covariates.sel(subject=people), self.occasion_covariates
        if of_occasions is not None:
            kept = [o for o in self.protocols if o in left]
            of_occasions = of_occasions.sel(occasion=["/".join(o) for o in kept])
            first = [next("/".join(o) for o in kept if o[0] == subject) for subject in people]
            for name, own in of_occasions.sel(occasion=first).items():
                covariates[name] = ("subject", own.values, own.attrs)
        return Study(
            name=self.name,
            observations=observations.assign_coords(obs=np.arange(observations.sizes["obs"])),
            covariates=covariates,
            protocols={o: protocol for o, protocol in self.protocols.items() if o in left},
            body_weight=self.body_weight.sel(subject=people),
            truth=truth,
            datasheet=self.datasheet,
            unread=self.unread,
            occasion_covariates=of_occasions,
        )

    def summary(self) -> pd.DataFrame:
        """What the study has of each analyte.

        Returns
        -------
        pandas.DataFrame
            One row an analyte: unit, subjects, samples, from and to (min), missing, censored, left out.

        Examples
        --------
        >>> import bayesglu as bg
        >>> bg.load_study("bergman1986").summary()["unit"].to_dict()
        {'glucose': 'mg/dL', 'insulin': 'pmol/L'}
        """
        rows = {}
        for analyte in self.analytes:
            own = self.observations.isel(obs=(self.observations["analyte"] == analyte).values)
            rows[analyte] = {
                "unit": canonical_unit(analyte),
                "subjects": len(set(own["subject"].values)),
                "samples": own.sizes["obs"],
                "from": float(own["time"].min()),
                "to": float(own["time"].max()),
                "missing": int(own["value"].isnull().sum()),
                "censored": int((own["censoring"] != "none").sum()),
                "left out": int((~own["use"]).sum()),
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("analyte")

    def plot(self, by: str | None = None, analytes: Sequence[str] | None = None) -> Figure:
        """What was measured, before any model, as `plots.study` draws it.

        Parameters
        ----------
        by : str, optional
            A covariate: a row of panels for each level.
        analytes : sequence of str, optional
            What to show; by default all.

        Returns
        -------
        matplotlib.figure.Figure
            A panel for each analyte, with samples of everyone and doses.

        Raises
        ------
        InputError
            If there is no such covariate.
        StudyError
            If there is no such analyte.

        Examples
        --------
        >>> import bayesglu as bg
        >>> len(bg.load_study("bergman1986").plot().axes)
        2
        """
        # By name: figures are made of studies, and no study of figures.
        return import_module("bayesglu.plots").study(self, by, analytes)

    def to_folder(self, path: str | Path) -> Path:
        """Write the study as a folder, in canonical units and with checksums, that loads as an equal study.

        Parameters
        ----------
        path : str or Path
            The folder; it is made where it is not there, and tables of an earlier study in it are replaced.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        StudyError
            If the protocols are such that no file can hold them.
        WriteError
            If a file cannot be written.

        Examples
        --------
        >>> import tempfile
        >>> import bayesglu as bg
        >>> study = bg.load_study("bergman1986")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     bg.load_study(study.to_folder(f"{folder}/copy")) == study
        True
        """
        return write_study(self, Path(path))

    def __repr__(self) -> str:
        people = f"{len(self.subjects)} subject{'s' if len(self.subjects) > 1 else ''}"
        title = f"Study {self.name!r}: {people}, {self.observations.sizes['obs']} samples"
        return "\n".join([title, *(f"  {what:<11} {text}" for what, text in self._description())])

    def _repr_html_(self) -> str:
        described = "".join(
            f"<tr><th>{what}</th><td style='text-align: left'>{html.escape(text)}</td></tr>"
            for what, text in self._description()
            if what not in self.analytes
        )
        title = html.escape(f"Study {self.name!r}")
        return f"<p><b>{title}</b></p><table>{described}</table>{self.summary().to_html()}"

    def _description(self) -> list[tuple[str, str]]:
        described = [("subjects", some(self.subjects))]
        for analyte, row in self.summary().iterrows():
            counts = [f"{row[what]} {what}" for what in ("missing", "censored", "left out") if row[what]]
            span = f"{row['samples']} samples, {row['from']:g} to {row['to']:g} min, {row['unit']}"
            counts += [f"in {row['subjects']} subjects"] if row["subjects"] < len(self.subjects) else []
            described.append((str(analyte), ", ".join([span, *counts])))
        names = list(dict.fromkeys(protocol.name or "without a name" for protocol in self.protocols.values()))
        weights = self.body_weight.values
        known = weights[~np.isnan(weights)]
        weight = f"{known.min():g} to {known.max():g} kg" if known.size else "unknown"
        weight = f"{known[0]:g} kg" if known.size and known.min() == known.max() else weight
        unknown = f", unknown for {weights.size - known.size}" if 0 < known.size < weights.size else ""
        described += [("protocol", some(names)), ("body weight", weight + unknown)]
        if self.covariates.data_vars:
            empty = self.missing
            texts = [f"{name}{_unit_of(values)}" + (f" ({empty[name]} missing)" if name in empty else "")
                     for name, values in self.covariates.items()]  # fmt: skip
            described.append(("covariates", ", ".join(texts)))
        if self.truth is not None:
            described.append(("truth", f"{len(self.truth.data_vars)} parameters"))
        if self.unread:
            described.append(("not read", ", ".join(self.unread)))
        if "format" in self.datasheet:
            described.append(("format", f"{self.datasheet['format']}: {self.datasheet.get('note', '')}"))
        return described


def load_study(
    source: str | Path | Study | pd.DataFrame | Sequence[str | Path],
    protocol: Any = None,
    body_weight: float | Mapping[str, float] | None = None,
    *,
    format: str | None = None,
    **answers: Any,
) -> Study:
    """Read a study: a built-in one, a folder, or a table in one of the forms in which people have tables.

    ``observations.csv`` has one row a sample: ``subject, time, analyte, value, unit`` and, if wanted,
    ``occasion``, ``censoring`` (none, left, right), ``use`` (true, false). Times are in min, or in the unit
    that the column's name ends in (``time_h``); windows count from the dose (`Protocol.onset`). A value
    ``<2.0`` is left-censored, ``>300`` right-censored; an empty one is missing. A folder may also hold
    ``subjects.csv`` (covariates; ``weight_kg`` is the covariate ``weight`` in kg), ``events.csv`` (one row a
    dose), ``truth.csv`` and ``datasheet.toml``.

    A file, or a data frame, may also be half-wide (a column an analyte), wide (a column a time), an event
    table of NONMEM or rxode2, or an export of Dexcom Clarity, LibreView, CareLink or Nightscout; CSV of any
    encoding and separator, or a workbook. What was taken for what stands in the study's
    ``datasheet["format"]`` and ``datasheet["note"]``. What a table does not say, such as a unit, is asked for
    by an error that names the keyword of the answer.

    Parameters
    ----------
    source : str, Path, Study, pandas.DataFrame or sequence of paths
        Name of a built-in study, or a path; several where the tables of one study are in several files. A
        `Study` is returned as it is.
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
    if isinstance(source, pd.DataFrame):
        return _in_a_form([source], "table", protocol, body_weight, format, answers)
    if not isinstance(source, str | Path):
        paths = [_find(each) for each in source]
        if not paths:
            raise InputError("No table is given.")
        return _in_a_form(paths, paths[0].stem, protocol, body_weight, format, answers)
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
    return Study(**assemble(name, reading.tables(), sheet, protocol, body_weight, problems))


def _folder(path: Path, protocol: Any, body_weight: Any, problems: Problems) -> dict[str, Any]:
    sheet_problems = Problems("datasheet.toml")
    sheet = read_datasheet(path / "datasheet.toml", sheet_problems)
    check_files(path, sheet.checksums, sheet_problems)
    problems.found += sheet_problems.found
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
    """A bare name is that of a study that ships, wherever we are; anything else is a path."""
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
    shipped = catalog.names("study")
    raise StudyError(
        f"There is no file or folder {str(source)!r}, and no study of this name is shipped."
        f"{hint(source, shipped)} Shipped: {', '.join(shipped)}."
    )


def _chosen(names: Sequence[str] | None, known: Sequence[str], what: str) -> list[str]:
    if names is None:
        return list(known)
    names = [names] if isinstance(names, str) else [str(name) for name in names]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        found = f"no {what} {', '.join(map(repr, unknown))}" if unknown else f"no {what} chosen"
        raise StudyError(f"There is {found}.{hint((unknown or [''])[0], known)} Known: {some(known)}.")
    return [name for name in known if name in names]


def _unit_of(values: xr.DataArray) -> str:
    unit = values.attrs.get("units", "1")
    return "" if unit == "1" else f" {unit}"


def _canonical_text(value: Any) -> str:
    """A number to nine digits, zero without a sign; anything else as text."""
    if isinstance(value, int | float | np.number):
        return format(float(value) + 0.0, ".9g")
    return str(value)
