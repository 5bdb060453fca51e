"""Background, noise, objects, masks: measured on skies that are known."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from mocks import NOISE, SIZE, galaxy, images, noise, sky_cards, spot, write, write_many

from droulette.errors import UserError
from droulette.observing import observe

MIDDLE = (SIZE - 1) / 2


def said(found, word: str) -> str:
    """The only step or warning with this word."""
    (line,) = (line for line in found.steps + found.warnings if word in line)
    return line


def test_background_and_noise_are_measured_and_said(tmp_path):
    found = observe(write(tmp_path / "a.fits", galaxy() + 7))
    pixels = int(said(found, "measured from").split("from ")[1].split(" pixels")[0].replace(",", ""))
    assert 4000 < pixels < SIZE**2
    assert found.noise == pytest.approx(NOISE, rel=0.04)
    line = said(found, "measured from")
    assert float(line.split()[1].strip(",")) == pytest.approx(7, abs=3 * NOISE / np.sqrt(pixels))
    assert line.endswith(": background subtracted")
    away = np.hypot(*np.indices(found.values.shape) - MIDDLE) > 25
    assert abs(np.mean(found.values[away])) < 3 * NOISE / np.sqrt(away.sum())
    assert found.poisson == 0 and "not known from its header and taken as 0" in said(found, "light itself")
    assert found.warnings == [] and found.noise_map is None and found.psf is None and not found.bad.any()


def test_a_background_within_its_error_is_left(tmp_path):
    values = galaxy()
    found = observe(write(tmp_path / "a.fits", values))
    np.testing.assert_array_equal(found.values, values)
    assert "subtracted" not in said(found, "measured from")


def test_the_centre_of_light_and_its_signal_to_noise(tmp_path):
    found = observe(write(tmp_path / "a.fits", galaxy()))
    np.testing.assert_allclose(found.centre, (42, 37), atol=0.15)
    # Of a Gaussian the sum of squares is π · width² · peak².
    assert found.signal_to_noise == pytest.approx(np.sqrt(np.pi) * 3 * 20 / NOISE, rel=0.03)


def test_all_images_of_a_lens_are_one_object(tmp_path):
    found = observe(write(tmp_path / "a.fits", images()))
    assert found.object_pixels[40, 52] and found.object_pixels[40, 33] and not found.object_pixels[40, 42]
    light = np.array([20 * 2.5**2, 10 * 1.5**2])
    expected = (52 * light[0] + 33 * light[1]) / light.sum()
    np.testing.assert_allclose(found.centre, (expected, 40), atol=0.3)
    assert not found.neighbour_pixels.any() and not found.bad.any()


def test_neighbours_far_out_are_masked(tmp_path):
    values = images() + spot(75, 8, 2, 300) + spot(8, 70, 2, 30)
    found = observe(write(tmp_path / "a.fits", values))
    alone = observe(write(tmp_path / "b.fits", images()))
    np.testing.assert_allclose(found.centre, alone.centre, atol=0.1)
    assert "2 neighbours masked" in said(found, "neighbour")
    for row, column in ((8, 75), (70, 8)):
        assert found.bad[row, column] and found.neighbour_pixels[row, column] and found.values[row, column] == 0
    assert not found.bad[found.object_pixels].any()
    assert np.abs(found.values[~found.object_pixels]).max() < 6 * NOISE
    np.testing.assert_allclose(found.whole, values, atol=0.2)  # but for the background's level
    assert found.middle == (40, 40)
    masked = np.zeros(values.shape, np.int16)
    masked[4:12, 70:80] = 1
    row, column = np.argwhere(found.object_pixels)[20]
    masked[row, column] = 1
    fits.writeto(tmp_path / "mask.fits", masked[::-1])
    hidden = observe(tmp_path / "a.fits", mask=tmp_path / "mask.fits")
    assert (hidden.whole[4:12, 70:80] == 0).all() and hidden.whole[8, 75] == 0
    assert hidden.whole[row, column] == hidden.values[row, column] != 0  # interpolated


def wide_pair() -> np.ndarray:
    """An image 33 px from the middle, 4/10 of the side, and its counter image 10 px on the other side."""
    return spot(73, 40, 2.5, 20) + spot(30, 40, 1.5, 20) + noise()


def ring_with_neighbour() -> np.ndarray:
    """A ring of 10 px, and a galaxy 33 px from the middle."""
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    ring = sum(spot(40 + 10 * np.cos(a), 40 + 10 * np.sin(a), 2, 10) for a in angles)
    return ring + spot(73, 40, 2.5, 20) + noise()


@pytest.mark.parametrize(("values", "is_image"), [(wide_pair(), True), (ring_with_neighbour(), False)])
def test_light_at_the_rim_is_an_image_if_it_has_a_counter_image(tmp_path, values, is_image):
    path = write(tmp_path / "a.fits", values)
    found = observe(path)
    assert found.outlying_pixels[40, 73] and not found.outlying_pixels[:, :60].any()
    assert found.object_pixels[40, 73] == is_image and found.neighbour_pixels[40, 73] == (not is_image)
    assert ("1 neighbour masked" in " ".join(found.steps)) == (not is_image)
    for taken in (True, False):
        other = observe(path, outlying=taken)
        assert other.object_pixels[40, 73] == taken and (other.values[40, 73] == 0) == (not taken)


def test_the_object_is_the_one_at_the_place_that_is_asked_for(tmp_path):
    values = noise(1, 400) + spot(300, 90, 3, 20, 400) + spot(200, 200, 3, 20, 400)
    path = write(tmp_path / "a.fits", values)
    np.testing.assert_allclose(observe(path, at=(302, 88)).centre, (300, 90), atol=0.1)
    np.testing.assert_allclose(observe(path).centre, (200, 200), atol=0.1)
    with pytest.raises(UserError, match=r"a\.fits: found no light above 3 sigma near column 30, row 380"):
        observe(path, at=(30, 380))
    with pytest.raises(UserError, match=r"a\.fits: found no pixel at column 400, row 3: it has 400×400"):
        observe(path, at=(400, 3))


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_no_light(tmp_path, seed):
    with pytest.raises(UserError, match="no light above 3 sigma near column 40, row 40"):
        observe(write(tmp_path / "a.fits", noise(seed)))


def test_a_picture_without_noise_needs_a_noise_map(tmp_path):
    values = spot(40, 40, 2, 20)
    path = write(tmp_path / "a.fits", np.where(values > 1e-3, values, 0))
    with pytest.raises(UserError, match="found no noise in its background, expected some, or a noise map"):
        observe(path)
    found = observe(path, noise=write(tmp_path / "n.fits", np.full(values.shape, 0.5)))
    np.testing.assert_allclose(found.centre, (40, 40), atol=1e-6)
    assert found.noise == 0.5 and "its noise map says 0.5" in found.warnings[0]


SLOPE = 0.05  # variance for each unit of light


def poisson_galaxy(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A picture whose light has noise of its own, and its true noise."""
    clean = spot(42, 37, 4, 50)
    errors = np.sqrt(NOISE**2 + SLOPE * clean)
    return clean + errors * np.random.default_rng(seed).normal(size=clean.shape), errors


