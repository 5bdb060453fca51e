"""Intervals cover what they promise, whatever the errors' distribution; the linear baseline is one."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import QuantileRegressor

from droulette.learning.calibration import SHARES, Calibration, _quantile_regression, coverage
from droulette.learning.moments import LinearModel, Moments
from droulette.learning.scaling import SCALINGS


def errors(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """True values, predictions and predicted deviations that are wrong by factors, heavy-tailed and skewed."""
    rng = np.random.default_rng(seed)
    deviation = rng.uniform(0.1, 10, (rows, 3))
    shape = np.stack([rng.normal(size=rows), rng.standard_t(2, rows), rng.exponential(size=rows)], axis=1)
    return deviation * shape * [0.3, 2, 1], np.zeros((rows, 3)), deviation


def test_intervals_cover_their_shares_of_other_rows():
    calibration = Calibration.fit(*errors(2000, 0))
    true, predicted, raw = errors(20_000, 1)
    found = coverage(true, predicted, calibration.deviation(raw), calibration.reach())
    np.testing.assert_allclose(found, np.array(SHARES)[:, None].repeat(3, 1), atol=0.03)
    raw_coverage = coverage(true, predicted, raw, np.full(3, 1.96))
    assert np.abs(raw_coverage - np.array(SHARES)[:, None]).max() > 0.1  # which is what is mended


def test_intervals_hold_under_each_condition():
    rng = np.random.default_rng(5)
    conditions = rng.uniform(0, 10, (6000, 2))
    scale = np.exp(0.1 * (conditions[:, :1] - 5) - 0.03 * (conditions[:, 1:] - 5) ** 2)
    true = scale * rng.standard_t(4, (6000, 3))
    predicted, raw = np.zeros_like(true), np.ones_like(true)
    calibration = Calibration.fit(true[:4000], predicted[:4000], raw[:4000], conditions[:4000])
    under, left = conditions[4000:], true[4000:]
    deviation, reach = calibration.deviation(raw[4000:], under), calibration.reach(under)
    for some in (under[:, 0] < 1, under[:, 0] > 9, under[:, 1] < 1, abs(under[:, 1] - 5) < 1):
        found = coverage(left[some], predicted[4000:][some], deviation[some], reach[some]).mean(axis=1)
        np.testing.assert_allclose(found, SHARES, atol=0.05)


def test_intervals_of_each_column_hold_under_each_condition():
    rng = np.random.default_rng(7)
    conditions = rng.uniform(-1, 1, (16_000, 1))
    true = rng.normal(size=(16_000, 2)) * np.exp(conditions * [1, -1])  # what suits one column is wrong for the other
    predicted, raw, fitted, left = np.zeros_like(true), np.ones_like(true), slice(8000), slice(8000, None)
    calibration = Calibration.fit(true[fitted], predicted[fitted], raw[fitted], conditions[fitted])
    deviation, reach = calibration.deviation(raw[left], conditions[left]), calibration.reach(conditions[left])
    for some in (conditions[left, 0] < -0.8, conditions[left, 0] > 0.8):
        found = coverage(true[left][some], predicted[left][some], deviation[some], reach[some])
        np.testing.assert_allclose(found, np.array(SHARES)[:, None].repeat(2, 1), atol=0.05)


def test_widths_that_turn_twice_are_followed():
    """ln of the errors is a cubic of the condition, as no parabola is."""
    rng = np.random.default_rng(8)
    conditions = rng.uniform(-1, 1, (30_000, 1))
    true = rng.normal(size=(30_000, 1)) * np.exp(2 * conditions**3 - 1.5 * conditions)
    raw, fitted, left = np.ones_like(true), slice(15_000), slice(15_000, None)
    calibration = Calibration.fit(true[fitted], 0 * true[fitted], raw[fitted], conditions[fitted])
    calibration.check(1)
    under = conditions[left]
    deviation, reach = calibration.deviation(raw[left], under), calibration.reach(under)
    for low in (-1.0, -0.6, -0.2, 0.2, 0.6):
        some = (under[:, 0] >= low) & (under[:, 0] < low + 0.4)
        found = coverage(true[left][some], 0 * true[left][some], deviation[some], reach[some])[:, 0]
        np.testing.assert_allclose(found, SHARES, atol=0.025)


def test_a_file_may_have_one_polynomial_for_all_columns():
    rng = np.random.default_rng(8)
    widths, knots, bends = np.ones((2, 3)), np.linspace(0, 1, 21)[None], rng.normal(size=(2, 3))
    shared = Calibration(widths, knots, bends)
    own = Calibration(widths, knots, np.repeat(bends[:, :, None], 3, axis=2))
    conditions = rng.uniform(0, 1, (5, 1))
    for calibration in (shared, own):
        calibration.check(3)
    np.testing.assert_allclose(
        shared.deviation(np.ones((5, 3)), conditions), own.deviation(np.ones((5, 3)), conditions)
    )
    with pytest.raises(ValueError, match="calibration"):
        Calibration(widths, knots, bends[:, :2]).check(3)
    with pytest.raises(ValueError, match="calibration"):
        Calibration(widths, knots, np.zeros(2)).check(3)


def test_quantiles_follow_the_terms_as_in_scikit_learn():
    rng = np.random.default_rng(6)
    x = rng.uniform(-1, 1, 400)
    terms = np.stack([np.ones(400), x, x**2], axis=1)
    values = (x + rng.exponential(size=(2, 400)) * (2 + x)).T
    for share in SHARES:
        line = QuantileRegressor(quantile=share, alpha=0, fit_intercept=False)
        expected = line.fit(np.repeat(terms, 2, axis=0), values.ravel()).coef_
        np.testing.assert_allclose(_quantile_regression(terms, values, share), expected, atol=0.15)


def test_reach_of_normal_errors_is_that_of_the_normal_distribution():
    rng = np.random.default_rng(2)
    calibration = Calibration.fit(rng.normal(size=(100_000, 1)), np.zeros((100_000, 1)), np.ones((100_000, 1)))
    assert calibration.widths[0, 0] == pytest.approx(0.9945, abs=0.02)
    assert calibration.reach()[0] == pytest.approx(1.96 / 0.9945, abs=0.03)


def test_few_rows_give_wide_intervals_and_no_error():
    calibration = Calibration.fit(*errors(2, 3))
    assert (calibration.widths > 0).all() and (calibration.reach() >= 1).all()


def test_moments_are_those_of_a_spot():
    size, (x, y) = 64, (10, -6)
    picture = torch.zeros(1, size, size, dtype=torch.uint8)
    picture[0, size // 2 - y, size // 2 + x] = 255
    preprocessing = Moments(size)
    found = preprocessing.views(picture)[0].numpy()
    assert found.shape == preprocessing.shape
    assert found[0] == pytest.approx(0)  # ln of the light, one whole pixel
    radius, angle = np.hypot(x, y) / 32, np.arctan2(y, x)
    assert found[1] == pytest.approx(radius)
    np.testing.assert_allclose(found[2:4], [radius * np.cos(angle), radius * np.sin(angle)], rtol=1e-5)


def test_the_linear_model_learns_what_is_linear_in_moments():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(500, 6))
    targets = features @ rng.normal(size=(6, 3)) * [1, 100, 1e-3]
    model = LinearModel(features[:400], targets[:400], SCALINGS["standard"].fit(targets[:400], "abc"))
    left = targets[400:] - model.predict(features[400:])
    assert (left.std(axis=0) < 0.1 * targets.std(axis=0)).all()
