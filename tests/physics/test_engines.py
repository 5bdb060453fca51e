"""Compiled loops, array operations of NumPy and PyTorch, and CUDA's kernels: the same bytes."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import weakref
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from mapped import mapped_scene
from random_scenes import ALONE, LENSES, PERTURBATIONS, SOURCES, Random, numbers
from test_rendering import random_scene

from droulette.physics.arrays import Array, namespace, to_numpy
from droulette.physics.batches import move, take
from droulette.physics.elementary import exp
from droulette.physics.engines import arrays, formulas, machine, programs
from droulette.physics.engines import cuda as engine
from droulette.physics.lens_equation import apparent_position
from droulette.physics.lenses import SIS, CentredLens
from droulette.physics.mappings import Raytrace
from droulette.physics.rendering import centre_of_light, render
from droulette.physics.sampled import Sampled
from droulette.physics.scene import Sampling, Scenes
from droulette.physics.series import sqrt
from droulette.physics.sources import Image, Picture, Source

WAYS = [("exact", 1), ("exact", 2), ("nearest", 1)]


@dataclass(frozen=True)
class Softened(CentredLens):
    """A lens that is its potential alone."""

    einstein_radius: Array
    core: Array

    def potential(self, x, y):
        return self.einstein_radius * sqrt(x * x + y * y + self.core**2)


@dataclass(frozen=True)
class Ring(Source):
    sigma: Array
    ring: Array

    def brightness(self, dx, dy):
        distance = sqrt(dx * dx + dy * dy) - self.ring
        return 200 * exp(-0.5 * (distance / self.sigma) ** 2)

    def extent(self, threshold):
        return self.ring + 4 * self.sigma


def own_scene(seed: int = 5) -> Scenes:
    random = Random(seed, 4)
    lens = Softened(random.uniform(5, 30), random.uniform(1, 5))
    return Scenes(Raytrace(lens, *random.in_disc(1, 20)), Ring(random.uniform(1, 3), random.uniform(5, 12)))


def draw(scene: Scenes, sampling: str, rays: int) -> list[np.ndarray]:
    """Centres of light and pictures about them, of a size that tiles do not divide."""
    centre = centre_of_light(scene, 150, sampling=sampling, supersampling=rays)
    return [*centre, render(scene, 101, *centre, sampling=sampling, supersampling=rays, canvas=150)]


def draw_by_arrays(scene: Scenes, sampling: str, rays: int) -> list:
    how = Sampling(sampling, rays, 150)
    light, light_x, light_y = arrays.sums_of_light(scene, how, 150)
    x, y = light_x / light - 75, 75 - light_y / light
    return [x, y, arrays.render(scene, how, 101, x, y)]


def sampled(scene: Scenes) -> Scenes:
    """The same by raytracing through a sampled lens."""
    mapping = scene.mapping
    lens = Sampled.of(mapping.lens, len(mapping.eta_x), 150)
    return Scenes(Raytrace(lens, mapping.eta_x, mapping.eta_y), scene.source)


def assert_same_bytes(results: list, expected: list) -> None:
    for found, wanted in zip(results, expected, strict=True):
        np.testing.assert_array_equal(to_numpy(found), wanted)


@pytest.mark.parametrize("sampling, rays", WAYS)
@pytest.mark.parametrize("model", ["Raytrace", "Roulette"])
@pytest.mark.parametrize("lens", LENSES)
def test_pictures_are_the_same_bytes_in_every_engine(lens, model, sampling, rays):
    lit = 0
    for k, source in enumerate(SOURCES):
        scene = random_scene(lens, source, model, 40 + k, mask=k % 2 == 1)
        assert programs.of_scene(scene, Sampling(sampling, rays, 150)) is not None
        expected = draw(scene, sampling, rays)
        assert_same_bytes(draw_by_arrays(scene, sampling, rays), expected)
        assert_same_bytes(draw(move(scene, "cpu"), sampling, rays), expected)
        lit += (expected[2] > 0).sum()
    assert lit > 10_000


def test_pictures_do_not_depend_on_pytorchs_threads():
    scene = random_scene("SIE", "SersicEllipsoid", "Raytrace", 43)
    expected = draw(scene, "exact", 1)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert_same_bytes(draw(move(scene, "cpu"), "exact", 1), expected)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("sampling, rays", WAYS)
def test_models_of_a_users_are_compiled_to_the_same_bytes(sampling, rays):
    scene = own_scene()
    assert programs.of_scene(scene, Sampling(sampling, rays, 150)) is not None
    expected = draw(scene, sampling, rays)
    assert (expected[2] > 0).sum() > 3000
    assert_same_bytes(draw_by_arrays(scene, sampling, rays), expected)


@pytest.mark.parametrize("sampling, rays", WAYS)
@pytest.mark.parametrize("kind", ["sampled lens", "map and galaxy"])
def test_what_is_looked_up_in_tables_is_compiled_to_the_same_bytes(kind, sampling, rays):
    scene = mapped_scene(7) if kind != "sampled lens" else sampled(random_scene("SIE", "Image", "Raytrace", 41))
    assert programs.of_scene(scene, Sampling(sampling, rays, 150)) is not None
    expected = draw(scene, sampling, rays)
    assert (expected[2] > 0).sum() > 1000
    assert_same_bytes(draw_by_arrays(scene, sampling, rays), expected)
    assert_same_bytes(draw(move(scene, "cpu"), sampling, rays), expected)


def test_tables_are_kept_by_programs_and_by_no_formula():
    """Another picture needs no other machine code, and nothing holds on to the first."""
    zero = np.zeros(2)

    def drawn(side: int) -> weakref.ref:
        picture = Picture(np.full((side, side), 200.0))
        scene = Scenes(Raytrace(SIS(zero + 10.0), zero, zero + 5.0), Image(zero, picture))
        assert programs.of_scene(scene, Sampling()).tables == (picture,)
        assert render(scene, 64, zero, zero).max() == 200
        return weakref.ref(picture)

    first = drawn(9)
    known = len(programs._formulas), len(machine._addresses)
    second = drawn(12)
    gc.collect()
    assert (first(), second()) == (None, None)
    assert (len(programs._formulas), len(machine._addresses)) == known


def test_every_place_that_is_looked_up_is_in_the_table():
    """Rays that leave every number behind, and those that pass far outside."""
    scene = mapped_scene(8)
    lens, source = (take(part, slice(None), trailing=2) for part in (scene.mapping.lens, scene.source))
    image = Image(numbers(0.0), Picture(np.full((5, 4), 9.0)))
    far = np.array([np.nan, np.inf, -np.inf, 1e300, -1e300, 1e9, -1e9, 0.0, 60.0])
    x, y = np.broadcast_arrays(far[None, :, None], far[None, None, :])
    with np.errstate(all="ignore"):
        for found in (lens.deflection(x, y)[0], source.brightness(x, y), image.brightness(x, y)):
            assert found.shape[1:] == (9, 9)
        assert (source.brightness(x, y)[:, 1:7, 1:7] == 0).all()


ON_THE_DEVICE = [
    *((lens, "Spherical", model, "exact", 1) for lens in LENSES for model in ("Raytrace", "Roulette")),
    *((lens, "Spherical", "Raytrace", "exact", 1) for lens in (*ALONE, *PERTURBATIONS)),
    *(("SIE", source, "Raytrace", "exact", 2) for source in SOURCES),
    *(("SIE", "Spherical", model, "nearest", 1) for model in ("Raytrace", "Roulette", "sampled lens")),
    ("own", "own", "own", "exact", 1),
    ("map", "galaxy", "Raytrace", "exact", 1),
]


def device_scene(lens: str, source: str, model: str) -> Scenes:
    if lens == "own":
        return own_scene()
    if lens == "map":
        return mapped_scene(9)
    scene = random_scene(lens, source, "Roulette" if model == "Roulette" else "Raytrace", 50, mask=True)
    return sampled(scene) if model == "sampled lens" else scene


@pytest.mark.parametrize("lens, source, model, sampling, rays", ON_THE_DEVICE)
def test_all_that_draws_is_on_the_device(cuda, lens, source, model, sampling, rays):
    scene = device_scene(lens, source, model)
    expected = draw(scene, sampling, rays)
    with cuda:
        found = draw(move(scene, "cuda"), sampling, rays)
        assert {array.device.type for array in found} == {"cuda"}
        found = list(map(to_numpy, found))
    assert_same_bytes(found, expected)


@pytest.mark.parametrize("lens, source, model, sampling, rays", ON_THE_DEVICE)
def test_kernels_draw_the_same_bytes(kernels, monkeypatch, lens, source, model, sampling, rays):
    scene = device_scene(lens, source, model)
    expected = draw(scene, sampling, rays)
    device = kernels()
    monkeypatch.setattr(arrays, "_tiles", lambda *_: pytest.fail("drawn by array operations"))
    assert_same_bytes(draw(move(scene, device), sampling, rays), expected)


def ptx(source: str) -> str:
    """The instructions that CUDA's compiler makes of it, before divisions and roots are expanded."""
    from cuda.bindings import nvrtc

    _, program = nvrtc.nvrtcCreateProgram(source.encode(), b"kernels.cu", 0, [], [])
    options = [b"--gpu-architecture=compute_90", *(option.encode() for option in engine.OPTIONS)]
    assert not int(nvrtc.nvrtcCompileProgram(program, len(options), options)[0])
    _, size = nvrtc.nvrtcGetPTXSize(program)
    text = b" " * size
    nvrtc.nvrtcGetPTX(program, text)
    return text.decode()


