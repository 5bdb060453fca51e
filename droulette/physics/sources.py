"""Source brightness in grey levels as a function of the offset (dx, dy) from the source centre, in px.

Values are not clipped here: the renderer clips the sum to 0…255. Parameters are (B, …) tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


class Source:
    def brightness(self, dx: Tensor, dy: Tensor) -> Tensor:
        raise NotImplementedError

    def extent(self, threshold: float) -> Tensor:
        """Radius in px beyond which the brightness is below `threshold`."""
        raise NotImplementedError


def _rotate(dx: Tensor, dy: Tensor, theta: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates along axes rotated by theta degrees."""
    angle = torch.deg2rad(theta)
    cos, sin = angle.cos(), angle.sin()
    return dx * cos + dy * sin, dy * cos - dx * sin


def _sersic_shape(n: Tensor, luminosity: Tensor, area: Tensor) -> tuple[Tensor, Tensor]:
    """b and ln I_e of a Sérsic profile with σ² (or σσ₂) = area."""
    b = 1.992 * n - 0.3271
    log_i = (1000 * luminosity / (2 * math.pi * area * n)).log() + 2 * n * b.log() - b - torch.lgamma(2 * n)
    return b, log_i


def _sersic(r2: Tensor, n: Tensor, b: Tensor, log_i: Tensor) -> Tensor:
    """exp(ln I_e − b((r²)^{1/2n} − 1)) with r in half-light radii; a power would cost three times as much."""
    radial = (r2.log() * (0.5 / n)).exp()
    return (radial * -b + (b + log_i)).exp()


def _sersic_radius(n: Tensor, b: Tensor, log_i: Tensor, threshold: float) -> Tensor:
    """Half-light radii within which the profile is above threshold."""
    return (1 + (log_i - math.log(threshold)) / b).clamp_min(0) ** n


@dataclass(frozen=True)
class Spherical(Source):
    """255 exp(−r² / 2σ²)."""

    sigma: Tensor

    def brightness(self, dx: Tensor, dy: Tensor) -> Tensor:
        return 255 * ((dx * dx + dy * dy) * (-0.5 / self.sigma**2)).exp()

    def extent(self, threshold: float) -> Tensor:
        return self.sigma * math.sqrt(2 * math.log(255 / threshold))


@dataclass(frozen=True)
class Ellipsoid(Source):
    """255 exp(−½(x′²/σ² + y′²/σ₂²)), axes rotated by theta."""

    sigma: Tensor
    sigma2: Tensor
    theta: Tensor

    def brightness(self, dx: Tensor, dy: Tensor) -> Tensor:
        u, v = _rotate(dx, dy, self.theta)
        return 255 * (u * u * (-0.5 / self.sigma**2) + v * v * (-0.5 / self.sigma2**2)).exp()

    def extent(self, threshold: float) -> Tensor:
        return torch.maximum(self.sigma, self.sigma2) * math.sqrt(2 * math.log(255 / threshold))


@dataclass(frozen=True)
class SersicSphere(Source):
    """I_e exp(−b((r/σ)^{1/n} − 1)), b = 1.992 n − 0.3271, I_e = 1000 L b^{2n} / (2π σ² n e^b Γ(2n))."""

    sigma: Tensor
    n_sersic: Tensor
    luminosity: Tensor

    def brightness(self, dx: Tensor, dy: Tensor) -> Tensor:
        b, log_i = _sersic_shape(self.n_sersic, self.luminosity, self.sigma**2)
        return _sersic((dx * dx + dy * dy) * (1 / self.sigma**2), self.n_sersic, b, log_i)

    def extent(self, threshold: float) -> Tensor:
        b, log_i = _sersic_shape(self.n_sersic, self.luminosity, self.sigma**2)
        return self.sigma * _sersic_radius(self.n_sersic, b, log_i, threshold)


@dataclass(frozen=True)
class SersicEllipsoid(Source):
    """The Sérsic profile with σ² → σσ₂ in I_e and half-light semi-axes σ along y′ and σ₂ along x′."""

    sigma: Tensor
    sigma2: Tensor
    theta: Tensor
    n_sersic: Tensor
    luminosity: Tensor

    def brightness(self, dx: Tensor, dy: Tensor) -> Tensor:
        u, v = _rotate(dx, dy, self.theta)
        b, log_i = _sersic_shape(self.n_sersic, self.luminosity, self.sigma * self.sigma2)
        return _sersic(u * u * (1 / self.sigma2**2) + v * v * (1 / self.sigma**2), self.n_sersic, b, log_i)

    def extent(self, threshold: float) -> Tensor:
        b, log_i = _sersic_shape(self.n_sersic, self.luminosity, self.sigma * self.sigma2)
        return torch.maximum(self.sigma, self.sigma2) * _sersic_radius(self.n_sersic, b, log_i, threshold)


