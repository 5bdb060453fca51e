"""Files that rows of a table name: pictures of sources and galaxies, maps of lenses; below the working folder alone."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from droulette.errors import UserError

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP")  # of a source's picture: none that runs another program
FITS = (".fits", ".fits.gz", ".fit", ".fits.fz")
NUMPY = (".npy",)
DEEP = ("I;16", "I;16B", "I", "F")  # Pillow's names of grey of more than 8 bits


class Recent:
    """What was prepared of files, by key. Beyond `most` bytes in arrays, what was not asked for the longest goes.

    The last one always stays. Not for several threads at once.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.bytes = 0
        self.kept: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable, prepare: Callable[[], Any]) -> Any:
        """The object of that key, a dataclass, as `prepare` gave it."""
        if key not in self.kept:
            value = prepare()
            size = sum(v.nbytes for v in vars(value).values() if isinstance(v, np.ndarray))
            self.kept[key], self.bytes = (value, size), self.bytes + size
        self.kept.move_to_end(key)
        while len(self.kept) > 1 and self.bytes > self.most:
            _, (_, size) = self.kept.popitem(last=False)
            self.bytes -= size
        return self.kept[key][0]


def is_below_working_folder(path: Path) -> bool:
    """Whether a path leads nowhere else, links included."""
    try:
        return path.resolve().is_relative_to(Path().resolve())
    except (OSError, ValueError, RuntimeError):  # a name too long, a NUL, links in a circle
        return False


def path_below(text: str, where: str) -> Path:
    """A path that a table gives: one from elsewhere must not reach into other folders. Raises `UserError`."""
    path = Path(text)
    if path.is_absolute() or ".." in path.parts or not is_below_working_folder(path):
        raise UserError(f"{where}: found {text[:80]!r}, expected a path below the working folder")
    return path


def files_of(text: str, endings: Sequence[str], key: str, expected: str = "a file or a folder") -> tuple[str, ...]:
    """The file itself, or those of a folder with such endings, in order. Raises `UserError` where there is none.

    key: of the TOML file, whose value this is. expected: what that may be, in words.
    """
    path = Path(text)
    if path.is_dir():
        files = (file for file in path.iterdir() if not file.name.startswith("."))
        found = sorted(str(file) for file in files if file.name.lower().endswith(tuple(endings)))
        if not found:
            raise UserError(
                f"{key}: found no file {' or '.join(f'*{ending}' for ending in endings)} in the folder {text}"
            )
        return tuple(found)
    if not path.is_file():
        raise UserError(f"{key}: found no file {text}, expected {expected}")
    return (text,)


def read_picture(path: Path, converted: Callable[[Image], Image]) -> np.ndarray:
    """A picture as Pillow reads it, row 0 on top. Raises `UserError`."""
    from PIL import Image as PillowImage

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", PillowImage.DecompressionBombWarning)
            with PillowImage.open(path, formats=FORMATS) as picture:
                return np.array(converted(picture))
    except Exception as error:  # each format has its own family of errors for foreign bytes
        raise UserError(f"{path}: not a readable picture: {str(error)[:200]}, expected {', '.join(FORMATS)}") from error


def read_levels(path: Path) -> np.ndarray:
    """The numbers of a FITS, NPY or picture file, float64, row 0 below. Raises `UserError`.

    (h, w), or (k, h, w) of a cube. In a FITS file row 0 is the lowest; in the others it is on top.
    """
    from droulette.observing.fits_files import is_fits, read_plane

    if path.name.lower().endswith(NUMPY):
        levels = _read_numpy(path)[..., ::-1, :]
    elif path.is_file() and is_fits(path):
        levels = read_plane(path).array
    else:
        levels = read_picture(path, lambda p: p if p.mode in DEEP else p.convert("L"))[::-1]
    levels = np.ascontiguousarray(levels, np.float64)
    if not np.isfinite(levels).all():
        raise UserError(f"{path}: found NaN or infinity, expected finite numbers")
    return levels


def _read_numpy(path: Path) -> np.ndarray:
    from droulette.observing.fits_files import check_size

    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        fine = isinstance(array, np.ndarray) and array.ndim in (2, 3) and array.dtype.kind in "buif"
    except Exception as error:  # foreign bytes
        raise UserError(f"{path}: not a NPY file that can be read: {str(error)[:200]}") from error
    if not fine:
        raise UserError(f"{path}: found no array of two or three axes of real numbers, expected one")
    check_size(array.shape, path)
    return array
