"""Scalings are reversible, are what scikit-learn computes, and the radial one commutes with turns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from droulette.learning.scaling import SCALINGS, QuantileScaling, RadialScaling, StandardScaling, arrays, spread
from droulette.learning.symmetry import Laws, Motions

COLUMNS = ["alpha[1][2]", "beta[1][2]", "n", "sigma"]  # a vector, and two columns by themselves


def targets(rows: int, seed: int, exponent: float = 0.0) -> np.ndarray:
    """A normal, a heavy-tailed, a discrete and a skewed column, in units of 10^exponent."""
    rng = np.random.default_rng(seed)
    columns = [
        rng.normal(size=rows),
        rng.standard_cauchy(rows),
        rng.integers(0, 3, rows),
        rng.exponential(size=rows),
    ]
    return np.stack(columns, axis=1) * 10**exponent


@pytest.mark.parametrize("kind", SCALINGS)
@given(rows=st.integers(2, 3000), seed=st.integers(0, 2**32 - 1), exponent=st.sampled_from([-12, -3, 0, 6]))
@settings(max_examples=25, deadline=None)
def test_inverse_undoes_transform_on_the_whole_training_range(kind, rows, seed, exponent):
    training = targets(rows, seed, exponent)
    scaling = SCALINGS[kind].fit(training, COLUMNS)
    low, high = training.min(axis=0), training.max(axis=0)
    between = low + np.random.default_rng(seed).random((500, 4)) * (high - low)
    between[:, 2] = training[np.arange(500) % rows, 2]  # a discrete column has no values between
    if kind == "radial":  # the vectors of any length from the shortest to the longest
        length = np.hypot(*training[:, :2].T)
        factor = (length.min() + np.ptp(length) * np.linspace(0, 1, 500)) / np.hypot(*between[:, :2].T)
        between[:, :2] *= factor[:, None] * (1 - 1e-12)
    inside = np.concatenate([training, np.clip(between, low, high) if kind != "radial" else between])
    error = np.abs(scaling.inverse(scaling.transform(inside)) - inside)
    assert (error <= 1e-6 * (high - low)).all()


def test_quantile_scaling_is_scikit_learns_up_to_its_ends():
    training, other = targets(5000, 1), targets(2000, 2)
    scaling = QuantileScaling.fit(training)
    reference = QuantileTransformer(n_quantiles=1000, subsample=None).fit(training)
    share = (ndtr(scaling.transform(other)) - scaling.margin) / (1 - 2 * scaling.margin)
    expected = reference.transform(other)
    inside = (expected > 0) & (expected < 1)  # a discrete column's ends are far out there, and not here
    np.testing.assert_allclose(share[inside], expected[inside], atol=1e-9)
    normal = QuantileTransformer(n_quantiles=1000, subsample=None, output_distribution="normal").fit(training)
    middle = np.abs(expected - 0.5) < 0.49
    np.testing.assert_allclose(scaling.transform(other)[middle], normal.transform(other)[middle], atol=5e-3)


def test_standard_scaling_is_scikit_learns_and_leaves_constant_columns_finite():
    training = np.column_stack([targets(500, 1), np.full(500, 3.0)])
    scaled = StandardScaling.fit(training, COLUMNS).transform(training)
    np.testing.assert_allclose(scaled, StandardScaler().fit_transform(training), atol=1e-9)


@pytest.mark.parametrize("kind", SCALINGS)
def test_a_scaling_is_its_arrays(kind):
    training = targets(300, 3)
    scaling = SCALINGS[kind].fit(training, COLUMNS)
    again = SCALINGS[kind](**arrays(scaling))
    np.testing.assert_array_equal(again.transform(training), scaling.transform(training))


def test_outside_the_training_range_quantile_scaling_gives_its_ends():
    training = targets(300, 4)
    scaling = QuantileScaling.fit(training)
    far = np.array([[1e9] * 4, [-1e9] * 4])
    np.testing.assert_allclose(scaling.inverse(scaling.transform(far)), [training.max(axis=0), training.min(axis=0)])
    np.testing.assert_allclose(scaling.inverse(far), [training.max(axis=0), training.min(axis=0)])


def vectors(rows: int, seed: int) -> np.ndarray:
    """Of any direction, their lengths over nine orders of magnitude."""
    rng = np.random.default_rng(seed)
    length, angle = 10 ** rng.uniform(-9, 0, rows), rng.uniform(0, 2 * np.pi, rows)
    return np.stack([length * np.cos(angle), length * np.sin(angle)], axis=1)


def test_radial_scaling_makes_vectors_normal_and_keeps_their_direction():
    training = vectors(20_000, 5)
    scaling = RadialScaling.fit(training, COLUMNS[:2])
    scaled = scaling.transform(training)
    np.testing.assert_allclose(np.arctan2(*scaled.T), np.arctan2(*training.T), atol=1e-12)
    share = QuantileTransformer(n_quantiles=1000).fit_transform(scaled)
    assert np.abs(share - ndtr(scaled)).max() < 0.02
    np.testing.assert_allclose(scaling.inverse(scaled), training, rtol=1e-6)


@given(st.floats(-360, 360), st.booleans())
def test_radial_scaling_commutes_with_turns(degrees, mirror):
    training, laws = vectors(500, 6), Laws.of(COLUMNS[:2])
    scaling = RadialScaling.fit(training, COLUMNS[:2])
    motions = Motions(np.full(500, degrees), np.full(500, mirror), np.ones(500))
    turned = scaling.transform(laws.turn(training, motions))
    np.testing.assert_allclose(turned, laws.turn(scaling.transform(training), motions), atol=1e-9)


def test_a_vector_of_no_length_has_none_on_the_scale():
    training = vectors(100, 7)
    scaling = RadialScaling.fit(training, COLUMNS[:2])
    np.testing.assert_array_equal(scaling.transform(np.zeros((1, 2))), [[0, 0]])
    np.testing.assert_array_equal(scaling.inverse(np.zeros((1, 2))), [[0, 0]])


@pytest.mark.parametrize("kind", SCALINGS)
def test_spread_is_the_deviation_after_the_inverse(kind):
    rng = np.random.default_rng(8)
    scaling = SCALINGS[kind].fit(targets(2000, 8), COLUMNS)
    scaled, deviation = rng.normal(size=(3, 4)), rng.uniform(0.01, 0.3, (3, 4))
    draws = np.stack([scaling.inverse(scaled + deviation * rng.normal(size=(3, 4))) for _ in range(4000)])
    found = spread(scaling, scaled, deviation)
    np.testing.assert_allclose(found[:, [0, 3]], draws.std(axis=0)[:, [0, 3]], rtol=0.5)
    np.testing.assert_array_equal(spread(scaling, scaled, np.zeros((3, 4))), np.zeros((3, 4)))
