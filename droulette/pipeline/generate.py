"""Draw the pictures of a dataset table and compute its reference points and roulette amplitudes, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier, Event

import numpy as np
import pandas as pd

from droulette.devices import cores, stream_of
from droulette.errors import UserError
from droulette.physics.amplitudes import amplitudes, orders
from droulette.physics.arrays import Array, to_numpy
from droulette.physics.batches import move, take
from droulette.physics.lens_equation import apparent_position, residual
from droulette.physics.lenses import Lens
from droulette.physics.mappings import Mapping, Raytrace, Roulette, convergence_radius
from droulette.physics.rendering import Scene, centre_of_light, render
from droulette.physics.sources import Source
from droulette.pipeline import png
from droulette.pipeline.scenes import Kind, groups, lens_batch, normalise, source_batch, source_columns
from droulette.pipeline.storage import PngFolder, Writer
from droulette.quantities import amplitude_columns

CHUNK = 4096  # rows of a table that are in memory together, at most
CHUNK_OF_A_THREAD = 512  # rows whose pictures keep a thread busy while the next chunk is prepared
ROWS_AT_ONCE = 1024  # rows whose amplitudes are computed together: their series fit a core's cache
SAMPLED_AT_ONCE = 4  # a sampled lens takes three float64 canvases, and while they are made twelve
PICTURES_AT_ONCE = 64  # fewer cost 0.5 ms a task, and waiting for the interpreter; more, longer without a sign of life
PIXELS_AT_ONCE = 1 << 22
PICTURES_ON_A_CARD = 256


@dataclass(frozen=True)
class Drawing:
    """How pictures are drawn: the part of `[simulator]` that decides pixels."""

    imagesize: int = 512
    cropsize: int | None = None
    centred: bool = False
    nterms: int = 5
    sampling: str = "exact"
    supersampling: int = 1
    mask: bool = False

    @property
    def size(self) -> int:
        return self.cropsize or self.imagesize


class Tables:
    """ξ₀, its residual, amplitudes and centres of light of n rows, filled in as they are computed."""

    def __init__(self, count: int, nterms: int) -> None:
        self.xi = np.zeros((2, count))
        self.offset = np.zeros((2, count))
        self.centre = np.zeros((2, count))
        self.alpha = np.zeros((len(orders(nterms)), count))
        self.beta = np.zeros((len(orders(nterms)), count))


def generate(
    frame: pd.DataFrame, drawing: Drawing, directory: Path, *, name: str = "dataset.csv", **options
) -> pd.DataFrame:
    """Draw every row's picture into `directory` and return the roulette table; see `generate_chunks`."""
    check_rows([frame], name, drawing.imagesize)
    (table,) = generate_chunks([frame], drawing, PngFolder(directory), name=name, **options)
    return table


def generate_chunks(
    chunks: Iterable[pd.DataFrame],
    drawing: Drawing,
    writer: Writer | None,
    *,
    name: str = "dataset.csv",
    first: int = 0,
    workers: int | None = None,
    device: str = "cpu",
    progress: Callable[[int], object] = lambda count: None,
) -> Iterator[pd.DataFrame]:
    """Draw every row's picture and give the roulette tables of the chunks, one by one.

    While a chunk's pictures are drawn, the next one's reference points and amplitudes are computed. A table is given
    when all in it is known; the last of its pictures are kept before the next one is given, or the end is reached.

    Args:
        chunks: dataset tables; a row alone decides its picture.
        writer: keeps the PNG file of each picture; None: no pictures are kept, and none is drawn unless its centre
            of light is wanted.
        name: what error messages call the table.
        first: the place of the first chunk's first row in the dataset.
        workers: threads that draw and encode; by default one a core.
        device: where pixels are computed. Reference points and amplitudes are always computed on the CPU.
        progress: called with the number of rows just finished.

    Raises:
        UserError: a row that cannot be drawn; see `check_rows`.
    """
    pool = _Pool(workers or cores())
    try:
        waiting: _Chunk | None = None
        for chunk in chunks:
            started = _Chunk(normalise(chunk, name), first, drawing, writer, device, progress)
            started.start(pool, name)
            first += len(started.frame)
            if waiting:
                yield waiting.table()
                waiting.finish()
            waiting = started
        if waiting:
            yield waiting.table()
            waiting.finish()
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    pool.shutdown(wait=False)  # nothing runs any more


class _Pool(ThreadPoolExecutor):
    """Its threads run already: beside tasks that hold the interpreter, each takes milliseconds to start."""

    def __init__(self, threads: int) -> None:
        super().__init__(threads)
        self.threads = threads
        all_run = Barrier(threads, timeout=10)
        for _ in range(threads):
            self.submit(all_run.wait)


