"""Pictures a second of `droulette.datagen` and of CosmoSim 3.3.0, in turn, on one distribution.

    python benchmarks/generate.py [--rows 200 2000] [--repeats 3]

Both draw a table, the pictures as PNG files and the amplitudes: SIE + SersicSphere, canvas 512, crop 256, centred.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from measure import machine, median, run

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
import pandas, torch, droulette.pipeline.generate
from droulette.datagen import main
start = time.perf_counter()
assert main(sys.argv[2:]) == 0
print(json.dumps({"seconds": time.perf_counter() - start}))
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
    for rows in args.rows:
        ours, peer = [], []
        for _ in range(args.repeats):
            for script, runs in ((OURS, ours), (PEER, peer)):
                with tempfile.TemporaryDirectory() as folder:
                    Path(folder, "d.toml").write_text(TOML.format(rows=rows))
                    Path(folder, "images").mkdir()
                    runs.append(run(script, folder, *ARGUMENTS.split()))
                    drawn = len(list(Path(folder, "images").glob("*.png")))
                    assert drawn == rows, f"{drawn} pictures instead of {rows}"
        print(
            f"| {rows} | {rows / median(ours, 'own_seconds'):.0f} | {rows / median(peer, 'own_seconds'):.1f} "
            f"| {median(peer, 'own_seconds') / median(ours, 'own_seconds'):.1f} "
            f"| {median(peer, 'seconds') / median(ours, 'seconds'):.1f} "
            f"| {median(ours, 'peak_mib'):.0f}, {median(peer, 'peak_mib'):.0f} |"
        )


if __name__ == "__main__":
    main()
