"""How unlike the training pictures a picture is: what a network says of such a one is worth nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch

from droulette.learning.preprocessing import LogPolar, Preprocessing

BANDS = 16  # of radius, evenly spaced in its logarithm
SPINS = (0, 1, 2, 3, 4, 5, 7, 11, 19, 33)  # edges of the groups of angular frequencies; 33 are left of 64 angles
FAINTEST = 0.01  # of the picture's maximum: fainter waves are rounding of grey levels
COMPONENTS = 12
NEIGHBOURS = 5
MOST = 2000  # pictures that others are compared with, and that the threshold is measured on
SHARE = 0.995  # of the validation pictures that are not called unlike
AT_ONCE = 256


@dataclass(frozen=True)
class Novelty:
    """The distance to the nearest training pictures, in what is left of a picture that turns and mirrors do not change.

    A picture is described by the strengths of its waves around the origin: the root mean square of the angular Fourier
    coefficients of the square root of its brightness, in BANDS of radius and groups of frequency, relative to its
    maximum, whose logarithm is added. Of F such numbers the principal components are kept, each with unit variance;
    the distance to a training set is that to the NEIGHBOURS-th nearest of its members (Ramaswamy et al. 2000, SIGMOD
    Record 29, 427).

    mean: (F,). axes: (F, K), onto the components. reference: (n, K), of training pictures. threshold: (), a distance
    that SHARE of the validation pictures stay below.
    """

    mean: np.ndarray
    axes: np.ndarray
    reference: np.ndarray
    threshold: np.ndarray

    @classmethod
    def fit(cls, preprocessing: Preprocessing, training: np.ndarray, validation: np.ndarray) -> Novelty:
        """training, validation: (n, *shape), views that the preprocessing made."""
        described = describe(preprocessing, _some(training))
        mean = described.mean(axis=0)
        variances, axes = np.linalg.eigh(np.cov(described.T, ddof=0))
        kept = min(COMPONENTS, max(1, len(described) - 1))
        axes = axes[:, -kept:] / np.sqrt(np.maximum(variances[-kept:], 1e-12))
        reference = (described - mean) @ axes
        arrays = (array.astype(np.float32) for array in (mean, axes, reference, np.ones(())))
        measure = cls(*arrays)
        threshold = np.quantile(measure.score(preprocessing, _some(validation)), SHARE, method="higher")
        return cls(measure.mean, measure.axes, measure.reference, np.maximum(threshold, 1e-6).astype(np.float32))

    def score(self, preprocessing: Preprocessing, views: np.ndarray) -> np.ndarray:
        """(n, *shape) → (n,): the distance to the training pictures over the threshold; above 1 they are unlike."""
        place = (describe(preprocessing, views) - self.mean) @ self.axes.astype(np.float64)
        reference = self.reference.astype(np.float64)
        nearest = min(NEIGHBOURS, len(reference)) - 1
        found = np.empty(len(place))
        for row, one in enumerate(place):
            distances = ((reference - one) ** 2).sum(axis=1)
            found[row] = np.sqrt(np.partition(distances, nearest)[nearest])
        return found / self.threshold

    def check(self) -> None:
        """Raises ValueError unless these are finite arrays that fit together."""
        features = BANDS * (len(SPINS) - 1) + 1
        components = self.axes.size // features
        shapes = {"mean": (features,), "axes": (features, components), "threshold": ()}
        shapes["reference"] = (len(self.reference), components)
        arrays = {field.name: getattr(self, field.name) for field in fields(self)}
        fits = len(self.reference) and all(arrays[name].shape == shape for name, shape in shapes.items())
        if not (fits and all(np.isfinite(array).all() for array in arrays.values()) and self.threshold > 0):
            raise ValueError("its measure of novelty is none")


def describe(preprocessing: Preprocessing, views: np.ndarray) -> np.ndarray:
    """(n, *shape) → (n, F) float64, unchanged when the scene is turned or mirrored."""
    return np.concatenate([_strengths(circles) for circles in _circles(preprocessing, views)])


def _strengths(circles: np.ndarray) -> np.ndarray:
    """(B, rows, columns), square roots of brightness → (B, F)."""
    count, rows, columns = circles.shape
    greatest = circles.max(axis=(1, 2)) + 0.01
    waves = np.fft.rfft(circles / greatest[:, None, None], axis=2)[:, :, : SPINS[-1]] / columns
    power = np.add.reduceat(waves.real**2 + waves.imag**2, SPINS[:-1], axis=2)
    power = power.reshape(count, BANDS, rows // BANDS, -1).mean(axis=2)
    return np.column_stack([np.sqrt(power + FAINTEST**2).reshape(count, -1), np.log(greatest)])


def _circles(preprocessing: Preprocessing, views: np.ndarray) -> Iterator[np.ndarray]:
    """The pictures on circles about the origin, (B, rows, columns) float32, a batch at a time."""
    size = preprocessing.shape[-1]
    polar = preprocessing if isinstance(preprocessing, LogPolar) else LogPolar(size, 2 * BANDS, 2 * SPINS[-1] - 2)
    for start in range(0, len(views), AT_ONCE):
        batch = np.array(views[start : start + AT_ONCE])
        if polar is not preprocessing:
            batch = polar.views(torch.from_numpy(batch)).numpy()
        yield batch[:, 0].astype(np.float32)


def _some(views: np.ndarray) -> np.ndarray:
    """At most MOST of them, evenly spread."""
    if len(views) <= MOST:
        return views
    return views[np.arange(MOST) * len(views) // MOST]
