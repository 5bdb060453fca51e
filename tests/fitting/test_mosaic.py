"""Mosaics of wide and narrow pixels tell what all pixels tell, near the scene that they were made for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fit_scenes import FAMILY, NOISE, PSF, blank, coordinates

from droulette.fitting.bound import covariance
from droulette.fitting.mosaic import TILE, Mosaic, mosaic
from droulette.fitting.observation import Observation
from droulette.physics.convolution import gaussian_kernels
from droulette.physics.instrument import Kernel

COUNT, SIZE = 3, 256
AT = coordinates(COUNT, seed=4)


def large(psf=None) -> Observation:
    """Pictures of 256² pixels, with noise."""
    nothing = np.zeros((COUNT, SIZE, SIZE))
    about = Observation(nothing, nothing + 1 / NOISE, np.full(COUNT, PSF) if psf is None else psf)
    light = np.concatenate([drawn[:, 0] for _, drawn in about.drawn(FAMILY, AT)])
    return replace(about, pictures=light + NOISE * np.random.default_rng(3).standard_normal(light.shape))


OBSERVATION = large()
MOSAIC = mosaic(OBSERVATION, FAMILY, AT)


def derivatives(about: Observation | Mosaic) -> np.ndarray:
    return np.concatenate([d for _, _, d in about.derivatives(FAMILY, AT, np.full_like(AT, 1e-4))])


def test_most_of_a_picture_is_in_wide_pixels():
    assert isinstance(MOSAIC, Mosaic)
    assert (MOSAIC.lengths() < SIZE**2 / 4).all()
    (wide, _), *tiles = MOSAIC.layers
    assert [parts.pixel for parts, _ in tiles] == [2, 1]
    under = sum(np.bincount(of, minlength=COUNT) for _, of in tiles)
    assert ((wide.weights == 0).sum(axis=(1, 2)) * 4**2 == under * TILE**2).all()


def test_what_it_tells_of_the_coordinates_is_what_all_pixels_tell():
    whole, parts = (d @ d.swapaxes(1, 2) for d in map(derivatives, (OBSERVATION, MOSAIC)))
    np.testing.assert_allclose(np.linalg.eigvals(covariance(whole) @ parts).real, 1, atol=0.05)


def test_some_pictures_in_wide_pixels_are_those_of_the_whole():
    rows = np.array([2, 0])
    OBSERVATION.binned(4)
    taken, anew = OBSERVATION[rows].binned(4), replace(OBSERVATION)[rows].binned(4)
    for name in ("pictures", "weights", "psf"):
        np.testing.assert_array_equal(getattr(taken, name), getattr(anew, name))
    other = replace(OBSERVATION, pictures=2 * OBSERVATION.pictures)
    np.testing.assert_allclose(other.binned(4).pictures, 2 * OBSERVATION.binned(4).pictures)


def test_derivatives_are_the_same_of_a_few_pictures_at_a_time(monkeypatch):
    steps = np.full_like(AT, 1e-4)
    ((_, at_once, slopes),) = MOSAIC.derivatives(FAMILY, AT, steps)
    monkeypatch.setattr("droulette.fitting.mosaic.NUMBERS_AT_ONCE", 1)
    lengths = MOSAIC.lengths()
    assert len(set(lengths)) > 1
    for number, (rows, residuals, of_row) in enumerate(MOSAIC.derivatives(FAMILY, AT, steps)):
        assert rows == slice(number, number + 1)
        length = lengths[number]
        np.testing.assert_array_equal(residuals[0], at_once[number, :length])
        np.testing.assert_array_equal(of_row[0], slopes[number, :, :length])
    assert number == COUNT - 1


def test_chi2_rises_as_that_of_all_pixels():
    whole = derivatives(OBSERVATION)
    roots = np.linalg.cholesky(covariance(whole @ whole.swapaxes(1, 2)))
    unit = np.random.default_rng(1).standard_normal((COUNT, 10, 5))
    points = np.concatenate([AT[:, None], AT[:, None] + (roots @ unit).swapaxes(1, 2)], axis=1)
    expected, found = (about.squares_at(FAMILY, points) for about in (OBSERVATION, MOSAIC))
    np.testing.assert_allclose(found - found[:, :1], expected - expected[:, :1], atol=0.5)


def test_rows_in_any_order_are_those_of_the_whole():
    rows = np.array([2, 0, 2])
    some, whole = MOSAIC[rows], MOSAIC.residuals(FAMILY, AT)
    np.testing.assert_array_equal(some.lengths(), MOSAIC.lengths()[rows])
    for row, residuals in zip(rows, some.residuals(FAMILY, AT[rows]), strict=True):
        length = MOSAIC.lengths()[row]
        np.testing.assert_array_equal(residuals[:length], whole[row, :length])
        assert not whole[row, length:].any()


def test_of_light_far_below_the_noise_wide_pixels_tell_all():
    faint = replace(OBSERVATION, weights=OBSERVATION.weights * 1e-4)
    parts = mosaic(faint, FAMILY, AT)
    assert isinstance(parts, Mosaic)
    np.testing.assert_array_equal(parts.lengths(), np.full(COUNT, (SIZE // 4) ** 2))
    found = parts.squares_at(FAMILY, AT[:, None])[:, 0]  # of noise that is 10⁻⁴ of what the weights say
    np.testing.assert_allclose(found, 1e-8 * (SIZE // 4) ** 2, rtol=0.1)


def test_of_a_kernel_too():
    weights = gaussian_kernels(np.array([PSF]))[0][0]
    line = np.concatenate([weights[:0:-1], weights])
    about = large(Kernel(np.outer(line, line)))
    parts = mosaic(about, FAMILY, AT)
    assert isinstance(parts, Mosaic)
    expected, found = (some.residuals(FAMILY, AT)[0, -(TILE**2) :] for some in (MOSAIC[[0]], parts[[0]]))
    # The pictures differ by what a kernel's rounding makes of their light.
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("about", [blank(COUNT), replace(OBSERVATION, alike=True), OBSERVATION.binned(2)])
def test_where_it_would_spare_little_all_pixels_are_kept(about):
    assert mosaic(about, FAMILY, AT) is about
