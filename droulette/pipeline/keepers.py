"""What becomes of pictures as they are drawn: files, or arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from droulette.physics.arrays import Array, is_numpy
from droulette.physics.batches import move
from droulette.pipeline import depth, png
from droulette.pipeline.depth import About
from droulette.pipeline.storage import Writer


class Keeper(Protocol):
    on_device: bool

    def keep(self, rows: np.ndarray, filenames: list[str], pictures: Array, about: About | None) -> None:
        """Keep the pictures of these rows of a chunk, on the device that drew them or as NumPy's."""


@dataclass(frozen=True)
class Encoder:
    """Makes PNG files of pictures and hands them to a writer. first: the place of the chunk in the dataset."""

    writer: Writer
    first: int
    depth: str
    on_device = False

    def keep(self, rows: np.ndarray, filenames: list[str], pictures: Array, about: About | None) -> None:
        if about is None:
            files = png.encode_all(pictures)
        else:
            encode = depth.encode_png if self.depth == "uint16" else depth.encode_tiff
            files = [encode(picture, about.one(k)) for k, picture in enumerate(pictures)]
        for row, filename, encoded in zip(rows.tolist(), filenames, files, strict=True):
            self.writer.keep(self.first + row, filename, encoded)


class InMemory:
    """Keeps pictures as one array where they were drawn."""

    on_device = True

    def __init__(self, count: int, size: int, device: str, observed: bool) -> None:
        pictures = np.zeros((count, size, size), np.float32 if observed else np.uint8)
        self.pictures = pictures if device == "cpu" else move(pictures, device)
        self.about = np.zeros((count, len(depth.NAMES))) if observed else None

    def keep(self, rows: np.ndarray, filenames: list[str], pictures: Array, about: About | None) -> None:
        self.pictures[rows] = pictures if about is None or is_numpy(pictures) else pictures.float()
        if self.about is not None and about is not None:
            self.about[rows] = about.table()
