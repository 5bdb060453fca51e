"""Lens potentials. A lens is its potential ψ(x, y); whatever else is asked of it follows from that.

Each is a `model`: a frozen dataclass with a `potential`, whose fields are (B,) arrays, in the order in which a cluster
string lists them. `quantities.LENS` describes fields that several share; any other is a `parameter`, described here.
A closed `deflection` and a closed `curvature` bound are faster than those that follow from the potential.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from droulette.physics.arrays import Array
from droulette.physics.batches import leaves
from droulette.physics.elementary import atan_ratio, atanh_ratio, cosine_and_sine, where
from droulette.physics.intervals import hessian_bound
from droulette.physics.series import Series, asinh, atan, log, sqrt
from droulette.registry import LENSES as LENSES
from droulette.registry import model

TINY = 1e-300  # px²: makes 0/0 at the centre of an isothermal lens 0, the mean over the directions of approach


class Lens:
    """Base of all lenses. Coordinates are (B, …) arrays in pixels about the origin of the lens plane.

    most_order: the largest order m of the amplitudes that it has; None: any.
    perturbation: a field that is added to a lens and has no Einstein radius of its own, an external shear for example.
    regular: whether ψ is smooth everywhere, its origin included.
    """

    kind, not_numbers, most_order, perturbation, regular = "lens", (), None, False, False

    def potential(self, x, y):
        """ψ(x, y) in px², for arrays and for `Series`."""
        raise NotImplementedError

    def deflection(self, x: Array, y: Array) -> tuple[Array, Array]:
        """∇ψ in px, here from two first-order Taylor passes through `potential`."""
        along_x = self.potential(Series.line(x, 1.0, 1), Series.line(y, 0.0, 1))
        along_y = self.potential(Series.line(x, 0.0, 1), Series.line(y, 1.0, 1))
        return along_x.c[1] + x * 0.0, along_y.c[1] + x * 0.0  # arrays, where ψ does not depend on x or y too

    def curvature(self, x: Array, y: Array, distance: float) -> Array:
        """An upper bound of the norm of ∂²ψ within `distance` px of (x, y), here by interval arithmetic."""
        return hessian_bound(self.potential, x, y, distance)

    def reach(self) -> Array:
        """Radius in px within which the lens's critical curves lie where it is alone."""
        return self.einstein_radius

    def parts(self) -> list[tuple[Lens, Array, Array]]:
        """The constituents that ψ is the sum of, each with the place (x, y) of its origin, (B,) px."""
        raise NotImplementedError

    def centres(self) -> list[tuple[Array, Array]]:
        """Where ψ may be singular: one (x, y) of (B,) arrays for each such part. Of a regular lens, its origin."""
        parts = self.parts()
        return [(x, y) for part, x, y in parts if not part.regular] or [(x, y) for _, x, y in parts[:1]]


class CentredLens(Lens):
    """A lens whose one centre is its origin."""

    def parts(self) -> list[tuple[Lens, Array, Array]]:
        zero = next(leaves(self)) * 0.0
        return [(self, zero, zero)]


@model
class PointMass(CentredLens):
    """ψ = θ_E² ln R."""

    names = ("PM", "PointMass")
    einstein_radius: Array

    def potential(self, x, y):
        return self.einstein_radius**2 * 0.5 * log(x * x + y * y)

    def deflection(self, x: Array, y: Array) -> tuple[Array, Array]:
        # At the mass itself infinity times 0 gives NaN: a ray that does not pass is drawn black.
        scale = self.einstein_radius**2 / (x * x + y * y)
        return scale * x, scale * y

    def curvature(self, x: Array, y: Array, distance: float) -> Array:
        nearest = sqrt(x * x + y * y) - distance
        return where(nearest > 0.0, self.einstein_radius**2 / (nearest * nearest), math.inf)


@model
class SIS(CentredLens):
    """Singular isothermal sphere: ψ = θ_E R."""

    einstein_radius: Array

    def potential(self, x, y):
        return self.einstein_radius * sqrt(x * x + y * y)

    def deflection(self, x: Array, y: Array) -> tuple[Array, Array]:
        scale = self.einstein_radius / sqrt(x * x + y * y + TINY)
        return scale * x, scale * y

    def curvature(self, x: Array, y: Array, distance: float) -> Array:
        nearest = sqrt(x * x + y * y) - distance
        return where(nearest > 0.0, self.einstein_radius / nearest, math.inf)


