"""What the site needs beyond the pages of docs/: the documents of the project's root, the notebooks, the
equations as MathML, docstrings as Markdown. MkDocs reads this file as its hooks (see mkdocs.yml).

In the repository a link is relative to its file, so that it works wherever files are read; here it is led to
the page, or to a copy, of the file that it means. What it does not find there, a strict build refuses.
"""

import base64
import json
import posixpath
import re
from pathlib import Path

from griffe import Extension
from latex2mathml.converter import convert
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parents[1]
DOCUMENTS = {
    "README.md": "index.md",
    **{
        f"{name}.md": f"project/{name}.md"
        for name in (
            "ARCHITECTURE",
            "CHANGELOG",
            "CODE_OF_CONDUCT",
            "CONTRIBUTING",
            "RELEASING",
            "SECURITY",
        )
    },
}
"""Documents of the root -> their pages."""

NOTEBOOKS = {
    f"notebooks/{path.name}": f"notebooks/{path.stem}.md"
    for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
}
OPTIONAL = {"extending.md", "pymc.md"}
"""Pages that stand in the navigation as soon as they are written."""

LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
FENCED = re.compile(r"(^```.*?^```$)", re.MULTILINE | re.DOTALL)


# --- pages ---


def on_config(config):
    """Leave out of the navigation what is not written yet, and put in every notebook."""
    present = {path.name for path in (ROOT / "docs").glob("*.md")}
    config.nav = _without(config.nav, OPTIONAL - present)
    written = json.dumps(config.nav)
    start = next(entry["How do I start?"] for entry in config.nav if "How do I start?" in entry)
    start += [page for page in NOTEBOOKS.values() if page not in written]
    return config


def _without(entry, absent):
    if isinstance(entry, list):
        return [kept for kept in (_without(inner, absent) for inner in entry) if kept]
    if isinstance(entry, dict):
        return {title: kept for title, inner in entry.items() if (kept := _without(inner, absent))}
    return None if entry in absent else entry


def on_files(files: Files, config) -> Files:
    """Add pages for documents and notebooks, and copies of the other files that pages link to."""
    for source, page in DOCUMENTS.items():
        if (ROOT / source).is_file():
            text = (ROOT / source).read_text(encoding="utf-8")
            files.append(File.generated(config, page, content=text))
    for source, page in NOTEBOOKS.items():
        text, pictures = notebook(ROOT / source, Path(page).stem)
        files.append(File.generated(config, page, content=text))
        for name, picture in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=picture))
    linked = {
        target
        for file in files.documentation_pages()
        for _, link, _ in LINK.findall(file.content_string)
        if (target := _meant(link, file.src_uri)) and not target.startswith("docs/")
    }
    listed = {target for target in linked if (ROOT / target).is_dir()}
    for target in sorted(listed):
        names = _names(target)
        lines = [f"# {target}", "", *(f"- [{name}]({posixpath.basename(_copy(name))})" for name in names)]
        page = File.generated(config, _copy(target), content="\n".join(lines) + "\n")
        page.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(page)
        linked |= {f"{target}/{name}" for name in names}
    for target in sorted(linked - listed - DOCUMENTS.keys() - NOTEBOOKS.keys()):
        if (ROOT / target).is_file():
            content = (ROOT / target).read_bytes()
            files.append(File.generated(config, _copy(target), content=content))
    return files


def _names(folder):
    """Names of the files of a folder of the project."""
    return sorted(path.name for path in (ROOT / folder).iterdir() if path.is_file())


def on_page_markdown(markdown, page, config, files):
    """Lead links to the pages of this site, and write equations in MathML."""
    here = page.file.src_uri

    def led(link):
        target = _meant(link[2], here)
        if not target or not (ROOT / target).exists():
            return link[0]
        if target.startswith("docs/"):
            uri = target.removeprefix("docs/")
        else:
            uri = {**DOCUMENTS, **NOTEBOOKS}.get(target, _copy(target))
        return f"{link[1]}{posixpath.relpath(uri, posixpath.dirname(here) or '.')}{link[3]}"

    parts = FENCED.split(LINK.sub(led, markdown))
    has_math = "```math" in markdown or here.startswith("notebooks/")
    return "".join(map(_equations, parts)) if has_math else "".join(parts)


def _origin(uri):
    """Where the text of a page lies, seen from the root."""
    pages = {page: source for source, page in {**DOCUMENTS, **NOTEBOOKS}.items()}
    return pages.get(uri, f"docs/{uri}")


