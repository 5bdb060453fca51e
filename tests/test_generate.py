"""Pictures and tables: the same bytes always, every config, the users' own files."""

from __future__ import annotations

import random
import warnings
import weakref
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from droulette import files, parameters, quantities, registry
from droulette.parameters.simulation import CONFIGS
from droulette.physics import rendering
from droulette.physics.sampled import PotentialMap
from droulette.physics.sources import SOURCES, Source
from droulette.pipeline import batching
from droulette.pipeline import generate as module
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, generate, generate_chunks
from droulette.pipeline.resimulate import resimulate
from droulette.quantities import amplitude_columns

# All kinds of rows in one table, so that batches are ragged.
MIXED = """
[simulator]
size = 24
seed = 6
nterms = 3
models = ["Raytrace", "Roulette"]
[lens]
modes = ["SIE", "SIS", "PM"]
[source]
modes = ["SersicSphere", "Ellipsoid", "Triangle"]
sigma-min = 4
sigma-max = 12
luminosity = 40
position = "relative"
"""
SMALL = Drawing(imagesize=96, cropsize=64, centred=True, nterms=3)

USERS_TOML = """
[simulator]
configs = [ "raysie", "rs" ]
size = 1000
nterms = 5

[lens]
chi = 50
einstein-min = 10
einstein-max = 50

[source]
mode = "e"
sigma-min = 1
sigma-max = 60
sigma2-min = 1
sigma2-max = 40
theta-min = 0
theta-max = 179
position = "polar"

[position]
phi-min = 0
phi-max = 359
r-min = "einsteinR"
r-max = 100
"""


def table(tmp_path: Path, toml: str, **simulator) -> pd.DataFrame:
    """The dataset table of a TOML text, with keys of [simulator] overridden."""
    path = tmp_path / "params.toml"
    path.write_text(toml)
    return draw_table(parameters.load(path, {f"simulator.{key}": value for key, value in simulator.items()}))


def draw(frame: pd.DataFrame, folder: Path, drawing: Drawing = SMALL, **options) -> tuple[pd.DataFrame, dict]:
    """The roulette table and the bytes of each picture file."""
    folder.mkdir()
    result = generate(frame, drawing, folder, **options)
    return result, {path.name: path.read_bytes() for path in folder.iterdir()}


def levels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert picture.mode == "L"
        return np.array(picture)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """The mixed table, its roulette table and its picture files."""
    folder = tmp_path_factory.mktemp("reference")
    frame = table(folder, MIXED)
    return frame, *draw(frame, folder / "images")


@pytest.mark.parametrize("workers, pictures, rows", [(None, 8, 4096), (1, 1, 1), (2, 64, 64), (2, 1, 4096)])
def test_same_bytes_whatever_the_workers_and_the_batches(reference, tmp_path, monkeypatch, workers, pictures, rows):
    frame, expected_table, expected = reference
    monkeypatch.setattr(batching, "PICTURES_AT_ONCE", pictures)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", rows)
    again = table(tmp_path, MIXED)
    pd.testing.assert_frame_equal(again, frame, check_exact=True)
    result, found = draw(again, tmp_path / "images", workers=workers)
    pd.testing.assert_frame_equal(result, expected_table, check_exact=True)
    assert found == expected
    assert len(found) == 24


@pytest.mark.parametrize(
    "drawing",
    [
        Drawing(64, sampling="nearest", nterms=3),
        Drawing(64, supersampling=2, centred=True, nterms=3),
        Drawing(64, mask=True, nterms=3),
    ],
)
def test_same_bytes_in_batches_of_1_and_64_however_pictures_are_made(tmp_path, monkeypatch, drawing):
    frame = table(tmp_path, MIXED)
    results = []
    for size in (1, 64):
        monkeypatch.setattr(batching, "PICTURES_AT_ONCE", size)
        results.append(draw(frame, tmp_path / f"images{size}", drawing)[1])
    assert results[0] == results[1]


