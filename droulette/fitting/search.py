"""The best fit of each picture: from starts, by sketches of it, to its minimum, and again where that is none.

A scene's χ² has side minima: a source with a cusp is bright in single pixels, which a wrong place must cross one by
one, and a ring looks much the same from several sides. So starts are first fitted to wide pixels, in which bright
cores count less, and the best of them goes on. A fit that is not as good as the noise allows tries others: near by,
from further starts, and with one lens or the source of a start in the place of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from droulette.fitting.bound import covariance
from droulette.fitting.family import Family
from droulette.fitting.mosaic import mosaic
from droulette.fitting.observation import Observation, block_sums, sums_of_squares
from droulette.fitting.optimise import SAME, Minimum, Prior, minimise, refined

WIDE, HALF = 8, 4  # px that pixels are wide: of the first fits, and of those before the last
SQUARE = 4  # px, the side of squares in which neighbours miss alike if the model is wrong
FIRST_DOUBT, DOUBT = 0.1, 0.3  # share of the light that is no evidence: of the fits to wide pixels, and before the last
FIRST_ITERATIONS, ITERATIONS = 10, 30
ARRIVED = 0.1  # of χ², the foretold decrease at which `refined` takes over
FIRST_STARTS, MORE_STARTS = 3, 8
ROUNDS = 6  # for each lens, in which a fit that is not good is tried again
# The same whether or not the fit is good: of 64 pictures of two SIEs 14 % ended in a side minimum that noise explains,
# and after four such rounds none; 95 % intervals held 82 and 88 %. Of one SIE 0.8 % do, and after two 0.2 %. Since they
# double the time, fits of many pictures of one lens go without.
SURE_ROUNDS = 2
# A fit that took so many iterations came a winding way, and may have stopped at a bend: of 13 good fits of 1,000 that
# ended in a side minimum 12 had, of all a third. They begin once more, near by.
WINDING, WINDING_ROUNDS = 9, 1
CONTENDING = 30.0  # by how much a start's cost may exceed the best one's, for both to go on
BRIGHTEST = (16, 64, 256, 1024, 4096)  # pixels whose χ² is judged beside that of all
LEAST_PROBABILITY = 1e-3  # of a χ² as large as that, below which a fit is not good
# Fits with this chance of their brightest pixels are tried again once: of 1,500 fits of one lens six ended lower
# then, all with less than 0.11, and in a second round none of 61. A fit that is not good may be so by noise alone:
# above HOPELESS it gets two rounds, and below it goes on.
DOUBTFUL, DOUBTFUL_ROUNDS = 0.12, 1
HOPELESS, BAD_ROUNDS = 1e-6, 2


@dataclass(frozen=True)
class Found:
    """minimum: of each picture, see `Minimum`. pixels: (B,), how many are known.

    probability: (B,), of a χ² this large where the model is true. of_brightest: (B,), of the χ² of the brightest
    pixels, the least for several numbers of them, times as many.
    good: (B,), whether the fit has come to an end and is as good as the noise lets it be.
    tried: where else fits of some rows ended, with the numbers of these rows.
    light: (B, N, N) grey levels, of the minimum.
    """

    minimum: Minimum
    pixels: np.ndarray
    probability: np.ndarray
    of_brightest: np.ndarray
    tried: tuple[tuple[np.ndarray, Minimum], ...] = ()
    light: np.ndarray | None = None

    @property
    def good(self) -> np.ndarray:
        return self.minimum.converged & (np.minimum(self.probability, self.of_brightest) > LEAST_PROBABILITY)

    def wanting(self, round: int, sure: int = 0) -> np.ndarray:
        """The numbers of the rows that are to be tried again in this round: all of them in the first `sure` ones."""
        if round < sure:
            return np.arange(len(self.pixels))
        again = ~self.minimum.converged | (np.minimum(self.probability, self.of_brightest) < HOPELESS)
        if round < BAD_ROUNDS:
            again |= ~self.good
        if round < DOUBTFUL_ROUNDS:
            again |= self.of_brightest < DOUBTFUL
        return np.flatnonzero(again)


def find(
    observation: Observation, family: Family, starts: np.ndarray, prior: Prior, seed: int = 0, thorough: bool = False
) -> Found:
    """Fit B pictures. starts: (B, S, P), the likeliest first. thorough: make sure of single lenses, too."""
    sure = SURE_ROUNDS * family.masses if thorough or family.masses > 1 else 0
    rng = np.random.default_rng(seed)
    rows, smooth = _smooth_minima(observation, family, starts[:, :FIRST_STARTS], prior)
    near = approached(observation[rows], family, smooth.coordinates, prior[rows])
    ends, drawn = ended(observation[rows], family, near, prior[rows])
    tried = [(rows, ends)]
    chosen = _first_of_each(rows, ends.cost)
    best, light = ends[chosen], drawn[chosen]
    smooth = smooth[_first_of_each(rows, smooth.cost)]
    found = _judged(best, observation, light)
    winding = np.flatnonzero(best.iterations >= WINDING)
    for round in range(ROUNDS * family.masses):
        rows = found.wanting(round, sure)
        near_by = np.union1d(rows, winding) if round < WINDING_ROUNDS else rows
        if not len(near_by):
            break
        middle = best if round % 2 else smooth
        about = middle.coordinates[near_by] + _draws(smooth.normal[near_by], rng)
        first = FIRST_STARTS + round // 2 * MORE_STARTS
        some = starts[rows, first : first + MORE_STARTS]
        if round % 2 or not some.shape[1]:
            some = _crossed(family, best.coordinates[rows], starts[rows], rng)
        places, more = _smooth_minima(observation[rows], family, some, prior[rows])
        rows, at = np.concatenate([near_by, rows[places]]), np.concatenate([about, more.coordinates])
        near = approached(observation[rows], family, at, prior[rows])
        places = _promising(near, best[rows])
        if not len(places):
            continue
        rows = rows[places]
        ends, drawn = ended(observation[rows], family, near[places], prior[rows])
        tried.append((rows, ends))
        chosen = _better(best, rows, ends)
        best = _with_rows(best, rows[chosen], ends[chosen])
        light[rows[chosen]] = drawn[chosen]
        again = np.unique(rows)
        found = _renewed(found, again, _judged(best[again], observation[again], light[again]))
    return replace(found, tried=tuple(tried), light=light)


def approached(observation: Observation, family: Family, start: np.ndarray, prior: Prior) -> Minimum:
    """The fit of each picture's own pixels, from one start each, (B, P), that is near; its end is found by `ended`."""
    return minimise(mosaic(observation, family, start), family, start, prior, ITERATIONS, ARRIVED)


