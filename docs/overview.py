"""Draw docs/images/overview.png from the repository's own data: `python docs/overview.py [picture …]`."""

from __future__ import annotations

import sys

import matplotlib
import numpy as np
from PIL import Image

from droulette import files
from droulette.pipeline.resimulate import resimulate
from droulette.pipeline.scenes import critical_radii

matplotlib.use("agg")
import matplotlib.pyplot as plt

DEFAULT = 3  # pictures, the first of the testing part that are bright and strongly lensed
FIELD = 96  # px around the centre of light that is shown


def main(names: list[str]) -> None:
    truth = files.read_csv("data/roulette.csv").set_index("filename", drop=False)
    lenses = files.read_csv("data/dataset.csv").set_index("filename", drop=False)
    predicted = files.read_csv("metrics/predictions/testing.csv").set_index("filename")
    names = names or _strong(lenses.loc[predicted.index])[:DEFAULT]
    guess = truth.loc[names].copy()
    guess[predicted.columns] = predicted.loc[names]
    raytraced = [np.array(Image.open(f"data/images/{name}")) for name in names]
    size = raytraced[0].shape[0]
    columns = {
        "picture, with the lens drawn in": raytraced,
        "roulette, true amplitudes": resimulate(truth.loc[names], size),
        "roulette, the network's amplitudes": resimulate(guess, size),
    }
    figure, axes = plt.subplots(len(names), 3, figsize=(9, 3.1 * len(names)), layout="constrained", squeeze=False)
    half = size / 2
    extent = (-half - 0.5, half - 0.5, -half + 0.5, half + 0.5)  # pixel (i, j) is x = j − N/2, y = N/2 − i
    for row, name in enumerate(names):
        for axis, (title, pictures) in zip(axes[row], columns.items(), strict=True):
            levels = np.sqrt(pictures[row] / 255)
            axis.imshow(levels, cmap="magma", vmin=0, vmax=1, extent=extent)
            axis.set(xlim=(-FIELD, FIELD), ylim=(-FIELD, FIELD), xticks=[], yticks=[])
            if row == 0:
                axis.set_title(title, fontsize=11)
        _draw_lens(axes[row, 0], lenses.loc[name], truth.loc[name])
    axes[0, 0].legend(loc="upper left", fontsize=7, framealpha=0.6)
    figure.savefig("docs/images/overview.png", dpi=110)


def _strong(lenses) -> list[str]:
    fine = lenses.einsteinradius.between(25, 45) & (0.3 * lenses.einsteinradius < lenses.R) & (lenses.luminosity > 50)
    return list(lenses.index[fine & lenses.sigma.between(8, 20)])


def _draw_lens(axis, lens, row) -> None:
    phi = np.arange(0, 361, 2.0)
    frame = lens.to_frame().T.loc[[lens.name] * len(phi)].reset_index(drop=True)
    radius = critical_radii(frame, phi)
    x, y = radius * np.cos(np.deg2rad(phi)), radius * np.sin(np.deg2rad(phi))
    axis.plot(x + row.lensX, y + row.lensY, color="white", lw=0.8, label="critical curve")
    reach = np.hypot(row.xiX - row.lensX, row.xiY - row.lensY)
    circle = plt.Circle(
        (row.xiX, row.xiY), reach, fill=False, ec="cyan", lw=0.8, ls="--", label="circle of convergence"
    )
    axis.add_patch(circle)
    axis.plot(row.lensX, row.lensY, "+", color="white", ms=7, label="lens")
    axis.plot(row.xiX, row.xiY, "o", color="cyan", ms=4, label="reference point ξ₀")


if __name__ == "__main__":
    main(sys.argv[1:])
