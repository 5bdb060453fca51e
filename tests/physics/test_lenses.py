"""Lenses: closed deflections, limits, bounds, and the sampled ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_scenes import LENSES, Random, numbers

from droulette.physics.amplitudes import amplitudes, convergence_and_shear
from droulette.physics.lenses import SIE, SIS, Lens
from droulette.physics.mappings import Raytrace
from droulette.physics.rendering import Scenes, render
from droulette.physics.sampled import Sampled
from droulette.physics.sources import Spherical


@pytest.mark.parametrize("kind", LENSES)
def test_closed_deflection_is_the_gradient_of_the_potential(kind):
    draw = Random(1, 2000)
    lens, (x, y) = draw.lens(kind), draw.in_disc(1, 120)
    for closed, derived in zip(lens.deflection(x, y), Lens.deflection(lens, x, y), strict=True):
        np.testing.assert_allclose(closed, derived, rtol=1e-11, atol=1e-11)


def test_derived_deflection_has_its_shape_where_the_potential_does_not_change():
    class Wall(Lens):
        def potential(self, x, y):
            return x * x * numbers(0.5, 1.0)

    dx, dy = Wall().deflection(numbers(3.0, 4.0), numbers(5.0, 6.0))
    assert (dx.tolist(), dy.tolist()) == ([3.0, 8.0], [0.0, 0.0])


@pytest.mark.parametrize("x, y", [(3.0, 4.0), (-7.5, 0.2), (0.0, -2.0), (11.0, 0.0)])
def test_potential_is_the_printed_formula(x, y):
    theta, f, omega, radius = 12.0, 0.37, 25.0, math.hypot(x, y)
    c, s = math.cos(math.radians(omega)), math.sin(math.radians(omega))
    u, v, f_prime = x * c + y * s, y * c - x * s, math.sqrt(1 - f * f)
    sie = (
        theta
        * math.sqrt(f)
        / f_prime
        * (u * math.asinh(f_prime * u / (f * radius)) + v * math.asin(f_prime * v / radius))
    )
    found = SIE(numbers(theta), numbers(f), numbers(omega)).potential(numbers(x), numbers(y)).item()
    assert found == pytest.approx(sie, rel=1e-14)
    assert SIS(numbers(theta)).potential(numbers(x), numbers(y)).item() == pytest.approx(theta * radius)


def test_round_sie_is_the_sis_to_twelve_digits():
    draw = Random(2, 500)
    x, y = draw.in_disc(0.1, 100)
    sis = draw.lens("SIS")
    for f in (1.0, 1 - 1e-15):
        sie = SIE(sis.einstein_radius, np.full_like(x, f), draw.uniform(0, 180))
        np.testing.assert_allclose(sie.potential(x, y), sis.potential(x, y), rtol=1e-12, atol=0)
        for one, other in zip(sie.deflection(x, y), sis.deflection(x, y), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)
        for one, other in zip(amplitudes(sie, x, y, 1), amplitudes(sis, x, y, 1), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-11)


def test_deflection_is_finite_at_the_centre_of_an_isothermal_lens():
    zero = numbers(0.0)
    for lens in (SIS(numbers(9.0)), SIE(numbers(9.0), numbers(0.3), numbers(40.0))):
        assert [axis.item() for axis in lens.deflection(zero, zero)] == [0, 0]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(LENSES), st.integers(0, 10_000), st.floats(0.1, 20))
def test_curvature_bounds_every_second_derivative_within_the_distance(kind, seed, distance):
    draw = Random(seed, 1)
    lens, (x, y) = draw.lens(kind), draw.in_disc(0, 80)
    bound = lens.curvature(x, y, distance)
    assert not np.isnan(bound).any()
    around = Random(seed, 400)
    dx, dy = around.in_disc(0, distance)
    kappa, gamma1, gamma2 = convergence_and_shear(lens, x + dx, y + dy)
    norm = abs(kappa) + np.hypot(gamma1, gamma2)  # the larger eigenvalue of ∂²ψ
    assert (norm <= bound * (1 + 1e-9)).all()


@pytest.mark.parametrize("kind", LENSES)
def test_sampled_lens_is_the_lens_itself_away_from_its_centres(kind):
    draw = Random(3, 6)
    lens = draw.lens(kind, (10, 20), (0.4, 0.9))
    sampled = Sampled.of(lens, 6, 128)
    for _ in range(20):
        x, y = draw.in_disc(38, 50)  # at least 14 px from every centre, and within the map
        for one, other in zip(sampled.deflection(x, y), lens.deflection(x, y), strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=0.01)  # bilinear between pixels
        exact, found = amplitudes(lens, x, y, 4), amplitudes(sampled, x, y, 4)
        for one, other in zip(found, exact, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-7)


@pytest.mark.parametrize("kind", LENSES)
def test_picture_of_a_sampled_lens_is_that_of_the_lens(kind):
    draw = Random(4, 4)
    lens, eta = draw.lens(kind, (10, 20), (0.4, 0.9)), draw.in_disc(5, 15)
    source, zero = Spherical(draw.uniform(4, 8)), np.zeros(4)
    exact, sampled = (
        render(Scenes(Raytrace(one, *eta), source), 128, zero, zero).astype(float)
        for one in (lens, Sampled.of(lens, 4, 128))
    )
    assert abs(exact - sampled).mean() < 0.005 * exact.mean()
