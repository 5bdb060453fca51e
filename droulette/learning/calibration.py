"""How wide the intervals about predictions have to be, measured on the validation part."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

SHARES = (0.68, 0.95)
MOST_BANDS = 6
LEAST_ROWS = 150  # of a band


@dataclass(frozen=True)
class Calibration:
    """Widths in predicted standard deviations, (2, C), within which the SHARES of the errors of each column lie.

    Split conformal prediction (Lei et al. 2018, JASA 113, 1094): on rows that were not trained on, the share holds
    whatever the errors' distribution. With bands, of pictures as bright over their noise as each other, it holds in
    each of them: a width is then the column's times the band's.

    edges: (K − 1,), of the bands, ascending. factors: (K, 2).
    """

    widths: np.ndarray
    edges: np.ndarray = field(default_factory=lambda: np.zeros(0))
    factors: np.ndarray = field(default_factory=lambda: np.ones((1, 2)))

    @classmethod
    def fit(
        cls, true: np.ndarray, predicted: np.ndarray, deviation: np.ndarray, told: np.ndarray | None = None
    ) -> Calibration:
        """true, predicted, deviation: (n, C), columns' units. told: (n,), what decides the band."""
        ratio = np.abs(predicted - true) / np.maximum(deviation, 1e-300)
        # The (n + 1)-th row is covered as often as one of n + 1 that are alike.
        ranks = [min(1.0, share * (len(ratio) + 1) / len(ratio)) for share in SHARES]
        widths = np.maximum(np.quantile(ratio, ranks, axis=0, method="higher"), 1e-6)
        count = 1 if told is None else min(MOST_BANDS, len(ratio) // LEAST_ROWS)
        if count < 2:
            return cls(widths)
        edges = np.quantile(told, np.arange(1, count) / count)
        band = np.searchsorted(edges, told, side="right")
        pooled = ratio[:, None] / widths  # (n, 2, C), of each share in its own widths
        factors = [
            [np.quantile(pooled[band == k, number], share) for number, share in enumerate(SHARES)] for k in range(count)
        ]
        return cls(widths, edges, np.maximum(np.array(factors), 1e-6))

    def deviation(self, raw: np.ndarray, told: np.ndarray | None = None) -> np.ndarray:
        """(n, C): such that 68 % of the errors are smaller."""
        return raw * self.widths[0] * self._factors(told)[..., 0]

    def reach(self, told: np.ndarray | None = None) -> np.ndarray:
        """(C,), or (n, C) of rows with bands: so many times `deviation` are greater than 95 % of the errors; 1.96 of a
        normal distribution.
        """
        factors = self._factors(told)
        return self.widths[1] / self.widths[0] * factors[..., 1] / factors[..., 0]

    def _factors(self, told: np.ndarray | None) -> np.ndarray:
        """(1, 2), or (n, 1, 2)."""
        if not len(self.edges) or told is None:
            return np.ones((1, 2))
        return self.factors[np.searchsorted(self.edges, told, side="right")][:, None]

    def check(self, columns: int) -> None:
        """Raises ValueError unless these are widths of so many columns."""
        bands = len(self.edges) + 1
        shapes = self.widths.shape == (2, columns) and self.factors.shape == (bands, 2)
        if not (shapes and (self.widths > 0).all() and (self.factors > 0).all()):
            raise ValueError("its calibration is not one of its columns")


def coverage(true: np.ndarray, predicted: np.ndarray, deviation: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """The shares of rows within the 68 % and the 95 % intervals, (2, C)."""
    error = np.abs(predicted - true)
    return np.stack([(error <= deviation).mean(axis=0), (error <= deviation * reach).mean(axis=0)])
