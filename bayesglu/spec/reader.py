"""The checks on a model file: resolved tables in, the nouns of a model out, every fault noted on the way."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, get_args

import numpy as np

from bayesglu import residuals
from bayesglu.analytes import analytes
from bayesglu.physiology.loop import Loop
from bayesglu.physiology.registry import available
from bayesglu.residuals import Normal
from bayesglu.spec import keys, priors
from bayesglu.spec.structure import check_forcing_analytes, read_structure
from bayesglu.text.problems import Problems, Section, show

MAY_BE_ZERO = frozenset({"alpha_cell_mass", "beta_cell_mass"})
"""Parameters that an organ's loss sets to zero."""


def read(
    table: Mapping,
    own: Mapping,
    problems: Problems,
    papers: Collection[str] | None,
    homes: Mapping[str, str],
) -> dict[str, Any]:
    """Fields of a `ModelSpec` by name; not to be used where `problems` were found.

    homes : ``"slot/name"`` -> the module from which a part came, as far as it is known.
    """
    top = Section(table, "", problems, keys.names(keys.MODEL))
    _check_format(top)
    structure, loop = read_structure(top, problems, homes)
    reader = _Reader(problems, papers, loop)
    sections = {
        key: _entries(top, key, required=key in ("parameters", "analytes"))
        for key in ("parameters", "analytes", "pseudo_observations")
    }
    _keep_what_serves(sections, own, loop, problems)
    parameters = {name: reader.parameter(name, entry) for name, entry in sections["parameters"].items()}
    measured = {name: reader.analyte(name, entry, parameters) for name, entry in sections["analytes"].items()}
    known = {
        name: reader.pseudo_observation(name, entry)
        for name, entry in sections["pseudo_observations"].items()
    }
    check_forcing_analytes(loop, measured, problems)
    correlations, lkj_eta, correlation_priors = reader.correlations(top, own, parameters)
    typical_correlations = _typical_correlations(top, own, parameters)
    taught = top.section("learnt_from", required=False)
    return {
        "name": top.text("name", ""),
        "title": top.text("title"),
        "description": top.text("description", ""),
        "structure": priors.Frozen(structure),
        "parameters": priors.Frozen(parameters),
        "analytes": priors.Frozen(measured),
        "pseudo_observations": priors.Frozen(known),
        "correlations": correlations,
        "lkj_eta": lkj_eta,
        "correlation_priors": priors.Frozen(correlation_priors),
        "typical_correlations": priors.Frozen(typical_correlations),
        "learnt_from": priors.Frozen({name: taught.text(name) for name in taught.table} if taught else {}),
    }


def _check_format(top: Section) -> None:
    """Note a file that a later version of bayesglu wrote."""
    given = top.given("format", keys.FORMAT)
    if type(given) is not int or not 1 <= given <= keys.FORMAT:
        top.fault(
            f"format is {show(given)}; this version of bayesglu reads formats 1 to {keys.FORMAT}. A "
            "higher one is of a later version: install that, or write the file in this format."
        )


def _entries(top: Section, key: str, *, required: bool) -> dict[str, Section]:
    """The tables inside a table, by name."""
    outer = top.section(key, required=required)
    return {} if outer is None else {name: outer.section(name) for name in outer.table}


def _keep_what_serves(sections: dict[str, dict], own: Mapping, loop: Loop | None, problems: Problems) -> None:
    """Leave out what was inherited and is of no use; note what is missing, or written in the file in vain.

    Without a loop there is no telling what is of use, and only names that nothing knows are noted.
    """

    def written(kind: str, name: str) -> bool:
        return isinstance(own.get(kind), Mapping) and name in own[kind]

    if loop:
        outputs = {"analytes": {*loop.states, *loop.fluxes}, "pseudo_observations": loop.constant_quantities}
        for kind, known in outputs.items():
            for name, entry in list(sections[kind].items()):
                output = entry.table.get("output", name)
                if isinstance(output, str) and output not in known and not written(kind, name):
                    del sections[kind][name]
    every = available().parameters
    used = loop.parameters if loop else every
    backgrounds = {entry.table.get("background") for entry in sections["analytes"].values()}
    needed = {*used, *(name for name in backgrounds if isinstance(name, str))}
    for name in set(sections["parameters"]) - needed:
        if not written("parameters", name):
            del sections["parameters"][name]
    for name in (name for name in sections["parameters"] if name not in needed):
        if name in every:
            sections["parameters"][name].fault(
                "is not used by this structure: leave it out, or choose a part that asks for it."
            )
        else:
            problems.unknown(name, needed, "parameter", "[parameters]")
    for name in loop.parameters if loop else ():
        if name not in sections["parameters"]:
            problems.add(f"lacks {name!r} ({every[name]}), which this structure needs.", "[parameters]")


