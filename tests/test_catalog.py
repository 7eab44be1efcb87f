"""Built-in models and studies are found by name wherever the package lies, and each paper can be cited."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bayesglu import catalog
from bayesglu.spec.model import load_model
from bayesglu.study.study import load_study
from bayesglu.text import bibtex
from bayesglu.validation.facts import load_facts

ROOT = Path(__file__).parents[1]


def test_every_model_file_is_listed_and_all_extend_the_smallest():
    files = {path.stem: tomllib.loads(path.read_text("utf-8")) for path in (ROOT / "models").glob("*.toml")}
    assert list(catalog.list_models()) == sorted(files)
    roots = {name for name, table in files.items() if table.get("extends") not in files}
    assert roots == {"minimal"} and "extends" not in files["minimal"]


def test_every_folder_with_observations_is_a_study_and_found_by_its_name():
    folders = {path.parent.name for path in (ROOT / "data").glob("*/observations.csv")}
    assert list(catalog.list_studies()) == sorted(folders)
    assert all(load_study(name).name == name for name in folders)


def test_an_unknown_name_is_answered_with_the_nearest_and_with_all():
    listed = re.escape(", ".join(catalog.list_models()))
    with pytest.raises(LookupError, match=rf"Did you mean 'minimal'\?\n  Built-in: {listed}"):
        catalog.locate("model", "minimall")
    with pytest.raises(LookupError, match="no key of the bibliography"):
        catalog.citation("taylor1969")


def test_models_are_found_inside_an_installed_package_and_never_among_its_neighbours(tmp_path):
    shutil.copytree(ROOT / "bayesglu", tmp_path / "bayesglu", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "models", tmp_path / "bayesglu" / "models")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "stranger.toml").touch()
    code = "from bayesglu.catalog import list_models; print(*list_models())"

    def ask() -> subprocess.CompletedProcess:
        return subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)

    assert ask().stdout.split() == list(catalog.list_models())
    shutil.rmtree(tmp_path / "bayesglu" / "models")
    assert "FileNotFoundError" in ask().stderr


@pytest.mark.parametrize("name", catalog.list_models())
def test_every_source_of_a_model_can_be_cited(name):
    cited = catalog.citation(name)
    for key in load_model(name).sources:
        assert catalog.citation(key) in cited


def test_every_paper_of_the_bibliography_is_behind_some_prior_fact_or_protocol():
    used = {key for name in catalog.list_models() for key in load_model(name).sources}
    used |= {key for group in load_facts() for fact in group.facts for key in fact.source}
    page = ROOT / "docs" / "protocols.md"
    follows = re.findall(r"^Follows: .+$", page.read_text(encoding="utf-8"), re.MULTILINE)
    used |= {key for line in follows for key in re.findall(r"`(\w+)`", line)}
    assert used == set(catalog.references())


def test_a_citation_reads_as_one_sentence_after_another():
    assert catalog.citation("pacini1986") == (
        "Pacini G, Bergman RN (1986). Comput Methods Programs Biomed 23:113-122."
    )
    assert catalog.citation("campioni2009") == "Campioni et al. (2009). Am J Physiol 297:E941."
    assert "doi:10.1038/s41540-022-00213-0" in catalog.citation("fujita2022")


def test_a_bibliography_is_read_with_nested_braces_quotes_and_bare_numbers():
    text = """
    % a remark, with an @ in it
    @Article{one, author = {K{\\"o}nig, A. and B, C.}, title = "Insulin, glucose, and {DNA}",
      year = 1999, pages={1--9}
    }
    @misc{two, note = {last}}
    """
    entries = bibtex.parse_bibtex(text)
    assert entries["one"] == {
        "type": "article",
        "author": 'K\\"onig, A. and B, C.',
        "title": "Insulin, glucose, and DNA",
        "year": "1999",
        "pages": "1--9",
    }
    assert entries["two"] == {"type": "misc", "note": "last"}
