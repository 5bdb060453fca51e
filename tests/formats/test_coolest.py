"""COOLEST files: those that coolest wrote are read, those written here are read by coolest, and both see the same."""

from __future__ import annotations

import json
import tomllib

import format_fixtures as packages
import numpy as np
import pytest
from helpers import FIXTURES, SCALE, brightness, fixture, random_lens, random_source, same
from helpers import deflections as of_part
from PIL import Image

from droulette.errors import UserError
from droulette.formats import Component, Description, coolest, lenstronomy
from droulette.formats.__main__ import main

NAMES = sorted(packages.FILES)


def deflections(scene: Description, x, y):
    """(2, n) arcsec, of all lenses of a scene, whatever its pixel scale."""
    factor = scene.pixel_scale / SCALE
    return sum(of_part([part.scaled(factor)], x[None], y[None])[:, 0] for part in scene.lenses)


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_coolest_lenses_as_coolest_says(name):
    scene, said = coolest.read(FIXTURES / f"{name}.json"), fixture("coolest")[name]
    found = deflections(scene, np.array(said["x"]), np.array(said["y"]))
    assert np.max(np.abs(found - said["deflection"])) < 1e-9
    assert (scene.pixel_scale, scene.size) == (0.1, 48)
    assert scene.instrument == {"psf": "gaussian", "psf-fwhm": 1.5, "noise": 2.0}


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_coolest_shines_as_coolest_says(name):
    scene, said = coolest.read(FIXTURES / f"{name}.json", 3.0), fixture("coolest")[name]
    x, y = (np.array([said[axis]]) * SCALE / scene.pixel_scale for axis in "xy")  # helpers count in SCALE
    found = sum(brightness([part], x, y)[0] for part in scene.sources)
    np.testing.assert_allclose(found, 3 * np.array(said["brightness"]) * scene.pixel_scale**2, rtol=1e-9)


def test_what_has_no_place_is_noted():
    notes = coolest.read(FIXTURES / "coolest-sie.json").notes
    assert notes == (
        "a lens: its light, Sersic, is left out",
        "the middles of the file's pixels lie (0.5, -0.5) px from those drawn here",
    )


def content(name: str = "coolest-sie") -> dict:
    return json.loads((FIXTURES / f"{name}.json").read_text())


def changed(path: str, value) -> dict:
    """The content with one thing replaced; path: keys and places, by dots."""
    result = content()
    *keys, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    table = result
    for key in keys:
        table = table[key]
    table[last] = value
    return result


def test_psf_and_noise_of_files_and_of_exposures():
    grid = {"fits_file": {"path": "psf.fits"}, "num_pix_x": 21, "num_pix_y": 21,
            "field_of_view_x": [-0.525, 0.525], "field_of_view_y": [-0.525, 0.525]}  # fmt: skip
    scene = coolest.parse(changed("instrument.psf", {"type": "PixelatedPSF", "pixels": grid}))
    assert scene.instrument["psf"] == "psf.fits"
    assert "psf: its pixels are 0.05″, those of the picture 0.1″; it is taken as it is" in scene.notes
    observation = content()["observation"] | {
        "noise": {"type": "InstrumentalNoise", "with_target_shot_noise": False},
        "exposure_time": 2000.0, "mag_zero_point": 25.0, "mag_sky_brightness": 22.0,
    }  # fmt: skip
    given = changed("observation", observation) | {"instrument": content()["instrument"] | {"readout_noise": 4.0}}
    assert coolest.parse(given).instrument == {
        "psf": "gaussian", "psf-fwhm": 1.5, "exposure": 2000.0, "read-noise": 4.0, "zero-point": 25.0,
        "sky-brightness": 22.0,
    }  # fmt: skip
    noise = {"type": "NoiseMap", "noise_map": {"fits_file": {"path": "noise.fits"}}}
    assert "noise: NoiseMap is left out (noise.fits)" in coolest.parse(changed("observation.noise", noise)).notes


def at_the_origin(observation: dict) -> dict:
    """The content with its lens in the middle and another observation."""
    result = content()
    for profile in result["lensing_entities"][1]["mass_model"]:
        for key in ("center_x", "center_y"):
            profile["parameters"][key]["point_estimate"]["value"] = 0.0
    result["observation"] |= observation
    return result


