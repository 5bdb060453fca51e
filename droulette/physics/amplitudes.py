"""Roulette amplitudes of any order for any potential.

At a point ξ₀, (r·∇)^{m+1} ψ = −r^{m+1} Σ_s [α^m_s cos sφ + β^m_s sin sφ], s = m+1, m−1, … ≥ 0 (Clarkson 2016,
CQG 33, 16LT01): the amplitudes are the angular Fourier coefficients of the directional derivatives of −ψ.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from droulette.physics.arrays import Array, like, namespace
from droulette.physics.elementary import cosine_and_sine, where
from droulette.physics.lenses import Lens
from droulette.physics.series import Series


def orders(nterms: int) -> list[tuple[int, int]]:
    """The (m, s) of all amplitudes up to m = nterms, in the order of the tables' columns."""
    return [(m, s) for m in range(nterms + 1) for s in range((m + 1) % 2, m + 2, 2)]


def amplitudes(lens: Lens, xi_x: Array, xi_y: Array, nterms: int) -> tuple[Array, Array]:
    """α and β at the reference points.

    Args:
        lens: B lenses.
        xi_x, xi_y: (B,) reference points, px.
        nterms: largest m.

    Returns:
        alpha, beta: (len(orders(nterms)), B); α^m_s has unit px^{1−m}. β^m_0 is 0.
    """
    # c(φ + π) of order k is (−1)^k c(φ), so half the circle holds all; nterms + 2 angles resolve s ≤ nterms + 1.
    count = nterms + 2
    xp, zero = namespace(xi_x), xi_x * 0.0
    waves = xp.asarray(_waves(count), **like(xi_x))
    cos, sin = waves[:, 1]
    along = lens.potential(Series.line(xi_x, cos, nterms + 1), Series.line(xi_y, sin, nterms + 1))
    parts = []
    for m in range(nterms + 1):
        of_m = [s for order, s in orders(nterms) if order == m]
        scale = [[[-math.factorial(m + 1) * (1 if s == 0 else 2) / count]] for s in of_m]
        terms = along.c[m + 1] * xp.asarray(scale, dtype=xp.float64, **like(xi_x)) * waves[:, of_m]
        parts.append(_add_rows(xp.moveaxis(terms, -2, 0)) + zero)
    alpha, beta = xp.concat(parts, axis=1)
    beta[[s == 0 for _, s in orders(nterms)]] = zero
    return alpha, beta


@lru_cache
def _waves(count: int) -> np.ndarray:
    """(2, count, count, 1): cos sφ and sin sφ for s < count at the angles φ = 0, π/count, 2π/count, …"""
    degrees = np.stack([np.arange(count)[:, None] * (180.0 * s / count) for s in range(count)])
    return np.stack(cosine_and_sine(degrees))


def _add_rows(terms: Array) -> Array:
    """Sum over the first axis in a fixed order, so that the bytes do not depend on the batch."""
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def convergence_and_shear(lens: Lens, x: Array, y: Array) -> tuple[Array, Array, Array]:
    """κ, γ₁ and γ₂ at (x, y): (B,) each. They are minus the amplitudes of m = 1."""
    alpha, beta = amplitudes(lens, x, y, 1)
    return -alpha[1], -alpha[2], -beta[2]


@np.errstate(all="ignore")  # at a lens centre there is nothing to find
def critical_radius(lens: Lens, phi: Array, reach: Array, steps: int = 512) -> Array:
    """Distance from the origin to the outermost critical curve in the direction phi.

    The curve is where det A = (1 − κ)² − γ² vanishes; it is bracketed on `steps` points and then halved down.

    Args:
        lens: B lenses.
        phi: (B,) direction, degrees.
        reach: (B,) a radius in px beyond which there is no critical curve.

    Returns:
        (B,) px; 0 where the ray crosses no critical curve.
    """
    xp = namespace(phi)
    cos, sin = cosine_and_sine(phi)

    def is_inside(radius: Array) -> Array:
        kappa, gamma1, gamma2 = convergence_and_shear(lens, radius * cos, radius * sin)
        determinant = (1 - kappa) ** 2 - gamma1**2 - gamma2**2
        return ~(determinant >= 0)  # NaN at a singular centre, which lies inside its critical curve

    low, high, found = reach * 0.0, reach, xp.zeros_like(reach, dtype=xp.bool)
    for step in range(steps - 1, 0, -1):  # from outside inwards: the first change of sign is the outermost
        radius = reach * (step / steps)
        crossed = ~found & is_inside(radius)
        low = where(crossed, radius, low)
        found = found | crossed
        high = where(found, high, radius)
    for _ in range(60):
        middle = 0.5 * (low + high)
        inside = is_inside(middle)
        low, high = where(inside, middle, low), where(inside, high, middle)
    return where(found, 0.5 * (low + high), 0.0)
