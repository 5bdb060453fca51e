"""A source that is a picture of a real galaxy, brought to the wanted size and brightness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from droulette.physics.arrays import Array
from droulette.physics.elementary import cosine_and_sine
from droulette.physics.sources import Source
from droulette.physics.splines import cell, coefficients, weighted, weights
from droulette.physics.tables import Table
from droulette.quantities import parameter
from droulette.registry import model

DEGREE = 3
BORDER = DEGREE + 1  # px of 0 around a picture
TAPER = 0.85  # of the way from a picture's middle to its border, from which on it goes to 0
FRAME = 20  # the background is the median of the outermost 1/20 of the side
FINE = 4  # points in a pixel, for the half-light radius
SMALLEST, LARGEST = 8, 1024  # px, the side of a picture


class NoLight(ValueError):
    """A picture with nothing above its background."""


@dataclass(frozen=True)
class Portrait:
    """One galaxy, prepared. In px of its picture, (0, 0) at the lower left pixel of `coefficients`.

    coefficients: (H, W) of a cubic B-spline, none below 0, with a border of zeros, over (p!)²; the spline's integral
    is 1. x, y: centre of light. radius: geometric mean of the half-light semi-axes. reach: radius beyond which it is 0.
    """

    coefficients: np.ndarray
    x: float
    y: float
    radius: float
    reach: float

    @classmethod
    def of(cls, levels: np.ndarray) -> Portrait:
        """levels: (h, w) of any unit, row 0 below. Raises `NoLight`."""
        frame = max(1, round(min(levels.shape) / FRAME))
        inner = np.zeros(levels.shape, bool)
        inner[frame:-frame, frame:-frame] = True
        light = np.maximum(levels - np.median(levels[~inner]), 0.0) * _taper(*levels.shape)
        table = coefficients(np.pad(light, 2 * BORDER), DEGREE)[BORDER:-BORDER, BORDER:-BORDER]
        table = np.maximum(table, 0.0)
        table[:BORDER] = table[-BORDER:] = table[:, :BORDER] = table[:, -BORDER:] = 0.0
        if not table.sum() > 0:
            raise NoLight
        table /= table.sum()
        y, x = np.mgrid[: table.shape[0], : table.shape[1]]
        centre_x, centre_y = (table * x).sum(), (table * y).sum()
        reach = np.hypot(x - centre_x, y - centre_y)[table > 0].max() + math.sqrt(2) * BORDER / 2
        radius = _half_light_radius(table, centre_x, centre_y)
        return cls(table / math.factorial(DEGREE) ** 2, centre_x, centre_y, radius, reach)


def _taper(height: int, width: int) -> np.ndarray:
    """1 within TAPER of the ellipse that fits into a picture, and 0 from there on."""
    y, x = ((np.arange(side) - (side - 1) / 2) / (side / 2) for side in (height, width))
    t = np.clip((np.hypot(x, y[:, None]) - TAPER) / (1 - TAPER), 0.0, 1.0)
    return 1.0 - t**3 * (10 - 15 * t + 6 * t * t)


def _half_light_radius(table: np.ndarray, x: float, y: float) -> float:
    """That of the ellipses which have the axis ratio and direction of the light's second moments."""
    values = _finer(_finer(table).T).T
    along_y, along_x = ((np.arange(side) + 0.5) / FINE - 0.5 for side in values.shape)
    dx, dy = along_x - x, (along_y - y)[:, None]
    total = values.sum()
    xx, yy, xy = ((values * product).sum() / total for product in (dx * dx, dy * dy, dx * dy))
    area = math.sqrt(xx * yy - xy * xy)  # of the moments' ellipse, over π
    distance = np.sqrt((yy * dx * dx - 2 * xy * dx * dy + xx * dy * dy) / area).ravel()
    order = np.argsort(distance)
    return float(np.interp(0.5 * total, np.cumsum(values.ravel()[order]), distance[order]))


