"""A batch of scenes, and how a pixel samples them. Formulas of one pixel, for every engine.

Pixel (row i, column j) of an N×N picture is the point x = j − N/2, y = N/2 − i.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from droulette.physics.arrays import Array, namespace
from droulette.physics.elementary import rint, sqrt, where
from droulette.physics.mappings import Mapping
from droulette.physics.sources import Source, clipped

TILE = 16  # px: the side of the squares of a picture that are drawn, or found to be black, together
SQUARE = TILE // 2  # px: what is left of a tile is tested once more in quarters
DARKEST = 0.5  # grey level that still rounds to 1
FAINT_LEVELS = tuple(2.0**k for k in range(-14, 1))  # what `Scenes.faintest` may be: extents are known of these


@dataclass(frozen=True)
class Scenes:
    """A batch of B scenes: where each point of a picture meets the source, and the source.

    `droulette.Scene` is one scene of the Python interface.

    faintest: None for whole grey levels 0…255. For unrounded and unclipped ones, (B,), of FAINT_LEVELS: light fainter
    than that is 0, so that dark tiles can be skipped.
    """

    mapping: Mapping
    source: Source
    faintest: Array | None = None

    @property
    def whole(self) -> bool:
        return self.faintest is None

    def extent(self) -> Array:
        """(B,) px: the distance from the source's centre beyond which it is dark; found once."""
        if "_extent" not in self.__dict__:
            self.__dict__["_extent"] = self._found_extent()
        return self.__dict__["_extent"]

    def _found_extent(self) -> Array:
        if self.faintest is None:
            return self.source.extent(DARKEST)
        extent = self.source.extent(FAINT_LEVELS[0])
        for level in FAINT_LEVELS[1:]:
            if not (self.faintest >= level).any():
                break
            extent = where(self.faintest >= level, self.source.extent(level), extent)
        return extent


@dataclass(frozen=True)
class Sampling:
    """How a pixel meets the source.

    kind: "exact" evaluates the brightness where the ray falls; "nearest" takes CosmoSim's pixel of an 8-bit source
        picture of `canvas` × `canvas` pixels (both indices rounded down).
    supersampling: rays per pixel and axis, averaged.
    """

    kind: str = "exact"
    supersampling: int = 1
    canvas: int = 0

    @property
    def nearest(self) -> bool:
        return self.kind == "nearest"

    @property
    def rays(self) -> list[float]:
        """Where the rays of a pixel are, about its middle."""
        return [(k + 0.5) / self.supersampling - 0.5 for k in range(self.supersampling)]

    @property
    def margin(self) -> float:
        """By how much more than the source's extent a ray may miss it and be lit, px."""
        return 2.0 if self.nearest else 1.0


def reach(side: int) -> float:
    """From the middle of a square of pixels to its corner, px."""
    return (side / 2 + 0.5) * math.sqrt(2)


def may_be_lit(dx: Array, dy: Array, stretch: Array, extent: Array, distance: Array | float) -> Array:
    """Whether light may fall within `distance` px of a point whose ray misses the source's centre by (dx, dy).

    It stays black when that is further than the source's extent plus the most that the mapping can bring rays nearer.
    """
    return ~(sqrt(dx * dx + dy * dy) > extent + distance * stretch)  # ~(>): what is not understood, NaN, is drawn


def source_pixel(dx: Array, dy: Array, canvas: Array | float) -> tuple[Array, Array, Array]:
    """CosmoSim's pixel of the source picture in place of the point itself, and whether there is one."""
    xp, half = namespace(dx), canvas / 2
    column, row = xp.floor(dx + half), xp.floor(half - dy)
    inside = (column >= 0.0) & (column < canvas) & (row >= 0.0) & (row < canvas)
    return column - half, half - row, inside


def grey(levels: Array) -> Array:
    """0…255, not rounded. Rays that leave every number behind, NaN, are dark."""
    levels = clipped(levels)
    return where(levels == levels, levels, 0.0)


def light(levels: Array, faintest: Array) -> Array:
    """Unclipped grey levels; 0 where they are too faint, and of rays that leave every number behind, NaN."""
    return where(levels >= faintest, levels, 0.0)


def grey_of_hits(levels: Array, hit: Array) -> Array:
    """The same of a source picture's pixels: whole numbers, and dark where a ray meets none."""
    return where(hit, grey(rint(clipped(levels))), 0.0)
