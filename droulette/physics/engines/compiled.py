"""Pictures by compiled loops, on the processor; see `loops.draw`."""

from __future__ import annotations

import numpy as np

from droulette.physics.engines import machine
from droulette.physics.engines.formulas import WIDTH
from droulette.physics.engines.programs import Program, of_lens
from droulette.physics.lenses import Lens
from droulette.physics.scene import SQUARE, TILE, Sampling

SMALL = 48  # px: two tests cost as much as two of the nine parts in which so large a picture is drawn
PIXELS_AT_ONCE = 128  # of a line that is convolved: the sums of their pairs stay in the nearest cache
NO_TEST = np.empty((0, 2), np.int64)


def render(
    program: Program, sampling: Sampling, size: int, centres: np.ndarray, rows: range, whole: bool = True
) -> np.ndarray:
    """(B, size, size) of those rows of the scenes, see `arrays.render`. centres: (2, B) px."""
    pictures = np.zeros((len(rows), size, size), np.uint8 if whole else np.float64)
    _draw(program, sampling, size, centres, rows, pictures, np.empty((0, 3)))
    return pictures


def sums_of_light(program: Program, sampling: Sampling, size: int, rows: range) -> np.ndarray:
    """(3, B): the grey levels' sum over the picture, and their sums times column and row of the pixel."""
    sums = np.zeros((len(rows), 3))
    _draw(program, sampling, size, np.zeros((2, len(rows))), rows, None, sums)
    return sums.T


def _draw(program, sampling, size, centres, rows, pictures, sums) -> None:
    rays = np.array(sampling.rays)
    # Tiles are tested WIDTH or a whole row of them at a time, and each may leave four squares, beside a few that wait.
    most_squares = (TILE // SQUARE) ** 2 * (max(WIDTH, size // TILE + 1) + 1)
    squares = np.empty((2, most_squares), np.int64)
    work = _buffer(program.rows)
    whole = pictures is None or pictures.dtype == np.uint8
    tests = (program.tile_test, program.square_test) if whole or size > SMALL else (NO_TEST, NO_TEST)
    machine.function("draw")(
        program.constants.ctypes.data, program.constants.shape[1], rows.start, len(rows),
        *(word for steps in (*tests, program.levels) for word in (steps.ctypes.data, len(steps))),
        rays.ctypes.data, len(rays), size, centres.ctypes.data, 0 if pictures is None else pictures.ctypes.data,
        int(whole), sums.ctypes.data, squares.ctypes.data, most_squares,
        work.ctypes.data, program.rows,
    )  # fmt: skip


def _buffer(rows: int, width: int = WIDTH) -> np.ndarray:
    """(rows, width), at a multiple of 64 bytes, as long as a core's vectors."""
    raw = np.zeros(rows * width + 8)
    start = -raw.ctypes.data % 64 // 8
    return raw[start : start + rows * width].reshape(rows, width)


def settle(lens: Lens, xi: np.ndarray, eta: np.ndarray, iterations: int, settled: float) -> np.ndarray | None:
    """Where the iteration ξ ← η + ∇ψ(ξ) comes to rest, from xi on; None where the lens cannot be compiled.

    xi, eta: (2, B) px.
    """
    program = of_lens(lens, xi.shape[1])
    if program is None:
        return None
    xi, eta, work = np.array(xi), np.ascontiguousarray(eta), _buffer(program.rows)
    machine.function("settle")(
        program.constants.ctypes.data, program.constants.shape[1], xi.shape[1],
        program.levels.ctypes.data, len(program.levels), eta.ctypes.data, xi.ctypes.data,
        iterations, np.float64(settled).view(np.int64).item(), work.ctypes.data, program.rows,
    )  # fmt: skip
    return xi


def blur(pictures: np.ndarray, kernels: np.ndarray, radii: np.ndarray, size: int) -> np.ndarray:
    """See `convolution.blur`."""
    most = kernels.shape[1] - 1
    blurred, lines = np.empty((len(pictures), size, size)), np.empty((size + 2 * most, size))
    machine.function("blur")(
        pictures.ctypes.data, len(pictures), size, kernels.ctypes.data, most, radii.ctypes.data,
        blurred.ctypes.data, lines.ctypes.data,
    )  # fmt: skip
    return blurred


def convolve(pictures: np.ndarray, quarters: np.ndarray, size: int, bits: int) -> np.ndarray:
    """Pictures (B, n, n), rounded to so many bits, through even kernels of whole numbers, (B, most + 1, most + 1) from
    the middle on, n = size + 2 most: (B, size, size), exact.
    """
    count, most = len(pictures), quarters.shape[1] - 1
    used = (quarters != 0.0).any(axis=1) | (quarters != 0.0).any(axis=2)
    reaches = (used * np.arange(most + 1)).max(axis=1)
    padded = -(-(most + 1) // 4) * 4
    kernels = np.zeros((count, most + 1, padded))
    kernels[:, :, : most + 1] = quarters
    convolved, work, rounded = (
        np.empty((count, size, size)),
        _buffer(padded + 1, PIXELS_AT_ONCE),
        np.empty(size + 2 * most),
    )
    machine.function("convolve")(
        pictures.ctypes.data, count, size, kernels.ctypes.data, most, padded, reaches.ctypes.data, bits,
        PIXELS_AT_ONCE, convolved.ctypes.data, work.ctypes.data, rounded.ctypes.data,
    )  # fmt: skip
    return convolved


def expose(program: Program, pictures: np.ndarray, added: np.ndarray, subtracted: np.ndarray, first: int = 0) -> None:
    """Run the `levels` of a program on pairs of pixels, in place.

    pictures: (B, N, N) float64, of the program's rows from `first` on. added, subtracted: (B,), to each pixel before,
    and from it after.
    """
    work = _buffer(program.rows)
    ends = np.stack([added, subtracted]).astype(np.float64)
    machine.function("expose")(
        program.constants[first:].ctypes.data, program.constants.shape[1], len(pictures),
        program.levels.ctypes.data, len(program.levels), pictures.ctypes.data, pictures[0].size, ends.ctypes.data,
        work.ctypes.data, program.rows,
    )  # fmt: skip
