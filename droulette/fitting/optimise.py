"""Levenberg-Marquardt on many pictures at once.

SciPy's `least_squares` takes one problem at a time: its Python between two pictures of 64² takes as long as to draw
them, and a card would draw one picture where it can draw thousands. So the few lines of the method are written here
for batches: each row has its own damping and ends by itself (Moré 1978, *The Levenberg-Marquardt algorithm*).

Derivatives cost a picture a parameter. While the fit goes as they foretold they are kept, and only the residuals are
drawn anew. Where it goes otherwise, what was seen along the step is put into them (Broyden 1965, Math. Comp. 19, 577).
`refined` ends a fit with differences as wide as its errors: of a cusp between pixels, derivatives in the limit of short
steps say little of how χ² rises over a standard deviation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from droulette.fitting.bound import covariance
from droulette.fitting.family import Family
from droulette.fitting.mosaic import Mosaic
from droulette.fitting.observation import Observation, sums_of_squares

SHORTEST_STEP, LONGEST_STEP = 1e-4, 1e-2  # of a coordinate, by which derivatives are taken
LONGEST = 0.7  # of a coordinate in one iteration
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-2, 1e-7, 1e7
HARDER, EASIER = 5.0, 0.2  # what the damping is multiplied by
SHARE = 0.1  # of a coordinate's deviation with all others known, which is the step within these limits
AS_FORETOLD = 0.25  # by how much the decrease of χ² may differ from what the derivatives foretold
SAME = 4.0  # squared standard deviations, within which two minima are one
HOPELESS = 0.1  # of the foretold decrease: of less, derivatives are taken anew
ROUNDS = 4  # of differences as wide as the errors
SHRUNK = (1.0, 0.4, 0.1)  # of a step, what is tried
ALIKE = 0.3, 3.0  # what a curvature may be changed by in a round that is the last
NEAR = 1.0  # of χ², the foretold decrease in a round that is the last: its step ends much nearer
SETTLED = 0.01  # of χ², the foretold decrease at which a row has arrived: a tenth of a standard deviation


@dataclass(frozen=True)
class Prior:
    """What is known of the coordinates beforehand: a normal distribution, whose terms are added to χ².

    mean: (P,) or (B, P). precision: (P, P) or (B, P, P), the inverse of the covariance.
    """

    mean: np.ndarray
    precision: np.ndarray

    def __getitem__(self, rows) -> Prior:
        mean = self.mean if self.mean.ndim == 1 else self.mean[rows]
        return Prior(mean, self.precision if self.precision.ndim == 2 else self.precision[rows])

    def slope(self, coordinates: np.ndarray) -> np.ndarray:
        """(B, P): −½ ∂/∂ coordinates of `cost`."""
        return ((self.mean - coordinates)[:, None] @ self.precision)[:, 0]

    def cost(self, coordinates: np.ndarray) -> np.ndarray:
        """(B,): what is added to χ²."""
        return (self.slope(coordinates) * (self.mean - coordinates)).sum(axis=1)

    def costs(self, points: np.ndarray) -> np.ndarray:
        """(B, Q): `cost` at several points each, (B, Q, P)."""
        return np.stack([self.cost(points[:, k]) for k in range(points.shape[1])], axis=1)

    @classmethod
    def of(cls, draws: np.ndarray) -> Prior:
        """The normal distribution with the mean and the covariance of coordinates (n, P)."""
        return cls(draws.mean(axis=0), np.linalg.inv(np.cov(draws.T)))

    @classmethod
    def none(cls, size: int) -> Prior:
        return cls(np.zeros(size), np.zeros((size, size)))


@dataclass(frozen=True)
class Minimum:
    """Where B fits ended.

    coordinates: (B, P). chi2: (B,), without the prior's term; cost: with it. normal: (B, P, P), half the second
    derivatives of the cost: the inverse of the coordinates' covariance. converged: (B,). iterations: (B,).
    """

    coordinates: np.ndarray
    chi2: np.ndarray
    cost: np.ndarray
    normal: np.ndarray
    converged: np.ndarray
    iterations: np.ndarray

    def __getitem__(self, rows) -> Minimum:
        return Minimum(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))

    def apart(self, place: int, other: int, of: Minimum | None = None) -> float:
        """Squared standard deviations between one of these and another one, of these or of others."""
        of = of or self
        difference = self.coordinates[place] - of.coordinates[other]
        return float(difference @ of.normal[other] @ difference)


def minimise(
    observation: Observation | Mosaic,
    family: Family,
    start: np.ndarray,
    prior: Prior,
    iterations: int,
    settled: float = SETTLED,
) -> Minimum:
    """The fit of each picture, from one start each: (B, P).

    A row has converged where the next step is foretold to lessen its cost by less than `settled`. On a ridge of χ²,
    where only ever shorter steps are tried, that too happens: whether the fit is good, χ² must tell.
    """
    count, size = start.shape
    at = np.array(start)
    known = observation.lengths()
    chi2, cost = np.zeros(count), np.zeros(count)
    residuals: list = [None] * count  # (N²,) each
    normal, slope = np.zeros((count, size, size)), np.zeros((count, size))
    derivatives: list = [None] * count  # (P, N²) each
    mended = np.zeros(count, bool)  # rows whose derivatives are not those of one place
    damping = np.full(count, FIRST_DAMPING)
    taken, converged = np.zeros(count, int), np.zeros(count, bool)
    active = np.arange(count)
    for _ in range(iterations):
        if not len(active):
            break
        taken[active] += 1
        stale = np.array([row for row in active if derivatives[row] is None], int)
        if len(stale):
            steps = np.clip(SHARE / np.sqrt(np.einsum("bpp->bp", normal[stale]) + 1e-300), SHORTEST_STEP, LONGEST_STEP)
            for rows, found, slopes in observation[stale].derivatives(family, at[stale], steps):
                for row, r, d in zip(stale[rows], found, slopes, strict=True):
                    derivatives[row], residuals[row] = np.array(d[:, : known[row]]), r[: known[row]]
                    normal[row] = derivatives[row] @ derivatives[row].T
                    slope[row] = derivatives[row] @ residuals[row]
                    chi2[row] = residuals[row] @ residuals[row]
            cost[stale] = chi2[stale] + prior[stale].cost(at[stale])
            mended[stale] = False
        moves, foretold = _steps(normal[active], slope[active], damping[active], prior[active], at[active])
        new = at[active] + moves
        found = observation[active].residuals(family, new)
        new_chi2 = sums_of_squares(found)
        new_cost = new_chi2 + prior[active].cost(new)
        ratio = (cost[active] - new_cost) / np.maximum(foretold, 1e-300)
        better = new_cost < cost[active]
        near = foretold < settled
        fine = abs(ratio - 1.0) < AS_FORETOLD
        for k, row in enumerate(active):
            if not better[k]:
                damping[row] *= HARDER
                if mended[row]:
                    derivatives[row] = None
                continue
            at[row], chi2[row], cost[row] = new[k], new_chi2[k], new_cost[k]
            damping[row] = max(LEAST_DAMPING, damping[row] * (EASIER if ratio[k] > 0.5 else 1.0))
            if ratio[k] < HOPELESS and not near[k]:
                derivatives[row] = None
                continue
            left = found[k, : known[row]]
            if not fine[k] and not near[k]:
                _mend(derivatives[row], residuals[row] - left, moves[k], normal[row] + prior[row].precision)
                normal[row] = derivatives[row] @ derivatives[row].T
                mended[row] = True
            residuals[row] = left
            slope[row] = derivatives[row] @ left
        for row in active[near & mended[active]]:  # whether it has arrived, derivatives of this place must tell
            derivatives[row] = None
        converged[active] = near & ~mended[active]
        active = active[~converged[active] & (damping[active] < MOST_DAMPING)]
    full = normal + prior.precision
    return Minimum(at, chi2, cost, full, converged, taken)


def _mend(derivatives: np.ndarray, change: np.ndarray, move: np.ndarray, metric: np.ndarray) -> None:
    """Make derivatives (P, N²), in place, foretell the change (N²,) that a move (P,) has made to the model."""
    along = metric @ move
    derivatives += np.outer(along / (along @ move), change - move @ derivatives)


def refined(observation: Observation | Mosaic, family: Family, minimum: Minimum, prior: Prior) -> Minimum:
    """Minima with the curvature of differences a standard deviation to either side, along the axes of the errors.

    And a little lower, where these show a way down. `converged`: where they do not, at the end.
    """
    at, normal = np.array(minimum.coordinates), np.array(minimum.normal)
    chi2, cost = np.array(minimum.chi2), np.array(minimum.cost)
    converged = np.array(minimum.converged)
    active = np.arange(len(at))
    for _ in range(ROUNDS):
        some, known = observation[active], prior[active]
        axes = roots(normal[active])
        across = axes.swapaxes(1, 2)
        sides, squares, curvature, way = _to_either_side(some, family, at[active], axes)
        curvature = curvature + across @ known.precision @ axes
        way = way + (across @ known.slope(at[active])[:, :, None])[:, :, 0]
        step = np.linalg.solve(curvature, way[:, :, None])[:, :, 0]
        foretold = (step * way).sum(axis=1)
        back = np.linalg.inv(axes)
        normal[active] = back.swapaxes(1, 2) @ curvature @ back
        moves = _bounded((axes @ step[:, :, None])[:, :, 0])
        along = at[active][:, None] + np.array(SHRUNK)[:, None] * moves[:, None]
        points = np.concatenate([sides, along], axis=1)
        squares = np.concatenate([squares, some.squares_at(family, along)], axis=1)
        costs = squares + known.costs(points)
        which = np.arange(len(active)), costs.argmin(axis=1)
        gained = costs[:, 0] - costs[which]
        at[active], chi2[active], cost[active] = points[which], squares[which], costs[which]
        converged[active] = gained < NEAR
        ratios = np.linalg.eigvalsh(curvature)
        alike = (ratios[:, 0] > ALIKE[0]) & (ratios[:, -1] < ALIKE[1])
        active = active[~alike | (np.maximum(foretold, gained) >= NEAR)]
        if not len(active):
            break
    return Minimum(at, chi2, cost, normal, converged, minimum.iterations)


def _to_either_side(
    observation: Observation | Mosaic, family: Family, at: np.ndarray, axes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What is seen at places (B, P), and to either side of them along the columns of `axes` (B, P, P).

    Returns:
        The points (B, 1 + 2 P, P), the places first, and their χ² (B, 1 + 2 P); by central differences, half the second
        derivatives of χ² along the axes (B, P, P), and half its decrease (B, P).
    """
    size = at.shape[1]
    sides = np.concatenate([np.zeros((1, size)), np.eye(size), -np.eye(size)])
    points = at[:, None] + sides @ axes.swapaxes(1, 2)
    squares, curvature, way = np.zeros(points.shape[:2]), np.zeros((len(at), size, size)), np.zeros((len(at), size))
    for rows, found in observation.residuals_at(family, points):
        slopes, rows = 0.5 * (found[:, 1 + size :] - found[:, 1 : 1 + size]), np.arange(len(at))[rows]
        np.add.at(squares, rows, sums_of_squares(found))
        np.add.at(curvature, rows, slopes @ slopes.swapaxes(1, 2))
        np.add.at(way, rows, (slopes @ found[:, 0, :, None])[:, :, 0])
    return points, squares, curvature, way


