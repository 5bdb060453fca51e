"""Pages' commands run in a small clone of the project, and the README's run once for all test files."""

from __future__ import annotations

import json
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from markdown_it import MarkdownIt
from projects import SMALL, Clone, duplicate, project_copy

ROOT = Path(__file__).parents[1]
TINY = SMALL | {
    "simulator": {"size": 30, "imagesize": 128, "cropsize": 48},
    "dataset.training": {"size": 20},
    "dataset.validation": {"size": 5},
    "training": {"num-epochs": 1, "symmetries": 1},
    "evaluation": {"resimulations": 2, "examples": 1},
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its place, language, what else stands behind the fence, and its text."""

    place: str
    language: str
    info: str
    text: str

    @property
    def tested(self) -> bool:
        return not self.info.startswith("no-test")

    @property
    def file(self) -> str | None:
        return self.info or None if self.tested else None


def blocks(page: Path) -> list[Block]:
    result = []
    for token in MarkdownIt().enable("table").parse(page.read_text()):
        if token.type == "fence":
            language, _, info = token.info.strip().partition(" ")
            result.append(Block(f"{page.name}:{token.map[0] + 1}", language, info.strip(), token.content))
    return result


def copy(folder: Path) -> Clone:
    """The working tree as it is, with small parameters, and a .venv that `make` finds finished."""
    clone = project_copy(folder, TINY)
    (clone.path / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (clone.path / ".venv" / name).symlink_to(Path(sys.prefix) / name)
    for stamp in (".requirements", ".installed", ".installed-test"):
        (clone.path / ".venv" / stamp).touch()
    return clone


COMPILES = "compiling a formula, once on this machine"  # which another test may have had compiled


def run(page: Path, clone: Clone) -> None:
    """Save the page's files and run its commands, in their order."""
    for block in filter(lambda block: block.tested, blocks(page)):
        if block.file:
            (clone.path / block.file).parent.mkdir(parents=True, exist_ok=True)
            (clone.path / block.file).write_text(block.text)
        elif block.language == "sh":
            started = time.perf_counter()
            clone.run("bash", "-euo", "pipefail", "-c", block.text)
            print(f"{block.place}: {time.perf_counter() - started:.1f} s")
        elif block.language == "console":
            compare(block, clone)
        elif block.language == "python":
            clone.run(sys.executable, "-c", block.text)


def compare(block: Block, clone: Clone) -> None:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, *expected = part.splitlines()
        printed = clone.run("bash", "-euo", "pipefail", "-c", command).splitlines()
        printed = [line for line in printed if line != COMPILES]
        pattern = "\n".join(re.escape(line).replace("…", ".*") for line in expected)
        assert re.fullmatch(pattern, "\n".join(printed)), f"{block.place}: {command}\nprinted {printed}"


@dataclass(frozen=True)
class Readme:
    """A clone after `make repro`, committed, and one after the experiment too; and what the two blocks printed.

    Tests that change something work in a duplicate.
    """

    reproduced: Clone
    experiment: Clone
    printed: tuple[str, str]


def run_readme(folder: Path) -> Readme:
    """Run the README's commands in a folder, unless another process has done it."""
    clones = [Clone(folder / name / "clone", folder / name / "site-cache") for name in ("reproduced", "experiment")]
    done = folder / "printed.json"
    folder.mkdir(exist_ok=True)
    with FileLock(folder / "lock"):
        if not done.exists():
            typed = [block for block in blocks(ROOT / "README.md") if block.tested and block.language == "sh"]
            first, second = (block.text for block in typed)
            clone = copy(folder / "experiment")
            printed = [clone.run("bash", "-euo", "pipefail", "-c", first)]
            clone.commit("reproduced")
            duplicate(clone, folder / "reproduced")
            printed.append(clone.run("bash", "-euo", "pipefail", "-c", second))
            done.write_text(json.dumps(printed))
    return Readme(*clones, tuple(json.loads(done.read_text())))
