"""How sure a fit is: draws of its parameters, and of the amplitudes that follow from them.

About a minimum the posterior is nearly normal, with the inverse of the curvature as its covariance (Laplace). Draws of
it are carried to the amplitudes one by one, since these are anything but linear where a reference point may lie on
either side of a ring. Several minima are drawn from by their evidence, exp(−cost / 2) / √|curvature|.

Where the normal distribution does not do, `weighted` corrects it by importance sampling: draws of a wider
distribution, a t, are weighted by posterior over proposal. Their effective number says whether that worked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from droulette.fitting.bound import covariance
from droulette.fitting.family import Family
from droulette.fitting.observation import Observation
from droulette.fitting.optimise import SAME, Minimum, Prior
from droulette.fitting.search import Found

COMPARABLE = math.log(1000)  # of evidence, by which a solution that counts may fall short of the best one
FREEDOM = 8.0  # degrees of freedom of the t distribution


@dataclass(frozen=True)
class Draws:
    """M draws for each of B pictures. coordinates: (B, M, P). weights: (B, M), of sum 1.

    effective: (B,), the number of equal draws that say as much, 1 / Σ weight². solutions: (B,), how many there are.
    """

    coordinates: np.ndarray
    weights: np.ndarray
    effective: np.ndarray
    solutions: np.ndarray

    def targets(self, family: Family, columns: tuple[str, ...]) -> np.ndarray:
        """(B, M, C)."""
        count, number, size = self.coordinates.shape
        return family.targets(self.coordinates.reshape(-1, size), columns).reshape(count, number, -1)


def draws(found: Found, count: int, seed: int = 0) -> Draws:
    """Draws of the normal distributions about the solutions of each picture."""
    rng = np.random.default_rng(seed)
    size = found.minimum.coordinates.shape[1]
    every = np.empty((len(found.pixels), count, size))
    numbers = np.empty(len(every), int)
    for row in range(len(every)):
        middles, normals, weights = solutions(found, row)
        which = rng.choice(len(weights), size=count, p=weights)
        roots = _roots(normals)
        every[row] = middles[which] + (roots[which] @ rng.standard_normal((count, size, 1)))[:, :, 0]
        numbers[row] = len(weights)
    equal = np.full((len(every), count), 1 / count)
    return Draws(every, equal, np.full(len(every), float(count)), numbers)


def solutions(found: Found, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The places (K, P), curvatures (K, P, P) and shares (K,) of a picture's solutions, the best first."""
    ends = [(minimum, int(place)) for rows, minimum in found.tried for place in np.flatnonzero(rows == row)]
    ends = [(found.minimum, row), *ends]
    evidence = np.array([_evidence(minimum, place) for minimum, place in ends])
    kept: list[int] = []
    for k in np.argsort(-evidence):
        minimum, place = ends[k]
        comparable = evidence[k] > evidence[0] - COMPARABLE and (minimum.converged[place] or k == 0)
        if comparable and not any(_apart(ends[k], ends[other]) < SAME for other in kept):
            kept.append(int(k))
    shares = np.exp(evidence[kept] - evidence[kept].max())
    places = [ends[k] for k in kept]
    return (
        np.stack([minimum.coordinates[place] for minimum, place in places]),
        np.stack([minimum.normal[place] for minimum, place in places]),
        shares / shares.sum(),
    )


def _evidence(minimum: Minimum, place: int) -> float:
    return -0.5 * (minimum.cost[place] + np.linalg.slogdet(minimum.normal[place])[1])


def _apart(one: tuple[Minimum, int], other: tuple[Minimum, int]) -> float:
    return one[0].apart(one[1], other[1], other[0])


def _roots(normals: np.ndarray) -> np.ndarray:
    """(K, P, P): L with L Lᵀ the covariance."""
    values, vectors = np.linalg.eigh(covariance(normals))
    return vectors * np.sqrt(np.maximum(values, 0.0))[:, None]


def weighted(observation: Observation, family: Family, found: Found, prior: Prior, count: int, seed: int = 0) -> Draws:
    """Draws of a t distribution about each picture's best solution, weighted to be ones of the posterior."""
    rng = np.random.default_rng(seed)
    minimum = found.minimum
    rows, size = minimum.coordinates.shape
    roots = _roots(minimum.normal)
    unit = rng.standard_normal((rows, count, size))
    stretch = np.sqrt(FREEDOM / rng.chisquare(FREEDOM, (rows, count)))
    unit = unit * stretch[:, :, None]
    every = minimum.coordinates[:, None] + unit @ roots.swapaxes(1, 2)
    log_proposal = -0.5 * (FREEDOM + size) * np.log1p((unit**2).sum(axis=2) / FREEDOM)
    log_posterior = np.empty((rows, count))
    for row in range(rows):
        copies = observation[np.full(count, row)]
        residuals = copies.residuals(family, every[row])
        log_posterior[row] = -0.5 * ((residuals**2).sum(axis=1) + prior[np.full(count, row)].cost(every[row]))
    log_weights = log_posterior - log_proposal
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    weights = weights / weights.sum(axis=1, keepdims=True)
    return Draws(every, weights, 1 / (weights**2).sum(axis=1), np.ones(rows, int))


def quantiles(values: np.ndarray, weights: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """(len(shares), B, C) of weighted draws (B, M, C), those that are NaN left out."""
    order = np.argsort(values, axis=1)  # NaN comes last
    sorted_values = np.take_along_axis(values, order, axis=1)
    mass = np.take_along_axis(np.broadcast_to(weights[:, :, None], values.shape), order, axis=1)
    mass = np.where(np.isnan(sorted_values), 0.0, mass)
    below = (mass.cumsum(axis=1) - 0.5 * mass) / np.maximum(mass.sum(axis=1, keepdims=True), 1e-300)
    found = np.empty((len(shares), values.shape[0], values.shape[2]))
    for row, column in np.ndindex(found.shape[1:]):
        known = mass[row, :, column] > 0
        if not known.any():
            found[:, row, column] = np.nan
            continue
        found[:, row, column] = np.interp(shares, below[row, known, column], sorted_values[row, known, column])
    return found
