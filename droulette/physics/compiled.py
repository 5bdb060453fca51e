"""The formulas of lenses, mappings and sources, compiled by Numba for one processor core: a tile of pixels at a time.

The formulas themselves stand in `lenses.py`, `sources.py` and `elementary.py`; here are the loops around them, in
the order of operations of `rendering.py`, `mappings.py` and `lens_equation.py`, so that the bits are the same. A loop
over a tile is a function of its own, without branches: LLVM makes vector instructions of it.
"""

from __future__ import annotations

import math

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic, overload, register_jitable

from droulette.physics import elementary, lenses, machine_code, sources, tables
from droulette.physics.rendering import REACH, TILE
from droulette.physics.tables import (
    AREA,
    BATCH,
    ELLIPSOID,
    PM,
    SERSIC_ELLIPSOID,
    SERSIC_SPHERE,
    SHIFT,
    SIS,
    SPHERICAL,
    SQUARE,
)

REACH_OF_SQUARE = (SQUARE / 2 + 0.5) * math.sqrt(2)  # px, from a square's middle to its corner


# ---------------------------------------------------------------- formulas


OPTIONS = {"nogil": True, "error_model": "numpy"}


_compiled = numba.njit(**OPTIONS)
_alone = numba.njit(**OPTIONS, no_cpython_wrapper=True, no_cfunc_wrapper=True)  # which need Numba about them


def _bitcast(to: types.Type):
    @intrinsic
    def cast(typing_context, x):
        def generate(context, builder, signature, arguments):
            return builder.bitcast(arguments[0], context.get_value_type(to))

        return to(x), generate

    return cast


_to_int, _to_float = _bitcast(types.int64), _bitcast(types.float64)
overload(elementary.bits)(lambda x: lambda x: _to_int(x))
overload(elementary.from_bits)(lambda x: lambda x: _to_float(x))
overload(elementary.where)(lambda condition, a, b: lambda condition, a, b: a if condition else b)
overload(elementary.sqrt)(lambda x: lambda x: math.sqrt(x))


@overload(elementary.polynomial)
def _unrolled(coefficients, x):
    """The same, written out: a loop over a tuple would keep LLVM from vector instructions."""
    terms = [f"coefficients[{k}]" for k in reversed(range(coefficients.count))]
    lines, power = ["def unrolled(coefficients, x):"], "x"
    while len(terms) > 1:
        pairs = [f"({terms[k]} + {terms[k + 1]} * {power})" for k in range(0, len(terms) - 1, 2)]
        terms = pairs + terms[len(terms) - len(terms) % 2 :]
        lines.append(f"    {power}x = {power} * {power}")
        power += "x"
    exec("\n".join([*lines, f"    return {terms[0]}"]), scope := {})
    return scope["unrolled"]


for _formula in (
    elementary.rint,
    elementary.exp,
    elementary.log,
    elementary.atan_ratio,
    elementary.atanh_ratio,
    lenses.point_mass_deflection,
    lenses.point_mass_curvature,
    lenses.sis_deflection,
    lenses.sis_curvature,
    lenses.sie_frame,
    lenses.sie_curvature,
    sources.spherical_brightness,
    sources.ellipsoid_brightness,
    sources.sersic_logarithm,
    sources.sersic_exponent,
    sources.triangle_brightness,
    sources.on_line,
    sources.clipped,
):
    register_jitable(**OPTIONS, forceinline=True)(_formula)


# ---------------------------------------------------------------- one tile
# Arrays of one tile's pixels, and the number of a row of the tables. Views of arrays cost more than a tile's
# arithmetic, and so do chains of functions that wait for each other: hence the indices, and the loops one by one.


@_compiled
def _add_deflection_pm(lens, k, row, x, y, total_x, total_y):
    cx, cy, square = lens.x[k, row], lens.y[k, row], lens.constants[k, row, 0]
    for i in range(x.size):
        dx, dy = lenses.point_mass_deflection(x[i] - cx, y[i] - cy, square)
        total_x[i] += dx
        total_y[i] += dy


@_compiled
def _add_deflection_sis(lens, k, row, x, y, total_x, total_y):
    cx, cy, einstein_radius = lens.x[k, row], lens.y[k, row], lens.constants[k, row, 0]
    for i in range(x.size):
        dx, dy = lenses.sis_deflection(x[i] - cx, y[i] - cy, einstein_radius)
        total_x[i] += dx
        total_y[i] += dy


