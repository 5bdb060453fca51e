"""How wide the intervals about predictions have to be, measured on the validation part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from math import comb

import numpy as np

SHARES = (0.68, 0.95)
KNOTS = 21  # quantiles of a condition
ROWS_A_COLUMN = 5000  # with fewer, all columns share one polynomial
# Of the polynomials, of all columns together and of one alone. Over nine cells of noise and PSF, 68 % intervals of
# columns alone hold 65.6 to 70.1 % with degree 2, 66.6 to 68.8 % with 3, 66.5 to 68.6 % with 4.
DEGREE, DEGREE_A_COLUMN = 2, 3
SMOOTH = 0.01  # of ln(error): within it the loss of a quantile is rounded off


@dataclass(frozen=True)
class Calibration:
    """Widths in predicted standard deviations, (2, C), within which the SHARES of the errors of each column lie.

    Split conformal prediction (Lei et al. 2018, JASA 113, 1094): on rows that were not trained on, the share holds
    whatever the errors' distribution. So that it holds for pictures with much noise and with little, a width may be
    bent by conditions (noise, PSF, brightness): ln of its factor is a polynomial in their ranks from −1 to 1,
    fitted to the errors' quantiles (Romano et al. 2019, NeurIPS).

    knots: (K, KNOTS), quantiles of each condition. bends: (2, P, C), the polynomials' coefficients, see `_terms`; or
    (2, P), of all columns. P says the degree.
    """

    widths: np.ndarray
    knots: np.ndarray = field(default_factory=lambda: np.zeros((0, KNOTS)))
    bends: np.ndarray = field(default_factory=lambda: np.zeros((2, 0)))

    @classmethod
    def fit(
        cls, true: np.ndarray, predicted: np.ndarray, deviation: np.ndarray, conditions: np.ndarray | None = None
    ) -> Calibration:
        """true, predicted, deviation: (n, C), columns' units. conditions: (n, K)."""
        ratio = np.abs(predicted - true) / np.maximum(deviation, 1e-300)
        # The (n + 1)-th row is covered as often as one of n + 1 that are alike.
        ranks = [min(1.0, share * (len(ratio) + 1) / len(ratio)) for share in SHARES]
        widths = np.maximum(np.quantile(ratio, ranks, axis=0, method="higher"), 1e-6)
        if conditions is None or len(ratio) < 100:
            return cls(widths)
        knots = np.quantile(conditions, np.linspace(0, 1, KNOTS), axis=0).T
        alone = len(ratio) >= ROWS_A_COLUMN
        terms = _terms(conditions, knots, DEGREE_A_COLUMN if alone else DEGREE)
        bends = []
        for share, width in zip(SHARES, widths, strict=True):
            left = np.log(np.maximum(ratio / width, 1e-9))
            if not alone:
                bends.append(_quantile_regression(terms, left, share))
            else:
                bends.append(np.stack([_quantile_regression(terms, one[:, None], share) for one in left.T], axis=1))
        return cls(widths, knots, np.array(bends))

    def deviation(self, raw: np.ndarray, conditions: np.ndarray | None = None) -> np.ndarray:
        """(n, C): such that 68 % of the errors are smaller."""
        return raw * self.widths[0] * self._factors(conditions)[0]

    def reach(self, conditions: np.ndarray | None = None) -> np.ndarray:
        """(C,), or (n, C) under conditions: so many times `deviation` are greater than 95 % of the errors; 1.96 of a
        normal distribution.
        """
        factors = self._factors(conditions)
        return np.maximum(self.widths[1] / self.widths[0] * factors[1] / factors[0], 1.0)

    def _factors(self, conditions: np.ndarray | None) -> np.ndarray:
        """(2, 1), or (2, n, C or 1)."""
        if not len(self.knots) or conditions is None:
            return np.ones((2, 1))
        terms = _terms(conditions, self.knots, self._degree() or 0)
        return np.exp(np.clip(terms @ self.bends.reshape(*self.bends.shape[:2], -1), -3, 3))

    def _degree(self) -> int | None:
        """Of the polynomials; None: the number of coefficients is that of no degree."""
        count = len(self.knots)
        numbers = {comb(count + degree, degree): degree for degree in (DEGREE, DEGREE_A_COLUMN)} if count else {0: 0}
        return numbers.get(self.bends.shape[1])

    def check(self, columns: int) -> None:
        """Raises ValueError unless these are widths of so many columns."""
        bent = (
            self.bends.ndim > 1
            and self.bends.shape[:1] + self.bends.shape[2:] in ((2,), (2, columns))
            and self._degree() is not None
        )
        shapes = self.widths.shape == (2, columns) and bent and self.knots.shape[1:] == (KNOTS,)
        if not (shapes and (self.widths > 0).all()):
            raise ValueError("its calibration is not one of its columns")


def _terms(conditions: np.ndarray, knots: np.ndarray, degree: int) -> np.ndarray:
    """(n, K) → (n, P): 1, each condition's rank from −1 to 1, and the products of two and more of them."""
    share = np.linspace(-1, 1, KNOTS)
    ranks = [np.interp(values, line, share) for values, line in zip(conditions.T, knots, strict=True)]
    chosen: list[Sequence[np.ndarray]] = []
    for order in range(1, degree + 1):
        chosen += combinations_with_replacement(ranks, order)
    return np.stack([np.ones(len(conditions)), *(np.prod(factors, axis=0) for factors in chosen)], axis=1)


def _quantile_regression(terms: np.ndarray, values: np.ndarray, share: float) -> np.ndarray:
    """(P,), of terms (n, P), whose sum is above that share of the values (n, C), in all columns together.

    scikit-learn's solver takes minutes for 100,000 values, and of 20,000 the shares are off by another percent.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    def loss(bends: np.ndarray) -> tuple[float, np.ndarray]:
        left = values - (terms @ bends)[:, None]
        total = share * left.mean() + SMOOTH * np.logaddexp(0, -left / SMOOTH).mean()
        slope = (expit(-left / SMOOTH) - share).mean(axis=1)
        return total, terms.T @ slope / len(terms)

    return minimize(loss, np.zeros(terms.shape[1]), jac=True, method="L-BFGS-B").x


def coverage(true: np.ndarray, predicted: np.ndarray, deviation: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """The shares of rows within the 68 % and the 95 % intervals, (2, C)."""
    error = np.abs(predicted - true)
    return np.stack([(error <= deviation).mean(axis=0), (error <= deviation * reach).mean(axis=0)])
