"""Files appear whole or not at all: everything is written beside its place and renamed into it.

What a killed run left beside a place is removed by the next that writes there. A lock, which ends with its process,
tells it from what another run is writing.
"""

from __future__ import annotations

import csv
import fcntl
import io
import itertools
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from droulette.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LONGEST_LINE = 1 << 20  # bytes of a line of a table
MOST_COLUMNS = 10_000
DECIMAL_COMMA, DECIMAL_POINT = re.compile(r"\s*-?\d+,\d+\s*"), re.compile(r"\s*-?\d+\.\d+\s*")
OTHER_SEPARATORS = {"|": "vertical bars", " ": "spaces"}


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, renamed to it when the block ends well, else removed."""
    path = Path(path)
    with _beside(path, _empty_file) as partial:
        try:
            yield partial
            partial.chmod(0o666 & ~_umask())  # mkstemp makes the file private
            with partial.open("rb") as stream:
                os.fsync(stream.fileno())  # if the machine dies after the renaming, the content is there
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def _empty_file(**where) -> str:
    handle, name = tempfile.mkstemp(**where)
    os.close(handle)
    return name


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty temporary folder beside `path`, whose files move into `path` when the block ends well.

    Files that were in `path` before stay there unless a new one has their name.
    """
    path = Path(path)
    with _beside(path, tempfile.mkdtemp) as partial:
        try:
            yield partial
            if not path.exists():
                partial.chmod(0o777 & ~_umask())  # mkdtemp makes the folder private
                partial.rename(path)
                return
            for entry in sorted(os.scandir(partial), key=lambda entry: entry.name):
                os.replace(entry.path, path / entry.name)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _beside(path: Path, make: Callable[..., str]) -> Iterator[Path]:
    """Make a file or folder beside `path`, locked while the block runs, and remove those that nobody writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix, suffix = f".{path.name[:200]}.", ".partial"
    with _lock(path.parent):  # or else another run finds what is made here before it is locked
        names = (name for name in os.listdir(path.parent) if name.startswith(prefix) and name.endswith(suffix))
        for left in map(path.parent.joinpath, names):
            with _lock(left, wait=False) as locked, suppress(OSError):
                if locked:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
        partial = Path(make(prefix=prefix, suffix=suffix, dir=path.parent))
        lock = _lock(partial, wait=False)
        lock.__enter__()
    try:
        yield partial
    finally:
        lock.__exit__(None, None, None)


@contextmanager
def _lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Lock a file or folder, if it can be, and say whether it was."""
    handle, locked = None, False
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        locked = True
    except OSError:  # locked by another, or a file system without locks
        pass
    try:
        yield locked
    finally:
        if handle is not None:
            os.close(handle)


