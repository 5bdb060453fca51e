"""How sure a fit is: draws of its parameters, and of the amplitudes that follow from them.

About a minimum the posterior is nearly normal, with the inverse of the curvature as its covariance (Laplace). Draws of
it are carried to the amplitudes one by one, since these are anything but linear where a reference point may lie on
either side of a ring. Several minima are drawn from by their evidence, exp(−cost / 2) / √|curvature|.

Where the normal distribution does not do, `sampled` replaces it by adaptive importance sampling. The effective number
of the draws says whether that worked. Samplers for one problem at a time, such as emcee, walk: a scene's ten parameters
take them thousands of pictures. Draws of a distribution that is nearly right need hundreds, and those of many pictures
are made at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from droulette.fitting.family import Family
from droulette.fitting.mosaic import mosaic
from droulette.fitting.observation import Observation
from droulette.fitting.optimise import SAME, Minimum, Prior, roots
from droulette.fitting.search import Found

COMPARABLE = math.log(1000)  # of evidence, by which a solution that counts may fall short of the best one
FREEDOM = 8.0  # degrees of freedom of the t distributions
WIDER = 1.1  # than the errors, and than what was found: a proposal must reach all of the posterior
LEAST_SHARE = 0.05  # of the draws about a solution
AT_ONCE = 100  # draws of each picture, whose scenes are in memory together
MOST_ROUNDS = 14
CONFIRMED = 0.5  # effective draws, of all, from which on the normal distribution is taken for the posterior
# Where it is not, χ² is rugged, and no sample finds all that is as good: 95 % intervals of such fits, an eighth of all,
# held 87 % with this power of the likelihood at 1, and 94 % at 1/2 (1,000 rows; docs/notes/fit-accuracy.md).
ROUGH_POWER = 0.5
FEW, FLATTER = 30, 0.8  # effective draws that an interval needs, and a power of weights that makes them more


@dataclass(frozen=True)
class Effort:
    """Draws in the first round of importance sampling and in each further one, and effective draws that are enough."""

    first: int
    more: int
    enough: int


USUAL = Effort(30, 100, 100)
# Of a posterior in 21 dimensions, of which 11 % lay aside, the usual effort found 0 to 2 % there, this one 5 to 11 %.
THOROUGH = Effort(200, 1000, 300)


@dataclass(frozen=True)
class Draws:
    """M equal draws for each of B pictures. coordinates: (B, M, P).

    effective: (B,), the number of independent draws that say as much. solutions: (B,), how many there are.
    """

    coordinates: np.ndarray
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
        axes = roots(normals)
        every[row] = middles[which] + (axes[which] @ rng.standard_normal((count, size, 1)))[:, :, 0]
        numbers[row] = len(weights)
    return Draws(every, np.full(len(every), float(count)), numbers)


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


def sampled(
    observation: Observation, family: Family, found: Found, prior: Prior, count: int, seed: int = 0,
    effort: Effort = USUAL,
) -> Draws:  # fmt: skip
    """Draws of the posterior: those of `draws`, where importance sampling confirms them, and else of its sample.

    At first a t distribution, or several, about the solutions are drawn from, and then those with the mean and the
    covariance of what was found, all draws being weighted as of the mixture of all (Cornuet et al. 2012, Scand. J.
    Stat. 39, 798). effective: of this sample, 1 / Σ weight²; less than `effort.enough` where it ends without.
    """
    rng = np.random.default_rng(seed)
    best = draws(found, count, seed)
    about = mosaic(observation, family, found.minimum.coordinates, found.light)
    effective = np.zeros(len(found.pixels))
    chains = [Chain.about(*solutions(found, row)) for row in range(len(effective))]
    active = np.arange(len(chains))
    for round in range(MOST_ROUNDS):
        number = effort.first if round == 0 else effort.more
        points = np.stack([chains[row].propose(number, rng) for row in active])
        some = about[active]
        squares = [some.squares_at(family, points[:, k : k + AT_ONCE]) for k in range(0, number, AT_ONCE)]
        costs = np.concatenate(squares, axis=1) + prior[active].costs(points)
        for row, few, cost in zip(active, points, costs, strict=True):
            chains[row].learn(few, cost)
            effective[row] = chains[row].effective
        if round == 0:
            normal = effective > CONFIRMED * number
            effective = np.where(normal, effective * count / number, effective)
            active = np.flatnonzero(~normal)
        else:
            active = active[effective[active] < effort.enough]
        if not len(active):
            break
    coordinates = np.array(best.coordinates)
    for row in np.flatnonzero(~normal):
        coordinates[row] = chains[row].drawn(count, rng)
    return Draws(coordinates, effective, best.solutions)


class Chain:
    """Importance sampling of one picture's posterior.

    proposals: mixtures of t distributions, (shares, middles, axes) each. drawn from them: `points`, (n, P), with their
    `costs`; `numbers`, how many of each.
    """

    def __init__(self, shares: np.ndarray, middles: np.ndarray, axes: np.ndarray) -> None:
        self.proposals = [(shares, middles, axes)]
        self.points, self.costs = np.empty((0, middles.shape[1])), np.empty(0)
        self.numbers: list[int] = []

    @classmethod
    def about(cls, middles: np.ndarray, normals: np.ndarray, shares: np.ndarray) -> Chain:
        """Of solutions, see `solutions`."""
        return cls((shares + LEAST_SHARE) / (shares + LEAST_SHARE).sum(), middles, WIDER * roots(normals))

    def propose(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """(number, P), of the newest proposal."""
        shares, middles, axes = self.proposals[-1]
        which = rng.choice(len(shares), size=number, p=shares)
        unit = rng.standard_normal((number, middles.shape[1]))
        unit *= np.sqrt(FREEDOM / rng.chisquare(FREEDOM, number))[:, None]
        return middles[which] + (axes[which] @ unit[:, :, None])[:, :, 0]

    def learn(self, points: np.ndarray, costs: np.ndarray) -> None:
        """Take what was proposed last, and make the next proposal."""
        self.points, self.costs = np.concatenate([self.points, points]), np.concatenate([self.costs, costs])
        self.numbers.append(len(points))
        density = np.stack([_density(self.points, *proposal) for proposal in self.proposals], axis=1)
        mixture = density @ (np.array(self.numbers) / len(self.points))
        power = 1.0 if len(self.numbers) == 1 else ROUGH_POWER
        log_weights = -0.5 * power * (self.costs - self.costs.min()) - np.log(mixture + 1e-300)
        self.log_weights = log_weights - log_weights.max()
        weights = np.exp(self.log_weights)
        self.weights = weights / weights.sum()
        self.effective = 1 / (self.weights**2).sum()
        # With weights cut off, means are steadier (Ionides 2008, J. Comput. Graph. Stat. 17, 295).
        steady = np.minimum(self.weights, len(weights) ** -0.5)
        steady = steady / steady.sum()
        first = self.proposals[0][2][0]
        middle = steady @ self.points
        apart = self.points - middle
        few = 1 / (steady**2).sum()
        size = len(middle)
        spread = (few * (apart.T * steady) @ apart + size * first @ first.T) / (few + size)
        axes = WIDER * np.linalg.cholesky(spread)
        self.proposals.append((np.ones(1), middle[None], axes[None]))

    def drawn(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count, P), equal draws: those that count most are there several times.

        Where fewer than FEW count, the weights are made more alike: an interval must not shrink to one draw.
        """
        weights, power = self.weights, 1.0
        while 1 / (weights**2).sum() < min(FEW, 0.5 * len(weights)):
            power *= FLATTER
            weights = np.exp(power * self.log_weights)
            weights = weights / weights.sum()
        steps = (np.arange(count) + rng.random()) / count
        places = np.searchsorted(weights.cumsum(), steps).clip(0, len(weights) - 1)
        return self.points[rng.permutation(places)]


