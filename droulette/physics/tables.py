"""What compiled loops are called with: lenses and scenes as arrays, and room to work in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from droulette.physics import lenses, sources
from droulette.physics.rendering import TILE

SQUARE, SHIFT = TILE // 2, 3  # px, and its logarithm
AREA = SQUARE * SQUARE
BATCH = 4  # squares drawn at once: 256 pixels, whose arrays fit a core's own memory
ROOMS, PIXEL_ROOMS = 12, 9
CONSTANTS = 7  # the most that a formula takes
PM, SIS, SIE = range(3)
SPHERICAL, ELLIPSOID, SERSIC_SPHERE, SERSIC_ELLIPSOID, TRIANGLE = range(5)
LENS_CODES = {lenses.PointMass: PM, lenses.SIS: SIS, lenses.SIE: SIE}
SOURCE_CODES = {
    sources.Spherical: SPHERICAL,
    sources.Ellipsoid: ELLIPSOID,
    sources.SersicSphere: SERSIC_SPHERE,
    sources.SersicEllipsoid: SERSIC_ELLIPSOID,
    sources.Triangle: TRIANGLE,
}


class LensTable(NamedTuple):
    """K constituents of B lenses: codes (K,), centres (K, B), constants (K, B, CONSTANTS)."""

    code: np.ndarray
    x: np.ndarray
    y: np.ndarray
    constants: np.ndarray


class SceneTable(NamedTuple):
    """B scenes. Of raytraced ones the polynomials are empty, of roulettes there are no lenses.

    lens: see LensTable. origin: (2, B), η or ξ₀. polynomial: (2, S, S, B), coefficients [k][j] of X^j Y^k.
    mask: (B,), squares of radii. source: codes (S,). source_x, source_y: (S, B). source_constants: (S, B, CONSTANTS).
    extent: (B,).
    """

    lens: LensTable
    origin: np.ndarray
    polynomial: np.ndarray
    mask: np.ndarray
    source: np.ndarray
    source_x: np.ndarray
    source_y: np.ndarray
    source_constants: np.ndarray
    extent: np.ndarray


def to_draw(
    scene: SceneTable,
    first: int,
    size: int,
    centre_x: np.ndarray,
    centre_y: np.ndarray,
    rays: np.ndarray,
    nearest: bool,
    canvas: float,
    margin: float,
    pictures: np.ndarray,
    sums: np.ndarray,
) -> tuple:
    """The arguments of `compiled.draw`."""
    count = -(-size // TILE)
    pixels, grey = np.empty((PIXEL_ROOMS, BATCH * AREA)), np.empty(BATCH * AREA, np.int32)
    tiles, squares = np.empty((ROOMS, count)), np.zeros((ROOMS, 4 * count + BATCH))
    places = (np.ascontiguousarray(centre_x), np.ascontiguousarray(centre_y))
    ways = (rays, int(nearest), canvas, margin)
    return scene, first, size, *places, *ways, pictures, sums, pixels, grey, tiles, squares


def to_settle(
    lens: LensTable,
    x: np.ndarray,
    y: np.ndarray,
    eta_x: np.ndarray,
    eta_y: np.ndarray,
    iterations: int,
    settled: float,
) -> tuple:
    """The arguments of `compiled.settle`; x and y are changed in place."""
    etas = (np.ascontiguousarray(eta_x), np.ascontiguousarray(eta_y))
    return lens, x, y, *etas, iterations, settled, np.empty((7, 1))


def examples() -> dict[str, tuple]:
    """Arguments of each compiled loop, by its name, with nothing to do."""
    none, plane, cube = np.empty(0), np.empty((0, 0)), np.empty((0, 0, 0))
    lens = LensTable(np.empty(0, np.int64), plane, plane, cube)
    scene = SceneTable(lens, plane, np.empty((0, 0, 0, 0)), none, lens.code, plane, plane, cube, none)
    return {
        "draw": to_draw(scene, 0, 1, none, none, none, False, 0.0, 0.0, np.empty((0, 1, 1), np.uint8), plane),
        "settle": to_settle(lens, none, none, none, none, 0, 0.0),
    }
