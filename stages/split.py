"""Stage split: the rows shared out as the tables [problem] and [dataset] say."""

import sys

from droulette.commands import stage
from droulette.errors import cli


@cli
def main(argv: list[str] | None = None) -> None:
    with stage(__doc__, argv) as (params, source):
        from droulette.split import split_by

        split_by(params, source)


if __name__ == "__main__":
    sys.exit(main())
