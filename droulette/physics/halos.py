"""Halos of dark matter and galaxies: NFW, dual pseudo-isothermal, Hernquist.

Each is a function of R², and an elliptical one the same function of a quadratic form of x and y: the ellipse is that of
the potential. Such a lens has a mass whose isophotes are flatter, dumbbells and even negative where f is small.
"""

from __future__ import annotations

import math
from dataclasses import field

from droulette.physics import elementary, series
from droulette.physics.arrays import Array
from droulette.physics.elementary import atan_ratio, atanh_ratio, cosine_and_sine, polynomial
from droulette.physics.lenses import TINY, CentredLens
from droulette.physics.series import Series, log, log1p, sqrt
from droulette.quantities import LONGEST, parameter
from droulette.registry import model

BACKWARDS = 60  # terms: each halves the error

SCALE_RADIUS = parameter(20, 200, "scale radius r_s", "px", gt=0, le=LONGEST, symbol="r_s", tex="r_s", spin=0, length=1)
CORE_RADIUS = parameter(
    0.2, 2, "core radius", "px", ge=0, le=LONGEST, symbol="r_core", tex=r"r_{\rm core}", spin=0, length=1
)  # fmt: skip
CUT_RADIUS = parameter(
    50, 200, "cut radius", "px", gt=0, le=LONGEST, symbol="r_cut", tex=r"r_{\rm cut}", spin=0, length=1
)  # fmt: skip


class Round(CentredLens):
    """Base of lenses ψ(R²). Their mean convergence within R is 1 at θ_E and falls outwards."""

    scale: Array

    def radial_potential(self, square):
        """ψ at R² = square, for arrays and for `Series`."""
        raise NotImplementedError

    def mean_convergence(self, square: Array) -> Array:
        """The mean of κ within R, which is |∇ψ| / R, at R² = square."""
        raise NotImplementedError

    def longest(self) -> Array:
        """The Einstein radius or, where it is longer, the radius beyond which the mean convergence falls as 1/R."""
        raise NotImplementedError

    def _normalise(self, **more: Array) -> None:
        """Set the fields that follow from the others, and `scale` so that the Einstein radius is θ_E."""
        for name, value in (more | {"scale": self.einstein_radius * 0.0 + 1.0}).items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "scale", 1.0 / self.mean_convergence(self.einstein_radius * self.einstein_radius))

    def potential(self, x, y):
        return self.radial_potential(x * x + y * y)

    def deflection(self, x: Array, y: Array) -> tuple[Array, Array]:
        mean = self.mean_convergence(x * x + y * y)
        return mean * x, mean * y

    def curvature(self, x: Array, y: Array, distance: float) -> Array:
        # The eigenvalues of ∂²ψ are the mean convergence m and 2κ − m, and 0 ≤ κ ≤ m.
        nearest = sqrt(x * x + y * y) - distance
        nearest = elementary.where(nearest > 0.0, nearest, 0.0)
        return self._largest(nearest * nearest)

    def _largest(self, square: Array) -> Array:
        """The mean convergence, and infinity in place of what its formula gives at the centre of a cusp."""
        return elementary.where(square > 0.0, self.mean_convergence(square), math.inf)


class Elliptical(Round):
    """ψ(R²) with R² = (1 + e) u² + (1 − e) v² and e = (1 − f²) / (1 + f²)."""

    across: Array  # √(1 + e)
    along: Array  # √(1 − e)
    cos: Array
    sin: Array

    def _normalise(self, **more: Array) -> None:
        f = self.axis_ratio
        cos, sin = cosine_and_sine(self.orientation)
        across = sqrt(2.0 / (1.0 + f * f))
        super()._normalise(across=across, along=f * across, cos=cos, sin=sin, **more)

    def turned(self, x, y):
        """The coordinates in which the lens is round."""
        return (x * self.cos + y * self.sin) * self.across, (y * self.cos - x * self.sin) * self.along

    def potential(self, x, y):
        u, v = self.turned(x, y)
        return self.radial_potential(u * u + v * v)

    def deflection(self, x: Array, y: Array) -> tuple[Array, Array]:
        u, v = self.turned(x, y)
        mean = self.mean_convergence(u * u + v * v)
        along_u, along_v = mean * u * self.across, mean * v * self.along
        return along_u * self.cos - along_v * self.sin, along_u * self.sin + along_v * self.cos

    def curvature(self, x: Array, y: Array, distance: float) -> Array:
        # In the stretched coordinates ∂²ψ is as that of the round lens, and at most a pixel is √(1 + e) of theirs.
        u, v = self.turned(x, y)
        nearest = sqrt(u * u + v * v) - distance * self.across
        nearest = elementary.where(nearest > 0.0, nearest, 0.0)
        return self.across * self.across * self._largest(nearest * nearest)

    def reach(self) -> Array:
        # The outermost critical point is on the major axis, where (1 + e) times the mean convergence is 1.
        low, high = self.einstein_radius, 4.0 * self.longest()
        for _ in range(60):
            middle = 0.5 * (low + high)
            inside = self.across * self.across * self.mean_convergence(middle * middle) > 1.0
            low, high = elementary.where(inside, middle, low), elementary.where(inside, high, middle)
        return high / self.along


