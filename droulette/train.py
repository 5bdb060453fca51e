"""Train a network as params.toml says: `droulette train`"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from droulette.commands import bar, dataset_of, stage, stage_parser
from droulette.errors import cli, leave

if TYPE_CHECKING:
    from droulette.parameters import Parameters

DESCRIPTION = "Train a network to predict amplitudes, as the tables of params.toml say."


def parser() -> argparse.ArgumentParser:
    return stage_parser("train", DESCRIPTION, "droulette")


def train_by(params: Parameters, source: str) -> None:
    """Train as the parameters, read from the file `source`, say, and write models/model.safetensors."""
    from droulette.logs import epoch_log
    from droulette.pipeline.training import train

    dataset_of(params, source, "training", "validation")
    with epoch_log("metrics/train") as log:
        train(params, "models/model.safetensors", log=log, progress=bar)


@cli
def main(argv: list[str] | None = None) -> None:
    with stage(DESCRIPTION, argv, parser()) as (params, source):
        train_by(params, source)


if __name__ == "__main__":
    leave(main())
