"""Scalings are reversible, and are what scikit-learn computes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from droulette.learning.scaling import SCALINGS, QuantileScaling, StandardScaling, arrays


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
    scaling = SCALINGS[kind].fit(training)
    low, high = training.min(axis=0), training.max(axis=0)
    between = low + np.random.default_rng(seed).random((500, 4)) * (high - low)
    between[:, 2] = training[np.arange(500) % rows, 2]  # a discrete column has no values between
    inside = np.concatenate([training, np.clip(between, low, high)])
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
    scaled = StandardScaling.fit(training).transform(training)
    np.testing.assert_allclose(scaled, StandardScaler().fit_transform(training), atol=1e-9)


@pytest.mark.parametrize("kind", SCALINGS)
def test_a_scaling_is_its_arrays(kind):
    training = targets(300, 3)
    scaling = SCALINGS[kind].fit(training)
    again = SCALINGS[kind](**arrays(scaling))
    np.testing.assert_array_equal(again.transform(training), scaling.transform(training))


def test_outside_the_training_range_quantile_scaling_gives_its_ends():
    training = targets(300, 4)
    scaling = QuantileScaling.fit(training)
    far = np.array([[1e9] * 4, [-1e9] * 4])
    np.testing.assert_allclose(scaling.inverse(scaling.transform(far)), [training.max(axis=0), training.min(axis=0)])
    np.testing.assert_allclose(scaling.inverse(far), [training.max(axis=0), training.min(axis=0)])