@pytest.mark.parametrize("lens", ["SIE", "EPL", "own", "map"])
def test_cudas_compiler_takes_the_kernels(monkeypatch, lens):
    """Of cards that are not here; without fused multiply-add, which would round another way."""
    pytest.importorskip("cuda.bindings.nvrtc")
    sources = []
    monkeypatch.setattr(engine, "_kernels", {})
    monkeypatch.setattr(engine, "_compiled", lambda source, name, device: sources.append((source, name)))
    scene = move(device_scene(lens, "Spherical", "Raytrace"), "cpu")
    assert engine.sums_of_light(scene, Sampling("exact", 2, 150), 150) is None  # of the stand-in for a kernel
    ((source, name),) = sources
    for major, minor in ((8, 0), (9, 0)):
        assert name.encode() in engine.binary(source, major, minor)
    text = ptx(source)
    assert "mul" in text and "div.rn.f64" in text and "fma" not in text
    with pytest.raises(RuntimeError, match="nonsense"):
        engine.binary(source + "nonsense", 9, 0)


THROUGH_THE_DRIVER = """
import contextlib, sys, types
sys.path[:0] = sys.argv[1:]
import emulated_cuda, numpy, torch
from test_engines import device_scene, draw
from test_noise import camera, exposed, flat, in_the_dark
from droulette.physics import instrument, rendering
from droulette.physics.batches import move
from droulette.physics.engines import cuda

scenes = [device_scene(lens, "Spherical", "Raytrace") for lens in ("EPL", "map")]
expected = [draw(scene, "exact", 2) for scene in scenes]
noisy, pictures = camera([0.5, 2.0], [0.0, 2.0], background=9.0), flat([9.0, 50.0], 21)
noise = exposed(pictures, noisy)

torch.cuda.device = lambda device: contextlib.nullcontext()
torch.cuda.get_device_capability = lambda: (9, 0)
torch.cuda.current_stream = lambda: types.SimpleNamespace(cuda_stream=0)
cuda.binary = lambda source, major, minor: str(emulated_cuda.library(source)).encode() + bytes(1)
instrument.on_a_card = rendering.on_a_card = torch.is_tensor
for scene, wanted in zip(scenes, expected):
    for found, one in zip(draw(move(scene, "cpu"), "exact", 2), wanted):
        numpy.testing.assert_array_equal(found, one)
there = move(noisy, "cpu")
found = instrument._counted(torch.from_numpy(pictures), there, in_the_dark(there), slice(None), noisy=True)
numpy.testing.assert_array_equal(found, noise)
assert len(cuda._kernels) == 5 and None not in cuda._kernels.values()
"""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_kernels_are_loaded_and_started_through_cudas_driver(tmp_path):
    """By its own Python binding, with a stand-in for the driver."""
    pytest.importorskip("cuda.bindings.driver")
    if not shutil.which("g++"):
        pytest.skip("there is no C++ compiler")
    tests = Path(__file__).parents[1]
    driver = str(tmp_path / "libcuda.so.1")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", driver, str(tests / "fake_driver.c"), "-ldl"], check=True)
    environment = os.environ | {"LD_LIBRARY_PATH": str(tmp_path)}
    command = [sys.executable, "-c", THROUGH_THE_DRIVER, str(tests), str(tests / "physics")]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_without_a_compiler_a_card_draws_by_array_operations(kernels, monkeypatch, caplog):
    scene = random_scene("SIS", "Spherical", "Raytrace", 51)
    expected = draw(scene, "exact", 1)
    device = kernels()

    def fail(source, name, device):
        raise RuntimeError("no NVRTC")

    monkeypatch.setattr(engine, "_kernels", {})
    monkeypatch.setattr(engine, "_compiled", fail)
    assert_same_bytes(draw(move(scene, device), "exact", 1), expected)
    assert "no NVRTC" in caplog.text


