"""Pictures as an instrument takes them, from TOML to a trained model and its answer to a FITS file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import small
import torch
from astropy.io import fits
from scipy.signal import fftconvolve

from droulette import datagen, instruments, parameters
from droulette.errors import UserError
from droulette.learning import model_file
from droulette.learning.observed import FACTS, ObservedPicture
from droulette.pipeline import fresh
from droulette.pipeline.depth import About, decode
from droulette.pipeline.draw import draw_table
from droulette.pipeline.evaluated import prediction_table
from droulette.pipeline.generate import Drawing, draw_in_memory
from droulette.pipeline.observed_predictions import in_own_frames, prepare, warn_of_others
from droulette.pipeline.pictures import make_views
from droulette.pipeline.user_predictions import predict_pictures

ROOT = Path(__file__).parents[1]
SIZE = 48
TABLES = {
    "simulator": {"size": 6, "seed": 3, "nterms": 2, "imagesize": 96, "cropsize": SIZE, "centred": True},
    "lens": {"mode": "SIE", "einstein-min": 5, "einstein-max": 10, "ellipseratio-min": 0.4},
    "source": {"mode": "SersicSphere", "sigma-min": 2, "sigma-max": 5, "luminosity": 5, "position": "relative"},
    "position": {"r-relativemax": 0.8},
    "instrument": {
        "psf": "gaussian", "psf-fwhm-min": 1, "psf-fwhm-max": 3, "noise-min": 0.5, "noise-max": 4, "background": 12,
        "pixel-scale": 0.1, "centring-error": 0.5,
    },
}  # fmt: skip


def toml(tables: dict) -> str:
    lines = []
    for name, table in tables.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def with_instrument(**keys) -> dict:
    return TABLES | {"instrument": TABLES["instrument"] | {key.replace("_", "-"): v for key, v in keys.items()}}


def drawn(tables: dict, device: str = "cpu", rows: int | None = None) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    from concurrent.futures import ThreadPoolExecutor

    params = parameters.parse(tables)
    with ThreadPoolExecutor(2) as helpers:
        return draw_in_memory(draw_table(params, 0, rows), Drawing.of(params.simulator), "rows", device, helpers)


def generate(folder: Path, tables: dict, *options: str) -> dict[str, bytes]:
    """Run datagen in the folder; the pictures by name."""
    folder.mkdir(exist_ok=True)
    (folder / "d.toml").write_text(toml(tables))
    before = Path.cwd()
    os.chdir(folder)
    try:
        arguments = ["--toml", "d.toml", "--csvfile", "d.csv", "--outfile", "r.csv", "--directory", "p", *options]
        assert datagen.main(arguments) == 0
    finally:
        os.chdir(before)
    return {path.name: path.read_bytes() for path in sorted((folder / "p").iterdir())}


# ---------------------------------------------------------------- pictures


def test_the_rows_alone_redraw_the_pictures_with_their_noise(tmp_path, monkeypatch):
    light = {"lens_light": {"flux-ratio": 2, "share": [0, 1]}}
    first = generate(tmp_path, with_instrument(exposure=50.0, read_noise=3) | light)
    monkeypatch.chdir(tmp_path)
    table = pd.read_csv("d.csv").iloc[[4, 1]]
    table.to_csv("some.csv", index=False)
    line = ["--csvfile", "some.csv", "--directory", "again", "-C", "-Z", "96", "-z", str(SIZE), "-n", "2"]
    assert datagen.main([*line, "--workers", "1"]) == 0
    for name in ("image-000005.png", "image-000002.png"):
        assert (tmp_path / "again" / name).read_bytes() == first[name]


def test_pictures_depend_neither_on_their_number_nor_on_the_threads(tmp_path):
    few = generate(tmp_path / "a", TABLES, "--size", "3", "--workers", "1")
    many = generate(tmp_path / "b", TABLES, "--size", "9", "--workers", "3")
    assert len(many) == 9 and all(many[name] == content for name, content in few.items())
    other = generate(tmp_path / "c", TABLES, "--size", "3", "--seed", "4")
    assert all(other[name] != content for name, content in few.items())


@pytest.mark.parametrize("centred", [True, False])
def test_the_tables_are_the_same_without_pictures(tmp_path, centred):
    keys = with_instrument(**{"signal_to_noise": 40})
    tables = keys | {"simulator": keys["simulator"] | {"centred": centred}, "lens_light": {"flux-ratio": 1}}
    generate(tmp_path / "a", tables)
    (tmp_path / "b" / "p").mkdir(parents=True)
    assert generate(tmp_path / "b", tables, "--no-pictures") == {}
    assert (tmp_path / "b/r.csv").read_bytes() == (tmp_path / "a/r.csv").read_bytes()


def test_two_processes_write_the_same_pictures(tmp_path):
    pytest.importorskip("torch.distributed.run")
    alone = generate(tmp_path / "a", TABLES)
    folder = tmp_path / "b"
    folder.mkdir()
    (folder / "d.toml").write_text(toml(TABLES))
    arguments = ["--toml", "d.toml", "--csvfile", "d.csv", "--outfile", "r.csv", "--directory", "p", "--device", "cpu"]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run([*command, "droulette.datagen", *arguments], cwd=folder, env=environment, capture_output=True)
    assert run.returncode == 0, run.stderr.decode()[-2000:]
    assert {path.name: path.read_bytes() for path in (folder / "p").iterdir()} == alone
    assert (folder / "r.csv").read_bytes() == (tmp_path / "a" / "r.csv").read_bytes()


@pytest.mark.parametrize("more", [{}, {"exposure": 20.0, "read_noise": 3}, {"psf": "moffat", "moffat_beta": 3.0}])
def test_a_card_takes_the_same_pictures(cuda, more):
    here, facts, table = drawn(with_instrument(**more))
    with cuda:
        there, facts_there, table_there = drawn(with_instrument(**more), "cuda")
        assert np.array_equal(here, there.cpu().numpy())
    assert np.array_equal(facts, facts_there)
    pd.testing.assert_frame_equal(table, table_there)


def test_a_picture_is_light_then_blur_then_background_then_noise():
    sharp = drawn(_without_psf(1e-9))[0]
    k = np.arange(-15, 16)
    sigma = 2.0 / 2.354820045
    kernel = np.exp(-(k**2 + k[:, None] ** 2) / (2 * sigma**2))
    blurred = drawn(_fixed(2.0, 1e-9))[0]
    wanted = np.stack([fftconvolve(picture, kernel / kernel.sum(), mode="same") for picture in sharp])
    inner = slice(8, -8)  # light from beyond the crop comes in at its rim
    np.testing.assert_allclose(blurred[:, inner, inner], wanted[:, inner, inner], atol=1e-5 * wanted.max())
    noisy = drawn(_fixed(2.0, 3.0))[0]
    noise = noisy - blurred
    assert abs(noise.mean()) < 0.1 and abs(noise.std() - 3) < 0.05 and (noisy < 0).any()


def _fixed(width: float, noise: float) -> dict:
    instrument = {"psf": "gaussian", "psf-fwhm": width, "noise": noise, "background": 12}
    return TABLES | {"instrument": instrument}


def _without_psf(noise: float) -> dict:
    return TABLES | {"instrument": {"noise": noise, "background": 12}}


def test_files_of_kernels_are_drawn_from_and_their_middle_is_the_origin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("psfs").mkdir()
    shifted = np.zeros((5, 5))
    shifted[4, 2] = 1.0  # FITS rows count from below: light goes two pixels up
    fits.writeto("psfs/a.fits", shifted)
    tables = TABLES | {"instrument": {"psf": "psfs", "noise": 1e-9}}
    moved = drawn(tables, rows=2)[0]
    sharp = drawn(_without_psf(1e-9), rows=2)[0]
    np.testing.assert_allclose(moved[:, :-2], sharp[:, 2:], atol=1e-4 * sharp.max())
    assert set(draw_table(parameters.parse(tables))["psf"]) == {"psfs/a.fits"}


def test_the_file_says_its_scale_and_keeps_negative_noise(tmp_path):
    pictures = generate(tmp_path, TABLES)
    taken, facts, _ = drawn(TABLES)
    for content, exact, about in zip(pictures.values(), taken, facts, strict=True):
        found = np.zeros((SIZE, SIZE), np.float32)
        known = decode(content, found)
        assert known == About(*about)
        step = known.noise / 8
        assert np.abs(found - exact).max() <= step / 2 + 1e-4
        assert found.min() < 0


def test_shards_of_floats_hold_the_same_pictures(tmp_path):
    tables = with_instrument(depth="float32")
    tables = tables | {"simulator": tables["simulator"] | {"storage": "parquet", "shard-size": 4}}
    generate(tmp_path, tables)
    from droulette.pipeline.storage import reader

    shards, taken = reader(tmp_path / "p"), drawn(TABLES)[0]
    for row, exact in enumerate(taken):
        found = np.zeros((SIZE, SIZE), np.float32)
        assert decode(shards.open(f"image-{row + 1:06}.png").read(), found)
        np.testing.assert_allclose(found, exact, rtol=1e-6, atol=1e-6)


# ---------------------------------------------------------------- TOML


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"instrument": {"psf": "gaussian"}}, "instrument.psf-fwhm: missing"),
        ({"instrument": {"psf": "moffat", "psf-fwhm": 2}}, "instrument.moffat-beta"),
        ({"instrument": {"psf-fwhm": 2}}, "instrument.psf-fwhm: needs psf = gaussian or moffat"),
        ({"instrument": {"noise": -1}}, "instrument.noise: found -1"),
        ({"instrument": {"noise-min": 1}}, "instrument.noise-min: found -min alone"),
        ({"instrument": {"psf": "gaussian", "psf-fwhm": 1, "psf-unit": "arcsec"}}, "instrument.pixel-scale"),
        ({"instrument": {"read-noise": 3}}, "instrument.exposure"),
        ({"instrument": {"sky-brightness": 22}}, "instrument.zero-point"),
        ({"instrument": {"signal-to-noise": 20}}, "instrument.signal-to-noise: needs noise or exposure"),
        ({"instrument": {"preset": "hubble"}}, "instrument.preset: found 'hubble', expected one of hst"),
        ({"instrument": {"noise": 1, "depth": "float32"}}, "instrument.depth"),
        ({"lens_light": {"flux-ratio": 1}}, "lens_light: needs the table [instrument]"),
        ({"instrument": {"noise": 1}, "lens_light": {"share": 2}}, "lens_light.share: found 2"),
        (
            {"instrument": {"noise": 1}, "lens_light": {"share": 1}, "cluster": {"count": 2}},
            "lens_light: cannot be combined with a",
        ),
        ({"instrument": {"noise": 1}, "simulator": {"sampling": "nearest"}}, "simulator.sampling"),
        ({"instrument": {"nois": 1}}, "instrument.nois"),
    ],
)
def test_what_is_wrong_in_the_tables_is_said_in_one_line(tables, words):
    with pytest.raises(UserError) as error:
        parameters.parse(tables)
    assert words in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(("psf", "words"), [("nowhere.fits", "no file nowhere.fits"), ("empty", r"no file \*\.fits")])
def test_a_missing_kernel_is_said_in_one_line(tmp_path, monkeypatch, psf, words):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    with pytest.raises(UserError, match=words):
        draw_table(parameters.parse(TABLES | {"instrument": {"psf": psf, "noise": 1}}))


def test_a_preset_gives_the_keys_that_are_left_out():
    found = parameters.parse({"instrument": {"preset": "euclid", "psf-fwhm": 0.2, "noise": 1}}).instrument
    preset = instruments.PRESETS["euclid-vis"]
    assert found.pixel_scale.low == preset.pixel_scale and found.exposure.low == preset.exposure
    assert (found.psf, found.psf_unit, found.psf_fwhm.low) == ("gaussian", "px", 0.2)
    for name in (*instruments.PRESETS, *instruments.ALIASES):
        assert parameters.parse({"instrument": {"preset": name}}).instrument.given


def test_empty_tables_change_nothing():
    plain = {name: table for name, table in TABLES.items() if name != "instrument"}
    with_empty = plain | {"instrument": {}, "lens_light": {}}
    pictures, facts, table = drawn(plain)
    again, none, same = drawn(with_empty)
    assert facts is None and none is None and np.array_equal(pictures, again) and pictures.dtype == np.uint8
    pd.testing.assert_frame_equal(table, same)


# ---------------------------------------------------------------- learning and asking


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with pictures, parts and a model that learnt from fresh pictures."""
    folder = tmp_path_factory.mktemp("telescope")
    tables = TABLES | {"simulator": TABLES["simulator"] | {"size": 260}}
    generate(folder, tables)
    sizes = {"training": 120, "validation": 110, "testing": 30}
    parts = {name: folder / f"{name}.csv" for name in sizes}
    from droulette.pipeline.splitting import split_file

    options = {"variables": ["sigma", "xiX", "xiY"], "nterms": (0, 1)}
    split_file(folder / "r.csv", {name: (parts[name], size) for name, size in sizes.items()}, **options)
    counted = {}

    def progress(total: int, doing: str):
        counted[doing] = [total, 0]

        def step(done: int) -> None:
            counted[doing][1] += done

        return step

    rows = {"NO_LENS": 60, "LENS_LIGHT": 60, "NEIGHBOUR": 60, "NOVELTY": 40, "CALIBRATION": 30, "END": 20, "CORNER": 20}
    with pytest.MonkeyPatch.context() as patched:
        for name, count in rows.items():
            patched.setattr(fresh, f"{name}_ROWS", count)
        small.train(
            parts["training"], parts["validation"], folder / "p", folder / "model.safetensors", say=lambda line: None,
            progress=progress, tables=dict(tables), fresh_pictures=True, model="polar_tiny", num_epochs=2,
        )  # fmt: skip
    (folder / "progress.json").write_text(json.dumps(counted))
    return folder