def roots(normals: np.ndarray) -> np.ndarray:
    """(K, P, P): L with L Lᵀ the covariance, whose columns are the axes of the errors, of one deviation."""
    values, vectors = np.linalg.eigh(covariance(normals))
    return vectors * np.sqrt(np.maximum(values, 1e-12 * values[:, -1:]))[:, None]


def _steps(
    normal: np.ndarray, slope: np.ndarray, damping: np.ndarray, prior: Prior, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Steps (B, P), none longer than LONGEST, and the decrease of χ² that the derivatives foretell, (B,)."""
    normal = normal + prior.precision
    slope = slope + prior.slope(at)
    diagonal = np.einsum("bpp->bp", normal)
    scale = 1.0 / np.sqrt(np.maximum(diagonal, 1e-12 * diagonal.max(axis=1, keepdims=True) + 1e-300))
    unit = normal * scale[:, :, None] * scale[:, None, :]
    unit = unit + damping[:, None, None] * np.eye(len(scale[0]))
    moves = _bounded(scale * np.linalg.solve(unit, (scale * slope)[:, :, None])[:, :, 0])
    foretold = 2 * (moves * slope).sum(axis=1) - np.einsum("bp,bpq,bq->b", moves, normal, moves)
    return moves, foretold


def _bounded(moves: np.ndarray) -> np.ndarray:
    """Steps (B, P), none longer than LONGEST."""
    longest = abs(moves).max(axis=1)
    return moves * np.minimum(1.0, LONGEST / np.maximum(longest, 1e-300))[:, None]
