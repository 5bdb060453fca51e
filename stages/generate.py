"""Stage generate: the tables [simulator], [lens], [cluster], [source] and [position] become pictures and labels."""

import gc
from pathlib import Path

from droulette.commands import stage
from droulette.errors import cli, leave


@cli
def main(argv: list[str] | None = None) -> None:
    params, source = stage(__doc__, argv)
    from droulette.datagen import draw_dataset

    data = Path("data")
    draw_dataset(
        params,
        source,
        dataset=data / "dataset.csv",
        pictures=data / "images",
        roulette=data / "roulette.csv",
    )


if __name__ == "__main__":
    gc.set_threshold(100_000)  # as in `droulette.datagen`
    leave(main())
