"""Pictures by CUDA kernels, which are compiled while the program runs; see `kernels.cu`.

The formulas are written down as C++ (`formulas.py`) and compiled by NVIDIA's NVRTC, in half a second, without fused
multiply-add: to the bytes of the processor. Where there is no compiler, array operations do the work (`arrays.py`),
some 50 times slower.
"""

from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from droulette.physics.engines.formulas import DX, DY, LEVEL, SCRATCH, STRETCH, Formula, NotAFormula, X, Y
from droulette.physics.engines.programs import Step, level_steps, noise_steps, test_steps
from droulette.physics.noise import Noise
from droulette.physics.scene import TILE, Sampling, Scenes

LOG = logging.getLogger("droulette")
SOURCE = Path(__file__).with_name("kernels.cu").read_text(encoding="utf-8")
OPTIONS = ("--fmad=false", "--std=c++17")
BLOCK = TILE * TILE  # threads: a tile's pixels, or as many pairs of pixels

Kernel = Callable[[int, list[Tensor | int]], None]  # of a number of blocks, and of the arguments
_kernels: dict[tuple, Kernel | None] = {}
_lock = threading.Lock()


def render(scene: Scenes, sampling: Sampling, size: int, centre_x: Tensor, centre_y: Tensor) -> Tensor | None:
    """See `arrays.render`. None, here and below: array operations are to do it."""
    shape = (len(centre_x), size, size)
    picture = torch.zeros(shape, dtype=torch.uint8 if scene.whole else torch.float64, device=centre_x.device)
    done = _draw("draw", scene, sampling, size, centre_x, centre_y, picture)
    return picture if done else None


def sums_of_light(scene: Scenes, sampling: Sampling, size: int) -> tuple[Tensor, Tensor, Tensor] | None:
    """See `arrays.sums_of_light`; of whole grey levels."""
    zero = scene.extent() * 0.0
    sums = torch.zeros((3, len(zero)), dtype=torch.int64, device=zero.device)
    done = scene.whole and _draw("add_up", scene, sampling, size, zero, zero, len(zero), sums)
    return tuple(sums.double()) if done else None


def add_noise(noise: Noise, kinds: tuple[Callable, ...], pictures: Tensor) -> bool:
    """Add these kinds of noise to pictures (B, N, N), in place. False: array operations are to do it."""
    try:
        level = _Formulas(noise_steps(noise, kinds), len(pictures))
    except NotAFormula:
        return False
    kernel = _kernel("expose", pictures.device, LEVEL_BODY=_code(level.formulas, (X, DX, DY)))
    if kernel is None:
        return False
    pixels = pictures[0].numel() if len(pictures) else 0
    blocks = (pixels + 1) // 2 // BLOCK + 1
    kernel(blocks * len(pictures), [*level.constants(), pixels, pictures])
    return True


