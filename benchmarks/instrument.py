"""What a PSF and noise add to the time of `generate`: the same lenses, sources and canvas.

    python benchmarks/instrument.py [--rows 2000] [--repeats 3]

SIE + SersicSphere, canvas 512, crop 256, centred, PNG files; all cases in turn in one process. Ratios are of the CPU
time of all cores, which other processes on the machine disturb less than the wall clock.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from measure import ROOT, in_turn, report

from droulette import parameters
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, generate

NOISE = {"instrument.background": 5.0, "instrument.exposure": 20.0, "instrument.read-noise": 6.0}
CASES = {
    "drawing": {},
    "noise": NOISE,
    "Gaussian PSF, noise": NOISE | {"instrument.psf": "gaussian", "instrument.psf-fwhm": 3.0},
    "Moffat PSF, noise": NOISE
    | {"instrument.psf": "moffat", "instrument.psf-fwhm": 3.0, "instrument.moffat-beta": 3.0},
}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=2000)
    options.add_argument("--repeats", type=int, default=3)
    args = options.parse_args()
    cpu: dict[str, list[float]] = {name: [] for name in CASES}
    sizes: dict[str, float] = {}

    def case(name: str, changed: dict) -> None:
        params = parameters.load(ROOT / "params.toml", changed)
        frame = draw_table(params, 0, args.rows)
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            generate(frame, Drawing.of(params.simulator), Path(folder))
            cpu[name].append(time.process_time() - start)
            sizes[name] = sum(path.stat().st_size for path in Path(folder).iterdir()) / args.rows

    seconds = in_turn({name: lambda n=name, c=changed: case(n, c) for name, changed in CASES.items()}, args.repeats)
    spent = {name: statistics.median(values[1:]) for name, values in cpu.items()}
    rows = [
        (name, f"{args.rows / seconds[name]:.0f}", f"{spent[name] / args.rows * 1e3:.2f}",
         f"{spent[name] / spent['drawing']:.2f}", f"{sizes[name] / 1e3:.1f}")
        for name in CASES
    ]  # fmt: skip
    report("PSF and noise", ["pictures", "a second", "CPU ms each", "of the drawing's", "kB each"], rows)


if __name__ == "__main__":
    main()
