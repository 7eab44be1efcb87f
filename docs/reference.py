"""Write the pages of docs/reference and models/model.schema.json again: python docs/reference.py

They are made from the public names, the commands and the keys of model files, so that they say what the code
does; a test compares them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

import bayesglu
from bayesglu import plots
from bayesglu.analysis.index_table import INDICES
from bayesglu.cli.app import app
from bayesglu.physiology.choices import SIMULATORS
from bayesglu.physiology.registry import SHIPPED
from bayesglu.spec import keys, schema

DOCS = Path(__file__).parent
MADE = "<!-- written by docs/reference.py -->"

NAMES = {
    "Models and studies": (
        "What there is, and what is read from files.",
        *("list_models", "list_studies", "load_model", "load_study", "ModelSpec", "Study", "citation"),
    ),
    "Protocols": (
        "What is done to a subject. [Protocols](../protocols.md) shows each with its picture.",
        *("Protocol", "ogtt", "meal", "meal_day", "isoglycaemic", "ivgtt", "clamp", "stepped_clamp"),
        *("pancreatic_clamp", "infusion", "injection", "pump_stop", "fast"),
    ),
    "Fits": (
        "From a model and a study to a posterior. [How a posterior is sampled](../inference.md) says how.",
        *(
            "fit",
            "refit",
            "fit_person",
            "fit_many",
            "fit_two_stage",
            "posterior_as_prior",
            "prior_predictive",
            "build",
            "save",
            "load",
            "check",
        ),
        "report",
    ),
    "Questions": (
        "What a model or a fit is asked.",
        *(
            "simulate",
            "simulate_study",
            "calibrate",
            "Calibration",
            "identify",
            "validate",
            "load_facts",
            "summarize_population",
            "summarize_individuals",
        ),
        *("summarize_occasions", "what_if", "Scenario", "scale", "shift", "set_to", "grid", "load_scenarios"),
        *("predictions", "comparisons", "slopes", "effects", "trial", "dose_for"),
        *("new_people", "quantities", "Quantity", "in_units", "set_units"),
        *("percentiles", "indices", "ranking", "design"),
        "join_log_likelihoods",
    ),
    "Checks": (
        "Does the model describe its people, and how much do its priors say? [Trust](../trust.md) shows how.",
        *("pit", "vpc", "npde", "sample_residuals", "random_effects", "individual_fits", "prior_sensitivity"),
        *("compare", "Comparison", "cross_validate", "leave_one_out", "coverage"),
    ),
    "Parts of your own": (
        "A flux, an organ, an analyte from outside the package. [Extending](../extending.md) shows how.",
        *("list_parts", "get_part", "Part", "State", "register_part", "register_analyte"),
    ),
    "Figures": ("`bg.plots`: figures of what the functions return.", *(f"plots.{n}" for n in plots.__all__)),
    "Errors and warnings": (
        "All derive from `BayesgluError` and `BayesgluWarning`.",
        *("BayesgluError", "SpecError", "StudyError", "SolverError", "FitWarning", "ModelWarning"),
    ),
}
"""Pages of the reference of Python: what each is about, and its names."""

CHOICES = {
    "tissue": "Uptake by muscle and fat that insulin brings about, in proportion to glucose or saturating; "
    "in proportion where no choice is named.",
    "gut": "Stomach and gut in a row, the same with a share of a drink that passes the stomach at once, or "
    "no oral intake.",
    "beta_cell": "Secretion in proportion to glucose and to its rate of rise, amplified by incretins: all of "
    "it, or only what glucose adds to basal. Or none is computed.",
    "insulin": "A state with secretion and clearance, or a forcing function: the measured curve.",
    "c_peptide": "Two pools, or not in the model.",
    "alpha_cell": "Glucagon that answers glucose and insulin, or stays basal.",
    "adrenal_medulla": "Adrenaline that answers low glucose, or none; none where no choice is named.",
    "liver": "Production and uptake that answer hormones and glucose, production that answers adrenaline "
    "too, the same with uptake stated under the conditions of an oral test, or both stay basal.",
    "glycogen": "A state that is stored and used up, constant at its initial value, or not in the model.",
    "kidney": "Glucose is excreted above a threshold, or never.",
    "basal_balance": "Basal glucose production follows from the uptake of muscle and fat that needs no "
    "insulin, or that uptake from the production of a fast; production follows where no choice is named.",
    "brain": "Uptake that saturates with glucose, or is constant.",
    "discrepancy": "Fluxes are as their forms say, or have smooth factors that differ between people and "
    "occasions; as they say where no choice is named.",
}
"""What the choices of each slot mean, in their order."""


def pages() -> dict[Path, str]:
    """Every file that is made here, with its text."""
    python = {
        DOCS / "reference" / f"{title.lower().replace(' ', '_')}.md": _names(title, *about)
        for title, about in NAMES.items()
    }
    return python | {
        DOCS / "reference" / "command_line.md": _command_line(),
        DOCS / "reference" / "model_file.md": _model_file(),
        DOCS / "indices.md": _indices(),
        DOCS.parent / "models" / "model.schema.json": schema.text(),
    }


# --- Python ---


def _names(title: str, about: str, *names: str) -> str:
    lines = [f"# {title}", "", MADE, "", about]
    for name in names:
        lines += ["", f"::: bayesglu.{name}", "    options:", f"      heading: bg.{name}"]
    return "\n".join(lines) + "\n"


# --- indices ---

ABOUT_INDICES = """
`bg.indices(fit)` gives each of these for each person, with its posterior, and beside it the plain index of
raw samples where these are enough for one; `bg.ranking(fit, "matsuda")` people in the order of one, with
the probability of each rank; `bg.plots.index` draws them; `bg.indices(study)` has what is raw alone. On the
command line it is `bayesglu indices`.

