"""The formulas of a tile's pixels as one kernel, by PyTorch's compiler, for `arrays.py` on CUDA.

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
from platformdirs import user_cache_path
from torch import Tensor

from droulette.physics.elementary import rint
from droulette.physics.engines.formulas import DX, DY, HIT, LEVEL, STRETCH, NotAFormula, X, Y
from droulette.physics.engines.programs import Step, level_steps
from droulette.physics.scene import DARKEST, TILE, Sampling, Scene

LOG = logging.getLogger("droulette")
PAYS_BACK = 20_000  # pictures of one kind: the array operations draw 3,000 a second, and compiling takes 20 s
PAYS_BACK_KEPT = 3_000  # where the kernel is on the disk
MOST_RAYS = 4  # of a pixel, in one kernel
# By default long chains of operations are written out anew for each use of their result: minutes in place of seconds.
OPTIONS = {"emulate_precision_casts": True, "realize_opcount_threshold": 8, "max_fusion_size": 1000}

KERNEL = """
def levels(constants, left, top):
    constants = constants[:, :, None, None]
    step = torch.arange(TILE, dtype=torch.float64, device=left.device)
    x, y = torch.broadcast_tensors(left[:, None, None] + step, top[:, None, None] - step[:, None])
    total = 0.0
    for sub_y in rays:
        for sub_x in rays:
            total = level(constants, x + sub_x, y - sub_y) + total
    return rint(total / len(rays) ** 2).to(torch.uint8)
"""
Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]  # (C, K) constants, left and top of K tiles → (K, TILE, TILE) uint8
_drawn: Counter[str] = Counter()  # pictures, by the source code of their kernel
_ready: dict[str, Kernel | None] = {}
_lock = threading.Lock()


def tile_levels(scene: Scene, sampling: Sampling) -> Callable[[Tensor, Tensor, Tensor], Tensor] | None:
    """A function of row, left and top of K tiles, px, which gives their grey levels, (K, TILE, TILE) uint8.

    None: array operations are to do it.
    """
    pictures = len(scene.source.extent(DARKEST))
    if len(sampling.rays) ** 2 > MOST_RAYS or not pictures:
        return None
    steps = level_steps(scene, sampling)
    try:
        source = f"rays = {sampling.rays}\n{_source(steps)}{KERNEL}"
    except NotAFormula:
        return None
    constants = torch.stack([constant.expand(pictures) for step in steps for constant in step.constants()])
    with _lock:  # PyTorch compiles in one thread at a time
        if source not in _ready:
            _drawn[source] += pictures
            mark = user_cache_path("droulette") / "torch" / f"{sha256(source.encode()).hexdigest()[:24]}.kept"
            if _drawn[source] < (PAYS_BACK_KEPT if mark.exists() else PAYS_BACK):
                return None
            _ready[source] = _compile(source, constants, mark)
    kernel = _ready[source]
    return kernel and (lambda row, left, top: kernel(constants[:, row], left, top))


def _source(steps: list[Step]) -> str:
    """The code of `level(constants, x, y)`, which runs the steps one after the other."""
    functions, place = [], 0
    body = [
        f"def level(constants, p{X}, p{Y}):",
        f"    p{DX} = p{DY} = p{HIT} = p{LEVEL} = 0.0",
        f"    p{STRETCH} = 1.0",
    ]
    for k, step in enumerate(steps):
        formula = step.formula()
        functions.append(formula.tensors.replace("def formula", f"def step_{k}"))
        after = place + len(formula.places)
        inputs, outputs = (", ".join(f"p{row}" for row in rows) for rows in (step.inputs, step.outputs))
        body.append(f"    [{outputs}] = step_{k}(constants[{place}:{after}], [{inputs}])")
        place = after
    return "\n\n".join([*functions, "\n".join([*body, f"    return p{LEVEL}"])]) + "\n\n"


def _where(condition: Tensor, a: Tensor | float, b: Tensor | float) -> Tensor:
    if isinstance(a, float) and isinstance(b, float):  # of two numbers PyTorch would make float32
        a = torch.full((), a, dtype=torch.float64, device=condition.device)
    return torch.where(condition, a, b)


def _compile(source: str, constants: Tensor, mark: Path) -> Kernel | None:
    """The function `levels` of the source, compiled; None, and a warning, where there is no compiler."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(mark.parent))
    LOG.info("loading a compiled kernel" if mark.exists() else "compiling a kernel, once on this machine")
    scope = {"torch": torch, "math": math, "where": _where, "rint": rint, "TILE": TILE}
    exec(source, scope)
    example = constants[:, :2].contiguous() if constants.shape[1] > 1 else constants.repeat(1, 2)
    places = [example[0] * 0.0, example[0] * 0.0 + 1.0]
    try:
        kernel = torch.compile(scope["levels"], fullgraph=True, options=OPTIONS)
        torch._dynamo.mark_dynamic(example, 1)  # the tiles' number alone changes from call to call
        for place in places:
            torch._dynamo.mark_dynamic(place, 0)
        with torch.no_grad():
            kernel(example, *places)
    except Exception as error:  # each missing part of a compiler has an error of its own
        LOG.warning("pictures are drawn by array operations: no kernel can be compiled: %s", str(error)[:200])
        return None
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return kernel