def test_sampled_lenses_and_clusters_give_the_same_bytes_in_any_batch(tmp_path, monkeypatch):
    sampled = table(tmp_path, MIXED, sampled=True, size=8)
    cluster = table(tmp_path, MIXED + "[cluster]\ncount-min = 2\ncount-max = 3\n", size=12)
    for name, frame in (("sampled", sampled), ("cluster", cluster)):
        results = []
        for size in (1, 64):
            monkeypatch.setattr(batching, "PICTURES_AT_ONCE", size)
            monkeypatch.setattr(module, "ROWS_AT_ONCE", size)
            monkeypatch.setattr(module, "SAMPLED_AT_ONCE", size)
            results.append(draw(frame, tmp_path / f"{name}{size}", workers=2))
        pd.testing.assert_frame_equal(results[0][0], results[1][0], check_exact=True)
        assert results[0][1] == results[1][1]


def test_few_maps_of_sampled_lenses_are_in_memory_together(tmp_path, monkeypatch):
    alive, most = set(), []
    make = PotentialMap.__init__

    def counted(self, *given) -> None:
        make(self, *given)
        alive.add(id(self))
        weakref.finalize(self, alive.discard, id(self))
        most.append(len(alive))

    monkeypatch.setattr(PotentialMap, "__init__", counted)
    frame = table(tmp_path, MIXED, sampled=True, size=80)
    frame = frame.assign(model="Raytrace", lens="SIE", source="SersicSphere")
    draw(frame, tmp_path / "images", Drawing(imagesize=16, nterms=1), workers=2)
    assert len(most) == 80 // module.SAMPLED_AT_ONCE
    assert max(most) <= 4  # one in each thread, and perhaps the last one's, which Python has yet to let go


def test_row_does_not_depend_on_the_size_of_the_dataset(tmp_path):
    drawing = Drawing(imagesize=32, nterms=3, centred=True)
    few, many = (table(tmp_path, MIXED, size=size) for size in (10, 1000))
    pd.testing.assert_frame_equal(many.head(10), few, check_exact=True)
    few_table, few_pictures = draw(few, tmp_path / "few", drawing)
    many_table, many_pictures = draw(many, tmp_path / "many", drawing)
    pd.testing.assert_frame_equal(many_table.head(10), few_table, check_exact=True)
    assert len(many_pictures) == 1000
    assert few_pictures == {name: many_pictures[name] for name in few_pictures}


def test_a_row_of_the_csv_alone_redraws_its_picture(reference, tmp_path):
    frame, roulette, pictures = reference
    files.write_csv(frame, tmp_path / "dataset.csv")
    for row in (0, 7, 23):
        alone = files.read_csv(tmp_path / "dataset.csv").iloc[[row]]
        result, found = draw(alone, tmp_path / f"row{row}")
        name = frame["filename"][row]
        assert found == {name: pictures[name]}
        np.testing.assert_array_equal(result[amplitude_columns(3)], roulette[amplitude_columns(3)].iloc[[row]])


def test_columns_do_not_hang_on_the_sources_of_a_chunk(reference, monkeypatch):
    frame, expected, _ = reference
    monkeypatch.setattr(SOURCES, "classes", dict(SOURCES))
    monkeypatch.setattr(quantities, "OF_MODELS", dict(quantities.OF_MODELS))

    @registry.model
    class Ring(Source):
        sigma: np.ndarray
        width: np.ndarray = quantities.parameter(1, 3, "width", "px", gt=0)

    (result,) = generate_chunks([frame.assign(width=2.0)], SMALL, None)
    assert "Ring" not in set(frame["source"])
    pd.testing.assert_frame_equal(result.drop(columns="width"), expected, check_exact=True)


@pytest.mark.parametrize("case", ["plain", "uncentred", "sampled"])
def test_pictures_are_the_same_on_cpu_and_cuda(reference, tmp_path, cuda, monkeypatch, case):
    frame, expected_table, expected = reference
    drawing = SMALL
    monkeypatch.setattr(batching, "PICTURES_ON_A_CARD", 3)
    if case != "plain":
        frame = frame.head(6).assign(sampled=case == "sampled")
        drawing = Drawing(imagesize=96, cropsize=64, centred=case == "sampled", nterms=3)
        expected_table, expected = draw(frame, tmp_path / "expected", drawing)
    devices = set()

    def render(scene, size, x, y, **options):
        devices.add((x.device.type, len(x) <= 3))
        return rendering.render(scene, size, x, y, **options)

    monkeypatch.setattr(module, "render", render)
    with cuda:
        result, found = draw(frame, tmp_path / "images", drawing, device="cuda")
    assert devices == {("cuda", True)}
    pd.testing.assert_frame_equal(result, expected_table, check_exact=True)
    assert found == expected


