"""Stage train: a network trained as the tables [settings], [hyperparameters] and [training] say."""

import sys

from droulette.commands import bar, dataset_of, stage
from droulette.errors import cli


@cli
def main(argv: list[str] | None = None) -> None:
    with stage(__doc__, argv) as (params, source):
        from droulette.logs import epoch_log
        from droulette.pipeline.training import train

        dataset_of(params, source, "training", "validation")
        with epoch_log("metrics/train") as log:
            train(params, "models/model.safetensors", log=log, progress=bar)


if __name__ == "__main__":
    sys.exit(main())
