"""What takes too long for every change has passed with the program as it is."""

from types import SimpleNamespace

import pytest
from conftest import LONG

from benchmarks import long, report


@pytest.fixture(scope="module")
def of_program() -> str:
    return long.program()


def test_every_long_test_has_passed_with_this_program(of_program, request):
    """Those that are kept, and those that are in the files of this run."""
    known = long.kept()
    found = sorted({*known, *request.config.stash[LONG]})
    stale = [test for test in found if known.get(test) != long.digest(test, of_program)]
    assert found
    if stale:
        pytest.fail(f"run `python -m benchmarks long` for {len(stale)} tests, such as {stale[0]}", False)


def test_code_counts_and_what_is_said_of_it_does_not(tmp_path, monkeypatch):
    (tmp_path / "bayesglu").mkdir()
    monkeypatch.setattr(long, "ROOT", tmp_path)
    file, known = tmp_path / "bayesglu" / "a.py", {}
    for name, text in {
        "plain": "def f(x):\n    return x + 1\n",
        "told": '"""Of it."""\n\n\ndef f(x):\n    """One more."""\n    return x + 1  # one\n',
        "other": "def f(x):\n    return x + 2\n",
    }.items():
        file.write_text(text)
        known[name] = long.program()
    assert known["plain"] == known["told"] != known["other"]


def test_what_a_test_reads_and_what_it_imports_beside_it_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(long, "ROOT", tmp_path)
    files = {
        "tests/test_pymc_page.py": "from helper import a\n",
        "tests/test_other.py": "import helper\n",
        "tests/helper.py": "a = 1\n",
        "docs/pymc.md": "one",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    known = {name: long.digest(f"{name}::test", "") for name in files if "/test_" in name}
    for name, text in {"docs/pymc.md": "two", "tests/helper.py": "a = 2\n"}.items():
        (tmp_path / name).write_text(text)
        assert long.digest("tests/test_pymc_page.py::test", "") != known["tests/test_pymc_page.py"]
        known["tests/test_pymc_page.py"] = long.digest("tests/test_pymc_page.py::test", "")
    assert long.digest("tests/test_other.py::test", "") == known["tests/test_other.py"]


def test_a_notebook_counts_by_its_code(of_program):
    one, other = (f"tests/test_notebooks.py::a[{name}]" for name in ("01_first_fit", "02_the_loop"))
    assert long.digest(one, of_program) != long.digest(other, of_program)
    assert long.digest(one, of_program) == long.digest(one, of_program) != long.digest(one, "another program")


def test_the_command_runs_what_is_stale_and_keeps_what_passes(tmp_path, monkeypatch):
    marked = "import pytest\npytestmark = pytest.mark.long\ndef test_right(): pass\ndef test_wrong(): {}\n"
    file, ran = tmp_path / "tests" / "test_a.py", []
    file.parent.mkdir()
    file.write_text(marked.format("assert False"))
    both = [f"tests/test_a.py::{name}" for name in ("test_right", "test_wrong")]
    monkeypatch.setattr(long, "long_tests", lambda: both)
    monkeypatch.setattr(long, "ROOT", tmp_path)
    monkeypatch.setattr(long, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "RESULTS", tmp_path)

    def run(arguments, plugins):
        ran.append([argument.rpartition("::")[2] for argument in arguments if "::" in argument])
        for name in ran[-1]:
            told = {"nodeid": f"tests/test_a.py::{name}", "when": "call", "duration": 1.0}
            right = name == "test_right" or "False" not in file.read_text()
            plugins[0].pytest_runtest_logreport(SimpleNamespace(**told, passed=right))
        return int(len(long.kept()) < len(ran[-1]))

    monkeypatch.setattr(long.pytest, "main", run)
    with pytest.raises(SystemExit, match="1"):
        long.main()
    assert list(long.kept()) == ["tests/test_a.py::test_right"]
    with pytest.raises(SystemExit):
        long.main()
    assert ran == [["test_right", "test_wrong"], ["test_wrong"]], "what passed is not run again"
    file.write_text(marked.format("pass"))
    with pytest.raises(SystemExit):
        long.main()
    long.main()
    assert ran[2:] == [["test_right", "test_wrong"]], "both are in the file that changed"