@pytest.mark.parametrize(
    "observation",
    [
        {"noise": {"type": "UniformGaussianNoise", "std_dev": 2.0}},
        {
            "noise": {"type": "InstrumentalNoise"}, "exposure_time": 50.0, "mag_zero_point": 25.0,
            "mag_sky_brightness": 20.0,
        },
    ],
)  # fmt: skip
def test_brightness_changes_the_unit_of_a_picture_and_nothing_else(observation):
    """Its noise is multiplied as its light is."""
    from concurrent.futures import ThreadPoolExecutor

    from droulette import parameters
    from droulette.pipeline.descriptions import toml_of
    from droulette.pipeline.draw import draw_table
    from droulette.pipeline.generate import Drawing, draw_in_memory

    def picture(grey: float) -> np.ndarray:
        params = parameters.parse(tomllib.loads(toml_of(coolest.parse(at_the_origin(observation), "file", grey))))
        with ThreadPoolExecutor(1) as helpers:
            table = draw_table(params, 0, None)
            return draw_in_memory(table, Drawing.of(params.simulator), "rows", "cpu", helpers)[0][0]

    one, four = picture(1.0), picture(4.0)
    assert np.abs(one).max() > 20 and one[:8, :8].std() > 0.1
    np.testing.assert_allclose(four, 4 * one, atol=1e-4 * np.abs(one).max())


def test_a_psf_lies_beside_its_file(tmp_path):
    psf = {"type": "PixelatedPSF", "pixels": {"fits_file": {"path": "psf.fits"}}}
    (tmp_path / "scene.json").write_text(json.dumps(changed("instrument.psf", psf)))
    assert coolest.read(tmp_path / "scene.json").instrument["psf"] == str(tmp_path / "psf.fits")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("lensing_entities.1.mass_model.0.type", "NFW", "a lens: mass_model 1: found NFW, which has no counterpart"),
        ("lensing_entities.0.light_model.0.type", "Shapelets", "a source: light_model 1: found Shapelets"),
        ("lensing_entities.1.mass_model.0.parameters.q.point_estimate.value", None, "SIE: found no q, expected it"),
        (
            "lensing_entities.1.mass_model.0.parameters.q.point_estimate.value",
            1.2,
            "found q = 1.2, expected a number in",
        ),
        (
            "lensing_entities.1.mass_model.0.parameters.phi.point_estimate.value",
            "x",
            "found phi = 'x', expected a finite number",
        ),
        ("lensing_entities.1.type", "Star", "lensing_entities 2: found .*, expected one of type Galaxy or MassField"),
        ("lensing_entities", {}, "found lensing_entities = {}, expected a list"),
        ("instrument.pixel_size", None, "instrument: found pixel_size = None, expected a finite number"),
        ("instrument.pixel_size", 10**400, "instrument: found pixel_size = 1000.*, expected a finite number"),
        ("instrument.psf.fwhm", np.nan, "instrument or observation: found 'psf-fwhm = nan'"),
        ("observation.noise.std_dev", 10**400, "instrument or observation: found"),
        ("observation.pixels.num_pix_x", np.inf, "instrument or observation: found"),
        (
            "lensing_entities.0.light_model.0.parameters.n.point_estimate.value",
            1e6,
            "Sersic: found I_eff = .*, expected numbers that have a finite result",
        ),
        (
            "lensing_entities.0.light_model.0.parameters.theta_eff.point_estimate.value",
            1e-300,
            "Sersic: found a light whose flux is 0, expected more than 0",
        ),
        ("instrument.pixel_size", 0, "pixel scale: found 0.0, expected a positive number"),
        ("instrument.psf", "sharp", "instrument or observation: found .*, expected what COOLEST has there"),
        ("observation.pixels.field_of_view_x", [], "instrument or observation: found"),
    ],
)
def test_a_file_that_cannot_be_converted_is_refused(path, value, message):
    with pytest.raises(UserError, match=message):
        coolest.parse(changed(path, value))


def test_lenses_of_two_planes_are_refused():
    given = content()
    given["lensing_entities"].append(given["lensing_entities"][1] | {"redshift": 0.7})
    with pytest.raises(UserError, match=r"found lenses at the redshifts 0.5, 0.7, expected one lens plane"):
        coolest.parse(given)


