"""Source brightness in grey levels as a function of the offset (dx, dy) from the source centre, in px.

Values are not clipped here: the renderer clips them to 0…255. Parameters are (B, …) arrays. A source is a `model`: a
frozen dataclass with `brightness` and `extent`. `quantities.SOURCE` describes fields that several share; any other is
a `parameter`, described here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from droulette.physics.arrays import Array, namespace
from droulette.physics.elementary import cosine_and_sine, exp, log, log_gamma, sqrt, where
from droulette.physics.tables import Table
from droulette.registry import SOURCES as SOURCES
from droulette.registry import model


class Source:
    kind, not_numbers = "source", ()

    def parts(self) -> list[tuple[Source, Array | float, Array | float]]:
        """The sources that this one is the sum of, each with its place (x, y) about the common centre, (B,) px."""
        return [(self, 0.0, 0.0)]

    def brightness(self, dx: Array, dy: Array) -> Array:
        raise NotImplementedError

    def extent(self, threshold: float) -> Array:
        """Radius in px beyond which the brightness is below `threshold`."""
        raise NotImplementedError

    def flux(self) -> Array | None:
        """The integral of the brightness over the plane, grey levels × px²; None where no formula is known."""
        return None


def _derive(source: Source, **values: Array) -> None:
    """Set the fields of a frozen source that follow from the others."""
    for name, value in values.items():
        object.__setattr__(source, name, value)


@model
class Spherical(Source):
    """255 exp(−r² / 2σ²)."""

    names = ("Spherical", "s")
    sigma: Array

    def brightness(self, dx: Array, dy: Array) -> Array:
        return 255.0 * exp((dx * dx + dy * dy) * (-0.5 / self.sigma**2))

    def extent(self, threshold: float) -> Array:
        return self.sigma * math.sqrt(2 * math.log(255 / threshold))

    def flux(self) -> Array:
        return 255 * 2 * math.pi * self.sigma**2


@model
class Ellipsoid(Source):
    """255 exp(−½(x′²/σ² + y′²/σ₂²)), axes rotated by theta."""

    names = ("Ellipsoid", "e")
    sigma: Array
    sigma2: Array
    theta: Array
    cos: Array = field(init=False, repr=False)
    sin: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        cos, sin = cosine_and_sine(self.theta)
        _derive(self, cos=cos, sin=sin)

    def brightness(self, dx: Array, dy: Array) -> Array:
        u, v = dx * self.cos + dy * self.sin, dy * self.cos - dx * self.sin
        return 255.0 * exp(u * u * (-0.5 / self.sigma**2) + v * v * (-0.5 / self.sigma2**2))

    def extent(self, threshold: float) -> Array:
        return where(self.sigma > self.sigma2, self.sigma, self.sigma2) * math.sqrt(2 * math.log(255 / threshold))

    def flux(self) -> Array:
        return 255 * 2 * math.pi * self.sigma * self.sigma2


class _Sersic(Source):
    """I_e exp(−b((r/σ)^{1/n} − 1)), b = 1.992 n − 0.3271, I_e = 1000 L b^{2n} / (2π σσ₂ n e^b Γ(2n)).

    With ρ = r in half-light radii it is exp(`peak` − exp(`bend` + `power` ln ρ²)), `bend` = ln b and `power` = 1/2n.
    """

    def _profile(self, area: Array) -> dict[str, Array]:
        n = self.n_sersic
        b = 1.992 * n - 0.3271
        bend = log(b)
        log_i = log(1000 * self.luminosity / (2 * math.pi * area * n)) + 2 * n * bend - b - log_gamma(2 * n)
        return {"peak": log_i + b, "bend": bend, "power": 0.5 / n}

    def _light(self, rho2: Array) -> Array:
        return exp(self.peak - exp(self.bend + self.power * log(rho2)))

    def _reach(self, threshold: float) -> Array:
        """The ρ beyond which the brightness is below threshold."""
        above = self.peak - math.log(threshold)
        return where(above > 0.0, exp((0.5 / self.power) * (log(abs(above) + 1e-300) - self.bend)), 0.0)

    def flux(self) -> Array:
        return 1000 * self.luminosity


@model
class SersicSphere(_Sersic):
    """Sérsic profile with half-light radius σ."""

    sigma: Array
    n_sersic: Array
    luminosity: Array
    peak: Array = field(init=False, repr=False)
    bend: Array = field(init=False, repr=False)
    power: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _derive(self, **self._profile(self.sigma**2))

    def brightness(self, dx: Array, dy: Array) -> Array:
        return self._light((dx * dx + dy * dy) * (1.0 / self.sigma**2))

    def extent(self, threshold: float) -> Array:
        return self.sigma * self._reach(threshold)


@model
class SersicEllipsoid(_Sersic):
    """Sérsic profile with half-light semi-axes σ along y′ and σ₂ along x′, rotated by theta."""

    sigma: Array
    sigma2: Array
    theta: Array
    n_sersic: Array
    luminosity: Array
    peak: Array = field(init=False, repr=False)
    bend: Array = field(init=False, repr=False)
    power: Array = field(init=False, repr=False)
    cos: Array = field(init=False, repr=False)
    sin: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        cos, sin = cosine_and_sine(self.theta)
        _derive(self, cos=cos, sin=sin, **self._profile(self.sigma * self.sigma2))

    def brightness(self, dx: Array, dy: Array) -> Array:
        u = (dx * self.cos + dy * self.sin) * (1.0 / self.sigma2)
        v = (dy * self.cos - dx * self.sin) * (1.0 / self.sigma)
        return self._light(u * u + v * v)

    def extent(self, threshold: float) -> Array:
        return where(self.sigma > self.sigma2, self.sigma, self.sigma2) * self._reach(threshold)


@model
class Triangle(Source):
    """Outline of an equilateral triangle of circumradius σ, rotated by theta, in lines 3 px wide.

    The corners lie at theta, theta + 120° and theta + 240°; the edges between them have CosmoSim's red, green and
    blue as grey.
    """

    names = ("Triangle", "t")
    sigma: Array
    theta: Array
    cos: Array = field(init=False, repr=False)
    sin: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        cos, sin = cosine_and_sine(self.theta)
        _derive(self, cos=cos, sin=sin)

    def brightness(self, dx: Array, dy: Array) -> Array:
        u, v = dx * self.cos + dy * self.sin, dy * self.cos - dx * self.sin
        grey = where(self._on_edge(u, v, 1.0, 0.0, -0.5, ROOT_3_4), 57.0, u * 0.0)
        grey = where(self._on_edge(u, v, -0.5, ROOT_3_4, -0.5, -ROOT_3_4), 113.0, grey)
        return where(self._on_edge(u, v, -0.5, -ROOT_3_4, 1.0, 0.0), 22.0, grey)  # the later edge lies on top

    def _on_edge(self, u: Array, v: Array, start_x: float, start_y: float, end_x: float, end_y: float) -> Array:
        """Whether (u, v) is within HALF_WIDTH of the edge between two corners, given on the unit circle."""
        ax, ay = self.sigma * start_x, self.sigma * start_y
        ex, ey = self.sigma * end_x - ax, self.sigma * end_y - ay
        along = ((u - ax) * ex + (v - ay) * ey) / (ex * ex + ey * ey)
        along = where(along < 0.0, 0.0, along)
        along = where(along > 1.0, 1.0, along)
        across_x, across_y = u - ax - along * ex, v - ay - along * ey
        return across_x * across_x + across_y * across_y <= HALF_WIDTH * HALF_WIDTH

    def extent(self, threshold: float) -> Array:
        return self.sigma + HALF_WIDTH


HALF_WIDTH = 1.5  # px, of a triangle's line
ROOT_3_4 = math.sqrt(3) / 2


class Picture(Table):
    """A grey picture shared by all rows: (H, W) grey levels, pixel (i, j) at x = j − W/2, y = H/2 − i.

    A border of black pixels is added to it.
    """

    def __init__(self, levels: np.ndarray) -> None:
        super().__init__(np.pad(levels.astype(np.float64), 1))
        self.height, self.width = levels.shape[0] + 2, levels.shape[1] + 2


@model
class Image(Source):
    """A user's picture, interpolated bilinearly, centred on the source position and rotated by theta."""

    not_numbers = ("picture",)
    theta: Array
    picture: Picture
    height: Array = field(init=False, repr=False)
    width: Array = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _derive(self, height=self.theta * 0.0 + self.picture.height, width=self.theta * 0.0 + self.picture.width)

    def brightness(self, dx: Array, dy: Array) -> Array:
        cos, sin = cosine_and_sine(self.theta)
        dx, dy = dx * cos + dy * sin, dy * cos - dx * sin
        height, width = self.height, self.width
        column, row = dx + ((width - 2) / 2 + 1), ((height - 2) / 2 + 1) - dy
        # A ray through a point mass meets the source nowhere: NaN becomes the black corner.
        column, row = where(column > 0.0, column, 0.0), where(row > 0.0, row, 0.0)
        column, row = where(column > width - 1.0, width - 1.0, column), where(row > height - 1.0, height - 1.0, row)
        left, top = namespace(column).floor(column), namespace(row).floor(row)
        left, top = where(left > width - 2.0, width - 2.0, left), where(top > height - 2.0, height - 2.0, top)
        a, b = column - left, row - top
        place = top * width + left
        at = self.picture.at
        upper = at(place) * (1 - a) + at(place + 1.0) * a
        place = place + width
        lower = at(place) * (1 - a) + at(place + 1.0) * a
        return upper * (1 - b) + lower * b

    def extent(self, threshold: float) -> Array:
        return sqrt(self.height * self.height + self.width * self.width) / 2 + 1


@dataclass(frozen=True)
class Constellation(Source):
    """Sum of sources at offsets (x, y) from the common centre, each clipped to 255."""

    sources: tuple[Source, ...]
    x: tuple[Array, ...]
    y: tuple[Array, ...]

    def parts(self) -> list[tuple[Source, Array, Array]]:
        return list(zip(self.sources, self.x, self.y, strict=True))

    def brightness(self, dx: Array, dy: Array) -> Array:
        total = 0.0
        for source, cx, cy in self.parts():
            total = clipped(source.brightness(dx - cx, dy - cy)) + total
        return total

    def flux(self) -> Array | None:
        total = 0.0
        for source in self.sources:
            flux = source.flux()
            if flux is None:
                return None
            total = total + flux
        return total

    def extent(self, threshold: float) -> Array:
        furthest = 0.0
        for source, cx, cy in self.parts():
            reach = source.extent(threshold / len(self.sources)) + sqrt(cx * cx + cy * cy)
            furthest = where(reach > furthest, reach, furthest)
        return furthest


def clipped(level):
    """To 0…255; NaN stays."""
    level = where(level < 0.0, 0.0, level)
    return where(level > 255.0, 255.0, level)
