"""Interval arithmetic: bounds of a formula over a square of points, from the formula alone.

An `Interval` is a range of values that a number may have. Sums, products and functions of intervals hold all values of
the same of their members (Moore 1966, *Interval Analysis*). Ends are rounded to nearest: whoever uses a bound allows
for the last digits. Where a formula may be singular both ends are NaN, and so are those of all that follows from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from droulette.physics import elementary
from droulette.physics.arrays import Array
from droulette.physics.elementary import where
from droulette.physics.series import Algebra, Series

NEAR_ZERO = 1e-100  # divisors below it are taken for 0


class Interval(Algebra):
    """Numbers from `low` to `high`, arrays of one shape; the other operand may be a single number or array."""

    def __init__(self, low: Array, high: Array) -> None:
        self.low, self.high = low, high

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __add__(self, other: Interval | Array | float) -> Interval:
        low, high = _ends(other)
        return Interval(self.low + low, self.high + high)

    def __mul__(self, other: Interval | Array | float) -> Interval:
        if other is self:
            return self._square()
        low, high = _ends(other)
        products = [self.low * low, self.low * high, self.high * low, self.high * high]
        return Interval(_least(products), -_least([-product for product in products]))

    def __pow__(self, power: int) -> Interval:
        square = self._square() if power > 1 else 1.0
        for _ in range(power // 2 - 1):
            square = square * self._square()
        return self * square if power % 2 else square

    def __truediv__(self, other: Interval | Array | float) -> Interval:
        if not isinstance(other, Interval):
            return self * (1.0 / other)
        low, high = other.low, other.high
        fine = (low > NEAR_ZERO) | (high < -NEAR_ZERO)
        low, high = where(fine, low, math.nan), where(fine, high, math.nan)
        return self * Interval(1.0 / high, 1.0 / low)

    def __rtruediv__(self, other: Array | float) -> Interval:
        return Interval(other, other) / self

    def _square(self) -> Interval:
        low, high = abs(self.low), abs(self.high)
        has_zero = (self.low <= 0.0) & (self.high >= 0.0)
        least, most = where(low < high, low, high), where(low < high, high, low)
        return Interval(where(has_zero, 0.0, least * least), most * most)

    def sqrt(self) -> Interval:
        return Interval(elementary.sqrt(where(self.low > 0.0, self.low, self.low * 0.0)), elementary.sqrt(self.high))

    def log(self) -> Interval:
        fine = self.low > NEAR_ZERO
        low, high = where(fine, self.low, 1.0), where(fine, self.high, 1.0)
        return Interval(
            where(fine, elementary.log(low), math.nan),
            where(fine, elementary.log(high), math.nan),
        )

    def exp(self) -> Interval:
        return Interval(elementary.exp(self.low), elementary.exp(self.high))

    def log1p(self) -> Interval:
        return (self + 1.0).log()

    def atan(self) -> Interval:
        return Interval(elementary.atan(self.low), elementary.atan(self.high))

    def asinh(self) -> Interval:
        return Interval(elementary.asinh(self.low), elementary.asinh(self.high))


def _ends(other: Interval | Array | float) -> tuple[Array | float, Array | float]:
    return (other.low, other.high) if isinstance(other, Interval) else (other, other)


def _least(values: list[Array]) -> Array:
    least = values[0]
    for value in values[1:]:
        least = where(value < least, value, least)
    return least


def hessian_bound(potential: Callable, x: Array, y: Array, distance: Array | float) -> Array:
    """An upper bound of the norm of ∂²ψ within `distance` px of (x, y); infinite where ψ may be singular.

    The second derivative in the direction φ is κ + γ cos 2(φ − φ_γ). Where it is at most M in size in four directions
    45° apart, |κ| + |γ cos 2φ_γ| and |κ| + |γ sin 2φ_γ| are at most M, and so |κ| + |γ|, the norm, is at most √2 M.
    """
    half = math.sqrt(0.5)
    within_x, within_y = Interval(x - distance, x + distance), Interval(y - distance, y + distance)
    most = (x + y) * 0.0
    for cos, sin in ((1.0, 0.0), (half, half), (0.0, 1.0), (-half, half)):
        try:
            along = potential(Series.line(within_x, cos, 2), Series.line(within_y, sin, 2))
        except (TypeError, AttributeError):  # it takes more of its numbers than intervals have
            return most + math.inf
        low, high = _ends(along.c[2] * 2.0)
        size = where(-low > high, -low, high) + most * 0.0
        most = where(size <= most, most, size)
    bound = math.sqrt(2) * most
    return where(bound == bound, bound, math.inf)
