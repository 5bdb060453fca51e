"""Train a model and test it: `python -m droulette.model --config experiment01.toml`"""

from __future__ import annotations

import argparse
from pathlib import Path

from droulette import commands
from droulette.commands import bar, dataset_of, speaking
from droulette.errors import cli, leave
from droulette.metrics import table

EXAMPLES = """
python -m droulette.model --config experiment01.toml
python -m droulette.model --config experiment01.toml --device cpu --seed 2 --quiet
"""


def parser() -> argparse.ArgumentParser:
    options = commands.parser("model", "Train a model and test it.", EXAMPLES)
    options.add_argument("--config", required=True, help="TOML file with the tables of the experiment")
    options.add_argument("--device", help="auto, cpu, cuda or cuda:N: overrides settings.device")
    options.add_argument("--seed", type=int, help="of weights and batches: overrides settings.seed")
    return options


@cli
def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)

    from droulette import parameters
    from droulette.logs import epoch_log
    from droulette.pipeline.evaluation import evaluate
    from droulette.pipeline.training import train
    from droulette.processes import launched

    with speaking(args):
        params = parameters.load(args.config, {"settings.device": args.device, "settings.seed": args.seed})
        # All three splits, since a missing one is to be said before the training.
        dataset = dataset_of(params, args.config, "training", "validation", "testing")
        directory = Path(params.output.directory or "metrics")
        model = Path(params.output.model or "models/model.safetensors")
        with epoch_log(directory / "train") as log:
            train(params, model, log=log, progress=bar)
        if launched().first:
            measured = evaluate(
                dataset,
                params.evaluation,
                params.simulator,
                params.settings,
                model_path=model,
                output=directory,
                roulette=params.problem and params.problem.filename,
                progress=bar,
            )
            print(table(measured))


if __name__ == "__main__":
    leave(main())
