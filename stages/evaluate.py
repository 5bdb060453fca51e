"""Stage evaluate: predictions of the three parts, and how good they are."""

from droulette.commands import stage
from droulette.errors import cli, leave


@cli
def main(argv: list[str] | None = None) -> None:
    with stage(__doc__, argv) as (params, source):
        from droulette.evaluate import evaluate_by

        evaluate_by(params, source, "models/model.safetensors", "metrics")


if __name__ == "__main__":
    leave(main())
