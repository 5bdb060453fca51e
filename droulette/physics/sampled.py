"""Lenses known only as a map: ψ on the pixel grid, differentiated numerically there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from droulette.physics.arrays import Array, namespace
from droulette.physics.batches import take
from droulette.physics.elementary import where
from droulette.physics.lenses import Lens
from droulette.physics.series import Series
from droulette.physics.tables import Table

HALF_WIDTH = 5  # px: derivatives come from the polynomial through (2·5 + 1)² grid points


@dataclass(frozen=True, init=False, eq=False)
class PotentialMap:
    """ψ of B lenses on an N×N pixel grid, (B, N, N), and its gradient there.

    Pixel (i, j) is x = j − N/2, y = N/2 − i. The gradient is that of the polynomial through 2·HALF_WIDTH + 1
    neighbours along each axis (of fewer near the border, where the stencil would leave the map).
    """

    size: int
    psi: Table
    psi_x: Table
    psi_y: Table

    def __init__(self, lens: Lens, count: int, size: int) -> None:
        steps = np.arange(size, dtype=np.float64) - size / 2
        x, y = np.broadcast_arrays(steps[None, None, :], -steps[None, :, None], np.empty((count, 1, 1)))[:2]
        # A singular lens has its centre on a pixel of the grid; its potential is finite, its formula 0/0.
        x = np.where((x == 0) & (y == 0), 1e-9, x)
        with np.errstate(all="ignore"):
            psi = lens.potential(x, y.copy())
        if not np.isfinite(psi).all():  # a constituent of a cluster has its centre on another pixel
            psi = np.where(np.isfinite(psi), psi, lens.potential(x + 1e-9, y.copy()))
        maps = {"psi": psi, "psi_x": _differentiate(psi, 2), "psi_y": -_differentiate(psi, 1)}
        for name, values in {"size": size, **{name: Table(values) for name, values in maps.items()}}.items():
            object.__setattr__(self, name, values)


def _differentiate(values: np.ndarray, axis: int) -> np.ndarray:
    """d/dj along an axis."""
    result = np.gradient(values, axis=axis)
    weights = _central_weights(min(HALF_WIDTH, (values.shape[axis] - 1) // 2))
    half, count = len(weights) // 2, values.shape[axis]
    parts = np.moveaxis(values, axis, -1)
    middle = 0.0
    for k, weight in enumerate(weights):
        middle = weight * parts[..., k : count - 2 * half + k] + middle
    np.moveaxis(result, axis, -1)[..., half : count - half] = middle
    return result


def _central_weights(half: int) -> list[float]:
    """Weights w_k with f′(0) ≈ Σ w_k f(k − half), exact for polynomials of degree 2·half (Fornberg 1988)."""
    one_sided = [
        (-1) ** (k + 1) * math.comb(2 * half, half - k) / (k * math.comb(2 * half, half)) for k in range(1, half + 1)
    ]
    return [-w for w in reversed(one_sided)] + [0.0, *one_sided]


@dataclass(frozen=True)
class Sampled(Lens):
    """The lens whose part of a potential map begins at `start`.

    Deflections between pixels are interpolated bilinearly in the gradient's maps; higher derivatives come from
    the polynomial through the pixels around the point.
    """

    start: Array
    centre_x: tuple[Array, ...]
    centre_y: tuple[Array, ...]
    map: PotentialMap = field(repr=False)

    @classmethod
    def of(cls, lens: Lens, count: int, size: int) -> Sampled:
        """Sample B = count lenses with (B,) parameters on a size × size grid."""
        rows = np.arange(count)
        xs, ys = zip(*lens.centres(), strict=True)
        start = rows * float(size * size)
        return cls(start, tuple(xs), tuple(ys), PotentialMap(take(lens, rows, 2), count, size))

    def parts(self) -> list[tuple[Lens, float, float]]:
        return [(self, 0.0, 0.0)]

    def centres(self) -> list[tuple[Array, Array]]:
        return list(zip(self.centre_x, self.centre_y, strict=True))

    def curvature(self, x: Array, y: Array, distance: float) -> Array:
        return (x + y) * 0.0 + math.inf

    def deflection(self, x: Array, y: Array) -> tuple[Array, Array]:
        size, floor = self.map.size, namespace(x).floor
        column, row = _clip(x + size / 2, size - 1.0), _clip(size / 2 - y, size - 1.0)
        left, top = _clip(floor(column), size - 2.0), _clip(floor(row), size - 2.0)
        a, b, place = column - left, row - top, self.start + (top * float(size) + left)
        result = []
        for at in (self.map.psi_x.at, self.map.psi_y.at):
            upper = at(place) * (1 - a) + at(place + 1.0) * a
            lower = at(place + float(size)) * (1 - a) + at(place + (size + 1.0)) * a
            result.append(upper * (1 - b) + lower * b)
        return result[0], result[1]

    def potential(self, x, y):
        start_x, start_y = (x.c[0], y.c[0]) if isinstance(x, Series) else (x, y)
        xp = namespace(start_x)
        half, size = HALF_WIDTH, self.map.size
        column = xp.clip(xp.round(start_x + size / 2), float(half), size - 1.0 - half)
        row = xp.clip(xp.round(size / 2 - start_y), float(half), size - 1.0 - half)
        across = _lagrange(x - (column - size / 2), half)
        up = _lagrange(y - (size / 2 - row), half)
        place = self.start + (row * float(size) + column)
        total = 0.0
        for q in range(2 * half + 1):
            line = 0.0
            for p in range(2 * half + 1):
                line = across[p] * self.map.psi.at(place + float((half - q) * size + (p - half))) + line
            total = up[q] * line + total
        return total


def _clip(x: Array, most: float) -> Array:
    """To 0…most; NaN, of a ray through a point mass, to 0."""
    x = where(x > 0.0, x, 0.0)
    return where(x > most, most, x)


def _lagrange(t, half: int) -> list:
    """The 2·half + 1 polynomials that are 1 at one of −half…half and 0 at the others, at t."""
    nodes = range(-half, half + 1)
    basis = []
    for node in nodes:
        value = 1.0
        for other in nodes:
            if other != node:
                value = (t - float(other)) * (1.0 / (node - other)) * value
        basis.append(value)
    return basis
