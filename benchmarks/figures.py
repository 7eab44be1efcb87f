"""Figures of the kept results, for the README and the documentation."""

from pathlib import Path

from bayesglu.plots import style
from benchmarks.report import RESULTS, read

FOLDER = Path(__file__).parents[1] / "docs" / "figures"


def main() -> None:
    """Draw what there are results for."""
    for name, draw in (("gradient", gradient), ("scaling", scaling)):
        if (RESULTS / f"{name}.json").exists():
            FOLDER.mkdir(parents=True, exist_ok=True)
            path = FOLDER / f"benchmark_{name}.png"
            draw(read(name)).savefig(path, dpi=150, bbox_inches="tight")
            print(path.relative_to(FOLDER.parents[1]))