def test_all_rows_are_counted_while_a_model_is_measured(trained):
    counted = json.loads((trained / "progress.json").read_text())
    assert counted["measuring"] == [250, 250] and counted["training"] == [240, 240]


def test_errors_are_measured_at_the_ends_of_the_instruments_ranges_too(monkeypatch):
    for name, rows in {"NOVELTY_ROWS": 5, "CALIBRATION_ROWS": 7, "END_ROWS": 12, "CORNER_ROWS": 8}.items():
        monkeypatch.setattr(fresh, name, rows)
    params = parameters.parse(TABLES)
    parts = list(fresh.calibration_rows(params, ObservedPicture(SIZE), ["xiX"], torch.device("cpu")))
    facts, xi = np.concatenate([facts for _, facts in parts]), np.concatenate([part.targets for part, _ in parts])
    assert [len(part) for _, part in parts] == [7, 3, 3, 3, 3, 2, 2, 2, 2]
    noise, width = (facts[:, FACTS.index(name)] for name in ("noise", "psf_fwhm"))
    at_ends = [set(width[7:10]), set(width[10:13]), set(noise[13:16]), set(noise[16:19])]
    assert at_ends == [{1.0}, {3.0}, {0.5}, {4.0}]
    assert len(set(noise[:13])) == 13 and len(set(width[[*range(7), *range(13, 19)]])) == 13
    corners = list(zip(width[19:], noise[19:], strict=True))
    assert corners[::2] == corners[1::2] == [(1.0, 0.5), (1.0, 4.0), (3.0, 0.5), (3.0, 4.0)]
    # Rows of another seed, after those that novelty is measured on: no training has seen them.
    other = TABLES | {"simulator": TABLES["simulator"] | {"seed": params.simulator.seed ^ fresh.UNSEEN}}
    expected = drawn(other, rows=5 + 7 + 12 + 8)[2]["xiX"].to_numpy()
    np.testing.assert_array_equal(xi[:, 0], expected[5:])
    assert not set(xi[:, 0]) & set(drawn(TABLES, rows=60)[2]["xiX"])


