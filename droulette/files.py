"""Files appear whole or not at all: everything is written beside its place and renamed into it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from droulette.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, renamed to it when the block ends well, else removed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        umask = os.umask(0)
        os.umask(umask)
        partial.chmod(0o666 & ~umask)  # mkstemp makes the file private
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`, whose files move into `path` when the block ends well.

    Files that were in `path` before stay there unless a new one has their name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        yield partial
        path.mkdir(exist_ok=True)
        for entry in sorted(os.scandir(partial), key=lambda entry: entry.name):
            os.replace(entry.path, path / entry.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table without its index; floats are the shortest text that reads back as the same number."""
    with atomic_write(path) as partial:
        frame.to_csv(partial, index=False, lineterminator="\n")


def read_csv(path: str | Path, required: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table exactly as `write_csv` wrote it.

    Raises:
        UserError: no such file, not a CSV of UTF-8 text, no rows, a column twice, or a `required` column missing.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    try:
        # From pandas 3 on the default is exact, and saying so is deprecated.
        exact = {} if int(pd.__version__.split(".")[0]) >= 3 else {"float_precision": "round_trip"}
        frame = pd.read_csv(path, low_memory=False, **exact)
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError, MemoryError) as error:
        raise UserError(f"{path}: not a CSV table: {error}") from error
    if frame.empty:
        raise UserError(f"{path}: found no rows, expected at least one")
    for column in required:
        if column not in frame.columns:
            raise UserError(f"{path}: found no column {column!r}, expected it among {', '.join(frame.columns)}")
    return frame
