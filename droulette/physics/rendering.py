"""Pictures from mappings and sources, in 8-bit grey.

Pixel (row i, column j) of an N×N picture is the point x = j − N/2, y = N/2 − i. All arithmetic is float64, in an
order that neither the batch nor the device changes (`elementary`), and so gives the same bytes everywhere.

Here in array operations, for NumPy and PyTorch; what `kernels` can compile is drawn there, to the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from droulette.physics.arrays import Array, is_numpy, like, namespace, on_a_card
from droulette.physics.batches import leaves, take, taker
from droulette.physics.elementary import rint, sqrt, where
from droulette.physics.mappings import Mapping
from droulette.physics.sources import Source, clipped

if TYPE_CHECKING:
    from droulette.physics.tables import SceneTable

TILE = 16  # px
TILES_AT_ONCE = 192  # fewer cost more in calls than they save in cache
TILES_ON_A_CARD = 16384  # fewer take it less time than their call takes Python
DARKEST = 0.5  # grey level that still rounds to 1


@dataclass(frozen=True)
class Scene:
    """B pictures to draw: where each point of the picture meets the source, and the source."""

    mapping: Mapping
    source: Source

    @cached_property
    def table(self) -> SceneTable | None:
        """What compiled loops read; None: these scenes are drawn by array operations."""
        from droulette.physics import kernels

        return kernels.compile_scene(self)


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
    def rays(self) -> list[float]:
        """Where the rays of a pixel are, about its middle."""
        return [(k + 0.5) / self.supersampling - 0.5 for k in range(self.supersampling)]

    @property
    def margin(self) -> float:
        """By how much more than the source's extent a ray may miss it and be lit, px."""
        return 2.0 if self.kind == "nearest" else 1.0


def render(
    scene: Scene,
    size: int,
    centre_x: Array,
    centre_y: Array,
    *,
    rows: slice = slice(None),
    sampling: str = "exact",
    supersampling: int = 1,
    canvas: int | None = None,
) -> Array:
    """Draw B pictures of size × size pixels about the given centres.

    Args:
        rows: which of the scenes, one after the other; by default all.
        centre_x, centre_y: (B,) px, float64; the kind and device of these are those of the work and the result.
        sampling, supersampling, canvas: see `Sampling`; canvas is by default `size`.

    Returns:
        (B, size, size) uint8.
    """
    how = Sampling(sampling, supersampling, canvas or size)
    if is_numpy(centre_x):
        from droulette.physics import kernels

        if kernels.ready() and scene.table is not None:
            return kernels.render(scene.table, how, size, centre_x, centre_y, rows)
    scene = take(scene, rows)
    count = math.ceil(size / TILE)
    xp = namespace(centre_x)
    shape = (len(centre_x), count, TILE, count, TILE)
    picture = xp.zeros(shape, dtype=xp.uint8, **like(centre_x))
    for row, down, across, levels in _tiles(scene, size, centre_x, centre_y, how):
        picture[row, down, :, across, :] = xp.astype(levels, xp.uint8)
    return picture.reshape(len(centre_x), count * TILE, count * TILE)[:, :size, :size]


def centre_of_light(
    scene: Scene, size: int, *, rows: slice = slice(None), sampling: str = "exact", supersampling: int = 1
) -> tuple[Array, Array]:
    """Brightness-weighted mean of x and y over the size × size picture about the origin, without drawing it.

    The sums are of whole grey levels and so exact, on any device and in any order.

    Returns:
        x, y: (B,) px; (0, 0) for a black picture.
    """
    how = Sampling(sampling, supersampling, size)
    if is_numpy(next(leaves(scene))):
        from droulette.physics import kernels

        if kernels.ready() and scene.table is not None:
            return kernels.centre_of_light(scene.table, how, size, rows)
    scene = take(scene, rows)
    zero = scene.source.extent(DARKEST) * 0.0
    xp = namespace(zero)
    light, light_x, light_y = zero, zero, zero
    step = xp.arange(TILE, dtype=xp.float64, **like(zero))
    for row, down, across, levels in _tiles(scene, size, zero, zero, how):
        i, j = (down * TILE)[:, None] + step, (across * TILE)[:, None] + step
        levels = levels * ((i < size)[:, :, None] & (j < size)[:, None, :])
        columns, lines = xp.sum(levels, axis=1), xp.sum(levels, axis=2)
        sums = xp.sum(columns, axis=1), xp.sum(columns * j, axis=1), xp.sum(lines * i, axis=1)
        of_row = [xp.bincount(row, weights=part, minlength=len(zero)) for part in sums]
        light, light_x, light_y = light + of_row[0], light_x + of_row[1], light_y + of_row[2]
    dark = light == 0
    x = light_x / where(dark, 1.0, light) - size / 2
    y = size / 2 - light_y / where(dark, 1.0, light)
    return where(dark, 0.0, x), where(dark, 0.0, y)


