"""The screen tells pictures of other kinds by features, and passes those of every kind that it was shown as known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from droulette.learning import screen
from droulette.learning.screen import SHARE, Screen, features


class Plain(nn.Module):
    """Its features are the views themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def describe(self, views: torch.Tensor) -> torch.Tensor:
        return views


def pictures(seed: int, count: int, *moved: tuple[int, float]) -> np.ndarray:
    """(count, 20) float32, of which some features are moved."""
    found = np.random.default_rng(seed).normal(size=(count, 20))
    for feature, by in moved:
        found[:, feature] += by
    return found.astype(np.float32)


def test_other_kinds_are_told_and_known_ones_pass(monkeypatch):
    monkeypatch.setattr(screen, "MOST", 400)  # of the known ones: the second kind, behind the first, is there too
    known = np.concatenate([pictures(0, 1000), pictures(1, 1000, (0, 4.0))])
    validation = np.concatenate([pictures(2, 1000), pictures(3, 1000, (0, 4.0))])
    others = [pictures(4, 1000, (0, 4.0), (1, 5.0))]
    found = Screen.fit(known, validation, others)
    found.check()
    network = Plain()
    passed = (found.score(network, validation) <= 1).mean()
    assert passed == pytest.approx(SHARE, abs=0.001)
    for kind in (pictures(5, 2000), pictures(6, 2000, (0, 4.0))):
        assert (found.score(network, kind) <= 1).mean() > 0.97
    assert (found.score(network, pictures(7, 2000, (0, 4.0), (1, 5.0))) > 1).mean() > 0.95


def test_kinds_that_differ_in_opposite_ways_are_told():
    """A plane between the known ones and both would have no side."""
    kinds = [pictures(10, 1000, (1, 5.0)), pictures(11, 3000, (1, -5.0))]
    found = Screen.fit(pictures(12, 2000), pictures(13, 4000), kinds)
    found.check()
    assert found.weights.shape == (2, 20) and found.threshold.shape == (2,)
    network = Plain()
    assert (found.score(network, pictures(13, 4000)) <= 1).mean() == pytest.approx(SHARE, abs=0.001)
    for moved in (5.0, -5.0):
        assert (found.score(network, pictures(14, 1000, (1, moved))) > 1).mean() > 0.95


def test_a_file_may_have_one_kind_without_its_dimension():
    found = Screen.fit(pictures(0, 500), pictures(1, 500), [pictures(2, 500, (1, 5.0))])
    older = replace(found, weights=found.weights[0], threshold=found.threshold[0])
    older.check()
    views = pictures(3, 50, (1, 3.0))
    np.testing.assert_allclose(older.score(Plain(), views), found.score(Plain(), views), rtol=1e-6)
    for wrong in (
        replace(found, threshold=found.threshold[0]),
        replace(found, weights=found.weights[:, 1:]),
        replace(found, weights=found.weights[:0], threshold=found.threshold[:0]),
        replace(found, scale=0 * found.scale),
    ):
        with pytest.raises(ValueError, match="screen"):
            wrong.check()


def test_features_do_not_depend_on_the_batch(monkeypatch):
    views = pictures(8, 10)
    monkeypatch.setattr(screen, "AT_ONCE", 3)
    np.testing.assert_array_equal(features(Plain(), views), views)