@model
class SIE(CentredLens):
    """Singular isothermal ellipsoid (Kormann, Schneider & Bartelmann 1994, A&A 284, 285).

    ψ = θ_E (√f / f′) [u asinh(f′u / fR) + v asin(f′v / R)], f′ = √(1 − f²), with (u, v) the coordinates rotated
    by −orientation. With q = √(u² + f²v²), asin(f′v / R) = atan(f′v / q) and asinh(f′u / fR) = atanh(f′u / q).
    """

    einstein_radius: Array
    axis_ratio: Array
    orientation: Array
    f: Array = field(init=False, repr=False)
    f_prime: Array = field(init=False, repr=False)
    scale: Array = field(init=False, repr=False)
    cos: Array = field(init=False, repr=False)
    sin: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # Flatter, f′ would round to 1 and atanh to infinity.
        f = where(self.axis_ratio < 1e-6, 1e-6, self.axis_ratio)
        # At f = 1 the formula is 0/0; the floor gives its limit, the SIS, to the last digit.
        f_prime = sqrt((1 - f) * (1 + f))
        f_prime = where(f_prime < 1e-8, 1e-8, f_prime)
        cos, sin = cosine_and_sine(self.orientation)
        scale = self.einstein_radius * sqrt(f) / f_prime
        for name, value in {"f": f, "f_prime": f_prime, "scale": scale, "cos": cos, "sin": sin}.items():
            object.__setattr__(self, name, value)

    def potential(self, x, y):
        u, v = x * self.cos + y * self.sin, y * self.cos - x * self.sin
        uu, vv = u * u, v * v
        radius, q = sqrt(uu + vv), sqrt(uu + vv * self.f**2)
        return (u * asinh(u / radius * (self.f_prime / self.f)) + v * atan(v / q * self.f_prime)) * self.scale

    def deflection(self, x: Array, y: Array) -> tuple[Array, Array]:
        # ψ is homogeneous of degree 1, so that the two terms of the potential are u ∂ψ/∂u and v ∂ψ/∂v.
        u, v = x * self.cos + y * self.sin, y * self.cos - x * self.sin
        w = v * self.f
        q = sqrt(u * u + w * w + TINY)
        along_u = self.scale * atanh_ratio(self.f_prime * u, q)
        along_v = self.scale * atan_ratio(self.f_prime * v, q)
        return along_u * self.cos - along_v * self.sin, along_u * self.sin + along_v * self.cos

    def reach(self) -> Array:
        return self.einstein_radius / sqrt(self.axis_ratio)

    def curvature(self, x: Array, y: Array, distance: float) -> Array:
        # The eigenvalues of ∂²ψ are 0 and 2κ = θ_E √f / q, and q changes by at most a pixel per pixel.
        u, w = x * self.cos + y * self.sin, (y * self.cos - x * self.sin) * self.f
        nearest = sqrt(u * u + w * w) - distance
        return where(nearest > 0.0, self.scale * self.f_prime / nearest, math.inf)


@dataclass(frozen=True)
class Cluster(Lens):
    """ψ = Σ_k ψ_k(ξ − c_k)."""

    lenses: tuple[Lens, ...]
    x: tuple[Array, ...]
    y: tuple[Array, ...]

    def parts(self) -> list[tuple[Lens, Array, Array]]:
        return [
            (part, cx + x, cy + y)
            for lens, cx, cy in zip(self.lenses, self.x, self.y, strict=True)
            for part, x, y in lens.parts()
        ]

    def potential(self, x, y):
        total = 0.0
        for lens, cx, cy in self.parts():
            total = lens.potential(x - cx, y - cy) + total
        return total

    def deflection(self, x: Array, y: Array) -> tuple[Array, Array]:
        total_x, total_y = 0.0, 0.0
        for lens, cx, cy in self.parts():
            dx, dy = lens.deflection(x - cx, y - cy)
            total_x, total_y = dx + total_x, dy + total_y
        return total_x, total_y

    def curvature(self, x: Array, y: Array, distance: float) -> Array:
        total = 0.0
        for lens, cx, cy in self.parts():
            total = lens.curvature(x - cx, y - cy, distance) + total
        return total
