"""Which picture of a FITS file is read, and what with it."""

from __future__ import annotations

import gzip
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from mocks import galaxy, spot, write, write_many

from droulette.errors import UserError
from droulette.observing import fits_files, observe
from droulette.observing.fits_files import read_plane, read_set, split_choice
from droulette.pipeline import user_pictures

A, B, C = (np.full((4, 6), value, np.float32) for value in (1, 2, 3))


def refused(act, *words: str) -> str:
    with pytest.raises(UserError) as caught:
        act()
    line = str(caught.value)
    assert "\n" not in line and all(word in line for word in words), line
    return line


def test_a_choice_stands_in_brackets_behind_the_file(tmp_path):
    assert split_choice("a.fits") == (Path("a.fits"), None)
    assert split_choice("a.fits[2]") == (Path("a.fits"), "2")
    assert split_choice("a[1].fits[SCI, 2]") == (Path("a[1].fits"), "SCI, 2")
    write(tmp_path / "a.fits[1]", A)
    assert split_choice(tmp_path / "a.fits[1]") == (tmp_path / "a.fits[1]", None)
    assert read_plane(tmp_path / "a.fits[1]").array.shape == A.shape


@pytest.mark.parametrize(
    ("choice", "value"), [("1", 1), ("2", 2), ("ONE", 1), ("two", 2), ("SAME,1", 3), ("same, 2", 4), ("4", 4)]
)
def test_an_extension_is_chosen_by_number_name_or_name_and_version(tmp_path, choice, value):
    path = write_many(tmp_path / "a.fits", {"ONE": A, "TWO": B, "SAME,1": C, "SAME,2": C + 1})
    assert (read_plane(f"{path}[{choice}]").array == value).all()


def test_several_pictures_without_a_choice_are_listed(tmp_path):
    path = write_many(tmp_path / "a.fits", {"ONE": A, "TWO": B, "SAME,1": C, "SAME,2": C})
    expected = "found 4 pictures, 1 ONE (6×4), 2 TWO (6×4), 3 SAME,1 (6×4), 4 SAME,2 (6×4): choose one"
    for read in (read_plane, read_set, user_pictures.read, observe):
        refused(lambda read=read: read(path), str(path), expected, f"{path}[ONE]", f"{path}[1]")
    for choice in ("SAME", "0", "5", "THREE", "SAME,3", ""):
        refused(lambda choice=choice: read_plane(f"{path}[{choice}]"), "found no one picture", "1 ONE (6×4)")


SETS = {"G_BGSUB": A, "G_PSF": C, "G_RMS": B, "VIS_BGSUB": A + 10, "VIS_PSF": C + 10, "VIS_RMS": B + 10}


def test_a_set_is_read_together_and_named_by_what_its_names_have_in_common(tmp_path):
    path = write_many(tmp_path / "a.fits", SETS)
    refused(lambda: read_set(path), "found 2 sets of pictures, G (6×4), VIS (6×4): choose one", f"{path}[G]")
    for choice in ("VIS", "vis", "VIS_BGSUB", "4"):
        found = read_set(f"{path}[{choice}]")
        assert {role: plane.array[0, 0] for role, plane in found.items()} == {"picture": 11, "psf": 13, "sigma": 12}
    assert read_plane(f"{path}[VIS]", ["psf"]).array[0, 0] == 13
    assert set(read_set(f"{path}[VIS_RMS]")) == {"picture"}
    one = write_many(tmp_path / "b.fits", {name: SETS[name] for name in list(SETS)[:3]})
    assert {role: plane.array[0, 0] for role, plane in read_set(one).items()} == {"picture": 1, "psf": 3, "sigma": 2}


def test_the_chips_of_a_camera_are_sets_by_their_versions(tmp_path):
    planes = {f"{name},{chip}": A + 10 * chip + k for chip in (1, 2) for k, name in enumerate(("SCI", "ERR", "DQ"))}
    path = write_many(tmp_path / "a.fits", planes)
    refused(lambda: read_set(path), "2 sets of pictures, SCI,1 (6×4), SCI,2 (6×4)")
    found = read_set(f"{path}[SCI,2]")
    assert {role: plane.array[0, 0] for role, plane in found.items()} == {"picture": 21, "sigma": 22, "quality": 23}


