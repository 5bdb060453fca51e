"""What networks are shown of pictures with noise: the same in every unit, and turned with the scene."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from droulette.learning.observed import (
    FACTS,
    FLOOR,
    Facts,
    Known,
    ObservedPicture,
    ObservedPolar,
    above_background,
    in_units_of_noise,
)
from droulette.learning.preprocessing import WholePicture
from droulette.learning.symmetry import Motions
from droulette.pipeline.depth import NAMES

SIZE = 48
PREPROCESSINGS = {"picture": ObservedPicture(SIZE), "polar": ObservedPolar(SIZE, 24, 32)}
OF_UNIT = torch.tensor([1.0, 1, 1, 0, 0, 1]).double()  # the facts that change with the unit


def facts(background=2.0, noise=3.0, poisson=0.4, psf_fwhm=2.5, pixel_scale=0.1, white=300.0, count=1) -> torch.Tensor:
    return torch.tensor([[background, noise, poisson, psf_fwhm, pixel_scale, white]] * count, dtype=torch.float64)


def pictures(count: int = 3, light: float = 200.0, noise: float = 3.0, background: float = 2.0) -> torch.Tensor:
    """Spots with noise, (count, N, N) float32."""
    rng = np.random.default_rng(0)
    i, j = np.mgrid[:SIZE, :SIZE] - SIZE / 2
    made = []
    for _ in range(count):
        x, y = rng.uniform(-10, 10, 2)
        spot = light * np.exp(-((j - x) ** 2 + (i - y) ** 2) / 40)
        made.append(background + spot + rng.normal(0, 1, (SIZE, SIZE)) * noise)
    return torch.from_numpy(np.float32(made))


def in_unit(known: torch.Tensor, unit: float) -> torch.Tensor:
    """The facts where the same light is a number `unit` times as large: so is the variance that a unit of it adds."""
    return known * unit**OF_UNIT


def spacing(view: torch.Tensor) -> float:
    return float(np.spacing(np.float16(view.abs().max())))


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
@given(unit=st.floats(-12, 12), noise=st.floats(-3, 3), poisson=st.floats(-3, 3))
@settings(max_examples=40)
def test_views_do_not_depend_on_the_pictures_unit(preprocessing, unit, noise, poisson):
    known = facts(noise=10**noise, poisson=10**poisson, count=3)
    view = PREPROCESSINGS[preprocessing].views(pictures(), known)
    unit = 10**unit
    other = PREPROCESSINGS[preprocessing].views(pictures() * unit, in_unit(known, unit))
    assert view.shape == (3, *PREPROCESSINGS[preprocessing].shape) and view.dtype == torch.float16
    assert (other.float() - view.float()).abs().max() <= 2 * spacing(view)


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_views_tell_noise_poisson_and_psf_apart_but_not_background_white_or_pixels(preprocessing):
    light = pictures(1)
    view = PREPROCESSINGS[preprocessing].views(light, facts())
    for change in ({"noise": 6.0}, {"poisson": 4.0}, {"psf_fwhm": 5.0}):
        assert not torch.equal(PREPROCESSINGS[preprocessing].views(light, facts(**change)), view), change
    for change in ({"white": 9.0}, {"pixel_scale": 0.0}):
        assert torch.equal(PREPROCESSINGS[preprocessing].views(light, facts(**change)), view), change
    raised = PREPROCESSINGS[preprocessing].views(light + 64, facts(background=66.0))
    assert (raised.float() - view.float()).abs().max() < 0.01


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
def test_a_picture_alone_has_the_view_that_it_has_among_others(preprocessing):
    known = facts(count=3) * torch.tensor([[1.0], [2.0], [0.5]])
    together = PREPROCESSINGS[preprocessing].views(pictures(), known)
    for row in range(3):
        assert torch.equal(PREPROCESSINGS[preprocessing].views(pictures()[[row]], known[[row]])[0], together[row])


@pytest.mark.parametrize("preprocessing", PREPROCESSINGS)
@pytest.mark.parametrize("noise, poisson", [(0.0, 0.0), (0.0, 0.5), (1e-30, 0.0), (2.0, 0.0)])
def test_no_noise_is_no_trouble(preprocessing, noise, poisson):
    bright = pictures(noise=0.0)
    for light in (bright, bright * 0 + 2.0, bright * 1e6, 2.0 - bright):
        view = PREPROCESSINGS[preprocessing].views(light, facts(noise=noise, poisson=poisson, count=3))
        assert torch.isfinite(view).all()
    dark = PREPROCESSINGS[preprocessing].views(bright * 0 + 2.0, facts(noise=noise, poisson=poisson, count=3))
    assert not dark[:, 0].any() and not dark[:, 2].any()


def test_noise_below_a_thousandth_of_the_brightest_place_is_not_looked_at():
    light = above_background(pictures(noise=0.0), facts(count=3))
    views = [in_units_of_noise(light, facts(noise=noise, poisson=0.0, count=3))[0] for noise in (0.0, 1e-6)]
    torch.testing.assert_close(views[0], views[1], rtol=1e-4, atol=1e-4)
    assert views[0].amax().item() == pytest.approx(1 / FLOOR, rel=1e-5)


@pytest.mark.parametrize("poisson", [0.0, 0.1, 3.0])
def test_noise_is_1_in_the_units_that_are_shown_at_all_brightnesses(poisson):
    """Normal noise of the variance that is said, upon light from none to much."""
    rng = np.random.default_rng(1)
    levels = np.repeat(np.linspace(0, 400, 8)[:, None], 20_000, axis=1)
    noisy = levels + rng.normal(size=levels.shape) * np.sqrt(2.0**2 + poisson * levels)
    light = torch.from_numpy(noisy[None, None])
    units, _ = in_units_of_noise(light, facts(noise=2.0, poisson=poisson))
    deviation = units[0, 0].std(dim=1).numpy()
    np.testing.assert_allclose(deviation[2:], 1, rtol=0.06)
    np.testing.assert_allclose(deviation[:2], 1, rtol=0.25)


def test_told_are_the_width_and_the_brightest_place_over_the_noise():
    light = torch.zeros(1, 1, 5, 5)
    light[0, 0, 2, 3] = 60.0
    _, told = in_units_of_noise(light, facts(noise=3.0, psf_fwhm=4.0))
    assert told[0, 0].item() == pytest.approx(4 / 8)
    assert told[0, 1].item() == pytest.approx(math.log1p(20) / 7, rel=1e-4)
    view = ObservedPicture(5).views(light[:, 0], facts(background=0.0, psf_fwhm=4.0))
    assert (view[0, 1] == 0.5).all() and (view[0, 2] == view[0, 2, 0, 0]).all()


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 90.0, 180.0, 270.0])
def test_turns_and_mirrors_of_the_scene_turn_the_view_of_the_whole_picture(degrees, mirror):
    motions = Motions(np.full(3, degrees), np.full(3, mirror), np.ones(3))
    known, preprocessing = facts(count=3), PREPROCESSINGS["picture"]
    turned = WholePicture(SIZE).move(pictures(), motions)
    assert torch.equal(
        preprocessing.views(turned, known), preprocessing.move(preprocessing.views(pictures(), known), motions)
    )


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 90.0, 180.0, 270.0])
def test_turns_and_mirrors_of_the_scene_turn_the_polar_view(degrees, mirror):
    motions = Motions(np.full(3, degrees), np.full(3, mirror), np.ones(3))
    known, preprocessing = facts(count=3), PREPROCESSINGS["polar"]
    smooth = pictures(noise=0.0)
    turned = preprocessing.views(WholePicture(SIZE).move(smooth, motions), known).float()
    expected = preprocessing.move(preprocessing.views(smooth, known), motions).float()
    difference = (turned - expected)[:, :, :-4].abs()  # what is interpolated in halved pictures turns roughly
    assert difference.max() < 0.3 and difference.mean() < 0.02
    assert (turned - expected)[:, 1:].abs().max() < 0.02
    if degrees or mirror:
        assert (turned - preprocessing.views(smooth, known).float()).abs().max() > 0.5


def test_facts_are_seen_as_they_are():
    known = facts(count=3)
    assert torch.equal(Facts().views(pictures(), known), known)
    assert FACTS == NAMES


# ---------------------------------------------------------------- what a network knows

ROWS = np.array([[0.0, 1.0, 0.1, 1.0, 0.05, 100.0], [5.0, 3.0, 0.3, 4.0, 0.1, 900.0]])


def outside(**changes: float) -> list[tuple[str, float, float, float]]:
    values = {"background": 2.0, "noise": 2.0, "poisson": 0.2, "psf_fwhm": 2.0, "pixel_scale": 0.07, "white": 300.0}
    return Known.of(ROWS).outside(np.array(list((values | changes).values())))


def test_a_picture_like_those_trained_on_is_not_outside():
    assert outside() == []
    assert outside(noise=1.0, psf_fwhm=4.0, pixel_scale=0.1) == []
    assert outside(noise=3.1, psf_fwhm=4.1) == []  # within a twentieth
    assert outside(background=1e9, white=1e9, poisson=1e9) == []


@pytest.mark.parametrize("name, value", [("noise", 3.5), ("noise", 0.5), ("psf_fwhm", 5.0), ("psf_fwhm", 0.5),
                                         ("pixel_scale", 0.2), ("pixel_scale", 0.01)])  # fmt: skip
def test_what_is_outside_is_named_with_its_range(name, value):
    k = FACTS.index(name)
    assert outside(**{name: value}) == [(name, value, ROWS[0, k], ROWS[1, k])]


def test_numbers_that_are_none_are_outside():
    assert [found[0] for found in outside(noise=np.nan, psf_fwhm=np.inf)] == ["noise", "psf_fwhm"]


def test_unknown_pixels_are_not_outside():
    assert outside(pixel_scale=0.0) == []
    untold = Known.of(ROWS * [1, 1, 1, 1, 0, 1])
    assert untold.outside(np.array([0, 2.0, 0, 2.0, 0.5, 1])) == []


def test_a_network_of_sharp_pictures_knows_nearly_sharp_ones():
    sharp = Known.of(ROWS * [1, 1, 1, 0, 1, 1])
    assert sharp.outside(np.array([0, 2.0, 0, 0.009, 0.07, 1])) == []
    assert [found[0] for found in sharp.outside(np.array([0, 2.0, 0, 0.5, 0.07, 1]))] == ["psf_fwhm"]


def test_ranges_that_are_none_are_refused():
    Known.of(ROWS).check()
    for least, greatest in ((ROWS[1], ROWS[0]), (ROWS[0, :5], ROWS[1, :5]), (ROWS[0] * np.nan, ROWS[1])):
        with pytest.raises(ValueError, match="the noise and PSF that it knows are none"):
            Known(least, greatest).check()