# ---------------------------------------------------------------- NFW and Hernquist

# (1 − atan(√τ)/√τ) / τ = Σ (−τ)^n / (2n + 3), for |τ| < 0.05.
NEAR_SCALE_RADIUS = tuple((-1) ** n / (2 * n + 3) for n in reversed(range(11)))


def _scaled(square):
    """Where x < ½; x² there; x², τ = (x − 1) / (x + 1) and 1 − τ elsewhere, with x² = square. Else other numbers."""
    start = square.c[0] if isinstance(square, Series) else square
    small = start < 0.25
    low, high = elementary.where(small, start, 0.1), elementary.where(small, 1.0, start)
    if isinstance(square, Series):
        low, high = square.starting_at(low), square.starting_at(high)
    root = sqrt(high)
    above = root + 1.0
    return small, low, high, (root - 1.0) / above, 2.0 / above


def _arc(tau):
    """atan(√τ) / √τ, or the same atanh(√−τ) / √−τ, of −⅓ ≤ τ < 1."""
    if isinstance(tau, Series):
        return tau.compose(_arc_derivatives(tau.c[0], len(tau.c)))
    size = abs(tau)
    near = size < 0.05
    root = sqrt(elementary.where(near, 0.25, size))
    positive = tau > 0.0
    far = elementary.where(
        positive,
        atan_ratio(root, root * 0.0 + 1.0),
        atanh_ratio(elementary.where(positive, 0.25, root), root * 0.0 + 1.0),
    )
    return elementary.where(near, 1.0 - tau * _arc_change(elementary.where(near, tau, 0.0)), far / root)


def _arc_change(tau: Array) -> Array:
    """(1 − atan(√τ)/√τ) / τ of |τ| < 0.05."""
    return polynomial(NEAR_SCALE_RADIUS, tau)


def _arc_derivatives(tau: Array, count: int) -> list[Array]:
    """f⁽ᵏ⁾(τ) / k! of f = atan(√τ) / √τ, k < count, from 2τ f′ + f = 1 / (1 + τ).

    The recurrence runs from high k down to 0: each step at least halves an error, since |τ / (1 + τ)| is at most ½.
    """
    inverse = -1.0 / (1.0 + tau)
    powers = [-inverse]
    for _ in range(count + BACKWARDS):
        powers.append(powers[-1] * inverse)
    derivative, found = tau * 0.0, []
    for k in range(count + BACKWARDS, -1, -1):
        derivative = (powers[k] - (2.0 * (k + 1)) * tau * derivative) / (2.0 * k + 1.0)
        found.append(derivative)
    return found[::-1][:count]


def _near_centre(square):
    """ln(2/x), √(1 − x²), 1 + √(1 − x²), and ln of half of that, of x² = square < ¼."""
    root = sqrt(1.0 - square)
    above = root + 1.0
    if isinstance(square, Series):
        half = log1p(square / above * -0.5)
    else:
        half = -2.0 * atanh_ratio(square, above * (root + 3.0))
    return (log(square) - math.log(4.0)) * -0.5, root, above, half


def _inner_mass(square):
    """ln(x/2) + F(x), with F = arcosh(1/x) / √(1 − x²) = arccos(1/x) / √(x² − 1), of x² = square.

    By terms of one size each: near the centre the sum is about ½ x² ln(2/x), near x = 1 F is 0/0.
    """
    small, low, high, tau, rest = _scaled(square)
    depth, root, above, half = _near_centre(low)
    near = (depth * low / above + half) / root
    far = (log(high) - math.log(4.0)) * 0.5 + rest * _arc(tau)
    return series.where(small, near, far)


