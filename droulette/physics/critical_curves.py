"""Critical curves and caustics of one lens."""

from __future__ import annotations

import math

import numpy as np

from droulette.physics.amplitudes import amplitudes
from droulette.physics.lenses import Lens

GRID = 200  # steps across the searched square
OFF_GRID = 0.00372  # of a step: keeps the singular centres, which lie at round places, off the grid's points
POLISHING = 8  # steps of Newton's method
DOUBLINGS = 4  # of the searched square, while a curve leaves it


def determinant(lens: Lens, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """det A = (1 − κ)² − γ₁² − γ₂² and its gradient (px⁻¹) at points (n,) of the lens plane.

    The gradients of κ and γ are those of the flexions F and G, ∂₁γ₁ = (F₁ + G₁)/2, ∂₂γ₁ = (G₂ − F₂)/2,
    ∂₁γ₂ = (F₂ + G₂)/2, ∂₂γ₂ = (F₁ − G₁)/2 (Bacon, Goldberg, Rowe & Taylor 2006, MNRAS 365, 414).
    """
    alpha, beta = amplitudes(lens, x, y, 2)
    kappa, gamma1, gamma2 = -alpha[1], -alpha[2], -beta[2]
    f1, f2, g1, g2 = -alpha[3] * (2 / 3), -beta[3] * (2 / 3), -2 * alpha[4], -2 * beta[4]
    value = (1 - kappa) ** 2 - gamma1**2 - gamma2**2
    along_x = -2 * (1 - kappa) * f1 - gamma1 * (f1 + g1) - gamma2 * (f2 + g2)
    along_y = -2 * (1 - kappa) * f2 - gamma1 * (g2 - f2) - gamma2 * (f1 - g1)
    return value, along_x, along_y


def critical_curves(lens: Lens, step: float | None = None, polishing: int = POLISHING) -> list[np.ndarray]:
    """The curves on which det A = 0.

    They are found on a grid, which misses curves that are smaller than its step, and then brought to det A = 0 by
    Newton's method.

    Args:
        lens: one lens, whose parameters are (1,) arrays.
        step: of the grid, px; by default a 200th of the square in which curves are looked for.
        polishing: steps of Newton's method, at most.

    Returns:
        One (M, 2) array of x and y in px for each curve, the longest first; the first point of a closed curve is its
        last too.
    """
    low, high = _square(lens)
    for _ in range(DOUBLINGS):
        lines, spacing = _on_grid(lens, low, high, step)
        if all(_is_closed(line) for line in lines):
            break
        middle, half = (low + high) / 2, high - low
        low, high = middle - half, middle + half
    lines = [_polished(lens, line, spacing, polishing) for line in lines]
    return sorted(lines, key=lambda line: -np.hypot(*np.diff(line, axis=0).T).sum())


def caustics(lens: Lens, curves: list[np.ndarray]) -> list[np.ndarray]:
    """The critical curves in the source plane, ξ − ∇ψ(ξ): (M, 2) px each."""
    result = []
    for curve in curves:
        dx, dy = lens.deflection(curve[:, 0], curve[:, 1])
        result.append(curve - np.stack([dx, dy], axis=1))
    return result


def _square(lens: Lens) -> tuple[np.ndarray, np.ndarray]:
    """Two corners, (2,) px each, of a square in which the curves lie, unless perturbations are strong."""
    low, high, total = np.full(2, np.inf), np.full(2, -np.inf), 0.0
    for part, cx, cy in lens.parts():
        if part.perturbation:
            continue
        centre = np.array([float(np.ravel(cx)[0]), float(np.ravel(cy)[0])])
        reach = float(np.ravel(part.reach())[0]) if hasattr(part, "einstein_radius") else 1.0
        low, high, total = np.minimum(low, centre - reach), np.maximum(high, centre + reach), total + reach
    if total == 0.0:
        return np.full(2, -1.0), np.full(2, 1.0)
    middle, half = (low + high) / 2, (high - low).max() / 2 + total
    return middle - half, middle + half


def _on_grid(lens: Lens, low: np.ndarray, high: np.ndarray, step: float | None) -> tuple[list[np.ndarray], float]:
    """The lines det A = 0 on a grid, and its step, px."""
    from contourpy import contour_generator

    count = GRID if step is None else max(2, math.ceil((high[0] - low[0]) / step))
    axes = [np.linspace(a, b, count + 1) + OFF_GRID * (b - a) / count for a, b in zip(low, high, strict=True)]
    x, y = np.meshgrid(*axes)
    with np.errstate(all="ignore"):
        alpha, beta = amplitudes(lens, x.ravel(), y.ravel(), 1)
        value = (1 + alpha[1]) ** 2 - alpha[2] ** 2 - beta[2] ** 2
        value = value / (1 + abs(value))  # of −1 to 1, so that a singular centre hides nothing near it
    grid = np.nan_to_num(value, nan=-1.0).reshape(x.shape)
    return contour_generator(*axes, grid).lines(0.0), float(axes[0][1] - axes[0][0])


def _is_closed(line: np.ndarray) -> bool:
    return bool((line[0] == line[-1]).all())


def _polished(lens: Lens, line: np.ndarray, spacing: float, steps: int) -> np.ndarray:
    """The line's points, each moved along the gradient to det A = 0, by no more than a step of the grid at once."""
    line = line.copy()
    for _ in range(steps):
        with np.errstate(all="ignore"):
            value, along_x, along_y = determinant(lens, line[:, 0], line[:, 1])
            move = -value / (along_x**2 + along_y**2) * np.stack([along_x, along_y])
        move = np.nan_to_num(move, nan=0.0, posinf=0.0, neginf=0.0)
        length = np.hypot(*move)
        move *= np.minimum(1.0, spacing / np.maximum(length, 1e-300))
        line += move.T
        if length.max(initial=0.0) < 1e-9 * spacing:
            break
    return line
