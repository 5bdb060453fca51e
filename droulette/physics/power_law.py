"""The elliptical power law."""

from __future__ import annotations

import math
from dataclasses import field

from droulette.physics.arrays import Array
from droulette.physics.elementary import cosine_and_sine, where
from droulette.physics.lenses import TINY, CentredLens
from droulette.physics.series import Series, power, solve, sqrt
from droulette.quantities import parameter
from droulette.registry import model

TERMS = 40
FLATTEST = 0.01


@model
class EPL(CentredLens):
    """Elliptical power law (Tessore & Metcalf 2015, A&A 580, A79): κ = ½ (3 − γ) (θ_E √f / √(u² + f²v²))^(γ − 1).

    γ is the slope of the density in three dimensions, and 2 gives the `SIE`. As lenstronomy's `EPL` with
    `theta_E` = θ_E, `gamma` = γ, `q` = f and the angle orientation + 90° of the major axis.

    The deflection is right to 1e-13 for f ≥ 0.1, to 1e-9 at 0.05 and to 1e-5 at 0.02. An f below 0.01 is taken
    for 0.01.
    """

    einstein_radius: Array
    axis_ratio: Array
    orientation: Array
    slope: Array = parameter(
        1.8, 2.2, "slope γ of the density; 2 is the SIE", gt=1, le=2.999, symbol="γ", tex=r"\gamma", spin=0,
        smallest=1.01,
    )  # fmt: skip
    f: Array = field(init=False, repr=False)
    t: Array = field(init=False, repr=False)
    semi_minor: Array = field(init=False, repr=False)
    cos: Array = field(init=False, repr=False)
    sin: Array = field(init=False, repr=False)
    terms: tuple[Array, ...] = field(init=False, repr=False)
    steepest: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        f = where(self.axis_ratio < FLATTEST, FLATTEST, self.axis_ratio)
        t = self.slope - 1.0
        cos, sin = cosine_and_sine(self.orientation)
        values = {"f": f, "t": t, "cos": cos, "sin": sin, "semi_minor": self.einstein_radius * sqrt(f)}
        for name, value in (values | {"terms": _terms(t)}).items():
            object.__setattr__(self, name, value)
        # |∂²ψ| ≤ 2κ + |1 − t| |∇ψ| / R, and of the points of an ellipse of κ, ∇ψ is largest on the minor axis: the
        # signs of the series in z alternate.
        largest = abs(self._gradient(t * 0.0 + 1.0, t * 0.0)[0]) / power(self.semi_minor, t)
        object.__setattr__(self, "steepest", (2.0 - t) + abs(1.0 - t) * largest)

    def potential(self, x, y):
        """By ψ's degree 2 − t: (2 − t) ψ = ξ·∇ψ. Along a line, ∇ψ has a linear differential equation."""
        u, v = x * self.cos + y * self.sin, y * self.cos - x * self.sin
        if not isinstance(u, Series):
            along_u, along_v = self._gradient(u, v)
            return (u * along_u + v * along_v) / (2.0 - self.t)
        # With ζ = v + iu, α = ∂ψ/∂v + i ∂ψ/∂u is of degree 1 − t, and ∂α/∂ζ = κ: ζ̄ dα = (1 − t) α dζ̄ + κ (ζ̄ dζ − ζ dζ̄).
        square, du, dv = u * u + v * v, u.derivative(), v.derivative()
        outwards = (u * du + v * dv) / square * (1.0 - self.t)
        turn = du * v - u * dv
        around = turn / square * (1.0 - self.t)
        convergence = power((u * u + v * v * self.f**2) / self.semi_minor**2, -0.5 * self.t) * (2.0 - self.t)
        sheared = convergence * turn / square
        along_u, along_v = self._gradient(u.c[0], v.c[0])
        start = (u.c[0] * along_u + v.c[0] * along_v) / (2.0 - self.t)
        zero = Series.line(0.0, 0.0, len(u.c) - 1)
        return solve(
            [along_u, along_v, start],
            [[outwards, -around, zero], [around, outwards, zero], [du, dv, zero]],
            [sheared * v, -(sheared * u), zero],
        )[2]

    def _gradient(self, u: Array, v: Array) -> tuple[Array, Array]:
        """∂ψ/∂u and ∂ψ/∂v: α = 2/(1 + f) (b/√(u² + f²v²))^t (fv + iu) F, with b = θ_E √f and F as in `_terms`."""
        uu, vv, f = u * u, v * v, self.f
        square = uu + vv * f**2 + TINY
        # 1 + z is the fraction 2f/(1 + f) of (u² + fv² + i(1 − f)uv) / (u² + f²v²).
        inverse = 2.0 * f / (1.0 + f) / square
        real, imaginary = (uu + vv * f) * inverse, u * v * ((1.0 - f) * inverse)
        size = sqrt(real * real + imaginary * imaginary)
        root = sqrt(0.5 * (size + real) + TINY)  # the real part of √(1 + z), which is not negative
        inverse = 1.0 / (size + 2.0 * root + 1.0)
        w_real, w_imaginary = (size - 1.0) * inverse, imaginary / root * inverse
        # Clenshaw's way to sum with real numbers: of w, its double real part and its square are all that is needed.
        double, minus_square = 2.0 * w_real, -(w_real * w_real + w_imaginary * w_imaginary)
        first, second = self.terms[-1], 0.0
        for term in reversed(self.terms[1:-1]):
            first, second = first * double + second * minus_square + term, first
        f_real = first * w_real + second * minus_square + self.terms[0]
        f_imaginary = first * w_imaginary
        scale = 2.0 / (1.0 + f) * power(self.semi_minor**2 / square, 0.5 * self.t)
        w = f * v
        return scale * (u * f_real + w * f_imaginary), scale * (w * f_real - u * f_imaginary)

    def deflection(self, x: Array, y: Array) -> tuple[Array, Array]:
        u, v = x * self.cos + y * self.sin, y * self.cos - x * self.sin
        along_u, along_v = self._gradient(u, v)
        return along_u * self.cos - along_v * self.sin, along_u * self.sin + along_v * self.cos

    def reach(self) -> Array:
        # On the major axis ∂²ψ/∂u² = 2κ − (1 − t) (∂ψ/∂v) / v, which falls as v^{−t}.
        zero = self.t * 0.0
        convergence = (2.0 - self.t) * power(self.semi_minor / self.f, self.t)
        across = convergence - (1.0 - self.t) * self._gradient(zero, zero + 1.0)[1]
        return power(across, 1.0 / self.t)

    def curvature(self, x: Array, y: Array, distance: float) -> Array:
        # q = √(u² + f²v²) changes by at most a pixel per pixel.
        u, w = x * self.cos + y * self.sin, (y * self.cos - x * self.sin) * self.f
        nearest = sqrt(u * u + w * w) - distance
        ratio = self.semi_minor / where(nearest > 0.0, nearest, 1.0)
        return where(nearest > 0.0, self.steepest * power(ratio, self.t), math.inf)


def _terms(t: Array) -> tuple[Array, ...]:
    """g_n of F = 2F1(1, t/2; 2 − t/2; −z) = Σ g_n w^n, with w = (√(1 + z) − 1) / (√(1 + z) + 1).

    z = (1 − f) / (1 + f) e^{2iφ}. F is singular for z < −1 alone, which w brings to the unit circle, and z to |w| ≤ 0.4
    for f = 0.1: there 40 terms do what 150 of the series in z do. The g_n follow from F's differential equation,
    2w (1 − w)² F′ + [(2 − t) (1 + w²) + (6t − 4) w] F = (2 − t) (1 − w)².
    """
    terms = [t * 0.0 + 1.0]
    for n in range(1, TERMS):
        total = (4.0 - 6.0 * t) * terms[-1]
        if n > 1:
            total = total + (2.0 * n - 6.0 + t) * terms[-2]
        if n < 3:
            total = total + (-2.0 if n == 1 else 1.0) * (2.0 - t)
        terms.append(total / (2.0 * n + 2.0 - t))
    return tuple(terms)
