"""A lens that is known as a map of its potential ψ or its convergence κ: one of a simulation, or a reconstruction.

ψ is a monopole and a B-spline of odd degree through what remains of the map, on a grid that is wider by half the map on
each side. Deflections and amplitudes are those of this one ψ.

* Inside the map ψ is the map's. From κ it is computed by the Green's function of free space, (1/π) ln R, truncated
  beyond the grid and multiplied in Fourier space (Vico, Greengard & Ferrando 2016, J. Comput. Phys. 323, 191). There is
  nothing around such a map: its outermost EDGE of the side goes smoothly to 0.
* Around the map what remains beside the monopole is taken to 0 by a smooth step. A map of ψ is continued there by odd
  reflection, and its monopole is the mass that the map's largest circle encloses.
* Beyond the grid there is the monopole alone, ½ M ln(R² + c²).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from droulette.physics.arrays import Array, namespace
from droulette.physics.elementary import cosine_and_sine, where
from droulette.physics.lenses import CentredLens
from droulette.physics.series import Series, log
from droulette.physics.splines import cell, coefficients, weighted, weights, weights_and_slopes
from droulette.physics.tables import Table
from droulette.registry import model

DEGREE = 7
HALF = DEGREE // 2  # of the coefficients that a cell takes, on each side beside its own two
MOST_ORDER = DEGREE - 2  # of amplitudes: the spline's derivatives above are steps
SMALLEST, LARGEST = 32, 1024  # px, the side of a map
EDGE = 1 / 16
FILTER = 8
CORE, LEAST_CORE = 1 / 16, 8.0  # c of the monopole: of the map's side, and px
NEAREST = 4  # map px, the least distance for which there are bounds of ∂²ψ
LEVELS = 10  # of such bounds, each for distances twice as long as the one before, in cells of half the distance


class NoEinsteinRadius(ValueError):
    """A map without a circle about its middle in which the mean convergence is 1."""


@dataclass(frozen=True)
class MappedPotential:
    """One map, prepared. In map px from the map's middle, y up.

    coefficients: (N, N), row 0 below, over (p!)². mass: M, px². core: c, px. einstein_radius: px.
    bounds: the LEVELS tables of bounds of ∂²ψ one after the other.
    """

    coefficients: np.ndarray
    mass: float
    core: float
    einstein_radius: float
    bounds: np.ndarray

    @classmethod
    def of_convergence(cls, kappa: np.ndarray) -> MappedPotential:
        """kappa: (n, n), row 0 below. Raises `NoEinsteinRadius`."""
        size = len(kappa)
        kappa = kappa * _window(size, -max(4, math.ceil(EDGE * size)), 0)
        return cls._of(_potential(kappa), size, kappa.sum() / np.pi)

    @classmethod
    def of_potential(cls, psi: np.ndarray) -> MappedPotential:
        """psi: (n, n) in squared map px, row 0 below. Raises `NoEinsteinRadius`."""
        size = len(psi)
        psi = np.pad(psi - psi.mean(), _pad(size), mode="reflect", reflect_type="odd")
        raw = _spline(psi * _window(size, _pad(size) - DEGREE, _pad(size)))
        radius = size / 2 - 2 * HALF
        mass = radius * _mean_deflection(raw, 0.0, 1.0, radius)
        border = np.delete(np.arange(size), np.s_[1:-1]) + _pad(size)  # whose mean is that of the monopole
        level = 0.5 * mass * math.log(size * size / 3)
        return cls._of(psi - psi[border].mean() + level, size, mass)

    @classmethod
    def _of(cls, psi: np.ndarray, size: int, mass: float) -> MappedPotential:
        core, pad = max(CORE * size, LEAST_CORE), _pad(size)
        x = np.arange(len(psi)) - (len(psi) - 1) / 2
        rest = psi - 0.5 * mass * np.log(x * x + x[:, None] ** 2 + core * core)
        table = _spline(rest * _window(size, pad - DEGREE, pad))
        radius = _einstein_radius(table, mass, core, size / 2)
        return cls(table / math.factorial(DEGREE) ** 2, mass, core, radius, _bounds(table, mass, core))


def _pad(size: int) -> int:
    return (size + 1) // 2


def _window(size: int, width: int, pad: int) -> np.ndarray:
    """1 on a map, and over `width` px down to 0 around it; with a negative width inside it. With `pad` px around."""
    outside = abs(np.arange(size + 2 * pad) - (size + 2 * pad - 1) / 2) - (size - 1) / 2
    t = np.clip((outside - min(width, 0)) / abs(width), 0.0, 1.0)
    line = 1.0 - t**5 * (126 + t * (-420 + t * (540 + t * (-315 + t * 70))))  # four derivatives are 0 at each end
    return np.outer(line, line)


def _potential(kappa: np.ndarray) -> np.ndarray:
    """(n, n) → ψ on the wider grid, (N, N)."""
    from scipy import special  # takes a process a tenth of a second

    size, pad = len(kappa), _pad(len(kappa))
    whole = 4 * size
    reach = 1.5 * math.sqrt(2) * size + 2 * pad - size + 2.0  # the longest way from a point of the map to the grid's
    k = 2 * np.pi * np.hypot(np.fft.fftfreq(whole)[:, None], np.fft.rfftfreq(whole))
    k[0, 0] = 1.0
    green = (1.0 - special.j0(reach * k)) / (k * k) - reach * math.log(reach) * special.j1(reach * k) / k
    green[0, 0] = reach * reach * (0.25 - 0.5 * math.log(reach))
    green *= np.outer(_smooth(np.fft.fftfreq(whole)), _smooth(np.fft.rfftfreq(whole)))
    psi = np.fft.irfft2(-2.0 * green * np.fft.rfft2(kappa, (whole, whole)), (whole, whole))
    wanted = np.arange(-pad, size + pad)
    return psi[np.ix_(wanted, wanted)]


def _smooth(frequency: np.ndarray) -> np.ndarray:
    """1 for waves of many pixels, and 0 for those of two, which would ring through all of the map."""
    return np.exp(-36.0 * (2 * frequency) ** FILTER)


def _spline(values: np.ndarray) -> np.ndarray:
    """Coefficients, 0 in the cells at the border, so that the spline goes on as 0."""
    table = coefficients(values, DEGREE)
    border = DEGREE + 1
    table[:border] = table[-border:] = table[:, :border] = table[:, -border:] = 0.0
    return table


def _mean_deflection(table: np.ndarray, mass: float, core: float, radius: float) -> float:
    """The mean over a circle about the middle of the deflection outwards."""
    angle = np.arange(720) * (np.pi / 360)
    rows = MapRows(
        Table(table / math.factorial(DEGREE) ** 2),
        *(np.array([v]) for v in (0.0, 0.0, len(table), 1.0)),
        np.array([mass]),
        np.array([core * core]),
    )
    along_x, along_y = rows.gradient(radius * np.cos(angle), radius * np.sin(angle))
    return float(np.mean(along_x * np.cos(angle) + along_y * np.sin(angle)))


def _einstein_radius(table: np.ndarray, mass: float, core: float, largest: float) -> float:
    """The outermost R at which the mean deflection falls below R."""

    def is_inside(radius: float) -> bool:
        return _mean_deflection(table, mass, core, radius) >= radius

    step = max(0.5, largest / 256)
    if is_inside(largest):
        raise NoEinsteinRadius
    low = largest
    while low > 0 and not is_inside(low):
        low -= step
    if low <= 0:
        raise NoEinsteinRadius
    high = low + step
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if is_inside(middle) else (low, middle)
    return low


# ---------------------------------------------------------------- bounds of ∂²ψ


def _bounds(table: np.ndarray, mass: float, core: float) -> np.ndarray:
    """A spline's values are means of its coefficients, and those of ∂²ψ are second differences of ψ's.

    To each is added the monopole's ∂²ψ in its place. The mean of these differs from that at the point by no more than
    half of their spread's square times its second derivative, 6 M / (R² + c²)².
    """
    from scipy import ndimage

    x = np.arange(len(table)) - (len(table) - 1) / 2
    y = x[:, None]
    square = x * x + y * y + core * core
    tail = abs(mass) * 6.0 / square**2
    along_x, along_y = _second(table, 1), _second(table, 0)
    mixed = np.zeros_like(table)
    mixed[:-1, :-1] = table[1:, 1:] - table[1:, :-1] - table[:-1, 1:] + table[:-1, :-1]
    xm, ym = x + 0.5, y + 0.5  # where the mixed differences lie
    square_m = xm * xm + ym * ym + core * core
    xx = abs(along_x + mass * (square - 2 * x * x) / square**2)
    yy = abs(along_y + mass * (square - 2 * y * y) / square**2)
    xy = abs(mixed - mass * 2 * xm * ym / square_m**2)
    reach = 2 * (HALF + 1) + 1
    highest = ndimage.maximum_filter(np.maximum(xx, yy) + tail, reach, mode="nearest")
    highest += ndimage.maximum_filter(xy + tail, reach, mode="nearest")
    levels = []
    for level in range(LEVELS):
        side = _cell(level)
        count = -(-len(table) // side)
        padded = np.pad(highest, (0, count * side - len(table)), mode="edge")
        most = padded.reshape(count, side, count, side).max(axis=(1, 3))
        levels.append(ndimage.maximum_filter(most, 5, mode="nearest").ravel())
    return np.concatenate(levels)


def _cell(level: int) -> int:
    return NEAREST // 2 << level


def _second(table: np.ndarray, axis: int) -> np.ndarray:
    return np.roll(table, 1, axis) - 2 * table + np.roll(table, -1, axis)


# ---------------------------------------------------------------- the lens


@dataclass(frozen=True)
class MapRows:
    """Which map each of B rows has: the maps in one table, and (B,) of where a row's is and what belongs to it.

    start, bounds: the place of its first coefficient and bound. size: N. own: its Einstein radius, map px.
    mass, core2: M and c² of its monopole.
    """

    table: Table
    start: Array
    bounds: Array
    size: Array
    own: Array
    mass: Array
    core2: Array

    @classmethod
    def of(cls, maps: Sequence[MappedPotential], row: np.ndarray) -> MapRows:
        """row: (B,), which of the maps."""
        parts = [part for one in maps for part in (one.coefficients.ravel(), one.bounds)]
        starts = np.cumsum([0, *map(len, parts)])[:-1].astype(np.float64)
        about = np.array([(len(m.coefficients), m.einstein_radius, m.mass, m.core**2) for m in maps]).T
        columns = (starts[::2], starts[1::2], *about)
        return cls(Table(np.concatenate(parts)), *(np.ascontiguousarray(column[row]) for column in columns))

    def _cells_at(self, x: Array, y: Array) -> tuple[Array, Array, Array]:
        """Of places from the middle: that of the first coefficient which they take, and their way into the cell."""
        middle = (self.size - 1.0) * 0.5
        (i, s), (j, t) = cell(x + middle, self.size, DEGREE), cell(y + middle, self.size, DEGREE)
        return self.start + (j - float(HALF)) * self.size + (i - float(HALF)), s, t

    def gradient(self, x: Array, y: Array) -> tuple[Array, Array]:
        """∇ψ at map px from the middle."""
        place, s, t = self._cells_at(x, y)
        across, slopes_x = weights_and_slopes(s, DEGREE)
        up, slopes_y = weights_and_slopes(t, DEGREE)
        along_x = along_y = 0.0
        for k in range(DEGREE + 1):
            line = place + float(k) * self.size
            numbers = [self.table.at(line + float(n)) for n in range(DEGREE + 1)]
            along_x = weighted(numbers, slopes_x) * up[k] + along_x
            along_y = weighted(numbers, across) * slopes_y[k] + along_y
        monopole = self.mass / (x * x + y * y + self.core2)
        return along_x * float(DEGREE) + monopole * x, along_y * float(DEGREE) + monopole * y

    def potential(self, x, y):
        """ψ, for arrays and for `Series`: these are within one cell of the spline."""
        place, s, t = self._cells_at(*(axis.c[0] if isinstance(axis, Series) else axis for axis in (x, y)))
        across, up = weights(_moved(x, s), DEGREE), weights(_moved(y, t), DEGREE)
        total = 0.0
        for k in range(DEGREE + 1):
            line = place + float(k) * self.size
            total = weighted([self.table.at(line + float(n)) for n in range(DEGREE + 1)], across) * up[k] + total
        return total + log(x * x + y * y + self.core2) * (0.5 * self.mass)

    def curvature(self, x: Array, y: Array, distance: Array) -> Array:
        """A bound of the norm of ∂²ψ within `distance` map px."""
        wide, count, start = distance * 0.0 + float(_cell(0)), self._cells(0), self.bounds
        first = start
        for level in range(1, LEVELS):
            first, wider = first + self._cells(level - 1) ** 2, distance > float(2 * _cell(level - 1))
            wide, start = where(wider, float(_cell(level)), wide), where(wider, first, start)
            count = where(wider, self._cells(level), count)
        i, j = (self._clipped((axis + (self.size - 1.0) * 0.5) / wide, count) for axis in (x, y))
        return self.table.at(start + j * count + i)

    def _cells(self, level: int) -> Array:
        return -namespace(self.size).floor(self.size * (-1.0 / _cell(level)))

    def _clipped(self, x: Array, count: Array) -> Array:
        x = where(x > 0.0, x, 0.0)
        x = namespace(x).floor(x)
        return where(x < count - 1.0, x, count - 1.0)


def _moved(axis, start: Array):
    """A number that is `start` where the axis was at its own start."""
    return Series([start, *axis.c[1:]]) if isinstance(axis, Series) else start


@model
class Map(CentredLens):
    """A map of ψ or κ, stretched to the Einstein radius and turned by `orientation`: ψ(ξ) = s² ψ_map(ξ/s).

    s is the Einstein radius over the map's own: that of the circle about its middle in which the mean convergence is 1.
    """

    not_numbers = ("maps",)
    most_order = MOST_ORDER
    einstein_radius: Array
    orientation: Array
    maps: MapRows
    scale: Array = field(init=False, repr=False)
    cos: Array = field(init=False, repr=False)
    sin: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        cos, sin = cosine_and_sine(self.orientation)
        for name, value in {"scale": self.einstein_radius / self.maps.own, "cos": cos, "sin": sin}.items():
            object.__setattr__(self, name, value)

    def _turned(self, x, y):
        return (x * self.cos + y * self.sin) / self.scale, (y * self.cos - x * self.sin) / self.scale

    def potential(self, x, y):
        return self.maps.potential(*self._turned(x, y)) * self.scale**2

    def deflection(self, x: Array, y: Array) -> tuple[Array, Array]:
        along_u, along_v = self.maps.gradient(*self._turned(x, y))
        along_u, along_v = along_u * self.scale, along_v * self.scale
        return along_u * self.cos - along_v * self.sin, along_u * self.sin + along_v * self.cos

    def curvature(self, x: Array, y: Array, distance: float) -> Array:
        return self.maps.curvature(*self._turned(x, y), distance / self.scale)
