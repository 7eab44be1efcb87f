"""The project keeps its own rules: what imports what, what is documented and declared, what is promised."""

import ast
import inspect
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import bayesglu

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "bayesglu"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Only these files may import these libraries, and they take long to import.
HEAVY = {
    "pymc": ("inference/pymc_",),
    "pytensor": ("inference/pymc_", "inference/operations.py", "solver/op.py"),
    "sympy": ("solver/",),
    "matplotlib": ("plots/",),
    "nutpie": ("inference/",),
    "typer": ("cli/",),
}
# Used by name and not by an import: engines of xarray, and what users look at a fit with.
BY_NAME = {"arviz", "h5netcdf", "h5py", "zarr"}


def modules() -> dict[str, ast.Module]:
    """Path in the package -> syntax tree, of the files that do more than describe their folder."""
    trees = {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }
    return {path: tree for path, tree in trees.items() if len(tree.body) > 1}


MODULES = modules()


@cache
def imports(tree: ast.Module) -> set[str]:
    """Full names of all that a file imports when it runs, at its top or within a function."""
    typing_only = {
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = set()
    for node in ast.walk(tree):
        if node in typing_only:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own_imports(tree: ast.Module) -> set[str]:
    """Paths of the package's own files that a file imports."""
    found = set()
    for name in imports(tree):
        parts = name.split(".")
        if parts[0] == "bayesglu":
            places = (
                candidate
                for end in range(len(parts), 0, -1)
                for candidate in ("/".join(parts[1:end]) + ".py", "/".join([*parts[1:end], "__init__.py"]))
                if candidate in MODULES
            )
            found.add(next(places))
    return found


def documented() -> list[str]:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    return re.findall(r"^\| `([\w/]+\.py)` \|", text, re.MULTILINE)


def test_every_module_has_one_row_in_the_architecture_and_every_row_a_module():
    assert sorted(documented()) == sorted(MODULES)


@pytest.mark.parametrize("path", MODULES)
def test_a_module_imports_only_from_rows_above_its_own(path):
    rows = documented()
    below = {other for other in own_imports(MODULES[path]) if rows.index(other) >= rows.index(path)}
    assert not below


def test_the_physiology_imports_no_library_at_all():
    for path in MODULES:
        if path.startswith("physiology/"):
            names = {name.split(".")[0] for name in imports(MODULES[path])}
            assert names <= {*sys.stdlib_module_names, "bayesglu"}, path


@pytest.mark.parametrize("library", HEAVY)
def test_a_heavy_library_is_imported_only_where_it_belongs(library):
    users = [path for path, tree in MODULES.items() if library in {n.split(".")[0] for n in imports(tree)}]
    assert users
    assert [path for path in users if not path.startswith(HEAVY[library])] == []


def test_every_library_that_is_imported_is_declared_and_every_one_declared_is_used():
    outside = {name.split(".")[0] for tree in MODULES.values() for name in imports(tree)}
    outside -= {*sys.stdlib_module_names, "bayesglu", "__future__"}
    known = packages_distributions()
    used = {known[name][0].lower().replace("_", "-") for name in outside} | BY_NAME
    declared = {re.match(r"[\w-]+", entry)[0] for entry in PROJECT["dependencies"]}
    assert used == declared


def test_every_dependency_is_pinned_to_one_version_and_to_no_address():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {}
    for line in (line for line in lines if not line.startswith("#")):
        match = re.fullmatch(r"([a-z0-9-]+)==([\w.]+)( ; .+)?", line)
        assert match, line
        assert match[1] not in pinned, line
        pinned[match[1]] = match[2]
    extras = [entry for entries in PROJECT["optional-dependencies"].values() for entry in entries]
    wanted = {re.match(r"[\w-]+", entry)[0] for entry in [*PROJECT["dependencies"], *extras]}
    assert wanted - {"bayesglu"} <= set(pinned)


# --- the public names ---


def test_the_public_names_are_those_that_editors_see():
    tree = MODULES["__init__.py"]
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body for alias in node.names}
    homes = {name: f"bayesglu.{home}" for name, home in bayesglu._HOME_OF.items()}
    assert seen == {**homes, "plots": "bayesglu"}
    assert sorted(seen) == sorted(bayesglu.__all__)


@pytest.mark.parametrize("name", bayesglu.__all__)
def test_a_public_name_leads_to_something_that_explains_itself(name):
    thing = getattr(bayesglu, name)
    assert thing.__doc__ and thing.__doc__.strip()
    assert name in dir(bayesglu)


@pytest.mark.parametrize("name", [n for n in bayesglu.__all__ if inspect.isfunction(getattr(bayesglu, n))])
def test_what_takes_a_model_a_study_or_a_protocol_takes_its_name_its_path_or_its_text_too(name):
    taken = {"protocol": ("str",), **dict.fromkeys(("model", "spec", "study"), ("str", "Path"))}
    for parameter in inspect.signature(getattr(bayesglu, name)).parameters.values():
        for kind in taken.get(parameter.name, ()):
            assert re.search(rf"\b({kind}|Any)\b", str(parameter.annotation)), parameter


