"""From a point of the picture to the source: raytracing through a lens, or its roulette expansion.

Each mapping takes image-plane points (x, y) to their offset from the source centre, in px.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from droulette.physics.amplitudes import orders
from droulette.physics.arrays import Array
from droulette.physics.elementary import sqrt, where
from droulette.physics.lenses import Lens


class Mapping:
    def offset(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Source-plane point minus source centre; (x, y) broadcast with the (B, …) parameters."""
        raise NotImplementedError

    def stretch(self, x: Array, y: Array, distance: float) -> Array:
        """An upper bound of |offset(p) − offset(q)| / |p − q| within `distance` px of (x, y)."""
        raise NotImplementedError

    def shown(self, levels: Array, x: Array, y: Array) -> Array:
        """The grey levels of the points (x, y), 0 where nothing is to be drawn."""
        return levels

    def singular_points(self) -> list[tuple[Array, Array]]:
        """Where the offset has no single value: (x, y) of (B,) arrays."""
        return []


@dataclass(frozen=True)
class Raytrace(Mapping):
    """ξ − ∇ψ(ξ) − η."""

    lens: Lens
    eta_x: Array
    eta_y: Array

    def offset(self, x: Array, y: Array) -> tuple[Array, Array]:
        dx, dy = self.lens.deflection(x, y)
        return (x - self.eta_x) - dx, (y - self.eta_y) - dy

    def stretch(self, x: Array, y: Array, distance: float) -> Array:
        return 1 + self.lens.curvature(x, y, distance)

    def singular_points(self) -> list[tuple[Array, Array]]:
        return self.lens.centres()


@dataclass(frozen=True)
class Unlensed(Mapping):
    """Straight on, to a source at the origin."""

    def offset(self, x: Array, y: Array) -> tuple[Array, Array]:
        return x, y

    def stretch(self, x: Array, y: Array, distance: float) -> Array:
        return 1.0


@dataclass(frozen=True)
class Roulette(Mapping):
    """r + ∇Σ_{m ≥ 1} r^{m+1}/(m+1)! Σ_s [α^m_s cos sφ + β^m_s sin sφ], with r about ξ₀.

    Held as two polynomials: `px[k][j]` and `py[k][j]` are the (B,) coefficients of X^j Y^k, X and Y about ξ₀.
    """

    xi_x: Array
    xi_y: Array
    px: tuple[tuple[Array, ...], ...]
    py: tuple[tuple[Array, ...], ...]
    mask_radius: Array | None = None

    @classmethod
    def from_amplitudes(
        cls,
        xi_x: Array,
        xi_y: Array,
        alpha: Array,
        beta: Array,
        nterms: int,
        mask_radius: Array | None = None,
    ) -> Roulette:
        """The expansion about (xi_x, xi_y): (B,), with amplitudes (len(orders(nterms)), B)."""
        size = max(nterms, 1) + 1
        px = [[xi_x * 0.0 for _ in range(size - k)] for k in range(size)]
        py = [[xi_x * 0.0 for _ in range(size - k)] for k in range(size)]
        px[0][1], py[1][0] = xi_x * 0.0 + 1.0, xi_x * 0.0 + 1.0
        for (m, s), a, b in zip(orders(nterms), alpha, beta, strict=True):
            if m == 0:
                continue  # the constant −∇ψ(ξ₀) is what places η, which the offset is relative to
            for (j, k), (gx, gy) in _gradient_monomials(m, s).items():
                px[k][j] = px[k][j] + (a * gx.real + b * gx.imag)
                py[k][j] = py[k][j] + (a * gy.real + b * gy.imag)
        return cls(xi_x, xi_y, tuple(map(tuple, px)), tuple(map(tuple, py)), mask_radius)

    def offset(self, x: Array, y: Array) -> tuple[Array, Array]:
        x, y = x - self.xi_x, y - self.xi_y
        return _horner(self.px, x, y), _horner(self.py, x, y)

    def stretch(self, x: Array, y: Array, distance: float) -> Array:
        # Σ |coefficient| × the largest value of the monomial's derivative within the distance.
        x, y = abs(x - self.xi_x) + distance, abs(y - self.xi_y) + distance
        size = len(self.px)
        sums = [[abs(self.px[k][j]) + abs(self.py[k][j]) for j in range(size - k)] for k in range(size)]
        along_x = [[c * j for j, c in enumerate(row)][1:] for row in sums[:-1]]
        along_y = [[c * k for c in row] for k, row in enumerate(sums)][1:]
        return _horner(along_x, x, y) + _horner(along_y, x, y)

    def shown(self, levels: Array, x: Array, y: Array) -> Array:
        if self.mask_radius is None:
            return levels
        return where((x - self.xi_x) ** 2 + (y - self.xi_y) ** 2 < self.mask_radius**2, levels, 0.0)


def _horner(poly: Sequence[Sequence[Array]], x: Array, y: Array) -> Array:
    """Σ p[k][j] x^j y^k. On a tile x is a row and y a column, so the inner sums cost a row only."""
    total: Array | float = 0.0
    for row in reversed(poly):
        inner = row[-1]
        for c in reversed(row[:-1]):
            inner = inner * x + c
        total = total * y + inner
    return total


def _gradient_monomials(m: int, s: int) -> dict[tuple[int, int], tuple[complex, complex]]:
    """∇[r^{m+1} e^{isφ}] / (m+1)! in monomials: {(j, k): (∂x, ∂y)} for X^j Y^k.

    The real part belongs to α (cos sφ), the imaginary part to β (sin sφ).
    r^{m+1} e^{isφ} = (X² + Y²)^h (X + iY)^s with h = (m + 1 − s) / 2.
    """
    h = (m + 1 - s) // 2
    value: dict[tuple[int, int], complex] = {}
    for a in range(h + 1):
        for b in range(s + 1):
            power = (2 * (h - a) + s - b, 2 * a + b)
            value[power] = value.get(power, 0) + math.comb(h, a) * math.comb(s, b) * 1j**b
    scale = 1 / math.factorial(m + 1)
    gradient: dict[tuple[int, int], tuple[complex, complex]] = {}
    for (j, k), c in value.items():
        if j:
            gx, gy = gradient.get((j - 1, k), (0, 0))
            gradient[j - 1, k] = (gx + j * c * scale, gy)
        if k:
            gx, gy = gradient.get((j, k - 1), (0, 0))
            gradient[j, k - 1] = (gx, gy + k * c * scale)
    return {power: (complex(gx), complex(gy)) for power, (gx, gy) in gradient.items()}


def convergence_radius(lens: Lens, xi_x: Array, xi_y: Array) -> Array:
    """Distance from ξ₀ to the nearest lens centre, (B,) px: where the roulette series stops converging."""
    nearest = math.inf
    for cx, cy in lens.centres():
        distance = sqrt((xi_x - cx) ** 2 + (xi_y - cy) ** 2)
        nearest = where(distance < nearest, distance, nearest)
    return nearest
