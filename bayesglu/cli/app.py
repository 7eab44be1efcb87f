"""The command line: a command reads its words, calls one public function and shows what comes back."""

from bayesglu.cli import explore, fits, import_tables, people, queries  # noqa: F401, each adds its commands
from bayesglu.cli.command import app as app
