"""Cost and memory of a picture from 1,000 to 100,000 rows, as PNG files and as Parquet shards.

    python benchmarks/flat.py [--rows 1000 10000 100000] [--cropsize 256] [--repeats 3] [--folder /tmp]

Pictures are drawn on a canvas of twice their size, with scenes in proportion: with --cropsize 256 they are those of
the other benchmarks. Few rows are drawn more often, in one process, so that each median stands on as much work.
Everything is written below --folder (a temporary one), and deleted at the end only.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

import scenes
from measure import Run, disk_speed, median, report, run, say

DRAW = """
import json, os, sys, time
os.chdir(sys.argv[1])
from droulette.datagen import main
from droulette.errors import leave
storage, rows, times = sys.argv[2], sys.argv[3], int(sys.argv[4])
assert main(["--toml", "d.toml", "--size", "64", "--directory", "first", "--outfile", "f.csv"]) == 0
seconds = []
for k in range(times):
    start = time.perf_counter()
    assert main(["--toml", "d.toml", "--size", rows, "--storage", storage, "--directory", f"images-{k}",
                 "--csvfile", f"dataset-{k}.csv", "--outfile", f"roulette-{k}.csv"]) == 0
    seconds.append(time.perf_counter() - start)
print(json.dumps({"seconds": sorted(seconds)[times // 2]}))
leave(0)
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, nargs="+", default=[1000, 10_000, 100_000])
    options.add_argument("--cropsize", type=int, default=256)
    options.add_argument("--repeats", type=int, default=3, help="processes for each number of rows")
    options.add_argument("--folder", help="where the temporary folder is made")
    args = options.parse_args()

    lines, limits = [], []
    with tempfile.TemporaryDirectory(dir=args.folder) as top:
        runs: dict[tuple[str, int], list[Run]] = {}
        for repeat in range(args.repeats):
            for rows in args.rows:
                if repeat and rows == max(args.rows) > 10_000:
                    continue  # long enough for one run
                for storage in ("png", "parquet"):
                    folder = Path(top) / f"{storage}-{rows}-{repeat}"
                    folder.mkdir()
                    (folder / "d.toml").write_text(scenes.toml(rows, cropsize=args.cropsize))
                    times = max(1, min(20, 2000 // rows))
                    found = run(DRAW, str(folder), storage, str(rows), str(times))
                    runs.setdefault((storage, rows), []).append(found)
                    say(f"{storage}, {rows} rows: {found.own_seconds / rows * 1e6:.0f} µs, {found.peak_mib:.0f} MiB")
        for storage in ("png", "parquet"):
            cost = {rows: median(runs[storage, rows], "own_seconds") / rows * 1e6 for rows in args.rows}
            memory = {rows: median(runs[storage, rows], "peak_mib") for rows in args.rows}
            for what, unit, values in (("cost", "µs", cost), ("peak memory", "MiB", memory)):
                cells = (f"{value:.0f}" for value in values.values())
                lines.append([storage, f"{what}, {unit}", *cells, f"± {spread(list(values.values())):.0%}"])
        rows = args.rows[-1]
        for storage in ("png", "parquet"):
            written = [entry.stat() for entry in scan(Path(top) / f"{storage}-{rows}-0")]
            size, blocks = (
                sum(values) / rows for values in zip(*((s.st_size, 512 * s.st_blocks) for s in written), strict=True)
            )
            speed = disk_speed(top, int(min(2e8, size * rows))) / size
            limits.append(f"{storage} {size:,.0f} bytes ({blocks:,.0f} of the disk's blocks), {1e6 / speed:.0f} µs")
    report(
        "Time and memory by number of rows",
        ["storage", "per picture", *(f"{rows:,} rows" for rows in args.rows), "spread"],
        lines,
        f"Canvas {2 * args.cropsize}, crop {args.cropsize}, with both tables, in a process that is already warm.",
        f"Limit: the bytes of a picture and its table rows, and the time to write them to the disk in one file: "
        f"{'; '.join(limits)}.",
    )


def spread(values: list[float]) -> float:
    """Half of the range, as a share of its middle."""
    return (max(values) - min(values)) / (max(values) + min(values))


def scan(folder: Path) -> list[os.DirEntry]:
    found = []
    for entry in os.scandir(folder):
        found += scan(Path(entry.path)) if entry.is_dir() else [entry]
    return found


if __name__ == "__main__":
    main()
