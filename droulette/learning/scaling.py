"""Reversible scalings of the target columns, fitted on the training part and kept as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np
from scipy.special import ndtr, ndtri

QUANTILES = 1000  # scikit-learn's default


@dataclass(frozen=True)
class StandardScaling:
    """Zero mean and unit variance.

    Arrays: mean: (C,), deviation: (C,), both in the columns' units.
    """

    kind: ClassVar[str] = "standard"
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, targets: np.ndarray) -> StandardScaling:
        """targets: (n, C), columns' units. A constant column is only shifted."""
        deviation = targets.std(axis=0)
        return cls(targets.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def transform(self, targets: np.ndarray) -> np.ndarray:
        """(n, C) columns' units -> (n, C) scaled, float64."""
        return (np.asarray(targets, np.float64) - self.mean) / self.deviation

    def inverse(self, scaled: np.ndarray) -> np.ndarray:
        """(n, C) scaled -> (n, C) columns' units, float64."""
        return np.asarray(scaled, np.float64) * self.deviation + self.mean


@dataclass(frozen=True)
class QuantileScaling:
    """Each column mapped to a normal distribution by its own quantiles, so that no few tiny lenses dominate.

    scikit-learn's `QuantileTransformer(output_distribution="normal")`, but for its ends: that clips the share u
    at 1e-7 and 1 - 1e-7, and puts the least and largest value there, however many rows have it. Here u is
    squeezed linearly into [margin, 1 - margin], so that the whole training range is reversible.

    Arrays: quantiles: (Q, C), columns' units, ascending; margin: (), half a training row's share.
    """

    kind: ClassVar[str] = "quantile"
    quantiles: np.ndarray
    margin: np.ndarray

    @classmethod
    def fit(cls, targets: np.ndarray) -> QuantileScaling:
        """targets: (n, C), columns' units."""
        from sklearn.preprocessing import QuantileTransformer

        count = len(targets)
        fitted = QuantileTransformer(n_quantiles=min(QUANTILES, count), subsample=None).fit(targets)
        return cls(fitted.quantiles_, np.array(0.5 / count))

    def transform(self, targets: np.ndarray) -> np.ndarray:
        """(n, C) columns' units -> (n, C) standard normal, float64. Outside the training range: its end."""
        targets = np.asarray(targets, np.float64)
        share = np.linspace(0, 1, len(self.quantiles))
        # The mean of two one-sided interpolations puts a value that fills several quantiles in their middle.
        scaled = [
            (np.interp(x, q, share) - np.interp(-x, -q[::-1], -share[::-1])) / 2
            for x, q in zip(targets.T, self.quantiles.T, strict=True)
        ]
        return ndtri(self.margin + (1 - 2 * self.margin) * np.stack(scaled, axis=1))

    def inverse(self, scaled: np.ndarray) -> np.ndarray:
        """(n, C) standard normal -> (n, C) columns' units, float64, inside the training range."""
        share = np.linspace(0, 1, len(self.quantiles))
        u = (ndtr(np.asarray(scaled, np.float64)) - self.margin) / (1 - 2 * self.margin)
        return np.stack([np.interp(x, share, q) for x, q in zip(u.T, self.quantiles.T, strict=True)], axis=1)


Scaling = StandardScaling | QuantileScaling
SCALINGS: dict[str, type[Scaling]] = {cls.kind: cls for cls in (StandardScaling, QuantileScaling)}


def arrays(scaling: Scaling) -> dict[str, np.ndarray]:
    """The scaling's state by field name; `SCALINGS[kind](**arrays)` makes it again."""
    return {field.name: getattr(scaling, field.name) for field in fields(scaling)}
