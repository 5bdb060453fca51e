"""The reference point ξ₀: the apparent position of the source, η = ξ₀ − ∇ψ(ξ₀)."""

from __future__ import annotations

import math

import numpy as np

from droulette.physics.amplitudes import convergence_and_shear
from droulette.physics.arrays import Array, is_numpy, like, namespace
from droulette.physics.batches import take
from droulette.physics.elementary import sqrt, where
from droulette.physics.engines import compiled
from droulette.physics.lenses import Lens

ITERATIONS = 20_000
SETTLED = 1e-7  # px a step, where Newton's method takes over
RESIDUAL = 1e-11  # px, below which a solution is not improved any more
SOLVED = 1e-9  # px, above which it is none
HALF_STEPS = 2000
ALONG_RING = 30  # Newton's steps, each brought back to the ring of an almost round lens by half steps
# Where further attempts begin: Einstein radii from the nearest centre, and degrees from the direction of the source.
TOWARDS_SOURCE = [(1.0, 0), (2.0, 0), (0.5, 0), (4.0, 0)]
BESIDE = [(radii, turn) for turn in (10, -10, 30, -30, 60, -60, 90, -90, 135, -135, 180) for radii in (1.0, 1.3, 0.8)]


def residual(lens: Lens, xi_x: Array, xi_y: Array, eta_x: Array, eta_y: Array) -> tuple[Array, Array]:
    """ξ − ∇ψ(ξ) − η in px: (B,) each."""
    dx, dy = lens.deflection(xi_x, xi_y)
    return xi_x - dx - eta_x, xi_y - dy - eta_y


def apparent_position(lens: Lens, eta_x: Array, eta_y: Array) -> tuple[Array, Array]:
    """The solution that the fixed-point iteration ξ ← η + ∇ψ(ξ), started at ξ = η, reaches.

    Where η is a lens centre the start has no direction, and +x is taken. Beside a point mass the iteration leaps so far
    that rounding errors decide where it goes. Beside a caustic it may all but stand still where there is no
    solution. Such rows are iterated again in half steps, from the Einstein radius of the nearest constituent on, in the
    direction of the source, where the iteration would lead; then by Newton's method, in others.

    Args:
        lens: B lenses.
        eta_x, eta_y: (B,) actual positions of the sources, px.

    Returns:
        xi_x, xi_y: (B,) px; NaN where no solution was found.
    """
    start_x, start_y = _off_centre(lens, eta_x, eta_y)
    with np.errstate(all="ignore"):
        x, y = _polish(lens, *_settle(lens, start_x, start_y, eta_x, eta_y), eta_x, eta_y)
        for radii, degrees in TOWARDS_SOURCE + BESIDE:
            (rows,) = namespace(x).nonzero(~_is_solved(lens, x, y, eta_x, eta_y))
            if not len(rows):
                return x, y
            lens_now, of_rows = take(lens, rows), (eta_x[rows], eta_y[rows])
            start = _beside_nearest(lens_now, start_x[rows], start_y[rows], radii, degrees)
            if degrees == 0:
                start = _half_steps(lens_now, *start, *of_rows, HALF_STEPS)
            for _ in range(ALONG_RING if degrees else 0):
                size = 0.2 * sqrt(start[0] ** 2 + start[1] ** 2)
                dx, dy = _newton_step(lens_now, *start, *residual(lens_now, *start, *of_rows))
                shorter = size / where(abs(dx) + abs(dy) > size, abs(dx) + abs(dy), size)
                start = _half_steps(lens_now, start[0] - shorter * dx, start[1] - shorter * dy, *of_rows, 20)
            x[rows], y[rows] = _polish(lens_now, *start, *of_rows)
        solved = _is_solved(lens, x, y, eta_x, eta_y)
        return where(solved, x, math.nan), where(solved, y, math.nan)


def _is_solved(lens: Lens, x: Array, y: Array, eta_x: Array, eta_y: Array) -> Array:
    rx, ry = residual(lens, x, y, eta_x, eta_y)
    return abs(rx) + abs(ry) < SOLVED


