"""Compiled, in NumPy and in PyTorch, as on CUDA: the same bytes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from random_scenes import LENSES, SOURCES, Random
from test_rendering import random_scene

from droulette.physics import kernels, machine_code, tables
from droulette.physics.arrays import to_numpy
from droulette.physics.batches import move
from droulette.physics.lens_equation import apparent_position
from droulette.physics.mappings import Raytrace
from droulette.physics.rendering import Scene, centre_of_light, render
from droulette.physics.sampled import Sampled

COMPILED = tuple(kind for kind in SOURCES if kind != "Image")
WAYS = [("exact", 1), ("exact", 2), ("nearest", 1)]


@pytest.fixture
def arrays_only(monkeypatch):
    """Call it, and nothing is compiled from then on."""
    return lambda: monkeypatch.setattr(kernels, "ready", lambda: False)


@pytest.fixture(autouse=True)
def compiled():
    kernels.prepare(kernels.PAYS_BACK)
    if not kernels.ready():
        pytest.skip("Numba is not installed")


def draw(scene: Scene, sampling: str, rays: int) -> list[np.ndarray]:
    """Centres of light and pictures about them, of a size that tiles do not divide."""
    centre = centre_of_light(scene, 150, sampling=sampling, supersampling=rays)
    return [*centre, render(scene, 101, *centre, sampling=sampling, supersampling=rays, canvas=150)]


def sampled(scene: Scene) -> Scene:
    """The same by raytracing through a sampled lens."""
    mapping = scene.mapping
    lens = Sampled.of(mapping.lens, len(mapping.eta_x), 150)
    return Scene(Raytrace(lens, mapping.eta_x, mapping.eta_y), scene.source)


@pytest.mark.parametrize("sampling, rays", WAYS)
@pytest.mark.parametrize("model", ["Raytrace", "Roulette"])
@pytest.mark.parametrize("lens", LENSES)
def test_pictures_are_the_same_bytes_in_every_engine(lens, model, sampling, rays, arrays_only):
    scenes = [random_scene(lens, source, model, 40 + k, mask=k % 2 == 1) for k, source in enumerate(COMPILED)]
    assert all(kernels.compile_scene(scene) is not None for scene in scenes)
    in_kernels = [draw(scene, sampling, rays) for scene in scenes]
    arrays_only()
    in_numpy = [draw(scene, sampling, rays) for scene in scenes]
    in_torch = [[x.numpy() for x in draw(move(scene, "cpu"), sampling, rays)] for scene in scenes]
    lit = 0
    for results in zip(in_kernels, in_numpy, in_torch, strict=True):
        for first, *others in zip(*results, strict=True):
            for other in others:
                np.testing.assert_array_equal(first, other)
        lit += (results[0][2] > 0).sum()
    assert lit > 10_000


ON_THE_DEVICE = [
    *((lens, "Spherical", model, "exact", 1) for lens in LENSES for model in ("Raytrace", "Roulette")),
    *(("SIE", source, "Raytrace", "exact", 2) for source in SOURCES),
    *(("SIE", "Spherical", model, "nearest", 1) for model in ("Raytrace", "Roulette", "sampled lens")),
]


@pytest.mark.parametrize("lens, source, model, sampling, rays", ON_THE_DEVICE)
def test_all_that_draws_is_on_the_device(cuda, lens, source, model, sampling, rays):
    scene = random_scene(lens, source, "Roulette" if model == "Roulette" else "Raytrace", 50, mask=True)
    scene = sampled(scene) if model == "sampled lens" else scene
    expected = draw(scene, sampling, rays)
    with cuda:
        found = draw(move(scene, "cuda"), sampling, rays)
        assert {array.device.type for array in found} == {"cuda"}
        found = list(map(to_numpy, found))
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)


@pytest.mark.parametrize("source", ["Image", "sampled lens"])
def test_what_is_not_compiled_is_the_same_in_torch(source):
    scene = random_scene("SIE", "Image" if source == "Image" else "Spherical", "Raytrace", 3)
    if source != "Image":
        scene = sampled(scene)
    assert kernels.compile_scene(scene) is None
    for found, expected in zip(draw(move(scene, "cpu"), "exact", 1), draw(scene, "exact", 1), strict=True):
        assert isinstance(found, torch.Tensor)
        np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("kind", LENSES)
def test_reference_points_are_the_same_numbers_in_every_engine(kind, arrays_only):
    random = Random(9, 300)
    lens, eta = random.lens(kind, (2.5, 75)), random.in_disc(0.5, 60)
    in_kernels = np.stack(apparent_position(lens, *eta))
    arrays_only()
    np.testing.assert_array_equal(np.stack(apparent_position(lens, *eta)), in_kernels)
    in_torch = apparent_position(move(lens, "cpu"), *map(torch.from_numpy, eta))
    np.testing.assert_array_equal(torch.stack(in_torch).numpy(), in_kernels)


def test_damaged_machine_code_is_not_loaded(tmp_path, monkeypatch):
    whole, damaged = machine_code._path(), tmp_path / "kernels.o"
    content = bytearray(whole.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(machine_code, "functions", {})
    monkeypatch.setattr(machine_code, "_path", lambda: damaged)
    assert not machine_code.ready()
    monkeypatch.setattr(machine_code, "_path", lambda: whole)
    assert machine_code.ready()


def test_a_call_with_other_arrays_than_were_compiled_for_is_refused():
    lens, *others = tables.examples()["settle"]
    with pytest.raises(TypeError, match="settle"):
        machine_code.functions["settle"]((lens._replace(x=lens.x.astype(np.float32)), *others))


def test_compiled_loops_are_loaded_without_numba():
    code = "import sys; from droulette.physics import kernels; sys.exit(not kernels.ready() or 'numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
