"""What MkDocs needs to make a site of pages that are written for a reader of the repository; mkdocs.yml names it.

- The order of the pages is that of the tables in docs/README.md.
- The front page is the repository's README.md. Pages may link to any file of the repository; those files come along.
- Behind a fence's language may stand a file's name, or `no-test` and a reason: see tests/test_docs.py.
- The notebook becomes a page: its text and its code.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Where pages that do not lie in docs/ stand in the site.
MOVED = {
    "README.md": "index.md",
    "docs/README.md": "contents.md",
    "CONTRIBUTING.md": "contributing.md",
    "experiments/README.md": "experiments.md",
}
LINK = re.compile(r"(\]\()([^)#\s]+)((?:#[^)\s]*)?\))")
ENTRY = re.compile(r"^\| \[(.+?)\]\((.+?)\)", re.MULTILINE)


def place(path: str) -> str:
    """Where a file of the repository, `docs/lenses.md` for example, stands in the site."""
    if path in MOVED:
        return MOVED[path]
    if path.startswith("docs/"):
        return re.sub(r"\.ipynb$", ".md", path.removeprefix("docs/"))
    return f"files/{path}.txt"  # a browser shows text, and would save a .toml or .py


ORIGIN = {place(path): path for path in MOVED}


def origin(uri: str) -> str:
    return ORIGIN.get(uri, f"docs/{uri}")


def target(page: str, link: str) -> str | None:
    """The file or folder of the repository that a link of a page leads to; a folder's README. None for other links."""
    if re.match(r"[a-z]+:", link):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link))
    if (ROOT / path / "README.md").is_file():
        path += "/README.md"
    return path if (ROOT / path).exists() else None


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    # Above each table stands a line that begins with the section's name: "Reference:", "For newcomers, in this order:".
    sections = re.findall(r"^(\w[^,:\n]*).*:\n\n(\|(?:.+\n)+)", (ROOT / "docs/README.md").read_text(), re.MULTILINE)
    config.nav = [{"droulette": "index.md"}]
    for title, table in sections:
        config.nav.append({title: [{name: place(f"docs/{path}")} for name, path in ENTRY.findall(table)]})
    about = [{"All pages": "contents.md"}, {"Experiments": "experiments.md"}, {"Contributing": "contributing.md"}]
    config.nav.append({"The project": about})
    return config


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    kept = [
        file for file in files if Path(file.src_uri).suffix not in (".py", ".ipynb") and file.src_uri != "README.md"
    ]
    found = Files(kept)
    for path, uri in MOVED.items():
        found.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    for notebook in (ROOT / "docs").glob("*.ipynb"):
        found.append(File.generated(config, place(f"docs/{notebook.name}"), content=text_of(notebook)))
    for page in list(found.documentation_pages()):
        for _, link, _ in LINK.findall(page.content_string):
            path = target(origin(page.src_uri), link)
            if path and place(path).startswith("files/") and place(path) not in found.src_uris:
                found.append(File.generated(config, place(path), content=shown(ROOT / path)))
    return found


def shown(path: Path) -> str:
    """The text of a file, or the names in a folder."""
    if path.is_file():
        return path.read_text()
    return "\n".join(sorted(entry.name for entry in path.iterdir() if not entry.name.startswith(("__pycache__", "."))))


def text_of(notebook: Path) -> str:
    cells = json.loads(notebook.read_text())["cells"]
    texts = [("".join(cell["source"]), cell["cell_type"]) for cell in cells]
    return "\n\n".join(f"```python\n{text}\n```" if kind == "code" else text for text, kind in texts)


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    here = page.file.src_uri

    def moved(link: re.Match) -> str:
        path = target(origin(here), link[2])
        if path is None:
            return link[0]
        return link[1] + posixpath.relpath(place(path), posixpath.dirname(here) or ".") + link[3]

    lines, fenced, before = [], False, ""
    for line in markdown.splitlines():
        if line.startswith("```"):
            fenced = not fenced
            line = fence(line) if fenced else line
        elif not fenced:
            # Python-Markdown takes a list only behind an empty line.
            if re.match(r"([*-]|\d+\.) ", line) and before.strip() and not re.match(r"([*-]|\d+\.| ) ?", before):
                lines.append("")
            line = LINK.sub(moved, line)
        lines.append(line)
        before = line
    return "\n".join(lines)


def fence(line: str) -> str:
    """```python own/lens.py becomes ```python title="own/lens.py"; a reason not to run the block is left out."""
    language, _, info = line.removeprefix("```").partition(" ")
    return f"```{language}" + (f' title="{info}"' if info and not info.startswith("no-test") else "")
