"""Pictures, decoded once into one array."""

from __future__ import annotations

import math
import os
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from droulette.devices import cores
from droulette.errors import UserError
from droulette.pipeline.storage import Reader, reader

if TYPE_CHECKING:
    from droulette.learning.seeing import Eye

AT_ONCE = 256  # pictures decoded before they are looked at
MOST_THREADS = 4  # more wait for the interpreter, and for each other
PLAIN = re.compile(r"[\w-][\w.-]*", re.ASCII)  # leads nowhere else, whatever the folder
GREY = {"L", "1", "P", "LA", "RGB", "RGBA"}  # what converts to 8-bit grey without a choice of range


def picture_size(directory: str | Path, filename: str, table: str | Path) -> int:
    """The side of the first picture of a table. Raises `UserError` as `read_pictures` does."""
    _check_directory(Path(directory), table)
    with _open(Path(directory), reader(directory), filename, f"{table}: row 1") as picture:
        return picture.size[0]


def read_pictures(
    directory: str | Path,
    filenames: Sequence[str],
    *,
    table: str | Path,
    size: int | None = None,
    eye: Eye | None = None,
    **options,
) -> np.ndarray:
    """Pictures, (n, N, N) uint8, or what the eye makes of them, (n, *eye.shape); the rest as for `see_pictures`."""
    size = size or picture_size(directory, filenames[0], table)
    return see_pictures(directory, filenames, [eye], table=table, size=size, **options)[0]


def see_pictures(
    directory: str | Path,
    filenames: Sequence[str],
    eyes: Sequence[Eye | None],
    *,
    table: str | Path,
    size: int,
    device: str = "cpu",
    workers: int | None = None,
    seen: Callable[[int], object] = lambda count: None,
) -> list[np.ndarray]:
    """Decode pictures once, in threads, and keep what each of the eyes makes of them on the `device`.

    table: what the file names come from, for error messages. size: N, the side of each.
    seen: called with the number of pictures just decoded.

    Returns:
        (n, *eye.shape) for each eye, (n, N, N) uint8 for None; mapped from temporary files that end with the arrays.

    Raises:
        UserError: the first row whose picture is outside the directory, missing, no PNG, no 8-bit picture,
            or of another size.
    """
    directory = Path(directory)
    _check_directory(directory, table)
    kinds = [(eye.shape, eye.dtype) if eye else ((size, size), np.dtype(np.uint8)) for eye in eyes]
    kept = [_mapped((len(filenames), *shape), dtype) for shape, dtype in kinds]
    some = np.empty((min(AT_ONCE, len(filenames)), size, size), np.uint8)
    source = reader(directory)
    order = source.order(filenames)

    def decode(place: int, row: int) -> None:
        where = f"{table}: row {row + 1}"
        with _open(directory, source, filenames[row], where) as picture:
            if picture.size != (size, size):
                found = "×".join(map(str, picture.size))
                raise UserError(f"{where}: found {filenames[row]} of {found}, expected {size}×{size}")
            try:
                some[place] = np.asarray(picture.convert("L"))
            except Exception as error:  # each of Pillow's chunks has its own family of errors for foreign bytes
                found = f"{filenames[row]} damaged ({error})"
                raise UserError(f"{where}: found {found}, expected a whole PNG") from error

    with ThreadPoolExecutor(workers or min(cores(), MOST_THREADS)) as pool:
        try:
            for start in range(0, len(filenames), AT_ONCE):
                rows = order[start : start + AT_ONCE]
                for _ in pool.map(decode, range(len(rows)), rows.tolist()):
                    pass
                pictures = some[: len(rows)]
                for eye, views in zip(eyes, kept, strict=True):
                    views[rows] = look(eye, pictures, device) if eye else pictures
                seen(len(rows))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return kept


def _check_directory(directory: Path, table: str | Path) -> None:
    if not directory.is_dir():
        raise UserError(f"{directory}: no such folder, expected the pictures of {table}")


def _mapped(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    store = tempfile.TemporaryFile()  # noqa: SIM115  the map keeps it open
    if hasattr(os, "posix_fallocate"):  # so that a full disk is an error here, and not a crash later
        os.posix_fallocate(store.fileno(), 0, math.prod(shape) * dtype.itemsize)
    return np.memmap(store, dtype, "w+", shape=shape)


def look(eye: Eye, pictures: np.ndarray, device: str = "cpu") -> np.ndarray:
    """pictures: (n, N, N) uint8 → views, (n, *eye.shape)."""
    import torch

    return eye.see(torch.from_numpy(np.ascontiguousarray(pictures)).to(device)).cpu().numpy()


def _inside(directory: Path, filename: str) -> bool:
    named = bool(filename) and "\0" not in filename and "\\" not in filename
    named = named and ".." not in Path(filename).parts and not Path(filename).is_absolute()
    return named and (directory / filename).parent.resolve().is_relative_to(directory.resolve())


def _open(directory: Path, source: Reader, filename: str, where: str) -> Image.Image:
    """Open a picture without decoding it; no table leads outside the directory.

    The picture itself may be a link, as DVC's `cache.type = symlink` makes them, but not a folder on the way.
    """
    path = directory / filename
    if not (PLAIN.fullmatch(filename) or _inside(directory, filename)):
        raise UserError(f"{where}: found filename {filename[:80]!r}, expected a file's name in {directory}")
    try:
        opened = source.open(filename)
    except FileNotFoundError as error:
        raise UserError(f"{where}: found no picture {path}, expected a PNG there") from error
    except OSError as error:
        raise UserError(f"{where}: found filename {filename[:80]!r}: {error.strerror}, expected a PNG there") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(opened, formats=["PNG"])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        most = f"at most {Image.MAX_IMAGE_PIXELS} pixels"
        raise UserError(f"{where}: found {path} too large to decode, expected {most}") from error
    except Exception as error:
        raise UserError(f"{where}: found {path} unreadable, expected a PNG picture") from error
    width, height = picture.size
    if width != height:
        raise UserError(f"{where}: found {path} of {width}×{height}, expected a square picture")
    if picture.mode not in GREY:
        raise UserError(f"{where}: found {path} of mode {picture.mode}, expected 8-bit grey or colour")
    return picture
