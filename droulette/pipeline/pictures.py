"""Pictures, decoded once into one array."""

from __future__ import annotations

import math
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from droulette.errors import UserError

GREY = {"L", "1", "P", "LA", "RGB", "RGBA"}  # what converts to 8-bit grey without a choice of range


def read_pictures(
    directory: str | Path,
    filenames: Sequence[str],
    *,
    table: str | Path,
    size: int | None = None,
    workers: int | None = None,
    seen: Callable[[int], None] = lambda count: None,
) -> np.ndarray:
    """Decode pictures in threads into (n, N, N) uint8, mapped from a temporary file that ends with the array.

    table: what the file names come from, for error messages. size: N, where it must be a certain one.
    seen: called with 1 for each picture decoded.

    Raises:
        UserError: the first row whose picture is outside the directory, missing, no PNG, no 8-bit picture,
            or of another size than the first.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise UserError(f"{directory}: no such folder, expected the pictures of {table}")
    expected = size or _open(directory, filenames[0], f"{table}: row 1").size[0]
    store = tempfile.TemporaryFile()  # noqa: SIM115  the map keeps it open
    shape = (len(filenames), expected, expected)
    if hasattr(os, "posix_fallocate"):  # so that a full disk is an error here, and not a crash later
        os.posix_fallocate(store.fileno(), 0, math.prod(shape))
    pictures = np.memmap(store, np.uint8, "w+", shape=shape)

    def decode(row: int) -> None:
        where = f"{table}: row {row + 1}"
        with _open(directory, filenames[row], where) as picture:
            if picture.size != (expected, expected):
                found = "×".join(map(str, picture.size))
                raise UserError(f"{where}: found {filenames[row]} of {found}, expected {expected}×{expected}")
            try:
                pictures[row] = np.asarray(picture.convert("L"))
            except (OSError, ValueError, SyntaxError) as error:
                found = f"{filenames[row]} damaged ({error})"
                raise UserError(f"{where}: found {found}, expected a whole PNG") from error

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        try:
            for _ in pool.map(decode, range(len(filenames))):
                seen(1)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return pictures


def _open(directory: Path, filename: str, where: str) -> Image.Image:
    """Open a picture without decoding it; no table leads outside the directory.

    The picture itself may be a link, as DVC's `cache.type = symlink` makes them, but not a folder on the way.
    """
    inside = bool(filename) and "\0" not in filename and "\\" not in filename
    inside = inside and ".." not in Path(filename).parts and not Path(filename).is_absolute()
    path = directory / filename if inside else directory
    if not inside or not path.parent.resolve().is_relative_to(directory.resolve()):
        raise UserError(f"{where}: found filename {filename[:80]!r}, expected a file's name in {directory}")
    if not path.is_file():
        raise UserError(f"{where}: found no picture {path}, expected a PNG there")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(path, formats=["PNG"])
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{where}: found {path} unreadable, expected a PNG picture") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        most = f"at most {Image.MAX_IMAGE_PIXELS} pixels"
        raise UserError(f"{where}: found {path} too large to decode, expected {most}") from error
    width, height = picture.size
    if width != height:
        raise UserError(f"{where}: found {path} of {width}×{height}, expected a square picture")
    if picture.mode not in GREY:
        raise UserError(f"{where}: found {path} of mode {picture.mode}, expected 8-bit grey or colour")
    return picture
