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
from droulette.physics.amplitudes import amplitudes
from droulette.physics.arrays import Array, to_numpy
from droulette.physics.batches import move
from droulette.physics.instrument import Instrument, observable, take
from droulette.physics.instrument import frame as frame_of
from droulette.physics.lens_equation import apparent_position, residual, solved
from droulette.physics.mappings import Raytrace, Roulette, convergence_radius
from droulette.physics.rendering import Scenes, centre_of_light, light_and_centre, render
from droulette.pipeline.batching import observed_at_once, pictures_at_once, slices
from droulette.pipeline.checks import check_finite, check_order, check_rows, check_solved
from droulette.pipeline.depth import About
from droulette.pipeline.instruments import instrument_batch, widths
from droulette.pipeline.keepers import Encoder, InMemory, Keeper
from droulette.pipeline.roulette_table import Results
from droulette.pipeline.scenes import (
    Kind,
    column_of_numbers,
    groups,
    lens_batch,
    normalise,
    source_batch,
)
from droulette.pipeline.storage import PngFolder, Writer

CHUNK = 4096  # rows of a table that are in memory together
CHUNK_DRAWN_HERE = 1024  # the same where the processor draws: enough to keep its threads busy
CHUNKS_AT_ONCE = 3  # so that one is read, one drawn and one encoded
ROWS_AT_ONCE = 1024  # rows whose amplitudes are computed together: their series fit a core's cache
SAMPLED_AT_ONCE = 4  # a sampled lens takes three float64 canvases, and while they are made twelve


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
    depth: str = "uint16"

    @classmethod
    def of(cls, simulator: Simulator, depth: str = "uint16") -> Drawing:
        names = [field.name for field in fields(cls) if field.name != "depth"]
        return cls(**{name: getattr(simulator, name) for name in names}, depth=depth)

    @property
    def size(self) -> int:
        return self.cropsize or self.imagesize


def chunk_rows(device: str, pictures: bool) -> int:
    """Rows that a chunk should have."""
    return CHUNK_DRAWN_HERE if device == "cpu" and pictures else CHUNK


def generate(
    frame: pd.DataFrame, drawing: Drawing, directory: Path, *, name: str = "dataset.csv", device: str = "cpu", **options
) -> pd.DataFrame:
    """Draw every row's picture into `directory` and return the roulette table; see `generate_chunks`."""
    check_rows([frame], name, drawing.imagesize, drawing.nterms)
    chunks = [frame.iloc[rows] for rows in slices(len(frame), chunk_rows(device, pictures=True))]
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
    with _threads(CHUNKS_AT_ONCE) as threads, _threads(workers or cores()) as helpers:
        waiting = deque()
        for frame in chunks:
            keeper = writer and Encoder(writer, first, drawing.depth)
            chunk = _Chunk(normalise(frame, name), drawing, keeper, name, device, progress)
            waiting.append(threads.submit(chunk.draw, helpers))
            first += len(frame)
            if len(waiting) == CHUNKS_AT_ONCE:
                yield waiting.popleft().result()
        for future in waiting:
            yield future.result()


