"""Convergence, shear and flexion from roulette amplitudes.

With ∂ = ∂₁ + i∂₂, γ = γ₁ + iγ₂ and the convention of Bacon, Goldberg, Rowe & Taylor 2006 (MNRAS 365, 414), F = ∂*γ =
∂κ and G = ∂γ. The terms of (r·∇)²ψ and (r·∇)³ψ in cos sφ and sin sφ are then
κ = −α¹₀, γ = −(α¹₂ + iβ¹₂), F = −⅔(α²₁ + iβ²₁), G = −2(α²₃ + iβ²₃).
"""

from __future__ import annotations

# Quantity: the amplitude's column, and the factor of it. κ and γ are numbers, F and G px⁻¹.
FACTORS: dict[str, tuple[str, float]] = {
    "kappa": ("alpha[1][0]", -1.0),
    "gamma1": ("alpha[1][2]", -1.0),
    "gamma2": ("beta[1][2]", -1.0),
    "F1": ("alpha[2][1]", -2.0 / 3.0),
    "F2": ("beta[2][1]", -2.0 / 3.0),
    "G1": ("alpha[2][3]", -2.0),
    "G2": ("beta[2][3]", -2.0),
}
