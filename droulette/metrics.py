"""Print what an evaluation found: `python -m droulette.metrics metrics/evaluate.json`"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from droulette.errors import UserError, cli, leave

COLUMNS = ("r2", "r2_quantile", "mae", "pictures.predicted_true")


@cli
def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m droulette.metrics", description=__doc__)
    parser.add_argument("file", nargs="?", default="metrics/evaluate.json", help="default: %(default)s")
    path = Path(parser.parse_args(argv).file)
    try:
        parts = json.loads(path.read_text())
        lines = [row(name, values) for name, values in parts.items()]
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file, expected what `dvc repro` writes") from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise UserError(f"{path}: not the JSON of an evaluation: {error!r}") from error
    print(f"{'':12}" + "".join(f"{name.removeprefix('pictures.'):>22}" for name in COLUMNS))
    print("\n".join(lines))
    print("In brackets: the baseline, which always predicts the training part's mean of each column.")


def row(name: str, values: dict) -> str:
    """A part's metrics, each beside its baseline."""
    cells = (f"{_number(values, key)} ({_number(values['baseline'], key)})" for key in COLUMNS)
    return f"{name:12}" + "".join(f"{cell:>22}" for cell in cells)


def _number(values: dict, dotted: str) -> str:
    for key in dotted.split("."):
        values = values.get(key, {})
    return f"{values:.4f}" if isinstance(values, float) else "-"


if __name__ == "__main__":
    leave(main())
