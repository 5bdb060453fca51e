"""Share a dataset out: `python -m droulette.split problem.toml`"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from droulette import commands
from droulette.commands import dataset_of, speaking
from droulette.errors import UserError, cli, leave

if TYPE_CHECKING:
    from droulette.parameters import Parameters


EXAMPLES = """
python -m droulette.split problem.toml
python -m droulette.split problem.toml --seed 2
python -m droulette.split problem.toml --keep-order
"""


def parser() -> argparse.ArgumentParser:
    options = commands.parser("split", "Share a dataset out between training, validation and testing.", EXAMPLES)
    options.add_argument("toml", metavar="FILE", help="TOML file with the tables [problem] and [dataset]")
    options.add_argument("--seed", type=int, help="of the shuffling: overrides problem.seed")
    options.add_argument("--device", help="taken as by the other commands; splitting uses none")
    options.add_argument("--keep-order", action="store_true", help="do not shuffle the rows")
    return options


@cli
def main(argv: list[str] | None = None) -> None:
    args = parser().parse_args(argv)

    from droulette import parameters

    overrides = {
        "problem.seed": args.seed,
        "problem.shuffle": False if args.keep_order else None,
        "settings.device": args.device,
    }
    with speaking(args):
        split_by(parameters.load(args.toml, overrides), args.toml)


def split_by(params: Parameters, source: str) -> None:
    """Split as the tables [problem] and [dataset], read from the file `source`, say."""
    from droulette.pipeline.splitting import held_out, split_file

    dataset = dataset_of(params, source, "training", pictures=False)
    problem = params.problem
    if problem is None:
        raise UserError(f"{source}: found no table [problem], expected one with filename and columns")
    split_file(
        problem.filename,
        {name: (part.filename, part.size) for name, part in dataset.parts.items()},
        variables=problem.variables,
        nterms=problem.nterms,
        seed=problem.seed,
        shuffle=problem.shuffle,
        held_out=held_out(problem.lenses, problem.hold_out) if problem.lenses and problem.hold_out else None,
    )


if __name__ == "__main__":
    leave(main())
