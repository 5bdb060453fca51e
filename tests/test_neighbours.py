"""[neighbours]: what is accepted, which galaxies a row says, and what they add to its picture and its resimulation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.modeling.models import Sersic2D

import droulette as dr
from droulette import datagen
from droulette.parameters import parse
from droulette.pipeline import depth
from droulette.pipeline.draw import draw_table
from droulette.pipeline.populations import families, populations
from droulette.pipeline.resimulate import resimulate
from droulette.pipeline.signal_to_noise import signal_to_noise

SCENES = {
    "simulator": {"size": 40, "seed": 4, "nterms": 2, "imagesize": 96, "cropsize": 64, "centred": True},
    "lens": {"mode": "SIE", "einstein-min": 5, "einstein-max": 9},
    "source": {"mode": "SersicSphere", "sigma-min": 2, "sigma-max": 4, "luminosity": 4, "position": "relative"},
    "instrument": {"noise": 1},
}
NOISELESS = {"background": 0, "depth": "uint16"}
ONE = {"count": 1, "poisson": False, "flux-ratio": 0.5, "radius": 2, "n-sersic": 1, "distance-min": 20}


def drawn(neighbours: dict, **simulator) -> pd.DataFrame:
    return draw_table(parse(SCENES | {"neighbours": neighbours, "simulator": SCENES["simulator"] | simulator}))


def numbers(text: str) -> np.ndarray:
    """(k, 7): x, y, flux ratio, radius, axis ratio, orientation, Sérsic index."""
    parts = [part.split("/") for part in text.split(";")] if text else []
    assert all(part[0] == "Sersic" for part in parts)
    return np.array([part[1:] for part in parts], float).reshape(-1, 7)


def generated(tables: dict, *options: str) -> list[np.ndarray]:
    lines = []
    for name, table in (SCENES | tables).items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    Path("params.toml").write_text("\n".join(lines) + "\n")
    command = ["--toml", "params.toml", "--csvfile", "dataset.csv", "--outfile", "roulette.csv", "-D", "images"]
    assert datagen.main([*command, *options, "--quiet"]) == 0
    found = []
    for path in sorted(Path("images").iterdir()):
        into = np.empty((64, 64), np.float32)
        depth.decode(path.read_bytes(), into)
        found.append(into)
    return found


# ---------------------------------------------------------------- what is accepted


@pytest.mark.parametrize(
    ("tables", "line"),
    [
        ({"neighbours": {"count": 1}, "instrument": {}}, "neighbours: needs the table [instrument], which is missing"),
        ({"neighbours": {"count": 21}}, "neighbours.count: found 21, expected a number in [0, 20]"),
        ({"neighbours": {"flux-ratio": -1}}, "neighbours.flux-ratio: found -1, expected a number in [0, 1_000_000]"),
        ({"neighbours": {"axis-ratio": 2}}, "neighbours.axis-ratio: found 2, expected a number in (0, 1]"),
        ({"neighbours": {"distance-min": "far"}}, "neighbours.distance-min: found 'far', expected a number"),
        (
            {"neighbours": {"distance-min": 9, "distance-max": 5}},
            "neighbours.distance-min: found 9, expected at most distance-max = 5",
        ),
    ],
)
def test_wrong_numbers_are_refused_in_one_line(tables, line):
    given = {name: table for name, table in (SCENES | tables).items() if table}
    with pytest.raises(dr.UserError) as caught:
        parse(given, "params.toml")
    assert str(caught.value).startswith(f"params.toml: {line}")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("Sersic/1/2/3", "found 'Sersic/1/2/3', expected Sersic and 7 numbers"),
        ("Sersic/1/2/1/2/0.5/0/nan", "expected finite numbers"),
        ("Sersic/1/2/1/2/1.5/0/1", "found lightaxisratio 1.5 in 'Sersic/1/2/1/2/1.5/0/1', expected a number in (0, 1]"),
        ("SIS/1/2/1/2/0.5/0/1", "found 'SIS', expected one of Sersic"),
    ],
)
def test_wrong_rows_are_refused_in_one_line(text, line, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    table = drawn(ONE, size=3)
    table.loc[1, "neighbours"] = text
    table.to_csv("own.csv", index=False)
    assert datagen.main(["--csvfile", "own.csv", "-D", "images", "-Z", "96", "-n", "2", "--quiet"]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "own.csv: row 2, column neighbours: " in said and line in said
    assert not Path("images").exists()


# ---------------------------------------------------------------- what a row says


def test_neighbours_are_within_what_the_table_says():
    given = {"count": [0, 2], "poisson": False, "distance-max": 30, "radius-min": 2, "radius-max": 3, "axis-ratio": 0.7}
    table = drawn(given, size=400)
    rows = [numbers(text) for text in table["neighbours"]]
    assert {len(row) for row in rows} == {0, 2}
    assert 0.4 < np.mean([len(row) == 2 for row in rows]) < 0.6
    for row, einstein in zip(rows, table["einsteinradius"], strict=True):
        distance = np.hypot(row[:, 0], row[:, 1])
        assert ((distance > einstein * (1 - 1e-12)) & (distance < 30)).all()
    every = np.concatenate(rows)
    assert ((every[:, 3] >= 2) & (every[:, 3] <= 3)).all() and (every[:, 4] == 0.7).all()
    assert every[:, 5].min() < 10 and every[:, 5].max() > 170
    # Uniform in the area: half of them beyond the radius that halves it.
    beyond = np.concatenate(
        [
            np.hypot(row[:, 0], row[:, 1]) ** 2 > (30**2 + einstein**2) / 2
            for row, einstein in zip(rows, table["einsteinradius"], strict=True)
        ]
    )
    assert 0.43 < beyond.mean() < 0.57


def test_their_number_is_of_a_poisson_distribution():
    count = np.array([len(numbers(text)) for text in drawn({"count": 1.5}, size=2000)["neighbours"]])
    assert count.mean() == pytest.approx(1.5, abs=0.1) and count.var() == pytest.approx(1.5, abs=0.2)


def test_a_row_depends_on_no_other_and_nothing_else_on_them():
    given = {"count": 2, "distance-max": 40}
    table = drawn(given)
    pd.testing.assert_frame_equal(drawn(given, size=90).head(40), table, check_exact=True)
    plain = draw_table(parse(SCENES))
    pd.testing.assert_frame_equal(table[plain.columns], plain, check_exact=True)
    assert "neighbours" not in plain


# ---------------------------------------------------------------- pictures


def test_the_light_of_a_neighbour_is_astropys():
    """The difference of two noisy pictures: normal noise does not hang on the light."""
    lens = dr.lens("SIE", einstein_radius=8, axis_ratio=0.7, orientation=20)
    source = dr.source("SersicSphere", sigma=3, n_sersic=1, luminosity=2)
    camera = dr.instrument(noise=0.5, signal_to_noise=2000, seed=3)
    beside = dr.neighbour(21, -13, 0.8, 4, axis_ratio=0.6, orientation=35, n_sersic=1.5)
    how = {"imagesize": 96, "centred": False}
    alone = dr.Scene(lens, source, (3, 1), camera, **how)
    both = dr.Scene(lens, source, (3, 1), camera, neighbours=(beside,), **how)
    light = both.picture().astype(float) - alone.picture()

    place = np.arange(96) - 48.0
    x, y = np.meshgrid(place, -place)
    # astropy's theta is the major axis, ours the minor one; its radius the major half axis, ours the mean of both.
    profile = Sersic2D(1, 4 / np.sqrt(0.6), 1.5, 21, -13, ellip=0.4, theta=np.radians(35 + 90))
    expected = profile(x, y)
    away = np.hypot(x - 21, y + 13) > 5  # the middle is smoothed by a quarter of a pixel
    scale = (light * expected)[away].sum() / (expected**2)[away].sum()
    np.testing.assert_allclose(light[away], (expected * scale)[away], atol=5e-3 * (expected * scale)[away].max())

    wide = np.meshgrid(np.arange(-300, 300, 0.5), np.arange(-300, 300, 0.5))
    assert profile(*wide).sum() * 0.25 * scale == pytest.approx(0.8 * alone.picture().sum(dtype=float), rel=0.03)


def test_neighbours_add_up_and_go_through_the_point_spread_function():
    lens, source = dr.lens("SIS", einstein_radius=6), dr.source("SersicSphere", sigma=3, n_sersic=1, luminosity=20)
    first, second = dr.neighbour(18, 5, 1.0, 2.0), dr.neighbour(-14, 12, 0.3, 3.0, axis_ratio=0.5)

    def picture(*neighbours, fwhm: float = 4.0):
        camera = dr.instrument(noise=0.01, psf="gaussian", psf_fwhm=fwhm, seed=1)
        return dr.Scene(lens, source, (2, 0), camera, neighbours=neighbours, imagesize=80).picture().astype(float)

    none = picture()
    np.testing.assert_allclose(
        picture(first, second) - none, picture(first) + picture(second) - 2 * none, atol=1e-4 * none.max()
    )
    sharp, soft = (picture(first, fwhm=width) - picture(fwhm=width) for width in (1.0, 6.0))
    assert soft.max() < 0.6 * sharp.max()
    assert soft.sum() == pytest.approx(sharp.sum(), rel=0.01)


def test_the_middle_of_a_picture_and_its_signal_to_noise_are_of_the_object_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    camera = {"noise": 0.1, "signal-to-noise": 300}
    generated({"instrument": camera})
    plain, lenses = pd.read_csv("roulette.csv"), pd.read_csv("dataset.csv")
    generated({"instrument": camera, "neighbours": ONE | {"flux-ratio": 3}})
    beside, with_them = pd.read_csv("roulette.csv"), pd.read_csv("dataset.csv")
    for column in ("centreX", "centreY", "brightness", "xiX", "xiY"):
        np.testing.assert_array_equal(beside[column], plain[column])
    simulator = parse(SCENES).simulator
    found = [signal_to_noise(*pair, simulator, 64) for pair in ((lenses, plain), (with_them, beside))]
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)


def test_a_resimulation_shows_the_neighbours(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    near = ONE | {"distance-max": 22}
    simulator = SCENES["simulator"] | {"size": 6, "model": "Roulette"}
    pictures = generated({"instrument": {"noise": 1e-3}, "neighbours": near, "simulator": simulator})
    table, lenses = pd.read_csv("roulette.csv"), pd.read_csv("dataset.csv")
    assert (table["sourceflux"] > 0).all()
    again = resimulate(table, 64, canvas=96, counts=True)
    for k, row in table.iterrows():
        x, y = numbers(lenses["neighbours"][k])[0, :2]
        column, line = 32 + x + row["lensX"], 32 - y - row["lensY"]
        around = slice(round(line) - 2, round(line) + 3), slice(round(column) - 2, round(column) + 3)
        brightest = pictures[k][around].max()
        assert brightest > 0.1
        np.testing.assert_allclose(again[k][around], pictures[k][around], atol=0.02 * brightest)


def test_neighbours_make_no_other_family_of_scenes():
    tables = SCENES | {"simulator": SCENES["simulator"] | {"size": 300}, "neighbours": {"count": 1.5}}
    table = draw_table(parse(tables))
    (found,) = populations(parse(tables), "params.toml", 64)
    (alone,) = populations(parse(SCENES | {"simulator": tables["simulator"]}), "params.toml", 64)
    np.testing.assert_array_equal(found.coordinates, alone.coordinates)
    centres = pd.DataFrame(0.0, table.index, ["centreX", "centreY"])
    ((places, _, _),) = families(table, centres, "dataset.csv")
    assert len(places) == 300


def test_a_scene_keeps_its_neighbours():
    tables = SCENES | {"neighbours": {"count": 2, "distance-max": 40}}
    for k in range(4):
        one = dr.Scene.from_toml(tables, k)
        again = dr.Scene.from_row(one.row(), centred=True, imagesize=96, cropsize=64, nterms=2)
        assert one.neighbours == again.neighbours
        np.testing.assert_array_equal(again.picture(), one.picture())
    with pytest.raises(dr.UserError, match="to_toml: found neighbours"):
        one.to_toml()
    for wrong in (one.neighbours[0], ["a galaxy"]):
        with pytest.raises(dr.UserError, match=r"neighbours: found .*, expected a list of"):
            dr.Scene(one.lens, one.source, instrument=one.instrument, neighbours=wrong)
    with pytest.raises(dr.UserError, match="neighbours: found no instrument"):
        dr.Scene(one.lens, one.source, neighbours=one.neighbours)
    with pytest.raises(dr.UserError, match="neighbour: lightratio"):
        dr.neighbour(1, 2, -1, 3)