def test_what_a_model_is_told_from_has_light_that_its_pictures_do_not_have():
    def kinds(tables: dict) -> list[set[str]]:
        params = parameters.parse(TABLES | tables)
        return [
            {name for name in ("lens_light", "neighbours") if getattr(kind, name).given} for kind, _ in found(params)
        ]

    found = fresh._other_kinds
    assert kinds({}) == [set(), {"lens_light"}, {"neighbours"}]
    assert kinds({"lens_light": {"share": 1}}) == [{"lens_light"}, {"lens_light", "neighbours"}]
    both = {"lens_light": {"share": 1}, "neighbours": {"count": 1}}
    assert kinds(both) == [set(both)]
    params = parameters.parse(TABLES)
    einstein = [kind.lens.einstein.high for kind, _ in found(params)]
    assert einstein[0] < 0.01 and einstein[1:] == [params.lens.einstein.high] * 2


def observation(folder: Path, seed: int = 0, noise: float = 1.0, scale: float = 0.1) -> Path:
    """A picture of two spots with noise, its noise map and PSF."""
    y, x = np.mgrid[:61, :61]
    rng = np.random.default_rng(seed)
    light = 40 * np.exp(-((x - 36) ** 2 + (y - 33) ** 2) / 18) + 25 * np.exp(-((x - 25) ** 2 + (y - 27) ** 2) / 8)
    header = fits.Header()
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 31.0, "CRPIX2": 31.0, "CRVAL1": 150.0, "CRVAL2": 2.0}
    header.update(cards | {"CD1_1": -scale / 3600, "CD2_2": scale / 3600, "CD1_2": 0.0, "CD2_1": 0.0})
    fits.writeto(folder / "data.fits", light + rng.normal(0, noise, light.shape), header, overwrite=True)
    fits.writeto(folder / "noise.fits", np.full(light.shape, noise), overwrite=True)
    k = np.arange(-7, 8)
    psf = np.exp(-(k**2 + k[:, None] ** 2) / (2 * (2.0 / 2.3548) ** 2))
    fits.writeto(folder / "psf.fits", psf / psf.sum(), overwrite=True)
    return folder / "data.fits"


