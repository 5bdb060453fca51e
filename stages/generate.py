"""Stage generate: the tables [simulator], [lens], [cluster], [source] and [position] become pictures and labels."""

import sys
from pathlib import Path

from droulette.commands import progress_bar, stage
from droulette.errors import cli


@cli
def main(argv: list[str] | None = None) -> None:
    with stage(__doc__, argv) as (params, source):
        from droulette.pipeline.dataset import generate_dataset

        data = Path("data")
        generate_dataset(
            params,
            source,
            dataset=data / "dataset.csv",
            pictures=data / "images",
            roulette=data / "roulette.csv",
            progress=progress_bar,
        )


if __name__ == "__main__":
    sys.exit(main())