@_compiled
def _add_deflection_sie(lens, k, row, x, y, total_x, total_y, u, v, q):
    cx, cy, f, f_prime = lens.x[k, row], lens.y[k, row], lens.constants[k, row, 0], lens.constants[k, row, 1]
    scale, cos, sin = lens.constants[k, row, 2], lens.constants[k, row, 3], lens.constants[k, row, 4]
    for i in range(x.size):
        u[i], v[i], q[i] = lenses.sie_frame(x[i] - cx, y[i] - cy, f, cos, sin)
    for i in range(x.size):
        u[i] = scale * elementary.atanh_ratio(f_prime * u[i], q[i])
    for i in range(x.size):
        v[i] = scale * elementary.atan_ratio(f_prime * v[i], q[i])
    for i in range(x.size):
        total_x[i] += u[i] * cos - v[i] * sin
        total_y[i] += u[i] * sin + v[i] * cos


@_compiled
def _deflection(lens, row, x, y, total_x, total_y, room_x, room_y, room):
    total_x[:] = 0.0
    total_y[:] = 0.0
    for k in range(len(lens.code)):
        if lens.code[k] == PM:
            _add_deflection_pm(lens, k, row, x, y, total_x, total_y)
        elif lens.code[k] == SIS:
            _add_deflection_sis(lens, k, row, x, y, total_x, total_y)
        else:
            _add_deflection_sie(lens, k, row, x, y, total_x, total_y, room_x, room_y, room)


@_compiled
def _curvature(lens, row, x, y, distance, total):
    total[:] = 0.0
    for k in range(len(lens.code)):
        cx, cy, first = lens.x[k, row], lens.y[k, row], lens.constants[k, row, 0]
        if lens.code[k] == PM:
            for i in range(x.size):
                total[i] += lenses.point_mass_curvature(x[i] - cx, y[i] - cy, distance, first)
        elif lens.code[k] == SIS:
            for i in range(x.size):
                total[i] += lenses.sis_curvature(x[i] - cx, y[i] - cy, distance, first)
        else:
            f_prime, scale = lens.constants[k, row, 1], lens.constants[k, row, 2]
            cos, sin = lens.constants[k, row, 3], lens.constants[k, row, 4]
            for i in range(x.size):
                total[i] += lenses.sie_curvature(x[i] - cx, y[i] - cy, distance, first, f_prime, scale, cos, sin)


@_compiled
def _horner(polynomial, axis, row, x, y, inner, total):
    size = polynomial.shape[1]
    total[:] = 0.0
    for k in range(size - 1, -1, -1):
        inner[:] = polynomial[axis, k, size - 1 - k, row]
        for j in range(size - 2 - k, -1, -1):
            c = polynomial[axis, k, j, row]
            for i in range(x.size):
                inner[i] = inner[i] * x[i] + c
        for i in range(x.size):
            total[i] = total[i] * y[i] + inner[i]


@_compiled
def _offset(scene, row, x, y, dx, dy, room_x, room_y, room):
    """The mapping's offset of each point; in the rooms it works."""
    ox, oy = scene.origin[0, row], scene.origin[1, row]
    if scene.polynomial.shape[1]:
        for i in range(x.size):
            room_x[i], room_y[i] = x[i] - ox, y[i] - oy
        _horner(scene.polynomial, 0, row, room_x, room_y, room, dx)
        _horner(scene.polynomial, 1, row, room_x, room_y, room, dy)
    else:
        _deflection(scene.lens, row, x, y, dx, dy, room_x, room_y, room)
        for i in range(x.size):
            dx[i], dy[i] = (x[i] - ox) - dx[i], (y[i] - oy) - dy[i]


@_compiled
def _stretch(scene, row, x, y, distance, total):
    p = scene.polynomial
    size = p.shape[1]
    if size == 0:
        _curvature(scene.lens, row, x, y, distance, total)
        for i in range(x.size):
            total[i] += 1.0
        return
    for i in range(x.size):
        far_x, far_y = abs(x[i] - scene.origin[0, row]) + distance, abs(y[i] - scene.origin[1, row]) + distance
        bound, power_y = 0.0, 1.0
        for k in range(size):
            power = power_y
            for j in range(size - k):
                bound += (abs(p[0, k, j, row]) + abs(p[1, k, j, row])) * power * (j / far_x + k / far_y)
                power *= far_x
            power_y *= far_y
        total[i] = bound


