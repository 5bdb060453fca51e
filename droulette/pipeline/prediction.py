"""A trained model's output for the pictures of a part, and for pictures from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from droulette.errors import UserError
from droulette.learning.model_file import Model


def as_table(model: Model, filenames: list[str], predicted: np.ndarray, deviation: np.ndarray) -> pd.DataFrame:
    """Predictions as a part's table: filename, the model's columns, and their standard deviations as `std:…`."""
    frame = pd.DataFrame(predicted, columns=list(model.columns))
    frame = frame.join(pd.DataFrame(deviation, columns=[f"std:{column}" for column in model.columns]))
    frame.insert(0, "filename", filenames)
    return frame


def read_own_picture(path: str | Path, size: int, say: Callable[[str], None] = print) -> np.ndarray:
    """Read a user's picture as the model saw its own: 8-bit grey, centred on its light, `size`² pixels.

    say: told each thing that was done to the picture.

    Raises:
        UserError: no such file, or no picture that Pillow can read as PNG or JPEG.
    """
    try:
        with Image.open(path, formats=["PNG", "JPEG"]) as opened:
            mode = opened.mode
            if mode.startswith(("I", "F")):
                values = np.asarray(opened, np.float64)
                values = values * (255 / max(values.max(), 1e-300))
            else:
                values = np.asarray(opened.convert("L"), np.float64)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file, expected a PNG or JPEG picture") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path}: not a PNG or JPEG picture that can be read: {error}") from error
    steps = [] if mode == "L" else [f"{mode} made 8-bit grey"]
    height, width = values.shape
    total = values.sum()
    # Pixel (i, j) is the point x = j - N/2, y = N/2 - i.
    row = (values.sum(axis=1) @ np.arange(height)) / total if total else height / 2
    column = (values.sum(axis=0) @ np.arange(width)) / total if total else width / 2
    x, y = column - width / 2, height / 2 - row
    if max(abs(x), abs(y)) > 0.5 or (height, width) != (size, size):
        steps.append(f"shifted by ({-x:.2f}, {-y:.2f}) px to its centre of light")
        values = _window(values, row - size / 2, column - size / 2, size)
    if height < size or width < size:
        steps.append(f"{width}×{height} padded with black to {size}×{size}")
    elif (height, width) != (size, size):
        steps.append(f"{width}×{height} cropped to {size}×{size}")
    if steps:
        say(f"{path}: " + ", ".join(steps))
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _window(values: np.ndarray, top: float, left: float, size: int) -> np.ndarray:
    """(H, W) -> (size, size) from the point (top, left) on, by bilinear interpolation, black outside."""
    for start, axis in ((top, 0), (left, 1)):
        whole = int(np.floor(start))
        share = start - whole
        found = np.arange(whole, whole + size + 1)
        inside = (found >= 0) & (found < values.shape[axis])
        taken = np.take(values, np.where(inside, found, 0), axis)
        taken = taken * (inside[:, None] if axis == 0 else inside)
        low, high = (taken[:-1], taken[1:]) if axis == 0 else (taken[:, :-1], taken[:, 1:])
        values = (1 - share) * low + share * high
    return values
