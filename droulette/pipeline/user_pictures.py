"""Users' pictures, of any format and size, converted to a model's input: 8-bit grey, centred, N×N."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from droulette.errors import UserError
from droulette.observing.fits_files import GZIP, check_size, is_fits, read_plane, split_choice

FORMATS = "PNG, JPEG, TIFF, FITS or NPY"
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, as Pillow makes grey
ORIENTATION = 0x0112  # EXIF's tag
DARK, SATURATED = 16, 0.1  # a maximum below this, a share of the lit pixels above this are worth a warning
SKY = 0.05  # share of the pixels that is black in all but 1 of 2000 pictures of `params.toml`
NEAR = 0.5  # px that the training pictures' own centres of light, cropped as they are, may be off


@dataclass(frozen=True)
class Conversion:
    """How a user's picture is converted to the model's.

    pixel_scale: size of one of the picture's pixels in pixels of the training pictures. crop: take the middle square
    of so many of its pixels first. at: (column, row) of that middle, by default the picture's. centre: shift the
    centre of light to the middle, as `simulator.centred` does. black, white: values that become the grey levels 0 and
    255; white None: by the kind of number, see `white_of`.
    """

    pixel_scale: float = 1.0
    crop: int | None = None
    at: tuple[float, float] | None = None
    centre: bool = True
    black: float = 0.0
    white: float | None = None

    def check(self) -> None:
        """Raises UserError for what cannot be."""
        if not (np.isfinite(self.pixel_scale) and 1e-3 <= self.pixel_scale <= 1e3):
            raise UserError(f"pixel scale: found {self.pixel_scale:g}, expected a number from 0.001 to 1000")
        if self.crop is not None and self.crop < 2:
            raise UserError(f"crop: found {self.crop}, expected at least 2 pixels")
        if self.white is not None and not self.white > self.black:
            raise UserError(f"white: found {self.white:g}, expected more than black, {self.black:g}")


@dataclass
class UserPicture:
    """A picture that was read. values: (H, W) float64, y down. white: see `Conversion`."""

    values: np.ndarray
    white: float
    steps: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def prepare(
    picture: str | Path | np.ndarray,
    size: int,
    how: Conversion = Conversion(),
    say: Callable[[str], None] = lambda line: None,
    warn: Callable[[str], None] = lambda line: None,
    name: str | None = None,
) -> np.ndarray:
    """A file, or an array (H, W) or (H, W, 3), converted to the model's pictures: (size, size) uint8.

    say: told in one line what was done. warn: told what may spoil the prediction.

    Raises:
        UserError: what cannot be read, has no finite or no lit pixel, or only one grey level.
    """
    how.check()
    name = name or (str(picture) if isinstance(picture, (str, Path)) else "picture")
    given = read(picture) if isinstance(picture, (str, Path)) else of_array(picture, name)
    levels = _levels(given, how, name)
    if how.crop is not None or how.at is not None:
        levels = _crop(given, levels, how, name)
    levels = _window(given, levels, size, how)
    if given.steps:
        say(f"{name}: " + ", ".join(given.steps))
    for line in given.warnings:
        warn(f"{name}: {line}")
    return levels


def read(path: str | Path) -> UserPicture:
    """Read a picture by what its first bytes say that it is. Raises UserError.

    path: of a FITS file with several pictures, with the chosen one in brackets, as in `file.fits[SCI]`.
    """
    text = str(path)
    path, choice = split_choice(text)
    try:
        with path.open("rb") as opened:
            start = opened.read(10)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file, expected a {FORMATS} picture") from error
    except IsADirectoryError as error:
        raise UserError(f"{path}: found a folder, expected a {FORMATS} picture") from error
    if is_fits(path):
        return _read_fits(text)
    if choice is not None:
        raise UserError(f"{path}: found {choice!r} chosen in a file that is not FITS")
    if start.startswith(GZIP):
        raise UserError(f"{path}: found a gzip file without a FITS picture, expected it unpacked: gunzip it first")
    if start.startswith(b"\x93NUMPY"):
        return of_array(_read_npy(path), str(path))
    return _read_pillow(path)


def _read_npy(path: Path) -> np.ndarray:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        check_size(array.shape, path)
        return np.array(array)
    except (OSError, ValueError, EOFError, TypeError, OverflowError, MemoryError, SyntaxError) as error:
        raise UserError(f"{path}: not an NPY file of numbers that can be read: {error}") from error


def _read_fits(text: str) -> UserPicture:
    """The chosen or only picture of a FITS file; its rows count from below, and so are turned over.

    Three planes are taken for colours.
    """
    plane = read_plane(text)
    array = plane.array
    if array.ndim == 3 and len(array) == 3:
        array = np.moveaxis(array, 0, -1)
    given = of_array(array[::-1], text, counts=True)
    given.steps.insert(0, "rows turned over (FITS counts them from below)")
    if plane.number:
        given.steps.insert(0, f"HDU {plane.number} taken")
    return given


def _read_pillow(path: Path) -> UserPicture:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            warnings.filterwarnings("ignore", category=UserWarning, module="PIL")
            with Image.open(path, formats=["PNG", "JPEG", "TIFF"]) as opened:
                pages, mode = getattr(opened, "n_frames", 1), opened.mode
                opened.load()
                is_turned = opened.getexif().get(ORIENTATION, 1) != 1
                turned = ImageOps.exif_transpose(opened)
                if mode.startswith(("I", "F")):
                    given = of_array(np.asarray(turned), str(path))
                elif mode in ("L", "1"):
                    given = UserPicture(np.asarray(turned.convert("L"), np.float64), 255.0)
                else:
                    given = of_array(np.asarray(turned.convert("RGB")), str(path))
                    if mode not in ("RGB", "YCbCr", "P"):
                        given.steps.insert(0, f"{mode} taken as RGB")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        expected = f"at most {Image.MAX_IMAGE_PIXELS} pixels"
        raise UserError(f"{path}: too large to decode, expected {expected}") from error
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, IndexError, OverflowError, MemoryError) as error:
        raise UserError(f"{path}: not a {FORMATS} picture that can be read: {error}") from error
    if pages > 1:
        given.steps.insert(0, f"the first of {pages} pages")
    if is_turned:
        given.steps.insert(0, "turned as its EXIF data say")
    return given


def of_array(array: np.ndarray, name: str, counts: bool = False) -> UserPicture:
    """(H, W), (H, W, 1), grey, or (H, W, 3), (H, W, 4), colour. counts: an astronomer's, of no fixed unit."""
    array = np.asarray(array)
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    found = f"{name}: found {'×'.join(map(str, array.shape)) or 'one'} numbers of {array.dtype}"
    if array.dtype.kind not in "buif":
        raise UserError(f"{found}, expected real numbers")
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    colour = array.ndim == 3 and array.shape[-1] in (3, 4)
    if not (array.ndim == 2 or colour) or min(array.shape[:2]) < 2:
        raise UserError(f"{found}, expected rows × columns, at least 2 × 2, or those of 3 colours")
    values = array.astype(np.float64)
    steps, finite = [], np.isfinite(values)
    if not finite.any():
        raise UserError(f"{name}: found no pixel that is a finite number")
    white, said = white_of(array, float(values[finite].max()), counts)
    if colour:
        finite = finite[..., :3].all(axis=-1)
        values = np.where(finite[..., None], values[..., :3], 0) @ LUMA
        steps.append("colours made grey")
    if said:
        steps.append(said)
    given = UserPicture(np.where(finite, values, 0.0), white, steps)
    if lost := int((~finite).sum()):
        given.steps.append(f"{lost} pixels that are no finite number made black")
        given.values[~finite] = -np.inf  # below any black
        if lost > 0.01 * finite.size:
            given.warnings.append(f"{lost / finite.size:.0%} of the pixels are no finite numbers")
    return given


