"""Small copies of the project to do harm to: `faults.py` and the tests of hardening share them."""

from __future__ import annotations

import hashlib
import importlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUTPUTS = {
    "generate": ("data/images", "data/dataset.csv", "data/roulette.csv"),
    "split": ("data/training.csv", "data/validation.csv", "data/testing.csv"),
    "train": ("models/model.safetensors", "metrics/train"),
    "evaluate": ("metrics/predictions", "metrics/plots", "metrics/evaluate.json"),
}
SMALL = {
    "simulator": {"size": 120, "imagesize": 96, "cropsize": 48},
    "lens": {"einstein-min": 5, "einstein-max": 15},
    "source": {"sigma-min": 2, "sigma-max": 10},
    "dataset.training": {"size": 80},
    "dataset.validation": {"size": 20},
    "settings": {"model": "polar_tiny", "device": "cpu"},
    "hyperparameters": {"batch-size": 16},
    "training": {"num-epochs": 4},
    "evaluation": {"resimulations": 5, "examples": 2},
}


def shrink(params: Path, changes: dict[str, dict]) -> None:
    """Put other values into tables of a TOML file, which are named by their dotted keys."""
    import tomlkit

    document = tomlkit.parse(params.read_text())
    for name, values in changes.items():
        table = document
        for key in name.split("."):
            table = table[key]
        table.update(values)
    params.write_text(tomlkit.dumps(document))


def copy_working_tree(path: Path) -> None:
    """Copy the files that git tracks, or would, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(lambda name: (ROOT / name).is_file(), listed):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, path / name)


@dataclass
class Done:
    """A command that ended: its exit status, and stdout and stderr as one text."""

    status: int
    output: str

    @property
    def lines(self) -> list[str]:
        return self.output.strip().splitlines()

    @property
    def one_line(self) -> bool:
        """Whether it failed as a user may expect: status 2, and one line that says why."""
        errors = [line for line in self.lines if line.startswith("error: ")]
        return self.status == 2 and len(errors) == 1 and "Traceback" not in self.output


@dataclass
class Clone:
    """A copy of the working tree with small parameters, as a git repository, with this environment's programs."""

    path: Path

    @classmethod
    def make(cls, path: Path, changes: dict[str, dict] | None = None) -> Clone:
        copy_working_tree(path)
        clone = cls(path)
        shrink(path / "params.toml", SMALL | (changes or {}))
        (path / "dvc.lock").unlink(missing_ok=True)
        for command in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-qm", "small"]):
            clone.run("git", "-c", "user.name=t", "-c", "user.email=t@example.org", *command)
        return clone

    def start(self, *command: str, **environment: str) -> subprocess.Popen:
        """In a session of its own, so that it can be killed with all that it has started."""
        return subprocess.Popen(
            command, cwd=self.path, env=self.environment | environment, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_SITE_CACHE_DIR": str(self.path.parent / f"{self.path.name}-site-cache"),
            "DVC_NO_ANALYTICS": "1",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }

    def run(self, *command: str, **environment: str) -> Done:
        process = self.start(*command, **environment)
        return finished(process)

    def fork(self, stage: str, limit: int | None = None, **environment: str) -> Forked:
        """Start a stage; `limit`: the most bytes that a file of it may have."""
        return Forked(self, stage, environment, limit)

    def stage(self, name: str, limit: int | None = None, **environment: str) -> Done:
        return finished(self.fork(name, limit, **environment))

    def hashes(self, stages: Iterable[str] = OUTPUTS) -> dict[str, str]:
        """SHA-256 of each file that the stages wrote, by its path in the clone."""
        found = {}
        for place in (self.path / output for stage in stages for output in OUTPUTS[stage]):
            for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
                if file.is_file():
                    found[str(file.relative_to(self.path))] = hashlib.sha256(file.read_bytes()).hexdigest()
        return found

    def remove(self, stage: str) -> None:
        """Remove a stage's outputs, as DVC does before it runs one."""
        for output in OUTPUTS[stage]:
            place = self.path / output
            shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)

    def left_behind(self) -> list[str]:
        """Temporary files and folders beside the outputs."""
        places = (self.path / folder for folder in ("data", "models", "metrics"))
        return [str(path) for place in places for path in place.rglob("*.partial")]


def finished(process: subprocess.Popen | Forked) -> Done:
    output, _ = process.communicate()
    return Done(process.returncode, output)


def preload() -> None:
    """Import what the stages do, so that a forked one begins with its work."""
    import matplotlib.pyplot
    import sklearn.preprocessing
    import torch

    torch.set_num_threads(1)
    for stage in OUTPUTS:
        importlib.import_module(f"stages.{stage}")
    for name in (
        "logs",
        "split",
        "pipeline.dataset",
        "pipeline.evaluation",
        "pipeline.training",
        "pipeline.generate",
    ):
        importlib.import_module(f"droulette.{name}")
    import dvclive
    from safetensors.torch import save_file

    del matplotlib, sklearn, dvclive, save_file


class Forked:
    """A stage in a process that is forked from this one: as a `Popen`, without the seconds that imports take."""

    def __init__(self, clone: Clone, stage: str, environment: dict[str, str], limit: int | None = None) -> None:
        self.output = tempfile.TemporaryFile("w+")  # noqa: SIM115
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid:
            return
        status = 1
        try:
            os.setsid()
            os.chdir(clone.path)
            for number in (1, 2):
                os.dup2(self.output.fileno(), number)
            os.environ.update(environment)
            tempfile.tempdir = None
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            status = importlib.import_module(f"stages.{stage}").main([])
        except KeyboardInterrupt:
            status = 130
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def communicate(self) -> tuple[str, None]:
        _, status = os.waitpid(self.pid, 0)
        self.returncode = os.waitstatus_to_exitcode(status)
        self.output.seek(0)
        return self.output.read(), None
