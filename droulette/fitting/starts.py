"""Where fits begin: the scenes, among many that were drawn, that look most like the picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from droulette.fitting.family import Family
from droulette.fitting.observation import Observation
from droulette.physics.convolution import FWHM

SKETCH = 32  # pixels, at least, of a sketch's side
DRAWN_AT_ONCE = 1000


@dataclass(frozen=True)
class Library:
    """Drawn scenes of a family, with a sketch of each.

    coordinates: (n, P). sketches: (n, K), of length 1: the roots of the grey levels of a few wide pixels, in which
    faint arcs count beside bright cores.
    """

    family: Family
    coordinates: np.ndarray
    sketches: np.ndarray

    @classmethod
    def of(cls, family: Family, coordinates: np.ndarray, size: int) -> Library:
        """size: N of the pictures that will be compared."""
        width = max(1, size // SKETCH)
        few, sketches = size // width, []
        for start in range(0, len(coordinates), DRAWN_AT_ONCE):
            some = coordinates[start : start + DRAWN_AT_ONCE]
            blank = np.zeros((len(some), few, few))
            box = np.full(len(some), FWHM * ((width**2 - 1) / 12) ** 0.5 / width)
            about = Observation(blank, blank, box, pixel=width, supersampling=2)
            sketches += [_sketch(light[:, 0]) for _, light in about.drawn(family, some)]
        return cls(family, coordinates, np.concatenate(sketches))

    def nearest(self, observation: Observation, count: int) -> np.ndarray:
        """(B, count, P): the scenes, mirrored and turned as may be, that look most like the pictures."""
        width = max(1, observation.size // SKETCH)
        pictures = observation.binned(width).pictures
        turns = self.family.turns
        alike = np.stack([_sketch(_turned_back(pictures, *turn)) @ self.sketches.T for turn in turns], axis=1)
        alike = alike.reshape(len(pictures), -1)
        count = min(count, alike.shape[1])
        best = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        order = np.argsort(-np.take_along_axis(alike, best, axis=1), axis=1)
        best = np.take_along_axis(best, order, axis=1)
        turn, scene = np.divmod(best, len(self.sketches))
        values = self.family.values(self.coordinates)
        found = np.empty((*best.shape, self.coordinates.shape[1]))
        for number, (quarters, mirror) in enumerate(turns):
            rows = turn == number
            some = {name: value[scene[rows]] for name, value in values.items()}
            found[rows] = self.family.coordinates(self.family.turned(some, quarters, mirror))
        return found


def nearest_in_columns(drawn: np.ndarray, predicted: np.ndarray, deviation: np.ndarray, count: int) -> np.ndarray:
    """(B, count): of drawn rows, (n, C) values of columns, those nearest to predictions (B, C), in their deviations."""
    found = np.empty((len(predicted), count), int)
    for row, (mean, width) in enumerate(zip(predicted, deviation, strict=True)):
        distance = (((drawn - mean) / np.maximum(width, 1e-300)) ** 2).sum(axis=1)
        found[row] = np.argsort(distance, kind="stable")[:count]
    return found


def interleaved(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(B, 2 S, P): starts (B, S, P) of two kinds, in turns."""
    return np.stack([first, second], axis=2).reshape(len(first), -1, first.shape[-1])


def _sketch(pictures: np.ndarray) -> np.ndarray:
    roots = np.sqrt(np.maximum(pictures, 0.0)).reshape(len(pictures), -1)
    return (roots / (np.linalg.norm(roots, axis=1, keepdims=True) + 1e-300)).astype(np.float32)


def _turned_back(pictures: np.ndarray, quarters: int, mirror: bool) -> np.ndarray:
    """Undo a mirror (y → −y) and, after it, quarters of a turn counter-clockwise."""
    pictures = np.rot90(pictures, -quarters, axes=(1, 2))
    return pictures[:, ::-1] if mirror else pictures
