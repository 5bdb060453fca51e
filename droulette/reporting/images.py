"""Pictures as lossless WebP in data addresses, so that a page holds them itself."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from droulette.pipeline.noise_metrics import REACH

SATURATED = 64  # grey levels: a difference as large has its full colour
ROUNDING = 1  # grey level: a difference that is none
SHADES = 10  # of each colour of a residual
BRIGHTER, DARKER = (214, 69, 65), (52, 120, 199)


def grey(picture: np.ndarray) -> str:
    """(N, N) uint8, brightness on a square-root scale, which shows the faint parts of arcs."""
    return _address(Image.fromarray(np.rint(255 * np.sqrt(picture / 255)).astype(np.uint8)))


def difference(first: np.ndarray, second: np.ndarray) -> str:
    """(N, N) uint8 twice → red where the first is brighter, blue where it is darker, see-through where they agree."""
    change = first.astype(np.int16) - second
    size = np.abs(change)
    opacity = np.sqrt(np.minimum(size / SATURATED, 1)) * (size > ROUNDING)
    colours = np.where(change[..., None] > 0, BRIGHTER, DARKER) * (opacity > 0)[..., None]
    return _address(Image.fromarray(np.dstack([colours, np.rint(255 * opacity)]).astype(np.uint8), mode="RGBA"))


def residual(deviations: np.ndarray) -> str:
    """(N, N) in standard deviations of the noise → red above 0 and blue below, in full colour from REACH on.

    The few shades take a third of the bytes that smooth ones would.
    """
    shade = np.rint(SHADES * np.clip(deviations / REACH, -1, 1))
    opacity = np.rint(255 * np.abs(shade) / SHADES)
    colours = np.where(shade[..., None] > 0, BRIGHTER, DARKER) * (opacity > 0)[..., None]
    return _address(Image.fromarray(np.dstack([colours, opacity]).astype(np.uint8), mode="RGBA"))


def _address(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, format="WEBP", lossless=True)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()
