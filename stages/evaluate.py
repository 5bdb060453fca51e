"""Stage evaluate: predictions of the three splits, and how good they are."""

import sys

from droulette.commands import stage
from droulette.errors import cli
from droulette.evaluate import evaluate_by


@cli
def main(argv: list[str] | None = None) -> None:
    with stage(__doc__, argv) as (params, source):
        evaluate_by(params, source)


if __name__ == "__main__":
    sys.exit(main())
