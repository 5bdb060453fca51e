"""Several processes, as torchrun starts them: the same dataset, the same training, and what a killed one leaves."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from droulette.processes import Team
from tests.small import SIMULATION, draw_parts

ROOT = Path(__file__).parents[1]
EXPERIMENT = """
[dataset]
directory = "images"
[dataset.training]
filename = "training.csv"
[dataset.validation]
filename = "validation.csv"
[settings]
model = "polar_tiny"
device = "cpu"
precision = "32-true"
[hyperparameters]
learning-rate = 1e-3
batch-size = 16
[training]
num-epochs = {epochs}
"""


def start(count: int, folder: Path, *arguments: str, **options) -> subprocess.Popen:
    """A module with its arguments in `count` processes, under torchrun if there is more than one."""
    launcher = ["-m", "torch.distributed.run", f"--nproc-per-node={count}", "--standalone"] if count > 1 else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, *launcher, "-m", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes, **options)


def run(count: int, folder: Path, *arguments: str) -> str:
    process = start(count, folder, *arguments)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    return said


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(("total", "count", "multiple"), [(60, 4, 1), (61, 4, 16), (3, 4, 1), (10, 4, 1000)])
def test_shares_are_the_whole_in_order_and_no_two_have_a_row(total, count, multiple):
    shares = [Team(rank, count, count).share(total, multiple) for rank in range(count)]
    assert [row for share in shares for row in share] == list(range(total))
    assert all(share.start % multiple == 0 for share in shares if len(share))


@pytest.fixture(scope="module")
def distribution(tmp_path_factory) -> Path:
    import tomlkit

    path = tmp_path_factory.mktemp("distribution") / "dataset.toml"
    path.write_text(tomlkit.dumps(SIMULATION | {"simulator": SIMULATION["simulator"] | {"size": 50, "shard-size": 16}}))
    return path


@pytest.mark.parametrize(("count", "storage"), [(2, "png"), (4, "parquet")])
def test_any_number_of_processes_draws_the_same_files(distribution, tmp_path, count, storage):
    arguments = ["--csvfile", "dataset.csv", "--outfile", "roulette.csv", "--directory", "images", "--storage", storage]
    found = {}
    for processes in (1, count):
        folder = tmp_path / str(processes)
        folder.mkdir()
        run(processes, folder, "droulette.datagen", "--toml", str(distribution), *arguments)
        found[processes] = hashes(folder)
    assert len(found[1]) == 2 + (50 if storage == "png" else 4)
    assert found[count] == found[1]


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("parts")
    draw_parts(folder, 75, 10, 5)
    return folder


def training(parts: Path, folder: Path, epochs: int) -> list[str]:
    """Make the folder ready, and give the arguments of the stage."""
    folder.mkdir(exist_ok=True)
    for name in ("images", "training.csv", "validation.csv"):
        if not (folder / name).exists():
            (folder / name).symlink_to(parts / name)
    (folder / "experiment.toml").write_text(EXPERIMENT.format(epochs=epochs))
    return ["stages.train", "--params", "experiment.toml"]


def test_two_processes_take_the_steps_of_one(parts, tmp_path):
    weights = {}
    for count in (1, 2):
        said = run(count, tmp_path / str(count), *training(parts, tmp_path / str(count), epochs=1))
        assert said.count("epoch 1,") == 1
        weights[count] = load_file(tmp_path / str(count) / "models/model.safetensors")
    # The sums are rounded in another order. A batch twice as large, or half, would move weights by some 1e-3.
    changes = [np.abs(weights[1][key] - weights[2][key]).max() for key in weights[1] if weights[1][key].size]
    assert max(changes) < 1e-4


def test_a_killed_worker_ends_the_run_and_the_next_one_goes_on_to_the_same_weights(parts, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    run(2, whole, *training(parts, whole, epochs=6))
    process = start(2, broken, *training(parts, broken, epochs=6))
    checkpoint = broken / "models/model.safetensors.checkpoint"
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.02)
    workers = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    if not workers.exists():
        pytest.skip("this system does not tell the children of a process")
    os.kill(int(workers.read_text().split()[-1]), signal.SIGKILL)
    said, _ = process.communicate(timeout=60)
    assert process.returncode != 0, said
    assert not (broken / "models/model.safetensors").exists()
    assert checkpoint.exists()
    run(2, broken, *training(parts, broken, epochs=6))
    assert hashes(broken / "models") == hashes(whole / "models")


def test_processes_on_one_machine_share_its_cores(monkeypatch):
    from droulette import devices

    alone = devices.cores()
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    assert devices.cores() == max(1, alone // 2)


def test_a_numbered_gpu_is_refused_to_several_processes(monkeypatch):
    from droulette.devices import choose_device
    from droulette.errors import UserError

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(UserError, match="for 2 processes"):
        choose_device("cuda:0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto") == torch.device("cuda:1")
