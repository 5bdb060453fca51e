"""All of `generate` but the drawing: tables, amplitudes, PNG, Parquet shards, as they follow on a card that draws.

    python benchmarks/undrawn.py [--rows 20000] [--workers 2] [--repeats 3]

In place of the card, pictures that were drawn before are handed on, so that what is left is the processor's. The last
line has pictures of one pixel and one thread that draws and encodes: hardly anything but Python under its lock.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import scenes
from measure import ROOT, report

OURS = """
import contextlib, json, os, sys, time
from pathlib import Path
import numpy as np
sys.path.insert(0, sys.argv[1])
import scenes
from droulette import parameters
from droulette.pipeline import batching, dataset, generate
from droulette.physics import rendering
rows, size, workers, folder = int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5])
at_once = batching.pictures_at_once(256, 512, "cuda")
scene = scenes.scene(scenes.table(256))
drawn = rendering.render(scene, 256, *rendering.centre_of_light(scene, 512), canvas=512)
ready = np.ascontiguousarray(np.tile(drawn, (at_once // 256 + 1, 1, 1))[:at_once, :size, :size])
generate.move = lambda batch, device: batch
generate.stream_of = lambda device: contextlib.nullcontext()
generate.centre_of_light = lambda scene, *args, **options: np.zeros((2, len(scene.source.extent(0.5))))
generate.render = lambda scene, size, x, y, **options: ready[: len(x)].copy()
dataset.drawing_device = lambda name: "cuda"
def make(rows, name):
    (folder / "d.toml").write_text(scenes.toml(rows).replace("[lens]", 'storage = "parquet"\\n[lens]', 1))
    params = parameters.load(folder / "d.toml")
    files = {key: folder / f"{name}-{key}" for key in ("dataset", "pictures", "roulette")}
    start, used = time.perf_counter(), time.process_time()
    dataset.generate_dataset(params, "d.toml", workers=workers, **files)
    return time.perf_counter() - start, time.process_time() - used
make(100, "first")
seconds, processor = make(rows, "all")
print(json.dumps({"seconds": seconds, "processor": processor}))
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=20_000)
    options.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--folder", help="where the temporary folder is made")
    args = options.parse_args()
    lines = []
    for size, workers in ((256, args.workers), (1, 1)):
        found = [measure(args.rows, size, workers, args.folder) for _ in range(args.repeats)]
        seconds = min(run["seconds"] for run in found)
        processor = min(run["processor"] for run in found)
        per_row = 1e6 / args.rows
        lines.append([f"{size}²", workers, f"{args.rows / seconds:,.0f}", f"{seconds * per_row:.0f}"])
        lines[-1].append(f"{processor * per_row:.0f}")
    report(
        "All but the drawing",
        ["pictures", "threads", "pictures/s", "µs a picture", "µs of the processor"],
        lines,
        f"{args.rows:,} rows of SIE and SersicSphere, nterms 4, both tables, shards of 1,000. The best of "
        f"{args.repeats} runs.",
    )


def measure(rows: int, size: int, workers: int, top: str | None) -> dict:
    with tempfile.TemporaryDirectory(dir=top) as folder:
        arguments = [str(Path(scenes.__file__).parent), str(rows), str(size), str(workers), folder]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", OURS, *arguments], env=environment, stdout=-1, check=True)
        return json.loads(done.stdout)


if __name__ == "__main__":
    main()
