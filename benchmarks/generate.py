"""Pictures a second of `droulette.datagen` and of CosmoSim 3.3.0, in turn, on one distribution.

    python benchmarks/generate.py [--rows 200 2000] [--repeats 3]

Both draw a table, the pictures as PNG files and the amplitudes: SIE + SersicSphere, canvas 512, crop 256, centred.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from measure import machine, median, run

from droulette.physics import kernels

TOML = """
[simulator]
size = {rows}
nterms = 4
model = "Raytrace"
[lens]
mode = "SIE"
einstein-min = 2.5
einstein-max = 75
ellipseratio-min = 0.1
ellipseratio-max = 0.9
orientation-min = 0
orientation-max = 180
[source]
mode = "SersicSphere"
sigma-min = 5
sigma-max = 50
n_sersic-min = 1
n_sersic-max = 5
luminosity-min = 20
luminosity-max = 80
position = "relative"
[position]
phi-min = 0
phi-max = 360
r-relativemax = 1.2
"""
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

    print(machine())
    print(
        "| rows | droulette, pictures/s | CosmoSim, pictures/s | ratio | ratio with start-up | peak MiB: ours, theirs |"
    )
    print("|---|---|---|---|---|---|")
    kernels.prepare(kernels.PAYS_BACK)  # compiled once a machine, by `make`
    with tempfile.TemporaryDirectory() as top:  # ext4 is slow where files were just deleted
        for rows in args.rows:
            measure(rows, args.repeats, Path(top))


def measure(rows: int, repeats: int, top: Path) -> None:
    """Print one line of the table."""
    ours, peer = [], []
    for repeat in range(repeats):
        for name, script, runs in (("ours", OURS, ours), ("peer", PEER, peer)):
            folder = top / f"{name}-{rows}-{repeat}"
            (folder / "images").mkdir(parents=True)
            (folder / "d.toml").write_text(TOML.format(rows=rows))
            runs.append(run(script, str(folder), *ARGUMENTS.split()))
            drawn = len(list((folder / "images").glob("*.png")))
            assert drawn == rows, f"{drawn} pictures instead of {rows}"
    print(
        f"| {rows} | {rows / median(ours, 'own_seconds'):.0f} | {rows / median(peer, 'own_seconds'):.1f} "
        f"| {median(peer, 'own_seconds') / median(ours, 'own_seconds'):.1f} "
        f"| {median(peer, 'seconds') / median(ours, 'seconds'):.1f} "
        f"| {median(ours, 'peak_mib'):.0f}, {median(peer, 'peak_mib'):.0f} |"
    )


if __name__ == "__main__":
    main()
