"""Stage evaluate: predictions of the three parts, and how good they are."""

import argparse

from droulette.errors import cli, leave


@cli
def main(argv: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--params", default="params.toml", help="TOML file (default: params.toml)")
    args = options.parse_args(argv)

    from droulette import parameters
    from droulette.evaluate import evaluate_by

    evaluate_by(parameters.load(args.params), args.params, "models/model.safetensors", "metrics")


if __name__ == "__main__":
    leave(main())