@pytest.mark.parametrize("sampling, rays", WAYS)
def test_a_sampled_lens_is_compiled_to_the_same_bytes(sampling, rays):
    scene = sampled(random_scene("SIE", "Spherical", "Raytrace", 3))
    assert programs.of_scene(scene, Sampling(sampling, rays, 150)) is not None
    expected = draw(scene, sampling, rays)
    assert (expected[2] > 0).sum() > 1000
    assert_same_bytes(draw_by_arrays(scene, sampling, rays), expected)
    assert_same_bytes(draw(move(scene, "cpu"), sampling, rays), expected)


@dataclass(frozen=True)
class Steps(Source):
    """Of whole grey levels, by a function that formulas do not have."""

    sigma: Array

    def brightness(self, dx, dy):
        return namespace(dx).round(200 * exp(-0.5 * (dx * dx + dy * dy) / self.sigma**2))

    def extent(self, threshold):
        return 4 * self.sigma


def test_what_is_not_compiled_is_the_same_in_torch_and_is_said(caplog):
    programs._warn_once.cache_clear()
    scene = Scenes(random_scene("SIE", "Spherical", "Raytrace", 3).mapping, Steps(numbers(4.0, 5.0, 6.0)))
    assert programs.of_scene(scene, Sampling()) is None
    assert "array operations" in caplog.text
    found = draw(move(scene, "cpu"), "exact", 1)
    assert isinstance(found[2], torch.Tensor)
    assert_same_bytes(found, draw(scene, "exact", 1))