@pytest.mark.parametrize("grey", [0.0, -1.0, np.inf, np.nan])
def test_a_brightness_is_positive(grey):
    for convert in (
        lambda: coolest.parse(content(), "file", grey),
        lambda: coolest.document(Description((), (), 1), grey=grey),
    ):
        with pytest.raises(UserError, match=r"brightness: found .*, expected a positive number"):
            convert()


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '"COOLEST"'])
def test_what_is_no_coolest_file_is_refused(text, tmp_path):
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(UserError, match=r"bad.json: (not a JSON file|found)"):
        coolest.read(tmp_path / "bad.json")


# ---------------------------------------------------------------- writing


def random_scene(rng: np.random.Generator) -> Description:
    lenses = [random_lens(name, rng) for name in ("SIE", "EPL", "SIS")]
    lenses += [Component(name, 0.0, 0.0, random_lens(name, rng).parameters) for name in ("Shear", "Convergence")]
    sources = [random_source(name, rng) for name in ("SersicEllipsoid", "SersicSphere", "Ellipsoid", "Spherical")]
    return Description(tuple(lenses), tuple(sources), SCALE, 64, {"psf": "gaussian", "psf-fwhm": 2.0, "noise": 3.0})


def test_coolest_reads_what_is_written_and_lenses_the_same(tmp_path):
    """1,000 random scenes: validated, with deflections and light by coolest's API."""
    pytest.importorskip("coolest", reason="coolest is not installed")
    from coolest.template.json import JSONSerializer

    rng = np.random.default_rng(1)
    for _ in range(1000):
        scene = random_scene(rng)
        coolest.write(scene, tmp_path / "scene.json")
        found = JSONSerializer(str(tmp_path / "scene"), check_external_files=False).load(validate=True, verbose=False)
        x, y = packages.points(rng, 20)
        expected = deflections(scene, x, y)
        assert np.max(np.abs(packages.coolest_deflection(found, x, y) - expected)) < 1e-9
        light = sum(brightness([part], x[None], y[None])[0] for part in scene.sources)
        said = packages.coolest_brightness(found, x, y) * SCALE**2
        np.testing.assert_allclose(said, light, rtol=1e-9)


def test_what_is_written_comes_back(tmp_path):
    rng = np.random.default_rng(2)
    for _ in range(100):
        scene = random_scene(rng)
        coolest.write(scene, tmp_path / "scene.json", grey=2.5)
        found = coolest.read(tmp_path / "scene.json", 2.5)
        assert (found.size, found.pixel_scale, found.instrument) == (scene.size, SCALE, scene.instrument)
        assert found.notes == ()
        lenses = list(scene.lenses)
        lenses[2] = Component(
            "SIE", lenses[2].x, lenses[2].y, lenses[2].parameters | {"axis_ratio": 1.0, "orientation": 0.0}
        )
        assert all(same(*both) for both in zip(found.lenses, lenses, strict=True))
        assert same(found.sources[1], scene.sources[1])


@pytest.mark.parametrize(
    ("scene", "message"),
    [
        (
            Description((Component("NFW", 0, 0, {}),), (), 0.1),
            "lens 1: found NFW, which COOLEST has not, expected one of SIS",
        ),
        (
            Description((Component("Shear", 1, 0, {}),), (), 0.1),
            r"lens 1: found Shear at \(1, 0\), expected it at the origin",
        ),
        (Description((), (Component("Triangle", 0, 0, {}),), 0.1), "source 1: found source Triangle"),
        (
            Description((), (Component("SersicSphere", 0, 0, {"sigma": 3, "n_sersic": 0.4, "luminosity": 1}),), 0.1),
            "Sérsic index of 0.4, expected 0.5 to 10",
        ),
        (Description((), (), 0.1, instrument={"psf": "p.fits"}), "psf: found p.fits, which"),
        (Description((), (), 0.1, instrument={"exposure": 9.0}), "instrument: found exposure, which is not written"),
        (Description((), (), -0.1), "pixel scale: found -0.1"),
    ],
)
def test_what_coolest_has_not_is_refused(scene, message):
    with pytest.raises(UserError, match=message):
        coolest.document(scene)


