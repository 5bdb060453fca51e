"""Reversible scalings of the target columns, fitted on the training part and kept as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import ClassVar, Protocol

import numpy as np
from scipy.special import ndtr, ndtri

from droulette.learning.symmetry import Laws

QUANTILES = 1000  # scikit-learn's default
DRAWS = 32  # of a normal distribution, that its width is measured with after the inverse


class Scaling(Protocol):
    kind: ClassVar[str]

    @classmethod
    def fit(cls, targets: np.ndarray, columns: Sequence[str]) -> Scaling:
        """targets: (n, C), columns' units, of C columns with those names."""

    def transform(self, targets: np.ndarray) -> np.ndarray:
        """(n, C) columns' units -> (n, C) scaled, float64."""

    def inverse(self, scaled: np.ndarray) -> np.ndarray:
        """(n, C) scaled -> (n, C) columns' units, float64."""


@dataclass(frozen=True)
class StandardScaling:
    """Zero mean and unit variance.

    Arrays: mean: (C,), deviation: (C,), both in the columns' units.
    """

    kind: ClassVar[str] = "standard"
    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def fit(cls, targets: np.ndarray, columns: Sequence[str]) -> StandardScaling:
        """A constant column is only shifted."""
        deviation = targets.std(axis=0)
        return cls(targets.mean(axis=0), np.where(deviation > 0, deviation, 1.0))

    def transform(self, targets: np.ndarray) -> np.ndarray:
        return (np.asarray(targets, np.float64) - self.mean) / self.deviation

    def inverse(self, scaled: np.ndarray) -> np.ndarray:
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
    def fit(cls, targets: np.ndarray, columns: Sequence[str] = ()) -> QuantileScaling:
        return cls(_quantiles(targets), np.array(0.5 / len(targets)))

    def transform(self, targets: np.ndarray) -> np.ndarray:
        """To a standard normal distribution. Outside the training range: its end."""
        return ndtri(_squeezed(_shares(np.asarray(targets, np.float64), self.quantiles), self.margin))

    def inverse(self, scaled: np.ndarray) -> np.ndarray:
        """From there, into the training range."""
        return _at_shares(_stretched(ndtr(np.asarray(scaled, np.float64)), self.margin), self.quantiles)


@dataclass(frozen=True)
class RadialScaling:
    """Vectors keep their direction, and their length is mapped to that of a two-dimensional normal distribution.

    So a turn of the scene turns the scaled vector (α_s, β_s) as far as the vector itself, and heavy tails are gone.
    Columns that are no vectors are mapped as by `QuantileScaling`.

    Arrays: quantiles: (Q, C), columns' units, ascending; lengths: (Q, P), those of the vectors' lengths; first,
    second: (P,) their columns; margin: (), half a training row's share.
    """

    kind: ClassVar[str] = "radial"
    quantiles: np.ndarray
    lengths: np.ndarray
    first: np.ndarray
    second: np.ndarray
    margin: np.ndarray

    @classmethod
    def fit(cls, targets: np.ndarray, columns: Sequence[str]) -> RadialScaling:
        pairs = np.array(Laws.of(columns).pairs, dtype=np.int64).reshape(-1, 3)
        first, second = pairs[:, 0].copy(), pairs[:, 1].copy()
        lengths = np.hypot(targets[:, first], targets[:, second])
        of_lengths = _quantiles(lengths) if len(first) else np.zeros((min(QUANTILES, len(targets)), 0))
        return cls(_quantiles(targets), of_lengths, first, second, np.array(0.5 / len(targets)))

    @cached_property
    def lone(self) -> np.ndarray:
        """The columns that are in no vector."""
        return np.setdiff1d(np.arange(self.quantiles.shape[1]), np.concatenate([self.first, self.second]))

    def transform(self, targets: np.ndarray) -> np.ndarray:
        """Beyond the longest or shortest vector of the training part: as long as that."""
        targets = np.asarray(targets, np.float64)
        scaled = np.empty(targets.shape)
        shares = _shares(targets[:, self.lone], self.quantiles[:, self.lone])
        scaled[:, self.lone] = ndtri(_squeezed(shares, self.margin))
        length = np.hypot(targets[:, self.first], targets[:, self.second])
        # Rayleigh's distribution: a share of 1 − exp(−r²/2) is shorter than r.
        wanted = np.sqrt(-2 * np.log1p(-_squeezed(_shares(length, self.lengths), self.margin)))
        return self._with_lengths(scaled, targets, length, wanted)

    def inverse(self, scaled: np.ndarray) -> np.ndarray:
        scaled = np.asarray(scaled, np.float64)
        targets = np.empty(scaled.shape)
        shares = _stretched(ndtr(scaled[:, self.lone]), self.margin)
        targets[:, self.lone] = _at_shares(shares, self.quantiles[:, self.lone])
        length = np.hypot(scaled[:, self.first], scaled[:, self.second])
        wanted = _at_shares(_stretched(-np.expm1(-(length**2) / 2), self.margin), self.lengths)
        return self._with_lengths(targets, scaled, length, wanted)

    def _with_lengths(self, into: np.ndarray, vectors: np.ndarray, length: np.ndarray, wanted: np.ndarray):
        """Put the vectors, brought from their length to that which is wanted, into the table."""
        factor = np.divide(wanted, length, out=np.zeros_like(length), where=length > 0)
        for columns in (self.first, self.second):
            into[:, columns] = vectors[:, columns] * factor
        return into


