"""The documentation does what it says: commands run, code works, TOML is accepted. Its links: test_links.py.

The first word behind a block's fence is its language. A second one is a file's name: the block is saved there before
the commands below it run. `sh` runs in bash; so does `console`, which must print what stands there, `…` being anything.
`no-test` and its reason leave a block out.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tomlkit
from PIL import Image
from projects import Clone, duplicate
from readme import blocks, copy, run

from droulette import parameters
from droulette.parameters.reading import spellings
from droulette.parameters.reference import _row, _walk, keys, table_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Pages whose commands need servers, machines or hours, and what runs them instead.
ELSEWHERE = {
    "sharing.md": "tests/remotes",
    "security.md": "tests/hardening",
    "faults.md": "tests/hardening",
    "scale.md": "its own simulations",
    "performance.md": "make bench",
    "recipe.md": "experiments/",
}
LANGUAGES = {"sh", "console", "toml", "python", "text", "nginx"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_block_names_its_language_and_why_it_is_not_run(page):
    for block in blocks(page):
        assert block.language in LANGUAGES, block.place
        assert block.tested or len(block.info.split()) > 3, f"{block.place}: no reason"


def test_toml_blocks_are_accepted(own_models):
    """In a process of its own, that knows the lens and the source which the pages define."""
    check = """
import json, sys, tomllib
from droulette import parameters
for place, text in json.load(sys.stdin):
    parameters.parse(tomllib.loads(text), place)
"""
    found = [block for page in PAGES for block in blocks(page) if block.language == "toml" and block.tested]
    given = json.dumps([(block.place, block.text) for block in found])
    done = subprocess.run(
        [sys.executable, "-c", check], cwd=own_models.path, input=given, text=True, capture_output=True
    )
    assert found and done.returncode == 0, done.stderr.splitlines()[-1]


def test_every_key_of_the_reference_has_type_default_range_and_meaning():
    for name, table in _walk(parameters.Parameters, ""):
        for key, field in keys(table):
            if table_of(field) is None:
                cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", _row(key, field))[1:-1]]
                assert all(spelling in cells[0] for spelling in spellings(key, field)), f"{name}.{key}"
                assert len(cells) == 6 and all(cells[:4]) and cells[5], f"{name}.{key}"


# ---------------------------------------------------------------- commands


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Iterator[Clone]:
    folder = tmp_path_factory.mktemp("docs")
    yield copy(folder)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def own_models(fresh, tmp_path_factory) -> Clone:
    """A clone in which the code of the pages on own models is in place."""
    clone = duplicate(fresh, tmp_path_factory.mktemp("own"))
    for page in PAGES:
        for block in blocks(page):
            if block.language == "python" and block.file:
                (clone.path / block.file).write_text(block.text)
    return clone


@pytest.fixture(scope="module")
def finished(readme, tmp_path_factory) -> Iterator[Clone]:
    """A clone after the README's commands, of which the first is the whole pipeline."""
    folder = tmp_path_factory.mktemp("finished")
    yield duplicate(readme.experiment, folder)
    shutil.rmtree(folder, ignore_errors=True)


def test_the_readme_leads_to_a_model(finished):
    assert (finished.path / "models/model.safetensors").exists()
    assert (finished.path / "metrics/evaluate.json").exists()


def has_commands(page: Path) -> bool:
    return any(block.language in ("sh", "console") and block.tested for block in blocks(page))


# The README's are run by `finished`, those on backbones by a test of their own.
RUN = [p for p in PAGES[1:] if p.name not in {*ELSEWHERE, "own-backbone.md"} and has_commands(p)]


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_the_commands_of_a_page_run(page, finished, tmp_path):
    run(page, duplicate(finished, tmp_path))


def test_slurm_scripts_are_bash_and_run_modules_that_there_are():
    scripts = sorted((ROOT / "examples/slurm").glob("*.sbatch"))
    assert scripts
    for script in scripts:
        subprocess.run(["bash", "-n", script], check=True)
        for module in re.findall(r"-m ([\w.]+)", script.read_text()):
            assert ROOT.joinpath(*module.split(".")).with_suffix(".py").exists()


# ---------------------------------------------------------------- own models, against something independent


def block_of(page: str, file: str) -> str:
    return next(block.text for block in blocks(ROOT / "docs" / page) if block.info == file)


