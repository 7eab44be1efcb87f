"""Tables as people have them, made a study."""

from pathlib import Path
from typing import Annotated

import typer

import bayesglu
from bayesglu.cli.command import EXPLORE, app
from bayesglu.cli.options import FIGURES, Answer, Plot, option, parse_pairs
from bayesglu.cli.results import draw
from bayesglu.cli.terminal import examples, say, writable, wrote
from bayesglu.errors import InputError

ASKED = "What a table may not say"


@app.command(
    "import",
    rich_help_panel=EXPLORE,
    epilog=examples(
        'bayesglu import wide.csv --units glucose=mg/dL --units insulin=uU/mL -p "ogtt(75)" --out trial',
        "bayesglu import events.csv --analytes 1=glucose --doses 'oral glucose g' --units time=h --out trial",
        "bayesglu import entries.json treatments.json --body-weight 70 --out diary",
    ),
)
def import_tables(
    tables: Annotated[
        list[Path], typer.Argument(metavar="TABLE...", help="Tables: CSV of any kind, workbooks, exports.")
    ],
    out: Annotated[Path, option("A new folder for the study.", metavar="FOLDER")],
    form: Annotated[
        str | None,
        option(
            "long, half-wide, wide, nonmem, clarity, libreview, carelink or nightscout; default: what it "
            "looks like.",
            "--format",
            metavar="NAME",
        ),
    ] = None,
    protocol: Annotated[
        str | None, option("Protocol of every subject.", "--protocol", "-p", metavar="TEXT")
    ] = None,
    body_weight: Annotated[
        float | None, option("Body weight of every subject.", metavar="KG", min=0.1)
    ] = None,
    units: Annotated[
        Answer, option("Unit of an analyte, or of time. May be repeated.", metavar="NAME=UNIT", panel=ASKED)
    ] = None,
    analytes: Annotated[
        Answer,
        option("Analyte of a number or name in the table.", metavar="THEIRS=NAME", panel=ASKED),
    ] = None,
    columns: Annotated[
        Answer,
        option("Column for subject, time and the like.", metavar="NAME=COLUMN", panel=ASKED),
    ] = None,
    doses: Annotated[
        Answer,
        option(
            "What doses are: [cyan]'oral glucose g'[/cyan], for all or by compartment.",
            metavar="[CMT=]TEXT",
            panel=ASKED,
        ),
    ] = None,
    start: Annotated[
        Answer,
        option(
            "When the dose was: [cyan]08:00[/cyan], or [cyan]first[/cyan], for all or by subject.",
            metavar="[LABEL=]TIME",
            panel=ASKED,
        ),
    ] = None,
    between: Annotated[
        tuple[str, str] | None,
        option("Leave out entries of an export outside.", metavar="FROM TO", panel=ASKED),
    ] = None,
    dates: Annotated[
        str | None, option("Order of day and month in dates.", metavar="dmy|mdy", panel=ASKED)
    ] = None,
    time_zone: Annotated[
        str | None, option("Time zone of dates and times.", metavar="Europe/Berlin", panel=ASKED)
    ] = None,
    decimal: Annotated[str | None, option("Decimal sign of numbers.", metavar="SIGN", panel=ASKED)] = None,
    thousands: Annotated[
        str | None, option("Separator of thousands in numbers.", metavar="SIGN", panel=ASKED)
    ] = None,
    plot: Plot = None,
) -> None:
    """Read tables as people have them, and write them as a study: a folder that is looked at and kept.

    What a table does not say is asked for by an error that names the option; what is not used is named.
    """
    from bayesglu.atomic import is_empty
    from bayesglu.protocols.parse import parse_protocol
    from bayesglu.study.writer import is_half_written

    writable(plot, FIGURES), writable(out)
    if not (is_empty(out) or is_half_written(out)):
        raise InputError(f"{out}: there is something already. Name a new folder.")
    study = bayesglu.load_study(
        tables,
        protocol and parse_protocol(protocol),
        body_weight,
        format=form,
        units=parse_pairs(units),
        analytes=parse_pairs(analytes),
        columns=parse_pairs(columns),
        doses=parse_pairs(doses, everyone=True),
        start=parse_pairs(start, everyone=True),
        between=between,
        dates=dates,
        time_zone=time_zone,
        decimal=decimal,
        thousands=thousands,
    )
    say(repr(study))
    wrote(study.to_folder(out), "the study")
    if plot:
        draw(plot, bayesglu.plots.study(study))