@_compiled
def _add_light_spherical(scene, k, row, dx, dy, levels):
    cx, cy, fall = scene.source_x[k, row], scene.source_y[k, row], scene.source_constants[k, row, 0]
    for i in range(dx.size):
        levels[i] += sources.clipped(sources.spherical_brightness(dx[i] - cx, dy[i] - cy, fall))


@_compiled
def _add_light_ellipsoid(scene, k, row, dx, dy, levels):
    c, cx, cy = scene.source_constants, scene.source_x[k, row], scene.source_y[k, row]
    fall, fall2, cos, sin = c[k, row, 0], c[k, row, 1], c[k, row, 2], c[k, row, 3]
    for i in range(dx.size):
        levels[i] += sources.clipped(sources.ellipsoid_brightness(dx[i] - cx, dy[i] - cy, fall, fall2, cos, sin))


@_compiled
def _add_light_sersic_sphere(scene, k, row, dx, dy, levels, room):
    c, cx, cy = scene.source_constants, scene.source_x[k, row], scene.source_y[k, row]
    area, peak, bend, power = c[k, row, 0], c[k, row, 1], c[k, row, 2], c[k, row, 3]
    for i in range(dx.size):
        u, v = dx[i] - cx, dy[i] - cy
        room[i] = sources.sersic_logarithm((u * u + v * v) * area, bend, power)
    _add_light_sersic(peak, levels, room)


@_compiled
def _add_light_sersic_ellipsoid(scene, k, row, dx, dy, levels, room):
    c, cx, cy = scene.source_constants, scene.source_x[k, row], scene.source_y[k, row]
    per_sigma2, per_sigma, cos, sin = c[k, row, 0], c[k, row, 1], c[k, row, 2], c[k, row, 3]
    peak, bend, power = c[k, row, 4], c[k, row, 5], c[k, row, 6]
    for i in range(dx.size):
        x, y = dx[i] - cx, dy[i] - cy
        u, v = (x * cos + y * sin) * per_sigma2, (y * cos - x * sin) * per_sigma
        room[i] = sources.sersic_logarithm(u * u + v * v, bend, power)
    _add_light_sersic(peak, levels, room)


@_compiled
def _add_light_sersic(peak, levels, room):
    for i in range(room.size):
        room[i] = sources.sersic_exponent(room[i], peak)
    for i in range(room.size):
        levels[i] += sources.clipped(elementary.exp(room[i]))


@_compiled
def _add_light_triangle(scene, k, row, dx, dy, levels):
    c, cx, cy = scene.source_constants, scene.source_x[k, row], scene.source_y[k, row]
    sigma, cos, sin = c[k, row, 0], c[k, row, 1], c[k, row, 2]
    for i in range(dx.size):
        levels[i] += sources.clipped(sources.triangle_brightness(dx[i] - cx, dy[i] - cy, sigma, cos, sin))


@_compiled
def _brightness(scene, row, dx, dy, levels, room):
    levels[:] = 0.0
    for k in range(len(scene.source)):
        code = scene.source[k]
        if code == SPHERICAL:
            _add_light_spherical(scene, k, row, dx, dy, levels)
        elif code == ELLIPSOID:
            _add_light_ellipsoid(scene, k, row, dx, dy, levels)
        elif code == SERSIC_SPHERE:
            _add_light_sersic_sphere(scene, k, row, dx, dy, levels, room)
        elif code == SERSIC_ELLIPSOID:
            _add_light_sersic_ellipsoid(scene, k, row, dx, dy, levels, room)
        else:
            _add_light_triangle(scene, k, row, dx, dy, levels)
    if len(scene.source) > 1:
        for i in range(levels.size):
            levels[i] = sources.clipped(levels[i])


