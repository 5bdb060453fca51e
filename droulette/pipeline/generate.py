"""Draw the pictures of a dataset table and compute its reference points and roulette amplitudes, chunk by chunk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from droulette.devices import cores, stream_of
from droulette.errors import UserError
from droulette.parameters.simulation import Simulator
from droulette.physics import own
from droulette.physics.amplitudes import amplitudes, orders
from droulette.physics.arrays import to_numpy
from droulette.physics.batches import move
from droulette.physics.lens_equation import apparent_position, residual
from droulette.physics.mappings import Raytrace, Roulette, convergence_radius
from droulette.physics.rendering import Scene, centre_of_light, render
from droulette.pipeline import png
from droulette.pipeline.scenes import Kind, groups, lens_batch, normalise, source_batch
from droulette.pipeline.storage import PngFolder, Writer

SOURCE_COLUMNS = ("source", "image", "x", "y", "sigma", "sigma2", "theta", "n_sersic", "luminosity")
CHUNK = 4096  # rows of a table that are in memory together
CHUNK_DRAWN_HERE = 1024  # the same where the processor draws: enough to keep its threads busy
CHUNKS_AT_ONCE = 3  # so that one is read, one drawn and one encoded
ROWS_AT_ONCE = 1024  # rows whose amplitudes are computed together: their series fit a core's cache
SAMPLED_AT_ONCE = 4  # a sampled lens takes three float64 canvases, and while they are made twelve
PICTURES_AT_ONCE = 32  # of a task: each task costs 0.5 ms
PIXELS_AT_ONCE = 1 << 22
BYTES_ON_A_CARD = 192 << 20  # 2,048 pictures of 256² on a canvas of 512²
PICTURES_ON_A_CARD = 4096


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

    @classmethod
    def of(cls, simulator: Simulator) -> Drawing:
        return cls(**{field.name: getattr(simulator, field.name) for field in fields(cls)})

    @property
    def size(self) -> int:
        return self.cropsize or self.imagesize

    def pictures_at_once(self, device: str) -> int:
        """Pictures to draw in one call."""
        if device == "cpu":
            return max(1, min(PICTURES_AT_ONCE, PIXELS_AT_ONCE // self.size**2))
        tiles = self.imagesize**2 // 8  # bytes of the lists of tiles that may hold light
        return max(1, min(PICTURES_ON_A_CARD, BYTES_ON_A_CARD // (self.size**2 + tiles)))


def amplitude_columns(nterms: int) -> list[str]:
    """`alpha[m][s]`, `beta[m][s]` for m = 0…nterms."""
    return [f"{name}[{m}][{s}]" for m, s in orders(nterms) for name in ("alpha", "beta")]


def chunk_rows(device: str, pictures: bool) -> int:
    """Rows that a chunk should have."""
    return CHUNK_DRAWN_HERE if device == "cpu" and pictures else CHUNK


def generate(
    frame: pd.DataFrame, drawing: Drawing, directory: Path, *, name: str = "dataset.csv", device: str = "cpu", **options
) -> pd.DataFrame:
    """Draw every row's picture into `directory` and return the roulette table; see `generate_chunks`."""
    check_rows([frame], name, drawing.imagesize)
    chunks = [frame.iloc[rows] for rows in _slices(len(frame), chunk_rows(device, pictures=True))]
    writer = PngFolder(directory)
    return pd.concat(generate_chunks(chunks, drawing, writer, name=name, device=device, **options))


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

    A few chunks are worked on at a time, each by a thread of its own; all share the threads that draw and encode.

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
        UserError: a row that cannot be drawn; see `check_rows`. A row without a finite reference point or amplitude.
    """
    with _threads(workers or cores()) as helpers, _threads(CHUNKS_AT_ONCE) as threads:
        waiting = deque()
        for frame in chunks:
            chunk = _Chunk(normalise(frame, name), first, drawing, writer, name, device, progress)
            waiting.append(threads.submit(chunk.draw, helpers))
            first += len(frame)
            if len(waiting) == CHUNKS_AT_ONCE:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()


@contextmanager
def _threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that begin nothing more once the block has ended, with or without an error."""
    pool = ThreadPoolExecutor(count)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class _Chunk:
    """Rows that are in memory together, the first of which is the dataset's row `first`; see `generate_chunks`."""

    frame: pd.DataFrame
    first: int
    drawing: Drawing
    writer: Writer | None
    name: str
    device: str
    progress: Callable[[int], object]

    def draw(self, helpers: ThreadPoolExecutor) -> pd.DataFrame:
        """Draw all pictures, and give the roulette table."""
        found = _Found(len(self.frame), self.drawing.nterms)
        at_once = ROWS_AT_ONCE if self.device == "cpu" else self.drawing.pictures_at_once(self.device)
        for kind, rows in groups(self.frame, self.name):
            if kind.sampled:  # only a few of their maps fit into memory: each thread does all for its few
                batches = [rows[few] for few in _slices(len(rows), SAMPLED_AT_ONCE)]
                draw = partial(self._draw_batch, kind, found, map)
                list(helpers.map(draw, batches))
            else:
                for batch in _slices(len(rows), at_once):
                    self._draw_batch(kind, found, helpers.map, rows[batch])
        return _roulette_table(self.frame, self.drawing, found)

    def _draw_batch(self, kind: Kind, found: _Found, spread: Callable[..., Iterable], rows: np.ndarray) -> None:
        """Everything for rows of one kind. spread: the `map` that shares out drawing and encoding."""
        part = self.frame.iloc[rows]
        lens = lens_batch(part, kind, self.name, self.drawing.imagesize)
        source = source_batch(part, kind, self.name)
        filenames = part["filename"].tolist()
        eta = part["x"].to_numpy(np.float64, copy=True), part["y"].to_numpy(np.float64, copy=True)

        xi = apparent_position(lens, *eta)
        alpha, beta = amplitudes(lens, *xi, self.drawing.nterms)
        check_finite(part, self.name, xi, alpha, beta, self.drawing.nterms)
        found.xi[:, rows] = xi
        found.offset[:, rows] = residual(lens, *xi, *eta)
        found.alpha[:, rows] = alpha
        found.beta[:, rows] = beta
        if not self.writer and not self.drawing.centred:
            self.progress(len(rows))
            return

        if kind.model == "Raytrace":
            mapping = Raytrace(lens, *eta)
        else:
            radius = convergence_radius(lens, *xi) if self.drawing.mask else None
            mapping = Roulette.from_amplitudes(*xi, alpha, beta, self.drawing.nterms, radius)
        scene = Scene(mapping, source)

        def draw_few(few: slice) -> np.ndarray:
            return self._pictures(scene, few, found, rows[few])

        if self.device != "cpu":  # all at once; what is left to share out is the encoding
            with stream_of(self.device):
                pictures = self._pictures(move(scene, self.device), slice(None), found, rows)
            draw_few = pictures.__getitem__
        parts = _slices(len(rows), self.drawing.pictures_at_once("cpu"))
        list(spread(lambda few: self._keep(rows[few], filenames[few], draw_few(few)), parts))

    def _pictures(self, scene: Scene, part: slice, found: _Found, rows: np.ndarray) -> np.ndarray:
        """Draw a part of the scenes, which has those rows: (B, size, size) uint8, or none if they are not wanted."""
        drawing = self.drawing
        options = {"rows": part, "sampling": drawing.sampling, "supersampling": drawing.supersampling}
        if drawing.centred:
            centre = centre_of_light(scene, drawing.imagesize, **options)
            found.centre[:, rows] = [to_numpy(axis) for axis in centre]
        else:
            centre = np.zeros((2, len(rows)))
            centre = centre if self.device == "cpu" else move(centre, self.device)
        if not self.writer:
            return np.empty((0, 0, 0), np.uint8)
        return to_numpy(render(scene, drawing.size, *centre, canvas=drawing.imagesize, **options))

    def _keep(self, rows: np.ndarray, filenames: list[str], pictures: np.ndarray) -> None:
        """Encode the pictures of those rows, if any are wanted, and hand them to the writer."""
        if self.writer:
            for row, filename, picture in zip(rows.tolist(), filenames, pictures, strict=True):
                self.writer.keep(self.first + row, filename, png.encode(picture))
        self.progress(len(rows))


