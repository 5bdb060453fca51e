"""The view of a picture with noise: the picture in units of its noise, and what the noise and PSF are.

Nothing of it depends on the unit of the picture. Beside each picture comes a row of facts, in the order of `FACTS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from droulette.learning.preprocessing import LogPolar, WholePicture

# background left in the picture; deviation of its noise; variance that a unit of light adds; PSF's FWHM in px; pixel
# scale in arcsec, 0 if it is not known; the value that is shown as white.
FACTS = ("background", "noise", "poisson", "psf_fwhm", "pixel_scale", "white")
FLOOR = 1e-3  # of the brightest place: finer differences are not looked at, however small the noise
WIDEST = 8.0  # px, a width told as 1
TOLD = 2


def in_units_of_noise(light: Tensor, facts: Tensor) -> tuple[Tensor, Tensor]:
    """light: (B, 1, H, W) above the background, of pictures or of points in them, facts: (B, 6) → the same in units in
    which the noise is 1, and what is told, (B, 2).

    Where light adds Poisson noise, the picture is stretched such that this too becomes 1 (Anscombe 1948, Biometrika
    35, 246): y = ∫ dx / √(1 + p x) = 2 x / (1 + √(1 + p x)). Told are the PSF's width, and the logarithm of the
    brightest place in units of the noise, both of the order of 1.
    """
    facts = facts.to(light.device, torch.float32)[:, :, None, None]
    brightest = light.amax((2, 3), keepdim=True).clamp_min(0)
    noise = torch.sqrt(facts[:, 1:2] ** 2 + (FLOOR * brightest) ** 2).clamp_min(1e-30)
    units = light / noise
    poisson = facts[:, 2:3] / noise
    stable = 2 * units / (1 + torch.sqrt(1 + poisson * units.clamp_min(0)))
    told = torch.cat([facts[:, 3, :, 0] / WIDEST, torch.log1p(brightest / noise)[:, 0, :, 0] / 7], 1)
    return stable, told


def above_background(pictures: Tensor, facts: Tensor) -> Tensor:
    """(B, N, N) → (B, 1, N, N) float32."""
    return pictures[:, None].float() - facts[:, :1, None, None].to(pictures.device, torch.float32)


def _view(light: Tensor, facts: Tensor) -> Tensor:
    """(B, 1, H, W) → (B, 3, H, W): what is told fills a channel each."""
    units, told = in_units_of_noise(light, facts)
    planes = told[:, :, None, None].expand(-1, -1, *units.shape[2:])
    return torch.cat([torch.asinh(units), planes], 1).half()


def conditions(views: np.ndarray, facts: np.ndarray | None) -> np.ndarray | None:
    """(n, 3), under which pictures were taken: noise, width of the PSF, and the logarithm of the brightest place over
    the noise; None of pictures without noise.
    """
    if facts is None:
        return None
    noise, width = (facts[:, FACTS.index(name)] for name in ("noise", "psf_fwhm"))
    return np.stack([noise, width, views[:, 2, 0, 0].astype(np.float64)], axis=1)


class ObservedPolar(LogPolar):
    """`LogPolar` of a picture with noise, (3, rows, columns) float16."""

    def __init__(self, size: int, rows: int, columns: int) -> None:
        super().__init__(size, rows, columns)
        self.shape = (1 + TOLD, rows, columns)

    def views(self, pictures: Tensor, facts: Tensor | None = None) -> Tensor:
        return _view(self.sample(above_background(pictures, facts)), facts)


class ObservedPicture(WholePicture):
    """The whole picture with noise, (3, N, N) float16, in quarter turns."""

    dtype = np.dtype(np.float16)

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.shape = (1 + TOLD, size, size)

    def views(self, pictures: Tensor, facts: Tensor | None = None) -> Tensor:
        return _view(above_background(pictures, facts), facts)


class Facts:
    """A preprocessing that gives the facts of a picture, (6,) float64."""

    shape = (len(FACTS),)
    dtype = np.dtype(np.float64)

    def views(self, pictures: Tensor, facts: Tensor | None = None) -> Tensor:
        return facts


class Light:
    """A preprocessing that gives the light above the background, (N, N) float32 in the picture's unit."""

    dtype = np.dtype(np.float32)

    def __init__(self, size: int) -> None:
        self.shape = (size, size)

    def views(self, pictures: Tensor, facts: Tensor | None = None) -> Tensor:
        return above_background(pictures, facts)[:, 0]


@dataclass(frozen=True)
class Known:
    """The facts of the pictures that a network was trained on: the least and the greatest of each.

    least, greatest: (6,), in the order of FACTS.
    """

    least: np.ndarray
    greatest: np.ndarray

    @classmethod
    def of(cls, facts: np.ndarray) -> Known:
        """facts: (n, 6)."""
        return cls(facts.min(axis=0), facts.max(axis=0))

    def check(self) -> None:
        """Raises ValueError unless these are ranges."""
        shapes = {self.least.shape, self.greatest.shape} == {(len(FACTS),)}
        if not (shapes and (self.least <= self.greatest).all()):
            raise ValueError("the noise and PSF that it knows are none")

    def outside(self, facts: np.ndarray, tolerance: float = 0.05) -> list[tuple[str, float, float, float]]:
        """Name, value, least and greatest of each fact, (6,), by which a picture is unlike those trained on."""
        found = []
        for name in ("noise", "psf_fwhm", "pixel_scale"):
            k = FACTS.index(name)
            value, low, high = float(facts[k]), float(self.least[k]), float(self.greatest[k])
            if name == "pixel_scale" and 0 in (value, high):
                continue
            margin = tolerance * max(abs(high), abs(low), 0.2 if name == "psf_fwhm" else 0.0)
            if not low - margin <= value <= high + margin or not math.isfinite(value):
                found.append((name, value, low, high))
        return found