@_compiled
def _to_nearest(scene, row, x, y, dx, dy, canvas):
    """CosmoSim's pixel of the source picture in place of the point itself; NaN outside of it."""
    half = canvas / 2
    for i in range(dx.size):
        column, line = np.floor(dx[i] + half), np.floor(half - dy[i])
        inside = (column >= 0.0) & (column < canvas) & (line >= 0.0) & (line < canvas)
        for k in range(len(scene.lens.code)):
            inside &= not ((x[i] == scene.lens.x[k, row]) & (y[i] == scene.lens.y[k, row]))
        dx[i] = column - half if inside else np.nan
        dy[i] = half - line


@_compiled
def _add_levels(scene, row, x, y, nearest, canvas, dx, dy, room_x, room_y, room, levels, total):
    """Add grey levels 0…255 at the points (x, y), rounded for "nearest" alone."""
    _offset(scene, row, x, y, dx, dy, room_x, room_y, room)
    if nearest:
        _to_nearest(scene, row, x, y, dx, dy, canvas)
    _brightness(scene, row, dx, dy, levels, room)
    if nearest:
        for i in range(levels.size):
            levels[i] = elementary.rint(levels[i])
    ox, oy, mask = scene.origin[0, row], scene.origin[1, row], scene.mask[row]
    if mask < math.inf:
        for i in range(x.size):
            u, v = x[i] - ox, y[i] - oy
            levels[i] = levels[i] if u * u + v * v < mask else 0.0
    for i in range(x.size):
        total[i] += levels[i] if levels[i] == levels[i] else 0.0


# ---------------------------------------------------------------- whole pictures


@_compiled
def _keep_lit(scene, row, points, start, end, reach, margin):
    """Of the squares from `start` to `end`, keep those that may hold light, one after the other; give the new end.

    points: (ROOMS, n). Rows 0 to 3 stay together: left and top edge of the square's tile, and the square's place in
    it; rows 4 and 5 hold its middle; the rest is room. A square stays black when its middle maps further from the
    source than the source's extent plus the most that the mapping can bring its corner, `reach` px away, nearer.
    """
    x, y, dx, dy = points[4][start:end], points[5][start:end], points[6][start:end], points[7][start:end]
    stretch = points[8][start:end]
    _offset(scene, row, x, y, dx, dy, points[9][start:end], points[10][start:end], points[11][start:end])
    _stretch(scene, row, x, y, reach, stretch)
    extent = scene.extent[row] + margin
    kept = start
    for k in range(end - start):
        if not math.sqrt(dx[k] * dx[k] + dy[k] * dy[k]) > extent + reach * stretch[k]:  # NaN is drawn
            for place in range(4):
                points[place, kept] = points[place, start + k]
            kept += 1
    return kept


@_compiled
def _paint(scene, row, points, first, rays, nearest, canvas, pixels, grey):
    """Grey levels of the BATCH squares from `first` on, into `grey`; `pixels`, (PIXEL_ROOMS, n), is room."""
    x, y, dx, dy, levels, total = pixels[0], pixels[1], pixels[2], pixels[3], pixels[4], pixels[5]
    total[:] = 0.0
    for sub_y in rays:
        for sub_x in rays:
            for k in range(BATCH):
                left, top = points[0, first + k], points[1, first + k]
                right, down = points[2, first + k], points[3, first + k]
                for i in range(AREA):
                    x[k * AREA + i] = (left + (right + (i & (SQUARE - 1)))) + sub_x
                    y[k * AREA + i] = (top - (down + (i >> SHIFT))) - sub_y
            _add_levels(scene, row, x, y, nearest, canvas, dx, dy, pixels[6], pixels[7], pixels[8], levels, total)
    many = float(len(rays) ** 2)
    for i in range(total.size):
        grey[i] = np.int32(elementary.rint(total[i] / many))


@_compiled
def _put(grey, k, left, above, size, number, pictures, sums):
    """Copy square k into its picture, or add it to the sums; what lies beyond the picture's border is left out."""
    columns, lines = min(SQUARE, size - left), min(SQUARE, size - above)
    if len(pictures):
        for i in range(lines):
            if columns == SQUARE:  # the usual case, of a known length
                for j in range(SQUARE):
                    pictures[number, above + i, left + j] = np.uint8(grey[k * AREA + i * SQUARE + j])
            else:
                for j in range(columns):
                    pictures[number, above + i, left + j] = np.uint8(grey[k * AREA + i * SQUARE + j])
        return
    light = light_x = light_y = np.int32(0)
    for i in range(AREA):
        j, line = np.int32(i & (SQUARE - 1)), np.int32(i >> SHIFT)
        level = grey[k * AREA + i] if (j < columns) & (line < lines) else np.int32(0)
        light += level
        light_x += level * j
        light_y += level * line
    sums[0, number] += light
    sums[1, number] += light_x + light * left
    sums[2, number] += light_y + light * above