def drawn(clone: Clone, toml: str) -> tuple[pd.DataFrame, pd.DataFrame, np.ndarray]:
    """dataset.csv, roulette.csv and pictures of a TOML text."""
    folder = clone.path / "drawn"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "d.toml").write_text(toml)
    clone.run(
        sys.executable, "-m", "droulette.datagen", "--toml", "drawn/d.toml", "--csvfile", "drawn/d.csv",
        "--outfile", "drawn/r.csv", "--directory", "drawn/images",
    )  # fmt: skip
    dataset, roulette = pd.read_csv(folder / "d.csv"), pd.read_csv(folder / "r.csv")
    return dataset, roulette, np.stack([np.array(Image.open(folder / "images" / name)) for name in dataset.filename])


def softened(x, y, row):
    """ψ of the page's lens, written anew."""
    return row.einsteinradius * np.sqrt(x**2 + y**2 + row.core**2)


def gradient(potential, x, y, h=1e-4):
    return (
        (potential(x + h, y) - potential(x - h, y)) / (2 * h),
        (potential(x, y + h) - potential(x, y - h)) / (2 * h),
    )


def pixels(size: int, row) -> tuple[np.ndarray, np.ndarray]:
    """x and y of each pixel of a picture about its centre of light."""
    steps = np.arange(size) - size / 2
    return steps[None, :] + row.centreX, -steps[:, None] + row.centreY


def test_the_documented_lens_gives_the_pictures_and_amplitudes_of_its_potential(own_models):
    """Against central differences of the potential: deflection, convergence, shear, and a raytracing."""
    dataset, roulette, pictures = drawn(own_models, block_of("own-lens.md", "softened.toml"))
    assert (dataset.lens == "Softened").all() and dataset.core.between(1, 8).all() and dataset.core.nunique() > 1
    assert pictures.max() > 100
    for (_, row), (_, found), picture in zip(dataset.iterrows(), roulette.iterrows(), pictures, strict=True):

        def psi(x, y, row=row):
            return softened(x, y, row)

        x, y, h = found.xiX + found.centreX, found.xiY + found.centreY, 1e-2
        dx, dy = gradient(psi, x, y)
        np.testing.assert_allclose([x - dx, y - dy], [row.x, row.y], atol=1e-6)
        np.testing.assert_allclose([found["alpha[0][1]"], found["beta[0][1]"]], [-dx, -dy], atol=1e-6)
        xx = (psi(x + h, y) - 2 * psi(x, y) + psi(x - h, y)) / h**2
        yy = (psi(x, y + h) - 2 * psi(x, y) + psi(x, y - h)) / h**2
        xy = (psi(x + h, y + h) - psi(x + h, y - h) - psi(x - h, y + h) + psi(x - h, y - h)) / (4 * h**2)
        second = [found[f"{name}"] for name in ("alpha[1][0]", "alpha[1][2]", "beta[1][2]")]
        np.testing.assert_allclose(second, [-(xx + yy) / 2, -(xx - yy) / 2, -xy], atol=1e-4)

        px, py = pixels(len(picture), found)
        dx, dy = gradient(psi, px, py)
        r2 = (px - dx - row.x) ** 2 + (py - dy - row.y) ** 2
        assert abs(picture - 255 * np.exp(-r2 / (2 * row.sigma**2))).max() <= 0.51


def test_the_documented_lens_works_in_a_cluster(own_models):
    toml = block_of("own-lens.md", "softened.toml") + "\n[cluster]\ncount = 2\n"
    dataset, roulette, _ = drawn(own_models, toml)
    for (_, row), (_, found) in zip(dataset.iterrows(), roulette.iterrows(), strict=True):
        members = [[float(number) for number in text.split("/")[1:]] for text in row.cluster.split(";")]
        assert len(members) == 2 and row.cluster.count("Softened") == 2

        def psi(x, y, members=members):
            return sum(theta * np.sqrt((x - cx) ** 2 + (y - cy) ** 2 + core**2) for cx, cy, theta, core in members)

        deflection = gradient(psi, found.xiX + found.centreX, found.xiY + found.centreY)
        np.testing.assert_allclose([found["alpha[0][1]"], found["beta[0][1]"]], [-d for d in deflection], atol=1e-6)


