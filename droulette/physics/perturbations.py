"""What is added to a lens: external shear and convergence, multipoles."""

from __future__ import annotations

from droulette.physics.arrays import Array
from droulette.physics.elementary import sqrt
from droulette.physics.lenses import CentredLens
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
