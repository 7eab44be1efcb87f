"""``python -m benchmarks long``: tests that take too long to be run at every change, and notebooks that do.

They carry the mark ``long``. What passed is kept with a hash of the program that it passed with, test by
test, so that the command goes on where it was stopped and runs nothing twice; a test fails where a hash is
not that of today's program.
"""

import ast
import hashlib
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import nbformat
import pytest

from benchmarks.report import RESULTS, read, write

ROOT = Path(__file__).parents[1]
WORKERS = "2"
READ = {
    "tests/test_pymc_page.py": ("docs/pymc.md",),
    "tests/test_docs.py": ("docs/extending.md", "examples/*"),
    "tests/test_docstrings.py": ("bayesglu/analysis/*.py", "bayesglu/plots/*.py"),
}
"""What else some files of tests read and run."""


def program() -> str:
    """A hash of what the package does: its code without comments and docstrings, its models and studies."""
    code = hashlib.sha256()
    for path in sorted((ROOT / "bayesglu").rglob("*.py")):
        code.update(_tree(path))
    for path in sorted([*(ROOT / "models").glob("*.toml"), *(ROOT / "data").rglob("*.csv")]):
        code.update(path.read_bytes())
    return code.hexdigest()


def digest(test: str, of_program: str) -> str:
    """A hash of all that decides whether a test passes; `test` is its id, ``tests/FILE.py::NAME[CASE]``."""
    file = test.partition("::")[0]
    told = of_program.encode() + _tree(ROOT / file)
    imported = set(re.findall(r"^from (\w+) import", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE))
    for beside in sorted((ROOT / "tests").glob("*.py")):
        if beside.stem in imported:
            told += _tree(beside)
    for path in (path for pattern in READ.get(file, ()) for path in sorted(ROOT.glob(pattern))):
        told += path.read_bytes()
    notebook = ROOT / "notebooks" / f"{test.partition('[')[2].removesuffix(']')}.ipynb"
    if notebook.is_file():
        cells = nbformat.read(notebook, as_version=4).cells
        told += "\n".join(cell.source for cell in cells if cell.cell_type == "code").encode()
    return hashlib.sha256(told).hexdigest()


def long_tests() -> list[str]:
    """The ids of all tests that are marked."""
    files = [p for p in sorted((ROOT / "tests").glob("test_*.py")) if "mark.long" in p.read_text("utf-8")]
    collect = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "-n",
        "0",
        "-m",
        "long",
        *map(str, files),
    ]
    told = subprocess.run(collect, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [line for line in told.splitlines() if "::" in line]


def kept() -> dict[str, str]:
    """What passed: the id of each test, and the hash that it passed with."""
    if not (RESULTS / "long.json").is_file():
        return {}
    return {row["test"]: row["sha256"] for row in read("long")["rows"]}


class _Keeper:
    """Keeps each test as soon as it has passed."""

    def __init__(self, rows: dict[str, dict], of_program: str):
        self.rows, self.program = rows, of_program

    def pytest_runtest_logreport(self, report) -> None:
        if report.when == "call" and report.passed:
            own = {"test": report.nodeid, "seconds": round(report.duration), "sha256": ""}
            self.rows[report.nodeid] = own | {"sha256": digest(report.nodeid, self.program)}
            write("long", [self.rows[test] for test in sorted(self.rows)])


def main() -> None:
    """Run what has not passed with today's program."""
    of_program, known, every = program(), kept(), long_tests()
    due = [test for test in every if known.get(test) != digest(test, of_program)]
    rows = {row["test"]: row for row in (read("long")["rows"] if known else []) if row["test"] in set(every)}
    print(f"{len(every)} tests, of which {len(due)} are to be run")
    if due:
        keeper = _Keeper(rows, of_program)
        sys.exit(pytest.main(["-n", WORKERS, "-m", "long", *(str(ROOT / t) for t in due)], plugins=[keeper]))
    write("long", [rows[test] for test in sorted(rows)])


def _tree(path: Path) -> bytes:
    """The code of a file, whatever its layout, comments and docstrings."""
    return _code(path.read_text(encoding="utf-8"))


@cache
def _code(text: str) -> bytes:
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not (isinstance(s, ast.Expr) and _is_text(s.value))]
    return ast.dump(tree).encode()


def _is_text(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and isinstance(value.value, str)
