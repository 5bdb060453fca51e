"""How good predictions are, for each column; means are taken by the caller or by `mean`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from droulette.learning.parallel import by_rows
from droulette.learning.scaling import Scaling

NAMES = ("r2", "r2_quantile", "mae", "median_relative_error", "loss")
LOSSES = ("mse", "huber")


@dataclass(frozen=True)
class Scaled:
    """Values of the columns, (n, C) or (1, C), on each scale that a metric needs.

    units: the columns' own. trained: that of the network. quantiles: normal by the training rows' quantiles.
    """

    units: np.ndarray
    trained: np.ndarray
    quantiles: np.ndarray

    def __getitem__(self, rows) -> Scaled:
        return Scaled(self.units[rows], self.trained[rows], self.quantiles[rows])

    def repeat(self, count: int) -> Scaled:
        """Of a single row, `count` times."""
        shape = (count, self.units.shape[1])
        values = (self.units, self.trained, self.quantiles)
        return Scaled(*(np.broadcast_to(value, shape) for value in values))


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

    def scaled(self, values: np.ndarray) -> Scaled:
        """values: (n, C), columns' units. The long part of the work, which serves several comparisons."""
        trained = by_rows(self.scaling.transform, values)
        return Scaled(values, trained, by_rows(self.quantiles.transform, values))

    def columns(self, true: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
        """true, predicted: (n, C), columns' units -> each metric of `NAMES`, (C,)."""
        return self.compare(self.scaled(true), self.scaled(predicted))

    def compare(self, true: Scaled, predicted: Scaled) -> dict[str, np.ndarray]:
        """n rows each -> each metric of `NAMES`, (C,)."""
        error = np.abs(predicted.units - true.units)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(error == 0, 0.0, error / np.abs(true.units))
        return {
            "r2": r2(true.units, predicted.units),
            "r2_quantile": r2(true.quantiles, predicted.quantiles),
            "mae": error.mean(axis=0),
            "median_relative_error": np.median(relative, axis=0),
            "loss": elementwise(predicted.trained - true.trained, self.loss).mean(axis=0),
        }

    def baseline(self, true: Scaled) -> dict[str, np.ndarray]:
        """The metrics of predicting the training rows' column means, whatever the picture."""
        return self.compare(true, self.scaled(self.means[None]).repeat(len(true.units)))


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
