"""Fits in batches end where SciPy's ends, whatever else is in the batch."""

from __future__ import annotations

import numpy as np
from fit_scenes import FAMILY, coordinates, observed
from scipy.optimize import least_squares

from droulette.fitting.optimise import LONGEST, ROUNDS, Minimum, Prior, _mend, minimise, refined

COUNT = 4
TRUE = coordinates(COUNT)
OBSERVATION = observed(TRUE)
NONE = Prior.none(FAMILY.size)


def starts(size: float = 0.05) -> np.ndarray:
    return TRUE + size * np.random.default_rng(5).standard_normal(TRUE.shape)


def test_the_minimum_is_that_of_scipy():
    found = minimise(OBSERVATION, FAMILY, starts(), NONE, 40)
    assert found.converged.all()
    for row in range(COUNT):
        one = OBSERVATION[[row]]
        peer = least_squares(lambda at, one=one: one.residuals(FAMILY, at[None])[0], found.coordinates[row])
        assert found.chi2[row] - 2 * peer.cost < 0.05
        away = found.coordinates[row] - peer.x
        assert away @ found.normal[row] @ away < 0.05  # squared standard deviations


def test_refined_curvature_is_that_of_derivatives():
    found = refined(OBSERVATION, FAMILY, minimise(OBSERVATION, FAMILY, starts(), NONE, 40), NONE)
    one = OBSERVATION[[0]]
    peer = least_squares(lambda at: one.residuals(FAMILY, at[None])[0], found.coordinates[0], jac="3-point")
    expected = peer.jac.T @ peer.jac
    scale = np.sqrt(np.diag(expected))
    np.testing.assert_allclose(found.normal[0] / np.outer(scale, scale), expected / np.outer(scale, scale), atol=0.02)


def test_a_row_ends_where_it_would_alone():
    together = minimise(OBSERVATION, FAMILY, starts(), NONE, 40)
    alone = minimise(OBSERVATION[[2]], FAMILY, starts()[[2]], NONE, 40)
    np.testing.assert_allclose(together.coordinates[2], alone.coordinates[0], rtol=1e-9)
    assert together.iterations[2] == alone.iterations[0]


def test_bad_pixels_count_for_nothing():
    spoilt = observed(TRUE)
    spoilt.pictures[:, 20:24, 30:34] = 1e6
    spoilt.weights[:, 20:24, 30:34] = 0
    found = minimise(spoilt, FAMILY, starts(), NONE, 40)
    assert (spoilt.pixels() == 64 * 64 - 16).all()
    assert (abs(found.chi2 / spoilt.pixels() - 1) < 0.1).all()


def test_a_prior_is_where_a_fit_ends_that_nothing_else_tells():
    dark = observed(TRUE)
    dark = type(dark)(dark.pictures, dark.weights * 1e-9, dark.psf)
    mean, precision = TRUE.mean(axis=0), 10 * np.eye(FAMILY.size)
    found = minimise(dark, FAMILY, starts(), Prior(mean, precision), 40)
    np.testing.assert_allclose(found.coordinates, np.broadcast_to(mean, TRUE.shape), atol=0.05)


def test_iterations_that_run_out_are_told():
    assert not minimise(OBSERVATION, FAMILY, starts(0.3), NONE, 2).converged.any()


def test_mended_derivatives_foretell_the_step_and_nothing_else_anew():
    rng = np.random.default_rng(2)
    derivatives, change, move = rng.standard_normal((3, 20)), rng.standard_normal(20), rng.standard_normal(3)
    mended = derivatives.copy()
    _mend(mended, change, move, np.eye(3))
    np.testing.assert_allclose(move @ mended, change)
    across = np.cross(move, rng.standard_normal(3))
    np.testing.assert_allclose(across @ mended, across @ derivatives)


def test_refined_ends_where_it_began_too_early():
    early = minimise(OBSERVATION, FAMILY, starts(), NONE, 3)
    found, peer = refined(OBSERVATION, FAMILY, early, NONE), minimise(OBSERVATION, FAMILY, starts(), NONE, 40)
    assert (found.chi2 - peer.chi2 < 0.05).all()
    assert found.converged.all()


class Slope:
    """Residuals of one coordinate, far from the least, which is at 10⁴."""

    def __getitem__(self, rows):
        return self

    def residuals_at(self, family, points):
        yield slice(0, len(points)), 0.1 * (points - 1e4)

    def squares_at(self, family, points):
        ((_, residuals),) = self.residuals_at(family, points)
        return (residuals**2).sum(axis=-1)


def test_last_steps_are_no_longer_than_others():
    start = Minimum(np.zeros((1, 1)), *np.full((2, 1), 1e6), np.eye(1)[None], np.ones(1, bool), np.ones(1))
    found = refined(Slope(), None, start, Prior(np.zeros(1), np.array([[0.01]])))
    deviation = 50**0.5
    assert 0 < found.coordinates[0, 0] <= ROUNDS * max(LONGEST, deviation)
