"""From batches of lenses and scenes to the tables of compiled loops, where those are and have their formulas."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from droulette.physics.lenses import Cluster, Lens
from droulette.physics.mappings import Raytrace, Roulette
from droulette.physics.sources import Constellation

if TYPE_CHECKING:
    from droulette.physics.rendering import Sampling, Scene
    from droulette.physics.tables import LensTable, SceneTable

try:
    from droulette.physics import machine_code, tables
except ImportError:  # LLVM is faster, and not needed
    machine_code = None

DARKEST = 0.5
PAYS_BACK = 3000  # pictures: drawn by arrays, they cost as much as the compilation


def ready() -> bool:
    """Whether there is compiled code, of this process or of one before."""
    return machine_code is not None and machine_code.ready()


def prepare(pictures: int) -> None:
    """Compile, unless it is done already, does not pay back within so many pictures, or there is no Numba."""
    if machine_code is None or pictures < PAYS_BACK or machine_code.ready():
        return
    try:
        from droulette.physics import compiled
    except ImportError:
        return
    compiled.compile_and_keep()


def compile_lens(lens: Lens) -> LensTable | None:
    """The lenses as a table, or None."""
    if not ready():
        return None
    parts = lens.lenses if isinstance(lens, Cluster) else (lens,)
    if any(type(part) not in tables.LENS_CODES for part in parts):
        return None
    xs, ys = (lens.x, lens.y) if isinstance(lens, Cluster) else zip(*lens.centres(), strict=True)
    codes = np.array([tables.LENS_CODES[type(part)] for part in parts])
    return tables.LensTable(codes, _floats(xs), _floats(ys), _constants(parts, len(xs[0])))


def compile_scene(scene: Scene) -> SceneTable | None:
    """The scenes as a table, or None."""
    if not ready():
        return None
    mapping, source = scene.mapping, scene.source
    extent = np.ascontiguousarray(source.extent(DARKEST))
    count = len(extent)
    parts = source.sources if isinstance(source, Constellation) else (source,)
    if any(type(part) not in tables.SOURCE_CODES for part in parts):
        return None
    mask = np.full(count, math.inf)
    if type(mapping) is Raytrace:
        if (lens := compile_lens(mapping.lens)) is None:
            return None
        origin, polynomial = _floats([mapping.eta_x, mapping.eta_y]), np.empty((2, 0, 0, count))
    elif type(mapping) is Roulette:
        none = np.empty((0, count))
        lens = tables.LensTable(np.empty(0, np.int64), none, none, np.empty((0, count, tables.CONSTANTS)))
        origin, size = _floats([mapping.xi_x, mapping.xi_y]), len(mapping.px)
        polynomial = np.zeros((2, size, size, count))
        for axis, rows in enumerate((mapping.px, mapping.py)):
            for k, row in enumerate(rows):
                polynomial[axis, k, : len(row)] = row
        mask = mask if mapping.mask_radius is None else mapping.mask_radius**2
    else:
        return None
    zero = np.zeros((1, count))
    x, y = (_floats(source.x), _floats(source.y)) if isinstance(source, Constellation) else (zero, zero)
    codes = np.array([tables.SOURCE_CODES[type(part)] for part in parts])
    return tables.SceneTable(lens, origin, polynomial, mask, codes, x, y, _constants(parts, count), extent)


def _floats(rows) -> np.ndarray:
    """Rows as one table, whole numbers among them as floats: the loops are compiled for these alone."""
    return np.stack(rows).astype(np.float64, copy=False)


def _constants(parts: tuple, count: int) -> np.ndarray:
    """(K, B, CONSTANTS) of lenses or sources; what a formula does not take is 0."""
    table = np.zeros((len(parts), count, tables.CONSTANTS))
    for k, part in enumerate(parts):
        for place, values in enumerate(part.constants):
            table[k, :, place] = values
    return table


def render(
    scene: SceneTable, how: Sampling, size: int, centre_x: np.ndarray, centre_y: np.ndarray, rows: slice
) -> np.ndarray:
    """See `rendering.render`."""
    pictures = np.zeros((len(centre_x), size, size), np.uint8)
    _draw(scene, how, size, rows, centre_x, centre_y, pictures, np.empty((3, 0)))
    return pictures


def centre_of_light(scene: SceneTable, how: Sampling, size: int, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """See `rendering.centre_of_light`."""
    count = len(range(len(scene.extent))[rows])
    zero, sums = np.zeros(count), np.zeros((3, count))
    _draw(scene, how, size, rows, zero, zero, np.empty((0, size, size), np.uint8), sums)
    light, light_x, light_y = sums
    dark = light == 0
    x, y = light_x / np.where(dark, 1, light) - size / 2, size / 2 - light_y / np.where(dark, 1, light)
    return np.where(dark, 0.0, x), np.where(dark, 0.0, y)


def _draw(scene: SceneTable, how: Sampling, size: int, rows: slice, centre_x, centre_y, pictures, sums) -> None:
    numbers = range(len(scene.extent))[rows]
    if len(numbers) != len(centre_x) or numbers.step != 1:  # compiled loops read whatever lies there
        raise ValueError(f"found {len(centre_x)} centres for the rows {numbers}")
    rays, nearest = np.array(how.rays), how.kind == "nearest"
    ways = (rays, nearest, float(how.canvas), how.margin)
    machine_code.functions["draw"](
        tables.to_draw(scene, numbers.start, size, centre_x, centre_y, *ways, pictures, sums)
    )


def settle(lens: LensTable, x, y, eta_x, eta_y, iterations: int, settled: float) -> tuple[np.ndarray, np.ndarray]:
    """See `lens_equation._settle`; in place."""
    machine_code.functions["settle"](tables.to_settle(lens, x, y, eta_x, eta_y, iterations, settled))
    return x, y
