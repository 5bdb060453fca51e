"""Sources that are pictures of galaxies, beside the profiles that made the pictures."""

from __future__ import annotations

import numpy as np
import pytest
from mapped import galaxies, random_galaxy
from random_scenes import Random, numbers

from droulette.physics.galaxies import Galaxy, GalaxyRows, NoLight, Portrait
from droulette.physics.sources import SersicEllipsoid, Spherical


def exponential(size: int, sigma: float, ratio: float, turn: float, x0: float = 0.0, y0: float = 0.0) -> np.ndarray:
    """A picture of an exponential disc of half-light semi-axes σ/√q and σ√q, row 0 below: the mean over 5² points."""
    step = (np.arange(size * 5) + 0.5) / 5 - size / 2
    x, y = step[None, :] - x0, step[:, None] - y0
    cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    u, v = (x * cos + y * sin) * np.sqrt(ratio), (y * cos - x * sin) / np.sqrt(ratio)
    return np.exp(-1.6783 * np.hypot(u, v) / sigma).reshape(size, 5, size, 5).mean(axis=(1, 3))


def one(picture: np.ndarray, sigma=9.0, theta=0.0, luminosity=30.0, mirror=0.0) -> Galaxy:
    rows = GalaxyRows.of([Portrait.of(picture)], np.zeros(1, int))
    return Galaxy(numbers(sigma), numbers(theta), numbers(luminosity), rows, numbers(mirror))


def image(source, size: int = 240, fine: int = 1) -> np.ndarray:
    step = ((np.arange(size * fine) + 0.5) / fine - size / 2)[None, :]
    return source.brightness(step, step.reshape(-1, 1))


@pytest.mark.parametrize("sigma", [3.0, 6.0])
def test_a_picture_of_an_exponential_disc_is_drawn_as_that_disc(sigma):
    """σ and L mean what they mean for a Sérsic ellipsoid, whose σ is along y′ and σ₂ along x′."""
    found = one(exponential(96, sigma, 0.6, 0.0, 1.3, -0.7), 9.0, 30.0)
    expected = SersicEllipsoid(*map(numbers, (9.0 * np.sqrt(0.6), 9.0 / np.sqrt(0.6), 30.0, 1.0, 30.0)))
    ours, theirs = image(found), image(expected)
    assert abs(ours - theirs).sum() < (0.11, 0.06)[sigma == 6.0] * theirs.sum()


@pytest.mark.parametrize("sigma", [4.0, 8.0])
def test_half_light_radius_is_the_geometric_mean_of_the_semi_axes(sigma):
    assert Portrait.of(exponential(160, sigma, 0.6, 20.0)).radius == pytest.approx(sigma, rel=0.01)


def test_light_in_all_and_its_centre_are_those_asked_for():
    source = random_galaxy(Random(1, 1))
    levels = image(source, 160, 2)
    assert levels.sum() / 4 == pytest.approx(source.flux().item(), rel=1e-6)
    assert source.flux().item() == pytest.approx(1000 * source.luminosity.item())
    step = (np.arange(320) + 0.5) / 2 - 80
    assert (levels.sum(axis=0) @ step) / levels.sum() == pytest.approx(0, abs=1e-4)
    assert (levels.sum(axis=1) @ step) / levels.sum() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("threshold", [2.0**-14, 0.5, 20.0, 1e6])
def test_brightness_is_nowhere_negative_and_below_the_threshold_beyond_the_extent(threshold):
    random = Random(2, 20000)
    source = random_galaxy(random)
    extent, whole = source.extent(threshold), source.extent(1e-300)
    assert (extent <= whole).all() and (threshold < 1.0 or (extent < 0.95 * whole).all())
    x, y = random.in_disc(0, 1.5)
    levels = source.brightness(x * whole, y * whole)
    distance = np.hypot(x, y) * whole
    assert (levels >= 0).all() and (levels[distance > whole] == 0).all()
    assert (levels[distance > extent] < threshold).all() and (levels[distance < whole] > 0).mean() > 0.3


def test_no_box_is_seen_around_a_galaxy_on_a_bright_background():
    picture = exponential(64, 5.0, 0.7, 10.0) + 0.3
    plain, raised = one(exponential(64, 5.0, 0.7, 10.0)), one(picture)
    np.testing.assert_allclose(image(raised), image(plain), rtol=0, atol=0.02 * image(plain).max())
    edge = image(raised)[:, : 120 - 65]
    assert edge.max() < 1e-3 * image(raised).max()


def test_theta_turns_and_mirror_flips():
    picture = exponential(64, 5.0, 0.5, 30.0)
    picture[44:48, 20:24] += 0.3
    plain, turned = image(one(picture), 101), image(one(picture, theta=90.0), 101)
    np.testing.assert_allclose(turned, np.rot90(plain, -1), atol=1e-9)  # row 0 is below here
    np.testing.assert_allclose(image(one(picture, mirror=1.0), 101), plain[::-1], atol=1e-9)


def test_a_picture_without_light_is_refused():
    with pytest.raises(NoLight):
        Portrait.of(np.full((20, 20), 7.0))


def test_rows_have_their_own_galaxies():
    many = GalaxyRows.of(galaxies(), np.array([0, 1, 0]))
    x, y = Random(3, 3).in_disc(0, 8)
    for k, which in enumerate((0, 1, 0)):
        alone = GalaxyRows.of([galaxies()[which]], np.zeros(1, int))
        at = many.at(x + many.x, y + many.y)[k]
        assert at == alone.at(x[k : k + 1] + alone.x, y[k : k + 1] + alone.y).item()


def gaussian(size: int, sigma: float) -> np.ndarray:
    step = np.arange(size) - (size - 1) / 2
    return np.exp(-0.5 * (step * step + step[:, None] ** 2) / sigma**2)


@pytest.mark.parametrize("levels", [1e6, 255])  # 8 bits: within half a grey level of its own
def test_a_picture_of_a_gaussian_is_drawn_as_the_gaussian_source(levels):
    expected = Spherical(numbers(12.0))
    half_light = 12.0 * np.sqrt(2 * np.log(2))
    found = one(np.rint(levels * gaussian(96, 8.0)), half_light, luminosity=expected.flux().item() / 1000)
    assert abs(image(found, 200) - image(expected, 200)).max() < 1.0


def noisy(seed: int, neighbour: float = 0.0) -> np.ndarray:
    """A Gaussian of 5 px whose peak is 25 times the noise, on a background, and perhaps a smaller one in a corner."""
    picture = gaussian(128, 5.0) + neighbour * np.roll(gaussian(128, 2.5), (30, -28), (0, 1))
    return picture + 3.0 + np.random.default_rng(seed).normal(0, 0.04, picture.shape)


@pytest.mark.parametrize("neighbour", [0.0, 1.5])
def test_noise_and_neighbours_are_no_light_of_the_galaxy(neighbour):
    """The positive half of the noise would make the half-light radius 6 times as large."""
    for seed in range(3):
        portrait = Portrait.of(noisy(seed, neighbour))
        assert portrait.radius == pytest.approx(5.0 * np.sqrt(2 * np.log(2)), rel=0.06)
        assert portrait.reaches[-1] < 8 * 5.0
        found = one(noisy(seed, neighbour), 5.0 * np.sqrt(2 * np.log(2)), luminosity=0.255 * 2 * np.pi * 25)
        assert abs(image(found) - image(Spherical(numbers(5.0)))).max() < 5 * 0.04 * 255


def test_noise_alone_is_no_galaxy():
    with pytest.raises(NoLight):
        Portrait.of(np.random.default_rng(5).normal(size=(64, 64)))
