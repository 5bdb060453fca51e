"""A screen for pictures of a kind that was not trained on: with a lens's light, say, or without any lens.

A network is sure of itself beyond what it has learnt, and a picture with noise has few features that a distance
could measure. So pictures of such kinds are drawn, and told from the training pictures by what the network makes of
them: a logistic regression on its features (outlier exposure: Hendrycks et al. 2019, ICLR).
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import nn

AT_ONCE = 128
PENALTY = 0.02  # inverse strength, scikit-learn's C
MOST = 8000  # pictures of the training's kind that are told from the others
SHARE = 0.993  # of the validation pictures that pass


@dataclass(frozen=True)
class Screen:
    """mean, scale, weights: (F,), of the features. threshold: (), that SHARE of the validation pictures stay below."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    threshold: np.ndarray

    @classmethod
    def fit(cls, known: np.ndarray, validation: np.ndarray, others: np.ndarray) -> Screen:
        """`features` of pictures of the training's kind, of more of these, and of pictures of other kinds."""
        from sklearn.linear_model import LogisticRegression

        some = np.arange(min(MOST, len(known))) * len(known) // min(MOST, len(known))
        both = np.concatenate([known[some], others], dtype=np.float64)
        mean, scale = both.mean(axis=0), np.maximum(both.std(axis=0), 1e-6)
        both -= mean  # in place: these may be gigabytes
        both /= scale
        is_other = np.arange(len(both)) >= len(some)
        regression = LogisticRegression(C=PENALTY, max_iter=200, tol=1e-3, class_weight="balanced")
        regression.fit(both, is_other)
        arrays = (array.astype(np.float32) for array in (mean, scale, regression.coef_[0], np.zeros(())))
        raw = cls(*arrays)
        threshold = np.quantile(raw._sums(validation), SHARE, method="higher")
        return cls(raw.mean, raw.scale, raw.weights, threshold.astype(np.float32))

    def _sums(self, described: np.ndarray) -> np.ndarray:
        """(n,): the larger, the less like the training pictures."""
        return ((described - self.mean) / self.scale) @ self.weights.astype(np.float64)

    def score(self, network: nn.Module, views: np.ndarray) -> np.ndarray:
        """(n,) from 0 to 2: above 1 a picture is of a kind that was not trained on."""
        return 2 / (1 + np.exp(-np.clip(self._sums(features(network, views)) - self.threshold, -30, 30)))

    def check(self) -> None:
        """Raises ValueError unless these are finite arrays that fit together."""
        shapes = {self.mean.shape, self.scale.shape, self.weights.shape}
        arrays = [getattr(self, field.name) for field in fields(self)]
        fits = len(shapes) == 1 and self.mean.ndim == 1 and self.threshold.shape == () and (self.scale > 0).all()
        if not (fits and all(np.isfinite(array).all() for array in arrays)):
            raise ValueError("its screen is none")


@torch.no_grad()
def features(network: nn.Module, views: np.ndarray) -> np.ndarray:
    """(n, F) float32, unchanged when the scene is turned."""
    network = getattr(network, "module", network)
    network.eval()
    device = next(network.parameters()).device
    found = []
    for start in range(0, len(views), AT_ONCE):
        batch = torch.from_numpy(np.array(views[start : start + AT_ONCE])).to(device)
        found.append(network.describe(batch).float().cpu().numpy())
    return np.concatenate(found)
