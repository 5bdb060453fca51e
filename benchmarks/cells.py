"""One model for a range of noise and PSF, beside models that are trained further for one noise and one PSF each.

    python benchmarks/cells.py FOLDER --work CELLS --rows 300 --noise 0 3 10 --psf 0 1.5 3

FOLDER: a pipeline's, with params.toml and models/model.safetensors, trained on the range. Each cell's model begins from
that model's weights and sees fresh pictures of its cell alone. "range, further" begins from them too, and sees as many
fresh pictures of the whole range. All are measured on the same rows, of another seed.
noise in counts, psf as the standard deviation of a Gaussian, px.
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from noise import OTHER_ROWS, cell, draw, judge_of, measured

from droulette.learning import model_file
from droulette.parameters import load
from droulette.pipeline.dataset import generate_dataset
from droulette.pipeline.training import train
from droulette.split import split_by

FURTHER_SEED = 2_000_003  # of scenes that the range was not trained on


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--work", type=Path, required=True, help="folder for datasets and models; kept")
    options.add_argument("--rows", type=int, default=300)
    options.add_argument("--noise", type=float, nargs="*", default=[0, 3, 10])
    options.add_argument("--psf", type=float, nargs="*", default=[0, 1.5, 3])
    options.add_argument("--epochs", type=int, default=8, help="of each cell")
    options.add_argument("--learning-rate", type=float, default=5e-4, help="of each cell, at most")
    args = options.parse_args()
    path, start = (args.folder / "params.toml").resolve(), (args.folder / "models" / "model.safetensors").resolve()
    params, of_range = load(path), model_file.load(start)
    judge = judge_of(args.folder / params.dataset.training.filename, of_range)
    more = {
        "settings.weights": str(start),
        "hyperparameters.learning-rate": args.learning_rate,
        "training.num-epochs": args.epochs,
        "training.patience": args.epochs,
        "training.fresh-pictures": True,
    }
    further = train_cell(args.work / "range", path, {"simulator.seed": FURTHER_SEED} | more)
    print("| pictures | model | r2_quantile | r2 | 68 % hold | 95 % hold |\n|---|---|---|---|---|---|")
    for noise in args.noise:
        for psf in args.psf:
            alone = train_cell(args.work / f"{noise:g}-{psf:g}", path, cell(noise, psf) | more)
            rows = draw(load(path, cell(noise, psf) | OTHER_ROWS), of_range, args.rows)
            for name, model in (("range", of_range), ("range, further", further), ("cell", alone)):
                print(f"| noise {noise:g}, PSF {psf:g} | {name} | {measured(model, judge, rows)} |", flush=True)


def train_cell(folder: Path, path: Path, given: dict) -> model_file.Model:
    """The model of one cell; trained if it is not in `folder` yet."""
    folder.mkdir(parents=True, exist_ok=True)
    model = Path("models/model.safetensors")
    with contextlib.chdir(folder):
        if not model.exists():
            params = load(path, given)
            generate_dataset(
                params, str(path), table=None, dataset="data/dataset.csv", pictures="data/images",
                roulette="data/roulette.csv", workers=None,
            )  # fmt: skip
            split_by(params, str(path))
            train(params, model)
        return model_file.load(model)


if __name__ == "__main__":
    main()
