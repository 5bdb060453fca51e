"""What is thought of the numbers of one picture before it is fitted: a mean and a covariance, by columns of tables.

Numbers that cannot fall below a limit, such as a source's size, are taken as log-normal: y = ln(x − limit) is normal,
together with all others. With mean μ and covariance c of the y, M = E[x − limit] = exp(μ + c_ii / 2),
Cov(x_i, x_j) = M_i M_j (exp(c_ij) − 1), and Cov(x_i, z) = M_i c_iz with a normal z (Stein 1981, Ann. Stat. 9, 1135).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEAST_SHARE = 1e-3  # of its standard deviation, by which a mean is at least above its limit


@dataclass(frozen=True)
class Belief:
    """columns: C names. mean: (C,), in the columns' units. covariance: (C, C)."""

    columns: tuple[str, ...]
    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def independent(cls, columns: Sequence[str], mean: Sequence[float], deviation: Sequence[float]) -> Belief:
        return cls(tuple(columns), np.asarray(mean, np.float64), np.diag(np.asarray(deviation, np.float64) ** 2))

    @classmethod
    def of_draws(cls, columns: Sequence[str], draws: np.ndarray) -> Belief:
        """Mean and covariance of draws (n, C)."""
        return cls(tuple(columns), draws.mean(axis=0), np.atleast_2d(np.cov(draws.T)))

    def beside(self, other: Belief) -> Belief:
        """Both, independent of each other; the columns that both have are those of this one."""
        own, new = len(self.columns), other.among([c for c in other.columns if c not in self.columns])
        covariance = np.zeros((own + len(new.columns),) * 2)
        covariance[:own, :own], covariance[own:, own:] = self.covariance, new.covariance
        return Belief(self.columns + new.columns, np.concatenate([self.mean, new.mean]), covariance)

    def among(self, columns: Sequence[str]) -> Belief:
        """Of some of the columns, in this order."""
        places = [self.columns.index(column) for column in columns]
        return Belief(tuple(columns), self.mean[places], self.covariance[np.ix_(places, places)])

    @property
    def deviation(self) -> np.ndarray:
        """(C,)"""
        return np.sqrt(np.diag(self.covariance))


def to_logarithms(belief: Belief, limits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of ln(x − limit), with the mean and the covariance of x that the belief says.

    limits: (C,), NaN where there is none and the number itself is meant.
    """
    limited = ~np.isnan(limits)
    above = np.maximum(belief.mean - limits, LEAST_SHARE * belief.deviation)
    relative = np.where(limited, 1 / np.where(limited, above, 1.0), 1.0)
    shares = belief.covariance * relative[:, None] * relative
    both = limited[:, None] & limited
    covariance = np.where(both, np.log1p(np.where(both, np.maximum(shares, -0.99), 0.0)), shares)
    mean = np.where(limited, np.log(np.where(limited, above, 1.0)) - 0.5 * np.diag(covariance), belief.mean)
    return mean, covariance


def from_logarithms(columns: tuple[str, ...], mean: np.ndarray, covariance: np.ndarray, limits: np.ndarray) -> Belief:
    """The inverse of `to_logarithms`."""
    limited = ~np.isnan(limits)
    above = np.where(limited, np.exp(np.where(limited, mean + 0.5 * np.diag(covariance), 0.0)), 1.0)
    both = limited[:, None] & limited
    shares = np.where(both, np.expm1(np.where(both, covariance, 0.0)), covariance)
    middle = np.where(limited, limits + above, mean)
    return Belief(columns, middle, shares * above[:, None] * above)
