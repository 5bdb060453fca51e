"""The lens-free fit of scenes of which the answer is known in closed form.

Convergence and shear alone map a Gaussian source to an elliptical Gaussian, 255 exp(−½ rᵀ P r) with P = AᵀA / σ²,
A = [[1 + α¹₀ + α¹₂, β¹₂], [β¹₂, 1 + α¹₀ − α¹₂]]; a Gaussian PSF of deviation s makes its covariance P⁻¹ + s².
"""

from __future__ import annotations

import numpy as np
import pytest

from droulette.fitting.belief import Belief
from droulette.fitting.observation import Observation
from droulette.fitting.roulette import Growth, RouletteScenes, fit_roulette
from droulette.physics.amplitudes import amplitudes, orders
from droulette.physics.convolution import FWHM
from droulette.physics.lenses import SIS

SIZE, NOISE, PSF = 48, 2.0, 3.0
FIRST = ("alpha[1][0]", "alpha[1][2]", "beta[1][2]")
SECOND = ("alpha[2][1]", "beta[2][1]", "alpha[2][3]", "beta[2][3]")
COLUMNS = ("sigma", "xiX", "xiY", *FIRST, *SECOND)
TRUE = np.array([3.0, 2.3, -1.6, -0.35, 0.2, -0.1, 0.0, 0.0, 0.0, 0.0])


def matrix(sigma, kappa, gamma1, gamma2) -> np.ndarray:
    """P."""
    a = np.array([[1 + kappa + gamma1, gamma2], [gamma2, 1 + kappa - gamma1]])
    return a.T @ a / sigma**2


def gaussian(values: np.ndarray) -> np.ndarray:
    """(N, N): the picture of the first six of COLUMNS."""
    sigma, x, y, *first = values[:6]
    spread = np.linalg.inv(matrix(sigma, *first))
    seen = spread + (PSF / FWHM) ** 2 * np.eye(2)
    place = np.arange(SIZE) - SIZE / 2
    r = np.stack(np.broadcast_arrays(place[None] - x, -place[:, None] - y))
    exponent = np.einsum("iab,ij,jab->ab", r, np.linalg.inv(seen), r)
    return 255 * np.sqrt(np.linalg.det(spread) / np.linalg.det(seen)) * np.exp(-0.5 * exponent)


def believed(seed: int, widths: np.ndarray) -> Belief:
    errors = widths * np.random.default_rng(seed).standard_normal(len(TRUE))
    return Belief.independent(COLUMNS, TRUE + errors, widths)


def observed(picture: np.ndarray) -> Observation:
    return Observation(picture[None], np.full((1, SIZE, SIZE), 1 / NOISE), np.array([PSF]))


WIDTHS = np.array([0.5, 2.0, 2.0, 0.1, 0.1, 0.1, 3e-4, 3e-4, 3e-4, 3e-4])


def fitted(seed: int, widths: np.ndarray = WIDTHS):
    noise = NOISE * np.random.default_rng(100 + seed).standard_normal((SIZE, SIZE))
    return fit_roulette(observed(gaussian(TRUE) + noise), believed(seed, widths), source="Spherical")


def test_derivatives_are_those_of_the_closed_form():
    scenes = RouletteScenes.of(Belief.independent(COLUMNS, TRUE, WIDTHS), "Spherical")
    about = Observation(np.zeros((1, SIZE, SIZE)), np.ones((1, SIZE, SIZE)), np.array([PSF]))
    at = np.zeros((1, scenes.size))
    ((_, residuals, slopes),) = about.derivatives(scenes, at, np.full_like(at, 1e-4))
    middle = scenes.mean[:6].copy()
    middle[0] = np.exp(middle[0])
    np.testing.assert_allclose(-residuals[0].reshape(SIZE, SIZE), gaussian(middle), atol=0.02)
    # Of the first six columns: the coordinates' directions, and σ by its logarithm.
    by_column = []
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-5 * (middle[0] if k == 0 else 1.0)
        by_column.append((gaussian(middle + step) - gaussian(middle - step)).ravel() / 2e-5)
    expected = scenes.roots[:6].T @ np.array(by_column)
    of_second = abs(scenes.roots[6:]).max(axis=0) > 1e-12
    found = slopes[0][~of_second]
    assert (~of_second).sum() == 6
    np.testing.assert_allclose(found, expected[~of_second], atol=2e-3 * abs(expected).max())


