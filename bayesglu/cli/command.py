"""The command to which every other belongs, and the headings under which its help lists them.

The public names are loaded when they are first asked for, so ``bayesglu --help`` answers at once.
"""

from typing import Annotated

import typer

import bayesglu
from bayesglu.cli.options import option
from bayesglu.cli.terminal import Commands, say

app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

EXPLORE, FIT, QUERY = "Explore", "Fit", "Query"


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, option("Print the version and exit.", "--version")] = False,
) -> None:
    """Hierarchical Bayesian models of glucose homeostasis: pancreas, liver and insulin action.

    A table of glucose and hormones goes in. What comes out is each person's
    parameters, with their uncertainty, and counterfactual predictions: what
    would happen with another meal, or with 30 % more insulin sensitivity.

    Exit codes: 0 success, 1 invalid input, 2 a diagnostic failed or a published
    fact is missed.
    """
    if version:
        say(bayesglu.__version__)
    elif context.invoked_subcommand is None:
        say(context.get_help())
