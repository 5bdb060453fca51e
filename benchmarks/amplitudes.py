"""Reference points and amplitudes up to m = 5, without pictures: droulette and CosmoSim in turn.

python benchmarks/amplitudes.py [--rows 100000] [--peer-rows 40] [--repeats 3]
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import scenes
from measure import Counted, Run, arithmetic_speed, counting, median, report, run, say

from droulette.devices import cores
from droulette.physics.amplitudes import amplitudes

NTERMS = 5
OURS = """
import json, os, sys, time
os.chdir(sys.argv[1])
from droulette.datagen import main
from droulette.errors import leave
assert main(["--toml", "d.toml", "--size", "1", "--no-pictures", "--no-centred"]) == 0  # loads what is loaded once
start = time.perf_counter()
assert main("--toml d.toml --no-centred --no-pictures --csvfile dataset.csv --outfile roulette.csv".split()) == 0
print(json.dumps({"seconds": time.perf_counter() - start}))
leave(0)
"""
# A row of the table as CosmoSim computes it; it finds the reference point when it draws, so that is kept small.
PEER = """
import contextlib, io, json, os, sys, time
import numpy, pandas
from CosmoSim import Parameters
from CosmoSim.CLI import Arguments
from CosmoSim.CLI.SimImage import SimImage

class Row(SimImage):
    def runSim(self):
        self.sim.update()

def data(row):
    param = Parameters({"simulator": {"imagesize": 16, "nterms": int(sys.argv[2])}})
    param.setRow(row.dropna())
    return Row(param, verbose=0).getData()

frame = pandas.read_csv(sys.argv[1])
with contextlib.redirect_stdout(io.StringIO()):
    found = data(frame.iloc[0])  # loads what is loaded once
    start = time.perf_counter()
    for _, row in frame.iterrows():
        found = data(row)
assert abs(found["alpha[1][0]"]) > 0
sys.stdout.flush()
print()
print(json.dumps({"seconds": time.perf_counter() - start}))
"""


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--peer-rows", type=int, default=40)
    options.add_argument("--repeats", type=int, default=3)
    args = options.parse_args()

    ours: list[Run] = []
    peer: list[Run] = []
    with tempfile.TemporaryDirectory() as top:
        scenes.table(args.peer_rows).to_csv(Path(top) / "rows.csv", index=False)
        (Path(top) / "d.toml").write_text(scenes.toml(args.rows, NTERMS))
        for _ in range(args.repeats):
            ours.append(run(OURS, top))
            peer.append(run(PEER, str(Path(top) / "rows.csv"), str(NTERMS)))
            say(f"ours {ours[-1].own_seconds:.2f} s, peer {peer[-1].own_seconds:.2f} s")
    seconds, theirs = median(ours, "own_seconds"), median(peer, "own_seconds") / args.peer_rows
    mine = seconds / args.rows
    limit = arithmetic_speed() * cores() / operations()
    report(
        "Reference points and amplitudes",
        ["", "rows", "s", "µs a row", "peak MiB"],
        [
            [
                "droulette",
                f"{args.rows:,}",
                f"**{seconds:.2f}**",
                f"{mine * 1e6:.1f}",
                f"{median(ours, 'peak_mib'):.0f}",
            ],
            [
                "CosmoSim",
                f"{args.peer_rows:,}",
                f"{theirs * args.peer_rows:.2f}",
                f"{theirs * 1e6:.0f}",
                f"{median(peer, 'peak_mib'):.0f}",
            ],
        ],
        f"nterms {NTERMS}; both tables are written, without pictures, on {cores()} cores. A row takes CosmoSim "
        f"**{theirs / mine:,.0f}** times as long. droulette iterates to a residual of 1e-9 px, CosmoSim to 0.02 px.",
        f"Limit: the amplitudes of a row take {operations():,.0f} floating-point operations. At the speed of matrix "
        f"products on all cores, that is {limit:,.0f} rows/s. Most of the time goes into intermediate arrays and into "
        "writing numbers as text.",
    )


def operations() -> float:
    """Floating-point operations of one row's amplitudes."""
    count = 64
    lens = scenes.scene(scenes.table(count)).mapping.lens
    with counting() as counted:
        amplitudes(lens, np.full(count, 40.0).view(Counted), np.full(count, 30.0).view(Counted), NTERMS)
        return counted() / count


if __name__ == "__main__":
    main()
