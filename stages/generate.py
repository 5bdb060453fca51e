"""Stage generate: the tables [simulator], [lens], [cluster], [source] and [position] become pictures and labels."""

import argparse
from pathlib import Path

from droulette import files, parameters
from droulette.datagen import draw_pictures
from droulette.errors import cli
from droulette.pipeline.draw import draw_table

DATA = Path("data")


@cli
def main(argv: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--params", default="params.toml", help="TOML file (default: params.toml)")
    args = options.parse_args(argv)

    params = parameters.load(args.params)
    frame = draw_table(params)
    table = draw_pictures(frame, params, DATA / "images", name=args.params)
    files.write_csv(frame, DATA / "dataset.csv")
    files.write_csv(table, DATA / "roulette.csv")


if __name__ == "__main__":
    raise SystemExit(main())