def white_of(array: np.ndarray, brightest: float, counts: bool) -> tuple[float, str]:
    """The value that is white, and what to say of it: the type's greatest for 8 and 16 bits; 1 or 255 for floats
    up to that, and the brightest pixel for all others, and for FITS files whose numbers have more than 8 bits."""
    kind = array.dtype
    if kind.kind == "b":
        return 1.0, "true and false made white and black"
    if kind == np.uint8:
        return 255.0, ""
    if kind == np.uint16 and not counts:
        return 65535.0, "16 bits made 8"
    for most in (1.0, 255.0) if kind.kind == "f" and not counts else ():
        if brightest <= most:
            return most, f"{kind} values from 0 to {most:g} made 8-bit"
    return max(brightest, 1e-300), f"{kind} values made 8-bit, white at the brightest pixel, {brightest:.6g}"


def _levels(given: UserPicture, how: Conversion, name: str) -> np.ndarray:
    """Grey levels 0…255, whole ones, of which centres of light are measured as in the training pictures."""
    white = given.white if how.white is None else how.white
    if how.black or how.white is not None:
        given.steps.append(f"black at {how.black:g} and white at {white:g}")
    if not white > how.black:
        raise UserError(f"{name}: found nothing brighter than black at {how.black:g}, expected a galaxy")
    with np.errstate(over="ignore"):
        levels = np.clip(np.rint((given.values - how.black) * (255 / (white - how.black))), 0, 255)
    if levels.min() == levels.max():
        found = "no light in it" if not levels.max() else f"grey level {levels.max():.0f} in all pixels"
        raise UserError(f"{name}: found {found}, expected a picture of a galaxy")
    if levels.max() < DARK:
        given.warnings.append(
            f"its brightest pixel has only grey level {levels.max():.0f} of 255: set white to a smaller value"
        )
    if (sky := np.quantile(levels, SKY)) >= 1:
        given.warnings.append(f"its darkest pixels have grey level {sky:.0f}: subtract the sky by a larger black")
    if (share := (levels == 255).sum() / (levels > 0).sum()) > SATURATED:
        given.warnings.append(f"{share:.0%} of its lit pixels are saturated: what is brighter there is lost")
    return levels