class _Found:
    """Reference points ξ₀, their residuals, centres of light and amplitudes of n rows, filled in as they are found."""

    def __init__(self, count: int, nterms: int) -> None:
        self.xi = np.zeros((2, count))
        self.offset = np.zeros((2, count))
        self.centre = np.zeros((2, count))
        self.alpha = np.zeros((len(orders(nterms)), count))
        self.beta = np.zeros((len(orders(nterms)), count))


def _slices(count: int, at_once: int) -> list[slice]:
    return [slice(start, min(start + at_once, count)) for start in range(0, count, at_once)]


# ---------------------------------------------------------------- tables


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


def check_finite(
    frame: pd.DataFrame, name: str, xi: tuple[np.ndarray, np.ndarray], alpha: np.ndarray, beta: np.ndarray, nterms: int
) -> None:
    """Raise `UserError` for the first row whose reference point, or one of whose amplitudes, is not a finite number."""
    solved = np.isfinite(xi).all(axis=0)
    finite = solved & np.isfinite(alpha).all(axis=0) & np.isfinite(beta).all(axis=0)
    if finite.all():
        return
    row = int(np.flatnonzero(~finite)[0])
    where = f"{name}: row {frame.index[row] + 1}"
    if not solved[row]:
        source = f"({frame['x'].iloc[row]:g}, {frame['y'].iloc[row]:g})"
        raise UserError(f"{where}: found no solution of the lens equation for the source at {source}, expected one")
    values = np.stack([alpha[:, row], beta[:, row]], axis=1).ravel()
    place = int(np.flatnonzero(~np.isfinite(values))[0])
    column = amplitude_columns(nterms)[place]
    raise UserError(f"{where}: found {column} = {values[place]:g}, expected a finite amplitude")


def _roulette_table(frame: pd.DataFrame, drawing: Drawing, found: _Found) -> pd.DataFrame:
    # A column must not hang on the sources in this chunk.
    named = ("filename", *SOURCE_COLUMNS, *own.columns("source", own.MODELS["source"]))
    eta = np.stack([frame["x"], frame["y"]]).astype(np.float64)
    pairs = {
        "lens": 0.0 - found.centre,
        "centre": found.centre,
        "releta": eta - found.centre,
        "offset": found.offset,
        "xi": found.xi - found.centre,
    }
    amplitudes = np.stack([found.alpha, found.beta], axis=1).reshape(-1, len(frame))
    names = [f"{name}{axis}" for name in pairs for axis in "XY"] + amplitude_columns(drawing.nterms)
    numbers = pd.DataFrame(np.concatenate([*pairs.values(), amplitudes]).T, frame.index, names)
    place = {column: k for k, column in enumerate(frame)}
    kept = frame.take([place[column] for column in named if column in place], axis=1)  # a fifth of the time by name
    return pd.concat([kept, numbers], axis=1)
