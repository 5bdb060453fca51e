"""Drawing by one process on one core, and by two that torchrun starts on two cores, in turn.

python benchmarks/processes.py [--rows 6000] [--repeats 5]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import scenes
from measure import ROOT, Run, median, report, run_command, say

DRAW = """
import json, os, sys, time
rank, folder = int(os.environ.get("LOCAL_RANK", 0)), sys.argv[1]
cores = [int(core) for core in sys.argv[2].split(",")]
os.sched_setaffinity(0, [cores[rank]] if len(cores) > 1 else cores)
os.chdir(folder)
from droulette.datagen import main
from droulette.errors import leave
def draw(size, name):
    start = time.perf_counter()
    status = main(["--toml", "d.toml", "--size", size, "--directory", f"images-{name}",
                   "--csvfile", f"dataset-{name}.csv", "--outfile", f"roulette-{name}.csv"])
    assert status == 0
    return time.perf_counter() - start
draw("64", "first")  # kernels are loaded, and processes have met
seconds = draw(sys.argv[3], "all")
if rank == 0:
    print(json.dumps({"seconds": seconds}), flush=True)
leave(0)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=6000)
    options.add_argument("--repeats", type=int, default=5)
    args = options.parse_args()
    cores = [str(core) for core in sorted(os.sched_getaffinity(0))[:2]]
    if len(cores) < 2:
        raise SystemExit("found one core, expected two")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    launch = {
        "one process, one core": [sys.executable],
        "two processes, two cores": torchrun,
    }
    runs: dict[str, list[Run]] = {name: [] for name in launch}
    with tempfile.TemporaryDirectory() as top:
        script = Path(top) / "draw.py"
        script.write_text(DRAW)
        for repeat in range(args.repeats):
            for count, (name, command) in enumerate(launch.items(), 1):
                folder = Path(top) / f"{count}-{repeat}"
                folder.mkdir()
                (folder / "d.toml").write_text(scenes.toml(args.rows))
                arguments = [str(script), str(folder), ",".join(cores[:count]), str(args.rows)]
                runs[name].append(run_command([*command, *arguments], own=True, environment=quiet()))
                say(f"{name}: {runs[name][-1].own_seconds:.2f} s, whole {runs[name][-1].seconds:.2f} s")
            one, two = (Path(top) / f"{count}-{repeat}" / "dataset-all.csv" for count in (1, 2))
            assert one.read_bytes() == two.read_bytes()
    lines = [
        [name, f"{args.rows / median(found, 'own_seconds'):.0f}", f"{median(found, 'seconds'):.1f}"]
        for name, found in runs.items()
    ]
    one, two = (median(found, "own_seconds") for found in runs.values())
    report(
        "Two processes",
        ["", "pictures/s", "whole command, s"],
        lines,
        f"Two render **{one / two:.2f}** times as fast as one. Two processes communicate through PyTorch, and the "
        "whole command includes its start; one process needs no PyTorch. SIE and SersicSphere, canvas 512, crop 256, "
        "PNG files.",
        "Limit: twice, on two idle cores.",
    )


def quiet() -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


if __name__ == "__main__":
    main()
