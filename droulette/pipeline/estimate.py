"""What a dataset will take in bytes and seconds, by drawing a sample of it in memory."""

from __future__ import annotations

import io
import math
import time
from dataclasses import dataclass

import pandas as pd

from droulette import files
from droulette.devices import cores
from droulette.pipeline.generate import Drawing, generate_chunks

SAMPLE = 512  # rows
PLACES = 16  # of the dataset that they come from
FIRST = 16  # rows that are drawn before the clock runs, since the first ones wait for the kernels
PER_SHARD_ROW = 12  # bytes of a Parquet file beside name and picture


class Counting:
    """A writer that keeps nothing."""

    def __init__(self, storage: str) -> None:
        self.storage, self.bytes = storage, 0

    def keep(self, position: int, filename: str, png: bytes) -> None:
        beside = len(filename) + PER_SHARD_ROW if self.storage == "parquet" else 0
        self.bytes += len(png) + beside  # under the interpreter's lock


@dataclass(frozen=True)
class Estimate:
    """rows: of the dataset. pictures, tables: bytes of files. seconds: with so many `threads`."""

    rows: int
    size: int
    pictures: float
    tables: float
    seconds: float
    threads: int

    def __str__(self) -> str:
        parts = f"pictures {readable(self.pictures)}, tables {readable(self.tables)}"
        return (
            f"dry run: {self.rows} pictures of {self.size}×{self.size}: about {readable(self.pictures + self.tables)} "
            f"({parts}) and {self.seconds:.3g} s with {self.threads} threads; nothing is written"
        )


def readable(count: float) -> str:
    """Bytes in a unit that leaves one to three digits before the point."""
    power = min(4, int(math.log10(max(count, 1)) // 3))
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"


def places(rows: int) -> list[tuple[int, int]]:
    """Where the sample of a dataset of so many rows comes from: start and stop of each stretch."""
    if rows <= SAMPLE:
        return [(0, rows)]
    length = max(1, SAMPLE // PLACES)
    return [(start, start + length) for start in (k * (rows - length) // (PLACES - 1) for k in range(PLACES))]


def estimate(
    sample: pd.DataFrame,
    rows: int,
    drawing: Drawing,
    kept: dict[str, bool],
    storage: str = "png",
    *,
    begin: float,
    name: str = "dataset.csv",
    workers: int | None = None,
    device: str = "cpu",
) -> Estimate:
    """Draw and encode the sample, and take it for the whole.

    sample: rows of a dataset table. rows: of the whole. kept: whether "pictures", "dataset" and "roulette" are
    to be written. begin: when this run began, by time.perf_counter(). The rest: as for `generate_chunks`.
    """
    options = {"name": name, "workers": workers, "device": device}
    first = sample.head(FIRST)
    list(generate_chunks([first], drawing, Counting(storage) if kept["pictures"] else None, **options))
    ready = time.perf_counter()
    counted = Counting(storage) if kept["pictures"] else None
    headers = tables = 0
    (roulette,) = generate_chunks([sample], drawing, counted, **options)
    for table, wanted in ((sample, kept["dataset"]), (roulette, kept["roulette"])):
        if wanted:
            stream = io.BytesIO()
            files.append_csv(table, stream, header=True)
            size = stream.tell()
            headers += len(stream.getvalue().split(b"\n", 1)[0]) + 1
            tables += size
    per_row = (time.perf_counter() - ready) / len(sample)
    pictures = counted.bytes * rows / len(sample) if counted else 0.0
    tables = headers + (tables - headers) * rows / len(sample)
    seconds = ready - begin + per_row * max(rows - len(first), 0)
    return Estimate(rows, drawing.size, pictures, tables, seconds, workers or cores())
