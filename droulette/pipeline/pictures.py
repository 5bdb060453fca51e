"""Pictures, decoded once into one array."""

from __future__ import annotations

import math
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import psutil
from PIL import Image

from droulette.devices import cores
from droulette.errors import UserError
from droulette.pipeline import depth, png
from droulette.pipeline.storage import Reader, reader

if TYPE_CHECKING:
    from droulette.learning.preprocessing import Preprocessing

AT_ONCE = 256  # pictures looked at together; the last bits of their moments depend on it
A_TASK = 32  # pictures that a thread decodes before it asks for more: asking takes longer than one
MOST_OF_MEMORY = 0.25  # of what is available, for what is kept of the pictures; more goes into a temporary file
PLAIN = re.compile(r"[\w-][\w.-]*", re.ASCII)  # leads nowhere else, whatever the folder
GREY = {"L", "1", "P", "LA", "RGB", "RGBA"}  # what converts to 8-bit grey without a choice of range


def picture_size(directory: str | Path, filename: str, table: str | Path) -> int:
    """The side of the first picture of a table. Raises `UserError` as `read_pictures` does."""
    _check_directory(Path(directory), table)
    where = f"{table}: row 1"
    opened = _find(Path(directory), reader(directory), filename, where)
    with _open(opened, Path(directory) / filename, where, observed=True) as picture:
        return picture.size[0]


def is_observed(directory: str | Path, filename: str, table: str | Path) -> bool:
    """Whether a table's pictures are an instrument's, of more than 8 bits with what is known of them (see `depth`)."""
    _check_directory(Path(directory), table)
    return _is_observed(Path(directory), reader(directory), filename, table)


def read_pictures(
    directory: str | Path,
    filenames: Sequence[str],
    *,
    table: str | Path,
    size: int | None = None,
    preprocessing: Preprocessing | None = None,
    **options,
) -> np.ndarray:
    """Pictures, (n, N, N) uint8, or their views, (n, *preprocessing.shape). Other options: see `read_views`."""
    size = size or picture_size(directory, filenames[0], table)
    return read_views(directory, filenames, [preprocessing], table=table, size=size, **options)[0]


def read_views(
    directory: str | Path,
    filenames: Sequence[str],
    preprocessings: Sequence[Preprocessing | None],
    *,
    table: str | Path,
    size: int,
    device: str = "cpu",
    workers: int | None = None,
    progress: Callable[[int], object] = lambda count: None,
) -> list[np.ndarray]:
    """Decode pictures once, in threads, and make views of them by each preprocessing on the `device`.

    table: what the file names come from, for error messages. size: N, the side of each.
    progress: called with the number of pictures just decoded.

    Returns:
        (n, *preprocessing.shape) for each preprocessing. For None the pictures, (n, N, N) uint8; an instrument's are
        brought to 8 bits.

    Raises:
        UserError: the first row whose picture is outside the directory, missing, no PNG, no 8-bit picture,
            or of another size.
    """
    import torch

    directory = Path(directory)
    _check_directory(directory, table)
    kinds = [(each.shape, each.dtype) if each else ((size, size), np.dtype(np.uint8)) for each in preprocessings]
    kept = [_room((len(filenames), *shape), dtype) for shape, dtype in kinds]
    source = reader(directory)
    order = source.order(filenames)
    batches = [order[start : start + AT_ONCE] for start in range(0, len(order), AT_ONCE)]
    few = size * size <= (Image.MAX_IMAGE_PIXELS or math.inf)
    # On a card one buffer is looked at while the next is filled. Two threads on each core would only slow each other.
    on_card = torch.device(device).type == "cuda"
    shape = (min(AT_ONCE, len(order)), size, size)
    observed = bool(len(filenames)) and _is_observed(directory, source, filenames[0], table)
    kind = torch.float32 if observed else torch.uint8
    buffers = [torch.empty(shape, dtype=kind, pin_memory=on_card) for _ in range(1 + on_card)]
    known = [np.zeros((shape[0], len(depth.NAMES))) for _ in buffers]

    def decode(rows: np.ndarray, into: np.ndarray) -> None:
        differences = np.empty_like(into)
        ours = np.zeros(len(rows), bool)
        for place, row in enumerate(rows.tolist()):
            where = f"{table}: row {row + 1}"
            opened = _find(directory, source, filenames[row], where)
            ours[place] = few and png.unpack(_start(opened, png.longest(size)), differences[place])
            if not ours[place]:
                into[place] = _decode(opened, directory, filenames[row], where, size)
        if ours.all():
            into[:] = png.add_up(differences)
        else:
            into[ours] = png.add_up(differences[ours])

    def decode_observed(rows: np.ndarray, into: np.ndarray, facts: np.ndarray) -> None:
        for place, row in enumerate(rows.tolist()):
            where = f"{table}: row {row + 1}"
            opened = _find(directory, source, filenames[row], where)
            about = depth.decode(_start(opened, depth.longest(size)), into[place])
            if about is None:
                found = f"found {filenames[row]}, which is not a whole picture of {size}×{size} that says its noise"
                raise UserError(f"{where}: {found}, expected one that `generate` made by [instrument]")
            facts[place] = about.table()

    with ThreadPoolExecutor(workers or cores()) as pool:

        def start(number: int) -> list[Future]:
            if number == len(batches):
                return []
            rows = batches[number]
            into = buffers[number % len(buffers)][: len(rows)].numpy()
            parts = [slice(k, k + A_TASK) for k in range(0, len(rows), A_TASK)]
            if observed:
                facts = known[number % len(buffers)]
                return [pool.submit(decode_observed, rows[part], into[part], facts[part]) for part in parts]
            return [pool.submit(decode, rows[part], into[part]) for part in parts]

        try:
            running = start(0)
            for number, rows in enumerate(batches):
                for task in running:
                    task.result()
                if on_card:
                    running = start(number + 1)
                pictures = buffers[number % len(buffers)][: len(rows)]
                on_device = pictures.to(device, non_blocking=True) if any(preprocessings) else None
                facts = torch.from_numpy(known[number % len(buffers)][: len(rows)]) if observed else None
                for preprocessing, views in zip(preprocessings, kept, strict=True):
                    if preprocessing:
                        views[rows] = preprocessing.views(on_device, facts).cpu().numpy()
                    else:
                        views[rows] = depth.shown(pictures.numpy(), facts.numpy()) if observed else pictures.numpy()
                progress(len(rows))
                if not on_card:
                    running = start(number + 1)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return kept


