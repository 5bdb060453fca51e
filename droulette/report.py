"""A page that shows a dataset, a model and its errors: `python -m droulette.report [--compare EXPERIMENT]`"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from droulette import commands
from droulette.commands import dataset_of, speaking
from droulette.errors import UserError, cli, leave

if TYPE_CHECKING:
    from droulette.parameters import Parameters

PICTURES = 200  # about 9 MB in all, of which Plotly is 5


EXAMPLES = """
python -m droulette.report
python -m droulette.report --compare main --compare exp-a1b2c --output comparison.html
"""


def parser() -> argparse.ArgumentParser:
    options = commands.parser("report", "A page that shows a dataset, a model and its errors.", EXAMPLES)
    options.add_argument("--params", metavar="FILE", default="params.toml", help="TOML file (default: %(default)s)")
    options.add_argument("--model", metavar="FILE", default="models/model.safetensors", help="default: %(default)s")
    options.add_argument(
        "--metrics", metavar="FOLDER", default="metrics", help="folder of the evaluation (default: %(default)s)"
    )
    options.add_argument(
        "--compare", action="append", default=[], metavar="NAME",
        help="an experiment, branch, tag or commit to set beside the workspace; may be given several times",
    )  # fmt: skip
    options.add_argument(
        "--pictures", type=int, default=PICTURES, help="how many rows are shown (default: %(default)s)"
    )
    options.add_argument(
        "--output", metavar="FILE", help="default: metrics/report.html, with --compare metrics/comparison.html"
    )
    return options


@cli
def main(argv: list[str] | None = None) -> None:
    arguments = parser().parse_args(argv)

    from droulette import parameters

    if arguments.pictures < 1:
        raise UserError(f"--pictures: found {arguments.pictures}, expected 1 or more")
    output = arguments.output or Path(arguments.metrics) / ("comparison.html" if arguments.compare else "report.html")
    with speaking(arguments):
        report_by(
            parameters.load(arguments.params),
            arguments.params,
            arguments.model,
            arguments.metrics,
            output,
            compare=arguments.compare,
            pictures=arguments.pictures,
        )


def report_by(
    params: Parameters,
    source: str,
    model: str | Path,
    metrics: str | Path,
    output: str | Path,
    *,
    compare: Sequence[str] = (),
    pictures: int = PICTURES,
) -> None:
    """Write a report of what an evaluation by the parameters, read from the file `source`, left in `metrics`."""
    from droulette.reporting import comparison, page, results

    dataset = dataset_of(params, source, "testing")
    if params.problem is None:
        raise UserError(f"{source}: found no table [problem], expected one with the file of the amplitudes")
    if params.evaluation.lenses is None:
        raise UserError(f'{source}: found no key evaluation.lenses, expected the lenses, as "data/dataset.csv"')
    others = [comparison.read(name, source, Path(metrics)) for name in compare]
    where = results.Files(
        parameters=source,
        pictures=dataset.directory,
        testing=dataset.testing.filename,
        roulette=params.problem.filename,
        lenses=params.evaluation.lenses,
        model=model,
        metrics=Path(metrics),
        predictions=dataset.testing.predictionfile or "testing.csv",
    )
    found = results.read(where, pictures, params.simulator)
    page.write(page.page(found, others, centred=params.simulator.centred), output)
    shown, every = len(found.split.pictures), len(found.split.table)
    print(f"{output}: {Path(output).stat().st_size / 1e6:.1f} MB, {shown} of {every} pictures")


if __name__ == "__main__":
    leave(main())
