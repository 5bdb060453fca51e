"""The compiled loops, of Numba: whole pictures, a tile of pixels at a time, by a scene's program (`programs.py`).

A picture is divided into tiles, and those that may be lit into quarters, squares. Those of these that may be lit are
drawn, four at a time: WIDTH pixels, whose work buffer fits a core's own cache. The arithmetic of a pixel is all in the
program's formulas; here are the loops around it.

Arguments are addresses and whole numbers, so that other processes can call the machine code without Numba.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from llvmlite import binding as llvm
from llvmlite import ir
from numba import types
from numba.core import config
from numba.extending import intrinsic

from droulette.physics.elementary import MAGIC
from droulette.physics.engines import machine
from droulette.physics.engines.formulas import DX, DY, LEVEL, STRETCH, TOTAL, WIDTH, X, Y
from droulette.physics.scene import SQUARE, TILE

AREA = SQUARE * SQUARE
BATCH = WIDTH // AREA  # squares that are drawn at once
QUARTERS = (TILE // SQUARE) ** 2
config.CPU_NAME, config.CPU_FEATURES = llvm.get_host_cpu_name(), machine.features()  # else it takes LLVM's own choice
OPTIONS = {"nogil": True, "error_model": "numpy"}
_inline = numba.njit(**OPTIONS)
_of_whole_numbers = numba.njit(**OPTIONS, fastmath={"contract"})  # whose products and sums are exact


# ---------------------------------------------------------------- what Python has no word for


def _cast(operation: str, to: types.Type):
    @intrinsic
    def cast(typing_context, x):
        def generate(context, builder, signature, arguments):
            return getattr(builder, operation)(arguments[0], context.get_value_type(to))

        return to(x), generate

    return cast


to_int64, to_float64 = _cast("bitcast", types.int64), _cast("bitcast", types.float64)
_floats, _wholes = (_cast("inttoptr", types.CPointer(kind)) for kind in (types.float64, types.int64))
_bytes = _cast("inttoptr", types.CPointer(types.uint8))


@intrinsic
def look(typing_context, table, place):
    """A number of the table whose address is in the bits of a float64."""

    def generate(context, builder, signature, arguments):
        number = ir.DoubleType()
        start = builder.inttoptr(builder.bitcast(arguments[0], ir.IntType(64)), number.as_pointer())
        loaded = builder.load(builder.gep(start, [builder.fptosi(arguments[1], ir.IntType(32))]))
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded

    return types.float64(types.float64, types.float64), generate


@intrinsic
def _sqrt(typing_context, x):
    """The processor's. `math.sqrt` is a call of the C library where LLVM cannot see that x is not negative."""

    def generate(context, builder, signature, arguments):
        return builder.call(builder.module.declare_intrinsic("llvm.sqrt", [ir.DoubleType()]), arguments)

    return types.float64(types.float64), generate


@intrinsic
def _call(typing_context, address, constants, work):
    """Call a formula's machine code; see `machine.function` for its first two arguments."""

    def generate(context, builder, signature, arguments):
        pointer, whole = ir.IntType(8).as_pointer(), ir.IntType(64)
        kind = ir.FunctionType(ir.IntType(32), [pointer, pointer, whole, whole])
        nothing = builder.bitcast(builder.alloca(whole), pointer)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [nothing, nothing, *arguments[1:]])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate


@_inline
def numbers(address, rows, columns):
    """The table of float64 at an address."""
    return numba.carray(_floats(address), (rows, columns))


# ---------------------------------------------------------------- programs


@_inline
def _run(steps, constants, work):
    """Run a program, whose constants are at an address, on the work buffer at another one."""
    for k in range(len(steps)):
        _call(steps[k, 0], constants + 8 * steps[k, 1], work)


@_inline
def _reset(pixels):
    for i in range(WIDTH):
        pixels[DX, i] = pixels[DY, i] = pixels[LEVEL, i] = 0.0
        pixels[STRETCH, i] = 1.0


