"""What the commands share: options, logging, progress bars, and which tables of a TOML file they need."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from droulette.errors import UserError, one_line, styled

if TYPE_CHECKING:
    from tqdm import tqdm

    from droulette.parameters import Parameters
    from droulette.parameters.learning import Dataset

LOG = logging.getLogger("droulette")
STAGE_EXAMPLES = """
python -m PACKAGE.NAME
python -m PACKAGE.NAME --verbose
python -m PACKAGE.NAME --params other.toml
"""
typed: str | None = None  # what was typed in place of `python -m droulette.NAME`: "droulette NAME"
OWN_CODE = ("droulette/physics/own", "droulette/learning/own")  # folders of users' models
NARROW = 60  # columns of a terminal, below which a bar has room for little more than the time left


def parser(
    command: str, description: str | None, examples: str, notes: str = "", package: str = "droulette"
) -> argparse.ArgumentParser:
    """The options that every command has. examples: lines that can be typed."""
    module = f"python -m {package}.{command}"
    lines = "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
    lines = lines.replace(module, typed or module)
    options = argparse.ArgumentParser(
        prog=typed or module,
        description=description,
        epilog=f"examples:\n{lines}\n\n{notes}".rstrip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    amount = options.add_mutually_exclusive_group()
    amount.add_argument("-q", "--quiet", action="store_true", help="show warnings and errors only")
    amount.add_argument("-v", "--verbose", action="store_true", help="log each step with its time, and show tracebacks")
    return options


@contextlib.contextmanager
def speaking(args: argparse.Namespace, *, prints_result: bool = False) -> Iterator[None]:
    """Log to stderr as --quiet and --verbose ask. prints_result: --quiet keeps what is printed, the result."""
    handler = _Lines(args.verbose)
    before = LOG.level, LOG.propagate
    LOG.addHandler(handler)
    LOG.propagate = False
    LOG.setLevel(logging.DEBUG if args.verbose else logging.WARNING if args.quiet else logging.INFO)
    try:
        with contextlib.ExitStack() as stack:
            if args.quiet and not prints_result:
                nowhere = stack.enter_context(open(os.devnull, "w"))
                stack.enter_context(contextlib.redirect_stdout(nowhere))
            LOG.debug("Python %s, %s", sys.version.split()[0], " ".join(sys.argv))
            yield
            LOG.debug("done")
    except UserError:
        LOG.debug("raised here:", exc_info=True)
        raise
    finally:
        LOG.removeHandler(handler)
        LOG.setLevel(before[0])
        LOG.propagate = before[1]


class _Lines(logging.StreamHandler):
    """A line each on stderr, above any progress bar: warnings named so, and with the time if `timed`."""

    def __init__(self, timed: bool) -> None:
        super().__init__(sys.stderr)
        self.timed = timed

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record) if record.exc_info else one_line(record.getMessage())
        if record.levelno >= logging.WARNING:
            line = styled("warning: ", "33", self.stream) + line
        return f"[{record.relativeCreated / 1000:7.2f} s] {line}" if self.timed else line


def stage_parser(name: str, description: str | None, package: str = "stages") -> argparse.ArgumentParser:
    """The options of a stage of the pipeline."""
    examples = STAGE_EXAMPLES.replace("NAME", name).replace("PACKAGE", package)
    options = parser(name, description, examples, "`dvc repro` runs the stages whose inputs have changed.", package)
    options.add_argument("--params", default="params.toml", metavar="FILE", help="TOML file (default: params.toml)")
    options.add_argument("-C", "--directory", metavar="FOLDER", help="the pipeline's folder, which all paths are in")
    return options


@contextlib.contextmanager
def stage(
    description: str | None, argv: list[str] | None, options: argparse.ArgumentParser | None = None
) -> Iterator[tuple[Parameters, str]]:
    """The parameters of a stage, and their file. Within the block the process is in the pipeline's folder."""
    options = options or stage_parser(os.path.basename(sys.argv[0]).removesuffix(".py"), description)
    args = options.parse_args(argv)
    folder = args.directory or "."
    if not os.path.isdir(folder):
        raise UserError(f"--directory: found no folder {folder!r}, expected a pipeline's")
    from droulette import parameters

    with speaking(args), contextlib.chdir(folder):
        try:
            yield parameters.load(args.params), args.params
        except UserError as error:
            raise UserError(f"{error}{_left_out(str(error))}") from error


def _left_out(message: str) -> str:
    """What to add to a message in a copy that DVC made for an experiment of its queue: it has tracked files only."""
    root, inside, _ = str(Path.cwd()).partition(os.sep + os.path.join(".dvc", "tmp", "exps") + os.sep)
    if not inside:
        return ""
    named = {name.strip("'\",:") for name in message.split()}
    own = [path for folder in OWN_CODE for path in Path(root, folder).glob("*.py")]
    files = {str(path.relative_to(root)) for path in own} | {name for name in named if Path(root, name).is_file()}
    files = sorted(name for name in files if not Path(name).exists())
    if not files:
        return ""
    return f". The queue's copies have tracked files only: `git add {' '.join(files[:5])}`, and queue it again"


def dataset_of(params: Parameters, source: str, *parts: str, pictures: bool = True) -> Dataset:
    """The table [dataset], read from the file `source`, if it has those parts and a folder of `pictures`."""
    dataset = params.dataset
    for part in parts:
        if dataset is None or part not in dataset.parts:
            raise UserError(f"{source}: found no table [dataset.{part}], expected one with a filename")
    if pictures and dataset.directory is None:
        raise UserError(f"{source}: found no key dataset.directory, expected the folder of the pictures")
    return dataset


def progress_bar(total: int, doing: str, shown: bool = True) -> tqdm:
    """Pictures done, rate and time left; quiet where there is no terminal, and one line however narrow that is."""
    from tqdm import tqdm

    quiet = not shown or LOG.level >= logging.WARNING
    narrow = shutil.get_terminal_size().columns < NARROW
    return tqdm(
        total=total,
        desc=doing,
        unit="picture",
        disable=quiet or None,
        dynamic_ncols=True,
        bar_format="{percentage:3.0f}% {remaining} left|{bar}|" if narrow else None,
    )


def bar(total: int, doing: str) -> Callable[[int], object]:
    """A progress bar as a function, to be called with each number of pictures done."""
    LOG.debug("%s %d pictures", doing, total)
    progress = progress_bar(total, doing)

    def step(done: int) -> None:
        progress.update(done)
        if progress.n >= total:
            progress.close()

    return step
