"""The tables that a model file keeps of what it was trained on: read again, they describe the same scenes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from droulette import parameters
from droulette.errors import UserError

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "params.toml", *sorted((ROOT / "experiments").glob("*/c*.toml"))]


@pytest.mark.parametrize("path", FILES, ids=[f"{path.parent.name}-{path.stem}" for path in FILES])
def test_the_tables_of_a_distribution_describe_it(path):
    params = parameters.load(path)
    again = parameters.parse(json.loads(json.dumps(parameters.distribution(params))))
    for name in parameters.DRAWING[1:]:
        assert getattr(again, name) == getattr(params, name)
    for name in set(type(params.simulator).model_fields) - {"size", "seed", "storage", "shard_size"}:
        assert getattr(again.simulator, name) == getattr(params.simulator, name)


def test_lists_whole_numbers_and_parts_of_sums_come_back():
    tables = {
        "lens": {"mode": "SIE+NFW", "einstein": [3, 5], "NFW": {"einstein-max": 20}},
        "cluster": {"count": [2, 4]},
        "source": {"mode": ["Spherical", "SersicSphere"], "luminosity": 3, "luminosity-lambda": 1},
        "position": {"r-min": "einsteinR"},
    }
    params = parameters.parse(tables)
    again = parameters.parse(json.loads(json.dumps(parameters.distribution(params))))
    for name in tables:
        assert getattr(again, name) == getattr(params, name)


def test_without_lens_and_source_there_is_no_distribution():
    assert parameters.distribution(parameters.parse({"simulator": {"seed": 3}})) is None


LEARNT = """
[lens]
mode = ["SIE+Shear", "NFW+Shear", "PM"]
[problem]
filename = "roulette.csv"
nterms = 2
lenses = "dataset.csv"
hold-out = ["NFW*"]
"""


def test_a_model_keeps_the_lenses_that_were_not_held_out():
    params = parameters.parse(tomllib.loads(LEARNT))
    kept = parameters.trained_distribution(params)
    assert kept["lens"]["mode"] == ["SIE+Shear", "PM"]
    assert parameters.distribution(params)["lens"]["mode"] == ["SIE+Shear", "NFW+Shear", "PM"]


def test_pictures_drawn_anew_cannot_hold_a_lens_out():
    with pytest.raises(UserError, match=r"training\.fresh-pictures: cannot be combined with problem.hold-out"):
        parameters.parse(tomllib.loads(LEARNT + "[training]\nfresh-pictures = true\n"))
