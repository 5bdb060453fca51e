"""How wide the intervals about predictions have to be, measured on the validation part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHARES = (0.68, 0.95)


@dataclass(frozen=True)
class Calibration:
    """Widths in predicted standard deviations, (2, C), within which the SHARES of the errors of each column lie.

    Split conformal prediction (Lei et al. 2018, JASA 113, 1094): on rows that were not trained on, the share holds
    whatever the errors' distribution.
    """

    widths: np.ndarray

    @classmethod
    def fit(cls, true: np.ndarray, predicted: np.ndarray, deviation: np.ndarray) -> Calibration:
        """true, predicted, deviation: (n, C), columns' units."""
        ratio = np.abs(predicted - true) / np.maximum(deviation, 1e-300)
        # The (n + 1)-th row is covered as often as one of n + 1 that are alike.
        ranks = [min(1.0, share * (len(ratio) + 1) / len(ratio)) for share in SHARES]
        return cls(np.maximum(np.quantile(ratio, ranks, axis=0, method="higher"), 1e-6))

    def deviation(self, raw: np.ndarray) -> np.ndarray:
        """(n, C): such that 68 % of the errors are smaller."""
        return raw * self.widths[0]

    def reach(self) -> np.ndarray:
        """(C,): so many times `deviation` are greater than 95 % of the errors; 1.96 of a normal distribution."""
        return self.widths[1] / self.widths[0]


def coverage(true: np.ndarray, predicted: np.ndarray, deviation: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """The shares of rows within the 68 % and the 95 % intervals, (2, C)."""
    error = np.abs(predicted - true)
    return np.stack([(error <= deviation).mean(axis=0), (error <= deviation * reach).mean(axis=0)])
