"""What the commands share: which tables of a TOML file they need, and progress bars."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from droulette.errors import UserError

if TYPE_CHECKING:
    from droulette.parameters import Parameters
    from droulette.parameters.learning import Dataset


def stage(description: str | None, argv: list[str] | None) -> tuple[Parameters, str]:
    """The parameters of a pipeline's stage, and their file; the process is then in the pipeline's folder."""
    options = argparse.ArgumentParser(description=description)
    options.add_argument("--params", default="params.toml", metavar="FILE", help="TOML file (default: params.toml)")
    options.add_argument("-C", "--directory", metavar="FOLDER", help="the pipeline's folder, which all paths are in")
    args = options.parse_args(argv)
    if args.directory:
        if not os.path.isdir(args.directory):
            raise UserError(f"--directory: found no folder {args.directory!r}, expected a pipeline's")
        os.chdir(args.directory)

    from droulette import parameters

    return parameters.load(args.params), args.params


def dataset_of(params: Parameters, source: str, *parts: str, pictures: bool = True) -> Dataset:
    """The table [dataset], read from the file `source`, if it has those parts and a folder of `pictures`."""
    dataset = params.dataset
    for part in parts:
        if dataset is None or part not in dataset.parts:
            raise UserError(f"{source}: found no table [dataset.{part}], expected one with a filename")
    if pictures and dataset.directory is None:
        raise UserError(f"{source}: found no key dataset.directory, expected the folder of the pictures")
    return dataset


def bar(total: int, doing: str) -> Callable[[int], object]:
    """A progress bar, quiet where there is no terminal: to be called with each number of pictures done."""
    from tqdm import tqdm

    progress = tqdm(total=total, desc=doing, unit="picture", disable=None)

    def step(done: int) -> None:
        progress.update(done)
        if progress.n >= total:
            progress.close()

    return step
