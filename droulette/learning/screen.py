"""A screen for pictures of a kind that was not trained on: with a lens's light, say, or without any lens.

A network is sure of itself beyond what it has learnt, and a picture with noise has few features that a distance
could measure. So pictures of such kinds are drawn, and each kind is told from the training pictures by what the network
makes of them: a logistic regression on its features (outlier exposure: Hendrycks et al. 2019, ICLR).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import nn

AT_ONCE = 128
PENALTY = 0.02  # inverse strength, scikit-learn's C
MOST = 8000  # pictures of the training's kind that each other kind is told from
SHARE = 0.993  # of the validation pictures that pass


@dataclass(frozen=True)
class Screen:
    """mean, scale: (F,), of the features. weights: (K, F), of each of K other kinds, or (F,) of all of them.

    threshold: (K,) or (), below which so many of the validation pictures stay that SHARE of them pass.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    threshold: np.ndarray

    @classmethod
    def fit(cls, known: np.ndarray, validation: np.ndarray, others: Sequence[np.ndarray]) -> Screen:
        """`features` of pictures of the training's kind, of more of these, and of pictures of each other kind."""
        from sklearn.linear_model import LogisticRegression

        some = np.arange(min(MOST, len(known))) * len(known) // min(MOST, len(known))
        every = np.concatenate([known[some], *others], dtype=np.float64)
        mean, scale = every.mean(axis=0), np.maximum(every.std(axis=0), 1e-6)
        every -= mean  # in place: these may be gigabytes
        every /= scale
        weights, end = [], len(some)
        for kind in others:
            both = np.concatenate([every[: len(some)], every[end : end + len(kind)]])
            end += len(kind)
            regression = LogisticRegression(C=PENALTY, max_iter=200, tol=1e-3, class_weight="balanced")
            weights.append(regression.fit(both, np.arange(len(both)) >= len(some)).coef_[0])
        arrays = (array.astype(np.float32) for array in (mean, scale, np.array(weights), np.zeros(len(others))))
        raw = cls(*arrays)
        share = 1 - (1 - SHARE) / len(others)
        threshold = np.quantile(raw._sums(validation), share, axis=0, method="higher")
        return cls(raw.mean, raw.scale, raw.weights, threshold.astype(np.float32))

    def _sums(self, described: np.ndarray) -> np.ndarray:
        """(n, K) or (n,): the larger, the more like that kind."""
        return ((described - self.mean) / self.scale) @ self.weights.astype(np.float64).T

    def score(self, network: nn.Module, views: np.ndarray) -> np.ndarray:
        """(n,) from 0 to 2: above 1 a picture is of a kind that was not trained on."""
        above = self._sums(features(network, views)) - self.threshold
        return 2 / (1 + np.exp(-np.clip(above.reshape(len(views), -1).max(axis=1), -30, 30)))

    def check(self) -> None:
        """Raises ValueError unless these are finite arrays that fit together."""
        arrays = [getattr(self, field.name) for field in fields(self)]
        features, kinds = self.mean.shape, self.threshold.shape
        shapes = (self.mean.ndim, self.scale.shape, self.weights.shape) == (1, features, (*kinds, *features))
        fits = shapes and len(kinds) < 2 and 0 not in kinds and (self.scale > 0).all()
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
