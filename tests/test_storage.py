"""Pictures in Parquet shards: the same pictures, readable by everything, and stable as the dataset grows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small

from droulette import datagen
from droulette.errors import UserError
from droulette.pipeline import storage
from droulette.pipeline.pictures import picture_size, read_pictures
from droulette.pipeline.storage import ParquetShards, reader

TOML = """
[simulator]
size = 25
seed = 4
nterms = 1
imagesize = 32
shard-size = 10
{}
[lens]
einstein = 9
[source]
mode = "s"
sigma = 4
position = "relative"
"""
NAMES = [f"image-{k:06}.png" for k in range(1, 26)]


def draw(folder: Path, extra: str = "", *options: str) -> Path:
    """Draw 25 small pictures into folder/images; return that."""
    folder.mkdir(exist_ok=True)
    (folder / "d.toml").write_text(TOML.format(extra))
    arguments = ["--toml", str(folder / "d.toml"), "--directory", str(folder / "images"), *options]
    assert datagen.main([*arguments, "--outfile", str(folder / "roulette.csv")]) == 0
    return folder / "images"


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Path:
    return draw(tmp_path_factory.mktemp("shards"), 'storage = "parquet"')


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Path:
    return draw(tmp_path_factory.mktemp("files"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_shards_hold_the_bytes_of_the_files_in_order(shards, files):
    assert sorted(contents(shards)) == [
        "images-000000001-000000010.parquet",
        "images-000000011-000000020.parquet",
        "images-000000021-000000025.parquet",
    ]
    packed = pd.read_parquet(shards)
    assert packed["filename"].tolist() == NAMES
    assert dict(zip(packed["filename"], packed["png"], strict=True)) == contents(files)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_same_parameters_give_the_same_bytes(shards, tmp_path, workers):
    assert contents(draw(tmp_path, 'storage = "parquet"', "--workers", workers)) == contents(shards)


def test_a_larger_dataset_keeps_its_full_shards_and_drops_the_one_that_was_not(shards, tmp_path):
    before = contents(shards)
    grown = contents(draw(tmp_path, 'storage = "parquet"', "--size", "40"))
    assert sorted(set(grown) & set(before)) == sorted(before)[:2]
    assert all(grown[name] == before[name] for name in sorted(before)[:2])
    again = contents(draw(tmp_path, 'storage = "parquet"', "--size", "25"))
    assert again == before  # no picture is there twice


@pytest.mark.parametrize("order", ["as they lie", "shuffled"])
def test_pictures_are_read_by_name_in_any_order(shards, files, order):
    names = NAMES if order == "as they lie" else list(np.random.default_rng(0).permutation(NAMES))
    assert picture_size(shards, names[0], "t.csv") == 32
    found = read_pictures(shards, names, table="t.csv", workers=2)
    np.testing.assert_array_equal(found, read_pictures(files, names, table="t.csv"))
    assert found.std(axis=0).max() > 0


def test_training_and_evaluation_of_shards_are_those_of_files(tmp_path):
    parts = small.draw_parts(tmp_path, 40, 10, 20)
    folder = tmp_path / "shards"
    folder.mkdir()
    packed = ParquetShards(folder, 16)
    for k, path in enumerate(sorted((tmp_path / "images").iterdir())):
        packed.keep(k, path.name, path.read_bytes())
    packed.close()
    written = []
    for name, images in (("files", tmp_path / "images"), ("shards", folder)):
        out = tmp_path / f"out-{name}"
        small.train(parts["training"], parts["validation"], images, out / "m.safetensors")
        small.evaluate_parts(parts, images, out / "m.safetensors", out)
        written.append({p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()})
    assert len(written[0]) >= 9
    assert written[0] == written[1]


def test_a_shard_that_could_not_be_read_back_is_not_written(tmp_path, monkeypatch, capsys):
    """Such have 2 GiB; here, by another count, any has."""
    monkeypatch.setattr(storage, "LARGE", 1000)
    (tmp_path / "d.toml").write_text(TOML.format('storage = "parquet"'))
    arguments = ["--toml", str(tmp_path / "d.toml"), "--directory", str(tmp_path / "images")]
    assert datagen.main([*arguments, "--csvfile", str(tmp_path / "dataset.csv")]) == 2
    line = capsys.readouterr().err.strip()
    assert "simulator.shard-size: found 10 pictures of" in line
    assert "\n" not in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.toml"]


def error(folder: Path, *names: str) -> str:
    with pytest.raises(UserError) as caught:
        read_pictures(folder, ["image-000001.png", *names], table="t.csv")
    return str(caught.value)


def test_a_picture_that_no_shard_holds_is_named(shards):
    missing = f"found no picture {shards / 'image-000099.png'}, expected a PNG there"
    assert error(shards, "image-000099.png") == f"t.csv: row 2: {missing}"
    outside = f"found filename '../image-000001.png', expected a file's name in {shards}"
    assert error(shards, "../image-000001.png") == f"t.csv: row 2: {outside}"


@pytest.mark.parametrize("fault", ["no shard", "half", "other columns", "no bytes", "no picture", "odd name"])
def test_a_broken_shard_is_one_line_that_names_it(shards, tmp_path, fault):
    first, path = contents(shards)["images-000000001-000000010.parquet"], tmp_path / "images-1.parquet"
    table = pd.read_parquet(shards)
    if fault == "no shard":
        path.write_bytes(b"nothing of the kind")
    elif fault == "half":
        path.write_bytes(first[: len(first) // 2])
    elif fault == "other columns":
        table.rename(columns={"png": "jpg"}).to_parquet(path)
    elif fault == "no bytes":
        table.assign(png=1.5).to_parquet(path)
    elif fault == "no picture":
        table.assign(png=b"\x89PNG nothing").to_parquet(path)
    else:
        table.assign(filename=[[1, 2]] * len(table)).to_parquet(path)
    line = error(tmp_path)
    assert "\n" not in line
    assert ("image-000001.png unreadable" if fault == "no picture" else "images-1.parquet: not a shard") in line


def test_a_failure_leaves_no_shard(tmp_path, monkeypatch):
    monkeypatch.setattr(
        ParquetShards, "_write", lambda self, shard: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    (tmp_path / "d.toml").write_text(TOML.format('storage = "parquet"'))
    arguments = ["--toml", str(tmp_path / "d.toml"), "--directory", str(tmp_path / "images")]
    assert datagen.main([*arguments, "--csvfile", str(tmp_path / "dataset.csv")]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.toml"]


def test_files_are_read_as_files(files):
    assert reader(files).order(NAMES).tolist() == list(range(25))