def test_a_noise_map_gives_the_noise_of_background_and_light(tmp_path):
    values, errors = poisson_galaxy()
    path = write(tmp_path / "a.fits", values)
    found = observe(path, noise=write(tmp_path / "n.fits", errors))
    np.testing.assert_array_equal(found.noise_map, errors)
    assert found.noise == pytest.approx(NOISE, rel=0.01)
    assert found.poisson == pytest.approx(SLOPE, rel=0.03)
    assert found.warnings == []


@pytest.mark.parametrize(("factor", "warned"), [(1.3, False), (1 / 1.3, False), (1.7, True), (1 / 1.7, True)])
def test_a_noise_map_that_the_picture_belies_is_warned_of(tmp_path, factor, warned):
    values, errors = poisson_galaxy()
    found = observe(write(tmp_path / "a.fits", values), noise=write(tmp_path / "n.fits", factor * errors))
    assert any("its noise map says" in line for line in found.warnings) == warned
    assert found.noise == pytest.approx(factor * NOISE, rel=0.01)


@pytest.mark.parametrize(
    ("name", "of"), [("ERR", lambda e: e), ("VAR", lambda e: e**2), ("IVAR", lambda e: e**-2), ("WHT", lambda e: e**-2)]
)
def test_variances_and_weights_become_noise(tmp_path, name, of):
    values, errors = poisson_galaxy()
    path = write_many(tmp_path / "a.fits", {"SCI": values, name: of(errors)})
    found = observe(path)
    np.testing.assert_allclose(found.noise_map, errors, rtol=1e-9)
    apart = write_many(tmp_path / "n.fits", {name: of(errors)})
    other = observe(f"{path}[SCI]", noise=f"{apart}[{name}]")
    np.testing.assert_allclose(other.noise_map, errors, rtol=1e-9)
    if name == "WHT":
        assert "weights taken as 1/variance, with which the measured noise agrees" in found.steps


