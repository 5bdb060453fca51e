"""The reference point ξ₀: the apparent position of the source, η = ξ₀ − ∇ψ(ξ₀)."""

from __future__ import annotations

import numpy as np

from droulette.physics.amplitudes import convergence_and_shear
from droulette.physics.arrays import Array, is_numpy, like, namespace
from droulette.physics.batches import take
from droulette.physics.elementary import cosine_and_sine, sqrt, where
from droulette.physics.engines import compiled
from droulette.physics.lenses import Lens

ITERATIONS = 20_000
SETTLED = 1e-7  # px a step, where Newton's method takes over
RESIDUAL = 1e-11  # px, what is aimed at
TOLERANCE = 1e-9  # px, the largest residual of a row that counts as solved
ROUNDING = 2.0**-50  # 4 units in the last place: coordinates beyond 10⁶ px have no residual below TOLERANCE
DESCENT = 500  # steps
DIRECTIONS = (0.0, 45.0, -45.0, 90.0, -90.0, 135.0, -135.0, 180.0)  # degrees
NEAREST, FURTHEST = -60, 60  # powers of 2 in px, between which an image is looked for


def residual(lens: Lens, xi_x: Array, xi_y: Array, eta_x: Array, eta_y: Array) -> tuple[Array, Array]:
    """ξ − ∇ψ(ξ) − η in px: (B,) each."""
    dx, dy = lens.deflection(xi_x, xi_y)
    return xi_x - dx - eta_x, xi_y - dy - eta_y


@np.errstate(all="ignore")
def solved(lens: Lens, xi_x: Array, xi_y: Array, eta_x: Array, eta_y: Array) -> Array:
    """Whether ξ is a reference point of η: (B,) bool.

    Its residual is below TOLERANCE, or below the rounding of the coordinates where these are larger than 10⁶ px;
    and it is no singular centre, where the formulas give a deflection of 0 that means nothing.
    """
    rx, ry = residual(lens, xi_x, xi_y, eta_x, eta_y)
    rounding = ROUNDING * (abs(xi_x) + abs(xi_y) + abs(eta_x) + abs(eta_y))
    fine = sqrt(rx * rx + ry * ry) < where(rounding > TOLERANCE, rounding, TOLERANCE)
    for cx, cy in lens.centres():
        (rows,) = namespace(xi_x).nonzero(fine & (abs(xi_x - cx) + abs(xi_y - cy) < 1e-12))
        if len(rows):
            kappa, gamma1, gamma2 = convergence_and_shear(take(lens, rows), xi_x[rows], xi_y[rows])
            fine[rows] = abs(kappa) + abs(gamma1) + abs(gamma2) < 1e6
    return fine


def apparent_position(lens: Lens, eta_x: Array, eta_y: Array) -> tuple[Array, Array]:
    """The solution that the fixed-point iteration ξ ← η + ∇ψ(ξ), started at ξ = η, reaches.

    Where η is a lens centre the start has no direction, and +x is taken.

    The iteration cannot be followed to its end everywhere. A point mass throws a source 1e-9 px beside it to
    10¹² px, and near a caustic more steps are needed than there is time for. But each step of it is a step downhill
    on the arrival time ½|ξ − η|² − ψ(ξ), whose gradient is the residual: the solution that it reaches is a minimum,
    and one always exists. In rows where the iteration has not arrived, a descent by shorter steps goes on from
    where it stopped, and then, until one arrives, from outside the Einstein radius: first in the direction of η
    from the lens centre nearest to it, to which the iteration's first step goes too.

    Args:
        lens: B lenses.
        eta_x, eta_y: (B,) actual positions of the sources, px.

    Returns:
        xi_x, xi_y: (B,) px. In a row without a solution, which `solved` tells, where the iteration stopped, or NaN.
    """
    start = _off_centre(lens, eta_x, eta_y)
    with np.errstate(all="ignore"):
        x, y = _polish(lens, *_settle(lens, *start, eta_x, eta_y), eta_x, eta_y)
        (rows,) = namespace(x).nonzero(~solved(lens, x, y, eta_x, eta_y))
        if len(rows):
            x[rows], y[rows] = _search(take(lens, rows), x[rows], y[rows], eta_x[rows], eta_y[rows])
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