@_alone
def draw(
    scene,
    first_row,
    size,
    centre_x,
    centre_y,
    rays,
    nearest,
    canvas,
    margin,
    pictures,
    sums,
    pixels,
    grey,
    tiles,
    squares,
):
    """Draw (B, size, size) uint8 `pictures`; or, where there are none, add up the light of each in `sums`, (3, B).

    They are those of B rows of the scene, from `first_row` on.
    pixels, grey, tiles, squares: room to work in, see `tables.rooms`.
    """
    count = -(-size // TILE)
    for number in range(len(centre_x)):
        row, cx, cy = first_row + number, centre_x[number], centre_y[number]
        waiting = 0  # squares found in the tiles above, too few for a batch
        for down in range(count):
            for k in range(count):
                tiles[0, k], tiles[1, k] = k * TILE - size / 2 + cx, size / 2 - down * TILE + cy
                tiles[2, k], tiles[3, k] = k, down
                tiles[4, k], tiles[5, k] = tiles[0, k] + (TILE - 1) / 2, tiles[1, k] - (TILE - 1) / 2
            lit = _keep_lit(scene, row, tiles, 0, count, REACH, margin)
            for k in range(4 * lit):
                n = waiting + k
                right, below = k % 2 * SQUARE, k // 2 % 2 * SQUARE
                squares[0, n], squares[1, n], squares[2, n], squares[3, n] = (
                    tiles[0, k // 4],
                    tiles[1, k // 4],
                    right,
                    below,
                )
                squares[4, n] = squares[0, n] + right + (SQUARE - 1) / 2
                squares[5, n] = squares[1, n] - below - (SQUARE - 1) / 2
            waiting = _keep_lit(scene, row, squares, waiting, waiting + 4 * lit, REACH_OF_SQUARE, margin)
            last = down == count - 1
            first = 0
            while waiting - first >= BATCH or (last and waiting > first):
                _paint(scene, row, squares, first, rays, nearest, canvas, pixels, grey)
                for k in range(min(BATCH, waiting - first)):
                    left = int(squares[0, first + k] - cx + size / 2 + 0.5) + int(squares[2, first + k])
                    above = int(size / 2 + cy - squares[1, first + k] + 0.5) + int(squares[3, first + k])
                    _put(grey, k, left, above, size, number, pictures, sums)
                first += BATCH
            waiting = max(0, waiting - first)
            for place in range(4):
                for k in range(waiting):
                    squares[place, k] = squares[place, first + k]


@_alone
def settle(lens, x, y, eta_x, eta_y, iterations, settled, rooms):
    """Iterate ξ ← η + ∇ψ(ξ) in place, each row until it moves by no more than `settled`. rooms: (7, 1)."""
    px, py, tx, ty = rooms[0], rooms[1], rooms[2], rooms[3]
    room_x, room_y, room = rooms[4], rooms[5], rooms[6]
    for row in range(len(x)):
        px[0], py[0] = x[row], y[row]
        for iteration in range(iterations):
            step = 1.0 if iteration < iterations // 2 else 0.5
            _deflection(lens, row, px, py, tx, ty, room_x, room_y, room)
            rx, ry = px[0] - tx[0] - eta_x[row], py[0] - ty[0] - eta_y[row]
            px[0] -= step * rx
            py[0] -= step * ry
            if not abs(rx) + abs(ry) > settled:
                break
        x[row], y[row] = px[0], py[0]


# ---------------------------------------------------------------- compilation


def compile_and_keep() -> None:
    """Compile both, some 15 s, and keep their machine code for this process and those to come."""
    code = {}
    for function in (draw, settle):
        name = function.__name__
        signature = tuple(map(numba.typeof, tables.examples()[name]))
        function.compile(signature)
        long_name = function.overloads[signature].fndesc.llvm_func_name
        code[name] = function.inspect_llvm(signature).replace(long_name, name)
    machine_code.keep(code)


if __name__ == "__main__":
    compile_and_keep()
