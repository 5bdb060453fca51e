"""What evaluation does with each picture and row besides the network: decoding, ours and Pillow in turn, and metrics.

python benchmarks/evaluate.py [--pictures 2000] [--rows 20000] [--threads 1] [--repeats 5]
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np
import scenes
from measure import in_turn, report

from droulette.learning.metrics import Judge
from droulette.learning.parallel import by_rows
from droulette.learning.scaling import QuantileScaling, spread
from droulette.physics import rendering
from droulette.pipeline import png
from droulette.pipeline.pictures import read_pictures

COLUMNS = 23  # of the default recipe: sigma, the reference point and the amplitudes up to order 4


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pictures", type=int, default=2000)
    options.add_argument("--rows", type=int, default=20_000)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--repeats", type=int, default=5)
    args = options.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        names = write_pictures(Path(folder), args.pictures)

        def ours() -> np.ndarray:
            return read_pictures(folder, names, table="names", size=256, workers=args.threads)

        def pillow() -> np.ndarray:
            with mock.patch.object(png, "unpack", return_value=False):  # as of files that another program wrote
                return ours()

        np.testing.assert_array_equal(ours(), pillow())
        decoding = in_turn({"droulette": ours, "Pillow": pillow}, args.repeats)

    generator = np.random.default_rng(0)
    true = generator.normal(size=(args.rows, COLUMNS))
    predicted = true + 0.1 * generator.normal(size=true.shape)
    scaling = QuantileScaling.fit(true)
    judge = Judge(true, scaling)
    scaled = scaling.transform(predicted)
    deviation = np.full_like(scaled, 0.1)
    to_units = partial(spread, scaling)
    rows = {
        "standard deviations in the columns' units": lambda: by_rows(to_units, scaled, deviation),
        "metrics": lambda: judge.columns(true, predicted),
    }
    measuring = in_turn(rows, args.repeats)

    lines = []
    for name, seconds in decoding.items():
        ratio = seconds / decoding["droulette"]
        lines.append([f"decoding, {name}", f"{seconds / args.pictures * 1e6:.0f}", f"{ratio:.1f}"])
    for name, seconds in measuring.items():
        lines.append([name, f"{seconds / args.rows * 1e6:.0f}", ""])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report(
        "Evaluation: what is not the network",
        ["", "µs a picture or row", "time, droulette = 1"],
        lines,
        f"{args.pictures} PNG files of 256² as `generate` writes them, {args.threads} thread(s); {args.rows} rows of "
        f"{COLUMNS} columns, on all cores; peak memory {peak:.0f} MiB.",
    )


def write_pictures(folder: Path, count: int) -> list[str]:
    """PNG files of as many pictures, of which 200 are drawn and repeated."""
    scene = scenes.scene(scenes.table(min(count, 200)))
    pictures = rendering.render(scene, 256, *rendering.centre_of_light(scene, 512), canvas=512)
    names = [f"{k}.png" for k in range(count)]
    for k, name in enumerate(names):
        (folder / name).write_bytes(png.encode(pictures[k % len(pictures)]))
    return names


if __name__ == "__main__":
    main()
