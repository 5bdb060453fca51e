"""Where the time of a picture goes: each step of `generate` alone, on one core.

    python benchmarks/parts.py [--pictures 256] [--repeats 5]

Canvas 512, crop 256, centred, nterms 4.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import scenes
from measure import in_turn, report

from droulette import files
from droulette.physics import rendering
from droulette.physics.amplitudes import amplitudes
from droulette.physics.lens_equation import apparent_position
from droulette.pipeline import png

BATCH, NTERMS = 16, 4


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pictures", type=int, default=256)
    options.add_argument("--repeats", type=int, default=5)
    args = options.parse_args()

    frame = scenes.table(args.pictures)
    batches = [scenes.scene(frame.iloc[k : k + BATCH]) for k in range(0, len(frame), BATCH)]
    centres = [rendering.centre_of_light(scene, 512) for scene in batches]
    drawn = [rendering.render(scene, 256, *at, canvas=512) for scene, at in zip(batches, centres, strict=True)]
    pictures = np.concatenate(drawn)
    encoded = [png.encode(picture) for picture in pictures]
    whole = scenes.scene(frame)
    lens, eta = whole.mapping.lens, (whole.mapping.eta_x, whole.mapping.eta_y)
    xi = apparent_position(lens, *eta)
    table = pd.DataFrame(np.concatenate(amplitudes(lens, *xi, NTERMS)).T)

    with tempfile.TemporaryDirectory() as top:

        def write() -> None:
            folder = Path(tempfile.mkdtemp(dir=top))
            for k, content in enumerate(encoded):
                (folder / f"{k}.png").write_bytes(content)

        cases = {
            "centre of light, on the canvas": lambda: [rendering.centre_of_light(scene, 512) for scene in batches],
            "picture": lambda: [
                rendering.render(scene, 256, *at, canvas=512) for scene, at in zip(batches, centres, strict=True)
            ],
            "PNG": lambda: [png.encode(picture) for picture in pictures],
            "file": write,
            "reference point": lambda: apparent_position(lens, *eta),
            "amplitudes": lambda: amplitudes(lens, *xi, NTERMS),
            "amplitudes as text": lambda: files.append_csv(table, io.BytesIO(), header=True),
        }
        seconds = in_turn(cases, args.repeats)
    total = sum(seconds.values())
    lines = [[name, f"{s / len(frame) * 1e6:.0f}", f"{s / total:.0%}"] for name, s in seconds.items()]
    lines.append(["together", f"{total / len(frame) * 1e6:.0f}", ""])
    lit = (pictures > 0).mean()
    report(
        "Where the time of a picture goes",
        ["step", "µs a picture, one core", "share"],
        lines,
        f"{lit:.0%} of the pixels of these pictures have light. The canvas and the picture need separate rays: the "
        "picture is shifted by a fraction of a pixel, to its centre of light.",
    )


if __name__ == "__main__":
    main()
