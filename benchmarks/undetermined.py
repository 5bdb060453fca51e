"""Which columns no picture determines: pairs of rows with near-equal pictures and different targets.

    python benchmarks/undetermined.py experiments/sie/cpu.toml [--rows 2000] [--picture pairs.png]

Each row of the distribution is changed in one way at a time (its source to the other side, its lens turned by 90° or a
fifth smaller, its source a fifth larger, a fifth brighter); the changed row must itself lie in the distribution. A pair
counts as near-equal where the two pictures differ by less than half a grey level in the mean of the lit pixels. For
each change, and within it for the rows that it hides best, the table gives the share of such pairs and how far apart
their targets are, in standard deviations of the column on the quantile scale.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.preprocessing import QuantileTransformer

from droulette import parameters
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, generate

NEAR = 0.5  # grey levels, in the mean over the pixels that are lit in either picture
LIT = 8  # grey levels


def turned(frame: pd.DataFrame) -> pd.DataFrame:
    """The lens by 90°."""
    return frame.assign(orientation=(frame["orientation"] + 90) % 180)


def across(frame: pd.DataFrame) -> pd.DataFrame:
    """The source on the other side of the lens."""
    return frame.assign(x=-frame["x"], y=-frame["y"], phi=(frame["phi"] + 180) % 360)


def scaled(column: str, by: float):
    """A column by a factor."""
    return lambda frame: frame.assign(**{column: frame[column] * by})


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("toml")
    options.add_argument("--rows", type=int, default=2000)
    options.add_argument("--picture", help="the pair with the most different targets of each change")
    args = options.parse_args()
    params = parameters.load(args.toml)
    drawing = Drawing(**{field: getattr(params.simulator, field) for field in Drawing.__dataclass_fields__})
    frame = draw_table(params, 0, args.rows).reset_index(drop=True)
    pictures, targets = draw(frame, drawing, params.problem.variables)
    varied = [column for column in targets if targets[column].nunique() > 1]
    scale = QuantileTransformer(output_distribution="normal", n_quantiles=min(1000, len(frame))).fit(targets[varied])
    before = scale.transform(targets[varied])

    changes = {
        "source brighter by a fifth": scaled("luminosity", 1.2),
        "source larger by a fifth": scaled("sigma", 1.2),
        "source on the other side": across,
    }
    if "einsteinradius" in frame and frame["einsteinradius"].notna().all():
        changes["lens turned by 90°"] = turned
        changes["lens smaller by a fifth"] = scaled("einsteinradius", 0.8)
    low, high = frame.select_dtypes("number").min(), frame.select_dtypes("number").max()
    print(f"{args.toml}: {len(frame)} rows; near: {NEAR} grey levels in the mean of the lit pixels")
    dark = pictures.max(axis=(1, 2)) <= LIT
    print(f"dark pictures, no pixel above {LIT} grey levels: {dark.mean():.1%}")
    outside = targets[["xiX", "xiY"]].abs().max(axis=1) > drawing.size / 2
    print(f"reference point outside the picture: {outside.mean():.1%}")
    print("| change | near pairs | least determined columns: median distance of near pairs, σ |\n|---|---|---|")
    if dark.sum() > 1:
        apart = np.abs(np.diff(before[dark], axis=0))
        worst = pd.Series(np.median(apart, axis=0), varied).nlargest(4).items()
        found = ", ".join(f"{column} {value:.1f}" for column, value in worst)
        print(f"| one dark picture instead of another | {dark.sum()} rows | {found} |")
    shown = []
    for name, change in changes.items():
        other = change(frame)
        numbers = other[low.index]
        inside = ((numbers >= low) & (numbers <= high)).all(axis=1).to_numpy()
        pictures2, targets2 = draw(other, drawing, params.problem.variables)
        lit = (np.maximum(pictures, pictures2) > LIT).sum(axis=(1, 2)).clip(1)
        apart = np.abs(pictures.astype(np.int16) - pictures2).sum(axis=(1, 2)) / lit
        near = inside & (apart < NEAR)
        distance = np.abs(scale.transform(targets2[varied]) - before)
        median = pd.Series(np.median(distance[near], axis=0) if near.any() else np.nan, varied)
        worst = ", ".join(f"{column} {value:.1f}" for column, value in median.nlargest(4).items() if value > 0.05)
        print(f"| {name} | {near.sum()} of {inside.sum()} ({near.sum() / max(1, inside.sum()):.1%}) | {worst or '—'} |")
        if near.any():
            place = int(np.flatnonzero(near)[distance[near].max(axis=1).argmax()])
            column = varied[int(distance[place].argmax())]
            values = (targets[column][place], targets2[column][place])
            shown.append((name, column, values, apart[place], pictures[place], pictures2[place]))
    for name, column, values, apart, *_ in shown:
        print(f"{name}: {column} {values[0]:.4g} and {values[1]:.4g}, pictures {apart:.2f} grey levels apart")
    if args.picture and shown:
        save(shown, args.picture)


def draw(frame: pd.DataFrame, drawing: Drawing, variables) -> tuple[np.ndarray, pd.DataFrame]:
    """The rows' pictures, (n, N, N), and their target columns."""
    with tempfile.TemporaryDirectory() as folder:
        table = generate(frame, drawing, Path(folder))
        pictures = np.stack([np.asarray(Image.open(Path(folder) / name)) for name in frame["filename"]])
    columns = [name for name in table if name in variables or name.startswith(("alpha", "beta"))]
    return pictures, table[columns]


def save(shown: list[tuple], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(shown), 2, figsize=(6, 3 * len(shown)), squeeze=False, layout="constrained")
    for row, (name, column, values, apart, *pair) in zip(axes, shown, strict=True):
        for axis, picture, value in zip(row, pair, values, strict=True):
            axis.imshow(np.sqrt(picture), cmap="gray", vmin=0, vmax=16)
            axis.set_title(f"{column} = {value:.3g}", fontsize=9)
            axis.axis("off")
        row[0].text(
            0, -0.04, f"{name}: {apart:.2f} grey levels apart", transform=row[0].transAxes, fontsize=8, va="top"
        )
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()
