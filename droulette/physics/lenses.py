"""Lens potentials. A lens is its potential ψ(x, y); whatever else is asked of it follows from that.

To add one, write a frozen dataclass whose fields are (B,) tensors, in the order in which a cluster string
lists them, give it `potential`, and enter it in `LENSES`. A closed `deflection` makes it faster, a `curvature`
bound lets the renderer skip what stays black; neither is needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from droulette.physics.series import Series, asinh, atan, log, sqrt

TINY = 1e-150  # px: keeps 0/0 away at a lens centre without changing any other digit


class Lens:
    """Base of all lenses. Coordinates are (B, …) tensors in pixels about the origin of the lens plane."""

    def potential(self, x, y):
        """ψ(x, y) in px², for tensors and for `Series`."""
        raise NotImplementedError

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """∇ψ in px, here from two first-order Taylor passes through `potential`."""
        x, y = torch.broadcast_tensors(x, y)
        zero, one = torch.zeros_like(x), torch.ones_like(x)
        along_x = self.potential(Series.line(x, one, 1), Series.line(y, zero, 1))
        along_y = self.potential(Series.line(x, zero, 1), Series.line(y, one, 1))
        return along_x.c[1], along_y.c[1]

    def curvature(self, x: Tensor, y: Tensor, distance: float) -> Tensor:
        """An upper bound of the norm of ∂²ψ within `distance` px of (x, y); infinite where none is known."""
        return torch.full_like(x + y, math.inf)

    def centres(self) -> list[tuple[Tensor, Tensor]]:
        """Where ψ is singular: one (x, y) of (B,) tensors for each constituent."""
        raise NotImplementedError


class _CentredLens(Lens):
    def centres(self) -> list[tuple[Tensor, Tensor]]:
        zero = torch.zeros_like(self.einstein_radius)
        return [(zero, zero)]


@dataclass(frozen=True)
class PointMass(_CentredLens):
    """ψ = θ_E² ln R."""

    einstein_radius: Tensor

    def potential(self, x, y):
        return self.einstein_radius**2 * 0.5 * log(x * x + y * y)

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.einstein_radius**2 / (x * x + y * y).clamp_min(TINY)
        return scale * x, scale * y

    def curvature(self, x: Tensor, y: Tensor, distance: float) -> Tensor:
        nearest = (x * x + y * y).sqrt() - distance
        return torch.where(nearest > 0, self.einstein_radius**2 / nearest**2, math.inf)


@dataclass(frozen=True)
class SIS(_CentredLens):
    """Singular isothermal sphere: ψ = θ_E R."""

    einstein_radius: Tensor

    def potential(self, x, y):
        return self.einstein_radius * sqrt(x * x + y * y)

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        scale = self.einstein_radius / (x * x + y * y).sqrt().clamp_min(TINY)
        return scale * x, scale * y

    def curvature(self, x: Tensor, y: Tensor, distance: float) -> Tensor:
        nearest = (x * x + y * y).sqrt() - distance
        return torch.where(nearest > 0, self.einstein_radius / nearest, math.inf)


@dataclass(frozen=True)
class SIE(_CentredLens):
    """Singular isothermal ellipsoid (Kormann, Schneider & Bartelmann 1994, A&A 284, 285).

    ψ = θ_E (√f / f′) [u asinh(f′u / fR) + v asin(f′v / R)], f′ = √(1 − f²), with (u, v) the coordinates rotated
    by −orientation. With q = √(u² + f²v²), asin(f′v / R) = atan(f′v / q) and asinh(f′u / fR) = atanh(f′u / q).
    """

    einstein_radius: Tensor
    axis_ratio: Tensor
    orientation: Tensor

    def _shape(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        f = self.axis_ratio
        # At f = 1 the formula is 0/0; the floor gives its limit, the SIS, to the last digit.
        f_prime = ((1 - f) * (1 + f)).sqrt().clamp_min(1e-8)
        angle = torch.deg2rad(self.orientation)
        return f_prime, self.einstein_radius * f.sqrt() / f_prime, angle.cos(), angle.sin()

    def potential(self, x, y):
        f, (f_prime, scale, cos, sin) = self.axis_ratio, self._shape()
        u, v = x * cos + y * sin, y * cos - x * sin
        radius = sqrt(u * u + v * v)
        q = sqrt(u * u + v * v * f**2)
        return (u * asinh(u / radius * (f_prime / f)) + v * atan(v / q * f_prime)) * scale

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        # ψ is homogeneous of degree 1, so the two terms of the potential are u ∂ψ/∂u and v ∂ψ/∂v.
        f, (f_prime, scale, cos, sin) = self.axis_ratio, self._shape()
        u, v = x * cos + y * sin, y * cos - x * sin
        per_q = f_prime / (u * u + (f * v) ** 2).sqrt().clamp_min(TINY)
        along_u = (u * per_q).clamp(-1 + 1e-15, 1 - 1e-15).atanh()
        along_v = (v * per_q).atan()
        cos, sin = scale * cos, scale * sin
        return along_u * cos - along_v * sin, along_u * sin + along_v * cos

    def curvature(self, x: Tensor, y: Tensor, distance: float) -> Tensor:
        # The eigenvalues of ∂²ψ are 0 and 2κ = θ_E √f / q, and q changes by at most a pixel per pixel.
        f, (_, _, cos, sin) = self.axis_ratio, self._shape()
        u, v = x * cos + y * sin, y * cos - x * sin
        nearest = (u * u + (f * v) ** 2).sqrt() - distance
        return torch.where(nearest > 0, self.einstein_radius * f.sqrt() / nearest, math.inf)


@dataclass(frozen=True)
class Cluster(Lens):
    """ψ = Σ_k ψ_k(ξ − c_k)."""

    lenses: tuple[Lens, ...]
    x: tuple[Tensor, ...]
    y: tuple[Tensor, ...]

    def potential(self, x, y):
        total = 0.0
        for lens, cx, cy in zip(self.lenses, self.x, self.y, strict=True):
            total = lens.potential(x - cx, y - cy) + total
        return total

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        total_x, total_y = 0.0, 0.0
        for lens, cx, cy in zip(self.lenses, self.x, self.y, strict=True):
            dx, dy = lens.deflection(x - cx, y - cy)
            total_x, total_y = dx + total_x, dy + total_y
        return total_x, total_y

    def curvature(self, x: Tensor, y: Tensor, distance: float) -> Tensor:
        total = 0.0
        for lens, cx, cy in zip(self.lenses, self.x, self.y, strict=True):
            total = lens.curvature(x - cx, y - cy, distance) + total
        return total

    def centres(self) -> list[tuple[Tensor, Tensor]]:
        return list(zip(self.x, self.y, strict=True))


LENSES: dict[str, type[Lens]] = {"PM": PointMass, "PointMass": PointMass, "SIS": SIS, "SIE": SIE}
