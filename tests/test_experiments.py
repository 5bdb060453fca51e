"""The experiments beside the main pipeline."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import experiments
from droulette import parameters

ROOT = Path(__file__).parents[1]

SIZES = [(name, size) for name in experiments.names() for size in ("cpu", "cuda")]


def test_there_are_the_twelve():
    assert experiments.names() == [
        "any", "cluster2", "cluster4", "epl-shear", "euclid", "galaxies", "ground", "hst", "sie",
        "sie-shear", "sie-small", "telescope",
    ]  # fmt: skip


@pytest.mark.parametrize("name", experiments.names())
def test_an_experiment_is_the_main_pipeline_in_its_folder(name):
    assert (ROOT / "experiments" / name / "dvc.yaml").read_text() == experiments.text(name)


@pytest.mark.parametrize(("name", "size"), SIZES)
def test_sizes_of_an_experiment_are_read_and_differ_in_no_distribution(name, size):
    read = {size: parameters.load(ROOT / f"experiments/{name}/{size}.toml") for size in ("cpu", "cuda")}
    for table in (
        "lens",
        "cluster",
        "subhaloes",
        "source",
        "position",
        "instrument",
        "lens_light",
        "neighbours",
        "problem",
    ):
        assert getattr(read["cpu"], table) == getattr(read["cuda"], table)
    assert read[size].training.patience == read[size].training.num_epochs


def test_the_default_parameters_are_the_first_experiments_recipe():
    default = tomllib.loads((ROOT / "params.toml").read_text())
    first = tomllib.loads((ROOT / "experiments/sie/cpu.toml").read_text())
    length = {"num-epochs", "patience", "symmetries"}
    for table in ("lens", "source", "position", "settings", "hyperparameters", "training"):
        found = [{k: v for k, v in one[table].items() if k not in length} for one in (default, first)]
        assert found[0] == found[1]


def test_a_stage_answers_a_missing_folder_in_one_line():
    command = [sys.executable, "-m", "stages.split", "-C", "nowhere"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert found.returncode == 2
    assert found.stderr == "error: --directory: found no folder 'nowhere', expected a pipeline's\n"
