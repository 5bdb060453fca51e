"""The reference point ξ₀: the apparent position of the source, η = ξ₀ − ∇ψ(ξ₀)."""

from __future__ import annotations

import torch
from torch import Tensor

from droulette.physics.amplitudes import convergence_and_shear
from droulette.physics.batches import take
from droulette.physics.lenses import Lens

ITERATIONS = 20_000
SETTLED = 1e-7  # px a step, where Newton's method takes over
RESIDUAL = 1e-11  # px


def residual(lens: Lens, xi_x: Tensor, xi_y: Tensor, eta_x: Tensor, eta_y: Tensor) -> tuple[Tensor, Tensor]:
    """ξ − ∇ψ(ξ) − η in px: (B,) each."""
    dx, dy = lens.deflection(xi_x, xi_y)
    return xi_x - dx - eta_x, xi_y - dy - eta_y


def apparent_position(lens: Lens, eta_x: Tensor, eta_y: Tensor) -> tuple[Tensor, Tensor]:
    """The solution that the fixed-point iteration ξ ← η + ∇ψ(ξ), started at ξ = η, reaches.

    Where η is a lens centre the start has no direction, and +x is taken.

    Args:
        lens: B lenses.
        eta_x, eta_y: (B,) actual positions of the sources, px.

    Returns:
        xi_x, xi_y: (B,) px.
    """
    x, y = _off_centre(lens, eta_x.clone(), eta_y)
    active = torch.arange(len(x), device=x.device)
    for iteration in range(ITERATIONS):
        # One in 5,000 clusters of point masses steps to and fro between two points for ever: half steps end that.
        step = 1.0 if iteration < ITERATIONS // 2 else 0.5
        lens_now = take(lens, active)
        rx, ry = residual(lens_now, x[active], y[active], eta_x[active], eta_y[active])
        x[active] -= step * rx
        y[active] -= step * ry
        active = active[(rx.abs() + ry.abs()) > SETTLED]
        if not len(active):
            break
    return _polish(lens, x, y, eta_x, eta_y)


def _off_centre(lens: Lens, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    for cx, cy in lens.centres():
        x = torch.where((x == cx) & (y == cy), x + 1e-6, x)
    return x, y.clone()


def _polish(lens: Lens, x: Tensor, y: Tensor, eta_x: Tensor, eta_y: Tensor) -> tuple[Tensor, Tensor]:
    """Newton's method with A = 1 − ∂²ψ; a step that does not lessen the residual is halved."""
    rx, ry = residual(lens, x, y, eta_x, eta_y)
    size = rx.abs() + ry.abs()
    step = torch.ones_like(x)
    for _ in range(60):
        active = torch.nonzero((size > RESIDUAL) & (step > 1e-6)).flatten()
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
        better = sx.abs() + sy.abs() < size[active]
        taken = active[better]
        x[taken], y[taken], rx[taken], ry[taken] = nx[better], ny[better], sx[better], sy[better]
        size[taken] = (sx.abs() + sy.abs())[better]
        step[active] = torch.where(better, torch.ones_like(fx), step[active] / 2)
    return x, y
