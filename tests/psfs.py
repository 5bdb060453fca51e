"""Point spread functions by their formulas, in NumPy."""

from __future__ import annotations

import numpy as np


def moffat_kernel(fwhm: float, beta: float, radius: int) -> np.ndarray:
    """(2 radius + 1)², of sum 1: (1 + (r/α)²)^−β with half of its maximum at r = fwhm / 2."""
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    alpha = max(fwhm, 1e-6) / (2 * np.sqrt(2 ** (1 / beta) - 1))
    kernel = (1 + (x**2 + y**2) / alpha**2) ** -beta
    return kernel / kernel.sum()