@dataclass(frozen=True)
class Triangle(Source):
    """Outline of an equilateral triangle of circumradius σ, rotated by theta; lines 3 px wide, 22, 113 and 57."""

    sigma: Tensor
    theta: Tensor

    LEVELS = (22.0, 113.0, 57.0)
    HALF_WIDTH = 1.5

    def brightness(self, dx: Tensor, dy: Tensor) -> Tensor:
        u, v = _rotate(dx, dy, self.theta)
        total = torch.zeros_like(u + v)
        for k, level in enumerate(self.LEVELS):
            start, end = math.radians(120 * k), math.radians(120 * (k + 1))
            on_line = self._distance(u, v, start, end) <= self.HALF_WIDTH
            total = torch.where(on_line, level, total)  # the later line lies on top where two meet
        return total

    def _distance(self, u: Tensor, v: Tensor, start: float, end: float) -> Tensor:
        """Distance from (u, v) to the edge between the corners at the angles start and end."""
        ax, ay = self.sigma * math.cos(start), self.sigma * math.sin(start)
        ex, ey = self.sigma * math.cos(end) - ax, self.sigma * math.sin(end) - ay
        along = (((u - ax) * ex + (v - ay) * ey) / (ex * ex + ey * ey)).clamp(0, 1)
        return ((u - ax - along * ex) ** 2 + (v - ay - along * ey) ** 2).sqrt()

    def extent(self, threshold: float) -> Tensor:
        return self.sigma + self.HALF_WIDTH


class Picture:
    """A grey picture shared by all rows: (H, W) float64 grey levels, pixel (i, j) at x = j − W/2, y = H/2 − i."""

    def __init__(self, levels: Tensor) -> None:
        self.levels = torch.nn.functional.pad(levels.double(), (1, 1, 1, 1))  # black beyond the border

    def at(self, dx: Tensor, dy: Tensor) -> Tensor:
        """Bilinear interpolation."""
        levels = self.levels.to(dx.device)
        height, width = levels.shape
        column = (dx + (width - 2) / 2 + 1).clamp(0, width - 1)
        row = ((height - 2) / 2 - dy + 1).clamp(0, height - 1)
        left, top = column.floor().clamp(max=width - 2), row.floor().clamp(max=height - 2)
        a, b = column - left, row - top
        i, j = top.long(), left.long()
        upper = levels[i, j] * (1 - a) + levels[i, j + 1] * a
        lower = levels[i + 1, j] * (1 - a) + levels[i + 1, j + 1] * a
        return upper * (1 - b) + lower * b


@dataclass(frozen=True)
class Image(Source):
    """A user's picture, centred on the source position and rotated by theta."""

    theta: Tensor
    picture: Picture

    def brightness(self, dx: Tensor, dy: Tensor) -> Tensor:
        return self.picture.at(*_rotate(dx, dy, self.theta))

    def extent(self, threshold: float) -> Tensor:
        height, width = self.picture.levels.shape
        return torch.full_like(self.theta, math.hypot(height, width) / 2 + 1)


@dataclass(frozen=True)
class Constellation(Source):
    """Sum of sources at offsets (x, y) from the common centre."""

    sources: tuple[Source, ...]
    x: tuple[Tensor, ...]
    y: tuple[Tensor, ...]

    def brightness(self, dx: Tensor, dy: Tensor) -> Tensor:
        total = 0.0
        for source, cx, cy in zip(self.sources, self.x, self.y, strict=True):
            total = source.brightness(dx - cx, dy - cy).clamp(0, 255) + total
        return total

    def extent(self, threshold: float) -> Tensor:
        radii = [
            source.extent(threshold / len(self.sources)) + (cx * cx + cy * cy).sqrt()
            for source, cx, cy in zip(self.sources, self.x, self.y, strict=True)
        ]
        return torch.stack(radii).amax(0)


SOURCES: dict[str, type[Source]] = {
    "Spherical": Spherical,
    "s": Spherical,
    "Ellipsoid": Ellipsoid,
    "e": Ellipsoid,
    "SersicSphere": SersicSphere,
    "SersicEllipsoid": SersicEllipsoid,
    "Triangle": Triangle,
    "t": Triangle,
    "Image": Image,
}