@pytest.mark.parametrize(
    ("names", "roles"),
    [
        (["SCI", "ERR", "DQ", "VAR_POISSON", "AREA"], {"picture", "sigma", "quality"}),
        (["SCI", "WHT", "CTX"], {"picture", "weight"}),
        (["SCI", "ERR", "WHT", "CON"], {"picture", "sigma", "weight"}),
        (["SCI", "IVAR", "WEIGHT"], {"picture", "inverse variance", "weight"}),
        (["IMAGE", "VARIANCE", "MASK", "PSF"], {"picture", "variance", "quality", "psf"}),
        (["PRIMARY", "NOISE"], {"picture", "sigma"}),
    ],
)
def test_observatories_names_are_known(tmp_path, names, roles):
    hdus = [fits.PrimaryHDU(A) if name == "PRIMARY" else fits.ImageHDU(A, name=name) for name in names]
    fits.HDUList(hdus if names[0] == "PRIMARY" else [fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "a.fits")
    assert set(read_set(tmp_path / "a.fits")) == roles


def test_packed_files_are_read_whatever_their_name(tmp_path):
    values = galaxy().astype(np.float32)
    plain = write(tmp_path / "a.fits", values)
    for name in ("a.fits.gz", "packed"):
        (tmp_path / name).write_bytes(gzip.compress(plain.read_bytes()))
        np.testing.assert_array_equal(read_plane(tmp_path / name).array[::-1], values)
        np.testing.assert_array_equal(user_pictures.read(tmp_path / name).values, values)
    whole = np.rint(values * 100).astype(np.int16)
    tiles = fits.CompImageHDU(np.ascontiguousarray(whole[::-1]), compression_type="RICE_1", name="SCI")
    fits.HDUList([fits.PrimaryHDU(), tiles]).writeto(tmp_path / "a.fits.fz")
    np.testing.assert_array_equal(read_plane(tmp_path / "a.fits.fz").array[::-1], whole)
    np.testing.assert_array_equal(user_pictures.read(tmp_path / "a.fits.fz[SCI]").values, whole)


def test_a_gzip_bomb_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(fits_files, "MOST_UNPACKED", 300_000_000)
    path = tmp_path / "bomb.fits.gz"
    header = fits.Header([("SIMPLE", True), ("BITPIX", -32), ("NAXIS", 2), ("NAXIS1", 10000), ("NAXIS2", 10000)])
    with gzip.open(path, "wb", compresslevel=1) as packed:
        packed.write(header.tostring().encode())
        for _ in range(40):
            packed.write(bytes(10_000_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    shortened = gzip.compress(header.tostring().encode())
    (tmp_path / "wide.fits.gz").write_bytes(shortened)
    refused(lambda: read_plane(path), "bomb.fits.gz: unpacks to more than 0.3 GB")
    refused(lambda: user_pictures.read(path), "bomb.fits.gz: unpacks to more than 0.3 GB")
    refused(lambda: read_plane(tmp_path / "wide.fits.gz"), "wide.fits.gz")
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 100


def test_a_picture_of_too_many_pixels_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 7)
    refused(lambda: read_plane(write(tmp_path / "a.fits", A)), "a.fits: found 4×6 numbers", "at most 7 pixels")


REFUSED = {
    "missing.fits": (None, "no such file"),
    "missing.fits[SCI]": (None, "missing.fits: no such file"),
    "folder.fits": (lambda path: path.mkdir(), "found a folder"),
    "text.fits": (lambda path: path.write_text("text"), "not a FITS file"),
    "empty.fits": (lambda path: path.write_bytes(b""), "not a FITS file"),
    "header.fits": (lambda path: path.write_bytes(b"SIMPLE  =" + b" " * 100), "not a FITS file"),
    "half.fits.gz": (lambda path: path.write_bytes(gzip.compress(b"SIMPLE  =" * 99)[:-9]), "not a FITS file"),
    "text.fits.gz": (lambda path: path.write_bytes(gzip.compress(b"text")), "not a FITS file"),
    "none.fits": (lambda path: fits.PrimaryHDU().writeto(path), "found no picture"),
    "line.fits": (lambda path: fits.PrimaryHDU(np.ones(9)).writeto(path), "found no picture"),
    "cube.fits": (lambda path: fits.PrimaryHDU(np.ones((3, 8, 9))).writeto(path), "found 9×8×3 numbers"),
    "nan.fits": (lambda path: write(path, np.full((9, 9), np.nan)), "found no pixel with data"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_is_one_line(tmp_path, name):
    make, expected = REFUSED[name]
    if make:
        make(tmp_path / name)
    refused(lambda: observe(tmp_path / name), name.partition("[")[0], expected)


def test_a_half_file_is_one_line(tmp_path):
    content = write(tmp_path / "a.fits", galaxy()).read_bytes()
    (tmp_path / "half.fits").write_bytes(content[:20_000])
    refused(lambda: observe(tmp_path / "half.fits"), "half.fits: not a FITS file that can be read")


def test_8_bit_pictures_are_chosen_too_and_three_planes_stay_colours(tmp_path):
    path = write_many(tmp_path / "a.fits", {"ONE": A, "TWO": spot(2, 3, 2, 200, 9).astype(np.uint8)})
    own = user_pictures.read(f"{path}[TWO]")
    np.testing.assert_array_equal(own.values, spot(2, 3, 2, 200, 9).astype(np.uint8))
    assert own.white == 255 and own.steps[0] == "HDU 2 taken"
    write(tmp_path / "c.fits", np.full((9, 8, 3), 50, np.uint8).transpose(2, 0, 1))
    assert user_pictures.read(tmp_path / "c.fits").values.shape == (9, 8)
    (tmp_path / "a.png").write_bytes(b"\x89PNG")
    refused(lambda: user_pictures.read(f"{tmp_path / 'a.png'}[1]"), "a.png", "not FITS")


def test_a_header_without_an_end_in_a_packed_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fits_files, "MOST_UNPACKED", 10_000_000)
    path = tmp_path / "a.fits.gz"
    with gzip.open(path, "wb") as packed:
        packed.write(b"SIMPLE  =" + b" " * 2871 + b" " * 2880 * 4000)
    refused(lambda: read_plane(path), "a.fits.gz")
    shutil.copy(path, tmp_path / "b.fits")
    refused(lambda: read_plane(tmp_path / "b.fits"), "b.fits")
