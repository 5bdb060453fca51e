"""A dataset, from its parameters or its table to its files: pictures, lens table and amplitude table."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pandas as pd

from droulette import files
from droulette.devices import drawing_device
from droulette.pipeline.checks import check_rows
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import CHUNK, Drawing, chunk_rows, generate_chunks
from droulette.pipeline.storage import writer
from droulette.processes import Team, together

if TYPE_CHECKING:
    from tqdm import tqdm

    from droulette.parameters import Parameters

LOG = logging.getLogger("droulette")
Progress = Callable[[int, str], AbstractContextManager["tqdm"]]


def generate_dataset(
    params: Parameters,
    source: str,
    *,
    table: str | None = None,
    dataset: str | Path | None,
    pictures: str | Path | None,
    roulette: str | Path | None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Draw the rows of a distribution, or of an existing `table`: all files or none.

    Processes that torchrun started share the rows out, and write the files that one alone would write.

    Args:
        source: the file that the parameters or the rows come from.
        dataset: CSV file for the rows that were drawn. None, here and below: not written.
        pictures: folder for PNG files or shards.
        roulette: CSV file for reference points and amplitudes.
        workers: threads that draw and encode; by default one a core.
        progress: gives, for a number of pictures and what is done with them, a progress bar.
    """
    simulator = params.simulator
    drawing = Drawing.of(simulator, params.instrument.depth)
    device = drawing_device(params.settings.device)
    with together() as team:
        rows = simulator.size if table is None else count_rows(params, table, drawing, team)
        LOG.debug("%s: %d rows of %d×%d px on %s", source, rows, drawing.size, drawing.size, device)
        share = team.share(rows, simulator.shard_size if simulator.storage == "parquet" else 1)
        if table is None:
            chunks = drawn_chunks(params, share, chunk_rows(device, pictures is not None))
        else:
            chunks = chunks_of(share, read_chunks(params, table))
        with (  # what is entered first is finished last: with the amplitudes, the dataset is whole
            _csv_writer(roulette, team) as roulette_rows,
            _csv_writer(dataset, team) as dataset_rows,
            writer(pictures, simulator.storage, simulator.shard_size, team) if pictures else nullcontext() as keeper,
            progress(len(share), "drawing") if progress and team.first else nullcontext() as bar,
        ):
            options = {"first": share.start, "workers": workers, "device": device}
            if bar:
                options["progress"] = bar.update
            written = dataset_rows.copied(chunks)
            for amplitudes in generate_chunks(written, drawing, keeper, name=source, **options):
                roulette_rows.append(amplitudes)


def count_rows(params: Parameters, table: str, drawing: Drawing, team: Team) -> int:
    """The rows of a table. Raises `UserError` for the first that cannot be drawn."""
    rows = check_rows(read_chunks(params, table), table, drawing.imagesize, drawing.nterms) if team.first else 0
    return team.tell(rows)


def drawn_chunks(params: Parameters, rows: range, at_once: int) -> Iterator[pd.DataFrame]:
    """Those rows of the distribution."""
    for start in rows[::at_once]:
        yield draw_table(params, start, min(start + at_once, rows.stop))


def read_chunks(params: Parameters, table: str) -> Iterator[pd.DataFrame]:
    """The rows of a CSV file; model and lens, where it names none, are those of the parameters.

    pandas finds the kind of a column chunk by chunk, so that the length of a chunk must not depend on the machine.
    """
    for frame in files.read_csv_chunks(table, CHUNK, required=["filename"]):
        if "model" not in frame:
            frame["model"] = params.simulator.model[0]
        if not {"lens", "cluster", "config"} & set(frame):
            frame["lens"] = params.lens.mode[0]
        yield frame


def chunks_of(rows: range, chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Of the chunks of a whole table, those rows."""
    for chunk in chunks:
        part = chunk.loc[rows.start : rows.stop - 1]  # pandas' slices of labels have their end in them
        if len(part):
            yield part


@dataclass
class _Rows:
    """Appends rows to a table, or to nothing."""

    stream: BinaryIO | None
    header: bool = False

    def append(self, frame: pd.DataFrame) -> None:
        if self.stream:
            files.append_csv(frame, self.stream, header=self.header)
            self.header = False

    def copied(self, chunks: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """The chunks, each appended as it passes."""
        for chunk in chunks:
            self.append(chunk)
            yield chunk


@contextmanager
def _csv_writer(path: str | Path | None, team: Team) -> Iterator[_Rows]:
    """What appends rows to the file.

    Each process of a team writes its rows into a file of its own; the first puts them together in order.
    """
    if path is None:
        yield _Rows(None)
        return
    with files.atomic_write(path) if team.first else nullcontext() as whole:
        whole = team.tell(whole)
        parts = [whole.with_name(f"{whole.name}{rank}") for rank in range(1, team.count)]
        own = whole if team.first else parts[team.rank - 1]
        try:
            with own.open("wb") as stream:
                yield _Rows(stream, header=team.first)
            team.wait()
            if team.first:
                _append_files(parts, whole)
            team.wait()
        finally:
            if not team.first:
                own.unlink(missing_ok=True)


def _append_files(parts: list[Path], whole: Path) -> None:
    with whole.open("ab") as stream:
        for part in parts:
            with part.open("rb") as other:
                shutil.copyfileobj(other, stream)
