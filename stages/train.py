"""Stage train: a network trained as the tables [settings], [hyperparameters] and [training] say."""

from droulette.commands import stage
from droulette.errors import cli, leave


@cli
def main(argv: list[str] | None = None) -> None:
    params, source = stage(__doc__, argv)
    from droulette.train import train_by

    train_by(params, source, "models/model.safetensors", "metrics/train")


if __name__ == "__main__":
    leave(main())
