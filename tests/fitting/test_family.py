"""What is fitted: scenes in the frame of the picture, their turns, and the targets that tables hold of them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from fit_scenes import FAMILY, NOISE, SIZE, blank, coordinates, light
from PIL import Image

from droulette import parameters
from droulette.errors import UserError
from droulette.fitting.family import Family
from droulette.fitting.observation import Observation
from droulette.fitting.optimise import Prior, minimise
from droulette.physics.convolution import gaussian_kernels
from droulette.physics.instrument import Kernel
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, generate
from droulette.pipeline.populations import family_and_coordinates

TOML = """
[simulator]
size = 6
imagesize = 128
cropsize = 96
centred = true
nterms = 3
[lens]
mode = {lens}
einstein-max = 20
[cluster]
count = {cluster}
[source]
mode = "{source}"
sigma-max = 8
sigma2-max = 8
"""


def drawn(tmp_path, lens='"SIE"', cluster=0, source="SersicSphere"):
    path = tmp_path / "params.toml"
    path.write_text(TOML.format(lens=lens, cluster=cluster, source=source))
    params = parameters.load(path)
    rows = draw_table(params).reset_index(drop=True)
    (tmp_path / "images").mkdir()
    return rows, generate(rows, Drawing.of(params.simulator), tmp_path / "images")


@pytest.mark.parametrize("cluster", [0, 2])
@pytest.mark.parametrize("source", ["SersicSphere", "SersicEllipsoid", "Spherical"])
def test_targets_are_those_of_the_roulette_table(tmp_path, cluster, source):
    rows, table = drawn(tmp_path, cluster=cluster, source=source)
    family, at = family_and_coordinates(rows, table, "params.toml")
    assert len(family.lenses) == max(1, cluster)
    columns = ("n_sersic", "xiX", "xiY", *(name for name in table if name.startswith(("alpha", "beta"))))
    columns = columns[source == "Spherical" :]
    np.testing.assert_allclose(family.targets(at, columns), table[list(columns)].to_numpy(), rtol=1e-6, atol=1e-8)


def test_model_is_the_picture_that_was_drawn(tmp_path):
    rows, table = drawn(tmp_path, cluster=2, source="SersicEllipsoid")
    family, at = family_and_coordinates(rows, table, "params.toml")
    pictures = [np.asarray(Image.open(tmp_path / "images" / name), float) for name in rows["filename"]]
    blank = np.zeros((len(rows), 96, 96))
    about = Observation(blank, blank + 1, np.zeros(len(rows)), ceiling=255.0)
    found = np.concatenate([drawing[:, 0] for _, drawing in about.drawn(family, at)])
    assert abs(found - np.stack(pictures)).max() < 0.5 + 1e-6


def test_rows_of_several_kinds_are_no_family(tmp_path):
    rows, table = drawn(tmp_path, lens='["SIE", "SIS"]')
    assert rows["lens"].nunique() == 2
    with pytest.raises(UserError, match="found 2 kinds of lens and source"):
        family_and_coordinates(rows, table, "params.toml")


@pytest.mark.parametrize("turn", FAMILY.turns)
def test_a_turned_scene_gives_the_turned_picture(turn):
    at = coordinates(3)
    quarters, mirror = turn
    turned = FAMILY.coordinates(FAMILY.turned(FAMILY.values(at), quarters, mirror))
    before, after = light(at)[:, 1:, 1:], light(turned)[:, 1:, 1:]  # of the odd side that a turn takes to itself
    before = before[:, ::-1] if mirror else before
    np.testing.assert_allclose(np.rot90(before, quarters, axes=(1, 2)), after, rtol=1e-6, atol=1e-6 * after.max())


SHEARED = Family(("SIE", "Shear"), "SersicSphere")


def sheared(count: int) -> np.ndarray:
    values = FAMILY.values(coordinates(count))
    shear = np.random.default_rng(8).uniform(-0.15, 0.15, (2, count))
    return SHEARED.coordinates(values | {"lens2.gamma1": shear[0], "lens2.gamma2": shear[1]})


def drawn_light(family: Family, at: np.ndarray) -> np.ndarray:
    return np.concatenate([light[:, 0] for _, light in blank(len(at)).drawn(family, at)])


def test_a_perturbation_has_no_place_of_its_own_and_turns_with_the_scene():
    assert [name for name in SHEARED.names if name.endswith(".x")] == ["lens1.x", "source.x"]
    at = sheared(2)
    turned = SHEARED.coordinates(SHEARED.turned(SHEARED.values(at), 1, True))
    before, after = drawn_light(SHEARED, at)[:, 1:, 1:], drawn_light(SHEARED, turned)[:, 1:, 1:]
    np.testing.assert_allclose(np.rot90(before[:, ::-1], 1, axes=(1, 2)), after, rtol=1e-6, atol=1e-6 * after.max())


def test_a_sum_of_lenses_is_fitted_like_a_single_one():
    at = sheared(3)
    noise = NOISE * np.random.default_rng(1).standard_normal((3, SIZE, SIZE))
    about = blank(3)
    observation = Observation(drawn_light(SHEARED, at) + noise, about.weights, about.psf)
    found = minimise(observation, SHEARED, at + 0.02, Prior.none(SHEARED.size), 40)
    away = found.coordinates - at
    assert found.converged.all()
    assert (np.einsum("bp,bpq,bq->b", away, found.normal, away) < 35).all()  # χ² of 12: once in 2,000


DISKY = Family(("SIE", "Shear", "Multipole4"), "SersicSphere")


def test_a_multipole_shares_the_einstein_radius_of_its_lens_and_is_fitted():
    assert [name for name in DISKY.names if name.endswith("einstein_radius")] == ["lens1.einstein_radius"]
    a4 = np.array([0.03, -0.03, 0.0])
    values = SHEARED.values(sheared(3)) | {"lens3.a4": a4, "lens3.b4": a4[::-1]}
    at = DISKY.coordinates(values)
    noise = NOISE * np.random.default_rng(1).standard_normal((3, SIZE, SIZE))
    about = blank(3)
    observation = Observation(drawn_light(DISKY, at) + noise, about.weights, about.psf)
    found = minimise(observation, DISKY, at + 0.02, Prior.none(DISKY.size), 40)
    away = found.coordinates - at
    assert found.converged.all() and (np.linalg.eigvalsh(found.normal) > 0).all()
    assert (np.einsum("bp,bpq,bq->b", away, found.normal, away) < 40).all()  # χ² of 14: once in 4,000


def test_a_perturbation_named_first_is_about_the_lens_after_it():
    turned_round = Family(("Shear", "SIE"), "SersicSphere")
    assert [name for name in turned_round.names if name.endswith(".x")] == ["lens2.x", "source.x"]
    values = SHEARED.values(sheared(2))
    other = {"lens1": "lens2", "lens2": "lens1"}
    renamed = {other.get(name[:5], name[:5]) + name[5:]: value for name, value in values.items()}
    drawn_so = drawn_light(turned_round, turned_round.coordinates(renamed))
    np.testing.assert_allclose(drawn_so, drawn_light(SHEARED, SHEARED.coordinates(values)), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "lens, source, expected",
    [
        ('"Map"', "Spherical", "found Map, which needs files, expected a lens described by numbers alone"),
        ('"SIE"', "Galaxy", "found Galaxy, which needs files, expected a source described by numbers alone"),
        ('"SIE"', "Image", "found Image, which needs files, expected a source described by numbers alone"),
        ('"SIE"', "s/0/0/1/1/0/1/1;s/3/0/1/1/0/1/1", "found a constellation of sources"),
    ],
)
def test_scenes_that_need_files_are_no_family(tmp_path, lens, source, expected):
    path = tmp_path / "params.toml"
    path.write_text(TOML.format(lens='"SIE"', cluster=0, source="SersicSphere"))
    rows = draw_table(parameters.load(path)).reset_index(drop=True)
    rows = rows.assign(lens=lens.strip('"'), source=source)
    with pytest.raises(UserError, match=expected):
        family_and_coordinates(rows, pd.DataFrame({"centreX": [0.0] * len(rows), "centreY": 0.0}), "params.toml")


def test_pictures_of_a_kernel_and_of_a_gaussian_agree():
    at = coordinates(2)
    weights, radii = gaussian_kernels(np.array([3.0]))
    line = np.concatenate([weights[0, : radii[0] + 1][::-1], weights[0, 1 : radii[0] + 1]])
    blank = np.zeros((2, 64, 64))
    by_kernel = Observation(blank, blank + 1, Kernel(np.outer(line, line)))
    by_width = Observation(blank, blank + 1, np.full(2, 3.0))
    one, other = (np.concatenate([d for _, d in about.drawn(FAMILY, at)]) for about in (by_kernel, by_width))
    np.testing.assert_allclose(one, other, atol=1e-5 * other.max())
