"""Pictures a second of `droulette.datagen` and of CosmoSim 3.3.0, in turn, on one distribution.

    python benchmarks/generate.py [--rows 200 2000] [--repeats 3]

Both draw a table, the pictures as PNG files and the amplitudes: SIE + SersicSphere, canvas 512, crop 256, centred.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import scenes
from measure import Run, disk_speed, median, report, run, run_command, say

ARGUMENTS = "--toml d.toml --csvfile dataset.csv --outfile roulette.csv --directory images -Z 512 -z 256 -C"
OURS = """
import json, os, sys, time
os.chdir(sys.argv[1])
from droulette.datagen import main
from droulette.errors import leave
assert main(["--toml", "d.toml", "--size", "1", "--directory", "first"]) == 0  # loads what is loaded once
start = time.perf_counter()
assert main(sys.argv[2:]) == 0
print(json.dumps({"seconds": time.perf_counter() - start}))
leave(0)
"""
PEER = """
import json, os, sys, time
os.chdir(sys.argv[1])
from CosmoSim.__main__ import main
from CosmoSim.CLI.Arguments import CosmoParser
start = time.perf_counter()
parser = CosmoParser()
args = parser.parse_args(["--rnd", *sys.argv[2:]])
main(args, parser.getConfig(args=["--rnd", *sys.argv[2:]]))
print(json.dumps({"seconds": time.perf_counter() - start}))
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, nargs="+", default=[200, 2000])
    options.add_argument("--repeats", type=int, default=3)
    args = options.parse_args()

    with tempfile.TemporaryDirectory() as top:  # ext4 is slow where files were just deleted
        lines, written = zip(*(measure(rows, args.repeats, Path(top)) for rows in args.rows), strict=True)
        limit = disk_speed(top, written[-1]) / written[-1] * args.rows[-1]
    report(
        "Drawing a dataset: table, pictures, amplitudes",
        [
            "rows",
            "droulette, pictures/s",
            "CosmoSim, pictures/s",
            "ratio",
            "whole process: droulette, s",
            "CosmoSim, s",
            "ratio",
            "peak memory, MiB: droulette, CosmoSim",
        ],
        lines,
        "SIE and SersicSphere, canvas 512, crop 256, centred, PNG files, nterms 4. The first ratio excludes the "
        "imports of both programs. The second includes everything.",
        f"Limit: the disk takes the {written[-1] / 2**20:.1f} MiB of {args.rows[-1]:,} rows, as one file, at "
        f"{limit:,.0f} pictures/s. Arithmetic takes most of the time, see *Pictures as arrays*.",
    )


def measure(rows: int, repeats: int, top: Path) -> tuple[list, int]:
    """A line of the table, and the bytes that we wrote."""
    command = [sys.executable, "-m", "droulette.datagen", *ARGUMENTS.split()]
    cases = {
        "ours": lambda folder: run(OURS, str(folder), *ARGUMENTS.split()),
        "command": lambda folder: run_command(command, folder),
        "peer": lambda folder: run(PEER, str(folder), *ARGUMENTS.split()),
    }
    runs: dict[str, list[Run]] = {name: [] for name in cases}
    for repeat in range(repeats):
        for name, case in cases.items():
            folder = top / f"{name}-{rows}-{repeat}"
            (folder / "images").mkdir(parents=True)
            (folder / "d.toml").write_text(scenes.toml(rows).replace("seed = 1\n", ""))  # CosmoSim has none
            runs[name].append(case(folder))
            drawn = len(list((folder / "images").glob("*.png")))
            assert drawn == rows, f"{drawn} pictures instead of {rows}"
            say(f"{name}, {rows} rows: {runs[name][-1].own_seconds:.2f} s of {runs[name][-1].seconds:.2f} s")
    ours, command, peer = runs.values()
    files = [path for path in (top / f"ours-{rows}-0").rglob("*") if path.is_file()]
    return [
        f"{rows:,}",
        f"{rows / median(ours, 'own_seconds'):.0f}",
        f"{rows / median(peer, 'own_seconds'):.1f}",
        f"{median(peer, 'own_seconds') / median(ours, 'own_seconds'):.1f}",
        f"{median(command, 'seconds'):.2f}",
        f"{median(peer, 'seconds'):.2f}",
        f"**{median(peer, 'seconds') / median(command, 'seconds'):.1f}**",
        f"{median(command, 'peak_mib'):.0f}, {median(peer, 'peak_mib'):.0f}",
    ], sum(path.stat().st_size for path in files)


if __name__ == "__main__":
    main()
