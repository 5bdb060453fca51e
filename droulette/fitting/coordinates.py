"""Coordinates without bounds, in which parameters are fitted.

A fit must not stick to a limit, and an angle must not matter where a thing is round. So positive numbers are fitted as
logarithms, numbers between two limits as logits, and an axis ratio with its direction as a vector: −ln q (cos 2φ,
sin 2φ) covers the whole plane, is 0 for a circle, and has no seam at 180°.

A `Block` takes some parameters to as many coordinates and back. Values are (B,) arrays by name.
"""

from __future__ import annotations

from dataclasses import dataclass

from droulette.physics.arrays import Array
from droulette.physics.elementary import angle_in_degrees, cosine_and_sine, exp, log, sqrt
from droulette.quantities import LONGEST, Quantity

WIDE = 1e3  # an upper limit of this many times what is usual is none: such numbers are fitted as logarithms
PIXELS = 10.0  # px that a position moves for a coordinate to change by 1
DEGREES = 45.0  # the same of an angle

Values = dict[str, Array]


@dataclass(frozen=True)
class Block:
    """names: of the parameters."""

    names: tuple[str, ...]

    def forth(self, values: Values) -> list[Array]:
        """The coordinates of these parameters."""
        raise NotImplementedError

    def back(self, coordinates: list[Array]) -> Values:
        raise NotImplementedError


@dataclass(frozen=True)
class Scaled(Block):
    """A number without limits, in units of `unit`."""

    unit: float

    def forth(self, values: Values) -> list[Array]:
        return [values[self.names[0]] / self.unit]

    def back(self, coordinates: list[Array]) -> Values:
        return {self.names[0]: coordinates[0] * self.unit}


@dataclass(frozen=True)
class Above(Block):
    """ln(p − low)."""

    low: float

    def forth(self, values: Values) -> list[Array]:
        return [log(values[self.names[0]] - self.low)]

    def back(self, coordinates: list[Array]) -> Values:
        return {self.names[0]: self.low + exp(coordinates[0])}


@dataclass(frozen=True)
class Between(Block):
    """ln((p − low) / (high − p))."""

    low: float
    high: float

    def forth(self, values: Values) -> list[Array]:
        value = values[self.names[0]]
        return [log((value - self.low) / (self.high - value))]

    def back(self, coordinates: list[Array]) -> Values:
        share = 1.0 / (1.0 + exp(-coordinates[0]))
        return {self.names[0]: self.low + (self.high - self.low) * share}


@dataclass(frozen=True)
class Ellipse(Block):
    """An axis ratio and the direction of the minor axis: −ln q (cos 2φ, sin 2φ)."""

    def forth(self, values: Values) -> list[Array]:
        ratio, angle = (values[name] for name in self.names)
        cos, sin = cosine_and_sine(2.0 * angle)
        return [-log(ratio) * cos, -log(ratio) * sin]

    def back(self, coordinates: list[Array]) -> Values:
        size, angle = _polar(*coordinates)
        return dict(zip(self.names, (exp(-size), angle), strict=True))


@dataclass(frozen=True)
class TwoAxes(Block):
    """Two half axes and the direction of the second: ln of their geometric mean, and ln(σ / σ₂) (cos 2θ, sin 2θ).

    The same ellipse has two names, (σ, σ₂, θ) and (σ₂, σ, θ + 90°): what comes back is the one with σ ≥ σ₂.
    """

    def forth(self, values: Values) -> list[Array]:
        first, second, angle = (values[name] for name in self.names)
        cos, sin = cosine_and_sine(2.0 * angle)
        ratio = log(first) - log(second)
        return [0.5 * (log(first) + log(second)), ratio * cos, ratio * sin]

    def back(self, coordinates: list[Array]) -> Values:
        size, angle = _polar(*coordinates[1:])
        first, second = exp(coordinates[0] + 0.5 * size), exp(coordinates[0] - 0.5 * size)
        return dict(zip(self.names, (first, second, angle), strict=True))


def _polar(x: Array, y: Array) -> tuple[Array, Array]:
    """Length of a vector and half its direction, degrees."""
    return sqrt(x * x + y * y), 0.5 * angle_in_degrees(x, y)


def block_of(prefix: str, quantity: Quantity) -> Block:
    """What takes a parameter that stands alone to a coordinate without bounds."""
    names = (prefix + quantity.name,)
    low = quantity.gt if quantity.gt is not None else quantity.ge
    high, usual = quantity.le, quantity.default or (0.0, 1.0)
    if quantity.unit == "°":
        return Scaled(names, DEGREES)
    if low is None or low <= -LONGEST or (high is None and low < 0):
        return Scaled(names, max(abs(usual[0]), abs(usual[1])) or 1.0)
    if high is None or high - low > WIDE * (usual[1] - low):
        return Above(names, low)
    return Between(names, low, high)


def blocks_of(prefix: str, quantities: tuple[Quantity, ...]) -> list[Block]:
    """The blocks of a model's parameters: pairs that belong together first."""
    found: list[Block] = []
    left = {quantity.name: quantity for quantity in quantities}
    for kind, names in ((TwoAxes, ("sigma", "sigma2", "theta")), (Ellipse, ("axis_ratio", "orientation"))):
        if set(names) <= set(left):
            found.append(kind(tuple(prefix + name for name in names)))
            left = {name: quantity for name, quantity in left.items() if name not in names}
    return found + [block_of(prefix, quantity) for quantity in left.values()]


def of_place(prefix: str) -> list[Block]:
    """The blocks of a position, px."""
    return [Scaled((f"{prefix}{axis}",), PIXELS) for axis in "xy"]
