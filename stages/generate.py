"""Stage generate: the tables [simulator], [lens], [cluster], [source] and [position] become pictures and labels."""

import argparse
import gc
from pathlib import Path

from droulette import parameters
from droulette.datagen import draw_dataset
from droulette.errors import cli, leave


@cli
def main(argv: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--params", default="params.toml", help="TOML file (default: params.toml)")
    args = options.parse_args(argv)

    data = Path("data")
    draw_dataset(
        parameters.load(args.params),
        args.params,
        dataset=data / "dataset.csv",
        pictures=data / "images",
        roulette=data / "roulette.csv",
    )


if __name__ == "__main__":
    gc.set_threshold(100_000)  # as in `droulette.datagen`
    leave(main())
