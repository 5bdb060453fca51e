"""The formulas of a tile's pixels, and those of noise, as one kernel each, by PyTorch's compiler, on CUDA.

On a card array operations one by one wait for memory; one kernel of them is some 50 times faster. Kernels are kept on
disk. Until compiling pays back, and where there is no compiler, the array operations do the work: to the same bytes,
since the compiler is kept from fusing a product and a sum into one rounding.
"""

from __future__ import annotations

import logging
import math
import os
import threading
from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import torch
import torch._dynamo
from platformdirs import user_cache_path
from torch import Tensor

from droulette.physics.elementary import rint
from droulette.physics.engines.formulas import DX, DY, HIT, LEVEL, STRETCH, NotAFormula, X, Y
from droulette.physics.engines.programs import Step, level_steps, noise_steps, test_steps
from droulette.physics.noise import Noise
from droulette.physics.scene import TILE, Sampling, Scenes

LOG = logging.getLogger("droulette")
PAYS_BACK = 20_000  # pictures of one kind: the array operations draw 3,000 a second, and compiling takes 20 s
PAYS_BACK_KEPT = 3_000  # where the kernel is on the disk
MOST_RAYS = 4  # of a pixel, in one kernel
# By default long chains of operations are written out anew for each use of their result: minutes in place of seconds.
OPTIONS = {"emulate_precision_casts": True, "realize_opcount_threshold": 8, "max_fusion_size": 1000}

TILES = """
def kernel(constants, tables, left, top):
    constants = constants[:, :, None, None]
    step = torch.arange(TILE, dtype=torch.float64, device=left.device)
    x, y = torch.broadcast_tensors(left[:, None, None] + step, top[:, None, None] - step[:, None])
    total = 0.0
    for sub_y in rays:
        for sub_x in rays:
            total = level(constants, tables, x + sub_x, y - sub_y) + total
    return RESULT
"""
TEST = """
def kernel(constants, tables, x, y):
    return level(constants[:, :, None, None], tables, *torch.broadcast_tensors(x, y)) > 0.0
"""
EXPOSE = """
def kernel(constants, tables, number, first, second):
    return level(constants[:, :, None], tables, number, first, second)
"""
Kernel = Callable[..., Tensor | tuple[Tensor, ...]]  # of constants, tables and pixels
_drawn: Counter[str] = Counter()  # pictures, by the source code of a kernel
_ready: dict[str, Kernel | None] = {}
_lock = threading.Lock()


def tile_levels(scene: Scenes, sampling: Sampling) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
    """A function of row, left and top of K tiles, px, which gives their grey levels, (K, TILE, TILE).

    None, here and below: array operations are to do it.
    """
    if len(sampling.rays) ** 2 > MOST_RAYS:
        return None
    mean = "total / len(rays) ** 2"
    tiles = TILES.replace("RESULT", f"rint({mean}).to(torch.uint8)" if scene.whole else mean)
    head, count = f"rays = {sampling.rays}\n", len(scene.extent())
    found = _kernel(count, lambda: level_steps(scene, sampling), head, tiles, [(0,), (0,)])
    if found is None:
        return None
    kernel, constants, tables = found
    return lambda row, left, top: kernel(constants[:, row], tables, left, top)


def tile_test(scene: Scenes, sampling: Sampling) -> Callable[[Tensor, Tensor], Tensor] | None:
    """A function of the middles of tiles, x: (B, 1, n) and y: (B, n, 1) px, which says which may be lit, (B, n, n)."""
    found = _kernel(len(scene.extent()), lambda: test_steps(scene, sampling, TILE), "", TEST, [(0, 2), (0, 1)])
    if found is None:
        return None
    kernel, constants, tables = found
    return lambda x, y: kernel(constants, tables, x, y)


def add_noise(
    noise: Noise, kinds: tuple[Callable, ...]
) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] | None:
    """A function that adds these kinds of noise to pairs of pixels, (1, n) numbers and (B, n) counts of each."""
    places = (X, DX, DY), (DX, DY)
    found = _kernel(len(noise.row), lambda: noise_steps(noise, kinds), "", EXPOSE, [(1,), (0, 1), (0, 1)], *places)
    if found is None:
        return None
    kernel, constants, tables = found
    return lambda number, first, second: tuple(kernel(constants, tables, number, first, second))