class _NFW(Round):
    """ψ = ½ s r_s² [ln²(x/2) − arcosh²(1/x)], and mean convergence s [ln(x/2) + F(x)] / x² (see `_inner_mass`)."""

    def radial_potential(self, square):
        square = square * (1.0 / (self.scale_radius * self.scale_radius))
        small, low, high, tau, rest = _scaled(square)
        depth, _, _, half = _near_centre(low)
        near = half * (depth * 2.0 + half) * -1.0
        outer, arc = (log(high) - math.log(4.0)) * 0.5, rest * _arc(tau)
        far = outer * outer + (high - 1.0) * (arc * arc)
        return series.where(small, near, far) * (0.5 * self.scale * self.scale_radius * self.scale_radius)

    def mean_convergence(self, square: Array) -> Array:
        square = square / (self.scale_radius * self.scale_radius) + TINY
        return self.scale * _inner_mass(square) / square

    def longest(self) -> Array:
        return elementary.where(self.scale_radius > self.einstein_radius, self.scale_radius, self.einstein_radius)


@model
class NFW(_NFW):
    """Navarro, Frenk & White (1997, ApJ 490, 493): density ∝ 1 / [r (r + r_s)²].

    ψ ∝ ln²(x/2) − arcosh²(1/x) with x = R / r_s (Meneghetti, Bartelmann & Moscardini 2003, MNRAS 340, 105), so that
    the deflection at θ_E is θ_E. As lenstronomy's `NFW` with `Rs` = r_s and `alpha_Rs` as `alpha_at_scale_radius` gives
    it.
    """

    einstein_radius: Array
    scale_radius: Array = SCALE_RADIUS
    scale: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._normalise()


@model
class EllipticalNFW(Elliptical, _NFW):
    """The `NFW` lens with an elliptical potential (Golse & Kneib 2002, A&A 390, 821).

    ψ = ψ_NFW(R′), R′² = (1 + e) u² + (1 − e) v², e = (1 − f²) / (1 + f²). As lenstronomy's
    `NFW_ELLIPSE_POTENTIAL` with `Rs` = r_s, `alpha_Rs` as `alpha_at_scale_radius` gives it, and `e1`, `e2` of f and of
    the angle orientation + 90°. The mass is flatter than f says, and for small f a dumbbell.
    """

    einstein_radius: Array
    axis_ratio: Array
    orientation: Array
    scale_radius: Array = SCALE_RADIUS
    across: Array = field(init=False, repr=False)
    along: Array = field(init=False, repr=False)
    cos: Array = field(init=False, repr=False)
    sin: Array = field(init=False, repr=False)
    scale: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._normalise()


@model
class Hernquist(Round):
    """Hernquist (1990, ApJ 356, 359): density ∝ 1 / [r (r + r_s)³].

    ψ ∝ ln(x/2) + F(x) with x = R / r_s and F = arcosh(1/x) / √(1 − x²) (Keeton 2001, astro-ph/0102341), so that the
    deflection at θ_E is θ_E. As lenstronomy's `HERNQUIST` with `Rs` = r_s and `sigma0` as `hernquist_sigma0` gives it.
    """

    einstein_radius: Array
    scale_radius: Array = SCALE_RADIUS
    scale: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._normalise()

    def radial_potential(self, square):
        square = square * (1.0 / (self.scale_radius * self.scale_radius))
        return _inner_mass(square) * (self.scale * self.scale_radius * self.scale_radius)

    def mean_convergence(self, square: Array) -> Array:
        # (F − 1) / (1 − x²); with F = (1 − τ)(1 − τ change), it is (1 − τ)² (1 + (1 − τ) change) / 4.
        square = square / (self.scale_radius * self.scale_radius) + TINY
        small, low, _, tau, rest = _scaled(square)
        depth, root, above, half = _near_centre(low)
        near = (((depth * low / above + half) / root + depth) - 1.0) / (root * root)
        is_near = abs(tau) < 0.05
        change = (1.0 - _arc(tau)) / elementary.where(is_near, 1.0, tau)
        change = elementary.where(is_near, _arc_change(elementary.where(is_near, tau, 0.0)), change)
        far = 0.25 * rest * rest * (1.0 + rest * change)
        return self.scale * elementary.where(small, near, far)


# ---------------------------------------------------------------- dual pseudo-isothermal


