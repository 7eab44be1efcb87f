"""Every key of a model file: what it holds, what it may be, and what it means.

The reader takes its lists of names from here, and the reference and the JSON schema of model files are made
from it; a test compares the bounds with what the reader accepts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from bayesglu import residuals
from bayesglu.spec import priors

FORMAT = 1
"""Of model files, and of what a fit keeps of its model."""

Holds = Literal["text", "number", "integer", "flag", "texts", "table", "tables"]


@dataclass(frozen=True)
class Key:
    """One key of a table. ``tables`` holds tables by name, each with the same `keys`.

    `required` says whether a file that extends none must have it. Numbers lie strictly between `above` and
    `below`; where `closed`, they may equal `above`.
    """

    name: str
    holds: Holds
    meaning: str
    required: bool = False
    default: Any = None
    allowed: tuple[str, ...] = ()
    above: float | None = None
    below: float | None = None
    closed: bool = False
    keys: tuple[Key, ...] = ()


def names(keys: tuple[Key, ...]) -> tuple[str, ...]:
    """Names of the keys of a table.

    >>> names(SIGMA)
    ('median', 'gsd')
    """
    return tuple(key.name for key in keys)


def _number(name: str, meaning: str, above: float = 0.0, **more: Any) -> Key:
    return Key(name, "number", meaning, above=above, **more)


_GSD = (
    "Geometric standard deviation: exp of the SD of the logarithm (of the log odds, if `scale` is `logit`)."
)

TYPICAL = (
    _number("median", "Prior median, in the parameter's unit.", required=True, closed=True),
    _number("gsd", f"{_GSD} Not for level `fixed`, needed at all others.", above=1.0),
)

VARIATION = (
    _number("cv", "Prior median of the coefficient of variation (of the odds, if `logit`).", required=True),
    _number("gsd", "Its geometric standard deviation.", required=True, above=1.0),
)

_FACTOR = (
    _number("median", "Prior median of the factor.", required=True),
    _number("gsd", "Its geometric standard deviation.", required=True, above=1.0),
)

EFFECT_OF_NUMBER = (
    Key(
        "form",
        "text",
        "`exponential`: factor ** ((covariate - reference) / per). `power`: factor ** (log(covariate / "
        "reference) / log(per)).",
        default="exponential",
        allowed=("exponential", "power"),
    ),
    Key("reference", "number", "Value of the covariate at which the factor is 1.", required=True),
    _number(
        "per", "Difference (`power`: ratio, above 1) of the covariate that the factor is for.", required=True
    ),
    *_FACTOR,
)
"""Of an effect named for its covariate, ``bmi``."""

EFFECT_OF_LEVEL = _FACTOR
"""Of an effect named for one level of a covariate, ``"group:T2D"``."""

PARAMETER = (
    Key("symbol", "text", "Symbol in the literature.", required=True),
    Key("unit", "text", "Unit; must be that of the physiology.", required=True),
    Key(
        "scale",
        "text",
        "Scale on which its prior is Normal: `log`, or `logit` for shares of a whole.",
        default="log",
        allowed=get_args(priors.Scale),
    ),
    Key(
        "level",
        "text",
        "`fixed` at the median; `shared`: estimated, one value for all; `subject`: varies between subjects; "
        "`occasion`: varies between occasions.",
        required=True,
        allowed=get_args(priors.Level),
    ),
    Key("typical", "table", "Prior of the typical value (THETA, fixed effect).", required=True, keys=TYPICAL),
    Key(
        "between_subject",
        "table",
        "Prior of the SD of the random effects (square root of OMEGA), as a coefficient of variation: IIV at "
        "level `subject`, how much people differ on one occasion; IOV at level `occasion`.",
        keys=VARIATION,
    ),
    Key(
        "between_occasion",
        "table",
        "At level `subject`, how much of that is the occasion's (IOV): how one person differs from day to "
        "day. Estimated where people were seen on several occasions, as random effects of occasions nested "
        "in those of people, whose prior is then of what is left. Else random effects are of the person and "
        "of the fitted occasion together, and only predictions of another occasion read it.",
        keys=VARIATION,
    ),
    Key(
        "effects",
        "table",
        'Covariate effects by name: `bmi` for a number, `"group:T2D"` for one level of a category.',
    ),
    Key(
        "source",
        "texts",
        "Papers, as keys of `references.bib`; may be empty only for kind `judgement`.",
        required=True,
    ),
    Key(
        "kind",
        "text",
        "Evidence for the prior: `measured`, `derived` from measurements, `learnt` (estimated by a fit of "
        "other studies), or `judgement`.",
        required=True,
        allowed=get_args(priors.Kind),
    ),
    Key("note", "text", "Why the prior is as it is.", default=""),
)

SIGMA = (
    _number("median", "Prior median of the SD of log residuals (square root of SIGMA).", required=True),
    _number("gsd", "Its geometric standard deviation.", required=True, above=1.0),
)

_RESIDUALS = "; ".join(f"`{name}` ({kind.meaning})" for name, kind in residuals.KINDS.items())
_SHAPED = " and ".join(f"`{name}`" for name, kind in residuals.KINDS.items() if kind.shape_above is not None)
_LEAST = min(kind.shape_above for kind in residuals.KINDS.values() if kind.shape_above is not None)

ANALYTE = (
    Key("output", "text", "State or flux that is measured; default: the analyte's name."),
    Key("unit", "text", "Unit; must be that of the output.", required=True),
    Key("sigma", "table", "Prior of the SD of log residuals.", required=True, keys=SIGMA),
    Key(
        "residual",
        "text",
        f"Distribution of log residuals: {_RESIDUALS}.",
        default="normal",
        allowed=tuple(residuals.KINDS),
    ),
    _number("nu", f"Its shape, where it has one: needed by {_SHAPED}, and only there.", above=_LEAST),
    _number("lloq", "Lower limit of quantification: samples below are censored."),
    _number("uloq", "Upper limit of quantification: samples above are censored."),
    Key("background", "text", "Parameter that the assay adds to the true value: non-specific signal."),
    _number(
        "error_offset",
        "Additive component of a combined error, in the analyte's unit: its SD is about sigma * (value + "
        "error_offset).",
        default=0.0,
        closed=True,
    ),
    _number(
        "samples_from",
        "Samples after the dose, and less than so many minutes after it, are not compared with the model.",
        default=0.0,
        closed=True,
    ),
    Key(
        "forcing",
        "flag",
        "Whether it is the forcing function: its measured curve enters the equations as an input and is not "
        'predicted; insulin where `structure.insulin = "forced"`.',
        default=False,
    ),
    _number("basal_from", "Of a forcing analyte: from so many minutes after the dose on it is basal again."),
)

PSEUDO_OBSERVATION = (
    Key("output", "text", "Quantity of the basal state; default: the entry's name."),
    _number("median", "Median, in the quantity's unit.", required=True),
    _number("cv", "Coefficient of variation.", required=True),
    Key("source", "texts", "Papers, as keys of `references.bib`.", required=True),
)

CORRELATION_PRIOR = (
    Key("with", "text", "The other parameter: the same one in all these tables.", required=True),
    _number("mean", "Mean of the correlation.", required=True, above=-1.0, below=1.0),
    _number("sd", "Its SD, less than that of anything between -1 and 1.", required=True),
    Key("source", "texts", "Papers, as keys of `references.bib`.", required=True),
)

CORRELATIONS = (
    Key("parameters", "texts", "Parameters whose random effects are correlated: two or more.", required=True),
    _number(
        "lkj_eta",
        "Shape of the LKJ prior (its eta; no random effect): 1 is uniform, higher favours weak correlations.",
        default=2.0,
    ),
    Key(
        "priors",
        "tables",
        "What is known of correlations with one of the parameters, by the name of the other; each has a Beta "
        "prior on (-1, 1). All other correlations are, given these, as under the LKJ prior.",
        keys=CORRELATION_PRIOR,
    ),
)

MODEL = (
    Key("format", "integer", "Format of the file.", default=FORMAT),
    Key("name", "text", "Name; default: that of the file."),
    Key("title", "text", "Title in one line.", required=True),
    Key("description", "text", "What the model is for.", default=""),
    Key("extends", "text", "Built-in model, or path of a model file, that this one extends."),
    Key("structure", "table", "The choice for each part of the physiology.", required=True),
    Key("parameters", "tables", "Parameters by name.", required=True, keys=PARAMETER),
    Key("analytes", "tables", "What is measured, by name.", required=True, keys=ANALYTE),
    Key(
        "pseudo_observations",
        "tables",
        "Informative priors on derived quantities of everyone's basal state, by name.",
        keys=PSEUDO_OBSERVATION,
    ),
    Key("correlations", "table", "Correlated random effects.", keys=CORRELATIONS),
    Key(
        "typical_correlations",
        "table",
        "Correlations of typical values before any data, on the scales of their priors: "
        "`[typical_correlations.A]` with `B = -0.4` is that of A and B. Each pair once; pairs that are not "
        "named are independent.",
    ),
    Key(
        "learnt_from",
        "table",
        'Studies whose people taught the priors: `name = "hash of the study"`. Fitting one of them warns '
        "that its samples count twice.",
    ),
)