@pytest.mark.parametrize("kind", LENSES)
def test_reference_points_are_the_same_numbers_in_every_engine(kind):
    random = Random(9, 300)
    lens, eta = random.lens(kind, (2.5, 75)), random.in_disc(0.5, 60)
    compiled = np.stack(apparent_position(lens, *eta))
    in_torch = apparent_position(move(lens, "cpu"), *map(torch.from_numpy, eta))
    np.testing.assert_array_equal(torch.stack(in_torch).numpy(), compiled)


# ---------------------------------------------------------------- derivatives


def brightness(scene: Scenes) -> torch.Tensor:
    """The sum over some points, before it is cut off at 255."""
    x, y = (torch.linspace(-25, 30, 41, dtype=torch.float64) for _ in range(2))
    return scene.source.brightness(*scene.mapping.offset(x[None, :, None], y[None, None, :])).sum()


@pytest.mark.parametrize("source", [kind for kind in SOURCES if kind not in ("Triangle", "constellation")])
@pytest.mark.parametrize("lens", [*LENSES, "own"])
def test_derivatives_by_every_parameter_are_those_of_differences(lens, source):
    random = Random(11, 1)
    light = random.source(source) if lens != "own" else Ring(random.uniform(1, 3), random.uniform(5, 12))
    mass = random.lens(lens) if lens != "own" else Softened(random.uniform(5, 30), random.uniform(1, 5))
    eta = random.in_disc(3, 9)

    def build(numbers):
        made = iter(numbers)

        def again(model):
            if isinstance(model, tuple):
                return tuple(map(again, model))
            if not hasattr(model, "__dataclass_fields__"):
                return next(made) if isinstance(model, np.ndarray) else move(model, "cpu")
            fields = [f.name for f in model.__dataclass_fields__.values() if f.init]
            return type(model)(*(again(getattr(model, name)) for name in fields))

        return Scenes(Raytrace(again(mass), *(next(made) for _ in eta)), again(light))

    def inputs(model):
        if isinstance(model, tuple):
            return [array for item in model for array in inputs(item)]
        if not hasattr(model, "__dataclass_fields__"):
            return [model] if isinstance(model, np.ndarray) else []
        return [a for f in model.__dataclass_fields__.values() if f.init for a in inputs(getattr(model, f.name))]

    values = np.concatenate([*inputs(mass), *eta, *inputs(light)])
    numbers = [torch.tensor([value], dtype=torch.float64, requires_grad=True) for value in values]
    total = brightness(build([number[:, None, None] for number in numbers]))
    found = [gradient.item() for gradient in torch.autograd.grad(total, numbers)]
    for k, value in enumerate(values):
        # A picture's brightness bends at each of its pixels' middles: few of the points may pass one.
        step = (1e-8 if source == "Image" else 1e-5) * max(1.0, abs(value))
        ends = []
        for moved in (value - step, value + step):
            shifted = values.copy()
            shifted[k] = moved
            ends.append(brightness(build([torch.tensor([[[v]]], dtype=torch.float64) for v in shifted])).item())
        expected = (ends[1] - ends[0]) / (2 * step)
        assert found[k] == pytest.approx(expected, rel=2e-4, abs=1e-3 * (1 + abs(total.item()) * 1e-3)), k


