"""`python -m droulette.formats`, and rows of tables as scenes."""

from __future__ import annotations

import json
import tomllib

import numpy as np
import pandas as pd
import pytest
from helpers import FIXTURES
from PIL import Image

from droulette import files
from droulette.datagen import main as datagen
from droulette.errors import UserError
from droulette.formats import Component, Description
from droulette.formats.__main__ import main
from droulette.pipeline.descriptions import scene_of, table_of, toml_of

SIE = Component("SIE", 0.0, 0.0, {"einstein_radius": 20.0, "axis_ratio": 0.7, "orientation": 30.0})
NFW = Component("NFW", 0.0, 0.0, {"einstein_radius": 8.0, "scale_radius": 60.0})
SHEAR = Component("Shear", 0.0, 0.0, {"gamma1": 0.05, "gamma2": -0.02})
LIGHT = Component(
    "SersicEllipsoid",
    5.0,
    -3.0,
    {"sigma": 6.0, "sigma2": 9.0, "theta": 40.0, "n_sersic": 1.5, "luminosity": 15.0},
)


def moved(part: Component, x: float, y: float) -> Component:
    return Component(part.name, x, y, part.parameters)


def picture(folder, *options) -> np.ndarray:
    assert datagen([*options, "--directory", str(folder), "-Z", "96", "-q"]) == 0
    (path,) = folder.glob("*.png")
    return np.array(Image.open(path)).astype(int)


@pytest.mark.parametrize(
    ("lenses", "sources"),
    [
        ((SIE,), (LIGHT,)),
        ((SIE, SHEAR), (LIGHT,)),
        ((SIE, NFW, SHEAR), (LIGHT, moved(LIGHT, -9.0, 2.0))),
        ((NFW,), (Component("Spherical", 1.0, 2.0, {"sigma": 8.0}),)),
    ],
)
def test_a_table_and_a_toml_file_of_a_scene_draw_the_same_picture(lenses, sources, tmp_path):
    scene = Description(lenses, sources, 0.1, 96)
    files.write_csv(table_of(scene), tmp_path / "lens.csv")
    (tmp_path / "scene.toml").write_text(toml_of(scene))
    first = picture(tmp_path / "a", "--csvfile", str(tmp_path / "lens.csv"))
    toml = ("--toml", str(tmp_path / "scene.toml"), "--csvfile", str(tmp_path / "drawn.csv"))
    second = picture(tmp_path / "b", *toml)
    assert first.max() > 100 and (first == second).all()
    for table in ("lens.csv", "drawn.csv"):
        found = scene_of(files.read_csv(tmp_path / table), 1, table, 0.1)
        assert (found.lenses, found.sources) == (lenses, sources)


def test_parts_of_a_table_may_lie_anywhere_and_those_of_a_toml_file_at_the_origin():
    scene = Description((SIE, moved(NFW, 30.0, -20.0)), (LIGHT,), 0.1)
    assert scene_of(table_of(scene), 1, "lens.csv", 0.1).lenses == scene.lenses
    with pytest.raises(UserError, match=r"lens 2: found NFW at \(30, -20\) px, expected it at the origin"):
        toml_of(scene)


def test_a_multipole_of_another_einstein_radius_is_no_sum():
    multipole = Component("Multipole4", 0.0, 0.0, {"einstein_radius": 10.0, "a4": 0.02, "b4": 0.01})
    with pytest.raises(UserError, match="Multipole4 of einstein_radius = 10, 20 before, expected the same"):
        toml_of(Description((SIE, multipole), (LIGHT,), 0.1))


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (Description((), (LIGHT,), 0.1), "found 0 lenses and 1 sources, expected at least one of each"),
        (Description((moved(SIE, 2e6, 0.0),), (LIGHT,), 0.1), "found x 2e.06"),
        (Description((Component("Blob", 0, 0, {}),), (LIGHT,), 0.1), "found Blob, expected one of PM, "),
        (Description((SIE,), (Component("Image", 0, 0, {}),), 0.1), "found Image, whose file a scene does not hold"),
    ],
)
def test_a_scene_that_cannot_be_drawn_is_no_table(scene, message):
    with pytest.raises(UserError, match=message):
        table_of(scene)


# ---------------------------------------------------------------- the command


