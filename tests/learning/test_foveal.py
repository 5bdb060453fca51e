"""The fovea sees the middle sharply and the whole picture at least coarsely."""

import numpy as np
import pytest
import torch

from droulette.learning.backbones import OWN
from droulette.learning.foveal import FOVEA, Foveal, foveate, levels


@pytest.mark.parametrize(("size", "count"), [(17, 1), (64, 1), (65, 2), (100, 2), (128, 2), (256, 3), (300, 4)])
def test_levels_cover_the_picture_and_its_middle_is_kept(size, count):
    assert levels(size) == count
    picture = torch.rand(1, 1, size, size)
    seen = foveate(picture, count)[0, :count] ** 2
    assert seen.shape == (count, FOVEA, FOVEA)
    # the last level holds all of the light, the first the middle pixel by pixel with the origin at (32, 32)
    torch.testing.assert_close(seen[-1].sum() * 4 ** (count - 1), picture.sum(), rtol=1e-4, atol=0)
    half = size // 2
    torch.testing.assert_close(seen[0, 32:40, 32:40], picture[0, 0, half : half + 8, half : half + 8])


def test_coordinates_grow_to_the_right_and_upwards():
    x, y = foveate(torch.zeros(1, 1, 256, 256), 3)[0, 3:]
    assert (np.diff(x.numpy(), axis=1) > 0).all() and (np.diff(y.numpy(), axis=0) < 0).all()


@pytest.mark.parametrize("size", [33, 64, 200])
def test_forward_takes_any_size(size):
    network = Foveal(5, size, **OWN["foveal_tiny"])
    assert network(torch.rand(2, 1, size, size)).shape == (2, 5)