The posterior is that of the index of the person's true curves, without assay error: in an oral test of 75
g, in an intravenous one of 0.3 g/kg, or in a clamp of two hours with 1 mU/kg/min of insulin at 90 mg/dL,
simulated with the person's parameters of the day that was fitted. What is raw is of the first test of a
kind that the person had. Where an index means nothing or cannot be computed, it is NaN and `why` (or
`why_raw`) says the reason; so it is where it means nothing in more than one draw in twenty. A simulated
test is as right as the model is in it: see [how right what-ifs are](truth.md).

In the formulas $G$ is glucose and $I$ insulin, at the minutes after the dose that their index names; 0 is
the mean of the fasting samples. One mmol/L of glucose is 18.016 mg/dL, and one uU/mL of insulin 6 pmol/L.
"""


def _indices() -> str:
    lines = ["# Indices", "", MADE, ABOUT_INDICES]
    lines += ["| name | index | unit | formula | from | raw too | means nothing | source |"]
    lines += ["|" + "---|" * 8]
    for name, index in INDICES.items():
        raw = "yes" if index.raw else ""
        cells = f"`{name}`", index.title, index.unit, f"`{index.formula}`", index.of, raw
        lines.append(f"| {' | '.join((*cells, index.nothing, index.source))} |")
    return "\n".join(lines) + "\n"


# --- the command line ---


def _command_line() -> str:
    group: Any = typer.main.get_command(app)
    lines = ["# The command line", "", MADE, "", *_help(group.help), ""]
    lines += ["| command | |", "|---|---|"]
    for name, command in group.commands.items():
        first = " ".join(command.help.split("\n\n")[0].split())
        lines.append(f"| [`bayesglu {name}`](#bayesglu-{name}) | {_plain(first)} |")
    lines += ["", "Each takes `--help`."]
    for name, command in group.commands.items():
        lines += [
            "",
            f"## bayesglu {name}",
            "",
            *_help(command.help),
            "",
            "```sh",
            _usage(name, command),
            "```",
        ]
        lines += _parameters(command)
        if command.epilog:
            shown = [line.replace("\\[", "[") for line in command.epilog.split("\n\n")[1:]]
            lines += ["", "For example:", "", "```sh", *shown, "```"]
    return "\n".join(lines) + "\n"


def _help(text: str) -> list[str]:
    paragraphs = [" ".join(paragraph.split()) for paragraph in text.split("\n\n")]
    return "\n\n".join(map(_plain, paragraphs)).split("\n")


def _plain(text: str) -> str:
    """Text without the terminal's colours: what was coloured becomes code."""
    return re.sub(r"\[(cyan|bold)\](.*?)\[/\1\]", r"`\2`", text)


def _usage(name: str, command: Any) -> str:
    arguments = [p.metavar or p.name.upper() for p in command.params if p.param_type_name == "argument"]
    needed = [
        f"{p.opts[0]} {p.metavar}" for p in command.params if p.param_type_name == "option" and p.required
    ]
    return " ".join(["bayesglu", name, *arguments, *needed, "[OPTIONS]"])


def _parameters(command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and "--help" not in p.opts]
    for title, found in (("Arguments", arguments), ("Options", options)):
        if found:
            yield from ("", f"**{title}**", "")
        for p in found:
            yield f"- {_signature(p)}: {_plain(p.help)}{_default(p)}"


