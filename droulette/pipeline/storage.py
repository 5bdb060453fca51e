"""Where pictures lie: PNG files in a folder, or PNG files packed into Parquet shards in a folder."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np

from droulette import files
from droulette.errors import UserError
from droulette.processes import ALONE, Team

SHARD = re.compile(r"images-(\d{9})-(\d{9})\.parquet")  # the first and the last row of the dataset in it
STORAGES = ("png", "parquet")
MOST_ROWS = 1_000_000  # of a shard
LARGE = 2**31 - 1  # bytes, of which an Arrow column holds fewer
MOST_GROWTH = 16  # how many times as large as its file a shard may be in memory; a PNG hardly shrinks once more


class Writer(Protocol):
    def keep(self, position: int, filename: str, png: bytes) -> None:
        """Keep the picture of row `position`, counted from 0; from several threads at once, in any order."""


class PngFolder:
    """One file a picture."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, position: int, filename: str, png: bytes) -> None:
        (self.folder / filename).write_bytes(png)

    def close(self) -> None:
        pass


class ParquetShards:
    """`size` consecutive rows a file, columns filename and png; a larger dataset keeps the full shards it had."""

    def __init__(self, folder: Path, size: int) -> None:
        self.folder, self.size = folder, size
        self.waiting: dict[int, dict[int, tuple[str, bytes]]] = {}
        self.lock = threading.Lock()

    def keep(self, position: int, filename: str, png: bytes) -> None:
        number = position // self.size
        with self.lock:
            shard = self.waiting.setdefault(number, {})
            shard[position] = (filename, png)
            whole = self.waiting.pop(number) if len(shard) == self.size else None
        if whole:
            self._write(whole)

    def close(self) -> None:
        for shard in self.waiting.values():  # the last one, which no row may fill
            self._write(shard)

    def _write(self, shard: dict[int, tuple[str, bytes]]) -> None:
        import pyarrow
        import pyarrow.parquet

        positions = sorted(shard)
        filenames, pngs = zip(*(shard.pop(position) for position in positions), strict=True)
        pool = pyarrow.system_memory_pool()  # gives back at once what it no longer needs
        table = pyarrow.table({"filename": pyarrow.array(filenames, memory_pool=pool), "png": _joined(pngs)})
        del pngs
        path = self.folder / f"images-{positions[0] + 1:09}-{positions[-1] + 1:09}.parquet"
        # PNG is compressed already; a dictionary or statistics of pictures serve nobody.
        options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
        with pyarrow.OSFile(str(path), "wb") as stream:
            pyarrow.parquet.write_table(table, stream, memory_pool=pool, **options)


def _joined(values: Sequence[bytes]):
    """A column of those values, made with one copy of them, where `pyarrow.array` would hold up to three.

    Raises `UserError` where they are more than can be read back.
    """
    import pyarrow

    ends = np.cumsum([0, *map(len, values)])
    if ends[-1] >= LARGE:
        found = f"found {len(values):,} pictures of {ends[-1]:,} bytes together"
        raise UserError(f"simulator.shard-size: {found}, expected less than {LARGE:,} in a shard")
    buffers = [None, pyarrow.py_buffer(ends.astype(np.int32)), pyarrow.py_buffer(b"".join(values))]
    return pyarrow.Array.from_buffers(pyarrow.binary(), len(values), buffers)


@contextmanager
def writer(folder: str | Path, storage: str, shard_size: int, team: Team = ALONE) -> Iterator[Writer]:
    """Write a dataset's pictures into a folder: all of them, or none if the block ends in an error.

    The processes of a team write side by side, no two into one shard; the first completes the folder.
    """
    folder = Path(folder)
    with files.atomic_folder(folder) if team.first else nullcontext() as partial:
        partial = team.tell(partial)
        kept = PngFolder(partial) if storage == "png" else ParquetShards(partial, shard_size)
        yield kept
        kept.close()
        team.wait()
        if not team.first:
            return
        # Shards of another division into rows would hold the same pictures twice.
        written = {path.name for path in partial.iterdir()}
        for path in folder.glob("images-*.parquet") if folder.is_dir() else ():
            if SHARD.fullmatch(path.name) and path.name not in written:
                path.unlink()


class Reader(Protocol):
    def order(self, filenames: Sequence[str]) -> np.ndarray:
        """Places in `filenames`, in the order in which the pictures are read fastest."""

    def open(self, filename: str) -> Path | BinaryIO:
        """What Pillow opens. Raises `FileNotFoundError` if there is none."""


class PngFiles:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def order(self, filenames: Sequence[str]) -> np.ndarray:
        return np.arange(len(filenames))

    def open(self, filename: str) -> Path:
        path = self.folder / filename
        if not path.is_file():
            raise FileNotFoundError(path)
        return path


class ShardFiles:
    """Pictures of a folder's shards, one or two of which are in memory at a time."""

    def __init__(self, folder: Path, paths: list[Path]) -> None:
        self.folder, self.paths = folder, paths
        self.places: dict[str, tuple[int, int]] = {}
        for number, path in enumerate(paths):
            for row, filename in enumerate(self._column(path, "filename").to_pylist()):
                self.places[str(filename)] = (number, row)
        self.loaded: dict[int, object] = {}
        self.lock = threading.Lock()

    def order(self, filenames: Sequence[str]) -> np.ndarray:
        missing = (len(self.paths), 0)
        return np.array(sorted(range(len(filenames)), key=lambda k: self.places.get(filenames[k], missing)), int)

    def open(self, filename: str) -> BinaryIO:
        if filename not in self.places:
            raise FileNotFoundError(f"{self.folder}/…/{filename}")
        number, row = self.places[filename]
        with self.lock:
            if number not in self.loaded:
                if len(self.loaded) == 2:
                    del self.loaded[min(self.loaded)]
                self.loaded[number] = self._column(self.paths[number], "png")
            return io.BytesIO(self.loaded[number][row].as_py())

    @staticmethod
    def _column(path: Path, name: str):
        import pyarrow
        import pyarrow.parquet

        text, raw = (pyarrow.string(), pyarrow.large_string()), (pyarrow.binary(), pyarrow.large_binary())
        try:
            ShardFiles._check_size(path)
            # Equal values are kept once: a few bytes of a file could stand for a thousand large pictures.
            column = pyarrow.parquet.read_table(path, columns=[name], read_dictionary=[name])[name]
            kind = column.type.value_type if pyarrow.types.is_dictionary(column.type) else column.type
            if kind not in {"filename": text, "png": raw}[name]:
                raise pyarrow.ArrowInvalid(f"{name} is {column.type}")
            return column.combine_chunks()
        except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
            found = " ".join(str(error).split())[:200]
            raise UserError(f"{path}: not a shard with the columns filename and png: {found}") from error

    @staticmethod
    def _check_size(path: Path) -> None:
        import pyarrow.parquet

        about = pyarrow.parquet.read_metadata(path)
        groups = [about.row_group(k) for k in range(about.num_row_groups)]
        size = sum(group.column(k).total_uncompressed_size for group in groups for k in range(about.num_columns))
        if about.num_rows > MOST_ROWS or size > MOST_GROWTH * path.stat().st_size + (1 << 20):
            raise ValueError(f"it unpacks to {about.num_rows} rows and {size} bytes")


def reader(folder: str | Path) -> Reader:
    """Of PNG files, or of shards where the folder has such. Raises `UserError`: a shard that cannot be read."""
    folder = Path(folder)
    paths = sorted(path for path in folder.glob("*.parquet") if path.is_file())
    return ShardFiles(folder, paths) if paths else PngFiles(folder)
