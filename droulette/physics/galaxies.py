"""A source that is a picture of a real galaxy, brought to the wanted size and brightness."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from droulette.physics.arrays import Array
from droulette.physics.elementary import cosine_and_sine, where
from droulette.physics.sources import Source
from droulette.physics.splines import cell, coefficients, weighted, weights
from droulette.physics.tables import Table
from droulette.quantities import parameter
from droulette.registry import model

DEGREE = 3
BORDER = DEGREE + 1  # px of 0 around a picture
TAPER = 0.85  # of the way from a picture's middle to its border, from which on it goes to 0
FRAME = 20  # the background is the median of the outermost 1/20 of the side
SMOOTHING = 2.0  # px, of the Gaussian that finds the galaxy in the noise
DETECTED = 3.0  # times the noise of the smoothed picture: what is brighter belongs to the galaxy
CLEAR = 3.0  # times the noise of a pixel: where the smoothed light is brighter, the pixel itself is taken
RIM = 0.5  # of the galaxy's mean radius: so far beyond it light goes smoothly to 0
FAINTEST = 1e-7  # of the brightest coefficient; those below are 0
FINE, COARSE = 4, 256  # points in a pixel, for the half-light radius, of pictures up to COARSE px; beyond one
RINGS = 64  # per px, the same
STEPS = tuple(4.0**-k for k in range(13))  # of the brightest coefficient, to which extents are known
SMALLEST, LARGEST = 8, 1024  # px, the side of a picture


class NoLight(ValueError):
    """A picture with nothing above its background."""


@dataclass(frozen=True)
class Portrait:
    """One galaxy, prepared. In px of its picture, (0, 0) at the lower left pixel of `coefficients`.

    coefficients: (H, W) float32 of a cubic B-spline, none below 0, with a border of zeros, over (p!)²; the spline's
    integral is 1. x, y: centre of light. radius: geometric mean of the half-light semi-axes. peak: the brightest
    coefficient, which no value of the spline exceeds. reaches: for each of STEPS, the radius beyond which the spline
    is below so much of the peak, and last that beyond which it is 0.
    """

    coefficients: np.ndarray
    x: float
    y: float
    radius: float
    peak: float
    reaches: tuple[float, ...]

    @classmethod
    def of(cls, levels: np.ndarray) -> Portrait:
        """levels: (h, w) of any unit, row 0 below. Raises `NoLight`."""
        width = max(1, round(min(levels.shape) / FRAME))
        frame = np.ones(levels.shape, bool)
        frame[width:-width, width:-width] = False
        light = levels - np.median(levels[frame])
        light = np.maximum(_denoised(light, frame), 0.0) * _taper(*levels.shape)
        table = coefficients(np.pad(light, 2 * BORDER), DEGREE)[BORDER:-BORDER, BORDER:-BORDER]
        table[:BORDER] = table[-BORDER:] = table[:, :BORDER] = table[:, -BORDER:] = 0.0
        table = _trimmed(np.where(table > FAINTEST * table.max(), table, 0.0))
        if not table.sum() > 0:
            raise NoLight
        # To float32: the last digits of a Fourier transform differ between machines.
        table = (table / table.sum()).astype(np.float32).astype(np.float64)
        y, x = np.mgrid[: table.shape[0], : table.shape[1]]
        centre = _rounded((table * x).sum() / table.sum()), _rounded((table * y).sum() / table.sum())
        radius = _rounded(_half_light_radius(table, *centre))
        distance, peak = np.hypot(x - centre[0], y - centre[1]), table.max()
        brighter = [distance[table > step * peak] for step in (*STEPS, 0.0)]
        reaches = tuple(_rounded(of.max() + math.sqrt(2) * BORDER / 2 + 1e-3) if len(of) else 0.0 for of in brighter)
        scaled = (table / math.factorial(DEGREE) ** 2).astype(np.float32)
        return cls(scaled, *centre, radius, float(peak), reaches)


def _rounded(x: float) -> float:
    return float(np.float32(x))


def _taper(height: int, width: int) -> np.ndarray:
    """1 within TAPER of the ellipse that fits into a picture, and 0 from there on."""
    y, x = ((np.arange(side) - (side - 1) / 2) / (side / 2) for side in (height, width))
    return _falling((np.hypot(x, y[:, None]) - TAPER) / (1 - TAPER))


def _falling(t: np.ndarray) -> np.ndarray:
    """From 1 at t = 0 to 0 at 1, twice continuously differentiable."""
    t = np.clip(t, 0.0, 1.0)
    return 1.0 - t**3 * (10 - 15 * t + 6 * t * t)


def _denoised(light: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """The galaxy alone: the light as it is where the frame has no noise.

    As Bertin & Arnouts (1996, A&AS 117, 393) find one: the brightest connected pixels of the smoothed picture that
    are above a multiple of its noise, here with a rim in which light falls to 0. Without it, the positive half of the
    noise in the whole picture would be light. Where the smoothed light is fainter than the noise of a pixel it
    takes the pixel's place, for the same reason.
    """
    from scipy import ndimage  # takes a process 0.06 s

    smooth = ndimage.gaussian_filter(light, SMOOTHING)
    noise, of_smooth = _noise(light[frame]), _noise(smooth[frame])
    if not of_smooth > FAINTEST * smooth.max():
        return light
    labels, count = ndimage.label(smooth > DETECTED * of_smooth)
    if not count:
        return 0.0 * light
    brightest = 1 + int(np.argmax(ndimage.sum_labels(smooth, labels, np.arange(1, count + 1))))
    inside = labels == brightest
    rim = max(BORDER, RIM * math.sqrt(inside.sum() / math.pi))
    clear = np.clip(smooth / (CLEAR * noise + 1e-300), 0.0, 1.0)
    return (clear * light + (1 - clear) * smooth) * _falling(ndimage.distance_transform_edt(~inside) / rim)


def _noise(values: np.ndarray) -> float:
    """The standard deviation of normal numbers, by their median absolute deviation."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _trimmed(table: np.ndarray) -> np.ndarray:
    """Without the rows and columns of zeros, but for the border."""
    for _ in range(2):
        lit = np.flatnonzero(table.any(axis=1))
        table = np.pad(table[lit[0] : lit[-1] + 1], ((BORDER, BORDER), (0, 0))).T if len(lit) else table.T
    return table


