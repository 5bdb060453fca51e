"""Measure a trained network as params.toml says: `droulette evaluate`"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from droulette.commands import bar, dataset_of, stage, stage_parser
from droulette.errors import cli, leave
from droulette.metrics import table

if TYPE_CHECKING:
    from droulette.parameters import Parameters

DESCRIPTION = "Predict the training, validation and testing rows, and measure the predictions."


def parser() -> argparse.ArgumentParser:
    return stage_parser("evaluate", DESCRIPTION, "droulette")


def evaluate_by(params: Parameters, source: str) -> None:
    """Evaluate models/model.safetensors as the parameters, read from the file `source`, say; write metrics/."""
    from droulette.pipeline.evaluation import evaluate

    measured = evaluate(
        dataset_of(params, source, "training", "validation", "testing"),
        params.evaluation,
        params.simulator,
        params.settings,
        model_path="models/model.safetensors",
        output="metrics",
        roulette=params.problem and params.problem.filename,
        fit=params.fit,
        progress=bar,
    )
    print(table(measured))


@cli
def main(argv: list[str] | None = None) -> None:
    with stage(DESCRIPTION, argv, parser()) as (params, source):
        evaluate_by(params, source)


if __name__ == "__main__":
    leave(main())
