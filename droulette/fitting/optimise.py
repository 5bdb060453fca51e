"""Levenberg-Marquardt on many pictures at once.

SciPy's `least_squares` takes one problem at a time: its Python between two pictures of 64² takes as long as to draw
them, and a card would draw one picture where it can draw thousands. So the few lines of the method are written here
for batches: each row has its own damping and ends by itself (Moré 1978, *The Levenberg-Marquardt algorithm*).

Derivatives cost a picture a parameter. While the fit goes as they foretold they are kept, and only the residuals are
drawn anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from droulette.fitting.family import Family
from droulette.fitting.observation import Observation

SHORTEST_STEP, LONGEST_STEP = 1e-4, 1e-2  # of a coordinate, by which derivatives are taken
LONGEST = 0.7  # of a coordinate in one iteration
FIRST_DAMPING, LEAST_DAMPING, MOST_DAMPING = 1e-2, 1e-7, 1e7
HARDER, EASIER = 5.0, 0.2  # what the damping is multiplied by
SHARE = 0.1  # of a coordinate's deviation with all others known, which is the step within these limits
AS_FORETOLD = 0.25  # by how much the decrease of χ² may differ from what the derivatives foretold
SAME = 4.0  # squared standard deviations, within which two minima are one
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
    observation: Observation, family: Family, start: np.ndarray, prior: Prior, iterations: int, settled: float = SETTLED
) -> Minimum:
    """The fit of each picture, from one start each: (B, P).

    A row has converged where the next step is foretold to lessen its cost by less than `settled`. On a ridge of χ²,
    where only ever shorter steps are tried, that too happens: whether the fit is good, χ² must tell.
    """
    count, size = start.shape
    at = np.array(start)
    residuals = observation.residuals(family, at)
    chi2 = _squares(residuals)
    cost = chi2 + prior.cost(at)
    normal, slope = np.zeros((count, size, size)), np.zeros((count, size))
    derivatives: list = [None] * count  # (P, N²) each, of rows whose fit goes as they foretold
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
                    derivatives[row] = d
                    normal[row] = d @ d.T
                    slope[row] = d @ r
        moves, foretold = _steps(normal[active], slope[active], damping[active], prior[active], at[active])
        new = at[active] + moves
        few = observation[active]
        found = few.residuals(family, new)
        new_chi2 = _squares(found)
        new_cost = new_chi2 + prior[active].cost(new)
        ratio = (cost[active] - new_cost) / np.maximum(foretold, 1e-300)
        better = new_cost < cost[active]
        near = foretold < settled
        fine = abs(ratio - 1.0) < AS_FORETOLD
        for k, row in enumerate(active):
            if better[k]:
                at[row], chi2[row], cost[row] = new[k], new_chi2[k], new_cost[k]
                if fine[k] or near[k]:
                    slope[row] = derivatives[row] @ found[k]
                else:
                    derivatives[row] = None
                damping[row] = max(LEAST_DAMPING, damping[row] * (EASIER if ratio[k] > 0.5 else 1.0))
            else:
                damping[row] *= HARDER
        converged[active] = near
        active = active[~near & (damping[active] < MOST_DAMPING)]
    full = normal + prior.precision
    return Minimum(at, chi2, cost, full, converged, taken)


def _squares(residuals: np.ndarray) -> np.ndarray:
    return np.einsum("bn,bn->b", residuals, residuals)


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
    moves = scale * np.linalg.solve(unit, (scale * slope)[:, :, None])[:, :, 0]
    longest = abs(moves).max(axis=1)
    moves = moves * np.minimum(1.0, LONGEST / np.maximum(longest, 1e-300))[:, None]
    foretold = 2 * (moves * slope).sum(axis=1) - np.einsum("bp,bpq,bq->b", moves, normal, moves)
    return moves, foretold