@dataclass
class _Chunk:
    """Rows that are in memory together, the first of which is the dataset's row `first`, and the tasks that draw them.

    A task waits only for tasks that the pool was given before it.
    """

    frame: pd.DataFrame
    first: int
    drawing: Drawing
    writer: Writer | None
    device: str
    progress: Callable[[int], object]

    def __post_init__(self) -> None:
        self.filenames = self.frame["filename"].to_numpy()
        self.tables = Tables(len(self.frame), self.drawing.nterms)
        self.draws = bool(self.writer or self.drawing.centred)
        self.table_tasks: list[Future] = []  # without which there is no table
        self.centred: list[Event] = []  # centres of light of some rows are known, or never will be
        self.draw_tasks: list[Future] = []

    def start(self, pool: _Pool, name: str) -> None:
        for kind, of_kind in groups(self.frame, name):
            if kind.sampled:
                parts = [of_kind[part] for part in _slices(len(of_kind), SAMPLED_AT_ONCE)]
                self.table_tasks += [pool.submit(self._do_sampled, kind, rows, name) for rows in parts]
                continue
            for rows in (of_kind[part] for part in _slices(len(of_kind), ROWS_AT_ONCE)):
                lens, source, eta = self._read(kind, rows, name)
                if not self.draws:
                    self.table_tasks.append(pool.submit(self._tabulate, lens, eta, rows))
                elif kind.model == "Raytrace":  # of which no picture need wait for amplitudes
                    scene = self._prepared(Raytrace(lens, *eta), source)
                    self._submit_pictures(pool, scene, rows)
                    self._solve(lens, eta, rows)
                else:
                    expanded = pool.submit(self._expand, lens, source, eta, rows)
                    self.table_tasks.append(expanded)
                    self._submit_pictures(pool, expanded, rows)

    def _submit_pictures(self, pool: _Pool, scene: Scene | Future[Scene], rows: np.ndarray) -> None:
        if self.device == "cpu":
            most = max(1, min(PICTURES_AT_ONCE, PIXELS_AT_ONCE // self.drawing.size**2))
            parts = _shares(len(rows), most, pool.threads)
        else:
            parts = _slices(len(rows), PICTURES_ON_A_CARD)
        for part in parts:
            self.centred.append(Event())
            self.draw_tasks.append(pool.submit(self._draw, scene, rows[part], part, self.centred[-1]))

    def table(self) -> pd.DataFrame:
        """The roulette table, as soon as all that stands in it is known: pictures may be drawn still."""
        _results(self.table_tasks)
        for event in self.centred:
            event.wait()
        return _roulette_table(self.frame, self.drawing, self.tables)

    def finish(self) -> None:
        """Wait for the last pictures."""
        _results(self.draw_tasks)

    def _read(self, kind: Kind, rows: np.ndarray, name: str) -> tuple[Lens, Source, tuple[np.ndarray, np.ndarray]]:
        """Lenses, sources and their positions of rows of one kind."""
        part = self.frame.iloc[rows]
        lens, source = lens_batch(part, kind, name, self.drawing.imagesize), source_batch(part, kind, name)
        return lens, source, (part["x"].to_numpy(np.float64, copy=True), part["y"].to_numpy(np.float64, copy=True))

    def _solve(self, lens: Lens, eta: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> tuple:
        """Reference points and amplitudes, into the tables too."""
        xi = apparent_position(lens, *eta)
        alpha, beta = amplitudes(lens, *xi, self.drawing.nterms)
        self.tables.xi[:, rows] = np.stack(xi)
        self.tables.offset[:, rows] = np.stack(residual(lens, *xi, *eta))
        self.tables.alpha[:, rows], self.tables.beta[:, rows] = alpha, beta
        return xi, alpha, beta

    def _tabulate(self, lens: Lens, eta: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> None:
        """All that is to be done where no pictures are wanted."""
        self._solve(lens, eta, rows)
        self.progress(len(rows))

    def _expand(self, lens: Lens, source: Source, eta: tuple[np.ndarray, np.ndarray], rows: np.ndarray) -> Scene:
        """The scenes of the lenses' roulette expansions."""
        xi, alpha, beta = self._solve(lens, eta, rows)
        radius = convergence_radius(lens, *xi) if self.drawing.mask else None
        return self._prepared(Roulette.from_amplitudes(*xi, alpha, beta, self.drawing.nterms, radius), source)

    def _prepared(self, mapping: Mapping, source: Source) -> Scene:
        return Scene(mapping, source)

    def _draw(self, scene: Scene | Future[Scene], rows: np.ndarray, part: slice, centred: Event) -> None:
        """Pictures of a part of the scenes, which has those rows, and centres of light: what is wanted of them."""
        try:
            scene = scene.result() if isinstance(scene, Future) else scene
            with stream_of(self.device):
                if self.device != "cpu":
                    scene, part = move(take(scene, part), self.device), slice(None)
                centre = self._centre(scene, part, rows)
                centred.set()
                pictures = self._pictures(scene, part, *centre)
        finally:
            centred.set()
        for row, picture in zip(rows.tolist(), pictures, strict=False):
            self.writer.keep(self.first + row, self.filenames[row], png.encode(picture))
        self.progress(len(rows))

    def _centre(self, scene: Scene, part: slice, rows: np.ndarray) -> Array:
        """(2, B) px, the points about which pictures are drawn, into the tables too; on the device of the scene."""
        if self.drawing.centred:
            centre = centre_of_light(scene, self.drawing.imagesize, rows=part, **self._sampling())
            self.tables.centre[:, rows] = np.stack([to_numpy(axis) for axis in centre])
            return centre
        middle = np.zeros((2, len(rows)))
        return middle if self.device == "cpu" else move(middle, self.device)

    def _pictures(self, scene: Scene, part: slice, centre_x: Array, centre_y: Array) -> np.ndarray:
        """(B, size, size) uint8, or none if they are not wanted."""
        if not self.writer:
            return np.empty((0, 0, 0), np.uint8)
        options = {"canvas": self.drawing.imagesize, "rows": part, **self._sampling()}
        return to_numpy(render(scene, self.drawing.size, centre_x, centre_y, **options))

    def _sampling(self) -> dict[str, str | int]:
        return {"sampling": self.drawing.sampling, "supersampling": self.drawing.supersampling}

    def _do_sampled(self, kind: Kind, rows: np.ndarray, name: str) -> None:
        """All that is to be done for rows of sampled lenses: only a few of their maps fit into memory."""
        lens, source, eta = self._read(kind, rows, name)
        if not self.draws:
            self._tabulate(lens, eta, rows)
            return
        if kind.model == "Raytrace":
            self._solve(lens, eta, rows)
            scene = self._prepared(Raytrace(lens, *eta), source)
        else:
            scene = self._expand(lens, source, eta, rows)
        self._draw(scene, rows, slice(None), Event())


def _results(tasks: list[Future]) -> None:
    """Wait for all, and raise what one of them raised."""
    wait(tasks, return_when=FIRST_EXCEPTION)  # one by one, each that ends would wake this thread and stop another
    for task in tasks:
        task.result()


def _shares(count: int, most: int, threads: int) -> list[slice]:
    """Even slices, none longer than `most` and as many for each thread."""
    number = min(count, threads * -(-count // (most * threads)))
    return [slice(count * k // number, count * (k + 1) // number) for k in range(number)]


def _slices(count: int, at_once: int) -> list[slice]:
    return [slice(start, min(start + at_once, count)) for start in range(0, count, at_once)]


# ---------------------------------------------------------------- tables


def rows_together(workers: int | None, device: str, pictures: bool) -> int:
    """Rows to draw together: as few as keep the threads busy, since their tables take more memory than pictures do."""
    if device != "cpu" or not pictures:
        return CHUNK
    return min(CHUNK, CHUNK_OF_A_THREAD * (workers or cores()))


def check_rows(chunks: Iterable[pd.DataFrame], name: str, imagesize: int) -> int:
    """Raise `UserError` for the first row that cannot be drawn, or whose file name is not a plain one of its own.

    Returns: the number of rows.
    """
    seen: set[str] = set()
    for chunk in chunks:
        frame = normalise(chunk, name)
        check_filenames(frame, name, seen)
        for kind, rows in groups(frame, name):
            part = frame.iloc[rows]
            lens_batch(part, replace(kind, sampled=False), name, imagesize)
            source_batch(part, kind, name)
    return len(seen)


def check_filenames(frame: pd.DataFrame, name: str, seen: set[str]) -> None:
    """Raise unless every row names one plain .png file that is not among those `seen`, and add them."""
    if "filename" not in frame:
        raise UserError(f"{name}: found no column 'filename', expected it")
    for label, filename in frame["filename"].items():
        plain = isinstance(filename, str) and Path(filename).name == filename and "\\" not in filename
        if not plain or not filename.lower().endswith(".png") or filename.startswith(".") or "\0" in filename:
            raise UserError(
                f"{name}: row {label + 1}, column filename: found {str(filename)[:80]!r}, "
                "expected a plain name that ends in .png, without folders"
            )
        if filename in seen:
            found = f"found {filename!r} a second time, expected each once"
            raise UserError(f"{name}: row {label + 1}, column filename: {found}")
        seen.add(filename)


def _roulette_table(frame: pd.DataFrame, drawing: Drawing, tables: Tables) -> pd.DataFrame:
    named = ["filename", *source_columns(frame["source"].unique())]
    eta = np.stack([frame["x"], frame["y"]]).astype(np.float64)
    pairs = {
        "lens": 0.0 - tables.centre,
        "centre": tables.centre,
        "releta": eta - tables.centre,
        "offset": tables.offset,
        "xi": tables.xi - tables.centre,
    }
    amplitudes = np.stack([tables.alpha, tables.beta], axis=1).reshape(-1, len(frame))
    names = [f"{name}{axis}" for name in pairs for axis in "XY"] + amplitude_columns(drawing.nterms)
    numbers = pd.DataFrame(np.concatenate([*pairs.values(), amplitudes]).T, frame.index, names)
    place = {column: k for k, column in enumerate(frame)}
    kept = frame.take([place[column] for column in named if column in place], axis=1)  # a fifth of the time by name
    return pd.concat([kept, numbers], axis=1)