def test_the_documented_source_gives_the_pictures_of_its_brightness(own_models):
    toml = tomlkit.parse(block_of("own-source.md", "ring.toml"))
    toml["lens"].update({"mode": "SIS"})
    dataset, roulette, pictures = drawn(own_models, tomlkit.dumps(toml))
    assert (dataset.source == "Ring").all() and (roulette.ring == dataset.ring).all() and pictures.max() > 100
    for (_, row), (_, found), picture in zip(dataset.iterrows(), roulette.iterrows(), pictures, strict=True):
        px, py = pixels(len(picture), found)
        radius = np.hypot(px, py)
        scale = 1 - row.einsteinradius / np.where(radius > 0, radius, np.inf)
        distance = np.hypot(px * scale - row.x, py * scale - row.y)
        expected = 200 * np.exp(-((distance - row.ring) ** 2) / (2 * row.sigma**2))
        assert abs(picture - expected).max() <= 0.51


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("class SIS(CentredLens):\n    einstein_radius: Array", "SIS: there is a lens model of that name"),
        ("class New(CentredLens):\n    core: Array = parameter(1, 2, 'core')", "first field of a lens"),
        ("class New(CentredLens):\n    einstein_radius: Array\n    core: Array", "New.core: expected a parameter"),
        (
            "class New(CentredLens):\n    einstein_radius: Array\n    sigma: Array = parameter(1, 2, '')",
            "New.sigma: there",
        ),
    ],
)
def test_a_mistake_in_a_model_is_named(code, message):
    from droulette.physics import own
    from droulette.physics.lenses import LENSES, Array, CentredLens

    before = dict(LENSES)
    scope = {"Array": Array, "CentredLens": CentredLens, "parameter": own.parameter, "model": own.model}
    with pytest.raises(ValueError, match=message):
        exec(f"@model\n{code}", scope)
    assert before == LENSES


def test_what_is_wrong_with_an_own_models_number_is_one_line(own_models):
    folder = own_models.path / "wrong"
    folder.mkdir(exist_ok=True)
    text = block_of("own-lens.md", "softened.toml").replace("core-max = 8 ", "core-max = -1 ")
    (folder / "wrong.toml").write_text(text)
    (folder / "wrong.csv").write_text(
        "filename,lens,einsteinradius,core,source,sigma,x,y\n"
        "a.png,Softened,9,2,Spherical,3,1,1\n"
        "b.png,Softened,9,-2,Spherical,3,1,1\n"
    )
    (folder / "constellation.csv").write_text(
        "filename,lens,einsteinradius,source,x,y\na.png,SIS,9,Ring/0/0/3/3/0/1/1,1,1\n"
    )
    for options, message in (
        (["--toml", "wrong/wrong.toml"], "wrong/wrong.toml: lens.core-max: found -1, expected a number in (0, 1_000]"),
        (
            ["--csvfile", "wrong/wrong.csv"],
            "wrong/wrong.csv: row 2, column core: found -2, expected a number in (0, 1000]",
        ),
        (["--csvfile", "wrong/constellation.csv"], "row 1, column source: found 'Ring', expected one of"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "droulette.datagen", *options, "--outfile", "wrong/out.csv", "--no-pictures"],
            cwd=own_models.path, text=True, capture_output=True,
        )  # fmt: skip
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_the_documented_backbone_learns_by_its_own_code(finished, tmp_path):
    """The page's commands train it, and the model file holds its layers."""
    page = ROOT / "docs" / "own-backbone.md"
    clone = duplicate(finished, tmp_path)
    run(page, clone)
    from safetensors import safe_open

    with safe_open(clone.path / "models/model.safetensors", "pt") as file:
        names = [name for name in file.keys() if "model." in name]  # noqa: SIM118
        shapes = {tuple(file.get_slice(name).get_shape()) for name in names}
    assert (16, 3, 5, 5) in shapes and (32, 16, 5, 5) in shapes


def test_the_pictures_of_the_page_on_roulettes_are_those_of_its_script(tmp_path):
    subprocess.run([sys.executable, ROOT / "docs/roulettes.py", tmp_path], cwd=ROOT, check=True)
    for name in ("lensing.png", "modes.png", "orders.png"):
        new, kept = (np.array(Image.open(folder / name)) for folder in (tmp_path, ROOT / "docs/images"))
        assert new.shape == kept.shape and abs(new.astype(float) - kept).mean() < 1, name