def test_what_the_picture_tells_is_found_and_the_mass_sheet_is_not():
    precise = []
    for seed in range(8):
        fit = fitted(seed)
        assert fit.good, fit
        after = fit.belief
        error = (after.mean - TRUE) / after.deviation
        precise.append(error)
        # P is known to a few percent, κ and σ along it hardly better than before.
        np.testing.assert_allclose(matrix(after.mean[0], *after.mean[3:6]), matrix(TRUE[0], *TRUE[3:6]), atol=0.005)
        assert (after.deviation[1:3] < 0.1).all()
        assert after.deviation[0] > 0.25 * WIDTHS[0]
        ratio = after.covariance[0, 3] / (after.deviation[0] * after.deviation[3])
        assert ratio > 0.95  # 1 − κ = 1 + α¹₀ grows with σ
    precise = np.array(precise)[:, :6]
    assert abs(precise).max() < 4.5
    assert 0.5 < (abs(precise) < 1).mean() < 0.85


def test_a_known_size_makes_the_convergence_known():
    """δ(1 − κ) / (1 − κ) is then half the relative error of √det P."""
    widths = WIDTHS.copy()
    widths[0] = 1e-3
    fit = fitted(3, widths)
    assert fit.belief.deviation[3] < 0.02
    assert abs(fit.belief.mean[3] - TRUE[3]) < 4 * fit.belief.deviation[3]


def test_the_growth_of_a_sis_tells_how_far_its_centre_is():
    """|r + D| = D Σ t^k C_k^(−½)(−cos φ), t = r / D, converges for r < D."""
    for distance in (10.0, 40.0, 100.0):
        lens = SIS(np.array([8.0]))
        alpha, beta = amplitudes(lens, np.array([distance]), np.array([0.0]), 6)
        columns = [f"{kind}[{m}][{s}]" for m, s in orders(6) for kind in ("alpha", "beta")]
        values = [float(part[k, 0]) for k in range(len(orders(6))) for part in (alpha, beta)]
        growth = Growth.of(Belief.independent(columns, values, np.zeros(len(values))))
        assert 0.8 < growth.radius / distance < 1.3


def test_a_picture_of_something_else_is_no_good_fit():
    noise = NOISE * np.random.default_rng(0).standard_normal((SIZE, SIZE))
    two = TRUE.copy()
    two[1:3] += 5.0
    picture = gaussian(TRUE) + gaussian(two) + noise
    fit = fit_roulette(observed(picture), believed(0, WIDTHS), source="Spherical", radius=14.0)
    assert not fit.good


def test_bad_pixels_do_not_count():
    whole = fit_roulette(observed(gaussian(TRUE)), believed(0, WIDTHS), source="Spherical")
    spoilt = observed(gaussian(TRUE))
    spoilt.pictures[0, 20, 22], spoilt.weights[0, 20, 22] = 1e6, 0.0
    fit = fit_roulette(spoilt, believed(0, WIDTHS), source="Spherical")
    assert fit.good and fit.pixels == whole.pixels - 1
    assert (abs(fit.belief.mean - whole.belief.mean) < 0.3 * whole.belief.deviation).all()


def test_draws_have_the_mean_and_the_deviation():
    fit = fitted(0)
    draws = fit.draws(20_000)
    after = fit.belief
    assert (abs(draws.mean(axis=0) - after.mean) < 0.05 * after.deviation).all()
    np.testing.assert_allclose(draws.std(axis=0), after.deviation, rtol=0.05)


def test_the_image_is_a_minimum_even_where_the_prior_says_the_other_sign():
    """A of eigenvalues (0.95, 0.25) and (0.95, −0.25): the picture of a round source is the same."""
    true = TRUE.copy()
    true[3:6] = -0.4, 0.35, 0.0
    mirrored = true.copy()
    mirrored[3:5] = -0.65, 0.6
    widths = WIDTHS.copy()
    widths[0] = 0.05
    noise = NOISE * np.random.default_rng(5).standard_normal((SIZE, SIZE))
    picture = observed(gaussian(true) + noise)
    widths[3:6] = 0.3
    fit = fit_roulette(picture, Belief.independent(COLUMNS, mirrored, widths), source="Spherical")
    assert fit.good
    assert (abs(fit.belief.mean - true)[3:6] < 4 * fit.belief.deviation[3:6]).all(), fit.belief


def test_what_is_missing_in_a_prior_is_said():
    blank = observed(np.zeros((SIZE, SIZE)))
    with pytest.raises(ValueError, match="found no luminosity, n_sersic"):
        fit_roulette(blank, believed(0, WIDTHS))
    few = believed(0, WIDTHS).among(COLUMNS[:6])
    with pytest.raises(ValueError, match="expected two orders"):
        fit_roulette(blank, few, source="Spherical")
