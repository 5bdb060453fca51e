"""Truncated Taylor series: the numbers in which a potential is differentiated to any order.

A `Series` holds the coefficients of f(t) = Σ_k c_k t^k, k ≤ order. Arithmetic and the functions below are
the usual recurrences (Griewank & Walther, *Evaluating Derivatives*, 2nd ed., ch. 13). The functions take
arrays as well, so that one formula serves both.
"""

from __future__ import annotations

from droulette.physics import elementary
from droulette.physics.arrays import Array


class Algebra:
    """Numbers with +, −, ×, ÷ and functions of their own: what formulas take in place of arrays."""

    __array_ufunc__ = None  # NumPy leaves `array * number` to us

    def __radd__(self, other):
        return self + other

    def __sub__(self, other):
        return self + (-other)

    def __rsub__(self, other):
        return -self + other

    def __rmul__(self, other):
        return self * other


class Series(Algebra):
    """Coefficients c[0]…c[order], arrays of one shape, or 0.0 where a coefficient is 0 for all."""

    def __init__(self, coefficients: list[Array]) -> None:
        self.c = coefficients

    @classmethod
    def line(cls, start: Array, slope: Array | float, order: int) -> Series:
        """start + slope·t."""
        return cls([start, slope, *[0.0] * (order - 1)][: order + 1])

    def __neg__(self) -> Series:
        return Series([-a for a in self.c])

    def __add__(self, other: Series | Array | float) -> Series:
        if isinstance(other, Series):
            return Series([a + b for a, b in zip(self.c, other.c, strict=True)])
        return Series([self.c[0] + other, *self.c[1:]])

    def __mul__(self, other: Series | Array | float) -> Series:
        if not isinstance(other, Series):
            return Series([a if _is_zero(a) else a * other for a in self.c])
        return Series([_convolve(self.c, other.c, k, 0, k) for k in range(len(self.c))])

    def __truediv__(self, other: Series | Array | float) -> Series:
        if not isinstance(other, Series):
            return Series([a if _is_zero(a) else a / other for a in self.c])
        b, q = other.c, []
        for k, a in enumerate(self.c):
            q.append((a - _convolve(q, b, k, 0, k - 1)) / b[0])
        return Series(q)

    def __rtruediv__(self, other: Array | float) -> Series:
        return Series([other, *[0.0] * (len(self.c) - 1)]) / self

    def sqrt(self) -> Series:
        a, s = self.c, [sqrt(self.c[0])]
        for k in range(1, len(a)):
            s.append((a[k] - _convolve(s, s, k, 1, k - 1)) / (2 * s[0]))
        return Series(s)

    def exp(self) -> Series:
        a, w = self.c, [exp(self.c[0])]
        slope = [k * a[k] for k in range(1, len(a))]  # w′ = self′ w
        for k in range(1, len(a)):
            w.append(_convolve(slope, w, k - 1, 0, k - 1) / k)
        return Series(w)

    def log(self) -> Series:
        return self._integrate_over(self, log(self.c[0]))

    def log1p(self) -> Series:
        return self._integrate_over(1 + self, log1p(self.c[0]))

    def atan(self) -> Series:
        return self._integrate_over(1 + self * self, atan(self.c[0]))

    def asinh(self) -> Series:
        return self._integrate_over((1 + self * self).sqrt(), asinh(self.c[0]))

    def starting_at(self, start: Array) -> Series:
        """The same with another value at t = 0."""
        return Series([start, *self.c[1:]])

    def compose(self, derivatives: list[Array]) -> Series:
        """f(self) of a function with f⁽ᵏ⁾(c[0]) / k! = derivatives[k], k ≤ order."""
        change = self.starting_at(0.0)
        result = Series([derivatives[-1], *[0.0] * (len(self.c) - 1)])
        for derivative in reversed(derivatives[:-1]):
            result = result * change + derivative
        return result

    def derivative(self) -> Series:
        """d/dt. Its last coefficient would need the next one of this series, and is left 0."""
        return Series([*(k * self.c[k] for k in range(1, len(self.c))), 0.0])

    def _integrate_over(self, denominator: Series, start: Array) -> Series:
        """The w with w(0) = start and w′ = self′ / denominator."""
        a, b, w = self.c, denominator.c, [start]
        slope: list[Array] = []  # coefficients of w′
        for k in range(1, len(a)):
            slope.append((k * a[k] - _convolve(slope, b, k - 1, 0, k - 2)) / b[0])
            w.append(slope[-1] / k)
        return Series(w)


def _convolve(a, b, k: int, first: int, last: int) -> Array:
    """Σ_{j=first}^{last} a_j b_{k−j}, added in this order so that the bytes depend on nothing else."""
    total = 0.0
    for j in range(first, last + 1):
        if not (_is_zero(a[j]) or _is_zero(b[k - j])):
            total = total + a[j] * b[k - j]
    return total


def solve(starts: list[Array], matrix: list[list[Series]], rest: list[Series]) -> list[Series]:
    """The w_i with w_i(0) = starts[i] and w_i′ = Σ_j matrix[i][j] w_j + rest[i]. Last coefficients are not read."""
    solutions: list[list[Array]] = [[start] for start in starts]
    for k in range(len(rest[0].c) - 1):
        slopes = []
        for row, alone in zip(matrix, rest, strict=True):
            slope = alone.c[k]
            for factor, solution in zip(row, solutions, strict=True):
                slope = slope + _convolve(factor.c, solution, k, 0, k)
            slopes.append(slope)
        for solution, slope in zip(solutions, slopes, strict=True):
            solution.append(slope / (k + 1))
    return [Series(solution) for solution in solutions]


def _is_zero(coefficient: Array | float) -> bool:
    return isinstance(coefficient, float) and coefficient == 0.0


def sqrt(x):
    return x.sqrt() if isinstance(x, Algebra) else elementary.sqrt(x)


def exp(x):
    return x.exp() if isinstance(x, Algebra) else elementary.exp(x)


def power(x, exponent):
    """x to any power, of x > 0."""
    return exp(log(x) * exponent)


def log(x):
    return x.log() if isinstance(x, Algebra) else elementary.log(x)


def log1p(x):
    return x.log1p() if isinstance(x, Algebra) else elementary.log1p(x)


def atan(x):
    return x.atan() if isinstance(x, Algebra) else elementary.atan(x)


def asinh(x):
    return x.asinh() if isinstance(x, Algebra) else elementary.asinh(x)


def where(condition: Array, a, b):
    """Of two arrays or two series, the first one where the condition holds."""
    if isinstance(a, Series):
        return Series([elementary.where(condition, p, q) for p, q in zip(a.c, b.c, strict=True)])
    return elementary.where(condition, a, b)
