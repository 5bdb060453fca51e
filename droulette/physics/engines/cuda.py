"""Pictures on CUDA: the tiles of `arrays.py`, all of whose formulas PyTorch's compiler makes one kernel of.

On a card the array operations one by one wait for memory; in one kernel they are some 50 times faster. Kernels are kept
on disk. Until compiling pays back, and where there is no compiler, the array operations do the work: to the same bytes,
since the kernels are kept from fusing a product and a sum into one rounding.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import torch
from platformdirs import user_cache_path
from torch import Tensor

from droulette.physics.elementary import rint
from droulette.physics.engines import arrays
from droulette.physics.engines.formulas import DX, DY, HIT, LEVEL, STRETCH, NotAFormula, X, Y
from droulette.physics.engines.programs import Step, level_steps, test_steps
from droulette.physics.scene import DARKEST, TILE, Sampling, Scene

LOG = logging.getLogger("droulette")
PAYS_BACK = 20_000  # pictures of one kind: the array operations draw 3,000 a second, and compiling takes 30 s
PAYS_BACK_KEPT = 3_000  # where the kernels are on the disk
MOST_RAYS = 4  # of a pixel, in one kernel
TILES_AT_ONCE = 1 << 21

KERNELS = """
def lit(constants, x, y):
    return test(constants[:, :, None, None], x, y) > 0.0


def grey(constants, row, left, top):
    picked = constants[:, row][:, :, None, None]
    step = torch.arange(TILE, dtype=torch.float64, device=left.device)
    x, y = left[:, None, None] + step, top[:, None, None] - step[:, None]
    total = 0.0
    for sub_y in rays:
        for sub_x in rays:
            total = level(picked, x + sub_x, y - sub_y) + total
    return rint(total / len(rays) ** 2), x, y


def levels(constants, row, left, top):
    return grey(constants, row, left, top)[0].to(torch.uint8)


def sums(constants, row, left, top, half):
    light, x, y = grey(constants, row, left, top)
    column, line = x + half, half - y
    light = torch.where((column < 2 * half) & (line < 2 * half), light, 0.0)
    return torch.stack([part.sum((1, 2)) for part in (light, light * column, light * line)])
