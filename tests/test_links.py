"""Links of the documentation lead somewhere."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote

import pytest
from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "experiments/README.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
INDEX = ROOT / "docs/README.md"


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def links(page: Path) -> Iterator[str]:
    for token in MarkdownIt().enable("table").parse(page.read_text()):
        for child in token.children or ():
            if child.type in ("link_open", "image"):
                yield unquote(child.attrs["href" if child.type == "link_open" else "src"])


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to a page's headings, the second of a name with -1."""
    found: list[str] = []
    tokens = MarkdownIt().enable("table").parse(page.read_text())
    for opening, heading in pairwise(tokens):
        if opening.type == "heading_open":
            text = "".join(child.content for child in heading.children)
            found.append(re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-"))
    return {f"{slug}-{n}" if (n := found[:i].count(slug)) else slug for i, slug in enumerate(found)}


def dead_links(page: Path) -> list[str]:
    dead = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if link.startswith(("http://", "https://", "mailto:")):
            continue
        if not target.exists() or (anchor and (target.suffix != ".md" or anchor not in anchors(target))):
            dead.append(link)
    return dead


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_each_link_leads_somewhere(page):
    assert dead_links(page) == []


def test_a_dead_link_is_found(tmp_path):
    (tmp_path / "b.md").write_text("# One\n## Same `code`\n## Same code\n```sh\n# no heading\n```\n")
    page = tmp_path / "a.md"
    page.write_text(
        "[x](b.md#one) [x](b.md#same-code-1) [x](#none) ![x](none.png) [x](b.md#no-heading) [x](b.md#same-code-2)\n"
    )
    assert dead_links(page) == ["#none", "none.png", "b.md#no-heading", "b.md#same-code-2"]


def test_every_page_stands_in_the_reading_order():
    listed = {link.partition("#")[0] for link in links(INDEX)}
    of_docs = {page.name for page in INDEX.parent.glob("*.md")} - {INDEX.name}
    notes = {f"notes/{page.name}" for page in (INDEX.parent / "notes").glob("*.md")}
    linked_from_pages = {link.partition("#")[0] for page in PAGES for link in links(page) if "notes/" in link}
    assert of_docs <= listed
    assert notes <= listed | linked_from_pages
    assert "docs/README.md" in set(links(ROOT / "README.md"))
