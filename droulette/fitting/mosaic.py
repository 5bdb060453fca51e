"""Pictures in wide pixels, but for the tiles where wide pixels do not do.

Most of a picture is smooth on the scale of a few pixels: there a ray in place of 4² of them tells as much. Where it
does not, along thin arcs, tiles are taken in pixels half as wide, and about images of a cusp they keep the pixels as
they were taken. Which these are is found out at some coordinates, and what wide pixels are wrong by there is taken from
the picture. So near by, χ² rises as that of all pixels does, at a fifth of the rays (measured:
docs/notes/fit-accuracy.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from droulette.fitting.family import Family
from droulette.fitting.observation import Observation, block_sums, drawn_together, sums_of_squares
from droulette.physics.instrument import Gaussians, Kernel

WIDE, HALF = 4, 2  # px that wide pixels are wide, and those of tiles in which these do not do
TILE = 32  # px, a multiple of WIDE
ENOUGH = 0.1  # of χ², by which a tile's wide pixels may be wrong
WORTH_IT = 0.6  # of the rays of all pixels, above which these are kept
NUMBERS_AT_ONCE = 1 << 21  # 16 MB: of larger arrays the system clears the memory, a twentieth of the time of fits
REACH = 4.0  # standard deviations of a Gaussian PSF: it holds all but 6e-5 of the light


@dataclass(frozen=True)
class Mosaic:
    """B pictures. What fits ask of an `Observation` they can ask of this.

    layers: pictures or parts of them in pixels of one width, with the number of the picture of each, ascending. The
    first is of all whole pictures; its pixels under the tiles of the others have weight 0.
    """

    layers: tuple[tuple[Observation, np.ndarray], ...]

    def __len__(self) -> int:
        return len(self.layers[0][0])

    def __getitem__(self, rows) -> Mosaic:
        rows = np.arange(len(self))[rows]
        layers = []
        for parts, of in self.layers:
            first = np.searchsorted(of, rows)
            count = np.searchsorted(of, rows, side="right") - first
            taken = np.arange(count.sum()) + np.repeat(first - (count.cumsum() - count), count)
            layers.append((parts[taken], np.repeat(np.arange(len(rows)), count)))
        return Mosaic(tuple(layers))

    def lengths(self) -> np.ndarray:
        """(B,): how many residuals each picture has; what follows are zeros."""
        every = [parts.size**2 * np.bincount(of, minlength=len(self)) for parts, of in self.layers]
        return np.sum(every, axis=0)

    def residuals(self, family: Family, coordinates: np.ndarray) -> np.ndarray:
        """(B, M): picture − model, in standard deviations; coordinates (B, P). Those of each layer, and zeros."""
        return self._together(family, coordinates[:, None])[:, 0]

    def residuals_at(self, family: Family, points: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Parts of the pictures, (n,) the number of the picture of each, with their residuals at several points,
        (n, Q, N²); points (B, Q, P)."""
        for layer, some, residuals in self._drawn(family, points):
            yield self.layers[layer][1][some], residuals

    def _drawn(self, family: Family, points: np.ndarray) -> Iterator[tuple[int, slice, np.ndarray]]:
        """The number of a layer, some of its parts, and their residuals (n, Q, N²)."""
        parts, of = zip(*self.layers, strict=True)
        per, size = points.shape[1:]
        coordinates = [points[numbers].reshape(-1, size) for numbers in of]
        for layer, some, light in drawn_together(parts, family, coordinates, per):
            yield layer, some, parts[layer].residuals_of(some, light)

    def squares_at(self, family: Family, points: np.ndarray) -> np.ndarray:
        """(B, Q): χ² at points (B, Q, P), but for what does not depend on them."""
        squares = np.zeros(points.shape[:2])
        for rows, residuals in self.residuals_at(family, points):
            np.add.at(squares, rows, sums_of_squares(residuals))
        return squares

    def derivatives(
        self, family: Family, coordinates: np.ndarray, steps: np.ndarray
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """See `Observation.derivatives`."""
        directions = np.concatenate([np.zeros((1, coordinates.shape[1])), np.eye(coordinates.shape[1])])
        points = coordinates[:, None] + steps[:, None] * directions
        at_once = max(1, NUMBERS_AT_ONCE // (points.shape[1] * self.lengths().max(initial=1)))
        for start in range(0, len(self), at_once):
            rows = slice(start, start + at_once)
            found = self[rows]._together(family, points[rows])
            slopes = found[:, 1:]  # in place: they are large
            slopes -= found[:, :1]
            slopes /= -steps[rows, :, None]
            yield rows, found[:, 0], slopes

    def _together(self, family: Family, points: np.ndarray) -> np.ndarray:
        """(B, Q, M): residuals at points (B, Q, P), those of the layers one after the other."""
        found = np.zeros((*points.shape[:2], self.lengths().max(initial=0)))
        end, places = np.zeros(len(self), int), []
        for parts, of in self.layers:
            area = parts.size**2
            places.append(end[of] + area * (np.arange(len(of)) - np.searchsorted(of, of)))
            end += area * np.bincount(of, minlength=len(self))
        for layer, some, residuals in self._drawn(family, points):
            area = residuals.shape[2]
            for row, start, values in zip(self.layers[layer][1][some], places[layer][some], residuals, strict=True):
                found[row, :, start : start + area] = values
        return found


def mosaic(
    observation: Observation, family: Family, coordinates: np.ndarray, light: np.ndarray | None = None
) -> Mosaic | Observation:
    """The mosaic for coordinates (B, P) and others near by; the observation itself where one would spare little.

    light: (B, N, N), of these coordinates, if it is known.
    """
    size, reach = observation.size, _reach(observation)
    if observation.pixel != 1 or observation.alike or size % TILE or reach > TILE // 2:
        return observation
    light = observation.light(family, coordinates) if light is None else light
    wide, misfit = _in_wide_pixels(observation, light, WIDE, family, coordinates)
    few = TILE // WIDE
    needed = block_sums(misfit, few) > ENOUGH
    if 1 / WIDE**2 + needed.mean() * (1 + 2 * reach / TILE) ** 2 > WORTH_IT:
        return observation
    under = needed.repeat(few, axis=1).repeat(few, axis=2)
    wide = replace(wide, weights=np.where(under, 0.0, wide.weights))
    of, down, right = np.nonzero(needed)
    if not len(of):
        return Mosaic(((wide, np.arange(len(wide))),))
    psf = observation.psf if isinstance(observation.psf, Kernel) else observation.psf[of]
    x, y = TILE * (right + 0.5) - size / 2, size / 2 - TILE * (down + 0.5)
    pictures, weights, light = (_tiles(a)[of, down, right] for a in (observation.pictures, observation.weights, light))
    tiles = replace(observation, pictures=pictures, weights=weights, psf=psf, x=x, y=y)
    half, misfit = _in_wide_pixels(tiles, light, HALF, family, coordinates[of])
    narrow = misfit.sum(axis=(1, 2)) > ENOUGH
    tiles = _within_reach(tiles)
    return Mosaic(((wide, np.arange(len(wide))), (half[~narrow], of[~narrow]), (tiles[narrow], of[narrow])))


def _in_wide_pixels(
    observation: Observation, light: np.ndarray, width: int, family: Family, coordinates: np.ndarray
) -> tuple[Observation, np.ndarray]:
    """Pictures in wide pixels, corrected by what the model of these is wrong by where the light is (B, N, N), and the
    squares of that, (B, N / width, N / width), in standard deviations."""
    wide = observation.binned(width)
    exact = observation.binned_light(light, width, wide)
    wrong = exact - wide.light(family, coordinates)
    return _within_reach(replace(wide, pictures=wide.pictures - wrong)), (wrong * wide.weights) ** 2


def _within_reach(observation: Observation) -> Observation:
    """With Gaussians that end at REACH."""
    if isinstance(observation.psf, Kernel | Gaussians):
        return observation
    return replace(observation, psf=Gaussians.of(observation.psf, REACH))


def _tiles(pictures: np.ndarray) -> np.ndarray:
    """(B, n, n, TILE, TILE) of pictures (B, n · TILE, n · TILE)."""
    across = pictures.shape[1] // TILE
    return pictures.reshape(-1, across, TILE, across, TILE).swapaxes(2, 3)


def _reach(observation: Observation) -> int:
    """px, as far as a point spread function reaches."""
    if isinstance(observation.psf, Kernel):
        return len(observation.psf.values) // 2
    known = observation.psf if isinstance(observation.psf, Gaussians) else Gaussians.of(observation.psf, REACH)
    return int(known.radii.max(initial=0))
