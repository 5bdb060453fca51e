"""What networks are shown: turned pictures and log-polar maps, against spots at known places."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from droulette.learning.preprocessing import LogPolar, WholePicture
from droulette.learning.symmetry import Motions

EIGHT = [(90.0 * turns, mirror) for mirror in (False, True) for turns in range(4)]


def motions(degrees: float, mirror: bool = False, zoom: float = 1.0, count: int = 1) -> Motions:
    return Motions(np.full(count, degrees), np.full(count, mirror), np.full(count, zoom))


def spot(x: float, y: float, size: int, width: float = 2.0) -> torch.Tensor:
    """A round spot at (x, y), (1, N, N) uint8: pixel (i, j) is the point x = j − N/2, y = N/2 − i."""
    i, j = np.mgrid[:size, :size]
    levels = 255 * np.exp(-((j - size / 2 - x) ** 2 + (size / 2 - i - y) ** 2) / (2 * width**2))
    return torch.from_numpy(levels.round().astype(np.uint8))[None]


def moved(x, y, degrees, mirror, zoom=1.0) -> tuple[float, float]:
    point = complex(x, -y if mirror else y) * np.exp(1j * np.deg2rad(degrees)) * zoom
    return point.real, point.imag


@pytest.mark.parametrize(("degrees", "mirror"), EIGHT)
@pytest.mark.parametrize("size", [16, 17])
@given(x=st.floats(-6, 6), y=st.floats(-6, 6))
@settings(max_examples=20)
def test_a_picture_is_turned_and_mirrored_about_its_origin(degrees, mirror, size, x, y):
    found = WholePicture(size).move(spot(x, y, size), motions(degrees, mirror)).int()
    expected = spot(*moved(x, y, degrees, mirror), size).int()
    assert (found - expected)[:, 1:, 1:].abs().max() <= 1


def test_each_picture_of_a_batch_gets_its_own_motion_and_keeps_its_light():
    batch = torch.arange(8 * 64, dtype=torch.uint8).reshape(8, 8, 8)
    degrees, mirror = map(np.array, zip(*EIGHT, strict=True))
    preprocessing = WholePicture(8)
    turned = preprocessing.move(batch, Motions(degrees, mirror, np.ones(8)))
    for k, one in enumerate(EIGHT):
        assert torch.equal(turned[k], preprocessing.move(batch[[k]], motions(*one))[0])
        assert sorted(turned[k].flatten().tolist()) == sorted(batch[k].flatten().tolist())


def brightest(views: torch.Tensor) -> tuple[float, float]:
    """Row and angle in degrees of the light's middle on the map."""
    light = views[0, 0].double() ** 4
    rows, columns = light.sum(1), light.sum(0)
    angle = torch.arange(len(columns)) * (2 * np.pi / len(columns))
    phase = torch.atan2((columns * angle.sin()).sum(), (columns * angle.cos()).sum())
    return float((rows * torch.arange(len(rows))).sum() / rows.sum()), float(torch.rad2deg(phase))


@pytest.mark.parametrize("size", [64, 101, 256])
@pytest.mark.parametrize(("radius", "degrees"), [(4.0, 10.0), (12.0, 100.0), (20.0, -130.0), (27.0, 45.0)])
def test_a_spot_is_seen_at_the_logarithm_of_its_radius_and_at_its_angle(size, radius, degrees):
    preprocessing = LogPolar(size, 64, 128)
    x, y = moved(radius, 0, degrees, False)
    row, angle = brightest(preprocessing.views(spot(x, y, size, 1.0)))
    assert preprocessing.INNER * preprocessing.growth**row == pytest.approx(radius, rel=0.02, abs=0.5)
    assert (angle - degrees + 180) % 360 - 180 == pytest.approx(0, abs=3)


@pytest.mark.parametrize(
    ("degrees", "mirror", "zoom"), [(90, False, 0), (180, True, 0), (45, False, 1), (270, True, -2)]
)
def test_a_moved_view_is_the_view_of_the_moved_picture(degrees, mirror, zoom):
    preprocessing = LogPolar(128, 64, 128)
    factor = preprocessing.growth**zoom
    before, after = spot(14, -5, 128, 3.0), spot(*moved(14, -5, degrees, mirror, factor), 128, 3.0 * factor)
    found = preprocessing.move(preprocessing.views(before), motions(degrees, mirror, factor)).float()
    assert (found - preprocessing.views(after).float()).abs().max() < 0.06
    assert (found - preprocessing.views(before).float()).abs().max() > 0.5


def test_motions_of_a_batch_are_those_of_each_view():
    preprocessing = LogPolar(64, 16, 32)
    views = preprocessing.views(
        torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    )
    three = Motions(
        np.array([0.0, 90, 45]),
        np.array([False, True, False]),
        np.array([1.0, preprocessing.growth, 1 / preprocessing.growth]),
    )
    together = preprocessing.move(views, three)
    for k in range(3):
        assert torch.equal(together[k], preprocessing.move(views[[k]], three[[k]])[0])
    assert torch.equal(together[0], views[0])


@pytest.mark.parametrize(("levels", "expected"), [(4, 0), (1, 20)])
def test_a_point_of_light_between_two_samples_is_not_lost(levels, expected, monkeypatch):
    """The mipmap is what keeps it: with one level a third or more are not seen at all."""
    monkeypatch.setattr(LogPolar, "LEVELS", levels)
    preprocessing, lost = LogPolar(256, 64, 128), 0
    for angle in np.linspace(0, 360, 60, endpoint=False):
        x, y = moved(115, 0, angle, False)
        lost += int(preprocessing.views(spot(round(x), round(y), 256, 0.5)).max() < 0.05)
    assert lost >= expected if expected else lost == 0
