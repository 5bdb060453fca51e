"""The baseline beside every figure: a linear model on moments of the picture."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from droulette.learning.observed import above_background, in_units_of_noise
from droulette.learning.scaling import Scaling

SPINS = 6  # angular orders 0…5
POWERS = (1, 2)
SIGNIFICANT = 2.0  # standard deviations of the noise


class Moments:
    """Σ w r^p e^{isφ} / Σ w of each picture, for w its brightness and the square root of it, and the Σ w.

    A preprocessing: (features,) float64 a picture, r in units of half the picture's side.
    """

    dtype = np.dtype(np.float64)

    def __init__(self, size: int) -> None:
        y, x = torch.meshgrid(size / 2 - torch.arange(size), torch.arange(size) - size / 2, indexing="ij")
        radius, angle = torch.hypot(x, y) / (size / 2), torch.atan2(y, x)
        waves = [angle.new_ones(angle.shape)]
        waves += [wave(s * angle) for s in range(1, SPINS) for wave in (torch.cos, torch.sin)]
        kernels = [radius**p * wave for p in POWERS for wave in waves]
        self.kernels = torch.stack([torch.ones_like(radius), *kernels]).flatten(1).T.float()
        self.shape = (2 * self.kernels.shape[1],)

    def views(self, pictures: Tensor, facts: Tensor | None = None) -> Tensor:
        if facts is None:
            light = pictures.flatten(1).float() / 255
        else:  # what stands out of the noise
            light = (in_units_of_noise(above_background(pictures, facts), facts)[0].flatten(1) - SIGNIFICANT).clamp_min(
                0
            )
        found = []
        for weight in (light, light.sqrt()):
            sums = (weight @ self.kernels.to(light.device)).double()
            total = sums[:, :1].clamp_min(1e-3)
            found += [total.log(), sums[:, 1:] / total]
        return torch.cat(found, 1)


class LinearModel:
    """Ridge regression from moments to the scaled columns, fitted on the training part."""

    def __init__(self, features: np.ndarray, targets: np.ndarray, scaling: Scaling) -> None:
        from sklearn.linear_model import Ridge
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        self.scaling = scaling
        self.model = make_pipeline(StandardScaler(), Ridge(alpha=math.sqrt(len(targets))))
        self.model.fit(features, scaling.transform(targets))

    def predict(self, features: np.ndarray) -> np.ndarray:
        """features: (n, F) → (n, C), columns' units."""
        return self.scaling.inverse(self.model.predict(features))