def _polish(lens: Lens, x: Array, y: Array, eta_x: Array, eta_y: Array, newton=None) -> tuple[Array, Array]:
    """Newton's method; a step that does not lessen the residual is halved. newton: what gives −1 times the step."""
    newton = newton or _newton
    rx, ry = residual(lens, x, y, eta_x, eta_y)
    size, step = abs(rx) + abs(ry), x * 0.0 + 1.0
    for _ in range(60):
        (active,) = namespace(x).nonzero((size > RESIDUAL) & (step > 1e-6))
        if not len(active):
            break
        lens_now = take(lens, active)
        ax, ay = x[active], y[active]
        dx, dy = newton(lens_now, ax, ay, rx[active], ry[active])
        nx, ny = ax - step[active] * dx, ay - step[active] * dy
        sx, sy = residual(lens_now, nx, ny, eta_x[active], eta_y[active])
        better = abs(sx) + abs(sy) < size[active]
        taken = active[better]
        x[taken], y[taken], rx[taken], ry[taken] = nx[better], ny[better], sx[better], sy[better]
        size[taken] = (abs(sx) + abs(sy))[better]
        step[active] = where(better, 1.0, step[active] / 2)
    return x, y


def _newton(lens: Lens, x: Array, y: Array, rx: Array, ry: Array) -> tuple[Array, Array]:
    """A⁻¹ r with A = 1 − ∂²ψ."""
    kappa, gamma1, gamma2 = convergence_and_shear(lens, x, y)
    determinant = (1 - kappa) ** 2 - gamma1**2 - gamma2**2
    dx = ((1 - kappa + gamma1) * rx + gamma2 * ry) / determinant
    dy = ((1 - kappa - gamma1) * ry + gamma2 * rx) / determinant
    return dx, dy


def _newton_by_differences(lens: Lens, x: Array, y: Array, rx: Array, ry: Array) -> tuple[Array, Array]:
    """The same with differences of the deflection: that of a sampled lens is not exactly the gradient of its ψ."""
    zero, width = x * 0.0, 1e-6
    xx, yx = residual(lens, x + width, y, zero, zero)
    xy, yy = residual(lens, x, y + width, zero, zero)
    here_x, here_y = residual(lens, x, y, zero, zero)
    xx, yx = (xx - here_x) / width, (yx - here_y) / width
    xy, yy = (xy - here_x) / width, (yy - here_y) / width
    determinant = xx * yy - xy * yx
    return (yy * rx - xy * ry) / determinant, (xx * ry - yx * rx) / determinant


# ---------------------------------------------------------------- rows in which the iteration does not arrive


def _search(lens: Lens, x: Array, y: Array, eta_x: Array, eta_y: Array) -> tuple[Array, Array]:
    """Descend from where the iteration stopped, and then from outside in each of DIRECTIONS. In place."""
    xp = namespace(x)
    rx, ry = residual(lens, x, y, eta_x, eta_y)
    (settled,) = xp.nonzero(abs(rx) + abs(ry) < 10 * SETTLED)
    place = x[settled], y[settled], eta_x[settled], eta_y[settled]
    x[settled], y[settled] = _polish(take(lens, settled), *place, _newton_by_differences)
    found_x, found_y = x + 0.0, y + 0.0
    (remaining,) = xp.nonzero(~solved(lens, x, y, eta_x, eta_y))
    for turn in (None, *DIRECTIONS):
        if not len(remaining):
            break
        lens_now = take(lens, remaining)
        eta = eta_x[remaining], eta_y[remaining]
        start = (x[remaining], y[remaining]) if turn is None else _outside(lens_now, *eta, turn)
        end = _polish(lens_now, *_descend(lens_now, *start, *eta), *eta)
        end = _polish(lens_now, *end, *eta, _newton_by_differences)
        arrived = solved(lens_now, *end, *eta)
        found_x[remaining[arrived]], found_y[remaining[arrived]] = end[0][arrived], end[1][arrived]
        remaining = remaining[~arrived]
    return found_x, found_y


def _outside(lens: Lens, eta_x: Array, eta_y: Array, turn: float) -> tuple[Array, Array]:
    """A point beyond the outermost image on a ray from the lens centre nearest to η.

    The ray goes through η, or along +x where η is the centre, and is turned by `turn` degrees.
    """
    xp = namespace(eta_x)
    centre_x, centre_y = lens.centres()[0]
    distance = abs(eta_x - centre_x) + abs(eta_y - centre_y)
    for cx, cy in lens.centres()[1:]:
        other = abs(eta_x - cx) + abs(eta_y - cy)
        centre_x, centre_y = where(other < distance, cx, centre_x), where(other < distance, cy, centre_y)
        distance = where(other < distance, other, distance)
    behind = distance == 0.0
    distance = where(behind, 1.0, distance)  # the squares of 1e-200 px would be 0
    along_x = where(behind, 1.0, (eta_x - centre_x) / distance)
    along_y = where(behind, 0.0, (eta_y - centre_y) / distance)
    length = sqrt(along_x * along_x + along_y * along_y)
    cos, sin = cosine_and_sine(xp.asarray(turn, dtype=xp.float64, **like(eta_x)))
    ray_x = (along_x * cos - along_y * sin) / length
    ray_y = (along_x * sin + along_y * cos) / length
    radius = eta_x * 0.0 + 2.0**NEAREST
    for power in range(NEAREST, FURTHEST):
        rx, ry = residual(lens, centre_x + 2.0**power * ray_x, centre_y + 2.0**power * ray_y, eta_x, eta_y)
        radius = where(rx * ray_x + ry * ray_y < 0.0, 2.0 ** (power + 1), radius)
    return centre_x + radius * ray_x, centre_y + radius * ray_y


