"""Uniform B-splines of one degree p along each axis (Schoenberg 1946; de Boor 1978, *A Practical Guide to Splines*).

Between the grid points i and i + 1, at i + t, p + 1 of them are not 0. All functions here leave out the factor 1/p!.
"""

from __future__ import annotations

import math

import numpy as np

from droulette.physics.arrays import Array, namespace
from droulette.physics.elementary import where


def weights(t, degree: int) -> list:
    """p! B_k(t), k = 0…p: of the coefficients i − (p − 1)/2 to i + (p + 1)/2, for arrays and `Series`."""
    row = [1.0]
    for q in range(1, degree + 1):
        row = _next(row, t, q)
    return row


def weights_and_slopes(t, degree: int) -> tuple[list, list]:
    """The same, and (p − 1)! dB_k/dt."""
    lower = weights(t, degree - 1)
    inner = [lower[k - 1] - lower[k] for k in range(1, degree)]
    return _next(lower, t, degree), [-lower[0], *inner, lower[-1]]


def _next(row: list, t, q: int) -> list:
    """From degree q − 1 to q."""
    inner = [row[k - 1] * (t + float(q - k)) + row[k] * (float(k + 1) - t) for k in range(1, q)]
    return [row[0] * (1.0 - t), *inner, row[-1] * t]


def coefficients(values: np.ndarray, degree: int) -> np.ndarray:
    """Those of the spline through the values, which it continues periodically: (N, M) each."""
    middle = np.array(weights(0.0, degree))[:-1] / math.factorial(degree)  # B at the whole numbers
    frequencies = np.fft.fftfreq(values.shape[0]), np.fft.rfftfreq(values.shape[1])
    response = [sum(w * np.cos(2 * np.pi * (k - degree // 2) * f) for k, w in enumerate(middle)) for f in frequencies]
    return np.fft.irfft2(np.fft.rfft2(values) / np.outer(*response), values.shape)


def cell(x: Array, size: Array, degree: int) -> tuple[Array, Array]:
    """Places on an axis of `size` coefficients, clipped to its cells: the coefficient before, and the way from it."""
    first, last = float(degree // 2), size - (degree // 2 + 2.0)
    x = where(x > first, x, first)  # NaN, of a ray through a point mass, too
    x = where(x < last, x, last)
    i = namespace(x).floor(x)
    return i, x - i


def weighted(numbers: list, factors: list):
    """Σ, in this order."""
    total = factors[0] * numbers[0]
    for number, factor in zip(numbers[1:], factors[1:], strict=True):
        total = factor * number + total
    return total
