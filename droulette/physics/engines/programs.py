"""From scenes to programs for the compiled loops: which formulas run one after the other, and on which constants."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from droulette.physics.arrays import Array
from droulette.physics.batches import leaves, rebuild, structure, tables
from droulette.physics.elementary import where
from droulette.physics.engines import machine
from droulette.physics.engines.formulas import DX, DY, HIT, LEVEL, STRETCH, WIDTH, Formula, NotAFormula, X, Y, record
from droulette.physics.lenses import Lens
from droulette.physics.mappings import Mapping, Raytrace, Unlensed
from droulette.physics.noise import Noise
from droulette.physics.scene import (
    SQUARE,
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
from droulette.physics.sources import clipped
from droulette.physics.tables import Table

LOG = logging.getLogger("droulette")


@dataclass(frozen=True)
class Program:
    """What compiled loops run for each of B scenes.

    constants: (B, C). tile_test, square_test, levels: (n, 2), the address of each formula's machine code, and
    the place of its first constant in a row. rows: of the work buffer. tables: whose addresses are among the constants.
    """

    constants: np.ndarray
    tile_test: np.ndarray
    square_test: np.ndarray
    levels: np.ndarray
    rows: int
    tables: tuple[Table, ...]


@dataclass(frozen=True)
class Step:
    """A formula on the rows `inputs` of the work buffer, whose results go to the rows `outputs`.

    function: takes `about`, a tuple of (B,) arrays, and of lenses and sources made of such, before the inputs.
    """

    function: Callable
    about: tuple
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    def constants(self, formula: Formula) -> list[Array]:
        """Those of its formula, (B,) or (1,) each."""
        every = list(leaves(self.about))
        return [every[place] for place in formula.places]

    def tables(self, formula: Formula) -> list[Table]:
        """Those that its formula looks up."""
        every = list(tables(self.about)) if formula.tables else []
        return [every[place] for place in formula.tables]

    def formula(self, width: int = WIDTH) -> Formula:
        key = (self.function, structure(self.about), width)
        if key not in _formulas:
            numbers = len(list(leaves(self.about)))

            def function(constants: list, *pixels) -> Sequence:
                rest = iter(constants[numbers:])
                about = rebuild(
                    self.about, iter(constants), lambda item: next(rest) if isinstance(item, Table) else item
                )
                return self.function(about, *pixels)

            tables_of = len(list(tables(self.about)))
            _formulas[key] = record(function, numbers, self.inputs, self.outputs, width, tables_of)
        return _formulas[key]


_formulas: dict[tuple, Formula] = {}


def _offset_steps(mapping: Mapping) -> list[Step]:
    """(DX, DY): where the ray of (X, Y) meets the source plane, from the source's centre."""
    if not isinstance(mapping, Raytrace):
        return [Step(_offset, (mapping,), (X, Y), (DX, DY))]
    arrive = Step(_arrive, (mapping.eta_x, mapping.eta_y), (X, Y, DX, DY), (DX, DY))
    return [*_deflection_steps(mapping.lens), arrive]


def _deflection_steps(lens: Lens) -> list[Step]:
    return [Step(_add_deflection, part, (X, Y, DX, DY), (DX, DY)) for part in lens.parts()]


def _stretch_steps(mapping: Mapping, distance: Array) -> list[Step]:
    """STRETCH, which begins at 1."""
    if isinstance(mapping, Unlensed):
        return []
    if not isinstance(mapping, Raytrace):
        return [Step(_stretch, (mapping, distance), (X, Y), (STRETCH,))]
    return [Step(_add_curvature, (*part, distance), (X, Y, STRETCH), (STRETCH,)) for part in mapping.lens.parts()]


def test_steps(scene: Scenes, sampling: Sampling, side: int) -> list[Step]:
    """LEVEL: 1 where a square of `side` pixels about (X, Y) may be lit, else 0."""
    extent = scene.extent() + sampling.margin
    distance = extent[:1] * 0.0 + reach(side)
    test = Step(_test, (extent, distance), (DX, DY, STRETCH), (LEVEL,))
    return [*_offset_steps(scene.mapping), *_stretch_steps(scene.mapping, distance), test]


def level_steps(scene: Scenes, sampling: Sampling) -> list[Step]:
    """LEVEL, which begins at 0: grey levels at (X, Y)."""
    return [*_offset_steps(scene.mapping), *_light_steps(scene, sampling)]


def _light_steps(scene: Scenes, sampling: Sampling) -> list[Step]:
    """LEVEL: grey levels at (DX, DY)."""
    add = _add_light if scene.whole else _add_unclipped_light
    parts = [Step(add, part, (DX, DY, LEVEL), (LEVEL,)) for part in scene.source.parts()]
    shown = [] if isinstance(scene.mapping, Raytrace) else [Step(_shown, (scene.mapping,), (X, Y, LEVEL), (LEVEL,))]
    if not sampling.nearest:
        end = (
            Step(_grey, (), (LEVEL,), (LEVEL,)) if scene.whole else Step(_light, (scene.faintest,), (LEVEL,), (LEVEL,))
        )
        return [*parts, end, *shown]
    canvas = scene.extent()[:1] * 0.0 + float(sampling.canvas)
    pixel = Step(_source_pixel, (canvas,), (DX, DY), (DX, DY, HIT))
    holes = [Step(_not_at, centre, (X, Y, HIT), (HIT,)) for centre in scene.mapping.singular_points()]
    return [pixel, *holes, *parts, Step(_grey_of_hits, (), (LEVEL, HIT), (LEVEL,)), *shown]


