"""`import droulette as dr`: scenes, amplitudes, curves and datasets, against closed forms and differences."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import droulette as dr
from droulette import files
from droulette.datagen import main as datagen
from droulette.pipeline.resimulate import resimulate

matplotlib.use("agg")

ROOT = Path(__file__).parents[1]

SIE = {"einstein_radius": 46.0, "axis_ratio": 0.34, "orientation": 107.0}
GALAXY = dr.source("SersicSphere", sigma=20, n_sersic=4, luminosity=16)
ONE_SCENE = """
[simulator]
model = "Raytrace"
cropsize = 64

[lens]
mode = "SIE"
einsteinradius = 20
ellipseratio = 0.34
orientation = 107

[source]
mode = "SersicSphere"
sigma = 5
position = "cartesian"
n_sersic = 4
luminosity = 16

[position]
x = 4.01
y = 0.31
"""


def scene(**drawing) -> dr.Scene:
    return dr.Scene(dr.lens("SIE", **SIE), GALAXY, position=(11.01, 0.31), **drawing)


def sie_and_shear(x, y, einstein_radius, axis_ratio, orientation, gamma1=0.0, gamma2=0.0):
    """ψ as Kormann et al. 1994 print it, in double precision."""
    f, turn = axis_ratio, np.deg2rad(orientation)
    prime = np.sqrt(1 - f**2)
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    radius = np.hypot(u, v)
    first, second = u * np.arcsinh(prime * u / (f * radius)), v * np.arcsin(prime * v / radius)
    return einstein_radius * np.sqrt(f) / prime * (first + second) + gamma1 * (x**2 - y**2) / 2 + gamma2 * x * y


def difference(function, x, y, along: str, step=1e-3):
    """The derivative along a string of axes, by central differences."""
    if not along:
        return function(x, y)
    dx, dy = (step, 0.0) if along[0] == "x" else (0.0, step)

    def one(x, y):
        return (function(x + dx, y + dy) - function(x - dx, y - dy)) / (2 * step)

    return difference(one, x, y, along[1:], step)


# ---------------------------------------------------------------- importing


def test_importing_costs_nothing_but_python():
    code = "import sys, droulette; print([n for n in ('numpy', 'pandas', 'torch', 'matplotlib') if n in sys.modules])"
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout == "[]\n"


def test_all_that_is_offered_is_there_and_explained():
    assert {"Scene", "lens", "source", "instrument", "draw", "predict", "load_model"} <= set(dir(dr))
    for name in dr._LATE:
        assert getattr(dr, name).__doc__, name


# ---------------------------------------------------------------- lenses


def test_a_sum_of_lenses_has_the_potential_of_its_parts():
    lens = dr.lens("SIE", **SIE) + dr.lens("Shear", gamma1=0.05, gamma2=-0.02)
    x, y = np.array([[3.0, -20.0, 41.0], [7.0, 0.5, -33.0]]), np.array([[1.0, 30.0, -8.0], [-9.0, 12.0, 25.0]])

    def psi(x, y):
        return sie_and_shear(x, y, **SIE, gamma1=0.05, gamma2=-0.02)

    assert lens.potential(x, y).shape == (2, 3)
    np.testing.assert_allclose(lens.potential(x, y), psi(x, y), rtol=1e-12)
    for axis, value in zip("xy", lens.deflection(x, y), strict=True):
        np.testing.assert_allclose(value, difference(psi, x, y, axis), atol=1e-5)
    second = {along: difference(psi, x, y, along) for along in ("xx", "xy", "yy")}
    np.testing.assert_allclose(lens.convergence(x, y), (second["xx"] + second["yy"]) / 2, atol=1e-5)
    np.testing.assert_allclose(lens.shear(x, y), (second["xx"] - second["yy"]) / 2 + 1j * second["xy"], atol=1e-5)


def test_a_sum_by_plus_is_the_sum_by_name():
    added = dr.lens("SIE", **SIE) + dr.lens("Shear", gamma1=0.05, gamma2=-0.02)
    named = dr.lens("SIE+Shear", **SIE, gamma1=0.05, gamma2=-0.02)
    assert added.columns() == named.columns()
    assert added.columns()["lens"] == "SIE+Shear"


def test_lenses_at_different_places_are_shifted():
    lens = dr.lens("SIS", einstein_radius=10, x=5, y=-3) + dr.lens("PM", einstein_radius=4, x=-20)
    x, y = 8.0, 9.0
    expected = 10 * np.hypot(x - 5, y + 3) + 16 * np.log(np.hypot(x + 20, y))
    assert lens.potential(x, y) == pytest.approx(expected, rel=1e-13)
    assert lens.columns() == {"cluster": "SIS/5.0/-3.0/10.0;PM/-20.0/0.0/4.0"}


def test_multipoles_of_another_einstein_radius_keep_their_own():
    four = dr.lens("Multipole4", einstein_radius=7, a4=0.03, b4=0.0)
    lens = dr.lens("SIE", **SIE) + four
    x, y = 12.0, 5.0
    expected = sie_and_shear(x, y, **SIE) - 7 * np.hypot(x, y) * 0.03 * np.cos(4 * np.arctan2(y, x)) / 15
    assert lens.potential(x, y) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dr.lens("SIEE"), "lens: found 'SIEE', expected SIE"),
        (lambda: dr.lens("SIE", **SIE | {"axis_ratio": 2}), "SIE: axis_ratio: found 2, expected a number in (0, 1]"),
        (lambda: dr.lens("SIE", **SIE | {"axis_ratio": True}), "SIE: axis_ratio: found True, expected a number"),
        (lambda: dr.lens("SIE", einstein_radius=46, ellipseratio=0.3), "expected axis_ratio"),
        (lambda: dr.lens("SIE", einstein_radius=46), "SIE: found no axis_ratio"),
        (lambda: dr.source("SersicSphere", sigma=1), "SersicSphere: found no n_sersic"),
        (lambda: dr.instrument("eucld-vis"), "instrument: instrument.preset: found 'eucld-vis'"),
        (lambda: dr.instrument("euclid-vis", magnitud=22), "expected instrument.magnitude"),
        (lambda: dr.Scene(GALAXY, GALAXY), "expected a droulette.lens(…)"),
        (lambda: dr.Scene(dr.lens("SIE", **SIE), GALAXY, lens_light=dr.lens_light(1, 5)), "found no instrument"),
        (lambda: scene().amplitudes(21), "nterms: found 21"),
        (lambda: scene().picture(0), "size: found 0"),
        (lambda: dr.Scene.from_row({"x": 1}), "row: found no column 'lens'"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(make, message):
    with pytest.raises(dr.UserError) as raised:
        make()
    assert message in str(raised.value) and "\n" not in str(raised.value)


# ---------------------------------------------------------------- the reference point and its amplitudes


def test_the_reference_point_solves_the_lens_equation():
    one = scene()
    xi = one.reference_point
    dx, dy = (difference(lambda x, y: sie_and_shear(x, y, **SIE), *xi, axis) for axis in "xy")
    np.testing.assert_allclose([xi[0] - dx, xi[1] - dy], one.position, atol=1e-6)


def test_convergence_shear_and_flexion_are_differences_of_the_potential():
    """F = ∂*γ and G = ∂γ with ∂ = ∂₁ + i∂₂, as Bacon et al. 2006 define them."""
    found = scene().amplitudes(2)
    at = found.reference_point

    def psi(x, y):
        return sie_and_shear(x, y, **SIE)

    def second(x, y, along):
        return difference(psi, x, y, along, step=1e-2)

    def shear(x, y):
        return (second(x, y, "xx") - second(x, y, "yy")) / 2 + 1j * second(x, y, "xy")

    kappa = (second(*at, "xx") + second(*at, "yy")) / 2
    assert found.convergence == pytest.approx(kappa, abs=1e-6)
    assert found.shear == pytest.approx(shear(*at), abs=1e-6)
    along_x, along_y = (difference(shear, *at, axis, step=1e-2) for axis in "xy")
    assert list(found.flexion) == pytest.approx([along_x - 1j * along_y, along_x + 1j * along_y], abs=1e-6)


def test_flexion_of_an_isothermal_sphere_is_that_of_bacon_et_al():
    """F = −θ_E e^{iφ} / 2θ² and G = 3 θ_E e^{3iφ} / 2θ² (their equations 34 and 35)."""
    one = dr.Scene(dr.lens("SIS", einstein_radius=20), GALAXY, position=(9.0, 5.0))
    z = complex(*one.reference_point)
    phase = z / abs(z)
    found = one.amplitudes(2)
    assert found.convergence == pytest.approx(20 / (2 * abs(z)), rel=1e-12)
    assert found.shear == pytest.approx(-20 / (2 * abs(z)) * phase**2, rel=1e-12)
    expected = [-20 / (2 * abs(z) ** 2) * phase, 3 * 20 / (2 * abs(z) ** 2) * phase**3]
    assert list(found.flexion) == pytest.approx(expected, rel=1e-12)


def test_amplitudes_are_at_hand_by_order_and_as_a_table():
    found = scene().amplitudes(3)
    assert found.nterms == 3
    assert {m: list(values) for m, values in found.alpha.items()} == {0: [1], 1: [0, 2], 2: [1, 3], 3: [0, 2, 4]}
    assert found.alpha[1][0] == found.table.loc[(1, 0), "alpha"] == -found.convergence
    assert found.beta[1][2] == found.table.loc[(1, 2), "beta"] == -found.shear.imag
    dx, dy = dr.lens("SIE", **SIE).deflection(*found.reference_point)
    np.testing.assert_allclose([found.alpha[0][1], found.beta[0][1]], [-dx, -dy], rtol=1e-12)
    with pytest.raises(dr.UserError, match="expected those of m = 2"):
        _ = scene().amplitudes(1).flexion


def test_errors_of_flexion_are_those_of_drawn_amplitudes():
    columns = ("alpha[1][0]", "alpha[1][2]", "beta[1][2]", "alpha[2][1]", "beta[2][1]", "alpha[2][3]", "beta[2][3]")
    rng = np.random.default_rng(1)
    std = dict(zip(columns, rng.uniform(0.01, 0.2, len(columns)), strict=True))
    drawn = dr.weak_lensing(pd.DataFrame({name: rng.normal(0.1, std[name], 200_000) for name in columns})).std()
    row = dict.fromkeys(columns, 0.1) | {f"std:{name}": value for name, value in std.items()}
    found = dr.Amplitudes.from_row(row)
    expected = [complex(drawn[f"{name}1"], drawn[f"{name}2"]) for name in ("gamma", "F", "G")]
    assert found.convergence_std == pytest.approx(drawn["kappa"], rel=0.01)
    assert [found.shear_std, *found.flexion_std] == pytest.approx(expected, rel=0.01)
    table = dr.weak_lensing(pd.DataFrame([row]))
    assert table["std:G2"].iloc[0] == found.flexion_std.G.imag
    assert [*found.flexion] == [complex(table[f"{name}1"].iloc[0], table[f"{name}2"].iloc[0]) for name in "FG"]
    assert scene().amplitudes(2).flexion_std is None


# ---------------------------------------------------------------- curves


def test_the_critical_curve_of_a_sphere_is_its_einstein_ring_and_its_caustic_a_point():
    one = dr.Scene(dr.lens("SIS", einstein_radius=30, x=4, y=-7), GALAXY, position=(9.0, 5.0))
    (curve,), (caustic,) = one.critical_curves(), one.caustics()
    np.testing.assert_allclose(np.hypot(curve[:, 0] - 4, curve[:, 1] + 7), 30, rtol=1e-9)
    np.testing.assert_allclose(caustic, np.full(caustic.shape, [4, -7]), atol=1e-7)
    assert (curve[0] == curve[-1]).all() and len(curve) > 100


def test_the_critical_curve_of_an_ellipse_is_where_the_convergence_is_a_half():
    """Of a SIE κ = γ, so that det A = 1 − 2κ, with κ = θ_E √f / 2√(u² + f²v²)."""
    (curve,) = scene().critical_curves()
    turn = np.deg2rad(SIE["orientation"])
    u = curve[:, 0] * np.cos(turn) + curve[:, 1] * np.sin(turn)
    v = curve[:, 1] * np.cos(turn) - curve[:, 0] * np.sin(turn)
    expected = SIE["einstein_radius"] * np.sqrt(SIE["axis_ratio"])
    np.testing.assert_allclose(np.hypot(u, SIE["axis_ratio"] * v), expected, rtol=1e-9)


def test_the_critical_curve_of_a_sphere_with_shear():
    """det A = 1 − γ² − 2κ(1 − γ cos 2φ) = 0, with κ = θ_E / 2R."""
    lens = dr.lens("SIS", einstein_radius=30) + dr.lens("Shear", gamma1=0.2, gamma2=0.0)
    (curve,) = dr.Scene(lens, GALAXY, position=(9.0, 5.0)).critical_curves()
    x, y = curve.T
    expected = 30 * (1 - 0.2 * (x**2 - y**2) / (x**2 + y**2)) / (1 - 0.2**2)
    np.testing.assert_allclose(np.hypot(x, y), expected, rtol=1e-9)


def test_strong_shear_is_followed_beyond_the_first_square():
    lens = dr.lens("SIS", einstein_radius=30) + dr.lens("Shear", gamma1=0.8, gamma2=0.0)
    (curve,) = dr.Scene(lens, GALAXY, position=(9.0, 5.0)).critical_curves()
    assert np.hypot(*curve.T).max() == pytest.approx(30 * 1.8 / (1 - 0.64), rel=1e-3)
    assert (curve[0] == curve[-1]).all()


def test_two_masses_have_curves_on_which_the_determinant_vanishes():
    masses = [(12.0, -20.0, 0.0), (8.0, 15.0, 6.0)]
    lens = dr.lens("PM", einstein_radius=12, x=-20) + dr.lens("PM", einstein_radius=8, x=15, y=6)
    curves = dr.Scene(lens, GALAXY, position=(9.0, 5.0)).critical_curves()
    assert curves
    for curve in curves:
        z = curve[:, 0] + 1j * curve[:, 1]
        shear = sum(theta**2 / (z - complex(x, y)) ** 2 for theta, x, y in masses)  # of point masses |γ| = 1
        np.testing.assert_allclose(abs(shear), 1, rtol=1e-8)


def test_the_circle_of_convergence_reaches_to_the_nearest_centre():
    lens = dr.lens("SIS", einstein_radius=10, x=5, y=-3) + dr.lens("PM", einstein_radius=4, x=40)
    one = dr.Scene(lens, GALAXY, position=(30.0, 5.0))
    x, y, radius = one.circle_of_convergence
    assert (x, y) == one.reference_point
    assert radius == pytest.approx(min(np.hypot(x - 5, y + 3), np.hypot(x - 40, y)), rel=1e-12)


# ---------------------------------------------------------------- pictures


def raytraced(size: int, sigma: float, position) -> np.ndarray:
    """A Gaussian source through the printed SIE, its deflection by differences."""
    steps = np.arange(size) - size / 2 + 0.0
    x, y = np.meshgrid(steps, -steps)
    x = np.where((x == 0) & (y == 0), 1e-3, x)
    dx, dy = (difference(lambda x, y: sie_and_shear(x, y, **SIE), x, y, axis, 1e-5) for axis in "xy")
    distance = (x - dx - position[0]) ** 2 + (y - dy - position[1]) ** 2
    return 255 * np.exp(-distance / (2 * sigma**2))


def test_a_picture_is_the_raytraced_source():
    one = dr.Scene(dr.lens("SIE", **SIE), dr.source("Spherical", sigma=9), position=(11.0, 4.0))
    picture = one.picture(128)
    assert picture.shape == (128, 128) and picture.dtype == np.uint8 and picture.max() > 200
    error = abs(picture - raytraced(128, 9, (11.0, 4.0)))
    error[64, 64] = 0  # the singular centre
    assert error.max() < 0.51


def test_the_picture_is_the_one_that_datagen_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("one.toml").write_text(ONE_SCENE)
    for centred in (False, True):
        option = "--centred" if centred else "--no-centred"
        assert datagen(["--toml", "one.toml", "--csvfile", "d.csv", "-D", "i", "--size", "1", option, "-q"]) == 0
        drawn = np.array(Image.open("i/image-000001.png"))
        read = dr.Scene.from_toml("one.toml")
        assert drawn.shape == (64, 64) and drawn.max() > 50
        assert (dr.Scene.from_row(files.read_csv("d.csv").iloc[0], centred=centred).picture(64) == drawn).all()
        if not centred:
            assert (read.picture() == drawn).all()
            source = dr.source("SersicSphere", sigma=5, n_sersic=4, luminosity=16)
            lens = dr.lens("SIE", einstein_radius=20, axis_ratio=0.34, orientation=107)
            assert (dr.Scene(lens, source, position=(4.01, 0.31)).picture(64) == drawn).all()


def test_the_roulette_comes_nearer_with_each_order():
    one = dr.Scene(dr.lens("SIE", **SIE), dr.source("Spherical", sigma=6), position=(20.0, 9.0), centred=True)
    picture = one.picture(128).astype(float)
    left, right, bottom, top = one.extent(128)
    x, y = np.meshgrid(np.linspace(left + 0.5, right - 0.5, 128), np.linspace(top - 0.5, bottom + 0.5, 128))
    x0, y0, radius = one.circle_of_convergence
    inside = np.hypot(x - x0, y - y0) < radius / 2
    assert picture[inside].max() > 100
    errors = [abs(one.resimulate(m, 128) - picture)[inside].mean() for m in (1, 2, 4, 12)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.02 * errors[0]


def test_the_resimulation_of_a_roulette_picture_has_the_orders_asked_for():
    one = dr.Scene(dr.lens("SIE", **SIE), dr.source("Spherical", sigma=6), (20.0, 9.0), model="Roulette", nterms=3)
    assert (one.resimulate(3, 128) == one.picture(128)).all()
    assert (one.resimulate(6, 128) == replace(one, nterms=6).picture(128)).all()
    assert (one.resimulate(6, 128) != one.picture(128)).any()


def test_the_light_of_a_centred_picture_is_in_its_middle():
    one = dr.Scene(dr.lens("SIE", **SIE), dr.source("Spherical", sigma=6), position=(20.0, 9.0), centred=True)
    picture = one.picture(256).astype(float)
    rows, columns = np.indices(picture.shape)
    x, y = (picture * (columns - 128)).sum(), (picture * (128 - rows)).sum()
    assert np.hypot(x, y) / picture.sum() < 0.05
    assert np.hypot(*one.frame) > 5


INSTRUMENT = {"psf": "gaussian", "psf-fwhm": 2.0, "background": 0.4, "exposure": 500, "signal-to-noise": 40}
ROWS = {
    "families": {"lens": {"mode": ["SIS", "SIE+Shear", "EPL", "NFW", "PM"]}},
    "cluster": {"lens": {"mode": ["SIS", "SIE"]}, "cluster": {"count": 3}},
    "subhaloes": {"lens": {"mode": "SIE"}, "subhaloes": {"count": 4}},
    "constellation": {"source": {"mode": "Spherical/3/1/4/1/0/1/1;Ellipsoid/-5/2/3/2/20/1/1"}},
    "sources": {"source": {"mode": ["Triangle", "SersicEllipsoid", "Ellipsoid"]}},
    "roulette": {"simulator": {"model": "Roulette", "mask": True}, "lens": {"mode": "SIE"}},
    "sampled": {"simulator": {"sampled": True}, "lens": {"mode": "SIE"}},
    "nearest": {"simulator": {"sampling": "nearest"}, "lens": {"mode": "SIE"}},
    "observed": {"instrument": INSTRUMENT, "lens": {"mode": "SIE"}, "lens_light": {"flux-ratio": 2.0}},
    "off centre": {"instrument": INSTRUMENT | {"centring-error": 2.0}, "lens": {"mode": "SIE"}},
}


def tables_of(name: str) -> dict:
    given = ROWS[name]
    simulator = {"size": 5, "imagesize": 96, "cropsize": 48, "centred": True, "nterms": 3} | given.get("simulator", {})
    lens = {"einstein-min": 5, "einstein-max": 15} | given.get("lens", {})
    source = {"sigma-min": 2, "sigma-max": 6, "position": "relative", "mode": "Spherical"} | given.get("source", {})
    return given | {"simulator": simulator, "lens": lens, "source": source}


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_a_dataset_is_a_scene_with_its_picture_and_amplitudes(name):
    """What differs between the rows of a kind does not reach the others."""
    data = dr.draw(tables_of(name), device="cpu")
    assert data.pictures.shape == (5, 48, 48) and data.pictures.max() > 0
    for k in range(5):
        one = dr.Scene.from_toml(tables_of(name), row=k)
        assert (one.picture() == data.pictures[k]).all()
        row = data.amplitudes.iloc[k]
        found = one.amplitudes()
        assert found.nterms == 3
        for (m, s), values in found.table.iterrows():
            assert values.tolist() == [row[f"alpha[{m}][{s}]"], row[f"beta[{m}][{s}]"]]
        np.testing.assert_allclose(found.reference_point - one.frame, [row["xiX"], row["xiY"]], atol=1e-12)


def test_maps_and_galaxies_are_scenes_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("galaxies").mkdir()
    for picture in sorted((ROOT / "data/galaxies").glob("*.png"))[:2]:
        (Path("galaxies") / picture.name).write_bytes(picture.read_bytes())
    step = np.arange(64) - 31.5
    np.save("map.npy", 6 / np.sqrt(step[None, :] ** 2 + 1.3 * step[:, None] ** 2 + 4))
    tables = {
        "simulator": {"size": 3, "imagesize": 96, "cropsize": 48, "centred": True, "nterms": 3},
        "lens": {"mode": "Map+Shear", "map": "map.npy", "einstein-min": 8, "einstein-max": 12},
        "source": {"mode": "Galaxy", "galaxies": "galaxies", "sigma": 4, "luminosity": 20, "position": "relative"},
    }
    data = dr.draw(tables, device="cpu")
    for k in range(3):
        one = dr.Scene.from_toml(tables, row=k)
        assert (one.picture() == data.pictures[k]).all() and data.pictures[k].max() > 0
        assert (dr.Scene.from_toml(_written(one, Path("one.toml"))).picture() == data.pictures[k]).all()
    lens = dr.lens("Map", map="map.npy", einstein_radius=10, orientation=0) + dr.lens("Shear", gamma1=0.1, gamma2=0)
    assert lens.columns()["lens"] == "Map+Shear" and lens.columns()["map"] == "map.npy"
    one = dr.Scene(lens, dr.source("Spherical", sigma=3), position=(2, 1))
    with pytest.raises(dr.UserError, match="nterms = 9 for a lens Map, expected at most 5"):
        one.amplitudes(9)
    with pytest.raises(dr.UserError, match="Map: found no map, expected a file's name"):
        dr.lens("Map", einstein_radius=10, orientation=0)


@pytest.mark.parametrize("name", ["families", "subhaloes", "observed", "roulette"])
def test_a_resimulation_is_that_of_the_table(name):
    data = dr.draw(tables_of(name), device="cpu")
    observed = name == "observed"
    expected = resimulate(data.amplitudes, 48, canvas=96, counts=observed)
    for k in range(5):
        assert (dr.Scene.from_toml(tables_of(name), row=k).resimulate() == expected[k]).all()


@pytest.mark.parametrize("name", ["families", "sources", "constellation", "roulette", "sampled", "nearest"])
def test_toml_of_a_scene_is_that_scene(name, tmp_path):
    for k in range(5):
        one = dr.Scene.from_toml(tables_of(name), row=k)
        one.to_toml(tmp_path / "one.toml")
        again = dr.Scene.from_toml(tmp_path / "one.toml")
        assert (again.picture() == one.picture()).all()
        assert again.to_toml() == one.to_toml()


def test_toml_of_an_observed_scene_has_its_instrument(tmp_path):
    lens = dr.lens("SIE", **SIE | {"einstein_radius": 15})
    light = dr.lens_light(1.5, 6, axis_ratio=SIE["axis_ratio"], orientation=SIE["orientation"])
    camera = dr.instrument("hst", magnitude=22, seed=5)
    one = dr.Scene(lens, GALAXY, (4, 1), camera, light, imagesize=96, cropsize=48)
    again = dr.Scene.from_toml(_written(one, tmp_path / "one.toml"))
    clean = [x.resimulate(4) for x in (one, again)]
    np.testing.assert_allclose(clean[1], clean[0], rtol=1e-5, atol=1e-5 * clean[0].max())
    np.testing.assert_allclose(again.picture(), one.picture(), rtol=1e-3, atol=1e-3 * one.picture().max())
    round_light = dr.Scene(lens, GALAXY, (4, 1), camera, dr.lens_light(1.5, 6))
    with pytest.raises(dr.UserError, match="lens light of another shape"):
        round_light.to_toml()
    places = dr.Scene(lens + dr.lens("SIS", einstein_radius=2, x=8), GALAXY, (4, 1))
    with pytest.raises(dr.UserError, match="lenses at different places"):
        places.to_toml()


def _written(one: dr.Scene, path: Path) -> Path:
    one.to_toml(path)
    return path


def test_noise_is_that_of_its_seed_and_of_the_instrument():
    """Sky and read noise of Euclid's camera, from the numbers of its preset: counts/s, as in docs/instruments.md."""
    dark = dr.source("Spherical", sigma=0.5)
    camera = dr.instrument("euclid-vis", magnitude=40)
    one = dr.Scene(dr.lens("SIS", einstein_radius=1), dark, position=(0.3, 0.1), instrument=camera)
    picture = one.picture(256)
    assert picture.dtype == np.float32
    assert (one.picture(256) == picture).all() and (one.picture(256, seed=1) != picture).any()
    sky = 10 ** (0.4 * (25.72 - 22.3)) * 0.1**2
    expected = np.sqrt(sky * 4 * 566 + 4 * 4.2**2) / (4 * 566)
    assert picture.std() == pytest.approx(expected, rel=0.01)
    assert abs(picture.mean()) < 5 * expected / 256


