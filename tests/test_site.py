"""The site of the pages builds without a warning, from this machine alone, and its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FETCHED = re.compile(r"""<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=["']?(https?:[^"'\s>]+)""")
LOCAL = re.compile(r"""<a\b[^>]*?\bhref=["']?(?![a-z]+:)([^"'\s>#]+)""")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: `make site` or pip install -r requirements-docs.txt")
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_page_of_the_docs_is_in_the_site_and_in_the_search(site):
    index = (site / "search/search_index.json").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        name = str(page.relative_to(ROOT / "docs").with_suffix(".html")).replace("README", "contents")
        assert (site / name).is_file() and f'"location":"{name}"' in index, name


def test_no_page_asks_another_server_for_anything(site):
    assert {url for page in site.rglob("*.html") for url in FETCHED.findall(page.read_text())} == set()


def test_links_of_the_site_lead_to_files_of_it(site):
    dead = {
        f"{page.name}: {link}"
        for page in site.rglob("*.html")
        if page.name != "404.html"
        for link in LOCAL.findall(page.read_text())
        if not (page.parent / link).exists()
    }
    assert dead == set()