# ---------------------------------------------------------------- formulas of one pixel


def _offset(about, x, y):
    (mapping,) = about
    return mapping.offset(x, y)


def _add_deflection(about, x, y, dx, dy):
    lens, cx, cy = about
    along_x, along_y = lens.deflection(x - cx, y - cy)
    return dx + along_x, dy + along_y


def _arrive(about, x, y, dx, dy):
    eta_x, eta_y = about
    return (x - eta_x) - dx, (y - eta_y) - dy


def _stretch(about, x, y):
    mapping, distance = about
    return (mapping.stretch(x, y, distance),)


def _add_curvature(about, x, y, stretch):
    lens, cx, cy, distance = about
    return (stretch + lens.curvature(x - cx, y - cy, distance),)


def _test(about, dx, dy, stretch):
    extent, distance = about
    return (where(may_be_lit(dx, dy, stretch, extent, distance), 1.0, 0.0),)


def _source_pixel(about, dx, dy):
    (canvas,) = about
    x, y, inside = source_pixel(dx, dy, canvas)
    return x, y, where(inside, 1.0, 0.0)


def _not_at(about, x, y, hit):
    cx, cy = about
    return (where((x == cx) & (y == cy), 0.0, hit),)


def _add_light(about, dx, dy, level):
    source, cx, cy = about
    return (level + clipped(source.brightness(dx - cx, dy - cy)),)


def _add_unclipped_light(about, dx, dy, level):
    source, cx, cy = about
    return (level + source.brightness(dx - cx, dy - cy),)


def _light(about, level):
    (faintest,) = about
    return (light(level, faintest),)


def _grey(about, level):
    return (grey(level),)


def _grey_of_hits(about, level, hit):
    return (grey_of_hits(level, hit > 0.0),)


def _shown(about, x, y, level):
    (mapping,) = about
    return (mapping.shown(level, x, y),)


# ---------------------------------------------------------------- programs


def of_scene(scene: Scenes, sampling: Sampling) -> Program | None:
    """The program of the scenes, made once; None, and a warning, where a formula of theirs cannot be compiled."""
    made = scene.__dict__.setdefault("_programs", {})
    if sampling not in made:
        made[sampling] = _of_scene(scene, sampling)
    return made[sampling]


def _of_scene(scene: Scenes, sampling: Sampling) -> Program | None:
    tests = [test_steps(scene, sampling, side) for side in (TILE, SQUARE)]
    return _compiled(len(scene.extent()), *tests, level_steps(scene, sampling))


def of_noise(noise: Noise, kinds: tuple[Callable, ...]) -> Program | None:
    """The program that adds these kinds of noise to pairs of pixels, as `levels`, made once."""
    made = noise.__dict__.setdefault("_programs", {})
    if kinds not in made:
        made[kinds] = _of_noise(noise, kinds)
    return made[kinds]


def _of_noise(noise: Noise, kinds: tuple[Callable, ...]) -> Program | None:
    return _compiled(len(noise.row), [], [], noise_steps(noise, kinds))


def noise_steps(noise: Noise, kinds: tuple[Callable, ...]) -> list[Step]:
    """(DX, DY): the counts of two pixels, which share the random numbers of the number X."""
    return [Step(_add_noise_of(kind), (noise,), (X, DX, DY), (DX, DY)) for kind in kinds]


@lru_cache
def _add_noise_of(kind: Callable) -> Callable:
    def add(about, number, first, second):
        (noise,) = about
        return kind(noise, number, first, second)

    return add


def of_lens(lens: Lens, count: int) -> Program | None:
    """The program of the deflection of `count` lenses at one point each, as `levels`."""
    return _compiled(count, [], [], _deflection_steps(lens), width=1)


def _compiled(count: int, *lists: list[Step], width: int = WIDTH) -> Program | None:
    columns: list[np.ndarray] = []
    calls, rows, looked_up = [], 0, []
    try:
        for steps in lists:
            of_steps = []
            for step in steps:
                formula = step.formula(width)
                of_steps.append((machine.address(formula.loops), len(columns)))
                columns += step.constants(formula)
                tables_of = step.tables(formula)
                columns += [np.full(count, table.numbers.ctypes.data).view(np.float64) for table in tables_of]
                looked_up += tables_of
                rows = max(rows, formula.rows)
            calls.append(np.array(of_steps, np.int64).reshape(-1, 2))
    except NotAFormula as reason:
        _warn_once(str(reason))
        return None
    constants = np.empty((count, len(columns)))
    for place, column in enumerate(columns):
        constants[:, place] = column
    return Program(constants, *calls, rows, tuple(looked_up))


@lru_cache
def _warn_once(reason: str) -> None:
    LOG.warning("drawn by array operations, some 30 times slower than compiled: %s", reason)
