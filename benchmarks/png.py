"""Encoding pictures as PNG: droulette and Pillow in turn, on one core.

python benchmarks/png.py [--pictures 200] [--repeats 7]
"""

from __future__ import annotations

import argparse
import io
import resource

import numpy as np
import scenes
from measure import copying_speed, in_turn, report
from PIL import Image

from droulette.physics import rendering
from droulette.pipeline import png


def pillow(picture: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", **options)
    return file.getvalue()


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pictures", type=int, default=200)
    options.add_argument("--repeats", type=int, default=7)
    args = options.parse_args()

    scene = scenes.scene(scenes.table(args.pictures))
    pictures = rendering.render(scene, 256, *rendering.centre_of_light(scene, 512), canvas=512)
    encoders = {
        "droulette": png.encode,
        "Pillow": pillow,
        "Pillow, compress_level=1": lambda picture: pillow(picture, compress_level=1),
        "Pillow, no filter (compress_type=3, RLE)": lambda picture: pillow(picture, compress_type=3),
    }
    for encode in encoders.values():
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode(pictures[0])))), pictures[0])

    def encode_all(encode):
        return lambda: [encode(picture) for picture in pictures]

    seconds = in_turn({name: encode_all(encode) for name, encode in encoders.items()}, args.repeats)
    limit = copying_speed() / pictures[0].nbytes
    lines = []
    for name, encode in encoders.items():
        speed = len(pictures) / seconds[name]
        size = np.mean([len(encode(picture)) for picture in pictures])
        ratio = seconds[name] / seconds["droulette"]
        lines.append([name, f"{speed:,.0f}", f"{ratio:.1f}", f"{size / 1000:.2f}", f"{speed / limit:.1%}"])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    report(
        "PNG encoding",
        ["", "pictures/s, one core", "time, droulette = 1", "kB a picture", "share of the limit"],
        lines,
        f"{len(pictures)} pictures of 256², 8-bit grey, as `generate` renders them; peak memory {peak:.0f} MiB.",
        f"Limit: one core copies the {pictures[0].nbytes:,} bytes of a picture {limit:,.0f} times a second. "
        "The encoder reads them four times: to filter, to check (Adler-32), to find runs, to code them.",
    )


if __name__ == "__main__":
    main()