"""


def render(scene: Scene, sampling: Sampling, size: int, centre_x: Tensor, centre_y: Tensor) -> Tensor:
    """See `arrays.render`."""
    drawing = _prepare(scene, sampling, len(centre_x))
    if drawing is None:
        return arrays.render(scene, sampling, size, centre_x, centre_y)
    count = math.ceil(size / TILE)
    shape = (len(centre_x), count, TILE, count, TILE)
    picture = torch.zeros(shape, dtype=torch.uint8, device=centre_x.device)
    for row, down, across, left, top in drawing.lit_tiles(size, centre_x, centre_y):
        picture[row, down, :, across, :] = drawing.kernels.levels(drawing.constants, row, left, top)
    return picture.reshape(len(centre_x), count * TILE, count * TILE)[:, :size, :size]


def sums_of_light(scene: Scene, sampling: Sampling, size: int) -> Sequence[Tensor]:
    """See `arrays.sums_of_light`."""
    zero = scene.source.extent(DARKEST) * 0.0
    drawing = _prepare(scene, sampling, len(zero))
    if drawing is None:
        return arrays.sums_of_light(scene, sampling, size)
    totals = zero.new_zeros((3, len(zero)))
    for row, _, _, left, top in drawing.lit_tiles(size, zero, zero):
        sums = drawing.kernels.sums(drawing.constants, row, left, top, zero.new_full((), size / 2))
        totals = totals + torch.stack([torch.bincount(row, part, len(zero)) for part in sums])
    return totals.unbind()


@dataclass(frozen=True)
class _Drawing:
    """The kernels for B scenes, and the constants of their formulas: (C, B) each."""

    kernels: SimpleNamespace
    test_constants: Tensor
    constants: Tensor

    def lit_tiles(self, size: int, centre_x: Tensor, centre_y: Tensor) -> Iterator[tuple[Tensor, ...]]:
        """Row, tile down, tile across, and the place of the first pixel, (K,) each, of tiles that may be lit."""
        places = torch.arange(math.ceil(size / TILE), dtype=torch.float64, device=centre_x.device) * TILE
        middle = places + (TILE - 1) / 2
        x = (middle - size / 2 + centre_x[:, None])[:, None, :]
        y = (size / 2 - middle + centre_y[:, None])[:, :, None]
        for found in torch.nonzero(self.kernels.lit(self.test_constants, x, y)).split(TILES_AT_ONCE):
            row, down, across = found.unbind(1)
            if len(row):
                left = places[across] - size / 2 + centre_x[row]
                yield row, down, across, left, size / 2 - places[down] + centre_y[row]


# ---------------------------------------------------------------- compilation

_drawn: Counter[str] = Counter()  # pictures, by the source code of their kernels
_ready: dict[str, SimpleNamespace | None] = {}
_lock = threading.Lock()


def _prepare(scene: Scene, sampling: Sampling, pictures: int) -> _Drawing | None:
    """What draws these scenes; None where array operations are to do it."""
    if len(sampling.rays) ** 2 > MOST_RAYS or not pictures:
        return None
    tests, steps = test_steps(scene, sampling, TILE), level_steps(scene, sampling)
    try:
        source = f"rays = {sampling.rays}\n" + _source("test", tests) + _source("level", steps) + KERNELS
    except NotAFormula:
        return None
    constants = _constants(tests, pictures), _constants(steps, pictures)
    with _lock, torch.no_grad():  # PyTorch compiles in one thread at a time
        if source not in _ready:
            _drawn[source] += pictures
            mark = user_cache_path("droulette") / "torch" / f"{sha256(source.encode()).hexdigest()[:24]}.kept"
            if _drawn[source] < (PAYS_BACK_KEPT if mark.exists() else PAYS_BACK):
                return None
            _ready[source] = _compile(source, _Drawing(_functions(source), *constants), mark)
    kernels = _ready[source]
    return kernels and _Drawing(kernels, *constants)


def _source(name: str, steps: list[Step]) -> str:
    """The code of `name(constants, x, y)`, which runs the steps one after the other."""
    parts, place = [], 0
    body = [
        f"def {name}(constants, p{X}, p{Y}):",
        f"    p{DX} = p{DY} = p{HIT} = p{LEVEL} = 0.0",
        f"    p{STRETCH} = 1.0",
    ]
    for k, step in enumerate(steps):
        formula = step.formula()
        parts.append(formula.tensors.replace("def formula", f"def {name}_{k}"))
        after = place + len(formula.places)
        inputs, outputs = (", ".join(f"p{row}" for row in rows) for rows in (step.inputs, step.outputs))
        body.append(f"    [{outputs}] = {name}_{k}(constants[{place}:{after}], [{inputs}])")
        place = after
    return "\n\n".join([*parts, "\n".join([*body, f"    return p{LEVEL}"])]) + "\n\n"


def _constants(steps: list[Step], count: int) -> Tensor:
    return torch.stack([constant.expand(count) for step in steps for constant in step.constants()])


def _where(condition: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    if isinstance(a, float) and isinstance(b, float):  # of two numbers PyTorch would make float32
        a = torch.full((), a, dtype=torch.float64, device=condition.device)
    return torch.where(condition, a, b)


def _functions(source: str) -> SimpleNamespace:
    scope = {"torch": torch, "math": math, "where": _where, "rint": rint, "TILE": TILE}
    exec(source, scope)
    return SimpleNamespace(**{name: scope[name] for name in ("lit", "levels", "sums")})


def _compile(source: str, example: _Drawing, mark: Path) -> SimpleNamespace | None:
    """The functions of the source, compiled; None, and a warning, where there is no compiler."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(mark.parent))
    LOG.info("compiling kernels" if not mark.exists() else "loading compiled kernels")
    options = {"emulate_precision_casts": True}
    try:
        compiled = {
            name: torch.compile(function, dynamic=True, fullgraph=True, options=options)
            for name, function in vars(_functions(source)).items()
        }
        kernels = SimpleNamespace(**compiled)
        _try(_Drawing(kernels, example.test_constants, example.constants))
    except Exception as error:  # each missing part of a compiler has an error of its own
        LOG.warning("pictures are drawn by array operations: no kernels can be compiled: %s", str(error)[:200])
        return None
    mark.touch()
    return kernels


def _try(drawing: _Drawing) -> None:
    """Call each kernel once, which compiles it."""
    zero = drawing.constants[0] * 0.0
    places = zero[:, None] + zero.new_zeros(4)
    drawing.kernels.lit(drawing.test_constants, places[:, None, :], places[:, :, None])
    row = torch.arange(len(zero), device=zero.device)
    drawing.kernels.levels(drawing.constants, row, zero, zero)
    drawing.kernels.sums(drawing.constants, row, zero, zero, zero.new_full((), 8.0))
