"""PSFs: odd sides, centred, normalised, cropped, and their widths."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.modeling.models import Moffat2D
from scipy import ndimage

from droulette.errors import UserError
from droulette.observing.fits_files import Plane
from droulette.observing.psf import fwhm, prepare_psf


def gaussian(width: float, shape: tuple[int, int], row: float, column: float) -> np.ndarray:
    rows, columns = np.indices(shape)
    return np.exp(-((rows - row) ** 2 + (columns - column) ** 2) * 4 * np.log(2) / width**2)


def plane(values: np.ndarray) -> Plane:
    return Plane("psf.fits", 0, "psf", values[::-1], fits.Header(), fits.Header())


@pytest.mark.parametrize("width", [1.7, 2.0, 3.1, 6.0, 15.0])
@pytest.mark.parametrize("off", [0.0, 0.3, 0.5])
def test_the_width_of_a_gaussian_is_measured(width, off):
    assert fwhm(gaussian(width, (41, 41), 20 + off, 20 - off)) == pytest.approx(width, rel=0.03)


@pytest.mark.parametrize("power", [2.5, 4.0])
def test_the_width_of_a_moffat_function_is_measured(power):
    model = Moffat2D(1, 25, 25, 3, power)
    rows, columns = np.indices((51, 51))
    assert fwhm(model(columns, rows)) == pytest.approx(model.fwhm, rel=0.02)


def test_an_odd_centred_kernel_is_kept_but_normalised_and_turned():
    values = gaussian(2, (25, 21), 12, 10)
    values[2, 10] = 0.04
    kernel, width, steps, warned = prepare_psf(plane(7 * values))
    np.testing.assert_allclose(kernel, values / values.sum(), rtol=1e-12)
    assert width == pytest.approx(2, rel=0.03)
    assert warned == [] and steps == [f"PSF of 21×25 px, FWHM {width:.2f} px"]


@pytest.mark.parametrize("row", [11, 11.5, 12, 12.3])
@pytest.mark.parametrize("columns", [24, 25])
def test_an_even_kernel_becomes_odd_with_its_light_in_the_middle(row, columns):
    kernel, width, steps, warned = prepare_psf(plane(gaussian(3, (24, columns), row, columns // 2)))
    assert kernel.shape == (25, 25)
    np.testing.assert_allclose(ndimage.center_of_mass(kernel), 12, atol=0.02)
    np.testing.assert_allclose(kernel, gaussian(3, (25, 25), 12, 12) / kernel.sum() / 10.198, atol=2e-3)
    assert kernel.sum() == pytest.approx(1) and width == pytest.approx(3, rel=0.03)
    assert f"PSF of {columns}×24 px made 25×25" in steps[0] and warned == []


def test_a_large_kernel_is_cropped_to_nearly_all_of_its_light():
    kernel, _, steps, _ = prepare_psf(plane(gaussian(8, (201, 201), 100, 100)))
    assert kernel.shape == (29, 29) and "cropped to 29×29" in steps[0]
    inside = gaussian(8, (201, 201), 100, 100)
    reach = kernel.shape[0] // 2
    held = [inside[100 - k : 101 + k, 100 - k : 101 + k].sum() / inside.sum() for k in (reach - 1, reach)]
    assert held[0] < 0.9999 <= held[1]
    assert prepare_psf(plane(gaussian(8, (101, 101), 50, 50)))[0].shape == (101, 101)


def test_a_kernel_off_its_middle_is_warned_of():
    assert "0.8 px from its middle" in prepare_psf(plane(gaussian(3, (25, 25), 12.8, 12)))[3][0]
    assert prepare_psf(plane(gaussian(3, (25, 25), 12.4, 12)))[3] == []


@pytest.mark.parametrize("values", [np.zeros((5, 5)), -np.ones((5, 5)), np.full((5, 5), np.nan), np.ones((3, 5, 5))])
def test_what_is_no_psf_is_refused(values):
    with pytest.raises(UserError, match=r"psf\.fits: found .*expected"):
        prepare_psf(plane(values))