def test_a_toml_file_has_the_instrument_and_the_notes(tmp_path, capsys):
    out = tmp_path / "scene.toml"
    assert main([str(FIXTURES / "coolest-sie.json"), "--csv", str(tmp_path / "l.csv"), "-q"]) == 0
    assert "PSF and noise are left out of a table; --toml has them" in capsys.readouterr().err
    given = json.loads((FIXTURES / "coolest-sie.json").read_text())
    for entity in given["lensing_entities"]:
        for profile in entity["mass_model"]:
            for key in ("center_x", "center_y"):
                profile["parameters"].get(key, {"point_estimate": {}})["point_estimate"]["value"] = 0.0
    given["lensing_entities"][1]["name"] = "lens\n[simulator]"
    (tmp_path / "centred.json").write_text(json.dumps(given))
    assert main([str(tmp_path / "centred.json"), "--toml", str(out)]) == 0
    assert "lens [simulator]: its light, Sersic, is left out" in capsys.readouterr().err
    found = tomllib.loads(out.read_text())
    assert found["instrument"] == {"pixel-scale": 0.1, "psf": "gaussian", "psf-fwhm": 1.5, "noise": 2.0}
    assert found["simulator"] == {"size": 1, "imagesize": 48} and found["lens"]["mode"] == "SIE+Shear"
    csv = ("--csvfile", str(tmp_path / "d.csv"), "--directory", str(tmp_path / "i"), "-q")
    assert datagen(["--toml", str(out), *csv]) == 0
    row = pd.read_csv(tmp_path / "d.csv").iloc[0]
    assert (row.psf, row.psffwhm, row.noise, row.pixelscale) == ("gaussian", 1.5, 2.0, 0.1)


def test_a_row_becomes_a_coolest_file(tmp_path, capsys):
    frame = pd.concat(
        [table_of(Description((SIE,), (LIGHT,), 0.1)), table_of(Description((SIE, SHEAR), (LIGHT,), 0.1))]
    )
    frame["pixelscale"] = [0.2, 0.3]
    frame["psf"], frame["psffwhm"], frame["electrons"] = "gaussian", 2.5, 100.0
    frame["pedestal"], frame["counts"] = 3.0, 50.0
    files.write_csv(frame, tmp_path / "dataset.csv")
    out = tmp_path / "scene.json"
    assert main([str(tmp_path / "dataset.csv"), "--row", "2", "--coolest", str(out), "--redshifts", "0.3,1.1"]) == 0
    said = capsys.readouterr().err
    assert "row 2: Poisson noise is left out" in said and "row 2: the background is left out" in said
    assert "row 2: the source's brightness in column counts is left out" in said
    found = json.loads(out.read_text())
    lens, source, outside = found["lensing_entities"]
    assert [entity["redshift"] for entity in (lens, source, outside)] == [0.3, 1.1, 0.3]
    values = {key: cell["point_estimate"]["value"] for key, cell in lens["mass_model"][0]["parameters"].items()}
    assert values == pytest.approx({"theta_E": 6.0, "q": 0.7, "phi": 30.0, "center_x": 0.0, "center_y": 0.0})
    assert found["instrument"]["pixel_size"] == 0.3
    assert found["instrument"]["psf"] == {"description": None, "fwhm": 2.5, "type": "GaussianPSF"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lens.csv"], "found none of --csv, --toml and --coolest"),
        (["lens.csv", "--csv", "a.csv", "--row", "2"], "lens.csv: found 1 rows, expected a row 2"),
        (["lens.csv", "--coolest", "a.json"], "lens.csv: row 1: found no column pixelscale"),
        (["lens.csv", "--csv", "a.csv", "--brightness", "-1"], "--brightness: found -1, expected a positive number"),
        (
            ["lens.csv", "--coolest", "a.json", "--pixel-scale", "1", "--redshifts", "2,1"],
            "redshifts: found 2 and 1, expected the lens before the source",
        ),
        (
            ["lens.csv", "--coolest", "a.json", "--pixel-scale", "1", "--redshifts", "1,inf"],
            "redshifts: found 1 and inf, expected the lens before the source",
        ),
        (["lens.csv", "--coolest", "a.json", "--size", "-3"], "--size: found -3, expected at least 1"),
        (["none.json", "--csv", "a.csv"], "none.json: no such file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files.write_csv(table_of(Description((SIE,), (LIGHT,), 0.1)), "lens.csv")
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert not (tmp_path / "a.csv").exists() and not (tmp_path / "a.json").exists()
