"""What commands do with results: read a fit, give its verdict, write tables and figures."""

from pathlib import Path
from typing import TYPE_CHECKING

import bayesglu
from bayesglu.atomic import whole
from bayesglu.cli.terminal import NotClean, say, show_table, working, wrote

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure


def seeded(result: "xr.Dataset") -> str:
    return f"Seed {result.attrs['random_seed']}."


def load(path: Path) -> "xr.DataTree":
    with working(f"Reading {path}"):
        return bayesglu.load(path)


def size_of(path: Path) -> int:
    """Bytes of a file, or of all in a folder."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


def give_verdict(
    fitted: "xr.DataTree", csv: Path | None = None, keep: Path | None = None, thin: int = 1
) -> None:
    """Say what `check` found, and keep it with the fit in a file; exit with code 2 where anything failed."""
    with working("Checking"):
        verdict = bayesglu.check(fitted, warn=False)
        if keep:
            bayesglu.save(fitted, keep, thin=thin)
    say(repr(verdict))
    if csv:
        write_csv(csv, verdict.table.reset_index())
    if not verdict.clean:
        raise NotClean


def show_summary(table: "xr.Dataset", csv: Path | None, **wanted: list[str] | None) -> None:
    """The rows of a summary that were asked for, by dimension; all where nothing was."""
    from bayesglu.analysis.simulation import check_names
    from bayesglu.reporting.tables import summary

    for dim, names in wanted.items():
        if names:
            check_names(dim, names, map(str, table[dim].values))
            table = table.sel({dim: names})
    show_table(summary(table))
    kind = f"{100 * table.attrs['probability']:g} % {table.attrs['interval']}"
    say(f"\nIntervals are {kind}. Contraction: 1 - posterior SD / prior SD.", "dim")
    if csv:
        write_csv(csv, table.to_dataframe().reset_index())


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    with whole(path) as new:
        table.to_csv(new, index=False, float_format="%.8g")
    wrote(path, f"{len(table)} rows")


def draw(path: Path, figure: "Figure") -> None:
    with whole(path) as new:
        figure.savefig(new, dpi=150)
    wrote(path, "the figure")
