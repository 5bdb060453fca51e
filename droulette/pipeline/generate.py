"""Draw the pictures of a dataset table and compute its reference points and roulette amplitudes, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from droulette.devices import cores, stream_of
from droulette.errors import UserError
from droulette.physics import own
from droulette.physics.amplitudes import amplitudes, orders
from droulette.physics.arrays import to_numpy
from droulette.physics.batches import move, take
from droulette.physics.lens_equation import apparent_position, residual
from droulette.physics.lenses import Lens
from droulette.physics.mappings import Mapping, Raytrace, Roulette, convergence_radius
from droulette.physics.rendering import Scene, centre_of_light, render
from droulette.pipeline import png
from droulette.pipeline.scenes import Kind, groups, lens_batch, normalise, source_batch
from droulette.pipeline.storage import PngFolder, Writer

SOURCE_COLUMNS = ("source", "image", "x", "y", "sigma", "sigma2", "theta", "n_sersic", "luminosity")
CHUNK = 4096  # rows of a table that are in memory together, a multiple of 4
ROWS_AT_ONCE = 1024  # rows whose amplitudes are computed together: their series fit a core's cache
SAMPLED_AT_ONCE = 8  # a sampled lens takes three float64 canvases
PICTURES_AT_ONCE = 16
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


def amplitude_columns(nterms: int) -> list[str]:
    """`alpha[m][s]`, `beta[m][s]` for m = 0…nterms."""
    return [f"{name}[{m}][{s}]" for m, s in orders(nterms) for name in ("alpha", "beta")]


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

    While a chunk's pictures are drawn, the next one's reference points and amplitudes are computed.

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
    pool = ThreadPoolExecutor(workers or cores())
    try:
        waiting: tuple | None = None
        for chunk in chunks:
            frame = normalise(chunk, name)
            drawn = _draw_chunk(pool, frame, first, drawing, writer, name, device, progress)
            first += len(frame)
            if waiting:
                yield _finished(*waiting, drawing)
            waiting = drawn
        if waiting:
            yield _finished(*waiting, drawing)
    finally:
        pool.shutdown(cancel_futures=True)


def _draw_chunk(
    pool: ThreadPoolExecutor,
    frame: pd.DataFrame,
    first: int,
    drawing: Drawing,
    writer: Writer | None,
    name: str,
    device: str,
    progress: Callable[[int], object],
) -> tuple[pd.DataFrame, Tables, list[Future]]:
    """Compute the tables of a chunk, whose first row is the dataset's row `first`, and start its pictures."""
    tables = Tables(len(frame), drawing.nterms)
    keep = writer and (lambda row, png: writer.keep(first + int(row), filenames[row], png))
    filenames = frame["filename"].to_numpy()
    futures: list[Future] = []
    for kind, of_kind in groups(frame, name):
        step = SAMPLED_AT_ONCE if kind.sampled else ROWS_AT_ONCE
        parts = [of_kind[start : start + step] for start in range(0, len(of_kind), step)]

        def solve(rows: np.ndarray, kind: Kind = kind) -> Scene:
            return _solve(frame, kind, rows, drawing, name, tables)

        for rows, scene in zip(parts, pool.map(solve, parts), strict=True):
            futures += [
                pool.submit(_draw, scene, part, rows[part], drawing, tables, keep, device, progress)
                for part in _slices(len(rows), PICTURES_AT_ONCE if device == "cpu" else PICTURES_ON_A_CARD)
            ]
            if kind.sampled:  # of whose maps only a few fit into memory
                _wait(futures)
    return frame, tables, futures


def _slices(count: int, at_once: int) -> list[slice]:
    return [slice(start, min(start + at_once, count)) for start in range(0, count, at_once)]


def _wait(futures: list[Future]) -> None:
    for future in futures:
        future.result()


def _finished(frame: pd.DataFrame, tables: Tables, futures: list[Future], drawing: Drawing) -> pd.DataFrame:
    _wait(futures)
    return _roulette_table(frame, drawing, tables)


def _solve(frame: pd.DataFrame, kind: Kind, rows: np.ndarray, drawing: Drawing, name: str, tables: Tables) -> Scene:
    """Reference points and amplitudes of rows of one kind, and what their pictures show."""
    part = frame.iloc[rows]
    lens = lens_batch(part, kind, name, drawing.imagesize)
    eta_x, eta_y = (part[axis].to_numpy(np.float64, copy=True) for axis in ("x", "y"))
    xi_x, xi_y = apparent_position(lens, eta_x, eta_y)
    alpha, beta = amplitudes(lens, xi_x, xi_y, drawing.nterms)
    tables.xi[:, rows] = np.stack([xi_x, xi_y])
    tables.offset[:, rows] = np.stack(residual(lens, xi_x, xi_y, eta_x, eta_y))
    tables.alpha[:, rows], tables.beta[:, rows] = alpha, beta
    return Scene(
        _mapping(lens, kind, drawing, (eta_x, eta_y), (xi_x, xi_y), alpha, beta), source_batch(part, kind, name)
    )


def _mapping(lens: Lens, kind: Kind, drawing: Drawing, eta: tuple, xi: tuple, alpha, beta) -> Mapping:
    if kind.model == "Raytrace":
        return Raytrace(lens, *eta)
    radius = convergence_radius(lens, *xi) if drawing.mask else None
    return Roulette.from_amplitudes(*xi, alpha, beta, drawing.nterms, radius)


def _draw(
    scenes: Scene,
    part: slice,
    rows: np.ndarray,
    drawing: Drawing,
    tables: Tables,
    keep: Callable[[int, bytes], None] | None,
    device: str,
    progress: Callable[[int], object],
) -> None:
    """Draw a part of the scenes, which has those rows, and keep the pictures."""
    if keep is not None or drawing.centred:
        with stream_of(device):
            scene, zero = take(scenes, part), np.zeros(len(rows))
            if device != "cpu":
                scene, zero = move(scene, device), move(zero, device)
            pictures = draw_batch(scene, rows, zero, drawing, tables, keep is not None)
        for row, picture in zip(rows, pictures, strict=False):
            keep(row, png.encode(picture))
    progress(len(rows))


def draw_batch(scene: Scene, rows: np.ndarray, zero, drawing: Drawing, tables: Tables, wanted: bool) -> np.ndarray:
    """Pictures of scenes, (B, size, size) uint8, or none if they are not `wanted`; centres of light into `tables`.

    zero: (B,), of the kind and on the device that is to draw.
    """
    centre_x = centre_y = zero
    options = {"sampling": drawing.sampling, "supersampling": drawing.supersampling}
    if drawing.centred:
        centre_x, centre_y = centre_of_light(scene, drawing.imagesize, **options)
        tables.centre[:, rows] = np.stack([to_numpy(centre_x), to_numpy(centre_y)])
    if not wanted:
        return np.empty((0, 0, 0), np.uint8)
    return to_numpy(render(scene, drawing.size, centre_x, centre_y, canvas=drawing.imagesize, **options))


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


def _roulette_table(frame: pd.DataFrame, drawing: Drawing, tables: Tables) -> pd.DataFrame:
    named = ("filename", *SOURCE_COLUMNS, *own.columns("source", frame["source"].unique()))
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
    return pd.concat([frame[[column for column in named if column in frame]], numbers], axis=1)
