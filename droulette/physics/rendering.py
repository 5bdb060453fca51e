"""Pictures from mappings and sources, in 8-bit grey.

Pixel (row i, column j) of an N×N picture is the point x = j − N/2, y = N/2 − i. All arithmetic is float64: the
last digits that differ between processors or between CPU and CUDA then practically never decide a grey level.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from droulette.physics.batches import take, taker
from droulette.physics.mappings import Mapping
from droulette.physics.sources import Source

TILE = 16  # px
TILES_AT_ONCE = 192  # fewer cost more in calls than they save in cache
DARKEST = 0.5  # grey level that still rounds to 1


@dataclass(frozen=True)
class Scene:
    """B pictures to draw: where each point of the picture meets the source, and the source."""

    mapping: Mapping
    source: Source


def render(
    scene: Scene,
    size: int,
    centre_x: Tensor,
    centre_y: Tensor,
    *,
    sampling: str = "exact",
    supersampling: int = 1,
    canvas: int | None = None,
) -> Tensor:
    """Draw B pictures of size × size pixels about the given centres.

    Args:
        centre_x, centre_y: (B,) px, float64; the device of these is where the work is done.
        sampling: "exact" evaluates the brightness where the ray falls; "nearest" takes CosmoSim's pixel of an
            8-bit source picture of `canvas` × `canvas` pixels (both indices rounded down).
        supersampling: rays per pixel and axis, averaged.
        canvas: size of that source picture, by default `size`.

    Returns:
        (B, size, size) uint8.
    """
    count = math.ceil(size / TILE)
    picture = torch.zeros((len(centre_x), count, TILE, count, TILE), dtype=torch.uint8, device=centre_x.device)
    for row, down, across, levels in _tiles(scene, size, centre_x, centre_y, sampling, supersampling, canvas or size):
        picture[row, down, :, across, :] = levels.to(torch.uint8)
    return picture.reshape(len(centre_x), count * TILE, count * TILE)[:, :size, :size]


def centre_of_light(
    scene: Scene, size: int, *, sampling: str = "exact", supersampling: int = 1
) -> tuple[Tensor, Tensor]:
    """Brightness-weighted mean of x and y over the size × size picture about the origin, without drawing it.

    The sums are of whole grey levels and so exact, on any device and in any order.

    Returns:
        x, y: (B,) px; (0, 0) for a black picture.
    """
    rows = scene.source.extent(DARKEST)
    light, light_x, light_y = torch.zeros_like(rows), torch.zeros_like(rows), torch.zeros_like(rows)
    zero = torch.zeros_like(rows)
    step = torch.arange(TILE, dtype=torch.float64, device=rows.device)
    for row, down, across, levels in _tiles(scene, size, zero, zero, sampling, supersampling, size):
        i, j = (down * TILE)[:, None] + step, (across * TILE)[:, None] + step
        levels = levels * ((i < size)[:, :, None] & (j < size)[:, None, :]) if size % TILE else levels
        columns, lines = levels.sum(1), levels.sum(2)
        light.index_add_(0, row, columns.sum(1))
        light_x.index_add_(0, row, (columns * j).sum(1))
        light_y.index_add_(0, row, (lines * i).sum(1))
    dark = light == 0
    x = light_x / light.clamp_min(1) - size / 2
    y = size / 2 - light_y / light.clamp_min(1)
    return torch.where(dark, 0.0, x), torch.where(dark, 0.0, y)


def _tiles(
    scene: Scene,
    size: int,
    centre_x: Tensor,
    centre_y: Tensor,
    sampling: str,
    supersampling: int,
    canvas: int,
) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """The tiles that may hold light: (row, tile down, tile across), (K,) each, and (K, TILE, TILE) grey levels."""
    count = math.ceil(size / TILE)
    row, down, across = _lit_tiles(scene, size, count, centre_x, centre_y, margin=2 if sampling == "nearest" else 1)
    step = torch.arange(TILE, dtype=torch.float64, device=centre_x.device)
    pick = taker(scene)
    sub = [(k + 0.5) / supersampling - 0.5 for k in range(supersampling)]
    for start in range(0, len(row), TILES_AT_ONCE):
        part = slice(start, start + TILES_AT_ONCE)
        rows = row[part]
        tile_scene = pick(rows, 2)
        left = (across[part] * TILE - size / 2 + centre_x[rows])[:, None, None]
        top = (size / 2 - down[part] * TILE + centre_y[rows])[:, None, None]
        x, y = left + step, top - step[:, None]
        parts = [_levels(tile_scene, x + sub_x, y - sub_y, sampling, canvas) for sub_y in sub for sub_x in sub]
        levels = parts[0] if supersampling == 1 else torch.stack(parts).mean(0)
        yield rows, down[part], across[part], levels.round_()


def _levels(scene: Scene, x: Tensor, y: Tensor, sampling: str, canvas: int) -> Tensor:
    """Grey levels 0…255, not yet rounded, at the points (x, y)."""
    dx, dy = scene.mapping.offset(x, y)
    if sampling == "nearest":
        column, row = (dx + canvas / 2).floor(), (canvas / 2 - dy).floor()
        levels = scene.source.brightness(column - canvas / 2, canvas / 2 - row).clamp(0, 255).round()
        inside = (column >= 0) & (column < canvas) & (row >= 0) & (row < canvas)
        singular = scene.mapping.singular(x, y)  # CosmoSim draws a lens centre black
        inside = inside if singular is None else inside & ~singular
        levels = torch.where(inside, levels, 0.0)
    else:
        levels = scene.source.brightness(dx, dy).clamp_(0, 255)
    visible = scene.mapping.visible(x, y)
    if visible is not None:
        levels = torch.where(visible, levels, 0.0)
    # Rays that leave every number behind (roulettes far from ξ₀) are dark, not undefined.
    return levels.nan_to_num_(nan=0.0)


def _lit_tiles(
    scene: Scene, size: int, count: int, centre_x: Tensor, centre_y: Tensor, margin: float
) -> tuple[Tensor, Tensor, Tensor]:
    """(row, tile down, tile across) of the tiles that may hold light.

    A tile stays black when its middle maps further from the source than the source's extent plus the most that
    the mapping can bring the tile's corner nearer. `margin` allows for sub-pixels and the rounding of "nearest".
    """
    reach = (TILE / 2 + 0.5) * math.sqrt(2)
    middle = torch.arange(count, dtype=torch.float64, device=centre_x.device) * TILE + (TILE - 1) / 2
    x = (middle - size / 2 + centre_x[:, None])[:, None, :]
    y = (size / 2 - middle + centre_y[:, None])[:, :, None]
    scene = take(scene, torch.arange(len(centre_x), device=centre_x.device), trailing=2)
    dx, dy = scene.mapping.offset(x, y)
    furthest = scene.source.extent(DARKEST) + margin + reach * scene.mapping.stretch(x, y, reach)
    black = dx * dx + dy * dy > furthest * furthest  # false for NaN: what is not understood is drawn
    return torch.nonzero(~black, as_tuple=True)
