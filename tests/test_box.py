"""The model that travels with the repository: pulled, used and checked by real git and DVC, in clones of this one."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[1]
BOX = "models/telescope.safetensors"
LARGEST = 25_000_000  # bytes of box/: more makes each clone slow


@pytest.fixture
def clone(tmp_path):
    """A clone of what git has, and a function that runs a command in it: (exit status, stdout, stderr)."""
    path = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(path)], check=True)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": f"{path}{os.pathsep}{path / 'tools'}",
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site-cache"),
        "DVC_NO_ANALYTICS": "1",
    }

    def run(*command: str) -> tuple[int, str, str]:
        done = subprocess.run(command, cwd=path, env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return path, run


def md5_of_record(path: Path) -> str:
    (out,) = YAML(typ="safe").load((path / f"{BOX}.dvc").read_text())["outs"]
    assert out["remote"] == "box"
    return out["md5"]


def test_git_has_the_box_and_it_is_small():
    files = subprocess.run(["git", "ls-files", "-z", "box"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = [name for name in files.stdout.split("\0") if name]
    assert names
    assert sum((ROOT / name).stat().st_size for name in names) < LARGEST
    for name in names:
        signed = "".join(Path(name).parts[-2:])
        assert hashlib.md5((ROOT / name).read_bytes(), usedforsecurity=False).hexdigest() == signed


def test_one_pull_and_a_picture_is_answered(clone):
    path, run = clone
    code, _, said = run("dvc", "pull", BOX)
    assert code == 0, said
    weights = (path / BOX).read_bytes()
    assert hashlib.md5(weights, usedforsecurity=False).hexdigest() == md5_of_record(path)

    # A singular isothermal sphere of 20 px; a galaxy 8 px to the right of it, whose brighter image is at 28 px.
    y, x = np.mgrid[50:-51:-1, -50:51]
    shrink = 1 - 20 / np.maximum(np.hypot(x, y), 1e-9)
    light = 60 * np.exp(-1.678 * np.hypot(x * shrink - 8, y * shrink) / 4)  # Sérsic, n = 1
    noise = np.random.default_rng(0).normal(0, 1, light.shape)
    fits.writeto(path / "arc.fits", (light + noise)[::-1].astype(np.float32))
    code, _, said = run("droulette", "predict", "arc.fits", "-o", "answer.csv")
    assert code == 0, said
    assert f"model: {BOX}, the repository's, docs/box.md" in said
    (row,) = pd.read_csv(path / "answer.csv").to_dict("records")
    true = {"xiX": 28 + 50 - row["middle_column"], "xiY": row["middle_row"] - 50, "alpha[1][0]": -20 / 28 / 2}  # −κ
    for column, value in true.items():
        assert abs(row[column] - value) < row[f"half95:{column}"]
    assert row["half95:xiX"] < 30
    assert row["half95:alpha[1][0]"] < 0.4


def test_a_checkout_takes_it_from_git(clone):
    """Without a pull; what nobody has pushed is said to be missing."""
    path, run = clone
    code, _, said = run("dvc", "checkout")
    assert code == 255
    assert "Traceback" not in said
    error = said[said.index("ERROR: Checkout failed") :]
    assert "models/model.safetensors" in error
    assert BOX not in error
    assert hashlib.md5((path / BOX).read_bytes(), usedforsecurity=False).hexdigest() == md5_of_record(path)
    shutil.rmtree(path / ".dvc" / "cache")
    (path / BOX).unlink()
    assert run("dvc", "checkout", f"{BOX}.dvc")[0] == 0
    assert (path / BOX).is_file()


def test_a_pull_of_everything_says_in_one_line_what_is_there(clone):
    path, run = clone
    code, _, said = run("dvc", "pull")
    lines = [line for line in said.splitlines() if line.startswith("ERROR")]
    assert code == 1
    assert len(lines) == 1
    assert lines[0].startswith(f"ERROR: here: {BOX}; missing: ")
    assert "models/model.safetensors" in lines[0]
    assert lines[0].endswith("nobody has pushed them: there is no folder " + lines[0].split("no folder ")[1])
    assert (path / BOX).is_file()


def test_weights_that_were_changed_on_the_way_are_refused(clone):
    path, run = clone
    md5 = md5_of_record(path)
    kept = path / "box" / "files" / "md5" / md5[:2] / md5[2:]
    weights = bytearray(kept.read_bytes())
    weights[len(weights) // 2] ^= 1
    kept.chmod(0o644)
    kept.write_bytes(weights)
    code, _, said = run("dvc", "pull", BOX)
    assert code != 0, said
    assert not (path / BOX).exists()


def test_without_the_box_the_command_that_brings_it_is_said(clone):
    path, run = clone
    (path / "picture.png").write_bytes((ROOT / "docs/images/overview.png").read_bytes())
    code, _, said = run("droulette", "predict", "picture.png")
    assert code == 2
    line = f"error: --model: found neither models/model.safetensors nor {BOX}, expected one: type `dvc pull {BOX}`"
    assert line in said


def test_better_weights_go_into_the_box(clone):
    """The commands of docs/box.md."""
    path, run = clone
    assert run("dvc", "pull", BOX)[0] == 0
    before = md5_of_record(path)
    shutil.copy(ROOT / "tests/test_box.py", path / "new")
    (path / BOX).unlink()
    (path / "new").rename(path / BOX)
    code, _, said = run("dvc", "commit", "--force", f"{BOX}.dvc")
    assert code == 0, said
    after = md5_of_record(path)
    assert after != before
    assert run("dvc", "push", BOX)[0] == 0
    assert (path / "box" / "files" / "md5" / after[:2] / after[2:]).is_file()