def _crop(given: UserPicture, levels: np.ndarray, how: Conversion, name: str) -> np.ndarray:
    height, width = levels.shape
    column, row = how.at or (width / 2, height / 2)
    if not (0 <= column < width and 0 <= row < height):
        raise UserError(f"{name}: found no pixel at column {column:g}, row {row:g}: it has {width}×{height}")
    side = how.crop or int(2 * min(column, row, width - column, height - row))
    top, left = round(row - side / 2), round(column - side / 2)
    levels = levels[max(top, 0) : top + side, max(left, 0) : left + side]
    if levels.size == 0 or not levels.any():
        raise UserError(f"{name}: found no light in the {side}×{side} pixels that were cut out")
    given.steps.append(f"{side}×{side} pixels about column {column:g}, row {row:g} cut out")
    return levels


def _window(given: UserPicture, levels: np.ndarray, size: int, how: Conversion) -> np.ndarray:
    """(H, W) → (size, size) uint8 about the centre of light, in the training pictures' pixels, black outside.

    Pixel (i, j) of an N×N picture is the point x = j − N/2, y = N/2 − i.
    """
    height, width = levels.shape
    row, column = height / 2, width / 2
    if how.centre:
        total = levels.sum()
        row = float(levels.sum(axis=1) @ np.arange(height) / total)
        column = float(levels.sum(axis=0) @ np.arange(width) / total)
    x, y = column - width / 2, height / 2 - row
    scale = how.pixel_scale
    if (height, width, scale) == (size, size, 1.0) and max(abs(x), abs(y)) <= NEAR:
        return levels.astype(np.uint8)
    if scale != 1:
        given.steps.append(f"enlarged {scale:g}-fold" if scale > 1 else f"made smaller, to {scale:g} of its size")
    if how.centre:
        given.steps.append(f"shifted by ({-x * scale:.2f}, {-y * scale:.2f}) px to its centre of light")
    across, down = round(width * scale), round(height * scale)
    if across < size or down < size:
        given.steps.append(f"{across}×{down} padded with black to {size}×{size}")
    elif (across, down) != (size, size):
        given.steps.append(f"{across}×{down} cropped to {size}×{size}")
    rows, columns = (resampling(*axis, size, scale) for axis in ((height, row), (width, column)))
    return np.clip(np.rint(rows @ levels @ columns.T), 0, 255).astype(np.uint8)


def resampling(length: int, middle: float, size: int, scale: float) -> np.ndarray:
    """(size, length): how much of each old pixel each new one takes along an axis.

    Linear interpolation, or, where several old pixels fall into a new one, a mean over a triangle twice as wide as
    the new one. `middle` is the old pixel that becomes number size/2.
    """
    reach = max(1.0, 1 / scale)
    place = middle + (np.arange(size) - size / 2) / scale
    around = np.floor(place)[:, None] + np.arange(-np.ceil(reach), np.ceil(reach) + 2)
    share = np.maximum(1 - np.abs(around - place[:, None]) / reach, 0)
    share /= share.sum(axis=1, keepdims=True)
    weights = np.zeros((size, length))
    new, old = np.nonzero((share > 0) & (around >= 0) & (around < length))
    weights[new, around[new, old].astype(int)] = share[new, old]
    return weights