def _density(points: np.ndarray, shares: np.ndarray, middles: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """(n,) of a mixture of t distributions, but for a factor."""
    size, total = points.shape[1], np.zeros(len(points))
    for share, middle, axis in zip(shares, middles, axes, strict=True):
        unit = np.linalg.solve(axis, (points - middle).T)
        volume = np.linalg.slogdet(axis)[1]
        total = total + share * np.exp(-0.5 * (FREEDOM + size) * np.log1p((unit**2).sum(axis=0) / FREEDOM) - volume)
    return total


def intervals(values: np.ndarray, shares: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Of draws (B, M, C) the medians (B, C), and half the widths about these that hold the shares, (len(shares), B, C).

    Draws that are NaN are left out.
    """
    (middle,) = quantiles(values, (0.5,))
    return middle, quantiles(abs(values - middle[:, None]), shares)


def quantiles(values: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """(len(shares), B, C) of draws (B, M, C), those that are NaN left out; NaN where all are."""
    ascending = np.sort(values, axis=1)  # NaN comes last
    known = (~np.isnan(values)).sum(axis=1)
    last = np.maximum(known - 1, 0)
    found = []
    for share in shares:
        place = np.clip(share * known - 0.5, 0, last)
        low = np.floor(place).astype(int)
        both = np.stack([low, np.minimum(low + 1, last)], axis=1)
        below, above = np.take_along_axis(ascending, both, axis=1).swapaxes(0, 1)
        found.append(below + (place - low) * (above - below))
    return np.stack(found)