class _PJAFFE(Round):
    """Mean convergence s [1 + (a + c) / (A + C)] / [(a + A) (c + C)], A = √(a² + R²), C = √(c² + R²), of core a, cut c.

    It is the formula of the literature without the differences of nearly equal numbers.
    """

    cut: Array

    def radial_potential(self, square):
        core, cut = self.core_radius, self.cut
        inner, outer = sqrt(square + core * core), sqrt(square + cut * cut)
        ratio = (core + cut) / (inner + outer)
        # ln[(c + C) / (a + A)] = ln(1 + difference), and its share of the potential is finite where a = c.
        share = (ratio + 1.0) / (inner + core)
        difference = share * (cut - core)
        mean = log(outer + cut) - ratio + log1p(difference) / difference * share * core
        return mean * self.scale

    def mean_convergence(self, square: Array) -> Array:
        core, cut = self.core_radius, self.cut
        inner, outer = sqrt(square + core * core + TINY), sqrt(square + cut * cut)
        return self.scale * (1.0 + (core + cut) / (inner + outer)) / ((core + inner) * (cut + outer))

    def _largest(self, square: Array) -> Array:
        cored = elementary.where(self.core_radius > 0.0, 1.0, square)
        return elementary.where(cored > 0.0, self.mean_convergence(square), math.inf)

    def longest(self) -> Array:
        return elementary.where(self.core_radius > self.einstein_radius, self.core_radius, self.einstein_radius)

    def _distinct_cut(self) -> Array:
        """The cut radius, and a little more where it is the core radius: the potential's formula divides by that."""
        core, cut = self.core_radius, self.cut_radius
        return elementary.where(abs(cut - core) < 1e-9 * core, core * (1.0 + 1e-9), cut)


@model
class PJAFFE(_PJAFFE):
    """Dual pseudo-isothermal sphere, dPIE or pseudo-Jaffe (Elíasdóttir et al. 2007, arXiv:0710.5636).

    κ ∝ 1 / √(r_core² + R²) − 1 / √(r_cut² + R²), so that the deflection at θ_E is θ_E: an isothermal lens between the
    two radii, whose mass is finite. As lenstronomy's `PJAFFE` with `Ra` = r_core, `Rs` = r_cut and `sigma0` as
    `pjaffe_sigma0` gives it.
    """

    names = ("PJAFFE", "dPIE")
    einstein_radius: Array
    core_radius: Array = CORE_RADIUS
    cut_radius: Array = CUT_RADIUS
    cut: Array = field(init=False, repr=False)
    scale: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._normalise(cut=self._distinct_cut())


@model
class EllipticalPJAFFE(Elliptical, _PJAFFE):
    """The `PJAFFE` lens with an elliptical potential (Golse & Kneib 2002, A&A 390, 821, have the ellipse).

    ψ = ψ_PJAFFE(R′), R′² = (1 + e) u² + (1 − e) v², e = (1 − f²) / (1 + f²). As lenstronomy's
    `PJAFFE_ELLIPSE_POTENTIAL` with `Ra` = r_core, `Rs` = r_cut, `sigma0` as `pjaffe_sigma0` gives it, and `e1`, `e2` of
    f and of the angle orientation + 90°.
    """

    names = ("EllipticalPJAFFE", "EllipticaldPIE")
    einstein_radius: Array
    axis_ratio: Array
    orientation: Array
    core_radius: Array = CORE_RADIUS
    cut_radius: Array = CUT_RADIUS
    cut: Array = field(init=False, repr=False)
    across: Array = field(init=False, repr=False)
    along: Array = field(init=False, repr=False)
    cos: Array = field(init=False, repr=False)
    sin: Array = field(init=False, repr=False)
    scale: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._normalise(cut=self._distinct_cut())


# ---------------------------------------------------------------- conversions


def alpha_at_scale_radius(einstein_radius: Array, scale_radius: Array) -> Array:
    """lenstronomy's `alpha_Rs` of an NFW lens, the deflection at r_s, px: r_s times the mean convergence there."""
    lens = NFW(einstein_radius, scale_radius)
    return lens.scale_radius * lens.mean_convergence(lens.scale_radius * lens.scale_radius)


def hernquist_sigma0(einstein_radius: Array, scale_radius: Array) -> Array:
    """lenstronomy's `sigma0` of a Hernquist lens: its deflection is 2 `sigma0` r_s x (F − 1) / (1 − x²)."""
    return 0.5 * Hernquist(einstein_radius, scale_radius).scale


def pjaffe_sigma0(einstein_radius: Array, core_radius: Array, cut_radius: Array) -> Array:
    """lenstronomy's `sigma0` of a PJAFFE lens, and of an elliptical one; there is none for a core of 0."""
    lens = PJAFFE(einstein_radius, core_radius, cut_radius)
    return 0.5 * lens.scale / (lens.core_radius * lens.cut_radius)
