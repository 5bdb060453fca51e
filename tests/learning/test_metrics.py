"""The metrics are the specification's, with everything fitted on the training part alone."""

import numpy as np
import torch
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.preprocessing import QuantileTransformer

from droulette.learning.metrics import Judge, elementwise, likelihood, mean
from droulette.learning.scaling import SCALINGS


def data(seed: int, rows: int = 800) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.standard_t(2, (rows, 3)) * [1, 100, 1e-3]
    return true, true + rng.normal(size=true.shape) * [0.5, 20, 1e-3]


def test_metrics_are_scikit_learns():
    training, (true, predicted) = data(0)[0], data(1)
    scaling = SCALINGS["standard"].fit(training, "abc")
    found = Judge(training, scaling).columns(true, predicted)
    np.testing.assert_allclose(found["r2"], r2_score(true, predicted, multioutput="raw_values"))
    mae = mean_absolute_error(true, predicted, multioutput="raw_values")
    np.testing.assert_allclose(found["mae"], mae)
    relative = np.median(np.abs(predicted / true - 1), axis=0)
    np.testing.assert_allclose(found["median_relative_error"], relative)
    q = QuantileTransformer(n_quantiles=800, output_distribution="normal", subsample=None).fit(training)
    expected = r2_score(q.transform(true), q.transform(predicted))
    assert np.isclose(mean(found)["r2_quantile"], expected)
    loss = ((scaling.transform(true) - scaling.transform(predicted)) ** 2).mean(axis=0)
    np.testing.assert_allclose(found["loss"], loss)


def test_the_baseline_predicts_the_training_means():
    training, (true, _) = data(0)[0], data(1)
    judge = Judge(training, SCALINGS["quantile"].fit(training, "abc"))
    np.testing.assert_allclose(judge.baseline(judge.scaled(training))["r2"], 0, atol=1e-12)
    error = np.abs(true - training.mean(axis=0)).mean(axis=0)
    np.testing.assert_allclose(judge.baseline(judge.scaled(true))["mae"], error)
    assert (judge.baseline(judge.scaled(true))["r2"] < 0).all()


def test_losses_are_torchs():
    difference = torch.linspace(-4, 4, 101, dtype=torch.float64)
    zero = torch.zeros_like(difference)
    huber = torch.nn.functional.huber_loss(difference, zero, reduction="none")
    torch.testing.assert_close(elementwise(difference, "huber"), huber)
    torch.testing.assert_close(elementwise(difference, "mse"), difference**2)
    np.testing.assert_allclose(elementwise(difference.numpy(), "huber"), huber.numpy())


def test_likelihood_is_torchs():
    error, log_variance = torch.randn(50, 3), torch.randn(50, 3)
    expected = torch.nn.functional.gaussian_nll_loss(error, torch.zeros(50, 3), log_variance.exp(), reduction="none")
    torch.testing.assert_close(likelihood(error, log_variance), expected)
