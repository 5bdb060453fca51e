"""What a picture allows: the Cramér-Rao bound of the amplitudes.

Of a picture m(p) with independent normal noise of deviations s_i, the Fisher matrix is F = Σ_i ∂m_i ∂m_iᵀ / s_i². No
unbiased estimate of targets a(p) has a covariance below G F⁻¹ Gᵀ, G = ∂a / ∂p (Rao 1945, Bull. Calcutta Math. Soc. 37,
81). It does not depend on the coordinates in which derivatives are taken.
"""

from __future__ import annotations

import numpy as np

from droulette.fitting.family import Family
from droulette.fitting.observation import Observation

STEP = 3e-4  # of a coordinate
TARGET_STEP = 1e-5


def fisher(observation: Observation, family: Family, coordinates: np.ndarray) -> np.ndarray:
    """(B, P, P): the Fisher matrix of the coordinates (B, P), where they are true.

    observation: its weights and its PSF count, not its pictures. Central differences.
    """
    steps = np.full_like(coordinates, STEP)
    ahead = observation.derivatives(family, coordinates, steps)
    behind = observation.derivatives(family, coordinates, -steps)
    found = []
    for (_, _, forwards), (_, _, backwards) in zip(ahead, behind, strict=True):
        slopes = 0.5 * (forwards + backwards)
        found.append(slopes @ slopes.swapaxes(1, 2))
    return np.concatenate(found)


def covariance(matrix: np.ndarray) -> np.ndarray:
    """The inverse of Fisher matrices (B, P, P), scaled to a unit diagonal first."""
    scale = 1.0 / np.sqrt(np.einsum("bpp->bp", matrix))
    both = scale[:, :, None] * scale[:, None, :]
    return both * np.linalg.pinv(matrix * both, rcond=1e-14, hermitian=True)


def slopes_of_targets(family: Family, coordinates: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
    """(B, C, P): ∂ targets / ∂ coordinates, by central differences."""
    count, size = coordinates.shape
    moved = coordinates[:, None, None] + TARGET_STEP * np.array([1.0, -1.0])[:, None, None] * np.eye(size)
    found = family.targets(moved.reshape(-1, size), columns).reshape(count, 2, size, -1)
    return ((found[:, 0] - found[:, 1]) / (2 * TARGET_STEP)).swapaxes(1, 2)


def bound(observation: Observation, family: Family, coordinates: np.ndarray, columns: tuple[str, ...]) -> np.ndarray:
    """(B, C, C): the least covariance of unbiased estimates of the targets, of scenes with these coordinates."""
    slopes = slopes_of_targets(family, coordinates, columns)
    return slopes @ covariance(fisher(observation, family, coordinates)) @ slopes.swapaxes(1, 2)
