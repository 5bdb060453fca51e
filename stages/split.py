"""Stage split: the rows shared out as the tables [problem] and [dataset] say."""

import argparse

from droulette.errors import cli, leave


@cli
def main(argv: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--params", default="params.toml", help="TOML file (default: params.toml)")
    args = options.parse_args(argv)

    from droulette import parameters
    from droulette.split import split_by

    split_by(parameters.load(args.params), args.params)


if __name__ == "__main__":
    leave(main())