def test_weights_of_exposure_are_scaled_by_the_measured_noise(tmp_path):
    values, _ = poisson_galaxy()
    weight = np.full(values.shape, 1200.0)
    weight[:, :30] = 300  # a quarter of the exposure: twice the noise
    values[:, :30] += noise(5)[:, :30] * np.sqrt(3)
    weight[5:9, 60:64] = 0
    path = write_many(tmp_path / "a.fits", {"SCI": values, "WHT": weight}, BUNIT="ELECTRONS/S", EXPTIME=1 / SLOPE)
    found = observe(path)
    assert said(found, "relative") == "weights taken as relative, scaled by the measured noise"
    assert found.noise == pytest.approx(NOISE, rel=0.04)
    assert found.noise_map[70, 10] == pytest.approx(2 * found.noise_map[70, 70], rel=0.02)
    assert found.bad.sum() == 16 and found.bad[5:9, 60:64].all() and "16 pixels of no weight" in found.steps
    # Weights leave out the noise of the light, which the header tells.
    assert found.poisson == pytest.approx(SLOPE)
    assert found.noise_map[37, 42] == pytest.approx(np.sqrt(NOISE**2 + SLOPE * 50), rel=0.08)


@pytest.mark.parametrize(
    ("cards", "expected"),
    [
        ({"BUNIT": "electron/s", "EXPTIME": 200}, 1 / 200),
        ({"BUNIT": "ELECTRONS/S", "EXPTIME": 200.0, "GAIN": 7}, 1 / 200),
        ({"BUNIT": "ELECTRONS", "EXPTIME": 200}, 1),
        ({"BUNIT": "counts", "GAIN": 2.5}, 1 / 2.5),
        ({"BUNIT": "adu/s", "GAIN": 2.5, "EXPTIME": 100}, 1 / 250),
        ({"BUNIT": "counts"}, 0),
        ({"BUNIT": "electron/s"}, 0),
        ({"BUNIT": "electron/s", "EXPTIME": 0}, 0),
        ({"BUNIT": "MJy/sr", "EXPTIME": 100, "GAIN": 2}, 0),
        ({"EXPTIME": 100, "GAIN": 2}, 0),
        ({"BUNIT": 3, "EXPTIME": "long"}, 0),
    ],
)
def test_the_headers_unit_exposure_and_gain_give_the_noise_of_the_light(tmp_path, cards, expected):
    found = observe(write(tmp_path / "a.fits", galaxy(), **cards))
    assert found.poisson == pytest.approx(expected)
    assert ("taken as 0" in said(found, "light itself")) == (expected == 0)


def test_a_card_that_cannot_be_read_is_as_if_it_were_not_there(tmp_path):
    path = write(tmp_path / "a.fits", galaxy(), BUNIT="electron/s", EXPTIME=200.0)
    path.write_bytes(path.read_bytes().replace(b"200.0", b"2A0.0"))
    assert observe(path).poisson == 0


