"""Sources: brightness as printed, bounds of their extent, pictures and constellations."""

from __future__ import annotations

import math

import numpy as np
import pytest
from random_scenes import SOURCES, Random, numbers

from droulette.physics.sources import (
    Constellation,
    Ellipsoid,
    Image,
    Picture,
    SersicEllipsoid,
    SersicSphere,
    Spherical,
    Triangle,
)

SIGMA, SIGMA2, THETA, N, LUMINOSITY = 7.0, 3.0, 25.0, 2.3, 40.0


def sersic(radii: np.ndarray, area: float) -> np.ndarray:
    """I_e exp(−b(r^{1/n} − 1)), r in half-light radii."""
    b = 1.992 * N - 0.3271
    i_e = 1000 * LUMINOSITY * b ** (2 * N) / (2 * math.pi * area * N * math.exp(b) * math.gamma(2 * N))
    return i_e * np.exp(-b * (radii ** (1 / N) - 1))


def printed_brightness(x: np.ndarray, y: np.ndarray) -> dict:
    """Each source with the brightness that its formula gives, in numpy."""
    r2, angle = x * x + y * y, math.radians(THETA)
    u, v = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    q = SIGMA2 / SIGMA
    sigma, sigma2, theta, n, luminosity = map(numbers, (SIGMA, SIGMA2, THETA, N, LUMINOSITY))
    return {
        "Spherical": (Spherical(sigma), 255 * np.exp(-r2 / (2 * SIGMA**2))),
        "Ellipsoid": (
            Ellipsoid(sigma, sigma2, theta),
            255 * np.exp(-0.5 * (u**2 / SIGMA**2 + v**2 / SIGMA2**2)),
        ),
        "SersicSphere": (SersicSphere(sigma, n, luminosity), sersic(np.sqrt(r2) / SIGMA, SIGMA**2)),
        "SersicEllipsoid": (
            SersicEllipsoid(sigma, sigma2, theta, n, luminosity),
            sersic(np.sqrt((u / q) ** 2 + v**2) / SIGMA, SIGMA * SIGMA2),
        ),
    }


@pytest.mark.parametrize("name", ["Spherical", "Ellipsoid", "SersicSphere", "SersicEllipsoid"])
def test_brightness_is_the_printed_formula(name):
    x, y = np.random.default_rng(1).uniform(-30, 30, (2, 1000))
    source, expected = printed_brightness(x, y)[name]
    found = source.brightness(x, y)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("theta", [0.0, 90.0])
def test_long_axis_of_a_rotated_source_turns_counter_clockwise_with_theta(theta):
    def along_x(source) -> bool:
        six, zero = numbers(6.0), numbers(0.0)
        return (source.brightness(six, zero) > source.brightness(zero, six)).item()

    assert along_x(Ellipsoid(numbers(9.0), numbers(3.0), numbers(theta))) == (theta == 0)
    # Sérsic ellipsoids have σ along y′, CosmoSim's convention.
    assert along_x(SersicEllipsoid(*map(numbers, (9.0, 3.0, theta, 1.0, 20.0)))) == (theta == 90)


@pytest.mark.parametrize("n", [0.3, 1.0, 4.0, 10.0])
def test_sersic_light_is_1000_times_the_luminosity(n):
    u = np.linspace(1e-6, 1, 400_001)
    radius = 5 * (u / np.maximum(1 - u, 1e-12)) ** n  # a substitution that resolves centre and wings
    source = SersicSphere(numbers(5.0), numbers(n), numbers(7.0))
    light = np.trapezoid(2 * math.pi * radius * source.brightness(radius, np.zeros_like(radius)), radius)
    assert light.item() == pytest.approx(7000, rel=1e-3)


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("threshold", [0.5, 0.01])
def test_brightness_is_below_the_threshold_beyond_the_extent(kind, threshold):
    draw = Random(2, 3000)
    source = draw.source(kind)
    extent = source.extent(threshold)
    angle = draw.uniform(0, 2 * math.pi)
    for factor in (1 + 1e-9, 1.02, 1.5, 4.0):
        radius = extent * factor
        levels = source.brightness(radius * np.cos(angle), radius * np.sin(angle))
        assert (levels <= threshold * (1 + 1e-6)).all()


def test_extent_of_round_sources_is_where_the_threshold_is_met():
    draw = Random(3, 100)
    for kind in ("Spherical", "SersicSphere"):
        source = draw.source(kind)
        radius = source.extent(0.5)
        lit = radius > 0
        levels = source.brightness(radius, np.zeros_like(radius))[lit]
        np.testing.assert_allclose(levels, np.full_like(levels, 0.5), rtol=1e-9, atol=0)


def test_triangle_is_the_outline_of_an_equilateral_triangle_in_three_greys():
    sigma, theta = 20.0, 10.0
    triangle = Triangle(numbers(sigma), numbers(theta))
    corners = [
        (sigma * math.cos(math.radians(theta + 120 * k)), sigma * math.sin(math.radians(theta + 120 * k)))
        for k in range(3)
    ]
    for k, level in enumerate((57, 113, 22)):
        (ax, ay), (bx, by) = corners[k], corners[(k + 1) % 3]
        nx, ny = (ay - by) / math.hypot(ax - bx, ay - by), (bx - ax) / math.hypot(ax - bx, ay - by)
        for t in (0.15, 0.5, 0.85):
            for across, expected in ((0, level), (1.45, level), (-1.45, level), (1.55, 0), (-1.55, 0)):
                x, y = ax + t * (bx - ax) + across * nx, ay + t * (by - ay) + across * ny
                assert triangle.brightness(numbers(x), numbers(y)).item() == expected
    assert triangle.brightness(numbers(0.0), numbers(0.0)).item() == 0


@pytest.mark.parametrize("height, width", [(9, 14), (8, 8)])
def test_image_source_has_the_pictures_own_levels_at_its_pixels(height, width):
    levels = np.random.default_rng(4).integers(0, 256, (height, width), dtype=np.uint8)
    i, j = np.mgrid[:height, :width]
    x, y = j - width / 2, height / 2 - i
    picture = Picture(levels)
    np.testing.assert_allclose(Image(numbers(0.0), picture).brightness(x, y), levels, atol=1e-10)
    turned = Image(numbers(90.0), picture).brightness(-y, x)
    np.testing.assert_allclose(turned, levels, atol=1e-10)
    outside = Image(numbers(0.0), picture).brightness(numbers(width / 2 + 0.5), numbers(0.0))
    assert outside.item() == 0


def test_constellation_is_the_sum_of_its_sources_at_their_places():
    draw = Random(5, 400)
    parts = tuple(draw.source(kind) for kind in ("Spherical", "Triangle", "SersicEllipsoid"))
    places = [draw.in_disc(0, 20) for _ in parts]
    x, y = draw.in_disc(0, 40)
    total = sum(part.brightness(x - cx, y - cy).clip(0, 255) for part, (cx, cy) in zip(parts, places, strict=True))
    found = Constellation(parts, *map(tuple, zip(*places, strict=True))).brightness(x, y)
    np.testing.assert_allclose(found, total, rtol=1e-12, atol=1e-12)