def ended(observation: Observation, family: Family, near: Minimum, prior: Prior) -> tuple[Minimum, np.ndarray]:
    """The minima that are near, and the light of these (B, N, N)."""
    found = refined(mosaic(observation, family, near.coordinates), family, near, prior)
    light = observation.light(family, found.coordinates)
    chi2 = sums_of_squares(observation.left(light).reshape(len(light), -1))
    return replace(found, chi2=chi2, cost=chi2 + prior.cost(found.coordinates)), light


def _promising(near: Minimum, best: Minimum) -> np.ndarray:
    """The places of those that end elsewhere than the best fits and may be as good.

    A mosaic's cost is of fewer numbers than that of all pixels, to which it is compared: there all of them may.
    """
    elsewhere = [near.apart(row, row, best) > SAME for row in range(len(near.cost))]
    (places,) = np.nonzero((elsewhere | ~best.converged) & (near.cost < best.cost + CONTENDING))
    return places


def _smooth_minima(
    observation: Observation, family: Family, starts: np.ndarray, prior: Prior
) -> tuple[np.ndarray, Minimum]:
    """Where starts lead while bright cores count little: the best of each picture, and others nearly as good.

    Returns:
        (K,) the picture of each minimum, ascending, and the K minima.
    """
    count, number, size = starts.shape
    rows = np.repeat(np.arange(count), number)
    sketch = _doubted(observation.binned(WIDE), FIRST_DOUBT)[rows]
    tried = minimise(sketch, family, starts.reshape(-1, size), prior[rows], FIRST_ITERATIONS)
    kept = _contenders(rows, tried)
    rows, at = rows[kept], tried.coordinates[kept]
    tried = minimise(_doubted(observation.binned(HALF), DOUBT)[rows], family, at, prior[rows], FIRST_ITERATIONS)
    kept = _contenders(rows, tried)
    return rows[kept], tried[kept]


def _contenders(rows: np.ndarray, tried: Minimum) -> np.ndarray:
    """Of minima, several for each row, the best and those that are others and within CONTENDING of its cost."""
    kept: list[int] = []
    for row in np.unique(rows):
        places = np.flatnonzero(rows == row)
        places = places[np.argsort(tried.cost[places], kind="stable")]
        of_row: list[int] = []
        for place in places[tried.cost[places] < tried.cost[places[0]] + CONTENDING]:
            if all(tried.apart(place, other) > SAME for other in of_row):
                of_row.append(int(place))
        kept += of_row
    return np.array(kept, int)