def _finer(table: np.ndarray) -> np.ndarray:
    """FINE values of the spline for each row of coefficients."""
    count = FINE * len(table)
    place = (np.arange(count) + 0.5) / FINE - 0.5
    before = np.floor(place)
    matrix = np.zeros((count, len(table) + 2 * BORDER))
    for k, weight in enumerate(weights(place - before, DEGREE)):
        matrix[np.arange(count), before.astype(int) + BORDER - DEGREE // 2 + k] = weight
    return matrix[:, BORDER:-BORDER] @ table


@dataclass(frozen=True)
class GalaxyRows:
    """Which galaxy each of B rows has: all in one table, and (B,) of where a row's is and what belongs to it.

    start: the place of its first coefficient. The others are as in `Portrait`.
    """

    table: Table
    start: Array
    height: Array
    width: Array
    x: Array
    y: Array
    radius: Array
    reach: Array

    @classmethod
    def of(cls, galaxies: Sequence[Portrait], row: np.ndarray) -> GalaxyRows:
        """row: (B,), which of the galaxies."""
        sizes = [one.coefficients.size for one in galaxies]
        starts = np.cumsum([0, *sizes])[:-1]
        about = [
            (start, *g.coefficients.shape, g.x, g.y, g.radius, g.reach)
            for start, g in zip(starts, galaxies, strict=True)
        ]
        columns = np.array(about, np.float64)[row].T
        return cls(Table(np.concatenate([one.coefficients.ravel() for one in galaxies])), *map(np.array, columns))

    def at(self, x: Array, y: Array) -> Array:
        """The spline at px of the picture."""
        (i, s), (j, t) = cell(x, self.width, DEGREE), cell(y, self.height, DEGREE)
        place = self.start + (j - float(DEGREE // 2)) * self.width + (i - float(DEGREE // 2))
        across, up, total = weights(s, DEGREE), weights(t, DEGREE), 0.0
        for k in range(DEGREE + 1):
            line = place + float(k) * self.width
            total = weighted([self.table.at(line + float(n)) for n in range(DEGREE + 1)], across) * up[k] + total
        return total


@model
class Galaxy(Source):
    """A galaxy's picture, of half-light radius σ and of the Sérsic sources' whole light, 1000 L.

    The picture's background is the median of its border. What is above it is multiplied by 1 that goes smoothly to 0
    on the outermost 15 % of the ellipse within the picture, and interpolated by a cubic B-spline, whose coefficients
    below 0 are set to 0. σ is the geometric mean of the half-light semi-axes, about the centre of light, and this lies
    at the source's position. `mirror` flips y, before the turn by theta.

    A picture has a point spread function and noise of its own. Both are part of the source here: they are magnified
    with it, and the positive half of the noise counts as light. σ is that of the picture, blurred as it is.
    """

    not_numbers = ("galaxies",)
    sigma: Array
    theta: Array
    luminosity: Array
    galaxies: GalaxyRows
    mirror: Array = parameter(0, 1, "1: mirrored, y → −y, before it is turned; 0: not", ge=0, le=1, whole=True)
    scale: Array = field(init=False, repr=False)
    height: Array = field(init=False, repr=False)
    flip: Array = field(init=False, repr=False)
    cos: Array = field(init=False, repr=False)
    sin: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        cos, sin = cosine_and_sine(self.theta)
        scale = self.galaxies.radius / self.sigma
        derived = {
            "scale": scale,
            "height": self.flux() * scale * scale,
            "flip": 1.0 - 2.0 * self.mirror,
            "cos": cos,
            "sin": sin,
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def brightness(self, dx: Array, dy: Array) -> Array:
        u, v = dx * self.cos + dy * self.sin, (dy * self.cos - dx * self.sin) * self.flip
        return self.galaxies.at(u * self.scale + self.galaxies.x, v * self.scale + self.galaxies.y) * self.height

    def extent(self, threshold: float) -> Array:
        return self.galaxies.reach / self.scale

    def flux(self) -> Array:
        return 1000 * self.luminosity
