"""Train a model and test it: `python -m droulette.model --config experiment01.toml`"""

from __future__ import annotations

import argparse
from pathlib import Path

from droulette.errors import cli, leave


@cli
def main(argv: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(prog="python -m droulette.model", description=__doc__)
    options.add_argument("--config", required=True, help="TOML file with the tables of the experiment")
    options.add_argument("--device", help="auto, cpu, cuda or cuda:N: overrides settings.device")
    options.add_argument("--seed", type=int, help="of weights and batches: overrides settings.seed")
    args = options.parse_args(argv)

    from droulette import parameters
    from droulette.commands import dataset_of
    from droulette.evaluate import evaluate_by
    from droulette.processes import launched
    from droulette.train import train_by

    params = parameters.load(args.config, {"settings.device": args.device, "settings.seed": args.seed})
    dataset_of(params, args.config, "training", "validation", "testing")  # before the training, not after it
    directory = Path(params.output.directory or "metrics")
    model = Path(params.output.model or "models/model.safetensors")
    train_by(params, args.config, model, directory / "train")
    if launched().first:
        evaluate_by(params, args.config, model, directory)


if __name__ == "__main__":
    leave(main())
