"""Fits of pictures with noise, beside a network that knows nothing but the means of the columns."""

from __future__ import annotations

import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from droulette import parameters
from droulette.physics.convolution import gaussian_kernels
from droulette.pipeline import fitted, populations
from droulette.pipeline.draw import draw_table
from droulette.pipeline.generate import Drawing, draw_in_memory

TOML = """
[simulator]
nterms = 2
imagesize = 96
cropsize = 64
centred = true
[lens]
mode = "SIE"
einstein-min = 6
einstein-max = 14
ellipseratio-min = 0.4
[source]
mode = "SersicSphere"
sigma-min = 2
sigma-max = 5
n_sersic-max = 1.5
luminosity-min = 3
luminosity-max = 6
position = "relative"
[instrument]
psf = "gaussian"
psf-fwhm = 3.0
noise = 1.0
exposure = 100.0
gain = 4.0
background = 12.0
"""
COLUMNS = ("sigma", "xiX", "xiY", "alpha[1][0]", "alpha[1][2]", "beta[1][2]")
ROWS = 6


@pytest.fixture(scope="module")
def toml(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("fitted") / "params.toml"
    path.write_text(TOML)
    return path


def test_fits_of_pictures_with_noise_hold_the_truth(toml):
    params = parameters.load(toml)
    rows = draw_table(params, 9000, 9000 + ROWS).reset_index(drop=True)
    with ThreadPoolExecutor(1) as helpers:
        pictures, facts, table = draw_in_memory(rows, Drawing.of(params.simulator), "rows", "cpu", helpers)
    (population,) = populations.populations(params, "params.toml", 64)
    drawn = population.table[list(COLUMNS)]
    predictions = pd.DataFrame({c: np.full(ROWS, drawn[c].mean()) for c in COLUMNS})
    predictions = predictions.assign(**{f"std:{c}": drawn[c].std() for c in COLUMNS})
    weights, radii = gaussian_kernels(np.array([3.0]))
    line = np.concatenate([weights[0, 1 : radii[0] + 1][::-1], weights[0, : radii[0] + 1]])
    kernels = [np.outer(line, line), *[None] * (ROWS - 1)]
    observations = fitted.exposures(np.asarray(pictures), facts, kernels)
    fits = fitted.fit(observations, [population], COLUMNS, predictions, brightness_known=False)
    merged = fits.merged(predictions)
    assert merged["fit:good"].mean() > 0.8
    good = merged[merged["fit:good"]]
    true = table[list(COLUMNS)].to_numpy()[good.index]
    deviations = (good[list(COLUMNS)].to_numpy() - true) / good[[f"std:{c}" for c in COLUMNS]].to_numpy()
    assert abs(deviations).max() < 5
    assert 0.4 < (abs(deviations) < 1).mean() < 0.95
    assert (good["std:xiX"] < 0.1 * predictions["std:xiX"].iloc[0]).all()


@pytest.mark.parametrize("count, sizes", [(1, [1]), (40, [16, 16, 8]), (200, [25] * 8), (1100, [128] * 8 + [76])])
def test_many_pictures_are_fitted_together_and_cores_share_them(count, sizes):
    assert [part.stop - part.start for part in fitted.parts(count)] == sizes


def test_of_several_families_the_one_of_the_most_evidence_is_taken():
    text = TOML.replace('mode = "SIE"', 'mode = ["SIE", "SIS"]')
    text = text.replace("ellipseratio-min = 0.4", "ellipseratio-max = 0.7")
    params = parameters.parse(tomllib.loads(text))
    rows = draw_table(params, 9000, 9000 + ROWS).reset_index(drop=True)
    assert set(rows["lens"]) == {"SIE", "SIS"}
    with ThreadPoolExecutor(1) as helpers:
        pictures, facts, _ = draw_in_memory(rows, Drawing.of(params.simulator), "rows", "cpu", helpers)
    kinds = populations.populations(params, "params.toml", 64)
    observations = fitted.exposures(np.asarray(pictures), facts, [None] * ROWS)
    fits = fitted.fit(observations, kinds, COLUMNS, brightness_known=False, count=50)
    assert fits.good.mean() > 0.8
    found = fits.table["fit:family"].str.split(",").str[0].to_numpy()
    assert (found[fits.good] == rows["lens"].to_numpy()[fits.good]).all()


def test_of_each_picture_a_good_fit_is_taken_before_one_of_more_evidence():
    def of(family: str, good: list[bool], evidence: list[float]) -> fitted.Fits:
        table = pd.DataFrame({"fit:family": family, "fit:good": good})
        return fitted.Fits(table, (), np.zeros((3, 1, 0)), [np.zeros((3, 2, 2))] * 3, np.array(evidence))

    best = fitted.best([of("one", [True, True, False], [0, 2, 5]), of("other", [False, True, False], [9, 3, 4])])
    assert best.table["fit:family"].tolist() == ["one", "other", "one"] and best.evidence.tolist() == [0, 3, 5]


def test_what_is_told_of_a_fit_follows_from_how_good_and_how_sure_it_is():
    about = {"fit:family": "SIE, SersicSphere", "fit:chi2": 990.0, "fit:pixels": 1000}
    sure = {"fit:good": True, "fit:converged": True, "fit:effective": 700.0}
    other = {"fit:other_xiX": -2.6, "fit:other_xiY": 18.6}
    two_images = {"fit:image_share": 0.891, "xiX": 17.6, "xiY": -4.1} | other
    table = pd.DataFrame([
        about | sure,
        about | {"fit:good": True, "fit:converged": True, "fit:effective": 99.0},
        about | {"fit:good": False, "fit:converged": True, "fit:effective": 700.0},
        about | {"fit:good": False, "fit:converged": False, "fit:effective": 1.0},
        about | sure | {"fit:family": "SIE+Shear, SersicSphere"},
        about | sure | {"fit:family": "SIE+SIE, SersicSphere"},
        about | sure | two_images,
    ])  # fmt: skip
    fits, said, warned = fitted.Fits(table, (), np.zeros((7, 0, 0)), [], np.zeros(7)), [], []
    fits.tell("abcdefg", "the network's answer is kept", said.append, warned.append)
    assert said == [
        "a: fitted as SIE, SersicSphere, χ² 0.99 a pixel: a good fit",
        "e: fitted as SIE+Shear, SersicSphere, χ² 0.99 a pixel: a good fit",
        "g: fitted as SIE, SersicSphere, χ² 0.99 a pixel: a good fit",
    ]
    assert warned[0].startswith("b: ") and warned[0].endswith("its intervals are rough and often too narrow")
    assert warned[1].startswith("c: no good fit") and warned[1].endswith(
        "more than noise: the network's answer is kept"
    )
    assert warned[2].startswith("d: no good fit") and "did not converge" in warned[2]
    assert warned[3].endswith("a good fit, but intervals of several lenses are often too narrow")
    assert warned[3].startswith("f: ")
    assert warned[4:] == ["g: ξ is at (17.6, -4.1) px in 89% of the draws, else about (-2.6, 18.6) px"]


def test_a_reference_point_at_one_of_two_images_is_found_out():
    rng = np.random.default_rng(1)
    one = rng.normal((17, -4), (0.3, 1.7), (1000, 2))
    two = np.where(np.arange(1000)[:, None] < 110, rng.normal((-2, 18), 0.7, (1000, 2)), one)
    ring = 20 * np.stack([np.cos(angle := rng.uniform(0, 2 * np.pi, 1000)), np.sin(angle)], axis=1)
    tailed = rng.standard_t(3, (1000, 2))
    unknown = np.where(np.arange(1000)[:, None] < 500, np.nan, two[::-1])
    bent = rng.uniform(0, 1, (1000, 2)) + 1.5 * (np.arange(1000)[:, None] < 400)  # half as far apart as each is wide
    every = np.stack([one, two, ring, tailed, unknown, np.full((1000, 2), np.nan), bent])
    middles = np.full((7, 2), np.nan)
    middles[[0, 1, 2, 3, 4, 6]] = np.nanmedian(every[[0, 1, 2, 3, 4, 6]], axis=1)
    share, other = fitted.images(every, middles)
    np.testing.assert_allclose(share, [1, 0.89, 1, 1, 0.78, 1, 1])
    np.testing.assert_allclose(other[[1, 4]], [[-2, 18]] * 2, atol=0.3)
    assert np.isnan(other[[0, 2, 3, 5, 6]]).all()