class _Reader:
    """Reads one entry at a time, with what they share: the loop, the bibliography, the list of problems."""

    def __init__(self, problems: Problems, papers: Collection[str] | None, loop: Loop | None):
        self.problems, self.papers, self.loop = problems, papers, loop
        self.unit_of, self.fractions = available().parameters, available().fractions

    def parameter(self, name: str, entry: Section) -> priors.Parameter:
        entry = (
            Section(entry.table, entry.place, self.problems, keys.names(keys.PARAMETER))
            if entry.sound
            else entry
        )
        unit = entry.text("unit")
        if unit is not None and unit != self.unit_of.get(name, unit):
            entry.fault(f"unit is {unit!r}; the physiology has {name} in {self.unit_of[name]!r}.")
        scale = entry.text("scale", "log", allowed=get_args(priors.Scale))
        if name in self.fractions and scale == "log":
            entry.fault(
                "scale is 'log'; this is a share of a whole and must stay below 1: write scale = \"logit\"."
            )
        level = entry.text("level", allowed=get_args(priors.Level))
        return priors.Parameter(
            name=name,
            symbol=entry.text("symbol"),
            unit=unit,
            level=level,
            typical=self._typical(name, entry, scale, level),
            kind=entry.text("kind", allowed=get_args(priors.Kind)),
            source=self._source(entry),
            scale=scale,
            between_subject=self._between_subject(entry, level),
            between_occasion=self._between_occasion(entry, level),
            effects=self._effects(entry, level),
            note=entry.text("note", ""),
        )

    def _typical(self, name: str, entry: Section, scale: str | None, level: str | None) -> Any:
        """A `Prior`, or None after noting that there is none: typed as `Section` types what it reads."""
        typical = entry.section("typical", keys.names(keys.TYPICAL))
        if typical is None:
            return None
        ceiling = {"below": 1.0} if scale == "logit" else {}
        median = typical.number(
            "median", above=0.0, closed=name in MAY_BE_ZERO and level == "fixed", **ceiling
        )
        gsd = typical.number("gsd", None, above=1.0)
        if level == "fixed" and "gsd" in typical:
            typical.fault("has a gsd, but the level is 'fixed': leave the gsd out, or choose another level.")
        elif level not in (None, "fixed") and typical.sound and "gsd" not in typical:
            typical.fault(
                f"lacks the key 'gsd', the geometric standard deviation that level {level!r} needs."
            )
        return priors.Prior(median, gsd)

    def _between_subject(self, entry: Section, level: str | None) -> priors.Variation | None:
        varies = level in ("subject", "occasion")
        between = entry.section("between_subject", keys.names(keys.VARIATION), required=False)
        if between is None:
            if varies:
                entry.fault(
                    f"lacks the key 'between_subject', which level {level!r} needs: {{cv = ..., gsd = ...}}."
                )
            return None
        if level is not None and not varies:
            between.fault(
                f"is given, but level {level!r} is the same for all people: leave it out, "
                "or let the level be 'subject'."
            )
        return self._variation(between)

    def _between_occasion(self, entry: Section, level: str | None) -> priors.Variation | None:
        between = entry.section("between_occasion", keys.names(keys.VARIATION), required=False)
        if between is None:
            return None
        if level not in (None, "subject"):
            between.fault(
                f"is given, but the level is {level!r}: it is what another occasion adds to what a subject "
                "has, so leave it out, or let the level be 'subject'."
            )
        return self._variation(between)

    @staticmethod
    def _variation(section: Section) -> priors.Variation:
        return priors.Variation(section.number("cv", above=0.0), section.number("gsd", above=1.0))

    def _effects(self, entry: Section, level: str | None) -> Mapping[str, priors.Effect]:
        effects = entry.section("effects", required=False)
        if effects is None:
            return priors.Frozen()
        if level == "fixed" and effects.table:
            effects.fault(
                "is given, but the level is 'fixed': an effect is estimated, and needs a level that is."
            )
        return priors.Frozen({key: self._effect(key, effects) for key in effects.table})

    def _effect(self, key: str, effects: Section) -> priors.Effect:
        covariate, _, label = key.partition(":")
        if label:
            effect = effects.section(key, keys.names(keys.EFFECT_OF_LEVEL))
            form, reference, per = "level", label, None
        else:
            effect = effects.section(key, keys.names(keys.EFFECT_OF_NUMBER))
            form = effect.text("form", "exponential", allowed=("exponential", "power"))
            reference = effect.number("reference", **({"above": 0.0} if form == "power" else {}))
            per = effect.number("per", above=1.0 if form == "power" else 0.0)
        if effect.sound and not effect.table:
            effect.fault("is empty, and no effect of this name is inherited for it to take away.")
        median, gsd = effect.number("median", above=0.0), effect.number("gsd", above=1.0)
        return priors.Effect(covariate, form, reference, per, median, gsd)

    def _source(self, entry: Section) -> tuple[str, ...]:
        source = entry.texts("source")
        for key in source:
            if self.papers is not None and key not in self.papers:
                self.problems.unknown(key, self.papers, "source", entry.place)
        if not source and "source" in entry and entry.table.get("kind") in ("measured", "derived", "learnt"):
            entry.fault(
                f"names no source, but its kind is {entry.table['kind']!r}: name one, or say 'judgement'."
            )
        return source

    def analyte(
        self, name: str, entry: Section, parameters: Mapping[str, priors.Parameter]
    ) -> priors.Analyte:
        entry = (
            Section(entry.table, entry.place, self.problems, keys.names(keys.ANALYTE))
            if entry.sound
            else entry
        )
        output, unit = entry.text("output", name), entry.text("unit")
        if self.loop is not None and output is not None:
            known = {*self.loop.states, *self.loop.fluxes}
            if output not in known:
                self.problems.unknown(output, known, "output", entry.place)
            elif unit is not None and unit != self.loop.unit(output):
                entry.fault(f"unit is {unit!r}; the physiology has {output} in {self.loop.unit(output)!r}.")
        if unit is not None and name in analytes() and unit != (kept := next(iter(analytes()[name].units))):
            entry.fault(f"unit is {unit!r}; studies keep {name} in {kept!r}.")
        forcing = entry.flag("forcing", False)
        if forcing and self.loop is not None and output not in self.loop.forced:
            forced = ", ".join(self.loop.forced) or "none"
            entry.fault(
                "forcing = true is only for output 'insulin' in a structure with insulin = \"forced\", or "
                "for an output X where a part asks for X_input. Outputs of this structure that can be: "
                f"{forced}."
            )
        basal_from = entry.number("basal_from", None, above=0.0)
        if basal_from is not None and not forcing:
            basal_from = None  # inherited from a parent whose analyte was the forcing function
        elif basal_from is not None and f"basal_{output}" not in parameters:
            entry.fault(f"has basal_from, but {output} has no basal value: there is no basal_{output}.")
        sigma = entry.section("sigma", keys.names(keys.SIGMA))
        lloq, uloq = self._limits(entry)
        residual, nu = self._residual(entry)
        return priors.Analyte(
            name=name,
            output=output,
            unit=unit,
            sigma=sigma and priors.Prior(sigma.number("median", above=0.0), sigma.number("gsd", above=1.0)),
            residual=residual,
            nu=nu,
            lloq=lloq,
            uloq=uloq,
            background=self._background(entry, unit, parameters),
            error_offset=entry.number("error_offset", 0.0, above=0.0, closed=True),
            samples_from=entry.number("samples_from", 0.0, above=0.0, closed=True),
            forcing=forcing,
            basal_from=basal_from,
        )

    def _limits(self, entry: Section) -> tuple[float | None, float | None]:
        lloq, uloq = entry.number("lloq", None, above=0.0), entry.number("uloq", None, above=0.0)
        if lloq is not None and uloq is not None and lloq >= uloq:
            entry.fault(f"lloq is {lloq:g} and uloq is {uloq:g}: the lower limit must be the smaller.")
        return lloq, uloq

    def _residual(self, entry: Section) -> tuple[str, float | None]:
        name = entry.text("residual", Normal.name, allowed=tuple(residuals.KINDS))
        kind = residuals.KINDS.get(name or "", Normal)
        nu = entry.number("nu", None, above=kind.shape_above or 0.0)
        if kind.shape_above is not None and "nu" not in entry:
            entry.fault(f"lacks the key 'nu' (above {kind.shape_above:g}), which residual {name!r} needs.")
        elif kind.shape_above is None and "nu" in entry:
            shaped = [f'"{k.name}"' for k in residuals.KINDS.values() if k.shape_above is not None]
            write = f"residual = {' or '.join(shaped)}"
            entry.fault(f"has nu, but the residual is {kind.name!r}: leave nu out, or write {write}.")
        return kind.name, nu

    def _background(self, entry: Section, unit: str | None, parameters: Mapping) -> str | None:
        background = entry.text("background", None)
        if background is not None and background not in parameters:
            self.problems.unknown(background, parameters, "parameter for its background", entry.place)
        elif background is not None and unit is not None and parameters[background].unit != unit:
            found = parameters[background].unit
            entry.fault(f"unit is {unit!r}, but its background {background} is in {found!r}.")
        return background

    def pseudo_observation(self, name: str, entry: Section) -> priors.PseudoObservation:
        if entry.sound:
            entry = Section(entry.table, entry.place, self.problems, keys.names(keys.PSEUDO_OBSERVATION))
        output = entry.text("output", name)
        if self.loop is not None and output is not None and output not in self.loop.constant_quantities:
            self.problems.unknown(output, self.loop.constant_quantities, "basal quantity", entry.place)
        median, cv = entry.number("median", above=0.0), entry.number("cv", above=0.0)
        return priors.PseudoObservation(output, median, cv, self._source(entry))

    def correlations(
        self, top: Section, own: Mapping, parameters: Mapping[str, priors.Parameter]
    ) -> tuple[tuple[str, ...], float | None, dict[tuple[str, str], priors.Correlation]]:
        """Names of the parameters whose individual deviations are correlated, first the one of whose
        correlations more is known than the shape of the LKJ prior; that shape; and what is known, by pair.

        What is inherited goes where a parameter does not differ between people any more.
        """
        section = top.section("correlations", keys.names(keys.CORRELATIONS), required=False)
        if section is None:
            return (), None, {}
        written = own.get("correlations")
        written = written if isinstance(written, Mapping) else {}
        names = section.texts("parameters")
        if "parameters" not in written:
            names = tuple(n for n in names if n in parameters and parameters[n].level == "subject")
            if len(names) < 2 and not written:
                return (), None, {}
        varying = [n for n, parameter in parameters.items() if parameter.level in ("subject", "occasion")]
        for name in names:
            if name not in varying:
                self.problems.unknown(name, varying, "individual parameter", section.place)
        if len(set(names)) != len(names) or len(names) == 1:
            section.fault(f"parameters must be at least two different names, and is {list(names)}.")
        lkj_eta = section.number("lkj_eta", 2.0, above=0.0)
        known = self._known_correlations(section, written.get("priors"), names)
        firsts = list(dict.fromkeys(first for first, _ in known))
        if len(firsts) > 1:
            section.fault(
                f"tells in [correlations.priors] of correlations with {' and with '.join(firsts)}: 'with' "
                "must be one parameter. Leave the others out, or turn a pair round."
            )
        return (*firsts[:1], *(n for n in names if n not in firsts[:1])), lkj_eta, known

    def _known_correlations(
        self, section: Section, written: Mapping | None, names: tuple[str, ...]
    ) -> dict[tuple[str, str], priors.Correlation]:
        outer, found = section.section("priors", required=False), {}
        for other in outer.table if outer else ():
            entry = outer.section(other, keys.names(keys.CORRELATION_PRIOR))
            first = entry.text("with")
            absent = [n for n in (first, other) if n is not None and n not in names]
            if absent and not (isinstance(written, Mapping) and other in written):
                continue
            for n in absent:
                self.problems.unknown(n, names, "correlated parameter", entry.place)
            if first == other:
                entry.fault(f"{other} is the parameter itself: its correlation with itself is 1.")
            mean, sd = entry.number("mean", above=-1.0, below=1.0), entry.number("sd", above=0.0)
            if mean is not None and sd is not None and sd**2 >= 1 - mean**2:
                entry.fault(
                    f"sd is {sd:g}: nothing between -1 and 1 with the mean {mean:g} has an SD of "
                    f"{np.sqrt(1 - mean**2):.3g} or more."
                )
            source = self._source(entry)
            if first is not None and mean is not None and sd is not None:
                found[first, other] = priors.Correlation(mean, sd, source)
        return found


