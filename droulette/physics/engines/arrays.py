"""Pictures by array operations, of NumPy and PyTorch: the reference, and what runs where nothing is compiled.

A picture is divided into tiles. Those that may be lit are drawn, many at once, of all pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from droulette.physics.arrays import Array, like, namespace, on_a_card
from droulette.physics.batches import take, taker
from droulette.physics.elementary import rint
from droulette.physics.scene import (
    TILE,
    Sampling,
    Scenes,
    grey,
    grey_of_hits,
    light,
    may_be_lit,
    reach,
    source_pixel,
)
from droulette.physics.sources import Source

TILES_AT_ONCE = 192  # fewer cost more in calls than they save in cache
TILES_ON_A_CARD = 16384  # fewer take it less time than their call takes Python


def render(scene: Scenes, sampling: Sampling, size: int, centre_x: Array, centre_y: Array) -> Array:
    """(B, size, size) uint8, or float64 where the scene is not of whole grey levels."""
    count, xp = math.ceil(size / TILE), namespace(centre_x)
    shape = (len(centre_x), count, TILE, count, TILE)
    kind = xp.uint8 if scene.whole else xp.float64
    picture = xp.zeros(shape, dtype=kind, **like(centre_x))
    for row, down, across, levels in _tiles(scene, sampling, size, centre_x, centre_y):
        picture[row, down, :, across, :] = xp.astype(levels, kind)
    return picture.reshape(len(centre_x), count * TILE, count * TILE)[:, :size, :size]


def sums_of_light(scene: Scenes, sampling: Sampling, size: int) -> tuple[Array, Array, Array]:
    """(B,) each: the grey levels' sum over the picture, and their sums times column and row of the pixel."""
    zero = scene.extent() * 0.0
    xp = namespace(zero)
    totals = [zero, zero, zero]
    step = xp.arange(TILE, dtype=xp.float64, **like(zero))
    for row, down, across, levels in _tiles(scene, sampling, size, zero, zero):
        i, j = (down * TILE)[:, None] + step, (across * TILE)[:, None] + step
        levels = xp.astype(levels, xp.float64) * ((i < size)[:, :, None] & (j < size)[:, None, :])
        columns, lines = xp.sum(levels, axis=1), xp.sum(levels, axis=2)
        sums = xp.sum(columns, axis=1), xp.sum(columns * j, axis=1), xp.sum(lines * i, axis=1)
        of_row = [xp.bincount(row, weights=part, minlength=len(zero)) for part in sums]
        totals = [total + part for total, part in zip(totals, of_row, strict=True)]
    return tuple(totals)


def _tiles(
    scene: Scenes, sampling: Sampling, size: int, centre_x: Array, centre_y: Array
) -> Iterator[tuple[Array, Array, Array, Array]]:
    """The tiles that may hold light: (row, tile down, tile across), (K,) each, and (K, TILE, TILE) grey levels."""
    xp = namespace(centre_x)
    step = xp.arange(TILE, dtype=xp.float64, **like(centre_x))
    with np.errstate(all="ignore"):
        row, down, across = xp.nonzero(lit_tiles(scene, sampling, size, centre_x, centre_y))
        at_once = TILES_ON_A_CARD if on_a_card(row) else TILES_AT_ONCE
        pick = taker(scene)
        for start in range(0, len(row), at_once):
            part = slice(start, start + at_once)
            rows = row[part]
            left = across[part] * TILE - size / 2 + centre_x[rows]
            top = size / 2 - down[part] * TILE + centre_y[rows]
            x, y = left[:, None, None] + step, top[:, None, None] - step[:, None]
            yield rows, down[part], across[part], mean_levels(pick(rows, 2), sampling, x, y)


def lit_tiles(scene: Scenes, sampling: Sampling, size: int, centre_x: Array, centre_y: Array) -> Array:
    """(B, tiles down, tiles across): which tiles may hold light."""
    xp, count = namespace(centre_x), math.ceil(size / TILE)
    middle = xp.arange(count, dtype=xp.float64, **like(centre_x)) * TILE + (TILE - 1) / 2
    x = (middle - size / 2 + centre_x[:, None])[:, None, :]
    y = (size / 2 - middle + centre_y[:, None])[:, :, None]
    scene, distance = take(scene, slice(None), trailing=2), reach(TILE)
    dx, dy = scene.mapping.offset(x, y)
    extent = scene.extent() + sampling.margin
    return may_be_lit(dx, dy, scene.mapping.stretch(x, y, distance), extent, distance)


def mean_levels(scene: Scenes, sampling: Sampling, x: Array, y: Array) -> Array:
    """Grey levels of pixels whose middles are (x, y): the mean of their rays."""
    total = 0.0
    for sub_y in sampling.rays:
        for sub_x in sampling.rays:
            total = levels_at(scene, sampling, x + sub_x, y - sub_y) + total
    mean = total / sampling.supersampling**2
    return rint(mean) if scene.whole else mean


def levels_at(scene: Scenes, sampling: Sampling, x: Array, y: Array) -> Array:
    """Grey levels, not rounded but for "nearest", at the points (x, y)."""
    dx, dy = scene.mapping.offset(x, y)
    if not scene.whole:
        return scene.mapping.shown(light(unclipped(scene.source, dx, dy), scene.faintest), x, y)
    if not sampling.nearest:
        return scene.mapping.shown(grey(scene.source.brightness(dx, dy)), x, y)
    dx, dy, hit = source_pixel(dx, dy, sampling.canvas)
    for cx, cy in scene.mapping.singular_points():  # CosmoSim draws a lens centre black
        hit = hit & ~((x == cx) & (y == cy))
    return scene.mapping.shown(grey_of_hits(scene.source.brightness(dx, dy), hit), x, y)


def unclipped(source: Source, dx: Array, dy: Array) -> Array:
    """The sum of the brightness of a source's parts."""
    total = dx * 0.0
    for part, cx, cy in source.parts():
        total = total + part.brightness(dx - cx, dy - cy)
    return total