def _first_of_each(rows: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """The place of the least cost of each row."""
    order = np.lexsort((cost, rows))
    return order[np.unique(rows[order], return_index=True)[1]]


def _draws(normal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(B, P): one draw each of normal distributions of these precisions."""
    roots = np.linalg.cholesky(covariance(normal) + 1e-12 * np.eye(normal.shape[1]))
    return (roots @ rng.standard_normal((*normal.shape[:2], 1)))[:, :, 0]


def _crossed(family: Family, best: np.ndarray, starts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(B, MORE_STARTS, P): the best, (B, P), each with one lens, or the source, of one of the starts (B, S, P)."""
    part_of = np.array([name.split(".")[0] for name in family.names])
    parts = np.unique(part_of)
    count, number, _ = starts.shape
    found = np.repeat(best[:, None], MORE_STARTS, axis=1)
    for row in range(count):
        for place in range(MORE_STARTS):
            changed = part_of == parts[place % len(parts)]
            found[row, place, changed] = starts[row, rng.integers(number), changed]
    return found


def _doubted(observation: Observation, share: float) -> Observation:
    """With a share of the light added to the noise."""
    seen = observation.weights > 0
    variance = 1 / np.where(seen, observation.weights, 1.0) ** 2 + (share * observation.pictures) ** 2
    return replace(observation, weights=np.where(seen, variance**-0.5, 0.0))


def _better(best: Minimum, rows: np.ndarray, tried: Minimum) -> np.ndarray:
    """The places of those fits of these rows that are better than the best, one at most for each row."""
    chosen = _first_of_each(rows, tried.cost)
    rows, tried = rows[chosen], tried[chosen]
    ended = tried.converged & ~best.converged[rows]
    return chosen[tried.cost < best.cost[rows] + np.where(ended, 1.0, 0.0)]


def _put(old: np.ndarray, rows: np.ndarray, new: np.ndarray) -> np.ndarray:
    values = np.array(old)
    values[rows] = new
    return values


def _with_rows(old: Minimum, rows: np.ndarray, new: Minimum) -> Minimum:
    """With what these rows are now."""
    return Minimum(*(_put(getattr(old, name), rows, getattr(new, name)) for name in Minimum.__dataclass_fields__))


def _renewed(found: Found, rows: np.ndarray, of_rows: Found) -> Found:
    """With what these rows are now."""
    return replace(
        found,
        minimum=_with_rows(found.minimum, rows, of_rows.minimum),
        probability=_put(found.probability, rows, of_rows.probability),
        of_brightest=_put(found.of_brightest, rows, of_rows.of_brightest),
    )


def _judged(minimum: Minimum, observation: Observation, light: np.ndarray) -> Found:
    """light: (B, N, N), of the minimum."""
    pixels, size = observation.pixels(), minimum.coordinates.shape[1]
    residuals = observation.left(light)
    # Of the model: the picture's brightest pixels are those with the most noise.
    light = light * observation.weights
    chances = [_least_chance(residuals, light)]
    if not observation.alike:
        chances.append(_least_chance(_sums(residuals) / SQUARE, _sums(light)))
    whole = stats.chi2.sf(minimum.chi2, np.maximum(1, pixels - size))
    return Found(minimum, pixels, whole, len(chances) * np.min(chances, axis=0))


def _sums(pictures: np.ndarray) -> np.ndarray:
    """Over squares of SQUARE² pixels: what neighbours miss alike adds up, and noise does not."""
    whole = pictures.shape[1] // SQUARE * SQUARE
    return block_sums(pictures[:, :whole, :whole], SQUARE)


def _least_chance(residuals: np.ndarray, light: np.ndarray) -> np.ndarray:
    """(B,): the least probability of the χ² of the brightest pixels, of several numbers of them, times as many."""
    squares, light = (residuals**2).reshape(len(light), -1), light.reshape(len(light), -1)
    numbers = [number for number in BRIGHTEST if number <= light.shape[1]]
    order = np.argpartition(-light, [number - 1 for number in numbers], axis=1)
    sums = np.take_along_axis(squares, order[:, : numbers[-1]], axis=1).cumsum(axis=1)
    return np.min([stats.chi2.sf(sums[:, number - 1], number) for number in numbers], axis=0) * len(numbers)
