"""The tables that a model file keeps of what it was trained on: read again, they describe the same scenes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from droulette import parameters

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