def draw_in_memory(
    frame: pd.DataFrame, drawing: Drawing, name: str, device: str, helpers: ThreadPoolExecutor
) -> tuple[Array, np.ndarray | None, pd.DataFrame]:
    """Draw every row's picture; see `generate_chunks`.

    Returns:
        (n, size, size) uint8 on the device, or float32 where an instrument takes them; what is then known of them,
        `About`'s table, else None; and the roulette table.
    """
    keeper = InMemory(len(frame), drawing.size, device, observed="psf" in frame)
    chunk = _Chunk(normalise(frame, name), drawing, keeper, name, device, lambda count: None)
    table = chunk.draw(helpers)
    return keeper.pictures, keeper.about, table


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
    """Rows that are in memory together; see `generate_chunks`."""

    frame: pd.DataFrame
    drawing: Drawing
    keeper: Keeper | None
    name: str
    device: str
    progress: Callable[[int], object]

    def draw(self, helpers: ThreadPoolExecutor) -> pd.DataFrame:
        """Draw all pictures, and give the roulette table."""
        results = Results(len(self.frame), self.drawing.nterms)
        # What stays on a card is drawn by this thread alone, in its stream.
        alone = self.device != "cpu" and self.keeper is not None and self.keeper.on_device
        spread = map if alone else helpers.map
        under_way = []
        for kind, rows in groups(self.frame, self.name):
            batches = [rows[batch] for batch in slices(len(rows), self._rows_at_once(kind))]
            if kind.sampled or not self._draws():  # only a few maps fit into memory: a thread does all for its few
                under_way.append(spread(partial(self._draw_alone, kind, results), batches))
            else:
                for batch in batches:
                    under_way.append(self._draw_batch(kind, results, batch, spread))
        for parts in under_way:
            list(parts)  # wait for them, and raise what one of them raised
        return results.table(self.frame, self.drawing.nterms)

    def _draws(self) -> bool:
        return self.keeper is not None or self.drawing.centred or "psf" in self.frame

    def _rows_at_once(self, kind: Kind) -> int:
        if kind.sampled:
            return SAMPLED_AT_ONCE
        return ROWS_AT_ONCE if self.device == "cpu" else self._pictures_at_once(self.device)

    def _pictures_at_once(self, device: str) -> int:
        return pictures_at_once(self.drawing.size, self.drawing.imagesize, device)

    def _draw_alone(self, kind: Kind, results: Results, rows: np.ndarray) -> None:
        list(self._draw_batch(kind, results, rows, map))

    def _draw_batch(
        self, kind: Kind, results: Results, rows: np.ndarray, spread: Callable[..., Iterator]
    ) -> Iterator[None]:
        """Everything for rows of one kind. Drawing and encoding are shared out by `spread`, a `map`, and may go on."""
        part = self.frame.iloc[rows]
        lens = lens_batch(part, kind, self.name, self.drawing.imagesize)
        check_order(part, self.name, lens, self.drawing.nterms)
        source = source_batch(part, kind, self.name)
        filenames = part["filename"].tolist()
        eta = part["x"].to_numpy(np.float64, copy=True), part["y"].to_numpy(np.float64, copy=True)

        xi = apparent_position(lens, *eta)
        check_solved(part, self.name, solved(lens, *xi, *eta))
        alpha, beta = amplitudes(lens, *xi, self.drawing.nterms)
        check_finite(part, self.name, alpha, beta, self.drawing.nterms)
        results.xi[:, rows] = xi
        results.offset[:, rows] = residual(lens, *xi, *eta)
        results.alpha[:, rows] = alpha
        results.beta[:, rows] = beta
        if not self._draws():
            self.progress(len(rows))
            return iter(())

        if kind.model == "Raytrace":
            mapping = Raytrace(lens, *eta)
        else:
            radius = convergence_radius(lens, *xi) if self.drawing.mask else None
            mapping = Roulette.from_amplitudes(*xi, alpha, beta, self.drawing.nterms, radius)
        scene = Scenes(mapping, source)

        if kind.psf is not None:
            return self._take_batch(scene, kind, part, results, rows, spread)

        def draw_few(few: slice) -> np.ndarray:
            return self._pictures(scene, few, results, rows[few])

        if self.device != "cpu":  # all at once; what is left to share out is the encoding
            with stream_of(self.device):
                pictures = self._pictures(move(scene, self.device), slice(None), results, rows)
                if self.keeper and self.keeper.on_device:
                    self._keep(rows, filenames, pictures)
                    return iter(())
                pictures = to_numpy(pictures)
            draw_few = pictures.__getitem__
        parts = slices(len(rows), self._pictures_at_once("cpu"))
        return spread(lambda few: self._keep(rows[few], filenames[few], draw_few(few)), parts)

    def _pictures(self, scene: Scenes, part: slice, results: Results, rows: np.ndarray) -> Array:
        """Draw a part of the scenes, which has those rows: (B, size, size) uint8, or none if they are not wanted."""
        drawing = self.drawing
        options = {"rows": part, "sampling": drawing.sampling, "supersampling": drawing.supersampling}
        if drawing.centred:
            centre = centre_of_light(scene, drawing.imagesize, **options)
            results.centre[:, rows] = [to_numpy(axis) for axis in centre]
        else:
            centre = np.zeros((2, len(rows)))
            if self.device != "cpu":
                centre = move(centre, self.device)
        if self.keeper is None:
            return np.empty((0, 0, 0), np.uint8)
        return render(scene, drawing.size, *centre, canvas=drawing.imagesize, **options)

    def _take_batch(
        self, scene: Scenes, kind: Kind, part: pd.DataFrame, results: Results, rows: np.ndarray, spread: Callable
    ) -> Iterator[None]:
        """The same of pictures that an instrument takes."""
        drawing, on_card = self.drawing, self.device != "cpu"
        filenames = part["filename"].tolist()
        parts = slices(len(rows), max(1, len(rows) // 4) if on_card else observed_at_once(drawing.size))
        with stream_of(self.device):
            scene = move(scene, self.device) if on_card else scene
            light, middle = self._light(scene, part, spread, parts)
            instrument = instrument_batch(part, kind, self.name, light)
            if instrument.counts is not None and scene.source.flux() is None:
                why = f"column counts needs a source of known total light, not {part['source'].iloc[0]}"
                raise UserError(f"{self.name}: row {part.index[0] + 1}: {why}")
            if "lightratio" in part:
                ratio = column_of_numbers(part, "lightratio", self.name)
                middle = middle / (1.0 + ratio * instrument.share)
                results.light[rows] = ratio * light
            if light is not None:
                results.source_light[rows] = light
            off = [column_of_numbers(part, f"centring{axis}", self.name) for axis in "XY"]
            middle = frame_of(middle + np.stack(off))
            results.centre[:, rows] = middle
            if self.keeper is None and "signaltonoise" not in part:  # which only a picture has
                self.progress(len(part))
                return iter(())
            about = self._about(instrument, part)
            if on_card:
                instrument, middle = move(instrument, self.device), move(middle, self.device)
            scene = observable(scene, instrument)
        options = {"canvas": drawing.imagesize, "supersampling": drawing.supersampling}

        def take_few(few: slice) -> None:
            with stream_of(self.device):
                pictures, factor = take(scene, instrument, drawing.size, *middle[:, few], rows=few, **options)
                on_device = self.keeper is not None and self.keeper.on_device
                pictures = pictures if on_device else to_numpy(pictures)
                results.factor[rows[few]] = factor = to_numpy(factor)
            known = replace(about.rows(few), white=255 * factor)
            self._keep(rows[few], filenames[few], pictures, known)

        return spread(take_few, parts)

    def _light(
        self, scene: Scenes, part: pd.DataFrame, spread: Callable, parts: list[slice]
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Grey levels of the lensed sources in all, and their centres, (2, B) px; where nobody asks None and 0."""
        light, middle = np.zeros(len(part)), np.zeros((2, len(part)))
        if not (self.drawing.centred or "lightratio" in part or "neighbours" in part):
            return None, middle
        imagesize, options = self.drawing.imagesize, {"supersampling": self.drawing.supersampling}

        def measure(few: slice) -> None:
            with stream_of(self.device):
                x, y, total = light_and_centre(scene, imagesize, rows=few, **options)
                light[few] = to_numpy(total)
                if self.drawing.centred:
                    middle[:, few] = to_numpy(x), to_numpy(y)

        list(spread(measure, parts))
        return light, middle

    def _about(self, instrument: Instrument, part: pd.DataFrame) -> About:
        """What is known of pictures, but for `white`."""
        electrons, count = instrument.noise.electrons, len(part)
        scale = part["pixelscale"].to_numpy(np.float64) if "pixelscale" in part else np.zeros(count)
        return About(
            background=instrument.pedestal,
            noise=instrument.deviation(),
            poisson=np.where(electrons > 0, 1 / np.where(electrons > 0, electrons, 1.0), 0.0),
            psf_fwhm=widths(instrument.psf, count),
            pixel_scale=scale,
            white=np.zeros(count),
        )

    def _keep(self, rows: np.ndarray, filenames: list[str], pictures: Array, about: About | None = None) -> None:
        if self.keeper is not None:
            self.keeper.keep(rows, filenames, pictures, about)
        self.progress(len(rows))