def _kernel(
    pictures: int, steps_of: Callable[[], list[Step]], head: str, tail: str, sizes: list[tuple[int, ...]],
    inputs: tuple[int, ...] = (X, Y), outputs: tuple[int, ...] = (LEVEL,),
) -> tuple[Kernel, Tensor, list[Tensor]] | None:  # fmt: skip
    """The function `kernel` of the steps, their constants, (C, B), and tables; None if there is none, or none yet.

    sizes: the dimensions of each of its arguments that change from call to call. inputs, outputs: rows of the work
    buffer that these arguments are, and that the steps leave.
    """
    try:
        steps = steps_of()
        source = head + _source(steps, inputs, outputs) + tail
    except NotAFormula:
        return None
    if not pictures:
        return None
    constants = torch.stack([constant.expand(pictures) for step in steps for constant in step.constants()])
    tables = [table.numbers for step in steps for table in step.tables()]
    with _lock:  # PyTorch compiles in one thread at a time
        if source not in _ready:
            _drawn[source] += pictures
            mark = user_cache_path("droulette") / "torch" / f"{sha256(source.encode()).hexdigest()[:24]}.kept"
            if _drawn[source] < (PAYS_BACK_KEPT if mark.exists() else PAYS_BACK):
                return None
            _ready[source] = _compile(source, constants, tables, sizes, mark)
    kernel = _ready[source]
    return kernel and (kernel, constants, tables)


def _source(steps: list[Step], inputs: tuple[int, ...], outputs: tuple[int, ...]) -> str:
    """The code of `level(constants, tables, *inputs)`, which runs the steps one after the other."""
    functions, place, table = [], 0, 0
    body = [f"def level(constants, tables, {_pixels(inputs)}):"]
    body += [f"    p{row} = 0.0" for row in (DX, DY, HIT, LEVEL) if row not in inputs]
    body.append(f"    p{STRETCH} = 1.0")
    for k, step in enumerate(steps):
        formula = step.formula()
        functions.append(formula.tensors.replace("def formula", f"def step_{k}"))
        after, last = place + len(formula.places), table + len(formula.tables)
        taken, left = _pixels(step.inputs), _pixels(step.outputs)
        body.append(f"    [{left}] = step_{k}(constants[{place}:{after}], tables[{table}:{last}], [{taken}])")
        place, table = after, last
    return "\n\n".join([*functions, "\n".join([*body, f"    return {_pixels(outputs)}"])]) + "\n\n"


def _pixels(rows: tuple[int, ...]) -> str:
    return ", ".join(f"p{row}" for row in rows)


def _where(condition: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    if isinstance(a, float) and isinstance(b, float):  # of two numbers PyTorch would make float32
        a = torch.full((), a, dtype=torch.float64, device=condition.device)
    return torch.where(condition, a, b)


def _compile(
    source: str, constants: Tensor, tables: list[Tensor], sizes: list[tuple[int, ...]], mark: Path
) -> Kernel | None:
    """The function `kernel` of the source, compiled; None, and a warning, where there is no compiler."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(mark.parent))
    LOG.info("loading a compiled kernel" if mark.exists() else "compiling a kernel, once on this machine")
    scope = {"torch": torch, "math": math, "where": _where, "rint": rint, "TILE": TILE}
    exec(source, scope)
    # Another thread may be compiling a network: this one's kernels then run as they are written.
    torch._dynamo.config.error_on_nested_fx_trace = False
    try:
        kernel = torch.compile(scope["kernel"], fullgraph=True, options=OPTIONS)
        rows, places = constants[:, :1].repeat(1, 2), _places(constants, sizes)
        for argument, dimensions in zip([rows, *places, *tables], [(1,), *sizes, *[(0,)] * len(tables)], strict=True):
            for dimension in dimensions:
                torch._dynamo.mark_dynamic(argument, dimension)
        with torch.no_grad():
            kernel(rows, tables, *places)
    except Exception as error:  # each missing part of a compiler has an error of its own
        LOG.warning("pictures are drawn by array operations: no kernel can be compiled: %s", str(error)[:200])
        return None
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return kernel


def _places(constants: Tensor, sizes: list[tuple[int, ...]]) -> list[Tensor]:
    """Some points for two rows: 2 and 3 along the dimensions that change, 1 along the others."""
    shapes = [[(2, 3, 3)[k] if k in dimensions else 1 for k in range(max(map(max, sizes)) + 1)] for dimensions in sizes]
    return [torch.zeros(shape, dtype=torch.float64, device=constants.device) for shape in shapes]