def asked(folder: Path, picture: Path, **options) -> tuple[pd.Series, list[str]]:
    warned: list[str] = []
    given = {"noise": folder / "noise.fits", "psf": folder / "psf.fits"} | options
    table = predict_pictures([picture], trained_model(folder), warn=warned.append, device="cpu", **given)
    return table.iloc[0], warned


def trained_model(folder: Path):
    return model_file.load(folder / "model.safetensors")


def test_the_model_keeps_what_it_knows(trained):
    model = trained_model(trained)
    low, high = model.known.least, model.known.greatest
    assert 0.4 < low[1] < 0.8 and 3.5 < high[1] <= 4.01  # noise
    assert 1 <= low[3] < 1.2 and 2.8 < high[3] <= 3  # PSF
    assert model.screen is not None and len(model.calibration.knots) == 3
    again = trained / "again.safetensors"
    model_file.save(model, again)
    assert again.read_bytes() == (trained / "model.safetensors").read_bytes()


def test_light_at_the_rim_that_decides_the_answer_is_warned_of(trained):
    y, x = np.mgrid[:61, :61]
    light = 40 * np.exp(-((x - 54) ** 2 + (y - 37) ** 2) / 18) + 25 * np.exp(-((x - 24) ** 2 + (y - 28) ** 2) / 8)
    picture, noise = light + np.random.default_rng(0).normal(0, 1, light.shape), np.ones_like(light)
    paths = {"noise": trained / "flat.fits", "psf": None, "mask": None}
    fits.writeto(paths["noise"], noise, overwrite=True)
    model, warned = trained_model(trained), []
    options = {"at": None, "pixel_scale": None, "unit": 1.0, "say": lambda line: None, "warn": lambda line: None}
    one = prepare(picture, "a", model, **paths, **options)
    # Without the image at the rim the middle is another pixel.
    assert one.other is not None and one.other.column < one.column - 5 and one.other.row < one.row - 2
    views = make_views(model.network.preprocessing, one.picture[None], "cpu", one.facts[None])
    table = prediction_table(model, ["a"], *model.predict(views, facts=one.facts[None]))
    for far in (0.0, 1e9):
        warn_of_others([one], model, table, np.full((1, len(model.columns)), far), warned.append)
    assert len(warned) == 1 and "taken as an image of the source; as a neighbour the answer" in warned[0]

    columns = ["xiX", "xiY", "alpha[1][0]"]
    shift = np.array([one.other.column - one.column, one.row - one.other.row, 0.0])
    for name, answer, count in (("the same place", -shift, 0), ("another", shift, 1), ("another shear", -shift + 9, 1)):
        stub = SimpleNamespace(
            columns=columns, network=model.network, device="cpu", predict=lambda views, facts, a=answer: (a[None], None)
        )
        at_0, warned = prediction_table(stub, ["a"], np.zeros((1, 3)), np.ones((1, 3))), []
        warn_of_others([one], stub, at_0, np.full((1, 3), 2.0), warned.append)
        assert len(warned) == count, name