# ---------------------------------------------------------------- machine code


def test_damaged_machine_code_is_compiled_again(tmp_path, monkeypatch):
    source = "def formula(constants, work):\n    work = numbers(work, 1, 256)\n    work[0, 0] = 7.0\n"
    monkeypatch.setattr(machine, "user_cache_path", lambda name: tmp_path)
    monkeypatch.setattr(machine, "_addresses", {})
    machine.address(source)
    (kept,) = tmp_path.glob("compiled/*.o")
    damaged = bytearray(kept.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    kept.write_bytes(damaged)
    monkeypatch.setattr(machine, "_addresses", {})
    assert machine._read(kept) is None
    machine.address(source)
    assert machine._read(kept) is not None


def test_compiled_loops_are_loaded_without_numba():
    machine.function("draw")
    code = (
        "import sys; from droulette.physics.engines import machine; machine.function('draw'); "
        "sys.exit('numba' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_long_formulas_are_divided_into_loops_that_keep_their_numbers():
    """One number for each way to need one later: a float, the bits of one, a condition; constants are computed once."""

    def function(constants, x):
        kept, bits, large = x * constants[0], x.view("int64"), x > 0.5
        total = x
        for _ in range(3 * formulas.LONGEST):
            total = total * 0.5 + x
        total = total + bits.view("float64") * kept
        return [formulas.Functions.where(large, total, -total)]

    formula = formulas.record(function, 2, [formulas.X], [formulas.LEVEL])
    assert formula.places == (0,)
    assert formula.loops.count("for i in range") > 3
    work, constants = np.zeros((formula.rows, formulas.WIDTH)), np.array([3.0])
    work[formulas.X] = np.linspace(-1, 1, formulas.WIDTH)
    steps = np.array([[machine.address(formula.loops), 0]])
    run_once(steps, constants, work)
    x = np.linspace(-1, 1, formulas.WIDTH)
    total = x
    for _ in range(3 * formulas.LONGEST):
        total = total * 0.5 + x
    total = total + x * (x * 3.0)
    np.testing.assert_array_equal(work[formulas.LEVEL], np.where(x > 0.5, total, -total))


def test_a_root_of_what_may_be_negative_is_compiled_too():
    """Numba's own is a call of the C library there, which code that is loaded without Numba cannot make."""

    def function(constants, x):
        return [formulas.Functions.sqrt(0.75 - x)]

    for width in (1, formulas.WIDTH):
        formula = formulas.record(function, 0, [formulas.X], [formulas.LEVEL], width)
        work = np.zeros((formula.rows, formulas.WIDTH))
        work[formulas.X, :3] = 0.5, 1.0, -3.25
        run_once(np.array([[machine.address(formula.loops), 0]]), np.zeros(1), work)
        expected = [0.5, np.nan, 2.0]
        np.testing.assert_array_equal(work[formulas.LEVEL, : min(width, 3)], expected[:width])


def run_once(steps: np.ndarray, constants: np.ndarray, work: np.ndarray) -> None:
    import ctypes

    nothing = ctypes.c_void_p()
    call = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    at = ctypes.addressof(nothing)
    call(int(steps[0, 0]))(at, at, constants.ctypes.data, work.ctypes.data)


def test_a_curvature_bound_by_intervals_holds_and_is_not_idle():
    """Beside the largest second derivative at many points of the disc, which it must not be below."""
    random = Random(12, 200)
    for lens, most in ((random.lens("SIE"), 40), (Softened(random.uniform(5, 30), random.uniform(1, 5)), 6)):
        x, y = random.in_disc(20, 60)
        bound = CentredLens.curvature(lens, x, y, 5.0)
        worst = 0.0
        for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False):
            for radius in (0.0, 2.5, 5.0):
                at = x + radius * np.cos(angle), y + radius * np.sin(angle)
                worst = np.maximum(worst, norm_of_hessian(lens, *at))
        assert (bound >= worst * (1 - 1e-6)).all()
        assert np.median(bound / worst) < most


def norm_of_hessian(lens, x, y, h=1e-4):
    ax, ay = ((a - b) / (2 * h) for a, b in zip(lens.deflection(x + h, y), lens.deflection(x - h, y), strict=True))
    bx, by = ((a - b) / (2 * h) for a, b in zip(lens.deflection(x, y + h), lens.deflection(x, y - h), strict=True))
    return np.linalg.norm(np.moveaxis(np.array([[ax, bx], [ay, by]]), -1, 0), 2, axis=(1, 2))
