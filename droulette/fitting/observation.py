"""Pictures with what is known of them, and what a family's scenes would look like in their place.

Pictures may be taken in wider pixels: there, starts are tried at a fraction of the cost.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from droulette.fitting.family import Family
from droulette.physics import convolution
from droulette.physics.arrays import Array, namespace, to_numpy
from droulette.physics.convolution import FWHM
from droulette.physics.elementary import where
from droulette.physics.instrument import Gaussians, Kernel, blurred
from droulette.physics.mappings import Unlensed
from droulette.physics.scene import Scenes

CANVAS = 1 << 20  # px: light from everywhere comes in
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
    psf: Array | Kernel | Gaussians
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
        some = replace(self, pictures=self.pictures[rows], weights=self.weights[rows], psf=psf, x=x, y=y)
        some.__dict__["_binned"] = {width: wide[rows] for width, wide in self.__dict__.get("_binned", {}).items()}
        return some

    def pixels(self) -> np.ndarray:
        """(B,): how many pixels are known."""
        return (self.weights > 0).reshape(len(self), -1).sum(axis=1)

    def lengths(self) -> np.ndarray:
        """(B,): how many residuals each picture has."""
        return np.full(len(self), self.size**2)

    def binned(self, width: int) -> Observation:
        """The same with pixels `width` times as wide: weighted means, whose weights are those of all together.

        The model of them is a sketch: a ray in place of each wide pixel, and its area as a wider Gaussian PSF. Made
        once, and taken along by `observation[rows]`.
        """
        made = self.__dict__.setdefault("_binned", {})
        if width not in made:
            made[width] = self._in_wide_pixels(width)
        return made[width]

    def _in_wide_pixels(self, width: int) -> Observation:
        inside = self._inside(width)
        total = block_sums(self.weights[:, inside, inside] ** 2, width)
        box = FWHM**2 * (width**2 - 1) / 12
        psf = convolution.fwhm(self.psf.values) if isinstance(self.psf, Kernel) else self.psf
        psf = (psf**2 + box) ** 0.5 / width + total[:, 0, 0] * 0.0
        wide = replace(self, weights=total**0.5, psf=psf, pixel=self.pixel * width)
        return replace(wide, pictures=self.binned_light(self.pictures, width, wide))

    def binned_light(self, light: Array, width: int, wide: Observation) -> Array:
        """Weighted means of light (B, N, N) in wide pixels, which have the weights of `wide`."""
        inside = self._inside(width)
        sums = block_sums(light[:, inside, inside] * self.weights[:, inside, inside] ** 2, width)
        total = wide.weights**2
        return sums / where(total > 0.0, total, 1.0)

    def _inside(self, width: int) -> slice:
        """The pixels of a line that make up whole wide ones."""
        size = self.size // width * width
        return slice((self.size - size) // 2, (self.size - size) // 2 + size)

    def drawn(self, family: Family, coordinates: Array, per: int = 1) -> Iterator[tuple[slice, Array]]:
        """Grey levels of scenes, `per` for each picture: slices of the pictures, each with its (n, per, N, N).

        coordinates: (B · per, P), those of a picture one after the other.
        """
        for _, pictures, light in drawn_together((self,), family, (coordinates,), per):
            yield pictures, light

    def light(self, family: Family, coordinates: Array) -> Array:
        """(B, N, N) grey levels of scenes, (B, P)."""
        return namespace(coordinates).concat([light[:, 0] for _, light in self.drawn(family, coordinates)])

    def left(self, light: Array, rows: slice = slice(None)) -> Array:
        """(n, N, N): what light in the place of these pictures leaves of them, in standard deviations."""
        left = self.pictures[rows] - light
        left *= self.weights[rows]
        return left

    def residuals(self, family: Family, coordinates: Array) -> Array:
        """(B, N²): picture − model, in standard deviations; coordinates (B, P)."""
        parts = []
        for rows, light in self.drawn(family, coordinates):
            parts.append(self.left(light[:, 0], rows).reshape(len(light), -1))
        return namespace(coordinates).concat(parts)

    def residuals_at(self, family: Family, points: Array) -> Iterator[tuple[slice, Array]]:
        """Slices of the pictures, each with its `residuals` at several points, (n, Q, N²); points (B, Q, P)."""
        per, size = points.shape[1:]
        for rows, light in self.drawn(family, points.reshape(-1, size), per):
            yield rows, self.residuals_of(rows, light)

    def residuals_of(self, rows: slice, light: Array) -> Array:
        """(n, Q, N²), of light (n, Q, N, N), in whose place they are."""
        light = light.reshape(*light.shape[:2], -1)
        light -= self.pictures[rows].reshape(len(light), 1, -1)
        light *= -self.weights[rows].reshape(len(light), 1, -1)
        return light

    def squares_at(self, family: Family, points: Array) -> Array:
        """(B, Q): χ² at points (B, Q, P)."""
        found = np.zeros(points.shape[:2])
        for rows, residuals in self.residuals_at(family, points):
            found[rows] = sums_of_squares(residuals)
        return found

    def derivatives(self, family: Family, coordinates: Array, steps: Array) -> Iterator[tuple[slice, Array, Array]]:
        """Slices of the pictures, each with its `residuals` and −∂ residuals / ∂ coordinates, (n, P, N²).

        By differences forwards, by `steps` (B, P) of the coordinates.
        """
        size = coordinates.shape[1]
        xp = namespace(coordinates)
        directions = xp.concat([xp.zeros((1, size), dtype=xp.float64), xp.eye(size, dtype=xp.float64)])
        moved = (coordinates[:, None] + steps[:, None] * directions).reshape(-1, size)
        for rows, light in self.drawn(family, moved, 1 + size):
            residuals = self.left(light[:, 0], rows).reshape(len(light), -1)
            light = light.reshape(*light.shape[:2], -1)
            slopes = light[:, 1:]  # in place: they are large
            slopes -= light[:, :1]
            slopes *= self.weights[rows].reshape(len(light), 1, -1) / steps[rows, :, None]
            yield rows, residuals, slopes


def drawn_together(
    parts: Sequence[Observation], family: Family, coordinates: Sequence[Array], per: int = 1
) -> Iterator[tuple[int, slice, Array]]:
    """`Observation.drawn` of several, with the number of each: many scenes are made as fast as a few."""
    pixels = [float(part.pixel) for part in parts]
    every = coordinates[0]
    pixel: Array | float = pixels[0]
    if len(parts) > 1:
        every = np.concatenate(coordinates)
        pixel = np.repeat(pixels, [len(of_part) for of_part in coordinates])
    scene = family.scene(every, pixel)
    glow = family.lens_light(every, pixel)
    lens_light = glow and Scenes(Unlensed(), glow[0], scene.faintest)
    first = 0
    for number, part in enumerate(parts):
        psf = part.psf if isinstance(part.psf, Kernel | Gaussians) else Gaussians.of(to_numpy(part.psf))
        # The upper left pixel's middle: wide ones begin where the first of those that they cover begins.
        off = coordinates[number][:, 0] * 0.0 + (0.5 - 0.5 / part.pixel)
        x, y = off, -off
        if part.x is not None:
            x, y = x + part.x.repeat(per, axis=0) / part.pixel, y + part.y.repeat(per, axis=0) / part.pixel
        at_once = max(1, PIXELS_AT_ONCE // (per * part.size**2))
        for start in range(0, len(part), at_once):
            pictures = slice(start, min(start + at_once, len(part)))
            some = slice(pictures.start * per, pictures.stop * per)
            rows = slice(first + some.start, first + some.stop)
            about = psf if isinstance(psf, Kernel) else psf[np.arange(len(part))[pictures].repeat(per)]
            options = {"rows": rows, "size": part.size, "canvas": CANVAS, "supersampling": part.supersampling}
            light = blurred(scene, about, centre_x=x[some], centre_y=y[some], **options)
            if lens_light:
                _, light_x, light_y, sky = glow
                centre = {"centre_x": x[some] - light_x[rows], "centre_y": y[some] - light_y[rows]}
                light = light + blurred(lens_light, about, **centre, **options) + sky[rows, None, None]
            if math.isfinite(part.ceiling):
                light = where(light > part.ceiling, part.ceiling, light)
            yield number, pictures, light.reshape(-1, per, part.size, part.size)
        first += len(coordinates[number])


def sums_of_squares(residuals: np.ndarray) -> np.ndarray:
    """(…) of residuals (…, n)."""
    return np.einsum("...n,...n->...", residuals, residuals)


def block_sums(pictures: Array, width: int) -> Array:
    """Sums over squares of width² pixels."""
    count, height, across = pictures.shape
    lines = namespace(pictures).sum(pictures.reshape(count, height // width, width, across), axis=2)
    return sum(lines[:, :, k::width] for k in range(width))
