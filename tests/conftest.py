"""What all tests share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# Machines differ in speed; what is tested is the result.
settings.register_profile("droulette", deadline=None)
settings.load_profile("droulette")

# Test files run side by side. PyTorch's threads wait for one another in loops, which takes a busy core eight times as
# long as one thread. Programs that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Files whose tests train, run whole pipelines, start other programs or compile: minutes in all. The others are the fast
# tests, `-m "not slow"`.
SLOW = {
    "fitting": ("bound", "family", "optimise", "search"),
    "formats": ("coolest", "packages"),
    "hardening": ("faults", "fuzz", "security"),
    "learning": (
        "backbones", "compilation", "fit", "model_file", "novelty", "observed", "parallel", "polar",
        "preprocessing",
    ),
    "observing": ("observe", "psf"),
    "physics": (
        "against_cosmosim", "amplitudes", "engines", "galaxies", "instrument", "lens_equation", "lens_models",
        "rendering",
    ),
    "remotes": ("remotes",),
    "tests": (
        "api", "api_fit", "box", "command", "commands", "datagen", "depth", "docs", "draw", "dvc", "evaluation",
        "experiments", "explore", "fit_evaluation", "fitted", "fresh", "generate", "instrument_tables",
        "lens_page", "maps_and_galaxies", "models", "noise_metrics", "predict", "predict_fit", "processes",
        "report", "site", "split", "storage", "sums", "sweep", "talk", "telescope", "tour", "training",
    ),
}  # fmt: skip


def is_slow(file: Path) -> bool:
    return file.stem.removeprefix("test_") in SLOW.get(file.parent.name, ())


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Without slow tests their files are not even read, which takes longer than the fast tests."""
    return True if config.option.markexpr == "not slow" and is_slow(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if is_slow(item.path):
            item.add_marker("slow")


@pytest.fixture
def cuda(monkeypatch) -> contextlib.AbstractContextManager:
    """Within `with cuda:` there is a device "cuda": the machine's own, or else a simulated one."""
    import torch

    if torch.cuda.is_available():
        return contextlib.nullcontext()
    from simulated_cuda import simulated

    return simulated(monkeypatch)


@pytest.fixture
def kernels(monkeypatch) -> Callable[[], str]:
    """Call it, and from then on tensors on the device that it names are drawn by CUDA's kernels: those of a card, or
    the same compiled for the processor.
    """
    import shutil

    import torch

    if torch.cuda.is_available():
        return lambda: "cuda"
    if not shutil.which("g++"):
        pytest.skip("there is no C++ compiler")

    def use() -> str:
        import emulated_cuda

        from droulette.physics import instrument, rendering
        from droulette.physics.arrays import is_tensor
        from droulette.physics.engines import cuda

        monkeypatch.setattr(cuda, "_compiled", emulated_cuda.compiled)
        monkeypatch.setattr(cuda, "_kernels", {})
        for module in (rendering, instrument):
            monkeypatch.setattr(module, "on_a_card", is_tensor)
        return "cpu"

    return use


@pytest.fixture(scope="session")
def readme(tmp_path_factory):
    """The README's commands, run once whichever worker comes first, see `readme.Readme`."""
    from readme import run_readme

    folder = tmp_path_factory.getbasetemp()
    return run_readme((folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "readme")