def _is_observed(directory: Path, source: Reader, filename: str, table: str | Path) -> bool:
    return depth.is_observed(_start(_find(directory, source, filename, f"{table}: row 1"), depth.LONGEST_HEAD))


def _check_directory(directory: Path, table: str | Path) -> None:
    if not directory.is_dir():
        raise UserError(f"{directory}: no such folder, expected the pictures of {table}")


def _room(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array in memory, or in a temporary file where it would take much of the memory: a slow disk is felt."""
    if math.prod(shape) * dtype.itemsize < psutil.virtual_memory().available * MOST_OF_MEMORY:
        return np.empty(shape, dtype)
    store = tempfile.TemporaryFile()  # noqa: SIM115  the map keeps it open
    if hasattr(os, "posix_fallocate"):  # so that a full disk is an error here, and not a crash later
        os.posix_fallocate(store.fileno(), 0, math.prod(shape) * dtype.itemsize)
    return np.memmap(store, dtype, "w+", shape=shape)


def make_views(
    preprocessing: Preprocessing, pictures: np.ndarray, device: str = "cpu", facts: np.ndarray | None = None
) -> np.ndarray:
    """pictures: (n, N, N) uint8, or float32 with facts (n, 6) → views, (n, *preprocessing.shape)."""
    import torch

    told = None if facts is None else torch.from_numpy(np.ascontiguousarray(facts))
    return preprocessing.views(torch.from_numpy(np.ascontiguousarray(pictures)).to(device), told).cpu().numpy()


def _inside(directory: Path, filename: str) -> bool:
    named = bool(filename) and "\0" not in filename and "\\" not in filename
    named = named and ".." not in Path(filename).parts and not Path(filename).is_absolute()
    return named and (directory / filename).parent.resolve().is_relative_to(directory.resolve())


def _decode(opened: Path | BinaryIO, directory: Path, filename: str, where: str, size: int) -> np.ndarray:
    """Any PNG file's picture, (size, size) uint8, by Pillow. Raises `UserError` as `read_views` does."""
    with _open(opened, directory / filename, where) as picture:
        if picture.size != (size, size):
            found = "×".join(map(str, picture.size))
            raise UserError(f"{where}: found {filename} of {found}, expected {size}×{size}")
        try:
            return np.asarray(picture.convert("L"))
        except Exception as error:  # each of Pillow's chunks has its own family of errors for foreign bytes
            found = f"{filename} damaged ({error})"
            raise UserError(f"{where}: found {found}, expected a whole PNG") from error


def _find(directory: Path, source: Reader, filename: str, where: str) -> Path | BinaryIO:
    """The file of a picture; no table leads outside the directory.

    The picture itself may be a link, as DVC's `cache.type = symlink` makes them, but not a folder on the way.
    """
    if not (PLAIN.fullmatch(filename) or _inside(directory, filename)):
        raise UserError(f"{where}: found filename {filename[:80]!r}, expected a file's name in {directory}")
    try:
        return source.open(filename)
    except FileNotFoundError as error:
        raise UserError(f"{where}: found no picture {directory / filename}, expected a PNG there") from error
    except OSError as error:
        raise UserError(f"{where}: found filename {filename[:80]!r}: {error.strerror}, expected a PNG there") from error


def _start(opened: Path | BinaryIO, most: int) -> bytes:
    """The first `most` bytes of a file; none of one that cannot be read, about which Pillow is asked."""
    if not isinstance(opened, Path):
        data = opened.read(most)
        opened.seek(0)
        return data
    try:
        with open(opened, "rb", buffering=0) as stream:
            return stream.read(most)
    except OSError:
        return b""


def _open(opened: Path | BinaryIO, path: Path, where: str, observed: bool = False) -> Image.Image:
    """Open a picture without decoding it. observed: it may be an instrument's, see `depth`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(opened, formats=["PNG", "TIFF"] if not isinstance(opened, Path) else ["PNG"])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        most = f"at most {Image.MAX_IMAGE_PIXELS} pixels"
        raise UserError(f"{where}: found {path} too large to decode, expected {most}") from error
    except Exception as error:
        raise UserError(f"{where}: found {path} unreadable, expected a PNG picture") from error
    width, height = picture.size
    if width != height:
        raise UserError(f"{where}: found {path} of {width}×{height}, expected a square picture")
    allowed = GREY | {"I;16", "F"} if observed else GREY
    if picture.mode not in allowed:
        raise UserError(f"{where}: found {path} of mode {picture.mode}, expected 8-bit grey or colour")
    return picture