def _beside_nearest(lens: Lens, x: Array, y: Array, radii: float, degrees: float) -> tuple[Array, Array]:
    """So many Einstein radii from the nearest constituent's centre, and so far from the direction of (x, y)."""
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    least, start_x, start_y = math.inf, x, y
    for part, cx, cy in lens.parts():
        dx, dy = x - cx, y - cy
        distance = sqrt(dx * dx + dy * dy)
        nearer = distance < least
        scale = radii * part.einstein_radius / where(distance > 0.0, distance, 1.0)
        start_x = where(nearer, cx + scale * (dx * cos - dy * sin), start_x)
        start_y = where(nearer, cy + scale * (dy * cos + dx * sin), start_y)
        least = where(nearer, distance, least)
    return start_x, start_y


def _half_steps(lens: Lens, x: Array, y: Array, eta_x: Array, eta_y: Array, most: int) -> tuple[Array, Array]:
    """At most so many half steps of the iteration, until all rows have settled."""
    for _ in range(most):
        rx, ry = residual(lens, x, y, eta_x, eta_y)
        x, y = x - 0.5 * rx, y - 0.5 * ry
        if not (abs(rx) + abs(ry) > SETTLED).any():
            break
    return x, y


def _off_centre(lens: Lens, x: Array, y: Array) -> tuple[Array, Array]:
    for cx, cy in lens.centres():
        x = where((x == cx) & (y == cy), x + 1e-6, x)
    return x + 0.0, y + 0.0


def _settle(lens: Lens, x: Array, y: Array, eta_x: Array, eta_y: Array) -> tuple[Array, Array]:
    """Iterate from (x, y), each row until it moves by no more than SETTLED."""
    if is_numpy(x):
        xi = compiled.settle(lens, np.stack([x, y]), np.stack([eta_x, eta_y]), ITERATIONS, SETTLED)
        if xi is not None:
            return xi[0], xi[1]
    active = namespace(x).arange(len(x), **like(x))
    for iteration in range(ITERATIONS):
        # One in 5,000 clusters of point masses steps to and fro between two points for ever: half steps end that.
        step = 1.0 if iteration < ITERATIONS // 2 else 0.5
        rx, ry = residual(take(lens, active), x[active], y[active], eta_x[active], eta_y[active])
        x[active] -= step * rx
        y[active] -= step * ry
        active = active[abs(rx) + abs(ry) > SETTLED]
        if not len(active):
            break
    return x, y


def _polish(lens: Lens, x: Array, y: Array, eta_x: Array, eta_y: Array) -> tuple[Array, Array]:
    """Newton's method with A = 1 − ∂²ψ; a step that does not lessen the residual is halved."""
    rx, ry = residual(lens, x, y, eta_x, eta_y)
    size, step = abs(rx) + abs(ry), x * 0.0 + 1.0
    for _ in range(60):
        (active,) = namespace(x).nonzero((size > RESIDUAL) & (step > 1e-6))
        if not len(active):
            break
        lens_now = take(lens, active)
        ax, ay = x[active], y[active]
        dx, dy = _newton_step(lens_now, ax, ay, rx[active], ry[active])
        nx, ny = ax - step[active] * dx, ay - step[active] * dy
        sx, sy = residual(lens_now, nx, ny, eta_x[active], eta_y[active])
        better = abs(sx) + abs(sy) < size[active]
        taken = active[better]
        x[taken], y[taken], rx[taken], ry[taken] = nx[better], ny[better], sx[better], sy[better]
        size[taken] = (abs(sx) + abs(sy))[better]
        step[active] = where(better, 1.0, step[active] / 2)
    return x, y


def _newton_step(lens: Lens, x: Array, y: Array, rx: Array, ry: Array) -> tuple[Array, Array]:
    """A⁻¹ times the residual, A = 1 − ∂²ψ."""
    kappa, gamma1, gamma2 = convergence_and_shear(lens, x, y)
    determinant = (1 - kappa) ** 2 - gamma1**2 - gamma2**2
    dx = ((1 - kappa + gamma1) * rx + gamma2 * ry) / determinant
    return dx, ((1 - kappa - gamma1) * ry + gamma2 * rx) / determinant