def test_centres_of_light_are_the_same_on_cpu_and_cuda_where_no_picture_is_kept(reference, cuda):
    frame, expected, _ = reference
    with cuda:
        (result,) = generate_chunks([frame], SMALL, None, device="cuda")
    pd.testing.assert_frame_equal(result, expected, check_exact=True)


def test_a_card_draws_as_many_pictures_as_its_share_of_memory_holds():
    assert batching.pictures_at_once(256, 512, "cuda") == 2048
    assert batching.pictures_at_once(64, 64, "cuda") == batching.PICTURES_ON_A_CARD
    assert batching.pictures_at_once(16384, 16384, "cuda") == 1


@pytest.mark.parametrize("config", CONFIGS)
def test_every_config_draws_a_picture_that_is_not_black(tmp_path, config):
    toml = f"""
    [simulator]
    config = "{config}"
    size = 3
    [lens]
    einstein = 15
    [source]
    mode = "s"
    sigma = 8
    position = "relative"
    """
    frame = table(tmp_path, toml)
    draw(frame, tmp_path / "images", Drawing(128, nterms=5))
    model, lens, _ = CONFIGS[config]
    assert set(frame["model"]) == {model}
    assert set(frame["lens"]) == {lens}
    for name in frame["filename"]:
        assert levels(tmp_path / "images" / name).max() > 100


@pytest.mark.parametrize("config, plain", [("pss", "rs"), ("sraysie", "raysie"), ("ss", "fs"), ("srousie", "rousie")])
def test_sampled_configs_draw_nearly_the_pictures_of_their_lenses(tmp_path, config, plain):
    text = (
        '[simulator]\nconfig = "{}"\nsize = 3\n[lens]\neinstein = 20\n[source]\nmode = "s"\nsigma = 6\n'
        'position = "polar"\n[position]\nr = 20\n'
    )
    for name in (config, plain):
        draw(table(tmp_path, text.format(name)), tmp_path / name, Drawing(128, nterms=4, mask=True))
    for path in (tmp_path / plain).iterdir():
        exact, sampled = levels(path).astype(float), levels(tmp_path / config / path.name)
        assert np.abs(exact - sampled).mean() < 0.02 * exact.mean()


def test_users_own_toml_gives_sie_arcs_where_it_says_raysie(tmp_path):
    frame = table(tmp_path, USERS_TOML, size=12)
    elliptic = frame["config"] == "raysie"
    assert 0 < elliptic.sum() < 12
    assert set(frame.loc[elliptic, "lens"]) == {"SIE"}
    assert frame.loc[elliptic, "ellipseratio"].between(0, 1, inclusive="right").all()
    drawing = Drawing(512, nterms=5)
    draw(frame, tmp_path / "images", drawing)
    draw(frame.drop(columns="config").assign(lens="SIS"), tmp_path / "sis", drawing)
    for name, is_elliptic in zip(frame["filename"], elliptic, strict=True):
        picture, sis = levels(tmp_path / "images" / name), levels(tmp_path / "sis" / name)
        assert picture.shape == (512, 512)
        assert picture.max() > 50
        assert np.array_equal(picture, sis) != is_elliptic


def test_chi_has_no_effect(reference, tmp_path):
    frame, _, pictures = reference
    assert draw(frame.assign(chi=1.0), tmp_path / "images")[1] == pictures
    assert draw(frame.drop(columns="chi"), tmp_path / "without")[1] == pictures


def test_csv_that_cosmosim_drew_is_accepted(tmp_path):
    dataset = pytest.importorskip("CosmoSim.dataset")
    toml = tmp_path / "dataset.toml"
    toml.write_text("""
    [simulator]
    size = 5
    model = "Raytrace"
    [lens]
    mode = "SIE"
    einstein-min = 10
    einstein-max = 20
    ellipseratio-min = 0.3
    ellipseratio-max = 0.9
    orientation-min = 0
    orientation-max = 180
    [source]
    mode = "SersicSphere"
    sigma-min = 4
    sigma-max = 12
    luminosity = 40
    position = "relative"
    """)
    random.seed(1)  # CosmoSim's own generator
    dataset.datasetgen(toml, tmp_path / "dataset.csv", verbose=0)
    frame = files.read_csv(tmp_path / "dataset.csv")
    roulette, pictures = draw(frame, tmp_path / "images", Drawing(128))
    assert set(pictures) == set(roulette["filename"]) == set(frame["filename"])
    assert all(levels(tmp_path / "images" / name).max() > 0 for name in pictures)


