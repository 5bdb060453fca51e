"""Small copies of the project in repositories of their own, and what is typed in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import clones

STAGES = ("generate", "split", "train", "evaluate", "report")
OUTPUTS = ("data", "models", "metrics")
BOX = "models/telescope.safetensors"  # comes with the repository, and is no stage's output

SMALL = clones.SMALL | {
    "simulator": {"size": 60, "imagesize": 128, "cropsize": 64},
    "dataset.training": {"size": 40},
    "dataset.validation": {"size": 10},
    "settings": {"model": "polar_tiny"},
    "training": {"num-epochs": 2},
}


@dataclass
class Clone:
    """A git clone in a folder of its own, and the programs of this environment run in it."""

    path: Path
    caches: Path

    def run(self, *command: str, folder: str = ".") -> str:
        environment = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_SITE_CACHE_DIR": str(self.caches),
            "DVC_NO_ANALYTICS": "1",
            "COLUMNS": "200",
        }
        done = subprocess.run(
            command, cwd=self.path / folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout

    def dvc(self, *arguments: str, folder: str = ".") -> str:
        return self.run("dvc", *arguments, folder=folder)

    def diff(self, kind: str) -> dict:
        """What ``dvc <kind> diff`` finds between HEAD and the workspace."""
        return json.loads(self.dvc(kind, "diff", "--json"))

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", message)

    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file the pipeline wrote, by its path in the clone."""
        files = (f for folder in OUTPUTS for f in (self.path / folder).rglob("*") if f.is_file())
        written = {str(f.relative_to(self.path)): f for f in files if f != self.path / BOX}
        return {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in written.items()}


def stages_run(output: str) -> list[str]:
    """The stages that a ``dvc repro`` or ``dvc exp run`` says it ran, in order."""
    return [stage for line in output.splitlines() for stage in STAGES if line == f"Running stage '{stage}':"]


def start_workers(clone: Clone, count: int, **variables: str) -> None:
    """Type `dvc queue start -j count`. The workers go on, and would hold a pipe that its output went to."""
    typed = " ".join(f"{name}={value}" for name, value in variables.items())
    clone.run("sh", "-c", f"{typed} dvc queue start -j {count} >/dev/null 2>&1")


def wait_for_queue(clone: Clone, seconds: float = 400) -> None:
    """Until no experiment is queued or running."""
    end = time.monotonic() + seconds
    while "Queued" in (status := clone.dvc("queue", "status")) or "Running" in status:
        assert time.monotonic() < end, status
        time.sleep(1)


def stop_workers(clone: Clone, seconds: float = 60) -> None:
    """Workers that find nothing would wait ten seconds for more, and take what the next test queues."""
    clone.dvc("queue", "stop", "--kill")
    end = time.monotonic() + seconds
    while "0 active, 0 idle" not in (status := clone.dvc("queue", "status")):
        assert time.monotonic() < end, status
        time.sleep(1)


def project_copy(folder: Path, changes: dict[str, dict] = SMALL) -> Clone:
    """The working tree as it is now, committed in a repository of its own; not run. changes: make params.toml small."""
    clone = Clone(folder / "clone", folder / "site-cache")
    clones.copy_working_tree(clone.path)
    clones.shrink(clone.path / "params.toml", changes)
    clone.run("git", "init", "-q", "-b", "main")
    clone.run("git", "config", "user.name", "t")
    clone.run("git", "config", "user.email", "t@example.org")
    clone.commit("small")
    return clone


def duplicate(clone: Clone, folder: Path) -> Clone:
    shutil.copytree(clone.path, folder / "clone", symlinks=True)
    return Clone(folder / "clone", folder / "site-cache")
