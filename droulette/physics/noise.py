"""The noise of a detector: Poisson and normal, seeded by row. Formulas of arrays, for every engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from droulette.physics.arrays import Array, namespace
from droulette.physics.elementary import MAGIC, bits, exp, sqrt, where
from droulette.physics.random_numbers import normals, pair

NORMAL, POISSON = 0, 1  # streams of random numbers
FEW = 12.0  # electrons, below which the distribution is summed up term by term
MOST_OF_FEW = 48  # of which as many are not exceeded with FEW on average, but once in 10⁹


@dataclass(frozen=True)
class Noise:
    """What a detector adds to B pictures, (B,) each.

    deviation: of the normal part, in the picture's units (counts a second).
    electrons: that one unit stands for; the Poisson part has a variance of 1 / electrons for each unit. 0: none.
    row, seed: what the random numbers are of, whole numbers below 2³².
    """

    deviation: Array
    electrons: Array
    row: Array
    seed: Array


def add_noise(noise: Noise, number: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """The normal part on two pixels, the ones that share the pair of random numbers of this number."""
    z1, z2 = normals(*pair(NORMAL, _whole(number), _whole(noise.row), _whole(noise.seed)))
    return first + noise.deviation * z1, second + noise.deviation * z2


def add_photons(noise: Noise, number: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """The Poisson part; rows without `electrons` have none."""
    return _photons(noise, number, first, second, poisson)


def add_many_photons(noise: Noise, number: Array, first: Array, second: Array) -> tuple[Array, Array]:
    """The same, in a third of the time, of pictures with at least FEW electrons in each pixel."""
    return _photons(noise, number, first, second, lambda mean, z, u: many(where(mean < FEW, FEW, mean), z))


def _photons(noise: Noise, number: Array, first: Array, second: Array, draw: Callable) -> tuple[Array, Array]:
    u1, u2 = pair(POISSON, _whole(number), _whole(noise.row), _whole(noise.seed))
    z1, z2 = normals(u1, u2)
    there = noise.electrons > 0.0
    scale = where(there, noise.electrons, 1.0)
    drawn = draw(first * scale, z1, u1) / scale, draw(second * scale, z2, u2) / scale
    return where(there, drawn[0], first), where(there, drawn[1], second)


def _whole(x: Array) -> Array:
    """A whole number below 2⁵¹ as int64."""
    return bits(x + MAGIC) & ((1 << 51) - 1)


def poisson(mean: Array, z: Array, u: Array) -> Array:
    """Poisson numbers of a mean ≥ 0, from a standard normal number or a uniform one.

    From FEW on the quantile's expansion about the normal one, whose largest error in the distribution is 1e-4 there and
    falls with the mean (Giles 2016, ACM TOMS 42, 10, eq. of Q_N2); below, the exact quantile.
    """
    mean = where(mean < 0.0, 0.0, mean)
    is_few = mean < FEW
    return where(is_few, few(where(is_few, mean, 0.0), u), many(where(is_few, FEW, mean), z))


def many(mean: Array, z: Array) -> Array:
    """The expansion of the quantile, of a mean of at least FEW."""
    root = sqrt(mean)
    z2 = z * z
    skewed = root * z + (1 / 3 + z2 * (1 / 6))
    bent = (root * z * (-1 / 36 - z2 * (1 / 72)) + (-8 / 405 + z2 * (7 / 810) + z2 * z2 * (1 / 270))) / mean
    found = namespace(mean).floor(mean + skewed + bent)
    return where(found < 0.0, 0.0, found)


def few(mean: Array, u: Array) -> Array:
    """The exact quantile at u of a mean below FEW."""
    term = exp(-mean)
    total = term
    count = mean * 0.0
    for k in range(1, MOST_OF_FEW):
        count = where(u > total, count + 1.0, count)
        term = term * (mean * (1 / k))
        total = total + term
    return count