def _meant(link, uri):
    """What a link of a page means, seen from the root; nothing where it leads out of the project."""
    if re.match(r"[a-z]+:", link) or link.startswith("/"):
        return None
    if uri in NOTEBOOKS.values() and "/" not in link and link.endswith(".png"):
        return None  # a picture of the notebook, which lies beside its page
    return posixpath.normpath(posixpath.join(posixpath.dirname(_origin(uri)), link))


def _copy(target):
    """Where a file is copied to, or a folder is listed; a file without an ending is text."""
    if (ROOT / target).is_dir():
        return f"files/{target}/index.md"
    return f"files/{target}" if Path(target).suffix else f"files/{target}.txt"


# --- notebooks ---


def notebook(path: Path, stem: str) -> tuple[str, dict[str, bytes]]:
    """A notebook as Markdown, with its pictures by name."""
    parts, pictures = [], {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
        elif cell["cell_type"] == "code":
            parts.append(f"```python\n{source}\n```")
            parts += [_output(output, stem, pictures) for output in cell["outputs"]]
    return "\n\n".join(parts) + "\n", pictures


def _output(output, stem, pictures):
    data = {kind: "".join(value) for kind, value in output.get("data", {}).items()}
    if "image/png" in data:
        name = f"{stem}_{len(pictures) + 1}.png"
        pictures[name] = base64.b64decode(data["image/png"])
        return f"![Output of the cell above]({name})"
    if 'class="dataframe"' in data.get("text/html", ""):
        table = re.search(r"<table.*</table>", data["text/html"], re.DOTALL)[0]
        return re.sub(r"\n\s*", "", table.replace(' border="1" class="dataframe"', ""))
    return f"```text\n{(data.get('text/plain') or ''.join(output.get('text', ''))).rstrip()}\n```"


# --- equations ---


def _equations(part):
    """Equations of a part of a page as MathML, which browsers draw themselves; other code stays."""
    if part.startswith("```math"):
        return _displayed(re.fullmatch(r"```math\s(.*)```", part, re.DOTALL))
    if part.startswith("```"):
        return part
    spans = re.split(r"(`[^`\n]*`)", part)
    spans[::2] = [re.sub(r"\$\$(.+?)\$\$", _displayed, text, flags=re.DOTALL) for text in spans[::2]]
    spans[::2] = [re.sub(r"\$([^$\n]+)\$", _inline, text) for text in spans[::2]]
    return "".join(spans)


def _displayed(found):
    return f'<div class="math">{convert(found[1].strip(), display="block")}</div>'


def _inline(found):
    # in a span, for Markdown takes an element of its own at the beginning of a line for a block
    return f'<span class="math">{convert(found[1])}</span>'


# --- docstrings ---


class Docstrings(Extension):
    """Docstrings, which a terminal shows as they are, as Markdown."""

    def on_instance(self, *, obj, **_):
        if obj.docstring and not obj.is_alias:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(text: str) -> str:
    """A docstring with its references, tables and examples in Markdown.

    >>> markdown("See :func:`bayesglu.fit`.")
    'See `bayesglu.fit`.'
    """
    text = re.sub(r":(?:func|class|meth|mod|attr):`~?([^`]+)`", r"`\1`", text)
    text = re.sub(r"^\.\. code-block:: (\w+)\n\n((?:    .*\n|\n)+)", _fenced, text, flags=re.MULTILINE)
    text = re.sub(r"^(=+  +=[= ]*)\n(.*\n)((?:.*\n)+?)\1$", _table, text + "\n", flags=re.MULTILINE)
    blocks = re.split(r"(^Examples\n-+\n(?:.*\n)*)", text, flags=re.MULTILINE)
    blocks[::2] = [
        re.sub(r"((?:^>>> .*\n(?:.+\n)*)+)", r"```pycon\n\1```\n", part, flags=re.MULTILINE)
        for part in blocks[::2]
    ]
    return "".join(blocks).rstrip()


def _fenced(found):
    body = re.sub(r"^    ", "", found[2], flags=re.MULTILINE)
    return f"```{found[1]}\n{body.rstrip()}\n```\n\n"


def _table(found):
    """A table of reStructuredText. Its rules say where columns are; no first cell: a row goes on."""
    rule, head, body = found[1], found[2], found[3]
    edges = [place.span() for place in re.finditer("=+", rule)]
    edges = [(start, None if end == len(rule) else end) for start, end in edges]
    rows = []
    for line in (head, *body.splitlines()):
        if set(line.strip()) <= {"=", " "}:
            continue
        cells = [line[start:end].strip() for start, end in edges]
        if cells[0] or not rows:
            rows.append(cells)
        else:
            rows[-1] = [f"{old} {new}".strip() for old, new in zip(rows[-1], cells, strict=True)]
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(edges), *lines[1:]])
