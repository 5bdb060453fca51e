"""Random lenses, sources and scenes for the tests of the physics."""

from __future__ import annotations

import numpy as np

from droulette.physics.lenses import LENSES as MODELS
from droulette.physics.lenses import SIE, SIS, Cluster, Lens, PointMass
from droulette.physics.sources import (
    Constellation,
    Ellipsoid,
    Image,
    Picture,
    SersicEllipsoid,
    SersicSphere,
    Source,
    Spherical,
    Triangle,
)

LENSES = ("PM", "SIS", "SIE", "cluster")
ALONE = ("EPL", "NFW", "EllipticalNFW", "Hernquist", "PJAFFE", "EllipticalPJAFFE")
PERTURBATIONS = ("Shear", "Convergence", "Multipole3", "Multipole4")
SUMS = ("SIE+Shear", "EPL+Shear")
SOURCES = (
    "Spherical",
    "Ellipsoid",
    "SersicSphere",
    "SersicEllipsoid",
    "Triangle",
    "Image",
    "constellation",
)


def numbers(*values: float) -> np.ndarray:
    """(B,) float64."""
    return np.array(values, dtype=np.float64)


class Random:
    """(count,) tensors from a seeded generator."""

    def __init__(self, seed: int, count: int) -> None:
        self.rng, self.count = np.random.default_rng(seed), count

    def uniform(self, low: float, high: float) -> np.ndarray:
        return self.rng.uniform(low, high, self.count)

    def in_disc(self, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
        """Points uniform in angle and in radius."""
        angle, radius = self.uniform(0, 2 * np.pi), self.uniform(low, high)
        return radius * np.cos(angle), radius * np.sin(angle)

    def lens(self, kind: str, einstein=(5, 40), axis_ratio=(0.1, 1)) -> Lens:
        theta = self.uniform(*einstein)
        if kind == "PM":
            return PointMass(theta)
        if kind == "SIS":
            return SIS(theta)
        if kind == "SIE":
            return SIE(theta, self.uniform(*axis_ratio), self.uniform(0, 180))
        if kind != "cluster":
            given = {"einstein_radius": theta, "axis_ratio": self.uniform(*axis_ratio)}
            model = MODELS[kind]
            return model(*(given.get(q.name, self.uniform(*(q.default or (0, 180)))) for q in model.parameters))
        parts = [self.lens(part, einstein, axis_ratio) for part in ("SIS", "SIE", "SIE")]
        x, y = zip(*(self.in_disc(0, 1.2) for _ in parts), strict=True)
        scaled = [part.einstein_radius for part in parts]
        return Cluster(
            tuple(parts),
            tuple(a * s for a, s in zip(x, scaled, strict=True)),
            tuple(a * s for a, s in zip(y, scaled, strict=True)),
        )

    def source(self, kind: str) -> Source:
        sigma, sigma2, theta = self.uniform(2, 12), self.uniform(2, 12), self.uniform(0, 180)
        n, luminosity = self.uniform(0.5, 5), self.uniform(5, 60)
        if kind == "Spherical":
            return Spherical(sigma)
        if kind == "Ellipsoid":
            return Ellipsoid(sigma, sigma2, theta)
        if kind == "SersicSphere":
            return SersicSphere(sigma, n, luminosity)
        if kind == "SersicEllipsoid":
            return SersicEllipsoid(sigma, sigma2, theta, n, luminosity)
        if kind == "Triangle":
            return Triangle(sigma, theta)
        if kind == "Image":
            return Image(theta, Picture(self.rng.integers(0, 256, (9, 14), dtype=np.uint8)))
        parts = [self.source(part) for part in ("Spherical", "SersicEllipsoid", "Triangle")]
        x, y = zip(*(self.in_disc(0, 20) for _ in parts), strict=True)
        return Constellation(tuple(parts), x, y)
