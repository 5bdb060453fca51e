"""Pictures in wide pixels, but for the tiles where wide pixels do not do.

Most of a picture is smooth on the scale of a few pixels: there a ray in place of 4² of them tells as much. Where it
does not, about images of a cusp and along thin arcs, tiles keep the pixels as they were taken. Which these are is found
out at some coordinates, and what the wide pixels are wrong by there is taken from the picture. So near by, χ² rises as
that of all pixels does, at a third of the rays (measured: docs/notes/fit-accuracy.md).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from droulette.fitting.family import Family
from droulette.fitting.observation import Observation
from droulette.physics import convolution
from droulette.physics.instrument import Kernel

WIDE = 4  # px that wide pixels are wide
TILE = 32  # px, a multiple of WIDE
ENOUGH = 0.03  # of χ², by which a tile's wide pixels may be wrong
WORTH_IT = 0.6  # of the rays of all pixels, above which these are kept


@dataclass(frozen=True)
class Mosaic:
    """B pictures. What fits ask of an `Observation` they can ask of this.

    wide: the pictures in wide pixels, those under tiles with weight 0. tiles: K of them. of: (K,), the picture of each,
    ascending.
    """

    wide: Observation
    tiles: Observation
    of: np.ndarray

    def __len__(self) -> int:
        return len(self.wide)

    def __getitem__(self, rows) -> Mosaic:
        rows = np.arange(len(self))[rows]
        first = np.searchsorted(self.of, rows)
        count = np.searchsorted(self.of, rows, side="right") - first
        of = np.repeat(np.arange(len(rows)), count)
        taken = np.arange(len(of)) + np.repeat(first - (count.cumsum() - count), count)
        return Mosaic(self.wide[rows], self.tiles[taken], of)

    def lengths(self) -> np.ndarray:
        """(B,): how many residuals each picture has; what follows are zeros."""
        return self.wide.size**2 + TILE**2 * np.bincount(self.of, minlength=len(self))

    def residuals(self, family: Family, coordinates: np.ndarray) -> np.ndarray:
        """(B, M): picture − model, in standard deviations; coordinates (B, P). Those of the tiles last, and zeros."""
        ((_, found),) = self.residuals_at(family, coordinates[:, None])
        return found[:, 0]

    def residuals_at(self, family: Family, points: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """All pictures with their `residuals` at several points, (B, Q, M); points (B, Q, P)."""
        count, per, _ = points.shape
        slot = np.arange(len(self.of)) - np.searchsorted(self.of, self.of)
        wide, area = self.wide.size**2, TILE**2
        found = np.zeros((count, per, wide + (slot.max(initial=-1) + 1) * area))
        for rows, some in self.wide.residuals_at(family, points):
            found[rows, :, :wide] = some
        for tiles, some in self.tiles.residuals_at(family, points[self.of]):
            for row, place, residuals in zip(self.of[tiles], slot[tiles], some, strict=True):
                start = wide + place * area
                found[row, :, start : start + area] = residuals
        yield slice(0, count), found

    def squares_at(self, family: Family, points: np.ndarray) -> np.ndarray:
        """(B, Q): χ² at points (B, Q, P), but for what does not depend on them."""
        squares = self.wide.squares_at(family, points)
        np.add.at(squares, self.of, self.tiles.squares_at(family, points[self.of]))
        return squares

    def derivatives(
        self, family: Family, coordinates: np.ndarray, steps: np.ndarray
    ) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """See `Observation.derivatives`."""
        directions = np.concatenate([np.zeros((1, coordinates.shape[1])), np.eye(coordinates.shape[1])])
        points = coordinates[:, None] + steps[:, None] * directions
        for rows, found in self.residuals_at(family, points):
            slopes = found[:, :1] - found[:, 1:]
            slopes /= steps[rows, :, None]
            yield rows, found[:, 0], slopes


def mosaic(observation: Observation, family: Family, coordinates: np.ndarray) -> Mosaic | Observation:
    """The mosaic for coordinates (B, P) and others near by; the observation itself where one would spare little."""
    size, reach = observation.size, _reach(observation)
    if observation.pixel != 1 or observation.alike or size % TILE or reach > TILE // 2:
        return observation
    wide = observation.binned(WIDE)
    exact = replace(observation, pictures=_light(observation, family, coordinates)).binned(WIDE).pictures
    wrong = exact - _light(wide, family, coordinates)
    across, few = size // TILE, TILE // WIDE
    misfit = ((wrong * wide.weights) ** 2).reshape(-1, across, few, across, few).sum(axis=(2, 4))
    needed = misfit > ENOUGH
    if 1 / WIDE**2 + needed.mean() * (1 + 2 * reach / TILE) ** 2 > WORTH_IT:
        return observation
    under = needed.repeat(few, axis=1).repeat(few, axis=2)
    corrected = replace(wide, pictures=wide.pictures - wrong, weights=np.where(under, 0.0, wide.weights))
    of, down, right = np.nonzero(needed)
    psf = observation.psf if isinstance(observation.psf, Kernel) else observation.psf[of]
    x, y = TILE * (right + 0.5) - size / 2, size / 2 - TILE * (down + 0.5)
    pictures, weights = (_tiles(of_all)[of, down, right] for of_all in (observation.pictures, observation.weights))
    return Mosaic(corrected, replace(observation, pictures=pictures, weights=weights, psf=psf, x=x, y=y), of)


def _tiles(pictures: np.ndarray) -> np.ndarray:
    """(B, n, n, TILE, TILE) of pictures (B, n · TILE, n · TILE)."""
    across = pictures.shape[1] // TILE
    return pictures.reshape(-1, across, TILE, across, TILE).swapaxes(2, 3)


def _light(observation: Observation, family: Family, coordinates: np.ndarray) -> np.ndarray:
    return np.concatenate([light[:, 0] for _, light in observation.drawn(family, coordinates)])


def _reach(observation: Observation) -> int:
    """px, as far as a point spread function reaches."""
    if isinstance(observation.psf, Kernel):
        return len(observation.psf.values) // 2
    return int(convolution.gaussian_kernels(observation.psf)[1].max(initial=0))
