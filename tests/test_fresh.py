"""Training pictures that are drawn as they are needed."""

import threading
from pathlib import Path

import numpy as np
import pytest
import small
import torch

from droulette import parameters
from droulette.errors import UserError
from droulette.learning.preprocessing import WholePicture
from droulette.learning.scaling import SCALINGS
from droulette.pipeline import fresh
from droulette.pipeline.draw import draw_table
from droulette.pipeline.fresh import FreshPictures
from droulette.pipeline.generate import Drawing, generate
from droulette.pipeline.pictures import read_pictures

COLUMNS = ["sigma", "xiX", "xiY", "alpha[1][0]"]
SIZE = 40  # rows of the dataset
TABLES = small.SIMULATION | {"simulator": small.SIMULATION["simulator"] | {"size": SIZE, "seed": 5}}


def pictures_of(count: int, device: str = "cpu", **tables) -> FreshPictures:
    params = parameters.parse(TABLES | tables)
    scaling = SCALINGS["standard"].fit(np.array([[0.0] * 4, [1.0, 2.0, 3.0, 4.0]]), COLUMNS)
    return FreshPictures(params, COLUMNS, count, 48, WholePicture(48), scaling, torch.device(device))


def epoch_of(pictures: FreshPictures, epoch: int, size: int, share: slice = slice(None)) -> list:
    starts = list(range(0, pictures.count, size))
    return list(pictures.batches(epoch, starts, size, share))


def together(batches: list) -> list[np.ndarray]:
    return [torch.cat([getattr(batch, name) for batch in batches]).cpu().numpy() for name in ("views", "targets")]


@pytest.mark.parametrize("epoch", [0, 2])
def test_they_are_the_rows_beyond_the_datasets_as_generate_draws_them(epoch, tmp_path):
    count = 21
    views, targets = together(epoch_of(pictures_of(count), epoch, 8))
    first, params = SIZE + epoch * count, parameters.parse(TABLES)
    frame = draw_table(params, first, first + count)
    table = generate(frame, Drawing.of(params.simulator), tmp_path)
    np.testing.assert_array_equal(views, read_pictures(tmp_path, list(frame["filename"]), table="t"))
    scaled = pictures_of(count).scaling.transform(table[COLUMNS].to_numpy())
    np.testing.assert_array_equal(targets, scaled.astype(np.float32))


def test_neither_batches_nor_chunks_nor_processes_change_them(monkeypatch):
    every = together(epoch_of(pictures_of(30), 1, 8))
    monkeypatch.setitem(fresh.ROWS_AT_ONCE, "cpu", 1)
    for found, expected in zip(together(epoch_of(pictures_of(30), 1, 6)), every, strict=True):
        np.testing.assert_array_equal(found, expected)
    first, second = (epoch_of(pictures_of(30), 1, 8, slice(rank, None, 2)) for rank in (0, 1))
    assert [batch.in_all for batch in first] == [8, 8, 8, 6]
    for number, pair in enumerate(zip(first, second, strict=True)):
        expected = every[1][8 * number : 8 * number + pair[0].in_all]
        for rank, batch in enumerate(pair):
            np.testing.assert_array_equal(batch.targets, expected[rank::2])


@pytest.mark.parametrize("sampled", [False, True])
def test_a_card_draws_the_same(cuda, sampled):
    tables = {"simulator": TABLES["simulator"] | {"sampled": sampled}}
    expected = together(epoch_of(pictures_of(10, **tables), 0, 4))
    with cuda:
        batches = epoch_of(pictures_of(10, "cuda", **tables), 0, 4)
        assert {batch.views.device.type for batch in batches} == {"cuda"}
        found = together(batches)
    for array, wanted in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array, wanted)


def test_a_training_on_them_is_the_same_twice_and_after_it_was_stopped(tmp_path):
    parts = small.draw_parts(tmp_path / "data", 48, 24, 8)
    paths = (parts["training"], parts["validation"], tmp_path / "data/images")
    options = {"tables": TABLES, "fresh_pictures": True, "num_epochs": 2}
    epochs = []

    def stop(metrics):
        epochs.append(metrics["epoch"])
        raise KeyboardInterrupt

    small.train(*paths, tmp_path / "first", **options)
    small.train(*paths, tmp_path / "again", **options)
    with pytest.raises(KeyboardInterrupt):
        small.train(*paths, tmp_path / "stopped", log=stop, **options)
    small.train(*paths, tmp_path / "stopped", log=lambda metrics: epochs.append(metrics["epoch"]), **options)
    small.train(*paths, tmp_path / "stored", tables=TABLES, num_epochs=2)
    names = ("first", "again", "stopped", "stored")
    first, again, stopped, stored = (Path(tmp_path / name).read_bytes() for name in names)
    assert first == again == stopped
    assert first != stored
    assert epochs == [1, 1, 2]


def test_tables_that_do_not_give_the_datasets_pictures_are_refused():
    with pytest.raises(UserError, match="48 px"):
        pictures_of(4, simulator=TABLES["simulator"] | {"cropsize": 32})
    with pytest.raises(UserError, match=r"alpha\[1\]\[0\]"):
        pictures_of(4, simulator=TABLES["simulator"] | {"nterms": 0})


def test_no_thread_is_left_when_an_epoch_is_not_finished():
    before = threading.active_count()
    batches = pictures_of(400).batches(0, list(range(0, 400, 4)), 4, slice(None))
    next(batches)
    batches.close()
    assert threading.active_count() == before
