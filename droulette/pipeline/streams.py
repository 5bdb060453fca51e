"""Seeded random numbers of tables: a stream a quantity, of which row i has the i-th number."""

from __future__ import annotations

import math
from zlib import crc32

import numpy as np

from droulette.parameters.reading import Distribution
from droulette.physics.elementary import exp, log1p
from droulette.physics.random_numbers import normals

MOST = 400  # of a Poisson distribution: with the largest mean, 100, more have a chance of 1e-120


class Streams:
    """A named stream of random numbers a quantity: row i depends on no other quantity, nor on the other rows.

    Drawn here are rows start to stop − 1, `size` of them.
    """

    def __init__(self, seed: int, start: int, stop: int):
        self.seed, self.start, self.size = seed, start, stop - start

    def uniform(self, name: str) -> np.ndarray:
        """(size,) uniform on [0, 1)."""
        seeds = np.random.SeedSequence([self.seed, crc32(name.encode())])
        generator = np.random.Philox(seeds)
        generator.advance(self.start // 4)  # each step of Philox gives four numbers
        skipped = self.start % 4
        return np.random.Generator(generator).random(self.size + skipped)[skipped:]

    def normal(self, name: str) -> np.ndarray:
        """(size,) of the standard normal distribution."""
        return normals(1.0 - self.uniform(f"{name}#1"), self.uniform(f"{name}#2"))[0]

    def draw(self, name: str, distribution: Distribution) -> np.ndarray:
        """(size,) numbers of a distribution."""
        if distribution.fixed and not distribution.choices:
            return np.full(self.size, float(distribution.low))
        return sample(distribution, self.uniform(name))

    def poisson(self, name: str, mean: np.ndarray) -> np.ndarray:
        """(size,) numbers of the Poisson distribution with these means."""
        return _poisson(self.uniform(name), mean)

    def choose(self, name: str, options: tuple[str, ...]) -> np.ndarray:
        """(size,) of the options, as objects."""
        if len(options) == 1:
            return np.array(options * self.size, dtype=object)
        index = np.floor(self.uniform(name) * len(options)).astype(int)
        return np.array(options, dtype=object)[index]


def _poisson(u: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """u, uniform in [0, 1), mapped to the Poisson distribution of these means."""
    probability = exp(-mean)
    below, number = probability.copy(), np.zeros_like(mean)
    for k in range(1, MOST):
        more = u >= below
        number = np.where(more, k, number)
        probability = probability * mean / k
        below = below + probability
    return number


def sample(distribution: Distribution, u: np.ndarray) -> np.ndarray:
    """Map u, uniform in [0, 1), to the distribution by the inverse of its cumulative distribution."""
    low, high, rate = distribution.low, distribution.high, distribution.rate
    if distribution.choices:
        return np.asarray(distribution.choices)[np.floor(u * len(distribution.choices)).astype(int)]
    if distribution.whole:
        return np.minimum(np.floor(low + u * (high - low + 1)), high)
    x = -log1p(u * math.expm1(-rate)) / rate if rate else u
    return np.clip(low * (1 - x) + high * x, low, high)
