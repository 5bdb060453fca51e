"""How far out on the trained scale a prediction may lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from droulette.learning.scaling import RadialScaling, Scaling

CHOICES = (*np.arange(2.0, 4.75, 0.25), 1e9)  # the last one cuts nothing off


@dataclass(frozen=True)
class Limit:
    """Values on the trained scale, and lengths of vectors there, are cut off at `most`.

    Where the scale is steep, a network that overshoots a rare value by a little is wrong by more than in all other
    rows. Of the CHOICES that one is taken with which the validation rows' mean R² in the columns' units is greatest.

    most: (), standard deviations of the trained scale.
    """

    most: np.ndarray

    @classmethod
    def fit(cls, scaling: Scaling, scaled: np.ndarray, targets: np.ndarray) -> Limit:
        """scaled: (n, C), as predicted. targets: (n, C), columns' units."""
        variance = np.maximum(targets.var(axis=0), 1e-300)
        limits = [cls(np.array(most)) for most in CHOICES]
        errors = [scaling.inverse(limit.cut(scaling, scaled)) - targets for limit in limits]
        return limits[int(np.argmin([(error**2 / variance).mean() for error in errors]))]

    def cut(self, scaling: Scaling, scaled: np.ndarray) -> np.ndarray:
        """(n, C) → (n, C)."""
        cut = np.clip(scaled, -self.most, self.most)
        if isinstance(scaling, RadialScaling):
            first, second = scaled[:, scaling.first], scaled[:, scaling.second]
            factor = np.minimum(1, self.most / np.maximum(np.hypot(first, second), 1e-9))
            cut[:, scaling.first], cut[:, scaling.second] = first * factor, second * factor
        return cut