def _quantiles(values: np.ndarray) -> np.ndarray:
    """(n, C) -> (Q, C), ascending."""
    from sklearn.preprocessing import QuantileTransformer

    return QuantileTransformer(n_quantiles=min(QUANTILES, len(values)), subsample=None).fit(values).quantiles_


def _shares(values: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """The share of a column that is smaller, (n, C) in [0, 1]."""
    share = np.linspace(0, 1, len(quantiles))
    # The mean of two one-sided interpolations puts a value that fills several quantiles in their middle.
    found = [
        (np.interp(x, q, share) - np.interp(-x, -q[::-1], -share[::-1])) / 2
        for x, q in zip(values.T, quantiles.T, strict=True)
    ]
    return np.stack(found, axis=1) if found else np.zeros(values.shape)


def _at_shares(shares: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    share = np.linspace(0, 1, len(quantiles))
    found = [np.interp(u, share, q) for u, q in zip(shares.T, quantiles.T, strict=True)]
    return np.stack(found, axis=1) if found else np.zeros(shares.shape)


def _squeezed(share: np.ndarray, margin: np.ndarray) -> np.ndarray:
    return margin + (1 - 2 * margin) * share


def _stretched(share: np.ndarray, margin: np.ndarray) -> np.ndarray:
    return (share - margin) / (1 - 2 * margin)


def spread(scaling: Scaling, scaled: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Standard deviations in the columns' units of normal distributions on the trained scale, (n, C).

    scaled, deviation: (n, C), their means and standard deviations.
    """
    draws = np.random.default_rng(0).normal(size=(DRAWS // 2, scaled.shape[1]))
    draws = np.concatenate([draws, -draws]) / draws.std(axis=0)
    mean, square = 0.0, 0.0
    start = scaling.inverse(scaled)  # differences, since the squares of large numbers would lose the digits
    for draw in draws:
        away = scaling.inverse(scaled + deviation * draw) - start
        mean, square = mean + away / DRAWS, square + away**2 / DRAWS
    return np.sqrt(np.maximum(square - mean**2, 0.0))


SCALINGS: dict[str, type] = {cls.kind: cls for cls in (RadialScaling, QuantileScaling, StandardScaling)}


def arrays(scaling: Scaling) -> dict[str, np.ndarray]:
    """The scaling's state by field name; `SCALINGS[kind](**arrays)` makes it again."""
    return {field.name: getattr(scaling, field.name) for field in fields(scaling)}