def among_neighbours(trained, centring_error: float):
    """A model of pictures with neighbours; and a picture prepared for it, with one at column 50, row 44."""
    model = trained_model(trained)
    tables = model.distribution | {"neighbours": {"count": 1}}
    tables["instrument"] = tables["instrument"] | {"centring-error": [0, centring_error]}
    model = replace(model, distribution=tables)
    y, x = np.mgrid[:61, :61]
    light = 40 * np.exp(-((x - 35) ** 2 + (y - 22) ** 2) / 18) + 90 * np.exp(-((x - 50) ** 2 + (y - 44) ** 2) / 8)
    picture = light + np.random.default_rng(0).normal(0, 1, light.shape)
    fits.writeto(trained / "flat.fits", np.ones_like(light), overwrite=True)
    fits.writeto(trained / "beside.fits", picture[::-1], overwrite=True)
    paths = {"noise": trained / "flat.fits", "psf": None, "mask": None}
    options = {"at": (31, 28), "pixel_scale": None, "unit": 1.0, "say": lambda line: None, "warn": lambda line: None}
    return model, picture, paths, options


def test_a_model_that_knows_neighbours_is_shown_them_about_the_place_that_is_asked_for(trained):
    model, picture, paths, options = among_neighbours(trained, 5.0)
    said = []
    one = prepare(trained / "beside.fits", "a", model, **paths, **options | {"say": said.append})
    assert (one.seen.column, one.seen.row) == (31, 28) and (one.column, one.row) == (35, 22)
    assert "the network sees neighbours too, about column 31, row 28" in said[0]
    size = model.input_size // 2
    np.testing.assert_allclose(one.seen.picture[size + 16, size + 19], picture[44, 50], atol=0.5)
    np.testing.assert_allclose(one.seen.picture[size - 6, size + 4], picture[22, 35], atol=0.5)
    assert abs(one.picture[size + 22, size + 15]) < 6 < picture[44, 50]
    assert one.other is None  # 7.2 px from the centre of light: the model knows 10


