"""Stage report: a page that shows what the stages before it found."""

import argparse

from droulette import parameters
from droulette.errors import cli, leave
from droulette.report import report_by


@cli
def main(argv: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--params", default="params.toml", help="TOML file (default: params.toml)")
    args = options.parse_args(argv)
    report_by(parameters.load(args.params), args.params, "models/model.safetensors", "metrics", "metrics/report.html")


if __name__ == "__main__":
    leave(main())