def test_the_first_header_is_asked_for_what_the_extensions_lacks(tmp_path):
    extension = fits.ImageHDU(galaxy(), name="SCI")
    extension.header["BUNIT"] = "electron/s"
    fits.HDUList([fits.PrimaryHDU(header=fits.Header([("EXPTIME", 50)])), extension]).writeto(tmp_path / "a.fits")
    assert observe(tmp_path / "a.fits").poisson == pytest.approx(1 / 50)


def test_flags_are_bad_and_interpolated_inside_the_object(tmp_path):
    values = galaxy()
    flags = np.zeros(values.shape, np.int32)
    flags[36:39, 43], flags[3, 4] = 4, 1
    spoilt = np.where(flags, 1e5, values)
    spoilt[60, 60] = np.nan
    found = observe(write_many(tmp_path / "a.fits", {"SCI": spoilt, "DQ": flags}))
    assert "4 pixels flagged" in found.steps and "1 pixels that are no finite number" in found.steps
    assert found.bad.sum() == 5
    assert "3 bad pixels inside the object interpolated" in found.steps
    np.testing.assert_allclose(found.values[36:39, 43], spot(42, 37, 3, 20)[36:39, 43], rtol=0.15)
    assert found.values[3, 4] == 0 and found.values[60, 60] == 0
    np.testing.assert_allclose(found.centre, (42, 37), atol=0.15)
    assert found.warnings == []


def test_many_bad_or_saturated_pixels_of_the_object_are_warned_of(tmp_path):
    flags = np.zeros((SIZE, SIZE), np.int32)
    flags[34:41, 40:42] = 1
    found = observe(write_many(tmp_path / "a.fits", {"SCI": galaxy(), "DQ": flags}))
    assert "of the object's light lies in bad pixels and is interpolated" in found.warnings[0]
    clipped = observe(write(tmp_path / "b.fits", np.minimum(galaxy(), 12)))
    count = int((galaxy() >= 12).sum())
    assert clipped.warnings == [f"{count} of the object's pixels are saturated"]
    limited = observe(write(tmp_path / "c.fits", galaxy(), SATURATE=15))
    assert limited.warnings == [f"{int((galaxy() >= 15).sum())} of the object's pixels are saturated"]


def test_pixels_without_noise_are_bad(tmp_path):
    values, errors = poisson_galaxy()
    errors[0, :4] = 0, -1, np.nan, np.inf
    found = observe(write(tmp_path / "a.fits", values), noise=write(tmp_path / "n.fits", errors))
    assert found.bad.sum() == 4 and found.bad[0, :4].all()
    assert "4 pixels without a finite noise above 0" in found.steps
    assert np.isfinite(found.noise_map).all() and (found.noise_map > 0).all()


def test_what_a_survey_did_not_see_is_bad(tmp_path):
    values = galaxy() + 3
    values[:, :15] = 0
    found = observe(write(tmp_path / "a.fits", values))
    assert found.bad[:, :15].all() and found.bad.sum() == 15 * SIZE
    assert found.noise == pytest.approx(NOISE, rel=0.05)
    np.testing.assert_allclose(found.centre, (42, 37), atol=0.1)


def test_a_mask_picture_is_bad_where_it_is_not_0(tmp_path):
    mask = np.zeros((SIZE, SIZE), np.int16)
    mask[2:5, 10:14] = -1
    found = observe(write(tmp_path / "a.fits", galaxy()), mask=write(tmp_path / "m.fits", mask))
    np.testing.assert_array_equal(found.bad, mask != 0)
    assert "12 pixels masked" in found.steps


REGIONS = {
    "pixels": "image\ncircle(11, 21, 4.2)\n-circle(11,21,1.2)\nbox(61,11,6.5,2.5,0)\ncircle(500,3,2)\n",
    "sky": 'icrs\ncircle({ra},{dec},0.42")\n',
}


