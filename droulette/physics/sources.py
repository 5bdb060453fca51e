"""Source brightness in grey levels as a function of the offset (dx, dy) from the source centre, in px.

Values are not clipped here: the renderer clips the sum to 0…255. Parameters are (B, …) tensors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

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


class _Sersic(Source):
    """I_e exp(−b((r/σ)^{1/n} − 1)), b = 1.992 n − 0.3271, I_e = 1000 L b^{2n} / (2π σσ₂ n e^b Γ(2n)).

    With ρ = r in half-light radii it is exp(`peak` − exp(`bend` + ln(ρ²) / 2n)): a power costs three times as much.
    """

    def _derive(self, area: Tensor) -> None:
        n = self.n_sersic
        b = 1.992 * n - 0.3271
        log_i = (1000 * self.luminosity / (2 * math.pi * area * n)).log() + 2 * n * b.log() - b - torch.lgamma(2 * n)
        for name, value in {"peak": log_i + b, "bend": b.log(), "power": 0.5 / n}.items():
            object.__setattr__(self, name, value)

    def _profile(self, rho2: Tensor) -> Tensor:
        """The brightness at ρ², which is overwritten."""
        fall = torch.addcmul(self.bend, rho2.log_(), self.power).exp_()
        return torch.sub(self.peak, fall, out=fall).exp_()

    def _reach(self, threshold: float) -> Tensor:
        """The ρ beyond which the brightness is below threshold."""
        return ((self.peak - math.log(threshold)).clamp_min(0) / self.bend.exp()) ** (0.5 / self.power)


@dataclass(frozen=True)
class Spherical(Source):
    """255 exp(−r² / 2σ²)."""

    sigma: Tensor

    def brightness(self, dx: Tensor, dy: Tensor) -> Tensor:
        return (dx * dx).addcmul_(dy, dy).mul_(-0.5 / self.sigma**2).exp_().mul_(255)

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
class SersicSphere(_Sersic):
    """Sérsic profile with half-light radius σ."""

    sigma: Tensor
    n_sersic: Tensor
    luminosity: Tensor
    peak: Tensor = field(init=False, repr=False)
    bend: Tensor = field(init=False, repr=False)
    power: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._derive(self.sigma**2)

    def brightness(self, dx: Tensor, dy: Tensor) -> Tensor:
        return self._profile((dx * dx).addcmul_(dy, dy).div_(self.sigma**2))

    def extent(self, threshold: float) -> Tensor:
        return self.sigma * self._reach(threshold)


@dataclass(frozen=True)
class SersicEllipsoid(_Sersic):
    """Sérsic profile with half-light semi-axes σ along y′ and σ₂ along x′, rotated by theta."""

    sigma: Tensor
    sigma2: Tensor
    theta: Tensor
    n_sersic: Tensor
    luminosity: Tensor
    peak: Tensor = field(init=False, repr=False)
    bend: Tensor = field(init=False, repr=False)
    power: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._derive(self.sigma * self.sigma2)

    def brightness(self, dx: Tensor, dy: Tensor) -> Tensor:
        u, v = _rotate(dx, dy, self.theta)
        u, v = u / self.sigma2, v / self.sigma
        return self._profile((u * u).addcmul_(v, v))

    def extent(self, threshold: float) -> Tensor:
        return torch.maximum(self.sigma, self.sigma2) * self._reach(threshold)


@dataclass(frozen=True)
class Triangle(Source):
    """Outline of an equilateral triangle of circumradius σ, rotated by theta, in lines 3 px wide.

    The corners lie at theta, theta + 120° and theta + 240°; the edges between them have CosmoSim's red, green and
    blue as grey.
    """

    sigma: Tensor
    theta: Tensor

    LEVELS = (57.0, 113.0, 22.0)
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
        # A ray through a point mass meets the source nowhere: NaN becomes the black corner.
        column = (dx + (width - 2) / 2 + 1).nan_to_num(nan=0.0).clamp(0, width - 1)
        row = ((height - 2) / 2 - dy + 1).nan_to_num(nan=0.0).clamp(0, height - 1)
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
