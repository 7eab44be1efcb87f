"""Every notebook runs from top to bottom, ends in assertions, and is kept with the outputs of such a run."""

import ast
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))

# Where files lie on someone's machine: no output may tell.
PLACE = re.compile(
    r"/(?:home|Users|root|tmp|work|mnt|opt|usr|var|private)/|[A-Z]:\\\\?\w|site-packages|file://"
)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request) -> nbformat.NotebookNode:
    return nbformat.read(request.param, as_version=4)


def code(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_notebooks_are_numbered_from_one():
    assert [int(path.stem.partition("_")[0]) for path in NOTEBOOKS] == list(range(1, len(NOTEBOOKS) + 1))


@pytest.mark.sampling
@pytest.mark.long
def test_a_notebook_runs_from_top_to_bottom(notebook, tmp_path):
    from nbclient import NotebookClient

    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    assert not list(tmp_path.iterdir())


def test_a_notebook_ends_in_assertions(notebook):
    last = ast.parse(code(notebook)[-1].source).body
    assert sum(isinstance(line, ast.Assert) for line in last) >= 3
    assert not code(notebook)[-1].outputs


def test_the_cells_of_a_notebook_were_run_once_and_in_order_before_it_was_committed(notebook):
    assert [cell.execution_count for cell in code(notebook)] == list(range(1, len(code(notebook)) + 1))


def test_the_outputs_of_a_notebook_hold_no_error_no_warning_and_no_place_on_a_machine(notebook):
    for cell in code(notebook):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output
            told = [output.get("text", ""), *(v for k, v in output.get("data", {}).items() if "text" in k)]
            assert not PLACE.search("".join(told))
    assert not PLACE.search("".join(cell.source for cell in notebook.cells))


def test_a_notebook_does_not_tell_when_or_with_which_python_it_was_run(notebook):
    assert set(notebook.metadata) == {"kernelspec", "language_info"}
    assert set(notebook.metadata.language_info) == {"name"}
    assert not any(cell.metadata for cell in notebook.cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_enough_to_keep(path):
    assert path.stat().st_size < 600_000