def _draw(
    name: str, scene: Scenes, sampling: Sampling, size: int, centre_x: Tensor, centre_y: Tensor, *into: Tensor | int
) -> bool:
    try:
        test = _Formulas(test_steps(scene, sampling, TILE), len(centre_x))
        level = _Formulas(level_steps(scene, sampling), len(centre_x))
    except NotAFormula:
        return False
    bodies = {"TEST_BODY": _code(test.formulas, (X, Y), LEVEL), "LEVEL_BODY": _code(level.formulas, (X, Y), LEVEL)}
    kernel = _kernel(name, centre_x.device, PIXEL="unsigned char" if scene.whole else "double", **bodies)
    if kernel is None:
        return False
    rays = torch.tensor(sampling.rays, dtype=torch.float64, device=centre_x.device)
    centres = centre_x.contiguous(), centre_y.contiguous()
    blocks = len(centre_x) * (-(-size // TILE)) ** 2
    kernel(blocks, [*test.constants(), *level.constants(), size, rays, len(rays), *centres, *into])
    return True


class _Formulas:
    """The steps of a pixel, one after the other, of `pictures` pictures. Raises `NotAFormula`."""

    def __init__(self, steps: Sequence[Step], pictures: int) -> None:
        self.steps, self.pictures = steps, pictures
        self.formulas = tuple(step.formula() for step in steps)

    def constants(self) -> tuple[Tensor, int]:
        """(B, C), and C."""
        columns = []
        for step, formula in zip(self.steps, self.formulas, strict=True):
            columns += step.constants(formula)
            for table in step.tables(formula):
                numbers = torch.as_tensor(table.numbers)
                columns.append(torch.tensor([numbers.data_ptr()], device=numbers.device).view(torch.float64))
        return torch.stack([column.expand(self.pictures) for column in columns], dim=1), len(columns)


@lru_cache(maxsize=256)
def _code(formulas: tuple[Formula, ...], inputs: tuple[int, ...], result: int | None = None) -> str:
    """The body of a C++ function of `constants`, and of first, second … in the rows `inputs` of the work buffer.

    It returns the row `result`, or leaves the rows in all arguments but the first.
    """
    names = dict(zip(inputs, ("first", "second", "third"), strict=False))
    lines = [f"double work[{SCRATCH}] = {{}};", f"work[{STRETCH}] = 1.0;"]
    lines += [f"work[{row}] = {name};" for row, name in names.items()]
    for formula in formulas:
        lines += ["{", formula.cpp, f"}} constants += {len(formula.places) + len(formula.tables)};"]
    lines += [f"{name} = work[{row}];" for row, name in list(names.items())[1:] if result is None]
    return "\n".join(lines if result is None else [*lines, f"return work[{result}];"])


def _kernel(name: str, device: torch.device, **words: str) -> Kernel | None:
    """A kernel of `kernels.cu` with these in place of its words; None, and a warning, where it cannot be made."""
    key = name, device, *words.values()
    with _lock:
        if key not in _kernels:
            try:
                _kernels[key] = _compiled(source_of(name, **words), name, device)
            except Exception as error:  # each missing part of a compiler has an error of its own
                LOG.warning("pictures are drawn by array operations: no kernel can be compiled: %s", str(error)[:300])
                _kernels[key] = None
        return _kernels[key]


def source_of(name: str, **words: str) -> str:
    source = SOURCE.replace("DRAWS", str(int(name != "expose")))
    source = source.replace("WHOLE", str(int(words.get("PIXEL") == "unsigned char")))
    for word, text in words.items():
        source = source.replace(word, text)
    return source


def _compiled(source: str, name: str, device: torch.device) -> Kernel:
    from cuda.bindings import driver

    with torch.cuda.device(device):
        module = _checked(driver.cuModuleLoadData(binary(source, *torch.cuda.get_device_capability())))
        function = _checked(driver.cuModuleGetFunction(module, name.encode()))

    def run(blocks: int, arguments: list[Tensor | int]) -> None:
        values = tuple(item.data_ptr() if isinstance(item, Tensor) else item for item in arguments)
        kinds = tuple(ctypes.c_void_p if isinstance(item, Tensor) else ctypes.c_int for item in arguments)
        if not blocks:
            return
        with torch.cuda.device(device):
            stream = torch.cuda.current_stream().cuda_stream
            _checked(driver.cuLaunchKernel(function, blocks, 1, 1, BLOCK, 1, 1, 0, stream, (values, kinds), 0))

    return run


def binary(source: str, major: int, minor: int) -> bytes:
    """Machine code for cards of a compute capability. Raises RuntimeError, with what the compiler says."""
    from cuda.bindings import nvrtc

    def log() -> str:
        text = b" " * _checked(nvrtc.nvrtcGetProgramLogSize(program))
        _checked(nvrtc.nvrtcGetProgramLog(program, text))
        return text.decode(errors="replace")

    options = [option.encode() for option in (f"--gpu-architecture=sm_{major}{minor}", *OPTIONS)]
    program = _checked(nvrtc.nvrtcCreateProgram(source.encode(), b"kernels.cu", 0, [], []))
    _checked(nvrtc.nvrtcCompileProgram(program, len(options), options), log)
    code = b" " * _checked(nvrtc.nvrtcGetCUBINSize(program))
    _checked(nvrtc.nvrtcGetCUBIN(program, code))
    return code


def _checked(result: tuple, log: Callable[[], str] = str):
    """What a function of CUDA gives beside its error code."""
    error, *values = result
    if int(error):
        raise RuntimeError(f"{error!r} {log()}")
    return values[0] if values else None