def _signature(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar or parameter.name.upper()}`"
    written = [*parameter.opts, *parameter.secondary_opts]
    value = "" if parameter.is_flag else f" {parameter.metavar or 'TEXT'}"
    return ", ".join(f"`{name}{value}`" for name in written)


def _default(parameter: Any) -> str:
    default = parameter.default
    if parameter.required:
        return "" if parameter.param_type_name == "argument" else " Required."
    if default is None or "efault" in parameter.help or (parameter.is_flag and not parameter.secondary_opts):
        return ""
    if parameter.is_flag:
        default = parameter.opts[0] if default else parameter.secondary_opts[0]
    return f" Default: `{default}`."


# --- model files ---


def _model_file() -> str:
    lines = ["# Every key of a model file", "", MADE, ""]
    lines += [
        "A model file is TOML. *Needed* keys may be left out where the file extends another that has them;",
        "what a file says is laid over what it inherits, key by key, and an empty table takes away what is",
        "inherited under its name. [Models](../models.md) explains this, and how an editor completes these",
        "keys.",
    ]
    lines += _keys("The file", "", keys.MODEL)
    lines += ["", "## `[structure]`", "", "One choice for each part of the physiology.", ""]
    lines += ["| key | choices | meaning |", "|---|---|---|"]
    lines += [
        f"| `{slot}` | {', '.join(f'`{choice}`' for choice in choices)} | {CHOICES[slot]} |"
        for slot, choices in SHIPPED.slots.items()
        if slot not in SIMULATORS
    ]
    lines += _keys(
        "`[parameters.NAME]`", "One table for each parameter that the structure needs.", keys.PARAMETER
    )
    lines += _keys("`typical`", "Of a parameter.", keys.TYPICAL)
    lines += _keys("`between_subject` and `between_occasion`", "Of a parameter that varies.", keys.VARIATION)
    lines += _keys(
        "`effects.COVARIATE`",
        "The effect of a covariate that is a number, on a parameter.",
        keys.EFFECT_OF_NUMBER,
    )
    lines += _keys(
        '`effects."COVARIATE:LEVEL"`',
        "The effect of one level of a category, against all others.",
        keys.EFFECT_OF_LEVEL,
    )
    lines += _keys("`[analytes.NAME]`", "One table for each analyte.", keys.ANALYTE)
    lines += _keys("`sigma`", "Of an analyte.", keys.SIGMA)
    lines += _keys(
        "`[pseudo_observations.NAME]`", "One table for each derived quantity.", keys.PSEUDO_OBSERVATION
    )
    lines += _keys("`[correlations]`", "", keys.CORRELATIONS)
    lines += _keys(
        "`[correlations.priors.NAME]`",
        "What is known of the correlation of a parameter with another.",
        keys.CORRELATION_PRIOR,
    )
    return "\n".join([*lines, *_physiology()]) + "\n"


def _keys(title: str, about: str, table: tuple[keys.Key, ...]) -> list[str]:
    lines = ["", f"## {title}", ""]
    lines += [about, ""] if about else []
    lines += ["| key | holds | default | meaning |", "|---|---|---|---|"]
    for key in table:
        default = "needed" if key.required else "" if key.default in (None, "") else f"`{_toml(key.default)}`"
        lines.append(f"| `{key.name}` | {_holds(key)} | {default} | {key.meaning} |")
    return lines


def _toml(value: Any) -> str:
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f'"{value}"'
        if isinstance(value, str)
        else f"{value:g}"
    )


def _holds(key: keys.Key) -> str:
    words = {"texts": "list of texts", "flag": "true or false", "tables": "tables by name"}
    if key.allowed:
        return ", ".join(f"`{choice}`" for choice in key.allowed)
    if key.holds == "number" and key.above is not None:
        below = f", below {key.below:g}" if key.below is not None else ""
        return f"number {'at least' if key.closed else 'above'} {key.above:g}{below}"
    return words.get(key.holds, key.holds)


def _physiology() -> list[str]:
    """Names of the physiology's parameters, with the built-in models that have each."""
    models = sorted(map(bayesglu.load_model, bayesglu.list_models()), key=lambda m: len(m.parameters))
    lines = ["", "## Names of parameters", ""]
    lines += [
        "Of the physiology; a structure needs some of them, and an error lists those that are missing. The",
        "levels are those of the built-in models that have the parameter.",
        "",
    ]
    lines += ["| name | symbol | unit | " + " | ".join(f"`{m.name}`" for m in models) + " |"]
    lines += ["|" + "---|" * (3 + len(models))]
    for name, unit in sorted(SHIPPED.parameters.items()):
        having = [m for m in models if name in m.parameters]
        symbol = f"`{having[-1].parameters[name].symbol}`" if having else ""
        levels = [m.parameters[name].level if m in having else "" for m in models]
        lines.append(f"| `{name}` | {symbol} | {unit} | " + " | ".join(levels) + " |")
    return lines


if __name__ == "__main__":
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