def _half_light_radius(table: np.ndarray, x: float, y: float) -> float:
    """That of the ellipses which have the axis ratio and direction of the light's second moments."""
    fine = FINE if max(table.shape) <= COARSE else 1
    values = _finer(_finer(table, fine).T, fine).T
    along_y, along_x = ((np.arange(side) + 0.5) / fine - 0.5 for side in values.shape)
    dx, dy = along_x - x, (along_y - y)[:, None]
    total = values.sum()
    xx, yy, xy = ((values * product).sum() / total for product in (dx * dx, dy * dy, dx * dy))
    area = math.sqrt(xx * yy - xy * xy)  # of the moments' ellipse, over π
    distance = np.sqrt((yy * dx * dx - 2 * xy * dx * dy + xx * dy * dy) / area)
    light = np.cumsum(np.bincount((distance * RINGS).astype(np.int64).ravel(), values.ravel()))
    return float(np.interp(0.5 * total, light, np.arange(1, len(light) + 1) / RINGS))


def _finer(table: np.ndarray, fine: int) -> np.ndarray:
    """`fine` values of the spline for each row of coefficients."""
    padded, phases = np.pad(table, ((BORDER, BORDER), (0, 0))), []
    for k in range(fine):
        place = (k + 0.5) / fine - 0.5
        before = math.floor(place)
        first = BORDER + before - DEGREE // 2
        shifted = [padded[first + n : first + n + len(table)] for n in range(DEGREE + 1)]
        phases.append(weighted(shifted, weights(place - before, DEGREE)))
    return np.stack(phases, axis=1).reshape(fine * len(table), -1)


@dataclass(frozen=True)
class GalaxyRows:
    """Which galaxy each of B rows has: all in one table, and (B,) of where a row's is and what belongs to it.

    start: the place of its first coefficient. height, width: of its coefficients. The others are as in `Portrait`.
    """

    table: Table
    start: Array
    height: Array
    width: Array
    x: Array
    y: Array
    radius: Array
    peak: Array
    reaches: tuple[Array, ...]

    @classmethod
    def of(cls, galaxies: Sequence[Portrait], row: np.ndarray) -> GalaxyRows:
        """row: (B,), which of the galaxies."""
        sizes = [one.coefficients.size for one in galaxies]
        starts = np.cumsum([0, *sizes])[:-1]
        about = [
            (start, *g.coefficients.shape, g.x, g.y, g.radius, g.peak, *g.reaches)
            for start, g in zip(starts, galaxies, strict=True)
        ]
        *columns, reaches = np.split(np.array(about, np.float64)[row].T, range(1, 8))
        table = Table(np.concatenate([one.coefficients.ravel() for one in galaxies]).astype(np.float64))
        return cls(table, *(column[0].copy() for column in columns), tuple(reach.copy() for reach in reaches))

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

    A picture has a point spread function and noise of its own. Both are part of the source here and are magnified with
    it; σ is that of the picture, blurred as it is. Noise is kept only where the galaxy is (`_denoised`).
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
        share = threshold / (self.height * self.galaxies.peak)
        *reaches, extent = self.galaxies.reaches
        for step, reach in zip(reversed(STEPS), reversed(reaches), strict=True):
            extent = where(share >= step, reach, extent)
        return extent / self.scale

    def flux(self) -> Array:
        return 1000 * self.luminosity
