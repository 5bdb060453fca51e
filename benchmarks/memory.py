"""Peak memory of train and evaluate, by the number of pictures: `python benchmarks/memory.py [SIZE …]`

Pictures of 32² (a hundred different ones, under as many names as are asked for), the smallest network, one epoch. The
views of the pictures lie in a file that is mapped: its pages are the system's to take back, and count to the resident
set nevertheless. What the process has for itself stands beside.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from measure import machine
from PIL import Image

from droulette.pipeline.targets import amplitude_columns

ROOT = Path(__file__).parents[1]
DIFFERENT, SIDE = 100, 32
TOML = """
[problem]
filename = "roulette.csv"
variables = ["sigma", "xiX", "xiY"]
nterms = [0, 1]
[dataset]
directory = "images"
[dataset.training]
filename = "training.csv"
size = 0.8
[dataset.validation]
filename = "validation.csv"
size = 0.1
[dataset.testing]
filename = "testing.csv"
[settings]
device = "cpu"
model = "polar_tiny"
[hyperparameters]
batch-size = 500
[training]
num-epochs = 1
symmetries = 1
[evaluation]
resimulations = 20
examples = 2
"""


def prepare(folder: Path, size: int) -> None:
    """Write `size` pictures and their tables: 80 % training, 10 % validation, 10 % testing."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    names = np.array([f"image-{k:06}.png" for k in range(1, size + 1)])
    radius = np.hypot(*np.meshgrid(*[np.arange(SIDE) - SIDE / 2] * 2))
    for k, name in enumerate(names):
        if k < DIFFERENT:
            picture = 255 * np.exp(-(((radius - rng.uniform(2, 12)) / 2) ** 2))
            Image.fromarray(picture.astype(np.uint8)).save(folder / "images" / name)
        else:
            os.link(folder / "images" / names[k % DIFFERENT], folder / "images" / name)
    columns = ["sigma", "xiX", "xiY", *amplitude_columns(0, 1)]
    table = pd.DataFrame(np.abs(rng.normal(5, 1, (size, len(columns)))), columns=columns)
    table.insert(0, "filename", names)
    table.assign(source="Spherical", x=1.0, y=1.0).to_csv(folder / "roulette.csv", index=False)
    ends = {"training": (0, 0.8), "validation": (0.8, 0.9), "testing": (0.9, 1)}
    for part, (start, stop) in ends.items():
        table.iloc[int(start * size) : int(stop * size)].to_csv(folder / f"{part}.csv", index=False)
    (folder / "p.toml").write_text(TOML)


RUN = "from droulette import parameters; from droulette.{0} import {0}_by; params = parameters.load('p.toml'); "
RUN += "{0}_by(params, 'p.toml', 'model.safetensors', 'metrics/{0}')"
COMMANDS = ("train", "evaluate")


def measured(what: str, folder: Path) -> tuple[float, float, float]:
    """Peak of the resident set and of what of it is the process's own, MiB; and seconds."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
    start, own = time.monotonic(), 0
    with open(folder / "log", "w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN.format(what)], cwd=folder, env=environment, stdout=log, stderr=log
        )
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            own = max(own, own_memory(process.pid))
            time.sleep(0.05)
        process.returncode = os.waitstatus_to_exitcode(status)
        if status:
            raise SystemExit(f"{what} failed: {(folder / 'log').read_text()[-2000:]}")
    return usage.ru_maxrss / 1024, own / 1024, time.monotonic() - start


def own_memory(pid: int) -> int:
    """KiB that no file stands behind."""
    try:
        with open(f"/proc/{pid}/status") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)
    except (OSError, ProcessLookupError):
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", nargs="*", type=int, default=[10_000, 200_000])
    sizes = parser.parse_args().sizes
    found: dict[str, list[tuple[float, float, float]]] = {what: [] for what in COMMANDS}
    for size in sizes:
        with tempfile.TemporaryDirectory(prefix="droulette-memory-") as folder:
            prepare(Path(folder), size)
            for what in COMMANDS:
                found[what].append(measured(what, Path(folder)))
                print(f"{what}, {size}: {found[what][-1]}", file=sys.stderr, flush=True)
    print(f"{machine()}; pictures of {SIDE}², polar_tiny, one epoch\n")
    print("| | pictures | peak resident, MiB | of it the process's own, MiB | own bytes a further picture | s |")
    print("|---|---|---|---|---|---|")
    for what, rows in found.items():
        for k, (size, (peak, own, seconds)) in enumerate(zip(sizes, rows, strict=True)):
            more = f"{(own - rows[0][1]) * 2**20 / (size - sizes[0]):.0f}" if k else ""
            print(f"| {what} | {size} | {peak:.0f} | {own:.0f} | {more} | {seconds:.0f} |")
        print(f"| {what}, ratio | | {rows[-1][0] / rows[0][0]:.2f} | {rows[-1][1] / rows[0][1]:.2f} | | |")


if __name__ == "__main__":
    main()
