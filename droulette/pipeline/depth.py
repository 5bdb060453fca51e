"""Pictures of more than 8 bits as files that say themselves what their numbers mean.

A 16-bit PNG file holds whole numbers k, and the picture is (k + zero) × step; a 32-bit TIFF file holds the numbers
themselves. Both carry an `About` as JSON: in the PNG file's text chunk `droulette`, in the TIFF file's description.
"""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass, fields

import numpy as np
from PIL import Image

from droulette.pipeline import png

TEXT = "droulette"  # the key of the text chunk
DESCRIPTION = 270  # TIFF's tag
STEPS_OF_NOISE = 8  # steps to a standard deviation of the noise: rounding adds 0.1 % to its variance
MOST = 65_000  # steps from the darkest pixel to the brightest
MAX_TEXT = 10_000
LONGEST_HEAD = 1000  # bytes of a file, in which its kind is found


@dataclass(frozen=True)
class About:
    """What is known of a picture, in its own units; of B pictures (B,) arrays.

    background: that is left in the picture. noise: standard deviation of the background's noise.
    poisson: variance that each unit of light above the background adds. psf_fwhm: px, full width of the point spread
    function at half its maximum. pixel_scale: arcsec, 0 if it is not known. white: the value of grey level 255.
    """

    background: float | np.ndarray
    noise: float | np.ndarray
    poisson: float | np.ndarray
    psf_fwhm: float | np.ndarray
    pixel_scale: float | np.ndarray
    white: float | np.ndarray

    def table(self) -> np.ndarray:
        """(B, 6) float64, in the order of the fields."""
        return np.stack([np.atleast_1d(getattr(self, name)) for name in NAMES], axis=1)

    @classmethod
    def of(cls, table: np.ndarray) -> About:
        """From (B, 6)."""
        return cls(*np.moveaxis(table, -1, 0))

    def rows(self, rows: slice) -> About:
        return About(*(value[rows] for value in vars(self).values()))

    def one(self, row: int) -> About:
        return About(*(float(value[row]) for value in vars(self).values()))


NAMES = tuple(field.name for field in fields(About))


def encode_png(picture: np.ndarray, about: About) -> bytes:
    """A 16-bit PNG file. picture: (H, W) float64."""
    low, high = float(picture.min()), float(picture.max())
    fine = about.noise / STEPS_OF_NOISE
    coarse = (high - low) / MOST
    exponents = [math.floor(math.log2(fine))] if fine > 0 else []
    exponents += [math.ceil(math.log2(coarse))] if coarse > 0 else []
    step = 2.0 ** max(exponents, default=0)
    zero = round(low / step)
    steps = picture * (1 / step)
    steps -= zero
    numbers = np.rint(steps, out=steps).astype(np.uint16)
    text = json.dumps({"step": step, "zero": zero} | vars(about))
    return png.encode16(numbers, TEXT, text)


def encode_tiff(picture: np.ndarray, about: About) -> bytes:
    """A 32-bit TIFF file."""
    stream = io.BytesIO()
    description = json.dumps({"step": 1.0, "zero": 0} | vars(about))
    Image.fromarray(picture.astype(np.float32)).save(stream, "TIFF", tiffinfo={DESCRIPTION: description})
    return stream.getvalue()


def decode(data: bytes, into: np.ndarray) -> About | None:
    """Write a picture into (N, N) float32, and give what is known of it; None: it is not of this kind or size."""
    size = len(into)
    found = png.decode16(data, size, TEXT)
    if found is not None:
        numbers, text = found
    else:
        try:
            with Image.open(io.BytesIO(data), formats=["PNG", "TIFF"]) as opened:
                if opened.size != (size, size) or opened.mode not in ("I;16", "I;16B", "I", "F"):
                    return None
                text = opened.info.get(TEXT) if opened.format == "PNG" else opened.tag_v2.get(DESCRIPTION)
                numbers = np.asarray(opened)
        except Exception:  # each of Pillow's chunks has its own family of errors for foreign bytes
            return None
    read = _about(text)
    if read is None:
        return None
    step, zero, about = read
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused
        into[:] = (numbers.astype(np.float64) + zero) * step
    return about if np.isfinite(into).all() else None


def is_observed(start: bytes) -> bool:
    """Whether a file that begins so is one of these."""
    return start[:4] in (b"II*\0", b"MM\0*") or png.is_16_bit(start)


def longest(size: int) -> int:
    """More bytes than a file of a picture of size² has."""
    return size * size * 5 + 3 * MAX_TEXT


def shown(pictures: np.ndarray, facts: np.ndarray) -> np.ndarray:
    """Pictures (n, N, N) as grey levels, uint8: background black, and `white` 255. facts: (n, 6)."""
    about = About.of(facts)
    factor = 255 / np.where(about.white > 0, about.white, 1.0)
    levels = (pictures - about.background[:, None, None]) * factor[:, None, None]
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def _about(text: object) -> tuple[float, float, About] | None:
    try:
        if not isinstance(text, str) or len(text) > MAX_TEXT:
            return None
        values = json.loads(text)
        numbers = {name: float(values[name]) for name in ("step", "zero", *NAMES)}
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    about = About(*(numbers[name] for name in NAMES))
    fine = all(map(math.isfinite, numbers.values())) and about.noise >= 0 and about.poisson >= 0
    return (numbers["step"], numbers["zero"], about) if fine and about.psf_fwhm >= 0 and numbers["step"] > 0 else None