def test_einsteinR_is_read_as_einsteinradius(tmp_path):
    text = "filename,lens,source,sigma,x,y,{}\na.png,SIS,s,5,6,3,14.5\nb.png,SIS,s,8,-4,9,20\n"
    results = []
    for spelling in ("einsteinR", "einsteinradius"):
        (tmp_path / "dataset.csv").write_text(text.format(spelling))
        results.append(draw(files.read_csv(tmp_path / "dataset.csv"), tmp_path / spelling)[1])
    assert results[0] == results[1]


def test_polar_position_is_read_where_a_csv_has_no_x_and_y(tmp_path):
    polar = pd.DataFrame(
        {
            "filename": ["a.png"],
            "lens": "SIS",
            "einsteinradius": 15.0,
            "source": "s",
            "sigma": 6.0,
            "R": 10.0,
            "phi": 90.0,
        }
    )
    cartesian = polar.drop(columns=["R", "phi"]).assign(x=10 * np.cos(np.pi / 2), y=10 * np.sin(np.pi / 2))
    assert draw(polar, tmp_path / "polar")[1] == draw(cartesian, tmp_path / "cartesian")[1]


def test_light_of_a_centred_picture_is_in_its_middle(tmp_path):
    frame = table(tmp_path, MIXED).assign(model="Raytrace", einsteinradius=10.0, x=5.0, y=-7.0, sigma=3.0, sigma2=2.0)
    draw(frame, tmp_path / "images", Drawing(imagesize=128, centred=True, nterms=3))
    pixel = np.arange(128) - 64
    for name in frame.loc[frame["source"] == "Ellipsoid", "filename"]:
        picture = levels(tmp_path / "images" / name).astype(float)
        assert abs(picture.sum(0) @ pixel / picture.sum()) < 0.05
        assert abs(picture.sum(1) @ pixel / picture.sum()) < 0.05


def test_crop_is_the_middle_of_the_whole_canvas(reference, tmp_path):
    frame, _, _ = reference
    whole = Drawing(imagesize=96, centred=True, nterms=3)
    draw(frame, tmp_path / "whole", whole)
    draw(frame, tmp_path / "crop", SMALL)
    for name in frame["filename"]:
        large, small = levels(tmp_path / "whole" / name), levels(tmp_path / "crop" / name)
        assert small.shape == (64, 64)
        np.testing.assert_array_equal(small, large[16:80, 16:80])


def test_uncentred_table_has_its_origin_at_the_lens(reference, tmp_path):
    frame, centred, _ = reference
    plain = draw(frame, tmp_path / "images", Drawing(96, nterms=3))[0]
    assert (plain[["centreX", "centreY", "lensX", "lensY"]] == 0).all(axis=None)
    for axis in "XY":
        np.testing.assert_allclose(plain[f"xi{axis}"], centred[f"xi{axis}"] + centred[f"centre{axis}"], atol=1e-12)
        np.testing.assert_array_equal(plain[f"releta{axis}"], frame[axis.lower()])
        assert np.abs(plain[f"offset{axis}"]).max() < 1e-9


def test_resimulation_from_the_csv_is_the_roulette_picture_in_the_centred_frame(reference, tmp_path):
    frame, _, _ = reference
    frame = frame.assign(model="Roulette")
    roulette, _ = draw(frame, tmp_path / "images")
    files.write_csv(roulette, tmp_path / "roulette.csv")
    again = resimulate(files.read_csv(tmp_path / "roulette.csv"), 64)
    wide = pd.concat([roulette, pd.DataFrame(0.0, roulette.index, [f"own{k}" for k in range(100)])], axis=1)
    files.write_csv(wide, tmp_path / "wide.csv")
    with warnings.catch_warnings(action="error"):  # pandas warns where a column is inserted into so many
        assert (resimulate(files.read_csv(tmp_path / "wide.csv"), 64) == again).all()
    drawn = np.stack([levels(tmp_path / "images" / name) for name in frame["filename"]])
    # x + centre − ξ and x − (ξ − centre) may differ in the last digit.
    assert (again == drawn).mean() > 0.9999
    assert np.abs(again.astype(int) - drawn).max() <= 1
    assert (drawn.max((1, 2)) > 0).sum() > 20
