"""Stage evaluate: predictions of the three splits, and how good they are."""

import sys

from droulette.commands import bar, dataset_of, stage
from droulette.errors import cli
from droulette.metrics import table


@cli
def main(argv: list[str] | None = None) -> None:
    with stage(__doc__, argv) as (params, source):
        from droulette.pipeline.evaluation import evaluate

        measured = evaluate(
            dataset_of(params, source, "training", "validation", "testing"),
            params.evaluation,
            params.simulator,
            params.settings,
            model_path="models/model.safetensors",
            output="metrics",
            roulette=params.problem and params.problem.filename,
            progress=bar,
        )
        print(table(measured))


if __name__ == "__main__":
    sys.exit(main())