# ---------------------------------------------------------------- pictures


def drawn(table, folder, size: int) -> np.ndarray:
    """The picture of a table of one row."""
    from droulette.datagen import main as datagen

    assert datagen(["--csvfile", str(table), "--directory", str(folder), "-Z", str(size), "-q"]) == 0
    (path,) = folder.glob("*.png")
    return np.array(Image.open(path)).astype(float)


def test_a_picture_is_that_which_lenstronomy_drew(tmp_path):
    """By its keyword arguments, in the fixture."""
    from droulette import files
    from droulette.pipeline.descriptions import table_of

    said = fixture("lenstronomy")["picture"]
    expected = np.array(said["counts"])
    scale = said["pixel_scale"]
    scene = Description(
        lenstronomy.to_lens(*said["lens"], scale), lenstronomy.to_sources(*said["source"], scale), scale
    )
    files.write_csv(table_of(scene), tmp_path / "lens.csv")
    picture = drawn(tmp_path / "lens.csv", tmp_path / "pictures", len(expected))
    assert expected.max() > 100 and np.max(np.abs(picture - np.minimum(expected, 255))) <= 0.51


@pytest.mark.parametrize("name", NAMES)
def test_a_coolest_file_is_drawn_as_lenstronomy_draws_it(name, tmp_path, capsys):
    """Lenstronomy reads what is written here by its own COOLEST interface."""
    pytest.importorskip("coolest", reason="coolest is not installed")
    pytest.importorskip("lenstronomy", reason="lenstronomy is not installed: requirements-bench.txt has it")
    from lenstronomy.Data.imaging_data import ImageData
    from lenstronomy.Data.psf import PSF
    from lenstronomy.ImSim.image_model import ImageModel
    from lenstronomy.LensModel.lens_model import LensModel
    from lenstronomy.LightModel.light_model import LightModel
    from lenstronomy.Util.coolest_interface import create_lenstronomy_from_coolest

    file = str(FIXTURES / f"{name}.json")
    assert main([file, "--csv", str(tmp_path / "lens.csv"), "--brightness", "2", "-q"]) == 0
    picture = drawn(tmp_path / "lens.csv", tmp_path / "pictures", 48)
    own = tmp_path / "own.json"
    options = ["--coolest", str(own), "--brightness", "2", "--pixel-scale", "0.1", "--size", "48", "-q"]
    assert main([str(tmp_path / "lens.csv"), *options]) == 0
    written = json.loads(own.read_text())
    # The interface wants a PSF and a noise map of pixels, and knows no sheet of convergence.
    pixels = written["observation"]["pixels"]
    written["observation"]["noise"] = {"type": "NoiseMap", "noise_map": pixels}
    written["instrument"]["psf"] = {"type": "PixelatedPSF", "pixels": pixels, "description": None}
    sheets = [p for e in written["lensing_entities"] for p in e["mass_model"] if p["type"] == "ConvergenceSheet"]
    for entity in written["lensing_entities"]:
        entity["mass_model"] = [p for p in entity["mass_model"] if p["type"] != "ConvergenceSheet"]
    own.write_text(json.dumps(written))
    given = create_lenstronomy_from_coolest(str(tmp_path / "own"), check_external_files=False)
    capsys.readouterr()
    names, kwargs = given["kwargs_model"], given["kwargs_result"]
    lens_names, lens_kwargs = names["lens_model_list"], kwargs["kwargs_lens"]
    lens_names = [*lens_names, *("CONVERGENCE" for _ in sheets)]
    lens_kwargs = [*lens_kwargs, *({"kappa": p["parameters"]["kappa_s"]["point_estimate"]["value"]} for p in sheets)]
    data = given["kwargs_data"] | {"image_data": np.zeros((48, 48))}
    data.pop("noise_map")
    light = LightModel(names["source_light_model_list"])
    model = ImageModel(ImageData(**data), PSF(psf_type="NONE"), LensModel(lens_names), light)
    expected = 2 * model.image(kwargs_lens=lens_kwargs, kwargs_source=kwargs["kwargs_source"])[::-1]
    assert expected.max() > 100 and np.max(np.abs(picture - np.minimum(expected, 255))) <= 1
