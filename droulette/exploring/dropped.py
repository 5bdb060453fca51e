"""A picture that was dropped on the page: what a trained model makes of it."""

from __future__ import annotations

import base64
import binascii
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from droulette.errors import UserError, one_line

if TYPE_CHECKING:
    from droulette.exploring.view import Lines, View
    from droulette.learning.model_file import Model

MOST_BYTES = 16 * 2**20  # of a picture's file
LEVELS = (0.15, 0.4, 0.7)  # of the brightest pixel, where contours are


def decode(text: object) -> bytes:
    """The bytes of a file from base64. Raises UserError."""
    if not isinstance(text, str) or len(text) > 4 * (MOST_BYTES // 3 + 1):
        raise UserError(f"picture: found a file of more than {MOST_BYTES >> 20} MiB, expected a smaller one")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"picture: found no base64: {error}") from error


def predict(data: bytes, name: str, model: Path) -> View:
    """What the model predicts of a picture's file, as a view: the picture as the model saw it, the roulette simulation
    of the predicted amplitudes, and its contours laid over the picture.

    Raises:
        UserError: no model, or a picture that cannot be read.
    """
    if not model.is_file():
        wanted = "`make repro` trains one in minutes, `dvc pull` fetches one, --model FILE names another"
        raise UserError(f"{model}: found no such model; {wanted}")
    from PIL import Image

    from droulette.exploring.view import View
    from droulette.pipeline.user_predictions import predict_pictures

    said: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture"
        path.write_bytes(data)

        def say(line: str) -> None:
            said.append(line.replace(str(path), name))

        try:
            table = predict_pictures([path], _load(model, model.stat().st_mtime_ns), resimulation=Path(folder) / "out",
                                     device="cpu", say=say, warn=say)  # fmt: skip
        except UserError as error:
            raise UserError(str(error).replace(str(path), name)) from error
        seen, roulette = (
            np.array(Image.open(Path(folder) / "out" / f"picture-{kind}.png")) for kind in ("seen", "roulette")
        )
    row = {key: value for key, value in table.iloc[0].items() if isinstance(value, float)}
    novelty = f"{row['novelty']:.2f}, {'unlike' if row['novelty'] > 1 else 'like'} the training pictures"
    points = {"reference": np.array([[row["xiX"], row["xiY"]]])} if {"xiX", "xiY"} <= set(row) else {}
    notes = (*dict.fromkeys(map(one_line, said)), "A slider or a preset brings the scene back.")
    lines = {"contour": contours(roulette)}
    difference = seen.astype(np.int16) - roulette
    said_of_it = {"novelty": novelty}
    return View(seen, roulette, difference, (0.0, 0.0), lines, points, row, said_of_it, notes, one_line(name))


@lru_cache(maxsize=1)
def _load(path: Path, changed: int) -> Model:
    """changed: when the file was written, so that another one in its place is read anew."""
    from droulette.learning import model_file

    return model_file.load(path, "cpu")


def contours(picture: np.ndarray) -> Lines:
    """Lines of equal brightness of an (N, N) picture: (M, 2) px from its middle."""
    from contourpy import contour_generator

    size = len(picture)
    x, y = np.arange(size) - size / 2, size / 2 - np.arange(size)
    generator = contour_generator(x, y, picture.astype(np.float64))
    return [line for level in LEVELS for line in generator.lines(level * float(picture.max())) if picture.any()]
