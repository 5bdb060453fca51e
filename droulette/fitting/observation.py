"""Pictures with what is known of them, and what a family's scenes would look like in their place.

Pictures may be taken in wider pixels: there, starts are tried at a fraction of the cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from droulette.fitting.family import Family
from droulette.physics import convolution
from droulette.physics.arrays import Array, namespace
from droulette.physics.convolution import FWHM
from droulette.physics.elementary import where
from droulette.physics.instrument import Instrument, Kernel, take
from droulette.physics.noise import Noise

PIXELS_AT_ONCE = 1 << 20  # of the processor's: 8 MB, as large as the caches that cores share


@dataclass(frozen=True)
class Observation:
    """B pictures.

    pictures: (B, N, N) grey levels, without the background. weights: (B, N, N), 1 / the noise's standard deviation;
    0 where a pixel is bad.
    psf: see `Instrument`. ceiling: grey level at which brighter light is cut off.
    pixel: px that a pixel is wide, 1 as they were taken. supersampling: rays per pixel and axis of the model.
    x, y: (B,) px, where their middles are in the frame of the coordinates; None: at its origin.
    """

    pictures: Array
    weights: Array
    psf: Array | Kernel
    ceiling: float = math.inf
    alike: bool = False
    pixel: int = 1
    supersampling: int = 1
    x: Array | None = None
    y: Array | None = None

    def __len__(self) -> int:
        return len(self.pictures)

    @property
    def size(self) -> int:
        return self.pictures.shape[-1]

    def __getitem__(self, rows) -> Observation:
        psf = self.psf if isinstance(self.psf, Kernel) else self.psf[rows]
        x, y = (None if middle is None else middle[rows] for middle in (self.x, self.y))
        return replace(self, pictures=self.pictures[rows], weights=self.weights[rows], psf=psf, x=x, y=y)

    def pixels(self) -> np.ndarray:
        """(B,): how many pixels are known."""
        return (self.weights > 0).reshape(len(self), -1).sum(axis=1)

    def lengths(self) -> np.ndarray:
        """(B,): how many residuals each picture has."""
        return np.full(len(self), self.size**2)

    def binned(self, width: int) -> Observation:
        """The same with pixels `width` times as wide: weighted means, whose weights are those of all together.

        The model of them is a sketch: a ray in place of each wide pixel, and its area as a wider Gaussian PSF.
        """
        size = self.size // width * width
        inside = slice((self.size - size) // 2, (self.size - size) // 2 + size)
        shape = (len(self), size // width, width, size // width, width)
        weight = (self.weights[:, inside, inside] ** 2).reshape(shape)
        total = weight.sum(axis=(2, 4))
        light = (self.pictures[:, inside, inside].reshape(shape) * weight).sum(axis=(2, 4))
        box = FWHM**2 * (width**2 - 1) / 12
        psf = convolution.fwhm(self.psf.values) if isinstance(self.psf, Kernel) else self.psf
        psf = (psf**2 + box) ** 0.5 / width + total[:, 0, 0] * 0.0
        return replace(
            self,
            pictures=light / where(total > 0.0, total, 1.0),
            weights=total**0.5,
            psf=psf,
            pixel=self.pixel * width,
        )

    def drawn(self, family: Family, coordinates: Array, per: int = 1) -> Iterator[tuple[slice, Array]]:
        """Grey levels of scenes, `per` for each picture: slices of the pictures, each with its (n, per, N, N).

        coordinates: (B · per, P), those of a picture one after the other.
        """
        scene = family.scene(coordinates, float(self.pixel))
        zero = coordinates[:, 0] * 0.0
        psf = self.psf if isinstance(self.psf, Kernel) else self.psf.repeat(per, axis=0)
        instrument = Instrument(psf, zero, zero, Noise(zero, zero, zero, zero))
        if lens := family.lens_light(coordinates, float(self.pixel)):
            light, x, y, sky = lens
            instrument = replace(instrument, pedestal=sky, light=light, share=zero + 1.0, light_x=x, light_y=y)
        # The upper left pixel's middle: wide ones begin where the first of those that they cover begins.
        off = zero + (0.5 - 0.5 / self.pixel)
        x, y = off, -off
        if self.x is not None:
            x, y = x + self.x.repeat(per, axis=0), y + self.y.repeat(per, axis=0)
        options = {"canvas": 2 * self.size, "supersampling": self.supersampling, "noisy": False}
        at_once = max(1, PIXELS_AT_ONCE // (per * self.size**2))
        for start in range(0, len(self), at_once):
            pictures = slice(start, min(start + at_once, len(self)))
            rows = slice(pictures.start * per, pictures.stop * per)
            light, _ = take(scene, instrument, self.size, x[rows], y[rows], rows=rows, **options)
            if math.isfinite(self.ceiling):
                light = where(light > self.ceiling, self.ceiling, light)
            yield pictures, light.reshape(-1, per, self.size, self.size)

    def residuals(self, family: Family, coordinates: Array) -> Array:
        """(B, N²): picture − model, in standard deviations; coordinates (B, P)."""
        parts = []
        for rows, light in self.drawn(family, coordinates):
            parts.append(self._residuals(rows, light[:, 0]))
        return namespace(coordinates).concat(parts)

    def residuals_at(self, family: Family, points: Array) -> Iterator[tuple[slice, Array]]:
        """Slices of the pictures, each with its `residuals` at several points, (n, Q, N²); points (B, Q, P)."""
        per, size = points.shape[1:]
        for rows, light in self.drawn(family, points.reshape(-1, size), per):
            light = light.reshape(len(light), per, -1)
            difference = self.pictures[rows].reshape(len(light), 1, -1) - light
            difference *= self.weights[rows].reshape(len(light), 1, -1)
            yield rows, difference

    def squares_at(self, family: Family, points: Array) -> Array:
        """(B, Q): χ² at points (B, Q, P)."""
        parts = [(found * found).sum(axis=2) for _, found in self.residuals_at(family, points)]
        return namespace(points).concat(parts)

    def derivatives(self, family: Family, coordinates: Array, steps: Array) -> Iterator[tuple[slice, Array, Array]]:
        """Slices of the pictures, each with its `residuals` and −∂ residuals / ∂ coordinates, (n, P, N²).

        By differences forwards, by `steps` (B, P) of the coordinates.
        """
        size = coordinates.shape[1]
        xp = namespace(coordinates)
        directions = xp.concat([xp.zeros((1, size), dtype=xp.float64), xp.eye(size, dtype=xp.float64)])
        moved = (coordinates[:, None] + steps[:, None] * directions).reshape(-1, size)
        for rows, light in self.drawn(family, moved, 1 + size):
            light = light.reshape(*light.shape[:2], -1)
            residuals = self._residuals(rows, light[:, 0])
            slopes = light[:, 1:] - light[:, :1]
            slopes *= self.weights[rows].reshape(len(light), 1, -1) / steps[rows, :, None]
            yield rows, residuals, slopes

    def _residuals(self, rows: slice, light: Array) -> Array:
        """(n, N²), of light (n, N, N) or (n, N²)."""
        difference = self.pictures[rows].reshape(len(light), -1) - light.reshape(len(light), -1)
        return difference * self.weights[rows].reshape(len(light), -1)
