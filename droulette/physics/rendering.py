"""Pictures from scenes, in 8-bit grey, each by the fastest engine that there is for it.

All arithmetic is float64, in an order that neither the engine nor the batch nor the device changes (`elementary`), and
so gives the same bytes everywhere. NumPy's arrays are drawn by compiled loops (`engines/loops.py`), PyTorch's by array
operations (`engines/arrays.py`), on CUDA by kernels of the same formulas (`engines/cuda.py`).
"""

from __future__ import annotations

from types import ModuleType

import numpy as np

from droulette.physics.arrays import Array, is_numpy, on_a_card
from droulette.physics.batches import leaves, take
from droulette.physics.elementary import where
from droulette.physics.engines import arrays, compiled, programs
from droulette.physics.scene import Sampling, Scenes


def render(
    scene: Scenes,
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
        (B, size, size) uint8, or float64 where the scene is not of whole grey levels.
    """
    how = Sampling(sampling, supersampling, canvas or size)
    if is_numpy(centre_x) and (program := programs.of_scene(scene, how)):
        numbers = _numbers(rows, len(program.constants))
        if len(numbers) != len(centre_x):
            raise ValueError(f"{len(centre_x)} centres for {len(numbers)} scenes")
        return compiled.render(program, how, size, np.stack([centre_x, centre_y]), numbers, scene.whole)
    scene = take(scene, rows)
    if on_a_card(centre_x) and (picture := on_cuda().render(scene, how, size, centre_x, centre_y)) is not None:
        return picture
    return arrays.render(scene, how, size, centre_x, centre_y)


def centre_of_light(
    scene: Scenes, size: int, *, rows: slice = slice(None), sampling: str = "exact", supersampling: int = 1
) -> tuple[Array, Array]:
    """Brightness-weighted mean of x and y over the size × size picture about the origin, without drawing it.

    Returns:
        x, y: (B,) px; (0, 0) for a black picture.
    """
    x, y, _ = light_and_centre(scene, size, rows=rows, sampling=sampling, supersampling=supersampling)
    return x, y


def light_and_centre(
    scene: Scenes, size: int, *, rows: slice = slice(None), sampling: str = "exact", supersampling: int = 1
) -> tuple[Array, Array, Array]:
    """`centre_of_light`, and the sum of the grey levels.

    The sums are of whole grey levels and so exact, on any device and in any order.

    Returns:
        x, y: (B,) px. light: (B,) grey levels.
    """
    how, number = Sampling(sampling, supersampling, size), next(leaves(scene))
    if is_numpy(number) and (program := programs.of_scene(scene, how)):
        light, light_x, light_y = compiled.sums_of_light(program, how, size, _numbers(rows, len(program.constants)))
    else:
        scene = take(scene, rows)
        sums = on_cuda().sums_of_light(scene, how, size) if on_a_card(number) else None
        light, light_x, light_y = sums or arrays.sums_of_light(scene, how, size)
    dark = light == 0
    x = light_x / where(dark, 1.0, light) - size / 2
    y = size / 2 - light_y / where(dark, 1.0, light)
    return where(dark, 0.0, x), where(dark, 0.0, y), light


def on_cuda() -> ModuleType:
    """The engine, which needs PyTorch, and so is imported where a picture is on a card."""
    from droulette.physics.engines import cuda

    return cuda


def _numbers(rows: slice, count: int) -> range:
    numbers = range(count)[rows]
    if numbers.step != 1:  # compiled loops draw one scene after the other
        raise ValueError(f"rows of a step of {numbers.step}")
    return numbers
