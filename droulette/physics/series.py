"""Truncated Taylor series: the numbers in which a potential is differentiated to any order.

A `Series` holds the coefficients of f(t) = Σ_k c_k t^k, k ≤ order. Arithmetic and the functions below are
the usual recurrences (Griewank & Walther, *Evaluating Derivatives*, 2nd ed., ch. 13). The functions take
floats and tensors as well, so that one formula serves them all.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


class Series:
    """Coefficients c: (order + 1, …), float64."""

    def __init__(self, coefficients: Tensor) -> None:
        self.c = coefficients

    @classmethod
    def line(cls, start: Tensor, slope: Tensor, order: int) -> Series:
        """start + slope·t."""
        start, slope = torch.broadcast_tensors(start, slope)
        c = torch.zeros((order + 1, *start.shape), dtype=start.dtype, device=start.device)
        c[0], c[1] = start, slope
        return cls(c)

    def __neg__(self) -> Series:
        return Series(-self.c)

    def __add__(self, other: Series | Tensor | float) -> Series:
        if isinstance(other, Series):
            return Series(self.c + other.c)
        c = self.c.clone()
        c[0] = c[0] + other
        return Series(c)

    __radd__ = __add__

    def __sub__(self, other: Series | Tensor | float) -> Series:
        return self + (-other)

    def __rsub__(self, other: Tensor | float) -> Series:
        return -self + other

    def __mul__(self, other: Series | Tensor | float) -> Series:
        if not isinstance(other, Series):
            return Series(self.c * other)
        a, b = self.c, other.c
        return Series(torch.stack([_convolve(a, b, k, 0, k) for k in range(len(a))]))

    __rmul__ = __mul__

    def __truediv__(self, other: Series | Tensor | float) -> Series:
        if not isinstance(other, Series):
            return Series(self.c / other)
        b, q = other.c, []
        for k, a in enumerate(self.c):
            q.append((a - _convolve(q, b, k, 0, k - 1)) / b[0] if k else a / b[0])
        return Series(torch.stack(q))

    def __rtruediv__(self, other: Tensor | float) -> Series:
        c = torch.zeros_like(self.c)
        c[0] = other
        return Series(c) / self

    def sqrt(self) -> Series:
        a, s = self.c, [self.c[0].sqrt()]
        for k in range(1, len(a)):
            s.append((a[k] - _convolve(s, s, k, 1, k - 1)) / (2 * s[0]) if k > 1 else a[k] / (2 * s[0]))
        return Series(torch.stack(s))

    def log(self) -> Series:
        return self._integrate_over(self, self.c[0].log())

    def atan(self) -> Series:
        return self._integrate_over(1 + self * self, self.c[0].atan())

    def asinh(self) -> Series:
        return self._integrate_over((1 + self * self).sqrt(), self.c[0].asinh())

    def _integrate_over(self, denominator: Series, start: Tensor) -> Series:
        """The w with w(0) = start and w′ = self′ / denominator."""
        a, b, w = self.c, denominator.c, [start]
        slope = []  # coefficients of w′
        for k in range(1, len(a)):
            rest = _convolve(slope, b, k - 1, 0, k - 2) if k > 1 else 0.0
            slope.append((k * a[k] - rest) / b[0])
            w.append(slope[-1] / k)
        return Series(torch.stack(w))


def _convolve(a, b, k: int, first: int, last: int) -> Tensor:
    """Σ_{j=first}^{last} a_j b_{k-j}, added in this order so that the bytes depend on nothing else."""
    total = a[first] * b[k - first]
    for j in range(first + 1, last + 1):
        total = total + a[j] * b[k - j]
    return total


def sqrt(x):
    return math.sqrt(x) if isinstance(x, float) else x.sqrt()


def log(x):
    return math.log(x) if isinstance(x, float) else x.log()


def atan(x):
    return math.atan(x) if isinstance(x, float) else x.atan()


def asinh(x):
    return math.asinh(x) if isinstance(x, float) else x.asinh()
