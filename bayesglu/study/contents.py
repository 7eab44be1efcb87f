"""`Study`: samples, people and protocols of one study, as xarray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from bayesglu.analytes import analytes
from bayesglu.atomic import as_path
from bayesglu.protocols.protocol import Protocol
from bayesglu.study.assembly import assemble
from bayesglu.study.datasheet import parse_datasheet
from bayesglu.study.description import as_html, as_text
from bayesglu.study.fingerprint import fingerprint
from bayesglu.study.tables import StudyError, Table
from bayesglu.study.writer import write_study
from bayesglu.text.problems import Problems, hint
from bayesglu.text.wording import some
from bayesglu.units import canonical_unit

if TYPE_CHECKING:
    from matplotlib.figure import Figure


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
    notes : tuple of str
        What `load_study` warned of.

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
    notes: tuple[str, ...] = ()

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
            One row per sample: ``subject, time, analyte, value, unit``, and what else `load_study` names.
            Like the other tables a data frame, or a mapping of columns; spans of time are minutes.
        protocol : Protocol, str or mapping, optional
            What was done, as in `load_study`.
        body_weight : float or mapping, optional
            Body weight in kg, for everyone or by subject.
        name : str
            How the study is called.
        subjects : pandas.DataFrame, polars.DataFrame or mapping, optional
            Covariates, one row per person; or with a column ``occasion``, one for each of their occasions.
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
        if observations is None:
            raise StudyError(
                f"{name}: there is no table of samples. Give a data frame, or a mapping of columns."
            )
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
        return fingerprint(self)

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
            notes=self.notes,
        )

    def summary(self) -> pd.DataFrame:
        """What the study has of each analyte.

        Returns
        -------
        pandas.DataFrame
            One row per analyte: unit, subjects, samples, from and to (min), missing, censored, left out.

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

    def plot(
        self, by: str | None = None, analytes: Sequence[str] | None = None, units: str | None = None
    ) -> Figure:
        """What was measured, before any model, as `plots.study` draws it.

        Parameters
        ----------
        by : str, optional
            A covariate: a row of panels for each level.
        analytes : sequence of str, optional
            What to show; by default all.
        units : str, optional
            ``"canonical"``, ``"SI"`` or ``"conventional"``; by default that of `set_units`.

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
        UnitError
            If there is no such system of units.

        Examples
        --------
        >>> import bayesglu as bg
        >>> len(bg.load_study("bergman1986").plot().axes)
        2
        """
        # By name: figures are made of studies, and no study of figures.
        return import_module("bayesglu.plots").study(self, by, analytes, units)

    def to_folder(self, path: str | Path) -> Path:
        """Write the study as a folder, in canonical units and with checksums, that loads as an equal study.

        Parameters
        ----------
        path : str or Path
            The folder; it is made where it is not there. A study that was written there before is replaced,
            and no tables or datasheet of another origin.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        StudyError
            If the protocols are such that no file can hold them.
        InputError
            If tables or a datasheet are there that were not written so, or were changed since.
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
        return write_study(self, as_path(path))

    def __repr__(self) -> str:
        return as_text(self)

    def _repr_html_(self) -> str:
        return as_html(self)


def _chosen(names: Sequence[str] | None, known: Sequence[str], what: str) -> list[str]:
    if names is None:
        return list(known)
    names = [names] if isinstance(names, str) else [str(name) for name in names]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        found = f"no {what} {', '.join(map(repr, unknown))}" if unknown else f"no {what} chosen"
        raise StudyError(f"There is {found}.{hint((unknown or [''])[0], known)} Known: {some(known)}.")
    return [name for name in known if name in names]
