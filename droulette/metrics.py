"""Print what an evaluation found: `python -m droulette.metrics metrics/evaluate.json`"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from droulette import commands
from droulette.commands import speaking
from droulette.errors import UserError, cli, leave

EXAMPLES = """
python -m droulette.metrics
python -m droulette.metrics metrics/evaluate.json
"""


def parser() -> argparse.ArgumentParser:
    options = commands.parser("metrics", "Print what an evaluation found.", EXAMPLES)
    options.add_argument(
        "file", nargs="?", metavar="FILE", default="metrics/evaluate.json", help="default: %(default)s"
    )
    return options


@cli
def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)
    path = Path(args.file)
    with speaking(args, prints_result=True):
        try:
            print(table(json.loads(path.read_text())))
        except FileNotFoundError as error:
            raise UserError(f"{path}: no such file; `dvc repro` writes it") from error
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise UserError(f"{path}: not the JSON of an evaluation: {error!r}") from error


def table(parts: dict) -> str:
    """The metrics of each part, and under the last those of its baselines."""
    names = {"r2": "r2", "r2_quantile": "r2_quantile", "mae": "mae", "coverage68": "in 68 %", "coverage95": "in 95 %"}
    names |= {"pictures.predicted_true": "picture error"}
    lines = ["".join(f"{name:>15}" for name in names.values())]
    rows = list(parts.items())
    name, last = rows[-1]
    rows += [(label, last[key]) for key, label in (("linear", "  linear model"), ("baseline", "  means"))]
    if fit := last.get("fit"):
        rows += [(f"  fits of {fit['rows']}", fit), ("  network there", fit["network"])]
    for name, values in rows:
        lines.append(f"{name:16}" + "".join(f"{_number(values, key):>15}" for key in names))
    lines[0] = " " * 16 + lines[0]
    return "\n".join(lines)


def _number(values: dict, dotted: str) -> str:
    for key in dotted.split("."):
        values = values.get(key, {})
    return f"{values:.4f}" if isinstance(values, float) else "-"


if __name__ == "__main__":
    leave(main())
