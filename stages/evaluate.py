"""Stage evaluate: predictions of the three parts, and how good they are."""

from droulette.commands import stage
from droulette.errors import cli, leave


@cli
def main(argv: list[str] | None = None) -> None:
    params, source = stage(__doc__, argv)
    from droulette.evaluate import evaluate_by

    evaluate_by(params, source, "models/model.safetensors", "metrics")


if __name__ == "__main__":
    leave(main())
