"""World coordinates, checked with astropy's own."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from mocks import SIZE, galaxy, sky_cards, write

from droulette.errors import UserError
from droulette.observing import observe, position_angle, sky

SIDE = 0.1 / 3600  # degrees


def turned(angle: float, mirrored: bool) -> np.ndarray:
    """The CD matrix of a picture whose y axis points to position angle `angle`; mirrored: with east to the right."""
    a = np.radians(angle)
    return SIDE * np.array([[-np.cos(a), np.sin(a)], [np.sin(a), np.cos(a)]]) @ np.diag([-1 if mirrored else 1, 1])


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("angle", [0, 30, 117, 290])
def test_directions_are_position_angles_in_turned_and_mirrored_pictures(tmp_path, angle, mirrored):
    path = write(tmp_path / "a.fits", galaxy(), **sky_cards(turned(angle, mirrored)))
    found = observe(path)
    assert found.pixel_scale == pytest.approx(0.1, rel=1e-6)
    for direction in (0, 90, 45, 200):
        # From up, 90°, through left, which is east unless mirrored.
        expected = angle + (90 - direction if mirrored else direction - 90)
        difference = position_angle(found, direction) - expected
        assert abs((difference + 180) % 360 - 180) < 0.01
        assert 0 <= position_angle(found, direction) < 360
        column, row = found.centre
        a = np.radians(direction)
        places = [sky(found, column + k * np.cos(a), row - k * np.sin(a)) for k in (0, 5)]
        start, end = (SkyCoord(*place, unit="deg") for place in places)
        assert abs((start.position_angle(end).deg - expected + 180) % 360 - 180) < 0.01
        assert start.separation(end).arcsec == pytest.approx(0.5, rel=1e-4)


def test_the_middle_and_up_are_where_the_header_says(tmp_path):
    found = observe(write(tmp_path / "a.fits", galaxy(), **sky_cards(turned(0, False))))
    middle = (SIZE - 1) / 2
    np.testing.assert_allclose(sky(found, middle, middle), (150.1, 2.2), atol=1e-9)
    assert sky(found, middle, middle - 10)[1] == pytest.approx(2.2 + 10 * SIDE, abs=1e-9)  # y down: up is north
    assert sky(found, middle - 10, middle)[0] > 150.1


def test_galactic_coordinates_are_made_equatorial(tmp_path):
    cards = sky_cards(turned(0, False)) | {"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "RADESYS": ""}
    found = observe(write(tmp_path / "a.fits", galaxy(), **cards))
    expected = SkyCoord(150.1, 2.2, unit="deg", frame="galactic").icrs
    np.testing.assert_allclose(sky(found, 40, 40), (expected.ra.deg, expected.dec.deg), atol=1e-8)


def test_pixels_that_are_not_square_are_warned_of(tmp_path):
    matrix = turned(20, False) @ np.diag([1.02, 1])
    found = observe(write(tmp_path / "a.fits", galaxy(), **sky_cards(matrix)))
    assert found.warnings == ["its pixels are not square: one side is 2.0% longer"]
    assert found.pixel_scale == pytest.approx(0.1 * np.sqrt(1.02), rel=1e-4)
    assert observe(write(tmp_path / "b.fits", galaxy(), **sky_cards(turned(20, False)))).warnings == []


@pytest.mark.parametrize(
    "cards",
    [
        {},
        {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": 0.0, "CD2_2": 0.0, "CD1_2": 0.0, "CD2_1": 0.0},
        {"CTYPE1": "RA---TAN"},
        {"CTYPE1": "RA---QQQ", "CTYPE2": "DEC--QQQ", "CD1_1": 1e-5, "CD2_2": 1e-5},
        {"CTYPE1": 3, "CTYPE2": True},
        sky_cards(turned(0, False)) | {"RADESYS": "NONE"},
    ],
)
def test_without_usable_coordinates_a_picture_is_still_read(tmp_path, cards):
    found = observe(write(tmp_path / "a.fits", galaxy(), **cards))
    assert found.wcs is None and found.pixel_scale is None and "no world coordinates" in found.steps
    for act in (lambda: sky(found, 1, 1), lambda: position_angle(found, 30)):
        with pytest.raises(UserError, match=r"a\.fits: found no world coordinates"):
            act()
