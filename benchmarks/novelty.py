"""How often predictions are warned of: `python benchmarks/novelty.py [--params params.toml] [--rows 4000]`

Draws rows of the distribution, fits the measure of novelty to half of them, as training does, and gives the share of
pictures that are called unlike the training set: of a quarter that it has not seen, and of what should be called so.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.datasets import load_sample_images

from droulette import parameters
from droulette.learning import polar
from droulette.learning.novelty import Novelty
from droulette.learning.preprocessing import LogPolar
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, generate
from droulette.pipeline.pictures import make_views, read_pictures
from droulette.pipeline.resimulate import resimulate
from droulette.pipeline.user_pictures import prepare

MANY, FEW = 300, 40


def unlensed(table: pd.DataFrame, size: int) -> np.ndarray:
    """The sources of a dataset, without their lenses."""
    kept = ["filename", "source", "image", "sigma", "sigma2", "theta", "n_sersic", "luminosity"]
    row = table[[column for column in kept if column in table]].assign(xiX=0.0, xiY=0.0)
    return resimulate(row.assign(**{"alpha[0][1]": 0.0}), size)


def photographs(size: int, random: np.random.Generator) -> np.ndarray:
    """Pieces of the two photographs that scikit-learn ships."""
    pieces = []
    for photograph in load_sample_images().images:
        grey = np.array(Image.fromarray(photograph).convert("L"))
        for _ in range(FEW // 2):
            i, j = (random.integers(0, length - size + 1) for length in grey.shape)
            pieces.append(prepare(grey[i : i + size, j : j + size], size))
    return np.stack(pieces)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--params", default="params.toml")
    options.add_argument("--rows", type=int, default=4000)
    args = options.parse_args()
    params = parameters.load(args.params)
    simulator, random = params.simulator, np.random.default_rng(0)
    drawing = Drawing(simulator.imagesize, simulator.cropsize, simulator.centred, 1)
    size = drawing.size
    preprocessing = LogPolar(size, polar.ROWS, polar.COLUMNS)
    table = draw_table(params, 0, args.rows)
    with tempfile.TemporaryDirectory() as folder:
        generate(table, drawing, Path(folder))
        views = read_pictures(folder, list(table["filename"]), table=args.params, preprocessing=preprocessing)
    training, validation, testing = np.split(views, [args.rows // 2, 3 * args.rows // 4])
    measure = Novelty.fit(preprocessing, training, validation)
    sources, lenses = table[:MANY], table.iloc[-len(testing) :]
    found = {"test pictures": testing}
    if "einsteinradius" in lenses:
        found["  of small lenses, θ_E < 6 px"] = testing[(lenses["einsteinradius"] < 6).to_numpy()]
    galaxies = unlensed(sources, size)
    found["the distribution's galaxies, unlensed"] = make_views(preprocessing, galaxies)
    for low, high in ((0, 15), (15, 30), (30, np.inf)):
        inside = sources["sigma"].between(low, high).to_numpy()
        if inside.any():
            found[f"  of sigma {low} to {high} px"] = make_views(preprocessing, galaxies[inside])
    noise = random.integers(0, 256, (FEW, size, size), dtype=np.uint8)
    faint = np.clip(np.rint(random.normal(20, 8, (FEW, size, size))), 0, 255).astype(np.uint8)
    found |= {
        "uniform noise": make_views(preprocessing, noise),
        "normal noise about grey level 20": make_views(preprocessing, faint),
    }
    found["photographs"] = make_views(preprocessing, photographs(size, random))
    print(f"{args.params}, {args.rows} rows\n{'':40}{'pictures':>9}{'warned of':>11}{'median novelty':>16}")
    for name, some in found.items():
        if len(some):
            scores = measure.score(preprocessing, some)
            print(f"{name:40}{len(some):9}{(scores > 1).mean():11.1%}{np.median(scores):16.2f}")


if __name__ == "__main__":
    main()
