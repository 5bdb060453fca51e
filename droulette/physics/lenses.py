"""Lens potentials. A lens is its potential ψ(x, y); whatever else is asked of it follows from that.

To add one, write a frozen dataclass whose fields are (B,) tensors, in the order in which a cluster string
lists them, give it `potential`, and enter it in `LENSES`. A closed `deflection` makes it faster, a `curvature`
bound lets the renderer skip what stays black; neither is needed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from droulette.physics.series import Series, asinh, atan, log, sqrt

TINY = 1e-300  # px²: makes 0/0 at the centre of an isothermal lens 0, the mean over the directions of approach


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
        r2 = x * x + y * y
        scale = torch.where(r2 > 0, self.einstein_radius**2 / r2, math.inf)
        return scale * x, scale * y  # NaN at the mass itself, which no ray passes

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
        scale = self.einstein_radius / (x * x + y * y + TINY).sqrt_()
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
    f: Tensor = field(init=False, repr=False)
    f_prime: Tensor = field(init=False, repr=False)
    scale: Tensor = field(init=False, repr=False)
    cos: Tensor = field(init=False, repr=False)
    sin: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        f = self.axis_ratio.clamp_min(1e-6)  # flatter, f′ would round to 1 and atanh to infinity
        # At f = 1 the formula is 0/0; the floor gives its limit, the SIS, to the last digit.
        f_prime = ((1 - f) * (1 + f)).sqrt().clamp_min(1e-8)
        angle = torch.deg2rad(self.orientation)
        derived = {
            "f": f,
            "f_prime": f_prime,
            "scale": self.einstein_radius * f.sqrt() / f_prime,
            "cos": angle.cos(),
            "sin": angle.sin(),
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)

    def _rotate(self, x, y):
        return x * self.cos + y * self.sin, y * self.cos - x * self.sin

    def potential(self, x, y):
        u, v = self._rotate(x, y)
        radius = sqrt(u * u + v * v)
        q = sqrt(u * u + v * v * self.f**2)
        return (u * asinh(u / radius * (self.f_prime / self.f)) + v * atan(v / q * self.f_prime)) * self.scale

    def deflection(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        # ψ is homogeneous of degree 1, so the two terms of the potential are u ∂ψ/∂u and v ∂ψ/∂v. Every pixel
        # comes through here: in place where it can be, each step a pass over memory.
        u, v = self._rotate(x, y)
        w = v * self.f
        q = torch.addcmul(u.new_tensor(TINY), u, u).addcmul_(w, w).sqrt_()
        per_q = torch.div(self.f_prime, q, out=q)
        along_u, along_v = u.mul_(per_q).atanh_(), v.mul_(per_q).atan_()
        cos, sin = self.scale * self.cos, self.scale * self.sin
        return (along_u * cos).addcmul_(along_v, -sin), (along_u * sin).addcmul_(along_v, cos)

    def curvature(self, x: Tensor, y: Tensor, distance: float) -> Tensor:
        # The eigenvalues of ∂²ψ are 0 and 2κ = θ_E √f / q, and q changes by at most a pixel per pixel.
        u, v = self._rotate(x, y)
        nearest = (u * u + (self.f * v) ** 2).sqrt() - distance
        return torch.where(nearest > 0, self.einstein_radius * self.f.sqrt() / nearest, math.inf)


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
