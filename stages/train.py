"""Stage train: a network trained as the tables [settings], [hyperparameters] and [training] say."""

import sys

from droulette.commands import stage
from droulette.errors import cli
from droulette.train import train_by


@cli
def main(argv: list[str] | None = None) -> None:
    with stage(__doc__, argv) as (params, source):
        train_by(params, source)


if __name__ == "__main__":
    sys.exit(main())
