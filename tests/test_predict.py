"""`python -m droulette.predict` and `droulette.predict_pictures`: pictures of all kinds, and what is said of them."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import small
from astropy.io import fits
from PIL import Image
from sklearn.datasets import load_sample_image

import droulette
from droulette import files, predict
from droulette.errors import UserError
from droulette.learning import model_file
from droulette.pipeline.pictures import make_views, read_pictures
from droulette.pipeline.resimulate import resimulate
from droulette.pipeline.targets import read_targets
from droulette.pipeline.user_pictures import Conversion, prepare


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("predict") / "data"
    small.draw_parts(folder, 300, 150, 100, nterms=(0, 2))
    small.train(folder / "training.csv", folder / "validation.csv", folder / "images", folder / "m.safetensors")
    return folder


@pytest.fixture(scope="module")
def model(data) -> model_file.Model:
    return model_file.load(data / "m.safetensors")


@pytest.fixture(scope="module")
def names(data) -> list[str]:
    return list(read_targets(data / "testing.csv")["filename"])


def run(data: Path, *arguments: object) -> int:
    return predict.main([*map(str, arguments), "--model", str(data / "m.safetensors"), "--device", "cpu"])


def test_pictures_of_the_dataset_are_predicted_as_they_are(data, model, names, tmp_path, capsys):
    paths = [str(data / "images" / name) for name in names[:3]]
    assert run(data, *paths, "--output", tmp_path / "p.csv") == 0
    found = files.read_csv(tmp_path / "p.csv")
    assert list(found["filename"]) == paths
    assert list(found)[-1] == "novelty"
    pictures = read_pictures(data / "images", names[:3], table="x")
    mean, deviation = model.predict(make_views(model.network.preprocessing, pictures))
    np.testing.assert_allclose(found[list(model.columns)], mean, rtol=1e-6)
    np.testing.assert_allclose(found[[f"std:{column}" for column in model.columns]], deviation, rtol=1e-6)
    assert capsys.readouterr().err == ""
    assert run(data, paths[0]) == 0
    assert capsys.readouterr().out.startswith("filename,sigma,xiX,xiY,")


def write_fits(path: Path, values: np.ndarray) -> None:
    fits.PrimaryHDU(np.ascontiguousarray(values[::-1])).writeto(path)  # rows from below


def write_second_hdu(path: Path, values: np.ndarray) -> None:
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(values[None, ::-1])]).writeto(path)


def grey(kind, factor=1.0):
    return lambda a: Image.fromarray((a * np.float64(factor)).astype(kind))


def colour(a: np.ndarray) -> np.ndarray:
    return np.repeat(a[..., None], 3, axis=2)


SAME = {
    "grey.png": lambda path, a: Image.fromarray(a).save(path),
    "colour.png": lambda path, a: Image.fromarray(colour(a)).save(path),
    "alpha.png": lambda path, a: Image.fromarray(a).convert("LA").save(path),
    "rgba.png": lambda path, a: Image.fromarray(a).convert("RGBA").save(path),
    "palette.png": lambda path, a: Image.fromarray(a).convert("P").save(path),
    "16.png": lambda path, a: grey(np.uint16, 257)(a).save(path),
    "colour16.png": lambda path, a: cv2.imwrite(str(path), colour(a).astype(np.uint16) * 257),
    "grey.tif": lambda path, a: Image.fromarray(a).save(path, compression="tiff_lzw"),
    "colour.tif": lambda path, a: Image.fromarray(colour(a)).save(path),
    "16.tif": lambda path, a: grey(np.uint16, 257)(a).save(path),
    "colour16.tif": lambda path, a: cv2.imwrite(str(path), colour(a).astype(np.uint16) * 257),
    "float.tif": lambda path, a: grey(np.float32, 1 / 255)(a).save(path),
    "8.fits": write_fits,
    "second.fits": write_second_hdu,
    "8.npy": lambda path, a: np.save(path, a),
    "16.npy": lambda path, a: np.save(path, a.astype(">u2") * 257),
    "unit.npy": lambda path, a: np.save(path, a / 255),
    "levels.npy": lambda path, a: np.save(path, a.astype(np.float32)),
    "colour.npy": lambda path, a: np.save(path, colour(a) / 255),
}


@pytest.fixture(scope="module")
def picture(data, names) -> np.ndarray:
    return read_pictures(data / "images", names[:1], table="x")[0]


def test_the_same_picture_in_any_format_depth_and_colour_gives_the_same_prediction(data, model, picture, tmp_path):
    for name, write in SAME.items():
        write(tmp_path / name, picture)
    seen = {name: prepare(tmp_path / name, 48) for name in SAME}
    for name, found in seen.items():
        np.testing.assert_array_equal(found, picture, err_msg=name)
    # One by one: on some processors the last digit depends on the place in a batch.
    table = pd.concat([droulette.predict_pictures([tmp_path / name], model) for name in SAME])
    assert (table.iloc[:, 1:] == table.iloc[0, 1:]).all(axis=None)


def test_a_terminal_is_shown_lines_and_a_pipe_gets_csv(data, picture, tmp_path, monkeypatch, capsys):
    Image.fromarray(picture).save(tmp_path / "own.png")
    shown = []
    for terminal in (True, False):
        monkeypatch.setattr("sys.stdout.isatty", lambda terminal=terminal: terminal, raising=False)
        assert run(data, tmp_path / "own.png", "-q") == 0
        shown.append(capsys.readouterr().out)
    table = pd.read_csv(io.StringIO(shown[1])).iloc[0]
    lines = [line.split() for line in shown[0].splitlines()]
    assert "novelty" in shown[0].splitlines()[0]
    assert [line[0] for line in lines[1:]] == [name.removeprefix("std:") for name in table.index if "std:" in name]
    for name, value, _, deviation in lines[1:]:
        np.testing.assert_allclose([float(value), float(deviation)], [table[name], table[f"std:{name}"]], rtol=0.06)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (np.float32, "float32 values made 8-bit, white at the brightest pixel, 0.0035"),
        (np.int16, "int16 values made 8-bit, white at the brightest pixel, 3500"),
        (np.uint16, "uint16 values made 8-bit, white at the brightest pixel, 3500"),
    ],
)
def test_a_fits_file_of_any_unit_is_white_at_its_brightest_pixel(picture, tmp_path, kind, expected):
    factor = (3.5e-3 if kind == np.float32 else 3500) / picture.max()
    write_fits(tmp_path / "a.fits", (picture * factor).round(9 if kind == np.float32 else 0).astype(kind))
    said = []
    found = prepare(tmp_path / "a.fits", 48, say=said.append)
    assert expected in said[0] and "rows turned over" in said[0]
    np.testing.assert_allclose(found, picture * (255 / picture.max()), atol=1)
    white = Conversion(white=255 * factor)
    np.testing.assert_allclose(prepare(tmp_path / "a.fits", 48, white), picture, atol=1)


def test_a_jpeg_is_the_same_but_for_what_it_loses_and_is_turned_as_its_camera_says(picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(picture[::-1, ::-1]).save(tmp_path / "a.jpg", quality=98, exif=exif)
    said = []
    found = prepare(tmp_path / "a.jpg", 48, say=said.append)
    assert np.abs(found.astype(int) - picture).max() <= 4
    assert said == [f"{tmp_path / 'a.jpg'}: turned as its EXIF data say"]


def spot(size: int, width: float, row: float, column: float, peak: float = 200) -> np.ndarray:
    i, j = np.mgrid[:size, :size]
    return np.rint(peak * np.exp(-((i - row) ** 2 + (j - column) ** 2) / (2 * width**2))).astype(np.uint8)


@pytest.mark.parametrize("size", [30, 48, 97])
def test_any_picture_is_centred_on_its_light_and_given_the_models_size(tmp_path, size):
    own = spot(size, 3, size / 2 - 4.5, size / 2 - 3.25)
    Image.fromarray(own).convert("RGB").save(tmp_path / "own.png")
    said = []
    found = prepare(tmp_path / "own.png", 48, say=said.append)
    assert found.shape == (48, 48)
    i, j = np.mgrid[:48, :48]
    centre = (found * i).sum() / found.sum(), (found * j).sum() / found.sum()
    np.testing.assert_allclose(centre, 24, atol=0.05)
    np.testing.assert_allclose(found.sum(), own.sum(), rtol=0.01)
    assert "colours made grey" in said[0] and "shifted by (3.25, -4.50) px" in said[0]
    assert ("padded" in said[0]) == (size < 48) and ("cropped" in said[0]) == (size > 48)


@pytest.mark.parametrize("scale", [0.25, 0.4, 2.5])
def test_a_picture_of_other_pixels_is_brought_to_the_training_pixels(scale):
    own = spot(400, 4 / scale, 190, 205)
    said = []
    found = prepare(own, 64, Conversion(pixel_scale=scale), say=said.append)
    assert np.abs(found.astype(int) - spot(64, 4, 32, 32)).max() <= (9 if scale < 1 else 16)
    assert f"{scale:g}" in said[0]


def test_a_crop_leaves_out_the_neighbours():
    own = np.maximum(spot(300, 3, 100, 80), spot(300, 9, 220, 200, 255))
    found = prepare(own, 48, Conversion(crop=60, at=(84, 97)))
    assert np.abs(found.astype(int) - spot(48, 3, 24, 24)).max() <= 2
    with pytest.raises(UserError, match="no light in the 20×20 pixels"):
        prepare(own, 48, Conversion(crop=20, at=(200, 100)))
    with pytest.raises(UserError, match="no pixel at column 500, row 3"):
        prepare(own, 48, Conversion(crop=20, at=(500, 3)))


def test_without_centring_a_picture_stays_where_it_is():
    own = spot(48, 3, 15, 30)
    np.testing.assert_array_equal(prepare(own, 48, Conversion(centre=False)), own)
    np.testing.assert_array_equal(prepare(np.pad(own, 10), 48, Conversion(centre=False)), own)


def test_pixels_that_are_no_number_are_black_and_said(picture):
    values = picture.astype(float)
    values[0, :5], values[1, 0] = np.nan, np.inf
    said = []
    expected = picture.copy()
    expected[0, :5] = expected[1, 0] = 0
    np.testing.assert_array_equal(prepare(values, 48, say=said.append), expected)
    assert "6 pixels that are no finite number made black" in said[0]


def test_saturated_and_dark_pictures_are_warned_of(picture):
    warned = []
    prepare(np.minimum(picture.astype(int) * 20, 255).astype(np.uint8), 48, warn=warned.append)
    assert "of its lit pixels are saturated" in warned[0]
    prepare(picture.astype(np.uint16) * 10, 48, warn=warned.append)
    assert "its brightest pixel has only grey level" in warned[1]


def test_a_sky_that_was_not_subtracted_is_warned_of(picture):
    warned = []
    prepare(picture, 48, warn=warned.append)
    prepare(np.maximum(picture, 6), 48, Conversion(black=6), warn=warned.append)
    assert warned == []
    prepare(np.maximum(picture, 6), 48, warn=warned.append)
    assert "its darkest pixels have grey level 6: subtract the sky" in warned[0]


def npz(path: Path) -> None:
    np.savez(path.with_suffix(".npz"), a=np.zeros(3))
    path.with_suffix(".npz").rename(path)


REFUSED = {
    "missing.png": (None, "no such file"),
    "folder.png": (lambda path: path.mkdir(), "found a folder"),
    "empty.png": (lambda path: path.write_bytes(b""), "not a PNG, JPEG, TIFF, FITS or NPY picture"),
    "text.png": (lambda path: path.write_text("text"), "not a PNG, JPEG, TIFF, FITS or NPY picture"),
    "zip.npy": (npz, "not a PNG, JPEG, TIFF, FITS or NPY picture"),
    "packed.fits.gz": (lambda path: path.write_bytes(b"\x1f\x8b123"), "gunzip it first"),
    "half.npy": (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00v\x00{"), "not an NPY file"),
    "object.npy": (lambda path: np.save(path, np.array([[{}]])), "not an NPY file"),
    "complex.npy": (lambda path: np.save(path, np.ones((4, 4), complex)), "expected real numbers"),
    "line.npy": (lambda path: np.save(path, np.ones(4)), "expected rows × columns"),
    "cube.npy": (lambda path: np.save(path, np.ones((9, 9, 9))), "expected rows × columns"),
    "nan.npy": (lambda path: np.save(path, np.full((9, 9), np.nan)), "no pixel that is a finite number"),
    "negative.npy": (lambda path: np.save(path, np.full((9, 9), -3.0)), "no light in it"),
    "black.png": (lambda path: Image.new("L", (9, 9)).save(path), "no light in it"),
    "white.png": (lambda path: Image.new("L", (9, 9), 255).save(path), "grey level 255 in all pixels"),
    "header.fits": (lambda path: path.write_bytes(b"SIMPLE  =" + b" " * 100), "not a FITS file"),
    "table.fits": (lambda path: fits.PrimaryHDU().writeto(path), "no picture in this FITS file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_picture_of_a_galaxy_is_one_line_and_nothing_is_written(data, tmp_path, name, capsys):
    write, expected = REFUSED[name]
    if write:
        write(tmp_path / name)
    good = sorted((data / "images").iterdir())[0]
    assert run(data, good, tmp_path / name, "--output", tmp_path / "p.csv", "--resimulate", tmp_path / "r") == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert name in error and expected in error
    assert not (tmp_path / "p.csv").exists() and not (tmp_path / "r").exists()


def test_a_half_fits_file_and_a_bomb_are_one_line(picture, tmp_path, monkeypatch):
    write_fits(tmp_path / "a.fits", np.tile(picture, (4, 4)))
    content = (tmp_path / "a.fits").read_bytes()
    (tmp_path / "half.fits").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"half\.fits: not a FITS file"):
        prepare(tmp_path / "half.fits", 48)
    np.save(tmp_path / "a.npy", picture)
    Image.fromarray(picture).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for name in ("a.fits", "a.npy", "a.png"):
        with pytest.raises(UserError, match=rf"{name}: .*at most 100 pixels"):
            prepare(tmp_path / name, 48)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--pixel-scale", "0"], "pixel scale: found 0"),
        (["--pixel-scale", "nan"], "pixel scale: found nan"),
        (["--crop", "1"], "crop: found 1"),
        (["--black", "9", "--white", "3"], "white: found 3"),
        (["--source", "Spiral", "--resimulate", "r"], "source: found 'Spiral', expected one of"),
        (["--source", "Triangle", "--resimulate", "r"], "no predictions of theta"),
    ],
)
def test_an_option_that_cannot_be_is_one_line(data, names, tmp_path, monkeypatch, options, expected, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(data, data / "images" / names[0], *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and expected in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_model_that_is_none_is_one_line(tmp_path, capsys):
    assert predict.main(["x.png", "--model", str(tmp_path / "none.safetensors")]) == 2
    assert "none.safetensors: no such model file" in capsys.readouterr().err


def unlensed(sigma: float) -> np.ndarray:
    """A galaxy that the project draws without a lens: all amplitudes 0."""
    row = {"filename": "a.png", "source": "SersicSphere", "sigma": sigma, "n_sersic": 2.0, "luminosity": 20.0}
    return resimulate(pd.DataFrame([row | {"xiX": 0.0, "xiY": 0.0, "alpha[0][1]": 0.0}]), 48)[0]


def test_noise_a_photograph_and_an_unlensed_galaxy_are_warned_of_and_test_pictures_are_not(
    data, model, names, tmp_path, capsys
):
    own = {
        "noise.png": np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8),
        "photograph.png": load_sample_image("flower.jpg"),
        "small.png": unlensed(3),
        "large.png": unlensed(5),
    }
    for name, values in own.items():
        Image.fromarray(values).save(tmp_path / name)
    assert run(data, "--quiet", "--output", tmp_path / "p.csv", *(tmp_path / name for name in own)) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "subtract the sky" not in line]
    assert len(lines) == len(own)
    for name, line in zip(own, lines, strict=True):
        assert line.startswith("warning: ") and f"{name}: unlike anything in the training set" in line
    assert (files.read_csv(tmp_path / "p.csv")["novelty"] > 1).all()

    warned = []
    table = droulette.predict_pictures([data / "images" / name for name in names], model, warn=warned.append)
    assert (table["novelty"] > 1).mean() <= 0.03
    assert len([line for line in warned if "unlike" in line]) == (table["novelty"] > 1).sum()


def test_resimulation_writes_what_was_seen_and_what_is_predicted(data, names, picture, tmp_path, capsys):
    path = data / "images" / names[0]
    Image.fromarray(picture).save(tmp_path / names[0])  # another of the same name
    options = ("--source", "Spherical", "--resimulate", tmp_path / "r", "--output", tmp_path / "p.csv")
    assert run(data, path, tmp_path / names[0], *options) == 0
    stem = path.stem
    expected = [f"{one}-{kind}.png" for one in (f"{stem}-2", stem) for kind in ("roulette", "seen")]
    assert sorted(file.name for file in (tmp_path / "r").iterdir()) == sorted(expected)
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "r" / f"{stem}-seen.png")), picture)
    row = files.read_csv(tmp_path / "p.csv").iloc[[0]].assign(source="Spherical")
    drawn = np.array(Image.open(tmp_path / "r" / f"{stem}-roulette.png"))
    np.testing.assert_array_equal(drawn, resimulate(row, 48)[0])
    assert "resimulated as Spherical: mean difference" in capsys.readouterr().err


def test_the_light_of_a_resimulation_is_fitted_where_it_is_not_predicted(data, model, names, tmp_path):
    said = []
    path = data / "images" / names[0]
    droulette.predict_pictures(path, model, resimulation=tmp_path, say=said.append)
    assert "n_sersic" in said[-1] and "luminosity" in said[-1] and "fitted" in said[-1]
    light = [np.array(Image.open(tmp_path / f"{path.stem}-{kind}.png")).sum() for kind in ("seen", "roulette")]
    assert light[1] == pytest.approx(light[0], rel=0.2)


def test_the_function_takes_arrays_and_warns_as_python_does(data, picture):
    with pytest.warns(UserWarning, match="picture-1: unlike anything in the training set"):
        noise = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
        table = droulette.predict_pictures([noise, picture], data / "m.safetensors", device="cpu")
    assert list(table["filename"]) == ["picture-1", "picture-2"]
    with pytest.raises(UserError, match="pictures: found none"):
        droulette.predict_pictures([], data / "m.safetensors")
    with pytest.raises(AttributeError, match="no attribute 'predict_picture'"):
        _ = droulette.predict_picture


def test_importing_droulette_imports_neither_torch_nor_pandas():
    code = "import sys, droulette; print([n for n in ('torch', 'pandas', 'numpy', 'astropy') if n in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(Path(droulette.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