# ---------------------------------------------------------------- whole pictures


@_inline
def _keep_lit(steps, constants, work, rows, corner_x, corner_y, side, squares, start, end):
    """Of the squares from `start` to `end`, keep those that may hold light, one after the other; give the new end.

    squares: (2, n), column and line of each one's first pixel. corner_x, corner_y: the picture's first point.
    A program without steps is no test: it keeps all.
    """
    if len(steps) == 0:
        return end
    pixels = numbers(work, rows, WIDTH)
    middle = (side - 1) / 2
    kept = start
    for first in range(start, end, WIDTH):
        count = min(WIDTH, end - first)
        for k in range(count):
            pixels[X, k] = corner_x + (squares[0, first + k] + middle)
            pixels[Y, k] = corner_y - (squares[1, first + k] + middle)
        _reset(pixels)
        _run(steps, constants, work)
        for k in range(count):
            if pixels[LEVEL, k] > 0.0:
                squares[0, kept], squares[1, kept] = squares[0, first + k], squares[1, first + k]
                kept += 1
    return kept


@_inline
def _paint(steps, constants, work, rows, corner_x, corner_y, squares, first, last, rays, whole):
    """Grey levels of BATCH squares, into the row TOTAL. In place of those that there are not is the last one."""
    pixels = numbers(work, rows, WIDTH)
    for i in range(WIDTH):
        pixels[TOTAL, i] = 0.0
    for sub_y in rays:
        for sub_x in rays:
            for k in range(BATCH):
                column, line = squares[0, min(first + k, last)], squares[1, min(first + k, last)]
                left, top = column // TILE * TILE + corner_x, corner_y - line // TILE * TILE
                right, down = column % TILE, line % TILE
                for i in range(AREA):
                    pixels[X, k * AREA + i] = (left + (right + i % SQUARE)) + sub_x
                    pixels[Y, k * AREA + i] = (top - (down + i // SQUARE)) - sub_y
            _reset(pixels)
            _run(steps, constants, work)
            for i in range(WIDTH):
                pixels[TOTAL, i] += pixels[LEVEL, i]
    many = float(len(rays) ** 2)
    for i in range(WIDTH):
        pixels[TOTAL, i] = pixels[TOTAL, i] / many
    if whole:
        for i in range(WIDTH):
            pixels[TOTAL, i] = (pixels[TOTAL, i] + MAGIC) - MAGIC


@_inline
def _put(levels, column, line, picture):
    """Copy a square's grey levels into its picture; what lies beyond the border is left out."""
    size = len(picture)
    columns, lines = min(SQUARE, size - column), min(SQUARE, size - line)
    for i in range(lines):
        if columns == SQUARE:  # the usual case, of a known length
            for j in range(SQUARE):
                picture[line + i, column + j] = np.uint8(levels[i * SQUARE + j])
        else:
            for j in range(columns):
                picture[line + i, column + j] = np.uint8(levels[i * SQUARE + j])


@_inline
def _put_light(levels, column, line, picture):
    """The same of levels that are not whole."""
    size = len(picture)
    columns, lines = min(SQUARE, size - column), min(SQUARE, size - line)
    for i in range(lines):
        if columns == SQUARE:
            for j in range(SQUARE):
                picture[line + i, column + j] = levels[i * SQUARE + j]
        else:
            for j in range(columns):
                picture[line + i, column + j] = levels[i * SQUARE + j]


@_inline
def _add_light(levels, column, line, size, sums):
    """Add a square's light, and its light times column and line of each pixel, to the sums."""
    columns, lines = min(SQUARE, size - column), min(SQUARE, size - line)
    light = light_x = light_y = np.int32(0)
    for i in range(AREA):
        j, k = np.int32(i % SQUARE), np.int32(i // SQUARE)
        level = np.int32(levels[i]) if (j < columns) & (k < lines) else np.int32(0)
        light += level
        light_x += level * j
        light_y += level * k
    sums[0] += light
    sums[1] += light_x + light * column
    sums[2] += light_y + light * line


def draw(
    constants, width, first_row, count, tile_test, tile_steps, square_test, square_steps, levels, level_steps,
    rays, ray_count, size, centres, pictures, whole, sums, squares, most_squares, work, rows,
):  # fmt: skip
    """Draw `count` pictures; or, where `pictures` is 0, add up the light of each.

    constants: (n, width) float64, from whose `first_row` on are the scenes. tile_test, square_test, levels: the
    program, (…_steps, 2) int64. rays: (ray_count,) float64. centres: (2, count) float64.
    pictures: (count, size, size), uint8 where `whole` is 1, else float64. sums: (count, 3) float64.
    squares: (2, most_squares) int64. work: (rows, WIDTH) float64.
    """
    tile_program = numba.carray(_wholes(tile_test), (tile_steps, 2))
    square_program = numba.carray(_wholes(square_test), (square_steps, 2))
    level_program = numba.carray(_wholes(levels), (level_steps, 2))
    ray_places = numbers(rays, 1, ray_count)[0]
    middles, totals = numbers(centres, 2, count), numbers(sums, count, 3)
    found = numba.carray(_wholes(squares), (2, most_squares))
    pixels = numbers(work, rows, WIDTH)
    across = -(-size // TILE)
    band = max(1, WIDTH // across)  # rows of tiles that are tested together
    for number in range(count):
        row = constants + 8 * width * (first_row + number)
        corner_x, corner_y = middles[0, number] - size / 2, middles[1, number] + size / 2
        waiting = 0  # squares found further up, too few for a batch
        for top in range(0, across, band):
            tiles = 0
            for down in range(top, min(top + band, across)):
                for k in range(across):
                    found[0, waiting + tiles], found[1, waiting + tiles] = k * TILE, down * TILE
                    tiles += 1
            end = _keep_lit(tile_program, row, work, rows, corner_x, corner_y, TILE, found, waiting, waiting + tiles)
            lit = end - waiting
            for k in range(lit - 1, -1, -1):  # from the last, since a tile's quarters take its place and three more
                column, line = found[0, waiting + k], found[1, waiting + k]
                for quarter in range(QUARTERS):
                    found[0, waiting + QUARTERS * k + quarter] = column + quarter % 2 * SQUARE
                    found[1, waiting + QUARTERS * k + quarter] = line + quarter // 2 * SQUARE
            waiting = _keep_lit(
                square_program, row, work, rows, corner_x, corner_y, SQUARE, found, waiting, waiting + QUARTERS * lit
            )
            last_band = top + band >= across
            first = 0
            while waiting - first >= BATCH or (last_band and waiting > first):
                last = waiting - 1
                _paint(level_program, row, work, rows, corner_x, corner_y, found, first, last, ray_places, whole)
                for k in range(min(BATCH, waiting - first)):
                    square = pixels[TOTAL, k * AREA : (k + 1) * AREA]
                    column, line = found[0, first + k], found[1, first + k]
                    if pictures and not whole:
                        unrounded = numbers(pictures + 8 * number * size * size, size, size)
                        _put_light(square, column, line, unrounded)
                    elif pictures:
                        picture = numba.carray(_bytes(pictures + number * size * size), (size, size))
                        _put(square, column, line, picture)
                    else:
                        _add_light(square, column, line, size, totals[number])
                first += BATCH
            waiting = max(0, waiting - first)
            for k in range(waiting):
                found[0, k], found[1, k] = found[0, first + k], found[1, first + k]


def settle(constants, width, count, deflection, steps, eta, xi, iterations, settled, work, rows):
    """Iterate ξ ← η + ∇ψ(ξ) in place, each row until it moves by no more than `settled`.

    constants, deflection: of a lens's program for one point, see `draw`. eta, xi: (2, count) float64.
    settled: the bits of a float64.
    """
    program = numba.carray(_wholes(deflection), (steps, 2))
    source, image, point = numbers(eta, 2, count), numbers(xi, 2, count), numbers(work, rows, WIDTH)
    enough = to_float64(settled)
    for row in range(count):
        for iteration in range(iterations):
            step = 1.0 if iteration < iterations // 2 else 0.5
            point[X, 0], point[Y, 0] = image[0, row], image[1, row]
            point[DX, 0] = point[DY, 0] = 0.0
            _run(program, constants + 8 * width * row, work)
            rx = image[0, row] - point[DX, 0] - source[0, row]
            ry = image[1, row] - point[DY, 0] - source[1, row]
            image[0, row] -= step * rx
            image[1, row] -= step * ry
            if not abs(rx) + abs(ry) > enough:
                break


# ---------------------------------------------------------------- what an instrument does to pictures


@_inline
def _lit_lines(picture):
    """The first lit line of a picture, and the one after the last."""
    first, end = len(picture), 0
    for i in range(len(picture)):
        lit = False
        for j in range(picture.shape[1]):
            lit |= picture[i, j] != 0.0
        if lit:
            first, end = min(first, i), i + 1
    return first, end


@_inline
def _start_sum(weight, line, total):
    for j in range(len(total)):
        total[j] = weight * line[j]


@_inline
def _add_pair(weight, left, right, total):
    for j in range(len(total)):
        total[j] += weight * (left[j] + right[j])


@_inline
def _add_four_pairs(weights, k, line, middle, total):
    """The pairs k to k + 3 pixels from the middle, one after the other: a quarter of the loads and stores."""
    w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
    left, right, count = middle - k, middle + k, len(total)
    a, b, c, d = line[left:], line[left - 1 :], line[left - 2 :], line[left - 3 :]
    e, f, g, h = line[right:], line[right + 1 :], line[right + 2 :], line[right + 3 :]
    for j in range(count):
        total[j] = (((total[j] + w0 * (a[j] + e[j])) + w1 * (b[j] + f[j])) + w2 * (c[j] + g[j])) + w3 * (d[j] + h[j])


@_inline
def _add_four_lines(weights, k, lines, middle, total):
    """The same of lines above and below."""
    w0, w1, w2, w3 = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
    a, b, c, d = lines[middle - k], lines[middle - k - 1], lines[middle - k - 2], lines[middle - k - 3]
    e, f, g, h = lines[middle + k], lines[middle + k + 1], lines[middle + k + 2], lines[middle + k + 3]
    for j in range(len(total)):
        total[j] = (((total[j] + w0 * (a[j] + e[j])) + w1 * (b[j] + f[j])) + w2 * (c[j] + g[j])) + w3 * (d[j] + h[j])


@_inline
def _add_single(weight, line, total):
    for j in range(len(total)):
        total[j] += weight * line[j]


def blur(pictures, count, size, kernels, most, radii, blurred, lines):
    """Convolve each picture with its symmetric kernel, along the lines and then across.

    pictures: (count, n, n) float64, n = size + 2 most. kernels: (count, most + 1) float64, from the middle on.
    radii: (count,) int64, at most `most`. blurred: (count, size, size) float64. lines: (n, size) float64, for the work.
    """
    whole = size + 2 * most
    weights, reach = numbers(kernels, count, most + 1), numba.carray(_wholes(radii), count)
    between = numbers(lines, whole, size)
    for number in range(count):
        picture = numbers(pictures + 8 * number * whole * whole, whole, whole)
        result = numbers(blurred + 8 * number * size * size, size, size)
        radius = reach[number]
        first, end = _lit_lines(picture)
        for i in range(first, end):
            line, total = picture[i], between[i]
            _start_sum(weights[number, 0], line[most : most + size], total)
            fours = radius // 4 * 4
            for k in range(1, fours, 4):
                _add_four_pairs(weights[number], k, line, most, total)
            for k in range(fours + 1, radius + 1):
                left, right = line[most - k : most - k + size], line[most + k : most + k + size]
                _add_pair(weights[number, k], left, right, total)
        for i in range(size):
            middle, total = i + most, result[i]
            if first <= middle < end:
                _start_sum(weights[number, 0], between[middle], total)
            else:
                total[:] = 0.0
            fours = max(0, min(radius, middle - first, end - 1 - middle) // 4 * 4)
            for k in range(1, fours, 4):
                _add_four_lines(weights[number], k, between, middle, total)
            for k in range(fours + 1, radius + 1):
                above, below = middle - k, middle + k
                has_above, has_below = first <= above < end, first <= below < end
                if has_above and has_below:
                    _add_pair(weights[number, k], between[above], between[below], total)
                elif has_above or has_below:
                    _add_single(weights[number, k], between[above if has_above else below], total)


@_inline
def _lit_columns(line):
    """The first lit pixel of a line, and the one after the last; (its length, 0) where none is."""
    first, end = len(line), 0
    for j in range(len(line)):
        if line[j] != 0.0:
            first, end = min(first, j), j + 1
    return first, end


@_inline
def _start_pair(left, right, total):
    for j in range(len(total)):
        total[j] = left[j] + right[j]


@_inline
def _add_line(line, total):
    for j in range(len(total)):
        total[j] += line[j]


@_of_whole_numbers
def _add_four(w0, w1, w2, w3, a, b, c, d, total):
    for j in range(len(total)):
        total[j] += (w0 * a[j] + w1 * b[j]) + (w2 * c[j] + w3 * d[j])


@_of_whole_numbers
def _add_eight(w, v, a, b, c, d, e, f, g, h, total):
    w0, w1, w2, w3 = w
    v0, v1, v2, v3 = v
    for j in range(len(total)):
        left = (w0 * a[j] + w1 * b[j]) + (w2 * c[j] + w3 * d[j])
        right = (v0 * e[j] + v1 * f[j]) + (v2 * g[j] + v3 * h[j])
        total[j] += left + right


def convolve(pictures, count, size, kernels, most, padded, reaches, bits, block, convolved, work, rounded):
    """Convolve each picture, rounded to so many bits, with its even kernel of whole numbers: exactly, in any order.

    A kernel's line times a picture's is the same above and below its middle, and pairs of pixels are the same for all
    of its lines.

    pictures: (count, n, n) float64, n = size + 2 most. kernels: (count, most + 1, padded) float64, from the middle on,
    padded: a multiple of 4. reaches: (count,) int64, beyond which a kernel is 0. convolved: (count, size, size)
    float64. block: pixels of a line that are worked on at once. work: (padded + 1, block) float64, all 0, and rounded:
    (n,), for the work.
    """
    whole = size + 2 * most
    reach_of = numba.carray(_wholes(reaches), count)
    buffers, line = numbers(work, padded + 1, block), numbers(rounded, 1, whole)[0]
    for number in range(count):
        reach = reach_of[number]
        picture = numbers(pictures + 8 * number * whole * whole, whole, whole)
        kernel = numbers(kernels + 8 * number * (most + 1) * padded, most + 1, padded)
        result = numbers(convolved + 8 * number * size * size, size, size)
        cut, side, taps = most - reach, size + 2 * reach, -(-(reach + 1) // 4) * 4
        above = np.int64(0)  # of numbers that are not negative, the bits have the order
        for i in range(cut, cut + side):
            for j in range(cut, cut + side):
                above = max(above, to_int64(picture[i, j]))
        scale = to_float64((1023 + bits - ((above >> 52) - 1022)) << 52) if above > 0 else 1.0
        result[:] = 0.0
        for i in range(side):
            first, end = _lit_columns(picture[cut + i, cut : cut + side])
            if first >= end:
                continue
            for j in range(side):
                line[j] = (picture[cut + i, cut + j] * scale + MAGIC) - MAGIC
            right = min(size, end)
            for start in range(max(0, first - 2 * reach), right, block):
                width = min(block, right - start)
                middle = start + reach
                _start_sum(1.0, line[middle : middle + width], buffers[0, :width])
                for k in range(1, reach + 1):
                    before, after = line[middle - k : middle - k + width], line[middle + k : middle + k + width]
                    _start_pair(before, after, buffers[k, :width])
                for down in range(reach + 1):
                    upper, lower = i - reach - down, i - reach + down
                    has_upper, has_lower = 0 <= upper < size, (0 <= lower < size) & (down > 0)
                    if not (has_upper or has_lower):
                        continue
                    weights, total = kernel[down], buffers[padded, :width]
                    total[:] = 0.0
                    eights = taps // 8 * 8
                    for k in range(0, eights, 8):
                        _add_eight(
                            (weights[k], weights[k + 1], weights[k + 2], weights[k + 3]),
                            (weights[k + 4], weights[k + 5], weights[k + 6], weights[k + 7]),
                            buffers[k], buffers[k + 1], buffers[k + 2], buffers[k + 3],
                            buffers[k + 4], buffers[k + 5], buffers[k + 6], buffers[k + 7], total,
                        )  # fmt: skip
                    if eights < taps:
                        _add_four(
                            weights[eights], weights[eights + 1], weights[eights + 2], weights[eights + 3],
                            buffers[eights], buffers[eights + 1], buffers[eights + 2], buffers[eights + 3], total,
                        )  # fmt: skip
                    if has_upper:
                        _add_line(total, result[upper, start : start + width])
                    if has_lower:
                        _add_line(total, result[lower, start : start + width])
        for i in range(size):
            for j in range(size):
                result[i, j] = result[i, j] / scale


def expose(constants, width, count, program, steps, pictures, area, ends, work, rows):
    """Run a program on pairs of pixels of each picture, in place: pixel k, in DX, and k + half of them, in DY.

    constants, program: see `draw`; X is k. pictures: (count, area) float64. ends: (2, count) float64, added to each
    pixel of a picture before, and subtracted after.
    """
    formulas = numba.carray(_wholes(program), (steps, 2))
    levels, pixels, around = numbers(pictures, count, area), numbers(work, rows, WIDTH), numbers(ends, 2, count)
    half = (area + 1) // 2
    for number in range(count):
        added, subtracted = around[0, number], around[1, number]
        for first in range(0, half, WIDTH):
            pairs = min(WIDTH, half - first)
            singles = min(WIDTH, area - half - first)
            for k in range(WIDTH):
                pixels[X, k] = first + k
                pixels[DX, k] = (levels[number, first + k] if k < pairs else 0.0) + added
                pixels[DY, k] = (levels[number, half + first + k] if k < singles else 0.0) + added
            _run(formulas, constants + 8 * width * number, work)
            for k in range(pairs):
                levels[number, first + k] = pixels[DX, k] - subtracted
            for k in range(singles):
                levels[number, half + first + k] = pixels[DY, k] - subtracted


# ---------------------------------------------------------------- compilation


def compile_loop(name: str) -> str:
    """LLVM's text of one of these."""
    function = {
        "draw": draw, "settle": settle, "blur": blur, "convolve": convolve, "expose": expose
    }[name]  # fmt: skip
    return _text(name, function, function.__code__.co_argcount)


def compile_formula(source: str) -> str:
    """LLVM's text of a formula's loops, of `formulas.record`."""
    own = {"numbers": numbers, "look": look, "sqrt": _sqrt, "to_int64": to_int64, "to_float64": to_float64}
    scope = {"math": math, "np": np} | own
    exec(source, scope)
    return _text("formula", scope["formula"], 2)


def _text(name: str, function, arguments: int) -> str:
    signature = (types.int64,) * arguments
    compiled = numba.njit(**OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)
    compiled.compile(signature)
    long_name = compiled.overloads[signature].fndesc.llvm_func_name
    return compiled.inspect_llvm(signature).replace(long_name, name)
