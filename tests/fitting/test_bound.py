"""The Cramér-Rao bound beside the scatter of many fits, and beside a closed form."""

from __future__ import annotations

import numpy as np
from fit_scenes import COLUMNS, FAMILY, NOISE, blank, coordinates, light

from droulette.fitting.bound import bound, covariance, fisher
from droulette.fitting.observation import Observation
from droulette.fitting.optimise import Prior, minimise

REPEATS = 150


def test_fits_of_noisy_pictures_scatter_by_the_bound():
    for seed in (1, 2):
        at = coordinates(1, seed)
        copies = at.repeat(REPEATS, axis=0)
        noise = NOISE * np.random.default_rng(seed).standard_normal((REPEATS, *light(at)[0].shape))
        about = blank(REPEATS)
        observation = Observation(light(at) + noise, about.weights, about.psf)
        found = minimise(observation, FAMILY, copies, Prior.none(FAMILY.size), 40)
        targets = FAMILY.targets(found.coordinates, COLUMNS)
        least = bound(blank(1), FAMILY, at, COLUMNS)[0]
        ratio = targets.std(axis=0) / np.sqrt(np.diag(least))
        # The deviation of a deviation from 150 numbers is 6 %.
        assert (abs(ratio - 1) < 0.2).all(), ratio
        assert abs(ratio.mean() - 1) < 0.1


def test_brightness_alone_is_known_to_noise_over_light():
    """With all else known, the relative error of the luminosity is 1 / √Σ (light / noise)²."""
    at = coordinates(3)
    place = FAMILY.names.index("source.luminosity")
    expected = ((light(at) / NOISE) ** 2).sum(axis=(1, 2))
    np.testing.assert_allclose(fisher(blank(3), FAMILY, at)[:, place, place], expected, rtol=1e-5)


def test_covariance_is_the_inverse_even_of_badly_scaled_matrices():
    rng = np.random.default_rng(0)
    roots = rng.standard_normal((5, 6, 6)) * 10.0 ** np.arange(-6, 6, 2)
    matrix = roots.swapaxes(1, 2) @ roots
    scale = np.sqrt(np.einsum("bpp->bp", matrix))
    both = scale[:, :, None] * scale[:, None, :]
    identity = (covariance(matrix) * both) @ (matrix / both)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(6), identity.shape), atol=1e-6)
