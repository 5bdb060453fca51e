"""What it costs to start: `--help`, and `dvc repro` with nothing to do.

    python benchmarks/startup.py [--repeats 9]

In a clone of this repository, whose data `dvc repro` has made once at a small size.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from measure import ROOT, Run, median, report, run_command, say

PROGRAMS = Path(sys.executable).parent
SMALL = {  # of params.toml, so that the pipeline is run within seconds
    r"^size = 15000": "size = 60",
    r"^size = 10000": "size = 40",
    r"^size = 1000\b": "size = 10",
    r"^imagesize = .*": "imagesize = 64",
    r"^cropsize = .*": "cropsize = 32",
    r'^model = "polar"': 'model = "polar_tiny"',
    r"^num-epochs = .*": "num-epochs = 1",
    r"^resimulations = .*": "resimulations = 4",
    r"^examples = .*": "examples = 1",
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--repeats", type=int, default=9)
    args = options.parse_args()
    with tempfile.TemporaryDirectory() as top:
        measure(args, Path(top))


def measure(args: argparse.Namespace, top: Path) -> None:
    environment = {
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "DVC_SITE_CACHE_DIR": str(top / "memory"),
        "DVC_NO_ANALYTICS": "1",
    }

    def call(folder: Path, *command: str) -> Run:
        program = str(PROGRAMS / command[0])
        return run_command([program, *command[1:]], folder, environment)

    clone, empty = top / "clone", top / "empty"
    shutil.copytree(ROOT, clone, ignore=shutil.ignore_patterns(".git", ".venv", ".peers", ".dvc", "data", "dvc.lock"))
    for name in ("config", ".gitignore", "plots"):
        if (ROOT / ".dvc" / name).is_dir():
            shutil.copytree(ROOT / ".dvc" / name, clone / ".dvc" / name)
        elif (ROOT / ".dvc" / name).is_file():
            (clone / ".dvc").mkdir(exist_ok=True)
            shutil.copy(ROOT / ".dvc" / name, clone / ".dvc" / name)
    text = (clone / "params.toml").read_text()
    for pattern, value in SMALL.items():
        text = re.sub(pattern, value, text, flags=re.MULTILINE)
    (clone / "params.toml").write_text(text)
    for command in ("init -q", "add --all", "-c user.name=b -c user.email=b@example.org commit -q -m all"):
        subprocess.run(["git", *command.split()], cwd=clone, check=True)
    say("dvc repro, once")
    call(clone, "dvc", "repro")
    empty.mkdir()
    subprocess.run(["git", "init", "-q", empty], check=True)
    call(empty, "dvc", "init", "-q")

    cases = {
        "`python -m droulette.datagen --help`": (clone, "python", "-m", "droulette.datagen", "--help"),
        "`python -c pass`": (clone, "python", "-c", "pass"),
        "`dvc repro`, nothing to do": (clone, "dvc", "repro"),
        "`dvc status`, empty project": (empty, "dvc", "status"),
        "`dvc --version`": (empty, "dvc", "--version"),
    }
    runs: dict[str, list[Run]] = {name: [] for name in cases}
    for repeat in range(args.repeats + 1):
        for name, (folder, *command) in cases.items():
            found = call(folder, *command)
            if repeat:  # the first time fills caches
                runs[name].append(found)
        say(f"{repeat} of {args.repeats}")
    seconds = {name: median(found, "seconds") for name, found in runs.items()}
    cpu = {name: median(found, "cpu_seconds") for name, found in runs.items()}
    lines = [
        [name, f"{seconds[name]:.2f}", f"{cpu[name]:.2f}", f"{median(runs[name], 'peak_mib'):.0f}"] for name in cases
    ]
    help_, python, repro, status, _ = seconds.values()
    report(
        "Start-up",
        ["command", "s", "processor's s", "peak MiB"],
        lines,
        f"`--help` takes **{help_:.2f} s**; limit: Python itself, {python:.2f} s.",
        f"`dvc repro` with nothing to do takes **{repro - status:.2f} s** more than `dvc status` of an empty project, "
        "which is the limit. In that time DVC reads the dvc.yaml and dvc.lock of five pipelines, and checks the file "
        "of each dependency.",
    )


if __name__ == "__main__":
    main()
