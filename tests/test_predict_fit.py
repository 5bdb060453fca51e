"""`python -m droulette.predict --fit`: fits in place of predictions where they are good, and told where not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import small
from astropy.io import fits
from PIL import Image

from droulette import files, predict

TOML = """
[simulator]
nterms = 2
imagesize = 96
cropsize = 48
centred = true
[lens]
mode = "SIE"
einstein-min = 4
einstein-max = 12
ellipseratio-min = 0.4
[source]
mode = "Spherical"
sigma-min = 2
sigma-max = 5
position = "relative"
[position]
r-min = 0
r-relativemax = 1.2
"""
ROWS = 5


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fit") / "data"
    small.draw_parts(folder, 60, 30, 30, nterms=(0, 2))
    parts = folder / "training.csv", folder / "validation.csv", folder / "images"
    small.train(*parts, folder / "old.safetensors")
    small.train(*parts, folder / "m.safetensors", tables=small.SIMULATION)
    (folder / "params.toml").write_text(TOML)
    return folder


def run(data: Path, *arguments: object, model: str = "m.safetensors") -> int:
    return predict.main([*map(str, arguments), "--model", str(data / model), "--device", "cpu"])


@pytest.fixture(scope="module")
def fitted(data):
    rows = files.read_csv(data / "testing.csv").head(ROWS)
    paths = [data / "images" / name for name in rows["filename"]]
    output = data / "fitted.csv"
    options = ("--fit", data / "params.toml", "--output", output, "--samples", 50, "--resimulate", data / "seen")
    assert run(data, *paths, *options, "--source", "Spherical") == 0
    return rows, files.read_csv(output)


def test_fits_are_nearer_to_the_truth_than_an_untrained_network(data, fitted):
    rows, found = fitted
    assert found["fit:good"].mean() >= 0.8
    columns = [name for name in rows if name in found and name != "filename"]
    assert {"sigma", "xiX", "alpha[1][0]"} <= set(columns)
    good = found["fit:good"].to_numpy()
    true, value = rows[columns].to_numpy()[good], found[columns].to_numpy()[good]
    np.testing.assert_allclose(value, true, rtol=0.02, atol=0.02)
    assert (found["fit:pixels"] == 48 * 48).all()


@pytest.mark.parametrize(("model", "count"), [("m.safetensors", 1), ("old.safetensors", 0)])
def test_a_prediction_says_which_lenses_its_intervals_are_for(data, model, count, capsys):
    picture = data / "images" / files.read_csv(data / "testing.csv")["filename"][0]
    assert run(data, picture, model=model) == 0
    said = capsys.readouterr().err.splitlines()
    scenes = "SIE lenses and Spherical sources"
    line = f"the model was trained on {scenes}: its intervals are for these, and it may not notice others"
    assert said.count(line) == count and sum("trained on" in one for one in said) == count


def test_the_model_file_says_what_is_fitted(data, fitted):
    rows, by_toml = fitted
    paths = [data / "images" / name for name in rows["filename"]]
    # the last picture stands behind --fit, where a TOML file could stand
    assert run(data, *paths[:-1], "--output", data / "by-model.csv", "--fit", paths[-1]) == 0
    by_model = files.read_csv(data / "by-model.csv")
    assert (by_model["fit:family"] == "SIE, Spherical").all()
    good = (by_toml["fit:good"] & by_model["fit:good"]).to_numpy()
    assert good.sum() >= 3
    np.testing.assert_allclose(by_model["sigma"][good], by_toml["sigma"][good], rtol=1e-3)


def test_another_family_is_fitted_by_its_name(data, tmp_path):
    picture = data / "images" / files.read_csv(data / "testing.csv")["filename"].iloc[0]
    options = ("--family", "SIE+Shear", "--residuals", tmp_path / "left", "--output", tmp_path / "f.csv")
    assert run(data, picture, *options) == 0
    assert files.read_csv(tmp_path / "f.csv")["fit:family"].tolist() == ["SIE+Shear, Spherical"]
    header = fits.getheader(tmp_path / "left" / f"{picture.stem}-fit.fits")
    assert header["FAMILY"] == "SIE+Shear, Spherical" and header["PIXELS"] == 48 * 48
    assert (tmp_path / "left" / f"{picture.stem}-fit.png").is_file()


def test_without_a_family_the_roulette_itself_is_fitted(data, tmp_path):
    rows = files.read_csv(data / "testing.csv").head(3)
    paths = [data / "images" / name for name in rows["filename"]]
    assert run(data, *paths, "--output", tmp_path / "network.csv") == 0
    options = ("--family", "none", "--residuals", tmp_path / "left", "--samples", 20, "--output", tmp_path / "f.csv")
    assert run(data, *paths, *options) == 0
    network, found = files.read_csv(tmp_path / "network.csv"), files.read_csv(tmp_path / "f.csv")
    good = found["fit:good"].to_numpy()
    assert good.any() and (found["fit:family"] == "none").all()
    place = ["xiX", "xiY"]
    error = abs(found[place].to_numpy() - rows[place].to_numpy())[good]
    assert np.median(error) < 0.1 * np.median(abs(network[place].to_numpy() - rows[place].to_numpy())[good])
    assert (found["fit:pixels"][good] < 48 * 48).all()
    with fits.open(tmp_path / "left" / f"{Path(rows['filename'][0]).stem}-fit.fits") as cube:
        _, _, left = cube[0].data
        assert (left != 0).sum() <= found["fit:pixels"][0]
    assert len(files.read_csv(tmp_path / "f-samples.csv")) == 20 * good.sum()


def test_a_model_that_does_not_say_what_it_was_trained_on_asks_for_the_family(data, tmp_path, capsys):
    picture = data / "images" / files.read_csv(data / "testing.csv")["filename"].iloc[0]
    assert run(data, picture, "--fit", model="old.safetensors") == 2
    error = capsys.readouterr().err
    assert "does not say what it was trained on, expected --family" in error and error.count("\n") == 1
    options = ("--family", "SIE,Spherical", "--output", tmp_path / "f.csv")
    assert run(data, picture, *options, model="old.safetensors") == 0
    assert files.read_csv(tmp_path / "f.csv")["fit:family"].tolist() == ["SIE, Spherical"]


def test_samples_are_about_the_fits(data, fitted):
    _, found = fitted
    samples = files.read_csv(data / "fitted-samples.csv")
    good = found[found["fit:good"]]
    assert len(samples) == 50 * len(good)
    of_first = samples[samples["filename"] == good["filename"].iloc[0]]
    middle, width = good[["sigma", "std:sigma"]].iloc[0]
    assert abs(of_first["sigma"].median() - middle) < width


def test_picture_fit_and_residuals_are_written(data, fitted):
    rows, found = fitted
    stem = Path(rows["filename"].iloc[0]).stem
    planes = fits.getdata(data / "seen" / f"{stem}-fit.fits")
    assert planes.shape == (3, 48, 48)
    picture = np.asarray(Image.open(data / "images" / rows["filename"].iloc[0]), float)
    np.testing.assert_array_equal(planes[0][::-1], picture)
    np.testing.assert_allclose(planes[2], (planes[0] - planes[1]) / 0.5, atol=1e-3)
    assert Image.open(data / "seen" / f"{stem}-fit.png").size == (3 * 48, 48)
    assert (planes[2] ** 2).sum() == pytest.approx(found["fit:chi2"].iloc[0], rel=1e-3)


def test_a_picture_of_another_family_keeps_the_networks_answer(data, tmp_path, capsys):
    noise = np.random.default_rng(0).uniform(0, 255, (48, 48)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    assert run(data, tmp_path / "noise.png", "--output", tmp_path / "plain.csv") == 0
    capsys.readouterr()
    assert run(data, tmp_path / "noise.png", "--output", tmp_path / "p.csv", "--fit", data / "params.toml") == 0
    assert "no good fit as SIE, Spherical" in capsys.readouterr().err
    plain, found = files.read_csv(tmp_path / "plain.csv"), files.read_csv(tmp_path / "p.csv")
    assert not found["fit:good"].any()
    np.testing.assert_array_equal(found[list(plain)].iloc[:, 1:], plain.iloc[:, 1:])


@pytest.mark.parametrize(
    "options, expected",
    [
        (["--samples", "5"], "--samples: found 5, expected at least 2, and --output beside it"),
        (["--samples", "5", "--output", "o.csv"], "--samples: found no --fit"),
        (["--residuals", "folder"], "--residuals: found no --fit"),
        (["--fit", "none.toml"], "none.toml"),
        (["--family", "Nothing"], "--family Nothing: lens.mode: found 'Nothing'"),
        (["--family", "SIE,Galaxy"], "--family SIE,Galaxy: source.galaxies: missing"),
        (["--fit", "large.toml"], "large.toml: found pictures of 96×96 pixels, expected 48×48"),
    ],
)
def test_options_that_cannot_be_are_one_line(data, tmp_path, monkeypatch, capsys, options, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "large.toml").write_text(TOML.replace("cropsize = 48\n", ""))
    picture = next((data / "images").iterdir())
    assert run(data, picture, *options) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and expected in error and error.count("\n") == 1
    assert not (tmp_path / "o.csv").exists()
