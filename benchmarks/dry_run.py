"""What `datagen --dry-run` foretells over what comes: `python benchmarks/dry_run.py [--params FILE] [--rows N]`"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SAID = re.compile(r"about ([\d.e+]+) (\w+) \(.*\) and ([\d.e+]+) s with")
UNITS = {"bytes": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--params", default="params.toml")
    options.add_argument("--rows", type=int, default=None, help="default: as the file says")
    options.add_argument("--repeats", type=int, default=3)
    args = options.parse_args()
    print(f"{'':8}{'bytes':>12}{'foretold':>10}{'seconds':>10}{'foretold':>10}")
    for _ in range(args.repeats):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            command = [sys.executable, "-m", "droulette.datagen", "--toml", args.params, "-i", str(folder / "d.csv")]
            command += ["-o", str(folder / "r.csv"), "-D", str(folder / "images")]
            command += ["--size", str(args.rows)] if args.rows else []
            said = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, check=True).stdout
            found = SAID.search(said)
            start = time.perf_counter()
            subprocess.run(command, check=True)
            seconds = time.perf_counter() - start
            size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
            foretold = float(found[1]) * UNITS[found[2]] / size, float(found[3]) / seconds
            print(f"{'':8}{size:12}{foretold[0]:10.2f}{seconds:10.2f}{foretold[1]:10.2f}")


if __name__ == "__main__":
    main()
