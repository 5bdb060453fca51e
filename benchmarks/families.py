"""What a network makes of lenses that it never saw: each lens model of a distribution held out in turn.

    python benchmarks/families.py experiments/any --params cpu.toml --work FOLDER

Draws the dataset once, then splits, trains and evaluates it with nothing held out and with each lens model held out.
Prints r2_quantile, r2 and the shares of test rows within the 68 % and 95 % intervals, by lens model.
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import pandas as pd

from droulette.commands import dataset_of
from droulette.parameters import load
from droulette.pipeline.dataset import generate_dataset
from droulette.pipeline.evaluation import evaluate
from droulette.pipeline.training import train
from droulette.split import split_by


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path)
    options.add_argument("--params", default="cpu.toml")
    options.add_argument("--work", type=Path, required=True, help="folder for datasets and models; kept")
    args = options.parse_args()
    path = (args.folder / args.params).resolve()
    args.work.mkdir(parents=True, exist_ok=True)
    with contextlib.chdir(args.work):
        params = load(path)
        dataset_file = Path("data/dataset.csv")
        if not dataset_file.exists():
            generate_dataset(
                params, str(path), table=None, dataset="data/dataset.csv", pictures="data/images",
                roulette="data/roulette.csv", workers=None,
            )  # fmt: skip
        tables = []
        for held in ("", *sorted(set(pd.read_csv(dataset_file)["lens"]))):
            tables.append(run(path, held))
            print(table(pd.concat(tables)), flush=True)


def run(path: Path, held: str) -> pd.DataFrame:
    """The metrics of the test rows by lens model, of a network that was trained without the lens model `held`."""
    name = held or "all"
    output, model = Path("metrics") / name, Path("models") / f"{name}.safetensors"
    if not (output / "plots" / "families.csv").exists():
        params = load(path, {"problem.hold-out": [held] if held else []})
        split_by(params, str(path))
        train(params, model)
        evaluate(
            dataset_of(params, str(path), "training", "validation", "testing"), params.evaluation, params.simulator,
            params.settings, model_path=model, output=output, roulette=params.problem.filename,
        )  # fmt: skip
    families = pd.read_csv(output / "plots" / "families.csv")
    return families[families["part"] == "testing"].assign(trained=f"all but {held}" if held else "all")


def table(found: pd.DataFrame) -> str:
    """As Markdown: a line for each training, a column for each lens model."""
    lenses = list(dict.fromkeys(found["lens"]))
    lines = ["| trained on | " + " | ".join(lenses) + " |", "|---" * (len(lenses) + 1) + "|"]
    for trained, rows in found.groupby("trained", sort=False):
        cells = []
        for lens in lenses:
            (row,) = rows[rows["lens"] == lens].to_dict("records")
            cell = f"{row['r2_quantile']:.3f}, {row['r2']:.3f}; {row['coverage68']:.0%}, {row['coverage95']:.0%}"
            cells.append(f"**{cell}**" if trained == f"all but {lens}" else cell)
        lines.append(f"| {trained} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
