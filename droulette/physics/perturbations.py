"""What is added to a lens: external shear and convergence, multipoles."""

from __future__ import annotations

import math

from droulette.physics.arrays import Array
from droulette.physics.elementary import where
from droulette.physics.lenses import TINY, CentredLens
from droulette.physics.series import sqrt
from droulette.quantities import parameter
from droulette.registry import model


@model
class Shear(CentredLens):
    """External shear: ψ = ½ γ₁ (x² − y²) + γ₂ x y. As lenstronomy's `SHEAR`."""

    perturbation = regular = True
    gamma1: Array = parameter(
        -0.1, 0.1, "external shear γ₁, along x", ge=-1, le=1, symbol="γ₁", tex=r"\gamma_1", spin=2, partner="gamma2"
    )
    gamma2: Array = parameter(
        -0.1, 0.1, "external shear γ₂, along the diagonal", ge=-1, le=1, symbol="γ₂", tex=r"\gamma_2", spin=2,
        partner="gamma1", odd=True,
    )  # fmt: skip

    def potential(self, x, y):
        return (x * x - y * y) * (0.5 * self.gamma1) + x * y * self.gamma2

    def deflection(self, x: Array, y: Array) -> tuple[Array, Array]:
        return self.gamma1 * x + self.gamma2 * y, self.gamma2 * x - self.gamma1 * y

    def curvature(self, x: Array, y: Array, distance: float) -> Array:
        return sqrt(self.gamma1 * self.gamma1 + self.gamma2 * self.gamma2) + (x + y) * 0.0


@model
class Convergence(CentredLens):
    """External convergence, a sheet of mass: ψ = ½ κ R². As lenstronomy's `CONVERGENCE`, `kappa` = κ."""

    perturbation = regular = True
    kappa_ext: Array = parameter(-0.1, 0.1, "external convergence κ", ge=-10, le=1, symbol="κ", tex=r"\kappa", spin=0)

    def potential(self, x, y):
        return (x * x + y * y) * (0.5 * self.kappa_ext)

    def deflection(self, x: Array, y: Array) -> tuple[Array, Array]:
        return self.kappa_ext * x, self.kappa_ext * y

    def curvature(self, x: Array, y: Array, distance: float) -> Array:
        return abs(self.kappa_ext) + (x + y) * 0.0


class Multipole(CentredLens):
    """Base of the multipoles: ψ = θ_E R (a cos mφ + b sin mφ) / (1 − m²), with κ = θ_E (a cos mφ + b sin mφ) / 2R."""

    perturbation = True
    m = 0

    def components(self) -> tuple[Array, Array]:
        """a and b."""
        raise NotImplementedError

    def _waves(self, x, y):
        """R^m cos mφ and R^m sin mφ, the parts of (x + iy)^m."""
        real, imaginary = x, y
        for _ in range(self.m - 1):
            real, imaginary = real * x - imaginary * y, real * y + imaginary * x
        return real, imaginary

    def potential(self, x, y):
        a, b = self.components()
        square = x * x + y * y
        divisor = square if self.m % 2 else sqrt(square)  # R^{m−1}
        for _ in range(self.m // 2 - 1):
            divisor = divisor * square
        real, imaginary = self._waves(x, y)
        return (real * a + imaginary * b) / divisor * (self.einstein_radius / (1 - self.m**2))

    def deflection(self, x: Array, y: Array) -> tuple[Array, Array]:
        a, b = self.components()
        radius = sqrt(x * x + y * y + TINY)
        cos, sin = x / radius, y / radius
        real, imaginary = self._waves(cos, sin)
        scale = self.einstein_radius / (1 - self.m**2)
        outwards = scale * (a * real + b * imaginary)
        around = scale * (self.m * (b * real - a * imaginary))
        return outwards * cos - around * sin, outwards * sin + around * cos

    def curvature(self, x: Array, y: Array, distance: float) -> Array:
        # The eigenvalues of ∂²ψ are 0 and 2κ.
        a, b = self.components()
        nearest = sqrt(x * x + y * y) - distance
        return where(nearest > 0.0, self.einstein_radius * sqrt(a * a + b * b) / nearest, math.inf)


def _vector(m: int) -> tuple[Array, Array]:
    """The fields a_m and b_m."""
    lower = "₀₁₂₃₄"[m]
    about = {"ge": -1, "le": 1, "spin": m}
    return (
        parameter(
            -0.05, 0.05, f"multipole of order {m}, part a{lower} of cos {m}φ", symbol=f"a{lower}", tex=f"a_{m}",
            partner=f"b{m}", **about,
        ),
        parameter(
            -0.05, 0.05, f"multipole of order {m}, part b{lower} of sin {m}φ", symbol=f"b{lower}", tex=f"b_{m}",
            partner=f"a{m}", odd=True, **about,
        ),
    )  # fmt: skip


@model
class Multipole3(Multipole):
    """Multipole of order 3 (Xu et al. 2015, MNRAS 447, 3189): ψ = −θ_E R (a₃ cos 3φ + b₃ sin 3φ) / 8.

    As lenstronomy's `MULTIPOLE` with `m` = 3, `a_m` = θ_E √(a₃² + b₃²) and `phi_m` = atan2(b₃, a₃) / 3.
    """

    m = 3
    einstein_radius: Array
    a3: Array = _vector(3)[0]
    b3: Array = _vector(3)[1]

    def components(self) -> tuple[Array, Array]:
        return self.a3, self.b3


@model
class Multipole4(Multipole):
    """Multipole of order 4 (Xu et al. 2015, MNRAS 447, 3189): ψ = −θ_E R (a₄ cos 4φ + b₄ sin 4φ) / 15.

    As lenstronomy's `MULTIPOLE` with `m` = 4, `a_m` = θ_E √(a₄² + b₄²) and `phi_m` = atan2(b₄, a₄) / 4. Along the
    axes of a lens, a₄ > 0 makes its mass disky, a₄ < 0 boxy.
    """

    m = 4
    einstein_radius: Array
    a4: Array = _vector(4)[0]
    b4: Array = _vector(4)[1]

    def components(self) -> tuple[Array, Array]:
        return self.a4, self.b4
