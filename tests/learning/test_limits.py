"""Predictions are cut off where the validation rows say that they overshoot."""

import numpy as np
import pytest

from droulette.learning.limits import Limit
from droulette.learning.scaling import SCALINGS

COLUMNS = ["sigma", "alpha[4][3]", "beta[4][3]"]


@pytest.fixture
def heavy():
    """Targets with heavy tails, and their scale."""
    rng = np.random.default_rng(3)
    length, angle = rng.pareto(1.5, 4000), rng.uniform(0, 2 * np.pi, 4000)
    targets = np.column_stack([rng.uniform(5, 50, 4000), length * np.cos(angle), length * np.sin(angle)])
    return targets, SCALINGS["radial"].fit(targets, COLUMNS)


def test_true_values_are_not_cut_off(heavy):
    targets, scaling = heavy
    scaled = scaling.transform(targets)
    limit = Limit.fit(scaling, scaled, targets)
    np.testing.assert_allclose(scaling.inverse(limit.cut(scaling, scaled)), targets, rtol=1e-9)


def test_overshooting_predictions_are_and_that_is_better(heavy):
    targets, scaling = heavy
    rng = np.random.default_rng(4)
    scaled = scaling.transform(targets) + rng.normal(0, 0.5, targets.shape)
    limit = Limit.fit(scaling, scaled[:2000], targets[:2000])
    error = {name: ((scaling.inverse(z) - targets)[2000:, 1:] ** 2).mean() for name, z in {
        "plain": scaled, "cut": limit.cut(scaling, scaled)}.items()}  # fmt: skip
    assert limit.most < 4
    assert error["cut"] < 0.9 * error["plain"]


def test_a_cut_vector_keeps_its_direction(heavy):
    _, scaling = heavy
    (cut,) = Limit(np.array(2.5)).cut(scaling, np.array([[4.0, 3.0, 4.0]]))
    np.testing.assert_allclose(cut, [2.5, 1.5, 2.0])
