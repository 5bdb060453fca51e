"""A lens that is a map, and a source that is a galaxy's picture, for tests."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from random_scenes import Random

from droulette.physics.galaxies import Galaxy, GalaxyRows, Portrait
from droulette.physics.mappings import Raytrace
from droulette.physics.maps import Map, MappedPotential, MapRows
from droulette.physics.scene import Scenes


def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a map's pixels, from its middle; row 0 is below."""
    step = np.arange(size) - (size - 1) / 2
    return step[None, :], step[:, None]


def softened(size: int, b: float, core: float, q: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """ψ = b √(x² + y²/q² + core²), a softened isothermal lens, and its κ = ½∇²ψ."""
    x, y = grid(size)
    root = np.sqrt(x * x + y * y / q**2 + core**2)
    return b * root, 0.5 * b * ((y * y / q**2 + core**2) + (x * x + core**2) / q**2) / root**3


@lru_cache
def maps() -> tuple[MappedPotential, ...]:
    """Of two sizes, of ψ and of κ."""
    return (
        MappedPotential.of_potential(softened(64, 9.0, 2.0, 0.8)[0]),
        MappedPotential.of_convergence(softened(101, 14.0, 3.0, 0.7)[1]),
    )


@lru_cache
def galaxies() -> tuple[Portrait, ...]:
    """Lopsided and of two shapes."""
    y, x = np.mgrid[:40, :31]
    one = np.exp(-np.hypot(x - 14, (y - 20) * 1.4) / 3) + 0.3 * np.exp(-((x - 20) ** 2 + (y - 26) ** 2) / 6)
    y, x = np.mgrid[:24, :24]
    two = np.exp(-(((x - 11) ** 2 + 2 * (y - 12) ** 2) / 30)) * (1.2 + np.sin(x)) + 0.05
    return Portrait.of(one), Portrait.of(two)


def random_map(random: Random, einstein=(5, 30)) -> Map:
    row = random.rng.integers(0, 2, random.count)
    return Map(random.uniform(*einstein), random.uniform(0, 360), MapRows.of(maps(), row))


def random_galaxy(random: Random) -> Galaxy:
    rows = GalaxyRows.of(galaxies(), random.rng.integers(0, 2, random.count))
    sigma, theta, luminosity = random.uniform(2, 8), random.uniform(0, 360), random.uniform(5, 60)
    return Galaxy(sigma, theta, luminosity, rows, random.rng.integers(0, 2, random.count))


def mapped_scene(seed: int, count: int = 4) -> Scenes:
    random = Random(seed, count)
    return Scenes(Raytrace(random_map(random), *random.in_disc(1, 20)), random_galaxy(random))
