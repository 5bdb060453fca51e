"""From a point of the picture to the source: raytracing through a lens, or its roulette expansion.

Each mapping takes image-plane points (x, y) to their offset from the source centre, in px.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from droulette.physics.amplitudes import orders
from droulette.physics.lenses import Lens


class Mapping:
    def offset(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Source-plane point minus source centre; (x, y) broadcast with the (B, …) parameters."""
        raise NotImplementedError

    def stretch(self, x: Tensor, y: Tensor, distance: float) -> Tensor:
        """An upper bound of |offset(p) − offset(q)| / |p − q| within `distance` px of (x, y)."""
        raise NotImplementedError

    def visible(self, x: Tensor, y: Tensor) -> Tensor | None:
        """Where the picture is drawn at all; None for everywhere."""
        return None

    def singular(self, x: Tensor, y: Tensor) -> Tensor | None:
        """Points where the offset has no single value; None where there are none."""
        return None


@dataclass(frozen=True)
class Raytrace(Mapping):
    """ξ − ∇ψ(ξ) − η."""

    lens: Lens
    eta_x: Tensor
    eta_y: Tensor

    def offset(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        dx, dy = self.lens.deflection(x, y)
        return (x - self.eta_x) - dx, (y - self.eta_y) - dy

    def stretch(self, x: Tensor, y: Tensor, distance: float) -> Tensor:
        return 1 + self.lens.curvature(x, y, distance)

    def singular(self, x: Tensor, y: Tensor) -> Tensor | None:
        found = torch.zeros((), dtype=torch.bool, device=x.device)
        for cx, cy in self.lens.centres():
            found = found | ((x == cx) & (y == cy))
        return found


@dataclass(frozen=True)
class Roulette(Mapping):
    """r + ∇Σ_{m ≥ 1} r^{m+1}/(m+1)! Σ_s [α^m_s cos sφ + β^m_s sin sφ], with r about ξ₀.

    Held as two polynomials: `px[k][j]` and `py[k][j]` are the (B,) coefficients of X^j Y^k, X and Y about ξ₀.
    """

    xi_x: Tensor
    xi_y: Tensor
    px: tuple[tuple[Tensor, ...], ...]
    py: tuple[tuple[Tensor, ...], ...]
    mask_radius: Tensor | None = None

    @classmethod
    def from_amplitudes(
        cls,
        xi_x: Tensor,
        xi_y: Tensor,
        alpha: Tensor,
        beta: Tensor,
        nterms: int,
        mask_radius: Tensor | None = None,
    ) -> Roulette:
        """The expansion about (xi_x, xi_y): (B,), with amplitudes (len(orders(nterms)), B)."""
        size = max(nterms, 1) + 1
        px = [[torch.zeros_like(xi_x) for _ in range(size - k)] for k in range(size)]
        py = [[torch.zeros_like(xi_x) for _ in range(size - k)] for k in range(size)]
        px[0][1], py[1][0] = torch.ones_like(xi_x), torch.ones_like(xi_x)
        for (m, s), a, b in zip(orders(nterms), alpha, beta, strict=True):
            if m == 0:
                continue  # the constant −∇ψ(ξ₀) is what places η, which the offset is relative to
            for (j, k), (gx, gy) in _gradient_monomials(m, s).items():
                px[k][j] = px[k][j] + (a * gx.real + b * gx.imag)
                py[k][j] = py[k][j] + (a * gy.real + b * gy.imag)
        return cls(xi_x, xi_y, tuple(map(tuple, px)), tuple(map(tuple, py)), mask_radius)

    def offset(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x, y = x - self.xi_x, y - self.xi_y
        return _horner(self.px, x, y), _horner(self.py, x, y)

    def stretch(self, x: Tensor, y: Tensor, distance: float) -> Tensor:
        # Σ |coefficient| × the largest value of the monomial's derivative within the distance.
        x, y = (x - self.xi_x).abs() + distance, (y - self.xi_y).abs() + distance
        total = 0.0
        for poly in (self.px, self.py):
            for k, row in enumerate(poly):
                for j, c in enumerate(row):
                    if j:
                        total = total + c.abs() * j * x ** (j - 1) * y**k
                    if k:
                        total = total + c.abs() * k * x**j * y ** (k - 1)
        return total

    def visible(self, x: Tensor, y: Tensor) -> Tensor | None:
        if self.mask_radius is None:
            return None
        return (x - self.xi_x) ** 2 + (y - self.xi_y) ** 2 < self.mask_radius**2


def _horner(poly: tuple[tuple[Tensor, ...], ...], x: Tensor, y: Tensor) -> Tensor:
    """Σ p[k][j] x^j y^k. On a tile x is a row and y a column, so the inner sums cost a row only."""
    total: Tensor | float = 0.0
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


def convergence_radius(lens: Lens, xi_x: Tensor, xi_y: Tensor) -> Tensor:
    """Distance from ξ₀ to the nearest lens centre, (B,) px: where the roulette series stops converging."""
    return torch.stack([((xi_x - cx) ** 2 + (xi_y - cy) ** 2).sqrt() for cx, cy in lens.centres()]).amin(0)