def test_a_model_a_study_and_a_protocol_mean_the_same_however_they_are_given(tmp_path):
    shutil.copy(ROOT / "models" / "oral.toml", tmp_path / "mine.toml")
    shutil.copy(ROOT / "models" / "references.bib", tmp_path)
    protocol, few = bayesglu.ogtt(75), {"subjects": 2, "draws": 2, "random_seed": 1}
    model, path = bayesglu.load_model("oral").with_changes(name="mine"), tmp_path / "mine.toml"
    for ours, theirs in ((model, path), (model, str(path))):
        one = bayesglu.identify(ours, protocol, **few)
        two = bayesglu.identify(theirs, "ogtt(75)", **few)
        assert one.equals(two)
        assert bayesglu.simulate(ours, protocol).equals(bayesglu.simulate(theirs, "ogtt(75)"))
    folder = ROOT / "data" / "bergman1986"
    quick = {"method": "laplace", "random_seed": 1, "draws": 4, "progressbar": False}
    fits = [
        bayesglu.fit(bayesglu.load_model("minimal"), bayesglu.load_study("bergman1986"), **quick),
        bayesglu.fit(ROOT / "models" / "minimal.toml", folder, **quick),
        bayesglu.refit(bayesglu.fit("minimal", str(folder), **quick), folder, 1, progressbar=False),
    ]
    assert all(fit.posterior.equals(fits[0].posterior) for fit in fits)
    expected = [bayesglu.prior_predictive("minimal", s, 3, 1) for s in ("bergman1986", folder)]
    assert expected[0].prior.equals(expected[1].prior)
    assert set(bayesglu.build("minimal", folder).named_vars) == set(
        bayesglu.build("minimal", "bergman1986").named_vars
    )


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        _ = bayesglu.fitt


def python(code: str, *flags: str) -> subprocess.CompletedProcess:
    """Run a program in a fresh interpreter."""
    return subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True, check=True)


@pytest.mark.parametrize("what", ["bayesglu", "bayesglu.cli.app"])
def test_importing_takes_less_than_a_second_and_brings_in_nothing_heavy(what):
    code = f"import sys, {what}; print(*sys.modules)"
    done = python(code, "-X", "importtime")
    assert not {*HEAVY, "numba", "numpy", "pandas", "xarray"} - {"typer"} & set(done.stdout.split())
    microseconds = re.findall(r"\|\s*(\d+) \|\s*" + re.escape(what) + r"$", done.stderr, re.MULTILINE)
    assert float(microseconds[-1]) < 1e6


# --- the README ---


def test_the_readme_begins_with_two_commands_that_set_themselves_up():
    commands = re.findall(r"^python3 .*$", README, re.MULTILINE)
    assert README.index(commands[0]) < 1500
    assert commands == [
        "python3 install.py && .venv/bin/bayesglu demo",
        "python3 install.py test && .venv/bin/pytest -n 2",
    ]
    assert '"-c", "constraints.txt"' in (ROOT / "install.py").read_text(encoding="utf-8")
    assert (ROOT / "constraints.txt").is_file()


def test_the_readme_fits_on_one_screen():
    assert len(README.splitlines()) <= 70


def test_the_set_up_is_written_for_any_python_3_and_ends_in_a_sentence(tmp_path):
    script = tmp_path / "install.py"
    script.write_text((ROOT / "install.py").read_text(encoding="utf-8"), encoding="utf-8")
    ast.parse(script.read_text(encoding="utf-8"), feature_version=(3, 6))
    (tmp_path / ".uv").touch()  # where the environment is to be: it cannot be made
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "This failed:" in done.stderr and "Traceback" not in done.stderr


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert sum(bool(line.strip()) for line in code.splitlines()) <= 12
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["fit"].attrs["method"] == "laplace"
    assert names["fit"].posterior.sizes["draw"] > 100
    assert float(names["change"].median()) < 0
    assert "insulin_sensitivity" in capsys.readouterr().out
    assert any(path.suffix == ".png" for path in tmp_path.iterdir())


def test_the_readme_asks_what_the_navigation_of_the_site_asks():
    asked = re.findall(r"^\| ([A-Z].*\?) \|", README, re.MULTILINE)
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    answered = re.findall(r"^  - (.*\?):", site, re.MULTILINE)
    assert asked and set(asked) <= set(answered)


@pytest.mark.parametrize("name", sorted(path.name for path in ROOT.glob("*.md")))
def test_a_link_within_the_project_leads_somewhere(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_version_is_the_same_wherever_it_stands():
    cited = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    newest = re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert PROJECT["version"] == cited[1] == newest[1] == bayesglu.__version__
