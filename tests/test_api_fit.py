"""`dr.fit`: a scene that was drawn through a telescope is found again in its picture, without a network."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits

import droulette as dr

NOISE, WIDTH = 0.02, 2.5


@pytest.fixture(scope="module")
def scene() -> dr.Scene:
    lens = dr.lens("SIE", einstein_radius=11, axis_ratio=0.7, orientation=40)
    source = dr.source("SersicEllipsoid", sigma=3, sigma2=2, theta=30, n_sersic=1.2, luminosity=40)
    camera = dr.instrument(psf="gaussian", psf_fwhm=WIDTH, noise=NOISE, signal_to_noise=100, seed=1)
    light = dr.lens_light(flux_ratio=1.0, radius=5, axis_ratio=0.75, orientation=35, n_sersic=2)
    return dr.Scene(lens, source, position=(3.5, 2.0), instrument=camera, lens_light=light)


@pytest.fixture(scope="module")
def found(scene):
    picture = scene.picture(64).astype(np.float64)
    bad = np.zeros((64, 64), bool)
    bad[:6, :6] = True
    picture[bad] = 1e6  # what is masked must not matter
    return dr.fit(picture, "SIE,SersicEllipsoid", noise=NOISE, psf=WIDTH, mask=bad, samples=300)


def test_the_truth_is_within_the_errors(scene, found):
    assert found.good and found.converged and found.family == "SIE, SersicEllipsoid and lens light"
    true = scene.amplitudes(2)
    assert abs(found.amplitudes.convergence - true.convergence) < 4 * found.amplitudes.convergence_std
    assert found.amplitudes.convergence_std < 0.05
    row = found.table.iloc[0]
    for name, value in zip(("xiX", "xiY"), scene.reference_point, strict=True):
        assert abs(row[name] - value) < 4 * row[f"std:{name}"] < 4
    assert len(found.samples) == 300
    assert found.image_share == 1.0 and found.other_image is None


def test_what_is_left_is_noise(found):
    seen = found.residuals != 0
    assert found.pixels == seen.sum() < 64 * 64 - 36  # without the mask, and without the middle of the lens's light
    assert (found.residuals**2).sum() == pytest.approx(found.chi2)
    assert 0.9 < found.chi2 / found.pixels < 1.1


def test_a_fits_file_and_the_pictures_of_the_fit(scene, tmp_path):
    picture = scene.picture(64)[::-1]  # rows of FITS files go up
    fits.writeto(tmp_path / "data.fits", picture)
    fits.writeto(tmp_path / "noise.fits", np.full((64, 64), NOISE))
    made = dr.fit(tmp_path / "data.fits", "SIE,SersicEllipsoid", noise=tmp_path / "noise.fits", psf=_kernel(tmp_path))
    row, (column, line) = made.table.iloc[0], made.middle
    x, y = scene.reference_point
    assert abs(row["xiX"] + column - 32 - x) < 4 * row["std:xiX"]
    assert abs(row["xiY"] - line + 32 - y) < 4 * row["std:xiY"]
    made.write(tmp_path / "fit")
    assert fits.getdata(tmp_path / "fit" / "picture-fit.fits").shape == (3, 64, 64)


def _kernel(folder):
    rows, columns = np.mgrid[-8:9, -8:9]
    fits.writeto(folder / "psf.fits", np.exp(-4 * np.log(2) * (rows**2 + columns**2) / WIDTH**2))
    return folder / "psf.fits"


@pytest.mark.parametrize(
    "picture, options, expected",
    [
        (np.zeros((4, 8)), {"noise": 1}, "picture: found an array of shape (4, 8), expected a square"),
        (np.zeros((8, 8)), {}, "noise: found none beside an array of floats"),
        (np.zeros((8, 8)), {"noise": 1, "psf": "psf.fits"}, "psf: found a file beside an array"),
        (np.zeros((8, 8)), {"noise": 0}, "picture: found no pixel of a finite value and noise"),
        (np.zeros((64, 64)), {"noise": 1, "family": "SIEE"}, "lens.mode: found 'SIEE'"),
    ],
)
def test_what_cannot_be_fitted_is_one_line(picture, options, expected):
    with pytest.raises(dr.UserError) as caught:
        dr.fit(picture, **options)
    assert expected in str(caught.value)