def test_a_model_without_neighbours_is_shown_none(trained):
    _, _, paths, options = among_neighbours(trained, 5.0)
    one = prepare(trained / "beside.fits", "a", trained_model(trained), **paths, **options)
    assert one.shown is one and one.seen is None


@pytest.mark.parametrize("scale", [None, 0.7])
def test_positions_are_counted_from_the_same_pixel_as_before(trained, scale):
    """ξ where the network sees the middle of its picture."""
    model, _, paths, options = among_neighbours(trained, 5.0)
    one = prepare(trained / "beside.fits", "a", model, **paths, **options | {"pixel_scale": scale})
    table = pd.DataFrame({"xiX": [0.0], "xiY": [0.0], "std:xiX": [1.0], "sigma": [2.0]})
    moved = in_own_frames(table, [one]).iloc[0]
    assert one.column + moved["xiX"] / one.scale == pytest.approx(31, abs=1e-9)
    assert one.row - moved["xiY"] / one.scale == pytest.approx(28, abs=1e-9)
    assert moved["std:xiX"] == 1 and moved["sigma"] == 2


def test_a_place_far_from_the_light_that_decides_the_answer_is_warned_of(trained):
    model, picture, paths, options = among_neighbours(trained, 3.0)
    one = prepare(
        trained / "beside.fits", "a", model, **paths, **options
    )  # 7.2 px from the centre of light: the model knows 6
    assert (one.other.column, one.other.row) == (35, 22)
    size = model.input_size // 2
    np.testing.assert_allclose(one.other.picture[size + 22, size + 15], picture[44, 50], atol=0.5)
    views = make_views(model.network.preprocessing, one.seen.picture[None], "cpu", one.seen.facts[None])
    table = prediction_table(model, ["a"], *model.predict(views, facts=one.seen.facts[None]))
    warned = []
    for far in (0.0, 1e9):
        warn_of_others([one], model, in_own_frames(table, [one]), np.full((1, len(model.columns)), far), warned.append)
    assert len(warned) == 1
    assert "column 31, row 28, where the lens is expected, is 7 px from the centre of light" in warned[0]


