"""Small pictures of SIEs before Sérsic sources, to be fitted in a second."""

from __future__ import annotations

import numpy as np

from droulette.fitting.family import Family
from droulette.fitting.observation import Observation

FAMILY = Family(("SIE",), "SersicSphere")
SIZE, NOISE, PSF = 64, 3.0, 3.0
COLUMNS = ("sigma", "xiX", "xiY", "alpha[1][0]", "alpha[1][2]", "beta[1][2]", "alpha[2][1]", "beta[2][1]")


def coordinates(count: int, seed: int = 1) -> np.ndarray:
    """(count, 10), of lenses in the middle part of the frame, each before a source that it lenses strongly."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(-4, 4, (2, count))
    radius, angle = rng.uniform(8, 14, count), rng.uniform(0, 2 * np.pi, count)
    distance = rng.uniform(0.25, 0.8, count) * radius
    return FAMILY.coordinates(
        {
            "lens1.einstein_radius": radius,
            "lens1.axis_ratio": rng.uniform(0.4, 0.9, count),
            "lens1.orientation": rng.uniform(0, 180, count),
            "lens1.x": x,
            "lens1.y": y,
            "source.sigma": rng.uniform(2.5, 5, count),
            "source.n_sersic": rng.uniform(0.8, 1.5, count),
            "source.luminosity": rng.uniform(3, 6, count),
            "source.x": x + distance * np.cos(angle),
            "source.y": y + distance * np.sin(angle),
        }
    )


def blank(count: int) -> Observation:
    pictures = np.zeros((count, SIZE, SIZE))
    return Observation(pictures, pictures + 1 / NOISE, np.full(count, PSF))


def light(at: np.ndarray) -> np.ndarray:
    """(B, N, N) of scenes without noise."""
    return np.concatenate([drawn[:, 0] for _, drawn in blank(len(at)).drawn(FAMILY, at)])


def observed(at: np.ndarray, seed: int = 2) -> Observation:
    """Pictures of the scenes, with noise."""
    noise = NOISE * np.random.default_rng(seed).standard_normal((len(at), SIZE, SIZE))
    about = blank(len(at))
    return Observation(light(at) + noise, about.weights, about.psf)