def _descend(lens: Lens, x: Array, y: Array, eta_x: Array, eta_y: Array) -> tuple[Array, Array]:
    """Go down on the arrival time, by Newton's steps with each curvature made positive, and no longer than `reach`.

    A step which ends where the way rises again is too long, and `reach` is halved; otherwise it is doubled.
    """
    xp = namespace(x)
    x, y = x + 0.0, y + 0.0
    rx, ry = residual(lens, x, y, eta_x, eta_y)
    reach = 0.5 * (abs(x - eta_x) + abs(y - eta_y)) + 1e-3
    for _ in range(DESCENT):
        (active,) = xp.nonzero((abs(rx) + abs(ry) > RESIDUAL) & (reach > 1e-15))
        if not len(active):
            break
        lens_now = take(lens, active)
        ax, ay = x[active], y[active]
        fx, fy = rx[active], ry[active]
        limit = reach[active]
        dx, dy = _newton_downhill(*convergence_and_shear(lens_now, ax, ay), fx, fy)
        length = sqrt(dx * dx + dy * dy)
        shorter = where(length > limit, limit / length, 1.0)
        dx, dy = shorter * dx, shorter * dy
        nx, ny, tx, ty = _along_the_ring(ax, ay, eta_x[active], eta_y[active], dx, dy)
        sx, sy = residual(lens_now, nx, ny, eta_x[active], eta_y[active])
        fine = tx * sx + ty * sy <= -0.5 * (dx * fx + dy * fy)
        taken = active[fine]
        x[taken], y[taken] = nx[fine], ny[fine]
        rx[taken], ry[taken] = sx[fine], sy[fine]
        reach[active] = where(fine, 2.0 * limit, 0.5 * where(length < limit, length, limit))
    return x, y


def _along_the_ring(
    x: Array, y: Array, eta_x: Array, eta_y: Array, dx: Array, dy: Array
) -> tuple[Array, Array, Array, Array]:
    """A step (dx, dy) in polar coordinates about η: where it ends, and its direction there times its length.

    An image near the Einstein ring lies in a valley that is bent like the ring, and straight steps would have to be
    10,000 times shorter than the way.
    """
    px, py = x - eta_x, y - eta_y
    distance = sqrt(px * px + py * py)
    at_eta = distance == 0.0
    distance = where(at_eta, 1.0, distance)
    ux, uy = where(at_eta, 1.0, px / distance), py / distance
    outwards, around = dx * ux + dy * uy, dy * ux - dx * uy
    half = where(at_eta, 0.0, 0.5 * around / distance)  # the tangent of half the angle
    cos, sin = (1.0 - half * half) / (1.0 + half * half), 2.0 * half / (1.0 + half * half)
    radius = where(at_eta, 0.0, distance) + outwards
    end_x = eta_x + radius * (ux * cos - uy * sin)
    end_y = eta_y + radius * (uy * cos + ux * sin)
    end_x, end_y = where(at_eta, x + dx, end_x), where(at_eta, y + dy, end_y)
    return end_x, end_y, dx * cos - dy * sin, dy * cos + dx * sin


def _newton_downhill(kappa: Array, gamma1: Array, gamma2: Array, rx: Array, ry: Array) -> tuple[Array, Array]:
    """−|A|⁻¹ r, where |A| has the eigenvectors of A = 1 − ∂²ψ and the sizes of its eigenvalues 1 − κ ± γ."""
    gamma = sqrt(gamma1 * gamma1 + gamma2 * gamma2)
    low, high = abs(1.0 - kappa - gamma), abs(1.0 - kappa + gamma)
    low, high = 1.0 / where(low < 1e-15, 1e-15, low), 1.0 / where(high < 1e-15, 1e-15, high)
    mean, half = 0.5 * (low + high), where(gamma > 0.0, 0.5 * (high - low) / gamma, 0.0)
    dx = -(mean - half * gamma1) * rx + half * gamma2 * ry
    dy = -(mean + half * gamma1) * ry + half * gamma2 * rx
    known = (dx - dx == 0.0) & (dy - dy == 0.0)  # not so at a lens centre
    return where(known, dx, -rx), where(known, dy, -ry)