def write_csv(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a table without its index; floats are the shortest text that reads back as the same number."""
    with atomic_write(path) as partial, partial.open("wb") as stream:
        append_csv(frame, stream, header=True)


def append_csv(frame: pd.DataFrame, stream: BinaryIO, *, header: bool) -> None:
    """Write the rows of a table, and before them its `header`, to a file that is open for bytes.

    Columns of floats that stand together are written by orjson, twenty times as fast as by pandas.
    """
    import numpy as np
    import orjson

    if header:
        stream.write(b",".join(map(_cell, frame.columns)) + b"\n")
    runs, start = [], 0
    for is_float, run in itertools.groupby(frame.dtypes, lambda kind: kind == np.float64):
        columns = range(start, start + len(list(run)))
        start = columns.stop
        if is_float:
            values = np.ascontiguousarray(frame.take(columns, axis=1).to_numpy())  # half the time of a slice
            if np.isfinite(values).all():
                runs.append(orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)[2:-2].split(b"],["))
                continue
        runs += [map(_cell, frame.iloc[:, column].tolist()) for column in columns]
    if len(frame):
        stream.write(b"\n".join(map(b",".join, zip(*runs, strict=True))) + b"\n")


def _cell(value: object) -> bytes:
    if value is None or value != value:
        return b""
    text = str(value)
    if "," in text or '"' in text or "\n" in text or "\r" in text:
        text = '"' + text.replace('"', '""') + '"'
    return text.encode()


def read_csv(path: str | Path, required: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table exactly as `write_csv` wrote it.

    Raises:
        UserError: no such file, not a CSV of UTF-8 text, no rows, a column twice, or a `required` column missing; a
            line of more than 1 MiB, more than 10,000 columns, or a file larger than the machine's memory.
    """
    import pandas as pd

    path = Path(path)
    if hasattr(os, "sysconf") and path.is_file():
        size, memory = path.stat().st_size, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if size > memory:
            found = f"found a table of {size / 1e9:.1f} GB, expected less than this machine's memory"
            raise UserError(f"{path}: {found}, {memory / 1e9:.1f} GB")
    return pd.concat(read_csv_chunks(path, None, required))


def read_csv_chunks(path: str | Path, rows: int | None, required: Sequence[str] = ()) -> Iterator[pd.DataFrame]:
    """Read a table in chunks of `rows` rows, whose index goes on from chunk to chunk.

    Raises as `read_csv` does, but reads a file of any size.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    # From pandas 3 on the default is exact, and saying so is deprecated.
    exact = {} if int(pd.__version__.split(".")[0]) >= 3 else {"float_precision": "round_trip"}
    seen = False
    try:
        dialect = _check_header(path, required)
        # An open file: of a path, pandas would guess from its name how to unpack it.
        with (
            io.BufferedReader(_Lines(path)) as stream,
            pd.read_csv(stream, low_memory=False, chunksize=rows or sys.maxsize, **exact, **dialect.options) as chunks,
        ):
            for frame in chunks:
                if not isinstance(frame.index, pd.RangeIndex):
                    raise ValueError(f"found more cells in a row than columns, which {dialect.words} separate")
                if dialect.spaced:
                    frame = _stripped(frame)
                seen = seen or len(frame) > 0
                yield frame
    except (ValueError, csv.Error, pd.errors.ParserError, UnicodeDecodeError, MemoryError) as error:
        raise UserError(f"{path}: not a CSV table: {error}") from error
    if not seen:
        raise UserError(f"{path}: found no rows, expected at least one")


def numbers(column: pd.Series) -> np.ndarray:
    """(n,) float64 of a table's column; what is no number is NaN, a whole number beyond float64 infinite."""
    import pandas as pd

    if column.dtype == "float64":
        return column.to_numpy(copy=True)
    try:
        values = pd.to_numeric(column, errors="coerce")
    except OverflowError:
        values = pd.to_numeric(column.astype(str), errors="coerce")
    return values.to_numpy("float64", copy=True)


@dataclass(frozen=True)
class _Dialect:
    """How the cells of a table are separated. spaced: with spaces beside the separators. decimal: of numbers."""

    separator: str = ","
    spaced: bool = False
    decimal: str = "."

    @property
    def words(self) -> str:
        return {",": "commas", ";": "semicolons", "\t": "tabs"}[self.separator]

    @property
    def options(self) -> dict[str, Any]:
        """For pandas."""
        options = {} if self.separator == "," else {"sep": self.separator, "decimal": self.decimal}
        return options | ({"skipinitialspace": True} if self.spaced else {})


def _stripped(frame: pd.DataFrame) -> pd.DataFrame:
    """Names and texts without the spaces around them."""
    frame = frame.rename(columns=str.strip)
    texts = [column for column in frame if frame[column].dtype.kind not in "biufc"]
    return frame.assign(**{name: frame[name].map(lambda x: x.strip() if isinstance(x, str) else x) for name in texts})


def _check_header(path: Path, required: Sequence[str]) -> _Dialect:
    with io.TextIOWrapper(io.BufferedReader(_Lines(path)), encoding="utf-8-sig", newline="") as stream:
        line = next((line for line in stream if line.strip("\r\n")), "")
        columns = next(csv.reader(itertools.chain([line], stream)), [])
        below = next(stream, "") if len(columns) == 1 else ""
    dialect = _Dialect()
    if len(columns) == 1:  # a name of our own has neither semicolons nor tabs
        separator = next((separator for separator in ";\t" if separator in line), ",")
        columns = next(csv.reader([line], delimiter=separator), [])
        first = next(csv.reader([below], delimiter=separator), []) if separator != "," else []
        comma = any(map(DECIMAL_COMMA.fullmatch, first)) and not any(map(DECIMAL_POINT.fullmatch, first))
        dialect = _Dialect(separator, decimal="," if comma else ".")
    if any(column != column.strip(" ") for column in columns):
        dialect = replace(dialect, spaced=True)
        columns = [column.strip() for column in columns]
    if len(columns) > MOST_COLUMNS:
        raise UserError(f"{path}: found {len(columns)} columns, expected at most {MOST_COLUMNS}")
    if len(set(columns)) < len(columns):
        twice = next(column for column in columns if columns.count(column) > 1)
        raise UserError(f"{path}: found column {twice[:80]!r} twice, expected each once")
    if missing := [column for column in required if column not in columns]:
        other = next((name for mark, name in OTHER_SEPARATORS.items() if mark in line.strip()), None)
        if len(columns) == 1 and other:
            expected = "commas, semicolons or tabs"
            raise UserError(f"{path}: found a header separated by {other}, expected {expected}: {line.strip()[:200]}")
        found = ", ".join(columns)
        found = found if len(found) < 500 else f"{found[:500]} …"
        raise UserError(f"{path}: found no column {missing[0]!r}, expected it among {found}")
    return dialect


class _Lines(io.FileIO):
    """A file of text whose reading ends in `ValueError` where a line, or a cell in quotes, is longer than LONGEST_LINE.

    It is read in parts that are shorter than that.
    """

    line = quoted = 0  # how long the last line of the part, or the cell in quotes that it ends in, is up to now

    def readinto(self, buffer) -> int:
        part = memoryview(buffer)[:LONGEST_LINE]
        count = super().readinto(part)
        text = bytes(part[:count])
        end = text.find(b"\n")
        longest = self.line + (count if end < 0 else end)
        self.line = longest if end < 0 else count - 1 - text.rfind(b"\n")
        inside = (self.quoted > 0) != (text.count(b'"') % 2 == 1)
        self.quoted = self.quoted + count if inside else 0
        if max(longest, self.quoted) > LONGEST_LINE:
            raise ValueError(f"found a line of more than {LONGEST_LINE} bytes")
        return count
