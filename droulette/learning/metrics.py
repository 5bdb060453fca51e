"""How good predictions are, for each column; means are taken by the caller or by `mean`."""

from __future__ import annotations

import numpy as np

from droulette.learning.scaling import Scaling

NAMES = ("r2", "r2_quantile", "mae", "median_relative_error", "loss")
LOSSES = ("mse", "huber")


class Judge:
    """The metrics of the specification, with everything that is fitted fitted on the training part.

    training: (n, C), columns' units.
    scaling: that of the trained network. loss: "mse" or "huber".
    """

    def __init__(self, training: np.ndarray, scaling: Scaling, loss: str = "mse"):
        from sklearn.preprocessing import QuantileTransformer

        self.means = training.mean(axis=0)
        self.scaling, self.loss = scaling, loss
        self.quantiles = QuantileTransformer(
            n_quantiles=min(1000, len(training)), output_distribution="normal", subsample=None
        ).fit(training)

    def columns(self, true: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
        """true, predicted: (n, C), columns' units -> each metric of `NAMES`, (C,)."""
        scaled = self.scaling.transform(predicted) - self.scaling.transform(true)
        error = np.abs(predicted - true)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(error == 0, 0.0, error / np.abs(true))
        return {
            "r2": r2(true, predicted),
            "r2_quantile": r2(self.quantiles.transform(true), self.quantiles.transform(predicted)),
            "mae": error.mean(axis=0),
            "median_relative_error": np.median(relative, axis=0),
            "loss": elementwise(scaled, self.loss).mean(axis=0),
        }

    def baseline(self, true: np.ndarray) -> dict[str, np.ndarray]:
        """The metrics of predicting the training part's column means, whatever the picture."""
        return self.columns(true, np.broadcast_to(self.means, true.shape))


def r2(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Coefficient of determination of each column, (C,); of a constant column 1 if met exactly, else 0."""
    from sklearn.metrics import r2_score

    return r2_score(true, predicted, multioutput="raw_values")


def elementwise(difference, loss: str):
    """The loss of each scaled difference, of any shape, numpy or torch: half-square up to 1 for "huber"."""
    size = abs(difference)
    if loss == "mse":
        return size * size
    low = size.clip(max=1)  # Huber with delta = 1: low^2/2 + (size - low)
    return low * low / 2 + (size - low)


def likelihood(error, log_variance):
    """−ln of the normal distribution's density, but for a constant; of a variance within e^±14."""
    log_variance = log_variance.clamp(-14, 14)
    return 0.5 * (log_variance + error * error * (-log_variance).exp())


def mean(columns: dict[str, np.ndarray]) -> dict[str, float]:
    """Each metric's mean over the columns."""
    return {name: float(np.mean(values)) for name, values in columns.items()}
