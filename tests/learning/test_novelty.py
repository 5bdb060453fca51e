"""Pictures unlike the training pictures are told from those like them."""

import numpy as np
import pytest

from droulette.learning.novelty import Novelty, describe
from droulette.learning.preprocessing import LogPolar, WholePicture
from droulette.learning.symmetry import Motions
from droulette.pipeline.pictures import make_views

SIZE = 48
PREPROCESSINGS = {"polar": LogPolar(SIZE, 32, 64), "whole": WholePicture(SIZE)}


def rings(count: int, seed: int) -> np.ndarray:
    """Arcs of several radii, widths and directions: (count, SIZE, SIZE) uint8."""
    random = np.random.default_rng(seed)
    i, j = np.mgrid[:SIZE, :SIZE]
    x, y = (j - SIZE / 2)[None], (SIZE / 2 - i)[None]
    radius, width, side, turn, peak = (
        random.uniform(low, high, (count, 1, 1)) for low, high in ((5, 14), (1.5, 3), (0, 3), (0, 6.3), (60, 250))
    )
    along = np.exp(side * (np.cos(np.arctan2(y, x) - turn) - 1))
    return np.rint(peak * along * np.exp(-(((np.hypot(x, y) - radius) / width) ** 2) / 2)).astype(np.uint8)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)


@pytest.fixture(scope="module", params=PREPROCESSINGS)
def fitted(request):
    preprocessing = PREPROCESSINGS[request.param]
    return preprocessing, Novelty.fit(
        preprocessing, make_views(preprocessing, rings(500, 0)), make_views(preprocessing, rings(200, 1))
    )


def test_pictures_of_the_same_kind_are_not_called_unlike_and_others_are(fitted):
    preprocessing, measure = fitted
    assert (measure.score(preprocessing, make_views(preprocessing, rings(200, 2))) > 1).mean() <= 0.03
    assert (measure.score(preprocessing, make_views(preprocessing, noise(20))) > 1.5).all()
    i, j = np.mgrid[:SIZE, :SIZE]
    blob = np.rint(200 * np.exp(-((i - SIZE / 2) ** 2 + (j - SIZE / 2) ** 2) / 50)).astype(np.uint8)
    assert measure.score(preprocessing, make_views(preprocessing, blob[None])) > 1
    for level in (0, 255):
        assert measure.score(preprocessing, make_views(preprocessing, np.full((1, SIZE, SIZE), level, np.uint8))) > 1


def test_the_threshold_is_what_nearly_all_validation_pictures_stay_below(fitted):
    preprocessing, measure = fitted
    scores = measure.score(preprocessing, make_views(preprocessing, rings(200, 1)))
    assert (scores <= 1 + 1e-6).mean() >= 0.995 and scores.max() == pytest.approx(1, rel=1e-5)


def test_a_turned_or_mirrored_scene_is_as_unlike_as_before(fitted):
    preprocessing, measure = fitted
    views = make_views(preprocessing, rings(3, 4))
    before = measure.score(preprocessing, views)
    import torch

    for degrees, mirror in ((90, False), (180, True)):
        motions = Motions(np.full(3, float(degrees)), np.full(3, mirror), np.ones(3))
        moved = preprocessing.move(torch.from_numpy(views), motions).numpy()
        np.testing.assert_allclose(measure.score(preprocessing, moved), before, rtol=0.05)


def test_fitting_twice_gives_the_same_numbers(fitted):
    preprocessing, measure = fitted
    again = Novelty.fit(
        preprocessing, make_views(preprocessing, rings(500, 0)), make_views(preprocessing, rings(200, 1))
    )
    for name in ("mean", "axes", "reference", "threshold"):
        np.testing.assert_array_equal(getattr(again, name), getattr(measure, name))


@pytest.mark.parametrize(("training", "validation"), [(2, 1), (1, 1), (3, 2)])
def test_a_handful_of_pictures_is_enough_to_have_an_answer(training, validation):
    preprocessing = PREPROCESSINGS["polar"]
    measure = Novelty.fit(
        preprocessing, make_views(preprocessing, rings(training, 0)), make_views(preprocessing, rings(validation, 1))
    )
    measure.check()
    assert np.isfinite(measure.score(preprocessing, make_views(preprocessing, noise(2)))).all()


def test_black_training_pictures_have_an_answer():
    preprocessing = PREPROCESSINGS["polar"]
    black = np.zeros((5, SIZE, SIZE), np.uint8)
    measure = Novelty.fit(preprocessing, make_views(preprocessing, black), make_views(preprocessing, black))
    measure.check()
    assert (measure.score(preprocessing, make_views(preprocessing, black)) <= 1).all() and (
        measure.score(preprocessing, make_views(preprocessing, noise(2))) > 1
    ).all()


def test_the_description_has_its_length_whatever_the_eye():
    for preprocessing in (*PREPROCESSINGS.values(), LogPolar(SIZE, 96, 192), LogPolar(SIZE, 64, 128)):
        assert describe(preprocessing, make_views(preprocessing, rings(2, 0))).shape == (2, 145)