@pytest.mark.parametrize("kind", REGIONS)
def test_a_ds9_region_file_is_bad_inside(tmp_path, kind):
    # DS9 counts from 1 and from below: pixel (11, 21) is column 10, and row 20 from below.
    path = write(tmp_path / "a.fits", galaxy(), **sky_cards(np.diag([-0.1, 0.1]) / 3600))
    place = observe(path).wcs.pixel_to_world(10, 20)
    (tmp_path / "m.reg").write_text(REGIONS[kind].format(ra=place.ra.deg, dec=place.dec.deg))
    found = observe(path, mask=tmp_path / "m.reg")
    rows, columns = np.mgrid[:SIZE, :SIZE]
    below = SIZE - 1 - rows
    distance = np.hypot(columns - 10, below - 20)
    expected = distance < 4.2
    if kind == "pixels":
        expected = (expected & (distance > 1.2)) | ((abs(columns - 60) <= 3) & (abs(below - 10) <= 1))
    np.testing.assert_array_equal(found.bad, expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "found no region"),
        ("nonsense", "found no region"),
        ("image; circle(a,b,c)", "m.reg"),
        ('fk5; circle(150.1,2.2,1")', "no world coordinates"),
        ("\0\1", "m.reg"),
    ],
)
def test_a_region_file_that_says_nothing_is_refused(tmp_path, text, expected):
    path = write(tmp_path / "a.fits", galaxy())
    (tmp_path / "m.reg").write_text(text)
    with pytest.raises(UserError, match=expected) as caught:
        observe(path, mask=tmp_path / "m.reg")
    assert "m.reg" in str(caught.value)


def test_regions_that_are_not_understood_are_warned_of(tmp_path):
    (tmp_path / "m.reg").write_text("image\ncircle(11,21,3)\npoint(5,5)\nphysical\ncircle(3,3,2)\n")
    found = observe(write(tmp_path / "a.fits", galaxy()), mask=tmp_path / "m.reg")
    assert any("PointPixelRegion has no inside" in line for line in found.warnings)
    assert any("physical" in line for line in found.warnings)


def test_planes_that_do_not_fit_are_refused(tmp_path):
    path = write(tmp_path / "a.fits", galaxy())
    small = write(tmp_path / "small.fits", np.ones((5, 6)))
    for what in ("noise", "mask"):
        with pytest.raises(UserError, match=r"small\.fits: found .* of 6×5 pixels, expected 81×81"):
            observe(path, **{what: small})
    (tmp_path / "m.txt").write_text("a")
    with pytest.raises(UserError, match=r"m\.txt: not a mask"):
        observe(path, mask=tmp_path / "m.txt")
    with pytest.raises(UserError, match="found no pixel with data"):
        observe(path, mask=write(tmp_path / "all.fits", np.ones((SIZE, SIZE), np.int16)))


def test_a_set_is_observed_with_its_noise_and_psf(tmp_path):
    values, errors = poisson_galaxy()
    psf = spot(7, 7, 1, 1, 15)
    path = write_many(tmp_path / "a.fits", {"VIS_BGSUB": values, "VIS_PSF": psf, "VIS_RMS": errors})
    found = observe(path)
    np.testing.assert_allclose(found.psf, psf / psf.sum())
    assert found.psf_fwhm == pytest.approx(2.3548, rel=0.01)
    np.testing.assert_array_equal(found.noise_map, errors)
    other = write(tmp_path / "p.fits", spot(7, 7, 2, 1, 15))
    assert observe(path, psf=other).psf_fwhm == pytest.approx(2 * 2.3548, rel=0.01)


def test_light_may_fill_most_of_the_picture(tmp_path):
    found = observe(write(tmp_path / "a.fits", spot(30, 30, 12, 20, 61) + noise(1, 61) + 4))
    assert found.object_pixels.mean() > 0.7
    assert found.noise == pytest.approx(NOISE, rel=0.1)
    np.testing.assert_allclose(found.centre, (30, 30), atol=0.15)
    assert "only 8% of its pixels are background: cut out a larger picture" in found.warnings


def test_an_object_that_is_cut_off_is_warned_of(tmp_path):
    found = observe(write(tmp_path / "a.fits", noise() + spot(40, 12, 8, 50)), at=(40, 12))
    assert "the object reaches the picture's edge: cut out a larger picture" in found.warnings
