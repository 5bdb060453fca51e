"""The reference point ξ₀: the apparent position of the source, η = ξ₀ − ∇ψ(ξ₀)."""

from __future__ import annotations

import numpy as np

from droulette.physics.amplitudes import convergence_and_shear
from droulette.physics.arrays import Array, is_numpy, like, namespace
from droulette.physics.batches import take
from droulette.physics.elementary import where
from droulette.physics.engines import compiled
from droulette.physics.lenses import Lens

ITERATIONS = 20_000
SETTLED = 1e-7  # px a step, where Newton's method takes over
RESIDUAL = 1e-11  # px


def residual(lens: Lens, xi_x: Array, xi_y: Array, eta_x: Array, eta_y: Array) -> tuple[Array, Array]:
    """ξ − ∇ψ(ξ) − η in px: (B,) each."""
    dx, dy = lens.deflection(xi_x, xi_y)
    return xi_x - dx - eta_x, xi_y - dy - eta_y


def apparent_position(lens: Lens, eta_x: Array, eta_y: Array) -> tuple[Array, Array]:
    """The solution that the fixed-point iteration ξ ← η + ∇ψ(ξ), started at ξ = η, reaches.

    Where η is a lens centre the start has no direction, and +x is taken.

    Args:
        lens: B lenses.
        eta_x, eta_y: (B,) actual positions of the sources, px.

    Returns:
        xi_x, xi_y: (B,) px.
    """
    start = _off_centre(lens, eta_x, eta_y)
    with np.errstate(all="ignore"):
        return _polish(lens, *_settle(lens, *start, eta_x, eta_y), eta_x, eta_y)


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
        kappa, gamma1, gamma2 = convergence_and_shear(lens_now, ax, ay)
        determinant = (1 - kappa) ** 2 - gamma1**2 - gamma2**2
        fx, fy = rx[active], ry[active]
        dx = ((1 - kappa + gamma1) * fx + gamma2 * fy) / determinant
        dy = ((1 - kappa - gamma1) * fy + gamma2 * fx) / determinant
        nx, ny = ax - step[active] * dx, ay - step[active] * dy
        sx, sy = residual(lens_now, nx, ny, eta_x[active], eta_y[active])
        better = abs(sx) + abs(sy) < size[active]
        taken = active[better]
        x[taken], y[taken], rx[taken], ry[taken] = nx[better], ny[better], sx[better], sy[better]
        size[taken] = (abs(sx) + abs(sy))[better]
        step[active] = where(better, 1.0, step[active] / 2)
    return x, y