def _tiles(
    scene: Scene, size: int, centre_x: Array, centre_y: Array, how: Sampling
) -> Iterator[tuple[Array, Array, Array, Array]]:
    """The tiles that may hold light: (row, tile down, tile across), (K,) each, and (K, TILE, TILE) grey levels."""
    xp, count = namespace(centre_x), math.ceil(size / TILE)
    with np.errstate(all="ignore"):
        row, down, across = _lit_tiles(scene, size, count, centre_x, centre_y, how.margin)
        step = xp.arange(TILE, dtype=xp.float64, **like(centre_x))
        pick = taker(scene)
        at_once = TILES_ON_A_CARD if on_a_card(row) else TILES_AT_ONCE
        for start in range(0, len(row), at_once):
            part = slice(start, start + at_once)
            rows = row[part]
            tile_scene = pick(rows, 2)
            left = (across[part] * TILE - size / 2 + centre_x[rows])[:, None, None]
            top = (size / 2 - down[part] * TILE + centre_y[rows])[:, None, None]
            x, y = left + step, top - step[:, None]
            total = 0.0
            for sub_y in how.rays:
                for sub_x in how.rays:
                    total = _levels(tile_scene, x + sub_x, y - sub_y, how) + total
            yield rows, down[part], across[part], rint(total / how.supersampling**2)


def _levels(scene: Scene, x: Array, y: Array, how: Sampling) -> Array:
    """Grey levels 0…255, not yet rounded, at the points (x, y)."""
    dx, dy = scene.mapping.offset(x, y)
    if how.kind == "nearest":
        xp, canvas = namespace(dx), how.canvas
        column, row = xp.floor(dx + canvas / 2), xp.floor(canvas / 2 - dy)
        levels = rint(clipped(scene.source.brightness(column - canvas / 2, canvas / 2 - row)))
        inside = (column >= 0) & (column < canvas) & (row >= 0) & (row < canvas)
        singular = scene.mapping.singular(x, y)  # CosmoSim draws a lens centre black
        inside = inside if singular is None else inside & ~singular
        levels = where(inside, levels, 0.0)
    else:
        levels = clipped(scene.source.brightness(dx, dy))
    visible = scene.mapping.visible(x, y)
    if visible is not None:
        levels = where(visible, levels, 0.0)
    # Rays that leave every number behind (roulettes far from ξ₀) are dark, not undefined.
    return where(levels == levels, levels, 0.0)


def _lit_tiles(
    scene: Scene, size: int, count: int, centre_x: Array, centre_y: Array, margin: float
) -> tuple[Array, Array, Array]:
    """(row, tile down, tile across) of the tiles that may hold light.

    A tile stays black when its middle maps further from the source than the source's extent plus the most that
    the mapping can bring the tile's corner nearer. `margin` allows for sub-pixels and the rounding of "nearest".
    """
    xp = namespace(centre_x)
    middle = xp.arange(count, dtype=xp.float64, **like(centre_x)) * TILE + (TILE - 1) / 2
    x = (middle - size / 2 + centre_x[:, None])[:, None, :]
    y = (size / 2 - middle + centre_y[:, None])[:, :, None]
    scene = take(scene, slice(None), trailing=2)
    dx, dy = scene.mapping.offset(x, y)
    furthest = scene.source.extent(DARKEST) + margin + REACH * scene.mapping.stretch(x, y, REACH)
    return xp.nonzero(~(sqrt(dx * dx + dy * dy) > furthest))  # ~(>): what is not understood, NaN, is drawn


REACH = (TILE / 2 + 0.5) * math.sqrt(2)  # px, from a tile's middle to its corner