def test_it_answers_in_pixels_in_arcsec_and_on_the_sky(trained):
    row, warned = asked(trained, observation(trained))
    assert row["arcsec_per_px"] == pytest.approx(0.1) and np.isfinite(row["alpha[1][0]"])
    assert row["arcsec:xiX"] == pytest.approx(0.1 * row["xiX"])
    assert row["half95:xiX"] >= row["std:xiX"] > 0
    column, y = row["middle_column"] + row["xiX"], row["middle_row"] - row["xiY"]
    assert row["xi_ra"] == pytest.approx(150 - (column - 30) * 0.1 / 3600 / np.cos(np.radians(2)), abs=1e-7)
    assert row["xi_dec"] == pytest.approx(2 + (30 - y) * 0.1 / 3600, abs=1e-7)
    direction = np.degrees(np.arctan2(row["xiY"], row["xiX"]))  # east is to the left, north up
    assert np.cos(np.radians(row["pa:xiX"] - (direction - 90))) == pytest.approx(1, abs=1e-6)
    assert not [line for line in warned if "noise" in line or "PSF" in line or "pixel scale" in line]


def test_a_fit_with_noise_map_psf_and_mask_takes_the_place_of_its_answer(trained, tmp_path):
    header = fits.getheader(observation(trained))  # and writes noise.fits and psf.fits: 1, and 2 px
    instrument = {"psf": "gaussian", "psf-fwhm": 2.0, "noise": 1.0, "background": 12}
    pictures, facts, table = drawn(TABLES | {"instrument": instrument}, rows=1)
    light = np.random.default_rng(1).normal(0, 1, (61, 61))
    light[6 : 6 + SIZE, 6 : 6 + SIZE] = pictures[0] - facts[0, 0]
    mask = np.zeros((61, 61), np.int16)
    mask[10:14, 30:34] = 1
    light[mask > 0] = 1000  # a star
    fits.writeto(tmp_path / "data.fits", light[::-1], header)
    fits.writeto(tmp_path / "mask.fits", mask[::-1])
    plain, _ = asked(trained, tmp_path / "data.fits", mask=tmp_path / "mask.fits")
    row, warned = asked(trained, tmp_path / "data.fits", mask=tmp_path / "mask.fits", fit=True)
    assert row["fit:good"] and row["fit:family"] == "SIE, SersicSphere" and row["fit:pixels"] <= SIZE**2 - 16
    assert not [line for line in warned if "fit" in line]
    true = table.iloc[0]
    assert abs(row["middle_column"] + row["xiX"] - 30 - true["xiX"]) < 4 * row["std:xiX"]
    assert abs(row["middle_row"] - row["xiY"] - 30 + true["xiY"]) < 4 * row["std:xiY"]
    assert abs(row["alpha[1][0]"] - true["alpha[1][0]"]) < 4 * row["std:alpha[1][0]"]
    assert row["std:alpha[1][0]"] < row["half95:alpha[1][0]"] < 0.5 * plain["half95:alpha[1][0]"]
    assert row["arcsec:xiX"] == pytest.approx(0.1 * row["xiX"])