def _typical_correlations(
    top: Section, own: Mapping, parameters: Mapping[str, priors.Parameter]
) -> dict[tuple[str, str], float]:
    """Correlations of typical values by pair, the earlier parameter first. Inherited ones go where one of the
    two is not estimated any more."""
    outer = top.section("typical_correlations", required=False)
    if outer is None:
        return {}
    estimated = [name for name, parameter in parameters.items() if parameter.level != "fixed"]
    written, found = own.get("typical_correlations", {}), {}
    for name in outer.table:
        row = outer.section(name)
        for other in row.table if row.sound else ():
            absent = [n for n in (name, other) if n not in estimated]
            if absent and other not in written.get(name, {}):
                continue
            for n in absent:
                top.problems.unknown(n, estimated, "estimated parameter", row.place)
            value = row.number(other, above=-1.0, below=1.0)
            if name == other:
                row.fault(f"{other} is the parameter itself: its correlation with itself is 1.")
            elif not absent and value is not None:
                pair = (name, other) if estimated.index(name) < estimated.index(other) else (other, name)
                if pair in found:
                    row.fault(f"{other}: the correlation of these two is given twice. Write it once.")
                found[pair] = value
    if found and np.linalg.eigvalsh(priors.correlation_matrix(estimated, found)).min() < 1e-6:
        outer.fault(
            "is no correlation matrix: of these numbers not all can be true together (it is not positive "
            "definite). Make some of them smaller."
        )
    return {pair: found[pair] for pair in sorted(found, key=lambda p: [estimated.index(n) for n in p])}