def test_a_plot_shows_what_it_says(tmp_path):
    one = scene(centred=True)
    figure = one.plot(size=200)
    (axis,) = figure.axes
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels == ["critical curve", "caustic", "circle of convergence", "reference point ξ₀", "source η"]
    lines = {line.get_label(): line.get_xydata() for line in axis.lines}
    assert lines["reference point ξ₀"][0] == pytest.approx(one.reference_point)
    np.testing.assert_array_equal(lines["critical curve"], one.critical_curves()[0])
    assert axis.images[0].get_extent() == list(one.extent(200)) or axis.images[0].get_extent() == one.extent(200)
    figure.savefig(tmp_path / "plot.png")
    assert np.asarray(Image.open(tmp_path / "plot.png").convert("L")).std() > 20


# ---------------------------------------------------------------- datasets


def test_a_dataset_in_memory_is_the_one_in_a_folder(tmp_path):
    tables = tables_of("families")
    memory = dr.draw(tables, 3, seed=4, device="cpu")
    written = dr.draw(tables, 3, seed=4, folder=tmp_path / "d", device="cpu")
    assert len(memory.lenses) == 3 and written.pictures is None
    for ours, theirs in ((memory.lenses, written.lenses), (memory.amplitudes, written.amplitudes)):
        pd.testing.assert_frame_equal(ours, theirs, check_dtype=False)
    pictures = [np.array(Image.open(tmp_path / "d/images" / name)) for name in written.lenses["filename"]]
    assert (np.stack(pictures) == memory.pictures).all()
    assert tables == tables_of("families")


def test_a_size_replaces_the_files_own_even_where_its_parts_want_more(tmp_path):
    (tmp_path / "d.toml").write_text(
        "[simulator]\nsize = 100\nimagesize = 32\n[lens]\neinstein = 5\n"
        '[problem]\nfilename = "r.csv"\nnterms = 2\n[dataset.training]\nfilename = "t.csv"\nsize = 90\n'
    )
    assert len(dr.draw(tmp_path / "d.toml", 2, device="cpu").lenses) == 2
