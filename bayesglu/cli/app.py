"""The command line: a command reads its words, calls one public function and shows what comes back."""

from bayesglu.cli import by_people, explore, fits, import_tables, people, queries, report, trials, trust
from bayesglu.cli.command import app

__all__ = ["FAMILIES", "app"]

FAMILIES = (by_people, explore, fits, import_tables, people, queries, report, trials, trust)
"""Modules of commands, each of which adds its own to the app when it is imported."""
