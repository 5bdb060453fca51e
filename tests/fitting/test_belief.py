"""Means and covariances of log-normal numbers, beside SciPy and beside draws."""

from __future__ import annotations

import numpy as np
from scipy import stats

from droulette.fitting.belief import Belief, from_logarithms, to_logarithms

LIMITS = np.array([0.0, np.nan, 0.17])
MEAN = np.array([1.5, -3.0, 0.4])
SPREAD = np.array([[0.3, 0.2, -0.1], [0.2, 2.0, 0.15], [-0.1, 0.15, 0.2]])
NAMES = ("sigma", "xiX", "n_sersic")


def test_a_single_number_has_scipys_moments():
    found = from_logarithms(NAMES, MEAN, SPREAD, LIMITS)
    for k in (0, 2):
        law = stats.lognorm(s=SPREAD[k, k] ** 0.5, scale=np.exp(MEAN[k]), loc=LIMITS[k])
        np.testing.assert_allclose([found.mean[k], found.deviation[k]], [law.mean(), law.std()], rtol=1e-12)
    np.testing.assert_allclose([found.mean[1], found.deviation[1]], [-3.0, 2.0**0.5], rtol=1e-12)


def test_covariances_are_those_of_draws():
    draws = np.random.default_rng(0).multivariate_normal(MEAN, SPREAD, 400_000)
    draws[:, [0, 2]] = LIMITS[[0, 2]] + np.exp(draws[:, [0, 2]])
    found = from_logarithms(NAMES, MEAN, SPREAD, LIMITS)
    scale = found.deviation[:, None] * found.deviation
    np.testing.assert_allclose(np.cov(draws.T) / scale, found.covariance / scale, atol=0.02)


def test_logarithms_and_back():
    belief = from_logarithms(NAMES, MEAN, SPREAD, LIMITS)
    mean, spread = to_logarithms(belief, LIMITS)
    np.testing.assert_allclose(mean, MEAN, rtol=1e-12)
    np.testing.assert_allclose(spread, SPREAD, rtol=1e-12)


def test_a_mean_below_its_limit_is_raised_to_it():
    mean, spread = to_logarithms(Belief.independent(["sigma"], [-1.0], [2.0]), np.array([0.0]))
    assert np.isfinite(mean).all() and np.isfinite(spread).all()


def test_of_two_beliefs_the_first_one_counts():
    first = Belief(("a", "b"), np.array([1.0, 2.0]), np.array([[1.0, 0.5], [0.5, 4.0]]))
    both = first.beside(Belief.independent(["b", "c"], [9.0, 3.0], [9.0, 3.0]))
    assert both.columns == ("a", "b", "c")
    np.testing.assert_array_equal(both.mean, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(both.covariance, [[1.0, 0.5, 0.0], [0.5, 4.0, 0.0], [0.0, 0.0, 9.0]])