def test_a_shift_of_the_picture_shifts_the_answer_alone(trained, tmp_path):
    first, _ = asked(trained, observation(trained))
    opened = fits.open(trained / "data.fits")[0]
    rolled = np.roll(opened.data, (2, -3), (0, 1))
    fits.writeto(tmp_path / "data.fits", rolled, opened.header)
    second, _ = asked(trained, tmp_path / "data.fits")
    assert (second["middle_column"] - first["middle_column"], second["middle_row"] - first["middle_row"]) == (-3, -2)
    assert second["alpha[1][0]"] == pytest.approx(first["alpha[1][0]"], abs=0.2 * first["std:alpha[1][0]"])


@pytest.mark.parametrize(
    ("options", "words"),
    [({"noise": 9.0}, "noise of 9"), ({"scale": 0.2}, None)],
)
def test_noise_that_it_does_not_know_is_warned_of_and_other_pixels_are_sampled_anew(trained, tmp_path, options, words):
    for name in ("model.safetensors",):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    row, warned = asked(tmp_path, observation(tmp_path, **options))
    if words:
        assert any(words in line and "do not trust" in line for line in warned)
    else:
        assert row["arcsec_per_px"] == pytest.approx(0.1)


def test_a_psf_that_it_does_not_know_is_warned_of(trained, tmp_path):
    picture = observation(trained)
    k = np.arange(-20, 21)
    wide = np.exp(-(k**2 + k[:, None] ** 2) / (2 * (6 / 2.3548) ** 2))
    fits.writeto(tmp_path / "wide.fits", wide)
    _, warned = asked(trained, picture, psf=tmp_path / "wide.fits")
    assert any("PSF of a full width of" in line and "the model knows" in line for line in warned)
    _, warned = asked(trained, picture, psf=None)
    assert any("its PSF is not known" in line for line in warned)


def test_its_own_pictures_are_answered_as_in_an_evaluation(trained):
    model = trained_model(trained)
    found = predict_pictures([trained / "p/image-000001.png"], model, device="cpu", warn=lambda line: None)
    params = parameters.parse(TABLES)
    assert np.isfinite(found[list(model.columns)].to_numpy()).all()
    assert found["arcsec_per_px"].iloc[0] == 0.1 and params.instrument.given


@pytest.mark.parametrize("option", ["noise", "psf", "mask"])
def test_a_model_of_drawings_takes_no_noise(tmp_path, option):
    parts = small.draw_parts(tmp_path, 40, 10, 10)
    small.train(parts["training"], parts["validation"], tmp_path / "images", tmp_path / "m", say=lambda line: None)
    with pytest.raises(UserError, match=f"--{option}: this model was trained on drawings"):
        predict_pictures([tmp_path / "images/image-000001.png"], tmp_path / "m", device="cpu", **{option: "x.fits"})
